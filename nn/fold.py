"""Windows of images as columns, and back: `unfold`, `fold` and their modules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor
from ..autograd.ops.fold import col2im, im2col
from ..autograd.windows import Window
from .settings import Settings

Numbers = int | tuple[int, ...]


def unfold(
    input: Tensor,
    kernel_size: Numbers,
    dilation: Numbers = 1,
    padding: Numbers = 0,
    stride: Numbers = 1,
) -> Tensor:
    """Every window of an image as a column (im2col), so that a convolution is a matrix product.

    Shape: ``(N, C, H, W) → (N, C · K · K, places)``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.functional.unfold(rg.arange(6.0).reshape(1, 2, 3), 2)
    tensor([[0., 1.],
            [1., 2.],
            [3., 4.],
            [4., 5.]])
    """
    window = _window(kernel_size, stride, padding, dilation)
    shape = input.array.shape
    if len(shape) not in (3, 4) or not all(shape[-3:]):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(shape)}"
        )
    places = window.places(shape[-2:])
    if min(places) < 1:
        raise RuntimeError(
            f"Given input with spatial size {shape[-2:]}, kernel_size={window.kernel}, "
            f"dilation={window.dilation}, padding={window.padding}, calculated shape of the array "
            f"of sliding blocks as {places}, but its components must be at least one."
        )
    _refuse_integers("unfold", input)
    if len(shape) == 3:
        return im2col(input.unsqueeze(0), *window).squeeze(0)  # type: ignore[no-any-return]
    return im2col(input, *window)  # type: ignore[no-any-return]


def fold(
    input: Tensor,
    output_size: Numbers,
    kernel_size: Numbers,
    dilation: Numbers = 1,
    padding: Numbers = 0,
    stride: Numbers = 1,
) -> Tensor:
    """Columns added up to an image (col2im), where `unfold` would take them from.

    Shape: ``(N, C · K · K, places) → (N, C, H, W)``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.functional.fold(rg.ones(4, 2), (2, 3), 2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    size = _pair("output_size", output_size)
    window = _window(kernel_size, stride, padding, dilation)
    shape = input.array.shape
    if len(shape) not in (2, 3) or not all(shape[-2:]):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(shape)}"
        )
    if shape[-2] % math.prod(window.kernel):
        raise RuntimeError(
            f"Expected size of input's dimension {len(shape) - 2} to be divisible by the product "
            f"of kernel_size, but got input.size({len(shape) - 2})={shape[-2]} and "
            f"kernel_size={window.kernel}."
        )
    high, wide = (max(n, 0) for n in window.places(size))
    if shape[-1] != high * wide or not shape[-1]:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={window.kernel}, dilation={window.dilation}, "
            f"padding={window.padding}, stride={window.stride}, expected size of input's dimension "
            f"{len(shape) - 1} to match the calculated number of sliding blocks {high} * {wide} = "
            f"{high * wide}, but got input.size({len(shape) - 1})={shape[-1]}."
        )
    _refuse_integers("fold", input)
    if len(shape) == 2:
        return col2im(input.unsqueeze(0), size, *window).squeeze(0)  # type: ignore[no-any-return]
    return col2im(input, size, *window)  # type: ignore[no-any-return]


def _refuse_integers(name: str, input: Tensor) -> None:
    if input.array.dtype.kind in "iu":
        raise NotImplementedError(
            f"\"{name}\" not implemented for '{input.dtype}': convert with .float() first"
        )


def _window(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    window = Window(
        _pair("kernel_size", kernel_size),
        _pair("stride", stride),
        _pair("padding", padding),
        _pair("dilation", dilation),
    )
    for name in ("kernel", "stride", "dilation"):
        if min(getattr(window, name)) <= 0:
            what = "kernel_size" if name == "kernel" else name
            raise RuntimeError(
                f"{name} {'size ' if name == 'kernel' else ''}should be greater than zero, but got "
                f"{what}={getattr(window, name)}"
            )
    if min(window.padding) < 0:
        raise RuntimeError(f"padding should be non-negative, but got padding={window.padding}")
    return window


def _pair(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    if not isinstance(value, (tuple, list)) or not all(isinstance(v, int) for v in value):
        raise TypeError(f"argument '{name}' must be an int or a tuple of ints, not {value!r}")
    if len(value) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
    return value[0], value[1]


@dataclass(eq=False, repr=False)
class Unfold(Settings):
    """Every window of an image as a column (im2col).

    Shape: ``(N, C, H, W) → (N, C · K · K, places)``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.Unfold(3, padding=1)(rg.ones(2, 4, 5, 5)).shape
    torch.Size([2, 36, 25])
    """

    kernel_size: Numbers
    dilation: Numbers = 1
    padding: Numbers = 0
    stride: Numbers = 1

    def forward(self, input: Tensor) -> Tensor:
        """`unfold` with the settings of the module."""
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


@dataclass(eq=False, repr=False)
class Fold(Settings):
    """Columns added up to an image (col2im), where `Unfold` would take them from.

    Shape: ``(N, C · K · K, places) → (N, C, H, W)``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.Fold(5, 3, padding=1)(rg.ones(2, 36, 25)).shape
    torch.Size([2, 4, 5, 5])
    """

    output_size: Numbers
    kernel_size: Numbers
    dilation: Numbers = 1
    padding: Numbers = 0
    stride: Numbers = 1

    def forward(self, input: Tensor) -> Tensor:
        """`fold` with the settings of the module."""
        return fold(
            *(input, self.output_size, self.kernel_size),
            *(self.dilation, self.padding, self.stride),
        )
