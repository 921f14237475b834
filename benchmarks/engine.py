"""An engine in a process of its own, which times workloads when it is told to.

The parent talks to it in lines of JSON over its standard input and output.  Run as a program
(``python -m benchmarks.engine retrograd 2``) this file is the child.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

MODULES = {"retrograd": "retrograd", "pytorch": "torch"}
ROUND_SECONDS = 0.15  # how long one side runs in one round


def installed(name: str) -> bool:
    """Whether an engine's package can be imported."""
    return importlib.util.find_spec(MODULES[name]) is not None


class Engine:
    """The parent's end of a child process."""

    def __init__(self, name: str, threads: int):
        self.name = name
        counts = {v: str(threads) for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                            "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}  # fmt: skip
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.engine", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **counts},
        )
        self.version: str = self._receive()["version"]

    def time(self, family: str, name: str) -> float:
        """Seconds per operation in one round of a workload."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"family": family, "name": name}) + "\n")
        self._child.stdin.flush()
        seconds: float = self._receive()["seconds"]
        return seconds

    def close(self) -> None:
        """Let the child end."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(timeout=30)

    def _receive(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.name}: the benchmark process ended early; see its output above"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def serve(name: str, threads: int) -> None:
    """The child: answer every request with the seconds of one round."""
    from .workloads import FAMILIES

    torch = importlib.import_module(MODULES[name])
    if hasattr(torch, "set_num_threads"):
        torch.set_num_threads(threads)
    print(json.dumps({"version": torch.__version__}), flush=True)
    prepared: dict[tuple[str, str], Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = request["family"], request["name"]
        if key not in prepared:
            torch.manual_seed(0)
            prepared[key] = FAMILIES[key[0]][key[1]](torch)
            one_round(*prepared[key], seconds=ROUND_SECONDS)  # warm up
        print(json.dumps({"seconds": one_round(*prepared[key])}), flush=True)


def one_round(step: Any, count: int, seconds: float = ROUND_SECONDS) -> float:
    """The median time of a call, per operation, over about ``seconds``."""
    times = []
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        step()
        now = time.perf_counter()
        times.append(now - start)
        if now > end:
            return statistics.median(times) / count


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
