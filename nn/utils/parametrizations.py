"""Parametrizations that are ready: weights of unit norm, of unit spectral norm, orthogonal ones."""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd import Tensor, no_grad
from ..functional import normalize
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import as_matrix, check_iterations, first_axis
from .weight_norm import norm_except_dim, normed_weight

__all__ = ["spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class _WeightNorm(Module):
    """A length along each index of an axis, and a direction."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """``g · v / ‖v‖``."""
        return normed_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The length, and the weight itself as its direction."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int = 0) -> M:
    """Parametrize a tensor by its length along each index of ``dim`` and its direction.

    ``W = g · v / ‖v‖``; g is ``original0`` and v ``original1`` (Salimans and Kingma 2016).  State
    dicts of the older `utils.weight_norm` can be loaded.

    >>> import retrograd as rg
    >>> rg.nn.utils.parametrizations.weight_norm(rg.nn.Linear(2, 3))
    ParametrizedLinear(
      in_features=2, out_features=3, bias=True
      (parametrizations): ModuleDict(
        (weight): ParametrizationList(
          (0): _WeightNorm()
        )
      )
    )
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module._register_load_state_dict_pre_hook(_OldWeightNorm(name))
    return module


class _OldWeightNorm:
    """The hook that gives the keys of the older form their new names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, state_dict: Any, prefix: str, *report: Any) -> None:
        old = [f"{prefix}{self.name}_{part}" for part in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                new = f"{prefix}parametrizations.{self.name}.original{i}"
                state_dict[new] = state_dict.pop(key)


class _SpectralNorm(Module):
    """Division by the largest singular value, which the power method follows in training."""

    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but "
                f"got {dim})"
            )
        check_iterations(n_power_iterations)
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                drawn = matrix.new_empty(size).normal_(0, 1)
                self.register_buffer(name, normalize(drawn, dim=0, eps=eps))
            self._power_method(matrix, 15)

    @no_grad()
    def _power_method(self, matrix: Tensor, steps: int) -> None:
        for _ in range(steps):
            self._u.copy_(normalize(matrix.mv(self._v), dim=0, eps=self.eps))
            self._v.copy_(normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        """``W / σ``."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # the next step of the method writes to them
        return weight / u.dot(matrix.mv(v))  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself: it is divided by its norm, not multiplied before."""
        return value


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Parametrize a tensor as itself divided by its largest singular value (Miyato et al. 2018).

    Raises `ValueError` if there is no such tensor, or for no iterations at all.

    >>> import retrograd as rg
    >>> layer = rg.nn.utils.parametrizations.spectral_norm(rg.nn.Linear(20, 40))
    >>> list(layer.state_dict())[1:]
    ['parametrizations.weight.original', 'parametrizations.weight.0._u', \
'parametrizations.weight.0._v']
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    made = _SpectralNorm(weight, n_power_iterations, first_axis(module, dim), eps)
    return register_parametrization(module, name, made)
