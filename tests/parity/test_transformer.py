"""Transformers against PyTorch's, in training and in evaluation."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest
import retrograd

from .layers import ENGINES, compare, copies_work, numbers, same_error, to, torch

SRC, TGT = numbers((5, 3, 8)), numbers((4, 3, 8), 1)
PADDED = np.zeros((3, 5), bool)
PADDED[1, 3:] = True
CAUSAL = np.triu(np.full((4, 4), -np.inf), 1)

pytestmark = [
    pytest.mark.filterwarnings("ignore:enable_nested_tensor"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
]

SETTINGS = [
    "",
    "dropout=0.0, norm_first=True",
    "activation='gelu', bias=False",
    "activation=nn.functional.silu, batch_first=True, layer_norm_eps=1e-3",
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_layers(settings, training):
    def encoder(e):
        return eval(f"nn.TransformerEncoderLayer(8, 2, 16, {settings})", {"nn": e.nn})

    def decoder(e):
        return eval(f"nn.TransformerDecoderLayer(8, 2, 16, {settings})", {"nn": e.nn})

    src, tgt = (x.transpose(1, 0, 2) if "batch_first" in settings else x for x in (SRC, TGT))
    compare(encoder, src, training=training)
    compare(decoder, tgt, src, training=training)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_whole(training, dtype):
    def call(model, src, tgt):
        e = next(e for e in ENGINES if isinstance(src, e.Tensor))
        mask = model.generate_square_subsequent_mask(4, dtype=src.dtype)
        padding = to(e, np.where(PADDED, -np.inf, 0.0), str(src.dtype).rpartition(".")[2])
        return model(
            src, tgt, tgt_mask=mask, src_key_padding_mask=padding, memory_key_padding_mask=padding
        )

    compare(
        lambda e: e.nn.Transformer(8, 2, 2, 2, 16), SRC, TGT,
        call=call, training=training, dtype=dtype,
    )  # fmt: skip


def test_copies():
    copies_work(lambda e: e.nn.Transformer(8, 2, 1, 1, 16), SRC, TGT)


@pytest.mark.parametrize("gradient", [True, False], ids=["gradients", "none"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_padding_in_evaluation(norm_first, gradient):
    """Where PyTorch computes with nested tensors, what was computed for padding is zero."""
    results = []
    for e in ENGINES:
        e.manual_seed(0)
        layer = e.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
        model = e.nn.TransformerEncoder(layer, 2).eval()
        with contextlib.nullcontext() if gradient else e.no_grad():
            out = model(
                to(e, SRC.transpose(1, 0, 2), "float32"), src_key_padding_mask=to(e, PADDED)
            )
        results.append(out.detach().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-5)
    assert (results[1][1, 3:] == 0).all() == (not gradient and not norm_first)


def test_causal_masks_are_recognised():
    results = []
    for e in ENGINES:
        e.manual_seed(0)
        layer = e.nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0)
        model = e.nn.TransformerDecoder(layer, 2, e.nn.LayerNorm(8))
        out = model(to(e, TGT, "float32"), to(e, SRC, "float32"), to(e, CAUSAL, "float32"))
        results.append(out.detach().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    ["norm_first=True, batch_first=True", "", "bias=False, batch_first=True",
     "activation=nn.functional.silu, batch_first=True", "batch_first=True"],
)  # fmt: skip
def test_warns_as_theirs(change):
    def said(e):
        layer = eval(f"nn.TransformerEncoderLayer(8, 2, 16, {change})", {"nn": e.nn})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            e.nn.TransformerEncoder(layer, 1)
        return [str(w.message) for w in caught]

    assert said(retrograd) == said(torch)


@pytest.mark.parametrize(
    ("attempt", "match"),
    [
        (lambda e: e.nn.TransformerEncoderLayer(8, 3), "num_heads"),
        (lambda e: e.nn.TransformerEncoderLayer(8, 2, activation="tanh"), "activation"),
        (lambda e: e.nn.Transformer(8, 2, 1, 1, 16)(e.ones(2, 3, 8), e.ones(2, 2, 8)), "batch"),
        (lambda e: e.nn.Transformer(8, 2, 1, 1, 16)(e.ones(2, 3, 8), e.ones(2, 3, 6)), "d_model"),
        (lambda e: e.nn.TransformerEncoderLayer(8, 2, 16)(
            e.ones(2, 3, 8), e.ones(2, 2).long()), "src_mask"),
    ],
)  # fmt: skip
def test_error(attempt, match):
    same_error(attempt, match)
