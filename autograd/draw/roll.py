"""What repeats on a tape: the steps of a loop, and the blocks of a deep model.

Where ops were seen as they happened, two are the same if they were called from the same
instruction through the same callers, in the same module: a *step*. In modules that differ by
nothing but their number they are the same as well: a *block*. On a tape nobody watched, a stretch
of ops repeats if the same ops with the same shapes and the same references back follow again at
one distance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from .trace import Trace

FEWEST = 3  # repetitions worth rolling up
SHORTEST = 8  # ops that a repeating stretch must save
PERIODS = 6  # distances tried
STAR = "*"


@dataclass(frozen=True, slots=True)
class Scope:
    """A module, or several that are alike, in which ops were called."""

    id: str
    kind: str
    name: str
    times: int = 1  # modules that are alike
    steps: int = 1  # calls of each

    @property
    def title(self) -> str:
        """What is written on its frame: the name in the model, the class, how often."""
        head = self.kind if self.name == self.kind else f"{self.name}: {self.kind}"
        often = f" × {self.times:,}" if self.times > 1 else ""
        return f"{head}{often}" + (f", {self.steps:,} steps" if self.steps > 1 else "")


@dataclass(slots=True)
class Rolls:
    """For each op what it is one of, and the modules it is in, outermost first."""

    label: list[Hashable]  # equal for ops rolled into one
    times: Counter[Hashable] = field(default_factory=Counter)
    paths: list[tuple[Scope, ...]] = field(default_factory=list)


def rolls(trace: Trace, *, steps: bool, blocks: bool) -> Rolls:
    """Which ops are the same, by what was seen of them, or by repetition where nothing was."""
    found = Rolls([*range(len(trace.nodes))], paths=[()] * len(trace.nodes))
    if trace.watched:
        seen = [trace.facts(i) for i in range(len(trace.nodes))]
        scopes = Scopes(trace, seen, steps=steps, blocks=blocks)
        groups: dict[Hashable, list[int]] = {}
        for i, facts in enumerate(seen):
            node = trace.nodes[i]
            if facts is None or node.op is None:
                continue
            found.paths[i] = path = scopes.path(facts.calls)
            if steps or blocks:
                calls = tuple([scope.id for scope in path])
                kind = facts.site, calls, node.op.name, node.shape, node.dtype
                groups.setdefault(kind, []).append(i)
        unroll_named(trace, groups)
        for key, members in whole_bodies(trace, groups).items():
            for i in members:
                found.label[i] = key
    elif steps or blocks:
        by_period(trace, found, all_kinds=blocks)
    found.times = Counter(label for label in found.label if not isinstance(label, int))
    return found


def whole_bodies(trace: Trace, groups: dict[Hashable, list[int]]) -> dict[Hashable, list[int]]:
    """The groups that repeat together with all that happens between.

    In a loop over layers that differ, some ops are alike: drawn once they would tie a knot.
    """
    rolled = {key: mine for key, mine in groups.items() if len(mine) >= FEWEST}
    while rolled:
        single = [node.op is not None for node in trace.nodes]
        for members in rolled.values():
            for i in members:
                single[i] = False
        upto = [0, *accumulate(single)]
        torn = [
            key
            for key, members in rolled.items()
            if 4 * (upto[members[-1]] - upto[members[0]]) > len(members)
        ]
        if not torn:
            break
        for key in torn:
            del rolled[key]
    return rolled


def unroll_named(trace: Trace, groups: dict[Hashable, list[int]]) -> None:
    """Results that the user named stay on their own."""
    for members in groups.values():
        members[:] = [i for i in members if i not in trace.names]


class Scopes:
    """The modules on the stack of each op, those that are alike under one name."""

    def __init__(self, trace: Trace, seen: Sequence[Any], *, steps: bool, blocks: bool):
        calls: dict[str, int] = {}
        kinds: dict[str, str] = {}
        content: dict[str, int] = {}  # a number that says what happened inside
        for i, facts in enumerate(seen):
            node = trace.nodes[i]
            if facts is None or node.op is None:
                continue
            for call in facts.calls:
                calls[call.name] = max(calls.get(call.name, 0), call.number)
                kinds[call.name] = call.kind
                content[call.name] = hash(
                    (content.get(call.name, 0), node.op.name, node.shape, node.dtype)
                )
        self._calls, self._steps = calls, steps
        self._alike: dict[str, int] = {}  # for each module like its siblings how many there are
        self._scopes: dict[tuple[Any, ...], tuple[Scope, ...]] = {}
        siblings: dict[Hashable, list[str]] = {}
        for name in kinds:
            head, _, last = name.rpartition(".")
            if last.isdigit():
                key = head, kinds[name], content[name]
                siblings.setdefault(key, []).append(name)
        if blocks:
            for names in siblings.values():
                if len(names) >= FEWEST:
                    self._alike.update(dict.fromkeys(names, len(names)))

    def path(self, calls: Sequence[Any]) -> tuple[Scope, ...]:
        """The scopes of some nested calls."""
        key = tuple([(call.name, call.number) for call in calls])
        known = self._scopes.get(key)
        if known is not None:
            return known
        path: list[Scope] = []
        outer, common_outer, index = "", "", ""
        for call in calls:
            name = call.name
            if outer and name.startswith(outer + "."):
                name = common_outer + name[len(outer) :]
            times = 1
            if call.name in self._alike:
                head, dot, _ = name.rpartition(".")
                name, times = f"{head}{dot}{STAR}", self._alike[call.name]
            outer, common_outer = call.name, name
            number, most = call.number, self._calls[call.name]
            rolled = self._steps and most >= FEWEST
            index += f"/{name}" + (f"#{number}" if most > 1 and not rolled else "")
            shown = name if most == 1 or rolled else f"{name} (call {number})"
            steps = most if rolled else 1
            path.append(Scope(index, call.kind, shown, times, steps))
        self._scopes[key] = tuple(path)
        return self._scopes[key]


def by_period(trace: Trace, found: Rolls, *, all_kinds: bool) -> None:
    """Label the ops of repeating stretches by their place in the stretch.

    Unless `all_kinds`, a stretch must use the same leaves each time: those are a loop's steps,
    and the others the blocks of a deep model.
    """
    ops = [i for i in range(len(trace.nodes)) if trace.nodes[i].op is not None]
    order = {i: k for k, i in enumerate(ops)}
    codes: dict[Hashable, int] = {}
    signs: list[int] = []
    for k, i in enumerate(ops):
        node = trace.nodes[i]
        back: list[Hashable] = []
        for p in trace.parents[i]:
            if p in order:
                back.append(k - order[p])
            else:  # a leaf: the same one, or at least one of the same shape
                back.append((p if not all_kinds else 0, trace.nodes[p].shape))
        kind = node.op.name, node.shape, node.dtype, tuple(back)  # type: ignore[union-attr]
        signs.append(codes.setdefault(kind, len(codes)))
    if len(codes) * FEWEST > len(signs) * 2:
        return  # too few ops are alike
    last: dict[int, int] = {}
    distances: Counter[int] = Counter()
    for k, sign in enumerate(signs):
        if sign in last:
            distances[k - last[sign]] += 1
        last[sign] = k
    sign_of = np.array(signs)
    taken = np.zeros(len(signs), bool)
    for period in sorted(d for d, _ in distances.most_common(PERIODS)):
        same = (sign_of[period:] == sign_of[:-period]) & ~taken[period:]
        turns = np.flatnonzero(np.diff(same, prepend=False, append=False))
        for start, end in turns.reshape(-1, 2).tolist():  # runs of ops as one period before
            whole = slice(start, end + period)
            if end - start >= max((FEWEST - 1) * period, SHORTEST) and not taken[whole].any():
                mark(found, trace, ops, start, end + period, period, all_kinds=all_kinds)
                taken[whole] = True


def mark(
    found: Rolls,
    trace: Trace,
    ops: list[int],
    start: int,
    end: int,
    period: int,
    *,
    all_kinds: bool,
) -> None:
    """Label a repeating stretch, but for what is left over of a last repetition."""
    shared = any(
        trace.nodes[p].op is None
        for k in range(start, start + period)
        for p in trace.parents[ops[k]]
    )
    if not shared and not all_kinds:
        return
    for k in range(start, end - (end - start) % period):
        if ops[k] not in trace.names and ops[k] not in trace.roots:
            found.label[ops[k]] = "stretch", start, (k - start) % period
