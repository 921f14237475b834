"""Convolutions: three ops that are each other's derivatives, and PyTorch's functions.

The arithmetic is in `convolving`.  An op's ``stride``, ``padding`` and ``dilation`` are tuples, one
number for each axis.  The public functions take what PyTorch's take, check it, and explain what
does not fit; what fits is remembered by shapes, so that it is checked once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import convolving
from .. import scalar as s
from ..declare import composite, opaque, word
from ..op import announce, registry
from ..tensor import Tensor, wrap
from .index import put
from .shape import squeeze, unsqueeze

SETTINGS = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
PLANE = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}

announce(
    "convolution_input", "convolution_weight", "of_channels"
)  # the ops are each other's derivatives


@opaque(
    d_x=lambda g, x_shape, weight, stride, padding, dilation, groups: s.convolution_input(
        g, weight, x_shape[2:], stride, padding, dilation, groups
    ),
    d_weight=lambda g, x, weight_shape, stride, padding, dilation, groups: s.convolution_weight(
        x, g, weight_shape[2:], stride, padding, dilation, groups
    ),
    cases=[
        ((2, 3, 7), (4, 3, 2), SETTINGS),
        ((2, 4, 5, 6), (6, 2, 3, 2), PLANE),
    ],
    public=False, method=False,
)  # fmt: skip
def convolution(x, weight, /, stride, padding, dilation, groups):
    """``Σ x[n, c, o·stride + k·dilation - padding] · w[f, c, k]`` over channels and the window.

    Shape: ``(N, C, *size), (F, C/groups, *kernel) → (N, F, *places)``
    """
    return convolving.convolution(x, weight, stride, padding, dilation, groups)


@opaque(
    d_x=lambda g, x_shape, weight, stride, padding, dilation, groups: s.convolution_input(
        g, weight, x_shape[2:], stride, padding, dilation, groups
    ),
    d_weight=lambda g, x, weight_shape, stride, padding, dilation, groups: s.convolution_weight(
        x, g, weight_shape[2:], stride, padding, dilation, groups
    ),
    d_bias=lambda g: s.of_channels(g),
    cases=[
        ((2, 3, 7), (4, 3, 2), (4,), SETTINGS),
        ((2, 4, 5, 6), (6, 2, 3, 2), (6,), PLANE),
        ((1, 1, 2, 3, 2), (2, 1, 2, 2, 1), (2,),
         {"stride": (1,) * 3, "padding": (1, 0, 0), "dilation": (1,) * 3, "groups": 1}),
    ],
    public=False, method=False,
)  # fmt: skip
def convolution_with_bias(x, weight, bias, /, stride, padding, dilation, groups):
    """`convolution` plus a number for each filter, as one line of the tape.

    Shape: ``(N, C, *size), (F, C/groups, *kernel), (F,) → (N, F, *places)``
    """
    return convolving.convolution(x, weight, stride, padding, dilation, groups, bias)


@opaque(
    d_y=lambda g, weight, stride, padding, dilation, groups: s.convolution(
        g, weight, stride, padding, dilation, groups
    ),
    d_weight=lambda g, y, weight_shape, stride, padding, dilation, groups: s.convolution_weight(
        g, y, weight_shape[2:], stride, padding, dilation, groups
    ),
    cases=[
        ((2, 4, 6), (4, 3, 2), {"size": (7,), **SETTINGS}),
        ((2, 6, 3, 4), (6, 2, 3, 2), {"size": (5, 6), **PLANE}),
    ],
    public=False, method=False,
)  # fmt: skip
def convolution_input(y, weight, /, size, stride, padding, dilation, groups):
    """The transposed convolution: what `convolution` hands back to its input.

    Shape: ``(N, F, *places), (F, C/groups, *kernel) → (N, C, *size)``
    """
    return convolving.convolution_input(y, weight, size, stride, padding, dilation, groups)


@opaque(
    d_x=lambda g, y, x_shape, stride, padding, dilation, groups: s.convolution_input(
        y, g, x_shape[2:], stride, padding, dilation, groups
    ),
    d_y=lambda g, x, stride, padding, dilation, groups: s.convolution(
        x, g, stride, padding, dilation, groups
    ),
    cases=[
        ((2, 3, 7), (2, 4, 6), {"kernel": (2,), **SETTINGS}),
        ((2, 4, 5, 6), (2, 6, 3, 4), {"kernel": (3, 2), **PLANE}),
    ],
    public=False, method=False,
)  # fmt: skip
def convolution_weight(x, y, /, kernel, stride, padding, dilation, groups):
    """What `convolution` hands back to its weight.

    Shape: ``(N, C, *size), (N, F, *places) → (F, C/groups, *kernel)``
    """
    return convolving.convolution_weight(x, y, kernel, stride, padding, dilation, groups)


@word(arrays=convolving.of_channels)
def of_channels(x: Any) -> Any:
    """Total of everything in each channel."""
    return x.sum((0, *range(2, x.array.ndim)))


registry["convolution"].backward_name = "ConvolutionBackward0"
registry["convolution_with_bias"].backward_name = "ConvolutionBackward0"
registry["convolution_input"].backward_name = "ConvolutionBackward0"
registry["convolution_weight"].backward_name = "ConvolutionBackwardBackward0"


# ---------------------------------------------------------------- PyTorch's functions


@composite(method=False)
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Filters slid over sequences: ``y[f, o] = b[f] + Σ x[c, o·stride + k] · w[f, c, k]``.

    ``padding`` zeros stand at each end; "same" is as many as keep the length, "valid" is none.
    Arguments that do not fit raise `RuntimeError`.

    Shape: ``(N, C, L), (F, C/groups, K), (F,) → (N, F, L')``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.functional.conv1d(rg.tensor([[1.0, 2.0, 4.0]]), rg.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2.]])
    """
    return _convolved(1, input, weight, bias, stride, padding, dilation, groups)


@composite(method=False)
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Filters slid over images; see `conv1d`.

    Shape: ``(N, C, H, W), (F, C/groups, K, K), (F,) → (N, F, H', W')``; N may be missing.

    >>> import retrograd as rg
    >>> rg.nn.functional.conv2d(rg.ones(1, 3, 5, 5), rg.ones(2, 3, 3, 3), padding="same").shape
    torch.Size([1, 2, 5, 5])
    """
    return _convolved(2, input, weight, bias, stride, padding, dilation, groups)


@composite(method=False)
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Filters slid over volumes; see `conv1d`.

    Shape: ``(N, C, D, H, W), (F, C/groups, K, K, K), (F,) → (N, F, D', H', W')``; N may be missing.
    """
    return _convolved(3, input, weight, bias, stride, padding, dilation, groups)


@composite(method=False)
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Every element times the filters, added up where their windows overlap.

    It is what `conv1d` hands back to its input.  Its length is the least that `conv1d` makes as
    many elements of, plus ``output_padding``.  Arguments that do not fit raise `RuntimeError`.

    Shape: ``(N, C, L), (C, F/groups, K), (F,) → (N, F, L')``; N may be missing.

    >>> import retrograd as rg
    >>> filters = rg.tensor([[[1.0, 10.0]]])
    >>> rg.nn.functional.conv_transpose1d(rg.tensor([[1.0, 2.0]]), filters)
    tensor([[ 1., 12., 20.]])
    """
    return _transposed(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )  # fmt: skip


@composite(method=False)
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """`conv_transpose1d` for images.

    Shape: ``(N, C, H, W), (C, F/groups, K, K), (F,) → (N, F, H', W')``; N may be missing.
    """
    return _transposed(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )  # fmt: skip


@composite(method=False)
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """`conv_transpose1d` for volumes.

    Shape: ``(N, C, D, H, W), (C, F/groups, K, K, K), (F,) → (N, F, D', H', W')``; N may be missing.
    """
    return _transposed(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )  # fmt: skip


def _convolved(
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    name = f"conv{n}d"
    _check_types(name, input, weight, bias)
    x, w = input.array, weight.array
    if padding.__class__ is not str:
        padding = _numbers(name, "padding", padding)
    plan = _plan(
        *(name, n, x.shape, w.shape, None if bias is None else bias.array.shape),
        *(_numbers(name, "stride", stride), padding, _numbers(name, "dilation", dilation), groups),
    )
    before, settings = plan
    if x.ndim == n + 1:
        return squeeze(_applied(unsqueeze(input, 0), weight, bias, before, settings), 0)
    return _applied(input, weight, bias, before, settings)


def _applied(input: Any, weight: Any, bias: Any, before: Any, settings: Any) -> Any:
    if before is not None:
        input = _in_zeros(input, *before)
    if bias is None:
        return convolution(input, weight, *settings)
    return convolution_with_bias(input, weight, bias, *settings)


def _in_zeros(x: Any, size: tuple[int, ...], key: Any) -> Any:
    """An image of ``size`` that is zero but for ``x`` at the place ``key``."""
    return put(wrap(np.zeros((*x.array.shape[:2], *size), x.array.dtype)), x, ((), key))


def _transposed(
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Any:
    name = f"conv_transpose{n}d"
    _check_types(name, input, weight, bias)
    x, w = input.array, weight.array
    size, before, settings = _transposed_plan(
        *(name, n, x.shape, w.shape, None if bias is None else bias.array.shape),
        *(_numbers(name, "stride", stride), _numbers(name, "padding", padding)),
        *(_numbers(name, "output_padding", output_padding),),
        *(_numbers(name, "dilation", dilation), groups),
    )
    alone = x.ndim == n + 1
    if alone:
        input = unsqueeze(input, 0)
    if before is not None:
        input = _in_zeros(input, *before)
    out = convolution_input(input, weight, size, *settings)
    if bias is not None:
        out = out + bias.reshape(-1, *[1] * n)
    return squeeze(out, 0) if alone else out


# ---------------------------------------------------------------- what fits, and what does not


def _check_types(name: str, input: Any, weight: Any, bias: Any) -> None:
    """`TypeError` for what is no tensor, `RuntimeError` for element types that differ."""
    for argument, x in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(x, Tensor) and (x is not None or argument != "bias"):
            raise TypeError(
                f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}"
            )
    kind = input.array.dtype
    if weight.array.dtype != kind or (bias is not None and bias.array.dtype != kind):
        which, other = ("weight", weight) if weight.array.dtype != kind else ("bias", bias)
        raise RuntimeError(
            f"{name}(): Input type ({input.dtype}) and {which} type ({other.dtype}) should be the "
            "same: convert the input or the layer with .to(...)"
        )
    if kind.kind == "b":
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool': convert with .float()")


def _numbers(name: str, argument: str, value: Any) -> Any:
    """An int, or a tuple of ints; `TypeError` for anything else."""
    if value.__class__ is int:
        return value
    if isinstance(value, (tuple, list)):
        given = tuple(value)
        if all(isinstance(v, (int, np.integer)) for v in given):
            return given
    elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise TypeError(
        f"{name}(): argument '{argument}' must be an int or a tuple of ints, not "
        f"{value if isinstance(value, str) else type(value).__name__!r}"
    )


def _spread(argument: str, value: Any, n: int) -> tuple[int, ...]:
    """One number for each axis."""
    given = (value,) if value.__class__ is int else value
    if len(given) == 1:
        return tuple(given) * n
    if len(given) != n:
        raise RuntimeError(
            f"expected {argument} to be a single integer value or a list of {n} values to match "
            f"the convolution dimensions, but got {argument}={list(given)}"
        )
    return tuple(int(v) for v in given)


def _check_settings(
    name: str, n: int, x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> tuple[Any, Any, Any]:
    """The settings for each axis, after what can be said of them without the channels."""
    if len(x) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input "
            f"of size: {list(x)}"
        )
    if len(w) != n + 2:
        raise RuntimeError(
            f"Expected {n + 2}-dimensional weight for {n + 2}-dimensional input {list(x)}, but got "
            f"{len(w)}-dimensional weight of size {list(w)} instead"
        )
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)):
        raise TypeError(f"{name}(): argument 'groups' must be int, not {type(groups).__name__}")
    stride = _spread("stride", stride, n)
    padding = padding if isinstance(padding, str) else _spread("padding", padding, n)
    dilation = _spread("dilation", dilation, n)
    if min(stride) <= 0:
        raise RuntimeError(f"non-positive stride is not supported, but got stride={list(stride)}")
    if not isinstance(padding, str) and min(padding) < 0:
        raise RuntimeError(f"negative padding is not supported, but got padding={list(padding)}")
    if min(dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if groups <= 0:
        raise RuntimeError(f"non-positive groups is not supported, but got groups={groups}")
    if w[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {list(w)} instead"
        )
    if w[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size {list(w)} instead"
        )
    if min(w[2:]) <= 0:
        raise RuntimeError(
            f"kernel size should be greater than zero, but got weight of size {list(w)}"
        )
    return stride, padding, dilation


def _check_bias(bias: Any, filters: int, given: str) -> None:
    if bias is not None and bias != (filters,):
        raise RuntimeError(
            f"Given {given}, expected bias to be 1-dimensional with {filters} elements, but got "
            f"bias of size {list(bias)} instead"
        )


@lru_cache(maxsize=1024)
def _plan(
    name: str,
    n: int,
    x: Any,
    w: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    """The settings of the op; first, where the input is padded unevenly, the size and place."""
    stride, padding, dilation = _check_settings(
        name, n, x, w, stride, padding, dilation, groups
    )  # fmt: skip
    channels = x[-n - 1]
    if channels != w[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w)}, expected input{list(x)} to have "
            f"{w[1] * groups} channels, but got {channels} channels instead"
        )
    _check_bias(bias, w[0], f"weight of size {list(w)}")
    size, kernel, before = x[-n:], w[2:], None
    if isinstance(padding, str):
        padding, before = _named_padding(padding, n, size, kernel, stride, dilation)
        size = size if before is None else before[0]
    padded = [m + 2 * p for m, p in zip(size, padding, strict=True)]
    wide = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(a < b for a, b in zip(padded, wide, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel "
            f"size: ({' x '.join(map(str, wide))}). Kernel size can't be greater than actual "
            "input size"
        )
    return before, (stride, padding, dilation, int(groups))


def _named_padding(padding: str, n: int, size: Any, kernel: Any, stride: Any, dilation: Any) -> Any:
    """How much "same" and "valid" are; where it is uneven, the size and the place to put it to."""
    if padding == "valid":
        return (0,) * n, None
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'; it is 'same' or 'valid'")
    if any(step != 1 for step in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if not any(t % 2 for t in total):
        return tuple(t // 2 for t in total), None
    key = tuple(slice(t // 2, t // 2 + m) for t, m in zip(total, size, strict=True))
    return (0,) * n, (tuple(m + t for t, m in zip(total, size, strict=True)), (..., *key))


@lru_cache(maxsize=1024)
def _transposed_plan(
    name: str,
    n: int,
    x: Any,
    w: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    """The settings of the op; first the size of its result, and how the input is lengthened.

    A result that is longer by a stride or more has room for further windows: of zeros.
    """
    stride, padding, dilation = _check_settings(
        name, n, x, w, stride, padding, dilation, groups
    )  # fmt: skip
    output_padding = _spread("output_padding", output_padding, n)
    if min(output_padding) < 0:
        raise RuntimeError(
            f"negative output_padding is not supported, but got {list(output_padding)}"
        )
    channels = x[-n - 1]
    if channels != w[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(w)}, expected input{list(x)} to have "
            f"{w[0]} channels, but got {channels} channels instead"
        )
    _check_bias(bias, w[1] * groups, f"transposed=1, weight of size {list(w)}")
    facts = zip(output_padding, stride, dilation, strict=True)
    if any(o >= s and o >= d for o, s, d in facts):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got "
            f"output_padding: {list(output_padding)}, stride: {list(stride)}, dilation: "
            f"{list(dilation)}"
        )
    if min(x[-n:]) <= 0:
        raise RuntimeError(
            f"Only zero batch or zero channel inputs are supported, but got input shape: {list(x)}"
        )
    size = tuple(
        (m - 1) * s - 2 * p + d * (k - 1) + o + 1
        for m, k, s, p, d, o in zip(
            x[-n:], w[2:], stride, padding, dilation, output_padding, strict=True
        )
    )
    if min(size) <= 0:
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, x[-n:]))}). Calculated output "
            f"size per channel: ({' x '.join(map(str, size))}). Output size is too small"
        )
    longer = tuple(m + o // s for m, o, s in zip(x[-n:], output_padding, stride, strict=True))
    before = None if longer == x[-n:] else (longer, (..., *(slice(m) for m in x[-n:])))
    return size, before, (stride, padding, dilation, int(groups))
