"""The innermost loops of convolutions, written in LLVM's own vectors.

LLVM does not find these loops by itself: a block of sums that stays in registers while everything
else streams by.  Each is made for a number of rows and of vectors, and for an element type, and is
called from a kernel of `direct` as if it were a Numba function.

- `correlate`: rows are filters and a vector is a run of pixels.  A step is one tap of the window: a
  few vectors from the image at the tap's offset, times one number of each filter.
- `outer`: rows are taps and a vector is a run of filters.  A step is one pixel: a few vectors of
  the gradient, times one number of the image at each tap's offset.

- `inner`: rows are taps and a vector is a run of pixels, of the image and of the gradient; the
  lanes are added up at the end.  It is for filters that are alone in their group.
- `turn`: a square of the gradient, with rows and columns exchanged.

With 16 floats to a vector, 8 · 3 sums take 24 of the 32 registers of AVX-512.
"""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["correlate", "inner", "outer", "take", "turn"]


class _Writer:
    """What both loops are written with: pointers, vectors, and a loop that carries sums."""

    def __init__(self, builder: Any, dtype: str, lanes: int):
        from llvmlite import ir

        self.ir, self.builder = ir, builder
        self.number = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.number, lanes)
        self.size = 4 if dtype == "float32" else 8
        self.lanes = lanes
        self.int64 = ir.IntType(64)
        self.suffix = f"v{lanes}{'f32' if dtype == 'float32' else 'f64'}"

    def constant(self, n: int) -> Any:
        return self.ir.Constant(self.int64, n)

    def load(self, pointer: Any, index: Any) -> Any:
        """One element of an array."""
        return self.builder.load(self.builder.gep(pointer, [index]))

    def at(self, pointer: Any, index: Any) -> Any:
        """The vector that begins at an element."""
        place = self.builder.gep(pointer, [index])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def load_vector(self, pointer: Any, index: Any) -> Any:
        return self.builder.load(self.at(pointer, index), align=self.size)

    def store_vector(self, value: Any, pointer: Any, index: Any) -> None:
        self.builder.store(value, self.at(pointer, index), align=self.size)

    def splat(self, number: Any) -> Any:
        """A vector of one number."""
        ir, builder = self.ir, self.builder
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return builder.shuffle_vector(first, undefined, zeros)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        kind = self.ir.FunctionType(self.vector, [self.vector] * 3)
        return self.builder.call(self.intrinsic(f"llvm.fma.{self.suffix}", kind), [a, b, c])

    def intrinsic(self, name: str, kind: Any) -> Any:
        module = self.builder.module
        return module.globals.get(name) or self.ir.Function(module, kind, name)

    def loop(self, start: Any, stop: Any, sums: list[Any], step: Any) -> list[Any]:
        """``for i in range(start, stop): sums = step(i, sums)``; there is at least one turn."""
        builder = self.builder
        before = builder.block
        body = builder.append_basic_block("turn")
        after = builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        i = builder.phi(self.int64)
        i.add_incoming(start, before)
        carried = []
        for value in sums:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            carried.append(phi)
        made = step(i, carried)
        following = builder.add(i, self.constant(1))
        i.add_incoming(following, builder.block)
        for phi, value in zip(carried, made, strict=True):
            phi.add_incoming(value, builder.block)
        again = builder.cbranch(builder.icmp_signed("<", following, stop), body, after)
        again.set_metadata("llvm.loop", self.not_unrolled())
        builder.position_at_end(after)
        return made

    def not_unrolled(self) -> Any:
        """What keeps LLVM from unrolling a loop that is wide enough, which takes it long."""
        module = self.builder.module
        wish = module.add_metadata([self.ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        made = module.add_metadata([wish, wish])
        made.operands = (made, wish)  # a loop's name begins with itself
        return made

    def masked_store(self, value: Any, pointer: Any, index: Any, mask: Any) -> None:
        """Store the lanes that ``mask`` has; memory of the others is not touched."""
        ir = self.ir
        place = self.at(pointer, index)
        truth = ir.VectorType(ir.IntType(1), self.lanes)
        kind = ir.FunctionType(ir.VoidType(), [self.vector, place.type, ir.IntType(32), truth])
        function = self.intrinsic(f"llvm.masked.store.{self.suffix}.p0", kind)
        align = ir.Constant(ir.IntType(32), self.size)
        self.builder.call(function, [value, place, align, mask])

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """Lanes of two vectors; those of the second are counted on."""
        places = self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), self.lanes), lanes)
        return self.builder.shuffle_vector(a, b, places)

    def total(self, value: Any) -> Any:
        """The sum of all lanes."""
        step = self.lanes // 2
        nothing = self.ir.Constant(self.vector, self.ir.Undefined)
        while step:
            moved = self.shuffle(value, nothing, [i ^ step for i in range(self.lanes)])
            value = self.builder.fadd(value, moved)
            step //= 2
        return self.builder.extract_element(value, self.ir.Constant(self.ir.IntType(32), 0))

    def mask(self, bits: Any) -> Any:
        """The lowest bits of a number, one for each lane."""
        ir = self.ir
        narrow = self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(narrow, ir.VectorType(ir.IntType(1), self.lanes))


def _pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Arrays as pointers to their first element; numbers as they are."""
    from numba.core import types

    return [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


@cache
def correlate(dtype: str, lanes: int, rows: int, vectors: int) -> Any:
    """A loop over taps that makes a block of ``rows`` filters by ``vectors`` of pixels.

    It is called with an image and the element of its first pixel; the taps' offsets; the weights,
    ``rows`` numbers for each tap, from an element on; the biases from an element on; the result,
    the element where its first pixel would be, the distance of two filters in it, and how many
    filters are wanted; and where pixels go: the `runs` from ``starts[first + v]`` to the next are
    the lanes of vector ``v`` to store, and the distance from the first pixel's place.
    """
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def tile(
        typing: Any, image: Any, pixel: Any, taps: Any, weights: Any, weight: Any, biases: Any,
        bias: Any, result: Any, place: Any, plane: Any, wanted: Any, starts: Any, first: Any,
        runs: Any,
    ) -> Any:  # fmt: skip
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w = _Writer(builder, dtype, lanes)
            count = context.make_array(signature.args[2])(context, builder, args[2]).nitems
            values = _pointers(context, builder, signature, args)
            image, pixel, taps, weights, weight, biases, bias, *values = values
            result, place, plane, wanted, starts, first, runs = values
            sums = []
            for f in range(rows):
                value = w.splat(w.load(biases, builder.add(bias, w.constant(f))))
                sums += [value] * vectors

            def step(t: Any, sums: list[Any]) -> list[Any]:
                at = builder.add(pixel, w.load(taps, t))
                pixels = [
                    w.load_vector(image, builder.add(at, w.constant(v * lanes)))
                    for v in range(vectors)
                ]
                row = builder.add(weight, builder.mul(t, w.constant(rows)))
                out = []
                for f in range(rows):
                    factor = w.splat(w.load(weights, builder.add(row, w.constant(f))))
                    out += [w.fma(factor, pixels[v], sums[f * vectors + v]) for v in range(vectors)]
                return out

            sums = w.loop(w.constant(0), count, sums, step)
            for v in range(vectors):
                begin = w.load(starts, builder.add(first, w.constant(v)))
                end = w.load(starts, builder.add(first, w.constant(v + 1)))
                with builder.if_then(builder.icmp_signed("<", begin, end)):

                    def store(r: Any, nothing: list[Any], v: int = v) -> list[Any]:
                        two = builder.mul(r, w.constant(2))
                        mask = w.mask(w.load(runs, two))
                        to = builder.add(place, w.load(runs, builder.add(two, w.constant(1))))
                        for f in range(rows):
                            with builder.if_then(
                                builder.icmp_signed("<", w.constant(f), wanted), likely=True
                            ):
                                there = builder.add(to, builder.mul(plane, w.constant(f)))
                                w.masked_store(sums[f * vectors + v], result, there, mask)
                        return nothing

                    w.loop(begin, end, [], store)
            return context.get_dummy_value()

        return types.void(
            *(image, pixel, taps, weights, weight, biases, bias, result, place, plane, wanted),
            *(starts, first, runs),
        ), write

    return tile


@cache
def outer(dtype: str, lanes: int, rows: int, vectors: int) -> Any:
    """A loop over pixels that adds to a block of ``rows`` taps by ``vectors`` of filters.

    It is called with an image; the taps' offsets from the first of the block on; the pixels'
    offsets, the first and the last but one; the gradient, ``vectors`` for each pixel, and where the
    first pixel's are; the sums, and where the block's are.
    """
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def tile(
        typing: Any, image: Any, taps: Any, tap: Any, pixels: Any, begin: Any, end: Any,
        gradient: Any, place: Any, total: Any, block: Any,
    ) -> Any:  # fmt: skip
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w = _Writer(builder, dtype, lanes)
            values = _pointers(context, builder, signature, args)
            image, taps, tap, pixels, begin, end, gradient, place, total, block = values
            wide = lanes * vectors
            there = [
                builder.gep(image, [w.load(taps, builder.add(tap, w.constant(k)))])
                for k in range(rows)
            ]
            places = [
                builder.add(block, w.constant(k * wide + v * lanes))
                for k in range(rows)
                for v in range(vectors)
            ]
            sums = [w.load_vector(total, at) for at in places]

            def step(p: Any, sums: list[Any]) -> list[Any]:
                at = w.load(pixels, p)
                row = builder.add(place, builder.mul(builder.sub(p, begin), w.constant(wide)))
                slopes = [
                    w.load_vector(gradient, builder.add(row, w.constant(v * lanes)))
                    for v in range(vectors)
                ]
                out = []
                for k in range(rows):
                    factor = w.splat(w.load(there[k], at))
                    out += [w.fma(factor, slopes[v], sums[k * vectors + v]) for v in range(vectors)]
                return out

            sums = w.loop(begin, end, sums, step)
            for value, at in zip(sums, places, strict=True):
                w.store_vector(value, total, at)
            return context.get_dummy_value()

        return types.void(
            *(image, taps, tap, pixels, begin, end, gradient, place, total, block)
        ), write

    return tile


@cache
def inner(dtype: str, lanes: int, rows: int) -> Any:
    """A loop over vectors of pixels that adds products of two images to a sum for each tap.

    It is called with an image; the taps' offsets from the first of the block on; the gradient, laid
    out as the image is, with zeros between its rows; how many vectors there are; the sums, and
    where the block's are.
    """
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def tile(
        typing: Any, image: Any, taps: Any, tap: Any, gradient: Any, count: Any, total: Any,
        block: Any,
    ) -> Any:  # fmt: skip
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w = _Writer(builder, dtype, lanes)
            values = _pointers(context, builder, signature, args)
            image, taps, tap, gradient, count, total, block = values
            there = [
                builder.gep(image, [w.load(taps, builder.add(tap, w.constant(k)))])
                for k in range(rows)
            ]
            zero = w.splat(w.ir.Constant(w.number, 0))

            def step(i: Any, sums: list[Any]) -> list[Any]:
                at = builder.mul(i, w.constant(lanes))
                slope = w.load_vector(gradient, at)
                return [
                    w.fma(slope, w.load_vector(pixels, at), value)
                    for pixels, value in zip(there, sums, strict=True)
                ]

            sums = w.loop(w.constant(0), count, [zero] * rows, step)
            for k, value in enumerate(sums):
                place = builder.gep(total, [builder.add(block, w.constant(k))])
                builder.store(builder.fadd(builder.load(place), w.total(value)), place)
            return context.get_dummy_value()

        return types.void(image, taps, tap, gradient, count, total, block), write

    return tile


@cache
def turn(dtype: str, lanes: int) -> Any:
    """A square of ``lanes`` rows and columns, exchanged.

    It is called with an array, the square's first element and the distance of its rows; then the
    same of the array to write.
    """
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def tile(
        typing: Any, source: Any, first: Any, distance: Any, result: Any, place: Any, apart: Any
    ) -> Any:
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w = _Writer(builder, dtype, lanes)
            values = _pointers(context, builder, signature, args)
            source, first, distance, result, place, apart = values
            rows = [
                w.load_vector(source, builder.add(first, builder.mul(distance, w.constant(i))))
                for i in range(lanes)
            ]
            step = 1
            while step < lanes:
                low = [j - step + lanes if j & step else j for j in range(lanes)]
                high = [j + lanes if j & step else j + step for j in range(lanes)]
                for i in range(lanes):
                    if not i & step:
                        a, b = rows[i], rows[i + step]
                        rows[i], rows[i + step] = w.shuffle(a, b, low), w.shuffle(a, b, high)
                step *= 2
            for i, row in enumerate(rows):
                at = builder.add(place, builder.mul(apart, w.constant(i)))
                w.store_vector(row, result, at)
            return context.get_dummy_value()

        return types.void(source, first, distance, result, place, apart), write

    return tile


@cache
def take() -> Any:
    """The next number of a counter that several threads share; nobody else is given it."""
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def number(typing: Any, counter: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (place,) = _pointers(context, builder, signature, args)
            one = place.type.pointee(1)
            return builder.atomic_rmw("add", place, one, "monotonic")

        return types.int64(counter), write

    return number
