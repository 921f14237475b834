"""Losses that look at a row at a time, as functions: of classes, and of one vector among others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor, int64, uint8
from ..autograd.ops.activation import log_softmax, relu
from ..autograd.ops.arithmetic import minimum
from ..autograd.ops.gate import logsigmoid
from ..autograd.ops.index import pick, where
from ..autograd.ops.linalg import affine, linear_map
from ..autograd.ops.loss import cross_entropy_of_classes, score_of_classes
from ..autograd.tensor import wrap
from .distance import pairwise_distance
from .loss_by_element import check_tensors, reduced, reduction_of

Array = np.ndarray[Any, Any]

# ---------------------------------------------------------------- classes


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``-log softmax(x)[y]`` for classes ``y``, ``-Σ y · log softmax(x)`` for probabilities.

    ``weight`` has a factor for each class, by which a mean is divided again.  Targets that equal
    ``ignore_index`` count for nothing.  ``label_smoothing`` spreads that much of each target over
    all classes.  Raises `IndexError` for a class that is not there.

    Shape: input ``(C)``, ``(N, C)`` or ``(N, C, *)``; classes without the C, probabilities with it.

    >>> import retrograd as rg
    >>> rg.nn.functional.cross_entropy(rg.zeros(2, 4), rg.tensor([0, 3]))
    tensor(1.3863)
    """
    if size_average is not None or reduce is not None or reduction not in ("mean", "sum", "none"):
        reduction = reduction_of(size_average, reduce, reduction)
    check_tensors("cross_entropy", input, target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.array.shape == target.array.shape and input.array.ndim:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    if input.array.ndim == 1:
        loss = cross_entropy(
            input.unsqueeze(0), target.unsqueeze(0), weight, None, ignore_index, None,
            reduction, label_smoothing,
        )  # fmt: skip
        return loss.squeeze(0) if reduction == "none" else loss
    ignored = _check_classes("cross_entropy", input, target, weight, ignore_index)
    if ignored is None and weight is None:
        return cross_entropy_of_classes(input, target, reduction, label_smoothing)  # type: ignore[no-any-return]
    safe = target if ignored is None else target.masked_fill(ignored, 0)
    if weight is None:
        terms = cross_entropy_of_classes(input, safe, "none", label_smoothing)
        return _total(terms, None, ignored, reduction)
    share = pick(weight, (safe.array,))
    terms = cross_entropy_of_classes(input, safe, "none", 0.0) * share
    if label_smoothing:
        column = weight.reshape(-1, *[1] * (input.ndim - 2))
        even = (log_softmax(input, 1) * column).sum(1)
        terms = terms * (1 - label_smoothing) - even * (label_smoothing / input.shape[1])
    return _total(terms, share, ignored, reduction)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """`cross_entropy` of ``x Wᵀ + b``.

    ``options``, of how PyTorch cuts the logits into pieces, have no effect on the result.

    Raises `RuntimeError` where shapes do not fit, or for an ``ignore_index`` beside probabilities.

    Shape: ``(N, D)`` or ``(D)``, weight ``(C, D)`` or ``(C, *, D)``, bias ``(C, *)``; targets are
    classes ``(N, *)`` or probabilities ``(N, C, *)``

    >>> import retrograd as rg
    >>> F = rg.nn.functional
    >>> F.linear_cross_entropy(rg.ones(2, 3), rg.zeros(4, 3), rg.tensor([0, 3]))
    tensor(1.3863)
    """
    if not 1 <= input.ndim <= 2:
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}"
        )
    classes, *more, features = linear_weight.shape
    if input.shape[-1] != features:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {features}, respectively"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != (classes, *more):
        raise RuntimeError(
            f"expected linear_bias shape {(classes, *more)}, got {tuple(linear_bias.shape)}"
        )
    if more and input.ndim == 1:
        raise RuntimeError(
            "K-dimensional loss defined by linear_weight shape "
            f"{tuple(linear_weight.shape)} requires batched input, (N, {features}), got unbatched "
            f"input with shape {tuple(input.shape)}"
        )
    shape = (*input.shape[:-1], classes, *more)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    if options is not None and (more or label_smoothing or target.dtype is not int64):
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in "
            "{'mean','sum','none'}, label_smoothing == 0, target.dtype == int64, out_features == "
            f"(). Got reduction={reduction!r}, label_smoothing={label_smoothing}, "
            f"target.dtype={target.dtype}, out_features={tuple(more)}",
            stacklevel=2,
        )
    flat = linear_weight.reshape(-1, features) if more else linear_weight
    if linear_bias is None:
        logits = linear_map(input, flat)
    else:
        logits = affine(input, flat, linear_bias.reshape(-1))
    return cross_entropy(
        logits.reshape(shape) if more else logits,
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _of_probabilities(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    if not target.is_floating_point():
        raise RuntimeError(
            "Expected floating point type for target with class probabilities, got "
            f"{target.dtype}: class numbers have the input's shape without the class axis"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    axis = 1 if input.ndim > 1 else 0
    classes = input.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = log_softmax(input, axis) * target
    if weight is not None:
        _check_weight(weight, classes)
        terms = terms * weight.reshape(-1, *[1] * (input.ndim - axis - 1))
    if reduction == "none":
        return -terms.sum(axis)
    total = -terms.sum()
    return total / (input.numel() / classes) if reduction == "mean" else total


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-x[y]`` for log-probabilities ``x`` and classes ``y``; the rest as for `cross_entropy`."""
    reduction = reduction_of(size_average, reduce, reduction)
    check_tensors("nll_loss", input, target)
    if input.array.ndim == 1:
        batch = nll_loss(
            input.unsqueeze(0), target.unsqueeze(0) if target.array.ndim == 0 else target,
            weight, None, ignore_index, None, reduction,
        )  # fmt: skip
        return batch.squeeze(0) if reduction == "none" and target.array.ndim == 0 else batch
    ignored = _check_classes("nll_loss", input, target, weight, ignore_index)
    safe = target if ignored is None else target.masked_fill(ignored, 0)
    if ignored is None and weight is None:
        return score_of_classes(input, target, reduction)  # type: ignore[no-any-return]
    terms = score_of_classes(input, safe, "none")
    share = None if weight is None else pick(weight, (safe.array,))
    return _total(terms if share is None else terms * share, share, ignored, reduction)


def _total(terms: Tensor, share: Tensor | None, ignored: Tensor | None, reduction: str) -> Tensor:
    """Reduce the terms that are not ignored; a mean is by the weight that they share."""
    if ignored is not None:
        terms = terms.masked_fill(ignored, 0.0)
    if reduction != "mean" or (share is None and ignored is None):
        return reduced(terms, reduction)
    if share is None:
        return terms.sum() / int((~ignored).sum())  # type: ignore[operator]
    if ignored is not None:
        share = share.masked_fill(ignored, 0.0)
    return terms.sum() / share.sum()


def _check_classes(
    name: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> Tensor | None:
    """Where targets are ignored (None: nowhere), after a look at all that could be wrong."""
    shape, classes = input.array.shape, target.array
    if not shape:
        raise ValueError(f"{name}: Expected 1 or more dimensions (got 0)")
    if classes.shape != (*shape[:1], *shape[2:]):
        raise _shapes_differ(name, shape, classes.shape)
    if target.dtype is not int64 and target.dtype is not uint8:
        raise RuntimeError(
            f"{name}: expected scalar type Long but found {target.dtype}: convert the target with "
            ".long(); probabilities need the shape of the input"
        )
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{name} is not implemented for {input.dtype}: convert the input with .float()"
        )
    count = shape[1]
    if weight is not None:
        _check_weight(weight, count)
        if weight.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}: expected scalar type {input.dtype} but found {weight.dtype}: convert the "
                "weight to the input's type"
            )
    if not classes.size:
        return None
    # Seen as unsigned, negative classes are the largest: one pass for both ends.
    seen = classes.view(np.uint64) if classes.dtype.kind == "i" else classes
    if seen.item(seen.argmax()) < count and not 0 <= ignore_index < count:
        return None
    ignored = classes == ignore_index
    wrong = ((classes < 0) | (classes >= count)) & ~ignored
    if wrong.any():
        raise IndexError(
            f"Target {classes[wrong][0]} is out of bounds.  {name} takes classes 0 to "
            f"{count - 1}, as many as the input {list(shape)} has scores for, or "
            f"ignore_index={ignore_index}."
        )
    return wrap(ignored) if ignored.any() else None


def _check_weight(weight: Tensor, classes: int) -> None:
    if weight.array.shape != (classes,):
        raise RuntimeError(
            "weight tensor should be defined either for all "
            f"{classes} classes or no classes but got weight tensor of shape: {list(weight.shape)}"
        )
    if weight.requires_grad:
        raise RuntimeError("the derivative for 'weight' is not implemented: pass weight.detach()")


def _shapes_differ(name: str, shape: tuple[int, ...], other: tuple[int, ...]) -> Exception:
    wanted = [*shape[:1], *shape[2:]]
    if not other or shape[0] != other[0]:
        return ValueError(
            f"{name}: Expected input batch_size ({shape[0]}) to match target batch_size "
            f"({other[0] if other else 'none'}): the input {list(shape)} needs classes of shape "
            f"{wanted}, got {list(other)}"
        )
    return RuntimeError(
        f"{name}: Expected target size {wanted}, got {list(other)}: the input {list(shape)} has "
        "its classes along axis 1; a target of class numbers has no such axis (target.squeeze(1)), "
        "one of probabilities has the input's whole shape"
    )


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``Σᵢ max(0, margin - x[y] + x[i])ᵖ / C`` over the other classes i, reduced.

    Shape: ``(N, C)`` and classes ``(N)``, or ``(C)`` and ``()``
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"weight must be one-dimensional, got shape {list(weight.shape)}")
    if input.ndim < 2:
        loss = multi_margin_loss(
            input.reshape(1, -1), target.reshape(1), p, margin, weight, None, None, reduction
        )
        return loss.squeeze(0) if reduction == "none" and not target.ndim else loss
    if input.ndim != 2 or not input.shape[1]:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(input.shape)}"
        )
    if target.array.shape != input.array.shape[:1]:
        raise RuntimeError(
            f"inconsistent target size, expected {[input.shape[0]]} but got {list(target.shape)}"
        )
    classes = target.array
    if classes.size and not (classes.min() >= 0 and classes.max() < input.shape[1]):
        raise RuntimeError(f"target out of range: there are {input.shape[1]} classes")
    own = (np.arange(len(classes)), classes)
    terms = relu(input - pick(input, own).unsqueeze(1) + margin)
    terms = terms if p == 1 else terms * terms
    if weight is not None:
        terms = terms * pick(weight, (classes,)).unsqueeze(1)
    others = np.ones(input.array.shape, bool)
    others[own] = False
    return reduced(where(wrap(others), terms, 0.0).sum(1) / input.shape[1], reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``Σ max(0, 1 - x[y] + x[i]) / C`` over a row's classes y and the other classes i, reduced.

    Shape: ``(N, C)`` and as many class numbers, of which those from the first -1 on do not count
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input.array.shape != target.array.shape or input.ndim > 2:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    if target.dtype is not int64:
        raise RuntimeError(
            f"multilabel_margin_loss: expected scalar type Long but found {target.dtype}: convert "
            "the target with .long()"
        )
    if input.ndim < 2:
        loss = multilabel_margin_loss(
            input.reshape(1, -1), target.reshape(1, -1), None, None, reduction
        )
        return loss.squeeze(0) if reduction == "none" else loss
    counted = np.logical_and.accumulate(target.array >= 0, axis=1)
    classes = np.where(counted, target.array, 0)
    if classes.size and classes.max() >= input.shape[1]:
        raise RuntimeError(f"target is out of range: there are {input.shape[1]} classes")
    row, slot = np.nonzero(counted)
    own = np.zeros(input.array.shape, bool)
    own[row, classes[row, slot]] = True
    gaps = input.unsqueeze(1) - input.gather(1, wrap(classes)).unsqueeze(2)  # (N, slot, class)
    compared = wrap(counted[:, :, None] & ~own[:, None, :])
    return reduced(where(compared, relu(gaps + 1), 0.0).sum((1, 2)) / input.shape[1], reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of the sigmoid, averaged over the classes (last axis), reduced."""
    reduction = reduction_of(size_average, reduce, reduction)
    terms = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    terms = terms if weight is None else terms * weight
    return reduced(terms.sum(-1) / input.shape[-1], reduction)


# ---------------------------------------------------------------- one vector among others


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -y · (x₁ - x₂) + margin)``, reduced: x₁ should be larger where y is 1."""
    reduction = reduction_of(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    terms = relu(-target * (input1 - input2) + margin)
    return reduced(terms if terms.is_floating_point() else terms.float(), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos(x₁, x₂)`` where the target is 1, ``max(0, cos(x₁, x₂) - margin)`` where it is -1.

    Shape: ``(N, D), (N, D), (N)`` or ``(D), (D), ()``
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    squares = ((input1 * input1).sum(-1) + 1e-12) * ((input2 * input2).sum(-1) + 1e-12)
    cosine = (input1 * input2).sum(-1) / squares.sqrt()
    alike = where(target == 1, 1 - cosine, 0.0)
    return reduced(alike + where(target == -1, relu(cosine - margin), 0.0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, ‖a - p‖ - ‖a - n‖ + margin)``, reduced: n should be farther from a than p.

    ``swap`` takes the distance of p and n where that is the smaller one (Balntas et al. 2016).
    """
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda x, y: pairwise_distance(x, y, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction_of(size_average, reduce, reduction),
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with another distance than the Euclidean."""
    reduction = reduction_of(None, None, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs"
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(relu(near - far + margin), reduction)
