"""A graph as text: one line for each box, newest first, with lanes as `git log --graph` has them.

A lane is a value whose box is still to come, further down. Leaves are listed where they are
used; where a value is used twice, two lanes meet above its box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .dot import short_heading
from .graph import LEAVES, Box, Graph
from .palette import SIGNS
from .views import halves
from .words import clipped, multiplicity, plural, visible

GLYPHS = {
    "op": "●", "output": "◆", "fold": "◌", "summary": "◌", "module": "■", "gradient": "▲",
    "failed": "✗",
}  # fmt: skip
LEAF = "□"
MOST_LINES = 80
MOST_LEAVES = 12  # of one op


def write_text(graph: Graph, lines: int = MOST_LINES) -> str:
    """The text of a graph in about so many lines; what did not fit is counted in the last one."""
    out = [f"{graph.title}; {graph.subtitle}"]
    for half in halves(graph):
        out += lanes_of(half, lines)
    idle = [box for box in graph.boxes if box.role == "idle"]
    out += [f"{SIGNS['detached'].sign} {entry(box)}" for box in idle]
    return "\n".join([*out, *(f"note: {visible(note)}" for note in graph.notes)])


def lanes_of(graph: Graph, lines: int) -> list[str]:
    """The lines of one graph."""
    out: list[str] = []
    boxes = {box.id: box for box in graph.boxes}
    inputs: dict[str, list[tuple[Box, str]]] = {box.id: [] for box in graph.boxes}
    loops: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.loop:
            loops.setdefault(edge.target, []).append(boxes[edge.source].title)
            continue
        often = f" {multiplicity(edge)}" if edge.count > 1 else ""
        inputs[edge.target].append((boxes[edge.source], often))

    lanes: list[str | None] = []  # the id of the box each column waits for
    left = [box for box in reversed(graph.boxes) if box.role not in LEAVES]
    if not left:
        out += [f"{LEAF} {entry(box)}" for box in graph.boxes[:lines] if box.role != "idle"]
    for k, box in enumerate(left):
        if len(out) >= lines - 1:
            out.append(f"… {len(left) - k:,} more down to the oldest")
            break
        columns = [c for c, waiting in enumerate(lanes) if waiting == box.id]
        if not columns:
            lanes.append(box.id)
            columns = [len(lanes) - 1]
        column, *others = columns
        if others:
            out.append(row(lanes, {column: "├", **dict.fromkeys(others, "┴"), others[-1]: "╯"}))
            for c in others:
                lanes[c] = None
            trim(lanes)
        values = [(x, often) for x, often in inputs[box.id] if x.role not in LEAVES]
        leaves = [(x, often) for x, often in inputs[box.id] if x.role in LEAVES]
        often = values[0][1] if len(values) == 1 else ""
        again = f"  ↻ from {', '.join(loops[box.id])}" if box.id in loops else ""
        out.append(f"{row(lanes, {column: GLYPHS[box.role]})} {entry(box)}{often}{again}")
        listed = [f"{LEAF} {entry(leaf)}{used}" for leaf, used in leaves[:MOST_LEAVES]]
        if len(leaves) > MOST_LEAVES:
            listed.append(f"… {plural(len(leaves) - MOST_LEAVES, 'more leaf', 'more leaves')}")
        for n, line in enumerate(listed, 1):
            corner = "└" if n == len(listed) and not values else "├"
            out.append(f"{row(lanes, {column: corner, len(lanes): line})}")
        lanes[column] = values[0][0].id if values else None
        if len(values) > 1:
            new = range(len(lanes), len(lanes) + len(values) - 1)
            lanes += [value.id for value, _ in values[1:]]
            out.append(row(lanes, {column: "├", **dict.fromkeys(new, "┬"), new[-1]: "╮"}))
        trim(lanes)
    return out


def trim(lanes: list[str | None]) -> None:
    """Drop the columns at the right that wait for nothing."""
    while lanes and lanes[-1] is None:
        lanes.pop()


def row(lanes: Sequence[str | None], marks: Mapping[int, str]) -> str:
    """One line of lanes: marks in some columns, joined by a bar that crosses what lies between."""
    first, last = min(marks), max(marks)
    text = []
    for c in range(max(len(lanes), last + 1)):
        waiting = c < len(lanes) and lanes[c] is not None
        inside = first < c < last
        plain = ("┼" if inside else "│") if waiting else ("─" if inside else " ")
        text.append(marks.get(c, plain) + ("─" if first <= c < last else " "))
    return "".join(text).rstrip()


def entry(box: Box) -> str:
    """All of a box on one line."""
    signs = "".join(f"{SIGNS[mark].sign} " for mark in box.marks if box.role != "idle")
    number = f"#{box.pair} " if box.pair else ""
    parts = [f"{signs}{number}{clipped(short_heading(box))}", *box.lines]
    if box.constants:
        parts.append(f"{plural(box.constants, 'input')} off the tape")
    if box.kept is None:
        parts.append("freed")
    return visible("  ".join(parts))
