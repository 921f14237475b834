"""Tables of vectors, without another engine beside them."""

from __future__ import annotations

import pytest
import retrograd as rg
import retrograd.nn.functional as F
from retrograd import nn

from .cases import directional

TABLE = [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]


def test_rows_and_their_gradient():
    weight = rg.tensor(TABLE, requires_grad=True)
    out = F.embedding(rg.tensor([[2, 0], [2, 1]]), weight, padding_idx=1)
    assert out.tolist() == [[TABLE[2], TABLE[0]], [TABLE[2], TABLE[1]]]
    out.sum().backward()
    assert weight.grad.tolist() == [[1, 1], [0, 0], [2, 2]]


def test_padding_starts_as_zeros_and_long_rows_are_shortened():
    layer = nn.Embedding(4, 3, padding_idx=-2, max_norm=0.5)
    assert layer.padding_idx == 2
    assert layer.weight[2].tolist() == [0, 0, 0]
    out = layer(rg.tensor([0, 1]))
    assert (out.detach().norm(dim=1) <= 0.5 + 1e-6).all()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sum", [[11, 22], [0, 0], [200, 400]]),
        ("mean", [[5.5, 11], [0, 0], [100, 200]]),
        ("max", [[10, 20], [0, 0], [100, 200]]),
    ],
)
def test_bags(mode, expected):
    words, starts = rg.tensor([0, 1, 2, 2]), rg.tensor([0, 2, 2])
    assert F.embedding_bag(words, rg.tensor(TABLE), starts, mode=mode).tolist() == expected


def test_gradients_of_bags():
    words, starts = rg.tensor([0, 1, 2, 2, 1]), rg.tensor([0, 2, 5])
    for mode in ("mean", "max"):
        directional(
            lambda w, m=mode: F.embedding_bag(
                words, w, starts, mode=m, include_last_offset=True, padding_idx=1
            ),
            [rg.randn(3, 2, dtype=rg.float64)],
        )
    directional(
        lambda w, f: F.embedding_bag(words, w, starts[:2], mode="sum", per_sample_weights=f),
        [rg.randn(3, 2, dtype=rg.float64), rg.randn(5, dtype=rg.float64)],
    )


def test_complaints_name_what_is_wrong():
    layer = nn.Embedding(3, 2)
    with pytest.raises(IndexError, match="index out of range in self: the table has 3 rows"):
        layer(rg.tensor([3]))
    with pytest.raises(RuntimeError, match=r"'indices'.*\.long\(\)"):
        layer(rg.ones(2))
    with pytest.raises(AssertionError, match=r"Padding_idx.*7"):
        nn.Embedding(3, 2, padding_idx=7)
    with pytest.raises(RuntimeError, match="must not decrease"):
        F.embedding_bag(rg.tensor([0, 1]), layer.weight, rg.tensor([0, 2, 1]))
