"""Weights of convolutions in another order of memory."""

from __future__ import annotations

from typing import Any, TypeVar

from ..module import Module

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Lay the weights of all `Conv2d` and `ConvTranspose2d` below out in ``memory_format``."""
    return _convert(module, ("Conv2d", "ConvTranspose2d"), memory_format)


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Lay the weights of all `Conv3d` and `ConvTranspose3d` below out in ``memory_format``."""
    return _convert(module, ("Conv3d", "ConvTranspose3d"), memory_format)


def _convert(root: M, names: tuple[str, ...], memory_format: Any) -> M:
    for module in root.modules():
        if any(cls.__name__ in names for cls in type(module).__mro__):
            weight: Any = module.weight
            weight.data = weight.detach().clone(memory_format=memory_format)
    return root
