"""Overlays: one number of each box as a colour, with a bar that says which colour is which number.

Colour never speaks alone: the number is written on the box too. The colours go from dark to light
through one hue after another (the order of cividis, made for every kind of colour vision), so
they stay in order in grey.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log10

from .graph import Box, Scale
from .words import count_text, short_number, size_text, time_text

# Cividis at eighths, after Nuñez, Anderton and Renslow, 2018.
STOPS = (
    "#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8779", "#a69d75", "#c4b56c",
    "#fee838",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Overlay:
    """What an overlay measures: where the number is, how it is written, how it is spaced."""

    title: str
    label: str
    number: Callable[[Box], float | None]
    text: Callable[[float], str]
    logarithmic: bool


def whole_time(box: Box) -> float | None:
    """Forward and backward together, as far as they are known."""
    known = [t for t in (box.seconds, box.back_seconds) if t is not None]
    return sum(known) if known else None


OVERLAYS: dict[str, Overlay] = {
    "grad": Overlay(
        "gradient norm", "grad", lambda box: box.norm, short_number, logarithmic=True
    ),
    "time": Overlay(
        "time, forward and backward", "time", whole_time, time_text, logarithmic=False
    ),
    "bytes": Overlay(
        "bytes kept for backward",
        "",
        lambda box: None if box.ops == 0 else box.kept,
        size_text,
        logarithmic=False,
    ),
    "macs": Overlay(
        "multiply-adds, forward", "multiply-adds", lambda box: box.macs, count_text,
        logarithmic=False,
    ),
}  # fmt: skip
ALIASES = {
    "gradient": "grad", "grad_norm": "grad", "memory": "bytes", "flops": "macs",
    "multiply_adds": "macs",
}  # fmt: skip
NEEDS_BACKWARD = ("grad", "time")


def overlay_named(name: str | None) -> str:
    """The overlay's own name; `ValueError` for one there is not."""
    if name is None:
        return ""
    known = ALIASES.get(name, name) if isinstance(name, str) else ""
    if known not in OVERLAYS:
        raise ValueError(
            f"there is no overlay {name!r}: choose one of {', '.join(map(repr, OVERLAYS))}, "
            "or None for none"
        )
    return known


def painted(boxes: Sequence[Box], name: str) -> tuple[list[Box], Scale | None]:
    """The boxes with their place on the colour bar, and the bar; no bar if there is no number."""
    overlay = OVERLAYS[name]
    numbers = [overlay.number(box) for box in boxes]
    finite = [x for x in numbers if x is not None and isfinite(x)]
    if overlay.logarithmic:
        finite = [x for x in finite if x > 0]
    if not finite:
        return list(boxes), None
    low, high = min(finite), max(finite)
    if not overlay.logarithmic:
        low = 0.0

    def place(x: float) -> float:
        if not isfinite(x):
            return 1.0
        if x <= low or high <= low:
            return 1.0 if high <= low and x >= high > 0 else 0.0
        if overlay.logarithmic:
            return (log10(x) - log10(low)) / (log10(high) - log10(low))
        return (x - low) / (high - low)

    new = []
    for box, x in zip(boxes, numbers, strict=True):
        if x is None:
            new.append(box)
            continue
        text = f"{overlay.label} {overlay.text(x)}" if overlay.label else ""
        new.append(replace(box, heat=place(x), heat_text=text))
    return new, Scale(overlay.title, ticks(low, high, place, overlay.text))


def ticks(
    low: float, high: float, place: Callable[[float], float], text: Callable[[float], str]
) -> tuple[tuple[float, str], ...]:
    """The ends of the bar and what is between them, no two the same."""
    if high <= low:
        return ((1.0, text(high)),)
    middle = (low * high) ** 0.5 if low > 0 else (low + high) / 2
    return tuple((place(x), text(x)) for x in (low, middle, high))


def colour(heat: float) -> str:
    """The colour at a place from 0 to 1."""
    at = min(max(heat, 0.0), 1.0) * (len(STOPS) - 1)
    k = min(int(at), len(STOPS) - 2)
    part = at - k
    a, b = ([int(stop[p : p + 2], 16) for p in (1, 3, 5)] for stop in (STOPS[k], STOPS[k + 1]))
    mixed = [round(x + (y - x) * part) for x, y in zip(a, b, strict=True)]
    return "#" + "".join(f"{x:02x}" for x in mixed)


def luminance(colour: str) -> float:
    """The relative luminance that contrast is defined by (WCAG 2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def text_on(fill: str) -> str:
    """Black or white, whichever stands out more: at least 4.5 to 1 on any colour."""
    return "#000000" if luminance(fill) > 0.179 else "#ffffff"
