"""Attention against PyTorch's: masks, heads, dropout, gradients of both orders, errors."""

from __future__ import annotations

import numpy as np
import pytest

from .layers import ENGINES, compare, copies_work, numbers, same_error, to

X, MEMORY = numbers((5, 3, 8)), numbers((4, 3, 8), 1)  # time first
HIDDEN = np.zeros((3, 5), bool)
HIDDEN[1, 3:] = True
CAUSAL = np.triu(np.full((5, 5), -np.inf), 1)
ALLOWED = np.tril(np.ones((5, 5), bool))
ALLOWED[2] = False  # a query that attends to nothing


def attention(engine, arrays, dtype, **settings):
    """The output and the gradients of scaled dot product attention."""
    inputs = [to(engine, x, dtype, True) for x in arrays]
    settings = {k: to(engine, v, dtype) for k, v in settings.items()}
    engine.manual_seed(1)
    out = engine.nn.functional.scaled_dot_product_attention(*inputs, **settings)
    out.backward(to(engine, numbers(tuple(out.shape), 3), dtype))
    return [out.detach().numpy(), *[x.grad.numpy() for x in inputs]]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_causal": True},
        {"attn_mask": ALLOWED},
        {"attn_mask": numbers((5, 5), 7)},
        {"attn_mask": numbers((2, 1, 1, 5), 7)},
        {"dropout_p": 0.4},
        {"dropout_p": 0.4, "attn_mask": CAUSAL},
        {"dropout_p": 1.0},
        {"scale": 0.3},
    ],
    ids=lambda s: str(list(s)),
)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (5, 4)], ids=str)
def test_scaled_dot_product(shape, settings):
    if len(shape) == 2 and np.ndim(settings.get("attn_mask")) == 4:
        settings = {}
    arrays = [numbers(shape, i) for i in range(3)]
    theirs, mine = (attention(engine, arrays, "float64", **settings) for engine in ENGINES)
    for m, t in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("settings", [{}, {"is_causal": True}, {"dropout_p": 0.3},
                                      {"attn_mask": numbers((3, 1, 1, 70), 7)},
                                      {"attn_mask": numbers((65, 70), 7) > -1}],
                         ids=lambda s: str(list(s)))  # fmt: skip
def test_many_scores(settings):
    arrays = [numbers((3, 4, n, 6), i) for i, n in enumerate((65, 70, 70))]
    theirs, mine = (attention(engine, arrays, "float32", **settings) for engine in ENGINES)
    for m, t in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-4, atol=2e-5)


def test_heads_that_share_keys():
    arrays = [numbers((2, 6, 5, 4)), numbers((2, 2, 7, 4), 1), numbers((2, 2, 7, 3), 2)]
    theirs, mine = (attention(e, arrays, "float64", enable_gqa=True) for e in ENGINES)
    for m, t in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-8, atol=1e-10)


def calls(**settings):
    def call(module, query, *others):
        engine = next(e for e in ENGINES if isinstance(query, e.Tensor))
        given = {k: to(engine, v) for k, v in settings.items()}
        key, value = others if len(others) == 2 else (others * 2 or (query, query))
        return module(query, key, value, **given)

    return call


HEADS = [
    ("MultiheadAttention(8, 2)", {}),
    ("MultiheadAttention(8, 2)", {"average_attn_weights": False}),
    ("MultiheadAttention(8, 2)", {"need_weights": False}),
    ("MultiheadAttention(8, 2, bias=False)", {"need_weights": False, "key_padding_mask": HIDDEN}),
    ("MultiheadAttention(8, 2)", {"key_padding_mask": HIDDEN, "attn_mask": CAUSAL == 0}),
    ("MultiheadAttention(8, 2)", {"need_weights": False, "attn_mask": CAUSAL}),
    ("MultiheadAttention(8, 2)", {"need_weights": False, "attn_mask": CAUSAL, "is_causal": True}),
    ("MultiheadAttention(8, 2)", {"need_weights": False, "attn_mask": numbers((6, 5, 5), 2)}),
    ("MultiheadAttention(8, 2)", {"attn_mask": numbers((6, 5, 5), 2)}),
    ("MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)", {"attn_mask": CAUSAL}),
    ("MultiheadAttention(8, 2, dropout=0.3)", {}),
    ("MultiheadAttention(8, 2, dropout=0.3)", {"need_weights": False}),
]  # fmt: skip


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize(("layer", "settings"), HEADS, ids=str)
@pytest.mark.filterwarnings("ignore:Support for mismatched")
def test_heads_of_one_sequence(layer, settings, batch_first, training):
    if layer.endswith("(8, 2)") and "attn_mask" in settings and settings["attn_mask"].dtype == bool:
        settings = {**settings, "attn_mask": CAUSAL != 0}
    x = X.transpose(1, 0, 2) if batch_first else X
    layer = f"{layer[:-1]}, batch_first={batch_first})"
    compare(
        lambda e: eval(f"nn.{layer}", {"nn": e.nn}), x, call=calls(**settings), training=training
    )


@pytest.mark.parametrize("need_weights", [True, False])
def test_heads_of_two_sequences(need_weights):
    def make(e):
        return e.nn.MultiheadAttention(8, 4, kdim=6, vdim=3, dropout=0.2)

    arrays = X, numbers((4, 3, 6), 1), numbers((4, 3, 3), 2)
    compare(make, *arrays, call=calls(need_weights=need_weights))
    compare(lambda e: e.nn.MultiheadAttention(8, 4), X, MEMORY, call=calls())
    compare(lambda e: e.nn.MultiheadAttention(8, 4), X, MEMORY, numbers((4, 3, 8), 2), call=calls())


@pytest.mark.parametrize("need_weights", [True, False])
def test_without_a_batch(need_weights):
    compare(
        lambda e: e.nn.MultiheadAttention(8, 2), X[:, 0],
        call=calls(need_weights=need_weights, key_padding_mask=HIDDEN[1]),
    )  # fmt: skip


def test_copies():
    for settings in ({}, {"kdim": 8, "vdim": 8, "add_bias_kv": True}, {"bias": False}):
        copies_work(lambda e, s=settings: e.nn.MultiheadAttention(8, 2, **s), X, X, X)


def heads(e, *inputs, sizes=(8, 2), **masks):
    return e.nn.MultiheadAttention(*sizes)(*inputs, **masks)


def itself(e, **settings):
    return heads(e, *[e.ones(2, 3, 8)] * 3, **settings)


def dot(e, *shapes, **settings):
    return e.nn.functional.scaled_dot_product_attention(*(e.ones(*s) for s in shapes), **settings)


@pytest.mark.parametrize(
    ("attempt", "match"),
    [
        (lambda e: e.nn.MultiheadAttention(8, 3), "embed_dim must be divisible by num_heads"),
        (lambda e: e.nn.MultiheadAttention(0, 1), "embed_dim"),
        (lambda e: heads(e, *[e.ones(2, 3, 6)] * 3), "embedding dimension of 8"),
        (lambda e: heads(e, *[e.ones(8)] * 3), "query"),
        (lambda e: heads(e, e.ones(2, 3, 8), e.ones(2, 8), e.ones(2, 8)), "key"),
        (lambda e: heads(e, e.ones(2, 3, 8), e.ones(2, 3, 8), e.ones(4, 3, 8)), "value"),
        (lambda e: itself(e, attn_mask=e.ones(3, 3)), "2D attn_mask"),
        (lambda e: itself(e, attn_mask=e.ones(1, 2, 2)), "3D attn_mask"),
        (lambda e: itself(e, attn_mask=e.ones(2)), "attn_mask"),
        (lambda e: itself(e, attn_mask=e.ones(2, 2).long()), "attn_mask"),
        (lambda e: itself(e, key_padding_mask=e.ones(2)), "key_padding_mask"),
        (lambda e: itself(e, key_padding_mask=e.ones(2, 2)), "key_padded_mask"),
        (lambda e: itself(e, key_padding_mask=e.ones(3, 2).int()), "key_padding"),
        (lambda e: itself(e, is_causal=True), "attn_mask"),
        (lambda e: itself(e, is_causal=True, need_weights=False), "is_causal"),
        (lambda e: itself(e, need_weights=False, attn_mask=e.ones(3, 3)), "2D"),
        (lambda e: dot(e, (3,), (3,), (3,)), "2 dimensional"),
        (lambda e: dot(e, (2, 3), (2, 4), (2, 4)), "query"),
        (lambda e: dot(e, (2, 3), (2, 3), (4, 3)), "value"),
        (lambda e: dot(e, *[(2, 3)] * 3, attn_mask=e.ones(3, 3)), "attn_mask"),
        (lambda e: dot(e, *[(2, 3)] * 3, attn_mask=e.ones(2, 2).long()), "attn_mask"),
        (lambda e: dot(e, *[(2, 3)] * 3, attn_mask=e.ones(2, 2), is_causal=True), "is_causal"),
        (lambda e: dot(e, (1, 3, 2, 4), (1, 2, 2, 4), (1, 2, 2, 4), enable_gqa=True), "heads"),
        (lambda e: e.nn.functional.scaled_dot_product_attention(
            e.ones(2, 2), e.ones(2, 2).double(), e.ones(2, 2)), "same dtype"),
    ],
)  # fmt: skip
def test_error(attempt, match):
    same_error(attempt, match)
