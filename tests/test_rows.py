"""Softmax and its like over large rows: the loops say what the formulas say."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import retrograd as rg
from numpy.testing import assert_allclose
from retrograd.autograd import rows

F = rg.nn.functional
# Compiled loops add up vectors; as plain Python they add a thousand terms one after another.
ROUNDING = 3e-6 if numba.config.DISABLE_JIT == 0 else 1e-5
SHAPES = [(64, 1024), (40, 1001), (30, 40, 50), (5000, 8)]


def both(function, x, g):
    """Value and gradient in float32, which has loops, and in float64, which has none."""
    out = []
    for dtype in (rg.float32, rg.float64):
        t = rg.tensor(x, dtype=dtype, requires_grad=True)
        y = function(t)
        y.backward(rg.tensor(g, dtype=dtype))
        out.append((y.detach().numpy(), t.grad.numpy()))
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, shape):
    random = np.random.default_rng(0)
    x, g = 5 * random.standard_normal(shape), random.standard_normal(shape)
    x.reshape(-1)[3] = -np.inf
    assert rows.suits(np.asarray(x, np.float32), -1)
    (y, d), (exact, exact_d) = both(lambda t: getattr(F, name)(t, -1), x, g)
    assert_allclose(y, exact, rtol=3e-6, atol=ROUNDING)
    assert_allclose(d, exact_d, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [0.1, 60.0])
def test_cross_entropy(size):
    random = np.random.default_rng(0)
    x, target = size * random.standard_normal((50, 1003)), random.integers(0, 1003, 50)
    for reduction in ("mean", "none"):
        g = np.asarray(2.0) if reduction == "mean" else random.standard_normal(50)
        (y, d), (exact, exact_d) = both(
            lambda t: F.cross_entropy(t, rg.tensor(target), reduction=reduction),  # noqa: B023
            x,
            g,
        )
        assert_allclose(y, exact, rtol=1e-5)
        assert_allclose(d, exact_d, rtol=1e-4, atol=1e-7)


def test_rows_of_infinities_and_nan():
    x = np.random.default_rng(0).standard_normal((40, 1000)).astype(np.float32)
    x[3, 4], x[5], x[6, 1] = np.nan, -np.inf, np.inf
    x[7, 2] = np.copysign(np.float32(np.nan), -1)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(-1, keepdims=True)
        expected = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    assert_allclose(F.softmax(rg.tensor(x), -1).numpy(), expected, rtol=1e-5, atol=1e-7)


def test_second_derivatives_through_a_loop():
    x = rg.randn(40, 1000, requires_grad=True)
    (g,) = rg.autograd.grad((F.softmax(x, -1) ** 2).sum(), x, create_graph=True)
    (h,) = rg.autograd.grad((g * g).sum(), x)
    y = x.detach().double().requires_grad_()
    (g,) = rg.autograd.grad((F.softmax(y, -1) ** 2).sum(), y, create_graph=True)
    (exact,) = rg.autograd.grad((g * g).sum(), y)
    assert_allclose(h.numpy(), exact.numpy(), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("shape", [(1003, 384), (16, 64, 130), (20, 10_000), (200_000, 1)])
def test_the_gradient_of_a_bias(shape):
    g = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    bias = rg.zeros(shape[-1], requires_grad=True)
    (rg.zeros(shape) + bias).backward(rg.tensor(g))
    exact = g.reshape(-1, shape[-1]).sum(0, dtype=np.float64)
    assert_allclose(bias.grad.numpy(), exact, rtol=1e-5, atol=3e-4)
