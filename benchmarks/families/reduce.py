"""``reduce``: sums and their like over a million elements, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..workload import FLOAT, Task, workload

SIDE = 1024


def _enter(name: str, op: Callable[[Any], Any], quick: bool = False) -> None:
    def make(torch: Any) -> Task:
        x = torch.randn(SIDE, SIDE, requires_grad=True)
        with torch.no_grad():
            g = torch.randn(op(x).shape)
        # Read all elements once, write all gradients once.
        return Task(lambda: op(x), {"x": x}, gradient=g, bytes=2.0 * SIDE * SIDE * FLOAT)

    workload("reduce", name, quick=quick)(make)


_enter("sum", lambda x: x.sum(), quick=True)
_enter("sum rows", lambda x: x.sum(1), quick=True)
_enter("sum columns", lambda x: x.sum(0), quick=True)
_enter("mean", lambda x: x.mean())
_enter("max rows", lambda x: x.amax(1), quick=True)
_enter("max columns", lambda x: x.amax(0))
_enter("var rows", lambda x: x.var(1))
_enter("std columns", lambda x: x.std(0))
_enter("logsumexp rows", lambda x: x.logsumexp(1), quick=True)
_enter("norm", lambda x: x.norm())
_enter("prod rows", lambda x: x.prod(1))
_enter("cumsum rows", lambda x: x.cumsum(1))
