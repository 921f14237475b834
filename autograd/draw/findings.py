"""What there is to say of a tape beyond its shape: gradients, NaN, changed values, idle parameters.

Each finding goes by the index of the node it is about, so that `build` can put it on a box.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ..tensor import Tensor
from .health import Fever, Stale, backward_fevers, forward_fevers, stale, way_to_root
from .rehearsal import Rehearsal, rehearse
from .trace import Trace
from .tracer import place_text, ran
from .words import listed

MOST_NODES = 50_000  # beyond it values are not looked at unless asked for
MOST_REHEARSED = 5_000  # nodes, and elements of their results, that backward is rehearsed for
MOST_ELEMENTS = 4_000_000
SHOWN_NAMES = 5


@dataclass(slots=True)
class Idle:
    """A parameter that gets no gradient from this tape, and why."""

    name: str
    why: str
    shape: tuple[int, ...]


@dataclass(slots=True)
class Findings:
    """All of it, by the index of the node."""

    rehearsal: Rehearsal | None = None
    forward: dict[int, Fever] = field(default_factory=dict)
    backward: dict[int, Fever] = field(default_factory=dict)
    stale: dict[int, Stale] = field(default_factory=dict)
    bad_way: set[tuple[int, int]] = field(default_factory=set)  # edges from an origin to a root
    idle: list[Idle] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def examine(
    trace: Trace, named: Mapping[str, Tensor], model: Any, *, backward: bool | None
) -> Findings:
    """Look a tape over. `backward` says whether to rehearse it; None: where that is cheap."""
    found = Findings()
    if backward is None:
        backward = cheap(trace)
    if backward and not any(trace.freed):
        found.rehearsal = rehearse(trace.nodes, trace.roots)
    if len(trace.nodes) <= MOST_NODES or backward:
        found.forward = forward_fevers(trace)
    found.backward = backward_fevers(trace, found.rehearsal, found.forward)
    found.stale = stale(trace)
    found.idle = idle(trace, named, model)
    for i, fever in found.forward.items():
        if fever.origin:
            way = way_to_root(trace, i, found.forward)
            found.bad_way.update(pairwise(way))
    found.notes += said_of_values(trace, found) + said_of_parameters(trace, found)
    return found


def cheap(trace: Trace) -> bool:
    """Whether backward can be rehearsed unasked: little work, and no code of the user's."""
    if len(trace.nodes) > MOST_REHEARSED or any(trace.freed):
        return False
    elements = 0
    for node in trace.nodes:
        if node.op is not None and not hasattr(node.op, "keeping"):  # a user's Function
            return False
        size = 1
        for n in node.shape:
            size *= n
        elements += size
    return elements <= MOST_ELEMENTS


def spot(trace: Trace, i: int) -> str:
    """A node by its op, or its name, and its id."""
    node = trace.nodes[i]
    name = trace.names.get(i, "")
    if node.op is None:
        return name or f"a leaf (n{i})"
    return f"{trace.title(i)} (n{i})"


def said_of_values(trace: Trace, found: Findings) -> list[str]:
    """Where values are not finite, and where backward would raise."""
    notes = []
    origins = [i for i, fever in found.forward.items() if fever.origin]
    for i in origins[:SHOWN_NAMES]:
        reaches = any(i == a for a, _ in found.bad_way) or i in trace.roots
        goes_on = "reaches the output" if reaches else "does not reach the output"
        facts = trace.facts(i)
        outside = facts is not None and any(
            x is not None and x.values is not None and x.values.kind for x in facts.outside
        )
        how = "comes into" if outside else "arises in" if not trace.is_leaf(i) else "is in"
        line = place_text(facts.place) if facts is not None and facts.place is not None else ""
        where = f", at {line}" if line else ""
        notes.append(f"{found.forward[i].kind} {how} {spot(trace, i)} and {goes_on}{where}")
    if len(origins) > SHOWN_NAMES:
        notes.append(f"NaN or inf arises in {len(origins) - SHOWN_NAMES:,} more ops")
    for i, fever in list(found.backward.items())[: SHOWN_NAMES * 20]:
        if fever.origin and i not in found.forward:
            notes.append(f"in backward, {fever.kind} arises in the derivative of {spot(trace, i)}")
    for i, one in list(found.stale.items())[:SHOWN_NAMES]:
        notes.append(f"backward will raise at {spot(trace, i)}: what it keeps was {one.text}")
    if found.rehearsal is not None and found.rehearsal.stopped and not found.stale:
        i, text = found.rehearsal.stopped
        notes.append(f"backward will raise at {spot(trace, i)}: {text}")
    return notes


def said_of_parameters(trace: Trace, found: Findings) -> list[str]:
    """Parameters that will not learn."""
    notes = []
    if found.idle:
        parts = [f"{one.name} ({one.why})" if one.why else one.name for one in found.idle]
        notes.append(f"not on this tape, so without a gradient: {listed(parts, SHOWN_NAMES)}")
    if found.rehearsal is not None and found.rehearsal.stopped is None:
        dead = [
            trace.names[i]
            for i in sorted(trace.names)
            if trace.is_leaf(i) and found.rehearsal.norms.get(i) == 0.0
        ]
        if dead:
            notes.append(f"the gradient is exactly zero: {listed(dead, SHOWN_NAMES)}")
    return notes


def idle(trace: Trace, named: Mapping[str, Tensor], model: Any) -> list[Idle]:
    """The named parameters that the tape does not reach: frozen, cut off, or never used."""
    frozen, unused = [], []
    modules = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
    for name, tensor in named.items():
        if tensor.node is None:
            frozen.append(Idle(name, "requires_grad=False", tuple(tensor.array.shape)))
        elif tensor.node not in trace.index:
            owner = modules.get(name.rpartition(".")[0])
            why = ""
            if owner is not None and ran:
                why = "cut off: its module ran" if owner in ran else "its module did not run"
            unused.append(Idle(name, why, tuple(tensor.array.shape)))
    return frozen + unused
