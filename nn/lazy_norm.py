"""Batch and instance normalisation that take the number of channels from their first input."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, int64
from ..autograd.creation import tensor
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, _NormBase
from .instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .lazy import LazyLayer


class _LazyNorm(LazyLayer, _NormBase):
    """What they share: parameters and running statistics of one size, the number of channels."""

    lazy_size = "num_features"

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype, bias=False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        tracked = dict.fromkeys(("running_mean", "running_var"), track_running_stats)
        self.make_lazy(weight=affine, bias=affine and bias, **tracked, device=device, dtype=dtype)
        if track_running_stats:
            self.num_batches_tracked = tensor(0, dtype=int64)

    def find_lazy_size(self, input: Tensor) -> int:
        """The second axis; an input without a batch is misread, as PyTorch's is."""
        return input.shape[1]

    def lazy_shapes(self) -> dict[str, tuple[int, ...]]:
        """All have one number for each channel."""
        names = ("weight", "bias", "running_mean", "running_var")
        return dict.fromkeys(names, (self.num_features,))


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A `BatchNorm1d` that takes ``num_features`` from its first input.

    >>> import retrograd as rg
    >>> layer = rg.nn.LazyBatchNorm1d()
    >>> layer(rg.ones(4, 3)).shape, type(layer).__name__, layer.num_features
    (torch.Size([4, 3]), 'BatchNorm1d', 3)
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A `BatchNorm2d` that takes ``num_features`` from its first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A `BatchNorm3d` that takes ``num_features`` from its first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """An `InstanceNorm1d` that takes ``num_features`` from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """An `InstanceNorm2d` that takes ``num_features`` from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """An `InstanceNorm3d` that takes ``num_features`` from its first input."""

    cls_to_become = InstanceNorm3d
