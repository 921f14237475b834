"""In-place writes: the one place where a tensor's memory changes under autograd.

`write(target, value)` puts values into memory and re-roots the tensor on the tape: from now on it
is what the write made.  Through a view it is the *base* that is re-rooted, by the op `put`, whose
gradient is split between the base's old value (zero where it was overwritten) and the new part;
every view of the base notices by itself (`tensor.node_of`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes as dt
from . import scalar as s
from . import version
from .op import Op, registry, watch
from .tape import Node, new_node, recording
from .tensor import Tensor, node_of, wrap

Array = np.ndarray[Any, Any]


def put(x: Array, value: Array, /, region: s.Region) -> Array:
    """``x`` with ``value`` written into ``region``."""
    return s.put(x, value, region)


PUT = registry["put"] = Op(
    "select",
    put,
    {
        "d_x": lambda g, region: s.put(g, 0, region),
        "d_value": lambda g, region: s.take(g, region),
    },
    cases=[((3, 4), (4,), {"region": ((), 1)})],
)


def write(
    target: Tensor, value: Tensor, op: str = "copy_", *, index: Any = None, fresh: bool = False
) -> Tensor:
    """Write ``value`` into ``target``, or into ``target[index]``; returns ``target``.

    ``fresh`` says that ``value`` was computed for this write alone and has its shape, so its node
    becomes the target's own.  Raises `RuntimeError` where PyTorch does: a leaf that requires a
    gradient, memory that several elements share, a type that cannot hold the values.
    """
    array, new = target.array, value.array
    if new.dtype is not array.dtype:
        value = _converted(value, target, op)
        new = value.array
    mode = recording()
    node = node_of(target)
    wants = mode is not None and (
        node is not None
        or value.node is not None
        or (target.source is not None and target.source.base.node is not None)
    )
    if wants:
        _check_may_be_written(target, node)
    if not array.flags.writeable:
        array = _writeable(array, op, one_value=index is None and not new.ndim)
    if (fresh and new.shape != array.shape) or (index is None and new.ndim > array.ndim):
        raise RuntimeError(
            f"{op}: output with shape {list(array.shape)} doesn't match the broadcast shape "
            f"{list(new.shape)}; use the out-of-place form"
        )
    if wants and fresh and value.node is not None:
        _save_what_is_overwritten(value.node, array)
    try:
        if index is None:
            np.copyto(array, new)
        else:
            array[index] = new
    except (ValueError, TypeError) as error:  # a mask and too many axes make a TypeError
        raise RuntimeError(
            f"{op}: a value of shape {list(new.shape)} does not broadcast to the "
            f"{list(array.shape if index is None else array[index].shape)} it is written to: "
            f"{error}"
        ) from None
    version.note_change(array, op)
    if wants:
        _reroot(target, value, index, fresh)
    return target


def is_plain(target: Tensor, value: Tensor) -> bool:
    """Whether nothing about writing ``value`` to ``target`` concerns the tape, or is refused."""
    source = target.source
    return (
        target.node is None
        and value.node is None
        and (source is None or source.base.node is None)
        and target.array.flags.writeable
    )


def _writeable(array: Array, op: str, one_value: bool) -> Array:
    """The same memory for writing: of an expanded tensor, if no element is written two values."""
    repeats = any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))
    if repeats and not (one_value and op in ("fill_", "setitem_")):
        raise RuntimeError(
            f"{op}: unsupported operation: more than one element of the written-to tensor refers "
            "to a single memory location. Please clone() the tensor before performing the "
            "operation."
        )
    held = version.owner(array)
    memory = held if held.flags.c_contiguous else held.T
    if not held.flags.writeable or not memory.flags.c_contiguous:
        raise RuntimeError(
            f"{op}: the tensor's memory is read-only: it came from a read-only NumPy array, or "
            "its elements overlap. Please clone() the tensor before performing the operation."
        )
    first, start = (a.__array_interface__["data"][0] for a in (array, memory))
    return np.ndarray(array.shape, array.dtype, memory, first - start, array.strides)


def update(target: Tensor, op: str, change: Callable[[Array], object]) -> Tensor:
    """Let ``change`` overwrite all of ``target``'s memory with values that need no gradient."""
    fresh = np.empty_like(target.array)
    change(fresh)
    return write(target, wrap(fresh), op)


def adopt(target: Tensor, node: Node) -> None:
    """Put ``target``, whose memory was written by what ``node`` records, on that node.

    Raises `RuntimeError` for the targets that `write` refuses.
    """
    _check_may_be_written(target, node_of(target))
    _reroot(target, wrap(target.array, node), None, fresh=True)


def _converted(value: Tensor, target: Tensor, op: str) -> Tensor:
    computes = op.endswith("_") and op not in ("copy_", "fill_", "setitem_")
    if computes and not dt.can_cast(value.dtype, target.dtype):
        raise RuntimeError(
            f"{op}: result type {_spoken(value.dtype)} can't be cast to the desired output "
            f"type {_spoken(target.dtype)}; use the out-of-place form"
        )
    result: Tensor = value.to(target.dtype)
    return result


def _spoken(d: dt.dtype) -> str:
    return {
        "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
        "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
        "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
    }[d.name]  # fmt: skip


def _check_may_be_written(target: Tensor, node: Node | None) -> None:
    remedy = "Wrap the write in torch.no_grad(), or use the out-of-place form."
    if node is not None and node.op is None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation. " + remedy
        )
    source = target.source
    if source is None:
        return
    base = source.base.node
    if base is not None and base.op is None:
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place "
            "operation. " + remedy
        )
    if source.steps is None:
        raise RuntimeError(
            "A view was created in no_grad mode, or by a custom Function, and is being modified "
            "inplace with grad mode enabled. Make the view where gradients are recorded, or write "
            "to a clone."
        )
    if source.is_one_of_several:
        raise RuntimeError(
            "this view is the output of a function that returns multiple views (unbind, split), "
            "and is being modified inplace. Such functions do not allow the output views to be "
            "modified inplace: index the base, or write to a clone."
        )


def _save_what_is_overwritten(node: Node, array: Array) -> None:
    """Copy those kept arrays of ``node`` that the write is about to change."""
    if any(type(k) is np.ndarray and np.may_share_memory(k, array) for k in node.kept):
        node.kept = tuple(
            k.copy() if type(k) is np.ndarray and np.shares_memory(k, array) else k
            for k in node.kept
        )


def _reroot(target: Tensor, value: Tensor, index: Any, fresh: bool) -> None:
    """Give the target, or the base it is a view of, the node of what was written."""
    source = target.source
    if source is None and fresh:
        target.node = value.node
        return
    base = target if source is None else source.base
    steps = () if source is None else source.steps
    region = (steps, index)
    node = new_node((base.node, value.node), (), PUT, (region,), base.array)
    watch(node, (), recording())
    base.node = node
