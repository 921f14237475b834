"""Who changed what, and when: the guard of the values that the tape keeps.

A tape node is born at a tick of one clock; an in-place write is noted here at a later tick of the
same clock, for the memory it went to.  So whether a kept array was changed since it was kept is
one comparison, made in backward; recording an op costs nothing.  A tensor, its views and its
detached twins share their memory, hence their version.

Memory that NumPy code can reach (`from_numpy`, `numpy()`, `np.asarray`) may change without an
op.  Kept arrays in such *exposed* memory are sealed with a checksum, which backward verifies.
"""

from __future__ import annotations

import itertools
import weakref
import zlib
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

import numpy as np

from .errors import show_line, user_line

Array = np.ndarray[Any, Any]

FREED: Any = ("freed",)  # stands in for what a node kept once backward has used it

tick = itertools.count(1).__next__


class Changes:
    """The in-place history of one piece of memory."""

    __slots__ = ("count", "op", "place", "tick", "watch")

    def __init__(self, watch: weakref.ref[Array]):
        self.count = 0
        self.tick = 0
        self.op = ""
        self.place: tuple[CodeType, int] | None = None
        self.watch = watch  # kept alive for its callback, which removes this entry


latest = 0  # the tick of the last write to any memory
uncounted = 0  # writes past the counters, which are undone before the tape could notice
changed: dict[int, Changes] = {}  # id of the memory's owner → its history
exposed: dict[int, weakref.ref[Array]] = {}  # id of the owner → a reference that cleans up


def owner(array: Array) -> Array:
    """The array that holds the memory ``array`` looks at."""
    base: Any = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        base = getattr(base, "base", None)  # as_strided puts a non-array in between
    return array


def note_change(array: Array, op: str) -> None:
    """Remember that ``array``'s memory was just written by ``op``, on the user's current line."""
    note_changes((array,), op)


def note_changes(arrays: Iterable[Array], op: str) -> None:
    """`note_change` for all the arrays that one operation wrote."""
    global latest
    place = user_line()
    latest = now = tick()
    for array in arrays:
        held = owner(array)
        key = id(held)
        entry = changed.get(key)
        if entry is None:
            entry = changed[key] = Changes(weakref.ref(held, _forgetter(key)))
        entry.count += 1
        entry.tick = now
        entry.op = op
        entry.place = place


def _forgetter(key: int) -> Callable[[Any], object]:
    return lambda _: changed.pop(key, None)


def version(array: Array) -> int:
    """How often the memory was written in place."""
    entry = changed.get(id(array if array.base is None else owner(array)))
    return 0 if entry is None else entry.count


def expose(array: Array) -> None:
    """Remember that code outside the engine can write this memory."""
    held = owner(array)
    key = id(held)
    if key not in exposed:
        exposed[key] = weakref.ref(held, lambda _: exposed.pop(key, None))


def checksum(array: Array) -> int:
    """A number that any change of the values changes, but for one chance in 2³²."""
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return zlib.crc32(flat)


def seal(kept: tuple[Any, ...]) -> tuple[int | None, ...] | None:
    """Checksums of those kept arrays that live in exposed memory; None when none does."""
    sums = tuple(
        checksum(k) if type(k) is np.ndarray and id(owner(k)) in exposed else None for k in kept
    )
    return None if all(s is None for s in sums) else sums


def check(kept: tuple[Any, ...], born: int, op: str) -> None:
    """Raise `RuntimeError` when a kept array was written after the node that keeps it was born."""
    for k in kept:
        if type(k) is not np.ndarray or not k.size:
            continue
        entry = changed.get(id(owner(k)))
        if entry is not None and entry.tick > born:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: a tensor of shape {list(k.shape)} that {op} keeps for "
                f"backward was changed by {entry.op} (it is at version {entry.count}) at\n"
                f"  {show_line(entry.place)}\n"
                f"Use the out-of-place form there, or clone the tensor before {op}."
            )


def check_seal(kept: tuple[Any, ...], sums: tuple[int | None, ...], op: str) -> None:
    """Raise `RuntimeError` when exposed memory no longer holds what was sealed."""
    for k, seen in zip(kept, sums, strict=True):
        if seen is not None and checksum(k) != seen:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified "
                f"outside the engine: a tensor of shape {list(k.shape)} that {op} keeps for "
                "backward shares its memory with a NumPy array, and that array was written to.\n"
                "Write to it after backward, or use torch.tensor(array), which copies, instead "
                "of torch.from_numpy(array), and tensor.detach().clone().numpy() instead of "
                "tensor.numpy()."
            )
