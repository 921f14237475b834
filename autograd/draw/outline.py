"""The shapes of our own SVG: outlines that tell kinds of boxes apart without colour, and text."""

from __future__ import annotations

from .layout import Spot
from .palette import LIGHT
from .words import xml

# Widths in units of the font size, of the widest common face, so text never leaves its box.
NARROW, WIDE = frozenset("ijlft.,:;'|!()[]{}/ "), frozenset("mwMW@%—…×≈≠∅✗")


def outline(kind: str, fill: str, stroke: str, spot: Spot, more: str = "") -> str:
    """The outline that tells a kind of box apart without colour."""
    ink = f'fill="{fill}" stroke="{stroke}"' + (f" {more}" if more else "")
    half_width, half_height = spot.width / 2, spot.height / 2
    corner = min(9.0, half_height / 2)
    if kind == "pill":
        return rounded(spot, half_height, ink)
    if kind == "double":
        return rounded(spot, 0, ink) + rounded(spot, 0, ink, inset=3)
    if kind == "stack":
        behind = Spot(spot.width, spot.height, x=spot.x + 4, y=spot.y + 4)
        dashes = "" if "stroke-dasharray" in more else ' stroke-dasharray="5 3"'
        return rounded(behind, 7, ink) + rounded(spot, 7, f"{ink}{dashes}")
    if kind == "sheet":
        bar = Spot(5, spot.height, x=spot.x - half_width + 2.5, y=spot.y)
        band = f'd="M{number(bar.x)} {number(spot.y - half_height)}v{number(spot.height)}"'
        plain = f'fill="{fill}" stroke="{stroke}"'
        return rounded(spot, 0, ink) + f'<path {band} {plain} stroke-width="5"/>'
    if kind == "cut":
        return cornered(spot, corner, corner, ink)
    if kind == "octagon":
        return cornered(spot, corner * 1.6, corner * 1.6, ink)
    if kind == "hexagon":
        return cornered(spot, min(10.0, half_height), half_height, ink)
    if kind == "plain":
        dashes = "" if "stroke-dasharray" in more else ' stroke-dasharray="4 3"'
        return rounded(spot, 0, f"{ink}{dashes}")
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


def cornered(spot: Spot, dx: float, dy: float, ink: str) -> str:
    """A rectangle whose corners are cut off."""
    x, y = spot.x - spot.width / 2, spot.y - spot.height / 2
    w, h = spot.width, spot.height
    a, b = number(w - 2 * dx), number(h - 2 * dy)
    x_step, y_step = number(dx), number(dy)
    return (
        f'<path d="M{number(x + dx)} {number(y)}h{a}l{x_step} {y_step}v{b}l-{x_step} {y_step}'
        f'h-{a}l-{x_step} -{y_step}v-{b}z" {ink}/>'
    )


def text_mark(x: float, y: float, text: str, style: str = "", more: str = "") -> str:
    """One line of text; "quiet" is the style of what matters less."""
    ink = f'class="quiet" fill="{LIGHT.quiet}"' if style else f'fill="{LIGHT.text}"'
    return f'<text x="{number(x)}" y="{number(y)}" {ink} {more}>{xml(text)}</text>'


def grounded(x: float, y: float, text: str, size: int) -> str:
    """A line of text that matters less, on a ground of its own: lines that pass end at it."""
    wide = number(text_width(text, size) + 4)
    ground = f"M{number(x - 2)} {number(y - size)}h{wide}v{size + 3}h-{wide}z"
    words = text_mark(x, y, text, "quiet", f'font-size="{size}"')
    return f'<path class="ground" d="{ground}" fill="{LIGHT.frame}"/>{words}'


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
