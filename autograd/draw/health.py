"""What is wrong with a tape: values that are not finite, and kept values that were changed since.

A value is known where it was seen (`tracing`) or where the tape keeps it. NaN and infinity *arise*
in an op whose own inputs are finite, as far as they are known; from there they *spread*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import version
from ..tape import Node, seals
from ..version import FREED
from .rehearsal import Rehearsal
from .trace import Trace
from .tracer import Values, place_text, values_of


@dataclass(frozen=True, slots=True)
class Fever:
    """A value that is not finite: what is in it, and whether it arose here or came from before."""

    kind: str  # NaN, inf, or both
    origin: bool
    count: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Stale:
    """A kept value that was changed after the op that keeps it was recorded."""

    argument: int | None  # the input of the op whose value it is; None: its own result
    text: str


def values(trace: Trace) -> dict[int, Values]:
    """What is known of the result of each node, by index."""
    known: dict[int, Values] = {}
    seen: dict[int, Values | None] = {}  # by array: several nodes keep the same one

    def look(array: np.ndarray) -> Values | None:
        key = id(array)
        if key not in seen:
            seen[key] = values_of(array)
        return seen[key]

    for i, node in enumerate(trace.nodes):
        facts = trace.facts(i)
        if facts is not None and facts.made is not None:
            known[i] = facts.made
        for source, array in kept_values(node):
            parent = node if source is None else node.inputs[source]
            target = -1 if parent is None else trace.index.get(parent, -1)
            if target >= 0 and target not in known and (found := look(array)) is not None:
                known[target] = found
    return known


def kept_values(node: Node) -> Iterator[tuple[int | None, np.ndarray]]:
    """The kept arrays that are the value of an input (its position) or of the result (None)."""
    keeping: Any = getattr(node.op, "keeping", None)
    kept: Any = node.kept
    if node.op is None:
        tensor = kept() if callable(kept) else None
        if tensor is not None and tensor.array.shape == node.shape:
            yield None, tensor.array
    elif keeping and kept is not FREED and len(keeping) == len(kept):
        for array, (_, what, index) in zip(kept, keeping, strict=True):
            if isinstance(array, np.ndarray):
                if what == "array" and index < len(node.inputs) and node.inputs[index] is not None:
                    if array.shape == node.inputs[index].shape:  # type: ignore[union-attr]
                        yield index, array
                elif what == "out" and index == 0 and array.shape == node.shape:
                    yield None, array
            elif what == "array" and isinstance(array, tuple):  # all inputs of a variadic op
                for k, part in enumerate(array[: len(node.inputs)]):
                    if isinstance(part, np.ndarray) and node.inputs[k] is not None:
                        yield k, part


def forward_fevers(trace: Trace) -> dict[int, Fever]:
    """Where forward values are not finite: by index, oldest first.

    The result of an op between two strange values is taken to be strange itself, if unknown.
    """
    known = values(trace)
    if not any(v.nan or v.inf for v in known.values()):
        return {}
    fevers: dict[int, Fever] = {}
    for i, parents in enumerate(trace.parents):
        ill = next((fevers[p].kind for p in parents if p in fevers), "")
        own = known.get(i)
        size = int(np.prod(trace.nodes[i].shape, dtype=np.int64))
        if own is not None and (own.nan or own.inf):
            fevers[i] = Fever(own.kind, not ill, own.nan + own.inf, size)
        elif own is None and ill and trace.nodes[i].op is not None:
            fevers[i] = Fever(ill, False)
    certain: set[int] = set()  # those seen, and those between them or before the result
    for i in sorted(fevers, reverse=True):
        if fevers[i].count or i in trace.roots or certain.intersection(trace.children.get(i, ())):
            certain.add(i)
    return {i: fever for i, fever in fevers.items() if i in certain}


def backward_fevers(
    trace: Trace, rehearsal: Rehearsal | None, forward: dict[int, Fever]
) -> dict[int, Fever]:
    """Where gradients stop being finite: the op that made them so, and those they reach.

    What follows from forward values that are not finite already does not arise in backward.
    """
    fevers: dict[int, Fever] = {}
    if rehearsal is not None:
        for i, kind in rehearsal.handed.items():
            fevers[i] = Fever(kind, i not in rehearsal.arrived and i not in forward)
        for i, kind in rehearsal.arrived.items():
            fevers.setdefault(i, Fever(kind, origin=i in trace.roots))
    return fevers


def way_to_root(trace: Trace, start: int, ill: dict[int, Any]) -> list[int]:
    """A shortest way of strange values from a node to a root, or nothing if there is none."""
    before: dict[int, int] = {start: start}
    waiting = [start]
    for i in waiting:
        if i in trace.roots:
            way = [i]
            while way[-1] != start:
                way.append(before[way[-1]])
            return way[::-1]
        for child in trace.children.get(i, ()):
            if child in ill and child not in before:
                before[child] = i
                waiting.append(child)
    return []


def stale(trace: Trace) -> dict[int, Stale]:
    """The nodes whose backward would refuse, for what they keep was changed; and by what."""
    found: dict[int, Stale] = {}
    if not version.changed and not seals:
        return found
    for i, node in enumerate(trace.nodes):
        if node.op is None or node.kept is FREED:
            continue
        sums = seals.get(node)
        arrays = dict(positions(node))
        for k, kept in enumerate(node.kept):
            if type(kept) is not np.ndarray or not kept.size:
                continue
            entry = version.changed.get(id(version.owner(kept)))
            if entry is not None and entry.tick > node.born:
                code, number = entry.place or (None, 0)
                line = "an unknown line"
                if code is not None:
                    line = place_text((code.co_filename, number, code.co_name))
                times = f"version {entry.count}"
                found[i] = Stale(arrays.get(k), f"changed by {entry.op} ({times}) at {line}")
            elif sums is not None and sums[k] is not None and version.checksum(kept) != sums[k]:
                found[i] = Stale(arrays.get(k), "changed by NumPy code that shares its memory")
    return found


def positions(node: Node) -> Iterator[tuple[int, int | None]]:
    """For each kept thing by its place: the input whose value it is, or None for the result."""
    keeping: Any = getattr(node.op, "keeping", None) or ()
    for k, (_, what, index) in enumerate(keeping):
        if what in ("array", "out"):
            yield k, index if what == "array" else None
