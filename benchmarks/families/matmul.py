"""``matmul``: products of matrices, forward, and forward and backward for both factors."""

from __future__ import annotations

from typing import Any

from ..workload import FLOAT, Task, numel, product, workload

# Rows, inner length, columns; a leading number is a batch of such products.
SIZES = (
    (16, 16, 16), (64, 64, 64), (64, 784, 256), (1024, 784, 256), (256, 256, 256),
    (512, 512, 512), (1024, 1024, 1024), (1, 1024, 1024), (64, 128, 32, 128), (512, 16, 16, 16),
)  # fmt: skip
QUICK = ((64, 784, 256), (512, 512, 512), (1, 1024, 1024), (64, 128, 32, 128))


def _enter(size: tuple[int, ...], both: bool) -> None:
    *batch, rows, inner, columns = size

    def make(torch: Any) -> Task:
        a = torch.randn(*batch, rows, inner)
        b = torch.randn(*batch, inner, columns)
        g = torch.randn(*batch, rows, columns)
        flops = product(rows, inner, columns) * (batch[0] if batch else 1)
        traffic = float(numel((a, b, g)) * FLOAT)
        if not both:
            return Task(lambda: a @ b, flops=flops, bytes=traffic)
        a.requires_grad_()
        b.requires_grad_()
        return Task(lambda: a @ b, {"a": a, "b": b}, gradient=g, flops=3 * flops, bytes=2 * traffic)

    name = "x".join(map(str, size)) + (" both" if both else " forward")
    workload("matmul", name, quick=size in QUICK and both)(make)


for _size in SIZES:
    _enter(_size, both=False)
    _enter(_size, both=True)
