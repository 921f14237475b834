"""Tables of vectors against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd

from .layers import ENGINES, compare, copies_work, numbers, same_error, to, torch

WORDS = np.array([[1, 2, 4, 1], [0, 3, 3, 5]])
FLAT, STARTS = np.array([1, 2, 4, 1, 0, 3]), np.array([0, 2, 2, 5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "call",
    [
        "Embedding(6, 3)",
        "Embedding(6, 3, padding_idx=3)",
        "Embedding(6, 3, padding_idx=-1, scale_grad_by_freq=True)",
        "Embedding(6, 3, max_norm=1.0)",
        "Embedding(6, 3, max_norm=0.5, norm_type=1.0)",
    ],
)
def test_embedding(call, dtype):
    compare(lambda e: eval(f"nn.{call}", {"nn": e.nn}), WORDS, dtype=dtype)


BAGS = [
    "EmbeddingBag(6, 3)",
    "EmbeddingBag(6, 3, mode='sum')",
    "EmbeddingBag(6, 3, mode='max')",
    "EmbeddingBag(6, 3, mode='max', padding_idx=1)",
    "EmbeddingBag(6, 3, mode='mean', padding_idx=-3)",
    "EmbeddingBag(6, 3, max_norm=1.0)",
]


@pytest.mark.parametrize("arrays", [(WORDS,), (FLAT, STARTS)], ids=["rows", "offsets"])
@pytest.mark.parametrize("call", BAGS)
def test_bags(call, arrays):
    compare(lambda e: eval(f"nn.{call}", {"nn": e.nn}), *arrays)


def test_last_offset_and_weights_of_samples():
    compare(
        lambda e: e.nn.EmbeddingBag(6, 3, mode="sum", include_last_offset=True),
        FLAT, np.array([0, 2, 2, 6]), numbers(6),
    )  # fmt: skip


@pytest.mark.parametrize("call", ["Embedding(6, 3, 2, 1.5, 1, True)", *BAGS])
def test_copies(call):
    copies_work(lambda e: eval(f"nn.{call}", {"nn": e.nn}), WORDS)


def test_pretrained():
    for engine in ENGINES:
        table = engine.ones(4, 2)
        frozen = engine.nn.Embedding.from_pretrained(table, padding_idx=1)
        assert not frozen.weight.requires_grad
        assert frozen.padding_idx == 1
        assert engine.nn.EmbeddingBag.from_pretrained(table, freeze=False).weight.requires_grad


@pytest.mark.parametrize(
    ("attempt", "match"),
    [
        (lambda e: e.nn.Embedding(3, 2)(e.tensor([3])), "index out of range in self"),
        (lambda e: e.nn.Embedding(3, 2)(e.tensor([-1])), "index out of range in self"),
        (lambda e: e.nn.Embedding(3, 2)(e.ones(2)), "indices"),
        (lambda e: e.nn.Embedding(3, 2, padding_idx=3), "Padding_idx"),
        (lambda e: e.nn.Embedding(3, 2, padding_idx=-4), "Padding_idx"),
        (lambda e: e.nn.Embedding(3, 2, _weight=e.ones(2, 2)), "num_embeddings"),
        (lambda e: e.nn.Embedding.from_pretrained(e.ones(3)), "2-dimensional"),
        (lambda e: e.nn.EmbeddingBag(3, 2, padding_idx=3), "adding_idx"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([1])), "offsets"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([[1]]), e.tensor([0])), "offsets"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([[[1]]])), "1D or 2D"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([1]), e.tensor([1])), "offsets[0]"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([1]), e.tensor([0, 2])), "offsets[-1]"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([1]), e.tensor([[0]])), "1D"),
        (lambda e: e.nn.EmbeddingBag(3, 2, mode="min")(e.tensor([[1]])), "mode"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([[1]]), None, e.ones(1, 1)), "mean"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.tensor([[1]]), None, e.ones(1)), "same shape"),
        (lambda e: e.nn.EmbeddingBag(3, 2)(e.ones(1, 1)), "indices"),
        (lambda e: e.nn.functional.embedding_bag(
            e.tensor([[1]]), e.ones(3, 2), mode="max", scale_grad_by_freq=True), "max"),
    ],
)  # fmt: skip
def test_error(attempt, match):
    same_error(attempt, match)


def test_sparse_gradients_are_refused():
    with pytest.raises(NotImplementedError, match="dense"):
        retrograd.nn.Embedding(3, 2, sparse=True)(retrograd.tensor([1]))
    assert "sparse=True" in repr(torch.nn.Embedding(3, 2, sparse=True))
    assert "sparse=True" in repr(retrograd.nn.Embedding(3, 2, sparse=True))


def test_index_out_of_a_bag():
    for mode in ("sum", "max"):
        with pytest.raises((IndexError, RuntimeError)):
            torch.nn.EmbeddingBag(3, 2, mode=mode)(to(torch, np.array([[3]])))
        with pytest.raises(IndexError, match="out of range"):
            retrograd.nn.EmbeddingBag(3, 2, mode=mode)(to(retrograd, np.array([[3]])))


def test_gradients_of_a_bag_by_frequency():
    """PyTorch's sums in a flat loop take the count of another row; its embedding does not."""
    layer = retrograd.nn.EmbeddingBag(6, 3, mode="sum", scale_grad_by_freq=True)
    layer(to(retrograd, WORDS)).sum().backward()
    plain = retrograd.nn.Embedding(6, 3, scale_grad_by_freq=True)
    plain(to(retrograd, WORDS)).sum().backward()
    assert layer.weight.grad.tolist() == plain.weight.grad.tolist()
