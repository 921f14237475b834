"""Indexing: `x[...]`, assignment, and masks.

Three ops read: `select` (an int) and `slice` (ints, slices, None, Ellipsis) are views, `index`
(masks, integer arrays) is a copy.  One op is the gradient of all: `unindex`, adding into zeros.
One op writes: `put`, in `inplace.py`.  Other files' `gather`, `sort`, `embedding` build keys for
them.
"""

from __future__ import annotations

import operator
import warnings
from builtins import slice as Slice
from functools import lru_cache
from typing import Any

import numpy as np

from .. import deferred
from .. import dtypes as dt
from .. import scalar as s
from ..creation import number
from ..declare import composite, elementwise, movement, selection, word
from ..inplace import PUT, is_plain, write
from ..op import run, words
from ..shapes import broadcast
from ..tensor import Tensor, wrap

Array = np.ndarray[Any, Any]

ALL = Slice(None)
INT64 = np.dtype(np.int64)
PLAIN = (int, type(None))


# ---------------------------------------------------------------- reading


@word(arrays=deferred.part_of)
def part_of(g: Any, shape: Any, key: Any) -> Any:
    """The gradient of a part that ints and slices name."""
    return unindex(g, shape, key)


@movement(
    d_x=lambda g, x_shape, key: s.part_of(g, x_shape, key),
    cases=[((3, 4), (1,)), ((3,), (-1,))],
    public=False,
    method=False,
)
def select(x, /, key):
    """The part of ``x`` that one int names."""
    try:
        return x[key] if x.ndim > 1 else x[key, ...]  # NumPy makes no views of single elements
    except IndexError as error:
        raise _spoken(error, x) from None


def _slicing(name: str) -> Any:
    """An op that takes a part by ints, slices, None and an Ellipsis; they differ in name alone.

    Of several parts made at once (`unbind`, `split`) none may be written in place.
    """

    def part(x, /, key):
        try:
            return x[key]
        except IndexError as error:
            raise _spoken(error, x) from None

    part.__name__ = name
    part.__doc__ = "The part of ``x`` that ints, slices, None and an Ellipsis name."
    cases = [((3, 4), ((Slice(1, 3), None, ...),)), ((3, 4), ((..., 1),))]
    return movement(
        quickly=operator.getitem,
        d_x=lambda g, x_shape, key: s.part_of(g, x_shape, key),
        cases=cases,
        public=False,
        method=False,
    )(part)


slice, unbound, section = _slicing("slice"), _slicing("unbind"), _slicing("split")


@selection(
    d_x=lambda g, x_shape, key: s.unindex(g, x_shape, key),
    cases=[
        ((3, 2), {"key": (np.array([0, 2, 0]),)}),
        ((3, 2), {"key": (Slice(None), np.array([1, 1, 0]))}),
        ((3,), {"key": (np.array([True, False, True]),)}),
    ],
    public=False,
    method=False,
)
def index(x, /, key):
    """The elements that masks and integer arrays name, in new memory."""
    try:
        if len(key) == 1 and key[0].dtype.kind == "i":
            return x.take(key[0], 0)
        return x[key]
    except IndexError as error:
        raise _spoken(error, x) from None


@selection(
    d_x=lambda g, key: s.index(g, key),
    cases=[
        ((2,), {"shape": (3, 2), "key": 1}),
        ((3,), {"shape": (4,), "key": (np.array([0, 2, 0]),)}),
    ],
    public=False,
    method=False,
)
def unindex(x, /, shape, key):
    """``x`` added into zeros where ``key`` points: the gradient of reading."""
    return s.unindex(x, shape, key)


def _spoken(error: IndexError, x: Any) -> IndexError:
    """NumPy's complaint about an index, in PyTorch's words."""
    text = str(error)
    words = text.split()
    if "too many indices" in text:
        text = f"too many indices for tensor of dimension {x.ndim}"
        if not x.ndim:
            text = (
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a "
                "0-dim tensor to a number"
            )
    elif "out of bounds for axis" in text:
        text = f"index {words[1]} is out of bounds for dimension {words[8]} with size {words[-1]}"
    elif "boolean index" in text:
        text = f"The shape of the mask does not match the indexed tensor {list(x.shape)}: {text}"
    elif "could not be broadcast" in text:
        text = f"shape mismatch: indexing tensors could not be broadcast together: {text}"
    return IndexError(text)


def is_basic(key: Any) -> bool:
    """Whether a key makes a view: it has no arrays."""
    return key.__class__ is int or not any(k.__class__ is np.ndarray for k in key)


def pick(x: Any, key: Any) -> Any:
    """``x[key]`` for a key in NumPy's terms."""
    if key.__class__ is int:
        return select(x, key)
    return slice(x, key) if is_basic(key) else index(x, key)


words["index"] = pick


def places_along(axis: int, indices: Array, ndim: int) -> tuple[Any, ...]:
    """The key with which ``x[key][i, j, …] = x[i, …, indices[i, j, …], …]``.

    ``indices`` may lack the axis: then so does the result.
    """
    ranges = _ranges(indices.shape)
    return (*ranges[:axis], indices, *ranges[axis + (indices.ndim == ndim) :])


@lru_cache(maxsize=64)  # np.ogrid takes 6 µs
def _ranges(shape: tuple[int, ...]) -> tuple[Any, ...]:
    """0, 1, … along each axis, such that they broadcast to ``shape``."""
    grid = np.ogrid[tuple(Slice(n) for n in shape)]
    for places in grid:
        places.flags.writeable = False
    return tuple(grid)


def keys_of(user_index: Any, ndim: int) -> tuple[Any, Any]:
    """A user's index as two of NumPy's: ints, slices and None first, then the arrays.

    In that order because PyTorch picks with ints before it looks at arrays; NumPy would take an
    int beside arrays for one of them.  Either is None where there is nothing to do.
    """
    kind = user_index.__class__
    if kind is int:
        return user_index, None
    if kind is Slice:
        return (checked_slice(user_index), ...), None
    if kind is list and _means_a_tuple(user_index):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated; "
            "use x[tuple(seq)] instead of x[seq].",
            UserWarning,
            stacklevel=3,
        )
        user_index = tuple(user_index)
    parts = [_part(p) for p in (user_index if isinstance(user_index, tuple) else (user_index,))]
    dots = [i for i, p in enumerate(parts) if p is Ellipsis]
    parts = [p for i, p in enumerate(parts) if i not in dots[1:]]  # the first takes all there is
    if not any(isinstance(p, np.ndarray) for p in parts):
        if len(parts) == 1 and type(parts[0]) is int:
            return parts[0], None
        return tuple(parts if any(p is Ellipsis for p in parts) else [*parts, ...]), None
    taken = sum(p.ndim if _is_mask(p) else p is not None and p is not Ellipsis for p in parts)
    if taken > ndim:
        raise IndexError(f"too many indices for tensor of dimension {ndim}")
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    basic: list[Any] = []
    arrays: list[Any] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            basic += [ALL] * (part.ndim if _is_mask(part) else 1)
            arrays.append(part)
        elif part is Ellipsis:
            basic += [ALL] * (ndim - taken)
            arrays += [ALL] * (ndim - taken)
        else:
            basic.append(part)
            if type(part) is not int:
                arrays.append(ALL)
    while arrays[-1] is ALL:
        arrays.pop()
    return (None if all(p is ALL for p in basic) else (*basic, ...)), tuple(arrays)


def _means_a_tuple(user_index: list[Any]) -> bool:
    """PyTorch's old habit: a short list that holds more than numbers is a tuple of indices."""
    apart = (Slice, Tensor, list, tuple)
    return len(user_index) <= 32 and any(
        p is None or p is Ellipsis or isinstance(p, apart) for p in user_index
    )


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "b"


def _part(part: Any) -> Any:
    kind = type(part)
    if kind is int or part is None or part is Ellipsis:
        return part
    if kind is Slice:
        return checked_slice(part)
    if isinstance(part, Tensor):
        if part.dtype in (dt.int8, dt.int16) and part.array.ndim:
            raise _no_index(part.dtype)
        return _array(part.array)
    if isinstance(part, np.ndarray):
        return _array(part)
    if isinstance(part, (bool, np.bool_)):
        return np.asarray(bool(part))
    if isinstance(part, (list, tuple, range)):
        return _array(np.asarray([p.array if isinstance(p, Tensor) else p for p in part]))
    if isinstance(part, str):
        raise TypeError("new(): invalid data type 'str'")
    if hasattr(part, "__index__"):
        return part.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        f"indices (got {kind.__name__})"
    )


def _no_index(d: Any) -> IndexError:
    return IndexError(
        "tensors used as indices must be long, int, byte or bool tensors; this one is "
        f"{d}: convert it with .long()"
    )


def checked_slice(part: Slice) -> Slice:
    """A slice that PyTorch takes, with ints for tensors; `ValueError` for steps backwards."""
    if part.step is not None and part.step <= 0:
        raise ValueError("step must be greater than zero; flip() reverses an axis")
    start, stop = part.start, part.stop
    if part.step is None and start.__class__ in PLAIN and stop.__class__ in PLAIN:
        return ALL if start is None is stop else part
    if any(isinstance(v, Tensor) for v in (start, stop, part.step)):
        bounds = (start, stop, part.step)
        return Slice(*(None if v is None else v.__index__() for v in bounds))
    if part == ALL:
        return ALL
    return part


def _array(array: Any) -> Any:
    if array.dtype == np.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.",
            UserWarning,
            stacklevel=5,
        )
        return array.astype(bool)
    if array.dtype.kind not in "iub":
        if array.size or array.dtype.names or array.ndim != 1:
            raise _no_index(array.dtype)
        return array.astype(np.int64)
    # A copy, because backward looks at it again, and the user may have written to it by then.
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array.copy()


def _is_int(part: Any) -> bool:
    return part.__class__ is int


def getitem(self: Any, user_index: Any) -> Any:
    """``x[index]``: a view by ints, slices, None and Ellipsis, a copy by masks and integers."""
    kind = user_index.__class__
    if kind is int:
        return select(self, user_index)
    if kind is Slice:
        return slice(self, (checked_slice(user_index), ...))
    if kind is tuple and user_index and all(map(_is_int, user_index)):
        return slice(self, (*user_index, ...))
    if kind is Tensor and self.array.ndim and user_index.array.ndim:
        places = user_index.array
        if places.dtype is INT64:
            return index(self, (places.copy(),))
    basic, arrays = keys_of(user_index, self.array.ndim)
    out = self if basic is None else pick(self, basic)
    return out if arrays is None else index(out, arrays)


def setitem(self: Any, user_index: Any, value: Any) -> None:
    """``x[index] = value``: the value broadcasts and is converted to the tensor's type."""
    if not isinstance(value, Tensor):
        try:
            value = wrap(number(value, self.dtype))
        except TypeError:
            raise TypeError(
                f"can't assign a {type(value).__name__} to a {self.type()}; "
                "wrap it with torch.tensor(...)"
            ) from None
    basic, arrays = keys_of(user_index, self.array.ndim)
    shape = value.array.shape
    if arrays is None and not shape and basic is not None and is_plain(self, value):
        try:
            write(self, value, "setitem_", index=basic)
        except IndexError as error:
            raise _spoken(error, self.array) from None
        return
    part = self if basic is None else pick(self, basic)
    ones = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    try:
        if arrays is None:
            ones = min(ones, max(len(shape) - part.array.ndim, 0))
        write(part, value.reshape(shape[ones:]) if ones else value, "setitem_", index=arrays)
    except IndexError as error:
        raise _spoken(error, part.array) from None


Tensor.__getitem__ = getitem  # type: ignore[attr-defined]
Tensor.__setitem__ = setitem  # type: ignore[attr-defined]


# ---------------------------------------------------------------- writing, out of place


@word
def take(x: Any, region: s.Region) -> Any:
    """The part of ``x`` that ``region`` names."""
    steps, key = region
    for op, settings in steps:
        x = op.function(x, *settings)
    return x if key is None else pick(x, key)


@word
def put(x: Any, value: Any, region: s.Region) -> Any:
    """``x`` with ``value`` in ``region``, elsewhere as it was."""
    if not isinstance(value, Tensor):
        value = wrap(np.asarray(value, x.array.dtype))
    return run(PUT, (x, value), (region,))


PUT.function = put


# ---------------------------------------------------------------- masks


@elementwise(
    d_condition=None,
    d_input=lambda g, condition: s.where(condition, g, 0),
    d_other=lambda g, condition: s.where(condition, 0, g),
    uncounted=("condition",),
    inplace=False,
    method=False,
    public=False,
)
def choose(condition, input, other):
    """``input`` where the condition holds, ``other`` elsewhere."""
    return s.where(condition, input, other)


@composite(method=False)
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition holds, ``other`` elsewhere; alone, the indices where it holds.

    >>> import retrograd as rg
    >>> x = rg.tensor([-1.0, 2.0])
    >>> rg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor):
        raise TypeError(
            "where(): argument 'condition' (position 1) must be Tensor, not "
            f"{type(condition).__name__}"
        )
    if condition.dtype is not dt.bool_:
        if condition.dtype is not dt.uint8:
            raise RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{condition.dtype}; write condition != 0"
            )
        condition = condition.bool()
    return choose(condition, input, other)


@composite(name="where", public=False)
def where_self(self: Any, condition: Any, other: Any) -> Any:
    """This tensor's elements where the condition holds, those of ``other`` elsewhere."""
    return where(condition, self, other)


@composite(inplace=True)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``value`` where the mask holds."""
    _check_mask("masked_fill", mask)
    if not isinstance(value, Tensor):
        value = wrap(number(value, input.dtype))
    elif value.array.ndim:
        raise RuntimeError(
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.array.ndim} dimension(s)."
        )
    elif value.dtype.category > input.dtype.category:
        raise RuntimeError(f"value cannot be converted to type {input.dtype} without overflow")
    return choose(mask, value.to(input.dtype), input)


def _check_mask(name: str, mask: Any) -> None:
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    if mask.dtype is not dt.bool_:
        raise RuntimeError(
            f"{name} only supports boolean masks, but got mask with dtype {mask.dtype}; "
            "write mask != 0 or mask.bool()"
        )


@composite()
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where a mask holds, in one axis."""
    _check_mask("masked_select", mask)
    shape = broadcast(input.array.shape, mask.array.shape)
    return index(input.expand(shape), (np.broadcast_to(mask.array, shape),))


@composite(inplace=True)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The elements where a mask holds replaced by those of ``source``, in order."""
    _check_mask("masked_scatter", mask)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{input.dtype} and {source.dtype}"
        )
    shape = broadcast(input.array.shape, mask.array.shape)
    holds = np.broadcast_to(mask.array, shape)
    n = int(np.count_nonzero(holds))
    if source.array.size < n:
        raise RuntimeError(
            f"masked_scatter: the mask holds {n} times, but source has only "
            f"{source.array.size} elements"
        )
    return put(input.expand(shape), source.reshape(-1)[:n], ((), (holds,)))


@composite()
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The indices of nonzero elements: one row each, or one tensor per axis."""
    found = np.nonzero(np.atleast_1d(dt.widen(input.array)))
    if as_tuple:
        return tuple(wrap(axis) for axis in found)
    rows = np.stack(found, axis=1) if input.array.ndim else np.empty((len(found[0]), 0), np.int64)
    return wrap(np.ascontiguousarray(rows))


@composite()
def argwhere(input: Any) -> Any:
    """The indices of nonzero elements, one row each."""
    return nonzero(input)


@composite()
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are nonzero, of all or along ``dim``."""
    return (input != 0).sum(dim)


@composite(method=False, public=False)
def embedding_rows(weight: Any, indices: Any) -> Any:
    """The rows of a table."""
    n = weight.array.shape[0]
    array = indices.array
    if array.size and not (array.min() >= 0 and array.max() < n):
        raise IndexError(f"index out of range in self: the table has {n} rows")
    return index(weight, (array.copy(),))
