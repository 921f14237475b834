"""Batch normalisation as modules, and what instance normalisation shares with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Parameter, Tensor, int64, no_grad
from ..autograd.creation import empty, ones, zeros
from ..autograd.creation import tensor as new_tensor
from ..autograd.inplace import write
from ..autograd.tensor import wrap
from . import init
from .module import Module
from .norm import batch_norm


class _NormBase(Module):
    """Weight, bias and running statistics for each channel."""

    _version = 2  # of the state: since 2 it counts batches

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            made = empty(num_features, device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if made is None else Parameter(made))
        if track_running_stats:
            self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype))
            self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype))
            self.register_buffer("num_batches_tracked", new_tensor(0, dtype=int64, device=device))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches that were seen: mean 0, variance 1, count 0."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """`reset_running_stats`; weight ones, bias zeros."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The number of channels and the settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *report: Any
    ) -> None:
        version = local_metadata.get("version")
        key = f"{prefix}num_batches_tracked"
        old = version is None or version < 2
        if old and self.track_running_stats and key not in state_dict:
            count = self.num_batches_tracked
            state_dict[key] = new_tensor(0, dtype=int64) if count is None else count
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *report)


class _BatchNorm(_NormBase):
    """What the modules share: only their ranks differ."""

    ranks: tuple[int, ...] = ()

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{n}D" for n in self.ranks)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input)")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel by this batch, or by what was tracked."""
        self._check_input_dim(input)
        mean, var, momentum = self.running_mean, self.running_var, self.momentum
        training = self.training
        if training:
            if not self.track_running_stats:
                mean = var = None
            elif self.num_batches_tracked is not None:
                # `add_` of a number to integers takes ten times as long
                count = self.num_batches_tracked
                write(count, wrap(np.asarray(count.array + 1)), "add_")
                if momentum is None:  # the mean of all batches so far
                    momentum = 1 / self.num_batches_tracked.item()
        return batch_norm(
            input, mean, var, self.weight, self.bias,
            training or (mean is None and var is None),
            0.0 if momentum is None else momentum, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Channels with mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    ``y = (x - mean) / √(var + ε) · w + b``.  In training mean and variance are the batch's, and
    running ones are moved towards them: ``running ← (1 - momentum) · running + momentum · batch``
    (with ``momentum=None`` they are the mean of all batches).  In evaluation the running ones are
    used.  Raises `ValueError` for another rank, or a single value per channel in training.

    Shape: ``(N, C)`` or ``(N, C, L)`` → the same

    >>> import retrograd as rg
    >>> layer = rg.nn.BatchNorm1d(2)
    >>> layer(rg.tensor([[1.0, 0.0], [3.0, 8.0]])).detach()
    tensor([[-1.0000, -1.0000],
            [ 1.0000,  1.0000]])
    >>> layer.running_mean
    tensor([0.2000, 0.4000])
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` of images.

    Shape: ``(N, C, H, W) → (N, C, H, W)``

    >>> import retrograd as rg
    >>> rg.nn.BatchNorm2d(3)(rg.randn(2, 3, 4, 4)).shape
    torch.Size([2, 3, 4, 4])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """`BatchNorm1d` of volumes.

    Shape: ``(N, C, D, H, W) → (N, C, D, H, W)``
    """

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over all processes of a group; there is one, so it is `BatchNorm1d`.

    Shape: ``(N, C, *) → (N, C, *)``
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")
        if not input.shape[1]:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The same tree with a `SyncBatchNorm` in place of each batch norm, on its tensors."""
        converted = module
        if isinstance(module, _BatchNorm):
            converted = SyncBatchNorm(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group, bias=module.bias is not None,
            )  # fmt: skip
            with no_grad():
                if module.affine:
                    converted.weight, converted.bias = module.weight, module.bias
                converted.running_mean = module.running_mean
                converted.running_var = module.running_var
                converted.num_batches_tracked = module.num_batches_tracked
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted
