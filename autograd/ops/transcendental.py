"""Exponentials, logarithms, trigonometry, and the error function."""

from __future__ import annotations

from typing import Any

from .. import scalar as s
from ..creation import tensor
from ..declare import alias, composite, elementwise
from ..tensor import Tensor
from .arithmetic import check_tensors, clamp


@elementwise(promote="float", d_x=lambda g, out: g * out)
def exp(x):
    """``e`` raised to ``x``."""
    return s.exp(x)


@elementwise(promote="float", d_x=lambda g, out: g * (out * 0.6931471805599453))
def exp2(x):
    """2 raised to ``x``."""
    return s.exp2(x)


@elementwise(promote="float", d_x=lambda g, out: g * (out + 1))
def expm1(x):
    """``eˣ - 1``, accurate near zero."""
    return s.expm1(x)


@elementwise(promote="float", d_x=lambda g, x: g / x, domain=(0.1, 3.0))
def log(x):
    """The natural logarithm."""
    return s.log(x)


@elementwise(promote="float", d_x=lambda g, x: g / (x * 0.6931471805599453), domain=(0.1, 3.0))
def log2(x):
    """The logarithm to base 2."""
    return s.log2(x)


@elementwise(promote="float", d_x=lambda g, x: g / (x * 2.302585092994046), domain=(0.1, 3.0))
def log10(x):
    """The logarithm to base 10."""
    return s.log10(x)


@elementwise(promote="float", d_x=lambda g, x: g / (x + 1), domain=(-0.9, 3.0))
def log1p(x):
    """``log(1 + x)``, accurate near zero."""
    return s.log1p(x)


@elementwise(promote="float", d_x=lambda g, out: g / (2 * out), domain=(0.1, 3.0))
def sqrt(x):
    """The square root."""
    return s.sqrt(x)


@elementwise(promote="float", d_x=lambda g, out: -0.5 * g * (out * out * out), domain=(0.1, 3.0))
def rsqrt(x):
    """``1 / √x``."""
    return 1 / s.sqrt(x)


@elementwise(promote="float", d_x=lambda g, x: g * s.cos(x))
def sin(x):
    """The sine of an angle in radians."""
    return s.sin(x)


@elementwise(promote="float", d_x=lambda g, x: -g * s.sin(x))
def cos(x):
    """The cosine of an angle in radians."""
    return s.cos(x)


@elementwise(promote="float", d_x=lambda g, out: g * (1 + out * out), domain=(-1.4, 1.4))
def tan(x):
    """The tangent of an angle in radians."""
    return s.tan(x)


@elementwise(promote="float", d_x=lambda g, x: g * s.cosh(x))
def sinh(x):
    """The hyperbolic sine."""
    return s.sinh(x)


@elementwise(promote="float", d_x=lambda g, x: g * s.sinh(x))
def cosh(x):
    """The hyperbolic cosine."""
    return s.cosh(x)


# g - g·out², not g·(1 - out²): a formula without numbers has none to look up, 0.07 µs less.
@elementwise(promote="float", d_x=lambda g, out: g - g * out * out)
def tanh(x):
    """Hyperbolic tangent: squashes the real line into (-1, 1)."""
    return s.tanh(x)


@elementwise(promote="float", d_x=lambda g, x: g / s.sqrt(1 - x * x), domain=(-0.9, 0.9))
def asin(x):
    """The angle in [-π/2, π/2] whose sine is ``x``."""
    return s.asin(x)


@elementwise(promote="float", d_x=lambda g, x: -g / s.sqrt(1 - x * x), domain=(-0.9, 0.9))
def acos(x):
    """The angle in [0, π] whose cosine is ``x``."""
    return s.acos(x)


@elementwise(promote="float", d_x=lambda g, x: g / (x * x + 1))
def atan(x):
    """The angle in (-π/2, π/2) whose tangent is ``x``."""
    return s.atan(x)


@elementwise(promote="float", d_x=lambda g, x: g / s.sqrt(x * x + 1))
def asinh(x):
    """The inverse of `sinh`."""
    return s.asinh(x)


@elementwise(promote="float", d_x=lambda g, x: g / s.sqrt(x * x - 1), domain=(1.1, 4.0))
def acosh(x):
    """The inverse of `cosh`."""
    return s.acosh(x)


@elementwise(promote="float", d_x=lambda g, x: g / (1 - x * x), domain=(-0.9, 0.9))
def atanh(x):
    """The inverse of `tanh`."""
    return s.atanh(x)


@elementwise(
    numbers="none",
    promote="float",
    d_a=lambda g, a, b: s.where(g == 0, 0, g * b / (a * a + b * b)),
    d_b=lambda g, a, b: s.where(g == 0, 0, -g * a / (a * a + b * b)),
    domain=(0.5, 2.0),
)
def atan2(a, b):
    """The angle of the point ``(b, a)``."""
    return s.atan2(a, b)


@elementwise(promote="float", d_x=lambda g, x: g * (1.1283791670955126 * s.exp(-x * x)))
def erf(x):
    """The error function ``2/√π ∫₀ˣ exp(-t²) dt``."""
    return s.erf(x)


@elementwise(promote="float", d_x=lambda g, x: -g * (1.1283791670955126 * s.exp(-x * x)))
def erfc(x):
    """``1 - erf(x)``, accurate where that is tiny."""
    return s.erfc(x)


@elementwise(
    promote="float",
    d_x=lambda g, x: s.where(x == 0, 0, g * (s.cos(3.141592653589793 * x)
                             - s.sin(3.141592653589793 * x) / (3.141592653589793 * x)) / x),
)  # fmt: skip
def sinc(x):
    """``sin(πx) / (πx)``, and 1 at zero."""
    return s.where(x == 0, 1, s.sin(3.141592653589793 * x) / (3.141592653589793 * x))


@elementwise(promote="float", d_x=lambda g, x: g / (x * (1 - x)), domain=(0.1, 0.9),
             public=False, method=False, inplace=False)  # fmt: skip
def log_odds(x):
    """``log(x / (1 - x))``, the inverse of `sigmoid`."""
    return s.log(x / (1 - x))


@composite(inplace=True)
def logit(input: Any, eps: float | None = None) -> Any:
    """``log(x / (1 - x))`` of ``x`` clamped to ``[eps, 1 - eps]``: the inverse of `sigmoid`."""
    return log_odds(input if eps is None else clamp(input, eps, 1 - eps))


@elementwise(
    promote="float",
    d_a=lambda g, a, b: s.where((a == 0) & (b <= 0), 0, g * s.log(b)),
    d_b=lambda g, a, b: g * (a / b),
    domain=(0.5, 2.0), public=False, method=False, inplace=False,
)  # fmt: skip
def times_log(a, b):
    """``a · log(b)``, and zero where ``a`` is zero unless ``b`` is NaN."""
    return s.where((a == 0) & (b == b), 0, a * s.log(b))


@composite(inplace=True)
def xlogy(input: Any, other: Any) -> Any:
    """``input · log(other)``, and zero where ``input`` is zero unless ``other`` is NaN."""
    if not isinstance(input, Tensor):
        check_tensors("xlogy", other)
        input = _number_like(other, input)
    elif not isinstance(other, Tensor):
        other = _number_like(input, other)
    return times_log(input, other)


def _number_like(x: Tensor, number: float) -> Tensor:
    """A number as a tensor that leaves the other's type as it is."""
    return tensor(number, dtype=x.dtype if x.is_floating_point() else None)


@elementwise(
    numbers="none",
    inplace=False,
    promote="float",
    ints="refuse",
    d_a=lambda g, a, b: g / (1 + s.exp(b - a)),
    d_b=lambda g, a, b: g / (1 + s.exp(a - b)),
)
def logaddexp(a, b):
    """``log(eᵃ + eᵇ)``, without overflow."""
    return s.where(a == b, a + 0.6931471805599453,
                   s.maximum(a, b) + s.log1p(s.exp(-s.abs(a - b))))  # fmt: skip


@elementwise(
    numbers="none",
    inplace=False,
    promote="float",
    ints="refuse",
    d_a=lambda g, a, b: g / (1 + s.exp2(b - a)),
    d_b=lambda g, a, b: g / (1 + s.exp2(a - b)),
)
def logaddexp2(a, b):
    """``log2(2ᵃ + 2ᵇ)``, without overflow."""
    return s.where(a == b, a + 1, s.maximum(a, b)
                   + 1.4426950408889634 * s.log1p(s.exp2(-s.abs(a - b))))  # fmt: skip


@elementwise(promote="float", d_x=lambda g: g * 0.017453292519943295)
def deg2rad(x):
    """Degrees as radians."""
    return x * 0.017453292519943295


@elementwise(promote="float", d_x=lambda g: g * 57.29577951308232)
def rad2deg(x):
    """Radians as degrees."""
    return x * 57.29577951308232


for _name in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2"):
    alias(_name, _name.replace("a", "arc", 1))
