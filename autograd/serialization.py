"""`save` and `load`: checkpoints that nobody has to trust.

What `save` writes is a safetensors file, so a state dict can be read by any tool that reads those;
`load` reads these files, other safetensors files, and what ``torch.save`` writes.  Nothing is ever
unpickled by Python's machine, whatever ``weights_only`` says, and every byte is checked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from typing import IO, Any

from . import safetensors
from .device import device
from .pickled import LEGACY, Restore, read_zip
from .storage import Array, FileSource, replacing
from .tensor import Tensor, wrap
from .tree import describe, rebuild

__all__ = ["load", "save"]

FileLike = str | os.PathLike[str] | IO[bytes]
MapLocation = Callable[[Any, str], Any] | device | str | Mapping[str, str] | None

TREE = "retrograd.object"  # the metadata that describes the object


def save(
    obj: object,
    f: FileLike,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write tensors, and containers of tensors and plain values, to a file.

    The file is safetensors; a state dict has its own keys in it.  Containers are dicts, lists,
    tuples and sets; values are numbers, strings, bytes, None, NumPy arrays and scalars, dtypes,
    sizes and devices.  What is shared stays shared.  A path is replaced in one step once the new
    file is whole.  Nothing is pickled, so the arguments about pickles and zips change nothing.

    Raises `TypeError`, naming the place in the object, for anything else: of a module save
    ``state_dict()``.

    >>> import io
    >>> import retrograd as rg
    >>> file = io.BytesIO()
    >>> rg.save({"epoch": 3, "w": rg.ones(2)}, file)
    >>> rg.load(io.BytesIO(file.getvalue()))
    {'epoch': 3, 'w': tensor([1., 1.])}
    """
    text, arrays = describe(obj)
    if isinstance(f, (str, os.PathLike)):
        with replacing(f) as file:
            safetensors.write(file, arrays, {TREE: text})
    elif hasattr(f, "write"):
        safetensors.write(f, arrays, {TREE: text})
    else:
        raise AttributeError(
            f"expected 'f' to be a path or a file opened for writing in binary, "
            f"not {type(f).__name__}"
        )


def load(
    f: FileLike,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:
    """Read what `save` or ``torch.save`` wrote, or the tensors of a safetensors file.

    ``weights_only=False`` is accepted and changes nothing: no file gets to run code.  With
    ``mmap=True`` tensors are paged in from the file as they are used; writing to them does not
    change it.  ``map_location`` may only lead to the CPU.

    Raises `pickle.UnpicklingError` for a file that is no checkpoint or asks to run code,
    `RuntimeError` for one that is damaged, `EOFError` for an empty one.

    >>> import io
    >>> import retrograd as rg
    >>> rg.load(io.BytesIO(b""))
    Traceback (most recent call last):
    ...
    EOFError: the file object is empty; save it or copy it again
    """
    if pickle_module is not None:
        raise RuntimeError(
            "Can not safely load weights when explicit pickle_module is specified; nothing is "
            "loaded by a pickle module here, leave the argument out"
        )
    restore = _restorer(map_location)
    with FileSource(f, mapped=bool(mmap)) as source:
        if not source.size:
            raise EOFError(f"{source.name} is empty; save it or copy it again")
        start = source.text(0, min(source.size, len(LEGACY)))
        if start[:4] == b"PK\x03\x04":
            return read_zip(source, restore)
        if start.startswith(LEGACY):
            raise UnpicklingError(
                f"{source.name} is in the format torch.save used before PyTorch 1.6; convert it "
                "with PyTorch: torch.save(torch.load(path), path)"
            )
        # The length of a header, whose high bytes are zeros, and the header's first brace; a bare
        # pickle begins with 80 hex, and may have the zeros too.
        if start[8:9] != b"{" and (start[4:8] != bytes(4) or start[0] == 0x80):
            raise UnpicklingError(
                f"{source.name} is no checkpoint: neither safetensors nor a file of torch.save "
                f"(it begins with {start[:8]!r}); check the path"
            )
        return _read_safetensors(source, restore)


def _read_safetensors(source: FileSource, restore: Restore) -> Any:
    arrays, metadata = safetensors.read(source)
    for array in arrays.values():
        restore(array, "cpu")
    if TREE not in metadata:
        return safetensors.tensors_of(arrays, source.name)
    if safetensors.CHECKSUMS not in metadata:
        raise RuntimeError(f"{source.name} has changed since it was written (no checksums)")
    try:
        return rebuild(metadata[TREE], arrays)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RuntimeError) as error:
        raise RuntimeError(
            f"{source.name}: its description of the object is not one that save writes "
            f"({type(error).__name__}: {str(error)[:300]}); save it or copy it again"
        ) from error


def _restorer(map_location: MapLocation) -> Restore:
    """What decides whether a storage that was saved on some device may be restored here."""

    def to_cpu(raw: Array, location: str) -> None:
        pass

    def as_saved(raw: Array, location: str) -> None:
        if str(location).partition(":")[0] != "cpu":
            raise RuntimeError(
                f"the tensors were saved on {str(location)[:40]!r}, and retrograd computes on the "
                "CPU: use load(path, map_location='cpu')"
            )

    if map_location is None:
        return as_saved
    # Another library's device, too, says by its text which one it is.
    if isinstance(map_location, str) or type(map_location).__name__ == "device":
        device(str(map_location))
        return to_cpu
    if isinstance(map_location, Mapping):
        places = dict(map_location)
        return lambda raw, location: as_saved(raw, places.get(location, location))
    if not callable(map_location):
        raise TypeError(
            f"map_location is a device, a string, a dict or a function, not "
            f"{type(map_location).__name__}"
        )
    decide = map_location

    def ask(raw: Array, location: str) -> None:
        storage = wrap(raw.reshape(-1))
        answer = decide(storage, location)
        if answer is None:
            as_saved(raw, location)
        elif not isinstance(answer, Tensor):
            raise RuntimeError(
                "map_location must return the storage it was given, or None, not a "
                f"{type(answer).__name__}"
            )
        elif answer is not storage:
            raise RuntimeError(
                "map_location may not replace a storage; return the one it was given, or None"
            )

    return ask
