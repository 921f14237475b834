"""Loops over recurrent cells, whose steps go backward together: nobody can tell by the gradients.

A gradient that is asked for by name (`autograd.grad`) is computed step by step, and is the
reference here.
"""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg
from retrograd import nn
from retrograd.autograd.op import registry

STEPS, INPUTS, STATES = 7, 5, 4
KINDS = ["RNN", "LSTM", "GRU"]


class Model(nn.Module):
    """Loops of many shapes: ``features`` says how they are made."""

    def __init__(self, kind, features, inputs=INPUTS, states=STATES):
        super().__init__()
        rg.manual_seed(0)
        cell = getattr(nn, f"{kind}Cell")
        self.features = features.split()
        self.cell = cell(inputs, states, bias="unbiased" not in self.features)
        self.upper = cell(states, states)
        self.back = nn.Linear(states, inputs)
        self.kind = kind

    def visible(self, state):
        return state[0] if self.kind == "LSTM" else state

    def forward(self, x, weights):
        state, above, outputs, loss = None, None, [], 0
        for t, row in enumerate(x if "unbound" in self.features else [x[t] for t in range(len(x))]):
            if "feedback" in self.features and t > 3:
                row = row + self.back(self.visible(state))
            if "skip" in self.features and t > 2:
                row = row + self.back(outputs[t - 2])
            if "embedded" in self.features:
                row = row * self.back.weight[0, 0]
            if "shrinking" in self.features and t > 3:
                row, weights = row[:2], weights[:, :2]
                state = tuple(s[:2] for s in state) if self.kind == "LSTM" else state[:2]
            state = self.cell(row, state)
            h = self.visible(state)
            if "cells" in self.features and self.kind == "LSTM" and t % 3 == 1:
                loss = loss + state[1].sin().sum()
            if "two" in self.features:
                above = self.upper(h, above)
                h = self.visible(above)
            if "losses" in self.features:
                loss = loss + self.back(h).square().mean()
            if "detached" in self.features and t == 3:
                state = tuple(s.detach() for s in state) if self.kind == "LSTM" else state.detach()
            if "written" in self.features and t == 3:
                with rg.set_grad_enabled("unseen" not in self.features):
                    for part in state if self.kind == "LSTM" else [state]:
                        part.mul_(0.5)
            outputs.append(h)
        if "last" in self.features:
            return loss + (h * weights[-1]).sum()
        return loss + sum((h * w).sum() for h, w in zip(outputs, weights, strict=False))


LOOPS = [
    "unbound", "", "unbound last", "last", "two unbound", "two losses", "losses", "feedback",
    "skip", "embedded", "two feedback cells", "cells unbound", "detached", "unbiased unbound",
    "two losses cells skip last", "shrinking last",
]  # fmt: skip


@pytest.fixture
def lengths(monkeypatch):
    """How many steps each derivative of a cell was of."""
    found = []
    for name in ("rnn_sequence", "lstm_sequence", "gru_sequence"):
        op = registry[name]

        def pull(g, node, plain=op.pull):
            found.append(len(node.settings[0]))
            return plain(g, node)

        monkeypatch.setattr(op, "pull", pull)
    return found


def gradients(model, x, weights, joined):
    wanted = [x, *model.parameters()]
    loss = model(x, weights)
    if not joined:
        return rg.autograd.grad(loss, wanted, allow_unused=True)
    for p in wanted:
        p.grad = None
    loss.backward()
    return [p.grad for p in wanted]


def data(batch=3, inputs=INPUTS, states=STATES, dtype=rg.float64):
    rg.manual_seed(1)
    x = rg.randn(STEPS, batch, inputs, dtype=dtype, requires_grad=True)
    return x, rg.randn(STEPS, batch, states, dtype=dtype)


def compare(found, wanted, tolerance):
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) is (b is None)
        if a is not None:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("features", LOOPS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_of_a_loop(kind, features):
    model, given = Model(kind, features).double(), data()
    wanted = gradients(model, *given, joined=False)
    compare(gradients(model, *given, joined=True), wanted, 1e-12)


@pytest.mark.parametrize("features", ["written", "written unbound last", "written unseen"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradients_after_a_write_to_a_state(lengths, kind, features, compiled):
    """The steps after it belong together, and those before it."""
    if compiled:
        model, given = Model(kind, features, 64, 128), data(32, 64, 128, rg.float32)
    else:
        model, given = Model(kind, features).double(), data()
    wanted = gradients(model, *given, joined=False)
    lengths.clear()
    compare(gradients(model, *given, joined=True), wanted, 2e-4 if compiled else 1e-12)
    assert lengths == [3, 4]


@pytest.mark.parametrize("features", ["unbound", "two losses", "cells", "unbound last"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_of_compiled_steps(kind, features):
    model, given = Model(kind, features, 64, 128), data(32, 64, 128, rg.float32)
    wanted = gradients(model, *given, joined=False)
    compare(gradients(model, *given, joined=True), wanted, 2e-4)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("unbound", [7]),
        ("", [7]),
        ("last", [7]),
        ("losses", [7]),
        ("unbiased unbound", [7]),
        ("two losses", [7, 7]),  # the upper cell first, whole
        ("feedback", [1, 1, 1, 4]),  # an input that is made of the state before
        ("detached", [3, 4]),
        ("shrinking last", [1, 1, 1, 4]),  # each of them begins with part of a state
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_which_steps_go_together(lengths, kind, features, expected):
    gradients(Model(kind, features).double(), *data(), joined=True)
    assert lengths == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_holds_no_more_rows_than_are_worth_it(lengths, kind, monkeypatch):
    model, given = Model(kind, "unbound").double(), data()
    wanted = gradients(model, *given, joined=False)
    lengths.clear()
    monkeypatch.setattr("retrograd.autograd.chain.ROWS", 3 * 3)
    compare(gradients(model, *given, joined=True), wanted, 1e-12)
    assert lengths == [3, 3, 1]


def test_a_cell_state_that_is_used_ends_a_chain(lengths):
    gradients(Model("LSTM", "cells").double(), *data(), joined=True)
    assert lengths == [2, 3, 2]  # t = 1 and t = 4


def test_steps_that_somebody_looks_at_go_one_by_one(lengths):
    model, (x, weights) = Model("GRU", "").double(), data()
    loss = model(x, weights)
    seen = []
    handle = x.register_hook(seen.append)
    loss.backward()
    handle.remove()
    assert lengths == [1] * STEPS
    assert seen[0].equal(x.grad)


def test_anomaly_detection_sees_each_step(lengths):
    with pytest.warns(UserWarning, match="Anomaly"), rg.autograd.detect_anomaly(check_nan=False):
        gradients(Model("RNN", "").double(), *data(), joined=True)
    assert lengths == [1] * STEPS


@pytest.mark.parametrize("kind", KINDS)
def test_the_tape_can_be_walked_twice(kind):
    model, (x, weights) = Model(kind, "unbound").double(), data()
    loss = model(x, weights)
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in model.cell.parameters()]
    loss.backward()
    compare([p.grad for p in model.cell.parameters()], [2 * g for g in once], 1e-12)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_a_state_that_was_written_to_is_noticed():
    cell, h, states = nn.RNNCell(INPUTS, STATES), rg.zeros(3, STATES), []
    for _ in range(3):
        h = cell(rg.ones(3, INPUTS), h)
        states.append(h)
    with rg.no_grad():
        states[1].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


def test_weights_that_were_replaced_belong_to_other_steps(lengths):
    cell, h = nn.RNNCell(INPUTS, STATES), rg.zeros(3, STATES)
    x = rg.ones(3, INPUTS)
    h = cell(x, cell(x, h))
    cell.weight_hh.data = cell.weight_hh.data * 2
    h = cell(x, cell(x, h))
    h.sum().backward()
    assert lengths == [2, 2]


def test_frozen_weights_are_told_apart(lengths):
    one, two = (nn.GRUCell(STATES, STATES).requires_grad_(False) for _ in range(2))
    h = start = rg.ones(3, STATES, requires_grad=True)
    for cell in (one, one, two, two):
        h = cell(rg.ones(3, STATES), h)
    h.sum().backward()
    assert lengths == [2, 2]
    rows = start.detach().requires_grad_()
    h = rows
    for cell in (one, one, two, two):
        h = cell(rg.ones(3, STATES), h)
    (wanted,) = rg.autograd.grad(h.sum(), rows)
    compare([start.grad], [wanted], 1e-6)


def test_weights_that_are_detached_at_some_steps_get_the_gradient_of_the_others(lengths):
    cell, h, x = nn.RNNCell(INPUTS, STATES), rg.zeros(3, STATES), rg.ones(3, INPUTS)
    weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    still = [w.detach() for w in weights]
    for w in (weights, weights, still, still, weights):
        h = rg.rnn_tanh_cell(x, h, *w)
    wanted = rg.autograd.grad(h.sum(), weights, retain_graph=True)
    lengths.clear()
    h.sum().backward()
    assert lengths == [1, 2, 2]
    compare([w.grad for w in weights], wanted, 1e-6)


class Doubled(rg.autograd.Function):
    """``x`` and ``2x``: nodes of other classes than ops have."""

    @staticmethod
    def forward(ctx, x):
        return x.clone(), 2 * x

    @staticmethod
    def backward(ctx, g, h):
        return g + 2 * h


def test_an_input_may_come_from_a_function_of_the_user_s(lengths):
    cell, x, h = nn.GRUCell(INPUTS, STATES), rg.ones(3, INPUTS, requires_grad=True), None
    for _ in range(3):
        h = cell(Doubled.apply(x)[1], h)
    (wanted,) = rg.autograd.grad(h.sum(), x, retain_graph=True)
    lengths.clear()
    h.sum().backward()
    assert lengths == [3]
    compare([x.grad], [wanted], 1e-6)


def test_states_that_change_places_are_not_the_states_of_the_step_before(lengths):
    cell, x = nn.LSTMCell(INPUTS, STATES), rg.ones(3, INPUTS)
    h, _ = cell(x, cell(x, cell(x))[::-1])
    wanted = rg.autograd.grad(h.sum(), cell.weight_hh, retain_graph=True)
    lengths.clear()
    h.sum().backward()
    assert lengths == [1, 2]
    compare([cell.weight_hh.grad], wanted, 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_of_a_gradient(kind):
    model, (x, weights) = Model(kind, "unbound").double(), data()
    (slope,) = rg.autograd.grad(model(x, weights), x, create_graph=True)
    x.grad = None
    slope.square().sum().backward()
    found, x.grad = x.grad, None
    (slope,) = rg.autograd.grad(model(x, weights), x, create_graph=True)
    (wanted,) = rg.autograd.grad(slope.square().sum(), x)
    compare([found], [wanted], 1e-12)
