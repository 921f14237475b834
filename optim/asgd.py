"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def asgd(
    p: Any, g: Any, ax: Any, /, *,
    eta: float, mu: float, lambd: float, weight_decay: float, averaging: bool, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Polyak & Juditsky, 1992: descent, and the average of where it has been."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    p = (1 - lambd * eta) * p - eta * g
    return p, ax + mu * (p - ax) if averaging else p


class ASGD(Elementwise):
    """Gradient descent with a falling rate; the average of the parameters is in the state ``ax``.

    ``p ← (1 - lambd · η) p - η g`` with ``η = lr / (1 + lambd · lr · t)^alpha``; the average
    begins after ``t0`` steps.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.ASGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.4000], requires_grad=True)
    """

    rule = asgd

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_options(lr=lr, weight_decay=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"ax": 0.0}

    def _counts(self, group: Group) -> Numbers:
        return {"step": 0.0, "eta": number_of(group["lr"]), "mu": 1.0}

    def _count(self, group: Group, before: Numbers) -> Numbers:
        t, lr = before["step"] + 1, number_of(group["lr"])
        eta = lr / (1 + group["lambd"] * lr * t) ** group["alpha"]
        return {"step": t, "eta": eta, "mu": 1 / max(1, t - group["t0"])}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        eta, mu = before["eta"], before["mu"]
        names = ("lambd", "weight_decay", "maximize")
        options = {name: number_of(group[name]) for name in names}
        return options | {"eta": eta, "mu": mu, "averaging": mu != 1}
