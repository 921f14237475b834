"""Windows of an image as columns (im2col) and back (col2im): what convolutions slide over.

A `Window` says how windows lie on an image of one, two or three axes.  `columns` copies every
window into a column of a matrix, so that a convolution is one matrix product; `images` is its
transpose: it adds columns up where their elements came from.

    x[c, o·stride + k·dilation - padding]  ↔  column[(c, k), o]

Both work on arrays of any number type.  Few elements are moved by NumPy; for many there are two
kernels, which know three axes: an image of fewer has leading axes of size one.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import kernels

__all__ = ["Window", "columns", "images"]

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

WORTH_COMPILING = 1 << 17  # elements of columns from which the kernels beat NumPy's copies
GRAIN = 1 << 15  # elements of columns that one thread moves at a time


class Window(NamedTuple):
    """How windows lie on an image; one number for each axis."""

    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes

    def places(self, size: Sizes) -> Sizes:
        """How many windows an image of ``size`` has along each axis."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, *self, strict=True)
        )


def columns(x: Array, window: Window) -> Array:
    """Every window as a column.

    Shape: ``(N, C, *size) → (N, C · kernel, places)``; the memory is fresh.
    """
    n, c, *size = x.shape
    kernel = window.kernel
    places = window.places(tuple(size))
    shape = (n, c, *kernel, *places)
    if math.prod(shape) >= WORTH_COMPILING and x.dtype.kind == "f":
        out = np.empty(shape, x.dtype)
        _in_parts("gather", np.ascontiguousarray(x), out, tuple(size), window, places)
    else:
        x = _padded(x, window.padding)
        out = np.array(_seen_in_windows(x, window, places), order="C")
    return out.reshape(n, c * math.prod(kernel), math.prod(places))


def images(cols: Array, size: Sizes, window: Window) -> Array:
    """Columns added up where `columns` takes them from: its transpose.

    Shape: ``(N, C · kernel, places) → (N, C, *size)``
    """
    n = len(cols)
    kernel = window.kernel
    c = cols.shape[1] // math.prod(kernel)
    places = window.places(size)
    cols = cols.reshape(n, c, *kernel, *places)
    if cols.size >= WORTH_COMPILING and cols.dtype.kind == "f":
        out = np.zeros((n, c, *size), cols.dtype)
        _in_parts("scatter", out, np.ascontiguousarray(cols), size, window, places)
        return out
    out = np.zeros(
        (n, c, *(m + 2 * p for m, p in zip(size, window.padding, strict=True))), cols.dtype
    )
    for at in np.ndindex(*kernel):
        key = tuple(
            slice(d * i, d * i + s * (o - 1) + 1, s)
            for i, d, s, o in zip(at, window.dilation, window.stride, places, strict=True)
        )
        place: Any = (..., *key)
        out[place] += cols[(slice(None), slice(None), *at)]
    if any(window.padding):
        return np.ascontiguousarray(out[_inside(size, window.padding)])
    return out


def _padded(x: Array, padding: Sizes) -> Array:
    """The image with zeros around it, in row-major order."""
    if not any(padding):
        return np.ascontiguousarray(x)
    n, c, *size = x.shape
    out = np.zeros((n, c, *(m + 2 * p for m, p in zip(size, padding, strict=True))), x.dtype)
    out[_inside(tuple(size), padding)] = x
    return out


def _inside(size: Sizes, padding: Sizes) -> Any:
    """Where an image stands in its padding."""
    return (..., *(slice(p, p + m) for m, p in zip(size, padding, strict=True)))


def _seen_in_windows(x: Array, window: Window, places: Sizes) -> Array:
    """``(N, C, *kernel, *places)``, a view of a padded image."""
    batch, channel, *steps = x.strides
    strides = (
        *(batch, channel),
        *(step * d for step, d in zip(steps, window.dilation, strict=True)),
        *(step * s for step, s in zip(steps, window.stride, strict=True)),
    )
    shape = (*x.shape[:2], *window.kernel, *places)
    if not math.prod(shape):
        return np.empty(shape, x.dtype)
    return np.ndarray(shape, x.dtype, x, 0, strides)


# ---------------------------------------------------------------- many elements


def _in_parts(
    name: str, image: Array, cols: Array, size: Sizes, window: Window, places: Sizes
) -> None:
    """Run a kernel over all channels of all images, shared among threads."""
    kernel = _kernel(name, cols.dtype.name)
    count = image.shape[0] * image.shape[1]
    flat_image = image.reshape(count, -1)
    flat_cols = cols.reshape(count, -1)
    numbers = _numbers(size, window, places)
    grain = max(1, GRAIN * count // max(1, cols.size))
    kernels.launch(kernel, (flat_image, flat_cols, numbers), count, grain, (1, 1, 0))


@lru_cache(maxsize=256)
def _numbers(size: Sizes, window: Window, places: Sizes) -> Array:
    """All that the kernels need to know, for three axes: a row for each fact."""
    ones, zeros = (1, 1), (0, 0)
    rows = [(ones + size), (ones + window.kernel), (ones + places), (ones + window.stride)]
    rows += [(zeros + window.padding), (ones + window.dilation)]
    made = np.array([row[-3:] for row in rows], np.int64)
    made.flags.writeable = False
    return made


@cache
def _kernel(name: str, dtype: str) -> Any:
    image, cols = f"{dtype}[:, ::1]", f"{dtype}[:, ::1]"
    if name == "gather":
        image = kernels.readonly(dtype, 2)
    else:
        cols = kernels.readonly(dtype, 2)
    signature = f"void({image}, {cols}, {kernels.readonly('int64', 2)})"
    return kernels.compile(_gather if name == "gather" else _scatter, signature)


def _gather(image: Any, cols: Any, numbers: Any) -> None:
    """``cols`` from ``image``: a row of columns is a run of a row of the image."""
    size, kernel, places, stride, padding, dilation = numbers
    for c in range(image.shape[0]):
        at = 0
        for k in range(kernel[0] * kernel[1] * kernel[2]):
            first = k % kernel[2] * dilation[2] - padding[2]
            for o in range(places[0] * places[1]):
                z = o // places[1] * stride[0] - padding[0]
                z += k // (kernel[1] * kernel[2]) * dilation[0]
                y = o % places[1] * stride[1] - padding[1]
                y += k // kernel[2] % kernel[1] * dilation[1]
                if z < 0 or z >= size[0] or y < 0 or y >= size[1]:
                    for i in range(places[2]):
                        cols[c, at + i] = 0
                else:
                    row = (z * size[1] + y) * size[2]
                    for i in range(places[2]):
                        x = first + i * stride[2]
                        if x < 0 or x >= size[2]:
                            cols[c, at + i] = 0
                        else:
                            cols[c, at + i] = image[c, row + x]
                at += places[2]


def _scatter(image: Any, cols: Any, numbers: Any) -> None:
    """``cols`` added to ``image``."""
    size, kernel, places, stride, padding, dilation = numbers
    for c in range(image.shape[0]):
        at = 0
        for k in range(kernel[0] * kernel[1] * kernel[2]):
            first = k % kernel[2] * dilation[2] - padding[2]
            for o in range(places[0] * places[1]):
                z = o // places[1] * stride[0] - padding[0]
                z += k // (kernel[1] * kernel[2]) * dilation[0]
                y = o % places[1] * stride[1] - padding[1]
                y += k // kernel[2] % kernel[1] * dilation[1]
                if z >= 0 and z < size[0] and y >= 0 and y < size[1]:
                    row = (z * size[1] + y) * size[2]
                    for i in range(places[2]):
                        x = first + i * stride[2]
                        if x >= 0 and x < size[2]:
                            image[c, row + x] += cols[c, at + i]
                at += places[2]
