"""How many multiply-adds an op takes, from shapes alone.

Counted are the ops whose work grows faster than their result: products, convolutions, recurrences.
All others count as none, as is the custom.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..tape import Node
from ..version import FREED
from .tracer import Facts

Shape = tuple[int, ...]
COUNTED = ("matmul", "affine", "linear", "convolution", "attend")


def input_shapes(node: Node, facts: Facts | None) -> list[Shape | None]:
    """The shapes of an op's inputs: those on the tape, those seen, those that are kept."""
    shapes: list[Shape | None] = [None if x is None else tuple(x.shape) for x in node.inputs]
    keeping: Any = getattr(node.op, "keeping", ()) or ()
    for k, shape in enumerate(shapes):
        seen = facts.outside[k] if facts is not None and k < len(facts.outside) else None
        if shape is None and seen is not None:
            shapes[k] = seen.shape
    if node.kept is not FREED and len(keeping) == len(node.kept):
        for kept, (_, what, index) in zip(node.kept, keeping, strict=True):
            if what == "array" and isinstance(kept, np.ndarray) and index < len(shapes):
                shapes[index] = shapes[index] or kept.shape
    return shapes


def multiply_adds(node: Node, facts: Facts | None = None) -> int | None:
    """The multiply-adds of an op's forward; None for an op that is not counted, or not known."""
    name = node.op.name if node.op is not None else ""
    if not name.startswith(COUNTED) and not name.endswith("_sequence"):
        return None
    out = prod(node.shape)
    shapes = input_shapes(node, facts)
    if name == "matmul":
        left, right = (*shapes, None, None)[:2]
        if left:
            return out * left[-1]
        return out * right[-2 if len(right) > 1 else -1] if right else None
    if name == "affine" or name.startswith("linear"):
        left, right = (*shapes, None, None)[:2]
        inner = left[-1] if left else right[-1] if right else 0
        return out * inner or None
    if name in ("convolution", "convolution_with_bias"):
        weight = shapes[1] if len(shapes) > 1 else None
        return out * prod(weight[1:]) if weight else None
    if name == "convolution_input":  # transposed: each input element meets the whole kernel
        source, weight = (*shapes, None, None)[:2]
        return prod(source) * prod(weight[1:]) if source and weight else None
    if name == "attend":  # (*, L, E), (*, S, E), (*, S, V): scores, then what they weigh
        q, k, v = (*shapes, None, None, None)[:3]
        return prod(q[:-1]) * k[-2] * (q[-1] + v[-1]) if q and k and v else None
    if name == "attend_packed":
        batch_first = node.settings[-1]
        return 2 * out * node.shape[1 if batch_first else 0]
    if name.endswith("_sequence"):  # of a cell: both weights stand before both biases
        known = [s for s in (shapes[0], *shapes[-4:-2]) if s is not None]
        return known[0][0] * (prod(known[1]) + prod(known[2])) if len(known) == 3 else None
    return None
