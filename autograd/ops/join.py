"""Joining tensors, and turning, repeating and cutting off their elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import scalar as s
from ..declare import composite, selection
from ..shapes import axis_of, size_of
from ..tensor import Tensor, wrap
from .index import index
from .shape import diagonal, meshgrid, undiagonal


@selection(
    d_xs=lambda g, i, xs_shape, dim: s.part_of_cat(g, i, xs_shape, dim),
    public=False,
    method=False,
    cases=[((2, 3), (1, 3), {"dim": 0})],
)
def concatenate(*xs, dim):
    """Tensors one after the other along an axis they share."""
    return np.concatenate(xs, axis=dim)


@selection(
    d_xs=lambda g, i, axis: s.select(g, axis, i),
    public=False,
    method=False,
    cases=[((2, 3), (2, 3), {"axis": 2})],
)
def stacked(*xs, axis):
    """Tensors of one shape, along a new axis."""
    shape = xs[0].shape  # np.stack does as much, in 5 µs; this takes 2
    if shape and not axis:
        return np.concatenate(xs).reshape(len(xs), *shape)
    wider = (*shape[:axis], 1, *shape[axis:])
    return np.concatenate([x.reshape(wider) for x in xs], axis)


def _of_one_type(name: str, tensors: Any) -> list[Any]:
    """The tensors as a list, brought to their common type."""
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            f"{type(tensors).__name__}"
        )
    try:
        types = [x.array.dtype for x in tensors]
    except AttributeError:
        i, kind = next((i, type(x)) for i, x in enumerate(tensors) if not isinstance(x, Tensor))
        raise TypeError(
            f"expected Tensor as element {i} in argument 0, but got {kind.__name__}"
        ) from None
    if not types:
        error = RuntimeError if name == "stack" else ValueError
        raise error(f"{name}(): expected a non-empty list of Tensors")
    if types.count(types[0]) == len(types):
        return list(tensors)
    target = _common_type(tensors)
    return [x.to(target) for x in tensors]


def _common_type(tensors: Sequence[Any]) -> dt.dtype:
    return dt.result_of(
        (x.dtype for x in tensors if x.array.ndim),
        (x.dtype for x in tensors if not x.array.ndim),
        (),
    )


@composite(aliases=("concat", "concatenate"), method=False)
def cat(tensors: Any, dim: int = 0) -> Any:
    """Tensors one after the other along an axis.

    >>> import retrograd as rg
    >>> rg.cat([rg.ones(2), rg.zeros(1)])
    tensor([1., 1., 0.])
    """
    xs = _of_one_type("torch.cat", tensors)
    shapes = [x.array.shape for x in xs]
    first = shapes[0]
    if first and first != (0,):
        axis = axis_of(dim, len(first))
        if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) == 1:
            return concatenate(xs, dim=axis)
    xs, axis = _that_fit(xs, dim)
    return concatenate(xs, dim=axis)


def _that_fit(xs: list[Any], dim: int) -> tuple[list[Any], int]:
    """What `cat` can join, and the axis along which, or a complaint."""
    shape = next((x.array.shape for x in xs if x.array.shape != (0,)), (0,))
    axis = axis_of(dim, len(shape))
    # A vector of size 0 joins anything: it is an empty tensor of the right shape.
    empty = (*shape[:axis], 0, *shape[axis + 1 :])
    xs = [x.reshape(empty) if x.array.shape == (0,) != empty else x for x in xs]
    for i, x in enumerate(xs):
        if not x.array.ndim:
            raise RuntimeError(
                f"zero-dimensional tensor (at position {i}) cannot be concatenated; use stack"
            )
        if x.array.ndim != len(shape):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(shape)} and {x.array.ndim}"
            )
        for j, (n, m) in enumerate(zip(shape, x.array.shape, strict=True)):
            if j != axis and n != m:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {axis}. Expected size {n} "
                    f"but got size {m} for tensor number {i} in the list: dimension {j} of "
                    f"{list(x.array.shape)} against {list(shape)}"
                )
    return xs, axis


@composite(method=False)
def stack(tensors: Any, dim: int = 0) -> Any:
    """Tensors of one shape, along a new axis."""
    xs = _of_one_type("stack", tensors)
    shape = xs[0].array.shape
    axis = axis_of(dim, len(shape) + 1)
    for i, x in enumerate(xs):
        if x.array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 "
                f"and {list(x.array.shape)} at entry {i}"
            )
    return stacked(xs, axis=axis)


def _at_least(x: Any, ndim: int) -> Any:
    have = x.array.ndim
    if have >= ndim:
        return x
    if ndim == 3:
        return _at_least(x, 2).unsqueeze(-1)
    return x.reshape((1,) * (ndim - have) + tuple(x.array.shape))


def _declare_at_least(n: int) -> None:
    @composite(name=f"atleast_{n}d", method=False)
    def at_least(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return _at_least(tensors[0], n)
        several = tensors[0] if len(tensors) == 1 else tensors
        return tuple(_at_least(x, n) for x in several)

    at_least.__doc__ = f"A tensor, or each of several, with {n} axes or more: missing ones are new."


def _declare_stacking(names: tuple[str, ...], ready: Any, axis: int, doc: str) -> None:
    """A `cat` along ``axis``, or along the first when the tensors have no other."""

    @composite(name=names[0], aliases=names[1:], method=False)
    def join(tensors: Any) -> Any:
        if not tensors:
            raise RuntimeError(f"{names[0]} expects a non-empty TensorList")
        xs = [ready(x) for x in tensors]
        return cat(xs, min(axis, xs[0].array.ndim - 1))

    join.__doc__ = doc


def _column(x: Any) -> Any:
    return x if x.array.ndim > 1 else x.reshape(-1, 1)


for _n in (1, 2, 3):
    _declare_at_least(_n)
_declare_stacking(
    ("hstack",), lambda x: _at_least(x, 1), 1, "Tensors side by side: along the second axis."
)
_declare_stacking(
    ("vstack", "row_stack"), lambda x: _at_least(x, 2), 0, "Tensors as rows, one below the other."
)
_declare_stacking(
    ("dstack",), lambda x: _at_least(x, 3), 2, "Tensors behind each other, along the third axis."
)
_declare_stacking(("column_stack",), _column, 1, "`hstack` of vectors as columns.")


@composite(method=False)
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of one, zeros around them."""
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"block_diag(): expected Tensor as element {i}, got {type(x).__name__}")
        if x.array.ndim > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{i} has {x.array.ndim} dimensions"
            )
    blocks = [_at_least(x, 2) for x in _of_one_type("block_diag", tensors)] if tensors else []
    width = sum(x.array.shape[1] for x in blocks)
    before = 0
    rows = []
    for x in blocks:
        n, m = x.array.shape
        left = wrap(np.zeros((n, before), x.array.dtype))
        right = wrap(np.zeros((n, width - before - m), x.array.dtype))
        rows.append(cat([left, x, right], 1))
        before += m
    return cat(rows) if rows else wrap(np.zeros((1, 0), dt.get_default_dtype().array))


@composite(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """Every combination of one element of each vector, a row each."""
    for x in tensors:
        if x.array.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*tensors)], 1)


@composite()
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Every choice of ``r`` elements of a vector, a row each, in order."""
    if input.array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return input[:0]
    chosen = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(chosen(range(input.array.size), r)), np.int64)
    return index(input, (places.reshape(-1, r),))


# ---------------------------------------------------------------- turning


@selection(d_x=lambda g, dims: s.flip(g, dims), cases=[((2, 3), (0,)), ((2, 3), (0, 1))])
def flip(x, /, *dims):
    """Reversed along some axes."""
    axes = tuple(axis_of(d, x.ndim) for d in size_of(dims))
    for i, axis in enumerate(axes):
        if axis in axes[:i]:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return np.ascontiguousarray(s.flip(x, axes)).reshape(x.shape)


@composite()
def fliplr(input: Any) -> Any:
    """Reversed left to right."""
    if input.array.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


@composite()
def flipud(input: Any) -> Any:
    """Reversed top to bottom."""
    if not input.array.ndim:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


@selection(
    d_x=lambda g, shifts, dims: s.rolled(g, s.negated(shifts), dims),
    public=False,
    method=False,
    cases=[((2, 3), ((1,), (1,)))],
)
def rolled(x, /, shifts, dims):
    """Turned round along some axes."""
    return np.roll(x, shifts, dims)


@composite()
def roll(input: Any, shifts: Any, dims: Any = ()) -> Any:
    """Entries moved on by ``shifts``; what leaves at one end comes in at the other."""
    shifts, dims = (d if isinstance(d, (tuple, list)) else (d,) for d in (shifts, dims))
    if not shifts:
        raise RuntimeError("`shifts` required")
    if not dims and len(shifts) == 1:
        return rolled(input.reshape(-1), tuple(shifts), (0,)).reshape(input.array.shape)
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
        )
    if not input.array.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return rolled(input, tuple(shifts), tuple(axis_of(d, input.array.ndim) for d in dims))


@composite()
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Turned by 90 degrees ``k`` times in the plane of two axes, from the first to the second."""
    ndim = input.array.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == ndim:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    for d in dims:
        if not -ndim <= d < ndim:
            raise RuntimeError(f"Rotation dim out of range, dim = {d} of {ndim}")
    a, b = dims
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, dims)
    return flip(input, b).transpose(a, b) if turns == 1 else flip(input.transpose(a, b), b)


# ---------------------------------------------------------------- cutting off


@selection(
    d_x=lambda g, diagonal: s.tril(g, diagonal),
    inplace=True,
    cases=[((3, 3), ()), ((2, 3, 4), (1,))],
)
def tril(x, /, diagonal=0):
    """The lower triangle of matrices; zeros above the ``diagonal``-th diagonal."""
    return _triangle(np.tril, "tril", x, diagonal)


@selection(
    d_x=lambda g, diagonal: s.triu(g, diagonal),
    inplace=True,
    cases=[((3, 3), ()), ((2, 3, 4), (1,))],
)
def triu(x, /, diagonal=0):
    """The upper triangle of matrices; zeros below the ``diagonal``-th diagonal."""
    return _triangle(np.triu, "triu", x, diagonal)


def _triangle(function: Any, name: str, x: Any, diagonal: int) -> Any:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    return function(x, diagonal)


@composite(method=False)
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = dt.int64, **ignored: Any
) -> Any:
    """The indices of a lower triangle: one row of row numbers, one of column numbers."""
    return _triangle_indices(np.tril, row, col, offset, dtype)


@composite(method=False)
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = dt.int64, **ignored: Any
) -> Any:
    """The indices of an upper triangle: one row of row numbers, one of column numbers."""
    return _triangle_indices(np.triu, row, col, offset, dtype)


def _triangle_indices(function: Any, row: int, col: int, offset: int, d: dt.dtype) -> Any:
    if row < 0 or col < 0:
        raise RuntimeError(f"row and col must be non-negative, got {row} and {col}")
    found = np.nonzero(function(np.ones((row, col), bool), offset))
    return wrap(dt.cast(np.stack(found), d))


@composite()
def diag(input: Any, diagonal: int = 0) -> Any:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector."""
    if input.array.ndim == 1:
        return diag_embed(input, diagonal)
    if input.array.ndim == 2:
        return input.diagonal(diagonal).clone()
    raise RuntimeError(
        f"diag(): Supports 1D or 2D tensors. Got {input.array.ndim}D; use diagonal or diag_embed"
    )


@composite()
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The last axis as the diagonal of two new ones."""
    ndim = input.array.ndim + 1
    first, second = axis_of(dim1, ndim), axis_of(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    n = input.array.shape[-1] + abs(offset)
    shape = list(input.array.shape[:-1])
    for axis in sorted((first, second)):
        shape.insert(axis, n)
    return undiagonal(input, tuple(shape), offset, first, second)


@composite()
def diagflat(input: Any, offset: int = 0) -> Any:
    """All elements as the diagonal of a matrix."""
    return diag_embed(input.reshape(-1), offset)


@composite()
def trace(input: Any) -> Any:
    """The sum of a matrix' diagonal."""
    if input.array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.array.ndim}")
    return diagonal(input).sum()


# ---------------------------------------------------------------- repeating


@composite()
def repeat(input: Any, *sizes: Any, repeats: Any = None) -> Any:
    """The tensor laid ``repeats[i]`` times after itself along each axis.

    >>> import retrograd as rg
    >>> rg.tensor([1, 2]).repeat(2)
    tensor([1, 2, 1, 2])
    """
    times = size_of(sizes if repeats is None else (repeats,))
    shape = input.array.shape
    lead = len(times) - len(shape)
    if lead < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor: {len(times)} and {len(shape)}"
        )
    shape = (1,) * lead + tuple(shape)
    out = [n * size for n, size in zip(times, shape, strict=True)]
    if any(n < 0 for n in out):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(out)}: {out}")
    apart = [n for size in shape for n in (1, size)]
    wide = [n for pair in zip(times, shape, strict=True) for n in pair]
    return input.reshape(apart).expand(wide).clone().reshape(out)


@composite()
def tile(input: Any, *sizes: Any, dims: Any = None) -> Any:
    """`repeat` that pads ``dims`` with ones in front."""
    times = size_of(sizes if dims is None else (dims,))
    return repeat(input, (1,) * (input.array.ndim - len(times)) + tuple(times))


@composite()
def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each entry of an axis ``repeats`` times in a row; alone, each number that often itself."""
    if repeats is None:
        input, repeats = wrap(np.arange(input.array.size)), input
    times = repeats.array if isinstance(repeats, Tensor) else np.asarray(repeats)
    if times.dtype.kind not in "iu":
        raise RuntimeError(f"repeats has to be Long or Int tensor, got {times.dtype}")
    if times.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if times.size and times.min() < 0:
        raise RuntimeError("repeats can not be negative")
    if dim is None:
        input, dim = input.reshape(-1), 0
    axis = axis_of(dim, input.array.ndim)
    if not input.array.ndim:
        input = input.reshape(1)
    n = input.array.shape[axis]
    if times.ndim and times.size not in (1, n):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{times.size} and input.size({axis}) = {n}"
        )
    places = np.repeat(np.arange(n), times)
    if output_size is not None and output_size != places.size:
        raise RuntimeError(
            f"repeat_interleave: Invalid output_size, expected {places.size} but got {output_size}"
        )
    return input.index_select(axis, wrap(places))


@composite()
def kron(input: Any, other: Any) -> Any:
    """Kronecker product: every element of ``input`` times the whole of ``other``."""
    n = max(input.array.ndim, other.array.ndim)
    left, right = _at_front(input, n), _at_front(other, n)
    a = left.reshape([m for size in left.array.shape for m in (size, 1)])
    b = right.reshape([m for size in right.array.shape for m in (1, size)])
    sizes = zip(left.array.shape, right.array.shape, strict=True)
    return (a * b).reshape([math.prod(pair) for pair in sizes])


def _at_front(x: Any, ndim: int) -> Any:
    return x.reshape((1,) * (ndim - x.array.ndim) + tuple(x.array.shape))
