"""Connectionist temporal classification: the probability of a text, over all its alignments."""

from __future__ import annotations

import numpy as np

from .. import scalar as s
from ..alignments import NEVER, Paths, ctc_slope, scores, total
from ..declare import opaque, word

word(arrays=ctc_slope)(ctc_slope)  # the same for arrays and tensors


@opaque(
    outputs=("out", "ways"),
    single=True,
    d_x=lambda g, x, out, ways, targets, steps, lengths, blank, zero_infinity, normalized: (
        s.ctc_slope(g, x, out, ways, targets, steps, lengths, blank, zero_infinity, normalized)
    ),
    d_targets=None, d_steps=None, d_lengths=None,
    uncounted=("targets", "steps", "lengths"),
    cases=[
        (
            (4, 3, 3), np.array([[1, 2], [1, 1], [2, 0]]), np.array([4, 4, 3]), np.array([2, 2, 1]),
            {"blank": 0, "zero_infinity": False, "normalized": False},
        ),
        (
            (3, 2, 3), np.array([[1, 1], [0, 1]]), np.array([2, 3]), np.array([2, 2]),
            {"blank": 2, "zero_infinity": True, "normalized": False},
        ),
    ],
    public=False, method=False,
)  # fmt: skip
def ctc_of_texts(x, targets, steps, lengths, /, blank, zero_infinity, normalized):
    """``-log p(text)`` of each text, over all its alignments; infinite, or zero, if it has none.

    ``normalized`` says that eˣ adds up to one over the classes and shall go on to: the derivative
    is then softmax less posterior, as PyTorch's is.

    Shape: ``(T, N, C)``, texts ``(N, S)``, and their lengths ``(N)`` → ``(N)``
    """
    paths = Paths.of(targets, steps, lengths, blank)
    y = paths.log_probabilities(x, *paths.forward(len(x)))
    ways = np.stack(scores(y, paths.labels))
    found = total(ways, paths)
    impossible = found < NEVER / 2
    return np.where(impossible, 0.0 if zero_infinity else np.inf, -found).astype(x.dtype), ways
