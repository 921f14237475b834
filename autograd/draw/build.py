"""From a tape to boxes and edges: how much of it is drawn, and what is written where."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any

from ..version import FREED
from .cost import multiply_adds
from .findings import Findings
from .graph import Box, Edge, Graph, Group, Mark, Role
from .overlay import painted
from .parts import Net, Part, folded
from .roll import Rolls, Scope, rolls
from .trace import Trace, kept_arrays
from .tracer import Failure, Values, place_text
from .words import (
    array_text,
    dtype_text,
    plural,
    setting_text,
    short_number,
    size_text,
)  # fmt: skip

MOST_ARRAYS = 6  # kept arrays that a tooltip lists
SHOWN_IDLE = 5
SHOWN_SHARERS = 3
WIDEST_RANGE = 1e4  # of gradient norms, before a picture of them speaks of it
ROLLED_AT_ONCE = 20  # times max_nodes: with so many ops, rolling steps alone is not tried first


@dataclass(frozen=True, slots=True)
class Options:
    """How much of a tape to draw, and how."""

    max_nodes: int
    depth: int | None = None
    collapse: tuple[str, ...] | Callable[[str], bool] = ()
    roll: bool | None = None
    overlay: str = ""
    goal: int = 0  # how few boxes to try for first, once there are more than `max_nodes`


def build(
    trace: Trace, options: Options, findings: Findings, failure: Failure | None = None
) -> Graph:
    """The graph of a trace, in at most as many boxes as the options say."""
    remarks = list(findings.notes)
    ops = sum(node.op is not None for node in trace.nodes)
    title = headline(trace, ops)
    if any(trace.freed):
        remarks.append(
            "backward has freed this tape, so what it kept is unknown: "
            "draw before backward(), or call backward(retain_graph=True)"
        )
    net, said = arranged(trace, options, ops)
    remarks += said
    if net is None:
        return Graph(title, memory_line(trace), (summary(trace, ops),), (), notes=tuple(remarks))
    room = options.max_nodes - len(net)
    drawing = Drawing(net, findings, failure, timed=options.overlay == "time", room=room)
    if failure is not None:
        remarks.insert(0, f"forward raised in {failure.op}: {failure.message}")
    boxes, scale = drawing.boxes, None
    if options.overlay:
        boxes, scale = painted(boxes, options.overlay)
        if scale is None:
            remarks.append(f"nothing to show of {options.overlay!r} on this tape")
        elif options.overlay == "grad":
            remarks += said_of_range(boxes)
    return Graph(
        title,
        memory_line(trace),
        tuple(boxes),
        tuple(drawing.edges),
        groups=tuple(drawing.groups()),
        notes=tuple(remarks),
        scale=scale,
    )


def headline(trace: Trace, ops: int) -> str:
    """What the tape is of: how many ops and leaves, and the model, where all is of one."""
    text = f"{plural(ops, 'op')}, {plural(len(trace.nodes) - ops, 'leaf', 'leaves')}"
    seen = [facts for i in range(len(trace.nodes)) if (facts := trace.facts(i)) is not None]
    models = {facts.calls[0].kind for facts in seen if facts.calls}
    if len(models) != 1:
        return text
    size = sum(prod(node.shape) for i, node in enumerate(trace.nodes) if trace.is_parameter(i))
    return f"{models.pop()}: {text}" + (f", {plural(size, 'parameter')}" if size else "")


# ---------------------------------------------------------------- how much


def arranged(trace: Trace, options: Options, ops: int) -> tuple[Net | None, list[str]]:
    """The net to draw, and what to say of what it does not show; None when it is one box."""
    most, roll = options.max_nodes, options.roll
    because = f"the tape has more boxes than max_nodes={most:,}"
    if roll is not None or trace.watched or ops <= ROLLED_AT_ONCE * most:
        rolled = rolls(trace, steps=roll is not False, blocks=roll is True)
        closed = closed_scopes(rolled, options.collapse)
        net = Net(trace, rolled, depth=options.depth, closed=closed)
        if len(net) <= most:
            return net, said_of_rolls(net)
    if roll is None:
        rolled = rolls(trace, steps=True, blocks=True)
        closed = closed_scopes(rolled, options.collapse)
    nets: list[Net] = []
    fitting: tuple[Net, list[str]] | None = None
    for net, said in collapsed(trace, rolled, closed, options, because):
        nets.append(net)
        if len(net) <= most:
            fitting = fitting or (net, said)
            if len(net) <= (options.goal or most):
                return net, said
    if fitting is not None:
        return fitting
    for net in reversed(nets[:1] + nets[1:][-1:]):
        smaller = folded(net, rolled, most, depth=net.depth, closed=closed)
        if smaller is not None:
            return smaller, [*said_of_rolls(smaller), said_of_folds(smaller, ops, because)]
    return None, [
        f"this tape does not fold into max_nodes={most:,} boxes, so it is summed up: "
        "draw a smaller part of the program, or raise max_nodes"
    ]


def collapsed(
    trace: Trace, rolled: Rolls, closed: frozenset[str], options: Options, because: str
) -> Iterator[tuple[Net, list[str]]]:
    """The net as it is, then with modules collapsed one level after another, the deepest first."""
    net = Net(trace, rolled, depth=options.depth, closed=closed)
    yield net, said_of_rolls(net, because)
    deepest = max((len(path) for path in rolled.paths), default=0)
    for depth in range(min(deepest - 1, options.depth or deepest), 0, -1):
        net = Net(trace, rolled, depth=depth, closed=closed)
        said = f"modules are collapsed from depth {depth} on: {because}"
        yield net, [*said_of_rolls(net), said]


def closed_scopes(
    rolled: Rolls, collapse: tuple[str, ...] | Callable[[str], bool]
) -> frozenset[str]:
    """The modules the user wants as one box, by pattern of name or class, or by a function."""
    scopes = {scope.id: scope for path in rolled.paths for scope in path}

    def wanted(scope: Scope) -> bool:
        if callable(collapse):
            return bool(collapse(scope.name))
        names = (scope.name, scope.name.partition(" (call ")[0], scope.kind)
        return any(fnmatch.fnmatchcase(n, pattern) for pattern in collapse for n in names)

    return frozenset(id for id, scope in scopes.items() if wanted(scope))


def said_of_rolls(net: Net, because: str = "") -> list[str]:
    """That steps or blocks are drawn once, if any are."""
    most = max((part.times for part in net.parts if part.kind == "op"), default=1)
    if most < 2:
        return []
    said = "what repeats is drawn once, with × how often"
    return [f"{said}: {because}" if because else said]


def said_of_folds(net: Net, ops: int, because: str) -> str:
    """How many ops are not drawn."""
    hidden = sum(not net.trace.is_leaf(i) for p in net.parts if p.kind == "fold" for i in p.members)
    return f"{hidden:,} of {plural(ops, 'op')} are folded away: {because}"


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


def said_of_range(boxes: Sequence[Box]) -> list[str]:
    """Between which boxes gradients differ by more than training usually bears."""
    known = [(box.norm, box) for box in boxes if box.norm and isfinite(box.norm)]
    (low, small), (high, large) = (pick(known, key=lambda one: one[0]) for pick in (min, max))
    if low * WIDEST_RANGE > high:
        return []
    times = float(f"{high / low:.0e}")
    return [
        f"the gradient is {times:,.0f} times smaller at {small.heading} "
        f"(norm {short_number(low)}) than at {large.heading} ({short_number(high)})"
    ]


def tallied(trace: Trace, members: Iterable[int]) -> tuple[tuple[str, int], ...]:
    """How often each op occurs among some nodes, most frequent first, then by name."""
    kinds = [trace.title(i) for i in members if not trace.is_leaf(i)]
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


# ---------------------------------------------------------------- boxes


class Drawing:
    """The boxes and edges of a net."""

    def __init__(
        self, net: Net, findings: Findings, failure: Failure | None, *, timed: bool, room: int
    ):
        self.net, self.trace, self.findings, self.timed = net, net.trace, findings, timed
        self.steps = steps_of(findings)
        self.boxes: list[Box] = []
        self.edges: list[Edge] = []
        self._scopes: dict[str, tuple[Scope, str]] = {}  # group id: scope, id of the one round it
        ids = [self._id(part) for part in net.parts]
        inputs = self._inputs(ids, room)
        self._idle(room - len(self.boxes))
        self.boxes += [self._box(part, id, inputs) for part, id in zip(net.parts, ids, strict=True)]
        self._edges(ids)
        self._outputs(ids, failure)

    def groups(self) -> list[Group]:
        """The frames of the modules that have boxes in them, outermost first."""
        members: dict[str, list[str]] = {}
        for box in self.boxes:
            members.setdefault(box.group, []).append(box.id)
        return [
            Group(id, scope.title, tuple(members.get(id, ())), parent)
            for id, (scope, parent) in self._scopes.items()
        ]

    def _group(self, path: Sequence[Scope]) -> str:
        outer = ""
        for scope in path:
            self._scopes.setdefault(scope.id, (scope, outer))
            outer = scope.id
        return outer

    def _id(self, part: Part) -> str:
        letter = {"fold": "fold", "module": "m"}.get(part.kind, "n")
        if part.kind == "module":
            return f"{letter}{next(i for i in part.members if not self.trace.is_leaf(i))}"
        return f"{letter}{part.members[0]}"

    def _box(self, part: Part, id: str, drawn: dict[int, int]) -> Box:
        trace, first = self.trace, part.members[0]
        node = trace.nodes[first]
        common = self._common(part)
        if part.kind == "leaf":
            return self._leaf(part, id, common)
        if part.kind == "fold":
            tally = tallied(trace, part.members)
            ops = sum(count for _, count in tally)
            title = f"… {ops:,} more op" + "s" * (ops != 1)
            return replace(
                Box(id, "fold", title, ops=ops, leaves=len(part.members) - ops, tally=tally),
                group=self._group(part.path),
                **common,
            )
        if part.kind == "module":
            return self._module(part, id, common)
        return replace(
            Box(id, "op", trace.title(first), tuple(node.shape), dtype_text(node.dtype)),
            name=trace.names.get(first, "") if part.times == 1 else "",
            times=part.times,
            ops=part.times,
            constants=sum(x is None for x in node.inputs) - drawn.get(first, 0),
            arrays=tuple(
                array_text(array) for array in [*kept_arrays(node)][:MOST_ARRAYS]
            ) if node.kept is not FREED else (),
            settings=tuple(setting_text(value) for value in node.settings),
            group=self._group(part.path),
            derivative=node.name(),
            **common,
        )  # fmt: skip

    def _leaf(self, part: Part, id: str, common: dict[str, Any]) -> Box:
        trace, first = self.trace, part.members[0]
        node = trace.nodes[first]
        role: Role = "parameter" if trace.is_parameter(first) else "leaf"
        names = [trace.names.get(i, "") for i in part.members]
        name = names[0] if part.times == 1 else starred(names)
        return replace(
            Box(id, role, name or role, tuple(node.shape), dtype_text(node.dtype)),
            times=part.times,
            group=self._group(part.path),
            **{**common, "kept": 0, "shared": 0, "macs": None},
        )

    def _module(self, part: Part, id: str, common: dict[str, Any]) -> Box:
        trace, scope = self.trace, part.path[-1]
        ops = [i for i in part.members if not trace.is_leaf(i)]
        last = trace.nodes[ops[-1]]
        size = sum(prod(trace.nodes[i].shape) for i in part.members if trace.is_parameter(i))
        notes = [plural(len(ops), "op")]
        if size:
            notes.append(plural(size, "parameter"))
        if scope.steps > 1:
            notes.append(f"{scope.steps:,} steps")
        name = "" if scope.name == scope.kind else scope.name
        return replace(
            Box(id, "module", scope.kind, tuple(last.shape), dtype_text(last.dtype)),
            name=name,
            times=prod(outer.times for outer in part.path),
            ops=len(ops),
            group=self._group(part.path[:-1]),
            **{**common, "notes": (*notes, *common["notes"])},
        )

    def _common(self, part: Part) -> dict[str, Any]:
        """What is said of every kind of box."""
        trace, found, members = self.trace, self.findings, part.members
        ops = [i for i in members if not trace.is_leaf(i)]
        freed = any(trace.freed[i] for i in ops)
        marks, notes, more = self._health(part)
        facts = [f for i in ops if (f := trace.facts(i)) is not None]
        macs = [m for i in ops if (m := multiply_adds(trace.nodes[i], trace.facts(i)))]
        rehearsal = found.rehearsal
        end = ops[-1] if ops else members[-1]
        norm = None
        if rehearsal is not None:
            norms = [rehearsal.norms[i] for i in members if i in rehearsal.norms]
            if part.kind in ("op", "leaf"):
                norm = max(norms, default=0.0 if part.kind == "leaf" else None)
            else:
                norm = rehearsal.norms.get(end)
        if part.kind == "op" and facts and facts[0].made is not None:
            more.insert(0, values_text(facts[0].made))
        if part.kind == "op":
            more += self._sharers(ops)
        by_hand = [f.place for f in facts if f.place is not None]
        back_seconds = None
        if self.timed and rehearsal is not None and ops:
            back_seconds = sum(rehearsal.seconds.get(i, 0.0) for i in ops)
        return {
            "kept": None if freed else trace.memory.kept(ops) if ops else 0,
            "shared": trace.memory.shared(ops) if ops and not freed else 0,
            "place": place_text(by_hand[0]) if by_hand and part.kind == "op" else "",
            "seconds": sum(f.seconds for f in facts) if facts and self.timed else None,
            "back_seconds": back_seconds,
            "norm": norm,
            "macs": sum(macs) if macs else None,
            "fan_in": len(trace.children.get(members[0], ())) if part.kind in ("op", "leaf") else 0,
            "step": min((self.steps[i] for i in ops if i in self.steps), default=None),
            "marks": tuple(marks),
            "notes": tuple(notes),
            "more": tuple(more),
        }

    def _sharers(self, ops: Sequence[int]) -> list[str]:
        """Which older ops keep the same memory: why it would stay without this one."""
        memory, trace = self.trace.memory, self.trace
        older = {memory.oldest[b] for i in ops for b in memory.held(i)} - set(ops)
        return [
            f"shares memory with what {trace.title(i)} (n{i}) keeps"
            for i in sorted(older)[:SHOWN_SHARERS]
        ]

    def _health(self, part: Part) -> tuple[list[Mark], list[str], list[str]]:
        """What is wrong with a part, in marks, words on the box, and words in the tooltip."""
        found = self.findings
        marks: list[Mark] = []
        notes: list[str] = []
        more: list[str] = []
        for fevers, where in ((found.forward, ""), (found.backward, "in backward ")):
            here = [fevers[i] for i in part.members if i in fevers]
            if not here:
                continue
            fever = next((f for f in here if f.origin), here[0])
            marks.append("origin" if fever.origin else "strange")
            verb = "arises" if fever.origin else "comes by"
            notes.append(
                f"{where}{fever.kind} {verb} here" if fever.origin else f"{where}{fever.kind}"
            )
            if fever.count:
                more.append(f"{fever.count:,} of {fever.size:,} values are {fever.kind}")
        old = [found.stale[i] for i in part.members if i in found.stale]
        if old:
            marks.append("stale")
            notes.append("what it keeps was changed")
            more += [f"what it keeps was {one.text}" for one in old[:3]]
        if "origin" in marks:
            marks = [mark for mark in marks if mark != "strange"]
        return list(dict.fromkeys(marks)), notes, more

    def _inputs(self, ids: Sequence[str], room: int) -> dict[int, int]:
        """Boxes for the named inputs that are off the tape; how many of each node's were drawn.

        None are where there is no room for all.
        """
        sources: dict[str, tuple[str, Box]] = {}
        counts: Counter[tuple[str, str]] = Counter()
        drawn: dict[int, int] = {}
        for k, part in enumerate(self.net.parts):
            for i in part.members:
                facts = self.trace.facts(i)
                for outside in () if facts is None else facts.outside:
                    if outside is None or not outside.name:
                        continue
                    name = outside.name
                    if name not in sources:
                        id = f"in{len(sources)}"
                        shape, dtype = outside.shape, dtype_text(outside.dtype)
                        sources[name] = id, Box(id, "input", name, shape, dtype)
                    counts[sources[name][0], ids[k]] += 1
                    drawn[i] = drawn.get(i, 0) + 1
        if len(sources) > room:
            return {}
        self.boxes += [box for _, box in sources.values()]
        times = {id: part.times for id, part in zip(ids, self.net.parts, strict=True)}
        for (a, b), n in counts.items():
            self.edges.append(Edge(a, b, n if times[b] == 1 else max(1, n // times[b])))
        return drawn

    def _idle(self, room: int) -> None:
        for k, one in enumerate(self.findings.idle[: max(0, min(SHOWN_IDLE, room))]):
            self.boxes.append(
                Box(
                    f"idle{k}",
                    "idle",
                    one.name,
                    one.shape,
                    marks=("detached",),
                    notes=(one.why or "not reached",),
                )
            )

    def _edges(self, ids: Sequence[str]) -> None:
        net, bad = self.net, self._bad_edges()
        for edges, loop in ((net.counts, False), (net.loops, True)):
            for (a, b), n in edges.items():
                repeats = min(net.parts[a].repeats, net.parts[b].repeats)
                count = max(1, n // repeats)  # in one repetition
                self.edges.append(Edge(ids[a], ids[b], count, loop, (a, b) in bad))

    def _bad_edges(self) -> set[tuple[int, int]]:
        """The edges strange values take to the result, and those of values changed since."""
        place, found = self.net.part_of, self.findings
        bad = {(place[a], place[b]) for a, b in found.bad_way}
        for i, one in found.stale.items():
            node = self.trace.nodes[i]
            parent = node.inputs[one.argument] if one.argument is not None else None
            if parent is not None:
                bad.add((place[self.trace.index[parent]], place[i]))
        return bad

    def _outputs(self, ids: Sequence[str], failure: Failure | None) -> None:
        trace, net = self.trace, self.net
        if failure is not None:
            box = Box(
                "failed",
                "failed",
                failure.op,
                notes=(failure.message, *(f"given {shape}" for shape in failure.shapes)),
                place=place_text(failure.place),
                more=tuple(f"in {call.name}: {call.kind}" for call in failure.calls),
            )
            self.boxes.append(box)
            counts = Counter(net.roots)
            self.edges += [Edge(ids[k], "failed", n) for k, n in counts.items()]
            return
        for k, root in enumerate(trace.roots):
            node = trace.nodes[root]
            number = f" {k}" if len(trace.roots) > 1 else ""
            shape, dtype = tuple(node.shape), dtype_text(node.dtype)
            self.boxes.append(Box(f"out{k}", "output", f"output{number}", shape, dtype))
            strange = root in self.findings.forward and bool(self.findings.bad_way)
            self.edges.append(Edge(ids[net.roots[k]], f"out{k}", bad=strange))


def steps_of(findings: Findings) -> dict[int, int]:
    """When backward executes each op, from 1."""
    if findings.rehearsal is None:
        return {}
    return {i: k for k, i in enumerate(findings.rehearsal.order, 1)}


def starred(names: Sequence[str]) -> str:
    """One name for several: what they share, a star for what differs."""
    split = [name.split(".") for name in names]
    if not all(names) or len({len(parts) for parts in split}) != 1:
        return ""
    columns = zip(*split, strict=True)
    return ".".join([c[0] if len(set(c)) == 1 else "*" for c in columns])


def values_text(values: Values) -> str:
    """The range of an op's values."""
    text = f"values from {short_number(values.low)} to {short_number(values.high)}"
    return f"{text}, and {values.kind}" if values.kind else text
