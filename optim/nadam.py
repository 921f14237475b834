"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .batch import counter_kind
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def nadam(
    p: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, /, *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, t: float,
    of_gradient: float, of_average: float, maximize: bool, decoupled: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Dozat, 2016, algorithm 2; the last two numbers are the weights in the mixed momentum."""
    if maximize:
        g = -g
    if weight_decay:
        if decoupled:
            p = (1 - lr * weight_decay) * p
        else:
            g = g + weight_decay * p
    exp_avg = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * (g * g)
    spread = s.sqrt(exp_avg_sq / (1 - beta2**t)) + eps
    step = (lr * of_gradient * g + lr * of_average * exp_avg) / spread
    return p - step, exp_avg, exp_avg_sq


class NAdam(Elementwise):
    """Adam whose momentum looks one step ahead, with a schedule of its own.

    ``μₜ = β₁ (1 - 0.96^(t · momentum_decay) / 2)``; the step is
    ``lr · ((1-μₜ) g / (1-∏μ) + μₜ₊₁ m / (1-μₜ₊₁∏μ)) / (√v̂ + eps)``.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.8944], requires_grad=True)
    """

    rule = nadam

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_options(
            lr=lr, eps=eps, betas=betas, weight_decay=weight_decay, momentum_decay=momentum_decay
        )
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _counts(self, group: Group) -> Numbers:
        return {"step": 0.0, "mu_product": 1.0}

    def _count(self, group: Group, before: Numbers) -> Numbers:
        t = before["step"] + 1
        exact = counter_kind().type  # the product of rounded factors, as in PyTorch
        product = exact(before["mu_product"]) * exact(_momentum(group, t))
        return {"step": t, "mu_product": product.item()}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "eps", "weight_decay", "maximize")
        beta1, beta2 = group["betas"]
        t, product = now["step"], now["mu_product"]
        mu, mu_next = _momentum(group, t), _momentum(group, t + 1)
        return {name: number_of(group[name]) for name in names} | {
            "beta1": beta1,
            "beta2": beta2,
            "t": t,
            "of_gradient": (1 - mu) / (1 - product),
            "of_average": mu_next / (1 - product * mu_next),
            "decoupled": group["decoupled_weight_decay"],
        }


def _momentum(group: Group, t: float) -> float:
    """The momentum of step ``t``."""
    decay: float = 0.96 ** (t * group["momentum_decay"])
    return float(group["betas"][0]) * (1 - 0.5 * decay)
