"""Backward, rehearsed for a picture: the same rules in the same order, and nothing else changes.

No `.grad` is filled, no hook is called, and what the tape keeps stays. Where the real backward
would raise, the rehearsal stops and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import modes
from ..deferred import settled
from ..shapes import sum_to
from ..tape import Many, Node
from ..version import FREED


@dataclass(slots=True)
class Rehearsal:
    """What a backward would do, by the index of the node."""

    order: list[int] = field(default_factory=list)  # the ops, as they are executed
    norms: dict[int, float] = field(default_factory=dict)  # of the gradient that arrives
    seconds: dict[int, float] = field(default_factory=dict)
    arrived: dict[int, str] = field(default_factory=dict)  # what is not finite in it
    handed: dict[int, str] = field(default_factory=dict)  # what is not finite in what is handed on
    stopped: tuple[int, str] | None = None  # where backward would raise, and what


def rehearse(nodes: Sequence[Node], roots: Sequence[int]) -> Rehearsal:
    """Hand gradients from the newest node to the oldest, beginning with ones at the roots."""
    found = Rehearsal()
    index = {node: i for i, node in enumerate(nodes)}
    pending: dict[int, Any] = {}
    for root in roots:
        node = nodes[root]
        pending[root] = np.ones(node.shape, dt.widen(np.empty(0, node.dtype)).dtype)
    mode = modes.recording()
    try:
        modes.set_mode(None)
        with np.errstate(all="ignore"):
            for i in range(len(nodes) - 1, -1, -1):
                g = pending.pop(i, None)
                if g is None:
                    continue
                found.norms[i] = norm(g)
                if not np.isfinite(found.norms[i]) and (kind := strange(g)):
                    found.arrived[i] = kind
                if nodes[i].op is not None:
                    _step(found, nodes[i], i, g, index, pending)
                    if found.stopped is not None:
                        break
    finally:
        modes.set_mode(mode)
    return found


def _step(
    found: Rehearsal, node: Node, i: int, g: Any, index: dict[Node, int], pending: dict[int, Any]
) -> None:
    """Execute one node: from the gradient of its output to those of its inputs."""
    kept: Any = node.kept
    op: Any = node.op
    if kept is FREED:
        found.stopped = i, f"what {op.name} kept was freed by backward"
        return
    start = perf_counter()
    try:
        ds = settled(op.pull(g, node))
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        found.stopped = i, f"{type(error).__name__}: {text}"
        return
    finally:
        found.seconds[i] = perf_counter() - start
        node.kept = kept  # a user's Function may have freed it
    found.order.append(i)
    for parent, d in zip(node.inputs, ds, strict=False):
        if d is None or parent is None:
            continue
        if i not in found.handed and not np.isfinite(norm(d)) and (kind := strange(d)):
            found.handed[i] = kind
        if type(d) is not Many and d.shape != parent.shape:
            d = sum_to(d, parent.shape)
        p = index[parent]
        if p not in pending:
            pending[p] = d
        elif type(d) is Many:
            pending[p] = Many(
                b if a is None else a if b is None else a + b
                for a, b in zip(pending[p], d, strict=True)
            )
        else:
            pending[p] = pending[p] + d


def parts(g: Any) -> Iterator[np.ndarray]:
    """The arrays of a gradient, of which a node of several outputs has several."""
    for part in g if type(g) is Many else [g]:
        if part is not None:
            yield np.asarray(part)


def norm(g: Any) -> float:
    """The length of a gradient as a vector; squares are added in double precision."""
    total = 0.0
    for part in parts(g):
        flat = part.reshape(-1)
        if flat.dtype.kind == "c":
            flat = np.abs(flat)
        wide = flat.astype(np.float64) if flat.dtype.kind == "f" else flat
        total += float(np.dot(wide, wide))
    return float(np.sqrt(total))


def strange(g: Any) -> str:
    """`NaN`, `inf`, both, or nothing when all of a gradient is finite."""
    nan = any(np.isnan(part).any() for part in parts(g))
    inf = any(np.isinf(part).any() for part in parts(g))
    return " and ".join([*["NaN"][:nan], *["inf"][:inf]])
