"""Padding: more elements at the ends of the last axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..autograd import Tensor
from ..autograd.ops.index import pick, put
from ..autograd.tensor import wrap


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """More elements before and after the last axes; negative numbers cut some off.

    ``pad`` counts from the last axis: (before, after) of the last, (before, after) of the one
    before it, and so on.  ``mode`` says what is there: "constant" (``value``, by default 0),
    "reflect", "replicate" or "circular".

    >>> import retrograd as rg
    >>> rg.nn.functional.pad(rg.ones(2), (1, 2))
    tensor([0., 1., 1., 0., 0.])
    """
    shape = input.array.shape
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2: {tuple(pad)}")
    if len(pad) > 2 * len(shape):
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(pad)} and input of dimension {len(shape)}"
        )
    last_first = range(len(shape) - 1, -1, -1)
    pairs = dict(zip(last_first, zip(pad[::2], pad[1::2], strict=True), strict=False))
    for axis, (before, after) in pairs.items():
        if shape[axis] + before + after < 0:
            raise RuntimeError(
                f"The input size {shape[axis]}, plus negative padding {before} and {after}, "
                "resulted in a negative output size, which is invalid. Check dimension "
                f"{axis} of your input."
            )
    if mode == "constant":
        return _constant(input, pairs, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if len(pad) // 2 not in (len(shape) - 1, len(shape) - 2):
        raise NotImplementedError(
            f'mode="{mode}" pads all axes but one or two (channels, or batch and channels); got '
            f"{len(pad) // 2} pairs for an input of {len(shape)} axes"
        )
    for axis, pair in pairs.items():
        input = _repeated(input, axis, pair, mode)
    return input


def _constant(input: Tensor, pairs: dict[int, tuple[int, int]], value: float) -> Tensor:
    shape = input.array.shape
    inner, key = [slice(None)] * len(shape), [slice(None)] * len(shape)
    size = list(shape)
    for axis, (before, after) in pairs.items():
        inner[axis] = slice(max(-before, 0), shape[axis] - max(-after, 0))
        size[axis] = shape[axis] + before + after
        key[axis] = slice(max(before, 0), size[axis] - max(after, 0))
    if any(n < 0 for pair in pairs.values() for n in pair):
        input = pick(input, tuple(inner))
    block = wrap(np.full(size, value, input.array.dtype))
    return put(block, input, ((), tuple(key)))  # type: ignore[no-any-return]


def _repeated(input: Tensor, axis: int, pair: tuple[int, int], mode: str) -> Tensor:
    before, after = pair
    n = input.array.shape[axis]
    first = max(-before, 0)
    left = n - first - max(-after, 0)  # how many are not cut off
    limit = {"reflect": n - 1, "circular": left, "replicate": math.inf if n else 0}[mode]
    if max(before, after) > limit:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, but got: "
            f"padding {pair} at dimension {axis} of input {list(input.shape)} (mode {mode!r})"
        )
    places = np.arange(-before, n + after)
    if mode == "replicate":
        places = np.clip(places, 0, n - 1)
    elif mode == "reflect":
        places = n - 1 - np.abs(n - 1 - np.abs(places))
    else:
        places = first + (places - first) % max(left, 1)
    return pick(input, (slice(None),) * axis + (places,))  # type: ignore[no-any-return]
