"""How a product of matrices is cut into parts, blocks and panels, for `tiles` to compute.

Everything here follows from the shapes and strides of both factors and the number of threads alone,
is computed once for them, and is numbers that a kernel reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import assembly, kernels
from .blocks import HEIGHTS, vectors_of

__all__ = ["NUMBERS", "Plan", "plan_of"]

NARROW = 8  # rows, and columns; fewer leave most of a tile empty
GROUP = 48  # rows that are taken together: whole tiles, and whole cache lines where they are packed
AHEAD = 8  # terms from the one that is computed to the one that is asked for
BLOCK = 512  # terms that are added up at once, at most
NEAR = 1 << 20  # bytes of copied panels that stay in a core's second cache
COPIES = 1 << 13  # rows of a part times terms, from which panels that are read so often are copied
CLOSE = 1 << 15  # bytes of panels that stay in its first one, where vectors may straddle lines
APART = 1 << 11  # bytes between terms, from which they crowd into few sets of the cache
PACKED_FOR = 6  # panels; for so many, rows of the left factor are packed
SMALL = 128  # rows of the left factor; the product is turned rather than a larger right one
FEW = 24  # rows; for fewer a thread does not read all of the right factor
LARGE = 1 << 25  # multiplications, from which parts are smaller, and dealt out as threads come
PARTS, MINE, MANY = 4, 2, 8  # of each thread by rows; panels of one; and when there are many

# Flags: what becomes of panels and results, and whether these are added to what is there.
TURNED_IN, TURNED_OUT, COPIED, PACKED, ADDED = 1, 2, 4, 8, 16
# What a plan says in numbers: how far apart elements are, sizes, and how the work is cut.
NUMBERS = ("a_row", "a_k", "b_row", "b_column", "c_row", "m", "n", "k", "by_rows", "deep", "flags",
           "shared", "packed", "own", "grain")  # fmt: skip


class Plan(NamedTuple):
    """How a product is computed: whether turned, and what does not depend on where arrays are."""

    turned: bool
    copies: int  # panels of each block of terms that are copied before all else
    numbers: tuple[int, ...]
    total: int
    scratch: int  # elements


@lru_cache(maxsize=1024)
def plan_of(
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
    if not lanes or kernels.crew() is None or m < NARROW:
        return None
    if any(s % size for s in (*a_strides, *b_strides)):
        return None
    (a_row, a_k), (b_row, b_column) = ([s // size for s in x] for x in (a_strides, b_strides))
    # What it spares is copies of k·(n - m) terms; it costs that m·n results are turned.
    spares = (a_row == 1 or b_column != 1) and m <= SMALL and k * (n - m) > 4 * m * n
    turned = m <= n and (spares or (b_column != 1 and m < SMALL))
    across = n
    if turned:
        m, n = n, m
        a_row, a_k, b_row, b_column = b_column, b_row, a_k, a_row
    if n < NARROW or 1 not in (b_row, b_column) or (b_column != 1 and k < lanes):
        return None
    wide = vectors_of(lanes * size) * lanes
    panels = -(-n // wide)
    by_rows, staged, grain = _parts(m, n, k, size, wide, b_column == 1, a_k == 1, threads)
    total = m if by_rows else panels
    rows = grain if by_rows else m
    if turned and min(rows, total % grain or rows if by_rows else rows) < lanes:
        return None
    mine = panels if by_rows else grain  # panels of a part
    copied = b_column == 1 and ((k * rows >= COPIES and b_row != wide) or n % lanes > 0)
    near = NEAR if copied or b_column != 1 else CLOSE
    most = max(128, min(BLOCK, near // (size * mine * wide)))
    deep = -(-k // -(-k // most))
    staged = staged and (copied or b_column != 1)
    packed = a_row == 1 and a_k * size >= APART and mine >= PACKED_FOR
    flags = TURNED_IN * (b_column != 1) + TURNED_OUT * turned + COPIED * copied + PACKED * packed
    panel = (deep + 1) * wide
    shared = -(-k // deep) * panels * panel if staged else 0
    held = GROUP * deep if packed else 0
    aside = rows * mine * wide if turned else 0
    own = (0 if staged else mine * panel) + held + aside + 15 & ~15
    numbers = (a_row, a_k, b_row, b_column, across, m, n, k, by_rows, deep, flags, shared, held,
               own, grain)  # fmt: skip
    scratch = shared + own * -(-total // grain) + 64 // size
    copies = panels * -(-k // deep) if staged else 0
    return Plan(turned, copies, numbers, total, scratch)


def _parts(
    m: int, n: int, k: int, size: int, wide: int, b_plain: bool, a_plain: bool, threads: int
) -> tuple[bool, bool, int]:
    """Whether parts are rows of the left factor, or panels; whether these are copied before.

    And how many rows or panels a part has.
    """
    large = m * n * k >= LARGE and threads > 1
    panels = -(-n // wide)
    if m >= n:
        # Few panels: then they are copied by all threads first, and rows are dealt out.
        few = 4 * MINE if m < 2 * n else MANY * MINE
        by_rows = not large or not a_plain or panels < few
    else:
        # Rows also of a wide result, if nothing is copied for each of its parts, and the factor
        # they all read stays in a cache.  Those of a weight's gradient then stay near the threads
        # that go on to update them.
        few = -(-m // threads)
        by_rows = b_plain and few >= FEW and k * few <= COPIES and k * n <= NEAR // size
    if by_rows:
        each = -(-m // threads)
        if large and a_plain:
            least, high = max(each // PARTS, FEW), HEIGHTS[0]
            rows = [*range(-(-least // high) * high, each, high), each]
            return True, True, min(rows, key=lambda g: _longest(m, g, threads) + g // 16)
        return True, False, each + 3 & ~3
    most = -(-panels // threads)
    if large:
        most = min(most, MINE if a_plain else MANY * MINE)
    return False, False, min(range(most, 0, -1), key=lambda g: _longest(n, g * wide, threads))


def _longest(n: int, part: int, threads: int) -> int:
    """How many of ``n`` a thread computes at most, if each takes a part when it is through."""
    busy = [0] * threads
    for start in range(0, n, part):
        first = busy.index(min(busy))
        busy[first] += min(part, n - start)
    return max(busy)


kernels.forgotten_by_children.append(plan_of.cache_clear)
