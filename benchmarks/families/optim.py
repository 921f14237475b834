"""``optim``: one step of an optimizer, the gradients being there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workload import FLOAT, Task, numel, workload

# Shapes of parameters: a small network's, an MLP's, a large one's, and a ResNet-8's many.
SHAPES = {
    "2-16-16-1": [(16, 2), (16,), (16, 16), (16,), (1, 16), (1,)],
    "mlp": [(256, 784), (256,), (128, 256), (128,), (10, 128), (10,)],
    "wide": [(1024, 1024), (1024,)] * 4,
    "many": [(16, 16, 3, 3), (16,), (16,)] * 16,
}


def _enter(name: str, make_optimizer: Callable[[Any, Any], Any], arrays: int) -> None:
    """Rows for all shapes; ``arrays`` are those read or written once for each parameter."""
    for label, shapes in SHAPES.items():

        def make(torch: Any, shapes: Any = shapes) -> Task:
            parameters = [torch.nn.Parameter(torch.randn(*shape)) for shape in shapes]
            for parameter in parameters:
                parameter.grad = torch.randn(*parameter.shape)
            optimizer = make_optimizer(torch, parameters)

            def step() -> Any:
                optimizer.step()
                return parameters

            traffic = float(arrays * numel(parameters) * FLOAT)
            return Task(step, bytes=traffic)

        workload("optim", f"{name} {label}", quick=label in ("mlp", "2-16-16-1"))(make)


_enter("sgd", lambda torch, p: torch.optim.SGD(p, lr=1e-4), 3)
_enter("momentum", lambda torch, p: torch.optim.SGD(p, lr=1e-4, momentum=0.9), 5)
_enter("adam", lambda torch, p: torch.optim.Adam(p, lr=1e-4), 7)
_enter("adamw", lambda torch, p: torch.optim.AdamW(p, lr=1e-4), 7)
