"""Instance normalisation as modules."""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd import Tensor
from .batchnorm import _NormBase
from .norm import instance_norm


class _InstanceNorm(_NormBase):
    """What the modules share: only their ranks differ."""

    axes = 0  # of a sample, with the channels

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _get_no_batch_dim(self) -> int:
        return self.axes

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in (self.axes, self.axes + 1):
            raise ValueError(
                f"expected {self.axes}D or {self.axes + 1}D input (got {input.ndim}D input)"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel of each sample."""
        self._check_input_dim(input)
        dim = input.ndim - self.axes
        size = input.shape[dim]
        if size != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={dim} to match num_features "
                    f"({self.num_features}), but got: {size}."
                )
            warnings.warn(
                f"input's size at dim={dim} does not match num_features. You can silence this "
                "warning by not passing in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        if dim == 0:
            return self._normalized(input.unsqueeze(0)).squeeze(0)
        return self._normalized(input)

    def _normalized(self, input: Tensor) -> Tensor:
        return instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *report: Any
    ) -> None:
        # Before version 1 statistics were tracked always.
        if local_metadata.get("version") is None and not self.track_running_stats:
            names = [n for n in ("running_mean", "running_var") if prefix + n in state_dict]
            if names:
                known = " and ".join(f'"{prefix}{n}"' for n in names)
                kind = type(self).__name__
                report[-1].append(
                    f"Unexpected running stats buffer(s) {known} for {kind} with "
                    "track_running_stats=False. If state_dict is a checkpoint saved before 0.4.0, "
                    f"this may be expected because {kind} does not track running stats by default "
                    "since 0.4.0. Please remove these keys from state_dict. If the running stats "
                    f"are actually needed, instead set track_running_stats=True in {kind} to "
                    f"enable them. See the documentation of {kind} for details."
                )
            for name in names:
                state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *report)


class InstanceNorm1d(_InstanceNorm):
    """Channels with mean 0 and variance 1 in each sample (Ulyanov et al. 2016).

    Unlike batch normalisation it does the same in evaluation, unless ``track_running_stats``, and
    has no parameters, unless ``affine``.  Raises `ValueError` for another rank, another number of
    channels (where it is ``affine``), or a single value per channel.

    Shape: ``(N, C, L)`` or ``(C, L)`` → the same

    >>> import retrograd as rg
    >>> rg.nn.InstanceNorm1d(1)(rg.tensor([[[1.0, 3.0]]]))
    tensor([[[-1.0000,  1.0000]]])
    """

    axes = 2


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` of images.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` → the same
    """

    axes = 3


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` of volumes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` → the same
    """

    axes = 4
