"""The machine that figures were measured on: its parts, its libraries, and its limits."""

from __future__ import annotations

import bisect
import contextlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from . import load


def describe(threads: int) -> dict[str, Any]:
    """Everything a reader needs to know to compare figures with their own."""
    import numpy as np

    library: Any = np.show_config(mode="dicts")
    blas = library["Build Dependencies"]["blas"]
    return {
        "processor": processor(),
        "cores": processors(),
        "threads": threads,
        "memory": memory(),
        "system": platform.platform(),
        "load": load.average(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := version(name))},
        "blas": f"NumPy: {blas['name']} {blas['version']}",
        "commit": commit(),
    }  # fmt: skip


PACKAGES = ("numpy", "numba", "llvmlite", "torch", "jax", "jaxlib")


def version(package: str) -> str | None:
    """A package's version; None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name as its maker writes it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> int | None:
    """Bytes of the machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def commit() -> str | None:
    """Which commit is measured, with a plus if files were changed since."""
    root = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        name = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{name}+" if name and changed else name or None


class Limits:
    """The best that any engine did: operations a second, and bytes moved a second by size.

    Bytes are moved by copying, and by changing in place, which spares fetching what is written.
    """

    def __init__(self, found: list[dict[str, Any]]):
        self.flops = max((f["flops"] for f in found), default=0.0)
        self.copies: dict[int, float] = {}
        for f in found:
            for size, rate in f["copies"].items():
                self.copies[int(size)] = max(self.copies.get(int(size), 0.0), rate)

    def floor(self, flops: float, traffic: float) -> float | None:
        """Seconds below which no engine can do so much; None if nothing is known."""
        times = []
        if self.flops and flops:
            times.append(flops / self.flops)
        if self.copies and traffic:
            times.append(traffic / self._rate(traffic / 2))
        return max(times, default=None)

    def _rate(self, size: float) -> float:
        # The best rate from this size on: small copies are slow for their call, not their bytes.
        sizes = sorted(self.copies)
        at = min(bisect.bisect_left(sizes, size), len(sizes) - 1)
        return max(self.copies[s] for s in sizes[at:])

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return {"flops": self.flops, "copies": self.copies}
