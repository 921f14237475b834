"""Gradients that wait on the tape for others of their kind, in less memory than they stand for.

A loop over a recurrent cell uses its weights once a step, and each use has a gradient ``gᵀ x`` as
large as the weights, of two factors that are small.  It takes a row of its input at each step, and
the gradient of each is as large as the whole input, and zero but for that row.  To make and add up
all of these costs more than the rest of the step.  So a leaf's gradient may be a `Product`, which
holds factors, or a `Part`: where two products meet, rows go below rows, and what many rows give is
one product; a part is added to where it belongs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import scalar
from .machine import place_of
from .shapes import sum_to

Array = np.ndarray[Any, Any]

ROWS = 2048  # of factors that are held; so many make a product that is worth its sum
LARGE = 4096  # elements; fewer zeros are made sooner than avoided


class Deferred:
    """A gradient that is an array when somebody wants to know it."""

    __slots__ = ()

    shape = None  # the walk looks closer at what has no shape

    def value(self) -> Array:
        """The gradient as an array of its own."""
        raise NotImplementedError

    def add_to(self, total: Array) -> None:
        """Add the gradient to an array."""
        np.add(total, self.value(), total)

    def __add__(self, other: Any) -> Any:
        return self.value() + other

    def __array_ufunc__(
        self, ufunc: Any, method: str, *operands: Any, out: Any = (None,), **options: Any
    ) -> Any:
        if ufunc is np.add and out[0] is operands[0] is not None:
            self.add_to(out[0])
            return out[0]
        return getattr(ufunc, method)(*settled(operands), out=out, **options)


class Product(Deferred):
    """``leftᵀ right``."""

    __slots__ = ("lefts", "rights", "rows", "total")

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
        """The product as an array."""
        if self.lefts:
            # The walk goes back in time, and steps lie in memory as they were made.
            left, right = below(self.lefts[::-1]), below(self.rights[::-1])
            product = scalar.matmul(left.T, right)
            self.total = product if self.total is None else np.add(self.total, product, self.total)
            self.lefts, self.rights, self.rows = [], [], 0
        assert self.total is not None
        return self.total


class Rows(Deferred):
    """The sum of rows."""

    __slots__ = ("count", "pieces", "total")

    def __init__(self, g: Array):
        self.pieces = [g]
        self.count = len(g)
        self.total: Array | None = None  # of rows that were added up already

    def __add__(self, other: Any) -> Any:
        if type(other) is not Rows:
            return self.value() + other
        self.pieces += other.pieces
        self.count += other.count
        if self.count >= ROWS:
            self.value()
        return self

    def value(self) -> Array:
        """The sum as an array."""
        if self.pieces:
            rows = below(self.pieces[::-1])
            added = sum_to(rows, rows.shape[1:])
            self.total = added if self.total is None else np.add(self.total, added, self.total)
            self.pieces, self.count = [], 0
        assert self.total is not None
        return self.total


class Part(Deferred):
    """Zeros, and ``g`` where ``key`` points."""

    __slots__ = ("g", "key", "whole")

    def __init__(self, g: Array, whole: tuple[int, ...], key: Any):
        self.g = g
        self.whole = whole
        self.key = key

    def __add__(self, other: Any) -> Any:
        total = self.value()
        total += other
        return total

    def value(self) -> Array:
        """The zeros with the part."""
        return scalar.unindex(self.g, self.whole, self.key)

    def add_to(self, total: Array) -> None:
        """Add the part alone."""
        total[self.key] += self.g


def cut(g: Any, n: int) -> tuple[Array, Array | None]:
    """The first ``n`` rows of a gradient and the others, which are None where they are zeros."""
    if type(g) is Part:
        first, whole = g.key[0], g.whole
        rows = first.indices(whole[0]) if isinstance(first, slice) else None
        if rows == (0, n, 1) and g.g.shape == (n, *whole[1:]):
            return g.g, None
        g = g.value()
    return g[:n], g[n:]


def below(pieces: list[Array]) -> Array:
    """Matrices one below the other: no copy is made where they lie so in memory."""
    first, count = pieces[0], len(pieces)
    if count == 1:
        return first
    whole, shape, strides, size = first.base, first.shape, first.strides, first.nbytes
    if type(whole) is not np.ndarray or whole.dtype is not first.dtype:
        return np.concatenate(pieces)
    if not (whole.flags.c_contiguous and first.flags.c_contiguous):
        return np.concatenate(pieces)
    place = begin = place_of(first)
    for p in pieces:
        if p.base is not whole or p.shape != shape or p.strides != strides or place_of(p) != place:
            return np.concatenate(pieces)
        place += size
    start = (begin - place_of(whole)) // first.itemsize
    flat = whole.reshape(-1)[start : start + count * first.size]
    return flat.reshape(count * len(first), *shape[1:])


def settled(ds: Any) -> tuple[Any, ...]:
    """Gradients for someone who looks at them: arrays all."""
    return tuple(d.value() if isinstance(d, Deferred) else d for d in ds)


def rows_product(left: Array, right: Array) -> Any:
    """``leftᵀ right``, as a `Product` where both factors take less memory than what they give."""
    rows, m = left.shape
    n = right.shape[1]
    if rows * (m + n) < m * n:
        return Product(left, right)
    return scalar.matmul(left.T, right)


def rows_sum(g: Array) -> Any:
    """The sum of rows, as a `Rows` where many may meet."""
    return Rows(g) if len(g) * 8 <= ROWS else sum_to(g, g.shape[1:])


def part_of(g: Array, shape: tuple[int, ...], key: Any) -> Any:
    """`scalar.unindex` for ints and slices, as a `Part` unless it is small."""
    if g.shape == shape:  # all of it, and in order, for steps go forwards
        return g
    return (Part if math.prod(shape) >= LARGE else scalar.unindex)(g, shape, key)
