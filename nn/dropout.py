"""Dropout: elements or whole channels are zeroed at random in training; functions and modules."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from ..autograd import Tensor
from ..autograd.random import default_generator
from ..autograd.tensor import wrap
from .settings import Settings

ALPHA = 1.7580993408473766  # what SELU tends to at minus infinity, with the sign changed


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _check_floating(input: Tensor) -> None:
    if input.array.dtype.kind in "iub":
        raise RuntimeError(
            f"dropout: result type Float can't be cast to {input.dtype}: convert the input with "
            ".float()"
        )


def _coins(input: Tensor, p: float, *, channels: bool) -> Tensor:
    """Zeros with probability ``p`` and ones, for each element or for each channel."""
    if channels:
        if input.ndim < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        coins = np.empty((*input.shape[:2], *[1] * (input.ndim - 2)), input.array.dtype)
    else:
        coins = np.empty_like(input.array)  # drawn in the order in which the input lies in memory
    return wrap(default_generator.bernoulli_(coins, 1 - p))


def _dropped(
    input: Tensor, p: float, training: bool, inplace: bool, *, channels: bool = False
) -> Tensor:
    """Drop, and scale what is left so that the mean stays."""
    if p == 0 or not training or not input.array.size:
        return input
    _check_floating(input)
    noise = _coins(input, p, channels=channels) / (1 - p) if p < 1 else input.new_zeros(())
    return input.mul_(noise) if inplace else input * noise


def _dropped_to_alpha(
    input: Tensor, p: float, training: bool, inplace: bool, *, channels: bool = False
) -> Tensor:
    """Drop to SELU's lower limit, and scale and shift so that mean and variance stay."""
    if p == 0 or not training or not input.array.size:
        return input
    _check_floating(input)
    if p == 1:
        noise, shift = input.new_zeros(()), input.new_zeros(())
    else:
        coins = _coins(input, p, channels=channels)
        scale = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
        shift = (coins - 1) * (ALPHA * scale) + ALPHA * scale * p
        noise = coins * scale
    return input.mul_(noise).add_(shift) if inplace else input * noise + shift


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element zero with probability ``p``, the others times ``1 / (1 - p)``.

    Raises `ValueError` for ``p`` outside [0, 1].

    >>> import retrograd as rg
    >>> _ = rg.manual_seed(0)
    >>> rg.nn.functional.dropout(rg.ones(5))
    tensor([0., 0., 2., 0., 0.])
    """
    _check(p)
    return _dropped(input, p, training, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`dropout` that keeps mean and variance of what `selu` gives (Klambauer et al. 2017)."""
    _check(p)
    return _dropped_to_alpha(input, p, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels.

    Shape: ``(N, C, *) → (N, C, *)``
    """
    _check(p)
    return _dropped_to_alpha(input, p, training, inplace, channels=True)


def _batched(input: Tensor, p: float, training: bool, inplace: bool, *, batched: bool) -> Tensor:
    if batched:
        return _dropped(input, p, training, inplace, channels=True)
    return _dropped(input.unsqueeze(0), p, training, inplace, channels=True).squeeze(0)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels of one axis.

    Shape: ``(N, C, L)`` or ``(C, L)``; `RuntimeError` for any other.
    """
    _check(p)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _batched(input, p, training, inplace, batched=input.ndim == 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels of two axes.

    Shape: ``(N, C, H, W)``; three axes are taken as ``(N, C, L)``, with PyTorch's warning.
    """
    _check(p)
    _warn_unless("dropout2d", input.ndim, (3, 4), "2 spatial dimensions")
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D "
            "dropout behavior is desired - input is interpreted as shape (N, C, L), where C is "
            "the channel dim. This behavior will change in a future release to interpret the "
            "input as one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D "
            "channel-wise dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _dropped(input, p, training, inplace, channels=True)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels of three axes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``
    """
    _check(p)
    _warn_unless("dropout3d", input.ndim, (4, 5), "3 spatial dimensions")
    return _batched(input, p, training, inplace, batched=input.ndim == 5)


def _warn_unless(name: str, ndim: int, expected: tuple[int, int], spatial: str) -> None:
    if ndim not in expected:
        warnings.warn(
            f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in "
            "an error in a future release. To retain the behavior and silence this warning, "
            f"please use dropout instead. Note that {name} exists to provide channel-wise dropout "
            f"on inputs with {spatial}, a channel dimension, and an optional batch dimension "
            f"(i.e. {expected[0]}D or {expected[1]}D inputs).",
            stacklevel=3,
        )


# ---------------------------------------------------------------- modules


@dataclass(eq=False, repr=False)
class _DropoutNd(Settings):
    """What the modules share: the probability, checked, and whether to write over the input."""

    p: float = 0.5
    inplace: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.p)

    def extra_repr(self) -> str:
        """Both settings."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Each element zero with probability ``p`` in training, the others times ``1 / (1 - p)``.

    >>> import retrograd as rg
    >>> layer = rg.nn.Dropout(0.2)
    >>> layer.eval()(rg.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop, in training."""
        return dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """`Dropout` of whole channels: ``(N, C, L)`` or ``(C, L)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels, in training."""
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """`Dropout` of whole channels: ``(N, C, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels, in training."""
        return dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """`Dropout` of whole channels: ``(N, C, D, H, W)`` or ``(C, D, H, W)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels, in training."""
        return dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """`Dropout` that keeps mean and variance of what `SELU` gives."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop to SELU's lower limit, in training."""
        return alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop channels to SELU's lower limit, in training."""
        return feature_alpha_dropout(input, self.p, self.training)
