"""Products of large matrices, shared by our own threads.

One product is computed by tiles of our own (`tiles`), and those of a batch where they are large or
their right factor is transposed.  What those do not take, such as very few rows or columns, and
small products of a batch, are NumPy's own BLAS: OpenBLAS begins a product on
several threads later than it could, waits for all of them, and lets them poll for the next one,
which takes a core from everyone else.  So it is asked for parts of the product, each on one
thread, by a crew that does not wait for who is busy (`crew.Crew`).

The parts are rows or columns of the result, as many as there may be threads, so the same number of
threads always gives the same bits.  Those of a batch are whole products.
"""

from __future__ import annotations

import ctypes
import math
import struct
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import assembly, image_rows, kernels, machine, tiles
from .crew import Crew

__all__ = ["LARGE", "Step", "chain", "dot", "each", "matmul", "plus_bias", "total"]

Array = np.ndarray[Any, Any]

LARGE = 1 << 18  # multiplications; below, a product is over before another thread has begun
FEW = 64  # rows of a batch: W xᵀ, copied into place, takes two thirds of the time of x Wᵀ
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # the names of the C interface

# The parts of a product, for `crew.Crew`: ``entry(table, start, stop, member)``.
PART = """
define i32 @part_TYPE(PARAMETERS) {
LOADS
  %part = sub i64 %stop, %start
  %by_rows = icmp ne i64 %w15, 0
  %m = select i1 %by_rows, i64 %part, i64 %w3
  %n = select i1 %by_rows, i64 %w4, i64 %part
  %in_a = mul i64 %start, %w12
  %in_b = mul i64 %start, %w13
  %in_c = mul i64 %start, %w14
  %a_1 = add i64 %w6, %in_a
  %b_1 = add i64 %w8, %in_b
  %c_1 = add i64 %w10, %in_c
  %a = inttoptr i64 %a_1 to ptr
  %b = inttoptr i64 %b_1 to ptr
  %c = inttoptr i64 %c_1 to ptr
  %f = inttoptr i64 %w0 to ptr
  %ta = trunc i64 %w1 to i32
  %tb = trunc i64 %w2 to i32
  call void %f(i32 ORDER, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %w5, TYPE 1.0, ptr %a, i64 %w7,
               ptr %b, i64 %w9, TYPE 0.0, ptr %c, i64 %w11)
  %plain = icmp eq i64 %w16, 0
  br i1 %plain, label %done, label %add
add:
  %moved = select i1 %by_rows, i64 0, i64 %in_c
  %bias_1 = add i64 %w16, %moved
  %bias = inttoptr i64 %bias_1 to ptr
  br label %row
row:
  %r = phi i64 [ 0, %add ], [ %r1, %end ]
  %r1 = add i64 %r, 1
  %rest = icmp slt i64 %r, %m
  br i1 %rest, label %begin, label %done
begin:
  %across = mul i64 %r, %w11
  %first = getelementptr TYPE, ptr %c, i64 %across
  br label %look
look:
  %j = phi i64 [ 0, %begin ], [ %j16, %sixteen ]
  %j16 = add i64 %j, 16
  %whole = icmp sle i64 %j16, %n
  br i1 %whole, label %sixteen, label %tail
sixteen:
  %at = getelementptr TYPE, ptr %first, i64 %j
  %of = getelementptr TYPE, ptr %bias, i64 %j
  %was = load <16 x TYPE>, ptr %at, align 4
  %more = load <16 x TYPE>, ptr %of, align 4
  %sum = fadd <16 x TYPE> %was, %more
  store <16 x TYPE> %sum, ptr %at, align 4
  br label %look
tail:
  %e = phi i64 [ %j, %look ], [ %e1, %single ]
  %e1 = add i64 %e, 1
  %left = icmp slt i64 %e, %n
  br i1 %left, label %single, label %end
single:
  %at_e = getelementptr TYPE, ptr %first, i64 %e
  %of_e = getelementptr TYPE, ptr %bias, i64 %e
  %was_e = load TYPE, ptr %at_e
  %more_e = load TYPE, ptr %of_e
  %sum_e = fadd TYPE %was_e, %more_e
  store TYPE %sum_e, ptr %at_e
  br label %tail
end:
  br label %row
done:
  ret i32 0
}
"""
TABLE = struct.Struct("17q")

# The products of a batch one by one; its two axes are as far apart in each array as they may be.
# They may be added to what is there.
EACH = """
define i32 @each_TYPE(PARAMETERS) {
LOADS
  %f = inttoptr i64 %w0 to ptr
  %beta = uitofp i64 %w19 to TYPE
  %ta = trunc i64 %w1 to i32
  %tb = trunc i64 %w2 to i32
  br label %next
next:
  %i = phi i64 [ %start, %0 ], [ %i1, %work ]
  %more = icmp slt i64 %i, %stop
  br i1 %more, label %work, label %done
work:
  %outer = sdiv i64 %i, %w12
  %inner = srem i64 %i, %w12
  %a0 = mul i64 %outer, %w13
  %a1 = mul i64 %inner, %w14
  %a2 = add i64 %w6, %a0
  %a3 = add i64 %a2, %a1
  %a = inttoptr i64 %a3 to ptr
  %b0 = mul i64 %outer, %w15
  %b1 = mul i64 %inner, %w16
  %b2 = add i64 %w8, %b0
  %b3 = add i64 %b2, %b1
  %b = inttoptr i64 %b3 to ptr
  %c0 = mul i64 %outer, %w17
  %c1 = mul i64 %inner, %w18
  %c2 = add i64 %w10, %c0
  %c3 = add i64 %c2, %c1
  %c = inttoptr i64 %c3 to ptr
  call void %f(i32 ORDER, i32 %ta, i32 %tb, i64 %w3, i64 %w4, i64 %w5, TYPE 1.0, ptr %a, i64 %w7,
               ptr %b, i64 %w9, TYPE %beta, ptr %c, i64 %w11)
  %i1 = add i64 %i, 1
  br label %next
done:
  ret i32 0
}
"""

# Several entries for each link of a chain: their number, then each with its table and its width.
CHAIN = """
define i32 @chain(PARAMETERS) {
  %count = load i64, ptr %table
  br label %link
link:
  %i = phi i64 [ %start, %0 ], [ %i1, %linked ]
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i, %stop
  br i1 %more, label %step, label %done
step:
  %s = phi i64 [ 0, %link ], [ %s1, %well ]
  %last = icmp sge i64 %s, %count
  br i1 %last, label %linked, label %work
work:
  %s3 = mul i64 %s, 3
  %at = getelementptr i64, ptr %table, i64 %s3
  %entry_p = getelementptr i64, ptr %at, i64 1
  %own_p = getelementptr i64, ptr %at, i64 2
  %width_p = getelementptr i64, ptr %at, i64 3
  %entry = load ptr, ptr %entry_p
  %own = load ptr, ptr %own_p
  %width = load i64, ptr %width_p
  %from = mul i64 %i, %width
  %to = mul i64 %i1, %width
  %status = call i32 %entry(ptr %own, i64 %from, i64 %to, i64 %member)
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %well, label %bad
well:
  %s1 = add i64 %s, 1
  br label %step
linked:
  br label %link
bad:
  ret i32 %status
done:
  ret i32 0
}
"""
TABLE_OF_EACH = struct.Struct("20q")


def dot(a: Array, b: Array, bias: Array | None = None) -> Array:
    """The product of two matrices: `ndarray.dot`, and the same errors.

    A ``bias``, of the same type, is added to each row.
    """
    kind = a.dtype
    (m, k), (depth, n) = a.shape, b.shape
    if m * n * k < LARGE or depth != k or kind is not b.dtype or kind.char not in "fd":
        return _plus(a.dot(b), bias)
    if bias is not None:
        bias = np.ascontiguousarray(bias)
    found = tiles.product(a, b, bias)
    if found is not None:
        return found
    count = kernels.threads()
    blas = None if count < 2 else _blas()
    sides = _side(a), _side(b)
    if blas is None or None in sides:
        return _plus(a.dot(b), bias)
    if m <= FEW < n and sides[1][0] == TRANSPOSED:  # type: ignore[index]
        return _plus(np.ascontiguousarray(dot(b.T, a.T).T), bias)
    (ta, lda), (tb, ldb) = sides  # type: ignore[misc]
    c = np.empty((m, n), kind)
    size = kind.itemsize
    # Rows also of a wide result of few terms, such as a weight's gradient: then its halves are
    # whole, and stay in the caches of the cores whose threads go on to update them.
    by_rows = m >= n or m >= 2 * FEW >= 2 * k
    step_a = 0 if not by_rows else size if ta == TRANSPOSED else lda * size
    step_b = 0 if by_rows else ldb * size if tb == TRANSPOSED else size
    table = TABLE.pack(
        blas.functions[kind.char], ta, tb, m, n, k, machine.place_of(a), lda,
        machine.place_of(b), ldb, machine.place_of(c), n, step_a, step_b,
        n * size if by_rows else size, by_rows,
        0 if bias is None else machine.place_of(bias),
    )  # fmt: skip
    total = m if by_rows else n
    grain = -(-total // count) + 15 & ~15
    blas.run(blas.parts["fd".index(kind.char)], table, total, grain, count)
    return c


def _plus(product: Array, bias: Array | None) -> Array:
    return product if bias is None else np.add(product, bias, out=product)


class Step(NamedTuple):
    """A kernel that takes part in `chain`: of every link it gets ``width`` parts."""

    entry: int
    table: bytes
    width: int


def chain(steps: Sequence[Step], links: int) -> int:
    """Let threads take the links; of each, all steps one after the other.  Returns a status.

    So what one step writes is in the cache when the next one reads it.
    """
    blas = _blas()
    assert blas is not None
    where = [ctypes.cast(ctypes.c_char_p(s.table), ctypes.c_void_p).value for s in steps]
    words = [w for s, at in zip(steps, where, strict=True) for w in (s.entry, at, s.width)]
    table = struct.pack(f"{1 + len(words)}q", len(steps), *words)
    count = kernels.threads()
    return blas.run(blas.chain, table, links, max(1, links // (8 * count)), count)


def total(a: Array, b: Array) -> Array | None:
    """The sum of the products of a batch; None where it is not worth it.

    A thread adds up as many as every other, so the same number of threads gives the same bits.

    Shape: ``(N, m, k), (N, k, n) → (m, n)``
    """
    parts = kernels.threads()
    (m, n), count = (a.shape[1], b.shape[2]), len(a)
    if not count or count % parts:
        return None
    sums = np.zeros((parts, m, n), a.dtype)
    out = np.lib.stride_tricks.as_strided(
        sums, (parts, count // parts, m, n), (sums.strides[0], 0, *sums.strides[1:])
    )
    left, right = (x.reshape(parts, count // parts, *x.shape[1:]) for x in (a, b))
    found = each(left, right, out, added=True)
    blas = _blas()
    if found is None or blas is None:
        return None
    step, _, links = found
    blas.run(step.entry, step.table, links, count // parts, parts)
    return np.add.reduce(sums, axis=0)  # type: ignore[no-any-return]


def plus_bias(out: Array, bias: Array) -> Step | None:
    """A step after `each`: to every row of each product a number of its own is added.

    Shape: ``out (links, m, n)``, ``bias (m,)``, both contiguous
    """
    dtype = kernels.name_of(out.dtype)
    lanes = assembly.lanes(dtype)
    entry = image_rows.biased(dtype, lanes) if 0 < lanes <= out.shape[2] else None
    if entry is None:
        return None
    table = image_rows.table((out, bias), (out.shape[2], len(bias)))
    return Step(entry, table, len(bias))


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """The products of two batches of matrices: `numpy.matmul`, and the same errors.

    ``out`` may lie anywhere in memory, if only the rows of each of its matrices are contiguous.
    """
    if out is None and a.ndim > 2 and a.shape[:-2] == b.shape[:-2] == (1,) * (a.ndim - 2):
        alone = (0,) * (a.ndim - 2)
        product = dot(a[alone], b[alone])
        return product.reshape(*a.shape[:-2], *product.shape)
    found = each(a, b, out)
    if found is None:
        return np.matmul(a, b, out=out)
    step, result, links = found
    count = kernels.threads()
    blas = _blas()
    assert blas is not None
    blas.run(step.entry, step.table, links, -(-links // (4 * count)), count)
    return result


def each(
    a: Array, b: Array, out: Array | None = None, added: bool = False
) -> tuple[Step, Array, int] | None:
    """How to compute products one by one, where they are written, and how many there are.

    They may be ``added`` to what is in ``out``.  None where NumPy had better compute them.
    """
    kind, axes = a.dtype, a.ndim
    if not 3 <= axes <= 4 or axes != b.ndim or kind is not b.dtype or kind.char not in "fd":
        return None
    shape = a.shape[:-2]
    (m, k), (depth, n) = a.shape[-2:], b.shape[-2:]
    links = math.prod(shape)
    large = links > 1 and m * n * k * links >= LARGE
    if not large or depth != k or b.shape[:-2] != shape or kernels.threads() < 2:
        return None
    blas = _blas()
    sides = _side(a), _side(b)
    if blas is None or None in sides:
        return None
    if out is None:
        out = np.empty((*shape, m, n), kind)
    place = _side(out)
    if out.shape != (*shape, m, n) or out.dtype is not kind or place is None or place[0] != PLAIN:
        return None
    found = tiles.each(a, b, out, added)
    if found is not None:
        return Step(*found, 1), out, links
    (ta, lda), (tb, ldb) = sides  # type: ignore[misc]
    apart = [s for x in (a, b, out) for s in (x.strides[0] if axes == 4 else 0, x.strides[-3])]
    table = TABLE_OF_EACH.pack(
        blas.functions[kind.char], ta, tb, m, n, k, machine.place_of(a), lda,
        machine.place_of(b), ldb, machine.place_of(out), place[1], shape[-1], *apart, added,
    )  # fmt: skip
    return Step(blas.each["fd".index(kind.char)], table, 1), out, links


def _side(x: Array) -> tuple[int, int] | None:
    """How BLAS reads a matrix: as it is or transposed, and how far apart its rows are."""
    size = x.itemsize
    rows, columns = x.strides[-2:]
    if columns == size and rows >= size * x.shape[-1] and not rows % size:
        return PLAIN, rows // size
    if rows == size and columns >= size * x.shape[-2] and not columns % size:
        return TRANSPOSED, columns // size
    return None


class _Blas:
    """NumPy's OpenBLAS, asked for parts on one thread each."""

    def __init__(self, library: ctypes.CDLL, crew: Crew):
        names = {"f": library.scipy_cblas_sgemm64_, "d": library.scipy_cblas_dgemm64_}
        self.functions = {k: ctypes.cast(f, ctypes.c_void_p).value for k, f in names.items()}
        self.set = library.scipy_openblas_set_num_threads64_
        self.get = library.scipy_openblas_get_num_threads64_
        entries = [f"{name}_{t}" for name in ("part", "each") for t in TYPES]
        found = kernels.functions("products", (), _entries, (__file__,), [*entries, "chain"])
        if found is None:
            raise OSError("no code can be loaded")
        self.parts, self.each, self.chain = found[:2], found[2:4], found[4]
        self.crew = crew
        self._counting = threading.Lock()
        self._running = 0  # calls, of which the last gives the library its threads back
        self._threads = 1

    def run(self, entry: int, table: bytes, total: int, grain: int, count: int) -> int:
        """Let the crew run an entry, with one thread of the library's for each call."""
        with self._counting:
            if not self._running:
                self._threads = self.get()
                if self._threads > 1:
                    self.set(1)
            self._running += 1
        try:
            return self.crew.run(entry, table, total, grain, count)
        finally:
            with self._counting:
                self._running -= 1
                if not self._running and self._threads > 1:
                    self.set(self._threads)


TYPES = "float", "double"  # of LLVM


def _entries() -> str:
    text = "".join(_text(PART, 17, t) + _text(EACH, 20, t) for t in TYPES) + CHAIN
    return text.replace("PARAMETERS", machine.PARAMETERS)


def _text(entry: str, words: int, type_: str) -> str:
    loads = "\n".join(
        f"  %p{i} = getelementptr i64, ptr %table, i64 {i}\n  %w{i} = load i64, ptr %p{i}"
        for i in range(words)
    )
    return entry.replace("LOADS", loads).replace("TYPE", type_).replace("ORDER", str(ROW_MAJOR))


@cache
def _blas() -> _Blas | None:
    """The library inside NumPy's wheel; None where NumPy has another one."""
    crew = kernels.crew()
    if crew is None:
        return None
    for file in _libraries():
        try:
            return _Blas(ctypes.CDLL(str(file)), crew)
        except (OSError, AttributeError):
            continue
    return None


def _libraries() -> Iterator[Path]:
    root = Path(np.__file__).parent
    for folder in (root.parent / "numpy.libs", root / ".dylibs"):
        yield from folder.glob("*scipy_openblas64_*")


kernels.forgotten_by_children.append(_blas.cache_clear)
