"""Adamax."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def adamax(
    p: Any, g: Any, exp_avg: Any, exp_inf: Any, /, *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, t: float,
    maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Kingma & Ba, 2015, algorithm 2, with eps added to the size of the gradient."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    exp_avg = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_inf = s.maximum(beta2 * exp_inf, s.abs(g) + eps)
    return p - lr / (1 - beta1**t) * (exp_avg / exp_inf), exp_avg, exp_inf


class Adamax(Elementwise):
    """Adam with the largest recent gradient in place of the root mean square.

    ``m ← β₁m + (1-β₁)g``, ``u ← max(β₂u, |g| + eps)``, ``p ← p - lr · m̂ / u``.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.Adamax([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.9000], requires_grad=True)
    """

    rule = adamax

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "maximize")
        beta1, beta2 = group["betas"]
        options = {name: number_of(group[name]) for name in names}
        return options | {"beta1": beta1, "beta2": beta2, "t": now["step"]}
