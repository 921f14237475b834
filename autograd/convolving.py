"""Convolution on arrays: three products of the same three things.

An image ``x``, a weight ``w`` and a result ``y`` belong together by

    y[n, f, o] = Σ  x[n, c, o·stride + k·dilation - padding] · w[f, c, k]      over c and k

and each of them is wanted given the other two: `convolution` is ``y``, `convolution_input` is ``x``
of a gradient that arrives at ``y`` (a transposed convolution), `convolution_weight` is ``w``.  They
are the derivatives of one another, so nothing more is needed for derivatives of any order.

Here is the general path, for any number of axes and any numbers: windows as columns (`windows`)
and a matrix product for each image.  Enough floats on one or two axes go to `direct` instead, where
the processor has vectors: the sizes alone decide, so the same call gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import assembly, direct, direct_weight, image_rows, kernels, microkernels
from .windows import Window, columns, images

__all__ = ["convolution", "convolution_input", "convolution_weight", "of_channels"]

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

WORTH_COMPILING = 1 << 18  # products from which the kernels are faster than columns
AT_ONCE = 1 << 20  # elements of columns that are made at a time, so that they stay in the cache


def convolution(
    x: Array,
    w: Array,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
    bias: Array | None = None,
) -> Array:
    """``y``, plus a bias for each filter.

    Shape: ``(N, C, *size), (F, C/groups, *kernel) → (N, F, *places)``
    """
    window = Window(w.shape[2:], stride, padding, dilation)
    places = window.places(x.shape[2:])
    n, f = len(x), len(w)
    if _is_direct(x, w, n * math.prod(places) * w.size):
        x, w, settings = _in_plane(x), _in_plane(w), _settings(stride, padding, dilation, groups)
        found = direct.convolution(x, w, _pair(places), settings, bias)
        return found.reshape(n, f, *places)
    out = np.empty((n, groups, f // groups, math.prod(places)), np.result_type(x, w))
    wide = w.reshape(groups, f // groups, math.prod(w.shape[1:]))
    for part in _parts(x, window, places):
        cols = columns(x[part], window)
        np.matmul(
            wide,
            cols.reshape(len(cols), groups, cols.shape[1] // groups, cols.shape[2]),
            out=out[part],
        )
    if bias is not None:
        out += bias.reshape(groups, -1, 1)
    return out.reshape(n, f, *places)


def convolution_input(
    y: Array, w: Array, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """``x`` of ``size``: every element of ``y`` times the weight, added up in its window.

    Shape: ``(N, F, *places), (F, C/groups, *kernel) → (N, C, *size)``
    """
    window = Window(w.shape[2:], stride, padding, dilation)
    n, f = len(y), len(w)
    c = w.shape[1] * groups
    if _is_direct(y, w, n * math.prod(y.shape[2:]) * w.size):
        y, w, settings = _in_plane(y), _in_plane(w), _settings(stride, padding, dilation, groups)
        return direct.convolution_input(y, w, _pair(size), settings).reshape(n, c, *size)
    out = np.empty((n, c, *size), np.result_type(y, w))
    tall = w.reshape(groups, f // groups, math.prod(w.shape[1:])).swapaxes(1, 2)
    y = y.reshape(n, groups, f // groups, math.prod(y.shape[2:]))
    for part in _parts(out, window, window.places(size)):
        cols = np.matmul(tall, y[part])
        out[part] = images(
            cols.reshape(len(cols), groups * cols.shape[2], cols.shape[3]), size, window
        )
    return out


def convolution_weight(
    x: Array, y: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """``w`` of ``kernel``: every element of ``y`` times its window, added up over all of them.

    Shape: ``(N, C, *size), (N, F, *places) → (F, C/groups, *kernel)``
    """
    window = Window(kernel, stride, padding, dilation)
    n, f = y.shape[:2]
    c = x.shape[1]
    if _is_direct(x, y, y.size * c // groups * math.prod(kernel)):
        settings = _settings(stride, padding, dilation, groups)
        found = direct_weight.convolution_weight(
            _in_plane(x), _in_plane(y), _pair(kernel), settings
        )
        if found is not None:
            return found.reshape(f, c // groups, *kernel)
    out = np.zeros((groups, f // groups, c // groups * math.prod(kernel)), np.result_type(x, y))
    y = y.reshape(n, groups, f // groups, math.prod(y.shape[2:]))
    for part in _parts(x, window, window.places(x.shape[2:])):
        cols = columns(x[part], window)
        wide = cols.reshape(len(cols), groups, cols.shape[1] // groups, cols.shape[2])
        out += np.add.reduce(np.matmul(y[part], wide.swapaxes(2, 3)), axis=0)
    return out.reshape(f, c // groups, *kernel)


def of_channels(x: Array) -> Array:
    """Total of everything in each channel of ``(N, C, *)``."""
    n, c = x.shape[:2]
    flat = x.reshape(n * c, math.prod(x.shape[2:]))
    each = _totals(flat)
    if each is None:
        each = np.add.reduce(flat, axis=1)
    return np.add.reduce(each.reshape(n, c), axis=0)  # type: ignore[no-any-return]


def _totals(x: Array) -> Array | None:
    """The sums of rows, shared by threads; None where NumPy had better compute them."""
    rows, size = x.shape
    lanes = assembly.lanes(kernels.name_of(x.dtype))
    if x.size < WORTH_COMPILING or not 4 * lanes <= size < 1 << 31:
        return None
    out = np.empty(rows, x.dtype)
    done = image_rows.run(image_rows.totals, (np.ascontiguousarray(x), out), (size,), rows)
    return out if done else None


def _parts(x: Array, window: Window, places: Sizes) -> list[slice]:
    """The images in lots whose columns are no more than `AT_ONCE`."""
    each = x.shape[1] * math.prod(window.kernel) * math.prod(places)
    step = max(1, AT_ONCE // max(1, each))
    return [slice(i, i + step) for i in range(0, len(x), step)]


# ---------------------------------------------------------------- the fast path


def _is_direct(a: Array, b: Array, products: int) -> bool:
    """Whether a product of this size goes to the kernels."""
    if products < WORTH_COMPILING or a.ndim > 4 or a.dtype != b.dtype:
        return False
    dtype = kernels.name_of(a.dtype)
    return microkernels.are_here(dtype, assembly.lanes(dtype))


def _in_plane(a: Array) -> Array:
    """With two axes: a sequence is an image of one row."""
    return a if a.ndim == 4 else a[:, :, None]


def _pair(sizes: Sizes, missing: int = 1) -> Sizes:
    return sizes if len(sizes) == 2 else (missing, *sizes)


def _settings(stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Any:
    return _pair(stride), _pair(padding, 0), _pair(dilation), groups
