"""How each kind of box looks: colours that stay apart for every eye, and a shape of its own.

The strokes are Okabe and Ito's colours, darkened or lightened until they stand out from the page;
the fills are tints of them that the text on top contrasts with at 4.5 to 1 or more. Colour never
speaks alone: each kind also has its own outline and its own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from .graph import Role


@dataclass(frozen=True, slots=True)
class Ink:
    """The colours of a box: its surface, its outline, and the text on it."""

    fill: str
    stroke: str
    text: str


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a whole picture."""

    page: str
    text: str  # headings and notes, on the page
    quiet: str  # second lines, on the page and on any box
    line: str  # edges
    boxes: dict[Role, Ink]


@dataclass(frozen=True, slots=True)
class Look:
    """The outline of a kind of box, in our own drawing and in Graphviz's words, and its meaning."""

    outline: str
    dot: str
    meaning: str


LIGHT = Theme(
    page="#ffffff",
    text="#1b1f24",
    quiet="#4d5661",
    line="#6a737d",
    boxes={
        "op": Ink("#f3f4f6", "#6a737d", "#1b1f24"),
        "parameter": Ink("#dcedf9", "#0072b2", "#0b2f47"),
        "leaf": Ink("#f8e6f0", "#b0528a", "#431c34"),
        "output": Ink("#d7f2e8", "#007f5c", "#06392a"),
        "fold": Ink("#fdf0d5", "#b36b00", "#432a05"),
        "summary": Ink("#fdf0d5", "#b36b00", "#432a05"),
    },
)
DARK = Theme(
    page="#12161c",
    text="#e8ebef",
    quiet="#b3bcc7",
    line="#8b95a1",
    boxes={
        "op": Ink("#252b34", "#8b95a1", "#eef0f3"),
        "parameter": Ink("#10344d", "#56b4e9", "#e2f2fc"),
        "leaf": Ink("#45263a", "#cc79a7", "#fbe9f3"),
        "output": Ink("#0b3d2e", "#2fbf93", "#dcf7ee"),
        "fold": Ink("#43300c", "#e69f00", "#fff0d1"),
        "summary": Ink("#43300c", "#e69f00", "#fff0d1"),
    },
)
LOOKS: dict[Role, Look] = {
    "parameter": Look("sheet", 'shape=box style="filled"', "parameter"),
    "leaf": Look("pill", 'shape=ellipse style="filled"', "leaf tensor that requires grad"),
    "op": Look("rounded", 'shape=box style="rounded,filled"', "op, and what it made"),
    "fold": Look("stack", 'shape=box style="rounded,filled,dashed"', "many ops, folded"),
    "summary": Look(
        "stack", 'shape=box style="rounded,filled,dashed"', "the whole tape, summed up"
    ),
    "output": Look("double", 'shape=box style="filled" peripheries=2', "where backward() starts"),
}


def style_sheet() -> str:
    """CSS for an SVG, ours or Graphviz's: the dark theme where the reader's system asks for it."""
    return f"{rules(LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{rules(DARK)}\n}}"


def rules(theme: Theme) -> str:
    """The CSS rules of one theme."""
    lines = [
        f".rg-tape .page,.rg-tape .graph>polygon{{fill:{theme.page};stroke:none}}",
        f".rg-tape text{{fill:{theme.text}}}",
        f".rg-tape .edge path{{stroke:{theme.line};fill:none}}",
        f".rg-tape .edge polygon{{fill:{theme.line};stroke:{theme.line}}}",
        f".rg-tape .edge text{{fill:{theme.quiet}}}",
    ]
    for role, ink in theme.boxes.items():
        for tag in ("path", "polygon", "ellipse"):
            lines.append(f".rg-tape .{role} {tag}{{stroke:{ink.stroke}}}")
            # Graphviz draws the second outline of a box as a shape that is not filled.
            lines.append(f'.rg-tape .{role} {tag}:not([fill="none"]){{fill:{ink.fill}}}')
        lines.append(f".rg-tape .{role} text{{fill:{ink.text}}}")
    lines.append(f".rg-tape text.quiet{{fill:{theme.quiet}}}")
    return "\n".join(lines)
