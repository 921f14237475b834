"""Convolutions of 3 by 3 taps with fewer multiplications: Winograd's minimal filtering F(2·2, 3·3).

Four neighbouring results need 36 products of taps and pixels, or 16 of their transforms (Lavin and
Gray 2015, "Fast Algorithms for Convolutional Neural Networks"):

    Y = Aᵀ [ Σ_c (G g Gᵀ) ⊙ (Bᵀ d B) ] A

where d is a square of 4 by 4 pixels, g are the taps of a filter for a channel, and all entries of
B and A are 0, 1 or −1.  What is added up over the channels is 16 products of matrices, filters by
channels times channels by squares, on blocks of sums that stay in registers.

The work is cut into strips: a few rows of squares, which may belong to several images, so that the
transformed pixels of a strip stay in the cache of a core, where every block of filters reads them.
A thread takes one strip after the other.  Of narrow images, a vector takes two rows at a time.

A pixel that is not finite spreads over its whole square.  So wherever a result is not finite, and
that is seen as it is written, there is none, and the caller computes in another way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import assembly, kernels, machine, products
from .assembly import STEPS, Walk, Writer

__all__ = ["correlate", "suits"]

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

NEAR = 1 << 19  # bytes of transformed pixels that stay in the cache near a core
MOST = 256  # squares of a strip; more gain nothing
TAKEN = 16  # channels, and filters, that fill a vector or two blocks of sums
PAIRS = 1 << 8  # of a channel and a filter, from which the transforms are paid back
WORTH = 1 << 18  # pairs times places, from which they are
DEEP = 512  # channels; with more, a strip is too short

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
TRANSFORM = np.einsum("ai,bj->abij", G, G).reshape(16, 9)

POINTERS = ("image", "weights", "bias", "result", "scratch")
WORDS = (*POINTERS, "channels", "filters", "down", "across", "places_down", "places_across", "top",
         "left", "rows_of_squares", "squares", "apart", "rows_at_once", "all_rows", "pitch", "size",
         "blocks")  # fmt: skip
TABLE = struct.Struct(f"{len(WORDS)}q")


class Strips(NamedTuple):
    """How the work is cut: rows of squares at a time, and the scratch memory of a thread."""

    apart: int  # squares from the beginning of a row to that of the next
    rows: int
    number: int
    pitch: int  # from one channel's transformed pixels to the next one's
    size: int  # elements of a thread's scratch memory


def suits(images: int, w: Sizes, settings: Any, places: int, pairs: int) -> bool:
    """Whether a convolution is one of 3 by 3 neighbouring taps, and large enough.

    Given are the number of images, the filters' shape, how many places each has in an image, and
    from how many pairs of a channel and a filter the transforms are paid back.
    """
    stride, _, dilation, groups = settings
    filters, channels, *taps = w
    return (
        taps == [3, 3]
        and stride == dilation == (1, 1)
        and groups == 1
        and TAKEN <= channels <= DEEP
        and filters >= TAKEN
        and filters * channels >= pairs
        and images * filters * channels * places >= WORTH
    )


def correlate(
    x: Array, w: Array, bias: Array | None, places: Sizes, padding: Sizes
) -> Array | None:
    """Filters of 3 by 3 taps slid over images.

    None where a result would not be finite, or where there is no code for this machine.

    Shape: ``(N, C, H, W), (F, C, 3, 3) → (N, F, *places)``
    """
    dtype, kind = kernels.name_of(x.dtype), x.dtype
    lanes, crew = assembly.lanes(dtype), kernels.crew()
    entry = _entry(dtype, lanes) if lanes and crew is not None else None
    if entry is None or crew is None:
        return None
    count, channels, down, across = x.shape
    filters, rows_of_tile = len(w), _tile(lanes, kind.itemsize)[0]
    blocks = -(-filters // rows_of_tile)
    threads = kernels.threads()
    rows_of_squares, squares = -(-places[0] // 2), -(-places[1] // 2)
    all_rows = count * rows_of_squares
    strips = _strips(channels, squares, all_rows, lanes, kind.itemsize, across, threads)
    threads = min(threads, strips.number)

    taps = np.zeros((blocks, rows_of_tile, channels, 9), kind)
    taps.reshape(-1, channels, 9)[:filters] = w.reshape(filters, channels, 9)
    taps = taps.transpose(3, 0, 2, 1).reshape(9, blocks * channels * rows_of_tile)
    weights = products.dot(TRANSFORM.astype(kind), taps)  # (16, blocks · C · rows)
    biases = np.zeros(blocks * rows_of_tile, kind)
    if bias is not None:
        biases[:filters] = bias.reshape(filters)
    image = np.ascontiguousarray(x)
    out = np.empty((count, filters, *places), kind)
    scratch = np.empty(threads * strips.size, kind)
    heads = scratch.reshape(threads, strips.size)[:, : lanes + across]
    heads[...] = 0  # what was not finite, and a row outside of the image
    arrays = (image, weights, biases, out, scratch)
    table = TABLE.pack(
        *map(machine.place_of, arrays), channels, filters, down, across, *places,
        -padding[0], -padding[1], rows_of_squares, squares, strips.apart, strips.rows, all_rows,
        strips.pitch, strips.size, blocks,
    )  # fmt: skip
    crew.run(entry, table, strips.number, 1, threads)
    return None if heads.any() else out  # zeros, unless something was not finite


@lru_cache(maxsize=256)
def _strips(
    channels: int, squares: int, all_rows: int, lanes: int, size: int, across: int, threads: int
) -> Strips:
    apart = lanes // 2 if lanes < 4 * squares <= 2 * lanes else squares
    wanted = min(MOST, max(NEAR // (16 * channels * size), lanes))
    rows = max(1, min(wanted // apart, -(-all_rows // (2 * threads))))
    rows += rows % 2 if apart > squares else 0
    count = -(-all_rows // rows)
    vectors = -(-rows * apart // lanes)
    pitch = (vectors + 1) * lanes
    needed = lanes + across + 16 * (pitch * (channels + _tile(lanes, size)[0]) + 2 * lanes)
    return Strips(apart, rows, count, pitch, -(-needed // lanes) * lanes)


def _tile(lanes: int, size: int) -> tuple[int, int]:
    """A block of sums: filters, by vectors of squares."""
    return (4, 3) if lanes * size == 32 else (8, 3)


# ---------------------------------------------------------------- the kernel


@cache
def _entry(dtype: str, lanes: int) -> int | None:
    return kernels.written("winograd", (dtype, lanes), lambda: _text(dtype, lanes), (__file__,))


def _text(dtype: str, lanes: int) -> str:
    w = Writer(dtype, lanes)
    rows, vectors = _tile(lanes, w.size)
    for v in range(1, vectors + 1):
        _sums(w, rows, v)
    head = f"i32 @entry({machine.PARAMETERS})"
    w.define(head, lambda: _Entry(w, rows, vectors), "i32 0")
    return w.text()


def differences(w: Writer, d0: str, d1: str, d2: str, d3: str) -> list[str]:
    """Bᵀ d."""
    return [w.minus(d0, d2), w.plus(d1, d2), w.minus(d2, d1), w.minus(d1, d3)]


def _sums(w: Writer, rows: int, vectors: int) -> None:
    """A block of sums over all channels: of filters, by vectors of squares."""

    def body() -> None:
        def turn(steps: int, _: str, weights: str, there: str, *sums: str) -> list[str]:
            pixels = Walk(w, there, "%pitch")
            for u in range(steps):
                factors = [w.at(weights, u * rows + f) for f in range(rows)]
                sums = tuple(w.outer(sums, factors, w.loads(pixels.at("%pixels"), vectors)))
                pixels.go_on()
            return [w.at(weights, steps * rows), pixels.end(), *sums]

        zeros = [(w.vector, "zeroinitializer")] * (rows * vectors)
        first = [("ptr", "%weights"), ("i64", "0")]
        made = w.turns(0, "%channels", STEPS, turn, [*first, *zeros])[2:]
        for f in range(rows):
            place = w.at("%result", w.mul("%pitch", f))
            for v in range(vectors):
                w.store(made[f * vectors + v], w.at(place, v * w.lanes))

    head = "ptr %weights, ptr %pixels, i64 %channels, i64 %pitch, ptr %result"
    w.define(f"internal void @sums_{vectors}({head}) noinline", body)


class Half(NamedTuple):
    """Where half a vector of squares begins: its image, row and column, and whether it is there."""

    image: str
    r: str
    x: str
    exists: str


class _Entry:
    """Strips, with a thread's own scratch memory."""

    def __init__(self, w: Writer, rows: int, vectors: int):
        self.w, self.rows, self.vectors = w, rows, vectors
        words = w.table(len(POINTERS), len(WORDS) - len(POINTERS))
        self.words = dict(zip(WORDS, words, strict=True))
        self.unusual = w.at(self.scratch, w.mul("%member", self.size))
        self.nothing = w.at(self.unusual, w.lanes)  # a row outside of the image
        self.pixels = w.at(self.nothing, self.across)
        # Parts of a transform begin in different lines of the innermost cache.
        self.of_channels = w.add(w.mul(self.channels, self.pitch), w.lanes)
        self.sums = w.at(self.pixels, w.mul(self.of_channels, 16))
        w.loop("%start", "%stop", 1, self._strip)

    def __getattr__(self, name: str) -> str:
        """A word of the table."""
        return self.words[name]

    def _strip(self, strip: str) -> None:
        w = self.w
        first = w.mul(strip, self.rows_at_once)
        count = w.smaller(self.rows_at_once, w.sub(self.all_rows, first))
        used = w.mul(count, self.apart)
        self.here = w.let(f"sdiv i64 {w.add(used, w.lanes - 1)}, {w.lanes}")
        self._clear_last(w.mul(w.sub(self.here, 1), w.lanes))
        self._rows(first, count, self._transform)
        w.loop(0, self.blocks, 1, lambda b: self._block(b, first, count))

    def _clear_last(self, at: str) -> None:
        """Zeros in the last vector of every channel, some lanes of which nothing else fills.

        What memory holds by chance may be numbers below the normal ones, each product of which
        takes the processor a hundred times as long.
        """
        w = self.w

        def part(e: str) -> None:
            first = w.at(w.at(self.pixels, w.mul(e, self.of_channels)), at)

            def channel(_: str, place: str) -> list[str]:
                w.store("zeroinitializer", place)
                return [w.at(place, self.pitch)]

            w.loop(0, self.channels, 1, channel, [("ptr", first)])

        w.loop(0, "16", 1, part)

    def _rows(self, first: str, count: str, each: Callable[..., None]) -> None:
        """Take rows of squares, so many squares at a time as a vector has lanes."""
        w = self.w

        def place_of(g: str) -> tuple[str, str]:
            row = w.add(first, g)
            image = w.let(f"sdiv i64 {row}, {self.rows_of_squares}")
            return image, w.mul(w.sub(row, w.mul(image, self.rows_of_squares)), 2)

        def single(g: str) -> None:
            image, r = place_of(g)
            begin = w.mul(g, self.apart)

            def squares(t: str) -> None:
                x = w.mul(t, 2)
                halves = [Half(image, r, w.add(x, i * w.lanes), "true") for i in range(2)]
                each(halves, w.add(begin, t))

            w.loop(0, self.squares, w.lanes, squares)

        def pair(g: str) -> None:
            following = w.add(g, 1)
            there = w.let(f"icmp slt i64 {following}, {count}")
            second = place_of(w.select(there, f"i64 {following}", f"i64 {g}"))
            each([Half(*place_of(g), "0", "true"), Half(*second, "0", there)], w.mul(g, self.apart))

        pairs = w.let(f"icmp sgt i64 {self.apart}, {self.squares}")
        w.when(pairs, lambda: w.loop(0, count, 2, pair), lambda: w.loop(0, count, 1, single))

    # ------------------------------------------------------------ pixels

    def _transform(self, halves: list[Half], place: str) -> None:
        """Bᵀ d B of a vector of squares, for every channel."""
        w, n = self.w, self.w.lanes
        plane = w.mul(self.down, self.across)
        alike = halves[0].r == halves[1].r  # the second half is further to the right
        sources: list[tuple[str, str]] = []
        steps, masks = [], []
        for half in halves:
            x = w.add(half.x, self.left)
            masks.append([w.lanes_below(w.add(x, o), self.across) for o in (0, 2)])
            if alike and sources:
                continue
            first = w.at(self.image, w.mul(w.mul(half.image, self.channels), plane))
            for i in range(4):
                y = w.add(w.add(half.r, self.top), i)
                inside = w.let(f"icmp ult i64 {y}, {self.down}")  # a row above is a large number
                inside = w.let(f"and i1 {inside}, {half.exists}")
                there = w.at(first, w.mul(y, self.across))
                there = w.select(inside, f"ptr {there}", f"ptr {self.nothing}")
                sources.append(("ptr", w.at(there, x)))
                steps.append(w.select(inside, f"i64 {plane}", "i64 0"))

        def channel(_: str, to: str, *rows: str) -> list[str]:
            others = [w.at(row, n) for row in rows] if alike else rows[4:]
            seen = []
            for k, o in enumerate((0, 2)):
                for mask, lines in zip(masks, (rows[:4], others), strict=True):
                    d = [w.load_masked(w.at(row, o), mask[k]) for row in lines]
                    seen.append(differences(w, *d))
            for i, (a, b, a2, b2) in enumerate(zip(*seen, strict=True)):
                even, odd = ([2 * k + s for k in range(n)] for s in (0, 1))
                columns = (w.shuffle(p, q, s) for p, q in ((a, b), (a2, b2)) for s in (even, odd))
                for j, value in enumerate(differences(w, *columns)):
                    w.store(value, w.at(to, w.mul(self.of_channels, 4 * i + j)))
            following = [w.at(row, step) for row, step in zip(rows, steps, strict=True)]
            return [w.at(to, self.pitch), *following]

        w.loop(0, self.channels, 1, channel, [("ptr", w.at(self.pixels, place)), *sources])

    # ------------------------------------------------------------ sums and results

    def _block(self, block: str, first: str, count: str) -> None:
        """Some filters: their 16 products of matrices, and what comes of these."""
        w = self.w
        of_block = w.mul(self.channels, self.rows)
        across = w.add(w.mul(self.pitch, self.rows), w.lanes)

        def product(e: str) -> None:
            begin = w.add(w.mul(e, self.blocks), block)
            begin = w.at(self.weights, w.mul(begin, of_block))
            pixels = w.at(self.pixels, w.mul(e, self.of_channels))
            sums = w.at(self.sums, w.mul(e, across))

            def squares(v: str) -> None:
                at = w.mul(v, w.lanes)
                head = (
                    f"(ptr {begin}, ptr {w.at(pixels, at)}, i64 {self.channels}, "
                    f"i64 {self.pitch}, ptr {w.at(sums, at)})"
                )
                self._widest(w.sub(self.here, v), head, self.vectors)

            w.loop(0, self.here, self.vectors, squares)

        w.loop(0, "16", 1, product)
        filter_ = w.mul(block, self.rows)
        wanted = w.smaller(self.rows, w.sub(self.filters, filter_))
        self.now = filter_, wanted, across
        self._rows(first, count, self._results)

    def _widest(self, left: str, arguments: str, vectors: int) -> None:
        w = self.w
        if vectors == 1:
            w.do(f"call void @sums_1{arguments}")
            return
        w.when(
            w.let(f"icmp sge i64 {left}, {vectors}"),
            lambda: w.do(f"call void @sums_{vectors}{arguments}"),
            lambda: self._widest(left, arguments, vectors - 1),
        )

    def _results(self, halves: list[Half], place: str) -> None:
        """Aᵀ m A of a vector of squares, for some filters."""
        w = self.w
        filter_, wanted, across = self.now
        plane = w.mul(self.places_down, self.places_across)
        places, masks = [], []
        for half in halves:
            row = w.add(w.mul(half.image, self.filters), filter_)
            row = w.add(w.mul(row, plane), w.mul(half.r, self.places_across))
            places.append(("ptr", w.at(self.result, w.add(row, half.x))))
            mask = w.lanes_below(half.x, self.places_across)
            below = w.let(f"icmp slt i64 {w.add(half.r, 1)}, {self.places_down}")
            below = w.let(f"and i1 {below}, {half.exists}")
            none = f"{w.truth} zeroinitializer"
            masks.append([w.select(c, f"{w.truth} {mask}", none) for c in (half.exists, below)])

        def filters(f: str, sums: str, unusual: str, *places: str) -> list[str]:
            bias = w.splat(w.at(self.bias, w.add(filter_, f)))
            rows: list[list[str]] = [[], []]
            for j in range(4):
                m = [w.load(w.at(sums, w.mul(across, 4 * i + j))) for i in range(4)]
                for row, value in zip(rows, self._ends(*m), strict=True):
                    row.append(value)
            for i, row in enumerate(rows):
                a, b = (w.plus(value, bias) for value in self._ends(*row))
                for to, mask, value in zip(places, masks, w.interleaved(a, b), strict=True):
                    w.store_masked(value, to if i == 0 else w.at(to, self.places_across), mask[i])
                    kept = w.select_lanes(mask[i], value)
                    unusual = w.fma(kept, "zeroinitializer", unusual)  # NaN for what is not finite
            return [w.at(sums, self.pitch), unusual, *(w.at(to, plane) for to in places)]

        first = [("ptr", w.at(self.sums, place)), (w.vector, w.load(self.unusual)), *places]
        _, unusual, *_ = w.loop(0, wanted, 1, filters, first)
        w.store(unusual, self.unusual)

    def _ends(self, m0: str, m1: str, m2: str, m3: str) -> list[str]:
        """Aᵀ m."""
        w = self.w
        both = w.plus(m1, m2)
        return [w.plus(m0, both), w.minus(w.minus(m1, m2), m3)]
