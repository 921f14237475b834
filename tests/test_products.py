"""Products of large matrices: whatever their layout, and whoever shares the work."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import retrograd as rg
from retrograd.autograd import kernels, products, threads

SHAPES = [(33, 500, 257), (400, 90, 30), (65, 65, 65), (1, 600, 900), (900, 600, 1), (200, 2, 900)]
SHAPES += [(700, 1, 600), (300, 9, 250)]  # few terms
SHAPES += [(140, 520, 65)]  # three blocks of terms, of which panels are copied
SHAPES += [(530, 67, 420)]  # rows that are packed, if they are transposed
SHAPES += [(100, 600, 500)]  # turned, if one factor is transposed
LAYOUTS = {
    "plain": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "cut": lambda x: np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2],
    "rows of more": lambda x: np.concatenate([x, x], 1)[:, : x.shape[1]],
    "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
}


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(kernels, "limit", 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_numpy_s(shape, dtype):
    m, k, n = shape
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
    expected = a.astype("f8") @ b.astype("f8")
    for left in LAYOUTS.values():
        for right in LAYOUTS.values():
            got = products.dot(left(a), right(b))
            assert got.dtype == dtype
            assert got.flags.c_contiguous
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6 * k)
    bias = random.standard_normal(2 * n).astype(dtype)[::2]
    np.testing.assert_allclose(products.dot(a, b, bias), products.dot(a, b) + bias, rtol=1e-6)


# Of a transposed right factor, of one that is wide, and turned; blocks of terms are added up.
EACH = [(130, 24, 70), (150, 560, 64), (40, 33, 300), (60, 65, 64)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", EACH)
def test_products_of_a_batch_are_numpy_s(shape, dtype, monkeypatch):
    monkeypatch.setattr(products, "LARGE", 1)
    m, k, n = shape
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(s).astype(dtype) for s in ((2, 3, m, k), (2, 3, k, n)))
    expected = a.astype("f8") @ b.astype("f8")
    close = {"rtol": 1e-4, "atol": 1e-6 * k}
    for left in (a, np.ascontiguousarray(a.swapaxes(2, 3)).swapaxes(2, 3)):
        for right in (b, np.ascontiguousarray(b.swapaxes(2, 3)).swapaxes(2, 3)):
            np.testing.assert_allclose(products.matmul(left, right), expected, **close)
            got = products.matmul(left[:, 1], right[:, 1])
            np.testing.assert_allclose(got, expected[:, 1], **close)
            total = products.total(left[0, :2], right[0, :2])
            np.testing.assert_allclose(total, expected[0, :2].sum(0), **close)
            wide = np.full((2, 3, m, n + 5), 7, dtype)
            products.matmul(left, right, out=wide[..., :n])
            np.testing.assert_allclose(wide[..., :n], expected, **close)
            assert (wide[..., n:] == 7).all()


# By rows with a right factor that is copied first, and by panels; several blocks of terms.
@pytest.mark.parametrize(
    "shape",
    [(530, 1030, 70), (520, 140, 515), (1100, 70, 1090), (90, 650, 1100), (64, 128, 4200)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_products_are_numpy_s(shape, dtype):
    m, k, n = shape
    random = np.random.default_rng(0)
    a, b, bias = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (n,)))
    expected = a.astype("f8") @ b.astype("f8")
    for left in LAYOUTS.values():
        for right in LAYOUTS.values():
            got = products.dot(left(a), right(b))
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6 * k)
    got = products.dot(a, b, bias)
    np.testing.assert_allclose(got, expected + bias, rtol=1e-4, atol=1e-6 * k)
    assert (products.dot(a, b, bias) == got).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [(7,), (1,), (3, 5), (1, 1), (2, 2, 3)])
def test_products_of_batches_are_numpy_s(dtype, batch):
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((*batch, *s)).astype(dtype) for s in ((70, 90), (90, 80)))
    expected = a.astype("f8") @ b.astype("f8")

    layouts = {
        "plain": lambda x: x,
        "transposed": lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
        # as heads lie side by side
        "rows by turns": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -2, 0)), 0, -2),
        "reversed": lambda x: np.ascontiguousarray(x[::-1])[::-1],
        "columns of more": lambda x: np.repeat(x, 2, -1)[..., ::2],
    }
    for left in layouts.values():
        for right in layouts.values():
            got = products.matmul(left(a), right(b))
            assert got.dtype == dtype
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
        into = left(np.zeros_like(expected, dtype))
        assert products.matmul(a, b, out=into) is into
        np.testing.assert_allclose(into, expected, rtol=1e-4, atol=1e-4)


def test_a_matrix_repeated_in_a_batch():
    a, b = np.ones((6, 70, 90)), np.broadcast_to(np.ones((90, 80)), (6, 90, 80))
    assert (products.matmul(a, b) == 90).all()
    assert (products.matmul(a, b[:1]) == 90).all()
    with pytest.raises(ValueError, match="mismatch"):
        products.matmul(a, b[:, 1:])


def test_mistakes_and_other_types_are_numpy_s():
    a = np.ones((300, 300))
    with pytest.raises(ValueError, match="not aligned"):
        products.dot(a, a[1:])
    assert products.dot(a.astype(int), a.astype(int)).dtype == int
    assert products.dot(a.astype("f4"), a).dtype == np.float64


def test_the_library_s_own_threads_are_as_before():
    library = threads.blas()
    before = None if library is None else library.get()
    products.dot(np.ones((300, 300)), np.ones((300, 300)))
    assert library is None or library.get() == before


def test_from_several_threads_at_once():
    a = np.random.default_rng(0).standard_normal((300, 300))
    expected = products.dot(a, a)
    found = []
    callers = [
        threading.Thread(target=lambda: found.extend(products.dot(a, a) for _ in range(20)))
        for _ in range(4)
    ]
    for each in callers:
        each.start()
    for each in callers:
        each.join(60)
    assert len(found) == 80
    assert all((out == expected).all() for out in found)


def test_a_large_layer_is_right_in_both_directions():
    x, layer = rg.randn(40, 300, requires_grad=True), rg.nn.Linear(300, 200)
    layer(x).sum().backward()
    ones = np.ones((40, 200))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(
        layer(x).detach().numpy(), x.detach().numpy() @ weight.T + bias, atol=1e-4
    )
    np.testing.assert_allclose(x.grad.numpy(), ones @ weight, atol=1e-4)
    np.testing.assert_allclose(layer.weight.grad.numpy(), ones.T @ x.detach().numpy(), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [31, 33, 65, 500])
@pytest.mark.parametrize("rows", [1, 7, 8, 10, 31, 33, 65, 130])
def test_products_of_awkward_sizes(rows, width, dtype):
    random = np.random.default_rng(0)
    depth = -(-products.LARGE // (rows * width)) + 17
    for m, k, n in [(rows, depth, width), (width, depth, rows), (rows, width, depth)]:
        a, b = (random.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
        bias = random.standard_normal(n).astype(dtype)
        expected = a.astype("f8") @ b.astype("f8") + bias
        for left in (a, np.asfortranarray(a), np.repeat(a, 2, 1)[:, ::2]):
            for right in (b, np.asfortranarray(b)):
                got = products.dot(left, right, bias)
                assert got.shape == (m, n)
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-6 * k)
                assert (products.dot(left, right, bias) == got).all()
