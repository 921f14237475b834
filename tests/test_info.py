"""The command line: facts about the installation, and what declarations became."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import retrograd as rg
from retrograd.__main__ import main
from retrograd.autograd import report
from retrograd.autograd.op import registry


def test_info_is_aligned(capsys):
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    column = len(max(report.facts(), key=len)) + 2
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)
    assert lines[0].startswith("retrograd ")
    assert rg.__version__ in lines[0]


def test_info_as_json(capsys):
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threads"] == rg.get_num_threads()
    assert {"Python", "NumPy", "Numba", "graphviz", "processor", "kernel cache"} <= set(found)


def test_info_without_graphviz_a_cache_or_data(monkeypatch):
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    monkeypatch.setattr(report, "cache_folder", lambda: None)
    monkeypatch.delenv("RETROGRAD_DATA", raising=False)
    found = report.facts()
    assert "no dot program" in found["graphviz"]
    assert "not safe" in found["kernel cache"]
    assert found["data"] == "RETROGRAD_DATA is not set"


def test_source_of_a_product(capsys):
    assert main(["source", "mul"]) == 0
    printed = capsys.readouterr().out
    assert "mul(a, b) = a * b" in printed
    assert "d_a = g * b" in printed
    assert "def function(input, other):" in printed
    assert "return (None if n0 is None else g * b, None if n1 is None else g * a,)" in printed


@pytest.mark.parametrize("name", registry)
def test_every_op_has_source(name):
    assert f"# {name}: {registry[name].kind}" in report.source(name)


def test_unknown_op(capsys):
    assert main(["source", "mull"]) == 2
    assert "did you mean mul" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nonsense"], ["source"]])
def test_unknown_command(words):
    done = subprocess.run(
        [sys.executable, "-m", "retrograd", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m retrograd")
