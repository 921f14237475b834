"""The workloads of the benchmarks give the same on both engines: that is what makes them fair."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import retrograd as rg
import torch
from retrograd.benchmarks import child, results, session
from retrograd.benchmarks.rows import Row
from retrograd.benchmarks.workload import find

ROOT = Path(rg.__file__).parent
# Those of a quick run stand for their families; the program itself compares all of them.
WORKLOADS = [
    w for w in find() if w.measure == "time" and w.quick and not w.name.endswith(("1e1", "1e6"))
]


@pytest.fixture(scope="module")
def engines():
    """Both engines in this process, on one thread each, lest they wait for one another."""
    ours, theirs = rg.get_num_threads(), torch.get_num_threads()
    yield {
        "retrograd": child.Eager("retrograd", False, 1),
        "pytorch": child.Eager("torch", False, 1),
    }
    rg.set_num_threads(ours)
    torch.set_num_threads(theirs)


def prepared(engines, workload, folder, tolerance):
    """Let both engines prepare a workload, and compare what they give."""
    paths = {name: folder / f"{name}.npz" for name in engines}
    try:
        for name, engine in engines.items():
            assert engine.prepare(workload, str(paths[name]), None)["count"] >= 1
    except (AttributeError, NotImplementedError) as error:
        if not child.unwritten(error):
            raise
        pytest.skip(f"not there yet: {error}")
    finally:
        for engine in engines.values():
            engine.clear()
    row = Row(workload.family, workload.name)
    session.compare(paths, tolerance, row)
    assert row.error is None
    assert row.differences["pytorch"] <= tolerance


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.key)
def test_results_are_equal(engines, workload, tmp_path):
    prepared(engines, workload, tmp_path, workload.tolerance)


@pytest.mark.parametrize("name", ["mnist-net", "resnet8"])
def test_what_is_allowed_more_in_float32_is_equal_in_float64(engines, name, tmp_path):
    before = rg.get_default_dtype(), torch.get_default_dtype()
    rg.set_default_dtype(rg.float64)
    torch.set_default_dtype(torch.float64)
    try:
        prepared(engines, find([f"models/{name}"])[0], tmp_path, 1e-10)
    finally:
        rg.set_default_dtype(before[0])
        torch.set_default_dtype(before[1])


def test_the_program_puts_both_engines_side_by_side(tmp_path):
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "overhead/+", "models", "tanh-2-16-16-1",
         "--engines", "retrograd,pytorch", "--rounds", "2", "--seconds", "0.001", "--anyway",
         "--json", str(figures), "--charts", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows, rest = results.read(figures)
    assert rest["engines"]["pytorch"] == torch.__version__
    for row in rows:
        assert {*row.rounds} == {"retrograd", "pytorch"}
        assert row.ratio("pytorch").median > 0
        assert 0 <= row.differences["pytorch"] < 1e-4
    assert "pytorch" in (tmp_path / "models.svg").read_text("utf-8")
