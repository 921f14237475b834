"""Connectionist temporal classification: a loss of sequences whose alignment is not known."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops.ctc import ctc_of_texts
from ..autograd.tensor import wrap
from .loss import _Loss
from .loss_by_element import reduced, reduction_of

Array = np.ndarray[Any, Any]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """``-log p(text)`` of each text, summed over every alignment with the steps (Graves 2006).

    The probabilities of a step are over the classes, of which one is ``blank``.  Texts are rows of
    ``targets``, or all in one row, of which ``target_lengths`` count; lengths are tensors, tuples
    or numbers.  A mean is of each loss divided by its text's length.  ``zero_infinity`` gives a
    loss and a gradient of zero to texts that do not fit into their steps.

    The gradient is, as PyTorch's, that of probabilities which go on adding up to one, as those of
    a `log_softmax` do.

    Raises `RuntimeError` where lengths or shapes do not fit, `IndexError` for a class not there.

    Shape: ``(T, N, C)`` and texts ``(N, S)`` or ``(ΣS)``, or ``(T, C)`` and ``(S)``

    >>> import retrograd as rg
    >>> steps = rg.zeros(3, 1, 2).log_softmax(2)
    >>> rg.nn.functional.ctc_loss(steps, rg.tensor([[1]]), (3,), (1,)).exp()
    tensor(1.3333)
    """
    reduction = reduction_of(None, None, reduction)
    if log_probs.ndim == 2:
        loss = ctc_loss(
            log_probs.unsqueeze(1), _row(targets), input_lengths, target_lengths, blank,
            reduction, zero_infinity,
        )  # fmt: skip
        return loss.squeeze(0) if reduction == "none" else loss
    if log_probs.ndim != 3:
        raise RuntimeError(
            "ctc_loss: Expected 3-dimensional tensor (T, N, C), but got "
            f"{log_probs.ndim}-dimensional tensor for argument #1 'log_probs'"
        )
    if not log_probs.is_floating_point() or log_probs.dtype.array.names:
        raise NotImplementedError(
            f'"ctc_loss_cpu" not implemented for {log_probs.dtype}: convert with .float()'
        )
    n_steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: {blank} is not in [0, {classes})")
    steps = _lengths("input_lengths", input_lengths, batch, n_steps)
    lengths = _lengths("target_lengths", target_lengths, batch, None)
    texts = _texts(targets.array, lengths, batch)
    counted = texts[np.arange(texts.shape[1]) < lengths[:, None]]
    if counted.size and not (counted.min() >= 0 and counted.max() < classes):
        raise IndexError(
            f"targets: class {counted[(counted < 0) | (counted >= classes)][0]} is out of bounds: "
            f"log_probs {list(log_probs.shape)} has classes 0 to {classes - 1}"
        )
    terms = ctc_of_texts(
        log_probs, wrap(texts), wrap(steps), wrap(lengths), blank, zero_infinity, True
    )
    if reduction != "mean":
        return reduced(terms, reduction)
    return (terms / wrap(np.maximum(lengths, 1).astype(log_probs.array.dtype))).mean()


def _row(targets: Tensor) -> Tensor:
    return targets.unsqueeze(0) if targets.ndim == 1 else targets


def _lengths(name: str, given: Any, batch: int, most: int | None) -> Array:
    """Lengths as an array of one for each sequence."""
    lengths = (given.array if isinstance(given, Tensor) else np.asarray(given)).ravel()
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise RuntimeError(f"{name} must be integral, got {lengths.dtype}: convert with .long()")
    if lengths.shape != (batch,):
        raise RuntimeError(f"{name} must be of size batch_size ({batch}), got {lengths.shape}")
    lengths = lengths.astype(np.int64)
    if lengths.size and lengths.min() < 0:
        raise RuntimeError(
            f"Expected {name} to have value at least 0, but got value {lengths.min()}"
        )
    if most is not None and lengths.size and lengths.max() > most:
        raise RuntimeError(
            f"Expected {name} to have value at most {most}, but got value {lengths.max()}: "
            f"log_probs has {most} steps"
        )
    return lengths


def _texts(targets: Array, lengths: Array, batch: int) -> Array:
    """The texts as rows: (N, S), with zeros after their ends."""
    longest = int(lengths.max(initial=0))
    texts = np.zeros((batch, longest), np.int64)
    counts = np.arange(longest) < lengths[:, None]
    if targets.ndim == 1:
        if len(targets) != lengths.sum():
            raise RuntimeError(
                f"Expected tensor to have size {lengths.sum()} at dimension 0 (the sum of "
                f"target_lengths), but got size {len(targets)} for argument #2 'targets'"
            )
        texts[counts] = targets
        return texts
    if targets.ndim != 2:
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {targets.ndim}-dimensional tensor for argument "
            "#2 'targets'"
        )
    if len(targets) != batch:
        raise RuntimeError(
            f"Expected tensor to have size {batch} at dimension 0, but got size {len(targets)} for "
            "argument #2 'targets'"
        )
    if targets.shape[1] < longest:
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size "
            f"{targets.shape[1]} for argument #2 'targets'"
        )
    texts[counts] = targets[:, :longest][counts]
    return texts


class CTCLoss(_Loss):
    """`ctc_loss`: of log-probabilities of steps against texts, however they are aligned.

    Shape: ``(T, N, C)`` and texts ``(N, S)`` or ``(ΣS)``, or ``(T, C)`` and ``(S)``

    >>> import retrograd as rg
    >>> steps = rg.zeros(12, 2, 5).log_softmax(2)
    >>> rg.nn.CTCLoss()(steps, rg.tensor([[1, 2, 2], [3, 4, 0]]), (12, 10), (3, 2))
    tensor(4.3568)
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """The loss of each text, reduced."""
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction,
            self.zero_infinity,
        )  # fmt: skip
