"""Initial values: their distribution, and that they stay off the tape."""

from __future__ import annotations

import math

import numpy as np
import pytest
import retrograd as rg
from numpy.testing import assert_allclose, assert_array_equal
from retrograd.nn import init

FILLS = [
    *(init.uniform_, init.normal_, init.trunc_normal_, init.ones_, init.zeros_, init.eye_),
    *(init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_),
    init.orthogonal_,
]


@pytest.mark.parametrize("fill", FILLS)
def test_a_parameter_is_overwritten_in_place_and_stays_a_leaf(fill):
    weight = rg.nn.Parameter(rg.full((4, 3), 7.0))
    memory = weight.data_ptr()
    assert fill(weight) is weight
    assert weight.data_ptr() == memory
    assert weight.is_leaf
    assert weight.requires_grad
    assert not (weight.detach().numpy() == 7).any()


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda x: init.uniform_(x, -1, 1), 1 / math.sqrt(3)),
        (lambda x: init.normal_(x, std=0.3), 0.3),
        (init.xavier_uniform_, math.sqrt(2 / 700)),
        (init.xavier_normal_, math.sqrt(2 / 700)),
        (lambda x: init.kaiming_uniform_(x, nonlinearity="relu"), math.sqrt(2 / 300)),
        (lambda x: init.kaiming_normal_(x, mode="fan_out"), math.sqrt(2 / 400)),
    ],
)
def test_standard_deviation(fill, std):
    x = fill(rg.empty(400, 300)).numpy()
    assert abs(x.mean()) < 0.02 * std
    assert x.std() == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (0.5, 0.6), (2.0, 9.0)])
def test_truncated_normal_stays_inside_and_keeps_its_shape(a, b):
    x = init.trunc_normal_(rg.empty(20_000), a=a, b=b).numpy()
    assert a <= x.min()
    assert x.max() <= b
    grid = np.linspace(a, b, 10_001)
    density = np.exp(-grid * grid / 2)
    assert x.mean() == pytest.approx((grid * density).sum() / density.sum(), abs=0.02)


def test_truncated_normal_far_from_its_mean_warns():
    with pytest.warns(UserWarning, match="more than 2 std from"):
        init.trunc_normal_(rg.empty(3), mean=5.0, a=0.0, b=1.0)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (2, 3, 2)])
def test_orthogonal(shape):
    q = init.orthogonal_(rg.empty(shape), gain=2).numpy().reshape(shape[0], -1)
    square = q @ q.T if len(q) <= q.shape[1] else q.T @ q
    assert_allclose(square, 4 * np.eye(len(square)), atol=1e-5)


def test_sparse_columns():
    x = init.sparse_(rg.empty(10, 6), sparsity=0.25).numpy()
    assert_array_equal((x == 0).sum(0), 3)


def test_eye_keeps_the_input_of_a_linear_map():
    x = rg.randn(3)
    assert (init.eye_(rg.empty(5, 3)) @ x).tolist() == [*x.tolist(), 0, 0]


def test_dirac_marks_the_middle():
    x = init.dirac_(rg.empty(4, 2, 3), groups=2)
    assert x.numpy().nonzero()[0].tolist() == [0, 1, 2, 3]
    assert x[:, :, 1].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_a_generator_of_the_callers():
    a, b = (init.normal_(rg.empty(5), generator=rg.Generator().manual_seed(7)) for _ in range(2))
    assert a.tolist() == b.tolist()


def test_nothing_to_fill_warns():
    with pytest.warns(UserWarning, match="no-op"):
        init.kaiming_uniform_(rg.empty(0, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.xavier_normal_(rg.empty(3)), r"fewer than 2 dimensions.*\[3\]"),
        (lambda: init.kaiming_normal_(rg.empty(3, 3), mode="out"), "fan_in"),
        (lambda: init.calculate_gain("swish"), "choose leaky_relu"),
        (lambda: init.eye_(rg.empty(3)), "2 dimensions"),
        (lambda: init.dirac_(rg.empty(3, 1, 1), groups=2), "3 filters, 2 groups"),
    ],
)
def test_what_cannot_be_done_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_old_names_warn():
    with pytest.warns(FutureWarning, match="nn.init.normal_"):
        init.normal(rg.empty(2))
