"""Softmax and its like over the rows of large matrices, each row in one go.

NumPy's separate passes over (1024, 1024) numbers take 1.7 ms where one loop over the rows, a row
being in the cache until it is done with, takes 0.3.  A loop exists for float32 alone; what is
small, of another type or along another axis stays with NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np

from . import kernels, polynomials
from .kernels import compile, readonly
from .scores import LARGE_ROWS

__all__ = ["log_softmax", "log_softmax_slope", "powers", "scaled", "softmax", "softmax_slope"]
__all__ += ["column_sums", "suits"]

Array = np.ndarray[Any, Any]

GRAIN = 1 << 14  # elements that one thread takes at a time
PARTS = 8  # of the rows of a matrix that are added up


def suits(x: Array, dim: int) -> bool:
    """Whether a loop over rows is for this array and axis."""
    return bool(
        x.size >= LARGE_ROWS
        and dim % x.ndim == x.ndim - 1
        and x.dtype == np.float32
        and x.shape[-1] >= 8
    )


def softmax(x: Array) -> Array:
    """``eˣ / Σ eˣ`` along the last axis."""
    return _over_rows(softmax_rows, x)


def softmax_slope(g: Array, out: Array) -> Array:
    """The derivative of `softmax`: ``out · (g - Σ g · out)``."""
    return _over_rows(softmax_slope_rows, g, out)


def log_softmax(x: Array) -> Array:
    """``x - log Σ eˣ`` along the last axis."""
    return _over_rows(log_softmax_rows, x)


def log_softmax_slope(g: Array, out: Array) -> Array:
    """The derivative of `log_softmax`: ``g - eᵒᵘᵗ · Σ g``."""
    return _over_rows(log_softmax_slope_rows, g, out)


def powers(x: Array) -> tuple[Array, Array, Array]:
    """``eˣ`` up to a factor for each row of a matrix, its sums, and the ``x`` that became 1."""
    total, high = np.empty((2, len(x)), np.float32)
    return _over_rows(powers_rows, x, total, high), total, high


def scaled(x: Array, factor: Array) -> Array:
    """The rows of a matrix, each times its factor."""
    return _over_rows(scaled_rows, x, factor)


def column_sums(x: Array) -> Array:
    """The sum of a matrix's rows: that of parts, as many for any number of threads."""
    width, length = x.shape[1], len(x) // PARTS
    if length < 8 or width < 8:
        return np.asarray(np.add.reduce(x, 0))
    sums = np.zeros((PARTS, width), np.float32)
    loop = _loop("column_sums_rows", (2,))
    kernels.launch(loop, [x[: PARTS * length], sums], PARTS, 1, [length, 1])
    total = np.add.reduce(sums, 0)
    total += np.add.reduce(x[PARTS * length :], 0)
    return np.asarray(total)


def _over_rows(function: Callable[..., Any], *arrays: Array) -> Array:
    shape = arrays[0].shape
    width = shape[-1]
    flat = [np.ascontiguousarray(a).reshape(-1, width) if a.shape == shape else a for a in arrays]
    result = np.empty(shape, np.float32)
    loop = _loop(function.__name__, tuple(a.ndim for a in flat))
    with np.errstate(all="ignore"):  # for the day the loop is Python's
        kernels.launch(
            loop, [*flat, result.reshape(-1, width)], len(flat[0]), max(1, GRAIN // width)
        )
    return result


@cache
def _loop(name: str, axes: tuple[int, ...]) -> Callable[..., Any]:
    space: dict[str, Any] = {**globals(), **vars(polynomials)}

    def prepare() -> None:
        words = kernels.compiled_words("float32")
        space.update(exp=words["exp"], log=words["log"])
        space["largest"] = kernels.inner(FunctionType(largest.__code__, space, "largest"))

    function = FunctionType(globals()[name].__code__, space, name)
    written = ["float32[::1]"] * (2 if name == "powers_rows" else 0)
    inputs = [readonly("float32", n) for n in axes[: len(axes) - len(written)]]
    signature = f"void({', '.join([*inputs, *written])}, float32[:, ::1])"
    return compile(function, signature, contract=True, reorder=True, wide=True, prepare=prepare)


# ---------------------------------------------------------------- the loops
# Their sums may be reordered, into sums of vectors; what they call is compiled without that.

exp, log, f, i = polynomials.exp, np.log, polynomials.f, polynomials.i


def largest(row: Any) -> Any:
    """The largest number of a row, or a NaN: floats are in the order of these integers."""
    best = i(-0x80000000)
    for k in range(row.size):
        bits = i(f(row[k]).view(i))
        key = i(bits ^ i(i(bits >> i(31)) & i(0x7FFFFFFF)))
        best = key if key > best else best
    return i(best ^ i(i(best >> i(31)) & i(0x7FFFFFFF))).view(f)


def softmax_rows(x: Any, result: Any) -> None:
    """`softmax` of the rows of a matrix."""
    for r in range(x.shape[0]):
        high, total = largest(x[r]), f(0)
        for k in range(x.shape[1]):
            power = exp(x[r, k] - high)
            result[r, k] = power
            total += power
        part = f(1) / total
        for k in range(x.shape[1]):
            result[r, k] *= part


def softmax_slope_rows(g: Any, out: Any, result: Any) -> None:
    """`softmax_slope` of the rows of matrices."""
    for r in range(g.shape[0]):
        total = f(0)
        for k in range(g.shape[1]):
            total += g[r, k] * out[r, k]
        for k in range(g.shape[1]):
            result[r, k] = out[r, k] * (g[r, k] - total)


def log_softmax_rows(x: Any, result: Any) -> None:
    """`log_softmax` of the rows of a matrix."""
    for r in range(x.shape[0]):
        high, total = largest(x[r]), f(0)
        for k in range(x.shape[1]):
            total += exp(x[r, k] - high)
        low = log(total)
        for k in range(x.shape[1]):
            result[r, k] = (x[r, k] - high) - low


def log_softmax_slope_rows(g: Any, out: Any, result: Any) -> None:
    """`log_softmax_slope` of the rows of matrices."""
    for r in range(g.shape[0]):
        total = f(0)
        for k in range(g.shape[1]):
            total += g[r, k]
        for k in range(g.shape[1]):
            result[r, k] = g[r, k] - exp(out[r, k]) * total


def powers_rows(x: Any, total: Any, high: Any, result: Any) -> None:
    """`powers` of the rows of a matrix."""
    for r in range(x.shape[0]):
        top, all_of_them = largest(x[r]), f(0)
        for k in range(x.shape[1]):
            power = exp(x[r, k] - top)
            result[r, k] = power
            all_of_them += power
        total[r] = all_of_them
        high[r] = top


def scaled_rows(x: Any, factor: Any, result: Any) -> None:
    """`scaled` rows."""
    for r in range(x.shape[0]):
        for k in range(x.shape[1]):
            result[r, k] = x[r, k] * factor[r]


def column_sums_rows(x: Any, result: Any) -> None:
    """The sum of all rows, added to the first of the result."""
    for r in range(x.shape[0]):
        for k in range(x.shape[1]):
            result[0, k] += x[r, k]
