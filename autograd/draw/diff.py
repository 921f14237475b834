"""Two tapes in one picture: what both have, what only one has.

Boxes are matched in order, by what they are and where: kind, op, shape, dtype, module and name.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from .graph import Box, Graph, Group, Mark
from .words import plural

MOST_BOXES = 2000  # matching takes longer than in proportion


def difference(first: Graph, second: Graph) -> Graph:
    """The second graph, with what only it has marked `added`, and what it lacks `removed`."""
    if max(len(first.boxes), len(second.boxes)) > MOST_BOXES:
        raise ValueError(
            f"a difference is drawn of pictures of at most {MOST_BOXES:,} boxes each, not of "
            f"{len(first.boxes):,} and {len(second.boxes):,}: draw both with a smaller max_nodes"
        )
    twin = matched(first.boxes, second.boxes)
    back = {b: a for a, b in twin.items()}
    added = [box for box in second.boxes if box.id not in back]
    removed = [box for box in first.boxes if box.id not in twin]
    called = {box.id: twin.get(box.id, f"old {box.id}") for box in first.boxes}

    boxes = merged(first.boxes, second.boxes, twin, called)
    place = {box.id: k for k, box in enumerate(boxes)}
    edges = {(e.source, e.target): e for e in second.edges}
    for e in first.edges:
        pair = called[e.source], called[e.target]
        if pair not in edges:
            loop = e.loop or place[pair[0]] >= place[pair[1]]
            edges[pair] = replace(e, source=pair[0], target=pair[1], loop=loop, gone=True)
    notes = [f"{plural(len(added), 'box', 'boxes')} added, {len(removed):,} removed"]
    return Graph(
        f"from {first.title} to {second.title}",
        f"{first.subtitle} before; {second.subtitle} after",
        boxes,
        tuple(edges.values()),
        groups=tuple(grouped(first, second, boxes)),
        notes=tuple(notes),
    )


def matched(first: Sequence[Box], second: Sequence[Box]) -> dict[str, str]:
    """Which box of the first is which of the second."""
    a, b = [sign(box) for box in first], [sign(box) for box in second]
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return {
        first[block.a + k].id: second[block.b + k].id for block in blocks for k in range(block.size)
    }


def sign(box: Box) -> Hashable:
    """What makes a box the same one in another tape."""
    return box.role, box.title, box.name, box.shape, box.dtype, box.group, box.times, box.settings


def merged(
    first: Sequence[Box], second: Sequence[Box], twin: dict[str, str], called: dict[str, str]
) -> tuple[Box, ...]:
    """The boxes of both, in an order that is right for both."""
    out: list[Box] = []
    left = list(second)
    for box in first:
        if box.id in twin:
            while left:
                now = left.pop(0)
                same = now.id == twin[box.id]
                out.append(now if same else marked(now, "added"))
                if same:
                    break
        else:
            out.append(replace(marked(box, "removed"), id=called[box.id], step=None))
    return (*out, *(marked(box, "added") for box in left))


def marked(box: Box, mark: Mark) -> Box:
    """A box with one mark in place of its own."""
    return replace(box, marks=(mark,))


def grouped(first: Graph, second: Graph, boxes: Sequence[Box]) -> list[Group]:
    """The groups of both."""
    members: dict[str, list[str]] = {}
    for box in boxes:
        members.setdefault(box.group, []).append(box.id)
    groups = {group.id: group for group in (*second.groups, *first.groups)}
    return [replace(group, members=tuple(members.get(id, ()))) for id, group in groups.items()]
