"""What a bug report needs to say, and what an op's declaration became."""

from __future__ import annotations

import difflib
import inspect
import json
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from . import call, kernels, threads
from .cache import cache_folder, wanted_folder
from .op import ArrayWords, Op, registry
from .printer import print_body, print_rule

__all__ = ["as_json", "as_text", "facts", "source"]

# What decides how fast a kernel can be, among the features LLVM knows.
VECTORS = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bf16", "amx-bf16", "neon", "sve")


def facts() -> dict[str, Any]:
    """The versions, the processor, the threads and the folders."""
    import llvmlite.binding as llvm
    import numba

    features = llvm.get_host_cpu_features()
    return {
        "retrograd": f"{_version('retrograd')} in {Path(__file__).parent.parent}",
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "NumPy": np.__version__,
        "Numba": f"{numba.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}",
        "graphviz": f"{_version('graphviz')}, {_dot()}",
        "system": platform.platform(),
        "processor": f"{_processor()} ({llvm.get_host_cpu_name()})",
        "vectors": " ".join(name for name in VECTORS if features.get(name)) or "none known",
        "matrix library": _matrix_library(),
        "threads": kernels.threads(),
        "kernel threads": "Python's own; Numba's threading layers are not used",
        "compiler": "off (NUMBA_DISABLE_JIT)" if numba.config.DISABLE_JIT else "on",
        "kernel cache": _cache(),
        "data": os.environ.get("RETROGRAD_DATA") or "RETROGRAD_DATA is not set",
    }


def as_json() -> str:
    """The facts for a program."""
    return json.dumps(facts(), indent=2)


def as_text() -> str:
    """The facts in two columns."""
    found = facts()
    width = max(map(len, found))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in found.items())


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _dot() -> str:
    found = shutil.which("dot")
    if found is None:
        return "no dot program (drawings need none)"
    try:
        said = subprocess.run([found, "-V"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{found} does not run: {error}"
    return f"{said.stderr.strip() or said.stdout.strip()} at {found}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _matrix_library() -> str:
    built: Any = np.show_config(mode="dicts")
    library = built["Build Dependencies"]["blas"]
    known = threads.blas()
    count = "number of threads unknown" if known is None else f"{known.get()} threads"
    return f"{library['name']} {library['version']}, {count}"


def _cache() -> str:
    folder = cache_folder()
    if folder is None:
        return f"none: {wanted_folder()} is not safe, or cannot be written"
    files = [f for f in folder.iterdir() if f.suffix == ".kernel"]
    size = sum(f.stat().st_size for f in files)
    return f"{folder}, {len(files)} kernels, {size / 1e6:.1f} MB"


def source(name: str) -> str:
    """The formulas of an op, the function that callers call, and the one that backward calls.

    >>> print(source("mul").split("def ")[0].rstrip())
    # mul: elementwise
    #   mul(a, b) = a * b
    #   d_a = g * b
    #   d_b = g * a

    Raises `KeyError` for a name that is no op.
    """
    op = registry.get(name)
    if op is None:
        near = difflib.get_close_matches(name, registry, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise KeyError(f"no op is called {name}{hint}")
    space = op.function.__globals__
    if "prepare" in space:
        written = call.source(op, dict(space), axes=space["axes"], prepare=space["prepare"])
    else:  # written by hand
        written = inspect.getsource(op.function)
    pull = "" if op.flat else op.pull_source(ArrayWords(), "node.kept", {})
    return "\n\n".join(part.rstrip() for part in ("\n".join(_formulas(op)), written, pull) if part)


def _formulas(op: Op) -> list[str]:
    lines = [f"# {op.name}: {op.kind}"]
    if op.kind == "elementwise":
        lines.append(f"#   {op.name}{op.signature} = {print_body(op.body)}")
    for i, (name, rule) in enumerate(op.rules.items()):
        if rule is None:
            lines.append(f"#   d_{name} = 0")
            continue
        try:
            if op.kind == "elementwise":
                lines.append(f"#   d_{name} = {print_rule(rule)}")
                continue
        except TypeError:  # it branches on a setting
            pass
        code: Any = rule.__code__  # type: ignore[attr-defined]
        place = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
        lines.append(f"#   d_{name} is d{i}, in {place}")
    return lines
