"""Pooling against loops of plain Python, on few elements (NumPy) and on many (compiled)."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
import retrograd as rg
from numpy.testing import assert_allclose, assert_array_equal
from retrograd.nn import functional as F

FEW, MANY = (2, 3, 7, 9), (3, 40, 13, 11)


def image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def windows(n, size, stride, padding, dilation, ceil_mode):
    """The positions of each window's elements that are not padding, and its size with padding."""
    starts = itertools.count(-padding, stride)
    span = dilation * (size - 1) + 1
    for start in starts:
        beyond = start + span - (n + padding)
        if beyond > 0 and not (ceil_mode and beyond < stride and start < n + padding):
            return
        if ceil_mode and start >= n + padding:
            return
        inner = [i for i in range(start, start + span, dilation) if 0 <= i < n]
        yield inner, min(start + size, n + padding) - start


def pooled(x, combine, size, stride, padding=0, dilation=1, ceil_mode=False):
    rows = [*windows(x.shape[-2], size, stride, padding, dilation, ceil_mode)]
    columns = [*windows(x.shape[-1], size, stride, padding, dilation, ceil_mode)]
    out = [[combine(x[..., r, :][..., c], a * b) for c, b in columns] for r, a in rows]
    return np.stack([np.stack(line, -1) for line in out], -2)


SETTINGS = [
    {"size": 2, "stride": 2},
    {"size": 3, "stride": 2, "padding": 1},
    {"size": 3, "stride": 1, "padding": 1, "dilation": 2},
    {"size": 3, "stride": 2, "ceil_mode": True},
    {"size": 5, "stride": 3, "padding": 2, "ceil_mode": True},
]


@pytest.mark.parametrize("shape", [FEW, MANY], ids=str)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_max_pool_is_the_maximum_of_each_window(shape, setting):
    x = image(shape)
    expected = pooled(x, lambda part, count: part.max((-1, -2)), **setting)
    size, rest = setting["size"], {k: v for k, v in setting.items() if k != "size"}
    out, places = F.max_pool2d(rg.tensor(x), size, **rest, return_indices=True)
    assert_array_equal(out.array, expected)
    taken = np.take_along_axis(x.reshape(*shape[:2], -1), places.array.reshape(*shape[:2], -1), -1)
    assert_array_equal(taken.reshape(expected.shape), expected)
    assert places.dtype is rg.int64


@pytest.mark.parametrize("shape", [FEW, MANY], ids=str)
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("setting", [s for s in SETTINGS if "dilation" not in s], ids=str)
def test_avg_pool_is_the_average_of_each_window(shape, setting, include):
    x = image(shape)

    def average(part, count):
        return part.sum((-1, -2)) / (count if include else part.shape[-1] * part.shape[-2])

    expected = pooled(x, average, **setting)
    size, rest = setting["size"], {k: v for k, v in setting.items() if k != "size"}
    out = F.avg_pool2d(rg.tensor(x), size, **rest, count_include_pad=include)
    assert_allclose(out.array, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [FEW, MANY], ids=str)
def test_adaptive_pooling_covers_every_element(shape):
    x = rg.tensor(image(shape), requires_grad=True)
    F.adaptive_avg_pool2d(x, (3, 4)).sum().backward()
    assert (x.grad.array > 0).all()
    assert_allclose(x.grad.array.sum(), 12 * shape[0] * shape[1], rtol=1e-5)


@pytest.mark.parametrize("shape", [FEW, MANY], ids=str)
def test_gradient_of_max_pool_adds_up_where_windows_overlap(shape):
    x = rg.tensor(image(shape), requires_grad=True)
    out, places = F.max_pool2d(x, 3, 1, return_indices=True)
    out.sum().backward()
    counts = np.zeros((shape[0] * shape[1], shape[2] * shape[3]))
    for plane, taken in zip(counts, places.array.reshape(len(counts), -1), strict=True):
        np.add.at(plane, taken, 1)
    assert_array_equal(x.grad.array.reshape(counts.shape), counts)


@pytest.mark.parametrize("shape", [FEW, MANY], ids=str)
def test_nan_wins_and_the_first_of_equals(shape):
    x = np.zeros(shape, np.float32)
    _, places = F.max_pool2d(rg.tensor(x), 2, return_indices=True)
    rows, columns = np.indices((shape[2] // 2, shape[3] // 2)) * 2
    assert_array_equal(places.array, np.broadcast_to(rows * shape[3] + columns, places.shape))
    x[..., 1, 0] = np.nan
    out, places = F.max_pool2d(rg.tensor(x), 2, return_indices=True)
    assert np.isnan(out.array[..., 0, 0]).all()
    assert np.isnan(out.array).sum() == shape[0] * shape[1]
    assert (places.array[..., 0, 0] == shape[3]).all()


@pytest.mark.parametrize("shape", [FEW, MANY], ids=str)
def test_an_infinity_spoils_no_window_but_its_own(shape):
    x = image(shape)
    x[0, 0, 0, 0] = np.inf
    out = F.avg_pool2d(rg.tensor(x), 2).array
    assert np.isposinf(out[0, 0, 0, 0])
    assert np.isfinite(out).sum() == out.size - 1


def test_windows_of_minus_infinity_point_at_an_element():
    x = rg.full((1, 4, 4), -np.inf)
    out, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert np.isneginf(out.array).all()
    assert places.tolist() == [[[0, 1], [4, 5]]]


@pytest.mark.parametrize("shape", [(2, 4, 8), (2, 2, 8, 8), (1, 2, 4, 4, 4)], ids=str)
def test_unpooling_puts_maxima_back(shape):
    axes = len(shape) - 2
    x = rg.tensor(image(shape))
    pool, unpool = (getattr(rg.nn, f"{name}{axes}d") for name in ("MaxPool", "MaxUnpool"))
    out, places = pool(2, return_indices=True)(x)
    back = unpool(2)(out, places)
    assert back.shape == x.shape
    assert_array_equal(back.array[back.array != 0], x.array[back.array != 0])
    assert (back.array != 0).sum() == out.array.size


def test_a_small_step_loads_no_compiler(in_new_process):
    assert not in_new_process(
        """
        import sys
        import retrograd as rg
        x = rg.ones(1, 2, 6, 6, requires_grad=True)
        for layer in (rg.nn.MaxPool2d(2), rg.nn.AvgPool2d(2), rg.nn.Upsample(scale_factor=2)):
            layer(x).sum().backward()
        if "numba" in sys.modules:
            print("numba was loaded")
        """
    )


CASES = """
    import numpy as np, retrograd as rg
    from retrograd.autograd import bands, windows
    windows.WORTH_COMPILING = bands.WORTH_COMPILING = 0
    F = rg.nn.functional
    x = rg.tensor(np.random.default_rng(0).standard_normal((2, 2, 7, 9)), requires_grad=True)
    cube = rg.tensor(np.random.default_rng(1).standard_normal((1, 2, 4, 5, 6)), requires_grad=True)
    results = [
        F.max_pool2d(x, 3, 2, 1, ceil_mode=True), F.max_pool2d(x, 3, 2, 1),
        F.max_pool2d(x, 2, 1, 1, 2), F.max_pool1d(cube[0, 0], 3, 1, 1, 2),
        F.adaptive_max_pool2d(x, (3, 4)), F.max_pool3d(cube, 2, 1, 1),
        F.avg_pool2d(x, 3, 2, 1, True), F.avg_pool3d(cube, (2, 3, 2), 2), F.avg_pool1d(x[0], 2),
        F.adaptive_avg_pool3d(cube, (3, 2, 4)), F.interpolate(x, (3, 14), mode="bicubic"),
        F.interpolate(cube, scale_factor=1.7, mode="trilinear"),
        F.interpolate(x, (4, 4), mode="bilinear", antialias=True), F.interpolate(x, (9, 3)),
    ]
    for out in results:
        (out * out).sum().backward()
    numbers = [*results, x.grad, cube.grad]
    sums = [(n.array * np.arange(n.array.size).reshape(n.shape)).sum() for n in numbers]
    print(*(f"{total:.9e}" for total in sums))
"""


def test_kernels_stay_in_bounds_and_mean_the_same_interpreted(tmp_path):
    """The same numbers compiled, compiled with every index checked, and run by Python."""
    printed = []
    for extra in ({}, {"NUMBA_BOUNDSCHECK": "1"}, {"NUMBA_DISABLE_JIT": "1"}):
        kept = {"RETROGRAD_CACHE": str(tmp_path)} if "NUMBA_BOUNDSCHECK" in extra else {}
        done = subprocess.run(
            [sys.executable, "-c", dedent(CASES)],
            env={**os.environ, **extra, **kept},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        printed.append(np.array(done.stdout.split(), float))
    assert len(printed[0]) == 16
    for other in printed[1:]:
        assert_allclose(other, printed[0], rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: F.max_pool2d(x, 9), "kernel is larger than the padded input"),
        (lambda x: F.max_pool2d(x, 2, padding=2), "at most half of effective kernel size.*pad=2"),
        (lambda x: F.max_pool2d(x, 2, 0), "stride should be greater than zero.*0"),
        (lambda x: F.max_pool2d(x[0, 0], 2), r"Expected 3D or 4D .*\[6, 6\]"),
        (lambda x: F.avg_pool2d(x, (1, 2, 3)), "kernel_size must .* two ints.*1, 2, 3"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor must be not zero"),
        (lambda x: F.adaptive_avg_pool2d(x, -1), "greater than or equal to 0.*-1"),
        (lambda x: F.max_unpool2d(x, rg.full(x.shape, 999), 2), "invalid max index: 999.*12x12"),
    ],
)
def test_errors_name_what_is_wrong(call, words):
    with pytest.raises(RuntimeError, match=words):
        call(rg.ones(2, 3, 6, 6))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(28, 28), (9, 70), (2, 2), (33, 3), (16, 65)])
def test_averages_of_two_by_two(size, dtype, threads, monkeypatch):
    monkeypatch.setattr(rg.autograd.kernels, "limit", threads)
    random = np.random.default_rng(0)
    planes = max(3, 20_000 // (size[0] * size[1]))  # enough to be worth a loop
    x = random.standard_normal((planes, 3, *size)).astype(dtype)
    x[0, 0, 1, 1], x[1, 2, 0, 0] = np.inf, np.nan
    high, wide = size[0] // 2, size[1] // 2
    squares = x[:, :, : 2 * high, : 2 * wide].reshape(planes, 3, high, 2, wide, 2)
    image = rg.tensor(x, requires_grad=True)
    y = F.avg_pool2d(image, 2)
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        y.detach().numpy(), squares.mean((3, 5)), rtol=tolerance, atol=tolerance
    )
    g = random.standard_normal(y.shape).astype(dtype)
    y.backward(rg.tensor(g))
    wanted = np.zeros_like(x)
    wanted[:, :, : 2 * high, : 2 * wide] = g.repeat(2, 2).repeat(2, 3) / 4
    np.testing.assert_array_equal(image.grad.numpy(), wanted)
