"""Where freed memory goes: what the C library is told when the package is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

MAPS = Path("/proc/self/smaps")

# Whether a part of the heap is asked to be of huge pages.
PROGRAM = """
import retrograd
part, huge = "", False
for line in open("/proc/self/smaps"):
    if "-" in line.split()[0]:
        part = line.split()[-1]
    elif line.startswith("VmFlags:") and part == "[heap]":
        huge = huge or "hg" in line.split()
print(huge)
"""


def glibc_with_huge_pages():
    known = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return MAPS.exists() and known.exists() and sys.platform == "linux"


@pytest.mark.skipif(not glibc_with_huge_pages(), reason="no huge pages on this system")
@pytest.mark.parametrize(("returned", "expected"), [("", "True"), ("1", "False")])
def test_the_heap_is_of_huge_pages_unless_memory_is_returned(monkeypatch, returned, expected):
    monkeypatch.setenv("RETROGRAD_RETURN_MEMORY", returned)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_limit_of_memory_below_what_is_asked_for_is_no_error():
    program = (
        "import resource, numpy\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))\n"
        "import retrograd as rg\n"
        "print(rg.ones(1000).sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "1000.0", done.stderr
