"""Attention with many heads, as a module."""

from __future__ import annotations

from typing import Any

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty
from ..autograd.tensor import node_of
from . import init
from .attention import (
    _canonical_mask,
    _check_ranks,
    attention_to_itself,
    multi_head_attention_forward,
)
from .linear import Linear
from .module import Module


class NonDynamicallyQuantizableLinear(Linear):
    """`Linear` by the name that PyTorch gives the output projection of attention."""


class MultiheadAttention(Module):
    """Attention of several heads, each to a projection of its own (Vaswani et al. 2017).

    ``concat(head₁, …) Wᵒ`` with ``headᵢ = attention(Q Wᵢ, K Wᵢ, V Wᵢ)``.  In masks of truth values
    True marks what is *not* attended to; other masks are added to the scores.

    Shape: query ``(L, N, E)`` (``(N, L, E)`` if ``batch_first``, or ``(L, E)``), key
    ``(S, N, kdim)``, value ``(S, N, vdim)`` → output as query, and weights ``(N, L, S)``

    >>> import retrograd as rg
    >>> layer = rg.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = rg.randn(3, 5, 8)
    >>> out, weights = layer(x, x, x)
    >>> out.shape, weights.shape
    (torch.Size([3, 5, 8]), torch.Size([3, 5, 5]))
    """

    in_proj_weight: Tensor | None
    q_proj_weight: Tensor | None
    k_proj_weight: Tensor | None
    v_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(
                "embed_dim must be divisible by num_heads, got "
                f"embed_dim={embed_dim} and num_heads={num_heads}"
            )

        def make(*shape: int) -> Any:
            return Parameter(empty(shape, device=device, dtype=dtype))

        same = self._qkv_same_embed_dim
        for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", None if same else make(embed_dim, size))
        self.register_parameter("in_proj_weight", make(3 * embed_dim, embed_dim) if same else None)
        self.register_parameter("in_proj_bias", make(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        self.bias_k = make(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = make(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new weights; biases become zeros."""
        weights = (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        for weight in weights:
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights if they are needed.

        ``is_causal`` is a hint that ``attn_mask`` is the causal one, which must be given as well.
        """
        key_padding_mask = _canonical_mask(
            key_padding_mask, "key_padding_mask", None if attn_mask is None else attn_mask.dtype,
            "attn_mask", query.dtype,
        )  # fmt: skip
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
        if self._attends_to_itself(query, key, value, attn_mask, need_weights):
            _check_ranks(query, key, value, key_padding_mask, attn_mask, self.num_heads)
            out = self._to_itself(query, key_padding_mask, attn_mask, is_causal)
            if self.training and self.batch_first:  # a dropout draws as it lies in memory: as there
                out = out.transpose(1, 0).contiguous().transpose(1, 0)
            return out, None
        turned = self.batch_first and query.ndim == 3
        if turned:
            first, second, third = query, key, value
            query = first.transpose(1, 0)
            key = query if second is first else second.transpose(1, 0)
            value = key if third is second else third.transpose(1, 0)
        out, weights = multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads,
            self.in_proj_weight, self.in_proj_bias, self.bias_k, self.bias_v,
            self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias,
            training=self.training, key_padding_mask=key_padding_mask, need_weights=need_weights,
            attn_mask=attn_mask, use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight, k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight, average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )  # fmt: skip
        return (out.transpose(1, 0) if turned else out), weights

    def _attends_to_itself(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool
    ) -> bool:
        """Whether the three projections are one, and nothing is asked that stands in the way."""
        return (
            query is key is value
            and not need_weights
            and query.ndim == 3
            and query.shape[-1] == self.embed_dim
            and self.in_proj_weight is not None
            and self.bias_k is None
            and not self.add_zero_attn
            and (mask is None or node_of(mask) is None)
        )

    def _to_itself(
        self, x: Tensor, padding: Tensor | None, mask: Tensor | None, is_causal: bool
    ) -> Tensor:
        if is_causal and mask is None:
            raise RuntimeError(
                "Need attn_mask if specifying the is_causal hint. You may use the Transformer "
                "module method `generate_square_subsequent_mask` to create this mask."
            )
        causal = is_causal and padding is None
        assert self.in_proj_weight is not None
        return attention_to_itself(
            x, self.num_heads, (self.in_proj_weight, self.in_proj_bias),
            (self.out_proj.weight, self.out_proj.bias), None if causal else mask, padding,
            self.dropout if self.training else 0.0, causal, self.batch_first,
        )  # fmt: skip
