"""Text that users wrote, made harmless: for XML, for DOT, and short enough for a box."""

from __future__ import annotations

import re
import textwrap

from .graph import Edge, Graph

LONGEST = 44  # characters of a line in a box; the tooltip has the rest
# What XML 1.0 and terminals cannot carry: control characters, half surrogates, non-characters,
# and the marks that turn the direction of writing.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """A text without characters that cannot be shown: each is spelled out as its escape."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clipped(text: str) -> str:
    """A text on one line, its middle left out if it is long."""
    line = visible(text.replace("\n", "\\n").replace("\t", "\\t"))
    if len(line) <= LONGEST:
        return line
    half = (LONGEST - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of so many characters."""
    return textwrap.wrap(visible(text), max(24, width))


def xml(text: str) -> str:
    """A text as the content or the quoted attribute of an XML element."""
    safe = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace('"', "&quot;").replace("'", "&#39;")


def quoted(*lines: str) -> str:
    r"""Some lines as one quoted DOT string that is neither HTML nor an escape sequence.

    Graphviz reads `\N` and the like in labels, and HTML's entities, so both lose their power.
    """
    safe = [
        visible(line).replace("\\", "\\\\").replace("&", "&amp;").replace('"', '\\"')
        for line in lines
    ]
    return '"' + "\\n".join(safe) + '"'


def multiplicity(edge: Edge) -> str:
    """How often a value is used by the op it goes to."""
    return f"×{edge.count:,}"


def description(graph: Graph) -> str:
    """What a screen reader says of a picture: what is in it, and its notes."""
    ends = ", ".join(box.lines[0] for box in graph.boxes if box.role == "output")
    whole = f"The tape of a computation: {graph.title}; {graph.subtitle}."
    made = f" Its result is {ends}." if ends else ""
    return whole + made + "".join(f" Note: {note}." for note in graph.notes)
