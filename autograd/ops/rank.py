"""What has some rank among the elements of an axis: the median, quantiles, the most frequent."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from ..declare import composite
from ..shapes import axis_of
from ..tensor import Tensor, wrap
from .index import where
from .reduce import sum, value_found
from .sort import sort


@composite()
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The ``k``-th smallest along ``dim``, counted from 1, and its index."""
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis] if input.array.ndim else 1
    if not 1 <= k <= n:
        if not n:
            raise IndexError(f"kthvalue(): Expected reduction dim {axis} to have non-zero size.")
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}: {k}")
    return _ranked("kthvalue", input, axis, keepdim, lambda x: np.full(x.shape[:-1], k - 1))


@composite()
def median(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The middle value (the lower of two), of all or with its index along ``dim``; NaN wins."""
    return _middle("median", _lower_middle, input, dim, keepdim)


@composite()
def nanmedian(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """`median` of what is not NaN."""
    return _middle("nanmedian", _lower_middle_of_numbers, input, dim, keepdim)


def _lower_middle(x: Any) -> Any:
    """The rank of the middle along the last axis; NaN is sorted last, and wins."""
    n = x.shape[-1]
    return np.where((x != x).any(-1), n - 1, (n - 1) // 2)


def _lower_middle_of_numbers(x: Any) -> Any:
    return np.maximum((x == x).sum(-1) - 1, 0) // 2


def _middle(name: str, rank: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    if dim is not None:
        axis = axis_of(dim, input.array.ndim)
        if input.array.ndim and not input.array.shape[axis]:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
        return _ranked(name, input, axis, keepdim, rank)
    if not input.array.size:
        return wrap(np.full((), np.nan, input.array.dtype))
    value = _ranked(name, input.detach().reshape(-1), 0, False, rank)[0]
    return shared_value(input, value)


def shared_value(input: Any, value: Any) -> Any:
    """``value``, taken from ``input``; all places that hold it share its gradient."""
    mask = (input == value) | ((input != input) & (value != value))
    return sum(where(mask, input, 0)) / sum(mask) if input.requires_grad else value


def _ranked(name: str, input: Any, axis: int, keepdim: bool, rank: Any) -> Any:
    """The value of some rank along an axis, and its index."""
    x = np.moveaxis(input.array, axis, -1) if input.array.ndim else input.array.reshape(1)
    order = np.argsort(x, axis=-1, kind="stable")
    indices = np.take_along_axis(order, np.asarray(rank(x))[..., None], -1)
    indices = np.moveaxis(indices, -1, axis) if input.array.ndim else indices.reshape(())
    if not keepdim and input.array.ndim:
        indices = indices.squeeze(axis)
    return value_found(name, input, axis, wrap(indices.copy()))


@composite()
def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent value along ``dim`` (the smallest of several), and an index of it."""
    axis = axis_of(dim, input.array.ndim)
    if input.array.ndim and not input.array.shape[axis]:
        raise IndexError(f"mode(): Expected reduction dim {axis} to have non-zero size.")
    return _ranked("mode", input, axis, keepdim, _end_of_the_longest_run)


def _end_of_the_longest_run(x: Any) -> Any:
    """The rank, along the last axis, of the last of the most frequent elements."""
    x = np.sort(x, axis=-1)
    place = np.arange(x.shape[-1])
    new = np.concatenate([np.ones_like(x[..., :1], bool), x[..., 1:] != x[..., :-1]], axis=-1)
    begun = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
    return np.argmax(place - begun, axis=-1)


@composite()
def quantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Any:
    """The values below which the fractions ``q`` of the elements lie; NaN wins.

    Shape: that of a reduction along ``dim``, after an axis for ``q`` where that is a vector.

    >>> import retrograd as rg
    >>> rg.quantile(rg.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    return _quantile("quantile", _last_rank, input, q, dim, keepdim, interpolation)


@composite()
def nanquantile(
    input: Any,
    q: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Any:
    """`quantile` of what is not NaN."""
    return _quantile("nanquantile", _last_rank_of_numbers, input, q, dim, keepdim, interpolation)


def _last_rank(x: Any) -> Any:
    return np.full((*x.shape[:-1], 1), x.shape[-1] - 1, x.dtype), np.isnan(x).any(-1, keepdims=True)


def _last_rank_of_numbers(x: Any) -> Any:
    last = (x == x).sum(-1, keepdims=True).astype(x.dtype) - 1
    return np.maximum(last, 0), last < 0


# How the value between two ranks is found from them and the distance to the lower one.
BETWEEN: dict[str, Any] = {
    "linear": lambda low, high, part: low.lerp(high, part),
    "lower": lambda low, high, part: low,
    "higher": lambda low, high, part: high,
    "midpoint": lambda low, high, part: low.lerp(high, part.ceil() * 0.5),
    "nearest": None,  # decided on the ranks: halves go to the even one
}


def _quantile(
    name: str, last_rank: Any, input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str
) -> Any:
    q = _fractions(name, input, q, interpolation)
    axis = None if dim is None else axis_of(dim, input.array.ndim)
    if not input.array.size:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    flat = axis is None or not input.array.ndim
    x = input.reshape(-1) if flat else input.movedim(axis, -1)
    last, spoiled = last_rank(x.array)
    ranks = where(wrap(spoiled), wrap(last), q.reshape(-1) * wrap(last))  # (*, number of fractions)
    ordered = sort(x, -1)[0]
    if interpolation == "nearest":
        out = ordered.gather(-1, ranks.round().long())
    else:
        low, high = ranks.detach().floor(), ranks.detach().ceil()
        ends = ordered.gather(-1, low.long()), ordered.gather(-1, high.long())
        out = BETWEEN[interpolation](*ends, ranks - low)
    if keepdim:
        ones = (1,) * input.array.ndim
        out = out.reshape(*ones, -1) if flat else out.unsqueeze(axis)
    return out.movedim(-1, 0) if q.array.ndim else out.squeeze(-1)


def _fractions(name: str, input: Any, q: Any, interpolation: str) -> Any:
    """``q`` as a tensor, after all complaints about the arguments."""
    if input.dtype not in (dt.float32, dt.float64):
        raise RuntimeError(
            f"{name}() input tensor must be either float or double dtype, not {input.dtype}"
        )
    if not isinstance(q, Tensor):
        q = wrap(np.asarray(q, input.array.dtype))
    if q.array.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor, not {q.array.ndim}D")
    if q.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}() q tensor must be same dtype as the input tensor: {q.dtype}, {input.dtype}"
        )
    if not ((q.array >= 0) & (q.array <= 1)).all():
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q.tolist()}")
    if interpolation not in BETWEEN:
        raise RuntimeError(
            f"{name}() interpolation must be one of {', '.join(BETWEEN)}, but got {interpolation}"
        )
    return q
