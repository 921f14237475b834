"""Seals round every test: what a test changes for others, and leaves changed, fails that test."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import retrograd as rg
from hypothesis import settings
from retrograd.autograd import modes, tape, version
from retrograd.autograd.op import registry

# The same examples at every run where a failure must be the change's own doing; new ones elsewhere.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

PARITY = Path(__file__).parent / "parity"
TORCH = "torch" in sys.modules or find_spec("torch") is not None


def pytest_terminal_summary(terminalreporter):
    if not TORCH:
        files = len(list(PARITY.glob("test_*.py")))
        terminalreporter.line(f"{files} files of tests/parity skipped: torch is not installed")


def pytest_ignore_collect(collection_path, config):
    return True if not TORCH and PARITY in (collection_path, *collection_path.parents) else None


def numba_threads():
    """The number of threads kernels may use; None while Numba is not loaded."""
    numba = sys.modules.get("numba")
    return None if numba is None else numba.get_num_threads()


# What a test must leave as it found it.  Tables that only live tensors fill are counted by size.
SHARED = {
    "the grad mode": modes.recording,
    "inference mode": rg.is_inference_mode_enabled,
    "the default dtype": rg.get_default_dtype,
    "the print options": rg.get_printoptions,
    "NumPy's error state": np.geterr,
    "NumPy's global random state": lambda: np.random.get_state()[1].tobytes(),
    "Python's random state": random.getstate,
    "the registry of ops": lambda: len(registry),
    "hooks of tensors": lambda: len(tape.tensor_hooks),
    "hooks of nodes": lambda: len(tape.node_hooks) + len(tape.post_hooks),
    "checksums of kept arrays": lambda: len(tape.seals),
    "running threads": lambda: sum(t.name != "retrograd kernels" for t in threading.enumerate()),
}


def shared_state():
    return {what: read() for what, read in SHARED.items()}


def changes(before):
    return [what for what, value in shared_state().items() if value != before[what]]


@pytest.fixture(autouse=True)
def sealed():
    """Every test starts from one random state and leaves no trace in what all share."""
    stream = rg.get_rng_state()
    rg.manual_seed(0)
    before, threads = shared_state(), numba_threads()
    yield
    rg.set_rng_state(stream)
    left = changes(before)
    if left:
        gc.collect()  # an exception's traceback holds tensors in a cycle
        left = changes(before)
    if threads is not None and numba_threads() != threads:
        left.append("the number of kernel threads")
    assert not left, f"the test leaves changed: {', '.join(left)}"


def live_nodes():
    gc.collect()
    return Counter(node.name() for node in gc.get_objects() if type(node) is tape.Node)


@pytest.fixture(autouse=True, scope="module")
def no_tape_left():
    """The tests of a file leave no line of the tape alive, and no history of freed memory."""
    before = live_nodes()
    yield
    left = live_nodes() - before
    assert not left, f"tests of this file keep parts of the tape alive: {dict(left)}"
    memory = [entry.watch for entry in version.changed.values()] + list(version.exposed.values())
    assert all(array() is not None for array in memory), "histories of freed memory stay"


@pytest.fixture
def compiler():
    """For tests of what Numba compiles: skips them where it is told to compile nothing."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT turns off what this tests")


@pytest.fixture
def kept(compiler):
    """For tests of the machine code that is kept: kernels that check their indices are not."""
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
        pytest.skip("kernels with NUMBA_BOUNDSCHECK are Numba's own, made anew in every process")


@pytest.fixture
def in_new_process():
    """What a program prints in a process of its own; its failure fails the test, so does stderr."""

    def run(program, *options):
        done = subprocess.run(
            [sys.executable, *options, "-c", dedent(program)],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr
        return done.stdout.strip()

    return run
