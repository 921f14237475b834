"""The weight's gradient without columns; see `direct`.

`weigh` turns the gradient so that filters are neighbours, and keeps sums of taps by filters in
registers while pixels go by.  A thread has sums of its own, which are added up at the end.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import direct, kernels, microkernels, products, winograd, winograd_weight
from .assembly import lanes
from .direct import Axis, Sizes, Tile, axes, layout

Array = np.ndarray[Any, Any]

MANY = 20 * 20  # places, whose pixels fill vectors well
CHUNK = 208  # pixels whose gradients, for a block of filters, stay in a near cache


@cache
def source() -> str:
    """What the kernels are made of."""
    return direct.source() + Path(__file__).read_text("utf-8")


@lru_cache(maxsize=256)
def weight_layout(
    channels: int, down: Axis, across: Axis, rows_of_tile: int, parts: int
) -> tuple[int, Array, Array, Array]:
    """How many bands there are, the taps, the pixels of a band, and all numbers."""
    wide = (across.places - 1) * across.stride + across.taps[-1] + 1
    fitting = (direct.SCRATCH // (channels * wide) - down.taps[-1]) // down.stride
    rows = max(1, min(-(-down.places // parts), max(fitting, 4)))
    bands = -(-down.places // rows)
    rows = -(-down.places // bands)
    bands = -(-down.places // rows)
    high = (rows - 1) * down.stride + down.taps[-1] + 1
    taps = [
        (c * high + i) * wide + j for c in range(channels) for i in down.taps for j in across.taps
    ]
    taps += taps[-1:] * (-len(taps) % rows_of_tile)
    pixels = [
        r * down.stride * wide + o * across.stride
        for r in range(rows)
        for o in range(across.places)
    ]
    numbers = [
        *(channels, down.size, across.size, down.places, across.places, rows, bands, high, wide),
        *(down.stride, down.offset, across.offset),
    ]
    arrays = [np.array(a, np.int64) for a in (taps, pixels, numbers)]
    return bands, *arrays  # type: ignore[return-value]


def weigh(x: Array, y: Array, groups: int, down: Axis, across: Axis) -> Array | None:
    """Every element of ``y`` times what its window sees, added up over all places.

    None where a result would not be finite.

    Shape: ``(N, G · C, H, W), (N, G · F, places, places) → (G, F, C · taps)``
    """
    dtype = kernels.name_of(x.dtype)
    channels, filters = x.shape[1] // groups, y.shape[1] // groups
    n = lanes(dtype)
    if _are_few(dtype, filters, down.places * across.places):
        return _weigh_few(x, y, groups, down, across)
    tile = weight_tile(dtype, filters)
    count = len(x) * groups
    threads = kernels.threads()
    few = count < 2 * threads
    bands, taps, pixels, numbers = weight_layout(
        channels, down, across, tile.rows, -(-2 * threads // count) if few else 1
    )
    wide = n * tile.vectors
    blocks = -(-filters // wide)
    total = count * bands
    width = channels * len(down.taps) * len(across.taps)
    begins, grain = _begins(total, y.size * width)
    parts = len(begins)
    sums = np.zeros((parts, groups, blocks, taps.size, wide), x.dtype)
    kernel = _weigh(dtype)
    block, turn = microkernels.outer(dtype, *tile[:3]), microkernels.turn(dtype, n)
    deal = microkernels.deal_rows(dtype, n)
    size = channels * int(numbers[7] * numbers[8]) + n
    image, slopes = (np.ascontiguousarray(a).reshape(-1) for a in (x, y))
    scratch, turned = np.empty(parts * size, x.dtype), np.empty(parts * CHUNK * wide, x.dtype)
    kernels.launch(
        kernel,
        (image, slopes, sums.reshape(-1), scratch, turned, block, turn, deal, tile.rows,
         tile.vectors, filters, groups, taps, pixels, numbers, begins, grain, total),
        parts,
        1,
        (0, 0, sums[0].size, size, CHUNK * wide, *[0] * 10, 1, 0, 0),
    )  # fmt: skip
    found = sums[0] if parts == 1 else np.add.reduce(sums, axis=0)
    found = found[:, :, :width].swapaxes(2, 3).reshape(groups, blocks * wide, width)
    return found[:, :filters]  # type: ignore[no-any-return]


def _begins(total: int, products: int) -> tuple[Array, int]:
    """The first item of each thread, and how many it takes.

    Who adds up what is settled beforehand, so that the same call gives the same bits.
    """
    parts = 1 if products < direct.SERIAL else min(kernels.threads(), total)
    grain = -(-total // parts)
    return np.arange(0, total, grain), grain


def weight_tile(dtype: str, filters: int) -> Tile:
    """The block of sums: taps by vectors of filters."""
    n = lanes(dtype)
    vectors = -(-filters // n)
    if n * np.dtype(dtype).itemsize == 32:
        return Tile(n, *((4, 3) if vectors > 2 else (6, 2) if vectors == 2 else (8, 1)))
    return Tile(n, *((6, 4) if vectors > 2 else (8, 2) if vectors == 2 else (14, 1)))


@cache
def _weigh(dtype: str) -> Any:
    square = lanes(dtype)
    chunk = CHUNK
    call: Any = None

    def prepare() -> None:
        nonlocal call
        call = microkernels.call()

    def weigh(
        image, gradient, sums, scratch, slopes, block, turn, deal, rows_of_tile, vectors,
        filters, groups, taps, pixels, numbers, begins, grain, total,
    ):  # fmt: skip
        channels, size_down, size_across, places_down, places_across = (
            numbers[0],
            numbers[1],
            numbers[2],
            numbers[3],
            numbers[4],
        )
        rows, bands, high, wide, stride_down, offset_down, offset_across = (
            numbers[5],
            numbers[6],
            numbers[7],
            numbers[8],
            numbers[9],
            numbers[10],
            numbers[11],
        )
        plane = places_down * places_across
        several = square * vectors
        blocks = -(-filters // several)
        for item in range(begins[0], min(begins[0] + grain, total)):
            m, band = item // bands, item % bands
            top = band * rows
            for c in range(channels):
                call(deal, (
                    image, (m * channels + c) * size_down * size_across,
                    size_down, size_across, top * stride_down + offset_down, 1,
                    offset_across, 1, scratch, c * high * wide, high, wide, 0,
                ))  # fmt: skip
            count = min(rows, places_down - top) * places_across
            even = -(-count // -(-count // chunk))  # pixels at a time, about as many each time
            even += -even % square
            for start in range(0, count, even):
                stop = min(start + even, count)
                for b in range(blocks):
                    here = min(several, filters - b * several)
                    source = (m * filters + b * several) * plane + top * places_across + start
                    whole = (stop - start) // square * square
                    full = here // square * square
                    for f in range(0, full, square):
                        for p in range(0, whole, square):
                            call(turn, (
                                gradient, source + f * plane + p, plane,
                                slopes, p * several + f, several,
                            ))  # fmt: skip
                    for p in range(stop - start):
                        for f in range(0 if p >= whole else full, here):
                            slopes[p * several + f] = gradient[source + f * plane + p]
                        for f in range(here, several):
                            slopes[p * several + f] = 0
                    base = (m % groups * blocks + b) * taps.size
                    for t in range(0, taps.size, rows_of_tile):
                        call(block, (
                            scratch, taps, t, pixels, start, stop, slopes,
                            sums, (base + t) * several,
                        ))  # fmt: skip

    given, ints = kernels.readonly(dtype), kernels.readonly("int64")
    signature = (
        f"void({given}, {given}, {dtype}[::1], {dtype}[::1], {dtype}[::1], int64, int64, int64, "
        f"int64, int64, int64, int64, {ints}, {ints}, {ints}, {ints}, int64, int64)"
    )
    return kernels.compile(weigh, signature, contract=True, source=source(), prepare=prepare)


def _are_few(dtype: str, filters: int, places: int) -> bool:
    """Whether vectors had better be pixels: of filters there are few, or they fill no two vectors.

    Then half a vector would be empty, or sums of one tap each would want more pointers than there
    are registers.
    """
    n = lanes(dtype)
    return 2 * filters <= n or filters == 1 or (filters < 2 * n and places >= MANY)


def _block_of(dtype: str, taps: int, filters: int) -> tuple[int, int]:
    """The taps and filters of a block of sums of `microkernels.inner` that wastes least."""
    shapes = [(24, 1), (12, 2), (8, 3), (6, 4), (4, 6), (3, 8), (9, 1), (9, 2), (5, 5)]
    if lanes(dtype) * np.dtype(dtype).itemsize == 32:
        shapes = [(12, 1), (6, 2), (4, 3), (3, 4), (9, 1), (5, 2)]

    def cycles(shape: tuple[int, int]) -> float:
        rows, columns = shape
        # A run of pixels lies in two lines of the cache: it is loaded twice.
        return -(-taps // rows) * -(-filters // columns) * max(rows * columns, 2 * rows + columns)

    return min(shapes, key=cycles)


def _weigh_few(x: Array, y: Array, groups: int, down: Axis, across: Axis) -> Array | None:
    """`weigh` for few filters in a group: lanes are pixels, which nothing need be turned for."""
    dtype, kind = kernels.name_of(x.dtype), x.dtype
    channels, filters = x.shape[1] // groups, y.shape[1] // groups
    n = lanes(dtype)
    width = channels * len(down.taps) * len(across.taps)
    rows, columns = _block_of(dtype, width, filters)
    total = len(x) * groups
    few = total < 2 * kernels.threads()
    parts = -(-2 * kernels.threads() // total) if few else 1
    where = layout(channels, down, across, ((down.taps, across.taps),), Tile(n, rows, 1), parts)
    taps = np.concatenate([where.taps, where.taps[-1:].repeat(-width % rows)])
    blocks = taps.size // rows, -(-filters // columns)
    total *= where.bands
    begins, grain = _begins(total, y.size * width)
    parts = len(begins)
    sums = np.zeros((parts, groups, *blocks, rows * columns, n), kind)
    plane = int(where.numbers[5] * where.numbers[8]) + n
    sizes = where.size, plane * blocks[1] * columns
    scratch, slopes = (np.empty(parts * size, kind) for size in sizes)
    image, gradient = (np.ascontiguousarray(a).reshape(-1) for a in (x, y))
    block = microkernels.inner(dtype, n, rows, columns)
    kernels.launch(
        _weigh_pixels(dtype),
        (image, gradient, sums.reshape(-1), scratch, slopes, block,
         microkernels.deal_rows(dtype, n), rows, columns, filters, groups, plane, taps,
         where.numbers, begins, grain, total),
        parts,
        1,
        (0, 0, sums[0].size, *sizes, *[0] * 9, 1, 0, 0),
    )  # fmt: skip
    found = sums.reshape(-1, n).dot(np.ones(n, kind)).reshape(sums.shape[:-1])
    found = found[0] if parts == 1 else np.add.reduce(found, axis=0)
    finite = np.isfinite(found).all()
    found = found.reshape(groups, *blocks, rows, columns).transpose(0, 2, 4, 1, 3)
    # What is between the rows was computed too, as zero times what the image has there.
    return found.reshape(groups, -1, taps.size)[:, :filters, :width] if finite else None


@cache
def _weigh_pixels(dtype: str) -> Any:
    several = lanes(dtype)
    call: Any = None
    deal_band: Any = None

    def prepare() -> None:
        nonlocal call, deal_band
        call, deal_band = microkernels.call(), direct.band_dealer()

    def weigh_pixels(
        image, gradient, sums, scratch, slopes, block, deal, rows_of_tile, columns, filters, groups,
        plane, taps, numbers, begins, grain, total,
    ):  # fmt: skip
        places_down, places_across, rows, bands = numbers[3], numbers[4], numbers[5], numbers[6]
        wide, size = numbers[8], numbers[17]
        for i in range(several):
            scratch[size - several + i] = 0
        for i in range(slopes.size):  # of filters that are not there, and between the planes
            slopes[i] = 0
        size_of_block = rows_of_tile * columns * several
        blocks_across = -(-filters // columns)
        count = -(-((rows - 1) * wide + places_across) // several)
        for item in range(begins[0], min(begins[0] + grain, total)):
            m, band = item // bands, item % bands
            top = band * rows
            deal_band(image, m, top, numbers, scratch, deal)
            for f in range(filters):
                call(deal, (
                    gradient, (m * filters + f) * places_down * places_across,
                    places_down, places_across, top, 1, 0, 1, slopes, f * plane, rows, wide, 0,
                ))  # fmt: skip
            base = m % groups * (taps.size // rows_of_tile) * blocks_across
            for b in range(blocks_across):
                for t in range(0, taps.size, rows_of_tile):
                    place = base + t // rows_of_tile * blocks_across + b
                    call(block, (
                        scratch, taps, t, slopes, b * columns * plane, plane, count,
                        sums, place * size_of_block,
                    ))  # fmt: skip

    given, ints = kernels.readonly(dtype), kernels.readonly("int64")
    made = f"{dtype}[::1]"
    signature = (
        f"void({given}, {given}, {made}, {made}, {made}, int64, int64, int64, int64, int64, int64, "
        f"int64, {ints}, {ints}, {ints}, int64, int64)"
    )
    return kernels.compile(weigh_pixels, signature, contract=True, source=source(), prepare=prepare)


def convolution_weight(x: Array, y: Array, kernel: Sizes, settings: Any) -> Array | None:
    """``w``; None where it would not be finite, and others had better compute it."""
    stride, padding, dilation, groups = settings
    shape = y.shape[1], x.shape[1] // groups, *kernel
    if kernel == (1, 1) and direct.of_single_taps(settings):
        places, pixels = (np.ascontiguousarray(a).reshape(*a.shape[:2], -1) for a in (y, x))
        total = products.total(places, pixels.swapaxes(1, 2))
        if total is not None:
            return total.reshape(shape)
    if winograd.suits(len(x), shape, settings, math.prod(y.shape[2:]), winograd_weight.PAIRS):
        taken = winograd_weight.weigh(x, y, padding)
        if taken is not None:
            return taken
    down, across = axes(x.shape[2:], kernel, y.shape[2:], stride, padding, dilation)
    found = weigh(x, y, groups, down, across)
    return None if found is None else found.reshape(shape)
