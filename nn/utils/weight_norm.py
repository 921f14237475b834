"""Weights as a length and a direction, set before each forward by a hook."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from ...autograd import Parameter, Tensor
from ..module import Module
from ..parameter import is_lazy

M = TypeVar("M", bound=Module)


def norm_except_dim(v: Tensor, pow: float = 2, dim: int = 0) -> Tensor:
    """The norm over all axes but one; over all of them for ``dim`` of -1."""
    if dim == -1:
        return v.norm(pow)
    axes = [axis for axis in range(v.ndim) if axis != dim]
    return v.norm(pow, axes, keepdim=True) if axes else v.abs()


def normed_weight(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``g · v / ‖v‖`` (Salimans and Kingma 2016)."""
    return v * (g / norm_except_dim(v, 2, dim))


class WeightNorm:
    """The hook that makes a weight of ``<name>_g``, its length, and ``<name>_v``."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """``g · v / ‖v‖``."""
        v, g = (getattr(module, f"{self.name}_{part}") for part in "vg")
        return normed_weight(v, g, self.dim)

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        for name in (self.name, f"{self.name}_g", f"{self.name}_v"):
            delattr(module, name)
        setattr(module, self.name, Parameter(weight.detach()))


def weight_norm(module: M, name: str = "weight", dim: int = 0) -> M:
    """Replace a parameter by its length along each index of ``dim`` and its direction.

    PyTorch's older form, with its warning; `parametrizations.weight_norm` is the newer.

    Raises `RuntimeError` if it is done already, `ValueError` for a lazy module.
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of "
        "`torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    refuse_second_hook(module, name, WeightNorm, "weight_norm")
    weight = getattr(module, name)
    if is_lazy(weight):
        raise ValueError(
            "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to "
            "run the dummy forward before applying weight normalization"
        )
    hook = WeightNorm(name, dim)
    delattr(module, name)
    length = norm_except_dim(weight.detach(), 2, hook.dim)
    module.register_parameter(f"{name}_g", Parameter(length))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, None)
    module.register_forward_pre_hook(hook)
    return module


def refuse_second_hook(module: Module, name: str, kind: type, what: str) -> None:
    """Raise `RuntimeError` if a hook of this kind makes the parameter already."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, kind) and hook.name == name:  # type: ignore[attr-defined]
            raise RuntimeError(f"Cannot register two {what} hooks on the same parameter {name}")


def remove_hook(module: Module, table: Any, kind: type, name: str) -> Any:
    """Take the hook of this kind and name out of a table, and return it; None if there is none."""
    for number, hook in table.items():
        if isinstance(hook, kind) and hook.name == name:  # type: ignore[attr-defined]
            del table[number]
            return hook
    return None


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make a parameter of what `weight_norm` split; `ValueError` if it did not."""
    hook = remove_hook(module, module._forward_pre_hooks, WeightNorm, name)
    if hook is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    hook.remove(module)
    return module
