"""A run: engines take turns, round after round, and a round that was disturbed does not count."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from . import startup
from .engine import Engine, EngineError
from .load import Watch
from .machine import Limits
from .rows import OURS, RIVAL, Row
from .workload import Workload

PATIENCE = 8  # times that the machine's limits are measured while it is disturbed
HOPELESS = 4  # disturbed rounds after which no more are tried, if there was no other
Say = Callable[[str], None]


class Watching(Protocol):
    """What a run asks about the machine; tests have one that answers as they like."""

    def begin(self) -> None:
        """A round begins."""

    def end(self) -> str | None:
        """What disturbed the round."""


class Session:
    """Engines that are there, and how long and how often each is timed."""

    def __init__(
        self,
        names: Iterable[str],
        threads: int,
        rounds: int,
        seconds: float,
        say: Say = lambda text: None,
        watch: Watching | None = None,
        quick: bool = False,
    ):
        self.threads, self.rounds, self.seconds, self.say = threads, rounds, seconds, say
        self.left_out: dict[str, str] = {}
        self.engines: dict[str, Engine] = {}
        self.limits = Limits([])
        self.disturbed: str | None = None  # what disturbed the measuring of the limits
        self.quick = quick
        self._folder = tempfile.TemporaryDirectory(prefix="benchmarks-")
        self.folder = Path(self._folder.name)
        for name in names:
            say(f"starting {name}")
            try:
                self.engines[name] = Engine(name, threads)
            except EngineError as error:
                self.left_out[name] = str(error)
        self.watch: Watching = watch or Watch(self.pids)

    def pids(self) -> list[int]:
        """The processes of the engines."""
        return [pid for e in self.engines.values() if (pid := e.pid) is not None]

    def close(self) -> None:
        """End all engines."""
        for engine in self.engines.values():
            engine.stop()
        self._folder.cleanup()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def measure_limits(self) -> None:
        """Find the matrix peak and the copy bandwidth of this machine, by any engine."""
        found = []
        for name in ("retrograd", "pytorch"):
            if name in self.engines:
                self.say(f"the machine's limits, by {name}")
                for _ in range(PATIENCE):
                    self.watch.begin()
                    found.append(self.engines[name].ask("peaks"))
                    disturbed = self.watch.end()
                    if disturbed is None:
                        break
                self.disturbed = disturbed or self.disturbed
        self.limits = Limits([f for f in found if "flops" in f])

    def run(self, workload: Workload) -> Iterator[Row]:
        """The rows of one workload."""
        if workload.measure == "memory":
            yield from self.memory(workload)
            return
        if workload.measure == "startup":
            yield from startup.rows(self, workload)
            return
        row = self.timing(workload)
        yield row
        if workload.family == "conv" and workload.memory and not self.quick and not row.error:
            yield from self.memory(workload)

    def partakers(self, workload: Workload) -> dict[str, Engine]:
        """The engines that a workload wants, and that can run it; JAX needs a twin."""
        wanted = workload.engines or tuple(self.engines)
        return {
            n: e for n, e in self.engines.items()
            if n in wanted and (n != "jax" or workload.twin is not None)
        }  # fmt: skip

    # ------------------------------------------------------------ time

    def timing(self, workload: Workload) -> Row:
        """Prepare a workload everywhere, compare, then time it in rounds."""
        row = Row(workload.family, workload.name)
        ready = self.prepare(workload, row)
        if row.error or not ready:
            return row
        with self.interruptible(row):
            self.take_turns(row, ready)
        return row

    def prepare(self, workload: Workload, row: Row) -> dict[str, Engine]:
        """The engines that can run a workload; the row says of the others why not."""
        ready: dict[str, Engine] = {}
        results: dict[str, Path] = {}
        state: str | None = None
        for name, engine in self.partakers(workload).items():
            self.say(f"{workload.key}: {name} prepares")
            path = self.folder / f"{name}.npz"
            writes = state is None and workload.twin is not None and name != "jax"
            given = str(self.folder / "state.npz") if writes else state
            try:
                said = engine.ask("prepare", key=workload.key, results=str(path), state=given)
            except EngineError as error:
                row.left_out[name] = str(error)
                continue
            why = said.get("missing") or said.get("error")
            if why:
                row.left_out[name] = why
                continue
            ready[name], results[name] = engine, path
            if writes:
                state = given
            if not row.flops and not row.bytes:
                row.flops, row.bytes = said["flops"], said["bytes"]
                floor = self.limits.floor(row.flops, row.bytes)
                row.floor = floor / said["count"] if floor and not self.disturbed else None
        compare(results, workload.tolerance, row)
        return {name: engine for name, engine in ready.items() if name not in row.left_out}

    def take_turns(self, row: Row, ready: dict[str, Engine]) -> None:
        """Time the engines in rounds until enough of them were undisturbed."""

        def one_round() -> dict[str, float]:
            found = {}
            for name, engine in list(ready.items()):
                try:
                    said = engine.ask("measure", seconds=self.seconds)
                except EngineError as error:
                    said = {"error": str(error)}
                if "error" in said:
                    row.left_out[name] = said["error"]
                    del ready[name]
                else:
                    found[name] = said["seconds"]
            return found

        kept = self.undisturbed(row, one_round)
        row.rounds = {name: [r[name] for r in kept] for name in ready}

    def undisturbed(
        self, row: Row, one_round: Callable[[], dict[str, float]]
    ) -> list[dict[str, float]]:
        """The figures of enough good rounds; of all, and the row marked, if there are too few."""
        good: list[dict[str, float]] = []
        bad: list[dict[str, float]] = []
        reasons: list[str] = []
        while len(good) < self.rounds and len(bad) <= self.rounds:
            if len(bad) == HOPELESS and not good:
                break
            self.say(f"{row.key}: round {len(good) + 1} of {self.rounds}"
                     + (f", {len(bad)} disturbed" if bad else ""))  # fmt: skip
            self.watch.begin()
            figures = one_round()
            disturbed = self.watch.end()
            if disturbed is None:
                good.append(figures)
            else:
                bad.append(figures)
                reasons.append(disturbed)
        if len(good) < self.rounds:
            row.disturbed = f"{len(bad)} of {len(good) + len(bad)} rounds; in one, {reasons[-1]}"
        return good if not row.disturbed else [*good, *bad]

    @contextmanager
    def interruptible(self, row: Row) -> Iterator[None]:
        """A row that was being timed when Ctrl-C came has no figures."""
        try:
            yield
        except KeyboardInterrupt:
            row.rounds.clear()
            raise

    # ------------------------------------------------------------ memory

    def memory(self, workload: Workload) -> Iterator[Row]:
        """Rows for the whole process, for the step, and for the tape; a fresh process each time."""
        parts = ("process", "step", "tape") if workload.measure == "memory" else ("process", "step")
        rows = {p: Row(workload.family, f"{workload.name}: {p}", unit="B") for p in parts}
        names = [n for n in self.engines if n in (OURS, RIVAL)]
        for number in range(1 if self.quick else min(self.rounds, 3)):
            for name in names:
                self.say(f"{workload.key}: memory, {name}, {number + 1}")
                try:
                    with Engine(name, self.threads) as fresh:
                        said = fresh.ask("memory", key=workload.key)
                except EngineError as error:
                    said = {"error": str(error)}
                why = said.get("missing") or said.get("error")
                for part, row in rows.items():
                    if why:
                        row.left_out[name] = why
                    elif part in said:
                        row.rounds.setdefault(name, []).append(float(said[part]))
        yield from rows.values()


def compare(results: dict[str, Path], tolerance: float, row: Row) -> None:
    """Whether the engines computed the same; the row says how far apart, and what is wrong.

    Where retrograd and PyTorch agree, an engine that does not is left out of the row.
    """
    import numpy as np

    if len(results) < 2:
        return
    (first, path), *others = results.items()
    with np.load(path) as reference:
        for name, other in others:
            with np.load(other) as file:
                apart, wrong = differences(first, reference, name, file, tolerance)
            row.differences[name] = apart
            if wrong and first == OURS and RIVAL in results and name != RIVAL:
                row.left_out[name] = f"{wrong} (and {first} agrees with {RIVAL})"
            elif wrong:
                row.error = wrong
                return


def differences(
    first: str, reference: Any, name: str, file: Any, tolerance: float
) -> tuple[float, str | None]:
    """How far the arrays of two files are apart, and in words what cannot be tolerated."""
    if set(file.files) != set(reference.files):
        odd = sorted(set(file.files) ^ set(reference.files))
        return math.inf, f"{first} and {name} do not give the same things: {', '.join(odd)}"
    largest = 0.0
    for what in reference.files:
        a, b = reference[what], file[what]
        if a.shape != b.shape:
            return math.inf, f"{what}: {first} gives {a.size} numbers, {name} {b.size}"
        apart = distance(a, b)
        largest = max(largest, apart)
        if not apart <= tolerance:
            return largest, (
                f"{what} differs between {first} and {name} by {apart:.2g} of its "
                f"largest element; {tolerance:g} is allowed"
            )
    return largest, None


def distance(a: Any, b: Any) -> float:
    """The largest difference, as a part of the largest element; infinite if one is not finite."""
    import numpy as np

    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    finite = np.isfinite(a)
    if not finite.any():
        return 0.0
    a, b = a[finite], b[finite]
    size = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return float(np.abs(a - b).max()) / size if size else 0.0
