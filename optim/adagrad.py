"""Adagrad."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, functions
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule

full_like = functions["full_like"]


@Rule
def adagrad(
    p: Any, g: Any, sum: Any, /, *,
    lr: float, lr_decay: float, eps: float, weight_decay: float, t: float, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Duchi, Hazan & Singer, 2011, figure 1, the diagonal form."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    sum = sum + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * (g / (s.sqrt(sum) + eps)), sum


class Adagrad(Elementwise):
    """The gradient divided by the root of the sum of its squares so far.

    ``v ← v + g²``, ``p ← p - lr / (1 + (t-1) · lr_decay) · g / (√v + eps)``.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.9000], requires_grad=True)
    """

    rule = adagrad

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_options(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

        for group in self.param_groups:
            for p in group["params"]:
                start = initial_accumulator_value
                filled = full_like(p, complex(start, start) if p.is_complex() else start)
                self.state[p] = {"step": self._counter(0.0), "sum": filled.detach()}

    def _fills(self, group: Group) -> dict[str, float]:
        return {"sum": self.defaults["initial_accumulator_value"]}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "lr_decay", "eps", "weight_decay", "maximize")
        return {name: number_of(group[name]) for name in names} | {"t": now["step"]}
