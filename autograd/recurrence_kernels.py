"""Recurrence, compiled: all steps of a layer in one call, for float32.

What costs time is the product of the state and the weights at each step: too small for a matrix
library, which arranges the weights anew for each product.  Here they are arranged once, in panels
as wide as a few vectors, and a tile of six states times one panel stays in registers: 150 GFLOP/s
on one core where OpenBLAS reaches 70 to 105.  Sequences of a batch do not know each other, so
threads share the batch, and each of them walks through time alone.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from functools import cache, lru_cache
from types import FunctionType
from typing import Any

import numpy as np

from . import assembly, kernels, machine, microkernels, products, recurrence_cells, version
from .blocks import HEIGHTS, blocks
from .cache import text_of

Array = np.ndarray[Any, Any]
Steps = tuple[int, ...]

ROOM = 2048  # rows of derivatives that stand in one piece of memory
GRAIN = 1 << 19  # products and sums that are worth a thread of their own
FEW = 2  # sequences from which on the input is projected step by step, while it is in the cache,
MANY = 1 << 16  # if there are so many weights at most
ROWS = 4  # states that a thread takes at least
FLOAT = np.dtype(np.float32)
nothing: Any = np.float32(0)
NOTHING = np.zeros(64, np.float32)  # what is added to a product, as wide as any panel


# ---------------------------------------------------------------- products


@lru_cache(maxsize=1)
def _lanes() -> int:
    """How many numbers a vector has."""
    return assembly.lanes("float32") or 4


@lru_cache(maxsize=1)
def _tiles() -> Array:
    """Where the functions of `blocks` are; none where a product is a plain loop."""
    return np.array(blocks("float32"), np.int64)


def _width(columns: int) -> int:
    """How wide panels are: whole vectors, the fewest in all, and then as many together as can be.

    >>> [_width(n) // _lanes() for n in (1, 2 * _lanes(), 64 * _lanes())] == [1, 2, _most()]
    True
    """
    count = -(-columns // _lanes())
    return _lanes() * min(range(_most(), 0, -1), key=lambda v: -(-count // v) * (v + 1))


def _most() -> int:
    """How many vectors a panel has at most."""
    return max(len(_tiles()) - len(HEIGHTS) + 1, 1)


def panels_of(m: Array) -> Array:
    """A matrix ``(K, G)`` in panels ``(P, K, width)``, the last of them filled up with zeros."""
    depth, columns = m.shape
    width = _width(columns)
    whole, rest = divmod(columns, width)
    shape = whole + (rest > 0), depth, width
    memory = np.empty(math.prod(shape) + 16, np.float32)
    start = -machine.place_of(memory) % 64 // 4  # a vector that lies in two lines takes two loads
    panels = memory[start : start + math.prod(shape)].reshape(shape)
    panels[:whole] = m[:, : columns - rest].reshape(depth, whole, width).transpose(1, 0, 2)
    if rest:
        panels[whole, :, :rest] = m[:, columns - rest :]
        panels[whole, :, rest:] = 0
    return panels


_packed: dict[tuple[int, bool], tuple[weakref.ref[Array], int, Array]] = {}
NO_PANELS = np.empty((0, 0, 1), np.float32)


def packed(m: Array | None, transposed: bool) -> Array:
    """`panels_of` a matrix or its transpose; they are kept until it is written to, or is no more.

    A loop over a cell finds its weights packed at every step but the first.
    """
    if m is None:
        return NO_PANELS
    key, now = (id(m), transposed), version.version(m) + version.uncounted
    known = _packed.get(key)
    if known is not None and known[1] == now and known[0]() is m:
        return known[2]
    panels = panels_of(m.T if transposed else m)
    if id(version.owner(m)) not in version.exposed:  # others may write there, and tell nobody
        _packed[key] = weakref.ref(m, _forgetter(key)), now, panels
    return panels


def _forgetter(key: tuple[int, bool], forget: Any = _packed.pop) -> Callable[[Any], object]:
    return lambda _: forget(key, None)


# ---------------------------------------------------------------- all steps


@cache
def _walk(cell: str, backward: bool) -> Callable[..., Any]:
    """The compiled loop over the steps of one kind of cell."""
    space = {**globals()}
    made = FunctionType((back_steps if backward else steps_of).__code__, space)
    made.__name__ = f"{cell}_back_steps" if backward else f"{cell}_steps"

    def prepare() -> None:
        formula = getattr(recurrence_cells, f"{cell}_back" if backward else cell)
        names = recurrence_cells.BACKWARD if backward else recurrence_cells.FORWARD
        lanes = _lanes()
        space.update(zip(("high", "low", "lowest"), HEIGHTS, strict=True))
        space.update(lanes=lanes, most=_most())
        space["block"] = recurrence_cells.block(formula, names, lanes)
        space["unit"] = recurrence_cells.block(formula, names, 1)
        own = product if len(_tiles()) else plain_product
        if own is product:
            space["call"] = microkernels.call()
        for name, part in (("product", own), ("row", row)):
            space[name] = kernels.inner(FunctionType(part.__code__, space))

    r, w, wide = kernels.readonly("float32", 2), "float32[:,::1]", kernels.readonly("float32", 3)
    numbers, line = kernels.readonly("int64"), "float32[::1]"
    places = f"{numbers}, {numbers}, {numbers}"
    if backward:
        signature = f"{r}, {wide}, {r}, {r}, {r}, {places}, {w}, {w}, {w}, {w}, {line}"
    else:
        given = f"{r}, {wide}, {line}, {w}, {wide}, {r}, {places}"
        signature = f"{given}, {w}, {w}, {w}, {w}, {w}, {w}, {line}"
    signature = f"void({numbers}, {signature})"
    source = text_of(__file__, recurrence_cells.__file__)
    kernel = kernels.compile(made, signature, contract=True, source=source, prepare=prepare)
    # For the day the loop is Python's; machine code does not warn.
    return kernel if isinstance(kernel, machine.Machine) else np.errstate(all="ignore")(kernel)


call: Any = None
block: Any = None
unit: Any = None
lanes: Any = None
most: Any = None
high: Any = None
low: Any = None
lowest: Any = None


def row(a, b, c, d, e, f, g, h, n):  # type: ignore[no-untyped-def]
    """The pointwise part of one step of one sequence, which has ``n`` units."""
    whole = n // lanes * lanes
    for j in range(0, whole, lanes):
        block(a, b, c, d, e, f, g, h, n, j)
    for j in range(whole, n):
        unit(a, b, c, d, e, f, g, h, n, j)


def product(out, first, last, a, start, panels, onto, bias, zeros, tiles):  # type: ignore[no-untyped-def]
    """Rows from ``first`` to ``last`` of ``out`` become ``a[start:] @ panels + bias``.

    Or the product is added ``onto`` them, without one.  A bias is as wide as all panels, or zeros.
    """
    depth, width, wide = panels.shape[1], panels.shape[2], out.shape[1]
    several = width // lanes
    for p in range(panels.shape[0]):
        more = bias[min(p * width, bias.size - width) :]
        for r in range(first, last, high):
            left = last - r
            tile = tiles[several - 1]
            if several == most and left <= low:
                tile = tiles[most if left > lowest else most + 1]
            to = out[r, p * width :]
            call(tile, (
                a[start + r - first], depth, 1, left, panels[p], width, depth,
                to if onto else zeros, wide if onto else 0, more, to, wide, width, high * depth,
            ))  # fmt: skip


def plain_product(out, first, last, a, start, panels, onto, bias, zeros, tiles):  # type: ignore[no-untyped-def]
    """`product`, where there are no tiles."""
    width = panels.shape[2]
    for p in range(panels.shape[0]):
        more = bias[min(p * width, bias.size - width) :][:width]
        for r in range(first, last):
            to = out[r, p * width : (p + 1) * width]
            if not onto:
                to[:] = more
            for k in range(panels.shape[1]):
                to += a[start + r - first, k] * panels[p, k]


def steps_of(  # type: ignore[no-untyped-def]
    mine, u, u_panels, u_b, x, panels, b, sizes, starts, tiles, h, c, z, out, c_out, gates, zeros
):
    """All steps of the sequences ``mine``, which follow each other; ``h`` and ``c`` go along.

    ``u`` is an input that is yet to be projected, step by step: ``x`` has room for one.
    """
    count, first, last = sizes.size, mine[0], mine[mine.size - 1] + 1
    for s in range(count):
        start, n = starts[s], min(sizes[s], last)
        projects = u_panels.shape[0] > 0
        if projects and n > first:
            product(x, first, n, u, start + first, u_panels, False, u_b, zeros, tiles)  # type: ignore[no-untyped-call]
        if panels.shape[0] and n > first:
            product(z, first, n, h, first, panels, False, zeros, zeros, tiles)  # type: ignore[no-untyped-call]
        for r in range(first, n):
            own = start + r
            projected = x[r if projects else own]
            bias, kept = b[min(r, b.shape[0] - 1)], gates[min(own, gates.shape[0] - 1)]
            cell, cell_out = c[min(r, c.shape[0] - 1)], c_out[min(own, c_out.shape[0] - 1)]
            row(projected, z[r], bias, h[r], cell, out[own], cell_out, kept, out.shape[1])  # type: ignore[no-untyped-call]


def back_steps(  # type: ignore[no-untyped-def]
    mine, g, panels, initial, rows, gates, sizes, starts, tiles, dh, dc, d_x, d_z, zeros
):
    """All steps backwards; ``dh`` and ``dc`` end as the derivatives by the initial states."""
    count, first, last = sizes.size, mine[0], mine[mine.size - 1] + 1
    dh[first:last] = nothing
    for s in range(count - 1, -1, -1):
        start, n = starts[s], min(sizes[s], last)
        for r in range(first, n):
            own = start + r
            inside = s > 0 and r < sizes[s - 1]
            before = rows[starts[s - 1] + r] if inside else initial[r]
            kept, d = gates[min(own, gates.shape[0] - 1)], dc[min(r, dc.shape[0] - 1)]
            row(g[own], before, rows[own], kept, dh[r], d, d_x[own], d_z[own], rows.shape[1])  # type: ignore[no-untyped-call]
        if panels.shape[0] and n > first:
            product(dh, first, n, d_z, start + first, panels, True, zeros, zeros, tiles)  # type: ignore[no-untyped-call]


def _shared(walk: Any, arguments: tuple[Any, ...], work: int) -> None:
    """Give the sequences of a batch, the first argument, to the threads, in whole tiles."""
    batch = len(arguments[0])
    parts = min(kernels.threads(), -(-batch // ROWS), 1 + work // GRAIN)
    if parts < 2:
        walk(*arguments)
        return
    grain = -(-batch // (parts * ROWS)) * ROWS
    kernels.launch(walk, arguments, batch, grain, (1,) + (0,) * (len(arguments) - 1))


@lru_cache(maxsize=64)
def _places(steps: Steps, reverse: bool) -> tuple[Array, Array, Array]:
    """How many rows each step has and where they begin, as they are taken; all sequences."""
    sizes = np.array(steps)
    starts, way = np.add.accumulate(sizes) - sizes, -1 if reverse else 1
    return sizes[::way].copy(), starts[::way].copy(), np.arange(steps[0])


def _plain(a: Array) -> Array:
    ready = a.dtype is FLOAT and a.flags.c_contiguous
    return a if ready else np.ascontiguousarray(a, np.float32)


def _room(rows: int, columns: int, panels: Array) -> Array:
    """Rows for a product with ``panels``, whose last one may be filled up."""
    return np.empty((rows, max(_wide(panels), columns)), np.float32)


def _wide(panels: Array) -> int:
    """How many columns they have, with those that fill up the last."""
    count, _, width = panels.shape
    return count * width


def _filled_up(bias: Array, panels: Array) -> Array:
    """A bias as wide as all panels."""
    wide = _wide(panels)
    if bias.size == wide and bias.flags.writeable:
        return _plain(bias)
    padded = np.zeros(wide, np.float32)
    padded[: bias.size] = bias
    return padded


def _forward(
    cell: str, x: Array, w_x: Any, w: Any, b_x: Any, b: Array, h: Array, c: Array, out: Array,
    c_out: Array, gates: Array, steps: Steps, reverse: bool,
) -> None:  # fmt: skip
    """Fills ``out``, ``c_out`` and ``gates``; ``h`` and ``c`` are the initial states, and change.

    Without ``w_x``, ``x`` is projected.
    """
    if w_x is not None and len(steps) > 1 and (steps[0] < FEW or w_x.size > MANY):
        x, w_x = products.dot(x, w_x.T, b_x), None
    panels, x_panels = packed(w, True), packed(w_x, True)
    wide = x.shape[1] if w_x is None else len(w_x)
    work = len(x) * wide * (h.shape[1] + 8 if w is not None else 8)
    u = x = _plain(x)
    if w_x is not None:
        work += u.size * wide
        x, z = np.empty((2, steps[0], _wide(x_panels)), np.float32)
        u_b = _filled_up(b_x, x_panels)
    else:
        x, u_b = x if x.flags.writeable else x.copy(), NOTHING
        z = _room(steps[0], wide, panels)
        if w is None:
            z[...] = nothing
    sizes, starts, sequences = _places(steps, reverse)
    _shared(
        _walk(cell, False),
        (sequences, u, x_panels, u_b, x, panels, b, sizes, starts, _tiles(), h, c, z, out, c_out,
         gates, NOTHING),
        work,
    )  # fmt: skip


def _backward(
    cell: str, g: Array, w: Any, initial: Array, rows: Array, gates: Array, dc: Array,
    d_x: Array, d_z: Array, steps: Steps, reverse: bool,
) -> Array:  # fmt: skip
    """Fills ``dc``, ``d_x`` and ``d_z``; gives the derivatives by the initial state."""
    panels, n = packed(w, False), rows.shape[1]
    dh = _room(steps[0], n, panels)
    work = d_x.size * (8 + (0 if w is None else n))
    arrays = [_plain(a) for a in (initial, rows, gates)]
    g, (sizes, starts, sequences) = _plain(g), _places(steps, reverse)
    _shared(
        _walk(cell, True),
        (sequences, g, panels, *arrays, sizes, starts, _tiles(), dh, dc, d_x, d_z, NOTHING),
        work,
    )  # fmt: skip
    return dh[:, :n]


class _Blocks(threading.local):
    """Memory of which a thread gave some rows away, by what stands there and their width."""

    def __init__(self) -> None:
        self.begun: dict[Any, tuple[weakref.ref[Array], int]] = {}


_blocks = _Blocks()


def _next(rows: int, width: int, what: str, upwards: bool = True) -> Array:
    """Room right below that of the step that was taken before, or above it where steps go back.

    So what many steps leave is one matrix when they meet: `chain` and `deferred`.  It is for what
    the tape alone sees; a user who keeps few rows would keep them all.
    """
    known, used = _blocks.begun.get((what, width), (None, 0))
    block = None if known is None else known()
    if block is None or used + rows > len(block):
        if rows * 2 > ROOM:
            return np.empty((rows, width), np.float32)
        block, used = np.empty((ROOM, width), np.float32), 0
        known = weakref.ref(block)
    _blocks.begun[what, width] = known, used + rows  # type: ignore[assignment]
    start = used if upwards else ROOM - used - rows
    return block[start : start + rows]


def _slopes(rows: int, width: int, what: str = "d_x") -> Array:
    return _next(rows, width, what, False)


# ---------------------------------------------------------------- the kinds of cells

NOBODY = np.zeros((1, 1), np.float32)  # what a kind of cell does not have, and does not touch


def lstm(
    x: Array, h0: Any, c0: Array, w_x: Any, w: Any, b_x: Any, b: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array, Array]:
    """`recurrence.lstm_sequence`; without weights the pointwise part of a step, ``b`` is ``z``."""
    total, (batch, n) = len(x), c0.shape
    b = _plain(b).reshape(-1, 4 * n)
    out = np.empty((total + batch, n), np.float32)
    c, gates = _next(total, n, "c"), _next(total, 4 * n, "gates")
    last = out[total:]
    last[...] = c0
    h, states = _states(c0 if h0 is None else h0, out[:total])
    _forward("lstm", x, w_x, w, b_x, b, h, last, out, c, gates, steps, reverse)
    return out, states, c, gates


def _states(h0: Array, rows: Array) -> tuple[Array, Array]:
    """The state that goes along, and where those of all steps stand, to be kept by the tape.

    Those of one step are not ``rows``, which the user may write to.
    """
    if len(rows) > len(h0):
        return h0.copy(), rows
    h = _next(len(h0), h0.shape[1], "h")
    h[...] = h0
    return h, h


def lstm_back(
    g: Array, last: Any, w: Any, c0: Array, c: Array, gates: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array]:
    """`recurrence.lstm_back`."""
    d_x = _slopes(*gates.shape)
    dc = np.empty(c0.shape, np.float32)
    dc[...] = nothing if last is None else last
    dh = _backward("lstm", g, w, c0, c, gates, dc, d_x, d_x, steps, reverse)
    return d_x, dh, dc


def gru(
    x: Array, h0: Array, w_x: Array, w: Array, b_x: Array, b: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array]:
    """`recurrence.gru_sequence`."""
    total, n = len(x), h0.shape[1]
    out, gates = np.empty((total, n), np.float32), _next(total, 4 * n, "gates")
    h, states = _states(h0, out)
    b = _plain(b).reshape(-1, 3 * n)
    _forward("gru", x, w_x, w, b_x, b, h, NOBODY, out, NOBODY, gates, steps, reverse)
    return out, states, gates


def gru_back(
    g: Array, w: Array, h0: Array, h: Array, gates: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array]:
    """`recurrence.gru_back`."""
    d_x, d_z = (_slopes(len(gates), 3 * h0.shape[1], what) for what in ("d_x", "d_z"))
    dh = _backward("gru", g, w, h0, h, gates, NOBODY, d_x, d_z, steps, reverse)
    return d_x, d_z, dh


def rnn(
    x: Array, h0: Array, w_x: Array, w: Array, b_x: Array, b: Array, steps: Steps, reverse: bool,
    nonlinearity: str,
) -> Array:  # fmt: skip
    """`recurrence.rnn_sequence`."""
    h = h0.copy()
    out = h if len(steps) == 1 else np.empty((len(x), h0.shape[1]), np.float32)
    b = _plain(b).reshape(1, -1)
    cell, no = f"{nonlinearity}_cell", NOBODY
    _forward(cell, x, w_x, w, b_x, b, h, no, out, no, no, steps, reverse)
    return out


def rnn_back(
    g: Array, w: Array, h: Array, steps: Steps, reverse: bool, nonlinearity: str
) -> tuple[Array, Array]:
    """`recurrence.rnn_back`."""
    d, cell = _slopes(*h.shape), f"{nonlinearity}_cell"
    initial = h[: steps[0]]  # nobody looks at it
    return d, _backward(cell, g, w, initial, h, NOBODY, NOBODY, d, d, steps, reverse)
