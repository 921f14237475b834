"""Alignments of texts with steps in time, and the sums over all of them that CTC needs.

A text of S labels becomes 2S+1 states, with a blank before, between and after its labels.  An
alignment goes through the states, one a step, and may stay, go on to the next, or skip a blank
between labels that differ.  `scores` adds up all ways into each state, in logarithms, for all
sequences at once; the same function on the reversed sequences gives all ways out of it.
(Graves et al. 2006, sections 4.1 and 4.2.)

Functions of NumPy on tensors are ops, so what is written here for arrays can be read on tensors
too, and then be differentiated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

NEVER = -1e30  # the logarithm of no probability: finite, so that it never becomes NaN


class Paths(NamedTuple):
    """Which states a batch of texts has, and how alignments may go through them."""

    labels: Array  # of each state: (N, 2S+1)
    steps: Array  # how many each sequence has: (N)
    states: Array  # how many of the states each text has: (N)

    @classmethod
    def of(cls, targets: Array, steps: Array, lengths: Array, blank: int) -> Paths:
        """The states of texts ``targets`` (N, S), of which ``lengths`` count."""
        labels = np.full((len(targets), 2 * targets.shape[1] + 1), blank)
        labels[:, 1::2] = targets
        return cls(labels, steps, 2 * lengths + 1)

    def log_probabilities(self, x: Any, steps: Array, states: Array) -> Any:
        """Those of each state at each step, in an order of steps and of states: (T, N, 2S+1)."""
        sequence = np.arange(len(self.labels))[:, None]
        picked = x[steps[:, :, None], sequence, self.labels[sequence, states]]
        return np.maximum(picked, NEVER)

    def forward(self, n_steps: int) -> tuple[Array, Array]:
        """The steps (T, 1) and the states (N, 2S+1) from first to last."""
        states = np.arange(self.labels.shape[1])
        return np.arange(n_steps)[:, None], np.broadcast_to(states, self.labels.shape)

    def backward(self, n_steps: int) -> tuple[Array, Array]:
        """The steps and the states from each sequence's last to its first; then padding."""
        steps, states = self.forward(n_steps)
        last = self.states[:, None] - 1
        return (self.steps - 1 - steps) % n_steps, (last - states) % self.labels.shape[1]


def scores(y: Any, labels: Array) -> list[Any]:
    """``log Σ`` of the probabilities of all ways into each state, for each step: T of (N, 2S+1)."""
    kind = y.dtype if isinstance(y, np.ndarray) else y.array.dtype
    start, skip = np.full((2, *labels.shape), NEVER, kind)
    start[:, :2] = 0
    skip[:, 2:][labels[:, 2:] != labels[:, :-2]] = 0
    wall = np.full((len(labels), 2), NEVER, kind)
    rows = [y[0] + start]
    for now in y[1:]:
        padded = np.concatenate([wall, rows[-1]], 1)
        moved = np.logaddexp(rows[-1], padded[:, 1:-1])
        rows.append(np.logaddexp(moved, padded[:, :-2] + skip) + now)
    return rows


def total(ways: Array, paths: Paths) -> Array:
    """The logarithm of each text's probability: (N)."""
    sequence = np.arange(len(paths.labels))
    last = ways[paths.steps - 1, sequence]
    end, before = (last[sequence, paths.states - back] for back in (1, 2))
    has_labels = paths.states > 1
    end = np.logaddexp(end, np.where(has_labels, before, NEVER))
    return np.where(paths.steps > 0, end, np.where(has_labels, NEVER, 0.0)).astype(ways.dtype)


def ctc_slope(
    g: Any,
    x: Any,
    out: Any,
    ways: Any,
    targets: Any,
    steps: Any,
    lengths: Any,
    blank: int,
    zero_infinity: bool,
    normalized: bool,
) -> Any:
    """The derivative of `ops.ctc`: less the probability of each class at each step, given the text.

    Shape: ``x`` (T, N, C), ``g`` and ``out`` (N), ``ways`` (T, N, 2S+1), texts (N, S), steps and
    lengths (N) → (T, N, C)
    """
    on_arrays = isinstance(x, np.ndarray)
    if not on_arrays:
        targets, steps, lengths, ways = (t.array for t in (targets, steps, lengths, ways))
    paths = Paths.of(targets, steps, lengths, blank)
    impossible = total(ways, paths) < NEVER / 2
    order = paths.forward(len(x))
    y = paths.log_probabilities(x, *order)
    if not on_arrays:  # those that were kept are not connected to the tape
        ways = np.stack(scores(y, paths.labels))
    back_steps, back = paths.backward(len(x))
    sequence = np.arange(len(back))[:, None]
    ways_out = scores(paths.log_probabilities(x, back_steps, back), paths.labels[sequence, back])
    both = ways + np.stack(ways_out)[back_steps[:, :, None], sequence, back] - y  # (T, N, 2S+1)

    inside = (order[0] < paths.steps)[:, :, None]  # (T, N, 1)
    there = inside & (order[1] < paths.states[:, None]) & ~impossible[:, None]
    posterior = np.exp(np.where(there, both + np.where(impossible, 0.0, out)[:, None], NEVER))
    slope = -_by_class(posterior, paths.labels, x.shape)
    if normalized:
        slope = slope + np.exp(x)
    if impossible.any():
        slope = np.where(impossible[:, None], 0.0 if zero_infinity else np.nan, slope)
    return np.where(inside, slope, 0.0) * g[:, None]


def _by_class(posterior: Any, labels: Array, shape: tuple[int, ...]) -> Any:
    """Add up (T, N, 2S+1) over the states of each class: (T, N, C)."""
    if not isinstance(posterior, np.ndarray):
        index = posterior.new_tensor(np.broadcast_to(labels, tuple(posterior.shape)).copy())
        return posterior.new_zeros(shape).scatter_add(2, index.long(), posterior)
    out = np.zeros(shape, posterior.dtype)
    sequence = np.arange(len(labels))
    for state, classes in enumerate(labels.T):  # of one state, no two places coincide
        out[:, sequence, classes] += posterior[:, :, state]
    return out
