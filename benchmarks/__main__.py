"""``python -m benchmarks FAMILY``: time a family of workloads on every engine that is installed."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys

from .engine import MODULES, Engine, installed
from .workloads import FAMILIES


def main() -> int:
    """Run, print a table, and write JSON when asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("families", nargs="*", default=["overhead"],
                        help=f"which of: {', '.join(FAMILIES)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", metavar="FILE", help="write the figures of every round")
    options = parser.parse_args()
    unknown = [f for f in options.families if f not in FAMILIES]
    if unknown:
        parser.error(f"unknown family {unknown[0]!r}; there are: {', '.join(FAMILIES)}")

    engines = [Engine(n, options.threads) for n in MODULES if installed(n)]
    for name in MODULES:
        if not installed(name):
            print(f"{name} is not installed and takes no part")
    print(", ".join(f"{e.name} {e.version}" for e in engines), f"- {options.threads} threads, "
          f"{options.rounds} rounds, µs per op: median (lowest-highest)")  # fmt: skip
    figures: dict[str, dict[str, list[float]]] = {}
    try:
        for family in options.families:
            for name in FAMILIES[family]:
                figures[f"{family} {name}"] = run(engines, family, name, options.rounds)
    except KeyboardInterrupt:
        print("\nstopped; above is what was measured")
    finally:
        for engine in engines:
            engine.close()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return 0


def run(engines: list[Engine], family: str, name: str, rounds: int) -> dict[str, list[float]]:
    """One workload on every engine in turn, round after round."""
    times: dict[str, list[float]] = {e.name: [] for e in engines}
    for _ in range(rounds):
        for engine in engines:
            times[engine.name].append(engine.time(family, name) * 1e6)
    columns = [f"{family:9} {name:18}"]
    columns += [f"{n} {statistics.median(t):6.2f} ({min(t):.2f}-{max(t):.2f})"
                for n, t in times.items()]  # fmt: skip
    ours = times.get("retrograd", [])
    for peer, theirs in times.items():
        if peer != "retrograd":
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            columns.append(f"ratio to {peer} {statistics.median(ratios):.2f} "
                           f"({min(ratios):.2f}-{max(ratios):.2f})")  # fmt: skip
    print("  ".join(columns), flush=True)
    return times


if __name__ == "__main__":
    sys.exit(main())
