"""Attention as functions: scaled dot product attention, and the many-headed kind around it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.creation import zeros
from ..autograd.ops.activation import softmax
from ..autograd.ops.attention import NOTHING, attend, attend_packed
from ..autograd.ops.join import cat
from ..autograd.ops.linalg import affine, linear_map
from ..autograd.random import default_generator
from ..autograd.tensor import wrap
from .dropout import dropout as dropped
from .padding import pad

NONE = wrap(NOTHING)  # no mask, and no noise
Mask = Tensor | None


def _noise(shape: tuple[int, ...], dtype: Any, p: float) -> Tensor:
    """What attention weights are multiplied by in dropout: zeros, and ``1 / (1 - p)``."""
    kind = np.dtype(np.float32) if dtype.names else dtype
    if p >= 1:
        return wrap(np.zeros(shape, kind))
    coins = default_generator.bernoulli_(np.empty(shape, kind), 1 - p)
    coins /= kind.type(1 - p)
    return wrap(coins)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Mask = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(scale · Q Kᵀ + mask) V``, with ``scale = 1/√E`` (Vaswani et al. 2017).

    A mask of truth values says which keys a query attends to; other masks are added to the scores.
    ``is_causal`` masks keys later than the query.  ``dropout_p`` drops weights, always.  With
    ``enable_gqa`` several heads of the query share one of key and value.

    Shape: ``(*, L, E), (*, S, E), (*, S, V) → (*, L, V)``, the mask stretching to ``(*, L, S)``.
    Raises `RuntimeError` where shapes or types do not fit.

    >>> import retrograd as rg
    >>> q, k, v = rg.zeros(1, 2), rg.zeros(2, 2), rg.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> rg.nn.functional.scaled_dot_product_attention(q, k, v)
    tensor([[2., 3.]])
    """
    _check_attention(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        key, value = (
            _for_each_head(x, query, name) for x, name in ((key, "key"), (value, "value"))
        )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            "scaled_dot_product_attention(): query and key must have the same last size, key and "
            f"value the same length, but got query {list(query.shape)}, key {list(key.shape)}, "
            f"value {list(value.shape)}"
        )
    if scale is None:
        scale = 1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0
    mask = NONE if attn_mask is None else _added(attn_mask, query)
    q, k = query.array.shape, key.array.shape
    try:
        scores = (*np.broadcast_shapes(q[:-2], k[:-2]), q[-2], k[-2])
        np.broadcast_shapes(scores[:-2], value.array.shape[:-2])
    except ValueError:
        raise RuntimeError(
            "scaled_dot_product_attention(): the leading sizes of query, key and value do not "
            f"broadcast: {list(q)}, {list(k)}, {list(value.shape)}"
        ) from None
    try:
        masked = np.broadcast_shapes(scores, mask.array.shape)
    except ValueError:
        masked = ()
    if masked[-2:] != scores[-2:]:
        raise RuntimeError(
            f"scaled_dot_product_attention(): attn_mask {list(mask.shape)} does not stretch to the "
            f"scores {list(scores)}"
        )
    scores = masked
    noise = _noise(scores, query.array.dtype, dropout_p) if dropout_p > 0 else NONE
    return attend(query, key, value, mask, noise, scale, is_causal)  # type: ignore[no-any-return]


def _check_attention(query: Tensor, key: Tensor, value: Tensor, mask: Mask, causal: Any) -> None:
    three = {"query": query, "key": key, "value": value}
    if not query.dtype == key.dtype == value.dtype:
        said = ", ".join(f"{name}.dtype: {x.dtype}" for name, x in three.items())
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got {said}: convert them "
            "with .to(...)"
        )
    if min(x.ndim for x in three.values()) < 2:
        said = ", ".join(f"{name} dim: {x.ndim}" for name, x in three.items())
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got " + said
        )
    if mask is not None and causal:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True: give one of them"
        )
    if mask is not None and mask.dtype.name != "bool" and mask.dtype != query.dtype:
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {mask.dtype} and query.dtype: {query.dtype}"
        )


def _for_each_head(x: Tensor, query: Tensor, name: str) -> Tensor:
    """Keys or values repeated for all heads of the query that share one."""
    heads, own = query.shape[-3], x.shape[-3]
    if not own or heads % own:
        raise RuntimeError(
            f"Number of heads in key and value must divide the number of heads in query: {name} "
            f"has {own}, query {heads}"
        )
    return x.repeat_interleave(heads // own, -3)


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask of truth values as numbers to add to scores: zero, or minus infinity."""
    if mask.dtype.name != "bool":
        return mask
    kind = np.dtype(np.float32) if like.array.dtype.names else like.array.dtype
    return wrap(np.where(mask.array, kind.type(0), kind.type(-np.inf)))


# ---------------------------------------------------------------- many heads


def _canonical_mask(
    mask: Mask,
    mask_name: str,
    other_type: Any,
    other_name: str,
    target_type: Any,
    check_other: bool = True,
) -> Mask:
    """A mask as numbers to add to scores: truth values mark what is *not* attended to."""
    if mask is None:
        return None
    if mask.dtype.name != "bool" and not mask.is_floating_point():
        raise AssertionError(
            f"only bool and floating types of {mask_name} are supported, not {mask.dtype}"
        )
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type "
            "for both instead.",
            stacklevel=3,
        )
    if mask.dtype.name == "bool":
        return zeros(mask.shape, dtype=target_type).masked_fill(mask, -math.inf)
    return mask


def _check_ranks(
    query: Tensor, key: Tensor, value: Tensor, padding: Mask, mask: Mask, heads: int
) -> None:
    """`AssertionError` unless all are batched, or none."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query "
            "tensor"
        )
    batched = query.ndim == 3
    kind = "batched (3-D)" if batched else "unbatched (2-D)"
    if (key.ndim, value.ndim) != (query.ndim, query.ndim):
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {query.ndim}-D but found "
            f"{key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if padding is not None and padding.ndim != query.ndim - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {query.ndim - 1}-D "
            f"but found {padding.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
            f"{mask.ndim}-D tensor instead"
        )
    if not batched and mask is not None and mask.ndim == 3:
        expected = (heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {tuple(mask.shape)}"
            )


def _mask_by_heads(mask: Tensor, n: int, heads: int, targets: int, sources: int) -> Tensor:
    """An attention mask (L, S), or (N, heads, L, S)."""
    if mask.ndim == 2:
        if tuple(mask.shape) != (targets, sources):
            raise RuntimeError(
                f"The shape of the 2D attn_mask is {mask.shape}, but should be "
                f"{(targets, sources)}."
            )
        return mask
    if mask.ndim != 3:
        raise RuntimeError(f"attn_mask's dimension {mask.ndim} is not supported")
    if tuple(mask.shape) != (n * heads, targets, sources):
        raise RuntimeError(
            f"The shape of the 3D attn_mask is {mask.shape}, but should be "
            f"{(n * heads, targets, sources)}."
        )
    return mask.reshape(n, heads, targets, sources)


def _merged(mask: Mask, padding: Mask, n: int, sources: int) -> Mask:
    """The sum of an attention mask by heads and of a mask (N, S) of the keys."""
    if padding is None:
        return mask
    if tuple(padding.shape) != (n, sources):
        axis = 0 if padding.shape[0] != n else 1
        raise AssertionError(
            f"Expected key_padded_mask.shape[{axis}] to be {(n, sources)[axis]}, but got "
            f"{padding.shape[axis]}"
        )
    padding = padding.reshape(n, 1, 1, sources)
    return padding if mask is None else mask + padding


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return linear_map(x, weight) if bias is None else affine(x, weight, bias)


def attention_to_itself(
    x: Tensor,
    heads: int,
    in_proj: tuple[Tensor, Tensor | None],
    out_proj: tuple[Tensor, Tensor | None],
    mask: Mask,
    padding: Mask,
    dropout_p: float,
    causal: Any,
    batch_first: Any,
) -> Tensor:
    """Many-headed attention of a sequence to itself: a product, `attend_packed`, a product."""
    a, b, _ = x.shape
    n, length = (a, b) if batch_first else (b, a)
    if mask is not None:
        mask = _mask_by_heads(mask, n, heads, length, length)
    mask = _merged(mask, padding, n, length)
    packed = _linear(x, *in_proj)
    shape = (n, heads, length, length)
    noise = _noise(shape, packed.array.dtype, dropout_p) if dropout_p > 0 else NONE
    width = packed.shape[-1] // (3 * heads)
    out = attend_packed(
        packed, NONE if mask is None else mask, noise, heads, 1 / math.sqrt(width), causal,
        batch_first,
    )  # fmt: skip
    return _linear(out, *out_proj)


def _projected(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """Query, key and value times their parts of one weight, in as few products as can be."""
    width = query.shape[-1]
    if query is key and key is value:
        return _linear(query, weight, bias).chunk(3, -1)
    if key is value:
        q, kv = weight.split([width, 2 * width])
        q_bias, kv_bias = (None, None) if bias is None else bias.split([width, 2 * width])
        return (_linear(query, q, q_bias), *_linear(key, kv, kv_bias).chunk(2, -1))
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    each = zip((query, key, value), weight.chunk(3), biases, strict=True)
    return tuple(_linear(x, w, b) for x, w, b in each)


def _projected_apart(
    inputs: tuple[Tensor, ...], weights: tuple[Tensor | None, ...], bias: Tensor | None
) -> tuple[Tensor, ...]:
    """Query, key and value times weights of their own; `AssertionError` where sizes differ."""
    width = inputs[0].shape[-1]
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    made = []
    for name, x, w, b in zip(("query", "key", "value"), inputs, weights, biases, strict=True):
        if w is None:
            raise AssertionError(
                f"use_separate_proj_weight is True but {name[0]}_proj_weight is None"
            )
        if tuple(w.shape) != (width, x.shape[-1]):
            raise AssertionError(
                f"expecting {name} weights shape of {(width, x.shape[-1])}, but got {w.shape}"
            )
        made.append(_linear(x, w, b))
    return tuple(made)


def _by_heads(x: Tensor, heads: int) -> Tensor:
    """``(T, N, E) → (N, heads, T, E / heads)``."""
    t, n, width = x.shape
    return x.reshape(t, n, heads, width // heads).permute(1, 2, 0, 3)


def _static(x: Tensor, name: str, n: int, heads: int, width: int) -> Tensor:
    if x.shape[0] != n * heads or x.shape[2] != width:
        axis, expected = (0, n * heads) if x.shape[0] != n * heads else (2, width)
        raise AssertionError(
            f"expecting {name}.size({axis}) of {expected}, but got {x.shape[axis]}"
        )
    return x.reshape(n, heads, x.shape[1], width)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Mask = None,
    need_weights: bool = True,
    attn_mask: Mask = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What `MultiheadAttention` computes, time first: the output, and the weights if wanted.

    Shape: query ``(L, N, E)`` or ``(L, E)``, key and value ``(S, N, *)`` or ``(S, *)`` → output as
    query, weights ``(N, L, S)``, or ``(N, heads, L, S)`` without averaging.  Raises
    `AssertionError` for ranks and sizes, `RuntimeError` for masks that do not fit.
    """
    _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    batched = query.ndim == 3
    if not batched:
        same_k, same_v = query is key, key is value
        query, key, value = (x.unsqueeze(1) for x in (query, key, value))
        key = query if same_k else key
        value = key if same_v else value
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    targets, n, width = query.shape
    head = width // num_heads
    key_padding_mask = _canonical_mask(
        key_padding_mask, "key_padding_mask", None if attn_mask is None else attn_mask.dtype,
        "attn_mask", query.dtype,
    )  # fmt: skip
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
        is_causal = False
    _check_widths(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _projected_apart((query, key, value), weights, in_proj_bias)
    elif in_proj_weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _mask_by_heads(attn_mask, n, num_heads, targets, key.shape[0])
    more = 0  # keys that are added to the sequence's
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError("bias cannot be added to static key or value.")
        k, v = (cat([x, b.repeat(1, n, 1)]) for x, b in ((k, bias_k), (v, bias_v)))
        more += 1
    elif bias_k is not None or bias_v is not None:
        raise AssertionError("bias_k and bias_v must both be set, or neither")
    q, k, v = (_by_heads(x, num_heads) for x in (q, k, v))
    if static_k is not None:
        k = _static(static_k, "static_k", n, num_heads, head)
    if static_v is not None:
        v = _static(static_v, "static_v", n, num_heads, head)
    if add_zero_attn:
        nothing = zeros((n, num_heads, 1, head), dtype=k.dtype)
        k, v = cat([k, nothing], dim=2), cat([v, nothing], dim=2)
        more += 1
    if more:
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, more))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, more))
    mask = _merged(attn_mask, key_padding_mask, n, k.shape[2])
    p = dropout_p if training else 0.0
    drawn = None
    if need_weights:
        scores = (q * math.sqrt(1 / head)) @ k.mT
        drawn = softmax(scores if mask is None else scores + mask, 3)
        drawn = dropped(drawn, p) if p > 0 else drawn
        out = drawn @ v
    else:
        out = scaled_dot_product_attention(q, k, v, mask, p, is_causal)
    out = _linear(
        out.permute(2, 0, 1, 3).reshape(targets * n, width), out_proj_weight, out_proj_bias
    )
    out = out.reshape(targets, n, out.shape[1])
    if drawn is not None and average_attn_weights:
        drawn = drawn.mean(1)
    if not batched:
        return out.squeeze(1), None if drawn is None else drawn.squeeze(0)
    return out, drawn


def _check_widths(
    query: Tensor, key: Tensor, value: Tensor, expected: int, heads: int, apart: Any
) -> None:
    width = query.shape[-1]
    if width != expected:
        raise AssertionError(f"was expecting embedding dimension of {expected}, but got {width}")
    if width % heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {heads}")
    if apart and key.shape[:2] != value.shape[:2]:
        raise AssertionError(
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
        )
    if not apart and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
