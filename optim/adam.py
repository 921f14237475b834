"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..autograd import scalar as s
from .elementwise import Elementwise, Group, Numbers, number_of
from .optimizer import Params, check_options
from .update import Rule


@Rule
def adam(
    p: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, max_exp_avg_sq: Any, /, *,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, t: float,
    amsgrad: bool, maximize: bool, decoupled: bool,
) -> tuple[Any, ...]:  # fmt: skip
    """Kingma & Ba, 2015, with the rearrangement at the end of their section 2.

    Its ``√(1 - β₂ᵗ)`` scales two numbers instead of two arrays.
    """
    if maximize:
        g = -g
    if weight_decay:
        if decoupled:
            p = (1 - lr * weight_decay) * p
        else:
            g = g + weight_decay * p
    exp_avg = exp_avg + (1 - beta1) * (g - exp_avg)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * (g * g)
    if amsgrad:
        max_exp_avg_sq = s.maximum(max_exp_avg_sq, exp_avg_sq)
    root = (1 - beta2**t) ** 0.5
    rate = lr * root / (1 - beta1**t)
    spread = s.sqrt(max_exp_avg_sq if amsgrad else exp_avg_sq) + eps * root
    return p - rate * (exp_avg / spread), exp_avg, exp_avg_sq, max_exp_avg_sq


class Adam(Elementwise):
    """Adam: momentum, divided by a running root mean square of the gradient.

    ``m ← β₁m + (1-β₁)g``, ``v ← β₂v + (1-β₂)g²``, and with the biases of both corrected,
    ``p ← p - lr · m̂ / (√v̂ + eps)``.  ``amsgrad`` divides by the largest ``v`` so far.
    ``weight_decay · p`` is added to the gradient, or shrinks ``p`` itself with
    ``decoupled_weight_decay``.  ``foreach`` and ``fused`` are accepted, and change nothing.

    Raises `ValueError` for options out of range.

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.9000], requires_grad=True)
    """

    rule = adam

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        for name, value in {"lr": lr, "betas[0]": betas[0], "betas[1]": betas[1]}.items():
            if isinstance(value, Tensor) and foreach and not capturable:
                raise ValueError(
                    f"{name} as a Tensor is not supported for capturable=False and foreach=True: "
                    "leave foreach out"
                )
        check_options(lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        if not any(all(isinstance(b, kind) for b in betas) for kind in (float, Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        defaults = {
            "lr": lr,
            "betas": tuple(b.squeeze() if isinstance(b, Tensor) else b for b in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _fills(self, group: Group) -> dict[str, float]:
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return dict.fromkeys(names if group["amsgrad"] else names[:2], 0.0)

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {
            "lr": number_of(group["lr"]),
            "beta1": number_of(beta1),
            "beta2": number_of(beta2),
            "eps": group["eps"],
            "weight_decay": number_of(group["weight_decay"]),
            "t": now["step"],
            "amsgrad": group["amsgrad"],
            "maximize": group["maximize"],
            "decoupled": group["decoupled_weight_decay"],
        }


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters, and does not enter the averages.

    ``p ← (1 - lr · weight_decay) · p`` comes before Adam's step (Loshchilov & Hutter, 2019).

    >>> import retrograd as rg
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = rg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.7500], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # also in what plain Adam saved
            group["decoupled_weight_decay"] = True
