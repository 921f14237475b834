"""Rprop: steps by the sign of the gradient alone."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def rprop(
    p: Any, g: Any, prev: Any, step_size: Any, /, *,
    shrink: float, grow: float, smallest: float, largest: float, maximize: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Igel & Hüsken, 2000, without going back: a turn is waited out for one step."""
    if maximize:
        g = -g
    same = s.sign(g * prev)
    onward = s.minimum(same + 1, 1)  # 0 where the gradient has turned, else 1
    step_size = step_size * (s.maximum(grow * same, 1) * s.maximum(onward, shrink))
    step_size = s.minimum(s.maximum(step_size, smallest), largest)
    g = onward * g
    return p - s.sign(g) * step_size, g, step_size


class Rprop(Elementwise):
    """A step size for each element: larger while its gradient keeps its sign, else smaller.

    ``p ← p - sign(g) · step``; ``step`` begins with ``lr``, is multiplied by one of ``etas`` and
    kept within ``step_sizes``.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.9000], requires_grad=True)
    """

    rule = rprop

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_options(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        return {"prev": 0.0, "step_size": number_of(group["lr"])}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        shrink, grow = group["etas"]
        smallest, largest = group["step_sizes"]
        return {
            "shrink": shrink,
            "grow": grow,
            "smallest": smallest,
            "largest": largest,
            "maximize": group["maximize"],
        }
