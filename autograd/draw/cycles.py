"""Reference cycles through a tape: why memory stays after the last tensor was let go.

The tape itself has none. A user makes one by keeping a tensor where its own node can reach it: in a
hook, or on the context of a `Function`. Such a ring is freed only when the garbage collector comes.
"""

from __future__ import annotations

import gc
import types
from typing import Any

from ..tape import Node, newest_first
from ..tensor import Tensor

MOST_OBJECTS = 200_000
PASSED_OVER = (type, types.ModuleType, types.FrameType, types.CodeType, str, bytes, int, float)


def tape_cycles(root: Any, most: int = 5) -> list[str]:
    """The rings of references that a tape is part of, each as one line; empty for a sound tape.

    `root` is a tensor or a `grad_fn`.

    >>> import retrograd as rg
    >>> x = rg.ones(2, requires_grad=True)
    >>> y = x.exp()
    >>> rg.tape_cycles(y)
    []
    >>> handle = y.register_hook(lambda g, y=y: None)  # the node holds the hook, and the hook y
    >>> rg.tape_cycles(y)
    ['ExpBackward0 → dict → OrderedDict → function → tuple → Tensor → ExpBackward0']
    >>> handle.remove()
    """
    node = root.node if isinstance(root, Tensor) else root
    if not isinstance(node, Node):
        raise TypeError(
            f"tape_cycles() takes a tensor with a tape, or a grad_fn, not {type(root).__name__}"
        )
    found: list[str] = []
    rings: set[tuple[str, ...]] = set()
    budget = MOST_OBJECTS
    for start in newest_first([node]):
        if start.op is None:
            continue
        ring, seen = ring_from(start, budget)
        budget -= seen
        if ring is not None:
            names = tuple(map(called, ring))
            if names not in rings:
                rings.add(names)
                found.append(" → ".join([*names, names[0]]))
        if len(found) >= most or budget <= 0:
            break
    return found


def ring_from(start: Node, budget: int) -> tuple[list[Any] | None, int]:
    """The shortest way of references from a node back to itself, and how many objects were seen.

    Older nodes cannot lead back by the tape, so only what else a node holds is followed.
    """
    before: dict[int, tuple[Any, Any]] = {}
    waiting: list[Any] = [start]
    held = [start]  # keeps the ids valid
    for item in waiting:
        for other in gc.get_referents(item):
            if other is start:
                way = [item]
                while way[-1] is not start:
                    way.append(before[id(way[-1])][0])
                return way[::-1], len(held)
            if isinstance(other, PASSED_OVER) or id(other) in before or len(held) > budget:
                continue
            if isinstance(other, dict) and "__builtins__" in other:
                continue  # a module's globals lead everywhere
            if item is start and (other is start.inputs or other is start.op):
                continue
            before[id(other)] = item, other
            held.append(other)
            waiting.append(other)
    return None, len(held)


def called(item: Any) -> str:
    """An object in a word."""
    if isinstance(item, Node):
        return item.name()
    return type(item).__name__
