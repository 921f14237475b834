"""Our own SVG of a graph, for the many machines without Graphviz.

One self-contained file: no script, no link, no font to fetch. It carries a title and a
description for screen readers, a tooltip on each box, and a dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .dot import box_heading, width
from .graph import Box, Edge, Graph, Group
from .layout import FRAME_FOOT, FRAME_HEAD, Layout, Link, Spot, layout
from .outline import number, outline, text_mark, text_width
from .overlay import colour, text_on
from .palette import LIGHT, LOOKS, SIGNS, style_sheet
from .views import halves
from .words import LONGEST_TITLE, clipped, description, multiplicity, wrapped, xml

TITLE_SIZE, LINE_SIZE = 13, 11
LINE_HEIGHT = 16
PAD_X, PAD_Y = 14, 8
MARGIN = 24
NARROWEST = 330  # room for the headline and the notes
HALVES_GAP = 110.0  # between forward and backward
LOOP_GAP = 16.0
BAR_WIDTH, BAR_HEIGHT = 240.0, 12.0
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def write_svg(graph: Graph) -> str:
    """The SVG text of a graph."""
    sheet = Sheet(graph)
    head = max(text_width(graph.title, 15, bold=True), text_width(graph.subtitle, LINE_SIZE))
    wide = max(NARROWEST, sheet.width, head)
    legend, legend_height = legend_marks(graph, wide)
    notes = [line for note in graph.notes for line in wrapped(note, int(wide / 6.5))]
    top = MARGIN + 52
    legend_top = top + sheet.height + 34
    notes_top = legend_top + legend_height + 16
    full_width = number(wide + 2 * MARGIN)
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
        f'<g transform="translate({number(MARGIN + sheet.margin + (wide - sheet.width) / 2)} '
        f'{top})">',
        *sheet.marks(),
        "</g>",
        f'<g transform="translate({MARGIN} {number(legend_top)})">{"".join(legend)}</g>',
    ]
    for k, line in enumerate(notes):
        out.append(text_mark(MARGIN, notes_top + LINE_HEIGHT * k, line, "quiet"))
    return "\n".join([*out, "</svg>\n"])


class Sheet:
    """The boxes of a graph, placed: one drawing, or the forward one and its mirror image."""

    def __init__(self, graph: Graph):
        forward, *rest = halves(graph)
        self.parts = [forward]
        if rest:  # in the same order as the forward half, so that twins are level
            back = rest[0]
            order = {box.mate: box for box in back.boxes}
            turned = tuple(order[box.id] for box in forward.boxes if box.id in order)
            self.parts.append(replace(back, boxes=turned))
        self.links = [edge for edge in graph.edges if edge.link]
        texts = {box.id: box_text(box) for part in self.parts for box in part.boxes}
        sizes = {id: box_size(lines) for id, lines in texts.items()}
        for box in forward.boxes:
            if box.mate in sizes:
                one, other = sizes[box.id], sizes[box.mate]
                sizes[box.id] = max(one[0], other[0]), max(one[1], other[1])
        self.texts = texts
        place = {box.id: k for k, box in enumerate(forward.boxes)}
        flow = [e for e in forward.edges if not e.loop and place[e.source] < place[e.target]]
        self.plan = layout(
            [sizes[box.id] for box in forward.boxes],
            [box.is_leaf for box in forward.boxes],
            [(place[e.source], place[e.target]) for e in flow],
            nests_of(forward),
        )
        self.flow = flow
        ids = [box.id for box in forward.boxes]
        self.spots = dict(zip(ids, self.plan.spots, strict=False))
        inside = set(flow)
        self.loops = [e for e in forward.edges if e not in inside]
        self.margin = FRAME_FOOT * (max(depths(forward.groups).values(), default=-1) + 1)
        self.sides = self._sides()
        right = max([self.plan.width + self.margin, *(x + 8 for x in self.sides)])
        self.half = right + self.margin
        self.width = self.half * len(self.parts) + HALVES_GAP * (len(self.parts) - 1)
        self.height = self.plan.height

    def _sides(self) -> list[float]:
        """How far to the right each loop goes, to pass beside all that stands between its ends."""
        sides: list[float] = []
        for edge in self.loops:
            a, b = self.spots[edge.source], self.spots[edge.target]
            low, high = sorted((a.y, b.y))
            between = [s for s in self.plan.spots if low <= s.y <= high and not s.is_bend]
            out = max(s.x + s.width / 2 for s in (a, b, *between)) + LOOP_GAP
            while any(abs(out - x) < 7 for x in sides):
                out += 8
            sides.append(out)
        return sides

    def marks(self) -> list[str]:
        """Everything drawn: frames below, then edges, then boxes."""
        forward = self.parts[0]
        out = self._frames(forward)
        out += [
            edge_mark(self.plan, r, e) for r, e in zip(self.plan.routes, self.flow, strict=True)
        ]
        for e, x in zip(self.loops, self.sides, strict=True):
            out.append(loop_mark(self.spots[e.source], self.spots[e.target], x, e))
        out += [self._box(box, self.spots[box.id]) for box in forward.boxes]
        if len(self.parts) == 1:
            return out
        back, shift = self.parts[1], self.half + HALVES_GAP
        out += self._links(back, shift)
        out.append(f'<g transform="translate({number(shift)} 0)">')
        edges = {(e.source, e.target): e for e in back.edges}
        for route, edge in zip(self.plan.routes, self.flow, strict=True):
            mirrored = edges.get((f"b{edge.target}", f"b{edge.source}"))
            if mirrored is not None:
                out.append(edge_mark(self.plan, route, mirrored, upward=True))
        for edge, x in zip(self.loops, self.sides, strict=True):
            mirrored = edges.get((f"b{edge.target}", f"b{edge.source}"))
            if mirrored is not None:
                ends = self.spots[edge.target], self.spots[edge.source]
                out.append(loop_mark(*ends, x, mirrored))
        out += [self._box(box, self.spots[box.mate]) for box in back.boxes]
        return [*out, "</g>"]

    def _box(self, box: Box, spot: Spot) -> str:
        return box_mark(box, self.texts[box.id], spot)

    def _links(self, back: Graph, shift: float) -> list[str]:
        """Dotted lines that join twins."""
        out = []
        for edge in self.links:
            spot = self.spots[edge.source]
            x, end = spot.x + spot.width / 2 + 2, spot.x + shift - spot.width / 2 - 2
            out.append(
                f'<g class="edge link"><path d="M{number(x)} {number(spot.y)}H{number(end)}" '
                f'fill="none" stroke="{LIGHT.line}" stroke-opacity="0.45" '
                'stroke-dasharray="1 5"/></g>'
            )
        return out

    def _frames(self, graph: Graph) -> list[str]:
        """The frames of groups; those that would stand round somebody else's box are left out."""
        inside = members_of(graph)
        ends = [
            (box.id, s.x - s.width / 2, s.y - s.height / 2, s.x + s.width / 2, s.y + s.height / 2)
            for box, s in ((box, self.spots[box.id]) for box in graph.boxes)
        ]
        corners: dict[str, tuple[float, float, float, float]] = {}
        for group in reversed(graph.groups):  # inner groups come after the ones round them
            mine = [end for end in ends if end[0] in inside[group.id]]
            if not mine:
                continue
            frames = [
                corners[g.id] for g in graph.groups if g.parent == group.id and g.id in corners
            ]
            left = min([end[1] for end in mine] + [f[0] for f in frames]) - FRAME_FOOT
            top = min([end[2] for end in mine] + [f[1] for f in frames]) - FRAME_HEAD + 2
            right = max([end[3] for end in mine] + [f[2] for f in frames]) + FRAME_FOOT
            bottom = max([end[4] for end in mine] + [f[3] for f in frames]) + FRAME_FOOT - 2
            right = max(right, left + text_width(clipped(group.title, LONGEST_TITLE), 10) + 14)
            foreign = any(
                e[0] not in inside[group.id]
                and (e[1] < right and e[3] > left and e[2] < bottom and e[4] > top)
                for e in ends
            )
            if not foreign:
                corners[group.id] = left, top, right, bottom
        return [
            frame_mark(group, *corners[group.id]) for group in graph.groups if group.id in corners
        ]


def members_of(graph: Graph) -> dict[str, set[str]]:
    """All boxes in each group, through the groups in it."""
    inside = {group.id: set(group.members) for group in graph.groups}
    for group in reversed(graph.groups):  # inner groups come after the ones round them
        if group.parent in inside:
            inside[group.parent] |= inside[group.id]
    return inside


def depths(groups: Sequence[Group]) -> dict[str, int]:
    """How deep each group is nested."""
    found: dict[str, int] = {}
    for group in groups:
        found[group.id] = found.get(group.parent, -1) + 1
    return found


def nests_of(graph: Graph) -> list[list[int]]:
    """For each box the numbers of the groups it is in, outermost first."""
    numbers = {group.id: k for k, group in enumerate(graph.groups, 1)}
    paths: dict[str, list[int]] = {"": []}
    for group in graph.groups:  # inner groups come after the ones round them
        paths[group.id] = [*paths.get(group.parent, []), numbers[group.id]]
    return [paths.get(box.group, []) for box in graph.boxes]


def frame_mark(group: Group, x: float, y: float, right: float, bottom: float) -> str:
    """The frame of a group, with its title at the upper left."""
    w, h = right - x, bottom - y
    shape = f"M{number(x)} {number(y)}h{number(w)}v{number(h)}h{number(-w)}z"
    title = text_mark(x + 6, y + 11, clipped(group.title, LONGEST_TITLE), "quiet", 'font-size="10"')
    return (
        f'<g class="frame" data-group="{xml(group.id)}"><path d="{shape}" fill="{LIGHT.frame}" '
        f'stroke="{LIGHT.line}" stroke-opacity="0.6" stroke-dasharray="3 3"/>{title}</g>'
    )


def box_text(box: Box) -> list[str]:
    """The title of a box and the lines under it, none too long."""
    return [box_heading(box), *(clipped(line) for line in box.lines)]


def box_size(lines: Sequence[str]) -> tuple[float, float]:
    """Width and height of the box that holds some text."""
    widest = max(
        text_width(lines[0], TITLE_SIZE, bold=True),
        *(text_width(line, LINE_SIZE) for line in lines[1:]),
        0.0,
    )
    return max(72.0, widest + 2 * PAD_X), 2 * PAD_Y + LINE_HEIGHT * len(lines) + 2


def box_mark(box: Box, lines: Sequence[str], spot: Spot) -> str:
    """One box: outline, text, tooltip."""
    first = spot.y - spot.height / 2 + PAD_Y + 13 + (spot.height - box_size(lines)[1]) / 2
    ink = LIGHT.boxes[box.role]
    fill, stroke, more, words = ink.fill, ink.stroke, "", ""
    names = ["node", box.role, *box.marks]
    if box.pair:
        names.append(f"pair{box.pair % len(LIGHT.pairs)}")
        fill = LIGHT.pairs[box.pair % len(LIGHT.pairs)]
    if box.heat is not None:
        fill = colour(box.heat)
        words = f' style="fill:{text_on(fill)}"'
    if box.marks:
        stroke = LIGHT.marks[box.marks[0]]
        more = f'stroke-width="3" stroke-dasharray="{SIGNS[box.marks[0]].dashes}"'
    shape = outline(LOOKS[box.role].outline, fill, stroke, spot, more)
    if box.heat is not None:  # the same in the dark: the bar's colours are numbers
        shape = shape.replace(f'fill="{fill}"', f'fill="{fill}" style="fill:{fill}"')
    marks = [
        f'<g class="{" ".join(names)}" data-id="{xml(box.id)}"><title>{xml(box.detail)}</title>',
        shape,
        f'<text x="{number(spot.x)}" y="{number(first)}" text-anchor="middle" '
        f'font-size="{TITLE_SIZE}" font-weight="600"{words}>{xml(lines[0])}</text>',
    ]
    for k, line in enumerate(lines[1:], 1):
        y = number(first + LINE_HEIGHT * k)
        marks.append(
            f'<text x="{number(spot.x)}" y="{y}" text-anchor="middle"{words}>{xml(line)}</text>'
        )
    return "".join([*marks, "</g>"])


def edge_mark(plan: Layout, route: Sequence[Link], edge: Edge, *, upward: bool = False) -> str:
    """One edge: down its bends to an arrowhead, and how often the value is used."""
    start = plan.spots[route[0].source]
    x, y = start.x, start.y + start.height / 2
    path = [f"M{number(x)} {number(y + 8 if upward else y)}"]
    first = x, y
    for piece in route:
        target = plan.spots[piece.target]
        to_x = target.x + piece.port
        to_y = target.y - target.height / 2 - (0 if target.is_bend or upward else 8)
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
    tip = arrow_head(*first, up=True) if upward else arrow_head(x, y + 8)
    return edge_text(edge, "".join(path), tip, x, y)


def arrow_head(x: float, y: float, *, up: bool = False) -> str:
    """The points of an arrowhead whose tip is at a place."""
    back = y + 8 if up else y - 8
    return f"{number(x)},{number(y)} {number(x - 4)},{number(back)} {number(x + 4)},{number(back)}"


def edge_text(edge: Edge, path: str, tip: str, x: float, y: float) -> str:
    """The marks of an edge with a path."""
    ink = LIGHT.bad if edge.bad else LIGHT.line
    thick = width(edge) + (1.2 if edge.bad else 0)
    dashes = ' stroke-dasharray="5 4"' if edge.loop else ""
    dashes = ' stroke-dasharray="1 5"' if edge.gone else dashes
    label = ""
    if edge.count > 1:
        label = (
            f'<text x="{number(x + 7)}" y="{number(y + 1)}" fill="{LIGHT.quiet}">'
            f"{multiplicity(edge)}</text>"
        )
    names = "edge" + (" bad" if edge.bad else "") + (" loop" if edge.loop else "")
    return (
        f'<g class="{names}" data-from="{xml(edge.source)}" data-to="{xml(edge.target)}">'
        f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="{thick:.1f}"{dashes}/>'
        f'<polygon points="{tip}" fill="{ink}"/>{label}</g>'
    )


def loop_mark(source: Spot, target: Spot, out: float, edge: Edge) -> str:
    """What one step hands to the next: a dashed line round the right side, back up."""
    x, y = source.x + source.width / 2, source.y
    to_x, to_y = target.x + target.width / 2 + 8, target.y
    if source is target:
        y, to_y = y + source.height / 4, to_y - source.height / 4
    turn = min(8.0, abs(y - to_y) / 2) * (1 if to_y > y else -1)
    path = (
        f"M{number(x)} {number(y)}H{number(out - 8)}Q{number(out)} {number(y)} {number(out)} "
        f"{number(y + turn)}V{number(to_y - turn)}Q{number(out)} {number(to_y)} "
        f"{number(out - 8)} {number(to_y)}H{number(to_x)}"
    )
    points = [(to_x - 8, to_y), (to_x, to_y - 4), (to_x, to_y + 4)]
    tip = " ".join(f"{number(a)},{number(b)}" for a, b in points)
    return edge_text(edge, path, tip, out - 3, (y + to_y) / 2)


def legend_marks(graph: Graph, wide: float) -> tuple[list[str], float]:
    """A sample of each kind of box that occurs and what it means, in lines; and their height."""
    marks: list[str] = []
    x = y = 0.0
    samples: list[tuple[str, str, str, str, str]] = []
    for role in graph.roles:
        ink = LIGHT.boxes[role]
        samples.append((role, LOOKS[role].outline, ink.fill, ink.stroke, LOOKS[role].meaning))
    for mark in graph.marks:
        sign = SIGNS[mark]
        text = f"{sign.sign} {sign.meaning}"
        samples.append((mark, "rounded", "none", LIGHT.marks[mark], text))
    for name, kind, fill, stroke, text in samples:
        space = 35 + text_width(text, LINE_SIZE)
        if x and x + space > wide:
            x, y = 0.0, y + 26
        dashes = SIGNS[name].dashes if name in SIGNS else None  # type: ignore[index]
        more = f'stroke-width="3" stroke-dasharray="{dashes}"' if dashes is not None else ""
        sample = outline(kind, fill, stroke, Spot(26, 16, x=x + 14, y=y), more)
        words = text_mark(x + 35, y + 4, text, "quiet")
        marks.append(f'<g class="legend {name}">{sample}{words}</g>')
        x += space + 14
    if graph.scale is not None:
        y += 30
        marks.append(colour_bar(graph, y))
        y += 24
    return marks, y + 26


def colour_bar(graph: Graph, y: float) -> str:
    """The colours of an overlay from least to most, with numbers under them."""
    assert graph.scale is not None
    steps = 48
    wide = BAR_WIDTH / steps
    cells = [
        f'<path d="M{number(k * wide)} {number(y)}h{number(wide + 0.5)}v{number(BAR_HEIGHT)}'
        f'h{number(-wide - 0.5)}z" style="fill:{colour(k / (steps - 1))}"/>'
        for k in range(steps)
    ]
    words = [text_mark(BAR_WIDTH + 14, y + 10, graph.scale.title, "quiet")]
    for place, text in graph.scale.ticks:
        anchor = "start" if place < 0.1 else "end" if place > 0.9 else "middle"
        x = place * BAR_WIDTH
        words.append(text_mark(x, y + BAR_HEIGHT + 13, text, "quiet", f'text-anchor="{anchor}"'))
    return f'<g class="scale">{"".join(cells + words)}</g>'
