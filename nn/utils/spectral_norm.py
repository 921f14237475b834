"""Weights divided by their largest singular value, by a hook before each forward."""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd import Parameter, Tensor, no_grad
from ..functional import normalize
from ..module import Module
from ..parameter import is_lazy
from .weight_norm import refuse_second_hook, remove_hook

M = TypeVar("M", bound=Module)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with the axis ``dim`` first, and the others as one."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def first_axis(module: Module, dim: int | None) -> int:
    """The axis of the outputs: 1 for transposed convolutions, where nothing else is asked for."""
    if dim is not None:
        return dim
    names = {cls.__name__ for cls in type(module).__mro__}
    return int(not names.isdisjoint({f"ConvTranspose{n}d" for n in (1, 2, 3)}))


def check_iterations(n_power_iterations: int) -> None:
    """Raise `ValueError` unless there is at least one."""
    if n_power_iterations <= 0:
        raise ValueError(
            "Expected n_power_iterations to be positive, but got "
            f"n_power_iterations={n_power_iterations}"
        )


class SpectralNorm:
    """The hook that makes a weight of ``<name>_orig``, with singular vectors in two buffers."""

    _version = 1

    def __init__(
        self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        check_iterations(n_power_iterations)
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """``W / σ`` with ``σ = uᵀ W v``, after steps of the power method on u and v."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(matrix.t().mv(u), dim=0, eps=self.eps))
                    u.copy_(normalize(matrix.mv(v), dim=0, eps=self.eps))
                u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))  # type: ignore[no-any-return]

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, False)
        for name in (self.name, f"{self.name}_u", f"{self.name}_v", f"{self.name}_orig"):
            delattr(module, name)
        module.register_parameter(self.name, Parameter(weight.detach()))


class SpectralNormStateDictHook:
    """The hook that says in a state dict's metadata how its spectral norms are to be read."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn
        self.name = fn.name

    def __call__(self, module: Module, state_dict: Any, prefix: str, metadata: Any) -> None:
        versions = metadata.setdefault("spectral_norm", {})
        key = f"{self.name}.version"
        if key in versions:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = self.fn._version


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a parameter by its largest singular value before each forward (Miyato et al. 2018).

    In training mode each forward takes steps of the power method.  PyTorch's older form;
    `parametrizations.spectral_norm` is the newer.

    Raises `RuntimeError` if it is done already, `ValueError` for a lazy module or no parameter.
    """
    refuse_second_hook(module, name, SpectralNorm, "spectral_norm")
    hook = SpectralNorm(name, n_power_iterations, first_axis(module, dim), eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    if is_lazy(weight):
        raise ValueError(
            "The module passed to `SpectralNorm` can't have uninitialized parameters. Make sure to "
            "run the dummy forward before applying spectral normalization"
        )
    with no_grad():
        sizes = as_matrix(weight, hook.dim).shape
        u, v = (normalize(weight.new_empty(size).normal_(0, 1), dim=0, eps=eps) for size in sizes)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.data)  # for those who read it before the first forward
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    module._register_state_dict_hook(SpectralNormStateDictHook(hook))
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make a parameter of what `spectral_norm` divides; `ValueError` if it does not."""
    hook = remove_hook(module, module._forward_pre_hooks, SpectralNorm, name)
    if hook is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    hook.remove(module)
    remove_hook(module, module._state_dict_hooks, SpectralNormStateDictHook, name)
    return module
