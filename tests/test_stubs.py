"""Stubs: they are what the generator would write, and they name what there is."""

from __future__ import annotations

import ast

import pytest
import retrograd as rg
from retrograd.autograd import stubs
from retrograd.autograd.op import functions

FILES = {path.stem: text for path, text in stubs.files().items()}


def test_the_files_are_up_to_date(capsys):
    assert stubs.main(["--check"]) == 0, capsys.readouterr().out


def test_check_names_what_is_stale_and_writing_mends_it(tmp_path, monkeypatch, capsys):
    path = tmp_path / "methods.pyi"
    path.write_text("old")
    monkeypatch.setattr(stubs, "files", lambda: {path: "new"})
    assert stubs.main(["--check"]) == 1
    assert "methods.pyi is out of date" in capsys.readouterr().out
    assert path.read_text() == "old"
    assert stubs.main([]) == 0
    assert path.read_text() == "new"
    assert stubs.main(["--check"]) == 0


def test_tensor_has_no_other_base_at_run_time():
    assert rg.Tensor.__mro__ == (rg.Tensor, object)


def test_every_function_and_method_is_named():
    top = {n.name for n in ast.parse(FILES["toplevel"]).body if isinstance(n, ast.FunctionDef)}
    assert top == set(functions)
    (methods,) = (n for n in ast.parse(FILES["methods"]).body if isinstance(n, ast.ClassDef))
    named = {n.name for n in methods.body if isinstance(n, ast.FunctionDef)}
    assert {"exp", "add_", "__rmul__", "T", "new_zeros", "normal_"} <= named


@pytest.mark.parametrize(
    "line",
    [
        "def exp(input: Any) -> Tensor:",
        "def maximum(input: Any, other: Any) -> Tensor:",
    ],
)
def test_signatures_of_functions(line):
    assert f"\n{line}\n" in FILES["toplevel"]


@pytest.mark.parametrize(
    "line",
    [
        "def exp(self) -> Tensor:",
        "def exp_(self) -> Self:",
        "def sum(self, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...)"
        " -> Tensor:",
        "def __radd__(self, other: Any) -> Tensor: ...",
    ],
)
def test_signatures_of_methods(line):
    assert f"\n    {line}\n" in FILES["methods"]
