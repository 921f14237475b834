"""``conv``: two-dimensional convolutions, forward, and forward and backward, and their memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..workload import FLOAT, Task, numel, product, workload


class Size(NamedTuple):
    """Batch, channels, height and width, filters, kernel, stride, padding, groups."""

    n: int
    c: int
    side: int
    filters: int
    kernel: int
    stride: int
    padding: int
    groups: int = 1

    @property
    def name(self) -> str:
        """As ``8x32x56 32@3s1p1 depthwise``."""
        what = f"{self.n}x{self.c}x{self.side} {self.filters}@{self.kernel}s{self.stride}"
        return f"{what}p{self.padding}" + (" depthwise" if self.groups > 1 else "")


SIZES = (
    Size(64, 1, 28, 6, 5, 1, 2),
    Size(64, 1, 28, 32, 3, 1, 0),
    Size(64, 32, 26, 64, 3, 1, 0),
    Size(32, 64, 14, 64, 3, 1, 1),
    Size(8, 128, 28, 128, 3, 1, 1),
    Size(16, 256, 14, 256, 1, 1, 0),
    Size(32, 3, 32, 64, 3, 1, 1),
    Size(32, 64, 32, 128, 3, 2, 1),
    Size(16, 64, 56, 64, 3, 1, 1),
    Size(8, 32, 56, 32, 3, 1, 1, groups=32),
    Size(1, 3, 224, 64, 7, 2, 3),
)
QUICK = SIZES[:4]


def _enter(size: Size, both: bool) -> None:
    n, c, side, filters, kernel, stride, padding, groups = size

    def make(torch: Any) -> Task:
        layer = torch.nn.Conv2d(c, filters, kernel, stride, padding, groups=groups)
        x = torch.rand(n, c, side, side)
        out = (side + 2 * padding - kernel) // stride + 1
        flops = product(n * out * out, c // groups * kernel * kernel, filters)
        g = torch.rand(n, filters, out, out)
        traffic = float(FLOAT * numel((x, g, layer.weight)))
        if not both:
            return Task(lambda: layer(x), flops=flops, bytes=traffic)
        # The first layer of a network is not asked for its input's gradient; these are.
        x.requires_grad_()
        leaves = {"x": x, "weight": layer.weight, "bias": layer.bias}
        return Task(lambda: layer(x), leaves, gradient=g, flops=3 * flops, bytes=2 * traffic)

    workload("conv", size.name + (" both" if both else " forward"), memory=both,
             quick=both and size in QUICK)(make)  # fmt: skip


for _size in SIZES:
    _enter(_size, both=False)
    _enter(_size, both=True)
