"""Order: sorting, the largest and smallest, distinct values, and search in what is sorted.

Positions are computed on arrays; the values are then taken from the tensor by those positions, so
gradients flow to where the values came from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from ..declare import composite
from ..shapes import axis_of
from ..tensor import Tensor, wrap
from .gather import gather
from .result import Named, named

Array = np.ndarray[Any, Any]


def _order(array: Array, axis: int, descending: bool) -> Array:
    """The positions that sort ``array``; equal values stay in order, NaN is the largest."""
    if not array.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(array, axis=axis, kind="stable")
    # Sorted upwards from the back, then read backwards: equal values are in order again.
    turned = np.argsort(np.flip(array, axis), axis=axis, kind="stable")
    return np.ascontiguousarray(array.shape[axis] - 1 - np.flip(turned, axis))


def _taken(name: str, input: Any, axis: int, positions: Array) -> Named:
    indices = wrap(positions)
    return named(name)((gather(input, axis, indices), indices))


def _refuse_complex(name: str, input: Any) -> None:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if input.is_complex():
        raise RuntimeError(f"{name}(): complex numbers have no order; sort .abs() or .real")


@composite()
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) in order along ``dim``; equal values keep their order.

    >>> import retrograd as rg
    >>> rg.tensor([3, 1, 2]).sort().values
    tensor([1, 2, 3])
    """
    _refuse_complex("sort", input)
    axis = axis_of(dim, input.array.ndim)
    return _taken("sort", input, axis, _order(dt.widen(input.array), axis, descending))


@composite()
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices of `sort`."""
    _refuse_complex("argsort", input)
    axis = axis_of(dim, input.array.ndim)
    return wrap(_order(dt.widen(input.array), axis, descending))


@composite()
def msort(input: Any) -> Any:
    """The values of `sort` along the first axis."""
    return sort(input, 0).values


@composite()
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the ``k`` largest, or smallest, along ``dim``, best first."""
    _refuse_complex("topk", input)
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis] if input.array.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"selected index k out of range: k is {k}, dimension {axis} has {n}")
    if not input.array.ndim:
        return _taken("topk", input, axis, np.zeros((), np.int64))
    return _taken("topk", input, axis, _best(dt.widen(input.array), axis, k, largest))


def _best(array: Array, axis: int, k: int, largest: bool) -> Array:
    """Positions of the best ``k``: if few, found by partition and then sorted."""
    n = array.shape[axis]
    if 8 * k > n or array.dtype.kind == "b":
        return _order(array, axis, largest).take(np.arange(k), axis)
    part = np.argpartition(array, n - k if largest else k, axis=axis)
    part = part.take(np.arange(n - k, n) if largest else np.arange(k), axis)
    found = np.take_along_axis(array, part, axis)
    return np.take_along_axis(part, _order(found, axis, largest), axis)


@composite()
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the ``k``-th smallest along ``dim``; ``k`` counts from 1."""
    _refuse_complex("kthvalue", input)
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis] if input.array.ndim else 1
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    if not input.array.ndim:
        return _taken("kthvalue", input, axis, np.zeros((), np.int64))
    values, indices = _taken(
        "kthvalue", input, axis, _order(dt.widen(input.array), axis, False).take([k - 1], axis)
    )
    if not keepdim:
        values, indices = values.squeeze(axis), indices.squeeze(axis)
    return named("kthvalue")((values, indices))


# ---------------------------------------------------------------- distinct values


@composite()
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct values in order; with ``dim`` the distinct entries of that axis.

    ``return_inverse`` adds where each element went, ``return_counts`` how often each value came.
    """
    array = input.array if dim is None else _entries(input, dim)
    values, inverse, counts = _distinct(array, dim, return_inverse, return_counts)
    if dim is None:
        inverse = inverse.reshape(array.shape)
    return _asked_for(values, inverse, counts, return_inverse, return_counts)


def _entries(input: Any, dim: int) -> Array:
    array: Array = input.array
    axis = axis_of(dim, array.ndim)
    if array.size == 0 and array.ndim and array.shape[axis]:
        raise RuntimeError(
            f"There are 0 sized dimensions in {list(array.shape)}, and they aren't selected, so "
            "unique cannot be applied"
        )
    return array if array.ndim else array.reshape(1)


def _distinct(array: Array, dim: int | None, inverse: bool, counts: bool) -> tuple[Any, Any, Any]:
    flat = array.reshape(-1) if dim is None else array
    return np.unique(flat, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)


def _asked_for(values: Any, inverse: Any, counts: Any, *wanted: bool) -> Any:
    extra = [wrap(a) for a, w in zip((inverse, counts), wanted, strict=True) if w]
    return (wrap(values), *extra) if extra else wrap(values)


@composite()
def unique_consecutive(
    input: Any,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Every run of equal values (with ``dim`` of equal entries) as one."""
    array = input.array.reshape(-1) if dim is None else _entries(input, dim)
    axis = 0 if dim is None else axis_of(dim, array.ndim)
    rows = np.moveaxis(array, axis, 0)
    n = len(rows)
    starts = np.ones(n, bool)
    if n:
        starts[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, rows[0].size).any(1)
    inverse = np.cumsum(starts) - 1
    if dim is None:
        inverse = inverse.reshape(input.array.shape)
    first = np.flatnonzero(starts)
    counts = np.diff(np.append(first, n))
    values = np.ascontiguousarray(array.take(first, axis))
    return _asked_for(values, inverse, counts, return_inverse, return_counts)


@composite()
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    """Whether each element is among the test elements."""
    arrays = [
        x.array if isinstance(x, Tensor) else np.asarray(x) for x in (elements, test_elements)
    ]
    return wrap(np.asarray(np.isin(arrays[0], arrays[1], assume_unique, invert)))


# ---------------------------------------------------------------- search


@composite(method=False)
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each value would be put into the sorted last axis, so that it stays sorted.

    A value goes before its equals, or behind them with ``right=True``.

    Shape: ``(*, n), (*, m) → (*, m)``; a vector of boundaries serves all values.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("side and right can't be set to opposites, got side of left and right")
    if sorter is not None and sorter.dtype is not dt.int64:
        raise RuntimeError(f"sorter must be a tensor of long ints, but got dtype {sorter.dtype}")
    if sorter is not None and sorter.array.shape != sorted_sequence.array.shape:
        raise RuntimeError(
            "boundary and sorter must have the same size, but got boundary tensor "
            f"{list(sorted_sequence.shape)} and got sorter tensor {list(sorter.shape)}"
        )
    bounds = dt.widen(sorted_sequence.array)
    if not bounds.ndim:
        raise RuntimeError("boundaries tensor must have positive dimension, got a 0-dim tensor")
    if sorter is not None:
        places = sorter.array
        if places.size and not (places.min() >= 0 and places.max() < bounds.shape[-1]):
            raise RuntimeError("torch.searchsorted(): sorter index out of range")
        bounds = np.take_along_axis(bounds, places, -1)
    values = dt.widen(input.array) if isinstance(input, Tensor) else np.asarray(input)
    if bounds.ndim > 1 and (bounds.ndim != values.ndim or bounds.shape[:-1] != values.shape[:-1]):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(bounds.shape)} and input value tensor {list(values.shape)}"
        )
    where = "right" if right or side == "right" else "left"
    if bounds.ndim == 1:
        found = np.searchsorted(bounds, values, where)
    else:
        found = np.empty(values.shape, np.int64)
        for row in np.ndindex(bounds.shape[:-1]):
            found[row] = np.searchsorted(bounds[row], values[row], where)
    return wrap(np.asarray(found, np.int32 if out_int32 else np.int64))


@composite(method=False)
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The number of the bucket each value falls into, between sorted boundaries."""
    if boundaries.array.ndim != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries.array.ndim})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
