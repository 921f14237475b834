"""Rows of a table by their numbers: `embedding`, and sums, means or maxima of several rows."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd import Tensor, int64, no_grad
from ..autograd.creation import zeros
from ..autograd.ops import gate
from ..autograd.ops.index import embedding_rows, index, pick, where
from ..autograd.tensor import wrap


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of ``weight`` that ``input`` names.

    The row ``padding_idx`` gets no gradient.  Rows longer than ``max_norm`` are first shortened to
    it, in place.  Raises `IndexError` for a row that is not there.

    Shape: ``(*), (V, D) → (*, D)``
    """
    if sparse:
        raise NotImplementedError("embedding(sparse=True): gradients here are dense")
    _check_indices(input)
    if weight.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, not {list(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError(
                f"Padding_idx must be within num_embeddings: {padding_idx} is not in [0, {rows})"
            )
        padding_idx %= rows
    if max_norm is not None:
        _shorten_rows(weight, input, max_norm, norm_type)
    out = embedding_rows(weight, input)
    scale = None
    if scale_grad_by_freq:
        _, place, count = np.unique(input.array, return_inverse=True, return_counts=True)
        scale = 1 / count[place].reshape(input.shape)
    if padding_idx is not None:
        kept = input.array != padding_idx
        scale = kept if scale is None else scale * kept
    if scale is None:
        return out  # type: ignore[no-any-return]
    return gate.scale_gradient(out, wrap(scale).to(out.dtype).unsqueeze(-1))  # type: ignore[no-any-return]


def _shorten_rows(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    with no_grad():
        used = wrap(np.unique(index.array))
        found = pick(weight.detach(), (used.array,))
        length = found.norm(norm_type, 1, keepdim=True)
        shorter = found * (max_norm / (length + 1e-7))
        weight[used] = where(length > max_norm, shorter, found)


def _check_indices(input: Tensor) -> None:
    if input.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {input.dtype} instead: convert it with .long()"
        )


# ---------------------------------------------------------------- bags


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of several rows of ``weight``, bag by bag.

    A bag is a row of a two-dimensional ``input``, or what lies between two ``offsets`` of a flat
    one; an empty bag gives zeros.  ``per_sample_weights`` multiply the rows that are summed.  What
    ``padding_idx`` names is left out.

    Shape: ``(B, n), (V, D) → (B, D)``, or ``(n), (V, D), (B) → (B, D)``.  Raises `ValueError` for
    shapes and modes, `RuntimeError` for offsets and types.

    >>> import retrograd as rg
    >>> table = rg.tensor([[1.0], [10.0], [100.0]])
    >>> rg.nn.functional.embedding_bag(rg.tensor([[0, 1], [2, 2]]), table, mode="sum")
    tensor([[ 11.],
            [200.]])
    """
    if weight.dtype is int64 and input.is_floating_point():
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage "
            "`embedding_bag(weight, input, ...)` is deprecated, and should now be "
            "`embedding_bag(input, weight, ...)`.",
            stacklevel=2,
        )
        weight, input = input, weight
    _check_bags(input, weight, offsets, mode, per_sample_weights, scale_grad_by_freq)
    if sparse:
        raise NotImplementedError("embedding_bag(sparse=True): gradients here are dense")
    _check_indices(input)
    starts = _starts(input, offsets, include_last_offset and input.ndim == 1)
    input = input.reshape(-1)
    if max_norm is not None:
        _shorten_rows(weight, input, max_norm, norm_type)
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'): multiply the rows of an embedding instead"
        )
    kept = np.ones(input.shape, bool)
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{rows} through "
                f"{rows - 1}, but got {padding_idx}"
            )
        kept = input.array != padding_idx % rows
    if mode == "max":
        return _maxima(input, weight, starts, kept)
    rows = embedding(input, weight, None, scale_grad_by_freq=scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    bags = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    if not kept.all():
        places = np.flatnonzero(kept)
        rows, bags = index(rows, (places,)), bags[places]
    out = zeros((len(starts) - 1, weight.shape[1]), dtype=rows.dtype)
    out = out.index_add(0, wrap(bags), rows)
    if mode == "sum":
        return out
    counts = np.maximum(np.bincount(bags, minlength=len(starts) - 1), 1)
    return out / wrap(counts.reshape(-1, 1).astype(np.float32)).to(out.dtype)


def _check_bags(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None,
    mode: str,
    factors: Tensor | None,
    scale_grad_by_freq: bool,
) -> None:
    if factors is not None and input.shape != factors.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({factors.shape}) is not None, then it must "
            f"have the same shape as the input ({input.shape})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if input.ndim == 2 and offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
            f"fixed length sequences. However, found offsets of type {type(offsets)}"
        )
    if input.ndim == 1 and offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if input.ndim == 1 and offsets is not None and offsets.ndim != 1:
        raise ValueError(f"offsets has to be a 1D Tensor, not {offsets.ndim}D")
    if input.ndim not in (1, 2):
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"mode has to be one of sum, mean or max, not {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if factors is not None and factors.dtype != weight.dtype:
        raise RuntimeError(
            f"expected per_sample_weights of the weight's type {weight.dtype}, got {factors.dtype}"
        )


def _starts(input: Tensor, offsets: Tensor | None, include_last: bool) -> np.ndarray[Any, Any]:
    """Where each bag begins in the flat input, and where the last one ends."""
    size = input.array.size
    if offsets is None:
        return np.arange(input.shape[0] + 1) * input.shape[1]
    if offsets.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            "Expected tensor for argument 'offsets' to have one of the following scalar types: "
            f"Long, Int; but got {offsets.dtype} instead: convert it with .long()"
        )
    starts = offsets.array
    if include_last and not starts.size:
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    if starts.size and starts[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {starts[0]}"
        )
    if starts.size and starts[-1] > size:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({size}) but got offsets[-1] of "
            f"{starts[-1]}"
        )
    if (np.diff(starts) < 0).any():
        raise RuntimeError("offsets must not decrease")
    return starts.copy() if include_last else np.append(starts, size)


def _maxima(
    input: Tensor, weight: Tensor, starts: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]
) -> Tensor:
    """The largest number of each column in each bag; the first of equals gets the gradient."""
    numbers, width = input.array, weight.shape[1]
    rows = weight.shape[0]
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < rows):
        raise IndexError(f"index out of range in self: the table has {rows} rows")
    chosen = np.zeros((len(starts) - 1, width), np.int64)
    filled = np.zeros((len(starts) - 1, 1), bool)
    table = weight.detach().float().array if weight.array.dtype.names else weight.array
    for bag, (start, stop) in enumerate(pairwise(starts)):
        own = numbers[start:stop][kept[start:stop]]
        if own.size:
            chosen[bag] = own[table[own].argmax(0)]
            filled[bag] = True
    out = pick(weight, (chosen, np.arange(width)))
    return out if filled.all() else out.masked_fill(wrap(~filled), 0.0)
