"""What data becomes: nested sequences, arrays and numbers, read as PyTorch reads them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import dtypes as dt
from .dtypes import dtype
from .tensor import Tensor

Array = np.ndarray[Any, Any]
ORDINARY = frozenset((list, tuple, float, int))
EXACT = {float: 3e38, int: 2**53}  # numbers nearer to zero are rounded once and fit float32


def array_of(data: Any, d: dtype | None = None) -> Array:
    """A new array with PyTorch's reading of nested data: floats are the default float type."""
    if data.__class__ not in ORDINARY:
        if isinstance(data, Tensor):
            return dt.cast(data.array, d or data.dtype)
        if isinstance(data, (np.ndarray, np.generic)):
            masked = isinstance(data, np.ma.MaskedArray)
            return _converted(np.asarray(data), type_of(data) if d is None or masked else d)
        if isinstance(data, (str, bytes)):
            raise TypeError(
                f"new(): invalid data type '{type(data).__name__}': {data!r} is no number"
            )
        if isinstance(data, (dict, set, frozenset)) or data is None:
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    leaf = _first_leaf(data)
    if isinstance(leaf, Tensor):
        data, leaf, d = _numbers_of(data), None, d or _promoted(data)
    try:
        array = np.array(data)
    except OverflowError as error:
        raise ValueError(f"Overflow when unpacking long long: {error}") from None
    except ValueError as error:
        raise _uneven(data) or ValueError(str(error)) from None
    kind = array.dtype.kind
    if kind not in "fiubc":
        raise _no_numbers(data, array)
    if d is None:
        d = _default_type(array, leaf)
    if kind == "u" and array.itemsize == 8 and not isinstance(leaf, np.generic):
        raise ValueError("Overflow when unpacking long long: a value does not fit int64")
    return array if array.dtype is d.array else _converted(array, d)


def type_of(array: Array | np.generic) -> dtype:
    """The type an array becomes a tensor in; `TypeError` for arrays that cannot."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask; fill it first: array.filled(value)")
    if array.dtype.kind == "O":
        raise TypeError(
            "can't convert np.ndarray of type numpy.object_: make it numeric first, "
            "as in array.astype(float)"
        )
    return dt.of_array(array.dtype)


def _converted(array: Array, d: dtype) -> Array:
    """A copy in another type; `RuntimeError` where an integer type cannot hold the values."""
    if array.dtype.kind == "f" == d.array.kind:
        with np.errstate(all="ignore"):
            return array.astype(d.array)
    if array.dtype.kind == "c" and d.category < dt.COMPLEX:
        raise TypeError("must be real number, not complex; take .real first")
    if d.category == dt.INTEGER and array.size and array.dtype.kind in "iuf":
        limits = np.iinfo(d.array)
        low, high = array.min(), array.max()
        if not (low >= (limits.min or -limits.max) and high <= limits.max):
            raise _does_not_fit(high if high > limits.max else low, d)
    return dt.cast(array, d)


def _first_leaf(data: Any) -> Any:
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _default_type(array: Array, leaf: Any) -> dtype:
    """The type of Python numbers; NumPy's own numbers keep theirs."""
    if isinstance(leaf, (np.generic, np.ndarray)):
        return dt.of_array(array.dtype)
    if not array.size or array.dtype.kind == "f":
        return dt.get_default_dtype()
    if array.dtype.kind == "c":
        return dt.get_default_dtype().to_complex()
    return dt.bool_ if array.dtype.kind == "b" else dt.int64


def _numbers_of(data: Any) -> Any:
    """Nested sequences with the tensors inside them as numbers."""
    if isinstance(data, Tensor):
        if data.array.size != 1:
            raise ValueError(
                "only one element tensors can be converted to Python scalars; "
                f"this one is {list(data.shape)}: join tensors with torch.stack or torch.cat"
            )
        return data.item()
    return [_numbers_of(x) for x in data] if isinstance(data, (list, tuple)) else data


def _promoted(data: Any) -> dtype:
    if isinstance(data, Tensor):
        return data.dtype
    if not isinstance(data, (list, tuple)):
        return dt.of_number(data)
    found = _promoted(data[0])
    for x in data[1:]:
        found = dt.promote_types(found, _promoted(x))
    return found


def _uneven(data: Any) -> Exception | None:
    """What is wrong with nested data that is no box."""
    if not isinstance(data, (list, tuple, np.ndarray)):
        return None
    lengths = {len(x) if isinstance(x, (list, tuple, np.ndarray)) else -1 for x in data}
    if -1 in lengths and len(lengths) > 1:
        return TypeError(
            "not a sequence: numbers and sequences stand side by side; every level must hold "
            "numbers or sequences of equal length"
        )
    if len(lengths) > 1:
        first, other = len(data[0]), next(len(x) for x in data if len(x) != len(data[0]))
        return ValueError(f"expected sequence of length {first} at dim 1 (got {other})")
    return next((error for error in map(_uneven, data) if error is not None), None)


def _no_numbers(data: Any, array: Array) -> Exception:
    if array.dtype.kind in "US":
        if isinstance(data, (list, tuple)) and not isinstance(data[0], (str, bytes, list, tuple)):
            return TypeError("new(): invalid data type 'str': text stands among the numbers")
        return ValueError(f"too many dimensions 'str': {array.ravel()[0]!r} is no number")
    if array.ndim == 0 or not isinstance(data, (list, tuple)):
        return RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    strange = [x for x in array.ravel().tolist() if not isinstance(x, (bool, int, float, complex))]
    if not strange:
        return ValueError("Overflow when unpacking long long: a value does not fit int64")
    return RuntimeError(f"Could not infer dtype of {type(strange[0]).__name__}")


def number(value: Any, d: dtype) -> Array:
    """One number as a 0-d array of type ``d``.

    Raises `RuntimeError` when the type cannot hold it, `TypeError` when it is no number.
    """
    limit = EXACT.get(value.__class__)
    if limit is not None and d.array.kind == "f" and -limit < value < limit:
        return np.array(value, d.array)
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (bool, int, float, complex)):
        raise TypeError(f"expected a number, not {type(value).__name__}")
    if d is dt.bool_:
        return np.asarray(bool(value))
    if d.category < dt.COMPLEX and isinstance(value, complex):
        if value.imag:
            raise _does_not_fit(value, d)
        value = value.real
    if d.category == dt.INTEGER:
        limits = np.iinfo(d.array)
        low = limits.min or -limits.max  # C lets unsigned types wrap round below zero
        if not low <= value <= limits.max:
            raise _does_not_fit(value, d)
        return np.asarray(int(value)).astype(d.array)
    array = dt.cast(np.asarray(value), d)
    if d.category == dt.FLOAT and abs(value) != math.inf and np.isinf(dt.widen(array)):
        raise _does_not_fit(value, d)
    return array


def _does_not_fit(value: Any, d: dtype) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {d.name} without overflow: {value!r}")
