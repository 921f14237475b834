"""Words of softmax and of losses for arrays, of which large ones have loops over their rows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LARGE_ROWS = 1 << 15  # elements from which rows may have a loop of their own


FEW = 256  # elements of which a reduction takes longer to begin than what replaces it

maximum: Any = np.maximum.reduce  # whose stubs want ``keepdims`` by name, which takes longer
add_up: Any = np.add.reduce


def largest(x: Array, dim: int) -> Array:
    """The largest along ``dim``, or a NaN; the axis is kept, except of a vector."""
    if x.ndim == 1 and x.size <= FEW:
        return x[x.argmax(), ...]  # in a third of the time
    return maximum(x, dim if x.ndim else None, None, None, x.ndim > 1)


def total(x: Array, dim: int) -> Array:
    """The sum along ``dim``; the axis is kept, except of a vector."""
    if x.size <= FEW and dim == x.ndim - 1 and dim >= 0:  # a product, in half the time
        sums = x.dot(_ones(x.shape[dim], x.dtype))
        return sums if dim else sums[0, ...]
    return add_up(x, dim if x.ndim else None, None, None, x.ndim > 1)


@cache
def _ones(n: int, dtype: np.dtype[Any]) -> Array:
    return np.ones((n, 1), dtype)


def softmax_slope(g: Array, out: Array, dim: int) -> Array:
    """The derivative of `softmax`: ``out · (g - Σ g · out)``."""
    if out.size >= LARGE_ROWS:
        from . import rows

        if rows.suits(out, dim):
            return rows.softmax_slope(g, out)
    if g.ndim == 1 and g.size <= FEW:
        slope = g - g.dot(out, np.empty((), out.dtype))
    else:
        slope = g - total(g * out, dim)
    slope *= out
    return slope


def log_softmax_slope(g: Array, out: Array, dim: int) -> Array:
    """The derivative of `log_softmax`: ``g - eᵒᵘᵗ · Σ g``."""
    if out.size >= LARGE_ROWS:
        from . import rows

        if rows.suits(out, dim):
            return rows.log_softmax_slope(g, out)
    return g - np.exp(out) * total(g, dim)


def scaled_rows(x: Array, factor: Array) -> Array:
    """What belongs to a row, times its factor."""
    if x.size >= LARGE_ROWS and x.ndim == 2:
        from . import rows

        if rows.suits(x, 1):
            return rows.scaled(x, factor)
    return x * factor[:, None]
