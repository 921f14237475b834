"""Every import goes down.  ARCHITECTURE.md says why; this file says so to CI."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import retrograd as rg
from retrograd.autograd.op import functions

ROOT = Path(rg.__file__).parent
FOLDERS = ("autograd", "nn", "optim", "utils", "benchmarks", "examples")

# Low to high.  A module may import from the floors below its own, and within its own folder.
FLOORS = [
    "linker processor",
    "alignments errors hooks shapes dtypes polynomials storage device layout allocation "
    "machine lowering scores modes assembly cache",
    "attention crew normalization",
    "scalar format version",
    "printer",
    "kernels",
    "blocks microkernels image_rows",
    "tiling",
    "tiles",
    "threads windows bands planes recurrence_cells large products rows deferred",
    "recurrence chain",
    "recurrence_kernels winograd",
    "winograd_weight direct",
    "direct_weight",
    "tape box_muller convolving",
    "anomaly",
    "tensor",
    "op",
    "inplace call nested",
    "creation",
    "promotion",
    "declare",
    "ops",
    "functional",
    "function generator safetensors interop",
    "gradcheck random tree report stubs",
    "pickled",
    "serialization draw",
    "autograd",
    "nn optim data",
    "utils",
    "retrograd",
    "__main__ benchmarks examples",
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names.split()}

# Imports inside functions that go up, and why each must.
UPWARD = {
    ("recurrence", "recurrence_kernels"): "long sequences are worth loading the compiler for",
    ("scores", "rows"): "large rows have a loop of their own",
    ("shapes", "rows"): "and so has adding them up",
    ("scalar", "products"): "large products are shared by the kernels' threads",
    ("scalar", "kernels"): "many elements are worth loading the compiler for",
    ("tape", "tensor"): "hooks are shown tensors, which the walk itself does without",
    ("tensor", "creation"): "Tensor([1, 2]), the legacy constructor, takes data",
}
MOST_LINES = 600


def modules():
    """The place of every module of the package (a file of autograd/, or a folder), and its file."""
    for path in [ROOT / "__init__.py", ROOT / "__main__.py"]:
        if path.exists():
            yield "retrograd" if path.stem == "__init__" else path.stem, path
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield place_of(path.relative_to(ROOT).with_suffix("").parts), path


def place_of(parts):
    """Where a dotted name belongs: autograd's own files are places, other folders are one each."""
    parts = [p for p in parts if p != "__init__"]
    if parts[:2] == ["utils", "data"]:
        return "data"
    if parts[:1] == ["autograd"] and len(parts) > 1:
        return parts[1]
    return parts[0] if parts else "retrograd"


def internal_imports():
    """(importer, imported, line, whether inside a function) for each import of the package."""
    for importer, path in modules():
        here = list(path.relative_to(ROOT).parts[:-1])
        tree = ast.parse(path.read_text(), path.name)
        inner = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for node in ast.walk(function)
        }
        typing = {
            id(node)
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for node in ast.walk(block)
        }
        for node in ast.walk(tree):
            if id(node) in typing:
                continue
            for imported in imported_places(node, here):
                if imported is not None:
                    yield importer, imported, f"{path.name}:{node.lineno}", id(node) in inner


def imported_places(node, here):
    if isinstance(node, ast.Import):
        for name in node.names:
            parts = name.name.split(".")
            if parts[0] == "retrograd":
                yield place_of(parts[1:])
    elif isinstance(node, ast.ImportFrom):
        base = here[: len(here) - node.level + 1] if node.level else None
        module = (node.module or "").split(".") if node.module else []
        if base is None:
            if module[:1] != ["retrograd"]:
                return
            base, module = [], module[1:]
        for name in node.names:
            parts = [*base, *module]
            deeper = ROOT.joinpath(*parts, name.name)
            if deeper.with_suffix(".py").exists() or deeper.is_dir():
                parts.append(name.name)
            yield place_of(parts)


IMPORTS = sorted(set(internal_imports()))


def goes_down(importer, imported):
    return importer == imported or FLOOR[imported] < FLOOR[importer]


def test_every_module_has_a_floor():
    homeless = {place for place, _ in modules()} - set(FLOOR)
    assert not homeless, f"say in FLOORS where these belong: {sorted(homeless)}"


def test_there_are_imports_to_look_at():
    assert len(IMPORTS) > 200
    assert ("op", "tensor") in {(a, b) for a, b, _, _ in IMPORTS}


@pytest.mark.parametrize("importer", sorted(FLOOR))
def test_imports_go_down(importer):
    up = [
        f"{where} imports {imported}"
        for place, imported, where, inside in IMPORTS
        if place == importer and imported in FLOOR and not goes_down(importer, imported)
        if not (inside and (importer, imported) in UPWARD)
    ]
    assert not up, "\n".join(up)


def test_exceptions_are_still_needed():
    used = {(a, b) for a, b, _, inside in IMPORTS if inside and not goes_down(a, b)}
    assert set(UPWARD) <= used


def test_nothing_in_the_package_says_its_own_name():
    """Imports are relative, so that the package may be renamed, or live inside another."""
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("autograd", "nn", "optim", "utils")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and ast.unparse(node).split()[1].split(".")[0] == "retrograd"
    ]
    assert not absolute


@pytest.mark.parametrize("path", [p for _, p in modules()], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_can_be_read_in_one_sitting(path):
    text = path.read_text()
    assert text.count("\n") <= MOST_LINES
    assert not text.strip() or ast.get_docstring(ast.parse(text)), (
        "say in a docstring what lives here"
    )


@pytest.mark.parametrize("name", sorted(functions))
def test_a_public_function_is_documented(name):
    first = (inspect.getdoc(functions[name]) or "").partition("\n")[0]
    assert first.endswith((".", ":")) or "``" in first, f"{name}: {first!r}"
    assert getattr(rg, name) is functions[name]


@pytest.mark.parametrize(
    "name", sorted(n for n in vars(rg.Tensor) if n[0] != "_" and callable(getattr(rg.Tensor, n)))
)
def test_a_method_is_documented(name):
    assert inspect.getdoc(getattr(rg.Tensor, name))
