"""The parent's end of an engine: a child process that is asked, waited for, and given up on."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .child import MODULES

__all__ = ["NAMES", "Engine", "EngineError", "absent", "environment"]

NAMES = tuple(MODULES)
ROOT = Path(__file__).resolve().parent.parent
COMPILING = 90.0  # seconds that torch.compile gets for one workload
ANSWERING = 240.0  # seconds for anything else


class EngineError(Exception):
    """An engine ended, or took too long; the text says which, and why."""


def absent(name: str) -> str | None:
    """Why an engine cannot take part here, in words; None if it can."""
    if find_spec(MODULES[name]) is None:
        return f"{MODULES[name]} is not installed"
    if name == "torch.compile":
        if not any(map(shutil.which, (os.environ.get("CXX") or "g++", "g++", "clang++", "c++"))):
            return "it needs a C++ compiler, and there is none"
        if find_spec("torch._inductor") is None:
            return "this PyTorch has no compiler"
    return None


def environment(threads: int) -> dict[str, str]:
    """The variables of a child: everything may use so many threads, and no more."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
             "VECLIB_MAXIMUM_THREADS")  # fmt: skip
    flags = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        flags += " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "XLA_FLAGS": flags.strip(),
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # in the child itself, whose time is accounted for
    }


class Engine:
    """A child process; used as a context, which ends it."""

    def __init__(self, name: str, threads: int):
        self.name, self.threads = name, threads
        self.version = "?"
        self.process: subprocess.Popen[str] | None = None
        self._said: Any = None
        self.start()

    def start(self) -> None:
        """Start the child; raises `EngineError` if it does not come up."""
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the child
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", self.name, str(self.threads)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment(self.threads),
            start_new_session=True,  # Ctrl-C is the parent's to hear
        )
        try:
            self.version = self._receive(ANSWERING).get("version", "?")
        except EngineError:
            self.stop()
            raise

    @property
    def pid(self) -> int | None:
        """The child's number, if it runs."""
        return self.process.pid if self.process else None

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Let the child do something; it is started anew if it had ended."""
        if self.process is None:
            self.start()
        assert self.process is not None
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended; the answer that is missing says so
            self.process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self.process.stdin.flush()
        seconds = COMPILING if self.name == "torch.compile" and do == "prepare" else ANSWERING
        try:
            return self._receive(seconds)
        except EngineError:
            self.stop()
            raise

    def _receive(self, seconds: float) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            what = "compile" if self.name == "torch.compile" else "answer"
            raise EngineError(f"it took more than {seconds:g} s to {what}")
        line = self.process.stdout.readline()
        if not line:
            raise EngineError(f"its process ended early{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            if "version" not in answer and self.version == "?":
                raise EngineError(answer["error"])
            answer["details"] = self._last_words()
        return answer

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        return f": {lines[-1]}" if lines else ""

    def stop(self) -> None:
        """End the child, gently if it listens."""
        process, self.process = self.process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._said.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
