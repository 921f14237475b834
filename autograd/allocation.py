"""Where freed memory goes: it is kept for the next array, not given back to the system.

By default the C library returns large blocks at every step, and the next step pays a page fault for
every 4 KiB it touches again: cross entropy of (1024, 1000), forward and backward, takes 3.6 ms so
and 0.7 ms with the memory kept.  The peak is the same; only what lies idle between two steps is not
handed back.

And the heap is asked to be made of huge pages.  Pages of 4 KiB lie anywhere in memory, and of some
processes so many of them fall on the same lines of the cache near a core that weights which are
read again and again do not stay there: a step of an LSTM layer took 5.0 to 5.3 ms in ten processes
and 7.1 to 7.8 in four; of huge pages, 5.0 to 5.6 in fourteen.

RETROGRAD_RETURN_MEMORY=1 leaves the C library as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's names and numbers
GIB = 1 << 30
HEAP = 256 << 20  # bytes that are huge pages, once they are touched; what is beyond is as ever
HUGE = 2 << 20  # bytes of such a page
MADV_HUGEPAGE = 14


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed; whether it agreed (elsewhere False: nothing changes)."""
    if not sys.platform.startswith("linux") or os.environ.get("RETROGRAD_RETURN_MEMORY") == "1":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Older versions refuse a threshold above 32 MiB.
    mapped = mallopt(M_MMAP_THRESHOLD, GIB) or mallopt(M_MMAP_THRESHOLD, 32 << 20)
    kept = bool(mapped and mallopt(M_TRIM_THRESHOLD, GIB))
    if kept:
        _ask_for_huge_pages()
    return kept


def _ask_for_huge_pages() -> None:
    """For the top of the heap, from which blocks are cut: it grows for a moment, untouched.

    Where the system has no such pages, or no room for the moment, nothing changes.
    """
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = library.malloc(HEAP)
    if block is None:
        return
    first = -(-block // HUGE) * HUGE
    library.madvise(first, (block + HEAP - first) // HUGE * HUGE, MADV_HUGEPAGE)
    library.free(block)
