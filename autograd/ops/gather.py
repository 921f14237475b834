"""Gathering and scattering: elements taken from, and put to, the places that integers name.

Each op builds a key for the ops of `index.py`: `index` takes, `put` replaces, `add_at` adds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import scalar as s
from ..creation import number
from ..declare import composite, opaque, selection, word
from ..shapes import axis_of, broadcast
from ..tensor import Tensor, wrap
from .index import ALL, index, keys_of, places_along, put

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def _indices(name: str, input: Any, dim: int, index: Any, strict: type = IndexError) -> Any:
    """The axis, and the array of integers after checking that each names an entry of it."""
    axis = axis_of(dim, input.array.ndim)
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    array = index.array
    if index.dtype not in (dt.int64, dt.int32) and array.size:
        raise RuntimeError(
            f"{name}(): Expected dtype int32 or int64 for index, not {index.dtype}; "
            "convert it with .long()"
        )
    n = input.array.shape[axis] if input.array.ndim else 1
    # Seen as unsigned, negative indices are the largest: one pass for both ends.
    seen = array.view(np.uint64 if array.itemsize == 8 else np.uint32) if array.size else array
    if array.size and seen.item(seen.argmax()) >= n:
        bad = array[(array < 0) | (array >= n)].ravel()[0]
        raise strict(f"index {bad} is out of bounds for dimension {axis} with size {n}")
    return axis, array.copy() if array.size else array.astype(np.int64)


def _vector(name: str, input: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """The key that takes the entries of one axis which a vector names; scalars count as vectors."""
    if index.array.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, got {index.array.ndim}D")
    axis, indices = _indices(name, input, dim, index)
    return (ALL,) * axis + (np.atleast_1d(indices),)


def _check_fits(name: str, indices: Any, shape: tuple[int, ...], axis: int, of: str) -> None:
    """The index may be smaller than the tensor, except along the axis itself."""
    if indices.ndim != len(shape):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as {of} tensor: {name} got "
            f"{indices.ndim} and {len(shape)}"
        )
    if indices.shape == shape:
        return
    for i, (n, m) in enumerate(zip(indices.shape, shape, strict=True)):
        if i != axis and n > m:
            raise RuntimeError(
                f"{name}: Size does not match at dimension {i} expected index "
                f"{list(indices.shape)} to be no larger than {of} {list(shape)} apart from "
                f"dimension {axis}"
            )


# ---------------------------------------------------------------- taking


@composite()
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """``out[i][j] = input[index[i][j]][j]`` for ``dim = 0``; ``out`` has the index's shape.

    >>> import retrograd as rg
    >>> rg.tensor([[1, 2], [3, 4]]).gather(1, rg.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    if isinstance(index, Tensor) and index.array.size and input.array.ndim and index.array.ndim:
        axis = axis_of(dim, input.array.ndim)
        _check_fits("gather", index.array, input.array.shape, axis, "input")
    axis, indices = _indices("gather", input, dim, index, RuntimeError)
    return _gathered(input, axis, indices)


def _gathered(input: Any, axis: int, indices: Any) -> Any:
    if not input.array.ndim or not indices.ndim or not indices.size:
        return pick(input.reshape(-1), (indices.reshape(-1),)).reshape(indices.shape)
    return pick(input, places_along(axis, indices, indices.ndim))


pick = index  # several functions here have a parameter of that name


@composite()
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """`gather` whose indices broadcast with the input."""
    if indices.dtype is not dt.int64:
        raise RuntimeError(
            f"take_along_dim(): dtype of indices should be Long, got {indices.dtype}"
        )
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if input.array.ndim != indices.array.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.array.ndim} dimensions for input, and {indices.array.ndim} dimensions "
            "for indices"
        )
    axis = axis_of(dim, input.array.ndim)
    shape = list(
        broadcast(
            tuple(1 if i == axis else n for i, n in enumerate(input.array.shape)),
            tuple(1 if i == axis else n for i, n in enumerate(indices.array.shape)),
        )
    )
    array, n = indices.array, input.array.shape[axis]
    if array.size and not (array.min() >= -n and array.max() < n):
        bad = array[(array < -n) | (array >= n)].ravel()[0]
        raise RuntimeError(f"index {bad} is out of bounds for dimension {axis} with size {n}")
    shape[axis] = input.array.shape[axis]
    wide = input.expand(shape)
    shape[axis] = indices.array.shape[axis]
    return _gathered(wide, axis, np.broadcast_to(array, shape))


@composite()
def take(input: Any, index: Any) -> Any:
    """Elements of the flattened tensor."""
    return pick(input.reshape(-1), (_flat_places("take", input, index),))


def _flat_places(name: str, input: Any, index: Any) -> Any:
    if index.dtype is not dt.int64:
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {index.dtype}")
    n = input.array.size
    array = index.array
    if array.size and not n:
        raise IndexError(f"{name}(): tried to take from an empty tensor")
    if array.size and not (array.min() >= -n and array.max() < n):
        raise IndexError(f"out of range: tried to access an index outside {n} elements")
    return array


@composite()
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The entries of one axis that a vector of integers names."""
    key = _vector("index_select", input, dim, index)
    return pick(input, key) if input.array.ndim else input.clone()


# ---------------------------------------------------------------- putting


@selection(
    d_x=lambda g: g,
    d_source=lambda g, key: s.index(g, key),
    cases=[((4,), (3,), {"key": (np.array([0, 2, 0]),)})],
    public=False,
    method=False,
)
def add_at(x, source, /, key):
    """``x`` with ``source`` added where ``key`` points; repeated places add up."""
    out = x.copy()
    s.add_at(out, key, source)
    return out


def _places(name: str, input: Any, dim: int, index: Any, src: Any) -> tuple[Any, Any, Any]:
    """For `scatter`: the input with at least one axis, its key, the part of the source it takes."""
    axis = axis_of(dim, input.array.ndim)
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    shape = index.array.shape or (1,)
    of_src = isinstance(src, Tensor)
    if index.array.size:
        _check_fits(name, index.array.reshape(shape), input.array.shape or (1,), axis, "self")
        if of_src:
            _check_fits(name, index.array.reshape(shape), src.array.shape or (1,), -1, "src")
    if of_src and src.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype; "
            f"got {input.dtype} and {src.dtype}"
        )
    _, indices = _indices(name, input, dim, index, RuntimeError)
    if not input.array.ndim:
        input = input.reshape(1)
    if indices.ndim != input.array.ndim:  # an empty index may have any number of axes
        indices = indices.reshape(
            shape if len(shape) == input.array.ndim else (0,) * input.array.ndim
        )
    if of_src:
        src = src if src.array.ndim else src.reshape(1)
        src = src[tuple(slice(n) for n in indices.shape)] if indices.size else src.reshape(-1)[:0]
        src = src.reshape(indices.shape)
    return input, places_along(axis, indices, indices.ndim), src


@composite(inplace=True)
def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Any:
    """``out[index[i][j]][j] = src[i][j]`` for ``dim = 0``; ``src`` may be one number.

    ``reduce`` "add" or "multiply" combines with what is there, instead of replacing it.
    """
    src = value if src is None else src
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce!r}")
    whole, key, src = _places("scatter", input, dim, index, src)
    if not isinstance(src, Tensor):
        src = wrap(
            np.broadcast_to(number(src, input.dtype), np.broadcast_shapes(*map(np.shape, key)))
        )
    out = _combined(whole, key, src, {None: None, "add": "sum", "multiply": "prod"}[reduce])
    return out.reshape(input.array.shape)


def _combined(input: Any, key: Any, src: Any, reduce: str | None) -> Any:
    if reduce is None:
        return put(input, src, ((), key))
    if reduce == "sum":
        return add_at(input, src, key)
    if reduce == "prod":
        return multiply_at(input, src, key)
    return extreme_at(input, src, key, reduce == "amax")


@composite(inplace=True)
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """``out[index[i][j]][j] += src[i][j]`` for ``dim = 0``."""
    whole, key, src = _places("scatter_add", input, dim, index, src)
    return add_at(whole, src, key).reshape(input.array.shape)


@composite(inplace=True)
def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """`scatter` that combines what lands in one place: sum, prod, mean, amax or amin.

    Without ``include_self`` what was there before does not count.
    """
    whole, key, src = _places("scatter_reduce", input, dim, index, src)
    out = _reduced("scatter_reduce", whole, key, src, reduce, include_self)
    return out.reshape(input.array.shape)


@composite(inplace=True)
def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """`scatter_reduce` of whole entries of an axis, which a vector names."""
    key = _vector("index_reduce", input, dim, index)
    whole = input if input.array.ndim else input.reshape(1)
    out = _reduced("index_reduce", whole, key, source, reduce, include_self)
    return out.reshape(input.array.shape)


def _reduced(name: str, input: Any, key: Any, src: Any, reduce: str, include_self: bool) -> Any:
    if reduce not in REDUCTIONS:
        raise RuntimeError(f"reduce argument must be one of {REDUCTIONS}, got {reduce!r} ({name})")
    if reduce in ("amax", "amin"):
        nothing = -np.inf if reduce == "amax" else np.inf
        if input.array.dtype.kind in "iub":
            limits = (0, 1) if input.array.dtype.kind == "b" else _limits(input.array.dtype)
            nothing = limits[reduce == "amin"]
    else:
        nothing = int(reduce == "prod")
    if not include_self:
        input = put(input, nothing, ((), key))
    if reduce != "mean":
        return _combined(input, key, src, reduce)
    total = add_at(input, src, key)
    counts = np.full(input.array.shape, int(include_self), np.int64)
    s.add_at(counts, key, np.int64(1))
    counts = wrap(np.maximum(counts, 1))
    whole_numbers = input.array.dtype.kind in "iu"
    return total // counts.to(input.dtype) if whole_numbers else total / counts.to(input.dtype)


def _limits(d: np.dtype[Any]) -> tuple[int, int]:
    return int(np.iinfo(d).min), int(np.iinfo(d).max)


@word
def one_each(x: Any) -> Any:
    """Ones in the shape and type of ``x``."""
    return wrap(s.one_each(x.array))


@opaque(
    d_x=lambda g, x, source, key: g * s.multiply_at(s.one_each(x), source, key),
    d_source=lambda g, x, source, out, key: s.where(
        source == 0,
        s.where(
            s.index(s.unindex(s.like(source == 0, g), x.shape, key), key) == 1,
            s.index(g * s.multiply_at(x, s.where(source == 0, 1, source), key), key),
            0,
        ),
        s.index(g * out, key) / s.where(source == 0, 1, source),
    ),
    cases=[((4,), (3,), {"key": (np.array([0, 2, 0]),)})],
    public=False,
    method=False,
)
def multiply_at(x, source, /, key):
    """``x`` multiplied by ``source`` where ``key`` points; repeated places all count."""
    return s.multiply_at(x, source, key)


@opaque(
    d_x=lambda g, x, source, out, key: s.where(
        x == out,
        g / (1 + s.unindex(s.like(source == s.index(out, key), g), x.shape, key)),
        0,
    ),
    d_source=lambda g, x, source, out, key: s.where(
        source == s.index(out, key),
        s.index(
            g
            / (
                s.like(x == out, g)
                + s.unindex(s.like(source == s.index(out, key), g), x.shape, key)
            ),
            key,
        ),
        0,
    ),
    cases=[((4,), (3,), {"key": (np.array([0, 2, 0]),), "largest": True})],
    public=False,
    method=False,
)
def extreme_at(x, source, /, key, largest):
    """The largest (smallest) of ``x`` and what of ``source`` lands there; ties share gradients."""
    out = x.copy()
    (np.maximum if largest else np.minimum).at(out, key, source)
    return out


@composite(inplace=True)
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """``source`` added to the entries of one axis that ``index`` names."""
    key = _vector("index_add", input, dim, index)
    _check_source("index_add", input, key, source)
    if alpha != 1:
        source = source * wrap(number(alpha, source.dtype))
    whole = input if input.array.ndim else input.reshape(1)
    return add_at(whole, source.reshape(_shape_at(whole, key)), key).reshape(input.array.shape)


@composite(inplace=True)
def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """``source`` written to the entries of one axis that ``index`` names."""
    key = _vector("index_copy", input, dim, index)
    _check_source("index_copy", input, key, source)
    whole = input if input.array.ndim else input.reshape(1)
    out = put(whole, source.reshape(_shape_at(whole, key)), ((), key))
    return out.reshape(input.array.shape)


def _shape_at(input: Any, key: tuple[Any, ...]) -> tuple[int, ...]:
    axis = len(key) - 1
    shape = input.array.shape
    return (*shape[:axis], key[-1].size, *shape[axis + 1 :])


def _check_source(name: str, input: Any, key: tuple[Any, ...], source: Any) -> None:
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): self ({input.dtype}) and source ({source.dtype}) must have the same "
            "scalar type"
        )
    axis, entries = len(key) - 1, key[-1].size
    have = source.array.shape[axis] if axis < source.array.ndim else 1
    if have != entries:
        kind = IndexError if name == "index_copy" else RuntimeError
        raise kind(
            f"{name}(): Number of indices ({entries}) should be equal to source.size({axis}): "
            f"({have})"
        )
    if input.array.ndim and source.array.ndim and source.array.shape != _shape_at(input, key):
        raise RuntimeError(
            f"{name}: source tensor shape must match self tensor shape, excluding the specified "
            f"dimension. Got self.shape = {list(input.shape)} source.shape = {list(source.shape)}"
        )


@composite(inplace=True)
def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """One value written to the entries of one axis that ``index`` names."""
    key = _vector("index_fill", input, dim, index)
    if not isinstance(value, Tensor):
        value = wrap(number(value, input.dtype))
    elif value.array.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.array.ndim} dimension(s)."
        )
    whole = input if input.array.ndim else input.reshape(1)
    key = (*key[:-1], np.unique(key[-1]))  # each entry is written once
    return put(whole, value.to(input.dtype), ((), key)).reshape(input.array.shape)


@composite(inplace=True)
def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """``values`` written (or added) at ``input[indices]``."""
    if not isinstance(indices, (tuple, list)) or not all(isinstance(i, Tensor) for i in indices):
        raise TypeError("index_put(): argument 'indices' must be tuple of Tensors")
    if values.dtype is not input.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{input.dtype} for the destination and {values.dtype} for the source."
        )
    # A 0-d tensor would count as an int, which is picked before the arrays.
    spread = tuple(wrap(np.atleast_1d(i.array)) if not i.array.ndim else i for i in indices)
    _, key = keys_of(spread, input.array.ndim)
    return add_at(input, values, key) if accumulate else put(input, values, ((), key))


@composite(inplace=True, name="put")
def put_flat(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """``source`` written (or added) to elements of the flattened tensor."""
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got {input.dtype} and "
            f"{source.dtype}"
        )
    places = _flat_places("put_", input, index)
    if places.size != source.array.size:
        raise IndexError(
            f"put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.array.size}, index.numel() = {places.size}"
        )
    key = (places.reshape(-1),)
    out = _combined(input.reshape(-1), key, source.reshape(-1), "sum" if accumulate else None)
    return out.reshape(input.array.shape)
