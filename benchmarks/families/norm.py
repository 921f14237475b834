"""``norm``: layers at batch 1,024 and width 1,024, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workload import FLOAT, Task, numel, product, workload

SIDE = 1024


def _enter(
    name: str, make_layer: Callable[[Any], Any], arrays: int = 4, flops: float = 0.0
) -> None:
    """A row; ``arrays`` are those of the input's size that are read or written at least once."""

    def make(torch: Any) -> Task:
        layer = make_layer(torch)
        x = torch.randn(SIDE, SIDE, requires_grad=True)
        g = torch.randn(SIDE, SIDE)
        parameters = dict(layer.named_parameters()) if hasattr(layer, "named_parameters") else {}
        return Task(lambda: layer(x), {"x": x, **parameters}, gradient=g, flops=flops,
                    bytes=float(arrays * SIDE * SIDE * FLOAT))  # fmt: skip

    workload("norm", name)(make)


_enter("linear", lambda torch: torch.nn.Linear(SIDE, SIDE), 4, 3 * product(SIDE, SIDE, SIDE))
_enter("layer norm", lambda torch: torch.nn.LayerNorm(SIDE))
_enter("batch norm", lambda torch: torch.nn.BatchNorm1d(SIDE))
_enter("rms norm", lambda torch: torch.nn.RMSNorm(SIDE))
_enter("gelu", lambda torch: torch.nn.GELU())
_enter("softmax", lambda torch: torch.nn.Softmax(dim=1))
_enter("log softmax", lambda torch: torch.nn.LogSoftmax(dim=1))


@workload("norm", "cross entropy")
def cross_entropy(torch: Any) -> Task:
    """Cross entropy of 1,024 rows over 1,024 classes."""
    x = torch.randn(SIDE, SIDE, requires_grad=True)
    y = torch.randint(SIDE, (SIDE,))
    layer = torch.nn.CrossEntropyLoss()
    return Task(lambda: layer(x, y), {"x": x}, bytes=float(3 * SIDE * SIDE * FLOAT))


@workload("norm", "mse loss")
def mse_loss(torch: Any) -> Task:
    """The mean squared error of as many numbers."""
    x = torch.randn(SIDE, SIDE, requires_grad=True)
    y = torch.randn(SIDE, SIDE)
    layer = torch.nn.MSELoss()
    return Task(lambda: layer(x, y), {"x": x}, bytes=float(3 * numel((x,)) * FLOAT))
