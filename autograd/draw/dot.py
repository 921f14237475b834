"""A graph in DOT, Graphviz's language: the same graph gives the same text, byte for byte.

Labels are plain quoted strings in boxes. Neither records nor HTML labels nor links occur, so no
name a user chooses can become markup. The `class` attributes let the SVG that Graphviz makes wear
our style sheet.
"""

from __future__ import annotations

from .graph import Graph, Role
from .palette import LIGHT, LOOKS, style_sheet
from .words import clipped, description, multiplicity, quoted, wrapped, xml


def write_dot(graph: Graph) -> str:
    """The DOT text of a graph."""
    heading = [
        graph.title,
        graph.subtitle,
        *(line for note in graph.notes for line in wrapped(note, 80)),
    ]
    lines = [
        "digraph tape {",
        f"  graph [label={quoted(*heading)} labelloc=t fontname=Helvetica fontsize=13",
        f'    bgcolor="{LIGHT.page}" fontcolor="{LIGHT.text}" rankdir=TB nodesep=0.25 ranksep=0.4]',
        '  node [fontname=Helvetica fontsize=11 margin="0.14,0.07"]',
        f'  edge [color="{LIGHT.line}" fontcolor="{LIGHT.quiet}" fontname=Helvetica fontsize=10',
        "    arrowsize=0.7]",
    ]
    for box in graph.boxes:
        label = quoted(clipped(box.heading), *map(clipped, box.lines))
        tip = f"tooltip={quoted(*box.detail.splitlines())}"
        lines.append(f"  {quoted(box.id)} [label={label} {dress(box.role)} {tip}]")
    for edge in graph.edges:
        label = f" [label={quoted(' ' + multiplicity(edge))}]" if edge.count > 1 else ""
        lines.append(f"  {quoted(edge.source)} -> {quoted(edge.target)}{label}")
    for group in graph.groups:
        lines.append(f"  subgraph {quoted(f'cluster {group.id}')} {{")
        lines.append(f'    graph [label={quoted(clipped(group.title))} color="{LIGHT.line}"]')
        lines += [f"    {quoted(member)}" for member in group.members]
        lines.append("  }")
    lines += [
        "  subgraph cluster_legend {",
        f'    graph [label="legend" fontsize=10 color="{LIGHT.line}" style=dotted]',
    ]
    lines += [
        f"    {quoted(f'legend {role}')} [label={quoted(LOOKS[role].meaning)} {dress(role)}]"
        for role in graph.roles
    ]
    lines += ["  }", "}"]
    return "\n".join(lines) + "\n"


def dress(role: Role) -> str:
    """The attributes that give a node the look of its kind."""
    ink = LIGHT.boxes[role]
    return (
        f'class="{role}" {LOOKS[role].dot} fillcolor="{ink.fill}" color="{ink.stroke}" '
        f'fontcolor="{ink.text}"'
    )


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
