"""Bytes on disk, and arrays over them: the one place where loading meets numbers it cannot trust.

`FileSource` hands out the bytes of a file, `strided` lays an array over them and lets nothing point
outside, `replacing` writes a file so that a crash leaves the old one or the new one.
"""

from __future__ import annotations

import io
import math
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

Array = np.ndarray[Any, Any]

# NumPy's own limits: what goes beyond them cannot be an array, whatever a file says.
MAX_DIMS = 64
MAX_BYTES = 2**62


class FileSource:
    """The bytes of a path or of a binary file object, from its position on.

    With ``mapped`` the arrays that `take` returns are windows on the file, paged in when touched
    and copied when written to; otherwise each is memory of its own.
    """

    def __init__(self, f: str | os.PathLike[str] | IO[bytes], mapped: bool = False):
        self.file: IO[bytes]
        if isinstance(f, (str, os.PathLike)):
            self.name = os.fspath(f)
            self.file = open(f, "rb")  # noqa: SIM115 - closed by __exit__
            if not self.file.seekable():
                with self.file as pipe:
                    self.file = _rest(pipe)
        elif mapped:
            raise ValueError("f must be a file path in order to use the mmap argument")
        elif hasattr(f, "read"):
            self.name = str(getattr(f, "name", "the file object"))
            self.file = _rest(f)
        else:
            raise AttributeError(
                f"expected a path or a file opened for reading in binary, not {type(f).__name__}"
            )
        self.size = self.file.seek(0, os.SEEK_END)
        self.map = np.memmap(self.file, np.uint8, mode="c") if mapped and self.size else None

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def take(self, begin: int, count: int) -> Array:
        """``count`` bytes from ``begin``; `RuntimeError` when the file does not have them."""
        if not 0 <= begin <= begin + count <= self.size:
            raise RuntimeError(
                f"{self.name} is truncated or damaged: it speaks of bytes {begin} to "
                f"{begin + count} and has {self.size}; save it or copy it again"
            )
        if self.map is not None:
            return self.map[begin : begin + count].view(np.ndarray)
        taken = np.empty(count, np.uint8)
        self.file.seek(begin)
        done = 0
        while done < count:
            n = self.file.readinto(taken.data[done:])  # type: ignore[attr-defined]
            if not n:
                raise RuntimeError(f"{self.name} became shorter while it was being read")
            done += n
        return taken

    def text(self, begin: int, count: int) -> bytes:
        """The same, as immutable bytes."""
        return self.take(begin, count).tobytes()


def _rest(f: Any) -> IO[bytes]:
    content = f.read()
    if not isinstance(content, bytes):
        raise TypeError(f"the file object gave {type(content).__name__}: open it in binary, 'rb'")
    return io.BytesIO(content)


def count_bytes(shape: Sequence[int], itemsize: int) -> int:
    """The size of an array, after making sure that NumPy can have one of that shape."""
    if len(shape) > MAX_DIMS or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"no array has the shape {str(list(shape))[:200]}")
    if math.prod(max(n, 1) for n in shape) * itemsize >= MAX_BYTES:
        raise ValueError("the shape's product overflows")
    return math.prod(shape) * itemsize


def strided(
    storage: Array, kind: np.dtype[Any], shape: Sequence[int], strides: Sequence[int], offset: int
) -> Array:
    """An array over the bytes of ``storage``; strides and offset count bytes.

    Raises `ValueError` when an element would lie outside.  The arithmetic is Python's, because
    NumPy's own check multiplies in 64 bits, where a crafted stride wraps round to a harmless one.
    """
    steps = (*strides, offset)
    if len(shape) != len(strides) or any(type(n) is not int or abs(n) >= MAX_BYTES for n in steps):
        raise ValueError("shape, strides and offset do not fit together")
    if count_bytes(shape, kind.itemsize) == 0:
        return np.empty(tuple(shape), kind)
    reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
    first = offset + sum(r for r in reach if r < 0)
    last = offset + sum(r for r in reach if r > 0) + kind.itemsize
    if first < 0 or last > storage.size:
        raise ValueError(
            f"elements lie in bytes {first} to {last} of a storage of {storage.size} bytes"
        )
    array: Array = np.ndarray(tuple(shape), kind, storage, offset, tuple(strides))
    # An array may be far larger than its storage (stride 0): it must not be walked or copied then.
    small = array.size <= storage.size
    if kind == np.bool_:
        check_bools(array if small else storage[first:last].view(kind))
    if not array.flags.aligned:
        if not small:
            raise ValueError("elements that overlap are not aligned")
        array = array.copy()
    return array


def check_bools(array: Array) -> None:
    """Refuse bytes that are no bool: NumPy would compute nonsense with a True of 2."""
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("a bool is neither 0 nor 1")


def as_bytes(array: Array) -> Array:
    """The elements in C order, little-endian, as one row of bytes; a copy only where needed."""
    row = np.ascontiguousarray(array).reshape(-1)
    return from_order("little", row.view(np.uint8), array.dtype)


def from_order(order: str, raw: Array, kind: np.dtype[Any]) -> Array:
    """Bytes of elements in the given byte order, turned into this machine's."""
    word = kind.itemsize // 2 if kind.kind == "c" else kind.itemsize
    if order == sys.byteorder or word == 1:
        return raw
    return raw.view(f"u{word}").byteswap().view(np.uint8)


def write_all(f: IO[bytes], data: Any) -> None:
    """Write every byte; unbuffered files may take fewer at a time."""
    rest = memoryview(data)
    while rest:
        n = f.write(rest)
        rest = rest[n:] if isinstance(n, int) else rest[:0]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` once it is whole and on the disk.

    It is written beside its target and renamed over it, so a crash or a full disk leaves what was
    there before.  Permissions of an existing target are kept; links are followed; what is no
    regular file (a pipe, ``/dev/null``) is written to directly.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    before = os.stat(target) if os.path.exists(target) else None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with open(target, "wb") as f:
            yield f
        return
    draft = os.path.join(folder, f".{os.path.basename(target)[:200]}.{os.urandom(4).hex()}.tmp")
    try:
        with open(draft, "xb") as f:
            if before is not None:
                os.chmod(draft, stat.S_IMODE(before.st_mode))
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(draft, target)
    except BaseException:
        if os.path.exists(draft):
            os.unlink(draft)
        raise
    if hasattr(os, "O_DIRECTORY"):
        # The rename itself is only lasting once the folder is on the disk.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
