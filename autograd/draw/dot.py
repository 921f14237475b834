"""A graph in DOT, Graphviz's language: the same graph gives the same text, byte for byte.

Labels are plain quoted strings in boxes. Neither records nor HTML labels nor links occur, so no
name a user chooses can become markup. The `class` attributes let the SVG that Graphviz makes wear
our style sheet.
"""

from __future__ import annotations

from .graph import Box, Edge, Graph, Mark, Role
from .overlay import STOPS, colour, text_on
from .palette import LIGHT, LOOKS, SIGNS, style_sheet
from .words import LONGEST, LONGEST_TITLE, clipped, description, multiplicity, quoted, wrapped, xml


def write_dot(graph: Graph) -> str:
    """The DOT text of a graph."""
    heading = [
        graph.title,
        graph.subtitle,
        *(line for note in graph.notes for line in wrapped(note, 80)),
    ]
    lines = [
        "digraph tape {",
        f"  graph [label={quoted(*heading)} labelloc=t labeljust=l fontname=Helvetica fontsize=13",
        f'    bgcolor="{LIGHT.page}" fontcolor="{LIGHT.text}" rankdir=TB nodesep=0.25 ranksep=0.4]',
        '  node [fontname=Helvetica fontsize=11 margin="0.14,0.07"]',
        f'  edge [color="{LIGHT.line}" fontcolor="{LIGHT.quiet}" fontname=Helvetica fontsize=10',
        "    arrowsize=0.7]",
    ]
    lines += map(node, graph.boxes)
    lines += [arrow(edge, upward=graph.upward) for edge in graph.edges]
    lines += clusters(graph)
    lines += legend(graph)
    return "\n".join([*lines, "}"]) + "\n"


def node(box: Box) -> str:
    """The line of one box."""
    label = quoted(box_heading(box), *map(clipped, box.lines))
    tip = f"tooltip={quoted(*box.detail.splitlines())}"
    return f"  {quoted(box.id)} [label={label} {dress(box)} {tip}]"


def box_heading(box: Box) -> str:
    """What stands first in a box: its signs, the number it shares with its twin, its title."""
    signs = "".join(f"{SIGNS[mark].sign} " for mark in box.marks)
    return f"{signs}{f'#{box.pair} ' if box.pair else ''}{clipped(short_heading(box))}"


def short_heading(box: Box) -> str:
    """The heading; of a long name the last parts, which say most: its frame has the others."""
    text = box.heading
    while len(text) > LONGEST and "." in text.partition(" = ")[0]:
        text = "…" + text.partition(".")[2]
    return text


def arrow(edge: Edge, *, upward: bool) -> str:
    """The line of one edge."""
    if edge.link:
        look = "dir=none style=dotted constraint=false"
        return f"  {quoted(edge.source)} -> {quoted(edge.target)} [{look}]"
    looks = [f"label={quoted(' ' + multiplicity(edge))}"] if edge.count > 1 else []
    if edge.count > 1:
        looks.append(f"penwidth={width(edge):.1f}")
    if edge.loop:
        looks.append("style=dashed constraint=false")
    if edge.gone:
        looks.append("style=dotted")
    if edge.bad:
        looks.append(f'class=bad color="{LIGHT.bad}" penwidth=2.5')
    source, target = edge.source, edge.target
    if upward and edge.source.startswith("b"):  # the same order as the forward half
        source, target = target, source
        looks.append("dir=back")
    text = f" [{' '.join(looks)}]" if looks else ""
    return f"  {quoted(source)} -> {quoted(target)}{text}"


def width(edge: Edge) -> float:
    """How thick an edge is: the more often a value is used, the more gradients come back by it."""
    return 1.3 + min(edge.count - 1, 8) * 0.35


def clusters(graph: Graph) -> list[str]:
    """The groups, nested."""
    inner: dict[str, list[int]] = {}
    for k, group in enumerate(graph.groups):
        inner.setdefault(group.parent, []).append(k)
    known = {group.id for group in graph.groups}
    lines: list[str] = []
    roots = [k for k, group in enumerate(graph.groups) if group.parent not in known]
    waiting: list[tuple[int, bool, int]] = [(k, False, 1) for k in reversed(roots)]
    while waiting:
        k, done, depth = waiting.pop()
        pad = "  " * depth
        if done:
            lines.append(f"{pad}}}")
            continue
        group = graph.groups[k]
        lines.append(f"{pad}subgraph {quoted(f'cluster {group.id}')} {{")
        title = quoted(clipped(group.title, LONGEST_TITLE))
        lines.append(
            f"{pad}  graph [label={title} labelloc=t labeljust=l "
            f'fontsize=11 style="rounded" color="{LIGHT.line}"]'
        )
        lines += [f"{pad}  {quoted(member)}" for member in group.members]
        waiting.append((k, True, depth))
        waiting += [(i, False, depth + 1) for i in reversed(inner.get(group.id, ()))]
    return lines


def legend(graph: Graph) -> list[str]:
    """A sample of each look that occurs, and the colour bar, one below the other."""
    lines = [
        "  subgraph cluster_legend {",
        f'    graph [label="legend" fontsize=10 color="{LIGHT.line}" style=dotted]',
    ]
    lines += [
        f"    {quoted(f'legend {role}')} [label={quoted(LOOKS[role].meaning)} {plain(role)}]"
        for role in graph.roles
    ]
    for mark in graph.marks:
        text = quoted(f"{SIGNS[mark].sign} {SIGNS[mark].meaning}")
        lines.append(f"    {quoted(f'legend {mark}')} [label={text} shape=box {outlined((mark,))}]")
    if graph.scale is not None:
        text = quoted(f"{graph.scale.title}: {'   '.join(t for _, t in graph.scale.ticks)}")
        bar = f'shape=box style=striped fillcolor="{":".join(STOPS)}" width=2.6 height=0.2'
        lines.append(f"    {quoted('legend scale')} [label={quoted('')} class=heat {bar}]")
        lines.append(f"    {quoted('legend numbers')} [label={text} shape=plaintext class=words]")
    names = [*graph.roles, *graph.marks, *(("scale", "numbers") if graph.scale is not None else ())]
    column = " -> ".join(quoted(f"legend {name}") for name in names)
    if len(names) > 1:
        lines.append(f"    {column} [style=invis]")
    return [*lines, "  }"]


def plain(role: Role) -> str:
    """The attributes that give a node the look of its kind."""
    ink = LIGHT.boxes[role]
    return (
        f'class="{role}" {LOOKS[role].dot} fillcolor="{ink.fill}" color="{ink.stroke}" '
        f'fontcolor="{ink.text}"'
    )


def dress(box: Box) -> str:
    """The attributes of a box: the look of its kind, and what is said of it besides."""
    if not (box.marks or box.pair or box.heat is not None):
        return plain(box.role)
    ink = LIGHT.boxes[box.role]
    fill, text = ink.fill, ink.text
    names: list[str] = [box.role, *box.marks]
    if box.pair:
        k = box.pair % len(LIGHT.pairs)
        fill, text = LIGHT.pairs[k], LIGHT.text
        names.append(f"pair{k}")
    if box.heat is not None:
        fill = colour(box.heat)
        text = text_on(fill)
        names = ["heat", "pale" if text == "#000000" else "deep", *box.marks]
    stroke = LIGHT.marks[box.marks[0]] if box.marks else ink.stroke
    look = LOOKS[box.role].dot
    if box.marks:
        kind = SIGNS[box.marks[0]].dot
        look = look.replace(' style="', f' style="{kind},') + " penwidth=3"
    return (
        f'class="{" ".join(names)}" {look} fillcolor="{fill}" color="{stroke}" fontcolor="{text}"'
    )


def outlined(marks: tuple[Mark, ...]) -> str:
    """The outline of a marked box in the legend."""
    (mark,) = marks
    return (
        f'class="{mark}" style="{SIGNS[mark].dot}" penwidth=3 color="{LIGHT.marks[mark]}" '
        f'fontcolor="{LIGHT.text}"'
    )


def legend_entries(graph: Graph) -> int:
    """How many nodes the legend has."""
    return len(graph.roles) + len(graph.marks) + 2 * (graph.scale is not None)


def dressed(svg: str, graph: Graph) -> str:
    """Graphviz's SVG with what ours has: a title, a description, and a dark theme."""
    start = svg.index("<svg")
    end = svg.index(">", start) + 1
    tag = svg[start : end - 1]
    return (
        f'{tag} class="rg-tape" role="img" aria-label="{xml(graph.title)}">\n'
        f"<title>{xml(graph.title)}</title>\n<desc>{xml(description(graph))}</desc>\n"
        f"<style>{style_sheet()}</style>{svg[end:]}"
    )
