"""Drawing the tape: `draw` turns what backward will walk into a picture, `tape_text` into text.

From the tape to the page in steps, each of which knows nothing of the next. `trace` reads the nodes
and the memory they keep, `tracer` what was seen while they were made, `findings` what is wrong
with them (`rehearsal` runs backward for it, `health` judges). `roll` and `parts` decide what
becomes one box, `build` writes the boxes, `views` turns them round, `overlay` paints numbers on
them. `dot`, `svg`, `text`, `tree`, `export` and `page` put them on paper, and `picture` chooses
among them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..tape import Node, enable_grad
from ..tensor import Tensor, node_of
from .build import Options, build
from .cycles import tape_cycles
from .findings import examine
from .graph import Box, Edge, Graph, Group
from .overlay import NEEDS_BACKWARD, overlay_named
from .picture import Picture
from .text import MOST_LINES
from .trace import Trace
from .tracer import Failure, tensors_in, tracing
from .views import VIEWS, viewed

__all__ = [
    "Box", "Edge", "Graph", "Group", "Picture", "draw", "graph_of_call", "tape_cycles",
    "tape_text", "tracing",
]  # fmt: skip

MOST_BOXES = 300
MOST_BOXES_OF_MODULES = 40  # where modules are known, there is something better to collapse to
BOXES_OF_LARGE_MODELS = 20  # aimed at if they are more

Collapse = str | Sequence[str] | Callable[[str], bool] | None


def draw(
    root: Any,
    params: Any = None,
    *,
    names: Mapping[str, Any] | None = None,
    overlay: str | None = None,
    view: str = "forward",
    depth: int | None = None,
    collapse: Collapse = None,
    roll: bool | None = None,
    backward: bool | None = None,
    max_nodes: int | None = None,
) -> Picture:
    """Draw the tape behind a tensor: each op, what it made, and what it keeps for backward.

    `root` is a tensor, its `grad_fn`, or a list of them. `params` names the leaves: a Module, or
    a dict such as `dict(model.named_parameters())`. `names` names any tensors, so `locals()` will
    do. Memory that several ops keep is counted once. Modules, source lines, forward times and
    values are known of what was computed in a `tracing` block.

    - `overlay` paints a number of each op: "grad" (gradient norm), "time", "bytes" or "macs"
      (multiply-adds).
    - `view` is "forward", "backward", or "both", side by side.
    - `depth` draws modules nested deeper as one box each, `collapse` those whose name or class
      matches a pattern (or for which a function of the name is true).
    - `roll` draws repeated blocks and steps once; None does so for a loop's steps, and for blocks
      where the picture would be too large.
    - `backward` rehearses backward to find gradient norms and NaN; None does where it is cheap.
      It fills no `.grad` and calls no hook.
    - `max_nodes` is how many boxes there may be: 300, or 40 where modules are known. A larger tape
      is rolled up, collapsed or folded, and the picture says so.

    Raises `TypeError` if `root` is no tensor, `RuntimeError` if it has no tape, and `ValueError`
    for an overlay or a view there is not.

    >>> import retrograd as rg
    >>> x = rg.ones(3, requires_grad=True)
    >>> loss = (x * x).sum()
    >>> picture = rg.draw(loss, {"x": x})
    >>> picture
    <Picture: 2 ops, 1 leaf; keeps 12 B in 1 buffer, 12 B of it the leaves' own>
    >>> [box.heading for box in picture.graph.boxes]
    ['x', 'mul', 'sum', 'output']
    """
    settings = checked(overlay, view, depth, collapse, max_nodes)
    if names is not None and not isinstance(names, Mapping):
        raise TypeError(
            f"names must map names to tensors, as locals() does, not {type(names).__name__}"
        )
    nodes = root_nodes(root)
    with no_collection():
        return pictured(nodes, params, names, settings, view, roll, backward)


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection for a moment: among 100,000 new parts it finds none, in a second."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def checked(
    overlay: str | None, view: str, depth: int | None, collapse: Collapse, max_nodes: int | None
) -> dict[str, Any]:
    """The settings that can be wrong, made canonical."""
    if max_nodes is not None and (not isinstance(max_nodes, int) or max_nodes < 1):
        raise ValueError(
            f"max_nodes must be a whole number of boxes, at least 1, not {max_nodes!r}"
        )
    if depth is not None and (not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth must be a whole number of levels, at least 0, not {depth!r}")
    if view not in VIEWS:
        raise ValueError(f"there is no view {view!r}: choose one of {', '.join(map(repr, VIEWS))}")
    if collapse is None:
        collapse = ()
    elif isinstance(collapse, str):
        collapse = (collapse,)
    elif not callable(collapse):
        collapse = tuple(collapse) if isinstance(collapse, Sequence) else (collapse,)
        if not all(isinstance(pattern, str) for pattern in collapse):
            raise TypeError(
                "collapse takes a pattern such as 'layers.*', several, or a function of a name"
            )
    return {
        "overlay": overlay_named(overlay),
        "depth": depth,
        "collapse": collapse,
        "max_nodes": max_nodes,
    }


def pictured(
    nodes: list[Node],
    params: Any,
    names: Mapping[str, Any] | None,
    settings: dict[str, Any],
    view: str,
    roll: bool | None,
    backward: bool | None,
    failure: Failure | None = None,
) -> Picture:
    """The picture of what some nodes were computed from."""
    named = named_parameters(params)
    variables = {name: x for name, x in (names or {}).items() if isinstance(x, Tensor)}
    trace = Trace(nodes, {**naming(variables), **naming(named)})
    if backward is None and (settings["overlay"] in NEEDS_BACKWARD or view != "forward"):
        backward = True
    if failure is not None:
        backward = False
    found = examine(trace, named, params, backward=backward)
    if settings["max_nodes"] is None:
        modular = any(
            facts is not None and facts.calls
            for facts in map(trace.facts, range(min(len(trace.nodes), 2000)))
        )
        sizes = {"max_nodes": MOST_BOXES}
        if modular:
            sizes = {"max_nodes": MOST_BOXES_OF_MODULES, "goal": BOXES_OF_LARGE_MODELS}
        settings |= sizes
    graph = build(trace, Options(roll=roll, **settings), found, failure)
    whole = graph
    if graph.groups or any(box.role == "module" for box in graph.boxes):
        wider = Options(PAGE_BOXES, roll=roll, overlay=settings["overlay"])
        whole = build(trace, wider, found, failure)
    return Picture(viewed(graph, view), whole=whole)


PAGE_BOXES = 1200  # boxes a page may open all modules to


def tape_text(
    root: Any,
    params: Any = None,
    *,
    names: Mapping[str, Any] | None = None,
    lines: int = MOST_LINES,
    tree: bool | None = None,
) -> str:
    """List the tape behind a tensor as text, in about so many lines.

    Where modules are known it is a tree of them, oldest op first, else lanes, newest op first;
    `tree` decides.

    >>> import retrograd as rg
    >>> x = rg.ones(3, requires_grad=True)
    >>> print(rg.tape_text((x * x).exp(), {"x": x}))
    2 ops, 1 leaf; keeps 24 B in 2 buffers, 12 B of it the leaves' own
    ◆ output  (3,) float32
    ● exp  (3,) float32  keeps 12 B
    ● mul  (3,) float32  keeps 12 B
    └─□ x  (3,) float32 ×2
    """
    return draw(root, params, names=names).as_text(lines, tree=tree)


def graph(self: Tensor, params: Any = None, **options: Any) -> Picture:
    """The picture of the tape behind this tensor: `draw` with the same options.

    >>> import retrograd as rg
    >>> rg.ones(2, requires_grad=True).exp().graph()
    <Picture: 1 op, 1 leaf; keeps 8 B in 1 buffer>
    """
    return draw(self, params, **options)


Tensor.graph = graph  # type: ignore[method-assign, assignment]


def graph_of_call(
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inputs: Mapping[str, Any],
    *,
    overlay: str | None = None,
    view: str = "forward",
    depth: int | None = None,
    collapse: Collapse = None,
    roll: bool | None = None,
    backward: bool | None = None,
    max_nodes: int | None = None,
) -> Picture:
    """Call a module under `tracing` and draw what it made, or what there was when it raised."""
    settings = checked(overlay, view, depth, collapse, max_nodes)
    watch = tracing(model, inputs=inputs)
    result = None
    try:
        with enable_grad(), watch:
            result = model(*args, **kwargs)
    except Exception as error:
        failure = watch.failure
        if failure is None:
            raise
        nodes = [node for node in dict.fromkeys(failure.inputs) if node is not None]
        if not nodes and watch.newest is not None:
            nodes = [watch.newest]
        picture = pictured(nodes, model, inputs, settings, view, roll, backward, failure)
        picture.error = error.with_traceback(None)
        return picture
    roots = [x for x in tensors_in(result) if x.requires_grad]
    if not roots:
        raise RuntimeError(
            f"{type(model).__name__} returned nothing that requires grad, so there is no tape to "
            "draw: it has no parameter that wants a gradient, or it computes under no_grad()"
        )
    return pictured(root_nodes(roots), model, inputs, settings, view, roll, backward)


def root_nodes(root: Any) -> list[Node]:
    """The nodes to begin at."""
    many = isinstance(root, (list, tuple))
    nodes = []
    for k, item in enumerate(root if many else [root]):
        which = f"root {k}" if many else "the root"
        node = node_of(item) if isinstance(item, Tensor) else item
        if node is None and item is not None:
            raise RuntimeError(
                f"{which} has no tape to draw: it does not require grad. Call requires_grad_() on "
                "the leaves before computing from them, outside no_grad()."
            )
        if not isinstance(node, Node):
            remedy = "Give it the result of the computation, such as the loss."
            if hasattr(item, "named_parameters"):
                remedy = "A module draws itself, as it is called: model.graph(x)."
            raise TypeError(
                f"draw() takes a tensor, a grad_fn, or a list of them, but {which} is of type "
                f"'{type(item).__name__}'. {remedy}"
            )
        nodes.append(node)
    if not nodes:
        raise TypeError("draw() needs at least one tensor, but the list is empty")
    return nodes


def named_parameters(params: Any) -> dict[str, Tensor]:
    """The leaves a user named, from a Module or a mapping."""
    if params is None:
        return {}
    if hasattr(params, "named_parameters"):
        pairs = params.named_parameters()
    else:
        pairs = params.items() if isinstance(params, Mapping) else params
    named = {}
    for pair in pairs if isinstance(pairs, Iterable) else [pairs]:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Tensor)):
            raise TypeError(
                "params must be a Module or a dict of tensors, such as "
                f"dict(model.named_parameters()), but it holds {type(pair).__name__} {pair!r:.60}"
            )
        named[str(pair[0])] = pair[1]
    return named


def naming(named: Mapping[str, object]) -> dict[Node, str]:
    """The nodes some named tensors stand on, each with its names joined by ` = `."""
    names: dict[Node, str] = {}
    for name, tensor in named.items():
        node = getattr(tensor, "node", None)
        if isinstance(node, Node):
            names[node] = f"{names[node]} = {name}" if node in names else str(name)
    return names
