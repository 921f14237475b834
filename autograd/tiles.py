"""Products of matrices by tiles of sums that stay in registers while the factors stream by.

A tile is a few rows of the left factor by some vectors of columns of the right one, a *panel* of
it: a step of the loop takes the vectors of one row of the panel, and a number of each row of the
left factor, wherever that is.  Panels are copied together first, so that their vectors do not
straddle cache lines, unless there are too few rows to pay for it.  Where the right factor is
transposed, as the weight of a layer is, the copy turns it, square by square; if the left one is
much the smaller, ``Bᵀ Aᵀ`` is computed instead and turned on its way out.

Where somebody else's thread shares the core, what takes time is how many instructions there are.
A turn of the loop over copied panels has several steps, which spares those that only move on: 36
for 24 multiplications, instead of 39.

Sums of many terms are added up in blocks, whose panels fit the cache of a core: a tile of rows is
taken by all panels before the next one.  A left factor whose columns are contiguous, as that of a
weight's gradient, is read across its rows, and each step asks for a row some steps ahead; if many
panels are to read it, groups of its rows are packed.

Threads take rows, or panels, as soon as they are through with others; a large right factor is
copied once, by all of them, before.  How terms are grouped depends on the number of threads alone,
so the same number always gives the same bits.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import assembly, blocks, kernels, machine, tiling
from .assembly import STEPS, Writer
from .blocks import HEIGHTS, Pace, vectors_of, write_tile, write_turn
from .tiling import ADDED, AHEAD, COPIED, GROUP, NUMBERS, PACKED, TURNED_IN, TURNED_OUT, plan_of

__all__ = ["each", "product"]

Array = np.ndarray[Any, Any]

# Products of a batch that are not large take as long elsewhere, unless there is much to turn.
NEARLY_WIDE, OF_EACH = 48, 1 << 21  # columns, and multiplications
STACK = 1 << 18  # bytes of scratch memory that a product of a batch may have
STAGES = ALONE, COPY, MULTIPLY = 0, 1, 2  # what an entry does: both, or one after the other
WORDS = ("a", "b", "c", "bias", "scratch", "stage", *NUMBERS)
TABLE = struct.Struct(f"{len(WORDS)}q")
TABLE_OF_EACH = struct.Struct(f"{3 + len(NUMBERS) + 9}q")


def product(a: Array, b: Array, bias: Array | None = None) -> Array | None:
    """The product of two matrices of one type, with a contiguous ``bias`` for each row.

    None where others had better compute it.
    """
    plan = plan_of(a.dtype, a.shape, a.strides, b.shape, b.strides, kernels.threads())
    entries = None if plan is None else _entries(kernels.name_of(a.dtype))
    if plan is None or entries is None:
        return None
    c = np.empty((len(a), b.shape[1]), a.dtype)
    scratch = np.empty(plan.scratch, a.dtype)
    left, right = (b, a) if plan.turned else (a, b)
    objects = (id(left), id(right), id(c), id(bias) if bias is not None else 0, id(scratch))
    crew, threads, grain = kernels.crew(), kernels.threads(), plan.numbers[-1]
    assert crew is not None
    if plan.copies:
        crew.run(entries[0], TABLE.pack(*objects, COPY, *plan.numbers), plan.copies, 1, threads)
    stage = MULTIPLY if plan.copies else ALONE
    crew.run(entries[0], TABLE.pack(*objects, stage, *plan.numbers), plan.total, grain, threads)
    return c


def each(a: Array, b: Array, c: Array, added: bool) -> tuple[int, bytes] | None:
    """An entry, and its table, that computes products of a batch one by one.

    They are written to ``c``, or ``added`` to it.  None where others had better compute them.

    Shape: ``(…, N, m, k), (…, N, k, n) → (…, N, m, n)``, of three axes or four
    """
    (m, k), n = a.shape[-2:], b.shape[-1]
    if b.strides[-1] == b.itemsize and (n < NEARLY_WIDE or m * n * k < OF_EACH):
        return None
    plan = plan_of(a.dtype, a.shape[-2:], a.strides[-2:], b.shape[-2:], b.strides[-2:], 1)
    entries = None if plan is None else _entries(kernels.name_of(a.dtype))
    if (
        plan is None
        or entries is None
        or plan.scratch * a.itemsize > STACK
        or (added and plan.turned)
    ):
        return None
    numbers = dict(zip(NUMBERS, plan.numbers, strict=True))
    numbers["c_row"] = c.strides[-2] // c.itemsize
    numbers["flags"] |= ADDED * added
    arrays = (b, a, c) if plan.turned else (a, b, c)
    apart = [s for x in arrays for s in (x.strides[0] if x.ndim == 4 else 0, x.strides[-3])]
    return entries[1], TABLE_OF_EACH.pack(
        *map(machine.place_of, arrays), *numbers.values(), c.shape[-3], *apart, plan.total,
        plan.scratch * a.itemsize,
    )  # fmt: skip


@cache
def _entries(dtype: str) -> Sequence[int] | None:
    lanes, sources = assembly.lanes(dtype), (__file__, blocks.__file__, tiling.__file__)
    names = "entry", "each"
    return kernels.functions("tiles", (dtype, lanes), lambda: _text(dtype, lanes), sources, names)


# ---------------------------------------------------------------- the kernel


def _text(dtype: str, lanes: int) -> str:
    w = Writer(dtype, lanes)
    vectors = vectors_of(lanes * w.size)
    high, wide = HEIGHTS[0], vectors * w.lanes
    write_tile(w, "along", high, vectors, Pace(1, wide, STEPS))
    write_tile(w, "across", high, vectors, Pace(b=wide, steps=STEPS))
    for rows in HEIGHTS:
        write_tile(w, "tile", rows, vectors, Pace())
    for narrow in range(1, vectors):  # the last panel
        write_tile(w, "tile", high, narrow, Pace())
    write_turn(w)
    head = f"({machine.PARAMETERS})"
    w.define(f"internal void @compute{head} noinline", lambda: _Product(w, vectors))
    w.define(f"i32 @entry{head}", lambda: w.do(f"call void @compute{head}"), "i32 0")
    w.define(f"i32 @each{head}", lambda: _each(w), "i32 0")
    return w.text()


def _each(w: Writer) -> None:
    """Products of a batch: a table for one of them is made, and its arrays changed each time."""
    words = w.table(0, TABLE_OF_EACH.size // 8)
    own, slots = w.let(f"alloca [{len(WORDS)} x i64]"), w.let("alloca [4 x i64]")
    count, *apart, total, room = words[3 + len(NUMBERS) :]
    scratch = w.let(f"alloca i8, i64 {room}, align 64")

    def keep(value: str, array: str, i: int) -> str:
        place = w.let(f"getelementptr i64, ptr {array}, i64 {i}")
        w.do(f"store i64 {value}, ptr {place}")
        return w.let(f"ptrtoint ptr {place} to i64")

    known = dict(zip(NUMBERS, words[3:], strict=False)) | {"bias": "0", "stage": str(ALONE)}
    memory = *words[:3], w.let(f"ptrtoint ptr {scratch} to i64")
    for slot, name in enumerate(("a", "b", "c", "scratch")):  # as if they were in objects
        known[name] = w.sub(keep(memory[slot], slots, slot), machine.HEAD)
    for name, value in known.items():
        keep(value, own, WORDS.index(name))

    def one(i: str) -> None:
        outer = w.let(f"sdiv i64 {i}, {count}")
        inner = w.sub(i, w.mul(outer, count))
        for slot, first in enumerate(words[:3]):
            steps = w.add(w.mul(outer, apart[2 * slot]), w.mul(inner, apart[2 * slot + 1]))
            keep(w.add(first, steps), slots, slot)
        w.do(f"call void @compute(ptr {own}, i64 0, i64 {total})")

    w.loop("%start", "%stop", 1, one)


class Place(NamedTuple):
    """Where an array is, and how far apart its rows are, and its parts for each panel."""

    start: str
    row: str
    panel: str


class _Product:
    """A part of the work: rows of the left factor, or panels of the right one."""

    def __init__(self, w: Writer, vectors: int):
        self.w, self.vectors = w, vectors
        self.wide = vectors * w.lanes
        self._read_table()
        blocks = 0, self.words["k"], self.words["deep"]

        def multiply() -> None:
            w.loop(*blocks, self._block)
            w.when(self.turned, lambda: w.loop(*self.panels, 1, self._turn_out))

        copying = w.let(f"icmp eq i64 {self.words['stage']}, {COPY}")

        def copy(e: str) -> None:
            block = w.let(f"sdiv i64 {e}, {self.count}")
            panel = w.sub(e, w.mul(block, self.count))
            self._bring(w.mul(block, self.words["deep"]), (panel, w.add(panel, 1)))

        w.when(copying, lambda: w.loop("%start", "%stop", 1, copy), multiply)

    def _read_table(self) -> None:
        w = self.w
        words = dict(zip(WORDS, w.table(5, len(WORDS) - 5), strict=True))
        self.zeros = w.let(f"alloca [{self.wide} x {w.number}]")
        for v in range(self.vectors):
            w.store("zeroinitializer", w.at(self.zeros, v * w.lanes))
        for name in ("a", "b", "c", "scratch"):  # from the object to its memory
            field = w.let(f"getelementptr i8, ptr {words[name]}, i64 {machine.HEAD}")
            words[name] = w.let(f"load ptr, ptr {field}")
        self.has_bias = w.let(f"icmp ne ptr {words['bias']}, null")
        self.words = words
        by_rows = w.let(f"icmp ne i64 {words['by_rows']}, 0")
        every = TURNED_IN, TURNED_OUT, COPIED, PACKED, ADDED
        flags = [w.let(f"and i64 {words['flags']}, {b}") for b in every]
        self.turned_in, self.turned, self.copied, self.packed, self.added = (
            w.let(f"icmp ne i64 {f}, 0") for f in flags
        )
        self.count = w.let(f"sdiv i64 {w.add(words['n'], self.wide - 1)}, {self.wide}")
        self.top = w.select(by_rows, "i64 %start", "i64 0")
        self.rows = w.sub(w.select(by_rows, "i64 %stop", f"i64 {words['m']}"), self.top)
        self.panels = (
            w.select(by_rows, "i64 0", "i64 %start"),
            w.select(by_rows, f"i64 {self.count}", "i64 %stop"),
        )
        self._find_scratch()
        self._find_bias()

    def _find_scratch(self) -> None:
        """Memory, on whole cache lines: for copied panels, and what is this part's own.

        That are panels it copies itself, packed rows, and a result that is turned later.  Panels
        are a row further apart than they are long: a power of two would let them displace each
        other from the cache.
        """
        w, words = self.w, self.words
        whole = w.let(f"ptrtoint ptr {words['scratch']} to i64")
        aligned = w.let(f"and i64 {w.add(whole, 63)}, -64")
        first = w.let(f"inttoptr i64 {aligned} to ptr")
        part = w.let(f"sdiv i64 %start, {words['grain']}")
        own = w.at(w.at(first, words["shared"]), w.mul(part, words["own"]))
        self.panel_size = w.mul(w.add(words["deep"], 1), self.wide)
        mine = w.sub(self.panels[1], self.panels[0])
        staged = w.let(f"icmp ne i64 {words['shared']}, 0")
        self.copies = w.select(
            staged,
            f"ptr {first}",
            f"ptr {w.at(own, w.mul(w.mul(self.panels[0], self.panel_size), -1))}",
        )
        self.block_size = w.select(staged, f"i64 {w.mul(self.panel_size, self.count)}", "i64 0")
        self.left = w.at(own, w.select(staged, "i64 0", f"i64 {w.mul(mine, self.panel_size)}"))
        aside = w.at(w.at(self.left, words["packed"]), w.mul(self.panels[0], -self.wide))
        there = w.at(words["c"], w.mul(self.top, words["c_row"]))
        self.c = w.select(self.turned, f"ptr {aside}", f"ptr {there}")
        columns = w.mul(mine, self.wide)
        self.c_row = w.select(self.turned, f"i64 {columns}", f"i64 {words['c_row']}")

    def _find_bias(self) -> None:
        """The bias's memory, which is not looked for where there is none."""
        w = self.w
        place = w.let("alloca ptr")
        w.do(f"store ptr null, ptr {place}")

        def find() -> None:
            field = w.let(f"getelementptr i8, ptr {self.words['bias']}, i64 {machine.HEAD}")
            w.do(f"store ptr {w.let(f'load ptr, ptr {field}')}, ptr {place}")

        w.when(self.has_bias, find)
        self.bias = w.let(f"load ptr, ptr {place}")

    def _terms(self, i: str) -> str:
        return self.w.smaller(self.words["deep"], self.w.sub(self.words["k"], i))

    def _bring(self, i: str, panels: tuple[str, str]) -> None:
        """Panels of the right factor, from a term on, to where their rows are together."""
        w, words = self.w, self.words
        there, terms = w.at(words["b"], w.mul(i, words["b_row"])), self._terms(i)
        to = w.at(self.copies, w.mul(w.let(f"sdiv i64 {i}, {words['deep']}"), self.block_size))
        w.when(self.copied, lambda: self._copy_in(there, to, terms, panels))
        w.when(self.turned_in, lambda: self._turn_in(there, to, terms, panels))

    def _copy_in(self, there: str, to: str, terms: str, panels: tuple[str, str]) -> None:
        w, words, wide = self.w, self.words, self.wide
        whole = w.smaller(w.let(f"sdiv i64 {words['n']}, {wide}"), panels[1])
        left = w.sub(words["n"], w.mul(whole, wide))
        mask = w.lanes_below("0", w.let(f"and i64 {left}, {w.lanes - 1}"))
        any_whole = w.let(f"icmp slt i64 {panels[0]}, {whole}")
        any_part = w.let(f"icmp slt i64 {whole}, {panels[1]}")

        def row(j: str) -> None:
            source = w.at(there, w.mul(j, words["b_row"]))
            result = w.at(to, w.mul(j, wide))

            def panel(p: str) -> None:
                first, here = w.at(source, w.mul(p, wide)), w.at(result, w.mul(p, self.panel_size))
                for v, value in enumerate(w.loads(first, self.vectors)):
                    w.store(value, w.at(here, v * w.lanes))

            def part() -> None:
                first = w.at(source, w.mul(whole, wide))
                here = w.at(result, w.mul(whole, self.panel_size))
                vectors = w.let(f"and i64 {left}, -{w.lanes}")
                some = w.let(f"icmp sgt i64 {vectors}, 0")

                def vector(v: str) -> None:
                    w.store(w.load(w.at(first, v)), w.at(here, v))

                w.when(some, lambda: w.loop(0, vectors, w.lanes, vector))
                value = w.load_masked(w.at(first, vectors), mask)
                w.store(value, w.at(here, vectors))

            w.when(any_whole, lambda: w.loop(panels[0], whole, 1, panel))
            w.when(any_part, part)

        w.loop(0, terms, 1, row)

    def _turn_in(self, there: str, to: str, terms: str, panels: tuple[str, str]) -> None:
        """Squares of the transposed right factor; the last ones overlap."""
        w, words = self.w, self.words
        edge = w.sub(terms, w.lanes)

        def panel(p: str) -> None:
            column = w.mul(p, self.wide)
            source = w.at(there, w.mul(column, words["b_column"]))
            result = w.at(to, w.mul(p, self.panel_size))
            last = w.sub(w.sub(words["n"], column), 1)

            def squares(i: str) -> None:
                i = w.smaller(i, edge)
                here = w.at(result, w.mul(i, self.wide))

                def square(v: str) -> None:
                    at = w.at(w.at(source, w.mul(v, words["b_column"])), i)
                    w.do(
                        f"call void @turn(ptr {at}, i64 {words['b_column']}, "
                        f"i64 {w.sub(last, v)}, ptr {w.at(here, v)}, "
                        f"i64 {self.wide}, i64 {w.lanes}, ptr {self.zeros})"
                    )

                w.loop(0, columns, w.lanes, square)

            columns = w.smaller(self.wide, w.add(last, 1))
            w.loop(0, terms, w.lanes, squares)

        w.loop(*panels, 1, panel)

    def _pack(self, source: str, rows: str, terms: str) -> None:
        """A group of rows, term by term, of a left factor whose columns are contiguous."""
        w = self.w
        pieces = range(0, GROUP, w.lanes)
        masks = [w.lanes_below(str(v), rows) for v in pieces]

        def term(j: str) -> None:
            there = w.at(source, w.mul(j, self.words["a_k"]))
            here = w.at(self.left, w.mul(j, GROUP))
            for v, mask in zip(pieces, masks, strict=True):
                w.store(w.load_masked(w.at(there, v), mask), w.at(here, v))

        w.loop(0, terms, 1, term)

    def _block(self, i: str) -> None:
        """Some terms of all sums; later ones are added to what is there."""
        w, words = self.w, self.words
        terms = self._terms(i)
        alone = w.let(f"icmp eq i64 {words['stage']}, {ALONE}")
        w.when(alone, lambda: self._bring(i, self.panels))
        right, sums, bias = self._right(i), self._sums(i), self._bias(i, terms)
        whole = w.mul(w.let(f"sdiv i64 {w.add(words['n'], w.lanes - 1)}, {w.lanes}"), w.lanes)
        end = w.select(self.turned, f"i64 {whole}", f"i64 {words['n']}")
        left = w.at(words["a"], w.mul(self.top, words["a_row"]))
        left = w.at(left, w.mul(i, words["a_k"]))
        a_row = w.select(self.packed, "i64 1", f"i64 {words['a_row']}")
        a_k = w.select(self.packed, f"i64 {GROUP}", f"i64 {words['a_k']}")
        across = w.let(f"icmp eq i64 {a_row}, 1")
        following = w.mul(a_row, HEIGHTS[0])  # rows; if they are together, line by line
        ahead = w.select(across, f"i64 {w.mul(a_k, AHEAD)}", f"i64 {following}")
        names = [f"ptr @{n}_{HEIGHTS[0]}_{self.vectors}" for n in ("along", "across", "tile")]
        together = w.let(f"icmp eq i64 {right.row}, {self.wide}")
        plain = w.let(f"icmp eq i64 {a_k}, 1")
        unrolled = w.select(plain, names[0], names[1])
        self.tile = w.select(together, f"ptr {unrolled}", names[2])

        def tile(r: str, a: str, rows: str) -> None:
            sums_r, c_r = w.at(sums.start, w.mul(r, sums.row)), w.at(self.c, w.mul(r, self.c_row))

            def panel(p: str) -> None:
                column = w.mul(p, self.wide)
                wanted = w.sub(end, column)
                self._call(
                    rows,
                    wanted,
                    f"ptr {a}, i64 {a_row}, i64 {a_k}, i64 {rows}, "
                    f"ptr {w.at(right.start, w.mul(p, right.panel))}, i64 {right.row}, "
                    f"i64 {terms}, ptr {w.at(sums_r, w.mul(p, sums.panel))}, i64 {sums.row}, "
                    f"ptr {w.at(bias.start, w.mul(p, bias.panel))}, ptr {w.at(c_r, column)}, "
                    f"i64 {self.c_row}, i64 {wanted}, i64 {ahead}",
                )

            w.loop(*self.panels, 1, panel)

        def group(r: str) -> None:
            rows = w.smaller(GROUP, w.sub(self.rows, r))
            there = w.at(left, w.mul(r, words["a_row"]))
            w.when(self.packed, lambda: self._pack(there, rows, terms))
            a = w.select(self.packed, f"ptr {self.left}", f"ptr {there}")

            def tiles(j: str) -> None:
                tile(w.add(r, j), w.at(a, w.mul(j, a_row)), w.sub(rows, j))

            w.loop(0, rows, HEIGHTS[0], tiles)

        w.loop(0, self.rows, GROUP, group)

    def _right(self, i: str) -> Place:
        """Panels from a term on: copied, or where they are."""
        w, words = self.w, self.words
        elsewhere = w.let(f"or i1 {self.turned_in}, {self.copied}")
        there = w.at(words["b"], w.mul(i, words["b_row"]))
        here = w.at(self.copies, w.mul(w.let(f"sdiv i64 {i}, {words['deep']}"), self.block_size))
        return Place(
            w.select(elsewhere, f"ptr {here}", f"ptr {there}"),
            w.select(elsewhere, f"i64 {self.wide}", f"i64 {words['b_row']}"),
            w.select(elsewhere, f"i64 {self.panel_size}", f"i64 {self.wide}"),
        )

    def _sums(self, i: str) -> Place:
        """What the sums of a block are added to: nothing at first, then what others made."""
        w = self.w
        begins = w.let(f"icmp eq i64 {i}, 0")
        begins = w.let(f"and i1 {begins}, {w.let(f'xor i1 {self.added}, true')}")
        return Place(
            w.select(begins, f"ptr {self.zeros}", f"ptr {self.c}"),
            w.select(begins, "i64 0", f"i64 {self.c_row}"),
            w.select(begins, "i64 0", f"i64 {self.wide}"),
        )

    def _bias(self, i: str, terms: str) -> Place:
        """What the last block adds to each row; of a turned result that happens later."""
        w = self.w
        ends = w.let(f"icmp sge i64 {w.add(i, terms)}, {self.words['k']}")
        plain = w.let(f"xor i1 {self.turned}, true")
        biased = w.let(f"and i1 {self.has_bias}, {w.let(f'and i1 {ends}, {plain}')}")
        start = w.select(biased, f"ptr {self.bias}", f"ptr {self.zeros}")
        return Place(start, "0", w.select(biased, f"i64 {self.wide}", "i64 0"))

    def _call(self, rows: str, wanted: str, arguments: str) -> None:
        """The smallest tile that has all rows and columns that are left, or else the largest."""
        w = self.w

        def narrow(vectors: int) -> None:
            call = f"call void @tile_{HEIGHTS[0]}_{vectors}({arguments})"
            if vectors == 1:
                w.do(call)
            else:
                more = w.let(f"icmp sgt i64 {wanted}, {(vectors - 1) * w.lanes}")
                w.when(more, lambda: w.do(call), lambda: narrow(vectors - 1))

        def low(heights: tuple[int, ...]) -> None:
            call = f"call void @tile_{heights[0]}_{self.vectors}({arguments})"
            if heights is HEIGHTS:
                call = f"call void {self.tile}({arguments})"
            if len(heights) == 1:
                w.do(call)
            else:
                more = w.let(f"icmp sgt i64 {rows}, {heights[1]}")
                w.when(more, lambda: w.do(call), lambda: low(heights[1:]))

        full = w.let(f"icmp sgt i64 {wanted}, {(self.vectors - 1) * w.lanes}")
        w.when(full, lambda: low(HEIGHTS), lambda: narrow(self.vectors - 1))

    def _turn_out(self, p: str) -> None:
        """A panel of the result, which stands aside, turned to where it belongs."""
        w, words = self.w, self.words
        column = w.mul(p, self.wide)
        edge = w.sub(self.rows, w.lanes)
        wanted = w.sub(words["n"], column)
        columns = w.smaller(self.wide, wanted)

        def squares(r: str) -> None:
            r = w.smaller(r, edge)
            row = w.add(self.top, r)
            bias = w.select(self.has_bias, f"ptr {w.at(self.bias, row)}", f"ptr {self.zeros}")
            source = w.at(w.at(self.c, w.mul(r, self.c_row)), column)

            def square(v: str) -> None:
                to = w.at(w.at(words["c"], w.mul(w.add(column, v), words["c_row"])), row)
                w.do(
                    f"call void @turn(ptr {w.at(source, v)}, i64 {self.c_row}, "
                    f"i64 {w.sub(self.rows, 1)}, ptr {to}, i64 {words['c_row']}, "
                    f"i64 {w.sub(wanted, v)}, ptr {bias})"
                )

            w.loop(0, columns, w.lanes, square)

        w.loop(0, self.rows, w.lanes, squares)
