"""Adadelta."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def adadelta(
    p: Any, g: Any, square_avg: Any, acc_delta: Any, /, *,
    lr: float, rho: float, eps: float, weight_decay: float, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Zeiler, 2012, algorithm 1."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    square_avg = rho * square_avg + (1 - rho) * (g * g)
    delta = s.sqrt(acc_delta + eps) / s.sqrt(square_avg + eps) * g
    acc_delta = rho * acc_delta + (1 - rho) * (delta * delta)
    return p - lr * delta, square_avg, acc_delta


class Adadelta(Elementwise):
    """Steps in the units of the parameter: the running size of steps over that of gradients.

    ``v ← ρv + (1-ρ)g²``, ``d = g · √(u + eps) / √(v + eps)``, ``u ← ρu + (1-ρ)d²``,
    ``p ← p - lr · d``.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.Adadelta([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.9997], requires_grad=True)
    """

    rule = adadelta

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_options(lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "rho", "eps", "weight_decay", "maximize")
        return {name: number_of(group[name]) for name in names}
