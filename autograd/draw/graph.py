"""The abstract picture of a tape: boxes and edges, with no ink on them yet.

Every writer (DOT, SVG, text, JSON, Mermaid, the page) draws from a `Graph`, and a `Graph` holds
only text and numbers: it keeps no tensor and no tape alive. A box is called after the topological
index of its node (`n0` is the oldest), so the same program gives the same graph, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .words import often, plural, shape_text, short_number, size_text, time_text

Role = Literal[
    "op", "parameter", "leaf", "input", "output", "module", "fold", "summary", "gradient", "failed",
    "idle",
]  # fmt: skip
# What may be said of a box beside its role; each has a look and words of its own.
Mark = Literal["origin", "strange", "stale", "detached", "added", "removed"]
LEAVES = ("parameter", "leaf", "input", "idle")
SHOWN_KINDS = 5  # op names a folded box lists before it says "and … more"
SHOWN_KINDS_IN_SUMMARY = 14


@dataclass(frozen=True, slots=True)
class Box:
    """One thing to draw: an op, a leaf, an output, or many ops in one."""

    id: str
    role: Role
    title: str
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    name: str = ""  # what the user calls the result
    times: int = 1  # ops, or parameters, rolled into one
    ops: int = 0  # nodes behind the box
    leaves: int = 0  # leaves folded into it
    tally: tuple[tuple[str, int], ...] = ()  # op name, how often; most frequent first
    constants: int = 0  # inputs that need no gradient, so are not on the tape
    kept: int | None = 0  # bytes kept for backward; None once freed
    shared: int = 0  # the part of them an older op keeps too
    arrays: tuple[str, ...] = ()  # what the kept arrays are
    settings: tuple[str, ...] = ()
    group: str = ""  # the innermost group it is in
    place: str = ""  # file:line in function: source
    seconds: float | None = None  # forward
    back_seconds: float | None = None
    norm: float | None = None  # of the gradient that arrives
    macs: int | None = None  # multiply-adds forward
    fan_in: int = 0  # gradients that are added up here
    step: int | None = None  # when backward executes it, from 1
    heat: float | None = None  # the overlay's number as a place on its colour bar, 0 to 1
    heat_text: str = ""
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()  # what is written on it besides
    more: tuple[str, ...] = ()  # what only the tooltip says
    derivative: str = ""  # PyTorch's name for the op's node
    mate: str = ""  # its twin in the other half of a picture of both directions
    pair: int = 0  # the number, and colour, that it shares with its twin

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written under the title."""
        text = []
        if self.shape is not None:
            text.append(f"{shape_text(self.shape)} {self.dtype}".rstrip())
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
        text += self.notes
        if self.heat_text:
            text.append(self.heat_text)
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
        if self.fan_in > 1:
            text.append(f"its gradient is the sum of {self.fan_in:,}")
        if self.norm is not None:
            text.append(f"gradient norm {short_number(self.norm)}")
        if self.macs:
            text.append(f"{self.macs:,} multiply-adds forward")
        if self.seconds is not None:
            text.append(f"forward {time_text(self.seconds)}")
        if self.back_seconds is not None:
            text.append(f"backward {time_text(self.back_seconds)}")
        if self.step is not None:
            text.append(f"backward executes it as number {self.step:,}")
        text += self.more
        if self.place:
            text.append(self.place)
        return "\n".join(text)

    @property
    def heading(self) -> str:
        """The title, with the user's own name for the result before it."""
        title = self.title + (f" {often(self.times)}" if self.times > 1 else "")
        return f"{self.name} = {title}" if self.name else title

    @property
    def is_leaf(self) -> bool:
        """Whether nothing on the tape leads to it."""
        return self.role in LEAVES


@dataclass(frozen=True, slots=True)
class Edge:
    """A value on its way from one box to another; `count` is how many times it is used there.

    A `loop` leads to the next step of what is rolled up. A `bad` edge carries NaN or infinity to
    the result, or a value that was changed since it was kept.
    """

    source: str
    target: str
    count: int = 1
    loop: bool = False
    bad: bool = False
    link: bool = False  # joins an op with its derivative
    gone: bool = False  # of a difference: only the first tape has it


@dataclass(frozen=True, slots=True)
class Group:
    """Boxes that belong together, such as those of one module; `parent` is the group round it."""

    id: str
    title: str
    members: tuple[str, ...]
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """A colour bar: what it measures, and what stands at its marks."""

    title: str
    ticks: tuple[tuple[float, str], ...]  # place from 0 to 1, text


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes in topological order, the edges between them, and what to say about the whole."""

    title: str
    subtitle: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    scale: Scale | None = None
    upward: bool = False  # a backward graph: the result on top
    roles: tuple[Role, ...] = field(init=False)  # those that occur, in order of appearance
    marks: tuple[Mark, ...] = field(init=False)

    def __post_init__(self) -> None:
        roles = tuple(dict.fromkeys(box.role for box in self.boxes))
        object.__setattr__(self, "roles", roles)
        marks = tuple(dict.fromkeys(mark for box in self.boxes for mark in box.marks))
        object.__setattr__(self, "marks", marks)
