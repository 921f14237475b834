"""The edges of our own SVG: down through the gaps between rows, and back up beside the boxes."""

from __future__ import annotations

from collections.abc import Sequence

from .dot import width
from .graph import Edge
from .layout import Layout, Link, Spot
from .outline import grounded, number
from .palette import LIGHT
from .words import multiplicity, xml

TIP = 8.0  # the length of an arrowhead
ENTRY = 14.0  # how far from a corner, and above or under its row, a loop enters and leaves a box
CORNER = 8.0
LABEL_SIZE = 11

Point = tuple[float, float]


def edge_mark(plan: Layout, route: Sequence[Link], edge: Edge, *, upward: bool = False) -> str:
    """One edge: down its bends to an arrowhead."""
    start = plan.spots[route[0].source]
    x, y = start.x, start.y + start.height / 2
    path = [f"M{number(x)} {number(y + TIP if upward else y)}"]
    first = x, y
    for piece in route:
        target = plan.spots[piece.target]
        to_x = target.x + piece.port
        to_y = target.y - target.height / 2 - (0 if target.is_bend or upward else TIP)
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
    tip = arrow_head(*first, (0, -1)) if upward else arrow_head(x, y + TIP, (0, 1))
    return drawn(edge, "".join(path), tip)


def loop_mark(plan: Layout, source: Spot, target: Spot, side: float, edge: Edge) -> str:
    """What one step hands to the next: a dashed line back up, beside all that stands between."""
    points = loop_points(plan, source, target, side)
    to_x, to_y = points[-1]
    direction = (0, 1) if points[-2][0] == to_x else (-1, 0)
    path = rounded_path([*points[:-1], (to_x - direction[0] * TIP, to_y - direction[1] * TIP)])
    return drawn(edge, path, arrow_head(to_x, to_y, direction))


def loop_points(plan: Layout, source: Spot, target: Spot, side: float) -> list[Point]:
    """The corners of a loop. Where a box stands in its way, it leaves below and enters above."""
    offset = source.height / 4 if source is target else 0.0
    points: list[Point] = [(source.x + source.width / 2, source.y + offset)]
    if hemmed(plan, source):
        x, y = source.x + source.width / 2 - ENTRY, plan.row_ends[source.row] + ENTRY
        points = [(x, source.y + source.height / 2), (x, y)]
    points.append((side, points[-1][1]))
    if hemmed(plan, target):
        x, y = target.x + target.width / 2 - ENTRY, plan.row_starts[target.row] - ENTRY
        return [*points, (side, y), (x, y), (x, target.y - target.height / 2)]
    y = target.y - offset
    return [*points, (side, y), (target.x + target.width / 2, y)]


def hemmed(plan: Layout, spot: Spot) -> bool:
    """Whether another box stands to the right in the row of a spot."""
    return any(
        other.row == spot.row and other.x > spot.x and not other.is_bend for other in plan.spots
    )


def rounded_path(points: Sequence[Point]) -> str:
    """Straight lines through some points, with the corners rounded."""
    path = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        path.append(f"L{near(corner, before)}Q{spelled(corner)} {near(corner, after)}")
    return "".join([*path, f"L{spelled(points[-1])}"])


def near(corner: Point, other: Point) -> str:
    """The point where a rounded corner begins, on the way to another point."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    part = min(CORNER, max(abs(dx), abs(dy)) / 2) / (max(abs(dx), abs(dy)) or 1)
    return spelled((corner[0] + dx * part, corner[1] + dy * part))


def spelled(point: Point) -> str:
    """A point as a path says it."""
    return f"{number(point[0])} {number(point[1])}"


def arrow_head(x: float, y: float, direction: tuple[int, int]) -> str:
    """The points of an arrowhead whose tip is at a place."""
    dx, dy = direction
    back_x, back_y = x - dx * TIP, y - dy * TIP
    wings = (back_x - dy * 4, back_y - dx * 4), (back_x + dy * 4, back_y + dx * 4)
    return " ".join(f"{number(a)},{number(b)}" for a, b in ((x, y), *wings))


def drawn(edge: Edge, path: str, tip: str) -> str:
    """The marks of an edge with a path."""
    ink = LIGHT.bad if edge.bad else LIGHT.line
    thick = width(edge) + (1.2 if edge.bad else 0)
    dashes = ' stroke-dasharray="5 4"' if edge.loop else ""
    dashes = ' stroke-dasharray="1 5"' if edge.gone else dashes
    names = "edge" + (" bad" if edge.bad else "") + (" loop" if edge.loop else "")
    return (
        f'<g class="{names}" data-from="{xml(edge.source)}" data-to="{xml(edge.target)}">'
        f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="{thick:.1f}"{dashes}/>'
        f'<polygon points="{tip}" fill="{ink}"/></g>'
    )


def counted(plan: Layout, route: Sequence[Link], edge: Edge) -> str:
    """How often a value is used: under its box if it goes one way only, else at the arrow."""
    if edge.count < 2:
        return ""
    start, last = plan.spots[route[0].source], route[-1]
    end = plan.spots[last.target]
    if len(start.out) == 1:
        x, y = start.x, start.y + start.height / 2 + 13
    else:
        x, y = end.x + last.port, end.y - end.height / 2 - 7
    text = grounded(x + 7, y, multiplicity(edge), LABEL_SIZE)
    return f'<g class="edge">{text}</g>'
