"""Normalisation without another engine beside it: what it means, and its compiled loops."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from numpy.testing import assert_allclose
from retrograd import nn
from retrograd.autograd import kernels

from .cases import directional, gradient_of


def test_every_layer_is_one_line_of_the_tape():
    for layer in (nn.LayerNorm(4), nn.BatchNorm1d(4), nn.GroupNorm(2, 4), nn.RMSNorm(4)):
        node = layer(rg.randn(6, 4)).grad_fn
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        assert parents == [p.node for p in layer.parameters()]


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (2, 4, 3, 3)])
def test_what_is_normalised_has_mean_zero_and_variance_one(shape):
    x = rg.randn(*shape, dtype=rg.float64) * 3 + 7
    over_batch = tuple(i for i in range(len(shape)) if i != 1)
    for out, axes in (
        (F.layer_norm(x, shape[1:], eps=0), tuple(range(1, len(shape)))),
        (F.batch_norm(x, None, None, training=True, eps=1e-300), over_batch),
    ):
        assert_allclose(out.array.mean(axes), 0, atol=1e-12)
        assert_allclose(out.array.var(axes), 1, rtol=1e-12)


def test_running_statistics_by_hand():
    layer, seen = nn.BatchNorm1d(2, momentum=0.25, dtype=rg.float64), []
    mean, var = np.zeros(2), np.ones(2)
    for _ in range(3):
        x = rg.randn(5, 2, dtype=rg.float64)
        layer(x)
        seen.append(x.array)
        mean = 0.75 * mean + 0.25 * x.array.mean(0)
        var = 0.75 * var + 0.25 * x.array.var(0, ddof=1)
    assert_allclose(layer.running_mean.array, mean, rtol=1e-12)
    assert_allclose(layer.running_var.array, var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()
    assert_allclose(layer(x).detach().array, (x.array - mean) / np.sqrt(var + 1e-5), rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1, 1]


def test_without_momentum_the_mean_of_all_batches_is_tracked():
    layer = nn.BatchNorm1d(2, momentum=None, dtype=rg.float64)
    means = [layer(x).detach() is not None and x.array.mean(0) for x in rg.randn(4, 5, 2).double()]
    assert_allclose(layer.running_mean.array, np.mean(means, 0), rtol=1e-12)


def test_a_training_step_between_forward_and_backward_of_evaluation_is_noticed():
    layer = nn.BatchNorm1d(2).eval()
    out = layer(rg.randn(4, 2))
    layer.train()(rg.randn(4, 2))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, b: F.layer_norm(x.mT, (3,), w, b),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: F.instance_norm(x, None, None, w, b, eps=1e-2),
        lambda x, w, b: F.local_response_norm(x * w.reshape(3, 1), 2, 0.5) + b.sum(),
    ],
)  # fmt: skip
def test_gradients_of_both_orders(function):
    inputs = [rg.randn(*shape, dtype=rg.float64) for shape in ((4, 3, 2), (3,), (3,))]
    directional(function, inputs)
    inputs = [x.requires_grad_() for x in inputs]
    gradient, g = gradient_of(function, function(*inputs))
    directional(gradient, [g, *inputs], tolerance=1e-5)


RUNNING = rg.linspace(0.5, 2, 7, dtype=rg.float64)
LARGE = {
    "rows": (lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b), (131, 257), (257,)),
    "root mean square": (lambda x, w, b: F.rms_norm(x, x.shape[1:], w) + b, (131, 257), (257,)),
    "channels": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (9, 7, 603), (7,)),
    "columns": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (301, 127), (127,)),
    "short runs": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (1203, 7, 5), (7,)),
    "running": (lambda x, w, b: F.batch_norm(x, RUNNING, RUNNING, w, b), (1203, 7, 5), (7,)),
    "groups": (lambda x, w, b: F.group_norm(x, 2, w, b), (9, 6, 703), (6,)),
}


@pytest.mark.parametrize("wanted", [(0, 1, 2), (0,), (1,), (2,)], ids=str)
@pytest.mark.parametrize("name", LARGE)
def test_compiled_loops_compute_what_the_steps_do(name, wanted, monkeypatch):
    function, *shapes = LARGE[name]
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s) * 2 + 1 for s in (*shapes, shapes[-1])]
    assert arrays[0].size >= kernels.WORTH_COMPILING
    results = []
    for threshold in (kernels.WORTH_COMPILING, 1 << 60):
        monkeypatch.setattr(kernels, "WORTH_COMPILING", threshold)
        inputs = [rg.tensor(a).requires_grad_(i in wanted) for i, a in enumerate(arrays)]
        out = function(*inputs)
        out.sin().sum().backward()
        results.append([out.detach().array, *[inputs[i].grad.array for i in wanted]])
    for mine, steps in zip(*results, strict=True):
        assert_allclose(mine, steps, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layer_of", [nn.LayerNorm, nn.BatchNorm1d])
def test_the_bits_do_not_depend_on_the_number_of_threads(layer_of, monkeypatch):
    x = rg.randn(1000, 96)
    gradients = []
    for count in (1, 2, 3):
        monkeypatch.setattr(kernels, "limit", count)
        layer = layer_of(96)
        (layer(x) * x).sum().backward()
        gradients.append(layer.weight.grad.tolist())
    assert gradients[0] == gradients[1] == gradients[2]


PROGRAM = """
import numpy as np, retrograd as rg, retrograd.nn.functional as F
from retrograd.autograd import kernels
kernels.WORTH_COMPILING = 1
rg.manual_seed(0)
x = rg.randn(3, 4, 19, requires_grad=True)
w, b = rg.randn(4, requires_grad=True), rg.randn(4, requires_grad=True)
total = F.layer_norm(x, (19,)).sin().sum() + F.rms_norm(x, (19,)).sin().sum()
total = total + F.batch_norm(x, None, None, w, b, True).sin().sum()
total = total + F.group_norm(x, 2, w, b).sin().sum()
columns = x.repeat(1, 1, 3).reshape(57, 4, 3)
total = total + F.batch_norm(columns, None, None, w, b, True).sin().sum()
total = total + F.batch_norm(columns, rg.zeros(4), rg.ones(4), w, b).sin().sum()
q = x.reshape(3, 1, 4, 19)
total = total + F.scaled_dot_product_attention(q, q, q, is_causal=True).sin().sum()
total = total + F.scaled_dot_product_attention(q, q, q, rg.zeros(4, 4), 0.5).sin().sum()
total.backward()
print(total.item(), x.grad.norm().item(), w.grad.norm().item(), b.grad.norm().item())
"""


def answer(**environment):
    environment = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("shape", [(5000, 8), (1203, 7, 5)])
def test_the_variance_of_columns_far_from_zero_keeps_its_digits(shape):
    slope = np.linspace(0, 50, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    noise = np.random.default_rng(0).standard_normal(shape)
    x = (noise + slope + 3e3).astype("float32")  # the means of its parts differ
    axes = (0, *range(2, len(shape)))
    mean, var = rg.zeros(shape[1]), rg.zeros(shape[1])
    out = F.batch_norm(rg.tensor(x), mean, var, training=True, momentum=1.0)
    exact = x.astype("float64")
    assert_allclose(mean.array, exact.mean(axes), rtol=2e-7)
    assert_allclose(var.array, exact.var(axes, ddof=1), rtol=5e-5)
    exact -= exact.mean(axes, keepdims=True)
    exact /= exact.std(axes, keepdims=True)
    assert_allclose(out.array, exact, rtol=1e-5, atol=5e-5)


def test_loops_stay_in_bounds_and_run_without_the_compiler(tmp_path):
    expected = answer(NUMBA_DISABLE_JIT="1")
    checked = answer(NUMBA_BOUNDSCHECK="1", RETROGRAD_CACHE=str(tmp_path))
    usual = answer()
    assert_allclose(np.array(checked, float), np.array(expected, float), atol=5e-3)
    assert_allclose(np.array(usual, float), np.array(expected, float), atol=5e-3)
