"""Gradients that are too large, made smaller in place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import GeneratorType

import numpy as np

from ...autograd import Tensor, no_grad
from ...autograd.creation import tensor
from ...autograd.ops.join import stack
from ...autograd.ops.loss import sum_of_squares
from ...autograd.tensor import wrap

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def _norm(x: Tensor, order: float) -> Tensor:
    array = x.array
    if order == 2.0 and array.dtype.kind == "f" and array.dtype.itemsize > 2:
        return wrap(np.asarray(np.sqrt(sum_of_squares(array)), array.dtype))
    return x.norm(order)


@no_grad()
def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors together, as of one vector.

    Raises `RuntimeError` with ``error_if_nonfinite`` if it is infinite or NaN.

    >>> import retrograd as rg
    >>> rg.nn.utils.get_total_norm([rg.tensor([3.0]), rg.tensor([[4.0]])])
    tensor(5.)
    """
    order = float(norm_type)
    norms = [_norm(x, order) for x in _listed(tensors)]
    if not norms:
        return tensor(0.0)
    total = _norm(stack(norms), order)
    if error_if_nonfinite and not np.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so "
            "it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients by ``max_norm / total_norm``, where that makes them smaller."""
    gradients = _gradients(parameters)
    if not gradients:
        return
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    if factor.item() != 1:
        for gradient in gradients:
            gradient.mul_(factor)


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of all parameters together to a norm of ``max_norm`` at most.

    Returns the norm that they had.  ``foreach`` changes nothing here.

    Raises `RuntimeError` with ``error_if_nonfinite`` if that is infinite or NaN.

    >>> import retrograd as rg
    >>> w = rg.zeros(2, requires_grad=True)
    >>> (w * rg.tensor([30.0, 40.0])).sum().backward()
    >>> rg.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(50.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    listed = _listed(parameters)
    if not listed and isinstance(parameters, GeneratorType):
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2
        )
    total = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(listed, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """`clip_grad_norm_` by its old name, which warns."""
    warnings.warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of the gradients to ``[-clip_value, clip_value]``.

    >>> import retrograd as rg
    >>> w = rg.zeros(2, requires_grad=True)
    >>> (w * rg.tensor([30.0, -0.5])).sum().backward()
    >>> rg.nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1.0000, -0.5000])
    """
    clip_value = float(clip_value)
    for gradient in _gradients(parameters):
        gradient.clamp_(min=-clip_value, max=clip_value)
