"""Our own SVG of a graph, for the many machines without Graphviz.

One self-contained file: no script, no link, no font to fetch. It carries a title and a
description for screen readers, a tooltip on each box, and a dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .dot import box_heading
from .edges import counted, edge_mark, loop_mark
from .graph import Box, Graph, Group
from .layout import FRAME_FOOT, FRAME_HEAD, TIP_ROOM, Spot, layout
from .outline import grounded, number, outline, text_mark, text_width
from .overlay import colour, text_on
from .palette import LIGHT, LOOKS, SIGNS, style_sheet
from .views import halves
from .words import LONGEST_TITLE, clipped, description, wrapped, xml

TITLE_SIZE, LINE_SIZE, FRAME_SIZE = 13, 11, 10
LINE_HEIGHT = 16
PAD_X, PAD_Y = 14, 8
MARGIN = 24
NARROWEST = 330  # room for the headline and the notes
WIDEST_NOTE = 560.0  # a narrow picture grows to it, so that its notes read as lines
HALVES_GAP = 110.0  # between forward and backward
LOOP_GAP = 16.0
BAR_WIDTH, BAR_HEIGHT = 240.0, 12.0
FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

Corners = tuple[float, float, float, float]  # left, top, right, bottom


def write_svg(graph: Graph) -> str:
    """The SVG text of a graph."""
    sheet = Sheet(graph)
    head = max(text_width(graph.title, 15, bold=True), text_width(graph.subtitle, LINE_SIZE))
    longest = max((6.5 * len(note) for note in graph.notes), default=0.0)
    wide = max(NARROWEST, sheet.width, head, min(longest, WIDEST_NOTE))
    legend, legend_height = legend_marks(graph, wide)
    notes = [line for note in graph.notes for line in wrapped(note, int(wide / 6.5))]
    notes_top = MARGIN + 50
    top = notes_top + LINE_HEIGHT * len(notes) + (8 if notes else 2)
    legend_top = top + sheet.height + 34
    full_width = number(wide + 2 * MARGIN)
    full_height = number(legend_top + legend_height + MARGIN - 16)

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
        *(text_mark(MARGIN, notes_top + LINE_HEIGHT * k, line) for k, line in enumerate(notes)),
        f'<g transform="translate({number(MARGIN + sheet.margin + (wide - sheet.width) / 2)} '
        f'{number(top)})">',
        *sheet.marks(),
        "</g>",
        f'<g transform="translate({MARGIN} {number(legend_top)})">{"".join(legend)}</g>',
    ]
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
        right = self.margin + max([self.plan.width, *self.sides])
        self.half = right + self.margin
        self.width = self.half * len(self.parts) + HALVES_GAP * (len(self.parts) - 1)
        self.height = self.plan.height

    def _sides(self) -> list[float]:
        """How far to the right each loop goes, to pass beside all that stands between its ends."""
        sides: list[float] = []
        for edge in self.loops:
            a, b = self.spots[edge.source], self.spots[edge.target]
            low, high = sorted((a.y, b.y))
            between = [s for s in self.plan.spots if low <= s.y <= high]
            out = max(s.x + s.width / 2 for s in (a, b, *between)) + LOOP_GAP
            while any(abs(out - x) < 7 for x in sides):
                out += 8
            sides.append(out)
        return sides

    def marks(self) -> list[str]:
        """Everything drawn: frames below, then edges, then titles, numbers and boxes."""
        forward = self.parts[0]
        frames, titles = self._frames(forward)
        edges = [
            edge_mark(self.plan, r, e) for r, e in zip(self.plan.routes, self.flow, strict=True)
        ]
        for e, x in zip(self.loops, self.sides, strict=True):
            edges.append(loop_mark(self.plan, self.spots[e.source], self.spots[e.target], x, e))
        words = [counted(self.plan, r, e) for r, e in zip(self.plan.routes, self.flow, strict=True)]
        boxes = [self._box(box, self.spots[box.id]) for box in forward.boxes]
        out = [*frames, *edges, *titles, *words, *boxes]
        return out if len(self.parts) == 1 else [*out, *self._mirrored()]

    def _mirrored(self) -> list[str]:
        """The backward half: everything where its twin is, the edges turned round."""
        back, shift = self.parts[1], self.half + HALVES_GAP
        frames, titles = self._frames(back)
        out = [*self._links(shift), f'<g transform="translate({number(shift)} 0)">', *frames]
        words = []
        edges = {(e.source, e.target): e for e in back.edges}
        for route, edge in zip(self.plan.routes, self.flow, strict=True):
            mirrored = edges.get((f"b{edge.target}", f"b{edge.source}"))
            if mirrored is not None:
                out.append(edge_mark(self.plan, route, mirrored, upward=True))
                words.append(counted(self.plan, route, mirrored))
        for edge, x in zip(self.loops, self.sides, strict=True):
            mirrored = edges.get((f"b{edge.target}", f"b{edge.source}"))
            if mirrored is not None:
                ends = self.spots[edge.target], self.spots[edge.source]
                out.append(loop_mark(self.plan, *ends, x, mirrored))
        boxes = [self._box(box, self.spots[box.mate]) for box in back.boxes]
        return [*out, *titles, *words, *boxes, "</g>"]

    def _box(self, box: Box, spot: Spot) -> str:
        return box_mark(box, self.texts[box.id], spot)

    def _links(self, shift: float) -> list[str]:
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

    def _frames(self, graph: Graph) -> tuple[list[str], list[str]]:
        """The frames of groups and their titles; none that would stand round another's box."""
        inside = members_of(graph)
        mirrored = graph is not self.parts[0]
        places = [(box.id, self.spots[box.mate if mirrored else box.id]) for box in graph.boxes]
        ends = [
            (id, s.x - s.width / 2, s.y - s.height / 2, s.x + s.width / 2, s.y + s.height / 2)
            for id, s in places
        ]
        corners: dict[str, Corners] = {}
        for group in reversed(graph.groups):  # inner groups come after the ones round them
            members = inside[group.id]
            mine = [
                (left, top - (0 if spot.is_leaf else TIP_ROOM), right, bottom)
                for (id, left, top, right, bottom), (_, spot) in zip(ends, places, strict=True)
                if id in members
            ]
            if not mine:
                continue
            for loop, x in zip(self.loops, self.sides, strict=True):
                a, b = (f"b{end}" if mirrored else end for end in (loop.source, loop.target))
                if a in members and b in members:
                    mine.append((x, mine[0][1], x, mine[0][3]))
            inner = [corners[g.id] for g in graph.groups if g.parent == group.id if g.id in corners]
            left, top, right, bottom = round_all(mine, inner, group)
            foreign = any(
                id not in members and a < right and c > left and b < bottom and d > top
                for id, a, b, c, d in ends
            )
            if not foreign:
                corners[group.id] = left, top, right, bottom
        framed = [(group, corners[group.id]) for group in graph.groups if group.id in corners]
        return [frame_mark(*one) for one in framed], [frame_title(*one) for one in framed]


def round_all(boxes: Sequence[Corners], frames: Sequence[Corners], group: Group) -> Corners:
    """The corners of a frame round some boxes and frames, with room for its title."""
    left = min(box[0] for box in (*boxes, *frames)) - FRAME_FOOT
    top = min(box[1] for box in (*boxes, *frames)) - FRAME_HEAD + 2
    right = max(box[2] for box in (*boxes, *frames)) + FRAME_FOOT
    bottom = max(box[3] for box in (*boxes, *frames)) + FRAME_FOOT - 2
    title = text_width(clipped(group.title, LONGEST_TITLE), FRAME_SIZE)
    return left, top, max(right, left + title + 14), bottom


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


def frame_mark(group: Group, corners: Corners) -> str:
    """The frame of a group."""
    x, y, right, bottom = corners
    w, h = right - x, bottom - y
    shape = f"M{number(x)} {number(y)}h{number(w)}v{number(h)}h{number(-w)}z"
    return (
        f'<g class="frame" data-group="{xml(group.id)}"><path d="{shape}" fill="{LIGHT.frame}" '
        f'stroke="{LIGHT.line}" stroke-opacity="0.6" stroke-dasharray="3 3"/></g>'
    )


def frame_title(group: Group, corners: Corners) -> str:
    """The title of a frame at its upper left, on top of the edges that pass there."""
    title = clipped(group.title, LONGEST_TITLE)
    text = grounded(corners[0] + 6, corners[1] + 11, title, FRAME_SIZE)
    return f'<g class="frame">{text}</g>'


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
