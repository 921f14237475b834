"""Convolutional layers: one implementation for one, two and three axes, and for transposed ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty
from ..autograd.ops import convolution as ops
from . import init
from .module import Module
from .padding import pad

Numbers = int | tuple[int, ...]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _tuple(value: Any, n: int) -> tuple[Any, ...]:
    """A number for each axis; several stay as they are."""
    return (value,) * n if isinstance(value, int) else tuple(value)


class _ConvNd(Module):
    """What all convolutional layers are: a weight, a bias, and how the window moves.

    Weight and bias start uniform within ``±1/√(C/groups · kernel)``, as PyTorch's with the same
    seed.
    """

    _axes: ClassVar[int]
    transposed: ClassVar[bool] = False

    weight: Tensor
    bias: Tensor | None
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers,
        padding: str | Numbers,
        dilation: Numbers,
        output_padding: Numbers,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups <= 0:
            raise ValueError(f"groups must be a positive integer, but got groups={groups}")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(
                    f"{name} must be divisible by groups, but got {name}={channels} and "
                    f"groups={groups}"
                )
        n = self._axes
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _tuple(kernel_size, n)
        self.stride = _tuple(stride, n)
        self.padding = padding if isinstance(padding, str) else _tuple(padding, n)
        self.dilation = _tuple(dilation, n)
        self.output_padding = _tuple(output_padding, n)
        self.groups = groups
        self._check_padding(padding_mode)
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = self._padding_for_pad()
        pair = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        size = (pair[0], pair[1] // groups, *self.kernel_size)
        self.weight = Parameter(empty(size, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check_padding(self, mode: str) -> None:
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {self.padding!r}, should be one of 'same', 'valid'"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {', '.join(map(repr, PADDING_MODES))}, but got "
                f"padding_mode={mode!r}"
            )
        if self.transposed and mode != "zeros":
            raise ValueError(
                f'Only "zeros" padding mode is supported for {type(self).__name__}, but got '
                f"padding_mode={mode!r}"
            )

    def _padding_for_pad(self) -> list[int]:
        """The padding as `pad` takes it: before and after the last axis, then the one before it."""
        pairs: Sequence[tuple[int, int]]
        if self.padding == "valid":
            pairs = [(0, 0)] * self._axes
        elif isinstance(self.padding, str):
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(t // 2, t - t // 2) for t in total]
        else:
            pairs = [(p, p) for p in self.padding]
        return [p for pair in reversed(pairs) for p in pair]

    def reset_parameters(self) -> None:
        """Draw new weights."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            taps = math.prod(self.weight.shape[1:])
            if taps:
                bound = 1 / math.sqrt(taps)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        none, ones = (0,) * self._axes, (1,) * self._axes
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        usual: dict[str, Any] = {"padding": none, "dilation": ones, "output_padding": none}
        for name, value in {**usual, "groups": 1}.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    """A convolution: `Conv1d`, `Conv2d`, `Conv3d`."""

    _function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: str | Numbers = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias),
            *(padding_mode, device, dtype),
        )

    def forward(self, input: Tensor) -> Tensor:
        """The filters slid over ``input``."""
        return self._conv_forward(input, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = type(self)._function
        if self.padding_mode == "zeros":
            return convolve(  # type: ignore[no-any-return]
                input, weight, bias, self.stride, self.padding, self.dilation, self.groups
            )
        input = pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return convolve(input, weight, bias, self.stride, 0, self.dilation, self.groups)  # type: ignore[no-any-return]


class Conv1d(_Conv):
    """Filters slid over sequences.

    ``padding`` zeros stand at each end ("same": as many as keep the length), or, by
    ``padding_mode``, the sequence reflected, its ends repeated, or its other end.

    Shape: ``(N, C, L) → (N, F, L')``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.Conv1d(16, 33, 3, stride=2)(rg.ones(20, 16, 50)).shape
    torch.Size([20, 33, 24])
    """

    _axes = 1
    _function = staticmethod(ops.conv1d)


class Conv2d(_Conv):
    """Filters slid over images; see `Conv1d`.

    Shape: ``(N, C, H, W) → (N, F, H', W')``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.Conv2d(3, 8, 5, padding=2)(rg.ones(1, 3, 28, 28)).shape
    torch.Size([1, 8, 28, 28])
    """

    _axes = 2
    _function = staticmethod(ops.conv2d)


class Conv3d(_Conv):
    """Filters slid over volumes; see `Conv1d`.

    Shape: ``(N, C, D, H, W) → (N, F, D', H', W')``; N may be missing.
    """

    _axes = 3
    _function = staticmethod(ops.conv3d)


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution: `ConvTranspose1d`, `ConvTranspose2d`, `ConvTranspose3d`."""

    transposed = True
    _function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding),
            *(groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Every element of ``input`` times the filters, added up.

        Several sizes of result are possible where the stride is more than one; ``output_size``
        names one of them.
        """
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        convolve = type(self)._function
        return convolve(  # type: ignore[no-any-return]
            *(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups),
            self.dilation,
        )

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that makes the result as large as wished."""
        n, size, wished = self._axes, input.shape[2:], tuple(output_size)
        if input.ndim == n + 1:
            size = input.shape[1:]
        if len(wished) == input.ndim:
            wished = wished[-n:]
        if len(wished) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or "
                f"{input.ndim} elements (got {len(wished)})"
            )
        padding: Any = self.padding
        facts = zip(size, self.stride, padding, self.kernel_size, self.dilation, strict=True)
        least = [(m - 1) * s - 2 * p + d * (k - 1) + 1 for m, s, p, k, d in facts]
        most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
        if any(not a <= w <= b for w, a, b in zip(wished, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {wished}, but valid sizes range from {least} to "
                f"{most} (for an input of {size})"
            )
        return tuple(w - a for w, a in zip(wished, least, strict=True))


class ConvTranspose1d(_ConvTransposeNd):
    """Every element times the filters, added up where they overlap: a convolution's transpose.

    Shape: ``(N, C, L) → (N, F, (L - 1) · stride - 2 · padding + dilation · (K - 1) + 1 + extra)``,
    where extra is ``output_padding``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.ConvTranspose1d(16, 33, 3, stride=2)(rg.ones(20, 16, 50)).shape
    torch.Size([20, 33, 101])
    """

    _axes = 1
    _function = staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """`ConvTranspose1d` for images.

    Shape: ``(N, C, H, W) → (N, F, H', W')``; N may be missing.

    >>> import retrograd as rg
    >>> layer = rg.nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1)
    >>> layer(rg.ones(1, 3, 16, 16)).shape
    torch.Size([1, 8, 32, 32])
    """

    _axes = 2
    _function = staticmethod(ops.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """`ConvTranspose1d` for volumes.

    Shape: ``(N, C, D, H, W) → (N, F, D', H', W')``; N may be missing.
    """

    _axes = 3
    _function = staticmethod(ops.conv_transpose3d)
