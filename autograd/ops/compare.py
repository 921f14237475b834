"""Comparison and logic.  Not differentiable, and says so: every rule is None."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import scalar as s
from ..declare import alias, composite, elementwise
from ..tensor import Tensor, wrap
from .arithmetic import check_tensors


@elementwise(symbol="==", promote="bool", numbers="other", d_a=None, d_b=None)
def eq(a, b):
    """Where the two are equal."""
    return a == b


@elementwise(symbol="!=", promote="bool", numbers="other", d_a=None, d_b=None)
def ne(a, b):
    """Where the two differ."""
    return a != b


@elementwise(symbol="<", promote="bool", numbers="other", ordered=True, d_a=None, d_b=None)
def lt(a, b):
    """Where the first is smaller."""
    return a < b


@elementwise(symbol="<=", promote="bool", numbers="other", ordered=True, d_a=None, d_b=None)
def le(a, b):
    """Where the first is not larger."""
    return a <= b


@elementwise(symbol=">", promote="bool", numbers="other", ordered=True, d_a=None, d_b=None)
def gt(a, b):
    """Where the first is larger."""
    return a > b


@elementwise(symbol=">=", promote="bool", numbers="other", ordered=True, d_a=None, d_b=None)
def ge(a, b):
    """Where the first is not smaller."""
    return a >= b


@elementwise(promote="bool", d_x=None, inplace=False)
def isnan(x):
    """Where the value is not a number."""
    return s.isnan(x)


@elementwise(symbol="&", numbers="either", d_a=None, d_b=None, domain=(0, 16))
def bitwise_and(a, b):
    """Bit by bit and; logical and for truth values."""
    return a & b


@elementwise(symbol="|", numbers="either", d_a=None, d_b=None, domain=(0, 16))
def bitwise_or(a, b):
    """Bit by bit or; logical or for truth values."""
    return a | b


@elementwise(symbol="^", numbers="either", d_a=None, d_b=None, domain=(0, 16))
def bitwise_xor(a, b):
    """Bit by bit exclusive or."""
    return a ^ b


@elementwise(symbol="~", d_x=None, domain=(0, 16))
def bitwise_not(x):
    """Bit by bit not; logical not for truth values."""
    return ~x


@elementwise(symbol="<<", numbers="either", d_a=None, d_b=None, domain=(0, 8))
def bitwise_left_shift(a, b):
    """``a · 2ᵇ`` by moving bits."""
    return s.shift_left(a, b)


@elementwise(symbol=">>", numbers="either", d_a=None, d_b=None, domain=(0, 8))
def bitwise_right_shift(a, b):
    """``a / 2ᵇ``, rounded down, by moving bits."""
    return s.shift_right(a, b)


@composite()
def isposinf(input: Any) -> Any:
    """Where the value is plus infinity."""
    return _is_infinity(input, float("inf"))


@composite()
def isneginf(input: Any) -> Any:
    """Where the value is minus infinity."""
    return _is_infinity(input, float("-inf"))


def _is_infinity(input: Any, value: float) -> Any:
    if input.is_complex():
        raise RuntimeError("isposinf and isneginf do not support complex inputs; test the parts")
    return eq(input, value) if input.is_floating_point() else ne(input, input)


@composite(inplace=True)
def logical_not(input: Any) -> Any:
    """Where the value is zero."""
    return eq(input, 0)


@composite(inplace=True)
def logical_and(input: Any, other: Any) -> Any:
    """Where both are nonzero."""
    check_tensors("logical_and", input, other)
    return bitwise_and(ne(input, 0), ne(other, 0))


@composite(inplace=True)
def logical_or(input: Any, other: Any) -> Any:
    """Where either is nonzero."""
    check_tensors("logical_or", input, other)
    return bitwise_or(ne(input, 0), ne(other, 0))


@composite(inplace=True)
def logical_xor(input: Any, other: Any) -> Any:
    """Where exactly one is nonzero."""
    check_tensors("logical_xor", input, other)
    return bitwise_xor(ne(input, 0), ne(other, 0))


@composite()
def isinf(input: Any) -> Any:
    """Where the value is infinite."""
    return eq(input.abs(), float("inf")) if input.is_floating_point() else ne(input, input)


@composite()
def isfinite(input: Any) -> Any:
    """Where the value is neither infinite nor NaN."""
    return logical_not(bitwise_or(isinf(input), ne(input, input)))


@composite()
def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same size and the same elements."""
    return bool(np.array_equal(input.array, other.array))


@composite()
def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Where ``|a - b| ≤ atol + rtol·|b|``."""
    check_tensors("isclose", input, other)
    _same_type("isclose", input, other)
    if rtol < 0 or atol < 0:
        raise RuntimeError(
            f"rtol and atol must be greater than or equal to zero, but got {rtol} and {atol}"
        )
    return wrap(np.asarray(np.isclose(input.array, other.array, rtol, atol, equal_nan)))


@composite()
def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


def _same_type(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"{name}: {a.dtype} did not match {b.dtype}; convert one of them")


alias("ne", "not_equal")
alias("lt", "less")
alias("le", "less_equal")
alias("gt", "greater")
alias("ge", "greater_equal")
