"""Convolutions without columns: the image itself is read at a table of offsets (implicit im2col).

An image is copied once into scratch memory with its padding.  There, the element that tap (c, i, j)
of the window sees is at a fixed distance from the window's place, so one table of distances says
everything about kernel size, dilation and channels.  With a stride the copy is dealt out into one
image for each remainder, so that neighbouring windows see neighbouring elements.

`slide` computes runs of pixels that go on from one row into the next: what stands over the padding
between is computed and not stored.  A part of the work is a band of rows of one image (and one
group of channels, which is an image of its own).

The input's gradient of a convolution with a stride is several sets of filters slid over one copy
of the gradient, a set for each remainder of places by the stride, and woven together at the end.
"""

from __future__ import annotations

import itertools
import math
from functools import cache, lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from . import image_rows, kernels, microkernels, products, winograd
from .assembly import lanes

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

SCRATCH = 1 << 17  # elements of scratch memory that stay in the cache near a core,
INNER = 1 << 11  # and in the innermost one, with what is read and written: of a single channel


class Tile(NamedTuple):
    """How many sums are kept in registers: rows by vectors of so many lanes.

    Vectors follow each other across the padding between rows, or are ``apart``: none is in two
    rows, where those are made of whole vectors.
    """

    lanes: int
    rows: int
    vectors: int
    apart: bool = False


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


Taps = tuple[tuple[int, ...], tuple[int, ...]]  # of the windows of some filters, down and across


class Layout(NamedTuple):
    """Where everything is in the scratch memory of a band, for the kernel."""

    tile: Tile
    bands: int
    taps: Array
    pixels: Array
    starts: Array
    runs: Array
    numbers: Array
    size: int


@lru_cache(maxsize=1024)
def tile_for(dtype: str, filters: int, down: Axis, across: Axis) -> Tile:
    """The block of sums that wastes least."""
    n = lanes(dtype)
    wide = n * np.dtype(dtype).itemsize
    if wide == 64:
        shapes = [(8, 3), (6, 4), (4, 6), (1, 12)]
    else:
        shapes = [(8, 3), (4, 6), (1, 12)] if wide == 16 else [(4, 3), (1, 8)]

    def cycles(tile: Tile) -> float:
        _, rows, vectors, apart = tile
        gap = 0 if apart else across.reach
        count = -(-down.places * (across.places + gap) // n)
        if -count % vectors * (vectors - 1) > count:
            count += -count % vectors
        return -(-filters // rows) * count / vectors * max(rows * vectors, rows + 2 * vectors)

    tiles = [Tile(n, *shape) for shape in shapes]
    if across.reach and across.places % n == 0:  # a place in memory for each of a few vectors
        tiles += [t._replace(apart=True) for t in tiles if t.vectors <= 4]
    return min(tiles, key=cycles)


@lru_cache(maxsize=256)
def layout(
    channels: int, down: Axis, across: Axis, sets: tuple[Taps, ...], tile: Tile, parts: int
) -> Layout:
    """The layout for images that are cut into at least ``parts`` bands each."""
    wide = across.places + across.reach
    phases = len(down.remainders) * len(across.remainders)
    most = SCRATCH if channels * tile.rows > 1 else INNER
    fitting = most // (channels * phases * wide) - down.reach
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
        for rows_seen, columns_seen in sets
        for c in range(channels) for i in rows_seen for j in columns_seen
    ]  # fmt: skip
    starts, runs, pixels, vectors = [0], [], [], []
    pitch = across.places if tile.apart else wide  # from row to row, of the pixels computed
    for rows_here in (rows, down.places - rows * (bands - 1)):
        count = -(-((rows_here - 1) * pitch + across.places) // tile.lanes)
        vectors.append(count)
        for v in range(count + tile.vectors):
            first = min(v, count - 1) * tile.lanes  # beyond the last one is what is not stored
            pixels.append(first + first // pitch * (wide - pitch))
            runs += _runs_of(v * tile.lanes, tile.lanes, pitch, across.places, rows_here)
            starts.append(len(runs))
    numbers = [
        *(channels, down.size, across.size, down.places, across.places, rows, bands),
        *(high, wide, down.stride, across.stride, down.offset, across.offset, *vectors),
        *(len(down.remainders), len(across.remainders)),
        channels * phases * plane + tile.lanes * tile.vectors,
        *down.remainders,
        *across.remainders,
        *itertools.accumulate((channels * len(i) * len(j) for i, j in sets), initial=0),
    ]
    each = [np.array(a, np.int64).reshape(-1) for a in (taps, pixels, starts, runs, numbers)]
    return Layout(tile, bands, each[0], each[1], each[2], each[3], each[4], numbers[17])


def _runs_of(first: int, n: int, wide: int, places: int, rows: int) -> list[tuple[int, int]]:
    """The lanes of a vector to store, as bits, with the distance from the band's first place.

    Each run is within one row of the result; lane 0 of the vector would be at the distance.  Rows
    that nothing separates are one.
    """
    if wide == places:
        wide, places, rows = wide * rows, places * rows, 1
    runs = []
    for row in range(first // wide, min((first + n - 1) // wide, rows - 1) + 1):
        low = max(row * wide - first, 0)
        high = min(row * wide + places - first, n)
        if low < high:
            runs.append((((1 << high) - 1) ^ ((1 << low) - 1), first - row * (wide - places)))
    return runs


# ---------------------------------------------------------------- the kernel


def packed(w: Array, rows: int, out: Array) -> None:
    """Weights ``(G, F, *taps)`` as the kernel reads them: ``(G, blocks, T, rows)``."""
    groups, filters, *taps = w.shape
    whole, rest = divmod(filters, rows)
    made = out.reshape(groups, -1, *taps, rows)
    last = range(3, w.ndim + 1)
    seen = w[:, : whole * rows].reshape(groups, whole, rows, *taps)
    made[:, :whole] = seen.transpose(0, 1, *last, 2)
    if rest:
        made[:, whole, ..., :rest] = w[:, whole * rows :].transpose(0, *[i - 1 for i in last], 1)
        made[:, whole, ..., rest:] = 0


def slide(
    x: Array,
    w: list[Array],
    bias: Array | None,
    down: Axis,
    across: Axis,
    sets: tuple[Taps, ...] = (),
) -> Array:
    """Filters slid over images; with ``sets`` several sets of filters, each with taps of its own.

    Shape: ``(N, G · C, H, W), (G, F, C, *taps) for each set → (N, G · F, sets, places, places)``
    """
    sets = sets or ((down.taps, across.taps),)
    groups, filters = w[0].shape[:2]
    dtype = kernels.name_of(x.dtype)
    channels = x.shape[1] // groups
    count = len(x) * groups
    tile = tile_for(dtype, filters, down, across)
    few = count < 2 * kernels.threads()
    parts = -(-4 * kernels.threads() // count) if few else 1
    where = layout(channels, down, across, sets, tile, parts)
    several = -(-filters // tile.rows) * tile.rows
    ends = list(itertools.accumulate(groups * several * (p.size // (groups * filters)) for p in w))
    weights = np.empty(ends[-1], x.dtype)
    for part, begin, end in zip(w, [0, *ends], ends, strict=False):
        packed(part, tile.rows, weights[begin:end])
    biases = np.zeros((groups, several), x.dtype)
    if bias is not None:
        biases[:, :filters] = bias.reshape(groups, filters)
    out = np.empty((len(x), groups * filters, len(sets), down.places, across.places), x.dtype)
    image, result = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    total = count * where.bands
    flops = filters * where.taps.size * down.places * across.places * count
    threads = 1 if flops < SERIAL else min(kernels.threads(), total)
    block, narrow = (
        microkernels.correlate(dtype, *tile[:2], tile.vectors - n, tile.apart, threads == 1)
        for n in (0, 1)
    )
    deal = microkernels.deal_rows(dtype, tile.lanes)
    given = (
        np.arange(total), np.empty(threads * where.size, x.dtype), image, weights,
        biases.reshape(-1), result, block, narrow, deal, tile.rows, tile.vectors, filters, groups,
        *where[2:7],
    )  # fmt: skip
    cut = (1, -where.size, *[0] * (len(given) - 2))
    grain = max(1, SHORT * total // flops) if threads > 1 else total
    kernels.launch(_slide(dtype), given, total, grain, cut, threads)
    return out


SERIAL = 1 << 19  # products that one thread computes sooner than another would start
SHORT = 1 << 17  # products that are worth asking for a part


@cache
def source() -> str:
    """What the kernels are made of."""
    return "".join(Path(str(m)).read_text("utf-8") for m in (microkernels.__file__, __file__))


@cache
def band_dealer() -> Any:
    """A function for kernels: ``(image, m, top, numbers, scratch, deal)``; see `deal_band`."""
    space = {**globals(), "call": microkernels.call()}
    return kernels.inner(FunctionType(deal_band.__code__, space))


call: Any = None


def deal_band(image, m, top, numbers, scratch, deal):
    """A band of the m-th image from a row of places on, with its padding, into scratch memory.

    Of each channel there is one image for each remainder; ``numbers`` are the layout's.
    """
    channels, size_down, size_across = numbers[0], numbers[1], numbers[2]
    high, wide, stride_down, stride_across = numbers[7], numbers[8], numbers[9], numbers[10]
    first_row, first_column = top * stride_down + numbers[11], numbers[12]
    phases_down, phases_across = numbers[15], numbers[16]
    at, size = np.int64(0), high * wide
    together = 2 if stride_across == phases_across == 2 else 1  # every other column, and the rest
    for c in range(channels):
        for p in range(phases_down):
            for q in range(0, phases_across, together):
                call(deal, (
                    image, (m * channels + c) * size_down * size_across, size_down, size_across,
                    first_row + numbers[18 + p], stride_down,
                    first_column + numbers[18 + phases_down + q], stride_across,
                    scratch, at, high, wide, size * (together - 1),
                ))  # fmt: skip
                at += size * together


@cache
def _slide(dtype: str) -> Any:
    several = lanes(dtype)
    call: Any = None
    deal_band: Any = None

    def prepare() -> None:
        nonlocal call, deal_band
        call, deal_band = microkernels.call(), band_dealer()

    def slide(
        items, scratch, image, weights, biases, result, block, narrow, deal, rows_of_tile, vectors,
        filters, groups, taps, pixels, starts, runs, numbers,
    ):  # fmt: skip
        places_down, places_across, rows, bands = numbers[3], numbers[4], numbers[5], numbers[6]
        whole, last = numbers[13], numbers[14]
        phases_down, phases_across, size = numbers[15], numbers[16], numbers[17]
        for i in range(size - several * vectors, size):
            scratch[i] = 0
        begins = numbers[18 + phases_down + phases_across :]  # of the taps of each set
        sets = begins.size - 1
        plane = places_down * places_across
        blocks = -(-filters // rows_of_tile)
        for item in items:
            m, band = item // bands, item % bands
            top = band * rows
            here = min(rows, places_down - top)
            deal_band(image, m, top, numbers, scratch, deal)
            first = 0 if here == rows else whole + vectors
            count = whole if here == rows else last
            group = m % groups * blocks
            # Blocks of a vector less let the last one end where the band does.
            narrower = -count % vectors
            if narrower * (vectors - 1) > count:
                narrower = 0
            v = 0
            while v < count:
                for n in range(sets):
                    seen = begins[n + 1] - begins[n]
                    base = (begins[n] * groups * blocks + group * seen) * rows_of_tile
                    for f in range(blocks):
                        place = ((m * filters + f * rows_of_tile) * sets + n) * plane
                        call(narrow if narrower else block, (
                            scratch, pixels, taps, begins[n], begins[n + 1],
                            weights, base + f * seen * rows_of_tile,
                            biases, (group + f) * rows_of_tile,
                            result, place + top * places_across, sets * plane,
                            filters - f * rows_of_tile, starts, first + v, runs,
                        ))  # fmt: skip
                v += vectors - 1 if narrower else vectors
                narrower -= 1 if narrower else 0

    given, ints = kernels.readonly(dtype), kernels.readonly("int64")
    signature = (
        f"void({ints}, {dtype}[::1], {given}, {given}, {given}, {dtype}[::1], int64, int64, int64, "
        f"int64, int64, int64, int64, {ints}, {ints}, {ints}, {ints}, {ints})"
    )
    return kernels.compile(slide, signature, contract=True, source=source(), prepare=prepare)


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
    found = _single_taps(x, w, bias, settings)
    if found is not None:
        return found
    if winograd.suits(len(x), w.shape, settings, math.prod(places), winograd.PAIRS):
        found = winograd.correlate(x, w, bias, places, padding)
        if found is not None:
            return found
    down, across = axes(x.shape[2:], w.shape[2:], places, stride, padding, dilation)
    return slide(x, [w.reshape(groups, len(w) // groups, *w.shape[1:])], bias, down, across)


def convolution_input(y: Array, w: Array, size: Sizes, settings: Any) -> Array:
    """``x``: filters for each remainder of places divided by the stride, slid over ``y``."""
    stride, padding, dilation, groups = settings
    filters, channels, *kernel = w.shape
    made = _single_taps(y, w.swapaxes(0, 1), None, settings)
    if made is not None:
        return made
    shape = channels, filters, *kernel
    if winograd.suits(len(y), shape, settings, math.prod(size), winograd.PAIRS):
        turned = w.swapaxes(0, 1)[:, :, ::-1, ::-1]
        found = winograd.correlate(y, turned, None, size, (2 - padding[0], 2 - padding[1]))
        if found is not None:
            return found
    wide = w.reshape(groups, filters // groups, channels, *kernel).swapaxes(1, 2)
    rows, columns = (
        _remainders(*facts)
        for facts in zip(size, kernel, stride, padding, dilation, y.shape[2:], strict=True)
    )
    if not rows.seen or not columns.seen:
        return np.zeros((len(y), groups * channels, *size), y.dtype)
    weights = [wide[:, :, :, i, j] for i in rows.seen for j in columns.seen]
    sets = tuple(itertools.product(rows.taps, columns.taps))
    made = slide(y, weights, None, rows.axis, columns.axis, sets)
    if stride == (1, 1):
        return made
    whole = len(sets) == math.prod(stride)
    out = (np.empty if whole else np.zeros)((len(y), groups * channels, *size), y.dtype)
    starts = np.array(list(itertools.product(rows.starts, columns.starts)), np.int64)
    _interleave(out, made, starts, stride)
    return out


def of_single_taps(settings: Any) -> bool:
    """Whether a tap of one by one sees each pixel once, and every channel."""
    return settings == ((1, 1), (0, 0), (1, 1), 1)  # type: ignore[no-any-return]


def _single_taps(x: Array, w: Array, bias: Array | None, settings: Any) -> Array | None:
    """A product of matrices for each image; None where that is not all, or not worth it."""
    if w.shape[2:] != (1, 1) or not of_single_taps(settings):
        return None
    flat = np.ascontiguousarray(x).reshape(*x.shape[:2], -1)
    found = products.each(np.broadcast_to(w[..., 0, 0], (len(x), *w.shape[:2])), flat)
    if found is None:
        return None
    step, out, links = found
    steps = [step]
    if bias is not None:
        added = products.plus_bias(out, np.ascontiguousarray(bias))
        if added is None:
            return None
        steps.append(added)
    products.chain(steps, links)
    return out.reshape(len(x), len(w), *x.shape[2:])


class Remainders(NamedTuple):
    """Along an axis: the elements of an image that leave each remainder, and what sees them."""

    axis: Axis  # of a convolution of the places, for all of them
    starts: list[int]  # the first element
    seen: list[slice]  # the taps of the window that see such elements
    taps: list[tuple[int, ...]]  # where these are, as distances from the axis' first tap


def _remainders(
    size: int, kernel: int, stride: int, padding: int, dilation: int, places: int
) -> Remainders:
    """Those that are seen by any tap, by places counted with the padding."""
    found = []
    for start in range(min(stride, size)):
        r = (start + padding) % stride
        seen = [k for k in range(kernel) if k * dilation % stride == r]
        # the element start + i · stride is seen by tap k from the place i + back
        back = [(start + padding - k * dilation) // stride for k in seen]
        if seen:
            found.append((start, seen, back))
    first = min((b for _, _, back in found for b in back), default=0)
    taps = [tuple(b - first for b in back) for _, _, back in found]
    union = tuple(sorted({t for each in taps for t in each}))
    axis = Axis(places, -(-size // stride), 1, first, union)
    step = stride // math.gcd(stride, dilation)
    slices = [slice(seen[0], None, step) for _, seen, _ in found]
    return Remainders(axis, [start for start, _, _ in found], slices, taps)


def _interleave(out: Array, made: Array, starts: Array, stride: Sizes) -> None:
    """``out[n, c, i::stride, j::stride] = made[n, c, k]`` where ``(i, j)`` is the k-th start."""
    if out.size < WORTH_COMPILING:
        for k, (i, j) in enumerate(starts):
            seen = out[:, :, i :: stride[0], j :: stride[1]]
            seen[...] = made[:, :, k, : seen.shape[2], : seen.shape[3]]
        return
    planes = out.shape[0] * out.shape[1]
    sizes = *made.shape[3:], *out.shape[2:]
    if (
        stride == (2, 2)
        and len(starts) == 4
        and image_rows.run(image_rows.woven, (made, out), sizes, planes * out.shape[2])
    ):
        return
    flat, into = (a.reshape(planes, *a.shape[2:]) for a in (made, out))
    grain = max(1, WORTH_COMPILING * planes // out.size)
    arguments = (flat, into, starts, *stride)
    kernels.launch(_weave(kernels.name_of(out.dtype)), arguments, planes, grain, (1, 1, 0, 0, 0))


WORTH_COMPILING = 1 << 16  # elements


def weave(made, out, starts, down, across):
    """Put rows and columns where they belong."""
    for p in range(len(out)):
        for k in range(len(starts)):
            top, left = starts[k]
            for i in range(-(-(out.shape[1] - top) // down)):
                for j in range(-(-(out.shape[2] - left) // across)):
                    out[p, top + i * down, left + j * across] = made[p, k, i, j]


@cache
def _weave(dtype: str) -> Any:
    given, ints = kernels.readonly(dtype, 4), kernels.readonly("int64", 2)
    return kernels.compile(weave, f"void({given}, {dtype}[:, :, ::1], {ints}, int64, int64)")
