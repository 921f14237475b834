"""What of a tape becomes one box: a node, a rolled-up op, a module, a stretch that is folded.

A `Net` is the tape with its nodes put together into parts, oldest first. An edge from a part to
an older one, which only what is rolled up has, is a *loop*: what one step hands to the next.

A net with too many parts is folded: first every chain of ops to its first and its last, then the
middle between two points all values pass through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import Literal

from .roll import Rolls, Scope
from .trace import Trace

Kind = Literal["op", "leaf", "module", "fold"]
SHORTEST_RUN = 4  # folding three ops into "first, fold, last" saves nothing


@dataclass(slots=True)
class Part:
    """Some nodes that are drawn as one box."""

    kind: Kind
    members: list[int]  # oldest first
    times: int = 1  # nodes rolled into one
    path: tuple[Scope, ...] = ()
    place: float = 0.0  # where in time it stands

    @property
    def repeats(self) -> int:
        """How often what it shows happens: for a module, with all the modules like it."""
        if self.kind != "module":
            return self.times
        return prod(scope.times * scope.steps for scope in self.path)


@dataclass(frozen=True, slots=True)
class Folds:
    """Which labels are swallowed by which fold: the label of every op in it, to one for all."""

    into: dict[Hashable, Hashable]
    leaves: dict[int, Hashable]


class Net:
    """The parts of a tape and the edges between them.

    `depth` collapses what lies deeper in modules; `closed` are the scopes collapsed by choice.
    """

    def __init__(
        self,
        trace: Trace,
        rolled: Rolls,
        *,
        depth: int | None = None,
        closed: frozenset[str] = frozenset(),
        folds: Folds | None = None,
    ):
        self.trace, self.depth = trace, depth
        labels: list[Hashable] = list(rolled.label)
        kinds: dict[Hashable, tuple[Kind, tuple[Scope, ...]]] = {}
        for i, node in enumerate(trace.nodes):
            if node.op is None:
                continue
            path = rolled.paths[i]
            cut = cut_of(path, depth, closed) if path else None
            if cut is not None:
                labels[i] = "module", path[cut].id
                kinds.setdefault(labels[i], ("module", path[: cut + 1]))
            else:
                kinds.setdefault(labels[i], ("op", path))
        if folds is not None:
            for i, node in enumerate(trace.nodes):
                if node.op is None:
                    continue
                label = folds.into.get(labels[i])
                if label is not None:
                    kinds.setdefault(label, ("fold", common_path(kinds, labels[i])))
                    labels[i] = label
        self.labels = labels
        self._place_leaves(labels, kinds, rolled, folds)
        self._make_parts(labels, kinds)
        self._make_edges()

    def _place_leaves(
        self,
        labels: list[Hashable],
        kinds: dict[Hashable, tuple[Kind, tuple[Scope, ...]]],
        rolled: Rolls,
        folds: Folds | None,
    ) -> None:
        """Leaves go with the one module that uses them, and with their like into what is rolled."""
        trace = self.trace
        roots = set(trace.roots)
        uses: dict[int, list[tuple[Hashable, int]]] = {}
        for i, node in enumerate(trace.nodes):
            for k, parent in enumerate(node.inputs):
                if parent is not None and parent.op is None:
                    uses.setdefault(trace.index[parent], []).append((labels[i], k))
        for leaf, node in enumerate(trace.nodes):
            if node.op is not None:
                continue
            users = dict.fromkeys(label for label, _ in uses.get(leaf, ()))
            if folds is not None and leaf in folds.leaves:
                labels[leaf] = folds.leaves[leaf]
                continue
            if len(users) == 1 and leaf not in roots:
                (user,) = users
                if kinds[user][0] == "module":
                    labels[leaf] = user
                    continue
            path = common([kinds[user][1] for user in users])
            if users and leaf not in roots and all(rolled.times[u] > 1 for u in users):
                key = frozenset(uses[leaf]), node.shape, node.dtype, trace.is_parameter(leaf)
                labels[leaf] = "leaves", key
            kinds.setdefault(labels[leaf], ("leaf", path))

    def _make_parts(
        self, labels: Sequence[Hashable], kinds: dict[Hashable, tuple[Kind, tuple[Scope, ...]]]
    ) -> None:
        trace = self.trace
        made: dict[Hashable, Part] = {}
        for i, label in enumerate(labels):
            part = made.get(label)
            if part is None:
                kind, path = kinds[label]
                part = made[label] = Part(kind, [], path=path)
            part.members.append(i)
        for part in made.values():
            if part.kind == "leaf" or len(part.members) == 1:
                part.place = part.members[0]
            elif part.kind == "fold":
                part.place = part.members[-1]
            else:  # leaves of a module are older than what happens in it
                part.place = next(i for i in part.members if trace.nodes[i].op is not None)
            if part.kind in ("op", "leaf"):
                part.times = len(part.members)
        for part in made.values():
            if part.kind == "leaf":  # above all that uses it, wherever that stands
                users = {labels[c] for i in part.members for c in trace.children.get(i, ())}
                part.place = min([part.place, *(made[u].place - 0.5 for u in users)])
        self.parts = sorted(made.values(), key=attrgetter("place"))  # equal ones as they came
        self.part_of = [0] * len(labels)
        for k, part in enumerate(self.parts):
            for i in part.members:
                self.part_of[i] = k
        self.roots = [self.part_of[root] for root in trace.roots]

    def _make_edges(self) -> None:
        self.counts: dict[tuple[int, int], int] = {}
        self.loops: dict[tuple[int, int], int] = {}
        parts, part_of = self.parts, self.part_of
        for i, parents in enumerate(self.trace.parents):
            here = part_of[i]
            for parent in parents:
                there = part_of[parent]
                if there == here and (parts[here].kind != "op" or parts[here].times == 1):
                    continue
                edges = self.counts if there < here else self.loops
                edges[there, here] = edges.get((there, here), 0) + 1

    def __len__(self) -> int:
        return len(self.parts) + len(self.roots)


def cut_of(path: Sequence[Scope], depth: int | None, closed: frozenset[str]) -> int | None:
    """Which of the nested scopes is drawn as one box, if one is: the outermost that is closed."""
    for k, scope in enumerate(path):
        if scope.id in closed or (depth is not None and k >= depth):
            return k
    return None


def common(paths: Sequence[tuple[Scope, ...]]) -> tuple[Scope, ...]:
    """The scopes that some paths begin with."""
    if not paths:
        return ()
    first = paths[0]
    for path in paths[1:]:
        n = 0
        while n < min(len(first), len(path)) and first[n].id == path[n].id:
            n += 1
        first = first[:n]
    return first


def common_path(
    kinds: dict[Hashable, tuple[Kind, tuple[Scope, ...]]], label: Hashable
) -> tuple[Scope, ...]:
    """A fold stands in the outermost module of what it swallows."""
    return kinds[label][1][:1] if label in kinds else ()


# ---------------------------------------------------------------- folding


def folded(net: Net, rolled: Rolls, max_nodes: int, **options: object) -> Net | None:
    """A net of at most `max_nodes` parts, made by folding chains and the middle; None if none is.

    Parts that are alike in kind are never torn: a fold is of whole parts.
    """
    chains = chains_of(net)
    boxes = len(net)
    if boxes - sum(len(fold) - 1 for fold in chains) > max_nodes:
        middle = middle_of(net, chains, max_nodes)
        if middle is None:
            return None
        swallowed = set(middle)
        chains = [fold for fold in chains if fold[0] not in swallowed] + [middle]
    if boxes - sum(len(fold) - 1 for fold in chains) > max_nodes:
        return None
    into: dict[Hashable, Hashable] = {}
    leaves: dict[int, Hashable] = {}
    for number, fold in enumerate(chains):
        label = "fold", number
        for k in fold:
            part = net.parts[k]
            for i in part.members:
                if net.trace.is_leaf(i):
                    leaves[i] = label
                else:
                    into[net.labels[i]] = label
    return Net(net.trace, rolled, folds=Folds(into, leaves), **options)  # type: ignore[arg-type]


def op_parents(net: Net) -> list[tuple[int, ...]]:
    """For each part the parts with ops among its inputs, each once."""
    parents: list[list[int]] = [[] for _ in net.parts]
    for a, b in net.counts:
        if net.parts[a].kind != "leaf":
            parents[b].append(a)
    return [tuple(sorted(mine)) for mine in parents]


def fixed(net: Net) -> set[int]:
    """The parts that are never folded: roots, what the user named, what takes part in a loop."""
    named = {net.part_of[i] for i in net.trace.names if not net.trace.is_leaf(i)}
    return set(net.roots) | named | {k for pair in net.loops for k in pair}


def chains_of(net: Net) -> list[list[int]]:
    """The inside of every run of ops that each have one op before them and one behind."""
    parents = op_parents(net)
    children = Counter(parent for mine in parents for parent in mine)
    standing = fixed(net)
    runs: dict[int, list[int]] = {}  # by the newest op so far
    for k, part in enumerate(net.parts):
        if part.kind == "leaf":
            continue
        run: list[int] = []
        if len(parents[k]) == 1 and (k not in standing or k in net.roots):
            (parent,) = parents[k]
            if children[parent] == 1 and parent not in standing and parent in runs:
                run = runs.pop(parent)
        run.append(k)
        runs[k] = run
    inside = [run[1:-1] for run in runs.values() if len(run) >= SHORTEST_RUN]
    return with_leaves(net, [[k for k in run if k not in standing] for run in inside])


def middle_of(net: Net, folds: Sequence[Sequence[int]], max_nodes: int) -> list[int] | None:
    """The parts between two waists: ops that every value older than they are passes through.

    What is left on either side fills at most half of the boxes.
    """
    parents = op_parents(net)
    place = {k: max(fold) for fold in folds for k in fold}
    leaf_weight = Counter(min(users) for users in leaf_users(net).values() if users)
    weight: Counter[int] = Counter()  # boxes at each place: the op, and the leaves first used there
    newest_use: dict[int, int] = {}
    for k, mine in enumerate(parents):
        if net.parts[k].kind == "leaf":
            continue
        here = place.get(k, k)
        weight[here] += leaf_weight[k] if here == k else 0
        weight[here] += here == k
        for parent in mine:
            there = place.get(parent, parent)
            newest_use[there] = max(newest_use.get(there, 0), here)
    for root in net.roots:
        newest_use[root] = len(net.parts)
    spots = sorted(weight)
    waists = []
    horizon = 0
    for spot in spots:
        if horizon <= spot:
            waists.append(spot)
        horizon = max(horizon, newest_use.get(spot, 0))

    half = (max_nodes - len(net.roots) - 1) // 2
    upto: dict[int, int] = {}
    running = 0
    for spot in spots:
        running += weight[spot]
        upto[spot] = running
    oldest = [w for w in waists if upto[w] <= half]
    newest = [w for w in waists if running - upto[w] + weight[w] <= half]
    if not oldest or not newest:
        return None
    first, last = oldest[-1], newest[0]
    standing = set(net.roots)
    inside = [
        k
        for k, part in enumerate(net.parts)
        if part.kind != "leaf" and first < place.get(k, k) < last and k not in standing
    ]
    return with_leaves(net, [inside])[0] if len(inside) > 1 else None


def with_leaves(net: Net, folds: list[list[int]]) -> list[list[int]]:
    """The folds, each with the leaves that exactly one of its ops uses and nothing else."""
    folds = [fold for fold in folds if fold]
    fold_of = {k: fold for fold in folds for k in fold}
    roots = set(net.roots)
    for leaf, users in leaf_users(net).items():
        user, *others = users
        if not others and user in fold_of and leaf not in roots:
            fold_of[user].append(leaf)
    return folds


def leaf_users(net: Net) -> dict[int, set[int]]:
    """The ops that use each leaf."""
    users: dict[int, set[int]] = {}
    for edges in (net.counts, net.loops):
        for a, b in edges:
            if net.parts[a].kind == "leaf":
                users.setdefault(a, set()).add(b)
    return users
