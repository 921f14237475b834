"""Normalisation as functions: ``(x - mean) / √(var + ε) · weight + bias`` over various axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd import Tensor, version
from ..autograd.inplace import is_plain, write
from ..autograd.normalization import Plan
from ..autograd.ops.norm import norm_by_running, norm_of_channels, norm_of_groups, norm_of_rows
from ..autograd.tensor import wrap
from .padding import pad

Parameter = Tensor | None


@lru_cache(maxsize=64)
def _constant(value: float, size: int, dtype: np.dtype[Any]) -> Tensor:
    """What stands in for a weight or a bias that is not there."""
    return wrap(np.full(size, value, np.float32 if dtype.names else dtype))


def _or_constant(given: Parameter, value: float, size: int, input: Tensor) -> Tensor:
    return _constant(value, size, input.array.dtype) if given is None else given


# ---------------------------------------------------------------- over the last axes


def _rows_plan(
    name: str,
    input: Tensor,
    normalized_shape: Sequence[int],
    parameters: dict[str, Parameter],
    eps: float,
    centred: bool,
) -> Plan:
    """How the last axes are normalised; `RuntimeError` where the shapes do not fit."""
    if isinstance(normalized_shape, int):
        raise TypeError(
            f"{name}(): argument 'normalized_shape' must be tuple of ints, not int; write "
            f"({normalized_shape},)"
        )
    wanted, shape = tuple(normalized_shape), input.array.shape
    if not wanted:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    for argument, given in parameters.items():
        if given is not None and given.array.shape != wanted:
            raise RuntimeError(
                f"Expected {argument} to be of same shape as normalized_shape, but got {argument} "
                f"of shape {list(given.shape)} and normalized_shape = {list(wanted)}"
            )
    if shape[len(shape) - len(wanted) :] != wanted or len(wanted) > len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(wanted)}, expected input with shape [*, "
            f"{', '.join(map(str, wanted))}], but got input of size{list(shape)}"
        )
    width = wanted[0] if len(wanted) == 1 else math.prod(wanted)
    return Plan((math.prod(shape[: -len(wanted)]), width), (1,), (width,), eps, centred)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Parameter = None,
    bias: Parameter = None,
    eps: float = 1e-5,
) -> Tensor:
    """The last axes with mean 0 and variance 1, times ``weight``, plus ``bias`` (Ba et al. 2016).

    Shape: ``(*, D₁, …)``, the normalized shape, → the same.  Raises `RuntimeError` where the input
    does not end in it, or a parameter does not have it.

    >>> import retrograd as rg
    >>> rg.nn.functional.layer_norm(rg.tensor([[1.0, 3.0], [0.0, 8.0]]), (2,))
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """
    given = {"weight": weight, "bias": bias}
    plan = _rows_plan("layer_norm", input, normalized_shape, given, eps, True)
    width = plan.view[1]
    weight, bias = _or_constant(weight, 1, width, input), _or_constant(bias, 0, width, input)
    return norm_of_rows(input, weight, bias, plan)  # type: ignore[no-any-return]


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Parameter = None,
    eps: float | None = None,
) -> Tensor:
    """``x / √(mean x² + ε) · weight`` over the last axes (Zhang and Sennrich 2019).

    ``eps`` is the type's resolution when not given.

    Shape: as of `layer_norm`
    """
    if eps is None:
        stored = bool(input.array.dtype.names)
        eps = float(np.finfo(np.float32 if stored else input.array.dtype).eps)
    plan = _rows_plan("rms_norm", input, normalized_shape, {"weight": weight}, eps, False)
    width = plan.view[1]
    bias = _constant(0, width, input.array.dtype)
    return norm_of_rows(input, _or_constant(weight, 1, width, input), bias, plan)  # type: ignore[no-any-return]


# ---------------------------------------------------------------- over groups of channels


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Parameter = None,
    bias: Parameter = None,
    eps: float = 1e-5,
) -> Tensor:
    """Groups of channels with mean 0 and variance 1 in each sample (Wu and He 2018).

    Shape: ``(N, C, *) → (N, C, *)``, parameters ``(C,)``.  Raises `RuntimeError` where the groups
    do not divide the channels, `ValueError` where a group is a single number.
    """
    shape = input.array.shape
    if len(shape) < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    n, c, *rest = shape
    _check_more_than_one((n * c // num_groups, num_groups, *rest))
    if num_groups < 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and given.array.shape != (c,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in "
                f"input, but got {name} of shape {list(given.shape)} and input of shape "
                f"{list(shape)}"
            )
    out, _, _ = _by_groups(input, num_groups, weight, bias, eps)
    return out


def _by_groups(
    input: Tensor, groups: int, weight: Parameter, bias: Parameter, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    n, c, *rest = input.array.shape
    view = (n, groups, c // groups, math.prod(rest))
    plan = Plan(view, (2, 3), (1, groups, c // groups, 1), eps)
    weight, bias = _or_constant(weight, 1, c, input), _or_constant(bias, 0, c, input)
    return norm_of_groups(input, weight, bias, plan)  # type: ignore[no-any-return]


def _check_more_than_one(shape: Sequence[int]) -> None:
    """Refuse a batch with a single number for each channel: it has no variance."""
    if shape[0] * math.prod(shape[2:]) == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"torch.Size({list(shape)})"
        )


# ---------------------------------------------------------------- over the batch


def _check_sizes(channels: int, **parameters: Parameter) -> None:
    for name, given in parameters.items():
        if given is not None and given.array.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {given.array.size}")


def _track(momentum: float, *moves: tuple[Parameter, Tensor, float]) -> None:
    """Move running statistics towards what was found in this batch, times a factor."""
    written = []
    for running, found, factor in moves:
        if running is None:
            continue
        before, now = running, found
        if running.array.dtype.names or found.array.dtype.names:
            before, now = running.float(), found.float()
        moved = before.array * (1 - momentum)
        moved += now.array.reshape(moved.shape) * (momentum * factor)
        value = wrap(moved)
        if moved.dtype is running.array.dtype and is_plain(running, value):
            np.copyto(running.array, moved)
            written.append(running.array)
        else:
            write(running, value, "batch_norm")
    version.note_changes(written, "batch_norm")  # once for all: it looks for the user's line


def batch_norm(
    input: Tensor,
    running_mean: Parameter,
    running_var: Parameter,
    weight: Parameter = None,
    bias: Parameter = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Channels with mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    In training the running statistics are moved towards the batch's, in place; otherwise they
    take the batch's place.

    Shape: ``(N, C, *) → (N, C, *)``, all others ``(C,)``.  Raises `ValueError` for a single value
    per channel in training, `RuntimeError` for sizes that do not fit.
    """
    shape = input.array.shape
    if training:
        _check_more_than_one(shape)
    if eps < 0 or (training and eps == 0):
        sign, when = ("positive", " during training") if training else ("non-negative", "")
        raise ValueError(f"batch_norm eps must be {sign}{when}, but got {eps}")
    if len(shape) < 2:
        if not input.array.size:
            return input.clone()
        raise IndexError(
            f"Dimension out of range: batch_norm takes (N, C, *), got input size {list(shape)}"
        )
    n, c, *rest = shape
    if not training and (running_mean is None or running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(f"{missing} must be defined in evaluation mode")
    _check_sizes(c, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    weight, bias = _or_constant(weight, 1, c, input), _or_constant(bias, 0, c, input)
    if not training:
        channels = (c,) + (1,) * len(rest)
        return norm_by_running(input, weight, bias, running_mean, running_var, channels, eps)  # type: ignore[no-any-return]
    length = math.prod(rest)
    plan = Plan((n, c, length), (0, 2), (c, 1), eps)
    out, mean, var = norm_of_channels(input, weight, bias, plan)
    count = n * length
    if count and not (running_mean is None and running_var is None):
        _track(momentum, (running_mean, mean, 1.0), (running_var, var, count / (count - 1)))
    return out  # type: ignore[no-any-return]


def instance_norm(
    input: Tensor,
    running_mean: Parameter = None,
    running_var: Parameter = None,
    weight: Parameter = None,
    bias: Parameter = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Channels with mean 0 and variance 1 in each sample (Ulyanov et al. 2016).

    Without ``use_input_stats`` the running statistics take the sample's place; with it, they are
    moved towards the mean of the samples', in place.

    Shape: ``(N, C, *) → (N, C, *)``, all others ``(C,)``.  Raises `ValueError` for a single value
    per channel.
    """
    shape = input.array.shape
    if use_input_stats and math.prod(shape[2:]) == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, got input size "
            f"torch.Size({list(shape)})"
        )
    n, c, *rest = shape
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError(
            "Expected running_mean and running_var to be defined when use_input_stats is false"
        )
    _check_sizes(c, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    out, mean, var = _by_groups(input, c, weight, bias, eps)
    count = math.prod(rest)
    if n and count and not (running_mean is None and running_var is None):
        unbiased = count / (count - 1)
        _track(momentum, (running_mean, mean.mean(0), 1.0), (running_var, var.mean(0), unbiased))
    return out


# ---------------------------------------------------------------- over neighbouring channels


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + α · mean x²)ᵝ``, the mean over ``size`` channels (Krizhevsky et al. 2012).

    Shape: ``(N, C, *) → (N, C, *)``; `ValueError` for fewer than three axes.
    """
    ndim = input.ndim
    if ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {ndim} dimensions)")
    if not input.array.size:
        return input
    around = (0, 0) * (ndim - 2) + (size // 2, (size - 1) // 2)
    windows = pad(input * input, around).unfold(1, size, 1)
    power = windows.mean(-1) if input.is_floating_point() else windows.sum(-1) // size
    return input / (power * alpha + k) ** beta  # type: ignore[no-any-return]
