"""Windows over the last axes: the largest element of each, and what is put back to its place.

Planes are what the leading axes name; a window lies in one plane, and a place is a position in the
flattened plane.  `Windows` says where the windows of one axis begin and end: the sliding ones of a
pooling, or the uneven ones that divide an axis into a given number of parts.

Few elements are gathered into a table of windows by NumPy; many are compared in a compiled loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any

import numpy as np

from . import kernels

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

WORTH_COMPILING = 1 << 13  # elements from which a kernel is worth loading
GRAIN = 1 << 15  # elements that one thread takes at a time
UNROLLED = 16  # elements of a window for which a kernel of its own is compiled


class Windows:
    """The windows of one axis of ``n`` elements, as ``counts[i]`` elements from ``starts[i]`` on.

    ``step`` is the distance of a window's elements, ``size`` the most that one has, and ``stride``
    that of the windows, 0 where they are uneven.
    """

    def __init__(self, n: int, starts: Array, counts: Array, *, step: int = 1, stride: int = 0):
        self.n, self.starts, self.counts, self.step, self.stride = n, starts, counts, step, stride
        self.size = int(counts.max(initial=1))

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        return f"<{len(self)} windows of {self.n}>"

    @cached_property
    def whole(self) -> tuple[int, int]:
        """The first window of full size after a shorter one, and the one after the last."""
        full = np.flatnonzero(self.counts == self.size)
        if not len(full) or full[-1] - full[0] + 1 != len(full):
            return 0, 0
        return int(full[0]), int(full[-1]) + 1

    def taps(self) -> Array:
        """The positions in each window; short windows repeat their last."""
        nth = np.minimum(np.arange(self.size), self.counts[:, None] - 1)
        return self.starts[:, None] + nth * self.step  # (windows, size)


@lru_cache(maxsize=256)
def sliding(n: int, m: int, size: int, stride: int, padding: int, dilation: int) -> Windows:
    """``m`` windows of ``size`` elements, ``dilation`` apart, ``stride`` from each other."""
    first = np.arange(m) * stride - padding
    skipped = np.maximum(-(first // dilation), 0)  # elements of the window in the padding
    starts = first + skipped * dilation
    counts = np.minimum(size - skipped, -((starts - n) // dilation))
    return Windows(n, starts, counts, step=dilation, stride=stride)


@lru_cache(maxsize=256)
def dividing(n: int, m: int) -> Windows:
    """``m`` windows that cover an axis evenly: the i-th from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉."""
    i = np.arange(m)
    starts, stops = i * n // max(m, 1), -((i + 1) * -n // max(m, 1))
    even = m > 0 and n % m == 0
    return Windows(n, starts, stops - starts, stride=n // m if even else 0)


@lru_cache(maxsize=64)
def _table(windows: tuple[Windows, ...]) -> Array:
    """The places of the elements of each window."""
    places, taps = np.zeros((1, 1), np.int64), 1
    for each in windows:
        mine = each.taps()
        places = places[:, None, :, None] * each.n + mine[None, :, None, :]
        taps *= mine.shape[1]
        places = places.reshape(-1, taps)
    places.flags.writeable = False
    return places  # (windows, elements of one)


# ---------------------------------------------------------------- the largest element


def largest(x: Array, windows: tuple[Windows, ...]) -> tuple[Array, Array]:
    """The largest element of each window and its place: NaN wins, then the first of equals."""
    axes = len(windows)
    lead, inner = x.shape[: x.ndim - axes], x.shape[x.ndim - axes :]
    shape = (*lead, *[len(w) for w in windows])
    planes = math.prod(lead)
    if not math.prod(shape):
        return np.zeros(shape, x.dtype), np.zeros(shape, np.int64)
    if x.size >= WORTH_COMPILING and x.dtype.kind == "f" and math.prod(inner) < 2**31:
        out, places = _largest_compiled(x, planes, windows)
    else:
        out, places = of_table(x.reshape(planes, -1), _table(windows))
    return out.reshape(shape), places.reshape(shape)


def of_table(x: Array, table: Array) -> tuple[Array, Array]:
    """`largest` of rows (planes, elements), where each row of the table names a window."""
    taken = x[:, table]  # (planes, windows, elements of one)
    chosen = taken.argmax(-1)
    if x.dtype.kind == "f" and (nan := taken != taken).any():  # PyTorch names the last NaN
        last = taken.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
        chosen = np.where(nan.any(-1), last, chosen)
    places = table[np.arange(len(table)), chosen]
    return x[np.arange(len(x))[:, None], places], places


def _largest_compiled(x: Array, planes: int, windows: tuple[Windows, ...]) -> tuple[Array, Array]:

    flat = (1,) * (3 - len(windows))
    inner = (*flat, *[w.n for w in windows])
    x = np.ascontiguousarray(x).reshape(planes, -1)
    out = np.empty((planes, *flat, *[len(w) for w in windows]), x.dtype)
    places = np.empty(out.shape, np.int32)
    deep = (*(dividing(1, 1) for _ in flat), *windows)
    ends = [end for w in deep for end in (w.starts, w.counts)]
    steps = np.array([w.step for w in deep])
    depth, rows, row = deep
    even = row.stride and depth.size == rows.step == row.step == 1
    plain = even and rows.size * row.size <= UNROLLED
    loop = _largest_loop(
        kernels.name_of(x.dtype), *((rows.size, row.size, row.stride) if plain else (0, 0, 0))
    )
    whole = np.array(row.whole)
    grain = max(1, GRAIN * planes // x.size)
    given = (x, *inner[1:], *ends, steps, whole, out, places)
    kernels.launch(loop, given, planes, grain, (1, *[0] * 10, 1, 1))
    return out, places


def largest_in_planes(
    x: Any, height: Any, width: Any, start0: Any, count0: Any, start1: Any, count1: Any,
    start2: Any, count2: Any, steps: Any, whole: Any, out: Any, places: Any,
) -> None:  # fmt: skip
    """The largest element of windows over three axes, and its place in the plane.

    ``ROWS``, ``TAPS`` and ``STRIDE`` are constants of a version, so that the loops over the
    elements of a whole window are unrolled and free of branches, which random numbers would
    mispredict; 0 in the version for windows of any kind.
    """
    for p in range(len(x)):
        plane = x[p]
        for a in range(out.shape[1]):
            for b in range(out.shape[2]):
                best, place = out[p, a, b], places[p, a, b]
                corner = (start0[a] * height + start1[b]) * width
                lo, hi = (whole[0], whole[1]) if count1[b] == ROWS else (0, 0)
                first = corner + start2[lo]
                for j in range(hi - lo):
                    at = first + j * STRIDE
                    most, taken = plane[np.uintp(at)], 0
                    for r in range(ROWS):
                        for t in range(TAPS):
                            v = plane[np.uintp(at + r * width + t)]
                            larger = (v > most) | (v != v)
                            most = v if larger else most
                            taken = r * width + t if larger else taken
                    best[lo + j] = most
                    place[lo + j] = at + taken
                for j in range(best.size):
                    if lo <= j < hi:
                        continue
                    at = corner + start2[j]
                    most, taken = plane[at], at
                    for d in range(count0[a]):
                        for h in range(count1[b]):
                            line = at + (d * steps[0] * height + h * steps[1]) * width
                            for t in range(count2[j]):
                                v = plane[line + t * steps[2]]
                                if v > most or v != v:
                                    most, taken = v, line + t * steps[2]
                    best[j] = most
                    place[j] = taken


ROWS = TAPS = STRIDE = 0


@lru_cache(maxsize=64)
def _largest_loop(dtype: str, rows: int, taps: int, stride: int) -> Callable[..., None]:

    name = largest_in_planes.__name__ + (f"_{rows}x{taps}_{stride}" if rows else "")
    constants = {"ROWS": rows, "TAPS": taps, "STRIDE": stride}
    loop = FunctionType(
        largest_in_planes.__code__, {**largest_in_planes.__globals__, **constants}, name
    )
    given = [kernels.readonly(dtype, 2), "int64", "int64", *[kernels.readonly("int64")] * 8]
    made = [f"{dtype}[:, :, :, ::1]", "int32[:, :, :, ::1]"]
    return kernels.compile(loop, f"void({', '.join(given + made)})")


# ---------------------------------------------------------------- put back


def put_in_planes(g: Array, places: Array, shape: Shape, axes: int) -> Array:
    """Zeros of a shape, with ``g`` added at its places in the planes of the last ``axes``."""
    inner = math.prod(shape[len(shape) - axes :])
    planes = math.prod(shape[: len(shape) - axes])
    each = places.size // max(planes, 1)
    g, places = g.reshape(planes, each), places.reshape(planes, each)
    if g.size < WORTH_COMPILING or places.dtype != np.int32 or g.dtype.kind != "f":
        out = np.zeros(shape, g.dtype)
        np.add.at(out.reshape(-1), _flat(places, inner), g.reshape(-1))
        return out

    out = np.empty((planes, inner), g.dtype)
    loop = _put_loop(kernels.name_of(g.dtype))
    g, places = np.ascontiguousarray(g), np.ascontiguousarray(places)
    grain = max(1, GRAIN // inner)
    kernels.launch(loop, (g, places, out), planes, grain)
    return out.reshape(shape)


def add_in_planes(g: Any, places: Any, out: Any) -> None:
    """Zeros, with every element added at its place: a plane at a time, while it is in the cache."""
    for p in range(len(g)):
        into = out[p]
        for i in range(into.size):
            into[i] = 0
        for i in range(g.shape[1]):
            into[np.uintp(places[p, i])] += g[p, i]


@lru_cache(maxsize=2)
def _put_loop(dtype: str) -> Callable[..., None]:

    given = [kernels.readonly(dtype, 2), kernels.readonly("int32", 2)]
    return kernels.compile(add_in_planes, f"void({', '.join(given)}, {dtype}[:, ::1])")


def take_in_planes(x: Array, places: Array, axes: int) -> Array:
    """The elements at places in the planes of the last ``axes``."""
    inner = math.prod(x.shape[x.ndim - axes :])
    planes = math.prod(x.shape[: x.ndim - axes])
    each = places.size // max(planes, 1)
    where = _flat(places.reshape(planes, each), inner)
    return x.reshape(-1)[where].reshape(places.shape)


def replace_in_planes(x: Array, places: Array, shape: Shape, axes: int) -> Array:
    """Zeros of a shape, with ``x`` at its places in the planes of the last ``axes``."""
    inner = math.prod(shape[len(shape) - axes :])
    out = np.zeros(shape, x.dtype)
    planes = math.prod(shape[: len(shape) - axes])
    each = places.size // max(planes, 1)
    out.reshape(-1)[_flat(places.reshape(planes, each), inner)] = x.reshape(-1)
    return out


def _flat(places: Array, inner: int) -> Array:
    """Places in planes as places in all of memory."""
    if len(places) == 1:
        return places.reshape(-1)
    return (places + np.arange(len(places))[:, None] * inner).reshape(-1)
