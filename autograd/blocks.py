"""Tiles of a product of matrices: blocks of sums that stay in registers, in LLVM's language.

A tile is a few rows of the left factor by some vectors of columns of the right one.  `write_tile`
writes the loop over the terms, as `tiles` and others want it: how far apart its elements are may
be known or not.  `blocks` are such functions for anyone to call, where the factor on the left has
rows that are contiguous and the other one is laid out in panels as wide as the tile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from . import assembly, kernels
from .assembly import STEPS, Walk, Writer

__all__ = ["HEIGHTS", "Pace", "blocks", "vectors_of", "write_tile", "write_turn"]

HEIGHTS = 6, 4, 2  # rows of a tile


def vectors_of(width: int) -> int:
    """How many vectors of so many bytes a panel is wide: as the registers allow for."""
    return 2 if width == 32 else 4


@cache
def blocks(dtype: str) -> tuple[int, ...]:
    """Where functions are that compute one tile of a left factor whose rows are contiguous.

    Of the largest height by one vector, two, and so on up to a panel; of the other heights by a
    panel.  For what they are given see `write_tile`.  Empty where there are none.
    """
    lanes = assembly.lanes(dtype)
    if not lanes:
        return ()
    size = np.dtype(dtype).itemsize
    vectors = vectors_of(lanes * size)
    shapes = [(HEIGHTS[0], v) for v in range(1, vectors + 1)]
    shapes += [(rows, vectors) for rows in HEIGHTS[1:]]

    def text() -> str:
        w = Writer(dtype, lanes)
        for rows, several in shapes:
            write_tile(w, "block", rows, several, Pace(1, several * lanes, STEPS), "")
        return w.text()

    names = [f"block_{rows}_{several}" for rows, several in shapes]
    return tuple(kernels.functions("blocks", (dtype, lanes), text, (__file__,), names) or ())


class Pace(NamedTuple):
    """How far a step goes on in the left factor, and in the right one; steps in one turn."""

    a: str | int = "%a_k"
    b: str | int = "%b_row"
    steps: int = 1


def write_tile(
    w: Writer, name: str, rows: int, vectors: int, pace: Pace, linkage: str = "internal"
) -> None:
    """A block of sums, plus others and a vector; rows beyond the last one are that again.

    It is given where both factors are and how far apart their elements; how many rows are
    ``left``; the other sums, the vector, and the result.  Only ``wanted`` columns are read and
    written.
    """

    def body() -> None:
        inside = [w.let(f"icmp slt i64 {r}, %left") for r in range(1, rows)]

        def places(first: str, step: str) -> list[str]:
            out = [first]
            for fits in inside:
                out.append(w.at(out[-1], w.select(fits, f"i64 {step}", "i64 0")))
            return out

        left = places("%a", "%a_row")

        def turn(steps: int, _: str, along: str, down: str, *sums: str) -> list[str]:
            a, b = Walk(w, along, pace.a), Walk(w, down, pace.b)
            ahead = Walk(w, w.add(a.index, "%ahead"), pace.a)
            for u in range(steps):
                right = w.loads(b.at("%b"), vectors)
                w.prefetch(ahead.at(left[u % rows]), written=False)
                sums = tuple(w.outer(sums, [a.at(row) for row in left], right))
                for walk in (a, b, ahead):
                    walk.go_on()
            return [a.end(), b.end(), *sums]

        zeros = [(w.vector, "zeroinitializer")] * (rows * vectors)
        made = w.turns(0, "%k", pace.steps, turn, [("i64", "0")] * 2 + zeros)[2:]
        sources, results = places("%sums", "%sums_row"), places("%c", "%c_row")

        def finish(load: Callable[[str, int], str], store: Callable[[str, str, int], None]) -> None:
            more = [load(w.at("%bias", v * w.lanes), v) for v in range(vectors)]
            ends = []
            for i, value in enumerate(made):  # all are read before any is written
                r, v = divmod(i, vectors)
                there = load(w.at(sources[r], v * w.lanes), v)
                ends.append(w.plus(w.plus(value, there), more[v]))
            for i, end in enumerate(ends):
                r, v = divmod(i, vectors)
                store(end, w.at(results[r], v * w.lanes), v)

        def whole() -> None:
            finish(lambda at, v: w.load(at), lambda value, at, v: w.store(value, at))

        def part() -> None:
            masks = [w.lanes_below(str(v * w.lanes), "%wanted") for v in range(vectors)]
            finish(
                lambda at, v: w.load_masked(at, masks[v]),
                lambda value, at, v: w.store_masked(value, at, masks[v]),
            )

        w.when(w.let(f"icmp sge i64 %wanted, {vectors * w.lanes}"), whole, part)

    head = "ptr %a, i64 %a_row, i64 %a_k, i64 %left, ptr %b, i64 %b_row, i64 %k"
    sums = "ptr %sums, i64 %sums_row, ptr %bias, ptr %c, i64 %c_row, i64 %wanted"
    kind = f"{linkage} void @{name}_{rows}_{vectors}"
    w.define(f"{kind}({head}, {sums}, i64 %ahead) noinline", body)


def write_turn(w: Writer) -> None:
    """A square with rows and columns exchanged, plus a vector; so many rows of the result.

    Of a square that ends sooner the last row is read again.
    """

    def body() -> None:
        there = [w.mul(w.smaller(i, "%last"), "%apart") for i in range(w.lanes)]
        rows = w.turned([w.load(w.at("%source", at)) for at in there])
        more = w.load("%bias")
        for i, row in enumerate(rows):

            def put(i: int = i, row: str = row) -> None:
                place = w.at("%result", w.mul("%far", i))
                w.store(w.plus(row, more), place)

            w.when(w.let(f"icmp slt i64 {i}, %wanted"), put)

    head = "ptr %source, i64 %apart, i64 %last, ptr %result, i64 %far, i64 %wanted, ptr %bias"
    w.define(f"internal void @turn({head}) noinline", body)
