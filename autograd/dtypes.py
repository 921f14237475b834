"""Element types and the rules of promotion: PyTorch's, not NumPy's.

A `dtype` pairs PyTorch's name with the NumPy type that stores it.  float16 and bfloat16 are
*storage* types: their arrays are of a one-field record type, which no ufunc accepts, so arithmetic
on them leaves the fast path by itself and is done in float32.

Promotion: tensors with dimensions decide first, 0-d tensors and then Python numbers only lift the
result to a higher category (bool < integer < float < complex).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = [
    "bfloat16",
    "bool_",
    "can_cast",
    "complex64",
    "complex128",
    "dtype",
    "finfo",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "promote_types",
    "set_default_dtype",
    "uint8",
]

Array = np.ndarray[Any, Any]

BOOL, INTEGER, FLOAT, COMPLEX = range(4)


class dtype:  # noqa: N801 - PyTorch's name
    """The type of a tensor's elements.

    >>> import retrograd as rg
    >>> rg.float64, rg.float64.itemsize, rg.int8.is_floating_point
    (torch.float64, 8, False)
    """

    __slots__ = ("array", "category", "compute", "name", "rank")

    def __init__(self, name: str, array: Any, category: int, rank: int, compute: Any = None):
        self.name = name
        self.array: np.dtype[Any] = np.dtype(array)
        self.category = category
        self.rank = rank
        # What arithmetic is done in; differs from `array` for storage types only.
        self.compute: np.dtype[Any] = self.array if compute is None else np.dtype(compute)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name

    @property
    def is_floating_point(self) -> bool:
        """Whether this is a real floating type."""
        return self.category == FLOAT

    @property
    def is_complex(self) -> bool:
        """Whether this is a complex type."""
        return self.category == COMPLEX

    @property
    def is_signed(self) -> bool:
        """Whether negative numbers can be represented."""
        return self is not uint8 and self is not bool_

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.array.itemsize

    def to_real(self) -> dtype:
        """The real type of a complex one's parts; itself otherwise."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex type whose parts are of this type."""
        return complex128 if self in (float64, complex128) else complex64


uint8 = dtype("uint8", np.uint8, INTEGER, 0)
int8 = dtype("int8", np.int8, INTEGER, 0)
int16 = dtype("int16", np.int16, INTEGER, 1)
int32 = dtype("int32", np.int32, INTEGER, 2)
int64 = dtype("int64", np.int64, INTEGER, 3)
float16 = dtype("float16", [("float16", np.float16)], FLOAT, 0, np.float32)
bfloat16 = dtype("bfloat16", [("bfloat16", np.uint16)], FLOAT, 0, np.float32)
float32 = dtype("float32", np.float32, FLOAT, 1)
float64 = dtype("float64", np.float64, FLOAT, 2)
complex64 = dtype("complex64", np.complex64, COMPLEX, 1)
complex128 = dtype("complex128", np.complex128, COMPLEX, 2)
bool_ = dtype("bool", np.bool_, BOOL, 0)

ALL = (
    *(uint8, int8, int16, int32, int64),
    *(float16, bfloat16, float32, float64),
    *(complex64, complex128, bool_),
)
BY_ARRAY: dict[np.dtype[Any], dtype] = {d.array: d for d in ALL} | {np.dtype(np.float16): float16}

_default = float32


def get_default_dtype() -> dtype:
    """The type of floats that come from Python numbers: float32 unless changed."""
    return _default


def set_default_dtype(d: dtype, /) -> None:
    """Make ``d`` the type that Python floats become.

    Raises `TypeError` when ``d`` is not a floating type.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(
            "only floating-point types are supported as the default type; "
            f"got {d!r}, choose float32 or float64"
        )
    _default = d


def of_array(array: np.dtype[Any]) -> dtype:
    """The `dtype` that a NumPy type stands for; `TypeError` when there is none."""
    found = BY_ARRAY.get(array)
    if found is None:
        found = BY_ARRAY.get(array.newbyteorder("="))
    if found is None:
        names = ", ".join(d.name for d in ALL)
        raise TypeError(
            f"can't convert np.ndarray of type numpy.{array}. The only supported types are: {names}"
        )
    return found


def of_number(value: Any) -> dtype:
    """What a Python number weighs in promotion: bool, int64, or the default float or complex."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return _default
    return _default.to_complex()


def as_dtype(value: Any) -> dtype:
    """A `dtype` from a `dtype`, a Python type (``float``) or None (the default)."""
    if isinstance(value, dtype):
        return value
    named = {None: _default, bool: bool_, int: int64, float: float64, complex: complex128}
    try:
        return named[value]
    except (KeyError, TypeError):
        raise TypeError(f"dtype must be a torch.dtype such as float32, not {value!r}") from None


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that both can be converted to.

    >>> import retrograd as rg
    >>> rg.promote_types(rg.int64, rg.float16), rg.promote_types(rg.uint8, rg.int8)
    (torch.float16, torch.int16)
    """
    low, high = sorted((type1, type2), key=lambda d: (d.category, d.rank))
    if low is high or low.category == BOOL:
        return high
    if high.category == INTEGER:
        return int16 if {low, high} == {uint8, int8} else high
    if low.category == INTEGER:
        return high
    if high.category == COMPLEX:
        return complex128 if low in (float64, complex128) else high
    return float32 if {low, high} == {float16, bfloat16} else high


def result_of(
    with_dims: Iterable[dtype], zero_dim: Iterable[dtype], numbers: Iterable[Any]
) -> dtype:
    """The type an operation computes in, from the weights of its operands."""
    strongest: dtype | None = None
    for group in (with_dims, zero_dim, (of_number(n) for n in numbers)):
        weakest: dtype | None = None
        for d in group:
            weakest = d if weakest is None else promote_types(weakest, d)
        if strongest is None or weakest is None:
            strongest = strongest or weakest
        elif weakest.category > strongest.category:
            lifts = strongest.category == FLOAT and weakest.category == COMPLEX
            strongest = strongest.to_complex() if lifts else weakest
    assert strongest is not None, "promotion of no operand"
    return strongest


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a value of one type may be written into another: never to a lower category."""
    return from_.category <= to.category


class finfo:  # noqa: N801 - PyTorch's name
    """Limits of a floating type: ``bits eps max min tiny smallest_normal resolution``.

    >>> import retrograd as rg
    >>> rg.finfo(rg.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: dtype | None = None, /):
        d = as_dtype(type)
        if d.category < FLOAT:
            raise TypeError(f"torch.finfo() requires a floating point input type; {d} has iinfo")
        self.dtype = d.name
        self.bits = d.to_real().itemsize * 8
        if d is bfloat16:
            self.eps, self.max, self.tiny = 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126
            self.resolution = 0.01
        else:
            info = np.finfo(np.float16 if d is float16 else d.to_real().array)
            self.eps, self.max, self.tiny = float(info.eps), float(info.max), float(info.tiny)
            self.resolution = float(info.resolution)
        self.min, self.smallest_normal = -self.max, self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.tiny:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's name
    """Limits of an integer type: ``bits min max``.

    >>> import retrograd as rg
    >>> rg.iinfo(rg.uint8).max
    255
    """

    def __init__(self, type: dtype, /):
        if as_dtype(type).category != INTEGER:
            raise TypeError(f"torch.iinfo() requires an integer input type; {type} is not one")
        info = np.iinfo(type.array)
        self.dtype, self.bits = type.name, info.bits
        self.min, self.max = int(info.min), int(info.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def widen(array: Array) -> Array:
    """Values of a storage type in the type arithmetic is done in; other arrays as they are.

    A bfloat16 is the upper half of a float32.
    """
    name = array.dtype.names
    if name is None:
        return array
    if name[0] == "float16":
        return array["float16"].astype(np.float32)
    return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)


def cast(array: Array, to: dtype) -> Array:
    """A copy of ``array`` in another type, as C casts; complex drops its imaginary part."""
    array = widen(array)
    if array.dtype.kind == "c" and to.category < COMPLEX:
        array = array.real
    with np.errstate(all="ignore"):
        if to is float16:
            return array.astype(np.float16).view(float16.array)
        if to is bfloat16:
            return _round_to_bfloat16(array.astype(np.float32))
        return array.astype(to.array)


def _round_to_bfloat16(array: Array) -> Array:
    """Round to nearest, ties to even, by integer arithmetic on the bits; NaN stays NaN."""
    bits = array.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    halves = np.where(np.isnan(array), np.uint32(0x7FC0), rounded).astype(np.uint16)
    return halves.view(bfloat16.array)
