"""The backward graph, and both directions side by side, made from the forward graph.

A gradient's box stands for the derivative of one op: it says PyTorch's name for it, what arrives
there, and how many gradients are added up. Twins, an op and its derivative, carry one number and
one colour.
"""

from __future__ import annotations

from dataclasses import replace

from .graph import Box, Edge, Graph, Group
from .words import short_number

VIEWS = ("forward", "backward", "both")
SHOWN_LINKS = 40  # boxes up to which twins are joined by a line


def viewed(graph: Graph, view: str) -> Graph:
    """The graph in another view."""
    if view == "forward" or not graph.edges:
        return graph
    twins = {box.id: gradient(box, k) for k, box in enumerate(graph.boxes, 1) if has_twin(box)}
    back = tuple(
        Edge(twins[e.target].id, twins[e.source].id, e.count, e.loop, backward_bad(twins, e))
        for e in graph.edges
        if e.source in twins and e.target in twins
    )
    groups = tuple(
        Group(f"b{g.id}", g.title, tuple(twins[m].id for m in g.members if m in twins),
              f"b{g.parent}" if g.parent else "")
        for g in graph.groups
    )  # fmt: skip
    boxes = tuple(reversed(twins.values()))
    if view == "backward":
        plain = tuple(replace(box, mate="", pair=0) for box in boxes)
        return replace(graph, boxes=plain, edges=back, groups=groups)
    forward = tuple(
        replace(box, mate=twins[box.id].id, pair=k) if box.id in twins else box
        for k, box in enumerate(graph.boxes, 1)
    )
    links: tuple[Edge, ...] = ()
    if len(twins) <= SHOWN_LINKS:
        links = tuple(Edge(a, b.id, link=True) for a, b in twins.items())
    # The other half stands in the same order, and its edges lead up.
    return replace(
        graph,
        boxes=forward + boxes[::-1],
        edges=graph.edges + back + links,
        groups=graph.groups + groups,
        upward=True,
    )


def has_twin(box: Box) -> bool:
    """Whether a gradient comes by a box."""
    return box.role not in ("input", "idle", "failed")


def backward_bad(twins: dict[str, Box], edge: Edge) -> bool:
    """Whether NaN or infinity goes back along an edge."""
    ill = {"origin", "strange"}
    return bool(ill & {*twins[edge.target].marks} and "strange" in twins[edge.source].marks)


def gradient(box: Box, pair: int) -> Box:
    """The box of what backward does at a box of the forward graph."""
    notes = [f"sum of {box.fan_in:,} gradients"] if box.fan_in > 1 else []
    notes += [note.removeprefix("in backward ") for note in box.notes if "in backward" in note]
    if box.norm is not None and not box.heat_text:
        notes.append(f"norm {short_number(box.norm)}")
    if box.role == "output":
        title = f"gradient of {box.title}"
        notes = ["begins as ones"]
    elif box.is_leaf:
        title = f"{box.title}.grad"
    elif box.role == "op":
        title = box.derivative
    else:
        title = f"backward of {box.title}"
    marks = tuple(mark for mark in box.marks if mark in ("origin", "strange"))
    if not any("in backward" in note for note in box.notes):
        marks = ()
    return replace(
        box,
        id=f"b{box.id}",
        role="gradient",
        title=title,
        name="",
        tally=(),
        kept=0,
        shared=0,
        leaves=0,
        constants=0,
        arrays=(),
        settings=(),
        notes=tuple(notes),
        marks=marks,
        group=f"b{box.group}" if box.group else "",
        mate=box.id,
        pair=pair,
    )


def halves(graph: Graph) -> list[Graph]:
    """A picture of both directions as two graphs; any other as itself, alone."""
    if not graph.upward:
        return [graph]
    parts = []
    for backward in (False, True):
        boxes = [box for box in graph.boxes if (box.role == "gradient") == backward]
        if backward:
            boxes.reverse()
        ids = {box.id for box in boxes}
        edges = [e for e in graph.edges if not e.link and e.source in ids and e.target in ids]
        groups = [g for g in graph.groups if g.id.startswith("b") == backward]
        parts.append(
            replace(
                graph, boxes=tuple(boxes), edges=tuple(edges), groups=tuple(groups), upward=False
            )
        )
    return parts
