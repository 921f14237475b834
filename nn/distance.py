"""Distances and angles between vectors: as functions and as modules."""

from __future__ import annotations

from dataclasses import dataclass

from ..autograd import Tensor, no_grad
from ..autograd.ops.shape import broadcast_tensors
from .settings import Settings


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """``x / max(‖x‖ₚ, ε)`` along ``dim``.

    >>> import retrograd as rg
    >>> rg.nn.functional.normalize(rg.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    result: Tensor = input / input.norm(p, dim, keepdim=True).clamp_min(eps)
    return result if out is None else out.copy_(result)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x₁ · x₂ / (max(‖x₁‖, ε) · max(‖x₂‖, ε))`` along ``dim``; the inputs broadcast.

    >>> import retrograd as rg
    >>> rg.nn.functional.cosine_similarity(rg.tensor([[1.0, 0.0]]), rg.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    if not x1.is_floating_point() or not x2.is_floating_point():
        raise RuntimeError(
            "expected common dtype to be floating point, yet common dtype is "
            f"{(x1 + x2).dtype}: convert with .float()"
        )
    units = []
    for x in broadcast_tensors(x1, x2):
        length = x.norm(2, dim, keepdim=True)
        with no_grad():  # the slope of the length is kept where ε takes its place
            longer = length.clamp_min(eps) - length
        units.append(x / (length + longer))
    return (units[0] * units[1]).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """``‖x₁ - x₂ + ε‖ₚ`` along the last axis.

    >>> import retrograd as rg
    >>> rg.nn.functional.pairwise_distance(rg.zeros(1, 2), rg.tensor([[3.0, 4.0]]))
    tensor([5.0000])
    """
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


@dataclass(eq=False, repr=False)
class PairwiseDistance(Settings):
    """`F.pairwise_distance` as a module."""

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False

    @property
    def norm(self) -> float:
        """PyTorch's name for ``p`` on the module."""
        return self.p

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distance of each row of ``x1`` from that of ``x2``."""
        return pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


@dataclass(eq=False, repr=False)
class CosineSimilarity(Settings):
    """`F.cosine_similarity` as a module."""

    dim: int = 1
    eps: float = 1e-8

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The cosine of the angle between vectors along ``dim``."""
        return cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""
