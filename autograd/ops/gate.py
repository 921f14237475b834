"""Nonlinearities that clip, shrink or gate: what is beyond the everyday ones of `activation.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import scalar as s
from ..declare import composite, elementwise


@elementwise(
    d_x=lambda g, x, min_val, max_val: s.where((x <= min_val) | (x >= max_val), 0, g),
    kinks=(-1.0, 0.0, 1.0, 0.5), method=False, public=False, inplace=False,
    cases=[{}, {"min_val": 0, "max_val": 0.5}],
)  # fmt: skip
def hardtanh(x, /, min_val=-1.0, max_val=1.0):
    """``x`` clipped to [min_val, max_val]; the slope at both ends is taken as zero."""
    return s.minimum(s.maximum(x, min_val), max_val)


@elementwise(
    promote="float", ints="refuse", d_x=lambda g, x: s.where((x > -3) & (x < 3), g / 6, 0),
    kinks=(-3.0, 3.0), domain=(-4.0, 4.0), method=False, public=False, inplace=False,
)  # fmt: skip
def hardsigmoid(x):
    """A straight line through (-3, 0) and (3, 1), clipped to [0, 1]."""
    return s.minimum(s.maximum(x + 3, 0), 6) / 6


@elementwise(
    promote="float", ints="refuse",
    d_x=lambda g, x: s.where(x <= -3, 0, s.where(x < 3, g * (x / 3 + 0.5), g)),
    kinks=(-3.0, 3.0), domain=(-4.0, 4.0), method=False, public=False, inplace=False,
)  # fmt: skip
def hardswish(x):
    """``x · hardsigmoid(x)`` (Howard et al. 2019)."""
    return x * s.minimum(s.maximum(x + 3, 0), 6) / 6


@elementwise(
    d_x=lambda g, x, lambd: s.where((x >= -lambd) & (x <= lambd), 0, g),
    kinks=(-0.5, 0.5), inplace=False, cases=[{}, {"lambd": 0.0}],
)  # fmt: skip
def hardshrink(x, /, lambd=0.5):
    """Zero within [-λ, λ], ``x`` outside."""
    return s.where((x >= -lambd) & (x <= lambd), 0, x)


@elementwise(
    ints="refuse",
    d_x=lambda g, x, lambd: s.where((x >= -lambd) & (x <= lambd), 0, g),
    kinks=(-0.5, 0.5), method=False, public=False, inplace=False, cases=[{}, {"lambd": 0.0}],
)  # fmt: skip
def softshrink(x, /, lambd=0.5):
    """``x`` moved towards zero by λ, and zero where it would pass it."""
    # x·0 within the band, so that NaN stays NaN.
    return s.where(x > lambd, x - lambd, s.where(x < -lambd, x + lambd, x * 0))


@elementwise(
    d_x=lambda g, x, threshold: s.where(x <= threshold, 0, g),
    kinks=(0.1,), method=False, inplace=False, cases=[{"threshold": 0.1, "value": 20}],
)  # fmt: skip
def threshold(x, /, threshold, value):
    """``x`` where it exceeds the threshold, one value elsewhere."""
    return s.where(x <= threshold, value, x)


@elementwise(
    promote="float", ints="refuse",
    d_x=lambda g, x, alpha: s.where(x > 0, g, g * s.exp(s.where(x > 0, 0, x) / alpha)),
    kinks=(0.0,), method=False, inplace=False, cases=[{}, {"alpha": 0.5}, {"alpha": -2.0}],
)  # fmt: skip
def celu(x, /, alpha=1.0):
    """``x`` where positive, ``α · (e^(x/α) - 1)`` elsewhere: smooth for every α (Barron 2017)."""
    return s.where(x > 0, x, alpha * s.expm1(s.minimum(x, 0) / alpha))


# The two numbers make mean 0 and variance 1 a fixed point of the layer (Klambauer et al. 2017).
@elementwise(
    promote="float", ints="refuse",
    d_x=lambda g, x: s.where(x > 0, g * 1.0507009873554805,
                             g * (1.7580993408473766 * s.exp(s.where(x > 0, 0, x)))),
    kinks=(0.0,), method=False, inplace=False,
)  # fmt: skip
def selu(x):
    """`elu` with α ≈ 1.6733, scaled by 1.0507."""
    return s.where(x > 0, x * 1.0507009873554805, 1.7580993408473766 * s.expm1(s.minimum(x, 0)))


@elementwise(
    promote="float", ints="refuse",
    d_x=lambda g, x: g * (
        s.tanh(s.log1p(s.exp(-s.abs(x))) + s.maximum(x, 0))
        + x * (1 - s.tanh(s.log1p(s.exp(-s.abs(x))) + s.maximum(x, 0))
               * s.tanh(s.log1p(s.exp(-s.abs(x))) + s.maximum(x, 0))) / (1 + s.exp(-x))
    ),
    method=False, public=False, inplace=False,
)  # fmt: skip
def mish(x):
    """``x · tanh(softplus(x))`` (Misra 2019)."""
    return x * s.tanh(s.log1p(s.exp(-s.abs(x))) + s.maximum(x, 0))


@elementwise(
    promote="float", ints="refuse", d_x=lambda g, x: g / (1 + s.exp(x)),
    method=False, public=False, inplace=False,
)  # fmt: skip
def logsigmoid(x):
    """``log(1 / (1 + e⁻ˣ))``, without overflow."""
    return s.minimum(x, 0) - s.log1p(s.exp(-s.abs(x)))


@elementwise(
    d_x=lambda g, x, slope: s.where(x > 0, g, g * slope),
    d_slope=lambda g, x: s.where(x > 0, 0, g * x),
    kinks=(0.0,), method=False, public=False, inplace=False,
)  # fmt: skip
def leak(x, slope):
    """``x`` where positive, ``slope · x`` elsewhere, with a slope for each element."""
    return s.where(x > 0, x, x * slope)


@elementwise(
    d_x=lambda g, scale: g * scale, d_scale=None,
    cases=[((2, 3), np.ones(3))],  # with any other scale the slope is no derivative
    method=False, public=False, inplace=False,
)  # fmt: skip
def scale_gradient(x, scale):
    """``x`` itself; its gradient is multiplied by ``scale`` on the way back."""
    return x + 0


@composite()
def prelu(input: Any, weight: Any) -> Any:
    """``x`` where positive, ``weight · x`` elsewhere: one weight for all, or one for each channel.

    Shape: input ``(N, C, *)``, weight ``(1,)`` or ``(C,)``.
    """
    if weight.array.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.array.size != 1:
        if not input.array.ndim:
            raise RuntimeError("Not allow zero-dim input tensor: give prelu a single weight")
        channels = input.array.shape[1] if input.array.ndim > 1 else 1
        if weight.array.size != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.array.size} and channel size = {channels}."
            )
        weight = weight.reshape(1, -1, *[1] * (input.array.ndim - 2))
    elif input.array.ndim != 1 and weight.array.ndim:
        weight = weight.reshape((1,) * input.array.ndim)
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}"
        )
    return leak(input, weight)
