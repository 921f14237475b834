"""The words of the rules.

A rule is written with Python's operators and the names below, and with nothing else.  Here each
name has its array meaning, so a rule runs on NumPy arrays exactly as it is written.  Other
meanings are given to the same rule elsewhere: tensor functions of the same names (`op.Words`) and
text (`printer.Words`).

First the scalar words, which work element by element and exist in every reading; then words of
structure, which exist for arrays and tensors.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy import (
    abs,
    ceil,
    copysign,
    cos,
    cosh,
    exp,
    exp2,
    expm1,
    floor,
    hypot,
    isnan,
    log,
    log1p,
    log2,
    log10,
    maximum,
    minimum,
    ndarray,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
)
from numpy import arccos as acos
from numpy import arccosh as acosh
from numpy import arcsin as asin
from numpy import arcsinh as asinh
from numpy import arctan as atan
from numpy import arctan2 as atan2
from numpy import arctanh as atanh

from . import dtypes as dt
from . import shapes
from .scores import log_softmax_slope, scaled_rows, softmax_slope
from .shapes import expand, sum_to

Array = np.ndarray[Any, Any]
Region = tuple[tuple[Any, ...], Any]  # steps of views, then an index or None: part of an array

SCALAR_WORDS = (
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "copysign"),
    *("cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "floor", "floor_divide", "fmod"),
    *("hypot", "isnan", "log", "log10", "log1p", "log2", "maximum", "minimum", "pow", "remainder"),
    *("round", "shift_left", "shift_right", "sign", "signbit", "sin", "sinh", "sqrt", "tan"),
    *("tanh", "trunc", "where"),
)


def erf(x: Any) -> Any:
    """``2/√π ∫₀ˣ exp(-t²) dt``.  NumPy has none: the C library's, element by element or compiled.

    One element costs 0.1 µs here; from a few thousand on, the compiled kernel is worth loading.
    """
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise TypeError("erf is of floats")
    if x.size > 4096:
        from . import kernels

        return kernels.erf(x)
    return _each(math.erf, x)


def erfc(x: Any) -> Any:
    """``1 - erf(x)``, accurate where that is tiny."""
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise TypeError("erfc is of floats")
    return _each(math.erfc, x)


def _each(function: Any, x: Array) -> Array:
    """A function of `math` on every element; of whole numbers it makes float64, as NumPy does."""
    kind = x.dtype if x.dtype.kind == "f" else np.float64
    return np.fromiter(map(function, x.ravel().tolist()), kind, x.size).reshape(x.shape)


def floor_divide(a: Any, b: Any) -> Any:
    """Quotient rounded towards minus infinity."""
    _refuse_whole_by_zero(a, b)
    return np.floor_divide(a, b)


def remainder(a: Any, b: Any) -> Any:
    """What `floor_divide` leaves."""
    _refuse_whole_by_zero(a, b)
    return np.remainder(a, b)


def fmod(a: Any, b: Any) -> Any:
    """What a division rounded towards zero leaves."""
    _refuse_whole_by_zero(a, b)
    return np.fmod(a, b)


def _refuse_whole_by_zero(a: Any, b: Any) -> None:
    """NumPy answers zero with a warning; PyTorch raises."""
    if isinstance(b, np.ndarray):
        zero = b.dtype.kind in "iu" and not b.all()
    else:
        zero = not b and a.dtype.kind in "iu"
    if zero:
        raise RuntimeError("ZeroDivisionError: an integer tensor is divided by zero")


def pow(a: Any, b: Any) -> Any:
    """``aᵇ``; whole numbers stay whole, so that ``2⁻¹`` is 0 there."""
    if isinstance(b, np.ndarray) and b.dtype.kind == "b":
        raise TypeError("truth values have no powers")
    try:
        return np.power(a, b)
    except ValueError:  # integers to negative integer powers
        if not isinstance(b, np.ndarray):
            raise
        sizes = np.power(a, np.maximum(b, 0))
        inverses = np.where(np.abs(a) == 1, np.power(a, b & 1), 0)
        return np.where(b < 0, inverses, sizes)


def round(x: Any) -> Any:
    """The nearest integer, halves to the even one."""
    return x.copy() if x.dtype.kind in "iu" else np.rint(x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; 0 for NaN; truth values are their own sign."""
    kind = x.dtype.kind
    if kind == "f":
        return np.where(x != x, 0, np.sign(x))
    return x if kind == "b" else np.sign(x)


def signbit(x: Any) -> Any:
    """Whether the sign is set."""
    return np.signbit(x) if x.dtype.kind == "f" else x < 0


def shift_left(a: Any, b: Any) -> Any:
    """``a · 2ᵇ`` for integers; zero for shifts that NumPy leaves undefined."""
    out = np.left_shift(a, b)
    return np.where((b < 0) | (b >= 8 * out.itemsize), out.dtype.type(0), out)


def shift_right(a: Any, b: Any) -> Any:
    """``a / 2ᵇ`` rounded down for integers; only the sign is left of shifts out of range."""
    last = 8 * np.result_type(a, b).itemsize - 1
    return np.right_shift(a, np.where((b < 0) | (b > last), last, b))


# ---------------------------------------------------------------- words of structure


def sum(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Total along ``dim``."""
    axis = shapes.axes_of(dim, x.ndim)
    return np.add.reduce(x, axis, keepdims=keepdim)  # type: ignore[call-overload]


def spread(g: Array, shape: tuple[int, ...], dim: Any, keepdim: bool) -> Array:
    """The gradient of a reduction, stretched back over what was reduced."""
    if g.shape == shape:
        return g
    if not keepdim and dim is not None:
        for axis in dim:  # in order, so that each is counted among those already there
            g = g[(slice(None),) * axis + (None,)]
    return expand(np.asarray(g), shape)


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """The same elements in the same order, in another shape."""
    return x.reshape(shape)


def permute(x: Array, dims: tuple[int, ...]) -> Array:
    """Axes in another order."""
    return x.transpose(dims)


def unpermute(x: Array, dims: tuple[int, ...]) -> Array:
    """Undo `permute`."""
    order = [0] * len(dims)
    for new, old in enumerate(dims):
        order[old] = new
    return x.transpose(order)


SMALL = 256  # elements of an array that is copied and written to sooner than `np.where` begins


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition is true, ``b`` elsewhere."""
    if (
        b.__class__ is ndarray
        and condition.__class__ is ndarray
        and b.size < SMALL
        and condition.shape == b.shape
        and (a.dtype is b.dtype and not a.ndim if a.__class__ is ndarray
             else a.__class__ is int and b.dtype.kind == "f")
    ):  # a cut-off gradient, in half the time  # fmt: skip
        out = b.copy()
        out[condition] = a
        return out
    return np.where(condition, a, b)


SIZABLE = 2048  # elements from which a matrix may make a product that is worth sharing


def large_dot(a: Array, b: Array) -> Array:
    """The product of two matrices, by several threads where that is worth it."""
    return _products().dot(a, b)


@cache
def _products() -> Any:
    from . import products  # which reads this file, by way of kernels

    return products


def large_matmul(a: Array, b: Array) -> Array:
    """The products of matrices pair by pair, by several threads where that is worth it."""
    return _products().matmul(a, b)


def matmul(a: Array, b: Array) -> Array:
    """Matrix product over the last two axes.

    Two matrices go straight to `ndarray.dot`, which takes 0.3 µs to start against 0.7 of ``@``.
    """
    if a.ndim == 2 == b.ndim:
        return a.dot(b) if a.size < SIZABLE else large_dot(a, b)
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError("vectors are made matrices by the caller")
    return np.matmul(a, b) if a.size < SIZABLE else large_matmul(a, b)


def rows(x: Array) -> Array:
    """All axes but the last as one: a matrix of row vectors."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def mT(x: Array) -> Array:  # noqa: N802 - PyTorch's name
    """The last two axes exchanged."""
    return x.swapaxes(-1, -2)


def cast(x: Array, dtype: np.dtype[Any]) -> Array:
    """A gradient in another element type; those of storage types stay in float32 on the tape."""
    return dt.cast(x, dt.of_array(dt.of_array(dtype).compute))


def like(x: Array, other: Array) -> Array:
    """In the element type of ``other``."""
    return x.astype(other.dtype)


def count(shape: tuple[int, ...], dim: tuple[int, ...] | None) -> int:
    """How many elements a reduction over ``dim`` combines into one."""
    n = 1
    for axis in range(len(shape)) if dim is None else dim:
        n *= shape[axis]
    return n


def at_least_zero(n: float) -> float:
    """``n``, or zero where it is negative: too few elements make a variance infinite or NaN."""
    return n if n > 0 else 0.0


def inverse(n: float) -> float:
    """``1 / n``, and infinity for zero."""
    return 1 / n if n else float("inf")


def finite(x: Array) -> Array:
    """Infinities as zeros: ``x - x`` would be NaN for them."""
    return np.where(np.isfinite(x), x, 0)


def mean(x: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Average along ``dim``."""
    n = count(x.shape, dim)
    return np.add.reduce(x, axis=dim, keepdims=keepdim) / x.dtype.type(n)  # type: ignore[call-overload]


def share(g: Array, mask: Array, dim: Any, keepdim: bool) -> Array:
    """A gradient divided evenly among the places that ``mask`` marks with ones."""
    part = g / np.add.reduce(mask, axis=dim, keepdims=keepdim)  # type: ignore[call-overload]
    return spread(part, mask.shape, dim, keepdim) * mask


def product_of_others(x: Array, dim: Any) -> Array:
    """For each element the product of all the others along ``dim``: right at zeros too."""
    if dim is None:
        return product_of_others(x.reshape(-1), (0,)).reshape(x.shape)
    if not x.ndim:
        return np.ones_like(x)
    (axis,) = dim
    x = np.moveaxis(x, axis, -1)
    before, after = np.ones_like(x), np.ones_like(x)
    np.multiply.accumulate(x[..., :-1], axis=-1, out=before[..., 1:])
    np.multiply.accumulate(x[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return np.moveaxis(before * after, -1, axis)


def flip(x: Array, dims: tuple[int, ...]) -> Array:
    """Reversed along ``dims``."""
    return np.flip(x, dims) if x.ndim else x


def cumsum(x: Array, dim: Any) -> Array:
    """Totals so far along ``dim``."""
    axis = dim[0] if type(dim) is tuple else dim
    return np.add.accumulate(x, axis=axis) if x.ndim else x


def uncumprod(g: Array, x: Array, out: Array, dim: int) -> Array:
    """The gradient of a running product, right at zeros too."""
    if not x.ndim:
        return g
    if x.all():
        return np.flip(np.add.accumulate(np.flip(g * out, dim), axis=dim), dim) / x
    # d_k = (product before k) · later_k, and later_k = g_k + x_{k+1} · later_{k+1}: no division.
    g, x = np.moveaxis(g, dim, 0), np.moveaxis(x, dim, 0)
    later, before = np.array(g), np.ones_like(x)
    for k in range(len(x) - 2, -1, -1):
        later[k] += x[k + 1] * later[k + 1]
    np.multiply.accumulate(x[:-1], axis=0, out=before[1:])
    return np.moveaxis(before * later, 0, dim)


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of a shape, of another array's element type."""
    return np.zeros(shape, like.dtype)


def index(x: Array, key: Any) -> Array:
    """``x[key]``."""
    return np.asarray(x[key])


def unindex(g: Array, shape: tuple[int, ...], key: Any) -> Array:
    """The gradient of `index`: ``g`` added into zeros where it was taken from."""
    out = np.zeros(shape, g.dtype)
    if key.__class__ is int or np.ndarray not in map(type, key):
        out[key] = g
    else:
        add_at(out, key, g)
    return out


FEW = 512  # rows of so many are added up sooner one by one than by positions, which take 4 µs


def add_at(out: Array, key: Any, g: Array) -> None:
    """``out[key] += g`` for a contiguous ``out``, with repeated places adding up.

    `np.add.at` has a quick path for flat arrays alone: rows of an embedding (4096 of 64 numbers)
    take 0.3 ms through flat positions and 1.8 ms without; sorting and `np.add.reduceat` take 1.4.
    """
    first = key[0]
    if len(key) == 1 and first.dtype.kind == "b":
        out[key] += g
        return
    if g.size <= FEW and not out.dtype.names:
        np.add.at(out, key, g)
        return
    if out.dtype.names:
        wide = dt.widen(out)
        add_at(wide, key, dt.widen(g))
        out[...] = dt.cast(wide, dt.of_array(out.dtype))
        return
    if len(key) == 1:
        row = out[0].size if len(out) else 0
        places = first.reshape(-1, 1) * row + np.arange(row)
        g = np.broadcast_to(g, first.shape + out.shape[1:])
    else:
        places = np.arange(out.size).reshape(out.shape)[key]
        g = np.broadcast_to(g, places.shape)
    flat = out.reshape(-1)
    np.add.at(flat, places.reshape(-1), g.reshape(-1))


def multiply_at(x: Array, source: Array, key: Any) -> Array:
    """``x`` multiplied by ``source`` where ``key`` points; repeated places all count."""
    out = x.copy()
    np.multiply.at(out, key, source)
    return out


def one_each(x: Array) -> Array:
    """Ones in the shape and type of ``x``."""
    return np.ones_like(x)


def diagonal(x: Array, offset: int, dim1: int, dim2: int) -> Array:
    """The diagonal of two axes, as the last axis: a view that may be written."""
    out = x.diagonal(offset, dim1, dim2)
    out.flags.writeable = x.flags.writeable
    return out


def undiagonal(g: Array, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Array:
    """Zeros with ``g`` on the diagonal of two axes."""
    out = np.zeros(shape, g.dtype)
    diagonal(out, offset, dim1, dim2)[...] = g
    return out


def windowed(x: Array, dimension: int, size: int, step: int) -> Array:
    """Windows of an axis along a new last axis; read-only where they overlap."""
    if not x.ndim:
        return x.reshape(1)[:size]
    axis = dimension % x.ndim
    n = (x.shape[axis] - size) // step + 1
    shape = (*x.shape[:axis], n, *x.shape[axis + 1 :], size)
    strides = list(x.strides)
    strides[axis] *= step
    out = np.lib.stride_tricks.as_strided(x, shape, (*strides, x.strides[axis]))
    if step < size:
        out.flags.writeable = False
    return out


def unwindowed(g: Array, shape: tuple[int, ...], dimension: int, size: int, step: int) -> Array:
    """Windows added up where they were taken from."""
    out = np.zeros(shape, g.dtype)
    if not shape:
        return out + np.add.reduce(g)
    axis = dimension % out.ndim
    n = g.shape[axis]
    for i in range(size if n else 0):
        out[(slice(None),) * axis + (slice(i, i + step * (n - 1) + 1, step),)] += g[..., i]
    return out


def lattice(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Array:
    """The positions in flat memory of a tensor with these sizes, strides and offset."""
    out = np.full(size, offset, np.int64)
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        out += (np.arange(n) * step).reshape(-1, *[1] * (len(size) - 1 - axis))
    return out


def negated(shifts: tuple[int, ...]) -> tuple[int, ...]:
    """The other way round."""
    return tuple(-n for n in shifts)


def part_of_cat(g: Any, i: int, shapes_: tuple[tuple[int, ...], ...], dim: int) -> Any:
    """What the i-th of several joined tensors is in the whole; the same for arrays and tensors."""
    start = 0
    for shape in shapes_[:i]:
        start += shape[dim]
    return g[(slice(None),) * dim + (slice(start, start + shapes_[i][dim]),)]


def select(x: Array, dim: int, index: int) -> Array:
    """One slice of an axis."""
    return np.asarray(x[(slice(None),) * dim + (index,)])


def rolled(x: Array, shifts: Any, dims: Any) -> Array:
    """Turned round along some axes."""
    return np.roll(x, shifts, dims)


def tril(x: Array, diagonal: int) -> Array:
    """The lower triangle."""
    return np.tril(x, diagonal)


def triu(x: Array, diagonal: int) -> Array:
    """The upper triangle."""
    return np.triu(x, diagonal)


def transpose(x: Array, dim0: int, dim1: int) -> Array:
    """Two axes exchanged."""
    if x.ndim == 2:  # `swapaxes` takes twice as long
        return x.T if (dim0 - dim1) % 2 else x
    return x.swapaxes(dim0, dim1) if x.ndim else x


def portion(g: Any, shape: tuple[int, ...], reduction: str) -> Any:
    """What each term of a loss gets of its gradient; the same for arrays and tensors."""
    return g * inverse(count(shape, None)) if reduction == "mean" else g


@lru_cache(maxsize=64)
def _first_places(shape: tuple[int, ...]) -> Array:
    """Where class 0 of each row and position is, in a flat (N, C, *) array."""
    n, classes, *rest = shape
    step = math.prod(rest)
    places = (np.arange(n) * (classes * step))[:, None] + np.arange(step)  # (N, *)
    places = places.reshape(n, *rest)
    places.flags.writeable = False
    return places


def places_of(shape: tuple[int, ...], target: Array) -> Array:
    """Where the class that ``target`` (N, *) names is, in a flat array of shape (N, C, *)."""
    step = math.prod(shape[2:])
    return _first_places(shape) + (target if step == 1 else target * np.int64(step))


def place_classes(g: Array, shape: tuple[int, ...], target: Array, reduction: str) -> Array:
    """The derivative of `score_of_classes`: the gradient, negative, where the classes are."""
    d = np.zeros(shape, g.dtype)
    d.ravel()[places_of(shape, target)] = -np.asarray(portion(g, target.shape, reduction))
    return d


def cross_entropy_slope(
    g: Array, x: Array, target: Array, powers: Array, total: Array, reduction: str, smoothing: float
) -> Array:
    """The derivative of `cross_entropy_of_classes`: softmax less target, times the gradient."""
    g = np.asarray(portion(g, total.shape, reduction))
    d = scaled_rows(powers, g / total)
    if smoothing:
        d -= (
            np.expand_dims(g * (smoothing / x.shape[1]), 1)
            if g.ndim
            else g * (smoothing / x.shape[1])
        )
        g = g * (1 - smoothing)
    d.ravel()[places_of(x.shape, target)] -= g
    return d


def look(x: Array, steps: tuple[Any, ...]) -> Array:
    """Follow the steps of a view."""
    for op, settings in steps:
        x = op.body(x, *settings)
    return x


def take(x: Array, region: Region) -> Array:
    """The part of ``x`` that ``region`` names."""
    steps, key = region
    part = look(x, steps)
    return np.asarray(part if key is None else part[key])


def put(x: Array, value: Any, region: Region) -> Array:
    """A copy of ``x`` with ``value`` written where ``region`` says."""
    steps, key = region
    out = np.array(x, order="C")
    part = look(out, steps)
    if not part.flags.writeable:  # an expanded view, to all of which one value is written
        first, start = (a.__array_interface__["data"][0] for a in (part, out))
        part = np.ndarray(part.shape, out.dtype, out, first - start, part.strides)
    part[... if key is None else key] = value
    return out


__all__ = [*SCALAR_WORDS, "expand", "log_softmax_slope", "scaled_rows", "softmax_slope", "sum_to"]
