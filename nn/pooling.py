"""Pooling as modules.  Each is its function in `functional`, with the settings kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..autograd import Tensor
from ..autograd.ops import pool as ops
from . import pool as F
from .module import Module
from .settings import Settings

Sizes = Any  # an int, or one for each axis


def several(value: Any, axes: int) -> tuple[Any, ...]:
    """A tuple with an entry for each axis: the value's own, or the value repeated."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * axes


# ---------------------------------------------------------------- maxima


@dataclass(eq=False, repr=False)
class _MaxPool(Settings):
    axes: ClassVar[int]
    kernel_size: Sizes
    stride: Sizes = None
    padding: Sizes = 0
    dilation: Sizes = 1
    return_indices: bool = False
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with ``return_indices`` their places."""
        found = ops.max_pool(
            input, self.axes, self.kernel_size, self.stride, self.padding, self.dilation,
            self.ceil_mode,
        )  # fmt: skip
        return ops.with_long_indices(found) if self.return_indices else found[0]

    def extra_repr(self) -> str:
        """The windows."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window; ``stride`` is by default the window's size.

    With ``ceil_mode`` windows may reach beyond the end; with ``return_indices`` the result is a
    pair: maxima, and the place of each.  Padding counts as minus infinity.

    Shape: ``(N, C, T) → (N, C, ⌊(T + 2·padding - dilation·(kernel_size - 1) - 1) / stride⌋ + 1)``;
    N may be absent.

    >>> import retrograd as rg
    >>> rg.nn.MaxPool1d(2)(rg.tensor([[1.0, 3.0, 2.0, 0.0]]))
    tensor([[3., 2.]])
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The largest element of each window over height and width; see `MaxPool1d`.

    Shape: ``(N, C, H, W) → (N, C, H', W')``; N may be absent.

    >>> import retrograd as rg
    >>> rg.nn.MaxPool2d(2)(rg.arange(8.0).reshape(1, 2, 4))
    tensor([[[5., 7.]]])
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """The largest element of each window over depth, height and width; see `MaxPool1d`.

    Shape: ``(N, C, D, H, W) → (N, C, D', H', W')``; N may be absent.
    """

    axes = 3


class _MaxUnpool(Module):
    axes: int

    def __init__(self, kernel_size: Sizes, stride: Sizes = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size = several(kernel_size, self.axes)
        self.stride = several(kernel_size if stride is None else stride, self.axes)
        self.padding = several(padding, self.axes)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Each maximum at its index; ``output_size`` chooses among sizes that pool to the input."""
        function = getattr(F, f"max_unpool{self.axes}d")
        return function(  # type: ignore[no-any-return]
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        """The windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Maxima put back where `MaxPool1d` found them, zeros elsewhere.

    >>> import retrograd as rg
    >>> found = rg.nn.MaxPool1d(2, return_indices=True)(rg.tensor([[1.0, 3.0, 2.0, 0.0]]))
    >>> rg.nn.MaxUnpool1d(2)(*found)
    tensor([[0., 3., 2., 0.]])
    """

    axes = 1


class MaxUnpool2d(_MaxUnpool):
    """Maxima put back where `MaxPool2d` found them, zeros elsewhere."""

    axes = 2


class MaxUnpool3d(_MaxUnpool):
    """Maxima put back where `MaxPool3d` found them, zeros elsewhere."""

    axes = 3


class _FractionalMaxPool(Module):
    axes: int
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = several(kernel_size, self.axes)
        if self.axes == 3 and min(self.kernel_size) <= 0:
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else several(output_size, self.axes)
        self.output_ratio = None if output_ratio is None else several(output_ratio, self.axes)
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{name} requires specifying either an output size, or a pooling ratio"
            )
        if output_size is not None and self.output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with ``return_indices`` their places."""
        return getattr(F, f"fractional_max_pool{self.axes}d")(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            self._random_samples,
        )  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima of windows at random distances that give ``output_size`` (Graham 2014).

    Or, with ``output_ratio``, that part of the input's size.  Raises `ValueError` unless exactly
    one of the two is given.

    >>> import retrograd as rg
    >>> rg.nn.FractionalMaxPool2d(2, output_ratio=0.5)(rg.zeros(1, 7, 9)).shape
    torch.Size([1, 3, 4])
    """

    axes = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """`FractionalMaxPool2d` over depth, height and width."""

    axes = 3


class _AdaptiveMaxPool(Module):
    axes: int

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """The maxima, and with ``return_indices`` their places."""
        function = getattr(F, f"adaptive_max_pool{self.axes}d")
        return function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The wanted size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest elements of ``output_size`` windows that divide the axis evenly."""

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest elements of windows that divide height and width evenly.

    ``output_size`` is a number or a pair; None is the input's own size.

    >>> import retrograd as rg
    >>> rg.nn.AdaptiveMaxPool2d((1, None))(rg.arange(8.0).reshape(1, 2, 4))
    tensor([[[4., 5., 6., 7.]]])
    """

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest elements of windows that divide depth, height and width evenly."""

    axes = 3


# ---------------------------------------------------------------- averages and norms


class _AvgPool(Module):
    def extra_repr(self) -> str:
        """The windows."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The average of each window; ``stride`` is by default the window's size.

    ``count_include_pad`` counts padding as zeros; without it only what is there is averaged.

    Shape: ``(N, C, T) → (N, C, ⌊(T + 2·padding - kernel_size) / stride⌋ + 1)``; N may be absent.

    >>> import retrograd as rg
    >>> rg.nn.AvgPool1d(2)(rg.tensor([[1.0, 3.0, 2.0, 0.0]]))
    tensor([[2., 1.]])
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = several(kernel_size, 1)
        self.stride = several(kernel_size if stride is None else stride, 1)
        self.padding = several(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return F.avg_pool1d(  # type: ignore[no-any-return]
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip


class _AvgPoolOfPlanes(_AvgPool):
    axes: int

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return ops.avg_pool(  # type: ignore[no-any-return]
            input, self.axes, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip


class AvgPool2d(_AvgPoolOfPlanes):
    """The average of each window over height and width, or its sum over ``divisor_override``.

    Shape: ``(N, C, H, W) → (N, C, H', W')``, with sizes as in `AvgPool1d`; N may be absent.

    >>> import retrograd as rg
    >>> rg.nn.AvgPool2d(2)(rg.arange(8.0).reshape(1, 2, 4))
    tensor([[[2.5000, 4.5000]]])
    """

    axes = 2


class AvgPool3d(_AvgPoolOfPlanes):
    """The average of each window over depth, height and width; see `AvgPool2d`."""

    axes = 3


class _AdaptiveAvgPool(Module):
    axes: int

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """The averages."""
        return getattr(F, f"adaptive_avg_pool{self.axes}d")(input, self.output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The wanted size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The averages of ``output_size`` windows that divide the axis evenly."""

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The averages of windows that divide height and width evenly.

    ``output_size`` is a number or a pair; None is the input's own size.

    >>> import retrograd as rg
    >>> rg.nn.AdaptiveAvgPool2d(1)(rg.arange(8.0).reshape(1, 2, 4))
    tensor([[[3.5000]]])
    """

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The averages of windows that divide depth, height and width evenly."""

    axes = 3


@dataclass(eq=False, repr=False)
class _LPPool(Settings):
    axes: ClassVar[int]
    norm_type: float
    kernel_size: Sizes
    stride: Sizes = None
    ceil_mode: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """The norms."""
        function = getattr(F, f"lp_pool{self.axes}d")
        return function(  # type: ignore[no-any-return]
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool1d(_LPPool):
    """``(Σ xᵖ)^(1/p)`` over each window: the sum for p = 1, the largest ``|x|`` for p = ∞.

    The gradient is zero where the sum is zero.

    >>> import retrograd as rg
    >>> rg.nn.LPPool1d(2, 2)(rg.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """

    axes = 1


class LPPool2d(_LPPool):
    """``(Σ xᵖ)^(1/p)`` over each window of height and width."""

    axes = 2


class LPPool3d(_LPPool):
    """``(Σ xᵖ)^(1/p)`` over each window of depth, height and width."""

    axes = 3
