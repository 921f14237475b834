"""The abstract picture of a tape: boxes and edges, with no ink on them yet.

Every writer (DOT, SVG, text) draws from a `Graph`, and a `Graph` holds only text and numbers:
it keeps no tensor and no tape alive. A box is called after the topological index of its node
(`n0` is the oldest), so the same program gives the same graph, byte for byte.

A tape with more boxes than `max_nodes` is folded: first every chain of ops to its first and its
last, then the middle of the tape between two points all values pass through. Where neither
helps, one box sums the tape up.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..dtypes import BY_ARRAY
from ..tape import Node
from .trace import Trace, kept_arrays

Role = Literal["op", "parameter", "leaf", "output", "fold", "summary"]
SHOWN_KINDS = 5  # op names a folded box lists before it says "and … more"
SHOWN_KINDS_IN_SUMMARY = 14
SHOWN_NAMES = 5  # parameters a note lists
SHORTEST_RUN = 4  # folding three ops into "first, fold, last" saves nothing


@dataclass(frozen=True, slots=True)
class Box:
    """One thing to draw: an op, a leaf, an output, or many ops folded into one."""

    id: str
    role: Role
    title: str
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    name: str = ""  # what the user calls the result
    ops: int = 0  # nodes behind the box
    leaves: int = 0  # leaves folded into it
    tally: tuple[tuple[str, int], ...] = ()  # op name, how often; most frequent first
    constants: int = 0  # inputs that need no gradient, so are not on the tape
    kept: int | None = 0  # bytes kept for backward; None once freed
    shared: int = 0  # the part of them an older op keeps too
    arrays: tuple[str, ...] = ()  # what the kept arrays are
    settings: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written under the title."""
        text = []
        if self.shape is not None:
            text.append(f"{shape_text(self.shape)} {self.dtype}")
        shown = SHOWN_KINDS_IN_SUMMARY if self.role == "summary" else SHOWN_KINDS
        text += [f"{name} × {count:,}" for name, count in self.tally[:shown]]
        if len(self.tally) > shown:
            text.append(f"and {plural(len(self.tally) - shown, 'other kind')}")
        if self.leaves:
            text.append(f"with {plural(self.leaves, 'leaf', 'leaves')}")
        if self.kept:
            shared = ""
            if self.shared:
                part = "all" if self.shared == self.kept else size_text(self.shared)
                shared = f" ({part} shared)"
            text.append(f"keeps {size_text(self.kept)}{shared}")
        return tuple(text)

    @property
    def detail(self) -> str:
        """What a tooltip says: all there is to know of the box."""
        text = [f"{self.id}: {self.heading}", *self.lines]
        if self.settings:
            text.append("settings: " + ", ".join(self.settings))
        if self.constants:
            text.append(f"{plural(self.constants, 'input')} not on the tape (no gradient needed)")
        if self.kept is None:
            text.append("what it kept was freed by backward")
        text += [f"keeps {array}" for array in self.arrays]
        return "\n".join(text)

    @property
    def heading(self) -> str:
        """The title, with the user's own name for the result before it."""
        return f"{self.name} = {self.title}" if self.name else self.title


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way from one box to another; `count` is how many times it is used there."""

    source: str
    target: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes that belong together, such as those of one module."""

    id: str
    title: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes in topological order, the edges between them, and what to say about the whole."""

    title: str
    subtitle: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    roles: tuple[Role, ...] = field(init=False)  # those that occur, in order of appearance

    def __post_init__(self) -> None:
        roles = tuple(dict.fromkeys(box.role for box in self.boxes))
        object.__setattr__(self, "roles", roles)


def build(trace: Trace, max_nodes: int, notes: Sequence[str] = ()) -> Graph:
    """The graph of a trace, in at most `max_nodes` boxes."""
    remarks = list(notes)
    ops = sum(node.op is not None for node in trace.nodes)
    title = f"{plural(ops, 'op')}, {plural(len(trace.nodes) - ops, 'leaf', 'leaves')}"
    if any(trace.freed):
        remarks.append(
            "backward has freed this tape, so what it kept is unknown: "
            "draw before backward(), or call backward(retain_graph=True)"
        )
    parts: tuple[tuple[Box, ...], tuple[Edge, ...]]
    if len(trace.nodes) + len(trace.roots) <= max_nodes:
        parts = drawn(trace, [])
    elif (folds := folded(trace, max_nodes)) is not None:
        parts = drawn(trace, folds)
        hidden = sum(trace.nodes[i].op is not None for fold in folds for i in fold)
        remarks.append(
            f"{hidden:,} of {plural(ops, 'op')} are folded away: the tape has more boxes "
            f"than max_nodes={max_nodes:,}"
        )
    else:
        parts = (summary(trace, ops),), ()
        remarks.append(
            f"this tape does not fold into max_nodes={max_nodes:,} boxes, so it is summed up: "
            "draw a smaller part of the program, or raise max_nodes"
        )
    return Graph(title, memory_line(trace), *parts, notes=tuple(remarks))


def drawn(trace: Trace, folds: Sequence[Sequence[int]]) -> tuple[tuple[Box, ...], tuple[Edge, ...]]:
    """One box for each fold and each node outside the folds, one for each root; and the edges."""
    place, whole = places(folds), {max(fold): fold for fold in folds}
    boxes: list[Box] = []
    called: dict[int, str] = {}
    for i in range(len(trace.nodes)):
        if place.get(i, i) == i:
            box = folded_box(trace, sorted(whole[i])) if i in whole else node_box(trace, i)
            boxes.append(box)
            called[i] = box.id
    counts: dict[tuple[int, int], int] = {}
    for i, parents in enumerate(trace.parents):
        here = place.get(i, i)
        for parent in parents:
            there = place.get(parent, parent)
            if there != here:
                counts[there, here] = counts.get((there, here), 0) + 1
    edges = [Edge(called[a], called[b], n) for (a, b), n in counts.items()]
    for k, root in enumerate(trace.roots):
        node = trace.nodes[root]
        number = f" {k}" if len(trace.roots) > 1 else ""
        title = f"output{number}"
        boxes.append(Box(f"out{k}", "output", title, tuple(node.shape), dtype_text(node.dtype)))
        edges.append(Edge(called[place.get(root, root)], f"out{k}"))
    return tuple(boxes), tuple(edges)


def places(folds: Sequence[Sequence[int]]) -> dict[int, int]:
    """Where each folded node is drawn: a fold stands where its newest node is."""
    place = {}
    for fold in folds:
        place.update(dict.fromkeys(fold, max(fold)))
    return place


def node_box(trace: Trace, i: int) -> Box:
    """The box of a single node."""
    node = trace.nodes[i]
    shape, dtype, name = tuple(node.shape), dtype_text(node.dtype), trace.names.get(i, "")
    if node.op is None:
        role: Role = "parameter" if trace.is_parameter(i) else "leaf"
        return Box(f"n{i}", role, name or role, shape, dtype)
    return Box(
        f"n{i}",
        "op",
        node.op.name,
        shape,
        dtype,
        name=name,
        ops=1,
        constants=sum(x is None for x in node.inputs),
        kept=None if trace.freed[i] else trace.memory.kept((i,)),
        shared=trace.memory.shared((i,)),
        arrays=tuple(array_text(array) for array in kept_arrays(node)),
        settings=tuple(setting_text(value) for value in node.settings),
    )


def folded_box(trace: Trace, members: Sequence[int]) -> Box:
    """The box that stands for many nodes."""
    tally = tallied(trace, members)
    ops = sum(count for _, count in tally)
    return Box(
        f"fold{members[0]}",
        "fold",
        f"… {ops:,} more op" + "s" * (ops != 1),
        ops=ops,
        leaves=len(members) - ops,
        tally=tally,
        kept=None if any(trace.freed[i] for i in members) else trace.memory.kept(members),
        shared=trace.memory.shared(members),
    )


def summary(trace: Trace, ops: int) -> Box:
    """The one box that stands for a whole tape."""
    return Box(
        "tape",
        "summary",
        plural(ops, "op"),
        ops=ops,
        leaves=len(trace.nodes) - ops,
        tally=tallied(trace, range(len(trace.nodes))),
        kept=None if any(trace.freed) else trace.memory.total,
    )


def tallied(trace: Trace, members: Iterable[int]) -> tuple[tuple[str, int], ...]:
    """How often each op occurs among some nodes, most frequent first, then by name."""
    kinds = [op.name for i in members if (op := trace.nodes[i].op) is not None]
    return tuple(sorted(Counter(kinds).items(), key=lambda pair: (-pair[1], pair[0])))


def memory_line(trace: Trace) -> str:
    """One line on what the whole tape keeps, each buffer counted once."""
    memory = trace.memory
    if any(trace.freed):
        return "freed by backward"
    if not memory.total:
        return "keeps nothing for backward"
    text = f"keeps {size_text(memory.total)} in {plural(len(memory), 'buffer')}"
    return f"{text}, {size_text(memory.leaves)} of it the leaves' own" if memory.leaves else text


def folded(trace: Trace, max_nodes: int) -> list[list[int]] | None:
    """The sets of nodes to fold so that at most `max_nodes` boxes remain, or None if none do."""
    folds = folded_chains(trace)
    boxes = len(trace.nodes) + len(trace.roots)
    if boxes - sum(len(fold) - 1 for fold in folds) > max_nodes:
        middle = folded_middle(trace, folds, max_nodes)
        if middle is None:
            return None
        swallowed = set(middle)
        folds = [fold for fold in folds if fold[0] not in swallowed] + [middle]
    return folds if boxes - sum(len(fold) - 1 for fold in folds) <= max_nodes else None


def folded_chains(trace: Trace) -> list[list[int]]:
    """The inside of every run of ops that each have one op before them and one behind.

    Leaves that only one folded op uses go with it. Roots and ops the user named stay visible.
    """
    parents = op_parents(trace)
    children = Counter(parent for mine in parents for parent in mine)
    fixed = set(trace.roots) | set(trace.names)
    runs: dict[int, list[int]] = {}  # by the newest op so far
    for i, node in enumerate(trace.nodes):
        if node.op is None:
            continue
        run = []
        if len(parents[i]) == 1 and i not in trace.names:
            (parent,) = parents[i]
            if children[parent] == 1 and parent not in fixed:
                run = runs.pop(parent)
        run.append(i)
        runs[i] = run
    return with_leaves(trace, [run[1:-1] for run in runs.values() if len(run) >= SHORTEST_RUN])


def folded_middle(trace: Trace, folds: Sequence[Sequence[int]], max_nodes: int) -> list[int] | None:
    """The nodes between two waists: ops that every value older than they are passes through.

    What is left on either side fills at most half of the boxes.
    """
    parents = op_parents(trace)
    place = places(folds)
    leaf_weight = Counter(min(users) for users in leaf_users(trace).values())
    weight: Counter[int] = Counter()  # boxes at each place: the op, and the leaves first used there
    newest_use: dict[int, int] = {}
    for i, mine in enumerate(parents):
        if trace.nodes[i].op is None:
            continue
        here = place.get(i, i)
        weight[here] += leaf_weight[i] if here == i else 0
        weight[here] += here == i
        for parent in mine:
            there = place.get(parent, parent)
            newest_use[there] = max(newest_use.get(there, 0), here)
    for root in trace.roots:
        newest_use[root] = len(trace.nodes)
    spots = sorted(weight)
    waists = []
    horizon = 0
    for spot in spots:
        if horizon <= spot:
            waists.append(spot)
        horizon = max(horizon, newest_use.get(spot, 0))

    half = (max_nodes - len(trace.roots) - 1) // 2
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
    inside = [
        i
        for i, node in enumerate(trace.nodes)
        if node.op is not None and first < place.get(i, i) < last and i not in trace.roots
    ]
    return with_leaves(trace, [inside])[0] if len(inside) > 1 else None


def with_leaves(trace: Trace, folds: list[list[int]]) -> list[list[int]]:
    """The folds, each with the leaves that exactly one of its ops uses and nothing else."""
    fold_of = {i: fold for fold in folds for i in fold}
    roots = set(trace.roots)
    for leaf, users in leaf_users(trace).items():
        (user, *others) = users
        if not others and user in fold_of and leaf not in roots:
            fold_of[user].append(leaf)
    return folds


def leaf_users(trace: Trace) -> dict[int, set[int]]:
    """The ops that use each leaf."""
    users: dict[int, set[int]] = {}
    for i, mine in enumerate(trace.parents):
        for parent in mine:
            if trace.nodes[parent].op is None:
                users.setdefault(parent, set()).add(i)
    return users


def op_parents(trace: Trace) -> list[tuple[int, ...]]:
    """For each node the ops among its inputs, each once."""
    nodes = trace.nodes
    return [
        tuple(dict.fromkeys([p for p in mine if nodes[p].op is not None])) if mine else ()
        for mine in trace.parents
    ]


def parameter_note(frozen: Iterable[str], unused: Iterable[str]) -> str:
    """What to say of named parameters the tape does not reach, or nothing."""
    parts = [f"{name} (requires_grad=False)" for name in frozen] + list(unused)
    if not parts:
        return ""
    more = f" and {len(parts) - SHOWN_NAMES:,} more" if len(parts) > SHOWN_NAMES else ""
    return f"not on this tape, so without a gradient: {', '.join(parts[:SHOWN_NAMES])}{more}"


def dtype_text(dtype: np.dtype[Any]) -> str:
    """The name PyTorch's users know a storage dtype by."""
    known = BY_ARRAY.get(dtype)
    return dtype.name if known is None else known.name


def shape_text(shape: Sequence[int]) -> str:
    """A shape as PyTorch's users write it: `()`, `(3,)`, `(64, 10)`."""
    return str(tuple(int(n) for n in shape))


def array_text(array: np.ndarray) -> str:
    """Shape, dtype and size of an array."""
    return f"{shape_text(array.shape)} {dtype_text(array.dtype)}, {size_text(array.nbytes)}"


def setting_text(value: object) -> str:
    """A setting in a few characters that do not change from run to run."""
    if isinstance(value, tuple) and any(isinstance(part, np.ndarray) for part in value):
        return f"({', '.join(array_text(x) if isinstance(x, np.ndarray) else '…' for x in value)})"
    if isinstance(value, np.ndarray):
        return array_text(value)
    text = reprlib.repr(value)
    return f"<{type(value).__name__}>" if " at 0x" in text else text


def size_text(count: int) -> str:
    """A number of bytes in the largest unit that leaves it at least 1."""
    size, units = float(count), ["PiB", "TiB", "GiB", "MiB", "KiB", "B"]
    while size >= 1023.95 and len(units) > 1:
        size /= 1024
        units.pop()
    return f"{size:.1f}".removesuffix(".0") + f" {units[-1]}"


def plural(count: int, one: str, many: str = "") -> str:
    """A count and its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def naming(named: Mapping[str, object]) -> dict[Node, str]:
    """The nodes some named tensors stand on, each with its names joined by ` = `."""
    names: dict[Node, str] = {}
    for name, tensor in named.items():
        node = getattr(tensor, "node", None)
        if isinstance(node, Node):
            names[node] = f"{names[node]} = {name}" if node in names else str(name)
    return names
