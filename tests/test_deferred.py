"""Gradients that wait on the tape as factors or as parts: what is seen of them are arrays."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg
from retrograd.autograd import deferred
from retrograd.nn import functional

ROWS, INPUTS, OUTPUTS, STEPS = 2, 6, 8, 5  # few rows: such a gradient waits


def weight_and_inputs():
    generator = np.random.default_rng(0)
    w = rg.tensor(generator.standard_normal((OUTPUTS, INPUTS)), requires_grad=True)
    xs = [rg.tensor(generator.standard_normal((ROWS, INPUTS))) for _ in range(STEPS)]
    return w, xs


def total(w, xs):
    out = 0
    for k, x in enumerate(xs):
        out = out + (functional.linear(x, w) * (k + 1)).sum()
    return out


def expected(xs):
    row = sum((k + 1) * x.numpy().sum(0) for k, x in enumerate(xs))
    return np.broadcast_to(row, (OUTPUTS, INPUTS))


def close(found, wanted):
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 4, 1024])
def test_a_weight_used_at_every_step_has_the_sum_of_the_gradients(monkeypatch, rows):
    monkeypatch.setattr("retrograd.autograd.deferred.ROWS", rows)
    w, xs = weight_and_inputs()
    total(w, xs).backward()
    close(w.grad, expected(xs))
    total(w, xs).backward()
    close(w.grad, 2 * expected(xs))


@pytest.mark.parametrize("rows", [1, 5, 1024])
def test_a_bias_used_at_every_step_has_the_sum_of_the_gradients(monkeypatch, rows):
    monkeypatch.setattr("retrograd.autograd.deferred.ROWS", rows)
    cell = rg.nn.RNNCell(INPUTS, OUTPUTS).double()
    state, biases = rg.zeros(ROWS, OUTPUTS, dtype=rg.float64), []
    for x in weight_and_inputs()[1]:
        bias = cell.bias_hh.detach().requires_grad_()
        biases.append(bias)
        parameters = cell.weight_ih, cell.weight_hh, cell.bias_ih, bias
        state = rg.rnn_tanh_cell(x, state, *parameters)
    (state.sum() + (cell.bias_ih * 3).sum()).backward()
    close(cell.bias_ih.grad, sum(b.grad.numpy() for b in biases) + 3)


def test_pieces_that_lie_below_each_other_are_not_copied():
    whole = np.arange(48.0).reshape(12, 4).copy()
    steps = [whole[3:5], whole[5:7], whole[7:9]]
    found = deferred.below(steps)
    assert found.base is whole
    np.testing.assert_array_equal(found, whole[3:9])
    beside = [whole[0:1, :2], whole[0:1, 2:]]
    others = [whole[0:2], whole[4:6], whole[2:4]], [whole[0:2], whole[2:3]], steps[::-1], beside
    for pieces in others:
        np.testing.assert_array_equal(deferred.below(pieces), np.concatenate(pieces))


@pytest.mark.parametrize("first", [True, False])
def test_it_meets_gradients_of_another_kind(first):
    w, xs = weight_and_inputs()
    loss = (w * 3).sum() + total(w, xs) if first else total(w, xs) + (w * 3).sum()
    loss.backward()
    close(w.grad, expected(xs) + 3)


def test_a_weight_that_is_no_leaf():
    w, xs = weight_and_inputs()
    total(w * 2, xs).backward()
    close(w.grad, 2 * expected(xs))


def test_hooks_are_shown_tensors():
    w, xs = weight_and_inputs()
    seen = []
    w.register_hook(lambda g: seen.append(g.clone()))
    out = functional.linear(xs[0], w)
    out.grad_fn.register_hook(lambda ds, gs: seen.append(ds[1].clone()))
    out.sum().backward()
    for g in seen:
        close(g, np.broadcast_to(xs[0].numpy().sum(0), (OUTPUTS, INPUTS)))
    assert len(seen) == 2


def test_grad_of_a_leaf_and_a_second_derivative():
    w, xs = weight_and_inputs()
    (g,) = rg.autograd.grad(total(w, xs), w)
    close(g, expected(xs))
    (g,) = rg.autograd.grad(total(w * w, xs), w, create_graph=True)
    (second,) = rg.autograd.grad(g.sum(), w)
    close(second, 2 * expected(xs))


def parts(x):
    """``Σ k xₖ²`` by rows, one of which is used twice."""
    return sum(((k + 1) * row * row).sum() for k, row in enumerate(x)) + x[1].sum()


@pytest.mark.parametrize("through_an_op", [False, True])
@pytest.mark.parametrize("rows", [2, 30])
def test_rows_of_a_large_tensor(rows, through_an_op):
    x = rg.tensor(np.random.default_rng(0).standard_normal((rows, 400)), requires_grad=True)
    parts(x * 1 if through_an_op else x).backward()
    wanted = 2 * (np.arange(rows)[:, None] + 1) * x.detach().numpy()
    wanted[1] += 1
    close(x.grad, wanted)


@pytest.mark.parametrize("place", [0, 1])
def test_a_part_and_a_whole_meet(place):
    x = rg.ones(30, 400, requires_grad=True)
    terms = [x[3, 5:50].sum(), (x * 2).sum()]
    (terms[place] + terms[1 - place]).backward()
    wanted = np.full((30, 400), 2.0)
    wanted[3, 5:50] += 1
    close(x.grad, wanted)


def test_a_part_alone_its_hooks_and_its_second_derivative():
    x = rg.ones(30, 400, dtype=rg.float64, requires_grad=True)
    seen = []
    x.register_hook(seen.append)
    x[7].sum().backward()
    wanted = np.zeros((30, 400))
    wanted[7] = 1
    close(x.grad, wanted)
    close(seen[0], wanted)
    (g,) = rg.autograd.grad(parts(x), x, create_graph=True)
    (second,) = rg.autograd.grad(g.sum(), x)
    close(second, np.repeat(2.0 * (np.arange(30)[:, None] + 1), 400, 1))
