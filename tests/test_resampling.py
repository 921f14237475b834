"""Interpolation, grids, padding and rearrangement: what they mean, in small cases."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg
from numpy.testing import assert_allclose, assert_array_equal
from retrograd.nn import functional as F

MODES = {
    1: ["nearest", "nearest-exact", "linear", "area"],
    2: ["nearest", "nearest-exact", "bilinear", "bicubic", "area"],
    3: ["nearest", "nearest-exact", "trilinear", "area"],
}


def picture(*shape):
    return rg.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("n", [4, 30])
def test_a_constant_stays_constant(axes, n):
    x = rg.full((2, 2, *[n] * axes), 3.0)
    for mode in MODES[axes]:
        for size in (n // 2 + 1, 2 * n + 1):
            out = F.interpolate(x, size, mode=mode)
            assert out.shape == (2, 2, *[size] * axes)
            assert_allclose(out.array, 3, rtol=1e-6)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_doubling(mode):
    out = F.interpolate(rg.tensor([[[0.0, 1.0, 4.0]]]), scale_factor=2, mode=mode)
    expected = {"linear": [0, 0.25, 0.75, 1.75, 3.25, 4], "nearest": [0, 0, 1, 1, 4, 4]}
    assert_allclose(out.array[0, 0], expected[mode])


def test_a_straight_line_stays_straight_with_corners_aligned():
    x = rg.arange(5.0).reshape(1, 1, 5)
    out = F.interpolate(x, 9, mode="linear", align_corners=True)
    assert_allclose(out.array[0, 0], np.arange(9) / 2)


@pytest.mark.parametrize("n", [6, 40])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_gradient_is_the_transposed_map(n, mode):
    x, settings = picture(2, 4, n, n), {"size": (n + 3, n - 2), "mode": mode}
    out = F.interpolate(x, **settings)
    g = np.random.default_rng(1).standard_normal(out.shape)
    out.backward(rg.tensor(g))
    v = np.random.default_rng(2).standard_normal(x.shape)
    moved = F.interpolate(rg.tensor(v), **settings)
    assert_allclose(np.vdot(moved.array, g), np.vdot(v, x.grad.array), rtol=1e-10)


def test_antialias_averages_what_downsampling_skips():
    x = rg.zeros(1, 1, 1, 64)
    x[..., ::2] = 2.0
    out = F.interpolate(x, (1, 8), mode="bilinear", antialias=True)
    assert_allclose(out.array[..., 1:-1], 1, atol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_the_grid_of_the_identity_gives_the_picture_back(mode, padding_mode):
    x = picture(2, 3, 4, 5)
    same = rg.tensor([[[1.0, 0, 0], [0, 1, 0]]] * 2, dtype=rg.float64)
    grid = F.affine_grid(same, (2, 3, 4, 5), align_corners=False)
    out = F.grid_sample(x, grid, mode, padding_mode, align_corners=False)
    assert_allclose(out.array, x.array, atol=1e-12)


def test_grid_sample_is_zero_outside():
    grid = rg.full((1, 1, 1, 2), 3.0)
    assert F.grid_sample(rg.ones(1, 1, 2, 2), grid, align_corners=False).item() == 0


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_gradients_of_grid_sample(mode):
    grid = rg.rand(1, 2, 2, 2, dtype=rg.float64) * 1.4 - 0.7

    def sample(x, grid):
        return F.grid_sample(x, grid, mode, "zeros", False)

    inputs = picture(1, 2, 3, 4), grid.requires_grad_()
    assert rg.autograd.gradcheck(sample, inputs)
    assert rg.autograd.gradgradcheck(sample, inputs)


def test_shuffles_are_undone():
    x = picture(2, 8, 3, 2)
    assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).array, x.array)
    assert_array_equal(F.channel_shuffle(F.channel_shuffle(x, 2), 4).array, x.array)


@pytest.mark.parametrize("kind", ["Constant", "Zero", "Reflection", "Replication", "Circular"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_padding_modules(kind, axes):
    layer = getattr(rg.nn, f"{kind}Pad{axes}d")(1, *([2.0] if kind == "Constant" else []))
    x = picture(1, 2, *[3] * axes)
    out = layer(x)
    assert out.shape == (1, 2, *[5] * axes)
    mode = {"Reflection": "reflect", "Replication": "edge", "Circular": "wrap"}
    frame = [(0, 0), (0, 0), *[(1, 1)] * axes]
    given = {"constant_values": 2.0 if kind == "Constant" else 0.0} if kind not in mode else {}
    assert_array_equal(out.array, np.pad(x.array, frame, mode.get(kind, "constant"), **given))
    assert rg.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: F.interpolate(x), ValueError, "either size or scale_factor"),
        (lambda x: F.interpolate(x, 2, 2), ValueError, "only one of size or scale_factor"),
        (lambda x: F.interpolate(x, 2, mode="linear"), NotImplementedError, "needs 3D"),
        (lambda x: F.interpolate(x, 2, mode="cubic"), NotImplementedError, "cubic"),
        (lambda x: F.interpolate(x, 2, align_corners=True), ValueError, "align_corners"),
        (lambda x: F.interpolate(x, (1, 2, 3)), ValueError, "same number of spatial dimensions"),
        (lambda x: F.interpolate(x, 0), RuntimeError, "greater than 0"),
        (lambda x: F.interpolate(x, 2, antialias=True), ValueError, "Anti-alias"),
        (lambda x: F.pixel_shuffle(x, 2), RuntimeError, "divisible by the square"),
        (lambda x: F.pixel_shuffle(x, 0), RuntimeError, "positive upscale_factor"),
        (lambda x: F.channel_shuffle(x, 2), RuntimeError, "Got 3 channels and 2 groups"),
        (lambda x: F.grid_sample(x, x, "linear"), ValueError, "'linear'"),
        (lambda x: F.grid_sample(x, x, align_corners=True), RuntimeError, "size 2 in last dim"),
        (lambda x: rg.nn.CircularPad1d(1)(x), ValueError, "expected 2D or 3D input"),
    ],
)
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call(rg.ones(2, 3, 4, 4))
