"""Gradients of a weight that many steps share: one matrix product over all of them.

A loop over a recurrent cell uses its weights once a step, and each use has a gradient ``gᵀ x`` as
large as the weights, of two factors that are small.  Adding up such products costs more than the
rest of the step.  So a leaf's gradient may wait on the tape as its factors: where two meet, rows go
below rows, and what many rows give is one product.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import scalar

Array = np.ndarray[Any, Any]

ROWS = 1024  # of factors that are held; so many make a product that is worth its sum


class Product:
    """``leftᵀ right``, computed when somebody wants to know it."""

    __slots__ = ("lefts", "rights", "rows", "total")

    shape = None  # the walk looks closer at what has no shape

    def __init__(self, left: Array, right: Array):
        self.lefts = [left]
        self.rights = [right]
        self.rows = len(left)
        self.total: Array | None = None  # of factors that were multiplied already

    def __add__(self, other: Any) -> Any:
        if type(other) is not Product:
            return self.value() + other
        self.lefts += other.lefts
        self.rights += other.rights
        self.rows += other.rows
        if self.rows >= ROWS:
            self.value()
        return self

    def value(self) -> Array:
        """The product as an array, which may be added to."""
        if self.lefts:
            several = len(self.lefts) > 1
            left = np.concatenate(self.lefts) if several else self.lefts[0]
            right = np.concatenate(self.rights) if several else self.rights[0]
            product = scalar.matmul(left.T, right)
            self.total = product if self.total is None else np.add(self.total, product, self.total)
            self.lefts, self.rights, self.rows = [], [], 0
        assert self.total is not None
        return self.total

    def due(self, leaf: bool) -> Any:
        """What an input is handed: a leaf can wait, an op computes with the array."""
        return self if leaf else self.value()

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        arrays = [x.value() if type(x) is Product else x for x in operands]
        return getattr(ufunc, method)(*arrays, **options)


def settled(ds: Any) -> tuple[Any, ...]:
    """Gradients for someone who looks at them: arrays all."""
    return tuple(d.value() if type(d) is Product else d for d in ds)


def rows_product(left: Array, right: Array) -> Any:
    """``leftᵀ right``, as a `Product` where both factors take less memory than what they give."""
    rows, m = left.shape
    n = right.shape[1]
    if rows * (m + n) < m * n:
        return Product(left, right)
    return scalar.matmul(left.T, right)
