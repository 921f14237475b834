"""The picture a user holds: it can show itself, and save itself, on any machine.

Who draws is a ladder, and each rung falls to the next with a note that says why: Graphviz's `dot`
where it is installed, the Graphviz inside the `pygraphviz` wheel, our own SVG, text. Graphviz
runs in a process of its own with a time limit, because a layout can take minutes and cannot be
interrupted from inside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Collection, Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from .diff import difference
from .dot import dressed, legend_entries, write_dot
from .export import write_json, write_mermaid
from .graph import Graph
from .onnx import write_onnx
from .page import write_page
from .svg import write_svg
from .text import MOST_LINES, write_text
from .tree import write_tree

TIME_LIMIT = 20.0  # seconds for one rung
MOST_BOXES = 1500  # Graphviz takes seconds at this size, and half a minute at four thousand
FORMATS = ("svg", "png", "pdf")
SUFFIXES = (
    ".svg", ".html", ".png", ".pdf", ".dot", ".gv", ".json", ".mmd", ".onnx", ".txt",
)  # fmt: skip

# What a rung runs in its own process: DOT comes in, a picture goes out.
DOT = """
import sys, graphviz
source = graphviz.Source(sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(source.pipe(format=sys.argv[1], quiet=False))
"""
PYGRAPHVIZ = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(path=None, format=sys.argv[1], prog="dot"))
"""


class Picture:
    """A drawn tape: shows itself in a notebook, prints as text, saves as an image.

    `graph` is the picture without ink, `source` its DOT. After `save`, or after a notebook has
    shown it, `rung` says who drew it ("dot", "pygraphviz", "svg", "text") and `note` why, along
    with whatever else is to be said of the picture. If it is of a forward that raised, `error` is
    what it raised.

    >>> import retrograd as rg
    >>> w = rg.ones(2, requires_grad=True)
    >>> print(rg.draw((w * 3).sum()))
    2 ops, 1 leaf; keeps nothing for backward
    ◆ output  () float32
    ● sum  () float32
    ● mul  (2,) float32  1 input off the tape
    └─□ leaf  (2,) float32
    """

    def __init__(self, graph: Graph, whole: Graph | None = None) -> None:
        self.graph = graph
        self.whole = graph if whole is None else whole  # with all modules open, for the page
        self.rung: str | None = None
        self.error: BaseException | None = None  # what forward raised, if it did
        self._reasons: list[str] = []

    @cached_property
    def source(self) -> str:
        """The picture in DOT, Graphviz's language; the same program gives the same text."""
        return write_dot(self.graph)

    @property
    def text(self) -> str:
        """The picture as text: a tree where modules are known, else lanes."""
        return self.as_text()

    def as_text(self, lines: int = MOST_LINES, *, tree: bool | None = None) -> str:
        """The picture as text, of about so many lines.

        A tree has modules nested and what happens in them in order, a repeated block once.
        Lanes, newest op first, show what goes where. Without `tree`, it is a tree where modules
        are known.

        >>> import retrograd as rg
        >>> from retrograd import nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        >>> print(model.graph(rg.ones(1, 2)))
        Sequential: 2 ops, 2 leaves, 9 parameters; keeps 20 B in 2 buffers
        □ input  (1, 2) float32
        Sequential  (2 ops, keeps 20 B)
        ├─ 0: Linear  (1 op, keeps 8 B)
        │  ├─ □ 0.weight  (3, 2) float32
        │  ├─ □ 0.bias  (3,) float32
        │  └─ ● linear  (1, 3) float32  keeps 8 B
        └─ 1: Tanh  (1 op, keeps 12 B)
           └─ ● tanh  (1, 3) float32  keeps 12 B
        ◆ output  (1, 3) float32
        """
        if tree is None:
            tree = bool(self.graph.groups)
        return write_tree(self.graph, lines) if tree else write_text(self.graph, lines)

    def as_svg(self) -> str:
        """The picture as our own SVG, with or without Graphviz: the same on every machine."""
        return write_svg(self.graph)

    def as_html(self, *, steps: bool = False) -> str:
        """The picture as a page: pan, zoom, open and close modules, search, step through backward.

        It is one file that needs no network. With `steps` it opens at backward's first step.
        """
        return write_page(self.whole, self.graph, steps=steps)

    def as_json(self) -> str:
        """The picture for programs: boxes, edges, groups and notes."""
        return write_json(self.graph)

    def as_mermaid(self) -> str:
        """The picture in Mermaid, which GitHub and others draw inside a page."""
        return write_mermaid(self.graph)

    def as_onnx(self) -> bytes:
        """The picture in ONNX's file format, which Netron opens: a graph to look at, not to run."""
        return write_onnx(self.graph)

    def diff(self, other: Picture) -> Picture:
        """A picture of both tapes: what only `other` has is marked added, what it lacks removed.

        >>> import retrograd as rg
        >>> x = rg.ones(2, requires_grad=True)
        >>> before, after = rg.draw(x.exp().sum()), rg.draw(x.exp().neg().sum())
        >>> before.diff(after).note
        '1 box added, 0 removed'
        """
        if not isinstance(other, Picture):
            raise TypeError(f"diff() takes another Picture, not {type(other).__name__}")
        return Picture(difference(self.graph, other.graph))

    @property
    def note(self) -> str:
        """What a reader should know: what is folded or missing, and why this rung drew it."""
        return "; ".join([*self.graph.notes, *self._reasons])

    def save(
        self,
        path: str | os.PathLike[str],
        format: str | None = None,
        *,
        steps: bool = False,
        time_limit: float = TIME_LIMIT,
    ) -> Path:
        """Write the picture to a file and return its path.

        The suffix says what to write: .svg, .html (a page to explore, see `as_html`), .png, .pdf,
        .dot (or .gv), .json, .mmd (Mermaid), .onnx (for Netron) or .txt. With `format`, as in
        graphviz, the suffix is appended. Only Graphviz draws PNG and PDF: without it an .svg is
        written beside the path asked for, with a warning. With `steps` a page opens at backward's
        first step.

        Raises `ValueError` for another suffix, and `OSError` if the file cannot be written.
        """
        target = Path(path)
        if not target.name:
            raise ValueError(f"cannot draw to {str(path)!r}: it names no file")
        if format is not None and target.suffix != f".{format}":
            target = target.with_name(f"{target.name}.{format}")
        elif not target.suffix:
            target = target.with_name(f"{target.name}.svg")
        kind = target.suffix[1:].lower()
        if f".{kind}" not in SUFFIXES:
            raise ValueError(
                f"cannot draw to '{target.name}': the name must end in one of {', '.join(SUFFIXES)}"
            )
        if kind in FORMATS:
            data, written = self._drawn(kind, time_limit)
            if written != kind:
                target = target.with_suffix(f".{written}")
                warnings.warn(
                    f"only Graphviz draws .{kind}, so '{target}' was written instead "
                    f"({'; '.join(self._reasons)}). Install Graphviz, or "
                    "`pip install retrograd[viz]`, which brings its own.",
                    stacklevel=2,
                )
        else:
            self.rung, self._reasons = "text" if kind == "txt" else "source", []
            data = self._written(kind, steps)
        write_whole(target, data)
        return target

    render = save

    def _written(self, kind: str, steps: bool) -> bytes:
        """The picture in a format that needs no Graphviz."""
        if kind == "onnx":
            return self.as_onnx()
        if kind == "html":
            text = self.as_html(steps=steps)
        elif kind == "json":
            text = self.as_json()
        elif kind == "mmd":
            text = self.as_mermaid()
        else:
            text = f"{self.text}\n" if kind == "txt" else self.source
        return text.encode(errors="replace")

    def _drawn(self, kind: str, time_limit: float) -> tuple[bytes, str]:
        """The picture in a format, or in SVG if nobody here can draw that; and which it is."""
        self._reasons = reasons = []
        for rung, program, missing in self._rungs():
            if missing:
                reasons.append(missing)
                continue
            try:
                data = run(program, self.source.encode(), kind, time_limit)
                self._check(data, kind)
                if kind == "svg":
                    data = dressed(data.decode(), self.graph).encode()
            except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
                reasons.append(f"{rung} failed: {first_line(error)}")
                continue
            self.rung = rung
            return data, kind
        self.rung = "svg"
        reasons.append("drawn by retrograd itself")
        return write_svg(self.graph).encode(), "svg"

    def _rungs(self) -> Iterator[tuple[str, str, str]]:
        """Graphviz's two rungs: name, program, and why it cannot be tried, if it cannot."""
        boxes = len(self.graph.boxes)
        common = ""
        if boxes > MOST_BOXES:
            common = f"Graphviz is too slow for {boxes:,} boxes"
        elif not sys.executable or getattr(sys, "frozen", False):
            common = "no Python interpreter to run Graphviz from"
        if common:
            yield "Graphviz", "", common
            return
        yield "dot", DOT, "" if shutil.which("dot") else "no dot on the PATH"
        yield "pygraphviz", PYGRAPHVIZ, "" if importable("pygraphviz") else "no pygraphviz"

    def _check(self, data: bytes, kind: str) -> None:
        """Refuse what a failed layout leaves behind: Graphviz may exit with 0 and write a stub."""
        if kind == "svg":
            expected = len(self.graph.boxes) + legend_entries(self.graph)
            whole = data.rstrip().endswith(b"</svg>") and data.count(b'class="node ') == expected
        elif kind == "png":
            whole = data.startswith(b"\x89PNG") and b"IEND" in data[-16:] and len(data) > 200
        else:
            whole = data.startswith(b"%PDF") and b"%%EOF" in data[-16:] and len(data) > 200
        if not whole:
            raise RuntimeError(f"its {kind} is incomplete")

    @cached_property
    def _svg(self) -> str:
        return self._drawn("svg", TIME_LIMIT)[0].decode()

    def _repr_svg_(self) -> str | None:
        return self._repr_mimebundle_().get("image/svg+xml")

    def _repr_html_(self) -> str | None:
        """The SVG, for those who show HTML only."""
        return self._repr_svg_()

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """What a notebook shows. It never raises: the text is always there."""
        shown: dict[str, str] = {}
        try:
            shown["image/svg+xml"] = self._svg
        except Exception as error:
            self.rung, self._reasons = "text", [f"the SVG failed: {first_line(error)}"]
        try:
            shown["text/plain"] = "\n".join([self.text, *(f"({why})" for why in self._reasons)])
        except Exception as error:
            shown["text/plain"] = f"a picture that cannot be shown: {first_line(error)}"
        return {
            mime: data
            for mime, data in shown.items()
            if (include is None or mime in include) and mime not in (exclude or ())
        }

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Picture: {self.graph.title}; {self.graph.subtitle}>"


def importable(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # blocked, or half-way imported
        return False


def run(program: str, source: bytes, kind: str, time_limit: float) -> bytes:
    """What a Python program makes of some input, in a process group that ends when time is up."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, complaint = child.communicate(source, time_limit)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it took longer than {time_limit:g} s") from None
        finally:
            end(child)
    if child.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"it exited with {child.returncode}")
    return out


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there complete or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            draft.write_bytes(data)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        remedy = f"{error.strerror}; name a file in a folder that exists and that you may write to"
        raise type(error)(error.errno, remedy, str(path)) from None


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
