"""Resampling: other numbers of pixels by interpolation, and pixels at places of a grid.

Every mode of `interpolate` is a linear map along each axis, a `Band` of weights; here is which
weights each mode has.  Positions are computed in the type of the input, as PyTorch does, because
rounding decides which pixel is the nearest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd import Tensor, float64
from ..autograd.bands import Band, of_places
from ..autograd.ops import pool
from ..autograd.tensor import wrap

Array = np.ndarray[Any, Any]

# ---------------------------------------------------------------- the weights of each mode


def _ratio(n: int, m: int, align_corners: bool, scale: float | None, kind: Any) -> Any:
    """How many input pixels one output pixel is wide."""
    if align_corners:
        return kind((n - 1) / (m - 1)) if m > 1 else kind(0)
    return kind(1 / scale) if scale is not None and scale > 0 else kind(n) / kind(m)


def _centres(ratio: Any, m: int, align_corners: bool) -> Array:
    """Where output pixels lie among input pixels, whose centres are whole numbers."""
    i = np.arange(m)
    if align_corners:
        return (ratio * i).astype(ratio.dtype)  # type: ignore[no-any-return]
    return (np.float64(ratio) * (i + 0.5) - 0.5).astype(ratio.dtype)  # rounded once, as by an FMA


def _nearest(n: int, m: int, align_corners: bool, ratio: Any) -> Band:
    """The pixel in which the output pixel's left edge lies."""
    places = np.floor((np.arange(m).astype(ratio.dtype) * ratio).astype(np.float32))
    return _one(n, m, places)


def _nearest_exact(n: int, m: int, align_corners: bool, ratio: Any) -> Band:
    """The pixel in which the output pixel's centre lies."""
    half = ratio.dtype.type(0.5)
    return _one(n, m, np.floor((_centres(ratio, m, False) + half).astype(np.float32)))


def _one(n: int, m: int, places: Array) -> Band:
    return Band(n, np.clip(places.astype(np.int64), 0, n - 1), np.ones(m, int), np.ones((m, 1)))


def _linear(n: int, m: int, align_corners: bool, ratio: Any) -> Band:
    """The two pixels around the centre, by their nearness."""
    centre = np.maximum(_centres(ratio, m, align_corners), 0)
    low = np.minimum(centre.astype(np.int64), n - 1)
    part = np.clip(centre - low, 0, 1)
    places = np.stack([low, np.minimum(low + 1, n - 1)], 1)
    return of_places(n, places, np.stack([1 - part, part], 1))


def _cubic_filter(x: Array, a: float) -> Array:
    """Keys' cubic convolution: 1 at zero, 0 at the other whole numbers and beyond 2 (1981)."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _cubic(n: int, m: int, align_corners: bool, ratio: Any) -> Band:
    """The four pixels around the centre, weighted by a cubic; those outside are the outermost."""
    centre = _centres(ratio, m, align_corners)
    low = np.floor(centre)
    taps = np.arange(-1, 3)
    weights = _cubic_filter((centre - low)[:, None] - taps, -0.75)
    places = np.clip(low.astype(np.int64)[:, None] + taps, 0, n - 1)
    return of_places(n, places, weights)


def _lanczos_filter(x: Array) -> Array:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)  # type: ignore[no-any-return]


# How far a filter reaches, and the filter, for downsampling that averages over all it skips.
FILTERS: dict[str, tuple[float, Callable[[Array], Array]]] = {
    "bilinear": (1, lambda x: np.maximum(1 - np.abs(x), 0)),
    "bicubic": (2, lambda x: _cubic_filter(x, -0.5)),
    "lanczos": (3, _lanczos_filter),
}


def _filtered(n: int, m: int, mode: str, ratio: Any) -> Band:
    """All pixels under the filter, which is as wide as the output's pixels."""
    reach, weigh = FILTERS[mode]
    wide = max(float(ratio), 1.0)
    centre = (ratio * (np.arange(m) + 0.5)).astype(ratio.dtype)
    low = np.maximum((centre - reach * wide + 0.5).astype(np.int64), 0)
    counts = np.minimum((centre + reach * wide + 0.5).astype(np.int64), n) - low
    nth = np.arange(max(int(counts.max()), 1))
    off = (low - centre).astype(ratio.dtype)[:, None]
    weights = weigh(((nth + off + 0.5) * ratio.dtype.type(1 / wide)).astype(ratio.dtype))
    weights = np.where(nth < counts[:, None], weights, 0)
    total = weights.sum(1, keepdims=True)
    return Band(n, low, counts, weights / np.where(total == 0, 1, total))


MODES: dict[str, Callable[[int, int, bool, Any], Band]] = {
    "nearest": _nearest,
    "nearest-exact": _nearest_exact,
    "linear": _linear,
    "bilinear": _linear,
    "trilinear": _linear,
    "bicubic": _cubic,
}


@lru_cache(maxsize=512)
def _band(
    mode: str, antialias: bool, n: int, m: int, align_corners: bool, scale: float | None,
    single: bool,
) -> Band:  # fmt: skip
    ratio = _ratio(n, m, align_corners, scale, np.float32 if single else np.float64)
    if antialias:
        return _filtered(n, m, mode, ratio)
    if n == m and MODES[mode] is _linear:
        return _one(n, m, np.arange(m))
    return MODES[mode](n, m, align_corners, ratio)


# ---------------------------------------------------------------- interpolation

WITH_CORNERS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "lanczos": 4}
WITHOUT_CORNERS = ("nearest", "area", "nearest-exact")


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The same picture with other numbers of pixels.

    ``mode`` is "nearest", "nearest-exact", "linear" (3-D input), "bilinear", "bicubic", "lanczos"
    (4-D), "trilinear" (5-D) or "area", the average of what an output pixel covers.  With
    ``align_corners`` the centres of the corner pixels coincide, else their edges.  ``antialias``
    averages over all pixels that downsampling would skip.

    Shape: ``(N, C, *) → (N, C, size)``, or ``⌊* · scale_factor⌋``

    Raises `ValueError` unless one of ``size`` and ``scale_factor`` is given, and for settings that
    do not fit the mode; `NotImplementedError` for a mode that is not there for so many axes.

    >>> import retrograd as rg
    >>> rg.nn.functional.interpolate(rg.tensor([[[0.0, 1.0]]]), 4, mode="linear")
    tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    corners = _corners(mode, align_corners)
    axes = input.ndim - 2
    inner = tuple(input.shape[2:])
    sizes, scales = _wanted(inner, size, scale_factor, recompute_scale_factor, mode)
    if antialias and not (mode in FILTERS and input.ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            f"a 4-D tensor as input, got {mode!r} and {input.ndim}-D"
        )
    _check_rank(mode, input.ndim)
    if mode == "area":
        return pool.adaptive_avg_pool(input, axes, sizes)  # type: ignore[no-any-return]
    if mode == "lanczos" and (corners or not antialias):
        raise ValueError("Lanczos mode requires antialias=True and does not support align_corners")
    if min(sizes) <= 0 or 0 in input.shape[1:]:
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input "
            f"{list(input.shape)} and output {list(sizes)}"
        )
    single = input.dtype.name != "float64"
    bands = tuple(
        _band(mode, antialias, n, m, corners, scale, single)
        for n, m, scale in zip(inner, sizes, scales, strict=True)
    )
    if input.dtype.name == "uint8" and "nearest" in mode:
        return _picked(input, bands)
    pool.floating(f"upsample_{mode}{axes}d", input)
    return pool.banded(input, bands)  # type: ignore[no-any-return]


def _picked(input: Tensor, bands: Sequence[Band]) -> Tensor:
    """Bands with one entry in each row are indices."""
    x = input.array
    for axis, band in enumerate(bands, 2):
        x = np.take(x, band.firsts, axis)
    return wrap(x)


def _corners(mode: str, align_corners: bool | None) -> bool:
    if mode in WITHOUT_CORNERS and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            f"| bicubic | trilinear | lanczos, not {mode!r}"
        )
    return bool(align_corners)


def _wanted(
    inner: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None, mode: str
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The output's sizes, and the scales that positions are computed with: None is their ratio."""
    axes = len(inner)
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if isinstance(size, (list, tuple)):
            if len(size) != axes:
                raise ValueError(
                    "Input and output must have the same number of spatial dimensions, but got "
                    f"input with spatial dimensions of {list(inner)} and output size of {size}"
                )
            if not all(hasattr(n, "__index__") for n in size):
                raise TypeError(f"expected size to be one int or a tuple of ints, but got {size}")
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return pool.sizes_of("interpolate", "size", size, axes), (None,) * axes
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if isinstance(scale_factor, (list, tuple)):
        if len(scale_factor) != axes:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {list(inner)} and scale_factor of shape "
                f"{scale_factor}"
            )
        scales = tuple(scale_factor)
    else:
        scales = (scale_factor,) * axes
    sizes = tuple(int(n * scale) for n, scale in zip(inner, scales, strict=True))
    return sizes, (None,) * axes if recompute or mode == "area" else scales


def _check_rank(mode: str, ndim: int) -> None:
    wanted = WITH_CORNERS.get(mode)
    if ndim in (3, 4, 5) and (mode in WITHOUT_CORNERS or wanted == ndim):
        return
    if wanted is not None and ndim in (3, 4, 5):
        raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {wanted}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: "
        f"nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got "
        f"{mode})"
    )


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` by its old name; warns."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` to the nearest, by its old name; warns."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` bilinearly with aligned corners, by its old name; warns."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )


# ---------------------------------------------------------------- grids

UNALIGNED = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
    "Please specify align_corners=True if the old behavior is desired. See the documentation of "
    "grid_sample for details."
)


def _base_line(n: int, align_corners: bool, dtype: Any) -> Array:
    """The centres of ``n`` pixels between -1 and 1; with corners aligned the first is at -1."""
    if n <= 1:
        return np.zeros(n, dtype)
    line = np.linspace(-1, 1, n, dtype=dtype)
    return line if align_corners else line * (n - 1) / n


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places that an affine map takes the pixels of an output to, for `grid_sample`.

    Shape: ``(N, 2, 3)`` for a size ``(N, C, H, W) → (N, H, W, 2)``; ``(N, 3, 4)`` for
    ``(N, C, D, H, W) → (N, D, H, W, 3)``

    >>> import retrograd as rg
    >>> same = rg.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> rg.nn.functional.affine_grid(same, (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    if align_corners is None:
        warnings.warn(UNALIGNED, stacklevel=2)
    if not theta.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    axes = len(size) - 2
    if axes not in (2, 3):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, got "
            f"size {tuple(size)}"
        )
    if theta.ndim != 3 or theta.shape[-2:] != (axes, axes + 1):
        raise ValueError(
            f"Expected a batch of {axes}D affine matrices of shape Nx{axes}x{axes + 1} for size "
            f"{tuple(size)}. Got {list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {tuple(size)}")
    if theta.shape[0] != size[0]:
        raise RuntimeError(
            f"Expected a batch of {size[0]} affine matrices, got {theta.shape[0]} of them"
        )
    inner = tuple(size[2:])
    lines = [_base_line(n, bool(align_corners), theta.dtype.compute) for n in inner]
    places = np.meshgrid(*lines, indexing="ij")[::-1]  # x first
    base = np.stack([*places, np.ones(inner, theta.dtype.compute)], -1)
    flat = wrap(base.reshape(-1, axes + 1)).to(theta.dtype)
    return (flat @ theta.transpose(1, 2)).reshape(size[0], *inner, axes)  # type: ignore[no-any-return]


def _unnormalised(x: Tensor, n: int, align_corners: bool) -> Tensor:
    """From [-1, 1] to pixels, whose centres are whole numbers."""
    if align_corners:
        return (x + 1) * ((n - 1) / 2)
    # A float32 product is exact in float64, so this is rounded once, as PyTorch's FMA is.
    return ((x + 1).to(float64) * (n / 2) - 0.5).to(x.dtype)


def _within(x: Tensor, n: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Coordinates outside the picture moved to its border, or reflected at it."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
        span = high - low
        if span <= 0:
            return x * 0
        off = (x - low).abs()
        flips = np.floor(off.array / span)
        extra = off - wrap((flips * span).astype(off.array.dtype))
        odd = wrap(flips % 2 == 1)
        x = (span - extra).where(odd, extra) + low
    inside = (x.array > 0) & (x.array < n - 1)
    clipped = wrap(np.clip(x.array, 0, n - 1))
    return x.where(wrap(inside), clipped)  # the border has no slope


def _tapped(
    input: Tensor, places: Sequence[Array], weight: Tensor | None, sizes: Sequence[int]
) -> Tensor:
    """The pixels at whole coordinates, x first, times their weights; zero outside."""
    flat: Any = 0
    inside: Any = True
    for place, n in zip(places[::-1], sizes[::-1], strict=True):
        inside = inside & (place >= 0) & (place < n)
        flat = flat * n + np.where((place >= 0) & (place < n), place, 0).astype(np.int64)
    shape = (*input.shape[:2], *places[0].shape[1:])
    planes = np.ascontiguousarray(np.broadcast_to(np.asarray(flat)[:, None], shape))
    taken = pool.take_in_planes(input, wrap(planes), len(sizes))
    mask = wrap(np.asarray(inside)).to(input.dtype)
    factor = mask if weight is None else weight * mask
    return taken * factor.unsqueeze(1)  # type: ignore[no-any-return]


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The picture at the places of a grid, whose coordinates (x, y) or (x, y, z) are in [-1, 1].

    ``mode`` is "bilinear", "nearest" or "bicubic" (2-D); ``padding_mode`` says what lies outside:
    "zeros", "border" or "reflection" (Jaderberg et al. 2015).

    Shape: ``(N, C, H, W), (N, H', W', 2) → (N, C, H', W')``, and the same in 3-D

    >>> import retrograd as rg
    >>> picture = rg.tensor([[[[0.0, 1.0]]]])
    >>> rg.nn.functional.grid_sample(picture, rg.zeros(1, 1, 1, 2), align_corners=False)
    tensor([[[[0.5000]]]])
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn(UNALIGNED, stacklevel=2)
    axes = _check_grid(input, grid, mode)
    aligned = bool(align_corners)
    sizes = tuple(input.shape[2:])[::-1]  # x first
    at = [_unnormalised(grid[..., i], n, aligned) for i, n in enumerate(sizes)]
    if mode == "bicubic":
        return _bicubic_samples(input, at, sizes, padding_mode, aligned)
    at = [_within(x, n, padding_mode, aligned) for x, n in zip(at, sizes, strict=True)]
    if mode == "nearest":
        return _tapped(input, [np.rint(x.array) for x in at], None, sizes)
    low = [np.floor(x.array) for x in at]
    part = [x - wrap(first) for x, first in zip(at, low, strict=True)]
    total: Any = 0
    for corner in np.ndindex(*(2,) * axes):
        places = [first + c for first, c in zip(low, corner, strict=True)]
        weight: Any = 1
        for p, c in zip(part, corner, strict=True):
            weight = weight * (p if c else 1 - p)
        total = total + _tapped(input, places, weight, sizes)
    return total  # type: ignore[no-any-return]


def _bicubic_samples(
    input: Tensor, at: Sequence[Tensor], sizes: Sequence[int], padding_mode: str, aligned: bool
) -> Tensor:
    low = [np.floor(x.array) for x in at]
    part = [x - wrap(first) for x, first in zip(at, low, strict=True)]
    weights = [[_cubic_weight(p - tap, abs(tap - 0.5) < 1) for tap in range(-1, 3)] for p in part]
    total: Any = 0
    for j, i in np.ndindex(4, 4):
        places = [
            _within(wrap(first + tap - 1), n, padding_mode, aligned).array
            for first, tap, n in zip(low, (i, j), sizes, strict=True)
        ]
        total = total + _tapped(input, places, weights[0][i] * weights[1][j], sizes)
    return total  # type: ignore[no-any-return]


def _cubic_weight(x: Tensor, near: bool) -> Tensor:
    """`_cubic_filter` with a = -0.75 for a distance below 1, or between 1 and 2."""
    x = x.abs()
    if near:
        return (1.25 * x - 2.25) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.75


def _check_grid(input: Tensor, grid: Tensor, mode: str) -> int:
    axes = input.ndim - 2
    if axes not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.dtype is not grid.dtype:
        raise RuntimeError(
            "grid_sampler(): expected input and grid to have the same dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != axes:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {axes} in last dimension, but got grid "
            f"with sizes {list(grid.shape)}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if axes == 3 and mode == "bicubic":
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    pool.floating("grid_sampler", input)
    return axes
