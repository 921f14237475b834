"""``overhead``: what an op costs when there is next to nothing to compute.

Each row is forward and backward of a chain of one op on four elements, per op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workload import Task, workload

CHAIN = 100
Link = Callable[[Any], Any]
# A row makes, of the engine's module: the first tensor, the link, and other tensors that want
# gradients.
Row = Callable[[Any], tuple[Any, Link, tuple[Any, ...]]]


def chain(name: str) -> Callable[[Row], Row]:
    """Enter a row of this family."""

    def enter(row: Row) -> Row:
        def make(torch: Any) -> Task:
            x, link, others = row(torch)
            x.requires_grad_()

            def forward() -> Any:
                y = x
                for _ in range(CHAIN):
                    y = link(y)
                return y.sum()

            leaves = {"x": x, **{f"other{i}": other for i, other in enumerate(others)}}
            return Task(forward, leaves, count=CHAIN)

        # A chain of a hundred equal ops, compiled, would be another program.
        workload("overhead", name, engines=("retrograd", "pytorch"))(make)
        return row

    return enter


@chain("+")
def add(torch: Any) -> Any:
    """A sum with a constant tensor of four elements."""
    b = torch.ones(4)
    return torch.ones(4), lambda y: y + b, ()


@chain("+ (both)")
def add_both(torch: Any) -> Any:
    """A sum with a tensor that wants its gradient too."""
    b = torch.ones(4, requires_grad=True)
    return torch.ones(4), lambda y: y + b, (b,)


@chain("*")
def mul(torch: Any) -> Any:
    """A product with a constant tensor of four elements."""
    b = torch.ones(4)
    return torch.ones(4), lambda y: y * b, ()


@chain("* (both)")
def mul_both(torch: Any) -> Any:
    """A product with a tensor that wants its gradient too."""
    b = torch.ones(4, requires_grad=True)
    return torch.ones(4), lambda y: y * b, (b,)


@chain("/ number")
def div_number(torch: Any) -> Any:
    """A quotient by a Python number."""
    return torch.ones(4), lambda y: y / 1.01, ()


@chain("tanh")
def tanh(torch: Any) -> Any:
    """The hyperbolic tangent of four elements."""
    return torch.ones(4), lambda y: y.tanh(), ()


@chain("relu")
def relu(torch: Any) -> Any:
    """The rectifier of four elements."""
    return torch.ones(4), lambda y: y.relu(), ()


@chain("matmul 4x4")
def matmul(torch: Any) -> Any:
    """A product of two matrices of four by four, the right one constant."""
    b = torch.eye(4)
    return torch.ones(4, 4), lambda y: y @ b, ()


@chain("matmul 4x4 (both)")
def matmul_both(torch: Any) -> Any:
    """A product of two matrices that both want gradients."""
    b = torch.eye(4).requires_grad_()
    return torch.ones(4, 4), lambda y: y @ b, (b,)


@chain("sum")
def total(torch: Any) -> Any:
    """The sum of all elements: of four, then of one again and again."""
    return torch.ones(4), lambda y: y.sum(), ()


@chain("sum along an axis")
def total_along(torch: Any) -> Any:
    """The sum along the first of two axes of four, then of one again and again, kept as an axis."""
    return torch.ones(4, 4), lambda y: y.sum(0, keepdim=True), ()


@chain("softmax")
def softmax(torch: Any) -> Any:
    """The softmax of four elements."""
    return torch.ones(4), lambda y: y.softmax(0), ()


@chain("reshape")
def reshape(torch: Any) -> Any:
    """A view of another shape, and back; two ops, counted as one."""
    return torch.ones(4), lambda y: y.reshape(2, 2).reshape(4), ()


@chain("transpose")
def transpose(torch: Any) -> Any:
    """A view with its axes turned round."""
    return torch.ones(2, 2), lambda y: y.t(), ()


@chain("slice")
def part(torch: Any) -> Any:
    """A view of all elements by a slice."""
    return torch.ones(4), lambda y: y[0:4], ()


@chain("linear 4x4")
def linear(torch: Any) -> Any:
    """A dense layer from four to four features, as a module."""
    layer = torch.nn.Linear(4, 4)
    return torch.ones(1, 4), layer, (layer.weight, layer.bias)
