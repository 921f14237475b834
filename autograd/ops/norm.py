"""Normalisation: each layer is one line of the tape.

`normalization.Plan` says how an op sees its input.  The rules are composed of ordinary steps;
for many elements `_in_one_pass` takes their place with a kernel that computes all three together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import normalization
from .. import scalar as s
from ..declare import opaque, word
from ..normalization import Plan, normalized
from ..op import TENSOR_WORDS, announce, registry
from . import norm_kernels as loops

Array = np.ndarray[Any, Any]

announce("norm_slope", "norm_weight_slope", "norm_bias_slope")

RULES = {
    "outputs": ("out", "mean", "var"),
    "d_x": lambda g, x, weight, mean, var, plan: s.norm_slope(g, x, weight, mean, var, plan),
    "d_weight": lambda g, x, mean, var, weight_shape, plan: s.norm_weight_slope(
        g, x, mean, var, weight_shape, plan
    ),
    "d_bias": lambda g, bias_shape, plan: s.norm_bias_slope(g, bias_shape, plan),
    "public": False,
    "method": False,
}


def _checked(x: Array, *parameters: Array) -> None:
    for p in parameters:
        if p.dtype != x.dtype:
            raise RuntimeError(
                "mixed dtype (CPU): expect parameter to have scalar type of the input "
                f"({x.dtype.name}), but got {p.dtype.name}: convert the layer or the input with "
                ".to(...)"
            )
    if x.dtype.kind != "f":
        raise NotImplementedError(
            f"normalization is not implemented for {x.dtype.name}: convert the input with .float()"
        )


@opaque(
    **RULES,
    single=True,
    cases=[
        ((4, 3), (3,), (3,), {"plan": Plan((4, 3), (1,), (3,), 1e-5)}),
        ((2, 3, 2), (3, 2), (3, 2), {"plan": Plan((2, 6), (1,), (6,), 1e-2)}),
        ((2, 3), (3,), (3,), {"plan": Plan((2, 3), (1,), (3,), 1e-2, centred=False)}),
    ],
)
def norm_of_rows(x, weight, bias, /, plan):
    """The last axes with mean 0 and variance 1, times a weight, plus a bias (Ba et al. 2016)."""
    _checked(x, weight, bias)
    if loops.quick(x, plan):
        return loops.forward_of_rows(x, weight, bias, plan)
    return normalized(x, weight, bias, plan)


@opaque(
    **RULES,
    cases=[((2, 4, 3), (4,), (4,), {"plan": Plan((2, 2, 2, 3), (2, 3), (1, 2, 2, 1), 1e-2)})],
)
def norm_of_groups(x, weight, bias, /, plan):
    """Groups of channels with mean 0 and variance 1 in each sample (Wu and He 2018)."""
    _checked(x, weight, bias)
    if loops.quick(x, plan):
        return loops.forward_of_runs(x, weight, bias, plan)
    return normalized(x, weight, bias, plan)


@opaque(**RULES, cases=[((4, 3, 2), (3,), (3,), {"plan": Plan((4, 3, 2), (0, 2), (3, 1), 1e-5)})])
def norm_of_channels(x, weight, bias, /, plan):
    """Channels with mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015)."""
    _checked(x, weight, bias)
    if loops.quick(x, plan):
        return loops.forward_of_channels(x, weight, bias, plan)
    return normalized(x, weight, bias, plan)


def _over_batch(x: Array, channels: tuple[int, ...], eps: float) -> Plan:
    """How `norm_of_channels` would see this input."""
    n, c = x.shape[:2]
    return Plan((n, c, x.size // max(n * c, 1)), (0, 2), (c, 1), eps)


@opaque(
    d_x=lambda g, weight, var, channels, eps: g * s.reshape(weight / s.sqrt(var + eps), channels),
    d_weight=lambda g, x, mean, var, weight_shape, channels, eps: s.reshape(
        s.sum_to(
            g * ((x - s.reshape(mean, channels)) / s.reshape(s.sqrt(var + eps), channels)),
            channels,
        ),
        weight_shape,
    ),
    d_bias=lambda g, bias_shape, channels: s.reshape(s.sum_to(g, channels), bias_shape),
    d_mean=None,
    d_var=None,
    domain=(0.5, 2.0),
    cases=[((4, 3, 2), (3,), (3,), (3,), (3,), {"channels": (3, 1), "eps": 1e-5})],
    public=False,
    method=False,
)
def norm_by_running(x, weight, bias, mean, var, /, channels, eps):
    """`norm_of_channels` by a mean and a variance that were found before."""
    _checked(x, weight, bias, mean, var)
    factor = weight / np.sqrt(var + eps)
    plan = _over_batch(x, channels, eps)
    if loops.in_columns(x, plan):
        return loops.line_of_columns(x, mean, factor, bias, plan)
    out = x * factor.reshape(channels)
    out += (bias - mean * factor).reshape(channels)
    return out


# ---------------------------------------------------------------- backward in one pass


def _in_one_pass(op: Any, backward: Callable[..., tuple[Array, Array, Array]]) -> None:
    """Let ``backward`` compute the derivatives of ``op`` where there are many elements."""
    by_rules = op.pull

    def pull(g: Array, node: Any) -> tuple[Array | None, ...]:
        x, weight, mean, var, weight_shape, bias_shape = node.kept
        (plan,) = node.settings
        if x is None or weight is None or not loops.quick(x, plan):
            return by_rules(g, node)
        return _wanted(node, *backward(g, x, weight, mean, var, plan), weight_shape, bias_shape)

    op.pull = pull


def _wanted(
    node: Any, d_x: Array, d_weight: Array, d_bias: Array, weight_shape: Any, bias_shape: Any
) -> tuple[Array | None, ...]:
    n_x, n_weight, n_bias, *_ = node.inputs
    return (
        None if n_x is None else d_x,
        None if n_weight is None else d_weight.reshape(weight_shape),
        None if n_bias is None else d_bias.reshape(bias_shape),
    )


def _by_running_in_columns(op: Any) -> None:
    """As `_in_one_pass`, for statistics that were found before."""
    by_rules = op.pull

    def pull(g: Array, node: Any) -> tuple[Array | None, ...]:
        weight, var, x, mean, weight_shape, bias_shape = node.kept
        if x is None or weight is None:
            return by_rules(g, node)
        plan = _over_batch(x, *node.settings)
        if not loops.in_columns(x, plan):
            return by_rules(g, node)
        ds = loops.backward_by_running(g, x, weight, mean, var, plan)
        return (*_wanted(node, *ds, weight_shape, bias_shape), None, None)

    op.pull = pull


_in_one_pass(registry["norm_of_rows"], loops.backward_of_rows)
_in_one_pass(registry["norm_of_groups"], loops.backward_of_runs)
_in_one_pass(registry["norm_of_channels"], loops.backward_of_channels)
_by_running_in_columns(registry["norm_by_running"])


# ---------------------------------------------------------------- gradients of gradients


def _standard(x: Any, plan: Plan) -> tuple[Any, Any]:
    """The input with mean 0 and variance 1, and what it was multiplied by, on the tape."""
    x = x.reshape(plan.view)
    if plan.centred:
        x = x - x.mean(plan.axes, keepdim=True)
    scale = ((x * x).mean(plan.axes, keepdim=True) + plan.eps).rsqrt()
    return x * scale, scale


@word(arrays=normalization.norm_slope)
def norm_slope(g: Any, x: Any, weight: Any, mean: Any, var: Any, plan: Plan) -> Any:
    """The derivative of a normalisation by its input; mean and variance are found again."""
    h, scale = _standard(x, plan)
    g = g.reshape(plan.view) * weight.reshape(plan.channels)
    d = g - h * (g * h).mean(plan.axes, keepdim=True)
    if plan.centred:
        d = d - g.mean(plan.axes, keepdim=True)
    return (d * scale).reshape(x.shape)


@word(arrays=normalization.norm_weight_slope)
def norm_weight_slope(g: Any, x: Any, mean: Any, var: Any, shape: Any, plan: Plan) -> Any:
    """The derivative of a normalisation by its weight."""
    h, _ = _standard(x, plan)
    return norm_bias_slope(g.reshape(plan.view) * h, shape, plan)


@word(arrays=normalization.norm_bias_slope)
def norm_bias_slope(g: Any, shape: Any, plan: Plan) -> Any:
    """The gradient added up for each channel."""
    return TENSOR_WORDS.sum_to(g.reshape(plan.view), plan.channels).reshape(shape)


# PyTorch's users know these lines of the tape by other names.
for _op, _known in {
    "norm_of_rows": "NativeLayerNorm",
    "norm_of_groups": "NativeGroupNorm",
    "norm_of_channels": "NativeBatchNorm",
    "norm_by_running": "NativeBatchNorm",
}.items():
    registry[_op].backward_name = f"{_known}Backward0"
