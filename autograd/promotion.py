"""Elementwise calls that are not plain: numbers, arrays, mixed types, shapes that do not fit.

The function of an elementwise op comes here when its straight path refuses.  A number beside a
float tensor goes to a version of the op written for that; the rest is brought to one type first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes as dt
from .op import Op, not_a_tensor, record
from .shapes import broadcast
from .tensor import Tensor

Array = np.ndarray[Any, Any]


def elementwise_slowly(op: Op, args: tuple[Any, ...], settings: tuple[Any, ...]) -> Any:
    """Any operands; `TypeError` for what is none."""
    if op.numbers != "both":
        _refuse_numbers(op, *args)
    if len(args) == 2:
        quick = _by_number(op, *args)
        if quick is not None:
            return quick
    out = computed(op, args, settings)
    if out is NotImplemented:
        raise not_a_tensor(op, args)
    return out


def _refuse_numbers(op: Op, a: Any, b: Any) -> None:
    a_may = op.numbers == "either" and isinstance(b, Tensor)
    b_may = op.numbers != "none"
    if not (a_may or isinstance(a, Tensor)) or not (b_may or isinstance(b, Tensor)):
        raise not_a_tensor(op, (a, b))


def operator_slowly(op: Op, args: tuple[Any, ...], settings: tuple[Any, ...]) -> Any:
    """`elementwise_slowly` for an operator: foreign operands are left to Python."""
    quick = _by_number(op, *args)
    return computed(op, args, settings) if quick is None else quick


def _by_number(op: Op, a: Any, b: Any) -> Any:
    """The op with one Python number, where it is written for that; else None."""
    if op.with_number is None:
        return None
    kind = b.__class__
    if (kind is float or kind is int) and isinstance(a, Tensor):
        return op.with_number[1](a, b)
    kind = a.__class__
    if (kind is float or kind is int) and isinstance(b, Tensor):
        return op.with_number[0](a, b)
    return None


def computed(op: Op, args: tuple[Any, ...], settings: tuple[Any, ...]) -> Any:
    """The result in PyTorch's type; NotImplemented if an operand is no tensor, array or number."""
    xs = [x if isinstance(x, Tensor) else _operand(x) for x in args]
    if any(x is NotImplemented for x in xs):
        return NotImplemented
    target = _computing_type(op, xs)
    if op.ints == "refuse" and target.category < dt.FLOAT:
        raise _refused(op, target, TypeError("it is defined for floating-point types"))
    if op.ordered and target.is_complex:
        raise _refused(op, target, TypeError("complex numbers have no order"))
    compute = dt.float32 if target.array != target.compute else target
    ready = [
        x if name in op.uncounted else _brought_to(compute, x)
        for name, x in zip(op.inputs, xs, strict=True)
    ]
    arrays = [x.array if isinstance(x, Tensor) else x for x in ready]
    broadcast(*(a.shape for a in arrays if isinstance(a, np.ndarray)))
    try:
        with np.errstate(all="ignore"):
            out = np.asarray(op.body(*arrays, *settings))
    except (TypeError, OverflowError, ValueError) as error:
        raise _refused(op, target, error) from None
    if op.promote == "bool":
        return record(op, ready, arrays, settings, (out,))
    if out.dtype != compute.array:
        out = out.astype(compute.array)
    result = record(op, ready, arrays, settings, (out,))
    return result if compute is target else result.to(target)


def _operand(x: Any) -> Any:
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (bool, int, float, complex)):
        return x
    if isinstance(x, np.ndarray):
        from .creation import as_tensor

        return as_tensor(x)
    return NotImplemented


def _computing_type(op: Op, xs: list[Any]) -> dt.dtype:
    counted = [x for x, name in zip(xs, op.inputs, strict=True) if name not in op.uncounted]
    tensors = [x for x in counted if isinstance(x, Tensor)]
    target = dt.result_of(
        (x.dtype for x in tensors if x.array.ndim),
        (x.dtype for x in tensors if not x.array.ndim),
        (x for x in counted if not isinstance(x, Tensor)),
    )
    if op.promote == "float" and op.ints != "refuse" and target.category < dt.FLOAT:
        return dt.get_default_dtype()
    return target


def _brought_to(d: dt.dtype, x: Any) -> Any:
    """An operand in the type the op computes in.  Numbers stay numbers: they are weak."""
    if isinstance(x, Tensor):
        return x if x.dtype is d else x.to(d)
    if d.category == dt.FLOAT:
        return float(x)
    if d.category == dt.INTEGER and isinstance(x, bool):
        return int(x)
    return x


def _refused(op: Op, d: dt.dtype, error: Exception) -> Exception:
    if isinstance(error, OverflowError):
        return RuntimeError(f"{op.name}: value cannot be converted to type {d} without overflow")
    if isinstance(error, ValueError):
        return RuntimeError(f"{op.name}: {error}")
    name = "Bool" if d is dt.bool_ else repr(d)
    return NotImplementedError(
        f"\"{op.name}\" not implemented for '{name}': {error}. Convert with .to(...) first."
    )
