"""Normalisation of single samples, as modules: layer, group, root mean square, local response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty
from ..autograd.tensor import wrap
from . import init
from .module import Module
from .norm import group_norm, layer_norm, local_response_norm, rms_norm
from .settings import Settings


class _Affine(Module):
    """The base of modules with a weight that starts as ones and a bias that starts as zeros."""

    weight: Tensor | None
    bias: Tensor | None

    def _make(self, shape: Any, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", weight and bias)):
            made = Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to ones and the bias to zeros."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(_Affine):
    """The last axes with mean 0 and variance 1, times a weight, plus a bias (Ba et al. 2016).

    ``y = (x - mean) / √(var + ε) · w + b``, mean and variance over ``normalized_shape``.

    Shape: ``(*, D₁, …) → (*, D₁, …)``

    >>> import retrograd as rg
    >>> rg.nn.LayerNorm(2)(rg.tensor([[1.0, 3.0], [0.0, 8.0]])).detach()
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last axes."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The shape and the settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


def _as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, Sequence) else (shape,)


class GroupNorm(_Affine):
    """Groups of channels with mean 0 and variance 1 in each sample (Wu and He 2018).

    Raises `ValueError` where ``num_groups`` does not divide ``num_channels``.

    Shape: ``(N, num_channels, *) → (N, num_channels, *)``

    >>> import retrograd as rg
    >>> layer = rg.nn.GroupNorm(2, 6)
    >>> layer(rg.randn(4, 6, 5)).shape
    torch.Size([4, 6, 5])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make(num_channels, affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each group."""
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and the settings."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """``x / √(mean x² + ε) · w`` over the last axes (Zhang and Sennrich 2019).

    ``eps`` is the type's resolution when not given.

    Shape: ``(*, D₁, …) → (*, D₁, …)``

    >>> import retrograd as rg
    >>> rg.nn.RMSNorm(2)(rg.tensor([3.0, 3.0])).detach()
    tensor([1., 1.])
    """

    weight: Tensor | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        if elementwise_affine:
            self.weight = Parameter(empty(self.normalized_shape, device=device, dtype=dtype))
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to ones."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Divide the last axes by their root mean square."""
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The shape and the settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


@dataclass(eq=False, repr=False)
class LocalResponseNorm(Settings):
    """``x / (k + α · mean x²)ᵝ``, the mean over ``size`` channels (Krizhevsky et al. 2012).

    Shape: ``(N, C, *) → (N, C, *)``
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def forward(self, input: Tensor) -> Tensor:
        """Divide each channel by what surrounds it."""
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


@dataclass(eq=False, repr=False)
class CrossMapLRN2d(Settings):
    """`LocalResponseNorm` of images, with the sums of PyTorch's layer of this name.

    They differ near the first channels: that layer never takes channel 0 out of its running sum.
    The gradient is that of what is computed.

    Shape: ``(N, C, H, W) → (N, C, H, W)``; `ValueError` for any other rank.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1

    def forward(self, input: Tensor) -> Tensor:
        """Divide each channel by what surrounds it."""
        if input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        n, c, h, w = input.shape
        neighbours = wrap(_neighbours(c, self.size).astype(input.array.dtype))
        power = neighbours @ (input * input).reshape(n, c, h * w)
        scale = power.reshape(n, c, h, w) * (self.alpha / self.size) + self.k
        return input * scale**-self.beta  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _neighbours(channels: int, size: int) -> np.ndarray[Any, Any]:
    """Ones where a channel (row) is divided by another's (column) square."""
    reach = int((size - 1) / 2 + 1)
    off = np.arange(channels) - np.arange(channels)[:, None]
    near = (off < reach) & (off > -reach)
    near[reach:, 0] = True  # never taken out again
    return near
