"""Recurrent layers and cells, by what must hold between them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import retrograd as rg
from numpy.testing import assert_allclose, assert_array_equal
from retrograd import nn
from retrograd.autograd import (
    gradcheck,
    gradgradcheck,
    kernels,
    recurrence,
    recurrence_kernels,
)
from retrograd.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

KINDS = ["RNN", "LSTM", "GRU"]
kinds = pytest.mark.parametrize("kind", KINDS)


def first(hx):
    return hx[0] if isinstance(hx, tuple) else hx


def gradients(module, out):
    return [g.array for g in rg.autograd.grad((out * out).sum(), [*module.parameters()])]


@kinds
def test_a_layer_is_a_loop_over_its_cell(kind):
    layer, cell = getattr(nn, kind)(3, 4).double(), getattr(nn, f"{kind}Cell")(3, 4).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = rg.randn(5, 2, 3, dtype=rg.float64)
    out, _ = layer(x)
    hx, states = None, []
    for step in x:
        hx = cell(step, hx)
        states.append(first(hx))
    looped = rg.stack(states)
    assert_allclose(looped.array, out.array, rtol=1e-13)
    for a, b in zip(gradients(cell, looped), gradients(layer, out), strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@kinds
def test_packed_sequences_do_not_see_each_other(kind):
    layer = getattr(nn, kind)(3, 4, 2, bidirectional=True).double()
    lengths = [2, 5, 1, 5]
    x = rg.randn(5, 4, 3, dtype=rg.float64)
    packed, hx = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert isinstance(packed, PackedSequence)
    out, found = pad_packed_sequence(packed)
    assert found.tolist() == lengths
    for i, length in enumerate(lengths):
        alone, state = layer(x[:length, i])
        assert_allclose(out[:length, i].array, alone.array, rtol=1e-12)
        assert_allclose(first(hx)[:, i].array, first(state).array, rtol=1e-12)
        assert not out[length:, i].any()


@kinds
def test_the_second_direction_reads_backwards(kind):
    both, one = getattr(nn, kind)(3, 4, bidirectional=True), getattr(nn, kind)(3, 4)
    state = both.state_dict()
    one.load_state_dict({k.removesuffix("_reverse"): state[k] for k in state if "_reverse" in k})
    x = rg.randn(6, 2, 3)
    assert_allclose(
        both(x)[0][..., 4:].array, one(x.flip(0))[0].flip(0).array, rtol=1e-6, atol=1e-7
    )


@kinds
def test_batch_first_and_single_sequences(kind):
    rg.manual_seed(0)
    layer = getattr(nn, kind)(3, 4)
    rg.manual_seed(0)
    other = getattr(nn, kind)(3, 4, batch_first=True)
    x = rg.randn(5, 2, 3)
    out, hx = layer(x)
    assert_array_equal(other(x.transpose(0, 1))[0].transpose(0, 1).array, out.array)
    alone, state = layer(x[:, 1])
    assert_allclose(alone.array, out[:, 1].array, rtol=1e-6)
    assert_allclose(first(state).array, first(hx)[:, 1].array, rtol=1e-6)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nonlinearities(nonlinearity):
    layer = nn.RNN(3, 4, nonlinearity=nonlinearity)
    out, _ = layer(rg.zeros(1, 1, 3))
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    assert_allclose(out[0, 0].array, getattr(rg, nonlinearity)(bias).array, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.RNN(2, 2),
        lambda: nn.LSTM(2, 2, bidirectional=True),
        lambda: nn.LSTM(2, 3, proj_size=2),
        lambda: nn.GRU(2, 2, bias=False),
    ],
    ids=["RNN", "LSTM", "projected", "GRU"],
)
def test_derivatives(make):
    layer = make().double()
    x = rg.randn(3, 2, 2, dtype=rg.float64, requires_grad=True)
    packed = [2, 3]

    def function(x):
        return layer(pack_padded_sequence(x, packed, enforce_sorted=False))[0].data

    assert gradcheck(function, x)
    assert gradgradcheck(function, x)


# ---------------------------------------------------------------- compiled loops

SHAPES = [((5, 5, 5, 5), 20), ((7, 6, 6, 1), 3), ((1,) * 6, 33), ((9, 4), 64)]


def everything(kind, steps, size, reverse):
    """What the functions of one kind of cell give forward and backward, for float32 arrays."""
    random = np.random.default_rng(len(steps) + size)
    total, batch = sum(steps), steps[0]
    gates = {"LSTM": 4, "GRU": 3, "tanh": 1, "relu": 1}[kind]

    def numbers(*shape):
        return random.standard_normal(shape).astype(np.float32) / 3

    def weights(inputs):
        return numbers(gates * size, inputs), numbers(gates * size, size)

    x, (w_x, w), b_x, b = numbers(total, 7), weights(7), *numbers(2, gates * size)
    h0, c0, m = numbers(batch, size), numbers(batch, size), recurrence.Arrays
    if kind == "LSTM":
        given = x, h0, c0, w_x, w, b_x, b
        out, states, c, kept = recurrence.lstm_sequence(m, *given, steps, reverse)
        g = numbers(total + batch, size)
        slopes = recurrence.lstm_slopes(g, *given, states, c, kept, steps, reverse)
        z = numbers(2, batch, 4 * size)
        return (
            out,
            states,
            c,
            kept,
            *slopes,
            *recurrence.lstm(m, z[0], None, z[1], None, c0, (batch,), False),
        )
    given, g = (x, h0, w_x, w, b_x, b), numbers(total, size)
    if kind == "GRU":
        out, states, kept = recurrence.gru_sequence(m, *given, steps, reverse)
        slopes = recurrence.gru_slopes(g, *given, states, kept, steps, reverse)
        return out, states, kept, *slopes
    out = recurrence.rnn_sequence(m, *given, steps, reverse, kind)
    return out, *recurrence.rnn_slopes(g, *given, out, steps, reverse, kind)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize(("steps", "size"), SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh", "relu"])
def test_compiled_loops_agree_with_numpy(kind, steps, size, reverse, monkeypatch):
    expected = everything(kind, steps, size, reverse)
    monkeypatch.setattr(recurrence, "WORTH_COMPILING", 0)
    found = everything(kind, steps, size, reverse)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert_allclose(a, b, rtol=2e-5, atol=2e-6 * max(1, np.abs(b).max()))


def loop(kind, size, batch, steps=30):
    """The states of a loop over a float32 cell, and the gradients of its input and parameters."""
    rg.manual_seed(0)
    options = {"nonlinearity": "relu"} if kind == "relu" else {}
    cell = getattr(nn, f"{'RNN' if options else kind}Cell")(7, size, **options)
    x = rg.randn(steps, batch, 7, requires_grad=True)
    hx, states = None, []
    for step in x:
        hx = cell(step, hx)
        states.append(first(hx))
    out = rg.stack(states)
    (out * rg.randn(out.shape)).sum().backward()
    return out.detach().array, x.grad.array, *[p.grad.array for p in cell.parameters()]


@pytest.mark.parametrize(("size", "batch"), [(3, 2), (33, 5), (64, 40)], ids=str)
@pytest.mark.parametrize("kind", [*KINDS, "relu"])
def test_compiled_steps_agree_with_numpy(kind, size, batch, monkeypatch):
    for least in ("STEP_WORTH_COMPILING", "WORTH_COMPILING"):
        monkeypatch.setattr(recurrence, least, 1 << 40)
    expected = loop(kind, size, batch)
    for least in ("STEP_WORTH_COMPILING", "WORTH_COMPILING"):
        monkeypatch.setattr(recurrence, least, 0)
    for a, b in zip(loop(kind, size, batch), expected, strict=True):
        assert a.shape == b.shape
        assert_allclose(a, b, rtol=2e-5, atol=1e-5 * max(1, np.abs(b).max()))


def test_what_an_lstm_cell_returns_is_no_view():
    cell = nn.LSTMCell(3, 4)
    h, c = cell(rg.ones(2, 3))
    assert not h._is_view()
    assert not c._is_view()
    before = c.clone()
    with rg.no_grad():
        h.add_(1)
    assert_array_equal(c.array, before.array)
    _, c = cell(rg.ones(2, 3), (h.detach(), c.detach()))
    c.sum().backward()
    assert cell.weight_ih.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [4, 512])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_a_state_that_is_changed_in_place(name, size):
    """`RNNCell` keeps its output, as PyTorch's does, and the others do not."""
    cell, x = getattr(nn, name)(3, size), rg.ones(2, 3, requires_grad=True)
    gradients = []
    for scale in (1, 2):
        out = cell(x)
        h = out[0] if name == "LSTMCell" else out
        if scale > 1:
            h.mul_(scale)
        if scale > 1 and name == "RNNCell":
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                h.sum().backward()
            return
        gradients.append(rg.autograd.grad(h.sum(), [x, *cell.parameters()]))
    for once, twice in zip(*gradients, strict=True):
        assert_allclose(twice.numpy(), 2 * once.numpy(), rtol=1e-5)


@pytest.mark.parametrize("way", ["optimizer", "in place", "by NumPy"])
def test_packed_weights_follow_the_weights(way, monkeypatch):
    monkeypatch.setattr(recurrence, "STEP_WORTH_COMPILING", 0)
    cell, x = nn.LSTMCell(5, 16), rg.randn(3, 5)
    seen = cell.weight_hh.detach().numpy() if way == "by NumPy" else None
    state = cell(x)
    before = cell(x, state)[0]
    if way == "optimizer":
        before.sum().backward()
        rg.optim.SGD(cell.parameters(), lr=0.1).step()
    elif way == "in place":
        with rg.no_grad():
            cell.weight_ih.mul_(2)
    else:
        seen *= 2
    twin = nn.LSTMCell(5, 16)
    twin.load_state_dict(cell.state_dict())
    found, expected = cell(x, state)[0], twin(x, state)[0]
    assert_array_equal(found.array, expected.array)
    assert np.abs(found.array - before.array).max() > 1e-4


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh"])
def test_threads_change_no_bit(kind, monkeypatch):
    monkeypatch.setattr(recurrence, "WORTH_COMPILING", 0)
    monkeypatch.setattr(recurrence_kernels, "GRAIN", 1)
    found = []
    for n in (1, 2, 4):
        monkeypatch.setattr(kernels, "limit", n)
        found.append(everything(kind, (13,) * 10, 64, False))
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            assert_array_equal(a, b)


def test_small_layers_load_no_compiler():
    code = (
        "import sys, retrograd as rg\n"
        "for kind in (rg.nn.RNN, rg.nn.LSTM, rg.nn.GRU):\n"
        "    kind(8, 16, 2)(rg.randn(10, 4, 8))[0].sum().backward()\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_loops_run_without_the_compiler():
    code = (
        "import numpy as np, retrograd as rg\n"
        "from retrograd.autograd import recurrence\n"
        "layers = [rg.nn.LSTM(3, 5), rg.nn.GRU(3, 5), rg.nn.RNN(3, 5)]\n"
        "x = rg.randn(3, 6, 3)\n"
        "expected = [layer(x)[0].detach() for layer in layers]\n"
        "recurrence.WORTH_COMPILING = 0\n"
        "for layer, out in zip(layers, expected):\n"
        "    found = layer(x)[0]\n"
        "    found.sum().backward()\n"
        "    assert np.allclose(found.detach(), out, atol=1e-6)\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# ---------------------------------------------------------------- what users rely on


def test_flat_weights_are_the_attributes():
    layer = nn.LSTM(3, 4, 2)
    assert [*layer._flat_weights] == [*layer.parameters()]
    assert [w for ws in layer.all_weights for w in ws] == [*layer.parameters()]
    layer.flatten_parameters()
    layer._flat_weights = [getattr(layer, name) for name in layer._flat_weights_names]
    with pytest.raises(AttributeError, match="assign those instead"):
        layer._flat_weights = [rg.zeros(1)] * 8


def test_a_weight_may_be_replaced_by_a_tensor():
    """Weight dropout: the parameter is kept elsewhere, and a tensor made of it stands in."""
    layer = nn.LSTM(3, 4)
    raw = layer.weight_hh_l0
    del layer._parameters["weight_hh_l0"]
    layer.register_parameter("raw", raw)
    layer.weight_hh_l0 = raw * 2
    layer(rg.randn(5, 2, 3))[0].sum().backward()
    assert raw.grad is not None


def test_frozen_weights_get_no_gradient():
    layer = nn.GRU(3, 4)
    layer.weight_ih_l0.requires_grad_(False)
    layer.bias_ih_l0.requires_grad_(False)
    layer(rg.randn(5, 2, 3))[0].sum().backward()
    assert layer.weight_ih_l0.grad is None
    assert layer.weight_hh_l0.grad is not None


@kinds
def test_mixed_storage_types(kind):
    layer = getattr(nn, kind)(3, 4).to(rg.bfloat16)
    out, _ = layer(rg.randn(5, 2, 3).to(rg.bfloat16))
    assert out.dtype is rg.bfloat16
    out.sum().backward()
    assert layer.weight_hh_l0.grad.dtype is rg.bfloat16


@kinds
def test_nan_stays_nan(kind, monkeypatch):
    layer = getattr(nn, kind)(3, 4)
    x = rg.randn(5, 2, 3)
    x[1, 0] = float("nan")
    for worth in (1 << 60, 0):
        monkeypatch.setattr(recurrence, "WORTH_COMPILING", worth)
        out = layer(x)[0]
        assert out[1:, 0].isnan().all()
        assert not out[:, 1].isnan().any()
