"""A graph for other programs: JSON, and Mermaid for pages that draw it themselves.

The JSON has `format` (1), `title`, `subtitle`, `notes`, `boxes`, `edges`, `groups` and `scale`.
A box says only what is known of it; the names are those of `Box`.
"""

from __future__ import annotations

import json
from dataclasses import fields
from math import isfinite
from typing import Any

from .dot import box_heading
from .graph import Box, Graph
from .palette import LIGHT
from .words import LONGEST_TITLE, clipped, multiplicity, visible

FORMAT = 1
SHAPES = {
    "parameter": ("[/", "/]"),
    "leaf": ("([", "])"),
    "input": ("[/", "/]"),
    "output": ("[[", "]]"),
    "module": ("[[", "]]"),
    "gradient": ("{{", "}}"),
    "failed": ("{{", "}}"),
}


def as_dict(graph: Graph) -> dict[str, Any]:
    """A graph as dictionaries, lists, text and numbers."""
    return {
        "format": FORMAT,
        "title": graph.title,
        "subtitle": graph.subtitle,
        "notes": list(graph.notes),
        "boxes": [box_dict(box) for box in graph.boxes],
        "edges": [
            {"source": e.source, "target": e.target, "count": e.count}
            | {name: True for name in ("loop", "bad", "link", "gone") if getattr(e, name)}
            for e in graph.edges
        ],
        "groups": [
            {"id": g.id, "title": g.title, "parent": g.parent, "members": list(g.members)}
            for g in graph.groups
        ],
        "scale": None
        if graph.scale is None
        else {"title": graph.scale.title, "ticks": [list(tick) for tick in graph.scale.ticks]},
    }


def box_dict(box: Box) -> dict[str, Any]:
    """What is known of a box. A number that JSON cannot write (NaN, inf) becomes text."""
    found: dict[str, Any] = {}
    for field in fields(Box):
        value = getattr(box, field.name)
        if isinstance(value, float) and not isfinite(value):
            value = str(value)
        if field.name in ("id", "role", "title", "kept") or value != field.default:
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def write_json(graph: Graph) -> str:
    """The JSON text of a graph; the same graph gives the same text."""
    return json.dumps(as_dict(graph), ensure_ascii=False, indent=1) + "\n"


def write_mermaid(graph: Graph) -> str:
    """The graph in Mermaid, which GitHub and others draw in a page."""
    ids = {box.id: f"x{k}" for k, box in enumerate(graph.boxes)}
    groups = {group.id: f"g{k}" for k, group in enumerate(graph.groups)}
    boxes = {box.id: box for box in graph.boxes}
    lines = ["flowchart TD"]
    placed: set[str] = set()
    inner: dict[str, list[int]] = {}
    for k, group in enumerate(graph.groups):
        inner.setdefault(group.parent if group.parent in groups else "", []).append(k)
    waiting = [(k, False) for k in reversed(inner.get("", []))]
    while waiting:
        k, done = waiting.pop()
        group = graph.groups[k]
        if done:
            lines.append("end")
            continue
        lines.append(
            f'subgraph {groups[group.id]}["{mermaid(clipped(group.title, LONGEST_TITLE))}"]'
        )
        for member in group.members:
            placed.add(member)
            lines.append(node(boxes[member], ids[member]))
        waiting.append((k, True))
        waiting += [(i, False) for i in reversed(inner.get(group.id, []))]
    lines += [node(box, ids[box.id]) for box in graph.boxes if box.id not in placed]
    for edge in graph.edges:
        line = "-.-" if edge.link else "-.->" if edge.loop else "==>" if edge.bad else "-->"
        often = f"|{multiplicity(edge)}|" if edge.count > 1 else ""
        lines.append(f"{ids[edge.source]} {line}{often} {ids[edge.target]}")
    for role in graph.roles:
        ink = LIGHT.boxes[role]
        names = ",".join(ids[box.id] for box in graph.boxes if box.role == role)
        lines.append(f"classDef {role}_ fill:{ink.fill},stroke:{ink.stroke},color:{ink.text}")
        lines.append(f"class {names} {role}_")
    return "\n".join(lines) + "\n"


def node(box: Box, id: str) -> str:
    """One box in Mermaid."""
    left, right = SHAPES.get(box.role, ("(", ")"))
    text = "<br/>".join(mermaid(line) for line in (box_heading(box), *map(clipped, box.lines)))
    return f'{id}{left}"{text}"{right}'


def mermaid(text: str) -> str:
    """A text in quotes, in which nothing is markup: Mermaid writes characters as #number;."""
    return "".join(
        c if c.isalnum() or c in " ,.:()=+-×…_/%" else f"#{ord(c)};" for c in visible(text)
    )
