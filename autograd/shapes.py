"""Shapes and axes: what broadcasts to what, how it is undone, and which axis is meant.

Pure functions of arrays and tuples; nothing here knows a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def sum_to(g: Array, shape: Shape) -> Array:
    """Undo broadcasting: add up the axes along which ``shape`` was stretched to ``g.shape``."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    if lead == 1 and g.shape[1:] == shape:  # the bias of a batch
        return np.asarray(np.add.reduce(g, 0))
    stretched = (i for i, n in enumerate(shape, lead) if n == 1 and g.shape[i] != 1)
    total = np.add.reduce(g, axis=(*range(lead), *stretched), keepdims=True)
    return total.reshape(shape)


def expand(x: Array, shape: Shape) -> Array:
    """``x`` stretched to ``shape`` without a copy: new and stretched axes have stride 0.

    `np.broadcast_to` does the same in 1.8 µs; this takes 0.3 µs for a scalar, 0.8 for others, and
    every `sum` that goes backward needs it.  Several elements of the result may share memory:
    whoever shows it to the user forbids writing.
    """
    if x.ndim == 0:
        return np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    if x.shape == shape:
        return x
    strides = [0] * (len(shape) - x.ndim)
    for n, m, step in zip(x.shape, shape[len(strides) :], x.strides):  # noqa: B905 - of one length
        strides.append(step if n == m else 0)
    if x.size and x.flags.c_contiguous:
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def broadcast(*shapes: Shape) -> Shape:
    """The shape that all ``shapes`` stretch to; `RuntimeError` in PyTorch's words when none."""
    out: list[int] = []
    for shape in shapes:
        out = [1] * (len(shape) - len(out)) + out
        for axis in range(-1, -len(shape) - 1, -1):
            n, m = out[axis], shape[axis]
            if m != 1 and n not in (1, m):
                raise RuntimeError(
                    f"The size of tensor a ({n}) must match the size of tensor b ({m}) at "
                    f"non-singleton dimension {axis + len(out)}: shapes {_spell(shapes)} do not "
                    "broadcast. Sizes are compared from the right and must be equal or 1; "
                    "unsqueeze, transpose or expand one of them."
                )
            if m != 1:
                out[axis] = m
    return tuple(out)


def _spell(shapes: Sequence[Shape]) -> str:
    return " and ".join(str(list(s)) for s in shapes)


def axis_of(dim: Any, ndim: int) -> int:
    """One axis counted from the front; `IndexError` in PyTorch's words when out of range."""
    if type(dim) is int:
        if 0 <= dim < ndim:
            return dim
    else:
        try:
            dim = dim.__index__()
        except AttributeError:
            raise TypeError(f"dim must be an int, not {type(dim).__name__}") from None
    reach = ndim or 1  # a scalar is addressed as if it had one axis
    if not -reach <= dim < reach:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-reach}, {reach - 1}], "
            f"but got {dim})"
        )
    return int(dim % reach)


def axes_of(dim: Any, ndim: int) -> tuple[int, ...] | None:
    """Axes for a reduction: None (all) or a sorted tuple; an empty tuple means all too."""
    if dim is None:
        return None
    if not isinstance(dim, (tuple, list)):
        return (axis_of(dim, ndim),) if ndim else _scalar_axis(dim)
    axes = sorted(axis_of(d, ndim) for d in dim)
    for before, after in pairwise(axes):
        if before == after:
            raise RuntimeError(f"dim {after} appears multiple times in the list of dims")
    return tuple(axes) or None if ndim else None


def _scalar_axis(dim: Any) -> tuple[int, ...] | None:
    axis_of(dim, 0)  # complains
    return None


def size_of(shape: Sequence[Any]) -> Shape:
    """A size given as ``(2, 3)`` or as ``((2, 3),)``, as a tuple of ints."""
    for n in shape:
        if type(n) is not int:
            break
    else:
        return shape if type(shape) is tuple else tuple(shape)
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    return tuple([n if type(n) is int else n.__index__() for n in shape])


def infer(shape: Shape, total: int) -> Shape:
    """``shape`` with its one -1 replaced, so that it holds ``total`` elements."""
    if math.prod(shape) == total and min(shape, default=0) >= 0:
        return shape
    known, holes = 1, 0
    for n in shape:
        if n == -1:
            holes += 1
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n}")
        else:
            known *= n
    if holes > 1:
        raise RuntimeError("only one dimension can be inferred")
    if holes:
        if known == 0 and total == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous"
            )
        if known and total % known == 0:
            return tuple(total // known if n == -1 else n for n in shape)
    elif known == total:
        return shape
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {total}")


def unwound(trail: Any) -> Iterator[tuple[Any, ...]]:
    """The links of a chain ``(earlier links, *link)``, the last first."""
    while trail:
        trail, *link = trail
        yield tuple(link)
