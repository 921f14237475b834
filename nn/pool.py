"""Pooling as functions: maxima, averages and norms of windows, and maxima put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops import pool
from ..autograd.random import rand
from ..autograd.tensor import wrap

Sizes = int | Sequence[int]
Pair = tuple[Tensor, Tensor]

avg_pool1d = pool.avg_pool1d
adaptive_avg_pool1d = pool.adaptive_avg_pool1d


# ---------------------------------------------------------------- maxima


def max_pool1d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of the last axis; with ``return_indices`` its place too.

    >>> import retrograd as rg
    >>> rg.nn.functional.max_pool1d(rg.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    found = pool.max_pool(input, 1, kernel_size, stride, padding, dilation, ceil_mode)
    return pool.with_long_indices(found) if return_indices else found[0]


def max_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of the last two axes, as `max_pool1d`."""
    found = pool.max_pool(input, 2, kernel_size, stride, padding, dilation, ceil_mode)
    return pool.with_long_indices(found) if return_indices else found[0]


def max_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window of the last three axes, as `max_pool1d`."""
    found = pool.max_pool(input, 3, kernel_size, stride, padding, dilation, ceil_mode)
    return pool.with_long_indices(found) if return_indices else found[0]


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Pair:  # fmt: skip
    """`max_pool1d` and the place of each maximum, whatever ``return_indices`` says."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[no-any-return]


def max_pool2d_with_indices(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Pair:  # fmt: skip
    """`max_pool2d` and the place of each maximum, whatever ``return_indices`` says."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[no-any-return]


def max_pool3d_with_indices(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Pair:  # fmt: skip
    """`max_pool3d` and the place of each maximum, whatever ``return_indices`` says."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)  # type: ignore[no-any-return]


# ---------------------------------------------------------------- adaptive


def _with_defaults(output_size: Any, input: Tensor) -> Any:
    """``output_size``; `ValueError` where it names as many axes as the input has."""
    if isinstance(output_size, (tuple, list)) and input.ndim <= len(output_size):
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    return output_size


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of ``output_size`` windows that divide the last axis evenly."""
    found = pool.adaptive_max_pool(input, 1, output_size)
    return pool.with_long_indices(found) if return_indices else found[0]


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows that divide the last two axes evenly."""
    found = pool.adaptive_max_pool(input, 2, _with_defaults(output_size, input))
    return pool.with_long_indices(found) if return_indices else found[0]


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of windows that divide the last three axes evenly."""
    found = pool.adaptive_max_pool(input, 3, _with_defaults(output_size, input))
    return pool.with_long_indices(found) if return_indices else found[0]


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Pair:
    """`adaptive_max_pool1d` and the place of each maximum."""
    return adaptive_max_pool1d(input, output_size, True)  # type: ignore[no-any-return]


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Pair:
    """`adaptive_max_pool2d` and the place of each maximum."""
    return adaptive_max_pool2d(input, output_size, True)  # type: ignore[no-any-return]


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Pair:
    """`adaptive_max_pool3d` and the place of each maximum."""
    return adaptive_max_pool3d(input, output_size, True)  # type: ignore[no-any-return]


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The averages of windows that divide the last two axes evenly.

    >>> import retrograd as rg
    >>> rg.nn.functional.adaptive_avg_pool2d(rg.arange(4.0).reshape(1, 2, 2), (1, None))
    tensor([[[1., 2.]]])
    """
    return pool.adaptive_avg_pool(input, 2, _with_defaults(output_size, input))  # type: ignore[no-any-return]


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The averages of windows that divide the last three axes evenly."""
    return pool.adaptive_avg_pool(input, 3, _with_defaults(output_size, input))  # type: ignore[no-any-return]


# ---------------------------------------------------------------- averages and norms


def avg_pool2d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The average of each window of the last two axes, or its sum over ``divisor_override``.

    >>> import retrograd as rg
    >>> rg.nn.functional.avg_pool2d(rg.ones(1, 2, 4), 2, divisor_override=1)
    tensor([[[4., 4.]]])
    """
    return pool.avg_pool(  # type: ignore[no-any-return]
        input, 2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Tensor, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The average of each window of the last three axes, as `avg_pool2d`."""
    return pool.avg_pool(  # type: ignore[no-any-return]
        input, 3, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _lp_pool(
    input: Tensor, axes: int, p: float, kernel_size: Sizes, stride: Sizes | None, ceil_mode: bool
) -> Tensor:
    if isinstance(kernel_size, (tuple, list)) and len(kernel_size) != axes:
        raise ValueError(
            f"lp_pool{axes}d: kernel_size must be an int or {axes} ints, got {tuple(kernel_size)}"
        )
    if p in (math.inf, -math.inf):
        sign = 1 if p > 0 else -1
        found = pool.max_pool(sign * input.abs(), axes, kernel_size, stride, 0, 1, ceil_mode)
        return sign * found[0]  # type: ignore[no-any-return]
    mean = pool.avg_pool(input.pow(p), axes, kernel_size, stride, 0, ceil_mode, True, None)
    count = math.prod(pool.sizes_of(f"lp_pool{axes}d", "kernel_size", kernel_size, axes))
    # PyTorch's way, which has a gradient of zero where the mean is zero
    return (mean.sign() * mean.abs().relu()).mul(count).pow(1 / p)  # type: ignore[no-any-return]


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: int, stride: int | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """``(Σ xᵖ)^(1/p)`` over each window of the last axis; the largest ``|x|`` for p = ∞.

    >>> import retrograd as rg
    >>> rg.nn.functional.lp_pool1d(rg.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    return _lp_pool(input, 1, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """``(Σ xᵖ)^(1/p)`` over each window of the last two axes."""
    return _lp_pool(input, 2, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """``(Σ xᵖ)^(1/p)`` over each window of the last three axes."""
    return _lp_pool(input, 3, norm_type, kernel_size, stride, ceil_mode)


# ---------------------------------------------------------------- fractional


def _fractional(
    input: Tensor, axes: int, kernel_size: Sizes, output_size: Any, output_ratio: Any, samples: Any
) -> Any:
    name = f"fractional_max_pool{axes}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        if not isinstance(output_ratio, (tuple, list)):
            output_ratio = (output_ratio,) * axes
        if len(output_ratio) != axes:
            raise ValueError(f"{name} requires output_ratio to be one number or {axes} of them")
        ends = input.shape[input.ndim - axes :]
        output_size = [int(n * ratio) for n, ratio in zip(ends, output_ratio, strict=True)]
    size = pool.sizes_of(name, "kernel_size", kernel_size, axes)
    wanted = pool.sizes_of(name, "output_size", output_size, axes)
    inner = pool.inner_shape(name, input, axes)
    pool.floating(name, input)
    batch = 1 if input.ndim == axes + 1 else input.shape[0]
    channels = input.shape[-axes - 1]
    if samples is None:
        samples = rand(batch, channels, axes, dtype=input.dtype)
    _check_samples(name, samples, input, (batch, channels, axes))
    for n, k, m in zip(inner, size, wanted, strict=True):
        if m + k - 1 > n:
            raise RuntimeError(
                f"{name}(): pool size {k} too large relative to input size {n} for {m} outputs"
            )
    drawn = samples.array[:batch].reshape(batch * channels, axes)
    if axes == 2:  # the first sample is for the width, as in PyTorch; in 3-d for the depth
        drawn = drawn[:, ::-1]
    table = _places_of_fractions(drawn, inner, size, wanted)
    out, places = pool.max_of_places(input, table, axes)
    shape = (*input.shape[: input.ndim - axes], *wanted)
    return out.reshape(shape), places.reshape(shape)


def _check_samples(name: str, samples: Tensor, input: Tensor, shape: tuple[int, ...]) -> None:
    if samples.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}: Expect _random_samples to have the same dtype as input: {samples.dtype}, "
            f"{input.dtype}"
        )
    if samples.ndim != 3:
        raise RuntimeError(f"{name}: Expect _random_samples to have 3 dimensions")
    n, c, axes = samples.shape
    if n < shape[0] or c != shape[1] or axes != shape[2]:
        raise RuntimeError(
            f"{name}: Expect _random_samples of shape {list(shape)}, got {list(samples.shape)}"
        )


def _places_of_fractions(
    drawn: Any, inner: Sequence[int], size: Sequence[int], wanted: Sequence[int]
) -> Any:
    """For each plane, the places of the elements of each window."""
    planes = len(drawn)
    table = np.zeros((planes, 1, 1), np.int64)
    for axis, (n, k, m) in enumerate(zip(inner, size, wanted, strict=True)):
        sample = drawn[:, axis, None]
        starts = np.full((planes, m), n - k)
        if m > 1:
            alpha = drawn.dtype.type(n - k) / drawn.dtype.type(m - 1)
            steps = np.arange(m - 1).astype(drawn.dtype)
            starts[:, :-1] = ((steps + sample) * alpha).astype(np.int64)
            starts[:, :-1] -= (sample * alpha).astype(np.int64)
        mine = starts[:, :, None] + np.arange(k)  # (planes, m, k)
        table = table[:, :, None, :, None] * n + mine[:, None, :, None, :]
        table = table.reshape(planes, math.prod(wanted[: axis + 1]), math.prod(size[: axis + 1]))
    return table  # (planes, windows, elements of one)


def fractional_max_pool2d(
    input: Tensor, kernel_size: Sizes, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """Maxima of windows whose distances are random and give ``output_size`` (Graham 2014).

    Or ``output_ratio`` of the input's size.  The samples are PyTorch's.
    """
    found = _fractional(input, 2, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


def fractional_max_pool3d(
    input: Tensor, kernel_size: Sizes, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """`fractional_max_pool2d` over the last three axes."""
    found = _fractional(input, 3, kernel_size, output_size, output_ratio, _random_samples)
    return found if return_indices else found[0]


def fractional_max_pool2d_with_indices(
    input: Tensor, kernel_size: Sizes, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Pair:  # fmt: skip
    """`fractional_max_pool2d` and the place of each maximum."""
    return _fractional(input, 2, kernel_size, output_size, output_ratio, _random_samples)  # type: ignore[no-any-return]


def fractional_max_pool3d_with_indices(
    input: Tensor, kernel_size: Sizes, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False, _random_samples: Tensor | None = None,
) -> Pair:  # fmt: skip
    """`fractional_max_pool3d` and the place of each maximum."""
    return _fractional(input, 3, kernel_size, output_size, output_ratio, _random_samples)  # type: ignore[no-any-return]


# ---------------------------------------------------------------- maxima put back


def _max_unpool(
    input: Tensor, indices: Tensor, axes: int, kernel_size: Sizes, stride: Sizes | None,
    padding: Sizes, output_size: Any,
) -> Tensor:  # fmt: skip
    name = f"max_unpool{axes}d"
    size = pool.sizes_of(name, "kernel_size", kernel_size, axes)
    step = size if stride is None else pool.sizes_of(name, "stride", stride, axes)
    pad = pool.sizes_of(name, "padding", padding, axes)
    if not isinstance(input, Tensor) or input.ndim not in (axes + 1, axes + 2):
        raise RuntimeError(
            f"{name}: Input to max_unpooling should be a {axes + 1}d or {axes + 2}d Tensor"
        )
    inner = input.shape[input.ndim - axes :]
    sizes = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(inner, step, size, pad, strict=True)]
    if output_size is not None:
        sizes = _chosen_sizes(output_size, sizes, step)
    for axis, n in enumerate(sizes):
        if n < 0:
            raise ValueError(
                f"{name}: output_size must contain non-negative spatial dimensions, but got "
                f"output_size[{axis}]={n}"
            )
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"{name}: Expected input to have non-zero size for non-batch dimensions, but got "
            f"{list(input.shape)}"
        )
    if axes == 3 and min(step) <= 0:
        raise RuntimeError(f"{name}: strides should be greater than zero, but got stride: {step}")
    if indices.dtype.name != "int64":
        raise RuntimeError(
            f"{name}: elements in indices should be type int64 but got: {indices.dtype}"
        )
    if indices.shape != input.shape:
        raise RuntimeError(
            f"{name}: Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    pool.floating(name, input)
    places, room = indices.array.copy(), math.prod(sizes)
    if places.size and not (places.min() >= 0 and places.max() < room):
        bad = places[(places < 0) | (places >= room)][0]
        raise RuntimeError(
            f"{name}: Found an invalid max index: {bad} (output volumes are of size "
            f"{'x'.join(map(str, sizes))})"
        )
    shape = (*input.shape[: input.ndim - axes], *sizes)
    return pool.replace_in_planes(input, wrap(places), shape, axes)  # type: ignore[no-any-return]


def _chosen_sizes(
    output_size: Sequence[int], usual: Sequence[int], step: Sequence[int]
) -> list[int]:
    """The sizes that the caller wants, after checking that they pool to the input's."""
    axes = len(usual)
    sizes = list(output_size)
    if len(sizes) == axes + 2:
        sizes = sizes[2:]
    if len(sizes) != axes:
        raise ValueError(
            f"output_size should be a sequence containing {axes} or {axes + 2} elements, but it "
            f"has a length of '{len(sizes)}'"
        )
    for axis, (wanted, n, s) in enumerate(zip(sizes, usual, step, strict=True)):
        if not n - s < wanted < n + s:
            raise ValueError(
                f'invalid output_size "{output_size}" (dim {axis} must be between {n - s} and '
                f"{n + s})"
            )
    return sizes


def max_unpool1d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None,
    padding: Sizes = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Maxima put back where `max_pool1d` found them, zeros elsewhere.

    >>> import retrograd as rg
    >>> F = rg.nn.functional
    >>> F.max_unpool1d(*F.max_pool1d(rg.tensor([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True), 2)
    tensor([[0., 3., 2., 0.]])
    """
    return _max_unpool(input, indices, 1, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None,
    padding: Sizes = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Maxima put back where `max_pool2d` found them, zeros elsewhere."""
    return _max_unpool(input, indices, 2, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor, indices: Tensor, kernel_size: Sizes, stride: Sizes | None = None,
    padding: Sizes = 0, output_size: Any = None,
) -> Tensor:  # fmt: skip
    """Maxima put back where `max_pool3d` found them, zeros elsewhere."""
    return _max_unpool(input, indices, 3, kernel_size, stride, padding, output_size)
