"""How many threads compute: those of the matrix library and those of the kernels, as one number."""

from __future__ import annotations

import ctypes
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import kernels

__all__ = ["blas", "get_num_threads", "set_num_threads"]


def set_num_threads(n: int, /) -> None:
    """Let each computation use ``n`` threads: matrix products and compiled kernels.

    Warns where NumPy's matrix library cannot be told: install ``threadpoolctl``, which knows more
    of them.  Raises `RuntimeError` where ``n`` is no positive integer.

    >>> import retrograd as rg
    >>> before = rg.get_num_threads()
    >>> rg.set_num_threads(1)
    >>> rg.get_num_threads()
    1
    >>> rg.set_num_threads(before)
    """
    if type(n) is not int:
        raise RuntimeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {n}")
    if not limit(n):
        warnings.warn(
            "NumPy's matrix library is unknown, so its threads stay as they are: "
            "pip install threadpoolctl, or set OMP_NUM_THREADS before Python starts",
            UserWarning,
            stacklevel=2,
        )


def limit(n: int) -> bool:
    """What `set_num_threads` does, without a word; whether the matrix library could be told."""
    kernels.limit = n
    library = blas()
    if library is not None:
        library.set(n)
    return library is not None


def get_num_threads() -> int:
    """How many threads a computation may use."""
    return kernels.threads()


class _Bundled:
    """The OpenBLAS inside NumPy's own wheel."""

    def __init__(self, library: ctypes.CDLL):
        self.library = library

    def set(self, n: int) -> None:
        self.library.scipy_openblas_set_num_threads64_(ctypes.c_int(n))

    def get(self) -> int:
        return int(self.library.scipy_openblas_get_num_threads64_())


class _Controlled:
    """Whatever matrix libraries `threadpoolctl` finds loaded."""

    def __init__(self, control: Any):
        self.control = control

    def set(self, n: int) -> None:
        self.control.ThreadpoolController().limit(limits=n, user_api="blas")

    def get(self) -> int:
        found = self.control.ThreadpoolController().select(user_api="blas").info()
        return max((library["num_threads"] for library in found), default=1)


@lru_cache(maxsize=1)
def blas() -> _Bundled | _Controlled | None:
    """The threads of NumPy's matrix library, to ``get()`` and ``set(n)``; None if unknown."""
    try:
        import threadpoolctl  # type: ignore[import-not-found,unused-ignore]

        return _Controlled(threadpoolctl)
    except ImportError:
        pass
    root = Path(np.__file__).parent
    for folder in (root.parent / "numpy.libs", root / ".dylibs"):
        for file in folder.glob("*scipy_openblas64_*"):
            try:
                library = ctypes.CDLL(str(file))
                library.scipy_openblas_get_num_threads64_()
            except (OSError, AttributeError):
                continue
            return _Bundled(library)
    return None
