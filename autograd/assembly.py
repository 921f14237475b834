"""What kernels in LLVM's own language are written with: values, blocks, loops, and vectors.

A `Writer` collects the lines.  A value is its name, a string, and so is a number that is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from . import processor

__all__ = ["STEPS", "Walk", "Writer", "lanes"]

STEPS = 8  # in one turn of a loop that adds up products


@cache
def lanes(dtype: str) -> int:
    """How many numbers a vector of this processor has; 0 where there is no fast path."""
    if dtype not in ("float32", "float64") or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return 0
    features = processor.features()
    if "avx512f" in features:
        width = 64
    elif {"avx2", "fma"} <= features:
        width = 32
    elif "neon" in features:
        width = 16
    else:
        return 0
    return width // np.dtype(dtype).itemsize


class Writer:
    """The text of functions on numbers of one type, and on vectors of ``lanes`` of them."""

    def __init__(self, dtype: str, lanes: int):
        self.number = {"float32": "float", "float64": "double"}[dtype]
        self.size = np.dtype(dtype).itemsize
        self.lanes = lanes
        self.vector = f"<{lanes} x {self.number}>"
        self.truth = f"<{lanes} x i1>"  # of each lane
        self._kind = f".v{lanes}f{8 * self.size}"  # in names of LLVM's own functions
        self._fma = f"@llvm.fma{self._kind}"
        v = self.vector
        self.lines: list[str] = []
        self._declared = {f"declare {v} {self._fma}({v}, {v}, {v})"}
        self._names = 0
        self._block = "0"

    def text(self) -> str:
        """All functions, and what they call."""
        return "\n".join((*sorted(self._declared), *self.lines))

    def define(self, head: str, body: Callable[[], object], result: str = "void") -> None:
        """A function, whose body is what ``body`` writes."""
        self.lines.append(f"define {head} {{")
        self._block = "0"
        body()
        self.lines += [f"  ret {result}", "}"]

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def let(self, text: str) -> str:
        """The result of an instruction."""
        name = self._name()
        self.do(f"{name} = {text}")
        return name

    def _name(self) -> str:
        self._names += 1
        return f"%v{self._names}"

    def _begin(self, block: str) -> None:
        self.lines.append(f"{block[1:]}:")
        self._block = block[1:]

    # ------------------------------------------------------------ numbers and memory

    def add(self, a: str, b: str | int) -> str:
        return self.let(f"add i64 {a}, {b}")

    def sub(self, a: str, b: str | int) -> str:
        return self.let(f"sub i64 {a}, {b}")

    def mul(self, a: str, b: str | int) -> str:
        return self.let(f"mul i64 {a}, {b}")

    def opaque(self, a: str) -> str:
        """The same number, of which LLVM does not know where it comes from."""
        return self.let(f'call i64 asm "", "=r,0"(i64 {a})')

    def smaller(self, a: str | int, b: str) -> str:
        return self.select(self.let(f"icmp slt i64 {a}, {b}"), f"i64 {a}", f"i64 {b}")

    def larger(self, a: str, b: str | int) -> str:
        return self.select(self.let(f"icmp sgt i64 {a}, {b}"), f"i64 {a}", f"i64 {b}")

    def select(self, condition: str, a: str, b: str) -> str:
        return self.let(f"select i1 {condition}, {a}, {b}")

    def at(self, pointer: str, index: str | int) -> str:
        """Where an element of an array is."""
        return self.let(f"getelementptr {self.number}, ptr {pointer}, i64 {index}")

    def load(self, pointer: str) -> str:
        """The vector that begins at an element."""
        return self.let(f"load {self.vector}, ptr {pointer}, align {self.size}")

    def loads(self, pointer: str, count: int) -> list[str]:
        """Vectors that follow each other."""
        return [self.load(self.at(pointer, v * self.lanes)) for v in range(count)]

    def store(self, value: str, pointer: str) -> None:
        self.do(f"store {self.vector} {value}, ptr {pointer}, align {self.size}")

    def word(self, pointer: str, index: str | int) -> str:
        """An element of an array of whole numbers."""
        place = self.let(f"getelementptr i64, ptr {pointer}, i64 {index}")
        return self.let(f"load i64, ptr {place}")

    def table(self, pointers: int, numbers: int) -> list[str]:
        """What the table of an entry says: first so many pointers, then numbers of 64 bits."""
        words = []
        for i in range(pointers + numbers):
            place = self.let(f"getelementptr i64, ptr %table, i64 {i}")
            words.append(self.let(f"load {'ptr' if i < pointers else 'i64'}, ptr {place}"))
        return words

    def clear(self, pointer: str, count: str) -> None:
        """Zeros, one at least."""

        def zero(i: str) -> None:
            self.do(f"store {self.number} 0.0, ptr {self.at(pointer, i)}")

        self.loop(0, count, 1, zero)

    def prefetch(self, pointer: str, written: bool = True) -> None:
        """Bring an element near, to be read or written; it need not be there."""
        self._declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {written:d}, i32 3, i32 1)")

    def splat(self, pointer: str) -> str:
        """A vector of one number."""
        number = self.let(f"load {self.number}, ptr {pointer}")
        first = self.let(f"insertelement {self.vector} poison, {self.number} {number}, i32 0")
        return self.shuffle(first, "poison", [0] * self.lanes)

    def shuffle(self, a: str, b: str, places: Sequence[int]) -> str:
        """Lanes of two vectors; those of the second are counted on."""
        mask = ", ".join(f"i32 {place}" for place in places)
        v = self.vector
        return self.let(f"shufflevector {v} {a}, {v} {b}, <{self.lanes} x i32> <{mask}>")

    def interleaved(self, even: str, odd: str) -> list[str]:
        """Two vectors whose lanes are those of these in turn."""
        n = self.lanes
        turns = [(k // 2) + n * (k % 2) for k in range(2 * n)]
        return [self.shuffle(even, odd, turns[:n]), self.shuffle(even, odd, turns[n:])]

    def fma(self, a: str, b: str, c: str) -> str:
        v = self.vector
        return self.let(f"call {v} {self._fma}({v} {a}, {v} {b}, {v} {c})")

    def outer(
        self, sums: Sequence[str], places: Sequence[str], vectors: Sequence[str]
    ) -> list[str]:
        """Sums, and the products of a number at each place with each vector; rows are places."""
        made = []
        for r, place in enumerate(places):
            own = sums[r * len(vectors) : (r + 1) * len(vectors)]
            made += self.products(own, self.splat(place), vectors)
        return made

    def products(self, sums: Sequence[str], factor: str, vectors: Sequence[str]) -> list[str]:
        """Sums, and the product of a vector with each of others."""
        return self.settled([self.fma(factor, v, s) for v, s in zip(vectors, sums, strict=True)])

    def settled(self, values: Sequence[str]) -> list[str]:
        """The same vectors; they are computed before this, and nothing later is loaded before.

        It is no instruction.  LLVM would load ahead more than registers hold.
        """
        register = "=w" if self.lanes * self.size == 16 else "=v"  # of NEON, or of AVX
        rules = [register] * len(values) + [str(i) for i in range(len(values))]
        given = ", ".join(f"{self.vector} {value}" for value in values)
        several = "{ " + ", ".join([self.vector] * len(values)) + " }"
        kind = several if len(values) > 1 else self.vector
        made = self.let(f'call {kind} asm sideeffect "", "{",".join(rules)},~{{memory}}"({given})')
        if len(values) == 1:
            return [made]
        return [self.let(f"extractvalue {kind} {made}, {i}") for i in range(len(values))]

    def plus(self, a: str, b: str) -> str:
        return self.let(f"fadd {self.vector} {a}, {b}")

    def minus(self, a: str, b: str) -> str:
        return self.let(f"fsub {self.vector} {a}, {b}")

    def times(self, a: str, b: str) -> str:
        return self.let(f"fmul {self.vector} {a}, {b}")

    def total(self, value: str) -> str:
        """The sum of all lanes, of pairs and then of pairs of these."""
        name, v = f"@llvm.vector.reduce.fadd{self._kind}", self.vector
        self._declared.add(f"declare {self.number} {name}({self.number}, {v})")
        return self.let(f"call reassoc {self.number} {name}({self.number} -0.0, {v} {value})")

    # ------------------------------------------------------------ some lanes of a vector

    def mask(self, bits: str) -> str:
        """The lowest bits of a number, one for each lane."""
        narrow = self.let(f"trunc i64 {bits} to i{self.lanes}")
        return self.let(f"bitcast i{self.lanes} {narrow} to {self.truth}")

    def lanes_below(self, first: str, end: str) -> str:
        """The lanes for which ``0 <= first + lane < end``, of numbers that 31 bits hold."""
        several = f"<{self.lanes} x i32>"
        every = []
        for number in (first, end):
            narrow = self.let(f"trunc i64 {number} to i32")
            lane = self.let(f"insertelement {several} poison, i32 {narrow}, i32 0")
            places = f"<{self.lanes} x i32> zeroinitializer"
            every.append(self.let(f"shufflevector {several} {lane}, {several} poison, {places}"))
        count = ", ".join(f"i32 {i}" for i in range(self.lanes))
        own = self.let(f"add {several} {every[0]}, <{count}>")
        return self.let(f"icmp ult {several} {own}, {every[1]}")  # a number below 0 is large

    def load_masked(self, pointer: str, mask: str) -> str:
        """The vector that begins at an element; lanes without ``mask`` are zero and not read."""
        name, v, m = f"@llvm.masked.load{self._kind}.p0", self.vector, self.truth
        self._declared.add(f"declare {v} {name}(ptr, i32, {m}, {v})")
        rest = f"i32 {self.size}, {m} {mask}, {v} zeroinitializer"
        return self.let(f"call {v} {name}(ptr {pointer}, {rest})")

    def store_masked(self, value: str, pointer: str, mask: str) -> None:
        """Store the lanes that ``mask`` has; memory of the others is not touched."""
        name, v, m = f"@llvm.masked.store{self._kind}.p0", self.vector, self.truth
        self._declared.add(f"declare void {name}({v}, ptr, i32, {m})")
        self.do(f"call void {name}({v} {value}, ptr {pointer}, i32 {self.size}, {m} {mask})")

    def select_lanes(self, mask: str, value: str) -> str:
        """A vector, with zeros in the lanes that ``mask`` has not."""
        v = self.vector
        return self.let(f"select {self.truth} {mask}, {v} {value}, {v} zeroinitializer")

    def turned(self, rows: Sequence[str]) -> list[str]:
        """As many vectors as they have lanes, with rows and columns exchanged."""
        rows, n, step = list(rows), self.lanes, 1
        while step < n:
            low = [j - step + n if j & step else j for j in range(n)]
            high = [j + n if j & step else j + step for j in range(n)]
            for i in range(n):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i], rows[i + step] = self.shuffle(a, b, low), self.shuffle(a, b, high)
            step *= 2
        return rows

    # ------------------------------------------------------------ the way through the blocks

    def loop(
        self,
        start: str | int,
        stop: str,
        step: str | int,
        body: Callable[..., Sequence[str] | None],
        carried: Sequence[tuple[str, str]] = (),
        maybe: bool = False,
    ) -> Sequence[str]:
        """``for i in range(start, stop, step): carried = body(i, *carried)``.

        What is carried is given with its type; returned is what the last turn made of it.  There is
        at least one turn, unless there is ``maybe`` none.
        """
        turn, done = self._name(), self._name()
        before = self._block
        if maybe:
            some = self.let(f"icmp slt i64 {start}, {stop}")
            self.do(f"br i1 {some}, label {turn}, label {done}")
        else:
            self.do(f"br label {turn}")
        self._begin(turn)
        i = self._name()
        names = [self._name() for _ in carried]
        place = len(self.lines)
        made = body(i, *names) or ()
        following = self.add(i, step)
        end = self._block
        phis = [(i, "i64", start, following)]
        phis += [(n, t, v, m) for n, (t, v), m in zip(names, carried, made, strict=True)]
        self.lines[place:place] = [
            f"  {name} = phi {kind} [ {first}, %{before} ], [ {later}, %{end} ]"
            for name, kind, first, later in phis
        ]
        more = self.let(f"icmp slt i64 {following}, {stop}")
        self.do(f"br i1 {more}, label {turn}, label {done}")
        self._begin(done)
        if not maybe:
            return made
        ends = zip(carried, made, strict=True)
        return [self.let(f"phi {t} [ {v}, %{before} ], [ {m}, %{end} ]") for (t, v), m in ends]

    def turns(
        self,
        start: str | int,
        stop: str,
        count: int,
        body: Callable[..., Sequence[str]],
        carried: Sequence[tuple[str, str]],
    ) -> Sequence[str]:
        """``carried = body(steps, i, *carried)``, in turns of ``count`` steps, and then of one.

        This spares instructions that only move on.
        """
        if count == 1:
            return self.loop(start, stop, 1, partial(body, 1), carried, maybe=True)
        whole = self.let(f"and i64 {self.sub(stop, start)}, -{count}")
        middle = self.add(whole, start)
        made = self.loop(start, middle, count, partial(body, count), carried, maybe=True)
        rest = [(kind, value) for (kind, _), value in zip(carried, made, strict=True)]
        return self.loop(middle, stop, 1, partial(body, 1), rest, maybe=True)

    def when(
        self,
        condition: str,
        body: Callable[[], object],
        otherwise: Callable[[], object] | None = None,
    ) -> None:
        """``if condition: body()``, and what else."""
        yes, no, done = self._name(), self._name(), self._name()
        self.do(f"br i1 {condition}, label {yes}, label {no if otherwise else done}")
        for block, write in ((yes, body), (no, otherwise)):
            if write is not None:
                self._begin(block)
                write()
                self.do(f"br label {done}")
        self._begin(done)


class Walk:
    """An element that moves on with each step, by a number that may be known.

    LLVM does not know where it comes from: it would keep a pointer for each row, and each step.
    """

    def __init__(self, w: Writer, index: str, move: str | int):
        self.w, self.move = w, move
        self.index, self.further = w.opaque(index), 0

    def at(self, pointer: str) -> str:
        return self.w.at(self.w.at(pointer, self.index), self.further)

    def go_on(self) -> None:
        if isinstance(self.move, int):
            self.further += self.move
        else:
            self.index = self.w.opaque(self.w.add(self.index, self.move))

    def end(self) -> str:
        return self.w.add(self.index, self.further)
