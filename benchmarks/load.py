"""Was the machine ours?  What other programs took of it while something was timed."""

from __future__ import annotations

import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

# Shares of all processors, within one round, above which the round does not count.
MOST_TAKEN = 0.10  # by other programs
MOST_STOLEN = 0.03  # by other virtual machines
WINDOW = 0.4
SLOWEST_SPIN = 1.35  # the fixed loop, against its median over the run


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Processor seconds since the system started, by whom."""

    total: float
    busy: float
    stolen: float
    ours: float


TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def _seconds_of(pid: int) -> float:
    """User and system seconds of a process and of the children it has waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def snapshot(pids: Iterable[int]) -> Snapshot | None:
    """The clock of the processors; None where the system does not tell."""
    try:
        first = Path("/proc/stat").read_text("ascii").splitlines()[0].split()
    except OSError:
        return None
    user, nice, system, idle, wait, hard, soft, stolen = (int(n) / TICK for n in first[1:9])
    busy = user + nice + system + hard + soft
    ours = sum(map(_seconds_of, {os.getpid(), *pids}))
    return Snapshot(busy + idle + wait + stolen, busy, stolen, ours)


def spin() -> float:
    """Seconds of a fixed piece of work on one processor, about two milliseconds."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        total = 0
        for i in range(20_000):
            total += i
        best = min(best, time.perf_counter() - begun)
    return best


class Watch:
    """Says after each round what disturbed it.  ``pids`` are asked for anew: children come and go.

    Clocks tick a hundred times a second, so what short rounds were disturbed by is judged over
    `WINDOW` seconds of all processors together, the rounds before included.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]):
        self._pids = pids
        self._spins = [spin() for _ in range(5)]
        self._starts: deque[Snapshot] = deque()

    def begin(self) -> None:
        """A round begins."""
        self._spins.append(spin())
        now = snapshot(self._pids())
        if now:
            self._starts.append(now)

    def end(self) -> str | None:
        """A round has ended: what disturbed it, in words, or None."""
        after = snapshot(self._pids())
        self._spins.append(spin())
        usual = statistics.median(self._spins)
        slowest = max(self._spins[-2:])
        if after and self._starts:
            while len(self._starts) > 1 and after.total - self._starts[1].total > WINDOW:
                self._starts.popleft()
            before = self._starts[0]
            span = max(after.total - before.total, WINDOW)
            taken = ((after.busy - before.busy) - (after.ours - before.ours)) / span
            if taken > MOST_TAKEN:
                return f"other programs took {taken:.0%} of the processors"
            stolen = (after.stolen - before.stolen) / span
            if stolen > MOST_STOLEN:
                return f"other machines on this host took {stolen:.0%} of the processors"
        if slowest > SLOWEST_SPIN * usual:
            return f"a fixed loop took {slowest / usual:.1f} times as long as usual"
        return None


def average() -> float | None:
    """The system's load over the last minute; None where unknown."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None
