"""The weight's gradient of 3 by 3 taps by fewer multiplications; see `winograd`.

It is the derivative of Winograd's formula by the transformed taps, turned back into taps:

    ∂W = Gᵀ [ Σ_squares (A ∂Y Aᵀ) ⊗ (Bᵀ d B) ] G

Here the transforms have channels in a vector's lanes: pixels are first laid out so that the
channels of each are neighbours.  Then what is added up over the squares of all images is 16 outer
products, filters by channels, on blocks of sums that stay in registers for a strip of squares.  A
thread has sums of its own and its own strips, so the same call gives the same bits.
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from . import assembly, kernels, machine, products, winograd
from .assembly import STEPS, Writer
from .winograd import G, differences

__all__ = ["weigh"]

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]

NEAR = 1 << 19  # bytes of transformed pixels and slopes that stay in the cache near a core
PAIRS = 1 << 11  # of a channel and a filter, from which the transforms are paid back
MOST = 128  # squares of a strip: so many of a panel of channels stay in the innermost cache

# From the 16 sums back to taps.  The last row is negative because the transform below is.
BACK = np.einsum("ai,bj->ijab", *(2 * [G * [[1], [1], [1], [-1]]])).reshape(9, 16)

POINTERS = ("image", "gradient", "sums", "scratch")
WORDS = (*POINTERS, "channels", "filters", "down", "across", "places_down", "places_across", "top",
         "left", "rows_of_squares", "squares", "images", "images_at_once", "rows_at_once", "bands",
         "strips", "grain", "size", "most", "wide_channels", "wide_filters", "sums_size",
         "panel")  # fmt: skip
TABLE = struct.Struct(f"{len(WORDS)}q")


class Strips(NamedTuple):
    """How the work is cut: a band of an image or several images whole, and a thread's memory."""

    images: int
    rows: int  # of squares
    bands: int
    number: int
    size: int  # elements of a thread's scratch memory


def weigh(x: Array, y: Array, padding: Sizes) -> Array | None:
    """Every element of ``y`` times what its window of 3 by 3 sees, added up over all places.

    None where a result would not be finite, or where there is no code for this machine.

    Shape: ``(N, C, H, W), (N, F, places, places) → (F, C, 3, 3)``
    """
    kind = x.dtype
    lanes = assembly.lanes(kernels.name_of(kind))
    crew = kernels.crew()
    entry = _entry(kernels.name_of(kind), lanes) if lanes and crew is not None else None
    if entry is None or crew is None:
        return None
    count, channels, down, across = x.shape
    filters, *places = y.shape[1:]
    rows_of_squares, squares = (-(-n // 2) for n in places)
    wide = [-(-n // lanes) * lanes for n in (channels, filters)]
    panel = lanes if wide[0] // lanes % 2 else 2 * lanes
    strips = _strips(
        count, rows_of_squares, squares, *wide, lanes, max(across, places[1]), kind.itemsize
    )
    grain = -(-strips.number // max(1, kernels.threads() // 2))
    groups = -(-strips.number // grain)
    sums = np.zeros((groups, 2, 8, wide[1] + lanes, wide[0]), kind)
    scratch = np.empty(2 * groups * strips.size, kind)
    arrays = (np.ascontiguousarray(x), np.ascontiguousarray(y), sums, scratch)
    table = TABLE.pack(
        *map(machine.place_of, arrays), channels, filters, down, across, *places,
        -padding[0], -padding[1], rows_of_squares, squares, count, strips.images, strips.rows,
        strips.bands, strips.number, grain, strips.size, strips.images * strips.rows * squares,
        *wide, sums[0, 0].size, panel,
    )  # fmt: skip
    crew.run(entry, table, 2 * groups, 1, kernels.threads())
    total = sums[0] if groups == 1 else np.add.reduce(sums, axis=0)
    total = total.reshape(16, *sums.shape[3:])[:, :filters, :channels].reshape(16, -1)
    with np.errstate(all="ignore"):
        taps = products.dot(BACK.astype(kind), total)
    if not np.isfinite(taps).all():
        return None
    return np.ascontiguousarray(taps.reshape(9, filters, channels).transpose(1, 2, 0)).reshape(
        filters, channels, 3, 3
    )


@lru_cache(maxsize=256)
def _strips(
    count: int, rows_of_squares: int, squares: int, channels: int, filters: int, lanes: int,
    width: int, size: int,
) -> Strips:  # fmt: skip
    wanted = min(MOST, max(NEAR // (8 * (channels + filters) * size), lanes))
    images = max(1, min(wanted // (rows_of_squares * squares), count))
    rows = rows_of_squares if images > 1 else max(1, min(wanted // squares, rows_of_squares))
    bands = -(-rows_of_squares // rows)
    rows = -(-rows_of_squares // bands)
    laid = (2 * rows + 2) * (2 * squares + 2) * lanes + lanes * lanes
    most = images * rows * squares
    needed = width + laid + 8 * (most * (channels + filters) + 2 * lanes) + lanes
    return Strips(images, rows, bands, -(-count // images) * bands, -(-needed // lanes) * lanes)


# ---------------------------------------------------------------- the kernel


@cache
def _entry(dtype: str, lanes: int) -> int | None:
    sources = __file__, winograd.__file__
    return kernels.written("winograd_weight", (dtype, lanes), lambda: _text(dtype, lanes), sources)


def _tiles(w: Writer) -> dict[int, int]:
    """Blocks of sums: for so many vectors of channels, how many filters of a vector of them."""
    registers = 8 if w.lanes * w.size == 32 else 16
    return {vectors: min(w.lanes, registers // vectors) for vectors in (1, 2)}


def _text(dtype: str, lanes: int) -> str:
    w = Writer(dtype, lanes)
    for vectors, rows in _tiles(w).items():
        _sums(w, rows, vectors)
    _lay(w)
    _squares(w, "pixels", 4, differences)
    _squares(w, "slopes", 2, lambda w, a, b: [a, w.plus(a, b), w.minus(a, b), b])
    w.define(f"i32 @entry({machine.PARAMETERS})", lambda: _Entry(w), "i32 0")
    return w.text()


def _lay(w: Writer) -> None:
    """Rows of an image, or of what is beside it, with channels as neighbours, a vector of them.

    Where there are fewer channels, the last one is read again.
    """
    n = w.lanes

    def body() -> None:
        def row(i: str, to: str) -> list[str]:
            y = w.add("%y", i)
            inside = w.let(f"icmp ult i64 {y}, %down")  # a row above is a large number
            there = w.at("%source", w.mul(y, "%across"))
            there = w.select(inside, f"ptr {there}", "ptr %nothing")
            plane = w.select(inside, "i64 %plane", "i64 0")
            steps = [w.mul(w.smaller(k, "%last"), plane) for k in range(n)]

            def square(j: str) -> None:
                x = w.add("%x", j)
                mask = w.lanes_below(x, "%across")
                first = w.at(there, x)
                rows = [w.load_masked(w.at(first, step), mask) for step in steps]
                for k, value in enumerate(w.turned(rows)):
                    w.store(value, w.at(to, w.mul(w.add(j, k), n)))

            w.loop(0, "%wide", n, square)
            return [w.at(to, w.mul("%wide", n))]

        w.loop(0, "%high", 1, row, [("ptr", "%to")])

    head = (
        "ptr %source, i64 %plane, i64 %last, i64 %down, i64 %across, i64 %y, i64 %x, i64 %high, "
        "i64 %wide, ptr %to, ptr %nothing"
    )
    w.define(f"internal void @lay({head}) noinline", body)


def _squares(w: Writer, name: str, size: int, transform: Any) -> None:
    """Functions that transform squares of so many pixels a side, which begin at every other.

    Each computes two rows of the transform.
    """

    def body(half: int) -> None:
        def row(i: str) -> None:
            first = w.at("%laid", w.mul(w.mul(i, "%wide"), 2 * w.lanes))
            place = w.at("%to", w.mul(w.mul(i, "%squares"), "%pitch"))

            def square(t: str) -> None:
                at = w.at(first, w.mul(t, 2 * w.lanes))
                step = w.mul("%wide", w.lanes)
                lines = [w.at(at, w.mul(step, i)) for i in range(size)]
                seen = [w.loads(line, size) for line in lines]
                columns = [transform(w, *column) for column in zip(*seen, strict=True)]
                to = w.at(place, w.mul(t, "%pitch"))
                for i in range(2):
                    values = transform(w, *(column[2 * half + i] for column in columns))
                    for j, value in enumerate(values):
                        w.store(value, w.at(to, w.mul("%apart", 4 * i + j)))

            w.loop(0, "%squares", 1, square)

        w.loop(0, "%rows", 1, row)

    head = "ptr %laid, i64 %wide, i64 %rows, i64 %squares, ptr %to, i64 %pitch, i64 %apart"
    for half in range(2):
        w.define(f"internal void @{name}_{half}({head}) noinline", partial(body, half))


def _sums(w: Writer, rows: int, vectors: int) -> None:
    """A block of sums: of filters, by vectors of channels; squares are added up."""

    def body() -> None:
        places = [w.at("%sums", w.mul("%sums_row", f)) for f in range(rows)]
        places = [w.at(p, v * w.lanes) for p in places for v in range(vectors)]

        wide = vectors * w.lanes

        def turn(steps: int, _: str, slopes: str, pixels: str, *sums: str) -> list[str]:
            for u in range(steps):
                factors = [w.at(slopes, u * w.lanes + f) for f in range(rows)]
                sums = tuple(w.outer(sums, factors, w.loads(w.at(pixels, u * wide), vectors)))
            return [w.at(slopes, steps * w.lanes), w.at(pixels, steps * wide), *sums]

        first = [("ptr", "%slopes"), ("ptr", "%pixels")]
        carried = [(w.vector, w.load(place)) for place in places]
        made = w.turns(0, "%count", STEPS, turn, [*first, *carried])[2:]
        for value, place in zip(made, places, strict=True):
            w.store(value, place)

    head = "ptr %slopes, ptr %pixels, i64 %count, ptr %sums, i64 %sums_row"
    w.define(f"internal void @sums_{vectors}({head}) noinline", body)


class Side(NamedTuple):
    """One of the two that are transformed: where it is, where that goes, and how it is seen."""

    name: str  # of the functions that transform it
    source: str
    to: str
    channels: str
    apart: str  # from a part of the transform to the next
    panel: str  # channels that are neighbours
    down: str
    across: str
    top: str  # of the first square, from the first pixel
    left: str
    margin: int  # by which squares overlap


class _Entry:
    """A thread's share: its strips, one after the other."""

    def __init__(self, w: Writer):
        self.w = w
        words = w.table(len(POINTERS), len(WORDS) - len(POINTERS))
        self.words = dict(zip(WORDS, words, strict=True))
        self.nothing = w.at(self.scratch, w.mul("%start", self.size))  # a row outside of an image
        width = w.larger(self.across, self.places_across)
        w.clear(self.nothing, width)
        of_pixels, apart = w.at(self.nothing, width), self._apart(self.wide_channels)
        of_slopes, apart_too = w.at(of_pixels, w.mul(apart, 8)), self._apart(self.wide_filters)
        self.laid = w.at(of_slopes, w.mul(apart_too, 8))
        self.pixels = Side("pixels", self.image, of_pixels, self.channels, apart, self.panel,
                           self.down, self.across, self.top, self.left, 2)  # fmt: skip
        self.slopes = Side("slopes", self.gradient, of_slopes, self.filters, apart_too,
                           str(w.lanes), self.places_down, self.places_across, "0", "0",
                           0)  # fmt: skip
        self.own = w.at(self.sums, w.mul("%start", self.sums_size))
        group = w.let("lshr i64 %start, 1")
        self.first_half = w.let(f"icmp eq i64 {w.mul(group, 2)}, %start")
        begin = w.mul(group, self.grain)
        end = w.smaller(w.add(begin, self.grain), self.strips)
        some = w.let(f"icmp slt i64 {begin}, {end}")
        w.when(some, lambda: w.loop(begin, end, 1, self._strip))

    def __getattr__(self, name: str) -> str:
        """A word of the table."""
        return self.words[name]

    def _apart(self, wide: str) -> str:
        """From a part of the transform to the next: another line of the innermost cache."""
        w = self.w
        return w.add(w.mul(self.most, wide), w.lanes)

    def _strip(self, strip: str) -> None:
        w = self.w
        group = w.let(f"sdiv i64 {strip}, {self.bands}")
        top = w.mul(w.sub(strip, w.mul(group, self.bands)), self.rows_at_once)
        rows = w.smaller(self.rows_at_once, w.sub(self.rows_of_squares, top))
        first = w.mul(group, self.images_at_once)
        images = w.smaller(self.images_at_once, w.sub(self.images, first))
        squares = w.mul(rows, self.squares)

        def image(i: str) -> None:
            for side in (self.pixels, self.slopes):
                self._transform(side, w.add(first, i), top, rows, w.mul(i, squares))

        w.loop(0, images, 1, image)
        count = w.mul(images, squares)
        w.loop(0, "8", 1, lambda e: self._product(e, count))

    def _transform(self, side: Side, m: str, top: str, rows: str, place: str) -> None:
        """The squares of an image, of all channels, a vector of these at a time."""
        w = self.w
        plane = w.mul(side.down, side.across)
        wide = w.add(w.mul(self.squares, 2), side.margin)
        high = w.add(w.mul(rows, 2), side.margin)
        y = w.add(w.mul(top, 2), side.top)
        first = w.at(side.source, w.mul(w.mul(m, side.channels), plane))
        to = w.at(side.to, w.mul(place, side.panel))

        def lay(c: str) -> None:
            last = w.sub(w.sub(side.channels, c), 1)
            within = w.let(f"srem i64 {c}, {side.panel}")
            there = w.at(to, w.add(w.mul(w.sub(c, within), self.most), within))
            w.do(
                f"call void @lay(ptr {w.at(first, w.mul(c, plane))}, i64 {plane}, i64 {last}, "
                f"i64 {side.down}, i64 {side.across}, i64 {y}, i64 {side.left}, i64 {high}, "
                f"i64 {wide}, ptr {self.laid}, ptr {self.nothing})"
            )
            arguments = (
                f"(ptr {self.laid}, i64 {wide}, i64 {rows}, i64 {self.squares}, "
                f"ptr {there}, i64 {side.panel}, i64 {side.apart})"
            )
            calls = [partial(w.do, f"call void @{side.name}_{h}{arguments}") for h in range(2)]
            w.when(self.first_half, *calls)

        w.loop(0, side.channels, w.lanes, lay)

    def _product(self, e: str, count: str) -> None:
        """One of the outer products."""
        w = self.w
        pixels, slopes = (w.at(s.to, w.mul(e, s.apart)) for s in (self.pixels, self.slopes))
        rows = w.add(self.wide_filters, w.lanes)
        sums = w.at(self.own, w.mul(w.mul(e, rows), self.wide_channels))

        def columns(vectors: int, c: str) -> None:
            panel = w.at(pixels, w.mul(c, self.most))

            def filters(f: str) -> None:
                within = w.let(f"srem i64 {f}, {w.lanes}")
                there = w.at(slopes, w.add(w.mul(w.sub(f, within), self.most), within))
                place = w.at(w.at(sums, w.mul(f, self.wide_channels)), c)
                w.do(
                    f"call void @sums_{vectors}(ptr {there}, ptr {panel}, i64 {count}, "
                    f"ptr {place}, i64 {self.wide_channels})"
                )

            w.loop(0, self.filters, _tiles(w)[vectors], filters)

        def panels(vectors: int) -> None:
            w.loop(0, self.wide_channels, vectors * w.lanes, partial(columns, vectors))

        single = w.let(f"icmp eq i64 {self.panel}, {w.lanes}")
        w.when(single, partial(panels, 1), partial(panels, 2))
