"""Results as files: JSON with the machine they were measured on, charts, and two runs compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .chart import chart
from .rows import OURS, RIVAL, Row, amount

FOLDER = Path(__file__).parent / "results"
FORMAT = 1
# What must be the same for figures to stand in one file.
SAME = ("processor", "cores", "threads", "python", "versions")


def as_json(rows: Iterable[Row], machine: dict[str, Any], engines: dict[str, str]) -> str:
    """The text of a results file."""
    found = {
        "format": FORMAT,
        "machine": machine,
        "engines": engines,
        "rows": [row.as_json() for row in rows],
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


class ResultsError(Exception):
    """A results file cannot be used; the text says which, and why."""


def read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a results file, and everything else it says."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ResultsError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ResultsError(f"{path} is no results file of this program (format {FORMAT})")
    return [Row.of_json(row) for row in found.pop("rows")], found


def save(
    rows: list[Row], machine: dict[str, Any], engines: dict[str, str], folder: Path = FOLDER
) -> list[Path]:
    """Write each family's rows and chart into a folder; rows there that were not run again stay.

    They stay only if the machine and the versions are the same, or the table would mix two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for family in dict.fromkeys(row.family for row in rows):
        path = folder / f"{family}.json"
        new = {row.name: row for row in rows if row.family == family}
        merged = list(new.values())
        if path.exists():
            old, before = read(path)
            if all(before["machine"].get(what) == machine.get(what) for what in SAME):
                merged = [new.pop(row.name, row) for row in old] + list(new.values())
        path.write_text(as_json(merged, machine, engines), "utf-8")
        picture = path.with_suffix(".svg")
        picture.write_text(chart(family, merged, subtitle(machine, engines)), "utf-8")
        written += [path, picture]
    return written


def save_charts(
    rows: list[Row], machine: dict[str, Any], engines: dict[str, str], folder: Path
) -> list[Path]:
    """Write a chart for each family into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for family in dict.fromkeys(row.family for row in rows):
        path = folder / f"{family}.svg"
        those = [row for row in rows if row.family == family]
        path.write_text(chart(family, those, subtitle(machine, engines)), "utf-8")
        written.append(path)
    return written


def subtitle(machine: dict[str, Any], engines: dict[str, str]) -> str:
    """The machine in a line."""
    names = ", ".join(f"{name} {version}" for name, version in engines.items())
    return f"{machine['processor']}, {machine['threads']} threads; {names}; {machine['when'][:10]}"


# ---------------------------------------------------------------- comparing two runs


def compare(before: Path, after: Path) -> str:
    """What changed between two runs, as a table; a change within the spread of rounds is none."""
    old_rows, old = read(before)
    new_rows, new = read(after)
    old_by = {row.key: row for row in old_rows}
    new_by = {row.key: row for row in new_rows}
    lines = []
    for what in SAME:
        a, b = old["machine"].get(what), new["machine"].get(what)
        if a != b:
            lines.append(f"not the same {what}: {a} before, {b} after")
    if lines:
        lines.append("")
    head = ("", "before", "after", "change", "of pytorch before", "after", "")
    body = [_changed(key, old_by[key], row) for key, row in new_by.items() if key in old_by]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    for line in [head, *body]:
        first = f"{line[0]:<{widths[0]}}"
        rest = "  ".join(t.rjust(w) for t, w in zip(line[1:], widths[1:], strict=True))
        lines.append(f"{first}  {rest}".rstrip())
    for text, keys in (
        ("only before", [k for k in old_by if k not in new_by]),
        ("only after", [k for k in new_by if k not in old_by]),
    ):
        if keys:
            lines.append(f"{text}: {', '.join(keys)}")
    return "\n".join(lines)


def _changed(key: str, old: Row, new: Row) -> tuple[str, ...]:
    a, b = old.median(OURS), new.median(OURS)
    unusable = old.error or new.error or old.disturbed or new.disturbed
    if unusable or a is None or b is None:
        reason = "results differ" if old.error or new.error else "disturbed"
        return (key, amount(a, old.unit), amount(b, new.unit), "-", "-", "-",
                reason if unusable else "not measured")  # fmt: skip
    ratios = [f"{r.median:.2f}" if (r := row.ratio(RIVAL)) else "-" for row in (old, new)]
    apart = max(old.rounds[OURS]) < min(new.rounds[OURS]) or min(old.rounds[OURS]) > max(
        new.rounds[OURS]
    )
    change = b / a - 1
    verdict = ("slower" if change > 0 else "faster") if apart and abs(change) > 0.02 else ""
    return (key, amount(a, old.unit), amount(b, new.unit), f"{change:+.0%}", *ratios, verdict)
