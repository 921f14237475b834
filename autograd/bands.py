"""Linear maps along axes in which each output is a weighted sum of a few neighbouring inputs.

Averages over windows and all interpolations are such maps, one for each axis: a `Band` holds the
rows of a banded matrix.  The derivative of a map is its transpose, which is a `Band` again.

Few elements are multiplied by the whole matrix; for many there is one compiled loop, which combines
the rows of a plane first, as vectors, and then the elements of the row that this makes.  Averages
of two by two, which most pooling takes, have loops of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from . import image_rows, kernels

Array = np.ndarray[Any, Any]

WORTH_COMPILING = 1 << 13  # elements from which a kernel is worth loading
GRAIN = 1 << 15  # elements that one thread takes at a time
SMALL = 1 << 12  # entries of a matrix that is worth multiplying by, most of which are zeros


class Band:
    """A matrix from ``n`` inputs to ``len(firsts)`` outputs; row i has ``counts[i]`` entries.

    They are ``weights[i, :counts[i]]``, for the inputs from ``firsts[i]`` on.
    """

    def __init__(self, n: int, firsts: Array, counts: Array, weights: Array):
        self.n, self.firsts, self.counts, self.weights = n, firsts, counts, weights
        self._matrices: dict[np.dtype[Any], Array] = {}

    def __len__(self) -> int:
        return len(self.firsts)

    def __repr__(self) -> str:
        return f"<band from {self.n} to {len(self)}>"

    def _entries(self) -> tuple[Array, Array, Array]:
        """Row, column and weight of each entry."""
        here = np.arange(self.weights.shape[1]) < self.counts[:, None]
        rows, nth = np.nonzero(here)
        return rows, self.firsts[rows] + nth, self.weights[here]

    @cached_property
    def transposed(self) -> Band:
        """The map from what comes out to what goes in, which takes gradients back."""
        rows, columns, weights = self._entries()
        firsts = np.full(self.n, len(self))
        ends = np.zeros(self.n, np.int64)
        np.minimum.at(firsts, columns, rows)
        np.maximum.at(ends, columns, rows + 1)
        counts = np.maximum(ends - firsts, 0)
        firsts[counts == 0] = 0
        band = np.zeros((self.n, int(counts.max(initial=1))))
        band[columns, rows - firsts[columns]] = weights
        made = Band(len(self), firsts, counts, band)
        made.__dict__["transposed"] = self
        return made

    def matrix(self, dtype: np.dtype[Any]) -> Array:
        """All entries, to be multiplied from the right; of small bands only."""
        if dtype not in self._matrices:
            rows, columns, weights = self._entries()
            full = self._matrices[dtype] = np.zeros((self.n, len(self)), dtype)
            full[columns, rows] = weights
        return self._matrices[dtype]  # (inputs, outputs)

    @cached_property
    def whole(self) -> tuple[int, int]:
        """The first row with all entries after one with fewer, and the one after the last."""
        full = np.flatnonzero(self.counts == self.weights.shape[1])
        if not len(full) or full[-1] - full[0] + 1 != len(full):
            return 0, 0
        return int(full[0]), int(full[-1]) + 1

    @cached_property
    def halving(self) -> float:
        """The weight, if row i has it for inputs 2i and 2i + 1; else zero."""
        pairs = np.array_equal(self.firsts, 2 * np.arange(len(self))) and len(self) == self.n // 2
        alike = pairs and len(self) and (self.counts == 2).all() and np.ptp(self.weights) == 0
        return float(self.weights[0, 0]) if alike else 0.0


def of_places(n: int, places: Array, weights: Array) -> Band:
    """The band whose i-th row has ``weights[i]`` at ``places[i]``, added up at equal places."""
    firsts = places.min(1)
    counts = places.max(1) - firsts + 1
    band = np.zeros((len(places), int(counts.max(initial=1))))
    np.add.at(band, (np.arange(len(places))[:, None], places - firsts[:, None]), weights)
    return Band(n, firsts, counts, band)


def transposed(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """The transpose of each."""
    return tuple([band.transposed for band in bands])


# ---------------------------------------------------------------- applied


def banded(x: Array, bands: tuple[Band, ...]) -> Array:
    """``x`` with a band applied along each of its last axes."""
    axes = len(bands)
    lead = x.shape[: x.ndim - axes]
    shape = (*lead, *[len(b) for b in bands])
    if not x.size or not math.prod(shape):
        return np.zeros(shape, x.dtype)
    few = max(x.size, math.prod(shape)) < WORTH_COMPILING
    if few and max([b.n * len(b) for b in bands]) <= SMALL:
        out = _multiplied(x, bands)
        if np.isfinite(out).all():
            return out  # else a zero of the matrix has met an infinity that it should not have
    planes = math.prod(lead)
    squares = _of_squares(x, bands, shape) if axes == 2 else None
    if squares is not None:
        return squares
    if axes == 3:
        x = _along_planes(x.reshape(planes, bands[0].n, -1), bands[0], None)
        planes *= len(bands[0])
    rows = bands[-2] if axes > 1 else None
    x = x.reshape(planes, 1 if rows is None else rows.n, bands[-1].n)
    return _along_planes(x, rows, bands[-1]).reshape(shape)


def _of_squares(x: Array, bands: tuple[Band, ...], shape: tuple[int, ...]) -> Array | None:
    """Averages of two by two, or their transpose; None for other bands, and where NumPy is due."""
    forward = math.prod(b.halving for b in bands)
    factor = np.array(forward or math.prod(b.transposed.halving for b in bands), x.dtype)
    if not factor or max(x.shape[-1], shape[-1]) >= 1 << 30:
        return None
    x, out = np.ascontiguousarray(x), np.empty(shape, x.dtype)
    large, small = (x, out) if forward else (out, x)
    loop = image_rows.halved if forward else image_rows.doubled
    sizes = *large.shape[-2:], *small.shape[-2:]
    done = image_rows.run(loop, (large, small, factor), sizes, out.size // out.shape[-1])
    return out if done else None


def _multiplied(x: Array, bands: tuple[Band, ...]) -> Array:
    kind = x.dtype
    out = np.matmul(x, bands[-1].matrix(kind))
    if len(bands) > 1:
        out = np.matmul(bands[-2].matrix(kind).T, out)
    if len(bands) > 2:
        *lead, depth, height, width = out.shape
        out = np.matmul(bands[0].matrix(kind).T, out.reshape(*lead, depth, height * width))
        out = out.reshape(*lead, len(bands[0]), height, width)
    return out


def _along_planes(x: Array, rows: Band | None, row: Band | None) -> Array:
    """The bands applied to matrices (planes, height, width): along columns, then along rows."""
    planes, height, width = x.shape
    out = np.empty(
        (planes, height if rows is None else len(rows), width if row is None else len(row)), x.dtype
    )
    if x.size + out.size < WORTH_COMPILING:
        if rows is not None:
            x = _by_taps(x.swapaxes(-1, -2), rows).swapaxes(-1, -2)
        return x if row is None else _by_taps(x, row)

    loop = _band_loop(kernels.name_of(x.dtype))
    x = np.ascontiguousarray(x)
    sides = [*_described(rows, x.dtype), *_described(row, x.dtype)]
    grain = max(1, 2 * GRAIN * planes // (x.size + out.size))
    lines = np.empty((planes, 0 if row is None else width), x.dtype)
    kernels.launch(loop, (x, *sides, lines, out), planes, grain, (1, *[0] * 8, 1, 1))
    return out


def _described(band: Band | None, dtype: np.dtype[Any]) -> tuple[Array, Array, Array, Array]:
    if band is None:
        none = np.empty(0, np.int64)
        return none, none, np.empty((0, 0), dtype), np.zeros(2, np.int64)
    weights = np.ascontiguousarray(band.weights.T, dtype)
    return band.firsts, band.counts, weights, np.array(band.whole)


def _by_taps(x: Array, band: Band) -> Array:
    """A band along the last axis, one entry of every row at a time."""
    out = np.zeros((*x.shape[:-1], len(band)), x.dtype)
    for k in range(band.weights.shape[1]):
        rows = np.flatnonzero(band.counts > k)
        out[..., rows] += x[..., band.firsts[rows] + k] * band.weights[rows, k].astype(x.dtype)
    return out


def combine_in_planes(
    x: Any, firsts0: Any, counts0: Any, weights0: Any, whole0: Any,
    firsts1: Any, counts1: Any, weights1: Any, whole1: Any, lines: Any, out: Any,
) -> None:  # fmt: skip
    """Weighted sums of rows, then of the elements of each; weights are (entry, output)."""
    lo, hi = whole1[0], whole1[1]
    for p in range(x.shape[0]):
        for a in range(out.shape[1]):
            made = out[p, a]
            line = made if firsts1.size == 0 else lines[p]
            if firsts0.size == 0:
                for w in range(line.size):
                    line[w] = x[p, a, w]
            elif counts0[a] == 0:
                for w in range(line.size):
                    line[w] = 0
            else:
                for k in range(counts0[a]):
                    weight, given = weights0[k, a], x[p, firsts0[a] + k]
                    if k == 0:
                        for w in range(line.size):
                            line[w] = given[w] * weight
                    else:
                        for w in range(line.size):
                            line[w] += given[w] * weight
            for k in range(weights1.shape[0]):
                weight = weights1[k]
                for j in range(lo, hi):
                    term = line[np.uintp(firsts1[j] + k)] * weight[j]
                    made[j] = term if k == 0 else made[j] + term
            for side in range(2):
                for j in range(hi if side else 0, firsts1.size if side else lo):
                    total = weights1[0, j] * 0
                    for k in range(counts1[j]):
                        total += line[firsts1[j] + k] * weights1[k, j]
                    made[j] = total


@lru_cache(maxsize=2)
def _band_loop(dtype: str) -> Callable[..., None]:

    ends, weights = kernels.readonly("int64"), kernels.readonly(dtype, 2)
    side = [ends, ends, weights, ends]
    given = ", ".join([kernels.readonly(dtype, 3), *side, *side])
    return kernels.compile(
        combine_in_planes, f"void({given}, {dtype}[:, ::1], {dtype}[:, :, ::1])", contract=True
    )
