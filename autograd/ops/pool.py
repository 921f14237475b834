"""Pooling: one number of each window of the last one, two or three axes.

Maxima remember where they were found: gradients are put there, and the gradient of that is taken
from there.  Averages are `banded` maps, and so are their derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import bands as bandwise
from .. import dtypes as dt
from .. import planes
from .. import scalar as s
from ..bands import Band, of_places, transposed
from ..declare import composite, opaque, word
from ..op import announce
from ..planes import Windows, dividing, largest, of_table, sliding
from ..tensor import Tensor, wrap

word(arrays=transposed)(transposed)  # of settings alone, so the same for arrays and tensors
announce("banded", "put_in_planes", "take_in_planes")

# ---------------------------------------------------------------- ops

PAIRS = (sliding(5, 3, 2, 2, 1, 1), sliding(4, 3, 2, 1, 0, 1))
UNEVEN = (dividing(3, 2),)
PLACES = np.array([[[0, 5, 5]], [[2, 1, 0]]])
AVERAGE = (
    of_places(4, np.array([[0, 1], [2, 3]]), np.full((2, 2), 0.5)),
    of_places(3, np.array([[0, 0], [0, 1], [1, 2]]), np.array([[0.5, 0.5], [0.3, 0.7], [1, 2]])),
)


@opaque(
    outputs=("out", "indices"),
    d_x=lambda g, x_shape, indices, windows, axes: s.put_in_planes(g, indices, x_shape, axes),
    cases=[((2, 5, 4), (PAIRS, 2)), ((3,), (UNEVEN, 1)), ((2, 5, 4, 3), ((*PAIRS, *UNEVEN), 3))],
    public=False, method=False,
)  # fmt: skip
def max_of_windows(x, /, windows, axes):
    """The largest element of each window over the last axes, and its place in their plane."""
    return largest(x, windows)


@opaque(
    outputs=("out", "indices"),
    d_x=lambda g, x_shape, indices, table, axes: s.put_in_planes(g, indices, x_shape, axes),
    cases=[((2, 3), (np.array([[[0, 1], [2, 2]], [[1, 1], [2, 0]]]), 1))],
    public=False, method=False,
)  # fmt: skip
def max_of_places(x, /, table, axes):
    """`max_of_windows` for windows of any kind: each plane has a table of their places.

    Shape: table (planes, windows, elements of one) → (*leading axes, windows)
    """
    lead, inner = x.shape[: x.ndim - axes], x.shape[x.ndim - axes :]
    rows = x.reshape(len(table), math.prod(inner))
    found = [of_table(row[None], places) for row, places in zip(rows, table, strict=True)]
    shape = (*lead, table.shape[1])
    if not found:
        return np.empty(shape, x.dtype), np.empty(shape, np.int64)
    return tuple(np.concatenate(each).reshape(shape) for each in zip(*found, strict=True))


@opaque(
    d_x=lambda g, places, axes: s.take_in_planes(g, places, axes),
    d_places=None,
    uncounted=("places",),
    cases=[((2, 1, 3), PLACES, ((2, 2, 3), 2))],
    public=False, method=False,
)  # fmt: skip
def put_in_planes(x, places, /, shape, axes):
    """Zeros of a shape, with ``x`` added at its places in the planes of the last axes."""
    return planes.put_in_planes(x, places, shape, axes)


@opaque(
    d_x=lambda g, x_shape, places, axes: s.put_in_planes(g, places, x_shape, axes),
    d_places=None,
    uncounted=("places",),
    cases=[((2, 2, 3), PLACES, (2,))],
    public=False, method=False,
)  # fmt: skip
def take_in_planes(x, places, /, axes):
    """The elements at places in the planes of the last axes."""
    return planes.take_in_planes(x, places, axes)


@opaque(
    d_x=lambda g, places, axes: s.take_in_planes(g, places, axes),
    d_places=None,
    uncounted=("places",),
    cases=[((2, 1, 2), PLACES[..., :2], ((2, 2, 3), 2))],
    public=False, method=False,
)  # fmt: skip
def replace_in_planes(x, places, /, shape, axes):
    """Zeros of a shape, with ``x`` at its places in the planes; the last of several is there."""
    return planes.replace_in_planes(x, places, shape, axes)


@opaque(
    d_x=lambda g, bands: s.banded(g, s.transposed(bands)),
    cases=[((2, 4, 3), (AVERAGE,)), ((3,), (AVERAGE[1:],)), ((4, 4, 3), ((AVERAGE[0], *AVERAGE),))],
    public=False, method=False,
)  # fmt: skip
def banded(x, /, bands):
    """A weighted sum of neighbours for each output, along each of the last axes."""
    return bandwise.banded(x, bands)


# ---------------------------------------------------------------- arguments


def sizes_of(name: str, what: str, value: Any, axes: int) -> tuple[int, ...]:
    """One number for each axis; `RuntimeError` in PyTorch's words for too many or too few."""
    if isinstance(value, (tuple, list)):
        if len(value) == 1:
            value = value[0]
        elif len(value) != axes:
            several = {1: "one int", 2: "two ints", 3: "three ints"}[axes]
            raise RuntimeError(
                f"{name}: {what} must either be a single int, or a tuple of {several}, got "
                f"{tuple(value)}"
            )
        else:
            return tuple([_whole(name, what, v) for v in value])
    return (_whole(name, what, value),) * axes


def _whole(name: str, what: str, value: Any) -> int:
    if type(value) is int:
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        return int(value.__index__())
    except (AttributeError, TypeError):
        raise TypeError(
            f"{name}(): argument '{what}' must be int or tuple of ints, not {type(value).__name__}"
        ) from None


def key_of(value: Any) -> Any:
    """A setting as something that a cache can be asked for."""
    return tuple(value) if value.__class__ is list else value


def inner_shape(name: str, input: Any, axes: int, channels: bool = True) -> tuple[int, ...]:
    """The sizes of the last axes, after checking that there are one or two more, and none empty.

    ``channels`` says whether the axis before them may not be empty either.
    """
    if not isinstance(input, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    shape = input.array.shape
    if len(shape) - axes not in (1, 2) or 0 in shape[len(shape) - axes - channels :]:
        raise RuntimeError(
            f"{name}(): Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with optional 0 "
            f"dim batch size for input, but got: {list(shape)}"
        )
    return shape[len(shape) - axes :]


def floating(name: str, input: Any) -> None:
    """Refuse whole numbers and truth values, as PyTorch does."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"{name}\" not implemented for '{input.dtype}': convert the input with .float()"
        )


def _check_windows(
    name: str, inner: Sequence[int], size: Sequence[int], stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int],
) -> None:  # fmt: skip
    for what, values in (("kernel size", size), ("stride", stride), ("dilation", dilation)):
        if min(values) <= 0:
            raise RuntimeError(
                f"{name}: {what} should be greater than zero, but got {tuple(values)}"
            )
    if min(padding) < 0:
        raise RuntimeError(f"{name}: pad must be non-negative, but got pad: {tuple(padding)}")
    for k, p, d in zip(size, padding, dilation, strict=True):
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation={d}"
            )


def _count(n: int, size: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows start within an axis or its left padding."""
    room = n + 2 * padding - dilation * (size - 1) - 1
    m = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    return m - 1 if ceil_mode and (m - 1) * stride >= n + padding else m


def _counts(name: str, inner: Sequence[int], *sides: Any) -> tuple[int, ...]:
    *axes, ceil_mode = sides
    counts = tuple(
        _count(*each, bool(ceil_mode)) for each in zip(inner, *axes, strict=True)
    )  # fmt: skip
    if min(counts) < 1:
        raise RuntimeError(
            f"{name}: Given input size: {tuple(inner)}. Calculated output size: {counts}. Output "
            "size is too small: the kernel is larger than the padded input"
        )
    return counts


# ---------------------------------------------------------------- maxima


@lru_cache(maxsize=512)
def _max_windows(
    inner: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: Any,
) -> tuple[Windows, ...]:  # fmt: skip
    axes = len(inner)
    name = f"max_pool{axes}d"
    size = sizes_of(name, "kernel_size", kernel_size, axes)
    step = size if stride is None or stride == () else sizes_of(name, "stride", stride, axes)
    pad = sizes_of(name, "padding", padding, axes)
    gap = sizes_of(name, "dilation", dilation, axes)
    _check_windows(name, inner, size, step, pad, gap)
    counts = _counts(name, inner, size, step, pad, gap, ceil_mode)
    windows = tuple(map(sliding, inner, counts, size, step, pad, gap))
    for each in windows:
        if each.counts.min() < 1:
            raise RuntimeError(
                f"{name}: with dilation {gap} and padding {pad} a window of {inner} has no element"
            )
    return windows


def max_pool(
    input: Any, axes: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """The maxima of sliding windows over the last ``axes`` axes, and their places."""
    inner = inner_shape(f"max_pool{axes}d", input, axes)
    if axes == 1 or input.dtype.name == "bool":
        floating("max_pool1d", input)
    windows = _max_windows(
        inner, key_of(kernel_size), key_of(stride), key_of(padding), key_of(dilation), ceil_mode
    )
    return max_of_windows(input, windows, axes)  # type: ignore[no-any-return]


def with_long_indices(found: tuple[Any, Any]) -> tuple[Any, Any]:
    """Maxima and their places as PyTorch's users see them: in int64."""
    out, places = found
    return out, places if places.dtype is dt.int64 else wrap(places.array.astype(np.int64))


@composite(method=False)
def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """The largest element of each window of the last axis."""
    return max_pool(input, 1, kernel_size, stride, padding, dilation, ceil_mode)[0]


@composite(method=False)
def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """The largest element of each window of the last two axes."""
    return max_pool(input, 2, kernel_size, stride, padding, dilation, ceil_mode)[0]


@composite(method=False)
def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """The largest element of each window of the last three axes."""
    return max_pool(input, 3, kernel_size, stride, padding, dilation, ceil_mode)[0]


@composite(method=False)
def max_pool1d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """The largest element of each window of the last axis, and where it is."""
    return with_long_indices(
        max_pool(input, 1, kernel_size, stride, padding, dilation, ceil_mode)
    )  # fmt: skip


def adaptive_sizes(name: str, output_size: Any, inner: Sequence[int]) -> tuple[int, ...]:
    """The wanted sizes; None is the input's own."""
    axes = len(inner)
    if not isinstance(output_size, (tuple, list)):
        output_size = (output_size,) * axes
    elif len(output_size) != axes:
        raise RuntimeError(f"{name}: output_size must be {axes}, got {tuple(output_size)}")
    sizes = tuple(
        n if m is None else _whole(name, "output_size", m)
        for m, n in zip(output_size, inner, strict=True)
    )
    if min(sizes) < 0:
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received "
            f"{sizes}"
        )
    return sizes


def adaptive_max_pool(input: Any, axes: int, output_size: Any) -> tuple[Any, Any]:
    """The maxima of windows that divide each axis into so many, and their places."""
    name = f"adaptive_max_pool{axes}d"
    inner = inner_shape(name, input, axes, channels=False)
    floating(name, input)
    sizes = adaptive_sizes(name, output_size, inner)
    return max_of_windows(input, tuple(map(dividing, inner, sizes)), axes)  # type: ignore[no-any-return]


@composite(method=False)
def adaptive_max_pool1d(input: Any, output_size: Any) -> Any:
    """The largest elements of so many windows of the last axis, and where they are."""
    return with_long_indices(adaptive_max_pool(input, 1, output_size))


# ---------------------------------------------------------------- averages


def _average(windows: Windows, divisors: Any) -> Band:
    """The sum of each window, divided."""
    here = np.arange(windows.size) < windows.counts[:, None]
    weights = here / np.broadcast_to(divisors, len(windows))[:, None]
    return Band(windows.n, windows.starts, np.maximum(windows.counts, 0), weights)


@lru_cache(maxsize=512)
def _average_bands(
    inner: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any,
    count_include_pad: Any, divisor: Any,
) -> tuple[Band, ...]:  # fmt: skip
    axes = len(inner)
    name = f"avg_pool{axes}d"
    size = sizes_of(name, "kernel_size", kernel_size, axes)
    step = size if stride is None or stride == () else sizes_of(name, "stride", stride, axes)
    pad = sizes_of(name, "padding", padding, axes)
    ones = (1,) * axes
    _check_windows(name, inner, size, step, pad, ones)
    counts = _counts(name, inner, size, step, pad, ones, ceil_mode)
    bands = []
    for n, m, k, stride_, p in zip(inner, counts, size, step, pad, strict=True):
        windows = sliding(n, m, k, stride_, p, 1)
        starts = np.arange(m) * stride_ - p
        divisors: Any = windows.counts
        if divisor is not None:
            divisors = 1 if bands else divisor
        elif count_include_pad:
            divisors = np.minimum(starts + k, n + p) - starts
        bands.append(_average(windows, np.where(windows.counts > 0, divisors, 1)))
    return tuple(bands)


def avg_pool(
    input: Any, axes: int, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any,
    count_include_pad: Any, divisor_override: Any,
) -> Any:  # fmt: skip
    """The averages of sliding windows over the last ``axes`` axes."""
    name = f"avg_pool{axes}d"
    inner = inner_shape(name, input, axes)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    bands = _average_bands(
        inner, key_of(kernel_size), key_of(stride), key_of(padding), ceil_mode,
        count_include_pad, divisor_override,
    )  # fmt: skip
    if input.array.dtype.kind in "iu":
        return _whole_average(input, bands)
    floating(name, input)
    return banded(input, bands)


def _whole_average(input: Any, bands: tuple[Band, ...]) -> Any:
    """Averages of whole numbers, rounded towards zero."""
    sums, divisor = input.array.astype(np.float64), np.ones(())
    for axis, band in enumerate(bands, -len(bands)):
        each = band.weights[np.arange(len(band)), np.abs(band.weights).argmax(1)]
        ones = Band(band.n, band.firsts, band.counts, np.abs(np.sign(band.weights)))
        sums = np.moveaxis(bandwise.banded(np.moveaxis(sums, axis, -1), (ones,)), -1, axis)
        divisor = np.multiply.outer(divisor, np.rint(1 / each))
    return wrap(np.trunc(sums / divisor).astype(input.array.dtype))


@composite(method=False)
def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The average of each window of the last axis."""
    return avg_pool(input, 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@lru_cache(maxsize=512)
def adaptive_bands(inner: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[Band, ...]:
    """The averages of windows that divide each axis into so many."""
    windows = map(dividing, inner, sizes)
    return tuple(_average(w, w.counts) for w in windows)


def adaptive_avg_pool(input: Any, axes: int, output_size: Any) -> Any:
    """The averages of windows that divide each of the last ``axes`` axes into so many."""
    name = f"adaptive_avg_pool{axes}d"
    inner = inner_shape(name, input, axes, channels=False)
    floating(name, input)
    sizes = adaptive_sizes(name, output_size, inner)
    if sizes == (1,) * axes:
        return input.mean(tuple(range(-axes, 0)), keepdim=True)
    floating(name, input)
    return banded(input, adaptive_bands(inner, sizes))


@composite(method=False)
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The averages of so many windows of the last axis."""
    return adaptive_avg_pool(input, 1, output_size)
