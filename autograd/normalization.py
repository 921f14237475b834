"""What normalisation layers compute, on arrays: ``(x - mean) / √(var + ε) · weight + bias``.

All of them see the input as a few axes (`Plan.view`), take mean and variance over some of these
(`Plan.axes`), and have weights that stretch over the view from the shape `Plan.channels`:

============  ======================  ===========  ==================
              view                    axes         channels
============  ======================  ===========  ==================
layer norm    (rows, D)               1            (D,)
group norm    (N, G, C / G, *)        2, 3         (1, G, C / G, 1)
batch norm    (N, C, *)               0, 2         (C, 1)
============  ======================  ===========  ==================

The derivatives here are words of the rules in `ops/norm.py`, where they have a tensor meaning too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .shapes import sum_to

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


class Plan(NamedTuple):
    """How a layer normalises: a setting of its op."""

    view: Shape
    axes: Shape
    channels: Shape
    eps: float
    centred: bool = True  # whether the mean is taken off: root mean square norm leaves it

    @property
    def shared(self) -> int:
        """How many elements share one mean."""
        shared = 1
        for axis in self.axes:
            shared *= self.view[axis]
        return shared


def moments(x: Array, plan: Plan) -> tuple[Array, Array, Array]:
    """The input in its view less its mean; the mean; the variance, of the centred input."""
    n = x.dtype.type(plan.shared or 1)
    x = x.reshape(plan.view)
    if plan.centred:
        mean = np.add.reduce(x, plan.axes, keepdims=True) / n
        x = x - mean
    else:
        shape = (1 if i in plan.axes else m for i, m in enumerate(plan.view))
        mean = np.zeros(tuple(shape), x.dtype)
    return x, mean, np.add.reduce(x * x, plan.axes, keepdims=True) / n


def normalized(x: Array, weight: Array, bias: Array, plan: Plan) -> tuple[Array, Array, Array]:
    """The output of a normalisation layer, the means and the variances."""
    out, mean, var = moments(x, plan)
    out = out * (1 / np.sqrt(var + plan.eps))
    out *= weight.reshape(plan.channels)
    out += bias.reshape(plan.channels)
    return out.reshape(x.shape), mean, var


def _standard(x: Array, mean: Array, var: Array, plan: Plan) -> tuple[Array, Array]:
    """The input with mean 0 and variance 1, and what it was multiplied by."""
    scale = 1 / np.sqrt(var + plan.eps)
    return (x.reshape(plan.view) - mean) * scale, scale


def norm_slope(g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan) -> Array:
    """The derivative of a normalisation by its input."""
    h, scale = _standard(x, mean, var, plan)
    n = x.dtype.type(plan.shared or 1)
    g = g.reshape(plan.view) * weight.reshape(plan.channels)
    d = g - h * (np.add.reduce(g * h, plan.axes, keepdims=True) / n)
    if plan.centred:
        d -= np.add.reduce(g, plan.axes, keepdims=True) / n
    d *= scale
    return d.reshape(x.shape)


def norm_weight_slope(
    g: Array, x: Array, mean: Array, var: Array, shape: Shape, plan: Plan
) -> Array:
    """The derivative of a normalisation by its weight."""
    h, _ = _standard(x, mean, var, plan)
    return norm_bias_slope(g.reshape(plan.view) * h, shape, plan)


def norm_bias_slope(g: Array, shape: Shape, plan: Plan) -> Array:
    """The derivative of a normalisation by its bias: the gradient added up for each channel."""
    return sum_to(g.reshape(plan.view), plan.channels).reshape(shape)
