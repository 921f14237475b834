"""A batch norm that no longer learns, absorbed by the layer before it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ...autograd import Parameter, Tensor
from ...autograd.creation import ones_like, zeros_like

M = TypeVar("M")


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A copy of a convolution that does what it and the batch norm after it do, in evaluation.

    Raises `AssertionError` for modules in training mode, or without running statistics.
    """
    fused: Any = _copy_for_fusion(conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused  # type: ignore[no-any-return]


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A copy of a linear layer that does what it and the batch norm after it do, in evaluation.

    Raises `AssertionError` for modules in training mode, without running statistics, or of
    different numbers of features.
    """
    fused: Any = _copy_for_fusion(linear, bn)
    if bn.num_features not in (fused.out_features, 1):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={fused.out_features} and bn.num_features={bn.num_features}"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused  # type: ignore[no-any-return]


def _copy_for_fusion(layer: Any, bn: Any) -> Any:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    return copy.deepcopy(layer)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution with a batch norm after it.

    ``W γ / √(var + ε)`` and ``(b - mean) γ / √(var + ε) + β``.
    """
    axes = [1] * conv_w.ndim
    axes[1 if transpose else 0] = -1
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, axes)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer with a batch norm after it."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _fused(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    gamma: Tensor | None,
    beta: Tensor | None,
    axes: list[int],
) -> tuple[Parameter, Parameter]:
    scale = (ones_like(mean) if gamma is None else gamma) * (var + eps).rsqrt()
    old = zeros_like(mean) if bias is None else bias
    new = (old - mean) * scale
    new = new if beta is None else new + beta
    kind = weight.dtype if bias is None else bias.dtype
    return (
        Parameter((weight * scale.reshape(axes)).to(weight.dtype).detach(), weight.requires_grad),
        Parameter(new.to(kind).detach(), old.requires_grad),
    )
