"""The functions behind the modules, and others: ``import retrograd.nn.functional as F``.

Losses (`loss_by_element.py`, `loss_by_row.py`), distances, dropout and padding have files of their
own, and are here too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor, float64, int64, no_grad
from ..autograd.creation import empty_like, ones_like, zeros, zeros_like
from ..autograd.inplace import write
from ..autograd.ops import activation, gate, rearrange, transcendental
from ..autograd.ops.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from ..autograd.ops.linalg import affine, linear_map
from ..autograd.tensor import wrap
from .attention import (
    multi_head_attention_forward,
    scaled_dot_product_attention,
)
from .ctc import ctc_loss
from .distance import cosine_similarity, normalize, pairwise_distance
from .dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from .fold import fold, unfold
from .lookup import embedding, embedding_bag
from .loss_by_element import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from .loss_by_row import (
    cosine_embedding_loss,
    cross_entropy,
    linear_cross_entropy,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from .padding import pad
from .pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from .resample import (
    affine_grid,
    grid_sample,
    interpolate,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)

# ---------------------------------------------------------------- activations

sigmoid = activation.sigmoid
tanh = transcendental.tanh
gelu = activation.gelu
softplus = activation.softplus
logsigmoid = gate.logsigmoid
hardshrink = gate.hardshrink
prelu = gate.prelu
channel_shuffle = native_channel_shuffle = rearrange.channel_shuffle
pixel_shuffle = rearrange.pixel_shuffle
pixel_unshuffle = rearrange.pixel_unshuffle


def _given(input: Tensor, out: Tensor, inplace: bool, name: str) -> Tensor:
    """The result, written over the input if so wished."""
    return write(input, out, name, fresh=True) if inplace else out


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``.

    >>> import retrograd as rg
    >>> rg.nn.functional.relu(rg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return _given(input, activation.relu(input), inplace, "relu_")


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return _given(input, gate.hardtanh(input, 0.0, 6.0), inplace, "relu6_")


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where positive, ``negative_slope · x`` elsewhere."""
    out = activation.leaky_relu(input, negative_slope)
    return _given(input, out, inplace, "leaky_relu_")


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """`leaky_relu` with a slope drawn for each negative element; their mean outside training.

    Raises `RuntimeError` when ``lower`` exceeds ``upper``.
    """
    if lower > upper:
        raise RuntimeError(
            f"Lower bound should be less than or equal to the upper bound: {lower} and {upper}"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with no_grad():
        negative = input <= 0
        drawn = zeros(int(negative.sum()), dtype=float64).uniform_(lower, upper)
        slopes = ones_like(input)
        slopes[negative] = drawn.to(input.dtype)
    return _given(input, gate.leak(input, slopes), inplace, "rrelu_")


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where positive, ``α · (eˣ - 1)`` elsewhere."""
    return _given(input, activation.elu(input, alpha), inplace, "elu_")


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where positive, ``α · (e^(x/α) - 1)`` elsewhere; `RuntimeError` for α = 0."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _given(input, gate.celu(input, alpha), inplace, "celu_")


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu` with the α and the scale that keep mean 0 and variance 1."""
    return _given(input, gate.selu(input), inplace, "selu_")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x · sigmoid(x)``."""
    return _given(input, activation.silu(input), inplace, "silu_")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x · tanh(softplus(x))``."""
    return _given(input, gate.mish(input), inplace, "mish_")


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """``x`` clipped to [min_val, max_val]; `ValueError` if these are the wrong way round."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val: {min_val} > {max_val}")
    return _given(input, gate.hardtanh(input, min_val, max_val), inplace, "hardtanh_")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """A straight line through (-3, 0) and (3, 1), clipped to [0, 1]."""
    return _given(input, gate.hardsigmoid(input), inplace, "hardsigmoid_")


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x · hardsigmoid(x)``."""
    return _given(input, gate.hardswish(input), inplace, "hardswish_")


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where it exceeds the threshold, ``value`` elsewhere."""
    return _given(input, gate.threshold(input, threshold, value), inplace, "threshold_")


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards zero by λ; `RuntimeError` for a negative λ."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return gate.softshrink(input, lambd)  # type: ignore[no-any-return]


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return input - input.tanh()


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a · sigmoid(b)``, where a and b are the halves of the axis ``dim``."""
    if not input.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    size = input.shape[dim]
    if size % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {size} of the input "
            f"{list(input.shape)}"
        )
    a, b = input.split(size // 2, dim) if size else (input, input)
    return a * b.sigmoid()


def _inplace_form(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def form(input: Tensor, *args: Any, **settings: Any) -> Tensor:
        return function(input, *args, **settings, inplace=True)

    form.__name__ = form.__qualname__ = f"{function.__name__}_"
    form.__doc__ = f"`{function.__name__}` written over its input."
    return form


relu_ = _inplace_form(relu)
leaky_relu_ = _inplace_form(leaky_relu)
rrelu_ = _inplace_form(rrelu)
elu_ = _inplace_form(elu)
celu_ = _inplace_form(celu)
selu_ = _inplace_form(selu)
hardtanh_ = _inplace_form(hardtanh)
threshold_ = _inplace_form(threshold)


# ---------------------------------------------------------------- soft maxima


def _softmax_axis(name: str, dim: int | None, ndim: int, stacklevel: int) -> int:
    """``dim``, or PyTorch's old guess of it, with PyTorch's warning."""
    if dim is not None:
        return dim
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. "
        "Change the call to include dim=X as an argument.",
        stacklevel=stacklevel + 1,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 2, dtype: Any = None
) -> Tensor:
    """``eˣ / Σ eˣ`` along ``dim``: positive, and adding up to one.

    >>> import retrograd as rg
    >>> rg.nn.functional.softmax(rg.zeros(1, 4), dim=1)
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    dim = _softmax_axis("softmax", dim, input.ndim, _stacklevel)
    return activation.softmax(input, dim, dtype=dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 2, dtype: Any = None
) -> Tensor:
    """The logarithm of `softmax`, computed without leaving it."""
    dim = _softmax_axis("log_softmax", dim, input.ndim, _stacklevel)
    return activation.log_softmax(input, dim, dtype=dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 2, dtype: Any = None
) -> Tensor:
    """`softmax` of ``-x``."""
    dim = _softmax_axis("softmin", dim, input.ndim, _stacklevel)
    return activation.softmax(-input, dim, dtype=dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample from the categorical distribution of ``logits``, softened by ``tau``.

    With ``hard`` it is one-hot, and its gradient that of the soft sample (Jang et al. 2017).
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    with no_grad():
        noise = -empty_like(logits).exponential_().log()
    soft = activation.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft  # type: ignore[no-any-return]
    chosen = soft.detach().argmax(dim, keepdim=True)
    return zeros_like(logits).scatter(dim, chosen, 1.0) - soft.detach() + soft


# ---------------------------------------------------------------- linear maps and tables


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x Wᵀ + b`` along the last axis.

    Shape: ``(*, n), (m, n), (m,) → (*, m)``

    >>> import retrograd as rg
    >>> rg.nn.functional.linear(rg.ones(2), rg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([3., 7.])
    """
    if isinstance(weight, Tensor) and weight.array.ndim == 1:
        out = input @ weight
        return out if bias is None else out + bias
    return linear_map(input, weight) if bias is None else affine(input, weight, bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x₁ᵀ Wₖ x₂ + bₖ`` for each k.

    Shape: ``(*, n), (*, m), (k, n, m), (k,) → (*, k)``
    """
    if input1.ndim != input2.ndim or input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            "bilinear(): the inputs must have the same shape but for the last axis, got "
            f"{list(input1.shape)} and {list(input2.shape)}"
        )
    n_out, n, m = weight.shape
    if (input1.shape[-1], input2.shape[-1]) != (n, m):
        raise RuntimeError(
            f"bilinear(): the weight {list(weight.shape)} takes inputs of {n} and {m} features, "
            f"got {input1.shape[-1]} and {input2.shape[-1]}"
        )
    half = linear_map(input1, weight.permute(0, 2, 1).reshape(n_out * m, n))  # (*, k·m)
    half = half.reshape(*input1.shape[:-1], n_out, m)
    out = (half @ input2.unsqueeze(-1)).squeeze(-1)
    return out if bias is None else out + bias


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Zeros with a one at each class number, along a new last axis.

    Raises `RuntimeError` for classes outside [0, num_classes).

    >>> import retrograd as rg
    >>> rg.nn.functional.one_hot(rg.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not int64:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor: this one is "
            f"{tensor.dtype}; convert it with .long()"
        )
    classes = tensor.array
    if not classes.size:
        if num_classes <= 0:
            raise RuntimeError(
                "Can not infer total number of classes from empty tensor: give num_classes"
            )
        return zeros(*tensor.shape, num_classes, dtype=int64)
    if classes.min() < 0:
        raise RuntimeError(f"Class values must be non-negative, found {classes.min()}.")
    if num_classes == -1:
        num_classes = int(classes.max()) + 1
    elif num_classes < 1:
        raise RuntimeError(f"num_classes should be positive, got {num_classes}")
    elif classes.max() >= num_classes:
        raise RuntimeError(
            f"Class values must be smaller than num_classes: found {classes.max()}, but "
            f"num_classes is {num_classes}."
        )
    return wrap((classes[..., None] == np.arange(num_classes)).astype(np.int64))


__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "affine_grid",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "fold",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "linear_cross_entropy",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "native_channel_shuffle",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rms_norm",
    "rrelu",
    "rrelu_",
    "scaled_dot_product_attention",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]
