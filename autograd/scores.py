"""Words of softmax and of losses for arrays, of which large ones have loops over their rows."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LARGE_ROWS = 1 << 15  # elements from which rows may have a loop of their own


def softmax_slope(g: Array, out: Array, dim: int) -> Array:
    """The derivative of `softmax_along`: ``out · (g - Σ g · out)``."""
    if out.size >= LARGE_ROWS:
        from . import rows

        if rows.suits(out, dim):
            return rows.softmax_slope(g, out)
    add_up: Any = np.add.reduce  # whose stubs want ``keepdims`` by name, which takes longer
    slope = g - add_up(g * out, dim if g.ndim else None, None, None, g.ndim > 1)
    slope *= out
    return slope


def log_softmax_slope(g: Array, out: Array, dim: int) -> Array:
    """The derivative of `log_softmax_along`: ``g - eᵒᵘᵗ · Σ g``."""
    if out.size >= LARGE_ROWS:
        from . import rows

        if rows.suits(out, dim):
            return rows.log_softmax_slope(g, out)
    return g - np.exp(out) * np.add.reduce(g, dim if g.ndim else None, keepdims=True)


def scaled_rows(x: Array, factor: Array) -> Array:
    """What belongs to a row, times its factor."""
    if x.size >= LARGE_ROWS and x.ndim == 2:
        from . import rows

        if rows.suits(x, 1):
            return rows.scaled(x, factor)
    return x * factor[:, None]
