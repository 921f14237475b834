"""From starting ``python`` to the end of the first step: the parent's clock, and the child program.

``python -m benchmarks.startup ENGINE WORKLOAD THREADS [STATE]`` is the child: it imports the
engine, takes one step, says so, and leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .engine import ROOT, EngineError, environment
from .rows import Row

if TYPE_CHECKING:
    from .session import Session
    from .workload import Workload

LONGEST = 120.0  # seconds for one start


def rows(session: Session, workload: Workload) -> Iterator[Row]:
    """The row of one workload of this family."""
    name, _, cache = workload.name.partition(" ")
    row = Row(workload.family, workload.name)
    takers = ("retrograd", "pytorch") if session.quick else workload.engines or ()
    names = [n for n in session.engines if n in takers]
    state = start_of(session, workload, row) if workload.twin and "jax" in names else None
    if state is None and workload.twin:
        names = [n for n in names if n != "jax"]
    with tempfile.TemporaryDirectory(prefix="startup-") as warm:
        place = Path(warm)
        for n in list(names):
            session.say(f"{workload.key}: {n} starts for the first time")
            try:
                once(session, n, name, state, place / f"{n} warm")
            except EngineError as error:
                row.left_out[n] = str(error)
                names.remove(n)

        def one_round() -> dict[str, float]:
            found = {}
            for n in list(names):
                with tempfile.TemporaryDirectory(prefix="startup-") as empty:
                    folder = Path(empty) if cache == "cold" else place / f"{n} warm"
                    try:
                        found[n] = once(session, n, name, state, folder)
                    except EngineError as error:
                        row.left_out[n] = str(error)
                        names.remove(n)
            return found

        if names:
            with session.interruptible(row):
                kept = session.undisturbed(row, one_round)
                row.rounds = {n: [r[n] for r in kept] for n in names}
    yield row


def start_of(session: Session, workload: Workload, row: Row) -> str | None:
    """A file with the weights for JAX, by an engine that draws them; None if there is none."""
    path, results = session.folder / "start.npz", session.folder / "start-results.npz"
    for name in ("retrograd", "pytorch"):
        if name in session.engines:
            said = session.engines[name].ask(
                "prepare", key=workload.key, results=str(results), state=str(path)
            )
            if "count" in said:
                return str(path)
    row.left_out["jax"] = "no other engine could give it the weights to start from"
    return None


def once(session: Session, engine: str, name: str, state: str | None, cache: Path) -> float:
    """Seconds of one start; raises `EngineError` with what was said if there was none."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    variables = environment(session.threads) | {
        "RETROGRAD_CACHE": str(cache),
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    # A package's bytecode is there once it is installed; the first start writes a checkout's.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "benchmarks.startup", engine, name, str(session.threads)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, *([state] if state else [])],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - begun
        _, said = process.communicate(timeout=LONGEST)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.communicate()
        raise
    if line.strip() != "done":
        last = said.strip().splitlines() or ["it said nothing"]
        raise EngineError(last[-1])
    return seconds


def main(engine: str, name: str, threads: int, state: str | None) -> None:
    """The child."""
    from .child import MODULES, Eager, Jax, bind, unwritten

    bind(threads)
    if name == "import":
        __import__(MODULES[engine])
    else:
        from .workload import load

        workload = load(["models"])[f"models/{name}"]
        if engine == "jax":
            twin = Jax()
            twin.begin(workload, str(state), derived=False)
            twin.step()
        else:
            eager = Eager(MODULES[engine], engine == "torch.compile", threads)
            try:
                eager.build(workload)
                eager.step()
            except (AttributeError, NotImplementedError) as error:
                if unwritten(error):
                    sys.exit(f"not there: {error}")
                raise
    print("done", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), (sys.argv[4:] or [None])[0])
