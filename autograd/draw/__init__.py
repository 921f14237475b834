"""Drawing the tape: `draw` turns what backward will walk into a picture, `tape_text` into text.

From the tape to the page in three steps, each of which knows nothing of the next: `trace` reads
the nodes, `graph` makes boxes and edges of them (and folds what is too much to look at), and the
writers `dot`, `svg` and `text` put those on paper. `picture` chooses the writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..tape import Node
from ..tensor import Tensor
from .graph import Box, Edge, Graph, Group, build, naming, parameter_note
from .picture import Picture
from .text import MOST_LINES
from .trace import Trace

__all__ = ["Box", "Edge", "Graph", "Group", "Picture", "draw", "tape_text"]

MOST_BOXES = 300


def draw(
    root: Any,
    params: Any = None,
    *,
    names: Mapping[str, Any] | None = None,
    max_nodes: int = MOST_BOXES,
) -> Picture:
    """Draw the tape behind a tensor: each op, what it made, and what it keeps for backward.

    `root` is a tensor, its `grad_fn`, or a list of them. `params` names the leaves: a Module, or
    a dict such as `dict(model.named_parameters())`. `names` names any tensors, so `locals()` will
    do. Memory that several ops keep is counted once. A tape of more than `max_nodes` boxes is
    folded, and the picture says so.

    Raises `TypeError` if `root` is no tensor, and `RuntimeError` if it has no tape.

    >>> import retrograd as rg
    >>> x = rg.ones(3, requires_grad=True)
    >>> loss = (x * x).sum()
    >>> picture = rg.draw(loss, {"x": x})
    >>> picture
    <Picture: 2 ops, 1 leaf; keeps 12 B in 1 buffer, 12 B of it the leaves' own>
    >>> [box.heading for box in picture.graph.boxes]
    ['x', 'mul', 'sum', 'output']
    """
    if not isinstance(max_nodes, int) or max_nodes < 1:
        raise ValueError(
            f"max_nodes must be a whole number of boxes, at least 1, not {max_nodes!r}"
        )
    named = named_parameters(params)
    variables = {name: x for name, x in (names or {}).items() if isinstance(x, Tensor)}
    trace = Trace(root_nodes(root), {**naming(variables), **naming(named)})
    reached = set(trace.nodes)
    frozen = [name for name, tensor in named.items() if tensor.node is None]
    unused = [name for name, t in named.items() if t.node is not None and t.node not in reached]
    remark = parameter_note(frozen, unused)
    return Picture(build(trace, max_nodes, [remark] if remark else []))


def tape_text(
    root: Any,
    params: Any = None,
    *,
    names: Mapping[str, Any] | None = None,
    lines: int = MOST_LINES,
) -> str:
    """List the tape behind a tensor as text, newest op first, in about so many lines.

    >>> import retrograd as rg
    >>> x = rg.ones(3, requires_grad=True)
    >>> print(rg.tape_text((x * x).exp(), {"x": x}))
    2 ops, 1 leaf; keeps 24 B in 2 buffers, 12 B of it the leaves' own
    ◆ output  (3,) float32
    ● exp  (3,) float32  keeps 12 B
    ● mul  (3,) float32  keeps 12 B
    └─□ x  (3,) float32 ×2
    """
    return draw(root, params, names=names).as_text(lines)


def root_nodes(root: Any) -> list[Node]:
    """The nodes to begin at."""
    many = isinstance(root, (list, tuple))
    nodes = []
    for k, item in enumerate(root if many else [root]):
        which = f"root {k}" if many else "the root"
        node = item.node if isinstance(item, Tensor) else item
        if node is None and item is not None:
            raise RuntimeError(
                f"{which} has no tape to draw: it does not require grad. Call requires_grad_() on "
                "the leaves before computing from them, outside no_grad()."
            )
        if not isinstance(node, Node):
            raise TypeError(
                f"draw() takes a tensor, a grad_fn, or a list of them, but {which} is of type "
                f"'{type(item).__name__}'. Give it the result of the computation, such as the loss."
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
