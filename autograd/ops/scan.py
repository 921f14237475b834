"""Scans along one axis: totals, products and extremes so far, and differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import scalar as s
from ..declare import composite, opaque, word
from ..shapes import axis_of
from ..tensor import wrap
from .arithmetic import sub
from .compare import logical_xor
from .join import cat, stack
from .result import named


@opaque(
    d_x=lambda g, dim: s.flip(s.cumsum(s.flip(g, (dim,)), dim), (dim,)),
    cases=[((2, 3), {"dim": 1}), ((4,), {"dim": 0})],
    public=False,
    method=False,
)
def running_sum(x, /, dim):
    """Totals so far along ``dim``."""
    return np.add.accumulate(x, dim, x.dtype) if x.ndim else x.copy()


@opaque(
    d_x=lambda g, x, out, dim: s.uncumprod(g, x, out, dim),
    cases=[((2, 3), {"dim": 1}), ((4,), {"dim": 0})],
    public=False,
    method=False,
)
def running_product(x, /, dim):
    """Products so far along ``dim``."""
    return np.multiply.accumulate(x, dim, x.dtype) if x.ndim else x.copy()


def _summable(input: Any, dtype: Any) -> Any:
    """In the type that totals are kept in: int64 for integers and truth values."""
    if dtype is not None:
        return input.to(dtype)
    return input if input.dtype.category >= dt.FLOAT else input.to(dt.int64)


@composite(inplace=True)
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Totals so far along ``dim``."""
    return running_sum(_summable(input, dtype), dim)


@composite(inplace=True)
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Products so far along ``dim``; the gradient is right at zeros too."""
    return running_product(_summable(input, dtype), dim)


@composite()
def cummax(input: Any, dim: int) -> Any:
    """Largest so far along ``dim``, and where it was found (the last place of several)."""
    return _running_extreme("cummax", np.maximum, input, dim)


@composite()
def cummin(input: Any, dim: int) -> Any:
    """Smallest so far along ``dim``, and where it was found (the last place of several)."""
    return _running_extreme("cummin", np.minimum, input, dim)


def _running_extreme(name: str, ufunc: np.ufunc, input: Any, dim: int) -> Any:
    axis, x = axis_of(dim, input.array.ndim), input.array
    if not x.ndim:
        return named(name)((input.clone(), wrap(np.zeros((), np.int64))))
    found = (x == ufunc.accumulate(x, axis=axis)) | (x != x)
    place = np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    indices = wrap(np.maximum.accumulate(np.where(found, place, 0), axis=axis))
    return named(name)((input.gather(axis, indices), indices))


@composite()
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each entry of an axis minus the one before it, ``n`` times over."""
    if not input.array.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    axis = axis_of(dim, input.array.ndim)
    if n == 0:
        return input.clone()
    parts = [part for part in (prepend, input, append) if part is not None]
    out = cat(parts, axis) if len(parts) > 1 else input
    subtract = logical_xor if out.dtype is dt.bool_ else sub
    for _ in range(min(n, out.array.shape[axis])):
        m = out.array.shape[axis] - 1
        out = subtract(out.narrow(axis, 1, m), out.narrow(axis, 0, m))
    return out


@word
def uncumprod(g: Any, x: Any, out: Any, dim: int) -> Any:
    """The gradient of a running product, right at zeros too."""
    if not x.array.ndim:
        return g
    if x.array.all():
        return (g * out).flip(dim).cumsum(dim).flip(dim) / x
    gs, xs = g.unbind(dim), x.unbind(dim)
    later, parts = gs[-1], [gs[-1]]
    for k in range(len(xs) - 2, -1, -1):
        later = gs[k] + xs[k + 1] * later
        parts.append(later)
    before = cat(
        [xs[0].unsqueeze(dim) * 0 + 1, running_product(x, dim).narrow(dim, 0, len(xs) - 1)], dim
    )
    return before * stack(parts[::-1], dim)
