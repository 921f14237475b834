"""What attention computes, on arrays: ``softmax(scale · Q Kᵀ + mask) V``, and its slopes.

A mask is added to the scores; one without axes is none at all, and so is noise without axes, which
the weights are multiplied by (dropout).  Attention of a sequence to itself may come packed: one
array (A, B, 3 · E) with query, key and value of all heads side by side, as one matrix product
makes them, so that nothing is copied into an order by heads.

The functions here are words of the rules in `ops/attention.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@lru_cache(maxsize=16)
def later(rows: int, columns: int, dtype: str) -> Array:
    """Minus infinity where a query would look at a later key, zero elsewhere."""
    mask = np.triu(np.full((rows, columns), -np.inf, dtype), 1)
    mask.flags.writeable = False
    return mask


def attention_weights(scores: Array, mask: Array, scale: float, causal: bool) -> Array:
    """The softmax of scaled and masked scores; zeros in rows that are masked altogether."""
    scores *= scale
    if causal:
        scores += later(*scores.shape[-2:], scores.dtype.name)
    if mask.ndim:
        scores = scores + mask
    if not scores.size:
        return scores
    top = np.maximum.reduce(scores, axis=-1, keepdims=True)
    masked = causal or mask.ndim
    if masked:
        top[top == -np.inf] = 0
    scores -= top
    np.exp(scores, out=scores)
    total = np.add.reduce(scores, axis=-1, keepdims=True)
    if masked:
        total[total == 0] = 1
    scores /= total
    return scores


def scores_slope(weights: Array, slope: Array) -> Array:
    """The derivative of a softmax, in place of the derivative by what it gave."""
    slope -= np.vecdot(slope, weights)[..., None]
    slope *= weights
    return slope


def attention_slope(
    g: Array,
    q: Array,
    k: Array,
    v: Array,
    mask: Array,
    noise: Array,
    weights: Array,
    scale: float,
    causal: bool,
    part: str,
) -> Array:
    """The derivative of attention by one of its inputs: "q", "k", "v" or "mask"."""
    if part == "v":
        return np.matmul((weights * noise if noise.ndim else weights).swapaxes(-1, -2), g)
    slope = np.matmul(g, v.swapaxes(-1, -2))
    if noise.ndim:
        slope *= noise
    slope = scores_slope(weights, slope)
    if part == "mask":
        return slope
    slope *= scale
    return np.matmul(slope, k) if part == "q" else np.matmul(slope.swapaxes(-1, -2), q)


def by_heads(packed: Array, heads: int, batch_first: bool) -> tuple[Array, Array, Array]:
    """Views of query, key and value of each head.

    Shape: ``(N, T, 3 · E)``, or ``(T, N, 3 · E)`` → three of ``(N, heads, T, E / heads)``
    """
    a, b, width = packed.shape
    parts = packed.reshape(a, b, 3, heads, width // (3 * heads))
    order = (2, 0, 3, 1, 4) if batch_first else (2, 1, 3, 0, 4)
    q, k, v = parts.transpose(order)
    return q, k, v


def one_by_heads(x: Array, heads: int, batch_first: bool) -> Array:
    """A view of each head of what belongs to all of them, side by side."""
    a, b, width = x.shape
    order = (0, 2, 1, 3) if batch_first else (1, 2, 0, 3)
    return x.reshape(a, b, heads, width // heads).transpose(order)
