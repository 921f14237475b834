"""How each kind of box looks: colours that stay apart for every eye, and a shape of its own.

The strokes are Okabe and Ito's colours, darkened or lightened until they stand out from the page;
the fills are tints of them that the text on top contrasts with at 4.5 to 1 or more. Colour never
speaks alone: each kind also has its own outline and its own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from .graph import Mark, Role


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
    bad: str  # edges that carry what is wrong
    frame: str  # the ground of a group
    boxes: dict[Role, Ink]
    marks: dict[Mark, str]  # outlines
    pairs: tuple[str, ...]  # grounds of an op and its derivative


@dataclass(frozen=True, slots=True)
class Look:
    """The outline of a kind of box, in our own drawing and in Graphviz's words, and its meaning."""

    outline: str
    dot: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Sign:
    """What is put on a box beside its kind: a sign, a kind of line, and what they mean."""

    sign: str
    dashes: str
    dot: str
    meaning: str


LIGHT = Theme(
    page="#ffffff",
    text="#1b1f24",
    quiet="#4d5661",
    line="#6a737d",
    bad="#b3261e",
    frame="#f7f9fb",
    boxes={
        "op": Ink("#f3f4f6", "#6a737d", "#1b1f24"),
        "parameter": Ink("#dcedf9", "#0072b2", "#0b2f47"),
        "leaf": Ink("#f8e6f0", "#b0528a", "#431c34"),
        "output": Ink("#d7f2e8", "#007f5c", "#06392a"),
        "fold": Ink("#fdf0d5", "#b36b00", "#432a05"),
        "summary": Ink("#fdf0d5", "#b36b00", "#432a05"),
        "input": Ink("#eef0f2", "#4d5661", "#1b1f24"),
        "module": Ink("#e9ecfb", "#4a5bb5", "#1c2450"),
        "gradient": Ink("#fdeae0", "#b34700", "#46200a"),
        "failed": Ink("#fbe3e1", "#b3261e", "#4a0f0b"),
        "idle": Ink("#ffffff", "#6a737d", "#4d5661"),
    },
    marks={
        "origin": "#b3261e",
        "strange": "#b34700",
        "stale": "#b3261e",
        "detached": "#6a737d",
        "added": "#007f5c",
        "removed": "#b3261e",
    },
    pairs=(
        "#dcedf9",
        "#fdf0d5",
        "#d7f2e8",
        "#f8e6f0",
        "#e9ecfb",
        "#fbe6d8",
        "#e6f4c8",
        "#ece7e1",
    ),
)
DARK = Theme(
    page="#12161c",
    text="#e8ebef",
    quiet="#b3bcc7",
    line="#8b95a1",
    bad="#ff8a80",
    frame="#181d24",
    boxes={
        "op": Ink("#252b34", "#8b95a1", "#eef0f3"),
        "parameter": Ink("#10344d", "#56b4e9", "#e2f2fc"),
        "leaf": Ink("#45263a", "#cc79a7", "#fbe9f3"),
        "output": Ink("#0b3d2e", "#2fbf93", "#dcf7ee"),
        "fold": Ink("#43300c", "#e69f00", "#fff0d1"),
        "summary": Ink("#43300c", "#e69f00", "#fff0d1"),
        "input": Ink("#1d2229", "#b3bcc7", "#eef0f3"),
        "module": Ink("#262d52", "#95a3f0", "#e6e9ff"),
        "gradient": Ink("#47260f", "#ff9d5c", "#ffe9db"),
        "failed": Ink("#4a1613", "#ff8a80", "#ffe3e0"),
        "idle": Ink("#12161c", "#8b95a1", "#b3bcc7"),
    },
    marks={
        "origin": "#ff8a80",
        "strange": "#ff9d5c",
        "stale": "#ff8a80",
        "detached": "#8b95a1",
        "added": "#2fbf93",
        "removed": "#ff8a80",
    },
    pairs=(
        "#10344d",
        "#43300c",
        "#0b3d2e",
        "#45263a",
        "#262d52",
        "#47260f",
        "#2f3a0d",
        "#35302a",
    ),
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
    "input": Look("cut", 'shape=octagon style="filled"', "input, off the tape"),
    "module": Look("stack", 'shape=box3d style="filled"', "a module, collapsed"),
    "gradient": Look("hexagon", 'shape=hexagon style="filled"', "derivative, in backward"),
    "failed": Look("octagon", 'shape=octagon style="filled,bold"', "the op that raised"),
    "idle": Look("plain", 'shape=box style="dashed"', "parameter without a gradient"),
}
SIGNS: dict[Mark, Sign] = {
    "origin": Sign("✗", "", "solid", "NaN or inf arises here"),
    "strange": Sign("≈", "7 3", "dashed", "holds NaN or inf from before"),
    "stale": Sign("≠", "2 2", "dotted", "keeps a value that was changed since"),
    "detached": Sign("∅", "1 4", "dotted", "the tape does not reach it"),
    "added": Sign("+", "10 2", "solid", "only in the second tape"),
    "removed": Sign("−", "5 5", "dashed", "only in the first tape"),
}


TAGS = ("path", "polygon", "ellipse")  # what outlines are made of, here and in Graphviz's SVG


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
        f".rg-tape .bad path{{stroke:{theme.bad}}}",
        f".rg-tape .bad polygon{{fill:{theme.bad};stroke:{theme.bad}}}",
        ".rg-tape .frame path,.rg-tape .cluster>polygon,.rg-tape .cluster>path"
        f"{{fill:{theme.frame};stroke:{theme.line}}}",
        f".rg-tape .frame text{{fill:{theme.quiet}}}",
        f".rg-tape path.ground.ground{{fill:{theme.frame};stroke:none}}",
    ]
    for role, ink in theme.boxes.items():
        for tag in TAGS:
            lines.append(f".rg-tape .{role} {tag}{{stroke:{ink.stroke}}}")
            # Graphviz draws the second outline of a box as a shape that is not filled.
            lines.append(f'.rg-tape .{role} {tag}:not([fill="none"]){{fill:{ink.fill}}}')
        lines.append(f".rg-tape .{role} text{{fill:{ink.text}}}")
    for k, fill in enumerate(theme.pairs):
        shapes = ",".join(f'.rg-tape .pair{k} {tag}:not([fill="none"])' for tag in TAGS)
        lines.append(f"{shapes}{{fill:{fill}}}")
        lines.append(f".rg-tape .pair{k} text{{fill:{theme.text}}}")
    for mark, stroke in theme.marks.items():
        shapes = ",".join(f".rg-tape .{mark} {tag}" for tag in TAGS)
        lines.append(f"{shapes}{{stroke:{stroke}}}")
    lines.append(".rg-tape .pale text{fill:#000000}.rg-tape .deep text{fill:#ffffff}")
    lines.append(f".rg-tape text.quiet{{fill:{theme.quiet}}}")
    return "\n".join(lines)
