"""The safetensors format: named arrays in one file, which any tool reads and nobody has to trust.

A file is eight bytes (the length of the header, little-endian), the header (JSON: for each name
its type, shape, and span of bytes, and under ``__metadata__`` strings for strings), and the bytes
of the arrays, without holes.  Files written here also carry CRC-32 checksums in the metadata, of
the header and of every array, so that a flipped bit is an error and not a slightly worse model.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from .dtypes import ALL, BY_ARRAY
from .storage import (
    Array,
    FileSource,
    as_bytes,
    check_bools,
    count_bytes,
    from_order,
    replacing,
    write_all,
)
from .tensor import Tensor, wrap

__all__ = ["load_file", "save_file"]

MAX_HEADER = 100_000_000  # the format's own limit

DTYPES = {d.name: d for d in ALL}
KINDS: dict[str, np.dtype[Any]] = {
    "F64": DTYPES["float64"].array,
    "F32": DTYPES["float32"].array,
    "F16": DTYPES["float16"].array,
    "BF16": DTYPES["bfloat16"].array,
    "I64": DTYPES["int64"].array,
    "I32": DTYPES["int32"].array,
    "I16": DTYPES["int16"].array,
    "I8": DTYPES["int8"].array,
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": DTYPES["uint8"].array,
    "BOOL": DTYPES["bool"].array,
    "C64": DTYPES["complex64"].array,
}
CODES = {kind: code for code, kind in KINDS.items()} | {np.dtype(np.float16): "F16"}

# The checksums come first, so that the header's own (eight digits, counted as zeros in the sum)
# is found without reading a header that may be damaged.
CHECKSUMS = "retrograd.crc32"
START = b'{"__metadata__":{"' + CHECKSUMS.encode() + b'":"'
UNKNOWN = b"0" * 8


class Entry(NamedTuple):
    """What a header says about one array."""

    code: str
    shape: list[int]
    begin: int
    end: int


def save_file(
    tensors: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors (or NumPy arrays) as a safetensors file.

    Raises `TypeError` for anything else, and for a type the format has no name for.

    >>> import os, tempfile
    >>> import retrograd as rg
    >>> from retrograd.autograd.safetensors import load_file, save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "w.safetensors")
    ...     save_file({"w": rg.ones(2)}, path)
    ...     load_file(path)
    {'w': tensor([1., 1.])}
    """
    arrays: dict[str, Array] = {}
    for name, value in tensors.items():
        array = value.array if isinstance(value, Tensor) else value
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise TypeError(
                f"save_file takes tensors by name, and tensors[{name!r}] is a "
                f"{type(value).__name__}; save nested objects with save()"
            )
        if array.dtype.newbyteorder("=") not in CODES:
            raise TypeError(
                f"safetensors has no type for tensors[{name!r}], which is {array.dtype}; "
                "convert it first, a complex one with view_as_real"
            )
        arrays[name] = array
    with replacing(path) as f:
        write(f, arrays, dict(metadata or {}))


def load_file(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, in the order of its header.

    Raises `RuntimeError` when the file is damaged or holds a type retrograd does not have.
    """
    with FileSource(path) as source:
        arrays, _ = read(source)
        return tensors_of(arrays, source.name)


def tensors_of(arrays: Mapping[str, Array], file: str) -> dict[str, Tensor]:
    """Tensors around arrays, if retrograd has their types."""
    for name, array in arrays.items():
        if array.dtype not in BY_ARRAY:
            raise RuntimeError(f"{file}: tensor {name!r} is {array.dtype}, which no tensor can be")
    return {name: wrap(array) for name, array in arrays.items()}


def write(f: IO[bytes], arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a file whose header keeps the order of ``arrays``.

    The bytes are laid out by falling size of element, so that every array is aligned.
    """
    for key, text in metadata.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"metadata holds strings by string; {key!r} has {text!r}")
    layout = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    begins, end = {}, 0
    for name in layout:
        begins[name] = end
        end += arrays[name].nbytes
    sums = [f" {zlib.crc32(as_bytes(array).data):08x}" for array in arrays.values()]
    strings = {CHECKSUMS: UNKNOWN.decode() + "".join(sums)}
    strings |= {key: text for key, text in metadata.items() if key != CHECKSUMS}
    entries = {
        name: {
            "dtype": CODES[array.dtype.newbyteorder("=")],
            "shape": list(array.shape),
            "data_offsets": [begins[name], begins[name] + array.nbytes],
        }
        for name, array in arrays.items()
    }
    content = {"__metadata__": strings, **entries}
    header = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % 64)
    if len(header) > MAX_HEADER:
        raise ValueError(
            f"names and plain values take {len(header)} bytes, more than the {MAX_HEADER} a "
            "safetensors header may; keep large collections of numbers in tensors"
        )
    own = b"%08x" % zlib.crc32(header)
    header = header[: len(START)] + own + header[len(START) + 8 :]
    write_all(f, struct.pack("<Q", len(header)) + header)
    for name in layout:
        write_all(f, as_bytes(arrays[name]))


def read(source: FileSource) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata of a file, every byte of it accounted for."""
    try:
        header, start = _header(source)
        entries, metadata = _entries(header)
        _spans(entries, source.size - start)
        sums = _sums(header, metadata, entries)
        arrays = {}
        for name, entry in entries.items():
            raw = source.take(start + entry.begin, entry.end - entry.begin)
            if name in sums and sums[name] != f"{zlib.crc32(raw.data):08x}":
                raise ValueError(f"tensor {name!r} has changed since it was written (checksum)")
            kind = KINDS[entry.code]
            array = from_order("little", raw, kind).view(kind).reshape(entry.shape)
            check_bools(array)
            arrays[name] = array if array.flags.aligned else array.copy()
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise RuntimeError(
            f"{source.name} is not a sound safetensors file: {str(error)[:500]}; "
            "save it or copy it again"
        ) from error
    return arrays, metadata


def _header(source: FileSource) -> tuple[bytes, int]:
    if source.size < 8:
        raise ValueError(f"it has {source.size} bytes, not even a header")
    (length,) = struct.unpack("<Q", source.text(0, 8))
    if length > MAX_HEADER:
        raise ValueError(f"its header claims {length} bytes, and {MAX_HEADER} are allowed")
    if 8 + length > source.size:
        raise ValueError(f"its header claims {length} bytes of a file of {source.size}")
    header = source.text(8, length)
    at = len(START)
    if header.startswith(START):
        blank = header[:at] + UNKNOWN + header[at + 8 :]
        if header[at : at + 8] != b"%08x" % zlib.crc32(blank):
            raise ValueError("its header has changed since it was written (checksum)")
    return header, 8 + length


def _entries(header: bytes) -> tuple[dict[str, Entry], dict[str, str]]:
    content = strict_json(header.decode("utf-8"))
    if not isinstance(content, dict):
        raise ValueError("its header is not a JSON object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or any(type(v) is not str for v in metadata.values()):
        raise ValueError("its metadata is not strings by string")
    entries = {}
    for name, said in content.items():
        if not isinstance(said, dict) or said.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {name!r} is not described by dtype, shape and data_offsets")
        code, shape, span = said["dtype"], said["shape"], said["data_offsets"]
        if type(code) is not str or code not in KINDS:
            raise ValueError(f"tensor {name!r} is of the type {str(code)[:40]!r}, which is unknown")
        if type(shape) is not list or type(span) is not list or len(span) != 2:
            raise ValueError(f"tensor {name!r} has no proper shape or span")
        entry = Entry(code, shape, *span)
        if type(entry.begin) is not int or type(entry.end) is not int or entry.begin < 0:
            raise ValueError(f"tensor {name!r} has no proper span")
        if count_bytes(shape, KINDS[code].itemsize) != entry.end - entry.begin:
            raise ValueError(f"tensor {name!r}: its shape does not match its span of bytes")
        entries[name] = entry
    return entries, metadata


def _spans(entries: Mapping[str, Entry], available: int) -> None:
    """Arrays follow one another without a hole or an overlap, to the last byte."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != end:
            raise ValueError(f"tensor {name!r} begins at byte {entry.begin}, expected {end}")
        end = entry.end
    if end != available:
        raise ValueError(f"it has {available} bytes of data and describes {end}")


def _sums(header: bytes, metadata: dict[str, str], entries: Mapping[str, Entry]) -> dict[str, str]:
    """Checksums by name; none for a file that was not written here."""
    if not header.startswith(START):
        # Another tool may have carried the metadata over to arrays it does not belong to.
        metadata.pop(CHECKSUMS, None)
        return {}
    _, *sums = metadata[CHECKSUMS].split(" ")
    return dict(zip(entries, sums, strict=True))


def strict_json(text: str) -> Any:
    """JSON without what JSON leaves open: a key twice, NaN, Infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("its JSON has a key twice")
        return found

    def refuse(word: str) -> Any:
        raise ValueError(f"its JSON has {word}, which is not a number in JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
