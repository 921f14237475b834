"""Reductions: many elements to one, along one axis, several, or all."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import scalar as s
from ..declare import composite, opaque, reduction, word
from ..shapes import axis_of
from ..tensor import Tensor, wrap
from .arithmetic import maximum, minimum
from .index import pick, places_along, where
from .result import named

ALONG = (((2, 3), {}), ((2, 3), {"dim": 1}), ((2, 3, 2), {"dim": (0, 2), "keepdim": True}))


@reduction(
    ints="int64",
    d_x=lambda g, x_shape, dim, keepdim: s.spread(g, x_shape, dim, keepdim),
    cases=ALONG,
)
def sum(x, /, dim=None, keepdim=False, *, dtype=None):
    """Total along ``dim`` (all axes by default).

    Shape: ``(*, n, *) → (*, *)``, or ``(*, 1, *)`` with ``keepdim``.
    """
    if dim is None and not keepdim:  # into an array: of a scalar, NumPy would have to make one
        return np.add.reduce(x, None, None, np.empty((), x.dtype)) if x.ndim else x.copy()
    if keepdim and dim is not None and len(dim) == 1 and x.shape[dim[0]] == 1:
        return x.copy()  # in a third of the time of a reduction
    return np.add.reduce(x, dim, x.dtype, None, keepdim)


@reduction(
    ints="refuse",
    d_x=lambda g, x_shape, dim, keepdim: s.spread(g / s.count(x_shape, dim), x_shape, dim, keepdim),
    cases=ALONG,
)
def mean(x, /, dim=None, keepdim=False, *, dtype=None):
    """Average along ``dim``.

    Shape: ``(*, n, *) → (*, *)``, or ``(*, 1, *)`` with ``keepdim``.
    """
    n = x.size if dim is None else s.count(x.shape, dim)
    return np.add.reduce(x, dim, x.dtype, None, keepdim) / x.dtype.type(n)


@reduction(
    d_x=lambda g, x, out, dim, keepdim: s.share(
        g, s.like(x == s.spread(out, x.shape, dim, keepdim), g), dim, keepdim
    ),
    cases=ALONG,
)
def amax(x, /, dim=(), keepdim=False):
    """Largest along ``dim``; ties share the gradient."""
    return _extreme("amax", np.maximum, x, dim, keepdim)


@reduction(
    d_x=lambda g, x, out, dim, keepdim: s.share(
        g, s.like(x == s.spread(out, x.shape, dim, keepdim), g), dim, keepdim
    ),
    cases=ALONG,
)
def amin(x, /, dim=(), keepdim=False):
    """Smallest along ``dim``; ties share the gradient."""
    return _extreme("amin", np.minimum, x, dim, keepdim)


def _extreme(name: str, ufunc: np.ufunc, x: Any, dim: Any, keepdim: bool) -> Any:
    axes = range(x.ndim) if dim is None else dim
    if dim is None and not x.size:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
            "the reduction dim with the 'dim' argument."
        )
    if builtins.any(x.shape[axis] == 0 for axis in axes):
        raise IndexError(
            f"{name}(): Expected reduction dim to have non-zero size, but the input has shape "
            f"{list(x.shape)}"
        )
    return ufunc.reduce(x, axis=dim, keepdims=keepdim)


@reduction(
    ints="float",
    d_x=lambda g, x, out, dim, keepdim: (
        s.spread(g, x.shape, dim, keepdim)
        * s.exp(x - s.finite(s.spread(out, x.shape, dim, keepdim)))
    ),
    cases=(((2, 3), {"dim": 1}), ((2, 3, 2), {"dim": (0, 2), "keepdim": True})),
)
def logsumexp(x, /, dim, keepdim=False):
    """``log Σ eˣ`` along ``dim``, without overflow."""
    if not x.size:
        return np.log(np.add.reduce(x, axis=dim, keepdims=keepdim))
    high = np.maximum.reduce(x, axis=dim, keepdims=True)
    high = np.where(np.isfinite(high), high, 0)
    total = np.log(np.add.reduce(np.exp(x - high), axis=dim, keepdims=keepdim))
    return total + (high if keepdim else high.reshape(total.shape))


@reduction(
    ints="refuse",
    d_x=lambda g, x, dim, correction, keepdim: (
        s.spread(g, x.shape, dim, keepdim)
        * (x - s.mean(x, dim, True))
        * (2 * s.inverse(s.at_least_zero(s.count(x.shape, dim) - correction)))
    ),
    cases=(
        ((2, 3), {}),
        ((2, 3), {"dim": 1}),
        ((2, 3), {"dim": 0, "correction": 0, "keepdim": True}),
    ),
    method=False,
    public=False,
)
def variance(x, /, dim=None, correction=1, keepdim=False):
    """``Σ (x - mean)² / (n - correction)`` along ``dim``."""
    n = s.count(x.shape, dim)
    off = x - np.add.reduce(x, axis=dim, keepdims=True) / x.dtype.type(n or 1)
    total = np.add.reduce(off * off, axis=dim, keepdims=keepdim)
    return total / x.dtype.type(s.at_least_zero(n - correction))


@reduction(
    ints="int64",
    d_x=lambda g, x, out, dim, keepdim: (
        s.spread(g, x.shape, dim, keepdim) * s.product_of_others(x, dim)
    ),
    cases=(((2, 3), {}), ((2, 3), {"dim": 1}), ((2, 3, 2), {"dim": -2, "keepdim": True})),
    method=False,
    public=False,
)
def product(x, /, dim=None, keepdim=False, *, dtype=None):
    """Product along ``dim``."""
    return np.multiply.reduce(x, dim, x.dtype, None, keepdim)


@composite()
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Product of all elements, or along one axis."""
    return product(input, dim, keepdim, dtype=dtype)


@opaque(d_x=None, cases=[((2, 3), {"dim": 1})], public=False, method=False)
def position_of_max(x, /, dim=None, keepdim=False):
    """Index of the first largest element."""
    return x.argmax(dim, keepdims=keepdim)  # np.argmax takes 0.7 µs more to do so


@opaque(d_x=None, cases=[((2, 3), {"dim": 1})], public=False, method=False)
def position_of_min(x, /, dim=None, keepdim=False):
    """Index of the first smallest element."""
    return x.argmin(dim, keepdims=keepdim)


@composite()
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Index of the largest element: in the flattened tensor, or along ``dim``."""
    return _position("argmax", position_of_max, input, dim, keepdim)


@composite()
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Index of the smallest element: in the flattened tensor, or along ``dim``."""
    return _position("argmin", position_of_min, input, dim, keepdim)


def _position(name: str, op: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
    shape = input.array.shape
    if dim is None:
        if not input.array.size:
            raise IndexError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
            )
        return op(input, None, keepdim)
    if not shape:
        return op(input.reshape(1), dim).reshape(())
    if shape[axis_of(dim, len(shape))] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return op(input, dim, keepdim)


def _extreme_along(name: str, position: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    return value_found(name, input, dim, _position(name, position, input, dim, keepdim))


def value_found(name: str, input: Any, dim: int, indices: Any) -> Any:
    """What stands at ``indices`` along ``dim``, and the indices, which may lack that axis."""
    ndim = input.array.ndim
    if not ndim:
        return named(name)((input.clone(), indices))
    values = pick(input, places_along(axis_of(dim, ndim), indices.array.copy(), ndim))
    return named(name)((values, indices))


@composite()
def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Largest of all; along ``dim`` (values, indices); with a tensor, `maximum` of the two."""
    if isinstance(dim, Tensor) or not isinstance(input, Tensor):
        return maximum(input, dim)
    if dim is None:
        return _extreme_of_all("max", amax, input)
    return _extreme_along("max", position_of_max, input, dim, keepdim)


@composite()
def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Smallest of all; along ``dim`` (values, indices); with a tensor, `minimum` of the two."""
    if isinstance(dim, Tensor) or not isinstance(input, Tensor):
        return minimum(input, dim)
    if dim is None:
        return _extreme_of_all("min", amin, input)
    return _extreme_along("min", position_of_min, input, dim, keepdim)


def _extreme_of_all(name: str, op: Any, input: Any) -> Any:
    if not input.numel():
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    return op(input)


def _correction(unbiased: Any, correction: Any, dim: Any) -> tuple[Any, float]:
    """PyTorch's two ways to say what is subtracted from the count; ``var(unbiased)`` is a third."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    return dim, 1 if correction is None else correction


@composite()
def var(
    input: Any,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    """Variance along ``dim``, divided by ``n - correction`` (1)."""
    dim, correction = _correction(unbiased, correction, dim)
    return variance(input, dim, correction, keepdim)


@composite()
def std(
    input: Any,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    """Standard deviation: the square root of `var`."""
    dim, correction = _correction(unbiased, correction, dim)
    return root(variance(input, dim, correction, keepdim))


@opaque(
    d_x=lambda g, out: s.where(out == 0, 0, g / (2 * out)),
    domain=(0.1, 3.0),
    method=False,
    public=False,
)
def root(x, /):
    """√x whose gradient is zero at zero, as a standard deviation's and a norm's must be."""
    return np.sqrt(x)


@composite()
def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    """Variance and mean."""
    dim, correction = _correction(unbiased, correction, dim)
    return variance(input, dim, correction, keepdim), mean(input, dim, keepdim)


@composite()
def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    """Standard deviation and mean."""
    dim, correction = _correction(unbiased, correction, dim)
    return root(variance(input, dim, correction, keepdim)), mean(input, dim, keepdim)


@reduction(d_x=None, cases=ALONG)
def all(x, /, dim=None, keepdim=False):
    """Whether every element is nonzero."""
    out = np.logical_and.reduce(x, axis=dim, keepdims=keepdim)
    return out.astype(np.uint8) if x.dtype == np.uint8 else out


@reduction(d_x=None, cases=ALONG)
def any(x, /, dim=None, keepdim=False):
    """Whether any element is nonzero."""
    out = np.logical_or.reduce(x, axis=dim, keepdims=keepdim)
    return out.astype(np.uint8) if x.dtype == np.uint8 else out


@composite()
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    """Smallest and largest, of all or along ``dim``; ties share the gradient."""
    if dim is None and not input.array.size:
        raise RuntimeError("aminmax(): cannot compute aminmax over an empty dimension")
    axes = () if dim is None else dim
    return named("aminmax", "min", "max")((amin(input, axes, keepdim), amax(input, axes, keepdim)))


# ---------------------------------------------------------------- without NaN


@composite()
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """`sum` of what is not NaN."""
    return sum(where(input.isnan(), 0, input), dim, keepdim, dtype=dtype)


@composite()
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """`mean` of what is not NaN."""
    _check_floating("nanmean", input)
    present = input.isnan().logical_not().sum(dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / present


def _check_floating(name: str, input: Any) -> None:
    if input.dtype.category < dt.FLOAT:
        raise RuntimeError(
            f"{name}(): Expected a floating point or complex tensor as input. Got {input.dtype}; "
            "convert it with .float()"
        )


# ---------------------------------------------------------------- norms


@reduction(
    ints="refuse",
    d_x=lambda g, x, out, dim, keepdim: (
        x * s.spread(s.where(out == 0, 0, g / out), x.shape, dim, keepdim)
    ),
    cases=ALONG,
    method=False,
    public=False,
)
def length(x, /, dim=None, keepdim=False):
    """``√Σ x²`` along ``dim``; the slope at zero is taken as zero."""
    return np.sqrt(np.add.reduce(x * x, axis=dim, keepdims=keepdim))


@reduction(
    ints="refuse",
    d_x=lambda g, x, out, p, dim, keepdim: (
        s.where(x == 0, 0, s.sign(x) * s.abs(x) ** (p - 1))
        * s.spread(s.where(out == 0, 0, g / out ** (p - 1)), x.shape, dim, keepdim)
    ),
    cases=[((2, 3), {"p": 3.0}), ((2, 3), {"p": 1.5, "dim": 1, "keepdim": True})],
    method=False,
    public=False,
)
def power_norm(x, /, p, dim=None, keepdim=False):
    """``(Σ |x|ᵖ)^(1/p)`` along ``dim``; the slope at zero is taken as zero."""
    return np.add.reduce(np.abs(x) ** p, axis=dim, keepdims=keepdim) ** (1 / p)


@composite(method=False, public=False)
def vector_norm(
    x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """``(Σ |x|ᵖ)^(1/p)`` with ``p = ord``; ±inf stands for the largest and smallest, 0 counts.

    Raises `RuntimeError` for integers, and for a norm of nothing that has no value.
    """
    _check_floating("linalg.vector_norm", x)
    x = x if dtype is None else x.to(dtype)
    dim = None if dim == () else dim
    if not x.array.size and (ord < 0 or ord == float("inf")):
        axes = (
            range(x.array.ndim) if dim is None else dim if isinstance(dim, (list, tuple)) else [dim]
        )
        if not builtins.all(x.array.shape[a] for a in axes):
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
                "operation does not have an identity"
            )
    if ord == 2:
        return length(x, dim, keepdim)
    if ord == 0:
        return sum(where(x == 0, 0, x**0), dim, keepdim)
    if ord == 1:
        return sum(x.abs(), dim, keepdim)
    if ord in (float("inf"), float("-inf")):
        return (amax if ord > 0 else amin)(x.abs(), () if dim is None else dim, keepdim)
    return power_norm(x, ord, dim, keepdim)


@composite()
def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """The norm of all elements, or along ``dim``: Euclidean, or the ``p``-norm.

    >>> import retrograd as rg
    >>> rg.tensor([3.0, 4.0]).norm()
    tensor(5.)
    """
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"only valid norms here are numbers and 'fro', not {p!r}")
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


@composite()
def dist(input: Any, other: Any, p: Any = 2) -> Any:
    """The `norm` of the difference."""
    return norm(input - other, p)


# ---------------------------------------------------------------- what only derivatives need


@opaque(
    d_x=lambda g, over, keepdim: s.sum(g, over, keepdim),
    cases=[((2,), {"shape": (2, 3), "over": (1,), "keepdim": False})],
    public=False,
    method=False,
)
def spread(x, /, shape, over, keepdim):
    """The gradient of a reduction over the axes ``over``, stretched back to ``shape``."""
    return s.spread(x, shape, over, keepdim)


@word
def share(g: Any, mask: Any, dim: Any, keepdim: bool) -> Any:
    """A gradient divided evenly among the places that ``mask`` marks with ones."""
    part = g / sum(mask, dim, keepdim)
    return spread(part, mask.shape, dim, keepdim) * mask


@word
def product_of_others(x: Any, dim: Any) -> Any:
    """For each element the product of all the others along ``dim``: right at zeros too.

    Written as products over a square, so that it can be differentiated again.
    """
    if dim is None:
        return product_of_others(x.reshape(-1), (0,)).reshape(x.shape)
    (axis,) = dim
    n = x.shape[axis] if x.ndim else 1
    if not x.ndim:
        return x * 0 + 1
    rows = x.movedim(axis, -1).unsqueeze(-2).expand(*_moved_shape(x, axis), n, n)
    square = where(wrap(np.eye(n, dtype=bool)), 1.0, rows)
    return product(square, -1).movedim(-1, axis)


@word
def finite(x: Any) -> Any:
    """Infinities as zeros: ``x - x`` would be NaN for them."""
    return where(x - x == 0, x, 0)


def _moved_shape(x: Any, axis: int) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(x.shape) if i != axis)
