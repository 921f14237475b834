"""Loops over the rows of images, which threads share, written in LLVM's own vectors.

Each is an entry for a `machine.Crew`: its table says where the arrays are, and their sizes, and it
takes rows from ``start`` to ``stop``.  `run` deals them out; what a row becomes is the same whoever
takes it.

- `totals`: the sum of each row; the bias's gradient reads the whole gradient for it.
- `biased`: a number added to each row.
- `halved` and `doubled`: sums of two by two pixels, and what each of these is given back.
- `woven`: images put together from every other pixel of every other row.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from . import assembly, kernels, machine
from .assembly import Writer

__all__ = ["biased", "doubled", "halved", "run", "table", "totals", "woven"]

Array = np.ndarray[Any, Any]
Row = Callable[[str], None]  # what happens to a row of that number
Loop = Callable[[str, int], int | None]

SHARED = 1 << 15  # elements; fewer are done before another thread has begun


def run(loop: Loop, arrays: Sequence[Array], numbers: Sequence[int], rows: int) -> bool:
    """Let threads take all rows; whether there is such a loop on this machine.

    The arrays are contiguous, and of one type.
    """
    dtype, crew = kernels.name_of(arrays[0].dtype), kernels.crew()
    lanes = assembly.lanes(dtype)
    entry = loop(dtype, lanes) if lanes and crew is not None else None
    if entry is None or crew is None:
        return False
    count = kernels.threads() if max(a.size for a in arrays) >= SHARED else 1
    crew.run(entry, table(arrays, numbers), rows, -(-rows // (4 * count)), count)
    return True


def table(arrays: Sequence[Array], numbers: Sequence[int]) -> bytes:
    """What an entry reads."""
    words = [*map(machine.place_of, arrays), *numbers]
    return struct.pack(f"{len(words)}q", *words)


def _entry(
    name: str, dtype: str, lanes: int, arrays: int, numbers: int, write: Callable[..., Row]
) -> int | None:
    """A loop over rows; ``write`` is given the table's words and says what happens to a row."""

    def text() -> str:
        w = Writer(dtype, lanes)

        def body() -> None:
            w.loop("%start", "%stop", 1, write(w, *w.table(arrays, numbers)))

        w.define(f"i32 @entry({machine.PARAMETERS})", body, "i32 0")
        return w.text()

    return kernels.written(name, (dtype, lanes), text, (__file__,))


# ---------------------------------------------------------------- sums


@cache
def totals(dtype: str, lanes: int) -> int | None:
    """The sum of each row, which has four vectors at least: rows, sums; the size of a row."""

    def write(w: Writer, source: str, result: str, size: str) -> Row:
        wide = 4 * lanes
        whole = w.mul(w.let(f"sdiv i64 {size}, {wide}"), wide)

        def row(r: str) -> None:
            first = w.at(source, w.mul(r, size))

            def vectors(j: str, *sums: str) -> list[str]:
                seen = w.loads(w.at(first, j), 4)
                return [w.plus(total, value) for total, value in zip(sums, seen, strict=True)]

            a, b, c, d = w.loop(0, whole, wide, vectors, [(w.vector, "zeroinitializer")] * 4)

            def rest(j: str, total: str) -> list[str]:
                return [w.plus(total, w.load_masked(w.at(first, j), w.lanes_below(j, size)))]

            both = w.plus(w.plus(a, b), w.plus(c, d))
            (total,) = w.loop(whole, size, lanes, rest, [(w.vector, both)])
            w.do(f"store {w.number} {w.total(total)}, ptr {w.at(result, r)}")

        return row

    return _entry("totals", dtype, lanes, 2, 1, write)


@cache
def biased(dtype: str, lanes: int) -> int | None:
    """To every row its number is added: rows, numbers; the size of a row, how many numbers.

    A row has a vector at least; the numbers begin again when all were taken.
    """

    def write(w: Writer, out: str, bias: str, size: str, count: str) -> Row:
        edge = w.sub(size, lanes)

        def row(r: str) -> None:
            line = w.at(out, w.mul(r, size))
            more = w.splat(w.at(bias, w.let(f"srem i64 {r}, {count}")))
            last = w.load(w.at(line, edge))  # overlaps the one before, which is written first

            def add(j: str) -> None:
                place = w.at(line, j)
                w.store(w.plus(w.load(place), more), place)

            w.loop(0, edge, lanes, add)
            w.store(w.plus(last, more), w.at(line, edge))

        return row

    return _entry("biased", dtype, lanes, 2, 2, write)


# ---------------------------------------------------------------- every other pixel


@cache
def halved(dtype: str, lanes: int) -> int | None:
    """Sums of two by two pixels, times a factor, by rows of the result.

    Images, results, the factor; both sizes of an image and both of a result, which are half.
    """

    def write(
        w: Writer, source: str, result: str, by: str, down: str, across: str, high: str, wide: str
    ) -> Row:
        factor = w.splat(by)

        def row(r: str) -> None:
            plane = w.let(f"sdiv i64 {r}, {high}")
            y = w.add(w.mul(plane, down), w.mul(w.sub(r, w.mul(plane, high)), 2))
            above = w.at(source, w.mul(y, across))
            below, to = w.at(above, across), w.at(result, w.mul(r, wide))

            def squares(j: str) -> None:
                parts = []
                for v in range(2):
                    x = w.add(w.mul(j, 2), v * lanes)
                    mask = w.lanes_below(x, across)
                    seen = (w.load_masked(w.at(line, x), mask) for line in (above, below))
                    parts.append(w.plus(*seen))
                a, b = parts
                even, odd = (w.shuffle(a, b, [2 * k + s for k in range(lanes)]) for s in (0, 1))
                value = w.times(w.plus(even, odd), factor)
                w.store_masked(value, w.at(to, j), w.lanes_below(j, wide))

            w.loop(0, wide, lanes, squares)

        return row

    return _entry("halved", dtype, lanes, 3, 4, write)


@cache
def doubled(dtype: str, lanes: int) -> int | None:
    """Each pixel times a factor, in the four places of its square; the table is that of `halved`.

    It takes rows of the images; an odd last row or column is zero.
    """

    def write(
        w: Writer, images: str, halves: str, by: str, down: str, across: str, high: str, wide: str
    ) -> Row:
        factor = w.splat(by)

        def row(r: str) -> None:
            plane = w.let(f"sdiv i64 {r}, {down}")
            y = w.let(f"lshr i64 {w.sub(r, w.mul(plane, down))}, 1")
            there = w.let(f"icmp slt i64 {y}, {high}")
            seen = w.select(there, f"i64 {wide}", "i64 0")
            line = w.at(halves, w.mul(w.add(w.mul(plane, high), y), wide))
            to = w.at(images, w.mul(r, across))

            def squares(x: str) -> None:
                j = w.let(f"lshr i64 {x}, 1")
                value = w.load_masked(w.at(line, j), w.lanes_below(j, seen))
                value = w.times(value, factor)
                _store_twice(w, value, value, to, x, across)

            w.loop(0, across, 2 * lanes, squares)

        return row

    return _entry("doubled", dtype, lanes, 3, 4, write)


@cache
def woven(dtype: str, lanes: int) -> int | None:
    """Four images to one, every other pixel of every other row from another, by rows of the result.

    The four of each plane, one after the other, and the result; both sizes of these and of it.
    """

    def write(
        w: Writer, source: str, result: str, high: str, wide: str, down: str, across: str
    ) -> Row:
        area = w.mul(high, wide)

        def row(r: str) -> None:
            plane = w.let(f"sdiv i64 {r}, {down}")
            y = w.sub(r, w.mul(plane, down))
            half = w.let(f"lshr i64 {y}, 1")
            pair = w.add(w.mul(plane, 4), w.mul(w.sub(y, w.mul(half, 2)), 2))
            even = w.at(source, w.add(w.mul(pair, area), w.mul(half, wide)))
            odd, to = w.at(even, area), w.at(result, w.mul(r, across))

            def pixels(j: str) -> None:
                mask = w.lanes_below(j, wide)
                a, b = (w.load_masked(w.at(line, j), mask) for line in (even, odd))
                _store_twice(w, a, b, to, w.mul(j, 2), across)

            w.loop(0, wide, lanes, pixels)

        return row

    return _entry("woven", dtype, lanes, 2, 4, write)


def _store_twice(w: Writer, even: str, odd: str, to: str, x: str, across: str) -> None:
    """Two vectors lane by lane in turn, from ``x`` on in a row that has ``across`` places."""
    for v, value in enumerate(w.interleaved(even, odd)):
        at = w.add(x, v * w.lanes)
        w.store_masked(value, w.at(to, at), w.lanes_below(at, across))
