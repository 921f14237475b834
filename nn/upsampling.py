"""Modules that change the number of pixels or rearrange channels; functions in `functional`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..autograd import Tensor
from ..autograd.ops.rearrange import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .module import Module
from .resample import interpolate
from .settings import Settings


class Upsample(Module):
    """The same picture with other numbers of pixels, as `functional.interpolate` makes it.

    Exactly one of ``size`` and ``scale_factor`` is given.

    Shape: ``(N, C, *) → (N, C, size)``, or ``⌊* · scale_factor⌋``

    >>> import retrograd as rg
    >>> rg.nn.Upsample(scale_factor=2)(rg.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2.]]])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(map(float, scale_factor))
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """The picture in its new size."""
        return interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The new size, and how it is filled."""
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Pixels repeated: `Upsample` with ``mode="nearest"``.

    >>> import retrograd as rg
    >>> rg.nn.UpsamplingNearest2d(scale_factor=2)(rg.ones(1, 1, 1, 1))
    tensor([[[[1., 1.],
              [1., 1.]]]])
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Straight lines between pixels, with corners aligned: `Upsample` with ``mode="bilinear"``."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


@dataclass(eq=False, repr=False)
class PixelShuffle(Settings):
    """Channels as pixels: r² channels become one that is r times as high and wide (Shi 2016).

    Shape: ``(*, C·r², H, W) → (*, C, H·r, W·r)``

    >>> import retrograd as rg
    >>> rg.nn.PixelShuffle(2)(rg.arange(4.0).reshape(4, 1, 1))
    tensor([[[0., 1.],
             [2., 3.]]])
    """

    upscale_factor: int

    def forward(self, input: Tensor) -> Tensor:
        """Fewer channels, more pixels."""
        return pixel_shuffle(input, self.upscale_factor)  # type: ignore[no-any-return]


@dataclass(eq=False, repr=False)
class PixelUnshuffle(Settings):
    """Pixels as channels: undoes `PixelShuffle`.

    Shape: ``(*, C, H·r, W·r) → (*, C·r², H, W)``
    """

    downscale_factor: int

    def forward(self, input: Tensor) -> Tensor:
        """More channels, fewer pixels."""
        return pixel_unshuffle(input, self.downscale_factor)  # type: ignore[no-any-return]


@dataclass(eq=False, repr=False)
class ChannelShuffle(Settings):
    """The channels of ``groups`` groups dealt out in turn (Zhang et al. 2017).

    Shape: ``(N, C, *) → (N, C, *)``
    """

    groups: int

    def forward(self, input: Tensor) -> Tensor:
        """The channels in another order."""
        return channel_shuffle(input, self.groups)  # type: ignore[no-any-return]
