"""Softmax over many classes, of which few are frequent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from ..autograd.ops.activation import log_softmax
from ..autograd.ops.join import cat
from ..autograd.tensor import wrap
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class _ASMoutput(NamedTuple):
    """What `AdaptiveLogSoftmaxWithLoss` returns: the targets' log-probabilities, and the loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes in order of frequency, rare ones in clusters (Grave 2016).

    The ``head`` scores the classes below the first cutoff, and each cluster between two cutoffs as
    one more class.  A cluster's ``tail`` sees ``in_features / div_valueⁱ`` features; only the rows
    whose target is in it go through it.

    Raises `ValueError` for cutoffs that are not distinct, sorted and between 1 and n_classes - 1.

    Shape: ``(N, in_features)`` and ``(N)`` → ``(N)`` and ``()``, or unbatched

    >>> import retrograd as rg
    >>> layer = rg.nn.AdaptiveLogSoftmaxWithLoss(32, 100, cutoffs=[10, 50])
    >>> out = layer(rg.randn(5, 32), rg.tensor([0, 3, 12, 99, 50]))
    >>> out.output.shape, out.loss.shape
    (torch.Size([5]), torch.Size([]))
    """

    head: Linear
    tail: ModuleList

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        whole = all(int(c) == c for c in cutoffs)
        rising = all(a < b for a, b in pairwise([0, *cutoffs, n_classes]))
        if not (whole and rising):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an "
                f"increasing order, where each value is between 1 and n_classes-1, got {cutoffs}"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs), 1):
            width = int(in_features // div_value**i)
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **made),
                    Linear(width, high - low, bias=False, **made),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new weights."""
        self.head.reset_parameters()
        for into, out_of in self.tail:
            into.reset_parameters()
            out_of.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        """The log-probability of each target, and less their mean."""
        _check_batch(input_, target_)
        if not target_.ndim:
            output, loss = self.forward(input_.unsqueeze(0), target_.unsqueeze(0))
            return _ASMoutput(output.squeeze(0), loss)
        classes = target_.array
        if classes.size and not (classes.min() >= 0 and classes.max() < self.n_classes):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{classes.min()}, {classes.max()}] were found. "
            )
        cluster = np.searchsorted(self.cutoffs, classes, side="right")  # 0: in the head itself
        in_head = np.where(cluster == 0, classes, self.shortlist_size + cluster - 1)
        output = _chosen(self.head(input_), in_head)
        rows, parts = [], []
        for i, tail in enumerate(self.tail, 1):
            (row,) = np.nonzero(cluster == i)
            if row.size:
                rows.append(row)
                inside = classes[row] - self.cutoffs[i - 1]
                parts.append(_chosen(tail(input_.index_select(0, wrap(row))), inside))
        if rows:
            output = output.index_add(0, wrap(np.concatenate(rows)), cat(parts, 0))
        return _ASMoutput(output, -output.mean())

    def _full_log_prob(self, input: Tensor, scores: Tensor) -> Tensor:
        head = log_softmax(scores, 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail, self.shortlist_size):
            parts.append(log_softmax(tail(input), 1) + head[:, i : i + 1])
        return cat(parts, 1)  # type: ignore[no-any-return]

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, n_classes)."""
        return self._full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row; only rows that need them go through the tails."""
        scores = self.head(input)
        best: Tensor = scores.argmax(1)
        (row,) = np.nonzero(best.array >= self.shortlist_size)
        if row.size:
            some = wrap(row)
            full = self._full_log_prob(input.index_select(0, some), scores.index_select(0, some))
            best[some] = full.argmax(1)
        return best


def _chosen(scores: Tensor, classes: np.ndarray[Any, Any]) -> Tensor:
    """The log-probability of one class in each row."""
    return log_softmax(scores, 1).gather(1, wrap(classes[:, None])).squeeze(1)  # type: ignore[no-any-return]


def _check_batch(input: Tensor, target: Tensor) -> None:
    if target.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 1 and input.shape[:1] != target.shape:
        raise RuntimeError(
            "Input and target should have the same size in the batch dimension: got "
            f"{list(input.shape)} and {list(target.shape)}"
        )
    if input.ndim != target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found "
            f"inputs with size {input.shape}"
        )
