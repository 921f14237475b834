"""Words and numbers on a picture: short enough for a box, harmless in XML and in DOT."""

from __future__ import annotations

import re
import reprlib
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import BY_ARRAY

if TYPE_CHECKING:
    from .graph import Edge, Graph

LONGEST_TITLE = 72  # of a frame's title
LONGEST = 44  # characters of a line in a box; the tooltip has the rest
# What XML 1.0 and terminals cannot carry: control characters, half surrogates, non-characters,
# and the marks that turn the direction of writing.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """A text without characters that cannot be shown: each is spelled out as its escape."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def clipped(text: str, longest: int = LONGEST) -> str:
    """A text on one line, its middle left out if it is long."""
    line = visible(text.replace("\n", "\\n").replace("\t", "\\t"))
    if len(line) <= longest:
        return line
    half = (longest - 1) // 2
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


def often(times: int) -> str:
    """How many are drawn as one."""
    return f"× {times:,}"


def dtype_text(dtype: np.dtype[Any]) -> str:
    """The name PyTorch's users know a storage dtype by."""
    known = BY_ARRAY.get(dtype)
    return dtype.name if known is None else known.name


def shape_text(shape: Sequence[int]) -> str:
    """A shape as PyTorch's users write it: `()`, `(3,)`, `(64, 10)`."""
    return str(tuple(int(n) for n in shape))


def array_text(array: np.ndarray) -> str:
    """Shape, dtype and size of an array."""
    return f"{shape_text(array.shape)} {dtype_text(array.dtype)}, {size_text(array.nbytes)}"


def setting_text(value: object) -> str:
    """A setting in a few characters that do not change from run to run."""
    if isinstance(value, tuple) and any(isinstance(part, np.ndarray) for part in value):
        return f"({', '.join(array_text(x) if isinstance(x, np.ndarray) else '…' for x in value)})"
    if isinstance(value, np.ndarray):
        return array_text(value)
    text = reprlib.repr(value)
    return f"<{type(value).__name__}>" if " at 0x" in text else text


def size_text(count: float) -> str:
    """A number of bytes in the largest unit that leaves it at least 1."""
    size, units = float(count), ["PiB", "TiB", "GiB", "MiB", "KiB", "B"]
    while size >= 1023.95 and len(units) > 1:
        size /= 1024
        units.pop()
    return f"{size:.1f}".removesuffix(".0") + f" {units[-1]}"


def time_text(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def count_text(count: float) -> str:
    """A large count in thousands, millions and so on."""
    for unit, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.3g}"


def short_number(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}"


def plural(count: int, one: str, many: str = "") -> str:
    """A count and its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def description(graph: Graph) -> str:
    """What a screen reader says of a picture: what is in it, and its notes."""
    ends = ", ".join(box.lines[0] for box in graph.boxes if box.role == "output" and box.lines)
    whole = f"The tape of a computation: {graph.title}; {graph.subtitle}."
    made = f" Its result is {ends}." if ends else ""
    return whole + made + "".join(f" Note: {note}." for note in graph.notes)
