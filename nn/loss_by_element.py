"""Losses that compare element by element (`loss_by_row.py` has the others), as functions.

Every loss reduces by ``reduction``: "mean" (the default), "sum" or "none".  ``size_average`` and
``reduce`` are PyTorch's old way to say it.

Shapes that broadcast to something larger than the input raise `ValueError`, where PyTorch warns or
stays silent: (N,) against (N, 1) would compare every prediction with every target.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..autograd.ops.activation import relu, softplus
from ..autograd.ops.convert import result_type
from ..autograd.ops.gate import logsigmoid
from ..autograd.ops.index import where
from ..autograd.ops.loss import (
    absolute_error,
    binary_error,
    huber_error,
    logistic_error,
    squared_error,
)

REDUCTIONS = ("mean", "sum", "none")


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that three arguments speak of; warns of the two old ones."""
    if size_average is None and reduce is None:
        if reduction == "elementwise_mean":
            warnings.warn(
                "reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.",
                stacklevel=3,
            )
            return "mean"
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{reduction} is not a valid value for reduction: choose 'mean', 'sum' or 'none'"
            )
        return reduction
    reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        "size_average and reduce args will be deprecated, please use "
        f"reduction='{reduction}' instead.",
        stacklevel=3,
    )
    return reduction


def reduced(terms: Tensor, reduction: str) -> Tensor:
    """The terms of a loss, added up, averaged, or as they are."""
    if reduction == "none":
        return terms
    return terms.mean() if reduction == "mean" else terms.sum()


def check_tensors(name: str, input: Any, target: Any) -> None:
    """Raise `TypeError` unless both are tensors."""
    for argument, x in (("input", input), ("target", target)):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}; wrap it "
                "with torch.tensor(...)"
            )


def matched(
    name: str, input: Tensor, target: Tensor, *, warns: bool = False
) -> tuple[Tensor, Tensor]:
    """Input and target of one type, after a look at their shapes."""
    check_tensors(name, input, target)
    shape, other = input.array.shape, target.array.shape
    if shape != other:
        _check_broadcast(name, shape, other)
        if warns:
            warnings.warn(
                f"Using a target size ({target.shape}) that is different to the input size "
                f"({input.shape}). This will likely lead to incorrect results due to "
                "broadcasting. Please ensure they have the same size.",
                stacklevel=3,
            )
    if input.array.dtype is not target.array.dtype:
        d = result_type(input, target)
        input, target = input.to(d), target.to(d)
    if warns and input.array.dtype.kind in "iub":
        raise NotImplementedError(
            f"{name} is not implemented for {input.dtype}: convert the input with .float()"
        )
    return input, target


def _check_broadcast(name: str, shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Raise unless ``other`` stretches to ``shape`` itself."""
    try:
        full = np.broadcast_shapes(shape, other)
    except ValueError:
        full = ()
        fit = "do not broadcast"
    else:
        fit = f"would broadcast to {list(full)}, comparing elements that do not belong together"
    if full != shape:
        error = ValueError if full else RuntimeError
        raise error(
            f"{name}: the input has shape {list(shape)} and the target {list(other)}: they {fit}. "
            "Give both the same shape: input.squeeze(-1), or target.view_as(input)."
        )


# ---------------------------------------------------------------- element by element


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``(x - y)²``, reduced.  A mean with ``weight`` is divided by the sum of the weights.

    >>> import retrograd as rg
    >>> rg.nn.functional.mse_loss(rg.tensor([1.0, 2.0]), rg.tensor([0.0, 0.0]))
    tensor(2.5000)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    input, target = matched("mse_loss", input, target, warns=True)
    if weight is None:
        return squared_error(input, target, reduction)  # type: ignore[no-any-return]
    return _weighted(squared_error(input, target, "none"), input, weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``|x - y|``, reduced.  A mean with ``weight`` is divided by the sum of the weights."""
    reduction = reduction_of(size_average, reduce, reduction)
    input, target = matched("l1_loss", input, target, warns=True)
    if weight is None:
        return absolute_error(input, target, reduction)  # type: ignore[no-any-return]
    return _weighted(absolute_error(input, target, "none"), input, weight, reduction)


def _weighted(terms: Tensor, input: Tensor, weight: Tensor, reduction: str) -> Tensor:
    if weight.shape != input.shape:
        raise ValueError(
            "Weights and input must have the same size: "
            f"{list(weight.shape)} and {list(input.shape)}"
        )
    terms = terms * weight
    return terms.sum() / weight.sum() if reduction == "mean" else reduced(terms, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """``½ (x - y)²`` within δ of the target, ``δ · (|x - y| - ½ δ)`` beyond, reduced."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta: {delta}")
    reduction = reduction_of(None, None, reduction)
    input, target = matched("huber_loss", input, target, warns=True)
    if weight is None:
        return huber_error(input, target, delta, reduction)  # type: ignore[no-any-return]
    if weight.shape != input.shape:
        raise ValueError(
            "Weights and input must have the same size: "
            f"{list(weight.shape)} and {list(input.shape)}"
        )
    return reduced(huber_error(input, target, delta, "none") * weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """`huber_loss` divided by β, so that its slope far away is one; `l1_loss` for β = 0."""
    reduction = reduction_of(size_average, reduce, reduction)
    input, target = matched("smooth_l1_loss", input, target, warns=True)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta: {beta}")
    if beta == 0:
        return absolute_error(input, target, reduction)  # type: ignore[no-any-return]
    loss = huber_error(input, target, beta, reduction)
    return loss if beta == 1 else loss / beta  # type: ignore[no-any-return]


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-y · log x - (1 - y) · log(1 - x)`` of probabilities ``x``, reduced.

    Logarithms are cut off at -100.  Raises `RuntimeError` for inputs outside [0, 1].
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size: "
            "input.squeeze(-1), or target.view_as(input)."
        )
    if input.dtype is not target.dtype:
        raise RuntimeError(
            f"Found dtype {target.dtype} but expected {input.dtype}: convert the target with "
            f"target.to(input.dtype)"
        )
    _check_probabilities("input", input)
    _check_probabilities("target", target)
    if weight is None:
        return binary_error(input, target, reduction)  # type: ignore[no-any-return]
    return reduced(binary_error(input, target, "none") * weight, reduction)


def _check_probabilities(name: str, x: Tensor) -> None:
    array = x.array if x.array.dtype.names is None else x.float().array
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        wrong = array[~((array >= 0) & (array <= 1))].ravel()[0]
        raise RuntimeError(
            f"all elements of {name} should be between 0 and 1, but one is {wrong}: pass it "
            "through a sigmoid first, or use binary_cross_entropy_with_logits"
        )


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of ``sigmoid(x)``, without overflow.

    ``pos_weight`` multiplies the positive terms, ``weight`` all; both broadcast.

    >>> import retrograd as rg
    >>> rg.nn.functional.binary_cross_entropy_with_logits(rg.zeros(2), rg.ones(2))
    tensor(0.6931)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input.shape != target.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape}): "
            "input.squeeze(-1), or target.view_as(input)."
        )
    input, target = matched("binary_cross_entropy_with_logits", input, target)
    if weight is None and pos_weight is None:
        return logistic_error(input, target, reduction)  # type: ignore[no-any-return]
    if pos_weight is None:
        terms = logistic_error(input, target, "none")
    else:
        terms = (1 - target) * input + ((pos_weight - 1) * target + 1) * softplus(-input)
    return reduced(terms if weight is None else terms * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``y · (log y - x)`` of log-probabilities ``x``, reduced: the Kullback-Leibler divergence.

    "batchmean" adds up and divides by the first size, as the mathematics has it.
    """
    batchmean = reduction == "batchmean" and size_average is None and reduce is None
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            stacklevel=2,
        )
    reduction = "sum" if batchmean else reduction_of(size_average, reduce, reduction)
    input, target = matched("kl_div", input, target)
    chance = target.exp() if log_target else target
    entropy = chance * target if log_target else target.xlogy(target)
    loss = reduced(entropy - chance * input, reduction)
    return loss / input.shape[0] if batchmean and input.ndim else loss


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``eˣ - y · x``, or ``x - y · log(x + ε)`` without ``log_input``, reduced.

    ``full`` adds Stirling's approximation of ``log y!`` for targets above one.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    input, target = matched("poisson_nll_loss", input, target)
    terms = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        large = target > 1
        safe = where(large, target, 1.0)
        stirling = safe * safe.log() - safe + 0.5 * (2 * math.pi * safe).log()
        terms = terms + where(large, stirling, 0.0)
    return reduced(terms, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``½ (log v + (x - y)² / v)`` with the variance ``v`` (at least ε), reduced.

    ``full`` adds ``½ log 2π``.  Raises `ValueError` for a negative variance.
    """
    if isinstance(var, (int, float)):
        var = input.new_full(input.shape, float(var))
    if (var.array < 0).any():
        raise ValueError("var has negative entry/entries: give a variance, not its logarithm")
    if var.shape != input.shape:
        unequal = [m for n, m in zip(input.shape, var.shape, strict=False) if n != m]
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or unequal != [1]:
            raise ValueError(
                f"var is of incorrect size: {list(var.shape)} for the input {list(input.shape)}"
            )
    reduction = reduction_of(None, None, reduction)
    with no_grad():  # the slope of the variance is kept where ε takes its place
        raised = var.clamp_min(eps) - var
    var = var + raised
    if input.shape != target.shape:
        _check_broadcast("gaussian_nll_loss", input.array.shape, target.array.shape)
    terms = 0.5 * (var.log() + (input - target) ** 2 / var)
    return reduced(terms + 0.5 * math.log(2 * math.pi) if full else terms, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1, reduced."""
    reduction = reduction_of(size_average, reduce, reduction)
    input, target = matched("hinge_embedding_loss", input, target)
    far = where(target != 1, relu(margin - input), 0.0)
    near = where(target != -1, input, 0.0)
    return reduced(far + near, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + e^(-y·x))`` for targets of 1 and -1, reduced."""
    reduction = reduction_of(size_average, reduce, reduction)
    input, target = matched("soft_margin_loss", input, target)
    return reduced(-logsigmoid(target * input), reduction)
