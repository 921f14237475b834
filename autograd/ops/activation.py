"""The nonlinearities of networks, element by element, and the soft maximum."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import rows, scores
from .. import scalar as s
from ..declare import composite, elementwise, opaque, word


@elementwise(promote="float", d_x=lambda g, out: g * ((1 - out) * out))
def sigmoid(x):
    """Logistic curve ``1 / (1 + e⁻ˣ)``."""
    # e⁻ˣ overflows to infinity below x ≈ -88 in float32, and 1 / inf is the right limit, 0.
    return 1 / (1 + s.exp(-x))


@elementwise(d_x=lambda g, out: s.where(out <= 0, 0, g), kinks=(0.0,))
def relu(x):
    """``x`` where positive, zero elsewhere; the slope at zero is taken as zero."""
    return s.maximum(x, 0)


@elementwise(
    ints="refuse",
    d_x=lambda g, x: g * (0.5 * (1 + s.erf(x * 0.7071067811865476))
                          + x * (0.3989422804014327 * s.exp(-0.5 * x * x))),
    public=False, method=False, inplace=False,
)  # fmt: skip
def gelu_erf(x):
    """``x · Φ(x)``, with the normal distribution function Φ (Hendrycks and Gimpel 2016)."""
    return x * (0.5 * (1 + s.erf(x * 0.7071067811865476)))


# `t` in the rule is tanh(√(2/π)·(x + 0.044715·x³)), found again from out = x·(1 + t)/2.
@elementwise(
    ints="refuse",
    d_x=lambda g, x: g * (
        0.5 * (1 + s.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
        + 0.5 * x * (1 - s.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
                     * s.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
        * (0.7978845608028654 * (1 + 0.134145 * x * x))
    ),
    public=False, method=False, inplace=False,
)  # fmt: skip
def gelu_tanh(x):
    """`gelu_erf` with Φ replaced by a formula in tanh."""
    return 0.5 * x * (1 + s.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


@elementwise(
    d_x=lambda g, x: g * ((1 + x * (1 - 1 / (1 + s.exp(-x)))) / (1 + s.exp(-x))),
    promote="float", ints="refuse", method=False,
)  # fmt: skip
def silu(x):
    """``x · sigmoid(x)``, also called swish (Elfwing et al. 2017)."""
    return x / (1 + s.exp(-x))


@elementwise(
    d_x=lambda g, x, beta, threshold: s.where(x * beta > threshold, g, g / (1 + s.exp(-x * beta))),
    promote="float", ints="refuse", method=False, inplace=False,
    cases=[{}, {"beta": 2.0}, {"beta": 3, "threshold": 2.5}],
)  # fmt: skip
def softplus(x, /, beta=1.0, threshold=20.0):
    """``log(1 + e^(β·x)) / β``: a smooth `relu`; ``x`` itself where ``β·x > threshold``."""
    return s.where(x * beta > threshold, x,
                   (s.log1p(s.exp(-s.abs(x * beta))) + s.maximum(x * beta, 0)) / beta)  # fmt: skip


@elementwise(
    ints="refuse",
    d_x=lambda g, x, negative_slope: s.where(x > 0, g, g * negative_slope),
    kinks=(0.0,), method=False, inplace=False,
    cases=[{}, {"negative_slope": 0.2}],
)  # fmt: skip
def leaky_relu(x, /, negative_slope=0.01):
    """``x`` where positive, ``negative_slope · x`` elsewhere (Maas et al. 2013)."""
    return s.where(x > 0, x, x * negative_slope)


@elementwise(
    d_x=lambda g, x, alpha: s.where(x > 0, g, g * (alpha * s.exp(x))),
    kinks=(0.0,), method=False, inplace=False, promote="float", ints="refuse",
    cases=[{}, {"alpha": 0.5}],
)  # fmt: skip
def elu(x, /, alpha=1.0):
    """``x`` where positive, ``α · (eˣ - 1)`` elsewhere (Clevert et al. 2015)."""
    return s.where(x > 0, x, alpha * s.expm1(s.minimum(x, 0)))


@composite(method=False)
def gelu(input: Any, *, approximate: str = "none") -> Any:
    """``x · Φ(x)``; ``approximate="tanh"`` replaces the normal distribution function Φ."""
    if approximate == "none":
        return gelu_erf(input)
    if approximate == "tanh":
        return gelu_tanh(input)
    raise RuntimeError("approximate argument must be either none or tanh.")


@opaque(
    d_x=lambda g, out, dim: s.softmax_slope(g, out, dim),
    cases=[((2, 3), {"dim": 1}), ((4,), {"dim": 0}), ((2, 3, 2), {"dim": -2})],
)
def softmax(x, /, dim, *, dtype=None):
    """``eˣ / Σ eˣ`` along ``dim``: positive, and adding up to one.

    >>> import retrograd as rg
    >>> rg.softmax(rg.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    if x.size >= scores.LARGE_ROWS and rows.suits(x, dim):
        return rows.softmax(x)
    if not x.size:
        return x.copy()
    out = np.exp(x - scores.largest(x, dim))
    out /= scores.total(out, dim)
    return out


@opaque(
    d_x=lambda g, out, dim: s.log_softmax_slope(g, out, dim),
    cases=[((2, 3), {"dim": 1}), ((4,), {"dim": 0}), ((2, 3, 2), {"dim": -2})],
)
def log_softmax(x, /, dim, *, dtype=None):
    """``log softmax(x)``, computed without leaving the logarithm."""
    if x.size >= scores.LARGE_ROWS and rows.suits(x, dim):
        return rows.log_softmax(x)
    if not x.size:
        return x.copy()
    shifted = x - scores.largest(x, dim)
    return shifted - np.log(scores.total(np.exp(shifted), dim))


@word
def softmax_slope(g: Any, out: Any, dim: int) -> Any:
    """The derivative of `softmax`."""
    return out * (g - (g * out).sum(dim, True))


@word
def log_softmax_slope(g: Any, out: Any, dim: int) -> Any:
    """The derivative of `log_softmax`."""
    return g - out.exp() * g.sum(dim, True)
