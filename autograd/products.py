"""Products of large matrices: parts of them by NumPy's own BLAS, dealt out by our own threads.

OpenBLAS begins a product on several threads later than it could, waits for all of them, and lets
them poll for the next one, which takes a core from everyone else.  So it is asked for parts of the
product, each on one thread, by a crew that does not wait for who is busy (`machine.Crew`).
(32, 784) by (784, 256) takes 0.10 ms so, and 0.15 ms on two threads of its own.

The parts are rows or columns of the result, as many as there may be threads, so the same number of
threads always gives the same bits.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import kernels, machine

__all__ = ["LARGE", "dot"]

Array = np.ndarray[Any, Any]

LARGE = 1 << 18  # multiplications; below, a product is over before another thread has begun
FEW = 64  # rows of a batch: W xᵀ, copied into place, takes two thirds of the time of x Wᵀ
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # the names of the C interface

# The parts of a product, for `machine.Crew`: ``entry(table, start, stop)``.
PART = """
define i32 @part_TYPE(ptr %table, i64 %start, i64 %stop) {
LOADS
  %part = sub i64 %stop, %start
  %by_rows = icmp ne i64 %w15, 0
  %m = select i1 %by_rows, i64 %part, i64 %w3
  %n = select i1 %by_rows, i64 %w4, i64 %part
  %in_a = mul i64 %start, %w12
  %in_b = mul i64 %start, %w13
  %in_c = mul i64 %start, %w14
  %a_0 = inttoptr i64 %w6 to ptr
  %b_0 = inttoptr i64 %w8 to ptr
  %c_0 = inttoptr i64 %w10 to ptr
  %a_p = getelementptr i8, ptr %a_0, i64 HEAD
  %b_p = getelementptr i8, ptr %b_0, i64 HEAD
  %c_p = getelementptr i8, ptr %c_0, i64 HEAD
  %a_d = load i64, ptr %a_p
  %b_d = load i64, ptr %b_p
  %c_d = load i64, ptr %c_p
  %a_1 = add i64 %a_d, %in_a
  %b_1 = add i64 %b_d, %in_b
  %c_1 = add i64 %c_d, %in_c
  %a = inttoptr i64 %a_1 to ptr
  %b = inttoptr i64 %b_1 to ptr
  %c = inttoptr i64 %c_1 to ptr
  %f = inttoptr i64 %w0 to ptr
  %ta = trunc i64 %w1 to i32
  %tb = trunc i64 %w2 to i32
  call void %f(i32 ORDER, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %w5, TYPE 1.0, ptr %a, i64 %w7,
               ptr %b, i64 %w9, TYPE 0.0, ptr %c, i64 %w11)
  ret i32 0
}
"""
TABLE = struct.Struct("16q")


def dot(a: Array, b: Array) -> Array:
    """The product of two matrices: `ndarray.dot`, and the same errors."""
    kind = a.dtype
    (m, k), (depth, n) = a.shape, b.shape
    if m * n * k < LARGE or depth != k or kind is not b.dtype or kind.char not in "fd":
        return a.dot(b)
    count = kernels.threads()
    blas = None if count < 2 else _blas()
    sides = _side(a), _side(b)
    if blas is None or None in sides:
        return a.dot(b)
    if m <= FEW < n and sides[1][0] == TRANSPOSED:  # type: ignore[index]
        return np.ascontiguousarray(dot(b.T, a.T).T)
    (ta, lda), (tb, ldb) = sides  # type: ignore[misc]
    c = np.empty((m, n), kind)
    size = kind.itemsize
    # Rows also of a wide result of few terms, such as a weight's gradient: then its halves are
    # whole, and stay in the caches of the cores whose threads go on to update them.
    by_rows = m >= n or m >= 2 * FEW >= 2 * k
    step_a = 0 if not by_rows else size if ta == TRANSPOSED else lda * size
    step_b = 0 if by_rows else ldb * size if tb == TRANSPOSED else size
    table = TABLE.pack(
        blas.functions[kind.char], ta, tb, m, n, k, id(a), lda, id(b), ldb, id(c), n, step_a,
        step_b, n * size if by_rows else size, by_rows,
    )  # fmt: skip
    total = m if by_rows else n
    grain = -(-total // count) + 15 & ~15
    blas.run(kind.char, table, total, grain, count)
    return c


def _side(x: Array) -> tuple[int, int] | None:
    """How BLAS reads a matrix: as it is or transposed, and how far apart its rows are."""
    size = x.itemsize
    rows, columns = x.strides
    if columns == size and rows >= size * x.shape[1] and not rows % size:
        return PLAIN, rows // size
    if rows == size and columns >= size * x.shape[0] and not columns % size:
        return TRANSPOSED, columns // size
    return None


class _Blas:
    """NumPy's OpenBLAS, asked for parts on one thread each."""

    def __init__(self, library: ctypes.CDLL, crew: machine.Crew):
        names = {"f": library.scipy_cblas_sgemm64_, "d": library.scipy_cblas_dgemm64_}
        self.functions = {k: ctypes.cast(f, ctypes.c_void_p).value for k, f in names.items()}
        self.set = library.scipy_openblas_set_num_threads64_
        self.get = library.scipy_openblas_get_num_threads64_
        types = {"f": "float", "d": "double"}
        self.parts = machine.assembled(
            "".join(_part(t) for t in types.values()), [f"part_{t}" for t in types.values()]
        )
        self.crew = crew
        self.counting, self.running, self.before = threading.Lock(), 0, 1

    def run(self, kind: str, table: bytes, total: int, grain: int, count: int) -> None:
        """Compute a product, whose table it is."""
        with self.counting:
            self.running += 1
            if self.running == 1:
                self.before = self.get()
                self.set(1)
        try:
            self.crew.run(self.parts["fd".index(kind)], table, total, grain, count)
        finally:
            with self.counting:
                self.running -= 1
                if not self.running:  # another thread's product may still want one thread
                    self.set(self.before)


def _part(type_: str) -> str:
    loads = "\n".join(
        f"  %p{i} = getelementptr i64, ptr %table, i64 {i}\n  %w{i} = load i64, ptr %p{i}"
        for i in range(16)
    )
    text = PART.replace("LOADS", loads).replace("HEAD", str(machine.HEAD))
    return text.replace("TYPE", type_).replace("ORDER", str(ROW_MAJOR))


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
