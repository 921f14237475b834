"""Recurrence, compiled: all steps of a layer in one call, for float32.

What costs time is the product of the state and the weights at each step: too small for a matrix
library, which arranges the weights anew for each product.  Here they are arranged once, in panels
as wide as a few vectors, and a tile of four states times one panel stays in registers: 130 GFLOP/s
on one core where OpenBLAS reaches 70 to 105.  Sequences of a batch do not know each other, so
threads share the batch, and each of them walks through time alone.

The loops of a cell are many and short because LLVM makes vectors of a loop only if it can see that
few arrays do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from types import FunctionType
from typing import Any

import numpy as np

from . import kernels

Array = np.ndarray[Any, Any]
Steps = tuple[int, ...]

GRAIN = 1 << 22  # products and sums that are worth a thread of their own
ROWS = 4  # states in a tile
f, i, where = np.float32, np.int32, np.where
one: Any = f(1)
nothing: Any = f(0)


# ---------------------------------------------------------------- gates


def sigmoid(x: Any) -> Any:
    """``1 / (1 + e⁻ˣ)``, with e⁻ˣ as in `polynomials.exp`, where one factor gives 2ⁿ."""
    x = where(x > f(87), f(87), where(x < f(-87), f(-87), x))
    shifted = f(12582912) - x * f(1.4426950408889634)
    n = shifted - f(12582912)
    r = (-x - n * f(0.693359375)) - n * f(-2.12194440054690583e-4)
    p = f(1.3814466967935956e-3) * r + f(8.368780497637342e-3)
    p = p * r + f(4.166839421910894e-2)
    p = p * r + f(1.6666520107097374e-1)
    p = p * r + f(4.9999993412447347e-1)
    p = p * (r * r) + r + f(1)
    power = i(i(i(f(shifted).view(i) - i(0x4B400000)) + i(127)) << i(23)).view(f)
    return f(1) / (f(1) + p * power)


def tanh(x: Any) -> Any:
    """A quotient of polynomials fitted to ``[-9, 9]``, within 4e-7 of the value: one division."""
    y = where(x > f(9), f(9), where(x < f(-9), f(-9), x))
    s = y * y
    p = f(1.3354900546077483e-08) * s + f(2.0609277178788695e-05)
    p = p * s + f(3.4956010406310984e-3)
    p = p * s + f(1.3381036925324996e-1)
    p = p * s + f(0.9999999795859474)
    q = f(7.776662594081637e-07) * s + f(3.2856551575464164e-4)
    q = q * s + f(2.5877032557264687e-2)
    q = q * s + f(4.6714352556150257e-1)
    q = q * s + f(1)
    out = y * p / q
    return where(out > f(1), f(1), where(out < f(-1), f(-1), out))


# ---------------------------------------------------------------- one row of a cell, forward


def lstm_row(x, z, b, h, c, out, c_out, gates):  # type: ignore[no-untyped-def]
    """`recurrence.lstm` for one sequence and one step."""
    n = out.size
    i, f, g, o = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    for j in range(4 * n):
        gates[j] = x[j] + z[j] + b[j]
    for j in range(2 * n):
        gates[j] = sigmoid(gates[j])
    for j in range(n):
        g[j] = tanh(g[j])
    for j in range(n):
        o[j] = sigmoid(o[j])
    for j in range(n):
        c[j] = f[j] * c[j] + i[j] * g[j]
    for j in range(n):
        c_out[j] = c[j]
    for j in range(n):
        out[j] = o[j] * tanh(c[j])
    for j in range(n):
        h[j] = out[j]


def gru_row(x, z, b, h, c, out, c_out, gates):  # type: ignore[no-untyped-def]
    """`recurrence.gru` for one sequence and one step."""
    n = out.size
    r_u, r, u = gates[: 2 * n], gates[:n], gates[n : 2 * n]
    new, hidden = gates[2 * n : 3 * n], gates[3 * n :]
    for j in range(2 * n):
        r_u[j] = x[j] + z[j] + b[j]
    for j in range(2 * n):
        r_u[j] = sigmoid(r_u[j])
    x_new, z_new, b_new = x[2 * n :], z[2 * n :], b[2 * n :]
    for j in range(n):
        hidden[j] = z_new[j] + b_new[j]
    for j in range(n):
        new[j] = x_new[j] + r[j] * hidden[j]
    for j in range(n):
        new[j] = tanh(new[j])
    for j in range(n):
        h[j] = new[j] + u[j] * (h[j] - new[j])
    for j in range(n):
        out[j] = h[j]


def tanh_row(x, z, b, h, c, out, c_out, gates):  # type: ignore[no-untyped-def]
    """`recurrence.rnn` for one sequence and one step."""
    for j in range(out.size):
        out[j] = x[j] + z[j] + b[j]
    for j in range(out.size):
        out[j] = tanh(out[j])
    for j in range(out.size):
        h[j] = out[j]


def relu_row(x, z, b, h, c, out, c_out, gates):  # type: ignore[no-untyped-def]
    """`recurrence.rnn` with `relu` for one sequence and one step."""
    for j in range(out.size):
        out[j] = x[j] + z[j] + b[j]
    for j in range(out.size):
        out[j] = nothing if out[j] <= nothing else out[j]
    for j in range(out.size):
        h[j] = out[j]


# ---------------------------------------------------------------- one row of a cell, backward


def lstm_back_row(g, before, own, gates, dh, dc, d_x, d_z):  # type: ignore[no-untyped-def]
    """`recurrence.lstm_back` for one sequence and one step, up to the product."""
    n = own.size
    i, f, u, o = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    d_i, d_f, d_u, d_o = d_x[:n], d_x[n : 2 * n], d_x[2 * n : 3 * n], d_x[3 * n :]
    for j in range(n):
        d_o[j] = tanh(own[j])
    for j in range(n):
        dh[j] += g[j]
    for j in range(n):
        dc[j] += dh[j] * o[j] * (one - d_o[j] * d_o[j])
    for j in range(n):
        d_o[j] = dh[j] * d_o[j] * o[j] * (one - o[j])
    for j in range(n):
        d_i[j] = dc[j] * u[j] * i[j] * (one - i[j])
    for j in range(n):
        d_f[j] = dc[j] * before[j] * f[j] * (one - f[j])
    for j in range(n):
        d_u[j] = dc[j] * i[j] * (one - u[j] * u[j])
    for j in range(n):
        dc[j] *= f[j]
    for j in range(n):
        dh[j] = nothing


def gru_back_row(g, before, own, gates, dh, dc, d_x, d_z):  # type: ignore[no-untyped-def]
    """`recurrence.gru_back` for one sequence and one step, up to the product."""
    n = own.size
    r, u, new, z = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    d_r, d_u, d_new = d_x[:n], d_x[n : 2 * n], d_x[2 * n :]
    d_r_u, d_hidden = d_z[: 2 * n], d_z[2 * n :]
    for j in range(n):
        dh[j] += g[j]
    for j in range(n):
        d_u[j] = dh[j] * (before[j] - new[j]) * u[j] * (one - u[j])
    for j in range(n):
        d_new[j] = dh[j] * (one - u[j]) * (one - new[j] * new[j])
    for j in range(n):
        d_r[j] = d_new[j] * z[j] * r[j] * (one - r[j])
    for j in range(2 * n):
        d_r_u[j] = d_x[j]
    for j in range(n):
        d_hidden[j] = d_new[j] * r[j]
    for j in range(n):
        dh[j] *= u[j]


def tanh_back_row(g, before, own, gates, dh, dc, d_x, d_z):  # type: ignore[no-untyped-def]
    """`recurrence.rnn_back` for one sequence and one step, up to the product."""
    for j in range(own.size):
        d_x[j] = (g[j] + dh[j]) * (one - own[j] * own[j])
    for j in range(own.size):
        dh[j] = nothing


def relu_back_row(g, before, own, gates, dh, dc, d_x, d_z):  # type: ignore[no-untyped-def]
    """`recurrence.rnn_back` with `relu` for one sequence and one step, up to the product."""
    for j in range(own.size):
        d_x[j] = g[j] + dh[j]
    for j in range(own.size):
        d_x[j] = nothing if own[j] <= nothing else d_x[j]
    for j in range(own.size):
        dh[j] = nothing


# ---------------------------------------------------------------- products


@lru_cache(maxsize=1)
def _vector() -> tuple[int, int]:
    """How many float32 numbers this processor's vectors hold, and how many of them a tile is wide.

    Four rows of so many vectors, one row of a panel and a number for each row fit the registers.
    """
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 4
    return (8, 2) if features.get("avx") else (4, 4)


def _tile(rows: int) -> Any:
    """``out[at:] += a[start:start + rows] @ panel`` for some rows, each ``depth`` numbers long.

    The accumulators live in registers, which only LLVM's own vectors can say.
    """
    from numba import config

    lanes, vectors = _vector()
    width = lanes * vectors
    if config.DISABLE_JIT:

        def plain(out: Any, at: int, place: int, a: Any, start: int, panels: Any, p: int) -> None:
            out[at : at + rows, place : place + width] += a[start : start + rows] @ panels[p]

        return plain

    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    def tile(
        context: Any, out: Any, at: Any, place: Any, a: Any, start: Any, panels: Any, panel: Any
    ) -> Any:
        i64 = types.int64
        signature = types.void(out, i64, i64, a, i64, panels, i64)

        def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
            def array(i: int) -> Any:
                return context.make_array(signature.args[i])(context, b, args[i])

            def size(made: Any, axis: int) -> Any:
                return b.extract_value(made.shape, axis)

            def vector(pointer: Any, index: Any) -> Any:
                return b.bitcast(b.gep(pointer, [index]), several.as_pointer())

            whole, real = ir.IntType(64), ir.FloatType()
            several = ir.VectorType(real, lanes)
            unknown = ir.Constant(several, ir.Undefined)
            first_of_all = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)

            def number(n: int) -> Any:
                return ir.Constant(whole, n)

            into, left, right = array(0), array(3), array(5)
            depth = size(left, 1)
            targets = [
                vector(into.data, b.add(
                    b.mul(b.add(args[1], number(r)), size(into, 1)),
                    b.add(args[2], number(v * lanes)),
                ))
                for r in range(rows) for v in range(vectors)
            ]  # fmt: skip
            lefts = [
                b.gep(left.data, [b.mul(b.add(args[4], number(r)), depth)]) for r in range(rows)
            ]
            first = b.gep(right.data, [b.mul(args[6], b.mul(depth, number(width)))])
            before = [b.load(t, align=4) for t in targets]
            entry, body = b.block, b.append_basic_block("tile")
            done = b.append_basic_block("done")
            b.cbranch(b.icmp_signed(">", depth, number(0)), body, done)

            b.position_at_end(body)
            k = b.phi(whole)
            k.add_incoming(number(0), entry)
            sums = [b.phi(several) for _ in targets]
            line = b.mul(k, number(width))
            line = [
                b.load(vector(first, b.add(line, number(v * lanes))), align=4)
                for v in range(vectors)
            ]
            after = []
            for r in range(rows):
                x = b.insert_element(
                    unknown, b.load(b.gep(lefts[r], [k])), ir.Constant(ir.IntType(32), 0)
                )
                x = b.shuffle_vector(x, unknown, first_of_all)
                for v in range(vectors):
                    product = b.fmul(x, line[v], flags=("contract",))
                    after.append(b.fadd(sums[r * vectors + v], product, flags=("contract",)))
            following = b.add(k, number(1))
            k.add_incoming(following, body)
            for s, start_value, end_value in zip(sums, before, after, strict=True):
                s.add_incoming(start_value, entry)
                s.add_incoming(end_value, body)
            b.cbranch(b.icmp_signed("<", following, depth), body, done)

            b.position_at_end(done)
            totals = [b.phi(several) for _ in targets]
            for s, start_value, end_value in zip(totals, before, after, strict=True):
                s.add_incoming(start_value, entry)
                s.add_incoming(end_value, body)
            for t, s in zip(targets, totals, strict=True):
                b.store(s, t, align=4)
            return context.get_dummy_value()

        return signature, emit

    return intrinsic(tile)


def panels_of(m: Array | None) -> Array:
    """A matrix ``(K, G)`` in panels ``(P, K, width)``, the last of them filled up with zeros."""
    lanes, vectors = _vector()
    width = lanes * vectors
    if m is None:
        return np.empty((0, 0, width), np.float32)
    depth, columns = m.shape
    count = -(-columns // width)
    if columns < count * width:
        whole = np.zeros((depth, count * width), np.float32)
        whole[:, :columns] = m
        m = whole
    return np.ascontiguousarray(m.reshape(depth, count, width).transpose(1, 0, 2))


# ---------------------------------------------------------------- all steps


@cache
def _walk(cell: str, backward: bool) -> Callable[..., Any]:
    """The compiled loop over the steps of one kind of cell."""
    space = {**globals()}
    made = FunctionType((back_steps if backward else steps_of).__code__, space)
    made.__name__ = f"{cell}_back_steps" if backward else f"{cell}_steps"

    def prepare() -> None:
        space["where"] = kernels.compiled_words("float32")["where"]
        for word in (sigmoid, tanh):
            space[word.__name__] = kernels.inner(FunctionType(word.__code__, space))
        space.update(tile=_tile(ROWS), tile_of_one=_tile(1))
        row = globals()[f"{cell}_back_row" if backward else f"{cell}_row"]
        space["row"] = kernels.inner(FunctionType(row.__code__, space))
        space["product"] = kernels.inner(FunctionType(product.__code__, space))

    r, w, wide = kernels.readonly("float32", 2), "float32[:,::1]", kernels.readonly("float32", 3)
    numbers = kernels.readonly("int64")
    places = f"{numbers}, {numbers}, boolean, {numbers}"
    if backward:
        signature = f"void({r}, {wide}, {r}, {r}, {r}, {places}, {w}, {w}, {w}, {w})"
    else:
        signature = f"void({r}, {wide}, {r}, {places}, {w}, {w}, {w}, {w}, {w}, {w})"
    return kernels.compile(made, signature, contract=True, prepare=prepare)


tile: Any = None
tile_of_one: Any = None
row: Any = None


def product(out, first, last, a, start, panels):  # type: ignore[no-untyped-def]
    """Add ``a[start:] @ panels`` to the rows from ``first`` to ``last`` of ``out``."""
    whole = first + (last - first) // ROWS * ROWS
    width = panels.shape[2]
    for p in range(panels.shape[0]):
        for r in range(first, whole, ROWS):
            tile(out, r, p * width, a, start + r - first, panels, p)
        for r in range(whole, last):
            tile_of_one(out, r, p * width, a, start + r - first, panels, p)


def steps_of(  # type: ignore[no-untyped-def]
    x, panels, b, sizes, starts, reverse, mine, h, c, z, out, c_out, gates
):
    """All steps of the sequences ``mine``, which follow each other; ``h`` and ``c`` go along."""
    count, first, last = sizes.size, mine[0], mine[mine.size - 1] + 1
    for s in range(count):
        t = count - 1 - s if reverse else s
        start, n = starts[t], min(sizes[t], last)
        if panels.shape[0] and n > first:
            z[first:n] = nothing
            product(z, first, n, h, first, panels)  # type: ignore[no-untyped-call]
        for r in range(first, n):
            own = start + r
            bias, kept = b[min(r, b.shape[0] - 1)], gates[min(own, gates.shape[0] - 1)]
            row(x[own], z[r], bias, h[r], c[r], out[own], c_out[min(own, c_out.shape[0] - 1)], kept)


def back_steps(  # type: ignore[no-untyped-def]
    g, panels, initial, rows, gates, sizes, starts, reverse, mine, dh, dc, d_x, d_z
):
    """All steps backwards; ``dh`` and ``dc`` end as the derivatives by the initial states."""
    count, first, last = sizes.size, mine[0], mine[mine.size - 1] + 1
    for s in range(count):
        t = s if reverse else count - 1 - s
        p = t + 1 if reverse else t - 1
        start, n = starts[t], min(sizes[t], last)
        for r in range(first, n):
            own = start + r
            inside = 0 <= p < count and r < sizes[p]
            before = rows[starts[p] + r] if inside else initial[r]
            kept, d = gates[min(own, gates.shape[0] - 1)], dc[min(r, dc.shape[0] - 1)]
            row(g[own], before, rows[own], kept, dh[r], d, d_x[own], d_z[own])
        if panels.shape[0] and n > first:
            product(dh, first, n, d_z, start + first, panels)  # type: ignore[no-untyped-call]


def _shared(walk: Any, arguments: list[Any], sequences: Array, work: int) -> None:
    """Give the sequences of a batch to the threads, in whole tiles."""
    batch = len(sequences)
    parts = min(kernels.threads(), -(-batch // ROWS), 1 + work // GRAIN)
    grain = -(-batch // (parts * ROWS)) * ROWS
    cut = [1 if a is sequences else 0 for a in arguments]
    with np.errstate(all="ignore"):  # for the day the loop is Python's
        kernels.launch(walk, arguments, batch, grain, cut)


def _places(steps: Steps) -> tuple[Array, Array]:
    sizes = np.array(steps)
    return sizes, np.add.accumulate(sizes) - sizes


def _plain(a: Array) -> Array:
    return np.ascontiguousarray(a, np.float32)


def _forward(
    cell: str, x: Array, w: Any, b: Any, h: Array, c: Array, out: Array, c_out: Array,
    gates: Array, steps: Steps, reverse: bool,
) -> None:  # fmt: skip
    walk = _walk(cell, False)
    panels = panels_of(None if w is None else w.T)
    z = np.zeros((steps[0], max(panels.shape[0] * panels.shape[2], x.shape[1])), np.float32)
    x, (sizes, starts), sequences = _plain(x), _places(steps), np.arange(steps[0])
    _shared(
        walk, [x, panels, b, sizes, starts, reverse, sequences, h, c, z, out, c_out, gates],
        sequences, x.size * (h.shape[1] if w is not None else 8),
    )  # fmt: skip


def _backward(
    cell: str, g: Array, w: Any, initial: Array, rows: Array, gates: Array, dh: Array, dc: Array,
    d_x: Array, d_z: Array, steps: Steps, reverse: bool,
) -> Array:  # fmt: skip
    """Fills ``dc``, ``d_x`` and ``d_z``; gives the derivative by the initial state."""
    walk = _walk(cell, True)
    panels, n = panels_of(w), dh.shape[1]
    wide = np.zeros((steps[0], max(panels.shape[0] * panels.shape[2], n)), np.float32)
    arrays = [_plain(a) for a in (initial, rows, gates)]
    g, (sizes, starts), sequences = _plain(g), _places(steps), np.arange(steps[0])
    _shared(
        walk, [g, panels, *arrays, sizes, starts, reverse, sequences, wide, dc, d_x, d_z],
        sequences, d_x.size * (n if w is not None else 8),
    )  # fmt: skip
    return wide[:, :n]


# ---------------------------------------------------------------- the kinds of cells

EMPTY = np.zeros((1, 1), np.float32)


def lstm(
    x: Array, w: Any, b: Array, h0: Any, c0: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array]:
    """`recurrence.lstm`."""
    (total, _), (batch, n) = x.shape, c0.shape
    b = _plain(b).reshape(-1, 4 * n)
    out = np.empty((total + batch, n), np.float32)
    c, gates = np.empty((total, n), np.float32), np.empty((total, 4 * n), np.float32)
    last = out[total:]
    last[...] = c0
    h = np.array(c0 if h0 is None else h0, order="C")
    _forward("lstm", x, w, b, h, last, out, c, gates, steps, reverse)
    return out, c, gates


def lstm_back(
    g: Array, w: Any, c0: Array, c: Array, gates: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array]:
    """`recurrence.lstm_back`."""
    total = len(gates)
    d_x, dc = np.empty_like(gates), np.array(g[total:], np.float32, order="C")
    dh = _backward("lstm", g, w, c0, c, gates, c0, dc, d_x, d_x, steps, reverse)
    return d_x, dh, dc


def gru(x: Array, w: Any, b: Array, h0: Array, steps: Steps, reverse: bool) -> tuple[Array, Array]:
    """`recurrence.gru`."""
    total, n = len(x), h0.shape[1]
    out, gates = np.empty((total, n), np.float32), np.empty((total, 4 * n), np.float32)
    h, b = np.array(h0, order="C"), _plain(b).reshape(-1, 3 * n)
    _forward("gru", x, w, b, h, EMPTY.repeat(len(h), 0), out, EMPTY.copy(), gates, steps, reverse)
    return out, gates


def gru_back(
    g: Array, w: Any, h0: Array, h: Array, gates: Array, steps: Steps, reverse: bool
) -> tuple[Array, Array, Array]:
    """`recurrence.gru_back`."""
    d_x = np.empty((len(gates), 3 * h0.shape[1]), np.float32)
    d_z = np.empty_like(d_x)
    dh = _backward("gru", g, w, h0, h, gates, h0, EMPTY.copy(), d_x, d_z, steps, reverse)
    return d_x, d_z, dh


def rnn(
    x: Array, w: Array, b: Array, h0: Array, steps: Steps, reverse: bool, nonlinearity: str
) -> Array:
    """`recurrence.rnn`."""
    out, h = np.empty(x.shape, np.float32), np.array(h0, order="C")
    c = EMPTY.repeat(len(h), 0)
    _forward(
        nonlinearity,
        x,
        w,
        _plain(b).reshape(1, -1),
        h,
        c,
        out,
        EMPTY.copy(),
        EMPTY.copy(),
        steps,
        reverse,
    )
    return out


def rnn_back(
    g: Array, w: Array, h: Array, steps: Steps, reverse: bool, nonlinearity: str
) -> tuple[Array, Array]:
    """`recurrence.rnn_back`."""
    d = np.empty(h.shape, np.float32)
    initial = np.empty((steps[0], h.shape[1]), np.float32)  # nobody looks at it
    dh = _backward(
        nonlinearity, g, w, initial, h, EMPTY, initial, EMPTY.copy(), d, d, steps, reverse
    )
    return d, dh
