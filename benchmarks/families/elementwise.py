"""``elementwise``: one op on 10 to 10⁷ elements, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workload import FLOAT, Task, workload

SIZES = {f"1e{k}": 10**k for k in range(1, 8)}
QUICK = ("1e1", "1e4", "1e6")


def _enter(name: str, op: Callable[[Any, Any, Any], Any], arrays: int) -> None:
    """Rows of all sizes; ``arrays`` are those that must be read or written at least once."""
    for label, size in SIZES.items():

        def make(torch: Any, size: int = size) -> Task:
            x = torch.randn(size, requires_grad=True)
            y = torch.randn(size)
            g = torch.randn(size)
            return Task(
                lambda: op(torch, x, y), {"x": x}, gradient=g, bytes=float(arrays * size * FLOAT)
            )

        workload("elementwise", f"{name} {label}", quick=label in QUICK)(make)


# Read x (and y), write the result; read what arrives and what was kept, write the gradient.
_enter("mul", lambda torch, x, y: x * y, 6)
_enter("relu", lambda torch, x, y: torch.relu(x), 4)
_enter("tanh", lambda torch, x, y: torch.tanh(x), 4)
_enter("gelu", lambda torch, x, y: torch.nn.functional.gelu(x), 4)
# Six ops: what fusing them would save, nobody saves in eager mode.
_enter("x*sigmoid(x)+y*x", lambda torch, x, y: x * torch.sigmoid(x) + y * x, 5)
