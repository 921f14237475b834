"""Stubs for editors and type checkers: what declarations install, they cannot see.

``python -m retrograd.autograd.stubs`` writes ``methods.pyi``, the base class that `Tensor` seems to
have for a type checker, and ``toplevel.pyi``, the functions of the front door.  With ``--check`` it
writes nothing, and fails where the files are not what it would write.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import call, tensor
from .op import Op, functions
from .tensor import Tensor

__all__ = ["files"]

HEAD = '''\
"""{what}; written by ``python -m retrograd.autograd.stubs``."""

import builtins
from typing import Any, Self

from .tensor import Tensor

'''

# What type checkers hold against a tensor's operators.
UNLIKE_PYTHON = {"__eq__": "override", "__ne__": "override", "__ipow__": "misc"}

PLAIN = {"bool": "builtins.bool", "int": "builtins.int", "float": "builtins.float",
         "str": "builtins.str", "None": "None", "Tensor": "Tensor"}  # fmt: skip


def files() -> dict[Path, str]:
    """The stub files and what belongs in them."""
    folder = Path(__file__).parent
    return {folder / "methods.pyi": _methods(), folder / "toplevel.pyi": _functions()}


def _methods() -> str:
    lines = [HEAD.format(what="The methods that declarations install on `Tensor`")]
    lines.append("class Methods:")
    for name, value in sorted(_installed().items()):
        lines += [f"    {line}" for line in _member(name, value)]
    return "\n".join(lines) + "\n"


def _functions() -> str:
    lines = [HEAD.format(what="The functions of the package's front door")]
    for name, function in sorted(functions.items()):
        lines += _stub(name, function)
    return "\n".join(lines) + "\n"


def _installed() -> dict[str, Any]:
    """What `Tensor` has beyond the text of its class."""
    tree = ast.parse(inspect.getsource(tensor))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor").body
    written = {"__annotate__", "__annotate_func__"}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            written.add(node.name)
        elif isinstance(node, ast.Assign):
            written |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return {
        name: value
        for name, value in vars(Tensor).items()
        if name not in written
        and (name[0] != "_" or name.startswith("__"))
        and (callable(value) or isinstance(value, property))
    }


def _member(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, property):
        yield from _stub(name, value, method=True)
        return
    returns = _type(inspect.signature(value.fget).return_annotation) if value.fget else "Any"
    yield "@property"
    yield f"def {name}(self) -> {returns}: ..."
    if value.fset is not None:
        yield f"@{name}.setter"
        yield f"def {name}(self, value: Any) -> None: ..."


def _stub(name: str, function: Callable[..., Any], *, method: bool = False) -> Iterator[str]:
    """The lines of one function's stub."""
    signature, returns = _signature(name, function)
    parameters = list(signature.parameters.values())
    text = _parameters(parameters[1:])
    if method:
        head = f"def {name}({', '.join(['self', *text])}) -> {returns}:"
    else:
        returns = returns.replace("Self", "Tensor")
        head = f"def {name}({', '.join(_parameters(parameters))}) -> {returns}:"
    doc = (inspect.getdoc(function) or "").partition("\n")[0]
    if name in UNLIKE_PYTHON:
        yield f"{head} ...  # type: ignore[{UNLIKE_PYTHON[name]}]"
    elif not doc or name.startswith("__"):
        yield f"{head} ..."
    else:
        yield head
        yield f'    """{doc}"""'


def _signature(name: str, function: Any) -> tuple[inspect.Signature, str]:
    """A function's parameters, and the type it returns."""
    op = function.__globals__.get("op")
    if isinstance(op, Op):
        return call.parameters_of(op), "Any" if op.variadic or len(op.outputs) > 1 else "Tensor"
    signature = inspect.signature(function)
    if "_install_operators" in function.__code__.co_qualname:
        return signature, "Tensor"
    if name.endswith("_") and not name.startswith("__"):
        base = getattr(Tensor, name[:-1], None)
        if base is not None and list(signature.parameters)[1:2] == ["args"]:
            signature = _signature(name[:-1], base)[0]
        return signature, "Self"
    return signature, _type(signature.return_annotation)


def _parameters(parameters: list[inspect.Parameter]) -> list[str]:
    """The parameters as text."""
    out: list[str] = []
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not any(part.startswith("*") for part in out):
            out.append("*")
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        text = f"{star}{p.name}: {_type(p.annotation, p.default)}"
        out.append(text if p.default is p.empty else f"{text} = ...")
    return out


def _type(annotation: Any, default: Any = None) -> str:
    """An annotation as the stub may write it: a method called `float` hides the type's name."""
    if isinstance(annotation, str):
        parts = [part.strip() for part in annotation.split("|")]
        if all(part in PLAIN for part in parts):
            return " | ".join(PLAIN[part] for part in parts)
        return "Any"
    return f"builtins.{type(default).__name__}" if type(default) in (bool, float) else "Any"


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    stale = {
        path: text
        for path, text in files().items()
        if not path.exists() or path.read_text("utf-8") != text
    }
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is out of date: run python -m retrograd.autograd.stubs")
        return 1 if stale else 0
    for path, text in stale.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
