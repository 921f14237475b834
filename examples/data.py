"""Data for the examples, as NumPy arrays: digits, text and house prices, with or without a network.

Each function looks in the folder that the environment variable RETROGRAD_DATA names (with
``mnist/``, ``text/`` and ``boston/`` inside), and says in ``source`` what it found.  `mnist` goes
on to the user's cache, then to public mirrors (not with RETROGRAD_OFFLINE=1); what is nowhere to be
had is replaced by something smaller that comes with scikit-learn or Python.  A damaged file is
always an error: nothing is replaced behind the user's back.

Nothing here needs retrograd, so a script can use it with PyTorch just as well.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import math
import os
import secrets
import struct
import sys
import time
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
CONNECT_SECONDS = 10
DOWNLOAD_SECONDS = 120  # for each file
CHUNK = 1 << 20

# The shape and the md5 of each file, unzipped.
MNIST: dict[str, tuple[tuple[int, ...], str]] = {
    "train-images-idx3-ubyte": ((60000, 28, 28), "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ((60000,), "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ((10000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ((10000,), "27ae3e4e09519cfbb04c329615203637"),
}

# The third byte of an IDX file; numbers are big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class DataError(RuntimeError):
    """A data file is damaged or missing; the message says which, and what to do."""


class Digits(NamedTuple):
    """Images of handwritten digits, uint8 from 0 to 255, and their labels."""

    train_images: Array  # (N, H, W)
    train_labels: Array  # (N,)
    test_images: Array
    test_labels: Array
    source: str


class Table(NamedTuple):
    """Rows of numbers, and the number to predict from each."""

    features: Array  # (N, D)
    targets: Array  # (N,)
    names: list[str]  # of the D features
    source: str


class Text(NamedTuple):
    """A text to model character by character."""

    text: str
    source: str


def mnist() -> Digits:
    """MNIST, 60000 + 10000 images of 28×28; without files and network, scikit-learn's 8×8 digits.

    Raises `DataError` for a damaged file, and where scikit-learn would be needed and is absent.
    """
    folder = _given("mnist", [f"{name}.gz" for name in MNIST] + list(MNIST))
    if folder is None:
        folder = cache() / "mnist"
        missing = [name for name in MNIST if not (folder / f"{name}.gz").exists()]
        if missing:
            trouble = _download(missing, folder)
            if trouble:
                return _small_digits(trouble)
    images, labels, test_images, test_labels = (_mnist_file(folder, name) for name in MNIST)
    return Digits(images, labels, test_images, test_labels, f"MNIST, from {folder}")


def text() -> Text:
    """Tiny Shakespeare (``text/tinyshakespeare.txt``), else the help texts that Python ships."""
    folder = _given("text", ["tinyshakespeare.txt"])
    if folder is not None:
        path = folder / "tinyshakespeare.txt"
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text ({error}); download it again") from error
        if not content:
            raise DataError(f"{path} is empty; download it again")
        return Text(content, f"Tiny Shakespeare, from {path}")
    from pydoc_data.topics import topics

    content = "\n".join(topics[name] for name in sorted(topics))
    return Text(content, "Python's own help texts (RETROGRAD_DATA has no text/tinyshakespeare.txt)")


def boston() -> Table:
    """Boston house prices, 506 × 13 (``boston/BostonHousing.csv``), else scikit-learn's diabetes.

    Raises `DataError` as `mnist` does.
    """
    folder = _given("boston", ["BostonHousing.csv"])
    if folder is not None:
        return _table(folder / "BostonHousing.csv", "medv")
    found = _from_sklearn("load_diabetes")
    return Table(
        found.data,
        found.target,
        list(found.feature_names),
        "scikit-learn's diabetes (RETROGRAD_DATA has no boston/BostonHousing.csv)",
    )


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, gzipped or not.

    Raises `DataError` when the file is not exactly what its header says.
    """
    return _parse(Path(path))[0]


def cache() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/retrograd`` or ``~/.cache/retrograd``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "retrograd"


# ---------------------------------------------------------------- reading


def _given(kind: str, names: list[str]) -> Path | None:
    """The folder for ``kind`` inside RETROGRAD_DATA, if it holds any of the files."""
    root = os.environ.get("RETROGRAD_DATA")
    if not root:
        return None
    if not os.path.isdir(root):
        raise DataError(f"RETROGRAD_DATA is {root!r}, which is no folder; correct or unset it")
    folder = Path(root) / kind
    return folder if any((folder / name).exists() for name in names) else None


def _mnist_file(folder: Path, name: str) -> Array:
    path = folder / f"{name}.gz"
    if not path.exists():
        path = folder / name
    if not path.exists():
        raise DataError(f"{folder} has no {name}.gz, but other files of MNIST; add the missing one")
    shape, md5 = MNIST[name]
    array, found = _parse(path)
    if array.shape != shape or array.dtype != np.uint8:
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}, expected uint8 of shape {shape}; "
            + _remedy(path)
        )
    if found != md5:
        raise DataError(f"{path}: the md5 of its content is {found}, not {md5}; {_remedy(path)}")
    return array


def _parse(path: Path) -> tuple[Array, str]:
    """The array in an IDX file, and the md5 of the file unzipped."""
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if zipped else raw as f:
                return _parse_open(f)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise DataError(f"{path} is no sound IDX file: {error}; {_remedy(path)}") from error


def _parse_open(f: Any) -> tuple[Array, str]:
    start = f.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES:
        raise ValueError(
            f"it begins with {start.hex(' ') or 'nothing'}, and an IDX file begins with "
            "00 00, its type (08 to 0e) and its number of dimensions"
        )
    kind, dims = np.dtype(IDX_TYPES[start[2]]), start[3]
    sizes = f.read(4 * dims)
    if len(sizes) < 4 * dims:
        raise ValueError(f"it ends within its header of {dims} dimensions")
    shape = struct.unpack(f">{dims}I", sizes)
    expected = math.prod(shape) * kind.itemsize
    # Piece by piece: a header that lies must not make us ask for all that memory.
    content = bytearray()
    while len(content) <= expected:
        piece = f.read(min(CHUNK, expected + 1 - len(content)))
        if not piece:
            break
        content += piece
    if len(content) != expected:
        length = "more" if len(content) > expected else f"{len(content)}"
        raise ValueError(f"shape {shape} takes {expected} bytes of data, it has {length}")
    md5 = hashlib.md5(start + sizes, usedforsecurity=False)
    md5.update(content)
    array = np.frombuffer(content, kind).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False), md5.hexdigest()


def _remedy(path: Path) -> str:
    if path.is_relative_to(cache()):
        return "delete it, and it will be downloaded again"
    return "download it again, or unset RETROGRAD_DATA"


def _table(path: Path, target: str) -> Table:
    with open(path, newline="", encoding="utf-8") as f:
        try:
            names, *rows = csv.reader(f)
            column = names.index(target)
            numbers = np.array([[float(cell) for cell in row] for row in rows if row])
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{path} is not a table of numbers under a line of names, {target!r} among them "
                f"({error}); download it again"
            ) from error
    if numbers.ndim != 2 or numbers.shape[1] != len(names) or not np.isfinite(numbers).all():
        raise DataError(
            f"{path} should have rows of {len(names)} finite numbers; download it again"
        )
    return Table(
        np.delete(numbers, column, axis=1),
        numbers[:, column],
        [name for name in names if name != target],
        f"Boston housing, from {path}",
    )


# ---------------------------------------------------------------- downloading


def _download(names: list[str], folder: Path) -> str:
    """Fetch files of MNIST into ``folder``; what went wrong, or nothing."""
    if os.environ.get("RETROGRAD_OFFLINE", "0") not in ("", "0"):
        return "RETROGRAD_OFFLINE is set"
    for name in names:
        troubles = []
        for mirror in MIRRORS:
            try:
                _fetch(f"{mirror}{name}.gz", folder / f"{name}.gz", MNIST[name][1])
                break
            except (OSError, HTTPException, EOFError, zlib.error, ValueError) as error:
                troubles.append(f"{mirror}: {error}")
        else:
            print(f"could not download {name}.gz", *troubles, sep="\n  ", file=sys.stderr)
            return "MNIST could not be downloaded"
    return ""


def _fetch(url: str, path: Path, md5: str) -> None:
    """Download one gzipped file; it appears under its name only when it is whole and right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    content = bytearray()
    with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        while piece := answer.read1(1 << 16):
            content += piece
            _progress(f"{path.name}: {len(content) / 1e6:.1f} of {total / 1e6:.1f} MB")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done after {DOWNLOAD_SECONDS} seconds")
    _progress(f"{path.name}: {len(content) / 1e6:.1f} MB\n")
    found = hashlib.md5(gzip.decompress(content), usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(f"the md5 of the content is {found}, not {md5}")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- what comes with other packages


def _small_digits(why: str) -> Digits:
    found = _from_sklearn("load_digits")
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), from 0..16
    labels = found.target.astype(np.uint8)
    test = np.arange(len(images)) % 5 == 0
    return Digits(
        images[~test],
        labels[~test],
        images[test],
        labels[test],
        f"scikit-learn's digits, 1797 images of 8×8 ({why})",
    )


def _from_sklearn(loader: str) -> Any:
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            "no data: neither the folder RETROGRAD_DATA nor the network had it, and scikit-learn, "
            'which ships a small substitute, is not installed; pip install "retrograd[examples]"'
        ) from error
    return getattr(datasets, loader)()
