"""Where each box goes: rows by longest path, order by barycentres, columns by least squares.

A tape is already in topological order, so every pass is one loop over boxes and edges. An edge
that passes a row gets a slot of its own there (a `bend`), so no edge crosses a box: edges curve
only in the gaps between rows, where nothing stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

COLUMN_GAP = 22.0
ROW_GAP = 36.0
FRAME_HEAD, FRAME_FOOT = 18.0, 8.0  # what a frame takes above and under its boxes
TIP_ROOM = 8.0  # between the title of a frame and an op under it, for the arrow that enters
BEND_WIDTH = 10.0
PORT_GAP = 20.0
LEAVES_IN_ROW = 8  # of one op; more stand above them
SWEEPS = 4
MOST_BENDS = 40_000  # beyond it, long edges run straight, behind whatever stands in their way
LEAF_PULL, OP_PULL = 0.0001, 1.0  # how straight the edges of leaves and of ops want to be


@dataclass(slots=True)
class Spot:
    """A box, or the place where an edge passes a row; x and y are its centre."""

    width: float
    height: float
    is_leaf: bool = False
    is_bend: bool = False
    row: int = 0
    x: float = 0.0
    y: float = 0.0
    group: int = 0  # boxes of one group stand together in a row
    into: list[Link] = field(default_factory=list)
    out: list[Link] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Link:
    """A stretch of an edge between neighbouring rows; `port` is how far off centre it arrives."""

    source: int
    target: int
    pull: float
    port: float = 0.0


@dataclass(slots=True)
class Layout:
    """The finished plan: `spots` (the boxes first), and for each edge the spots it runs through."""

    spots: list[Spot]
    routes: list[list[Link]]
    row_starts: list[float]  # the upper end of each row
    row_ends: list[float]  # the lower
    width: float
    height: float


def layout(
    sizes: Sequence[tuple[float, float]],
    leaves: Sequence[bool],
    edges: Sequence[tuple[int, int]],
    nests: Sequence[Sequence[int]] = (),
) -> Layout:
    """Place boxes of the given sizes; an edge's source comes before its target in the list.

    `nests` has for each box the numbers of the groups it is in, outermost first. The boxes of one,
    leaves too, get rows of their own where the tape allows, so that frames can be drawn round them.
    """
    spots = [Spot(w, h, is_leaf=leaf) for (w, h), leaf in zip(sizes, leaves, strict=True)]
    for spot, nest in zip(spots, nests, strict=False):
        spot.group = nest[-1] if nest else 0
    set_rows(spots, edges)
    routes = link(spots, edges)
    rows: list[list[int]] = [[] for _ in range(max(s.row for s in spots) + 1)]
    for i, spot in enumerate(spots):
        rows[spot.row].append(i)
    order_rows(spots, rows)
    set_ports(spots, rows)
    set_columns(spots, rows)
    left = min(s.x - s.width / 2 for s in spots)
    heads, feet = frame_room(spots, nests, len(rows))
    y = heads[0]
    row_starts, row_ends = [], []
    for number, row in enumerate(rows):
        tallest = max(spots[i].height for i in row)
        for i in row:
            spots[i].x -= left
            spots[i].y = y + tallest / 2
            if spots[i].is_bend:
                spots[i].height = tallest
        row_starts.append(y)
        row_ends.append(y + tallest)
        y += tallest + feet[number]
        if number + 1 < len(rows):
            y += ROW_GAP + heads[number + 1]
    width = max(s.x + s.width / 2 for s in spots)
    return Layout(spots, routes, row_starts, row_ends, width, y)


def frame_room(
    spots: Sequence[Spot], nests: Sequence[Sequence[int]], rows: int
) -> tuple[list[float], list[float]]:
    """The height above and under each row for the frames that begin and end there."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for spot, nest in zip(spots, nests, strict=False):
        for group in nest:
            first[group] = min(first.get(group, spot.row), spot.row)
            last[group] = max(last.get(group, spot.row), spot.row)
    heads, feet = [0.0] * rows, [0.0] * rows
    for spot, nest in zip(spots, nests, strict=False):
        begin = sum(first[group] == spot.row for group in nest)
        end = sum(last[group] == spot.row for group in nest)
        tip = TIP_ROOM if begin and not spot.is_leaf else 0.0
        heads[spot.row] = max(heads[spot.row], begin * FRAME_HEAD + tip)
        feet[spot.row] = max(feet[spot.row], end * FRAME_FOOT)
    return heads, feet


def set_rows(spots: Sequence[Spot], edges: Sequence[tuple[int, int]]) -> None:
    """Rows by longest path; then what hangs on leaves alone moves down to where it is used."""
    into: list[list[int]] = [[] for _ in spots]
    out: list[list[int]] = [[] for _ in spots]
    for a, b in edges:
        into[b].append(a)
        out[a].append(b)
    crowded = {spots[b].group for a, b in edges if spots[a].is_leaf} - {0}
    for b, spot in enumerate(spots):
        # Whoever enters a group from outside leaves a row free for the group's leaves.
        enters = 2 if spot.group in crowded else 1
        for a in into[b]:
            gap = enters if spots[a].group != spot.group else 1
            spot.row = max(spot.row, spots[a].row + gap)
    for a in range(len(spots) - 1, -1, -1):
        if out[a] and all(spots[p].is_leaf for p in into[a]):
            spots[a].row = min(
                spots[b].row
                - (2 if spots[b].group in crowded and spots[b].group != spots[a].group else 1)
                for b in out[a]
            )
    for mine in into:
        only = [a for a in mine if spots[a].is_leaf and not into[a] and len(out[a]) == 1]
        for k, a in enumerate(only):
            spots[a].row -= k // LEAVES_IN_ROW
    top = min(spot.row for spot in spots)
    for spot in spots:
        spot.row -= top


def link(spots: list[Spot], edges: Sequence[tuple[int, int]]) -> list[list[Link]]:
    """The links of each edge, with a bend in every row an edge passes.

    The edges of one box share their bends: they run down as one line, from which each branches
    off above its target.
    """
    budget = MOST_BENDS
    bends: dict[tuple[int, int], int] = {}  # by source and row
    links: dict[tuple[int, int], Link] = {}
    routes = []
    for a, b in edges:
        passed = range(spots[a].row + 1, spots[b].row)
        stops = [a]
        if len(passed) <= budget:
            budget -= len(passed)
            for row in passed:
                if (a, row) not in bends:
                    bends[a, row] = len(spots)
                    leaf = spots[a].is_leaf
                    spots.append(Spot(BEND_WIDTH, 0.0, is_leaf=leaf, is_bend=True, row=row))
                stops.append(bends[a, row])
        stops.append(b)
        for p, q in pairwise(stops):
            if (p, q) not in links:
                links[p, q] = piece = Link(p, q, LEAF_PULL if spots[a].is_leaf else OP_PULL)
                spots[p].out.append(piece)
                spots[q].into.append(piece)
        routes.append([links[pair] for pair in pairwise(stops)])
    return routes


def order_rows(spots: Sequence[Spot], rows: list[list[int]]) -> None:
    """Sort each row by the mean place of its neighbours: below, above, below again.

    Going up, the inputs of one op fall into the order of its arguments.
    """
    place = {i: float(k) for row in rows for k, i in enumerate(row)}
    for sweep in range(SWEEPS):
        upward = sweep % 2 == 0
        for row in reversed(rows) if upward else rows:
            key = {}
            for i in row:
                near = [
                    place[e.target] + argument(spots, e) if upward else place[e.source]
                    for e in (spots[i].out if upward else spots[i].into)
                ]
                key[i] = sum(near) / len(near) if near else place[i]
            row.sort(key=key.__getitem__)
            keep_groups_together(spots, row, key)
            for k, i in enumerate(row):
                place[i] = float(k)


def keep_groups_together(spots: Sequence[Spot], row: list[int], key: dict[int, float]) -> None:
    """Sort a row again so that the boxes of one group are neighbours, at their mean place."""
    totals: dict[int, list[float]] = {}
    for i in row:
        if spots[i].group:
            totals.setdefault(spots[i].group, []).append(key[i])
    if len(totals) > 1 or (totals and len(row) > sum(map(len, totals.values()))):
        mean = {group: sum(keys) / len(keys) for group, keys in totals.items()}
        row.sort(key=lambda i: (mean.get(spots[i].group, key[i]), spots[i].group, key[i]))


def argument(spots: Sequence[Spot], piece: Link) -> float:
    """Where among its target's inputs a link arrives, between -0.5 and 0.5."""
    siblings = spots[piece.target].into
    return (siblings.index(piece) + 0.5) / len(siblings) - 0.5 if len(siblings) < 64 else 0.0


def set_ports(spots: Sequence[Spot], rows: Sequence[Sequence[int]]) -> None:
    """Spread the edges that enter a box over its top; a lone op's edge enters in the middle."""
    place = {i: k for row in rows for k, i in enumerate(row)}
    for spot in spots:
        if spot.is_bend or len(spot.into) < 2:
            continue
        spot.into.sort(key=lambda e: place[e.source])
        count = len(spot.into)
        gap = min(PORT_GAP, (spot.width - 28) / (count - 1))
        values = [k for k, e in enumerate(spot.into) if not spots[e.source].is_leaf]
        middle = float(values[0]) if len(values) == 1 else (count - 1) / 2
        gap = min(gap, (spot.width / 2 - 12) / max(middle, count - 1 - middle, 1))
        for k, piece in enumerate(spot.into):
            piece.port = (k - middle) * gap


def set_columns(spots: Sequence[Spot], rows: Sequence[Sequence[int]]) -> None:
    """Pull every spot under and over its neighbours, row by row, without letting any overlap."""
    for row in rows:
        x = 0.0
        for i in row:
            spots[i].x = x + spots[i].width / 2
            x += spots[i].width + COLUMN_GAP
    for sweep in range(2 * SWEEPS):
        upward = sweep % 2 == 1
        for row in reversed(rows) if upward else rows:
            goals, weights = [], []
            for i in row:
                spot = spots[i]
                pull = goal = 0.0
                for e in spot.out if upward else spot.into:
                    other = spots[e.target if upward else e.source]
                    goal += e.pull * (other.x + (e.port if upward else -e.port))
                    pull += e.pull
                goals.append(goal / pull if pull else spot.x)
                weights.append(pull or 0.01)
            offsets, run = [], 0.0
            for k, i in enumerate(row):
                if k:
                    run += (spots[row[k - 1]].width + spots[i].width) / 2 + COLUMN_GAP
                offsets.append(run)
            for i, x in zip(row, spaced(goals, weights, offsets), strict=True):
                spots[i].x = x


def spaced(
    goals: Sequence[float], weights: Sequence[float], offsets: Sequence[float]
) -> list[float]:
    """The x nearest the goals, in weighted squares, with neighbours at least their offset apart.

    With the offsets taken off, the x must only not decrease: neighbours that would are pooled.
    """
    pools: list[list[float]] = []  # [sum of weight × goal, weight, how many]
    for goal, weight, offset in zip(goals, weights, offsets, strict=True):
        pools.append([weight * (goal - offset), weight, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            total, pull, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += pull
            pools[-1][2] += count
    spread = [total / pull for total, pull, count in pools for _ in range(int(count))]
    return [x + offset for x, offset in zip(spread, offsets, strict=True)]
