"""The benchmarks as a program and in parts.  No timing decides anything here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import retrograd as rg
from retrograd.benchmarks import __main__ as program
from retrograd.benchmarks import child, load, results, session
from retrograd.benchmarks.chart import chart
from retrograd.benchmarks.engine import EngineError, absent
from retrograd.benchmarks.machine import Limits
from retrograd.benchmarks.rows import Row, amount, table
from retrograd.benchmarks.workload import FAMILIES, Task, UnknownNameError, Workload, find

ROOT = Path(rg.__file__).parent
BRIEF = ("--engines", "retrograd", "--rounds", "1", "--seconds", "0.001", "--anyway")


def start(*words):
    """The program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# ---------------------------------------------------------------- names


def keys(*names):
    return [w.key for w in find(names)]


def test_every_family_has_workloads_and_some_for_a_quick_run():
    for family in FAMILIES:
        those = find([family])
        assert those
        assert any(w.quick for w in those)
        assert {w.family for w in those} == {family}


def test_a_workload_is_named_alone_or_with_its_family():
    assert keys("models", "lenet") == ["models/lenet"]
    assert keys("models/lenet") == ["models/lenet"]
    assert keys("lenet") == ["models/lenet", "memory/lenet"]
    assert keys("models", "mlp-32-*") == ["models/mlp-32-sgd", "models/mlp-32-adam"]
    assert len(keys()) > len(keys("models")) > 10
    assert set(keys("optim", "models", "lenet")) == {"models/lenet", *keys("optim")}


def test_what_users_ask_for_is_there():
    names = " ".join(keys("models", "conv", "rnn"))
    for wanted in ("mlp-1024-adam", "tanh-2-16-16-1", "resnet8", "transformer", "autoencoder",
                   "8x32x56 32@3s1p1 depthwise both", "LSTM cell loop"):  # fmt: skip
        assert wanted in names


@pytest.mark.parametrize("names", [["model"], ["models", "lenett"], ["norm", "lenet"]])
def test_an_unknown_name_lists_what_there_is(names, capsys):
    assert program.main(names) == 2
    said = capsys.readouterr().err
    assert repr(names[-1]) in said
    assert "families: overhead, elementwise" in said
    if names == ["models", "lenett"]:
        assert "did you mean lenet" in said
        assert "workloads of models: mlp-32-sgd" in said


def test_unknown_engines_and_senseless_numbers_are_errors(capsys):
    for words in (["--engines", "torch"], ["--rounds", "0"], ["--threads", "-1"]):
        with pytest.raises(SystemExit) as caught:
            program.main(words)
        assert caught.value.code == 2
    assert "there are: retrograd, pytorch" in capsys.readouterr().err


def test_a_list_of_the_workloads(capsys):
    assert program.main(["--list", "optim"]) == 0
    assert capsys.readouterr().out.splitlines() == keys("optim")


def test_an_engine_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("retrograd.benchmarks.engine.find_spec", lambda name: None)
    assert absent("jax") == "jax is not installed"
    assert absent("torch.compile") == "torch is not installed"


# ---------------------------------------------------------------- a run, with engines that pretend


class Pretended:
    """An engine in this process that says what it is told to."""

    def __init__(self, name, result=1.0, seconds=1e-3, refuses=None):
        self.name, self.version, self.pid = name, "0", None
        self.result, self.seconds, self.refuses = result, seconds, refuses
        self.stopped = False

    def ask(self, do, **what):
        if do == "peaks":
            return {"flops": 1e9, "copies": {"4096": 1e9}}
        if do == "measure":
            if isinstance(self.seconds, BaseException):
                raise self.seconds
            return {"seconds": self.seconds, "samples": 3}
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses:
            return {"missing": self.refuses}
        with open(what["results"], "wb") as file:
            np.savez(file, loss=np.atleast_1d(np.asarray(self.result, float)))
        return {"flops": 2e6, "bytes": 8192.0, "count": 1}

    def stop(self):
        self.stopped = True


class Calm:
    """A machine that nobody disturbs."""

    def begin(self):
        pass

    def end(self):
        return None


class Restless(Calm):
    """A machine whose every ``n``-th round is disturbed."""

    def __init__(self, n):
        self.n, self.count = n, 0

    def end(self):
        self.count += 1
        return "other programs took 40% of the processors" if self.count % self.n == 0 else None


@pytest.fixture
def run():
    """A session of pretended engines."""
    made = []

    def make(*engines, watch=None, rounds=7):
        new = session.Session([], 1, rounds, 0.0, watch=watch or Calm())
        new.engines = {e.name: e for e in engines}
        made.append(new)
        return new

    yield make
    for each in made:
        each.close()


WORKLOAD = Workload("models", "pretended", lambda torch: Task(lambda: None))


def test_figures_ratios_and_the_floor(run):
    ours, theirs = Pretended("retrograd", seconds=1e-3), Pretended("pytorch", seconds=4e-3)
    made = run(ours, theirs)
    made.measure_limits()
    (row,) = made.run(WORKLOAD)
    assert len(row.rounds["retrograd"]) == len(row.rounds["pytorch"]) == 7
    assert row.ratio("pytorch").median == pytest.approx(0.25)
    assert row.floor == pytest.approx(2e-3)  # two million operations at 1e9 a second
    assert row.to_floor() == pytest.approx(0.5)
    text = table([row], ["retrograd", "pytorch"])
    assert re.search(r"pretended +1\.00 ms +4\.00 ms +0\.25 \(0\.25-0\.25\) +0\.25 pytorch +0\.50",
                     text)  # fmt: skip


def test_engines_whose_results_differ_are_an_error_and_not_timed(run):
    (row,) = run(Pretended("retrograd", result=1.0), Pretended("pytorch", result=1.01)).run(
        WORKLOAD
    )
    assert row.rounds == {}
    assert "loss differs between retrograd and pytorch by 0.0099" in row.error
    text = table([row], ["retrograd", "pytorch"])
    assert "ERROR" in text
    assert "0.0001 is allowed" in text


def test_a_third_engine_that_differs_is_left_out_with_its_difference(run):
    third = Pretended("torch.compile", result=2.0)
    (row,) = run(Pretended("retrograd"), Pretended("pytorch"), third).run(WORKLOAD)
    assert row.error is None
    assert list(row.rounds) == ["retrograd", "pytorch"]
    text = table([row], ["retrograd", "pytorch", "torch.compile"])
    assert "loss differs between retrograd and torch.compile by 0.5" in text
    assert "retrograd agrees with pytorch" in text


@pytest.mark.parametrize("other", [[1.0, 2.0], np.nan, np.inf])
def test_shapes_and_what_is_not_finite_differ_too(run, other):
    (row,) = run(Pretended("retrograd"), Pretended("pytorch", result=other)).run(WORKLOAD)
    assert row.error


def test_results_that_agree_leave_the_difference_in_the_row(run):
    (row,) = run(Pretended("retrograd"), Pretended("pytorch", result=1.00001)).run(WORKLOAD)
    assert row.error is None
    assert row.differences["pytorch"] == pytest.approx(1e-5, rel=1e-3)


def test_an_engine_that_lacks_a_layer_or_dies_is_named_and_the_others_are_timed(run):
    made = run(
        Pretended("retrograd", refuses="not there: no Conv2d"),
        Pretended("pytorch"),
        Pretended("torch.compile", refuses=EngineError("it took more than 90 s to compile")),
    )
    (row,) = made.run(WORKLOAD)
    assert list(row.rounds) == ["pytorch"]
    text = table([row], ["retrograd", "pytorch", "torch.compile"])
    assert "retrograd: not there: no Conv2d" in text
    assert "torch.compile: it took more than 90 s to compile" in text


def test_an_engine_that_dies_while_it_is_timed_is_left_out(run):
    (row,) = run(Pretended("retrograd"), Pretended("pytorch", seconds=EngineError("gone"))).run(
        WORKLOAD
    )
    assert list(row.rounds) == ["retrograd"]
    assert row.left_out == {"pytorch": "gone"}


def test_a_disturbed_round_is_measured_again(run):
    (row,) = run(Pretended("retrograd"), watch=Restless(3)).run(WORKLOAD)
    assert row.disturbed is None
    assert len(row.rounds["retrograd"]) == 7


def test_a_row_that_is_always_disturbed_has_no_figure_unless_asked_for(run):
    (row,) = run(Pretended("retrograd"), Pretended("pytorch"), watch=Restless(1)).run(WORKLOAD)
    assert "other programs took 40%" in row.disturbed
    engines = ["retrograd", "pytorch"]
    assert "1.00 ms" not in table([row], engines)
    assert "1.00 ms" in table([row], engines, anyway=True)
    assert "disturbed: 4 of 4 rounds" in table([row], engines)


def test_limits_that_were_disturbed_are_no_floor(run, capsys):
    made = run(Pretended("retrograd"), watch=Restless(1))
    made.measure_limits()
    program.limits(made)
    assert "no floor: other programs" in capsys.readouterr().out
    made.watch = Calm()
    (row,) = made.run(WORKLOAD)
    assert row.floor is None


def test_an_interrupt_leaves_the_rows_before_it(run, capsys):
    made = run(Pretended("retrograd"))
    other = Workload("models", "interrupted", WORKLOAD.make)

    def measured(workload, run_before=made.run):
        if workload is other:
            made.engines["retrograd"].seconds = KeyboardInterrupt()
        yield from run_before(workload)

    made.run = measured
    rows = []
    with pytest.raises(KeyboardInterrupt):
        program.measure(made, [WORKLOAD, other], rows, program.Progress(), None, False)
    assert [row.name for row in rows] == ["pretended"]
    assert "pretended" in capsys.readouterr().out


def test_a_quick_run_says_what_it_had_no_time_for(run, capsys):
    rows = []
    program.measure(run(Pretended("retrograd")), [WORKLOAD], rows, program.Progress(), 0.0, False)
    assert rows == []
    assert "out of time for: models/pretended" in capsys.readouterr().out


def test_what_a_workload_asks_for_in_vain_is_not_there_and_a_broken_engine_is_an_error():
    def caught(function):
        try:
            function()
        except Exception as error:
            return error

    def not_yet():
        raise NotImplementedError("later")

    layer = find(["norm/linear"])[0]
    assert child.unwritten(caught(lambda: layer.make(rg.optim)))  # which has no nn
    assert child.unwritten(caught(lambda: not_yet()))
    assert not child.unwritten(caught(lambda: rg.ones(1).nothing))


# ---------------------------------------------------------------- was the machine ours?


def watched(monkeypatch, before, after, spins=()):
    """What a watch says of a round between two snapshots."""
    shots = iter([load.Snapshot(*before), load.Snapshot(*after)])
    speeds = iter([1.0] * 6 + list(spins or [1.0]))
    monkeypatch.setattr(load, "snapshot", lambda pids: next(shots))
    monkeypatch.setattr(load, "spin", lambda: next(speeds))
    watch = load.Watch(list)
    watch.begin()
    return watch.end()


def test_our_own_work_disturbs_nobody(monkeypatch):
    assert watched(monkeypatch, (0, 0, 0, 0), (2.0, 1.9, 0, 1.85)) is None


def test_other_programs_disturb(monkeypatch):
    said = watched(monkeypatch, (0, 0, 0, 0), (2.0, 1.9, 0, 0.9))
    assert said == "other programs took 50% of the processors"


def test_other_machines_disturb(monkeypatch):
    said = watched(monkeypatch, (0, 0, 0, 0), (2.0, 1.0, 0.2, 1.0))
    assert said == "other machines on this host took 10% of the processors"


def test_a_slow_processor_disturbs(monkeypatch):
    said = watched(monkeypatch, (0, 0, 0, 0), (2.0, 1.0, 0, 1.0), spins=[1.6])
    assert said == "a fixed loop took 1.6 times as long as usual"


def test_where_the_system_does_not_tell_only_the_loop_counts(monkeypatch):
    monkeypatch.setattr(load, "snapshot", lambda pids: None)
    watch = load.Watch(list)
    watch.begin()
    watch.end()


def test_the_floor_is_the_longer_of_arithmetic_and_memory():
    limits = Limits([{"flops": 1e9, "copies": {"1024": 1e8, "1048576": 1e9}}])
    assert limits.floor(1e6, 1e3) == pytest.approx(1e-3)
    assert limits.floor(1e3, 1e6) == pytest.approx(1e-3)
    assert limits.floor(0, 0) is None
    assert Limits([]).floor(1, 1) is None


# ---------------------------------------------------------------- what is written


def rows_of(seconds, theirs=2e-3, **more):
    return [Row("models", "lenet", rounds={"retrograd": [seconds] * 3, "pytorch": [theirs] * 3},
                **more)]  # fmt: skip


MACHINE = {"processor": "P", "threads": 2, "cores": 2, "python": "3", "versions": {}, "when": "now"}


@pytest.mark.parametrize(("value", "unit", "text"), [
    (2.5, "s", "2.50 s"), (1.234e-3, "s", "1.23 ms"), (45.6e-6, "s", "45.6 µs"),
    (0.9999e-3, "s", "1.00 ms"), (789e-9, "s", "789 ns"), (3.2e6, "B", "3.20 MB"),
    (0.0, "B", "0.00 B"), (None, "s", "-"),
])  # fmt: skip
def test_figures_have_the_unit_that_suits_them(value, unit, text):
    assert amount(value, unit) == text


def test_rows_come_back_from_a_file(tmp_path):
    rows = rows_of(1e-3)
    path = tmp_path / "a.json"
    path.write_text(results.as_json(rows, MACHINE, {"retrograd": "1"}), "utf-8")
    back, rest = results.read(path)
    assert back == rows
    assert rest["machine"] == MACHINE
    assert json.loads(path.read_text("utf-8"))["rows"][0]["ratios"]["pytorch"]["median"] == 0.5


def test_two_runs_compared(tmp_path, capsys):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    gone = Row("norm", "gone", rounds={"retrograd": [1.0]})
    paths[0].write_text(results.as_json([*rows_of(1e-3), gone], MACHINE, {}), "utf-8")
    changed = {**MACHINE, "processor": "Q"}
    paths[1].write_text(results.as_json(rows_of(0.5e-3), changed, {}), "utf-8")
    assert program.main(["--compare", *map(str, paths)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"models/lenet +1\.00 ms +500 µs +-50% +0\.50 +0\.25 +faster", said)
    assert "only before: norm/gone" in said
    assert "not the same processor: P before, Q after" in said


def test_a_change_within_the_spread_is_none_and_disturbed_rows_are_not_compared(tmp_path):
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(results.as_json([Row("f", "x", rounds={"retrograd": [1.0, 3.0]})], {}, {}))
    b.write_text(results.as_json([Row("f", "x", rounds={"retrograd": [1.5, 4.0]})], {}, {}))
    assert not results.compare(a, b).rstrip().endswith(("slower", "faster"))
    b.write_text(results.as_json([Row("f", "x", rounds={"retrograd": [9.0]}, disturbed="yes")],
                                 {}, {}))  # fmt: skip
    assert results.compare(a, b).rstrip().endswith("disturbed")


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99, "rows": []}'])
def test_a_file_that_is_no_results_file(tmp_path, capsys, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert program.main(["--compare", str(path), str(path)]) == 2
    assert str(path) in capsys.readouterr().err
    assert program.main(["--compare", str(tmp_path / "none"), str(path)]) == 2


def test_saving_one_workload_keeps_the_others_of_the_family_on_the_same_machine(tmp_path):
    both = [*rows_of(1e-3), Row("models", "mlp", rounds={"retrograd": [1.0]})]
    results.save(both, MACHINE, {}, tmp_path)
    results.save(rows_of(2e-3), MACHINE, {}, tmp_path)
    rows, _ = results.read(tmp_path / "models.json")
    assert [(r.name, r.median("retrograd")) for r in rows] == [("lenet", 2e-3), ("mlp", 1.0)]
    assert "mlp" in (tmp_path / "models.svg").read_text("utf-8")
    results.save(rows_of(3e-3), {**MACHINE, "threads": 1}, {}, tmp_path)
    rows, _ = results.read(tmp_path / "models.json")
    assert [r.name for r in rows] == ["lenet"]


def texts(svg):
    return [t.text for t in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_chart_has_every_row_and_a_dark_theme():
    rows = [
        *rows_of(1e-3),
        *rows_of(9e-3),
        Row("models", "a & <b>", error="differs"),
        Row("models", "shaken", rounds={"retrograd": [1.0]}, disturbed="other programs"),
        Row("models", "none", left_out={"retrograd": "not there: x"}),
        Row("models", "alone", rounds={"retrograd": [1.0]}),
    ]
    svg = chart("models", rows, "a machine")
    said = texts(svg)
    for row in rows:
        assert row.name in said
    assert "1.00 ms  (0.50 of PyTorch)" in said
    assert "9.00 ms  (4.50 of PyTorch)" in said
    assert "results differ" in said
    assert "disturbed: other programs" in said
    assert "retrograd: not there: x" in said
    assert "prefers-color-scheme:dark" in svg
    assert "http" not in svg.replace('"http://www.w3.org/2000/svg"', "")


# ---------------------------------------------------------------- the program


def test_a_small_run_prints_a_table_and_writes_files(tmp_path):
    figures = tmp_path / "figures.json"
    process = start("overhead", "+", "norm", "mse loss", "memory/tanh-2-16-16-1", *BRIEF,
                    "--json", str(figures), "--charts", str(tmp_path))  # fmt: skip
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert not err
    rows, rest = results.read(figures)
    assert [r.key for r in rows] == [
        "overhead/+", "norm/mse loss", *(f"memory/tanh-2-16-16-1: {p}"
                                         for p in ("process", "step", "tape")),
    ]  # fmt: skip
    assert all(r.median("retrograd") > 0 for r in rows)
    assert rest["machine"]["versions"]["numpy"] == np.__version__
    assert rest["machine"]["limits"]["flops"] > 1e8
    # 64 images of 16, 16 and 1 units: what tanh and the loss keep.
    assert 64 * 32 * 4 <= rows[-1].median("retrograd") <= 64 * 100 * 4
    assert "mse loss" in out
    assert (tmp_path / "overhead.svg").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_control_c_prints_what_is_there(tmp_path):
    figures = tmp_path / "figures.json"
    process = start("overhead", "+", "norm", "mse loss", *BRIEF[:2], "--seconds", "0.05",
                    "--rounds", "2", "--anyway", "--json", str(figures))  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("overhead"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped; above is what was measured" in out
    assert "overhead/+" in [r.key for r in results.read(figures)[0]]
    assert "Traceback" not in err


def test_names_that_need_no_list():
    with pytest.raises(UnknownNameError, match="families"):
        find(["nothing"])
