"""The folder of compiled kernels: what a process compiled, the next one loads.

The folder may be written by its user alone, because what lies in it is executed.  One file is one
kernel: a checksum, then machine code (`machine`), or Numba's pickle for a kernel that calls more
than the C library; its name says of what source, by which versions, for which processor.  A file
that does not fit its checksum is written anew.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import stat
import sys
import tempfile
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from . import processor

__all__ = ["Pickled", "cache_folder", "makers", "read", "text_of", "wanted_folder", "write"]


def wanted_folder() -> Path:
    """Where compiled kernels should be kept: ``RETROGRAD_CACHE``, or as XDG says."""
    chosen = os.environ.get("RETROGRAD_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "retrograd-kernels"


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """The folder of compiled kernels, made if need be; None where there is no safe one.

    Warns where others could have put files there, because loading them would execute them.
    """
    try:
        folder = wanted_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _only_ours(folder.stat()):
            return folder
    except (OSError, RuntimeError):  # a home that is read-only, or none at all
        return None
    warnings.warn(
        f"{folder} can be written by others, so compiled kernels are not kept there: "
        f"run chmod go-w {folder}, or set RETROGRAD_CACHE to a folder of your own",
        UserWarning,
        stacklevel=2,
    )
    return None


def _only_ours(status: os.stat_result) -> bool:
    if sys.platform == "win32":
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def read(path: Path) -> bytes | None:
    """What a file of the cache holds; None where it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, payload = content[:32], content[32:]
    return payload if hashlib.sha256(payload).digest() == checksum else None


def write(path: Path, payload: bytes) -> None:
    """Write a file of the cache under another name, then move it into place."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with open(handle, "wb") as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, path)
    except OSError:  # read-only or full: the next process compiles again
        return


class Pickled:
    """A kernel that needs Numba to run: its file, as what Numba's dispatcher asks of a cache."""

    def __init__(self, path: Path):
        self.path = path
        self.cache_path = str(path.parent)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled function; None where the file is missing or damaged."""
        payload = read(self.path)
        if payload is None:
            return None
        from numba.core.compiler import CompileResult

        context.refresh()
        return CompileResult._rebuild(context, *pickle.loads(payload))

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write the file, for the next process."""
        from numba.core.serialize import dumps

        write(self.path, dumps(compiled._reduce()))


@lru_cache(maxsize=1)
def makers() -> str:
    """Everything a compiled kernel depends on beside its source."""
    cpu = f"{processor.described()} {os.environ.get('NUMBA_CPU_NAME', '')}"
    tools = (Path(find_spec(name).origin) for name in ("numba", "llvmlite"))  # type: ignore[union-attr,arg-type]
    versions = (
        f"{sys.version} {np.__version__} {[text_of(t.with_name('_version.py')) for t in tools]}"
    )
    here = Path(__file__)
    files = ("cache", "kernels", "linker", "lowering", "machine", "polynomials")
    ours = text_of(*(str(here.with_name(f"{name}.py")) for name in files))
    return f"{versions} {platform.platform()} {cpu} {ours}"


def text_of(*files: str | Path) -> str:
    """The text of files, one after the other."""
    return "".join(Path(file).read_text("utf-8") for file in files)
