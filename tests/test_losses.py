"""Losses, without another engine beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from retrograd import nn
from retrograd.autograd import large
from retrograd.autograd.ops import loss as losses

POINTWISE = [
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss"),
    *("hinge_embedding_loss", "soft_margin_loss"),
]


def softmax(x):
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------- shapes


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize(("shape", "other"), [((4,), (4, 1)), ((4, 1), (4,)), ((3,), (2, 3))])
def test_shapes_that_make_something_larger_are_refused(name, shape, other):
    with pytest.raises(ValueError, match=r"squeeze\(-1\), or target.view_as\(input\)") as error:
        getattr(F, name)(rg.ones(*shape), rg.ones(*other))
    assert str(list(shape)) in str(error.value)
    assert str(list(other)) in str(error.value)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_a_target_that_stretches_to_the_input_warns_at_the_callers_line(name):
    x, row = rg.tensor(numbers(4, 3)).requires_grad_(), rg.tensor(numbers(3)).requires_grad_()
    with pytest.warns(UserWarning, match="different to the input size") as caught:
        loss = getattr(F, name)(x, row)
    assert caught[0].filename == __file__
    loss.backward()
    assert_allclose(row.grad.numpy(), -x.grad.numpy().sum(0), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_squared_error_of_many_numbers_is_that_of_few(dtype):
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((401, 333)).astype(dtype) for _ in "xy")
    assert x.size >= large.LARGE
    assert x.size % losses.BLOCK
    inputs = [rg.tensor(a, requires_grad=True) for a in (x, y)]
    out = F.mse_loss(*inputs, reduction="sum")
    (out / 7).backward()
    off = x.astype("float64") - y
    close = {"rtol": 1e-6} if dtype == "float32" else {"rtol": 1e-13}
    assert_allclose(out.item(), (off * off).sum(), **close)
    assert_allclose(inputs[0].grad.array, off * 2 / 7, **close, atol=1e-7)
    assert_allclose(inputs[1].grad.array, -off * 2 / 7, **close, atol=1e-7)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_losses_want_equal_shapes(name):
    with pytest.raises(ValueError, match=r"\[4, 1\].*view_as"):
        getattr(F, name)(rg.ones(4), rg.ones(4, 1))


def test_types_are_brought_together():
    assert F.mse_loss(rg.ones(2), rg.zeros(2, dtype=rg.float64)).dtype is rg.float64
    assert F.mse_loss(rg.ones(2), rg.tensor([0, 3])).dtype is rg.float32


# ---------------------------------------------------------------- cross entropy


@given(st.sampled_from([1.0, 20.0, 29.9, 30.1, 1e3, 1e30]), st.integers(0, 9))
def test_cross_entropy_far_from_zero(scale, seed):
    x = np.clip(numbers(5, 4, seed=seed), -1, 1) * scale
    classes = np.random.default_rng(seed).integers(0, 4, 5)
    logits = rg.tensor(x, dtype=rg.float32).requires_grad_()
    loss = F.cross_entropy(logits, rg.tensor(classes), reduction="none")
    loss.sum().backward()
    x = x.astype(np.float32).astype(np.float64)
    high = x.max(1)
    expected = high - x[np.arange(5), classes] + np.log(np.exp(x - high[:, None]).sum(1))
    assert_allclose(loss.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert_allclose(logits.grad.numpy(), softmax(x) - np.eye(4)[classes], atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 25.0, 100.0])
def test_a_loss_near_zero_is_not_negative(shift):
    loss = F.cross_entropy(rg.tensor([[shift, shift - 16.0, shift - 20.0]]), rg.tensor([0]))
    assert 0 <= loss.item() < 3e-7


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_second_derivative(reduction, smoothing):
    x = rg.tensor(numbers(3, 4)).requires_grad_()
    loss = F.cross_entropy(x, rg.tensor([1, 0, 3]), reduction=reduction, label_smoothing=smoothing)
    (slope,) = rg.autograd.grad(loss.sum(), x, create_graph=True)
    v = rg.tensor(numbers(3, 4, seed=1))
    (curvature,) = rg.autograd.grad((slope * v).sum(), x)
    p = softmax(x.detach().numpy())
    expected = p * (v.numpy() - (p * v.numpy()).sum(1, keepdims=True))
    assert_allclose(curvature.numpy(), expected / (3 if reduction == "mean" else 1), rtol=1e-9)


def test_cross_entropy_is_one_line_of_the_tape():
    x = rg.ones(2, 3, requires_grad=True)
    loss = F.cross_entropy(x, rg.tensor([0, 1]))
    assert loss.grad_fn.next_functions[0][0] is x.node


def test_gradient_can_be_taken_twice_from_one_tape():
    x = rg.tensor(numbers(3, 4)).requires_grad_()
    loss = F.cross_entropy(x, rg.tensor([1, 0, 3]))
    (first,) = rg.autograd.grad(loss, x, retain_graph=True)
    (second,) = rg.autograd.grad(loss, x)
    assert_array_equal(first.numpy(), second.numpy())


def test_ignored_rows_get_no_gradient():
    x = rg.tensor(numbers(3, 4)).requires_grad_()
    target = rg.tensor([1, -100, 3])
    loss = F.cross_entropy(x, target)
    loss.backward()
    assert_array_equal(x.grad.numpy()[1], 0)
    rest = F.cross_entropy(x.detach()[[0, 2]], target[[0, 2]])
    assert loss.item() == pytest.approx(rest.item())


def test_mean_of_nothing_is_nan():
    assert math.isnan(F.cross_entropy(rg.ones(2, 3), rg.tensor([-100, -100])).item())
    assert math.isnan(F.nll_loss(rg.ones(0, 3), rg.zeros(0, dtype=rg.int64)).item())


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("wrong", [10, -1])
def test_a_class_out_of_range_is_named(loss, wrong):
    with pytest.raises(IndexError, match=rf"Target {wrong} is out of bounds.*classes 0 to 9"):
        loss(rg.ones(2, 10), rg.tensor([0, wrong]))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (rg.zeros(3, dtype=rg.int32), r"expected scalar type Long but found .*int32.*\.long\(\)"),
        (rg.zeros(3), "expected scalar type Long"),
        (rg.zeros(3, 1, dtype=rg.int64), r"target.squeeze\(1\)"),
        (rg.zeros(3, 4, dtype=rg.int64), "class numbers have the input's shape without"),
    ],
)
def test_a_wrong_target_is_explained(target, message):
    with pytest.raises(RuntimeError, match=message):
        F.cross_entropy(rg.ones(3, 4), target)


def test_wrong_batch_size():
    with pytest.raises(ValueError, match=r"batch_size \(3\) to match target batch_size \(2\)"):
        F.cross_entropy(rg.ones(3, 4), rg.tensor([0, 1]))


def test_weights_of_classes():
    with pytest.raises(RuntimeError, match="all 4 classes"):
        F.cross_entropy(rg.ones(3, 4), rg.tensor([0, 1, 2]), weight=rg.ones(3))
    with pytest.raises(RuntimeError, match=r"weight.detach\(\)"):
        F.cross_entropy(rg.ones(3, 4), rg.tensor([0, 1, 2]), weight=rg.ones(4, requires_grad=True))


def test_a_target_changed_before_backward_is_noticed():
    x, target = rg.ones(2, 3, requires_grad=True), rg.tensor([0, 1])
    loss = F.cross_entropy(x, target)
    target.fill_(2)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation|changed"):
        loss.backward()


# ---------------------------------------------------------------- binary


def test_logits_far_from_zero():
    x = rg.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(
        x, rg.tensor([0.0, 1.0, 1.0, 0.0, 1.0]), reduction="none"
    )
    loss.sum().backward()
    assert_allclose(loss.detach().numpy(), [0, 100, math.log(2), 100, 0], rtol=1e-6)
    assert_allclose(x.grad.numpy(), [0, -1, -0.5, 1, 0], atol=1e-6)


def test_probabilities_of_zero_and_one():
    x = rg.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(x, rg.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [0, 0, 100, 100]
    assert np.isfinite(x.grad.numpy()).all()


def test_what_is_no_probability_is_named():
    with pytest.raises(RuntimeError, match=r"between 0 and 1, but one is -0.5.*sigmoid"):
        F.binary_cross_entropy(rg.tensor([0.5, -0.5]), rg.ones(2))


# ---------------------------------------------------------------- the rest


def test_reductions_agree():
    x, y = rg.tensor(numbers(3, 4)), rg.tensor(numbers(3, 4, seed=1))
    for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"):
        terms, total, mean = (getattr(F, name)(x, y, reduction=r) for r in ("none", "sum", "mean"))
        assert terms.shape == (3, 4)
        assert total.item() == pytest.approx(terms.numpy().sum())
        assert mean.item() == pytest.approx(terms.numpy().mean())


def test_old_arguments_warn_at_the_callers_line():
    with pytest.warns(UserWarning, match="reduction='sum' instead") as caught:
        loss = F.mse_loss(rg.ones(2), rg.zeros(2), size_average=False)
    assert caught[0].filename == __file__
    assert loss.item() == 2


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="total is not a valid value for reduction: choose"):
        F.mse_loss(rg.ones(2), rg.ones(2), reduction="total")


def test_kl_divergence_mean_warns():
    with pytest.warns(UserWarning, match="batchmean"):
        nn.KLDivLoss()(rg.ones(2), rg.ones(2))


def test_weights_are_saved_with_the_loss():
    assert list(nn.CrossEntropyLoss(rg.ones(3)).state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(pos_weight=rg.ones(3)).state_dict()) == ["pos_weight"]
