"""Transformers, without another engine beside them."""

from __future__ import annotations

import pytest
import retrograd as rg
from numpy.testing import assert_allclose
from retrograd import nn

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor")


def test_a_causal_encoder_does_not_look_ahead():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    x = rg.randn(2, 6, 8)
    y = x.clone()
    y[:, 4:] = 0
    for settings in ({}, {"is_causal": True}, {"is_causal": False}):
        before, after = (model(z, mask, **settings).detach().array for z in (x, y))
        assert_allclose(before[:, :4], after[:, :4], rtol=1e-5, atol=1e-6)
        assert abs(before[:, 4:] - after[:, 4:]).max() > 1e-3


def test_padding_is_not_looked_at():
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True).eval()
    src, tgt = rg.randn(2, 5, 8), rg.randn(2, 3, 8)
    hidden = rg.zeros(2, 5).bool()
    hidden[:, 3:] = True
    masks = {"src_key_padding_mask": hidden, "memory_key_padding_mask": hidden}
    expected = model(src[:, :3], tgt).detach()
    assert_allclose(model(src, tgt, **masks).detach().array, expected.array, rtol=1e-4, atol=1e-5)


def test_a_small_one_learns():
    rg.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
    table, model, head = nn.Embedding(5, 16), nn.TransformerEncoder(layer, 1), nn.Linear(16, 5)
    everything = nn.ModuleList([table, model, head])
    optimizer = rg.optim.Adam(everything.parameters(), lr=1e-2)
    x = rg.randint(0, 5, (8, 6))
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        out = head(model(table(x), mask, is_causal=True))
        loss = nn.functional.cross_entropy(out[:, 1:].reshape(-1, 5), x[:, :-1].reshape(-1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 < losses[0]
