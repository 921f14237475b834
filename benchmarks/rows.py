"""A row of the table: one workload's figures on every engine, and the ratios between them."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

UNSTEADY = 0.3  # of the median, which the middle half of the rounds may span
OURS, RIVAL = "retrograd", "pytorch"  # whom the charts compare


@dataclass(slots=True)
class Row:
    """What was measured for one workload, round by round."""

    family: str
    name: str
    unit: str = "s"  # or "B"
    rounds: dict[str, list[float]] = field(default_factory=dict)  # by engine
    left_out: dict[str, str] = field(default_factory=dict)  # engine: why it has no figure
    differences: dict[str, float] = field(default_factory=dict)  # largest, relative, by engine
    error: str | None = None  # engines disagree: there is no timing
    disturbed: str | None = None  # nobody should trust these figures, and why
    floor: float | None = None
    flops: float = 0.0
    bytes: float = 0.0

    @property
    def key(self) -> str:
        """As `Workload.key`."""
        return f"{self.family}/{self.name}"

    def median(self, engine: str) -> float | None:
        """An engine's figure."""
        values = self.rounds.get(engine)
        return statistics.median(values) if values else None

    def ratio(self, peer: str) -> Spread | None:
        """Ours to a peer's, within each round."""
        ours, theirs = self.rounds.get(OURS), self.rounds.get(peer)
        if not ours or not theirs:
            return None
        return Spread.of([a / b for a, b in zip(ours, theirs, strict=False) if b])

    def best_peer(self) -> str | None:
        """The peer with the smallest figure."""
        peers = {e: m for e in self.rounds if e != OURS and (m := self.median(e)) is not None}
        return min(peers, key=peers.__getitem__, default=None)

    def to_floor(self) -> float | None:
        """Our figure to what the machine could do at best."""
        ours = self.median(OURS)
        return ours / self.floor if ours is not None and self.floor else None

    def as_json(self) -> dict[str, Any]:
        """For the results file, with what follows from the rounds spelled out."""
        found = asdict(self)
        found["medians"] = {e: self.median(e) for e in self.rounds}
        found["ratios"] = {
            e: asdict(r) for e in self.rounds if e != OURS and (r := self.ratio(e)) is not None
        }
        return found

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> Row:
        """A row out of a results file."""
        return cls(**{name: found[name] for name in cls.__dataclass_fields__ if name in found})


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, how far the rounds lie around it, and their middle half."""

    median: float
    low: float
    high: float
    half: float = 0.0

    @classmethod
    def of(cls, values: list[float]) -> Spread | None:
        """The spread of some values."""
        if not values:
            return None
        half = 0.0
        if len(values) > 3:
            quarters = statistics.quantiles(values, n=4, method="inclusive")
            half = quarters[2] - quarters[0]
        return cls(statistics.median(values), min(values), max(values), half)

    @property
    def unsteady(self) -> bool:
        """Whether half of the rounds lie further apart than a reader would think."""
        return self.half > UNSTEADY * self.median


# ---------------------------------------------------------------- words


def amount(value: float | None, unit: str) -> str:
    """A figure in the unit that suits it."""
    if value is None:
        return "-"
    if unit == "B":
        steps = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
    else:
        steps = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
    for size, name in steps:
        if value >= size * 0.9995:
            return f"{three(value / size)} {name}"
    return f"{three(value / steps[-1][0])} {steps[-1][1]}"


def three(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def cells(row: Row, engines: list[str], anyway: bool) -> list[str]:
    """The texts of a row; what is missing is a dash, and said below the table."""
    texts = [row.name]
    if row.error:
        return [row.name, "ERROR: the engines' results differ; see below"]
    if row.disturbed and not anyway:
        return [row.name, f"disturbed: {row.disturbed}"]
    texts += [amount(row.median(e), row.unit) for e in engines]
    ratio = row.ratio(RIVAL)
    mark = "~" if ratio and ratio.unsteady else ""
    texts.append(f"{mark}{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if ratio else "-")
    best = row.best_peer()
    against = row.ratio(best) if best else None
    texts.append(f"{against.median:.2f} {best}" if against else "-")
    floor = row.to_floor()
    texts.append(three(floor) if floor is not None else "-")
    return texts


def table(rows: list[Row], engines: list[str], anyway: bool = False) -> str:
    """The rows of one family, in columns; what was disturbed has figures only ``anyway``."""
    engines = [e for e in engines if any(e in r.rounds for r in rows)]
    head = ["workload", *engines, "of pytorch (rounds)", "of the best peer", "of the floor"]
    body = [cells(row, engines, anyway) for row in rows]
    full = [line for line in [head, *body] if len(line) == len(head)]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    widths[0] = max(len(line[0]) for line in [head, *body])
    lines = []
    for line in [head, *body]:
        if len(line) == len(head):
            rest = "  ".join(t.rjust(w) for t, w in zip(line[1:], widths[1:], strict=True))
        else:
            rest = line[1]
        lines.append(f"{line[0]:<{widths[0]}}  {rest}".rstrip())
    return "\n".join([*lines, "", *notes(rows, anyway)]).rstrip()


def notes(rows: list[Row], anyway: bool) -> list[str]:
    """What has to be said about rows, each thing once."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.error:
            said.setdefault(f"ERROR: {row.error}", []).append(row.name)
        for engine, why in row.left_out.items():
            said.setdefault(f"{engine}: {why}", []).append(row.name)
        if row.disturbed and anyway:
            said.setdefault(f"disturbed: {row.disturbed}", []).append(row.name)
        ratio = row.ratio(RIVAL)
        if ratio and ratio.unsteady and not row.disturbed:
            said.setdefault("~: half of the rounds are more than 30 % apart", []).append(row.name)
    everywhere = len(rows)
    return [
        f"  {what}" + ("" if len(names) == everywhere > 1 else f" [{', '.join(names)}]")
        for what, names in said.items()
    ]
