"""Convolutions without columns: the image itself is read at a table of offsets (implicit im2col).

An image is copied once into scratch memory with its padding.  There, the element that tap (c, i, j)
of the window sees is at a fixed distance from the window's place, so one table of distances says
everything about kernel size, dilation and channels.  With a stride the copy is dealt out into one
image for each remainder, so that neighbouring windows see neighbouring elements.

`slide` computes runs of pixels that go on from one row into the next: what stands over the padding
between is computed and not stored.  A part of the work is a band of rows of one image (and one
group of channels, which is an image of its own).
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import kernels, microkernels
from .assembly import lanes

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

SCRATCH = 1 << 17  # elements of scratch memory that stay in the cache near a core


class Tile(NamedTuple):
    """How many sums are kept in registers: rows by vectors of so many lanes."""

    lanes: int
    rows: int
    vectors: int


class Axis(NamedTuple):
    """One axis of a convolution that reads every ``stride``-th element."""

    size: int  # of the image
    places: int  # how many windows
    stride: int
    offset: int  # of the first window's first tap, from the image's first element
    taps: tuple[int, ...]  # distances from the first tap

    @property
    def remainders(self) -> tuple[int, ...]:
        """What distances leave when divided by the stride: the images that are dealt out."""
        return tuple(sorted({t % self.stride for t in self.taps}))

    @property
    def reach(self) -> int:
        """How far the last tap is from the first, in such an image."""
        return max((t // self.stride for t in self.taps), default=0)


class Layout(NamedTuple):
    """Where everything is in the scratch memory of a band, for the kernel."""

    tile: Tile
    bands: int
    taps: Array
    starts: Array
    runs: Array
    numbers: Array
    size: int


@lru_cache(maxsize=1024)
def tile_for(dtype: str, filters: int, pixels: int) -> Tile:
    """The block of sums that wastes least."""
    n = lanes(dtype)
    wide = n * np.dtype(dtype).itemsize
    if wide == 64:
        shapes = [(8, 3), (6, 4), (4, 6), (1, 12)]
    else:
        shapes = [(8, 3), (4, 6), (1, 12)] if wide == 16 else [(4, 3), (1, 8)]

    def cycles(shape: tuple[int, int]) -> float:
        rows, vectors = shape
        steps = -(-filters // rows) * -(-pixels // (vectors * n))
        return steps * max(rows * vectors, rows + 2 * vectors)

    return Tile(n, *min(shapes, key=cycles))


@lru_cache(maxsize=256)
def layout(channels: int, down: Axis, across: Axis, tile: Tile, parts: int) -> Layout:
    """The layout for images that are cut into at least ``parts`` bands each."""
    wide = across.places + across.reach
    phases = len(down.remainders) * len(across.remainders)
    fitting = SCRATCH // (channels * phases * wide) - down.reach
    rows = max(1, min(-(-down.places // parts), max(fitting, 4)))
    bands = -(-down.places // rows)
    rows = -(-down.places // bands)
    bands = -(-down.places // rows)
    high = rows + down.reach
    plane = high * wide
    taps = [
        (c * phases
         + down.remainders.index(i % down.stride) * len(across.remainders)
         + across.remainders.index(j % across.stride)) * plane
        + i // down.stride * wide + j // across.stride
        for c in range(channels) for i in down.taps for j in across.taps
    ]  # fmt: skip
    starts, runs = [0], []
    tiles = []
    for rows_here in (rows, down.places - rows * (bands - 1)):
        pixels = (rows_here - 1) * wide + across.places
        tiles.append(-(-pixels // (tile.lanes * tile.vectors)))
        for first in range(0, tiles[-1] * tile.lanes * tile.vectors, tile.lanes):
            runs += _runs_of(first, tile.lanes, wide, across.places, rows_here)
            starts.append(len(runs))
    numbers = [
        *(channels, down.size, across.size, down.places, across.places, rows, bands),
        *(high, wide, down.stride, across.stride, down.offset, across.offset, *tiles),
        *(len(down.remainders), len(across.remainders)),
        channels * phases * plane + tile.lanes * tile.vectors,
        *down.remainders,
        *across.remainders,
    ]
    each = [np.array(a, np.int64).reshape(-1) for a in (taps, starts, runs, numbers)]
    return Layout(tile, bands, each[0], each[1], each[2], each[3], numbers[17])


def _runs_of(first: int, n: int, wide: int, places: int, rows: int) -> list[tuple[int, int]]:
    """The lanes of a vector to store, as bits, with the distance from the band's first place.

    Each run is within one row of the result; lane 0 of the vector would be at the distance.
    """
    runs = []
    for row in range(first // wide, min((first + n - 1) // wide, rows - 1) + 1):
        low = max(row * wide - first, 0)
        high = min(row * wide + places - first, n)
        if low < high:
            runs.append((((1 << high) - 1) ^ ((1 << low) - 1), first - row * (wide - places)))
    return runs


# ---------------------------------------------------------------- the kernel


def packed(w: Array, rows: int) -> Array:
    """Weights ``(G, F, T)`` in the order in which the kernel reads: ``(G, blocks, T, rows)``."""
    groups, filters, taps = w.shape
    blocks = -(-filters // rows)
    out = np.zeros if filters % rows else np.empty
    made = out((groups, blocks, taps, rows), w.dtype)
    whole = filters // rows
    seen = w[:, : whole * rows].reshape(groups, whole, rows, taps)
    made[:, :whole] = seen.swapaxes(2, 3)
    if filters % rows:
        made[:, whole, :, : filters % rows] = w[:, whole * rows :].swapaxes(1, 2)
    return made


def slide(x: Array, w: Array, bias: Array | None, down: Axis, across: Axis) -> Array:
    """Filters slid over images.

    Shape: ``(N, G · C, H, W), (G, F, C · taps) → (N, G · F, places, places)``
    """
    groups, filters, taps = w.shape
    dtype = x.dtype.name
    channels = x.shape[1] // groups
    count = len(x) * groups
    wide = across.places + across.reach
    tile = tile_for(dtype, filters, down.places * wide)
    few = count < 2 * kernels.threads()
    where = layout(channels, down, across, tile, -(-4 * kernels.threads() // count) if few else 1)
    weights = packed(w, tile.rows).reshape(-1)
    biases = np.zeros(weights.size // taps, x.dtype)
    if bias is not None:
        biases.reshape(groups, -1)[:, :filters] = bias.reshape(groups, filters)
    out = np.empty((len(x), groups * filters, down.places, across.places), x.dtype)
    kernel = _slide(dtype, tile)
    image, result = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)

    total = count * where.bands
    flops = filters * taps * down.places * across.places * count
    deal_out(
        kernel,
        (image, weights, biases, result),
        (filters, groups, where.taps, where.starts, where.runs, where.numbers),
        [where.size],
        1 if flops < SERIAL else min(kernels.threads(), total),
        total,
    )
    return out


SERIAL = 1 << 19  # products that one thread computes sooner than another would start


def deal_out(
    kernel: Any, arrays: Any, others: Any, scratch: list[int], threads: int, total: int
) -> None:
    """Call a kernel from several threads, which take one of ``total`` items after the other.

    ``scratch`` says how many elements of memory of its own each thread is given.
    """
    dtype = arrays[0].dtype
    made = [np.empty(threads * n, dtype) for n in scratch]
    counter = np.zeros(1, np.int64)
    given = [*arrays, *made, *others, counter, total]
    cut = [0] * len(given)
    cut[len(arrays) : len(arrays) + len(made)] = scratch
    kernels.launch(kernel, given, threads, 1, cut)


@cache
def source() -> str:
    """What the kernels are made of."""
    return "".join(Path(str(m)).read_text("utf-8") for m in (microkernels.__file__, __file__))


inner = cache(kernels.inner)


def deal_rows(image, source, size, y, step, left, stride, scratch, at, high, wide):
    """Rows of a channel, with zeros where the image is not, into scratch memory from ``at`` on."""
    if left == 0 and stride == 1 and step == 1 and wide == size[1] and 0 <= y <= size[0] - high:
        x = source + y * wide  # whole rows are one run
        for b in range(high * wide):
            scratch[at + b] = image[x + b]
        return
    low = min(max(0, -(left // stride)), wide)
    edge = max(low, min(wide, -((left - size[1]) // stride)))
    for _ in range(high):
        if y < 0 or y >= size[0]:
            for b in range(wide):
                scratch[at + b] = 0
        else:
            for b in range(low):
                scratch[at + b] = 0
            x = source + y * size[1] + left
            if stride == 1:
                for b in range(low, edge):
                    scratch[at + b] = image[x + b]
            else:
                for b in range(low, edge):
                    scratch[at + b] = image[x + b * stride]
            for b in range(edge, wide):
                scratch[at + b] = 0
        y += step
        at += wide


@cache
def _slide(dtype: str, tile: Tile) -> Any:
    lanes, rows_of_tile, vectors = tile
    block: Any = None
    take: Any = None
    deal: Any = deal_rows

    def prepare() -> None:
        nonlocal block, take, deal
        block, take = microkernels.correlate(dtype, *tile), microkernels.take()
        deal = inner(deal_rows)

    def slide(
        image, weights, biases, result, scratch, filters, groups, taps, starts, runs, numbers,
        counter, total,
    ):  # fmt: skip
        channels, size_down, size_across, places_down, places_across = (
            numbers[0],
            numbers[1],
            numbers[2],
            numbers[3],
            numbers[4],
        )
        rows, bands, high, wide, stride_down, stride_across = (
            numbers[5],
            numbers[6],
            numbers[7],
            numbers[8],
            numbers[9],
            numbers[10],
        )
        offset_down, offset_across, tiles, last_tiles = (
            numbers[11],
            numbers[12],
            numbers[13],
            numbers[14],
        )
        phases_down, phases_across, size = numbers[15], numbers[16], numbers[17]
        for i in range(size - lanes * vectors, size):
            scratch[i] = 0
        plane = places_down * places_across
        blocks = -(-filters // rows_of_tile)
        item = take(counter)
        while item < total:
            m, band = item // bands, item % bands
            top = band * rows
            here = min(rows, places_down - top)
            at = np.int64(0)
            for c in range(channels):
                for p in range(phases_down):
                    for q in range(phases_across):
                        deal(
                            image, (m * channels + c) * size_down * size_across,
                            (size_down, size_across),
                            top * stride_down + offset_down + numbers[18 + p], stride_down,
                            offset_across + numbers[18 + phases_down + q], stride_across,
                            scratch, at, high, wide,
                        )  # fmt: skip
                        at += high * wide
            first = 0 if here == rows else tiles * vectors
            group = m % groups * blocks
            for t in range(tiles if here == rows else last_tiles):
                for f in range(blocks):
                    block(
                        scratch, t * lanes * vectors, taps,
                        weights, (group + f) * taps.size * rows_of_tile,
                        biases, (group + f) * rows_of_tile,
                        result, (m * filters + f * rows_of_tile) * plane + top * places_across,
                        plane, filters - f * rows_of_tile,
                        starts, first + t * vectors, runs,
                    )  # fmt: skip
            item = take(counter)

    given, ints = kernels.readonly(dtype), kernels.readonly("int64")
    signature = (
        f"void({given}, {given}, {given}, {dtype}[::1], {dtype}[::1], int64, int64, {ints}, "
        f"{ints}, {ints}, {ints}, int64[::1], int64)"
    )
    text = f"{source()} {tile}"
    return kernels.compile(slide, signature, contract=True, source=text, prepare=prepare)


# ---------------------------------------------------------------- two of the three products


def axes(
    size: Sizes, kernel: Sizes, places: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> list[Axis]:
    """Both axes of a convolution."""
    return [
        Axis(n, o, s, -p, tuple(d * i for i in range(k)))
        for n, k, o, s, p, d in zip(size, kernel, places, stride, padding, dilation, strict=True)
    ]


def convolution(x: Array, w: Array, places: Sizes, settings: Any, bias: Array | None) -> Array:
    """``y``."""
    stride, padding, dilation, groups = settings
    down, across = axes(x.shape[2:], w.shape[2:], places, stride, padding, dilation)
    wide = w.reshape(groups, len(w) // groups, math.prod(w.shape[1:]))
    return slide(x, wide, bias, down, across)


def convolution_input(y: Array, w: Array, size: Sizes, settings: Any) -> Array:
    """``x``: one convolution of ``y`` for each remainder of places divided by the stride."""
    stride, padding, dilation, groups = settings
    filters, channels, *kernel = w.shape
    wide = w.reshape(groups, filters // groups, channels, *kernel).swapaxes(1, 2)
    parts = [
        [_remainder(*facts, r) for r in range(facts[2])]  # type: ignore[call-arg]
        for facts in zip(size, kernel, stride, padding, dilation, y.shape[2:], strict=True)
    ]
    if stride == (1, 1):
        (down, _, _), (across, _, _) = parts[0][0], parts[1][0]
        return slide(y, wide.reshape(groups, channels, -1), None, down, across)
    out = np.zeros((len(y), groups * channels, *size), y.dtype)
    for down, rows, i in parts[0]:
        for across, columns, j in parts[1]:
            if down.taps and across.taps and down.places > 0 and across.places > 0:
                part = wide[:, :, :, i][..., j].reshape(groups, channels, -1)
                _interleave(out, slide(y, part, None, down, across), rows, columns)
    return out


def _interleave(out: Array, part: Array, rows: slice, columns: slice) -> None:
    """``out[:, :, rows, columns] = part``."""
    if part.size < WORTH_COMPILING:
        out[:, :, rows, columns] = part
        return
    planes = len(part) * part.shape[1]
    height, width = out.shape[2:]
    kernels.launch(
        _weave(out.dtype.name),
        (part.reshape(planes, -1), part.shape[3], out.reshape(planes, height * width), width,
         rows.start, rows.step, columns.start, columns.step),
        planes,
        max(1, WORTH_COMPILING * planes // part.size),
        (1, 0, 1, 0, 0, 0, 0, 0),
    )  # fmt: skip


WORTH_COMPILING = 1 << 14  # elements


def weave(part, places, out, width, top, down, left, across):
    """Put rows of so many places where they belong in planes of a width."""
    for p in range(len(part)):
        for i in range(part.shape[1] // places):
            at = (top + i * down) * width + left
            for j in range(places):
                out[p, at + j * across] = part[p, i * places + j]


@cache
def _weave(dtype: str) -> Any:
    given = kernels.readonly(dtype, 2)
    return kernels.compile(
        weave, f"void({given}, int64, {dtype}[:, ::1], int64, int64, int64, int64, int64)"
    )


def _remainder(
    size: int, kernel: int, stride: int, padding: int, dilation: int, places: int, r: int
) -> tuple[Axis, slice, list[int]]:
    """The elements of the image whose place, counted with the padding, leaves ``r``.

    They are seen by some of the taps only.  What these are as an axis of a convolution over the
    places, where the elements are, and which taps see them.
    """
    taps = [i for i in range(kernel) if i * dilation % stride == r]
    first = -((r - padding) // stride)
    count = (size - 1 + padding - r) // stride - first + 1
    back = [(i * dilation - r) // stride for i in taps]
    far = max(back, default=0)
    axis = Axis(places, count, 1, first - far, tuple(far - b for b in back))
    return axis, slice(stride * first + r - padding, None, stride), taps
