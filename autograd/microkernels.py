"""The innermost loops of convolutions, written in LLVM's own vectors.

LLVM does not find these loops by itself: a block of sums that stays in registers while everything
else streams by.  Each is a function of its own, made for a number of rows and of vectors and for an
element type, and the kernels of `direct` `call` it where it is: so those are compiled once for a
type, whatever blocks they are given, and a block takes LLVM a few hundredths of a second.

- `correlate`: rows are filters and a vector is a run of pixels.  A step is one tap of the window: a
  few vectors from the image at the tap's offset, times one number of each filter.
- `outer`: rows are taps and a vector is a run of filters.  A step is one pixel: a few vectors of
  the gradient, times one number of the image at each tap's offset.
- `inner`: rows are taps and columns are filters; a vector is a run of pixels, of the image and of
  the gradient, and the lanes are added up at the end.  It is for few filters.
- `turn`: a square of the gradient, with rows and columns exchanged.
- `deal_rows`: rows of an image into scratch memory, with zeros where the image is not.

With 16 floats to a vector, 8 · 3 sums take 24 of the 32 registers of AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from . import kernels
from .assembly import STEPS, Walk, Writer

__all__ = ["are_here", "call", "correlate", "deal_rows", "inner", "outer", "turn"]


def _made(name: str, head: str, write: Callable[[Writer], object], *key: Any) -> int:
    """Where the function is that ``write`` writes the body of; 0 where there can be none."""

    def text() -> str:
        w = Writer(*key[:2])
        w.define(f"void @entry({head})", lambda: write(w))
        return w.text()

    return kernels.written(name, key, text, (__file__,)) or 0


@cache
def are_here(dtype: str, lanes: int) -> bool:
    """Whether these loops can be had for a type."""
    return lanes > 0 and deal_rows(dtype, lanes) != 0


@cache
def call() -> Any:
    """A function for kernels: ``call(address, arguments)`` runs a loop of this file.

    The arguments are a tuple; of arrays the loop is given the first element's place, of numbers 64
    bits.
    """
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def call(typing: Any, address: Any, arguments: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = []
            for i, kind in enumerate(signature.args[1]):
                value = builder.extract_value(args[1], i)
                if isinstance(kind, types.Array):
                    values.append(context.make_array(kind)(context, builder, value).data)
                else:
                    values.append(context.cast(builder, value, kind, types.int64))
            loop = ir.FunctionType(ir.VoidType(), [v.type for v in values])
            builder.call(builder.inttoptr(args[0], loop.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(types.int64, arguments), write

    return call


# ---------------------------------------------------------------- blocks of sums


@cache
def correlate(dtype: str, lanes: int, rows: int, vectors: int, apart: bool, alone: bool) -> int:
    """A loop over taps that makes a block of ``rows`` filters by ``vectors`` of pixels.

    It is given an image; the element of vector ``v`` in it is ``pixels[first + v]``, and vectors
    that are not ``apart`` follow each other; the offsets of taps from ``begin`` to ``end``; the
    weights, ``rows`` numbers for each tap, from an element on; the biases from an element on; the
    result, the element where its first pixel would be, the distance of two filters in it, and how
    many filters are wanted; and where pixels go: the `runs` from ``starts[first + v]`` to the next
    are the lanes of vector ``v`` to store, and the distance from the first pixel's place.

    A thread that is ``alone`` asks for the memory of its results ahead.  Two that do so hinder each
    other: (64, 1, 28, 28), 32 filters of 3 by 3, takes them 0.24 to 0.35 ms, and 0.22 to 0.26 else;
    one needs 1.3 ms for (32, 3, 32, 32), 64 filters, and 1.6 else.
    """
    head = (
        "ptr %image, ptr %pixels, ptr %taps, i64 %begin, i64 %end, ptr %weights, i64 %weight, "
        "ptr %biases, i64 %bias, ptr %result, i64 %place, i64 %plane, i64 %wanted, ptr %starts, "
        "i64 %first, ptr %runs"
    )

    def write(w: Writer) -> None:
        there = [
            w.at("%image", w.word("%pixels", w.add("%first", v)))
            for v in range(vectors if apart else 1)
        ]
        wanted = [w.let(f"icmp sgt i64 %wanted, {f}") for f in range(rows)]
        ends = [w.word("%starts", w.add("%first", v)) for v in range(vectors + 1)]

        def to(run: str) -> list[str]:
            """Where lane 0 of a run's vector is in each filter's plane."""
            first = w.add("%place", w.word("%runs", w.add(w.mul(run, 2), 1)))
            return [w.at("%result", w.add(first, w.mul("%plane", f))) for f in range(rows)]

        def ask() -> None:
            """Where sums will go is asked of memory now, and is there when they are."""
            for place in to(ends[0]):
                for v in range(vectors):
                    w.prefetch(w.at(place, v * lanes))

        if alone:
            w.when(w.let(f"icmp slt i64 {ends[0]}, {ends[1]}"), ask)
        bias = w.at("%biases", "%bias")
        sums = [(w.vector, s) for f in range(rows) for s in [w.splat(w.at(bias, f))] * vectors]

        def turn(steps: int, t: str, weight: str, *sums: str) -> list[str]:
            for u in range(steps):
                tap = w.word("%taps", w.add(t, u))
                seen = [w.at(vector, tap) for vector in there]
                pixels = [w.load(at) for at in seen] if apart else w.loads(seen[0], vectors)
                factors = [w.at(weight, u * rows + f) for f in range(rows)]
                sums = tuple(w.outer(sums, factors, pixels))
            return [w.at(weight, steps * rows), *sums]

        weights = ("ptr", w.at("%weights", "%weight"))
        made = w.turns("%begin", "%end", STEPS, turn, [weights, *sums])[1:]
        for v in range(vectors):

            def store(run: str, v: int = v) -> None:
                mask = w.mask(w.word("%runs", w.mul(run, 2)))
                for f, place in enumerate(to(run)):
                    w.when(wanted[f], partial(w.store_masked, made[f * vectors + v], place, mask))

            some = w.let(f"icmp slt i64 {ends[v]}, {ends[v + 1]}")
            w.when(some, partial(w.loop, ends[v], ends[v + 1], 1, store))

    return _made("correlate", head, write, dtype, lanes, rows, vectors, apart, alone)


@cache
def outer(dtype: str, lanes: int, rows: int, vectors: int) -> int:
    """A loop over pixels that adds to a block of ``rows`` taps by ``vectors`` of filters.

    It is given an image; the taps' offsets from the first of the block on; the pixels' offsets, the
    first and the last but one; the gradient, ``vectors`` for each pixel; the sums, and where the
    block's are.
    """
    head = (
        "ptr %image, ptr %taps, i64 %tap, ptr %pixels, i64 %begin, i64 %end, ptr %gradient, "
        "ptr %sums, i64 %block"
    )
    wide = lanes * vectors

    def write(w: Writer) -> None:
        there = [w.at("%image", w.word("%taps", w.add("%tap", k))) for k in range(rows)]
        block = w.at("%sums", "%block")
        places = [w.at(block, k * wide + v * lanes) for k in range(rows) for v in range(vectors)]

        def turn(steps: int, p: str, gradient: str, *sums: str) -> list[str]:
            for u in range(steps):
                at = w.word("%pixels", w.add(p, u))
                factors = [w.at(tap, at) for tap in there]
                slopes = w.loads(w.at(gradient, u * wide), vectors)
                sums = tuple(w.outer(sums, factors, slopes))
            return [w.at(gradient, steps * wide), *sums]

        sums = [(w.vector, w.load(place)) for place in places]
        made = w.turns("%begin", "%end", STEPS, turn, [("ptr", "%gradient"), *sums])[1:]
        for value, place in zip(made, places, strict=True):
            w.store(value, place)

    return _made("outer", head, write, dtype, lanes, rows, vectors)


@cache
def inner(dtype: str, lanes: int, rows: int, filters: int) -> int:
    """A loop over vectors of pixels that adds products of two images, of each tap and filter.

    It is given an image; the taps' offsets from the first of the block on; the first filter's
    gradient, laid out as the image is, with zeros between its rows, and the distance to the next
    one's; how many vectors there are; the sums, and where the block's are: each a vector, whose
    lanes are yet to be added up.
    """
    head = (
        "ptr %image, ptr %taps, i64 %tap, ptr %gradient, i64 %first, i64 %plane, i64 %count, "
        "ptr %sums, i64 %block"
    )

    def write(w: Writer) -> None:
        pixels = [w.at("%image", w.word("%taps", w.add("%tap", k))) for k in range(rows)]
        slope = w.at("%gradient", "%first")
        slopes = [w.at(slope, w.mul("%plane", f)) for f in range(filters)]
        block = w.at("%sums", "%block")
        numbers = np.arange(rows * filters).reshape(rows, filters)  # of the sums
        # The fewer are held in registers, while the others go by.
        passing, held = pixels, slopes
        if rows < filters:
            passing, held, numbers = slopes, pixels, numbers.T
        places = [w.at(block, int(i) * lanes) for i in numbers.flat]

        def turn(steps: int, i: str, *sums: str) -> list[str]:
            walk = Walk(w, w.mul(i, lanes), lanes)
            for _ in range(steps):
                vectors = [w.load(walk.at(place)) for place in held]
                made: list[str] = []
                for p, place in enumerate(passing):
                    own = sums[p * len(held) : (p + 1) * len(held)]
                    made += w.products(own, w.load(walk.at(place)), vectors)
                sums = tuple(made)
                walk.go_on()
            return list(sums)

        carried = [(w.vector, w.load(place)) for place in places]
        made = w.turns(0, "%count", STEPS, turn, carried)
        for value, place in zip(made, places, strict=True):
            w.store(value, place)

    return _made("inner", head, write, dtype, lanes, rows, filters)


# ---------------------------------------------------------------- rows and columns


@cache
def turn(dtype: str, lanes: int) -> int:
    """A square of ``lanes`` rows and columns, exchanged.

    It is given an array, the square's first element and the distance of its rows; then the same of
    the array to write.
    """
    head = "ptr %source, i64 %first, i64 %apart, ptr %result, i64 %place, i64 %far"

    def write(w: Writer) -> None:
        source, result = w.at("%source", "%first"), w.at("%result", "%place")
        rows = [w.load(w.at(source, w.mul("%apart", i))) for i in range(lanes)]
        for i, row in enumerate(w.turned(rows)):
            w.store(row, w.at(result, w.mul("%far", i)))

    return _made("turn", head, write, dtype, lanes)


@cache
def deal_rows(dtype: str, lanes: int) -> int:
    """Rows of a channel into scratch memory, zeros where the image is not.

    It is given an image, where the channel begins in it, and the channel's size; the first row and
    the distance to the next; the first column and the distance to the next; the scratch memory and
    where to write; how many rows and columns; how much further the columns between go, if every
    other one is read, or 0 to leave them.  Rows and columns may lie outside of the image.  Whole
    vectors are written: after the last row there must be room for one.
    """
    head = (
        "ptr %image, i64 %source, i64 %down, i64 %across, i64 %y, i64 %step, i64 %left, "
        "i64 %stride, ptr %scratch, i64 %at, i64 %high, i64 %wide, i64 %between"
    )

    def write(w: Writer) -> None:
        simple = ("%left, 0", "%stride, 1", "%step, 1", "%wide, %across")
        facts = [w.let(f"icmp eq i64 {fact}") for fact in simple]
        facts.append(w.let("icmp sge i64 %y, 0"))
        facts.append(w.let(f"icmp sle i64 {w.add('%y', '%high')}, %down"))
        run = facts[0]  # rows that follow each other in both are one row
        for fact in facts[1:]:
            run = w.let(f"and i1 {run}, {fact}")
        area, before = w.mul("%wide", "%high"), w.mul("%y", "%across")
        first = w.at("%image", w.add("%source", w.select(run, f"i64 {before}", "i64 0")))
        y, down, high = (w.select(run, f"i64 {n}", f"i64 {of}")
                         for n, of in ((0, "%y"), (1, "%down"), (1, "%high")))  # fmt: skip
        across, wide = (w.select(run, f"i64 {area}", f"i64 {of}") for of in ("%across", "%wide"))
        plain, double = (w.let(f"icmp eq i64 %stride, {n}") for n in (1, 2))
        both = w.let("icmp ne i64 %between, 0")

        def row(i: str, y: str, to: str) -> list[str]:
            inside = w.let(f"icmp ult i64 {y}, {down}")  # a place below 0 is large
            there = w.select(inside, f"i64 {across}", "i64 0")
            source = w.at(first, w.mul(y, across))

            def piece(b: str, stride: int) -> None:
                parts = []
                for v in range(stride):
                    x = w.add(w.add(w.mul(b, stride), "%left"), v * lanes)
                    parts.append(w.load_masked(w.at(source, x), w.lanes_below(x, there)))
                place = w.at(to, b)
                if stride == 1:
                    w.store(parts[0], place)
                    return
                even, odd = (
                    w.shuffle(parts[0], parts[1], [2 * i + k for i in range(lanes)])
                    for k in range(2)
                )
                # What follows the last row of even ones are odd ones, which may be there already.
                w.store_masked(even, place, w.lanes_below(b, wide))
                w.when(both, partial(w.store, odd, w.at(place, "%between")))

            def single(b: str) -> None:
                x = w.add(w.mul(b, "%stride"), "%left")
                place = w.at(to, b)
                w.do(f"store {w.number} 0.0, ptr {place}")

                def copy() -> None:
                    value = w.let(f"load {w.number}, ptr {w.at(source, x)}")
                    w.do(f"store {w.number} {value}, ptr {place}")

                w.when(w.let(f"icmp ult i64 {x}, {there}"), copy)

            w.when(
                plain,
                lambda: w.loop(0, wide, lanes, lambda b: piece(b, 1)),
                lambda: w.when(
                    double,
                    lambda: w.loop(0, wide, lanes, lambda b: piece(b, 2)),
                    lambda: w.loop(0, wide, 1, single),
                ),
            )
            return [w.add(y, "%step"), w.at(to, wide)]

        w.loop(0, high, 1, row, [("i64", y), ("ptr", w.at("%scratch", "%at"))])

    return _made("deal_rows", head, write, dtype, lanes)
