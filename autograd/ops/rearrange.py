"""Channels and pixels rearranged: movements of whole axes, made of views and one copy."""

from __future__ import annotations

from typing import Any

from ..declare import composite


def _positive(name: str, what: str, value: int) -> None:
    if value <= 0:
        raise RuntimeError(f"{name} expects a positive {what}, but got {value}")


def _planes_of(name: str, input: Any) -> tuple[int, ...]:
    shape = tuple(input.array.shape)
    if len(shape) < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with "
            f"{len(shape)} dimension(s)"
        )
    return shape


@composite(method=False)
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels as pixels: r² channels become one that is r times as high and wide (Shi 2016).

    Shape: ``(*, C·r², H, W) → (*, C, H·r, W·r)``
    """
    *lead, channels, height, width = _planes_of("pixel_shuffle", input)
    _positive("pixel_shuffle", "upscale_factor", upscale_factor)
    r = upscale_factor
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    n = len(lead)
    x = input.reshape(*lead, channels // (r * r), r, r, height, width)
    x = x.permute(*range(n + 1), n + 3, n + 1, n + 4, n + 2)  # (*, C, H, r, W, r)
    return x.reshape(*lead, channels // (r * r), height * r, width * r)


@composite(method=False)
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Pixels as channels: undoes `pixel_shuffle`.

    Shape: ``(*, C, H·r, W·r) → (*, C·r², H, W)``
    """
    *lead, channels, height, width = _planes_of("pixel_unshuffle", input)
    _positive("pixel_unshuffle", "downscale_factor", downscale_factor)
    r = downscale_factor
    for what, size in (("height", height), ("width", width)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but {what} "
                f"{size} is not divisible by {r}"
            )
    n = len(lead)
    x = input.reshape(*lead, channels, height // r, r, width // r, r)
    x = x.permute(*range(n + 1), n + 2, n + 4, n + 1, n + 3)  # (*, C, r, r, H, W)
    return x.reshape(*lead, channels * r * r, height // r, width // r)


@composite(aliases=("native_channel_shuffle",), method=False)
def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels of ``groups`` groups dealt out in turn (Zhang et al. 2017).

    Shape: ``(N, C, *) → (N, C, *)``
    """
    shape = tuple(input.array.shape)
    if len(shape) < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}"
        )
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    n, channels, *inner = shape
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and "
            f"{groups} groups."
        )
    x = input.reshape(n, groups, channels // groups, *inner)
    return x.transpose(1, 2).reshape(shape)
