"""Indexing, gathering, scattering, sorting: what they give, and the gradient of each."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg

KEYS = [
    1,
    -1,
    slice(1, None),
    slice(0, 3, 2),
    None,
    ...,
    (slice(None), 2),
    (0, ..., 1),
    (None, 1, None),
    [0, 2, 0],
    ([0, 2], [1, 3]),
    (slice(None), [1, 1, 0]),
    ([[0, 1], [2, 0]], slice(1, 3)),
    (slice(None), None, [0, 3]),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_key_means_what_it_means_to_numpy(key):
    array = np.arange(12.0).reshape(3, 4)
    x = rg.tensor(array, requires_grad=True)
    places = tuple(rg.tensor(k) if isinstance(k, list) else k for k in _tuple(key))
    got = x[places]
    assert np.array_equal(got.detach().numpy(), array[key])
    got.sum().backward()
    expected = np.zeros_like(array)
    np.add.at(expected, key, 1)
    assert np.array_equal(x.grad.numpy(), expected)


def _tuple(key):
    return key if isinstance(key, tuple) else (key,)


def test_ints_are_picked_before_arrays():
    x = rg.zeros(2, 3, 4, 5)
    assert x[:, 0, :, [1, 2]].shape == (2, 4, 2)
    assert x.numpy()[:, 0, :, [1, 2]].shape == (2, 2, 4)


def test_masks():
    x = rg.arange(6.0).reshape(2, 3).requires_grad_()
    assert x[x > 2].tolist() == [3, 4, 5]
    assert x[rg.tensor([False, True])].tolist() == [[3, 4, 5]]
    x[x > 2].sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("key", "kind", "complaint"),
    [
        (3, IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
        ((0, 0, 0), IndexError, "too many indices for tensor of dimension 2"),
        (rg.tensor([5]), IndexError, "out of bounds"),
        (rg.tensor([0.5]), IndexError, "long"),
        (rg.tensor([True]), IndexError, "mask"),
        (1.0, IndexError, "only integers"),
        ("a", TypeError, "str"),
        (slice(None, None, -1), ValueError, "flip"),
    ],
)
def test_keys_that_are_refused(key, kind, complaint):
    with pytest.raises(kind, match=complaint):
        rg.zeros(3, 4)[key]


def test_what_is_assigned_must_be_a_tensor_or_a_number():
    x = rg.zeros(3)
    with pytest.raises(TypeError, match="can't assign a list"):
        x[0] = [1.0]
    x[0] = np.float64(2)
    assert x.tolist() == [2, 0, 0]


def test_repeated_rows_add_up_in_the_gradient():
    table = rg.zeros(5, 2, requires_grad=True)
    rows = table[rg.tensor([[1, 1], [4, 1]])]
    rows.sum().backward()
    assert table.grad.sum(1).tolist() == [0, 6, 0, 0, 2]


def test_gather_and_scatter_are_each_others_gradient():
    x = rg.randn(3, 4, dtype=rg.float64)
    index = rg.tensor([[0, 2], [1, 1], [3, 0]])
    g = rg.randn(3, 2, dtype=rg.float64)
    there = (x.gather(1, index) * g).sum()
    back = (x * rg.zeros_like(x).scatter_add(1, index, g)).sum()
    assert there.item() == pytest.approx(back.item())


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ("sum", [6, 2, 8]),
        ("prod", [8, 2, 15]),
        ("mean", [2, 2, 4]),
        ("amax", [4, 2, 5]),
        ("amin", [1, 2, 3]),
    ],
)
def test_scatter_reduce(reduce, expected):
    x, src = rg.tensor([1.0, 2, 3]), rg.tensor([2.0, 4, 5])
    index = rg.tensor([0, 0, 2])
    out = x.scatter_reduce(0, index, src, reduce)
    expected[0] = {"sum": 7, "prod": 8, "mean": 7 / 3, "amax": 4, "amin": 1}[reduce]
    assert out.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_differentiates(reduce, include_self):
    def f(x, src):
        index = rg.tensor([0, 0, 2, 0])
        return x.scatter_reduce(0, index, src, reduce, include_self=include_self)

    x = rg.tensor([1.0, 2, 3], dtype=rg.float64, requires_grad=True)
    src = rg.tensor([2.0, 4, 5, 7], dtype=rg.float64, requires_grad=True)
    assert rg.autograd.gradcheck(f, (x, src))


def test_sorting():
    x = rg.tensor([[3.0, 1, 2], [9, 7, 8]])
    values, indices = x.sort(descending=True)
    assert values.tolist() == [[3, 2, 1], [9, 8, 7]]
    assert indices.tolist() == [[0, 2, 1], [0, 2, 1]]
    assert x.topk(2).values.tolist() == [[3, 2], [9, 8]]
    assert x.topk(1, largest=False).indices.tolist() == [[1], [1]]
    assert x.kthvalue(2).values.tolist() == [2, 8]
    assert x.argsort(0, descending=True).tolist() == [[1, 1, 1], [0, 0, 0]]
    assert x.msort().tolist() == x.tolist()


def test_equal_values_keep_their_order_and_nan_is_the_largest():
    x = rg.tensor([1.0, 0, 1, float("nan"), 0])
    assert x.argsort().tolist() == [1, 4, 0, 2, 3]
    assert x.argsort(descending=True).tolist() == [3, 0, 2, 1, 4]
    assert x.topk(1).indices.tolist() == [3]


def test_a_named_result_prints_and_unpacks():
    found = rg.tensor([2, 1]).sort()
    assert repr(found) == (
        "torch.return_types.sort(\nvalues=tensor([1, 2]),\nindices=tensor([1, 0]))"
    )
    values, _ = found
    assert values is found.values is found[0]


@pytest.mark.parametrize("n", [10, 1000])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_of_few_and_of_many(n, largest):
    x = rg.randn(3, n)
    values, indices = x.topk(4, largest=largest)
    assert values.tolist() == x.sort(descending=largest).values[:, :4].tolist()
    assert x.gather(1, indices).tolist() == values.tolist()


def test_distinct_values():
    x = rg.tensor([[2, 1], [2, 3]])
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert values[inverse].tolist() == x.tolist()
    assert counts.tolist() == [1, 2, 1]
    assert rg.tensor([1, 1, 2, 1]).unique_consecutive().tolist() == [1, 2, 1]
    assert rg.tensor([[1, 2], [1, 2], [0, 5]]).unique(dim=0).tolist() == [[0, 5], [1, 2]]


def test_search():
    bounds = rg.tensor([1, 3, 5])
    assert rg.searchsorted(bounds, rg.tensor([0, 3, 6])).tolist() == [0, 1, 3]
    assert rg.bucketize(rg.tensor([3]), bounds, right=True).tolist() == [2]


@pytest.mark.parametrize(
    "equation",
    ["ij,jk->ik", "ij,kj", "ii->i", "ii", "bij,bjk->bik", "...ij,...j->...i", "i,j->ij", "ij->"],
)
def test_einsum_is_numpys(equation):
    sizes = {"i": 3, "j": 3, "k": 2, "b": 4}
    terms = equation.partition("->")[0].split(",")
    arrays = [np.random.default_rng(0).standard_normal(_shape(t, sizes)) for t in terms]
    tensors = [rg.tensor(a, requires_grad=True) for a in arrays]
    out = rg.einsum(equation, *tensors)
    assert np.allclose(out.detach().numpy(), np.einsum(equation, *arrays))
    assert rg.autograd.gradcheck(lambda *xs: rg.einsum(equation, *xs), tensors)


def _shape(term, sizes):
    ellipsis = (2,) if "..." in term else ()
    return (*ellipsis, *(sizes[letter] for letter in term.replace("...", "")))


def test_einsum_takes_lists_of_ints():
    a, b = rg.randn(2, 3), rg.randn(3, 4)
    assert rg.allclose(rg.einsum(a, [0, 1], b, [1, 2], [0, 2]), a @ b)


@pytest.mark.parametrize("equation", ["ij,jk", "i->", "ij->k", "ij->ii", "i?", "ij,jk->ik->i"])
def test_equations_that_are_refused(equation):
    with pytest.raises(RuntimeError, match="einsum"):
        rg.einsum(equation, rg.ones(2, 3))


def test_an_index_that_is_changed_later_does_not_change_the_gradient():
    x = rg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    places = rg.tensor([2, 1])
    picked, gathered = x[places], x.gather(0, places)
    places.zero_()
    (picked.sum() + gathered.sum()).backward()
    assert x.grad.tolist() == [0.0, 2.0, 2.0]
