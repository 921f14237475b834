"""Steps of a recurrence that the walk takes back together.

A loop over a cell leaves a node for every step.  Their derivatives one by one are small pieces of
work, of a few microseconds each, with as much again around them; those of many steps at once are
those of a layer.  So the walk lets a step wait until the step before has all its other gradients,
lets that one wait as well, and so on.  What has gathered is one node of the same op, of more steps.

A step that waits has handed nothing on.  The nodes behind it, by way of its input, must wait too:
where the walk is about to take one of them, or the step before is one, a chain ends.  It ends too
when it holds many rows, for what its steps keep may have to be copied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from heapq import heappop, heappush
from operator import itemgetter
from typing import Any

import numpy as np

from . import version
from .deferred import ROWS, Part, below, cut
from .version import FREED

Array = np.ndarray[Any, Any]
Heap = list[tuple[int, Any]]  # nodes by age, the newest first


class Chain:
    """Steps that wait, newest first, with the gradients of their outputs.

    The op of a step has ``states``: so many of its inputs, after the first, are the output of the
    step before, or equal parts of it.  Its first setting are the rows of all steps it takes, its
    second one is whether it takes them backwards.  A chain without a step `before` has ended.
    """

    def __init__(self, node: Any, g: Any, pending: dict[Any, Any], heap: Heap):
        self.steps = [(node, g)]
        self.rows = node.shape[0] // node.op.states  # of one step
        self.pending = pending  # of the walk, as is the heap
        self.heap = heap
        self.behind: set[Any] = set()  # nodes that wait for the steps: younger than `before`
        self.further: Heap = []  # and older
        self.before: Any = None
        if node.kept is not FREED and not node.settings[1]:
            self.kind = _kind(node)
            self._reach(node.inputs[1 + node.op.states :])
            self._look()

    def take(self, node: Any, g: Any, keep: bool) -> tuple[Any, Any]:
        """What the walk takes where it was about to take ``node``, or was at its end (None).

        A node and its gradient; None if ``node`` waits now.
        """
        while self.before is not None:
            if node is not None and node.born > self.before.born:
                if node in self.parts:
                    self.parts[node] = g
                    return None, None
                if node not in self.behind:
                    return node, g
                break
            taken = node is self.before  # else what it gets from others has come
            if not self._lengthen(g if taken else None):
                break
            if taken and self.before is not None:
                return None, None
            node = None if taken else node
        if node is not None:
            self._give_back(node, g)
        for part, d in self.parts.items():
            if d is not None:
                self._give_back(part, d)
        self.before = None
        return self._joined(keep)

    def _lengthen(self, g: Any) -> bool:
        """Let the step before wait too, unless more of it than its first state has a gradient."""
        if self.parts:
            first, *others = self.parts.values()
            if g is not None or any(d is not None for d in others):
                return False
            g = first
        self.steps.append((self.before, g))
        self._look()
        return True

    def _look(self) -> None:
        """Find the step before the oldest one, and what is behind the steps and younger than it."""
        node = self.steps[-1][0]
        before, parts = node.inputs[1], ()
        if node.op.states > 1:
            parts = node.inputs[1 : 1 + node.op.states]
            before = _whole(parts)
        self.parts: dict[Any, Any] = dict.fromkeys(parts)
        if (
            before is None
            or before.op is not node.op
            or self.rows * len(self.steps) >= ROWS
            or before.kept is FREED
            or _kind(before) != self.kind
            or (before.born < version.latest and _written(node))
        ):
            self.before = None
            return
        self.before, born = before, -before.born
        self._reach(node.inputs[:1])
        further = self.further
        while further and further[0][0] <= born:
            found = heappop(further)[1]
            if found is before or found in self.parts:
                self.before = None  # a step's input comes from the state before, too
                return
            if found not in self.behind:
                self.behind.add(found)
                self._reach(found.inputs)

    def _reach(self, nodes: Any) -> None:
        for node in nodes:
            if node is not None:
                heappush(self.further, (-node.born, node))

    def _give_back(self, node: Any, g: Any) -> None:
        self.pending[node] = g
        heappush(self.heap, (-node.born, node))

    def _joined(self, keep: bool) -> tuple[Any, Any]:
        """One node for all the steps, and the gradient of its output."""
        if len(self.steps) == 1:
            return self.steps[0]
        nodes, gs = zip(*reversed(self.steps), strict=True)
        first, op, count, n = nodes[0], nodes[0].op, len(nodes), self.rows
        total = n * count
        of_steps = {op.inputs[0], *op.outputs}  # the rest is of the first step, or the same for all
        columns = zip(op.kept_names, zip(*(node.kept for node in nodes), strict=True), strict=True)
        kept = tuple(
            below([v[:n] if len(v) > n else v for v in values])
            if name in of_steps and values[0] is not None
            else values[0]
            for name, values in columns
        )  # fmt: skip
        for node in nodes:
            if node.born < version.latest:
                version.check(node.kept, node.born, op.name)
            if not keep:
                node.kept = FREED
        xs = first.inputs[0]
        if xs is not None:
            stacked = tuple(node.inputs[0] for node in nodes)
            xs = _node(first, STACKED, stacked, (total, *xs.shape[1:]), (n,))
        settings = count * first.settings[0], *first.settings[1:]
        shape = total + (op.states - 1) * n, *first.shape[1:]
        joined = _node(first, op, (xs, *first.inputs[1:]), shape, settings)
        joined.kept = kept
        nothing, last = np.zeros((n, first.shape[1]), first.dtype), None
        pieces = [nothing if g is None else g for g in gs]
        if op.states > 1:
            pieces[-1], last = cut(gs[-1], n)
        g = below(pieces) if last is None else below([*pieces, last])
        return joined, g if len(g) == shape[0] else Part(g, shape, (slice(total), ...))


def _whole(parts: tuple[Any, ...]) -> Any:
    """The node whose output falls into these parts, equal and in order; None if there is none."""
    first = parts[0]
    whole = first.inputs[0] if first is not None and first.inputs else None
    if whole is None:
        return None
    total = whole.shape[0]
    n = total // len(parts)
    for i, part in enumerate(parts):
        if part is None or part.inputs != (whole,) or part.op.name != "slice":
            return None
        rows, *_ = part.settings[0]
        if rows.indices(total) != (i * n, i * n + n, 1):
            return None
    return whole


def _kind(node: Any) -> tuple[Any, ...]:
    """What is the same in all steps of a chain: the op, settings, shapes and weights."""
    op, inputs = node.op, node.inputs
    return (
        *(op, node.settings, node.shape, node.dtype, inputs[0] is None, inputs[1 + op.states :]),
        *map(id, _weights(op)(node.kept)),
    )


def _written(step: Any) -> bool:
    """Whether anyone wrote to the states that a step began with, which are not what was kept then.

    On the tape a change is a node of its own; this is for one without a gradient.
    """
    places = map(step.op.kept_names.index, step.op.inputs[1 : 1 + step.op.states])
    states = (step.kept[i] for i in places)
    return any(s is not None and version.version(s) > 0 for s in states)


@cache
def _weights(op: Any) -> Callable[[Any], Any]:
    """The arrays among those that a step keeps which must be the same ones in the step before."""
    return itemgetter(*map(op.kept_names.index, op.inputs[1 + op.states :]))


def _node(
    step: Any, op: Any, inputs: tuple[Any, ...], shape: tuple[int, ...], settings: tuple[Any, ...]
) -> Any:
    """A node of the same class and type as a step's, which keeps nothing yet."""
    made = type(step)()
    made.born = version.tick()
    made.op, made.inputs, made.kept, made.settings = op, inputs, (), settings
    made.shape, made.dtype = shape, step.dtype
    return made


class _Rows:
    """The op of inputs that stand one below the other."""

    name = "rows"
    unary = False
    states = 0

    @staticmethod
    def pull(g: Array, node: Any) -> list[Array]:
        """The rows of each."""
        (n,) = node.settings
        return [g[start : start + n] for start in range(0, len(g), n)]


STACKED = _Rows()
