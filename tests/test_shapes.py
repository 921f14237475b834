"""Shapes and axes: what broadcasts to what, how it is undone, which axis is meant."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from retrograd.autograd.shapes import (
    axes_of,
    axis_of,
    broadcast,
    expand,
    infer,
    size_of,
    sum_to,
)

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
PAIRS = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(float)


@given(PAIRS)
def test_broadcast_is_numpys(shapes):
    assert broadcast(*shapes.input_shapes) == shapes.result_shape


@given(SHAPES, SHAPES)
def test_broadcast_refuses_what_numpy_refuses(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(RuntimeError, match="must match the size"):
            broadcast(a, b)
    else:
        assert broadcast(a, b) == expected


@given(PAIRS)
def test_sum_to_is_the_adjoint_of_broadcasting(shapes):
    """⟨expand(x), y⟩ = ⟨x, sum_to(y)⟩ for all shapes."""
    for shape in shapes.input_shapes:
        x, y = numbers(shape), numbers(shapes.result_shape, 1)
        back = sum_to(y, shape)
        assert back.shape == shape
        assert (expand(x, shapes.result_shape) * y).sum() == (x * back).sum()


@given(PAIRS, st.sampled_from("CF"))
def test_expand_is_numpys_without_a_copy(shapes, order):
    for shape in shapes.input_shapes:
        x = np.array(numbers(shape), order=order)
        out = expand(x, shapes.result_shape)
        assert_array_equal(out, np.broadcast_to(x, shapes.result_shape))
        assert not out.size or np.may_share_memory(out, x)


@given(PAIRS)
def test_gradients_have_the_shape_of_their_tensor(shapes):
    a, b = (rg.tensor(numbers(s), dtype=rg.float64) for s in shapes.input_shapes)
    a.requires_grad_()
    b.requires_grad_()
    (a * b).sum().backward()
    full = np.broadcast_to(b.array, shapes.result_shape)
    assert_allclose(a.grad.array, sum_to(full, a.array.shape))
    assert b.grad.shape == b.shape


@given(st.integers(-6, 6), st.integers(0, 4))
def test_axis_counts_from_both_ends(dim, ndim):
    reach = ndim or 1
    if -reach <= dim < reach:
        assert axis_of(dim, ndim) == range(reach)[dim]
    else:
        with pytest.raises(IndexError, match=rf"\[{-reach}, {reach - 1}\], but got {dim}"):
            axis_of(dim, ndim)


@pytest.mark.parametrize(
    ("dim", "ndim", "axes"),
    [
        (None, 3, None),
        ((), 3, None),
        ([], 3, None),
        (1, 3, (1,)),
        (-1, 3, (2,)),
        ((2, 0), 3, (0, 2)),
        ([-1, 0], 3, (0, 2)),
        (np.int64(1), 3, (1,)),
        (0, 0, None),
        (-1, 0, None),
        ((0,), 0, None),
    ],
)
def test_axes_of_a_reduction(dim, ndim, axes):
    assert axes_of(dim, ndim) == axes


@pytest.mark.parametrize("dim", [(0, 0), (0, -2), [1, -1]])
def test_an_axis_is_not_named_twice(dim):
    with pytest.raises(RuntimeError, match="appears multiple times"):
        axes_of(dim, 2)


@pytest.mark.parametrize("dim", [1.0, "a", 2.5])
def test_an_axis_is_an_int(dim):
    with pytest.raises(TypeError, match="dim must be an int"):
        axis_of(dim, 3)


@pytest.mark.parametrize(
    "given_as", [(2, 3), ((2, 3),), ([2, 3],), (np.int64(2), 3), (rg.Size([2, 3]),)]
)
def test_a_size_is_given_in_many_ways(given_as):
    assert size_of(given_as) == (2, 3)
    assert rg.zeros(*given_as).shape == (2, 3)


@given(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4), st.data())
def test_one_size_is_inferred(shape, data):
    hole = data.draw(st.integers(0, len(shape) - 1))
    with_hole = tuple(-1 if i == hole else n for i, n in enumerate(shape))
    assert infer(with_hole, int(np.prod(shape))) == shape


def test_size_is_a_tuple_of_its_own_kind():
    size = rg.zeros(2, 3, 4).shape
    assert isinstance(size, tuple)
    assert size == (2, 3, 4) == rg.Size([2, 3, 4])
    assert repr(size) == "torch.Size([2, 3, 4])"
    assert size.numel() == 24
    assert rg.Size([]).numel() == 1
    assert isinstance(size[1:], rg.Size)
    assert isinstance(size + size, rg.Size)
    assert size[-1] == 4
    first, *rest = size
    assert (first, rest) == (2, [3, 4])
    assert {size: 1}[2, 3, 4] == 1


@given(SHAPES, st.data())
def test_views_and_their_gradients_agree_with_numpy(shape, data):
    """A chain of movements, against NumPy; each step's gradient undoes it."""
    x = rg.tensor(numbers(shape), dtype=rg.float64, requires_grad=True)
    y, array = x * 1, x.array.copy()
    for _ in range(data.draw(st.integers(1, 4))):
        ndim = array.ndim
        step = data.draw(
            st.sampled_from(["permute", "unsqueeze", "squeeze", "reshape", "flip", "slice"])
        )
        if step == "permute":
            order = data.draw(st.permutations(range(ndim)))
            y, array = y.permute(*order) if order else y, array.transpose(order)
        elif step == "unsqueeze":
            at = data.draw(st.integers(0, ndim))
            y, array = y.unsqueeze(at), np.expand_dims(array, at)
        elif step == "squeeze":
            y, array = y.squeeze(), array.squeeze()
        elif step == "reshape":
            y, array = y.reshape(array.size), array.reshape(array.size)
        elif step == "flip":
            y, array = y.flip(tuple(range(ndim))), np.flip(array)
        elif ndim:
            y, array = y[..., ::2], array[..., ::2]
    assert_array_equal(y.array, array)
    weights = rg.tensor(numbers(array.shape, 2), dtype=rg.float64)
    (y * weights).sum().backward()
    assert (x.grad * x).sum().item() == (weights.array * array).sum()
