"""What is written is true: examples run, links lead somewhere, whatever is public is explained."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import retrograd as rg
from retrograd import nn, optim
from retrograd.autograd.op import functions

ROOT = Path(rg.__file__).parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
OUTSIDE = ("retrograd.tests", "retrograd.examples", "retrograd.benchmarks", "retrograd.__main__")

MODULES = ["retrograd"] + [
    module.name
    for module in pkgutil.walk_packages(rg.__path__, "retrograd.")
    if not module.name.startswith(OUTSIDE)
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Examples may save files."""
    monkeypatch.chdir(tmp_path)


def failures(test):
    """What went wrong in an example, as text; empty where nothing did."""
    said = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        assert failures(test) == ""


WITH_EXAMPLES = {
    f"{owner}.{name}": function
    for owner, those in (("rg", functions), ("Tensor", vars(rg.Tensor)))
    for name, function in those.items()
    if ">>>" in (getattr(function, "__doc__", None) or "")
}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of_declared_functions(name):
    """Their globals are those of the template, so the test above does not see them."""
    doc = inspect.getdoc(WITH_EXAMPLES[name])
    assert failures(doctest.DocTestParser().get_doctest(doc, {}, name, None, 0)) == ""


FENCED = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(match[1], id=f"{page.name}-{number}")
    for page in PAGES
    for number, match in enumerate(FENCED.finditer(page.read_text("utf-8")))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_on_a_page_runs(block):
    exec(compile(block, "<page>", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def test_files_named_by_the_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert named
    assert [n for n in named if not any((ROOT / d / n).exists() for d in (".", "autograd"))] == []


def public(module):
    """What a module offers and made itself, by name."""
    for name in getattr(module, "__all__", [n for n in vars(module) if n[0] != "_"]):
        value = getattr(module, name)
        mine = getattr(value, "__module__", None) or ""
        if callable(value) and mine.startswith("retrograd"):
            yield f"{module.__name__}.{name}", value


EVERYTHING = {
    **{f"rg.{name}": function for name, function in functions.items()},
    **{name: value for module in (rg, nn, nn.functional, optim) for name, value in public(module)},
    **{
        f"Tensor.{name}": value
        for name, value in vars(rg.Tensor).items()
        if name[0] != "_" and (callable(value) or isinstance(value, property))
    },
}


def test_whatever_is_public_is_explained():
    assert [name for name, value in EVERYTHING.items() if not inspect.getdoc(value)] == []
