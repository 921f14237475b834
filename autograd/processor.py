"""What the processor can do, without the compiler that knows it too.

Linux says so itself; elsewhere LLVM is asked, which takes 60 ms and 65 MiB to load.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["described", "features"]

KNOWN = Path("/proc/cpuinfo")


@cache
def features() -> frozenset[str]:
    """The names of its features, as LLVM spells them where the two differ: "avx512f", "neon"."""
    found = _said().get("flags")
    if found:
        return frozenset(found.split())
    import llvmlite.binding as llvm

    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


@cache
def described() -> str:
    """A text that differs where code made for one processor does not suit the other."""
    said = _said()
    if said.get("flags"):
        return " ".join(said.get(k, "") for k in ("vendor_id", "cpu family", "model", "flags"))
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {sorted(features())}"


@cache
def _said() -> dict[str, str]:
    """What the system says of the first processor; of ARM's it says something else."""
    try:
        first = KNOWN.read_text().split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
