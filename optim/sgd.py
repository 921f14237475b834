"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def sgd(
    p: Any, g: Any, momentum_buffer: Any, /, *,
    lr: float, momentum: float, dampening: float, weight_decay: float,
    nesterov: bool, maximize: bool, fresh: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Sutskever et al., 2013, with the velocity in units of the gradient."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    if momentum:
        momentum_buffer = g if fresh else momentum * momentum_buffer + (1 - dampening) * g
        g = g + momentum * momentum_buffer if nesterov else momentum_buffer
    return p - lr * g, momentum_buffer


class SGD(Elementwise):
    """Stochastic gradient descent, optionally with momentum.

    ``b ← momentum · b + (1 - dampening) · g`` (at first ``b ← g``), ``p ← p - lr · b``; with
    ``nesterov``, ``p ← p - lr · (g + momentum · b)``.  ``weight_decay · p`` is added to the
    gradient.  ``foreach`` and ``fused`` are accepted, and change nothing.

    Raises `ValueError` for negative options, and for ``nesterov`` without momentum.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w
    tensor([1.3800], requires_grad=True)
    """

    rule = sgd

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_options(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def _counts(self, group: Group) -> Numbers:
        return {}

    def _count(self, group: Group, before: Numbers) -> Numbers:
        return {}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
        return {name: number_of(group[name]) for name in names} | {"fresh": fresh}
