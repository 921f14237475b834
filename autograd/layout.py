"""In which order a tensor's elements lie in memory: PyTorch's memory formats.

A format is an order of axes, the slowest first.  All that is done here is to lay an array out in
one, and to ask whether it lies in one.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class layout(Enum):  # noqa: N801 - PyTorch's name
    """How a tensor is stored: as strides over memory, always."""

    strided = "strided"

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    __str__ = __repr__


class memory_format(Enum):  # noqa: N801 - PyTorch's name
    """An order of elements in memory.

    ``channels_last`` is for (N, C, H, W), ``channels_last_3d`` for (N, C, D, H, W);
    ``preserve_format`` is the order of the tensor that is copied.
    """

    contiguous_format = "contiguous_format"
    preserve_format = "preserve_format"
    channels_last = "channels_last"
    channels_last_3d = "channels_last_3d"

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    __str__ = __repr__


strided = layout.strided
contiguous_format = memory_format.contiguous_format
preserve_format = memory_format.preserve_format
channels_last = memory_format.channels_last
channels_last_3d = memory_format.channels_last_3d

ORDERS = {channels_last: (0, 2, 3, 1), channels_last_3d: (0, 2, 3, 4, 1)}


def check_layout(name: str, given: Any) -> None:
    """Raise `TypeError` for anything but `strided`, or None."""
    if given is not None and given is not strided:
        raise TypeError(
            f"{name}(): argument 'layout' must be torch.layout, and torch.strided is the only "
            f"one here; got {given!r}"
        )


def check_format(name: str, given: Any) -> memory_format:
    """The memory format that is meant; None means to preserve what is there."""
    if given is None:
        return preserve_format
    if not isinstance(given, memory_format):
        raise TypeError(
            f"{name}(): argument 'memory_format' must be torch.memory_format, such as "
            f"torch.channels_last, not {type(given).__name__}"
        )
    return given


def lies_in(array: Array, form: memory_format) -> bool:
    """Whether the elements lie in memory in that order, without gaps."""
    if form in ORDERS:
        order = ORDERS[form]
        return array.ndim == len(order) and array.transpose(order).flags.c_contiguous
    return array.flags.c_contiguous


def form_of(array: Array) -> memory_format:
    """The format that PyTorch would suggest for more arrays like this one."""
    if not array.flags.c_contiguous:
        for form in ORDERS:
            if lies_in(array, form):
                return form
    return contiguous_format


def empty(
    shape: tuple[int, ...], kind: np.dtype[Any], form: memory_format, like: Array | None = None
) -> Array:
    """Uninitialised memory in a format, which may be to preserve that of ``like``.

    Raises `RuntimeError` when the format is for another number of axes, or there is nothing to
    preserve.
    """
    if form in ORDERS:
        order = ORDERS[form]
        if len(shape) != len(order):
            raise RuntimeError(
                f"required rank {len(order)} tensor to use {form.name} format, but the shape is "
                f"{list(shape)}"
            )
        return np.empty([shape[i] for i in order], kind).transpose(np.argsort(order))
    if form is contiguous_format:
        return np.empty(shape, kind)
    if like is None:
        raise RuntimeError("unsupported memory format Preserve: a new tensor has none yet")
    return np.empty_like(like, kind, shape=shape, subok=False)


def copied(array: Array, form: memory_format) -> Array:
    """A copy in a format."""
    out = empty(array.shape, array.dtype, form, array)
    out[...] = array
    return out
