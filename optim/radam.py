"""RAdam: Adam that trusts its variance only once it has seen enough."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def radam(
    p: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, /, *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, t: float,
    rectification: float | None, maximize: bool, decoupled: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Liu et al., 2020, algorithm 2; without rectification it is momentum alone."""
    if maximize:
        g = -g
    if weight_decay:
        if decoupled:
            p = (1 - lr * weight_decay) * p
        else:
            g = g + weight_decay * p
    exp_avg = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * (g * g)
    rate, direction = lr / (1 - beta1**t), exp_avg
    if rectification:
        rate = rate * rectification * (1 - beta2**t) ** 0.5
        direction = exp_avg / (s.sqrt(exp_avg_sq) + eps)
    return p - rate * direction, exp_avg, exp_avg_sq


class RAdam(Elementwise):
    """Adam with a warm-up that follows from the variance of its own denominator.

    With ``ρ = 2/(1-β₂) - 1`` and ``ρₜ = ρ - 2tβ₂ᵗ/(1-β₂ᵗ)``: up to ``ρₜ = 5`` a step is
    ``lr · m̂``, then Adam's times ``√((ρₜ-4)(ρₜ-2)ρ / ((ρ-4)(ρ-2)ρₜ))``.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.RAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.4000], requires_grad=True)
    """

    rule = radam

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "maximize")
        (beta1, beta2), t = group["betas"], now["step"]
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        trusted = rho > 5
        share = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho) if trusted else 0
        return {name: number_of(group[name]) for name in names} | {
            "beta1": beta1,
            "beta2": beta2,
            "t": t,
            "rectification": share**0.5 if trusted else None,
            "decoupled": group["decoupled_weight_decay"],
        }
