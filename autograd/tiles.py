"""Products of matrices by tiles of sums that stay in registers while the factors stream by.

A tile is a few rows of the left factor by two vectors of columns of the right one, a *panel* of
it: a step of the loop takes the two vectors of one row of the panel, and a number of each row of
the left factor, wherever that is.  A panel whose rows are contiguous is read where it is, or
copied if there are many tiles to read it: rows that are a power of two apart displace each other
from the cache.  Where the right factor is transposed, as the weight of a layer is, the smaller one
of the two is turned: either the panels are, square by square, or ``Bᵀ Aᵀ`` is computed and turned
on its way out.

Sums of many terms are added up in blocks, for which a panel is short enough for the innermost
cache; what there is of the sums so far stands aside, and only the last block writes the result.

OpenBLAS always copies both factors: (32, 784) by (784, 256) takes it 0.15 ms on two threads, and
0.09 so.  Threads share rows or panels, as many as there may be, so the same number of threads
always gives the same bits.  Columns that do not fill a panel are computed with some of the last
one's again, to the same bits (so the result never holds sums that are not complete).
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import assembly, kernels, machine
from .assembly import Writer

__all__ = ["product"]

Array = np.ndarray[Any, Any]

VECTORS = 2  # columns of a panel, in vectors
DEEP = 4096  # terms of a sum; of more, the rows of a tile are in no cache
NARROW = 8  # rows, and columns; fewer leave most of a tile empty
SHORT, FEW = 48, 64  # terms, and rows of the left factor, up to which none is worth copying
HUGE = 1 << 27  # multiplications; of so many, the factors are in no cache
SMALL = 1 << 25  # multiplications; up to so many, copies of both factors are not paid back
BLOCK = 256  # terms that are added up at once; of so many, a panel is in the innermost cache
COPIES = 1 << 13  # rows of a part times terms, from which a panel that is read so often is copied
CLOSE = 1 << 20  # bytes; a larger factor that is read across its rows is far from a core

TABLE = struct.Struct("17q")
WORDS = ("a", "b", "c", "bias", "scratch", "a_row", "a_k", "b_row", "b_column", "c_row", "m", "n",
         "k", "by_rows", "deep", "flags", "grain")  # fmt: skip
TURNED_IN, TURNED_OUT, COPIED = 1, 2, 4  # flags: what becomes of a panel, and of its result


class Plan(NamedTuple):
    """How a product is computed: whether turned, and what does not depend on where arrays are."""

    entry: int
    turned: bool
    numbers: tuple[int, ...]
    total: int
    scratch: int  # elements


def product(a: Array, b: Array, bias: Array | None = None) -> Array | None:
    """The product of two matrices of one type, with a contiguous ``bias`` for each row.

    None where others had better compute it.
    """
    plan = _plan(a.dtype, a.shape, a.strides, b.shape, b.strides, kernels.threads())
    if plan is None:
        return None
    c = np.empty((len(a), b.shape[1]), a.dtype)
    scratch = np.empty(plan.scratch, a.dtype)
    left, right = (b, a) if plan.turned else (a, b)
    table = TABLE.pack(id(left), id(right), id(c), id(bias) if bias is not None else 0,
                       id(scratch), *plan.numbers)  # fmt: skip
    crew = kernels.crew()
    assert crew is not None
    crew.run(plan.entry, table, plan.total, plan.numbers[-1], kernels.threads())
    return c


@lru_cache(maxsize=1024)
def _plan(
    kind: np.dtype[Any],
    a: tuple[int, ...],
    a_strides: tuple[int, ...],
    b: tuple[int, ...],
    b_strides: tuple[int, ...],
    threads: int,
) -> Plan | None:
    """How to multiply arrays of these shapes and strides; None if not here."""
    dtype, size = kind.name, kind.itemsize  # a type's name takes 1 µs to make: not at each call
    (m, k), n = a, b[1]
    lanes = assembly.lanes(dtype)
    if not lanes or kernels.crew() is None or not lanes <= k <= DEEP or m < NARROW:
        return None
    if any(s % size for s in (*a_strides, *b_strides)):
        return None
    (a_row, a_k), (b_row, b_column) = ([s // size for s in x] for x in (a_strides, b_strides))
    turned = b_column != 1 and m <= n
    across = n
    if turned:
        m, n = n, m
        a_row, a_k, b_row, b_column = b_column, b_row, a_k, a_row
    if b_column == 1 and k > SHORT and m > FEW and m * n * k > SMALL:
        return None  # copies of both factors are paid back
    if k > BLOCK and k * size * max(a_k, b_row if b_column == 1 else 1) > CLOSE:
        return None
    if m * n * k >= HUGE:
        return None
    wide = VECTORS * lanes
    if n < (NARROW if turned else wide) or 1 not in (b_row, b_column):
        return None
    # Rows also of a wide result of few terms, such as a weight's gradient: then its halves are
    # whole, and stay in the caches of the cores whose threads go on to update them.
    by_rows = m >= n or m >= 128 >= 2 * k
    total = m if by_rows else -(-n // wide)
    grain = -(-total // threads)
    if by_rows:
        grain = grain + 3 & ~3
    rows = grain if by_rows else m
    if (b_column != 1 or turned) and min(rows, total % grain or rows if by_rows else rows) < lanes:
        return None
    entry = _entry(dtype, lanes)
    if entry is None:
        return None
    deep = -(-k // -(-k // BLOCK))
    copied = b_column == 1 and deep * rows > COPIES
    flags = TURNED_IN * (b_column != 1) + TURNED_OUT * turned + COPIED * copied
    numbers = a_row, a_k, b_row, b_column, across, m, n, k, by_rows, deep, flags, grain
    each = (deep * (b_column != 1 or copied) + rows * (turned or deep < k)) * wide
    return Plan(entry, turned, numbers, total, each * -(-total // grain) + 64 // size)


@cache
def _entry(dtype: str, lanes: int) -> int | None:
    return kernels.written("tiles", (dtype, lanes), lambda: _text(dtype, lanes), __file__)


# ---------------------------------------------------------------- the kernel


def _text(dtype: str, lanes: int) -> str:
    w = Writer(dtype, lanes)
    sixteen_registers = lanes * w.size == 32
    heights = (6, 4, 2) if sixteen_registers else (12, 8, 4)
    for rows in heights:
        _tile(w, rows)
    _turn(w)
    w.define("i32 @entry(ptr %table, i64 %start, i64 %stop)", lambda: _Entry(w, heights), "i32 0")
    return w.text()


def _tile(w: Writer, rows: int) -> None:
    """A block of sums, plus others and a vector; rows beyond the last one are that again."""

    def body() -> None:
        inside = [w.let(f"icmp slt i64 {r}, %left") for r in range(1, rows)]

        def places(first: str, step: str) -> list[str]:
            out = [first]
            for fits in inside:
                out.append(w.at(out[-1], w.select(fits, f"i64 {step}", "i64 0")))
            return out

        left = places("%a", "%a_row")

        def step(i: str, along: str, b: str, *sums: str) -> list[str]:
            right, factors = w.loads(b, VECTORS), [w.at(row, along) for row in left]
            return [w.add(along, "%a_k"), w.at(b, "%b_row"), *w.outer(sums, factors, right)]

        zeros = [(w.vector, "zeroinitializer")] * (rows * VECTORS)
        _, _, *made = w.loop(0, "%k", 1, step, [("i64", "0"), ("ptr", "%b"), *zeros])
        more = w.loads("%bias", VECTORS)
        for r, place in enumerate(places("%sums", "%sums_row")):  # read before any is written
            for v, there in enumerate(w.loads(place, VECTORS)):
                i = r * VECTORS + v
                made[i] = w.plus(w.plus(made[i], there), more[v])
        for r, place in enumerate(places("%c", "%c_row")):
            for v in range(VECTORS):
                w.store(made[r * VECTORS + v], w.at(place, v * w.lanes))

    head = "ptr %a, i64 %a_row, i64 %a_k, i64 %left, ptr %b, i64 %b_row, i64 %k"
    more = "ptr %sums, i64 %sums_row, ptr %bias, ptr %c, i64 %c_row"
    w.define(f"internal void @tile_{rows}({head}, {more}) noinline", body)


def _turn(w: Writer) -> None:
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


class _Entry:
    """A part of the work: rows of the left factor, or panels of the right one."""

    def __init__(self, w: Writer, heights: tuple[int, ...]):
        self.w, self.heights = w, heights
        self.wide = VECTORS * w.lanes
        self._read_table()
        w.loop(self.panels[0], self.panels[1], 1, self._panel)

    def _read_table(self) -> None:
        w = self.w
        words = dict(zip(WORDS, w.table(5, len(WORDS) - 5), strict=True))
        self.zeros = w.let(f"alloca [{self.wide} x {w.number}]")
        for v in range(VECTORS):
            w.store("zeroinitializer", w.at(self.zeros, v * w.lanes))
        for name in ("a", "b", "c", "scratch"):  # from the object to its memory
            field = w.let(f"getelementptr i8, ptr {words[name]}, i64 {machine.HEAD}")
            words[name] = w.let(f"load ptr, ptr {field}")
        self.has_bias = w.let(f"icmp ne ptr {words['bias']}, null")
        self.words = words
        by_rows = w.let(f"icmp ne i64 {words['by_rows']}, 0")
        flags = [w.let(f"and i64 {words['flags']}, {b}") for b in (TURNED_IN, TURNED_OUT, COPIED)]
        self.turned_in, self.turned, self.copied = (w.let(f"icmp ne i64 {f}, 0") for f in flags)
        count = w.let(f"sdiv i64 {w.add(words['n'], self.wide - 1)}, {self.wide}")
        self.top = w.select(by_rows, "i64 %start", "i64 0")
        self.rows = w.sub(w.select(by_rows, "i64 %stop", f"i64 {words['m']}"), self.top)
        self.panels = (
            w.select(by_rows, "i64 0", "i64 %start"),
            w.select(by_rows, f"i64 {count}", "i64 %stop"),
        )
        self.edge = w.larger(w.sub(words["n"], self.wide), 0)
        self._find_scratch(by_rows)
        self._find_bias()

    def _find_scratch(self, by_rows: str) -> None:
        """Memory of this part's own, on whole cache lines: for a panel, and for its result."""
        w, words = self.w, self.words
        whole = w.let(f"ptrtoint ptr {words['scratch']} to i64")
        aligned = w.let(f"and i64 {w.add(whole, 63)}, -64")
        first = w.let(f"inttoptr i64 {aligned} to ptr")
        rows = w.select(by_rows, f"i64 {words['grain']}", f"i64 {words['m']}")
        self.elsewhere = w.let(f"or i1 {self.turned_in}, {self.copied}")
        own = w.mul(w.select(self.elsewhere, f"i64 {words['deep']}", "i64 0"), self.wide)
        several = w.let(f"icmp slt i64 {words['deep']}, {words['k']}")
        needed = w.let(f"or i1 {self.turned}, {several}")
        aside = w.mul(w.select(needed, f"i64 {rows}", "i64 0"), self.wide)
        part = w.let(f"sdiv i64 %start, {words['grain']}")
        self.copy = w.at(first, w.mul(part, w.add(own, aside)))
        self.aside = w.at(self.copy, own)

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

    def _panel(self, p: str) -> None:
        w, words = self.w, self.words
        column = w.smaller(w.mul(p, self.wide), self.edge)
        out = w.at(w.at(words["c"], w.mul(self.top, words["c_row"])), column)
        plain = w.let(f"xor i1 {self.turned}, true")
        wanted = w.let(f"and i1 {self.has_bias}, {plain}")
        bias = w.select(wanted, f"ptr {w.at(self.bias, column)}", f"ptr {self.zeros}")
        w.loop(0, words["k"], words["deep"], lambda i: self._block(i, column, bias, out))
        w.when(self.turned, lambda: self._turn_out(column))

    def _block(self, i: str, column: str, bias: str, out: str) -> None:
        """Some terms of the sums of a panel; until the last ones the sums stand aside."""
        w, words, wide = self.w, self.words, self.wide
        rest = w.sub(words["k"], i)
        terms = w.smaller(words["deep"], rest)
        there = w.at(words["b"], w.mul(column, words["b_column"]))
        there = w.at(there, w.mul(i, words["b_row"]))
        w.when(self.turned_in, lambda: self._turn_in(there, column, terms))
        w.when(self.copied, lambda: self._copy_in(there, terms))
        b = w.select(self.elsewhere, f"ptr {self.copy}", f"ptr {there}")
        b_row = w.select(self.elsewhere, f"i64 {wide}", f"i64 {words['b_row']}")
        begins = w.let(f"icmp eq i64 {i}, 0")
        sums = w.select(begins, f"ptr {self.zeros}", f"ptr {self.aside}")
        sums_row = w.select(begins, "i64 0", f"i64 {wide}")
        unfinished = w.let(f"icmp slt i64 {terms}, {rest}")
        bias = w.select(unfinished, f"ptr {self.zeros}", f"ptr {bias}")
        aside = w.let(f"or i1 {self.turned}, {unfinished}")
        c = w.select(aside, f"ptr {self.aside}", f"ptr {out}")
        c_row = w.select(aside, f"i64 {wide}", f"i64 {words['c_row']}")
        left = w.at(words["a"], w.mul(self.top, words["a_row"]))
        left = w.at(left, w.mul(i, words["a_k"]))

        def tiles(r: str) -> None:
            rows = w.sub(self.rows, r)
            self._lowest(
                rows,
                f"ptr {w.at(left, w.mul(r, words['a_row']))}, i64 {words['a_row']}, "
                f"i64 {words['a_k']}, i64 {rows}, ptr {b}, i64 {b_row}, i64 {terms}, "
                f"ptr {w.at(sums, w.mul(r, sums_row))}, i64 {sums_row}, ptr {bias}, "
                f"ptr {w.at(c, w.mul(r, c_row))}, i64 {c_row}",
                self.heights,
            )

        w.loop(0, self.rows, self.heights[0], tiles)

    def _lowest(self, left: str, arguments: str, heights: tuple[int, ...]) -> None:
        """The lowest tile that has all rows that are left, or else the highest."""
        w = self.w
        call = f"call void @tile_{heights[0]}({arguments})"
        if len(heights) == 1:
            w.do(call)
        else:
            more = w.let(f"icmp sgt i64 {left}, {heights[1]}")
            w.when(more, lambda: w.do(call), lambda: self._lowest(left, arguments, heights[1:]))

    def _copy_in(self, there: str, terms: str) -> None:
        """A panel of the right factor, whose rows are then next to each other."""
        w, words = self.w, self.words

        def row(i: str) -> None:
            source = w.at(there, w.mul(i, words["b_row"]))
            to = w.at(self.copy, w.mul(i, self.wide))
            for v in range(VECTORS):
                w.store(w.load(w.at(source, v * w.lanes)), w.at(to, v * w.lanes))

        w.loop(0, terms, 1, row)

    def _turn_in(self, there: str, column: str, terms: str) -> None:
        """Squares of the transposed right factor; the last ones overlap."""
        w, words = self.w, self.words
        edge = w.sub(terms, w.lanes)
        last = w.sub(w.sub(words["n"], column), 1)

        def squares(i: str) -> None:
            i = w.smaller(i, edge)
            to = w.at(self.copy, w.mul(i, self.wide))
            for v in range(VECTORS):
                first = w.smaller(v * w.lanes, last)
                source = w.at(w.at(there, w.mul(first, words["b_column"])), i)
                w.do(
                    f"call void @turn(ptr {source}, i64 {words['b_column']}, "
                    f"i64 {w.sub(last, first)}, ptr {w.at(to, v * w.lanes)}, i64 {self.wide}, "
                    f"i64 {w.lanes}, ptr {self.zeros})"
                )

        w.loop(0, terms, w.lanes, squares)

    def _turn_out(self, column: str) -> None:
        """The panel of the result, which stands aside, turned to where it belongs."""
        w, words = self.w, self.words
        edge = w.sub(self.rows, w.lanes)
        wanted = w.sub(words["n"], column)

        def squares(r: str) -> None:
            r = w.smaller(r, edge)
            row = w.add(self.top, r)
            bias = w.select(self.has_bias, f"ptr {w.at(self.bias, row)}", f"ptr {self.zeros}")
            source = w.at(self.aside, w.mul(r, self.wide))
            for v in range(VECTORS):
                to = w.at(w.at(words["c"], w.mul(w.add(column, v * w.lanes), words["c_row"])), row)
                w.do(
                    f"call void @turn(ptr {w.at(source, v * w.lanes)}, i64 {self.wide}, "
                    f"i64 {w.lanes}, ptr {to}, i64 {words['c_row']}, "
                    f"i64 {w.sub(wanted, v * w.lanes)}, ptr {bias})"
                )

        w.loop(0, self.rows, w.lanes, squares)


kernels.forgotten_by_children.append(_plan.cache_clear)
