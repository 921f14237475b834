"""A graph as a tree of text: modules nested, what happens in them in order, repeats written once.

An op takes what the op above it made, and the leaves between, unless it says otherwise: `↑` is
the op above, `[1]` one that is numbered, `□` the leaves alone, `↻` the step before.
"""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Box, Edge, Graph
from .palette import SIGNS
from .text import GLYPHS, LEAF, entry
from .views import halves
from .words import LONGEST_TITLE, clipped, multiplicity, plural, size_text, visible


def write_tree(graph: Graph, lines: int) -> str:
    """The tree of a graph in about so many lines; what did not fit is counted in the last one."""
    out = [f"{graph.title}; {graph.subtitle}"]
    for half in halves(graph):
        out += Tree(half).lines(lines)
    return "\n".join([*out, *(f"note: {visible(note)}" for note in graph.notes)])


class Tree:
    """The boxes of a graph under the modules they are in; a module is known by its group's id."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.groups = {group.id: group for group in graph.groups}
        self.boxes = {box.id: box for box in graph.boxes}
        self.below: dict[str, list[tuple[int, str]]] = {"": []}  # by group: when, box or group
        self.inside: dict[str, list[Box]] = {group.id: [] for group in graph.groups}
        self._nest()
        self.order = [id for id, _, _ in self._walk() if id in self.boxes]
        self.words = references(graph, self.boxes, self.order)

    def _nest(self) -> None:
        """Put each box into its group, and each group into the one round it, by its first op."""
        begins: dict[str, tuple[bool, int]] = {}
        for when, box in enumerate(self.graph.boxes):
            self.below.setdefault(box.group, []).append((when, box.id))
            group = self.groups.get(box.group)
            while group is not None:
                first = box.is_leaf, when
                begins[group.id] = min(begins.get(group.id, first), first)
                self.inside[group.id].append(box)
                group = self.groups.get(group.parent)
        for id, (_, when) in begins.items():
            self.below.setdefault(self.groups[id].parent, []).append((when, id))
        for children in self.below.values():
            children.sort()

    def _walk(self) -> list[tuple[str, str, str]]:
        """Every box and group from the top down, with the lines before it and before its own."""
        found = []
        waiting = [(id, "", "") for _, id in reversed(self.below[""])]
        while waiting:
            id, before, under = waiting.pop()
            found.append((id, before, under))
            children = [child for _, child in self.below.get(id, ())]
            for k in range(len(children) - 1, -1, -1):
                last = k == len(children) - 1
                corner, line = ("└─ ", "   ") if last else ("├─ ", "│  ")
                waiting.append((children[k], under + corner, under + line))
        return found

    def lines(self, most: int) -> list[str]:
        """The lines of the tree, at most so many."""
        walk = self._walk()
        shown = walk if len(walk) <= most else walk[: max(1, most - 1)]
        out = [before + self._line(id) for id, before, _ in shown]
        if len(walk) > len(shown):
            out.append(f"… {len(walk) - len(shown):,} more lines")
        return out

    def _line(self, id: str) -> str:
        if id in self.boxes:
            box = self.boxes[id]
            sign = SIGNS["detached"].sign if box.role == "idle" else GLYPHS.get(box.role, LEAF)
            return f"{sign} {entry(box)}{self.words.get(id, '')}"
        mine = self.inside[id]
        ops = sum(box.ops for box in mine)
        kept = sum((box.kept or 0) - box.shared for box in mine)
        facts = plural(ops, "op") + (f", keeps {size_text(kept)}" if kept else "")
        return f"{visible(clipped(self.groups[id].title, LONGEST_TITLE))}  ({facts})"


def references(graph: Graph, boxes: dict[str, Box], order: Sequence[str]) -> dict[str, str]:
    """What a line says of where its inputs come from, and its number if another line names it."""
    uses: dict[str, list[Edge]] = {}
    loops: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        if not edge.link:
            (loops if edge.loop else uses).setdefault(edge.target, []).append(edge)
    told: dict[str, tuple[str, list[Edge]]] = {}  # the op line above, the inputs to name
    above, since = "", set[str]()
    for id in order:
        if boxes[id].is_leaf:
            since.add(id)
            continue
        far = [edge for edge in uses.get(id, ()) if edge.source not in since]
        expected = [(above, 1)] if above else []
        if id in uses and [(edge.source, edge.count) for edge in far] != expected:
            told[id] = above, far
        above, since = id, set()
    named = {edge.source for above, far in told.values() for edge in far if edge.source != above}
    named |= {edge.source for edges in loops.values() for edge in edges}
    number = {id: f"[{k}]" for k, id in enumerate([id for id in order if id in named], 1)}
    words = {id: f"  {text}" for id, text in number.items()}
    for id, (above, far) in told.items():
        sources = [
            ("↑" if edge.source == above else number[edge.source])
            + (f" {multiplicity(edge)}" if edge.count > 1 else "")
            for edge in far
        ]
        words[id] = f"{words.get(id, '')}  ← {', '.join(sources) or LEAF}"
    for id, edges in loops.items():
        words[id] = f"{words.get(id, '')}  ↻ {', '.join(number[edge.source] for edge in edges)}"
    return words
