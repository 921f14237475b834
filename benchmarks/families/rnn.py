"""``rnn``: a training step of recurrent layers, and of loops over their cells.

64 inputs and 128 hidden units over 50 steps; the loss is a weighted sum of all outputs.
"""

from __future__ import annotations

from typing import Any

from ..workload import FLOAT, Task, numel, product, workload

STEPS, INPUTS, HIDDEN = 50, 64, 128
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _task(torch: Any, module: Any, run: Any, batch: int, outputs: int, flops: float) -> Task:
    """Forward and backward for all parameters and the input, and a step of SGD."""
    x = torch.randn(STEPS, batch, INPUTS)  # (T, N, D)
    weights = torch.randn(STEPS, batch, outputs)
    parameters = dict(module.named_parameters())
    traffic = float(FLOAT * (5 * numel(parameters.values()) + numel((x, weights))))
    optimizer = torch.optim.SGD(list(parameters.values()), lr=1e-6)
    return Task(
        lambda: (run(x) * weights).mean(), parameters, {"x": x}, optimizer=optimizer,
        flops=3 * flops, bytes=traffic,
    )  # fmt: skip


def _flops(kind: str, batch: int, layers: int = 1, directions: int = 1) -> float:
    rows, columns = STEPS * batch, GATES[kind] * HIDDEN
    first = product(rows, INPUTS + HIDDEN, columns)
    others = product(rows, directions * HIDDEN + HIDDEN, columns)
    return directions * (first + (layers - 1) * others)


def _layer(kind: str, name: str, batch: int, **options: Any) -> None:
    directions = 2 if options.get("bidirectional") else 1

    def make(torch: Any) -> Task:
        layer = getattr(torch.nn, kind)(INPUTS, HIDDEN, **options)
        flops = _flops(kind, batch, options.get("num_layers", 1), directions)
        return _task(torch, layer, lambda x: layer(x)[0], batch, directions * HIDDEN, flops)

    workload("rnn", f"{kind} {name}", quick=name == "layer")(make)


def _loop(kind: str, batch: int) -> None:
    def make(torch: Any) -> Task:
        cell = getattr(torch.nn, f"{kind}Cell")(INPUTS, HIDDEN)

        def run(x: Any) -> Any:
            state, outputs = None, []
            for row in x:
                state = cell(row, state)
                outputs.append(state[0] if kind == "LSTM" else state)
            return torch.stack(outputs)

        return _task(torch, cell, run, batch, HIDDEN, _flops(kind, batch))

    # Compiling unrolls all steps, which takes minutes.
    workload("rnn", f"{kind} cell loop", quick=False,
             engines=("retrograd", "pytorch"))(make)  # fmt: skip


for _kind in GATES:
    _layer(_kind, "layer", 32)
    _layer(_kind, "layer batch 1", 1)
    _layer(_kind, "two layers both ways", 32, num_layers=2, bidirectional=True)
    _loop(_kind, 32)
