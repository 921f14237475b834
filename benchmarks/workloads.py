"""What is timed: workloads by family and name.

A workload is a function that gets the engine's module under the name ``torch`` and returns a
function to be timed, and how many operations one call of it counts for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Step = Callable[[], Any]
Workload = Callable[[Any], tuple[Step, int]]

FAMILIES: dict[str, dict[str, Workload]] = {}


def workload(family: str, name: str) -> Callable[[Workload], Workload]:
    """Enter a workload under its family and name."""

    def enter(make: Workload) -> Workload:
        FAMILIES.setdefault(family, {})[name] = make
        return make

    return enter


CHAIN = 100


def _chain(torch: Any, x: Any, link: Callable[[Any], Any]) -> tuple[Step, int]:
    """Forward and backward of a chain of one op; counted per op."""
    x.requires_grad_()

    def step() -> None:
        y = x
        for _ in range(CHAIN):
            y = link(y)
        y.sum().backward()

    return step, CHAIN


@workload("overhead", "+")
def add(torch: Any) -> tuple[Step, int]:
    """A sum with a constant tensor of four elements."""
    b = torch.ones(4)
    return _chain(torch, torch.ones(4), lambda y: y + b)


@workload("overhead", "+ (both)")
def add_both(torch: Any) -> tuple[Step, int]:
    """A sum with a tensor that wants its gradient too."""
    b = torch.ones(4, requires_grad=True)
    return _chain(torch, torch.ones(4), lambda y: y + b)


@workload("overhead", "*")
def mul(torch: Any) -> tuple[Step, int]:
    """A product with a constant tensor of four elements."""
    b = torch.ones(4)
    return _chain(torch, torch.ones(4), lambda y: y * b)


@workload("overhead", "* (both)")
def mul_both(torch: Any) -> tuple[Step, int]:
    """A product with a tensor that wants its gradient too."""
    b = torch.ones(4, requires_grad=True)
    return _chain(torch, torch.ones(4), lambda y: y * b)


@workload("overhead", "tanh")
def tanh(torch: Any) -> tuple[Step, int]:
    """The hyperbolic tangent of four elements."""
    return _chain(torch, torch.ones(4), lambda y: y.tanh())


@workload("overhead", "matmul 4x4")
def matmul(torch: Any) -> tuple[Step, int]:
    """A product of two matrices of four by four, the right one constant."""
    b = torch.eye(4)
    return _chain(torch, torch.ones(4, 4), lambda y: y @ b)


@workload("overhead", "matmul 4x4 (both)")
def matmul_both(torch: Any) -> tuple[Step, int]:
    """A product of two matrices that both want gradients."""
    b = torch.eye(4).requires_grad_()
    return _chain(torch, torch.ones(4, 4), lambda y: y @ b)


@workload("overhead", "sum")
def total(torch: Any) -> tuple[Step, int]:
    """The sum of all elements: of four, then of one again and again."""
    return _chain(torch, torch.ones(4), lambda y: y.sum())


@workload("overhead", "sum along an axis")
def total_along(torch: Any) -> tuple[Step, int]:
    """The sum along the first of two axes of four, then of one again and again, kept as an axis."""
    return _chain(torch, torch.ones(4, 4), lambda y: y.sum(0, keepdim=True))
