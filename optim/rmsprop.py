"""RMSprop."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def rmsprop(
    p: Any, g: Any, square_avg: Any, momentum_buffer: Any, grad_avg: Any, /, *,
    lr: float, alpha: float, eps: float, weight_decay: float, momentum: float,
    centered: bool, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Hinton's lecture 6e; centered as in Graves, 2013, with eps outside of the root."""
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    square_avg = alpha * square_avg + (1 - alpha) * (g * g)
    if centered:
        grad_avg = grad_avg + (1 - alpha) * (g - grad_avg)
        step = g / (s.sqrt(square_avg - grad_avg * grad_avg) + eps)
    else:
        step = g / (s.sqrt(square_avg) + eps)
    if momentum:
        step = momentum_buffer = momentum * momentum_buffer + step
    return p - lr * step, square_avg, momentum_buffer, grad_avg


class RMSprop(Elementwise):
    """The gradient divided by a running root mean square of itself.

    ``v ← αv + (1-α)g²``, ``p ← p - lr · g / (√v + eps)``; ``centered`` divides by the running
    standard deviation, and ``momentum`` gathers the steps.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.RMSprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.0000], requires_grad=True)
    """

    rule = rmsprop

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_options(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        wanted = {
            "square_avg": True,
            "momentum_buffer": group["momentum"] > 0,
            "grad_avg": group["centered"],
        }
        return {name: 0.0 for name, want in wanted.items() if want}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        names = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")
        return {name: number_of(group[name]) for name in names}
