"""``python -m benchmarks [FAMILY or WORKLOAD ...]``: time workloads on every engine there is."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from . import load, machine, results
from .engine import NAMES, absent
from .rows import OURS, Row, table
from .session import Session
from .workload import FAMILIES, UnknownNameError, Workload, find

ROUNDS, SECONDS = 9, 0.15  # and in a quick run:
QUICK_ROUNDS, QUICK_SECONDS = 7, 0.02
QUICK_LIMIT = 90.0  # seconds after which a quick run begins no more workloads
BUSY = 0.3  # the load per processor that is worth a word at the start
SLOW_TO_COMPILE = "torch.compile"


class Progress:
    """One line on a terminal, written over and over; nothing anywhere else."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.prefix = ""

    def say(self, text: str) -> None:
        """Show what is being done."""
        if self.live:
            line = f"{self.prefix}{text}"[: os.get_terminal_size(2).columns - 1]
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for what stays."""
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time workloads side by side on retrograd, PyTorch, torch.compile and JAX.",
        epilog=f"Families: {', '.join(FAMILIES)}.",
    )
    made.add_argument("names", nargs="*", metavar="NAME",
                      help="a family, a workload, or a pattern: mlp*")  # fmt: skip
    made.add_argument("--quick", action="store_true",
                      help="two minutes: fewer workloads, shorter rounds")  # fmt: skip
    made.add_argument("--rounds", type=int, metavar="N")
    made.add_argument("--seconds", type=float, metavar="S",
                      help=f"how long an engine is timed in a round ({SECONDS})")  # fmt: skip
    made.add_argument("--threads", type=int, metavar="N", help="for every engine (all processors)")
    made.add_argument("--engines", metavar="A,B", help=f"of {','.join(NAMES)}")
    made.add_argument("--anyway", action="store_true",
                      help="show figures of disturbed rounds, too")  # fmt: skip
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    made.add_argument("--charts", type=Path, metavar="FOLDER", help="write a chart for each family")
    made.add_argument("--save", action="store_true",
                      help="write figures and charts to benchmarks/results/")  # fmt: skip
    made.add_argument("--list", action="store_true", help="list the workloads, and do nothing")
    made.add_argument("--compare", nargs=2, type=Path, metavar=("A.json", "B.json"),
                      help="say what changed between two runs, and do nothing")  # fmt: skip
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    made = parser()
    options = made.parse_args(arguments)
    try:
        if options.compare:
            print(results.compare(*options.compare))
            return 0
        workloads = find(options.names)
    except (UnknownNameError, results.ResultsError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.list:
        for workload in workloads:
            print(workload.key)
        return 0
    for what in ("rounds", "threads", "seconds"):
        value = getattr(options, what)
        if value is not None and value <= 0:
            made.error(f"--{what} must be positive, but is {value}")
    asked = options.engines.split(",") if options.engines else list(NAMES)
    unknown = [name for name in asked if name not in NAMES]
    if unknown:
        made.error(f"unknown engine {unknown[0]!r}; there are: {', '.join(NAMES)}")
    return run(options, workloads, asked)


def run(options: argparse.Namespace, workloads: list[Workload], asked: list[str]) -> int:
    """Measure, print, and write what was asked for."""
    threads = options.threads or machine.processors()
    if options.quick and not options.names:
        workloads = [w for w in workloads if w.quick]
    there = takers(asked, options)
    if OURS in asked and OURS not in there:
        print("install the checkout first: pip install -e .", file=sys.stderr)
        return 2
    progress = Progress()
    description = machine.describe(threads)
    until = time.monotonic() + QUICK_LIMIT if options.quick else None
    rows: list[Row] = []
    interrupted = False
    with Session(there, threads, *pace(options), progress.say, quick=options.quick) as session:
        progress.clear()
        for name, why in session.left_out.items():
            print(f"{name} takes no part: {why}")
        engines = {name: engine.version for name, engine in session.engines.items()}
        head(description, engines, session)
        try:
            measure(session, workloads, rows, progress, until, options.anyway)
        except KeyboardInterrupt:
            interrupted = True
        description["limits"] = session.limits.as_json()
    if interrupted:
        print("\nstopped; above is what was measured")
    tail(rows)
    write(options, rows, description, engines, partly=interrupted)
    if interrupted:
        return 130
    return 1 if any(row.error for row in rows) else 0


def takers(asked: list[str], options: argparse.Namespace) -> list[str]:
    """The engines that can take part; the others are named, with the reason."""
    there = []
    for name in asked:
        why = absent(name)
        if why is None and name == SLOW_TO_COMPILE and options.quick and not options.engines:
            why = "compiling takes longer than a quick run"
        if why is None:
            there.append(name)
        else:
            print(f"{name} takes no part: {why}")
    return there


def pace(options: argparse.Namespace) -> tuple[int, float]:
    """How many rounds, and how long one engine is timed in each."""
    usual = (QUICK_ROUNDS, QUICK_SECONDS) if options.quick else (ROUNDS, SECONDS)
    return options.rounds or usual[0], options.seconds or usual[1]


def head(description: dict[str, Any], engines: dict[str, str], session: Session) -> None:
    """Say who measures what where."""
    print(f"{description['processor']}, {description['threads']} threads, "
          f"Python {description['python']}, {description['blas']}")  # fmt: skip
    print(", ".join(f"{name} {version}" for name, version in engines.items())
          + f"; medians of {session.rounds} rounds", flush=True)  # fmt: skip
    busy = description["load"]
    if busy is not None and busy > BUSY * description["threads"]:
        print(f"the load of this machine is {busy:.1f} before anything has begun; "
              "rounds that are disturbed do not count")  # fmt: skip


def measure(
    session: Session,
    workloads: list[Workload],
    rows: list[Row],
    progress: Progress,
    until: float | None,
    anyway: bool,
) -> None:
    """Run the workloads, add to ``rows``, and print each family's table, also when stopped."""
    session.measure_limits()
    progress.clear()
    limits(session)
    late: list[str] = []
    number = 0
    for family, those in itertools.groupby(workloads, key=lambda w: w.family):
        found: list[Row] = []
        try:
            for workload in those:
                number += 1
                if until is not None and time.monotonic() > until:
                    late.append(workload.key)
                    continue
                progress.prefix = f"[{number}/{len(workloads)}] "
                found.extend(session.run(workload))  # a Ctrl-C leaves what came before
        finally:
            progress.clear()
            rows += found
            if found:
                print(f"\n{family}\n{table(found, list(session.engines), anyway)}", flush=True)
    if late:
        print(f"\nout of time for: {', '.join(late)}")


def limits(session: Session) -> None:
    """Say what the floor is made of."""
    found = session.limits
    if session.disturbed:
        print(f"no floor: {session.disturbed} while it was measured")
    elif found.flops:
        largest = max(found.copies)
        print(f"floor: {found.flops / 1e9:.0f} GFLOP/s, or {found.copies[largest] / 1e9:.1f} GB/s "
              f"(of {largest / 1e6:.0f} MB)", flush=True)  # fmt: skip


def tail(rows: list[Row]) -> None:
    """Say what was disturbed, and how to measure it again."""
    again = [row for row in rows if row.disturbed]
    if again:
        now = load.average()
        names = " ".join(shlex.quote(row.key) for row in again)
        print(f"\n{len(again)} of {len(rows)} rows were disturbed"
              + (f"; the load is now {now:.1f}" if now is not None else "")
              + f"; to measure them again:\npython -m benchmarks {names}")  # fmt: skip


def write(
    options: argparse.Namespace,
    rows: list[Row],
    description: dict[str, Any],
    engines: dict[str, str],
    partly: bool,
) -> None:
    """The files that were asked for."""
    if options.json:
        options.json.write_text(results.as_json(rows, description, engines), "utf-8")
        print(f"\nwrote {options.json}")
    if options.charts:
        for path in results.save_charts(rows, description, engines, options.charts):
            print(f"wrote {path}")
    if options.save and partly:
        print("\nnothing is saved of a run that was stopped; --json writes what there is")
    elif options.save:
        for path in results.save(rows, description, engines):
            print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
