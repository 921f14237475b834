"""Our own SVG of a graph, for the many machines without Graphviz.

One self-contained file: no script, no link, no font to fetch. It carries a title and a
description for screen readers, a tooltip on each box, and a dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .graph import Box, Edge, Graph
from .layout import Layout, Link, Spot, layout
from .palette import LIGHT, LOOKS, style_sheet
from .words import clipped, description, multiplicity, wrapped, xml

TITLE_SIZE, LINE_SIZE = 13, 11
LINE_HEIGHT = 16
PAD_X, PAD_Y = 14, 8
MARGIN = 24
NARROWEST = 330  # room for the headline and the notes
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
# Widths in units of the font size, of the widest common face, so text never leaves its box.
NARROW, WIDE = frozenset("ijlft.,:;'|!()[]{}/ "), frozenset("mwMW@%—…×")


def write_svg(graph: Graph) -> str:
    """The SVG text of a graph."""
    texts = [box_text(box) for box in graph.boxes]
    place = {box.id: k for k, box in enumerate(graph.boxes)}
    pairs = [(place[e.source], place[e.target]) for e in graph.edges]
    leaves = [box.role in ("parameter", "leaf") for box in graph.boxes]
    plan = layout([box_size(lines) for lines in texts], leaves, pairs)

    head = max(text_width(graph.title, 15, bold=True), text_width(graph.subtitle, LINE_SIZE))
    width = max(NARROWEST, plan.width, head)
    legend, legend_height = legend_marks(graph, width)
    notes = [line for note in graph.notes for line in wrapped(note, int(width / 6.5))]
    top = MARGIN + 52
    legend_top = top + plan.height + 34
    notes_top = legend_top + legend_height + 16
    full_width = number(width + 2 * MARGIN)
    full_height = number(notes_top + LINE_HEIGHT * len(notes) + MARGIN - 24)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rg-tape" role="img" '
        f'width="{full_width}" height="{full_height}" viewBox="0 0 {full_width} {full_height}" '
        f'font-family="{xml(FONT)}" font-size="{LINE_SIZE}" aria-label="{xml(graph.title)}">',
        f"<title>{xml(graph.title)}</title>",
        f"<desc>{xml(description(graph))}</desc>",
        f"<style>{style_sheet()}</style>",
        f'<path class="page" fill="{LIGHT.page}" d="M0 0h{full_width}v{full_height}H0z"/>',
        text_mark(MARGIN, MARGIN + 12, graph.title, "", 'font-size="15" font-weight="600"'),
        text_mark(MARGIN, MARGIN + 30, graph.subtitle, "quiet"),
        f'<g transform="translate({number(MARGIN + (width - plan.width) / 2)} {top})">',
        *map(partial(edge_mark, plan), plan.routes, graph.edges),
        *map(box_mark, graph.boxes, texts, plan.spots),
        "</g>",
        f'<g transform="translate({MARGIN} {number(legend_top)})">{"".join(legend)}</g>',
    ]
    for k, line in enumerate(notes):
        out.append(text_mark(MARGIN, notes_top + LINE_HEIGHT * k, line, "quiet"))
    return "\n".join([*out, "</svg>\n"])


def text_mark(x: float, y: float, text: str, style: str = "", more: str = "") -> str:
    """One line of text; "quiet" is the style of what matters less."""
    ink = f'class="quiet" fill="{LIGHT.quiet}"' if style else f'fill="{LIGHT.text}"'
    return f'<text x="{number(x)}" y="{number(y)}" {ink} {more}>{xml(text)}</text>'


def box_text(box: Box) -> list[str]:
    """The title of a box and the lines under it, none too long."""
    return [clipped(box.heading), *(clipped(line) for line in box.lines)]


def box_size(lines: Sequence[str]) -> tuple[float, float]:
    """Width and height of the box that holds some text."""
    widest = max(
        text_width(lines[0], TITLE_SIZE, bold=True),
        *(text_width(line, LINE_SIZE) for line in lines[1:]),
    )
    return max(72.0, widest + 2 * PAD_X), 2 * PAD_Y + LINE_HEIGHT * len(lines) + 2


def box_mark(box: Box, lines: Sequence[str], spot: Spot) -> str:
    """One box: outline, text, tooltip."""
    first = spot.y - spot.height / 2 + PAD_Y + 13
    ink = LIGHT.boxes[box.role]
    marks = [
        f'<g class="node {box.role}" data-id="{xml(box.id)}"><title>{xml(box.detail)}</title>',
        outline(LOOKS[box.role].outline, ink.fill, ink.stroke, spot),
        f'<text x="{number(spot.x)}" y="{number(first)}" text-anchor="middle" '
        f'font-size="{TITLE_SIZE}" font-weight="600">{xml(lines[0])}</text>',
    ]
    for k, line in enumerate(lines[1:], 1):
        y = number(first + LINE_HEIGHT * k)
        marks.append(f'<text x="{number(spot.x)}" y="{y}" text-anchor="middle">{xml(line)}</text>')
    return "".join([*marks, "</g>"])


def outline(kind: str, fill: str, stroke: str, spot: Spot) -> str:
    """The outline that tells a kind of box apart without colour."""
    ink = f'fill="{fill}" stroke="{stroke}"'
    half_width, half_height = spot.width / 2, spot.height / 2
    if kind == "pill":
        return rounded(spot, half_height, ink)
    if kind == "double":
        return rounded(spot, 0, ink) + rounded(spot, 0, ink, inset=3)
    if kind == "stack":
        behind = Spot(spot.width, spot.height, x=spot.x + 4, y=spot.y + 4)
        return rounded(behind, 7, ink) + rounded(spot, 7, f'{ink} stroke-dasharray="5 3"')
    if kind == "sheet":
        bar = Spot(5, spot.height, x=spot.x - half_width + 2.5, y=spot.y)
        band = f'd="M{number(bar.x)} {number(spot.y - half_height)}v{number(spot.height)}"'
        return rounded(spot, 0, ink) + f'<path {band} {ink} stroke-width="5"/>'
    return rounded(spot, 7, ink)


def rounded(spot: Spot, radius: float, ink: str, inset: float = 0) -> str:
    """A rectangle with round corners, as a path."""
    w, h = spot.width - 2 * inset, spot.height - 2 * inset
    x, y = spot.x - w / 2, spot.y - h / 2
    if not radius:
        return f'<path d="M{number(x)} {number(y)}h{number(w)}v{number(h)}h{number(-w)}z" {ink}/>'
    r = number(radius)
    a, b = number(w - 2 * radius), number(h - 2 * radius)
    return (
        f'<path d="M{number(x + radius)} {number(y)}h{a}a{r} {r} 0 0 1 {r} {r}v{b}'
        f"a{r} {r} 0 0 1 -{r} {r}h-{a}a{r} {r} 0 0 1 -{r} -{r}v-{b}"
        f'a{r} {r} 0 0 1 {r} -{r}z" {ink}/>'
    )


def edge_mark(plan: Layout, route: Sequence[Link], edge: Edge) -> str:
    """One edge: down its bends to an arrowhead, and how often the value is used."""
    start = plan.spots[route[0].source]
    x, y = start.x, start.y + start.height / 2
    path = [f"M{number(x)} {number(y)}"]
    for piece in route:
        spot = plan.spots[piece.target]
        last = piece is route[-1]
        to_x = spot.x + piece.port
        to_y = spot.y - spot.height / 2 - (8 if last else 0)
        row_end = plan.row_ends[plan.spots[piece.source].row]  # past taller boxes, straight down
        if row_end > y + 1:
            path.append(f"V{number(row_end)}")
            y = row_end
        if abs(to_x - x) < 0.5:
            path.append(f"V{number(to_y)}")
        else:
            middle = number((y + to_y) / 2)
            path.append(
                f"C{number(x)} {middle} {number(to_x)} {middle} {number(to_x)} {number(to_y)}"
            )
        x, y = to_x, to_y
    tip = f"{number(x)},{number(y + 8)} {number(x - 4)},{number(y)} {number(x + 4)},{number(y)}"
    line = f'fill="none" stroke="{LIGHT.line}" stroke-width="1.3"'
    label = ""
    if edge.count > 1:
        label = (
            f'<text x="{number(x + 7)}" y="{number(y + 1)}" fill="{LIGHT.quiet}">'
            f"{multiplicity(edge)}</text>"
        )
    return (
        f'<g class="edge" data-from="{xml(edge.source)}" data-to="{xml(edge.target)}">'
        f'<path d="{"".join(path)}" {line}/><polygon points="{tip}" fill="{LIGHT.line}"/>'
        f"{label}</g>"
    )


def legend_marks(graph: Graph, width: float) -> tuple[list[str], float]:
    """A sample of each kind of box that occurs and what it means, in lines; and their height."""
    marks: list[str] = []
    x = y = 0.0
    for role in graph.roles:
        look, ink = LOOKS[role], LIGHT.boxes[role]
        wide = 35 + text_width(look.meaning, LINE_SIZE)
        if x and x + wide > width:
            x, y = 0.0, y + 26
        sample = outline(look.outline, ink.fill, ink.stroke, Spot(26, 16, x=x + 14, y=y))
        text = text_mark(x + 35, y + 4, look.meaning, "quiet")
        marks.append(f'<g class="legend {role}">{sample}{text}</g>')
        x += wide + 14
    return marks, y + 26


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is at most, without asking a font."""
    units = 0.0
    for character in text:
        if character in NARROW:
            units += 0.4
        elif character in WIDE or character > "\u2e7f":
            units += 1.0
        elif character.isupper():
            units += 0.72
        else:
            units += 0.62
    return units * size * (1.1 if bold else 1.0)


def number(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value + 0.0:.1f}".removesuffix(".0")
