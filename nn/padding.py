"""Padding: more elements at the ends of the last axes; the function and its modules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops.index import pick, put
from ..autograd.tensor import wrap
from .module import Module


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


# ---------------------------------------------------------------- modules


class _Padding(Module):
    axes: int
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = (
            tuple(padding) if isinstance(padding, Iterable) else (padding,) * (2 * self.axes)
        )

    def forward(self, input: Tensor) -> Tensor:
        """The input with a frame."""
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """How much is added at each side."""
        return f"{self.padding}"


class _ConstantPad(_Padding):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """How much is added at each side, and what."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """One value before and after the last axis.

    ``padding`` is a number for all sides, or one for each: (before, after) of the last axis first.

    >>> import retrograd as rg
    >>> rg.nn.ConstantPad1d((1, 2), 5.0)(rg.zeros(1, 2))
    tensor([[5., 0., 0., 5., 5.]])
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """One value around the last two axes: (left, right, top, bottom)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """One value around the last three axes: (left, right, top, bottom, front, back)."""

    axes = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How much is added at each side."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Zeros before and after the last axis."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Zeros around the last two axes: (left, right, top, bottom).

    >>> import retrograd as rg
    >>> rg.nn.ZeroPad2d((1, 0, 0, 0))(rg.ones(1, 2, 1))
    tensor([[[0., 1.],
             [0., 1.]]])
    """


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Zeros around the last three axes: (left, right, top, bottom, front, back)."""


class ReflectionPad1d(_Padding):
    """The input reflected at the ends of the last axis, which are not repeated.

    >>> import retrograd as rg
    >>> rg.nn.ReflectionPad1d(2)(rg.arange(3.0).reshape(1, 3))
    tensor([[2., 1., 0., 1., 2., 1., 0.]])
    """

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Padding):
    """The input reflected at the ends of the last two axes: (left, right, top, bottom)."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Padding):
    """The input reflected at the ends of the last three axes."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Padding):
    """The elements at the ends of the last axis repeated.

    >>> import retrograd as rg
    >>> rg.nn.ReplicationPad1d(2)(rg.arange(3.0).reshape(1, 3))
    tensor([[0., 0., 0., 1., 2., 2., 2.]])
    """

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Padding):
    """The elements at the ends of the last two axes repeated: (left, right, top, bottom)."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Padding):
    """The elements at the ends of the last three axes repeated."""

    axes, mode = 3, "replicate"


class _CircularPad(_Padding):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """The input with a frame; `ValueError` for too many or too few axes."""
        if input.ndim - self.axes not in (1, 2):
            raise ValueError(
                f"expected {self.axes + 1}D or {self.axes + 2}D input (got {input.ndim}D input)"
            )
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """The last axis going round: what follows the end is its beginning.

    >>> import retrograd as rg
    >>> rg.nn.CircularPad1d((2, 1))(rg.arange(3.0).reshape(1, 3))
    tensor([[1., 2., 0., 1., 2., 0.]])
    """

    axes = 1


class CircularPad2d(_CircularPad):
    """The last two axes going round: (left, right, top, bottom)."""

    axes = 2


class CircularPad3d(_CircularPad):
    """The last three axes going round."""

    axes = 3
