"""Losses as ops of their own, each one line of the tape: from predictions to one number.

The functions that users call (`nn.functional`) check, broadcast and weight.  Here the shapes fit.
``reduction`` is "mean", "sum" or "none"; `portion` is its derivative.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .. import kernels, large, rows
from .. import scalar as s
from ..declare import opaque, word
from ..kernels import readonly
from ..op import registry
from ..tensor import wrap
from .activation import softmax

Array = np.ndarray[Any, Any]

BLOCK = 4096  # elements that are added up in one go
REDUCED = [((2, 3), (2, 3), {"reduction": how}) for how in ("none", "mean", "sum")]


def reduced(terms: Array, reduction: str) -> Any:
    """The terms of a loss as what the user asked for."""
    if reduction == "none":
        return terms
    total = np.add.reduce(terms, None)
    return total if reduction == "sum" else total / terms.dtype.type(terms.size)


def sum_of_squares(x: Array) -> Any:
    """``Σ x²``: products of blocks of a row with itself, a quarter of the time of ``x * x``.

    One product of all would lose digits: BLAS adds up one number after the other.
    """
    flat = x.ravel(order="K")
    if flat.size <= BLOCK:
        return np.dot(flat, flat)
    whole = flat.size - flat.size % BLOCK
    blocks, rest = flat[:whole].reshape(-1, BLOCK), flat[whole:]
    return np.add.reduce(np.vecdot(blocks, blocks)) + np.dot(rest, rest)


def _many(x: Array, y: Array) -> bool:
    """Whether compiled loops are worth it for a loss of these arrays."""
    return bool(
        x.size >= large.LARGE
        and x.dtype.char in "fd"
        and x.dtype is y.dtype
        and x.flags.c_contiguous
        and y.flags.c_contiguous
    )


def squared_distance_blocks(x, y, totals):  # type: ignore[no-untyped-def]
    """``Σ (x - y)²`` of each row."""
    for r in range(totals.size):
        total = totals.dtype.type(0)
        for k in range(x.shape[1]):
            off = x[r, k] - y[r, k]
            total += off * off
        totals[r] = total


@cache
def _squared_distance(dtype: str) -> Any:
    signature = f"void({readonly(dtype, 2)}, {readonly(dtype, 2)}, {dtype}[::1])"
    return kernels.compile(
        squared_distance_blocks, signature, contract=True, reorder=True, wide=True
    )


def squared_distance(x: Array, y: Array) -> Any:
    """``Σ (x - y)²``: of many numbers without an array of the differences."""
    if not _many(x, y):
        return sum_of_squares(x - y)
    count = x.size // BLOCK
    blocks = [a.reshape(-1)[: count * BLOCK].reshape(count, BLOCK) for a in (x, y)]
    rest = x.reshape(-1)[count * BLOCK :] - y.reshape(-1)[count * BLOCK :]
    totals = np.empty(count, x.dtype)
    kernels.launch(
        _squared_distance(kernels.name_of(x.dtype)), [*blocks, totals], count, large.GRAIN // BLOCK
    )
    return np.add.reduce(totals) + np.dot(rest, rest)


_SLOPES = {
    np.dtype(name).char: kernels.Elementwise(
        ("x", "y", "factor"), "(x - y) * factor", name, "squared_error_slope", ("factor",)
    )
    for name in ("float32", "float64")
}


def _scaled_difference(x: Array, y: Array, factor: Any) -> Array:
    """``(x - y) · factor``: of many numbers and one factor in a loop."""
    if factor.ndim or not _many(x, y):
        return np.asarray((x - y) * factor)
    out = np.empty(x.shape, x.dtype)
    given = x.reshape(-1), y.reshape(-1), x.dtype.type(factor), out.reshape(-1)
    kernels.launch(_SLOPES[x.dtype.char].compiled(), given, x.size, large.GRAIN, [1, 1, 0, 1])
    return out


@word(arrays=_scaled_difference)
def scaled_difference(x: Any, y: Any, factor: Any) -> Any:
    """``(x - y) · factor``, which is the derivative of a squared error."""
    return (x - y) * factor


@opaque(
    d_x=lambda g, x, y, reduction: s.scaled_difference(
        x, y, s.portion(g, x.shape, reduction) * 2
    ),
    d_y=lambda g, x, y, reduction: s.scaled_difference(
        y, x, s.portion(g, x.shape, reduction) * 2
    ),
    cases=REDUCED, public=False, method=False,
)  # fmt: skip
def squared_error(x, y, /, reduction):
    """``(x - y)²``, reduced."""
    if reduction == "none":
        off = x - y
        return off * off
    total = squared_distance(x, y)
    return total if reduction == "sum" else total / x.dtype.type(x.size)


@opaque(
    d_x=lambda g, x, y, reduction: s.sign(x - y) * s.portion(g, x.shape, reduction),
    d_y=lambda g, x, y, reduction: s.sign(y - x) * s.portion(g, x.shape, reduction),
    cases=REDUCED, public=False, method=False,
)  # fmt: skip
def absolute_error(x, y, /, reduction):
    """``|x - y|``, reduced."""
    return reduced(np.abs(x - y), reduction)


@opaque(
    d_x=lambda g, x, y, delta, reduction: (
        s.minimum(s.maximum(x - y, -delta), delta) * s.portion(g, x.shape, reduction)
    ),
    d_y=lambda g, x, y, delta, reduction: (
        s.minimum(s.maximum(y - x, -delta), delta) * s.portion(g, x.shape, reduction)
    ),
    cases=[((2, 3), (2, 3), {"delta": 0.7, "reduction": "mean"})], public=False, method=False,
)  # fmt: skip
def huber_error(x, y, /, delta, reduction):
    """``½ (x - y)²`` within δ of zero, ``δ · (|x - y| - ½ δ)`` beyond, reduced (Huber 1964)."""
    off = np.abs(x - y)
    near = np.minimum(off, delta)
    return reduced(near * (off - near / 2), reduction)


@opaque(
    d_x=lambda g, x, y, reduction: (
        (1 / (1 + s.exp(-x)) - y) * s.portion(g, x.shape, reduction)
    ),
    d_y=lambda g, x, reduction: -x * s.portion(g, x.shape, reduction),
    cases=REDUCED, public=False, method=False,
)  # fmt: skip
def logistic_error(x, y, /, reduction):
    """``-y · log σ(x) - (1 - y) · log(1 - σ(x))``, reduced: cross entropy of one yes-or-no."""
    # = max(x, 0) - x·y + log(1 + e^-|x|): never the exponential of a large number
    far = np.abs(x)
    return reduced(np.log1p(np.exp(-far)) + (far * 0.5 + x * (0.5 - y)), reduction)


@opaque(
    d_x=lambda g, x, y, reduction: (
        (x - y) / s.maximum((1 - x) * x, 1e-12) * s.portion(g, x.shape, reduction)
    ),
    d_y=lambda g, x, y, reduction: (
        (s.maximum(s.log1p(-x), -100) - s.maximum(s.log(x), -100))
        * s.portion(g, x.shape, reduction)
    ),
    domain=(0.1, 0.9), cases=REDUCED, public=False, method=False,
)  # fmt: skip
def binary_error(x, y, /, reduction):
    """``-y · log x - (1 - y) · log(1 - x)``, reduced; logarithms are cut off at -100."""
    yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return reduced((y - 1) * no - y * yes, reduction)


# ---------------------------------------------------------------- cross entropy with classes

MODERATE = 30.0  # logits nearer to zero than this have exponentials that float32 can divide


@opaque(
    outputs=("out", "powers", "total"),
    single=True,
    d_x=lambda g, x, target, powers, total, reduction, smoothing: s.cross_entropy_slope(
        g, x, target, powers, total, reduction, smoothing
    ),
    d_target=None,
    uncounted=("target",),
    cases=[
        ((2, 3), np.array([2, 0]), {"reduction": "mean", "smoothing": 0.0}),
        ((2, 3, 2), np.array([[0, 1], [2, 2]]), {"reduction": "none", "smoothing": 0.1}),
        (np.array([[-40.0, 2.0, 1.0]]), np.array([1]), {"reduction": "sum", "smoothing": 0.0}),
    ],
    public=False, method=False,
)  # fmt: skip
def cross_entropy_of_classes(x, target, /, reduction, smoothing):
    """``-log softmax(x)[target]``, reduced; with smoothing, ε of every target goes to all classes.

    Shape: ``(N, C, *)`` and classes ``(N, *)``.  ``powers`` and ``total`` are eˣ and its sum over
    the classes, up to a factor for each row: from them backward has the softmax without another
    exponential.
    """
    places = s.places_of(x.shape, target)
    if x.ndim == 2 and not smoothing and rows.suits(x, 1):
        powers, total, high = rows.powers(x)
        terms = np.log(total) - (np.ravel(x)[places] - high)
        return reduced(terms, reduction), powers, total
    moderate = _is_moderate(x)
    logits = x
    if not moderate:
        logits = np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), order="C")
    if smoothing:
        middle = np.add.reduce(logits, axis=1) / x.dtype.type(x.shape[1])
    if moderate:
        powers = np.exp(x, order="C")
        total = _sum_over_classes(powers)
        terms = np.log(total / powers.ravel()[places])
    else:
        chosen = logits.ravel()[places]
        powers = np.exp(logits, out=logits)
        total = _sum_over_classes(powers)
        terms = np.log(total) - chosen
    if smoothing:
        terms = terms * (1 - smoothing) + (np.log(total) - middle) * smoothing
    return reduced(terms, reduction), powers, total


@opaque(
    d_x=lambda g, x_shape, target, reduction: s.place_classes(g, x_shape, target, reduction),
    d_target=None,
    uncounted=("target",),
    cases=[
        ((2, 3), np.array([2, 0]), {"reduction": "mean"}),
        ((2, 3, 2), np.array([[0, 1], [2, 2]]), {"reduction": "none"}),
    ],
    public=False, method=False,
)  # fmt: skip
def score_of_classes(x, target, /, reduction):
    """``-x[target]``, reduced.

    Shape: ``(N, C, *)`` and classes ``(N, *)``
    """
    return reduced(-np.ravel(x)[s.places_of(x.shape, target)], reduction)


@word
def place_classes(g: Any, shape: tuple[int, ...], target: Any, reduction: str) -> Any:
    """The derivative of `score_of_classes`, which is linear in ``g``."""
    chosen = np.zeros(shape, g.array.dtype)
    chosen.ravel()[s.places_of(shape, target.array)] = -1
    g = s.portion(g, target.shape, reduction)
    return wrap(chosen) * (g.unsqueeze(1) if g.array.ndim else g)


def _is_moderate(x: Array) -> bool:
    """Whether eˣ of all elements can be added up and divided without overflow or underflow.

    Then the row's maximum need not be subtracted: two passes less, and the quotient is as exact.
    """
    if not x.size:
        return False
    if x.size <= BLOCK and x.flags.c_contiguous:  # 0.5 µs for few, where reductions take 1.5
        low, high = x.item(x.argmin()), x.item(x.argmax())
    else:
        low, high = np.minimum.reduce(x, axis=None), np.maximum.reduce(x, axis=None)
    return bool(low > -MODERATE and high < MODERATE)


def _sum_over_classes(powers: Array) -> Array:
    if powers.ndim == 2:
        # A matrix times ones takes a third of the time of np.add.reduce.
        ones = np.empty(powers.shape[1], powers.dtype)
        ones.fill(1)
        return powers.dot(ones)
    return np.add.reduce(powers, axis=1)


@word
def cross_entropy_slope(
    g: Any, x: Any, target: Any, powers: Any, total: Any, reduction: str, smoothing: float
) -> Any:
    """The derivative of `cross_entropy_of_classes`, connected to the tape through ``x``."""
    classes = x.shape[1]
    goal = np.full(x.shape, smoothing / classes, x.array.dtype)
    goal.ravel()[s.places_of(x.shape, target.array)] += 1 - smoothing
    g = s.portion(g, total.shape, reduction)
    return (softmax(x, 1) - wrap(goal)) * (g.unsqueeze(1) if g.array.ndim else g)


# PyTorch's users know these lines of the tape by other names.
for _op, _known in {
    "squared_error": "MseLoss",
    "absolute_error": "Mean",
    "huber_error": "HuberLoss",
    "logistic_error": "BinaryCrossEntropyWithLogits",
    "binary_error": "BinaryCrossEntropy",
    "cross_entropy_of_classes": "NllLoss",
    "score_of_classes": "NllLoss",
}.items():
    registry[_op].backward_name = f"{_known}Backward0"
