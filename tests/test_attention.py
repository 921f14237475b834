"""Attention, without another engine beside it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from numpy.testing import assert_allclose
from retrograd import nn
from retrograd.autograd import kernels

from .cases import directional, gradient_of


def by_hand(q, k, v, bias=0.0):
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]) + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (2, 3, 40, 5), (3, 4, 100, 8)], ids=str)
@pytest.mark.parametrize("dtype", [rg.float32, rg.float64], ids=str)
def test_by_hand(shape, dtype):
    q, k, v = (rg.randn(*shape, dtype=dtype) for _ in range(3))
    n = shape[-2]
    later = np.triu(np.full((n, n), -np.inf), 1)
    tolerance = (
        {"rtol": 2e-5, "atol": 2e-6} if dtype is rg.float32 else {"rtol": 1e-12, "atol": 1e-14}
    )
    arrays = [x.array for x in (q, k, v)]
    attend = F.scaled_dot_product_attention
    assert_allclose(attend(q, k, v).array, by_hand(*arrays), **tolerance)
    expected = by_hand(*arrays, later)
    assert_allclose(attend(q, k, v, is_causal=True).array, expected, **tolerance)
    seen = rg.tensor(later == 0)
    assert_allclose(attend(q, k, v, seen).array, expected, **tolerance)
    assert_allclose(attend(q, k, v, rg.tensor(later, dtype=dtype)).array, expected, **tolerance)


@pytest.mark.parametrize("n", [3, 200])
def test_a_query_that_may_attend_to_nothing_gets_zeros(n):
    q = rg.randn(2, n, 4, requires_grad=True)
    seen = rg.ones(n, n).bool()
    seen[1] = False
    out = F.scaled_dot_product_attention(q, q, q, seen)
    out.sum().backward()
    assert out[:, 1].tolist() == [[0.0] * 4] * 2
    assert q.grad.isfinite().all()


def test_gradients_of_both_orders():
    inputs = [rg.randn(*s, dtype=rg.float64) for s in ((2, 3, 4), (2, 5, 4), (2, 5, 3), (3, 5))]
    function = F.scaled_dot_product_attention
    directional(function, inputs)
    inputs = [x.requires_grad_() for x in inputs]
    gradient, g = gradient_of(function, function(*inputs))
    directional(gradient, [g, *inputs], tolerance=1e-5)


@pytest.mark.parametrize("batch_first", [True, False])
def test_packed_attention_is_attention(batch_first):
    """Self-attention without weights takes another way than attention to another sequence."""
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, dtype=rg.float64)
    layer.in_proj_bias.data.normal_()
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=rg.float64)
    shape = (3, 5, 8) if batch_first else (5, 3, 8)
    x = rg.randn(*shape, dtype=rg.float64, requires_grad=True)
    results = []
    for key in (x, x * 1):
        x.grad = None
        layer.zero_grad()
        out, _ = layer(x, key, key, need_weights=False, attn_mask=mask)
        out.sin().sum().backward()
        gradients = [p.grad.array for p in layer.parameters()]
        results.append([out.detach().array, x.grad.array, *gradients])
    for packed, apart in zip(*results, strict=True):
        assert_allclose(packed, apart, rtol=1e-10, atol=1e-12)


def test_self_attention_is_three_lines_of_the_tape():
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = rg.randn(3, 5, 8)
    names, node = [], layer(x, x, x, need_weights=False)[0].grad_fn
    while node is not None:
        names.append(node.name())
        node = node.next_functions[0][0]
    assert names == ["AddmmBackward0", "ScaledDotProductAttentionBackward0", "AddmmBackward0"]


@pytest.mark.parametrize("settings", [{}, {"is_causal": True}, {"dropout_p": 0.4}], ids=str)
def test_compiled_passes_compute_what_the_steps_do(settings, monkeypatch):
    arrays = [rg.randn(3, 2, 37, 9).array for _ in range(3)]
    results = []
    for threshold in (1, 1 << 60):
        monkeypatch.setattr(kernels, "WORTH_COMPILING", threshold)
        rg.manual_seed(0)
        inputs = [rg.tensor(a, requires_grad=True) for a in arrays]
        out = F.scaled_dot_product_attention(*inputs, rg.randn(2, 1, 37) if not settings else None,
                                             **settings)  # fmt: skip
        out.sin().sum().backward()
        results.append([out.detach().array, *[x.grad.array for x in inputs]])
    for mine, steps in zip(*results, strict=True):
        assert_allclose(mine, steps, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize(("queries", "keys"), [(160, 160), (200, 130), (130, 200)])
def test_blocks_below_the_diagonal_are_all_that_a_causal_mask_leaves(queries, keys):
    shapes = (queries, 32), (keys, 32), (keys, 24)
    exact = [rg.randn(3, 4, *s, dtype=rg.float64, requires_grad=True) for s in shapes]
    rounded = [x.detach().float().requires_grad_() for x in exact]
    results = []
    for inputs in (exact, rounded):
        out = F.scaled_dot_product_attention(*inputs, is_causal=True)
        out.sin().sum().backward()
        results.append([out.detach().array, *[x.grad.array for x in inputs]])
    for right, mine in zip(*results, strict=True):
        assert_allclose(mine, right, rtol=1e-4, atol=2e-5)


def test_complaints_name_what_is_wrong():
    x = rg.randn(5, 3, 8)
    layer = nn.MultiheadAttention(8, 2)
    with pytest.raises(RuntimeError, match=r"2D attn_mask is torch.Size\(\[3, 3\]\).*\(5, 5\)"):
        layer(x, x, x, attn_mask=rg.zeros(3, 3))
    with pytest.raises(AssertionError, match="only bool and floating types of key_padding_mask"):
        layer(x, x, x, key_padding_mask=rg.zeros(3, 5).long())
    with pytest.raises(RuntimeError, match=r"attn_mask \[4, 4\] does not stretch"):
        F.scaled_dot_product_attention(x, x, x, rg.zeros(4, 4))
    with pytest.raises(RuntimeError, match="is_causal hint"):
        layer(x, x, x, is_causal=True, need_weights=False)
