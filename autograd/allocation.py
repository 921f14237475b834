"""Where freed memory goes: it is kept for the next array, not given back to the system.

By default the C library returns large blocks at every step, and the next step pays a page fault for
every 4 KiB it touches again: cross entropy of (1024, 1000), forward and backward, takes 3.6 ms so
and 0.7 ms with the memory kept.  The peak is the same; only what lies idle between two steps is not
handed back.  RETROGRAD_RETURN_MEMORY=1 leaves the C library as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's names and numbers
GIB = 1 << 30


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
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, GIB))
