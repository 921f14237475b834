"""Convolutions by hand, by columns and by kernels: all the same, and within their memory."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from retrograd import nn
from retrograd.autograd import assembly, convolving, direct, direct_weight, windows

NEVER = 1 << 62


def by_hand(x, w, stride, padding, dilation, groups):
    """A convolution as its formula says: one sum for each element."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    facts = zip(x.shape[2:], w.shape[2:], stride, dilation, strict=True)
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in facts]
    out = np.zeros((len(x), len(w), *places))
    each, deep = len(w) // groups, w.shape[1]
    for n, f, *o in np.ndindex(*out.shape):
        first = f // each * deep
        key = tuple(
            slice(i * s, i * s + d * (k - 1) + 1, d)
            for i, s, d, k in zip(o, stride, dilation, w.shape[2:], strict=True)
        )
        out[(n, f, *o)] = (x[(n, slice(first, first + deep), *key)] * w[f]).sum()
    return out


def random(*shape, dtype="float64", seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    ("x", "w", "stride", "padding", "dilation", "groups"),
    [
        ((2, 3, 7), (4, 3, 3), (2,), (1,), (2,), 1),
        ((2, 4, 6, 5), (6, 2, 3, 2), (2, 1), (1, 2), (1, 2), 2),
        ((1, 2, 4, 3, 5), (2, 1, 2, 3, 1), (1, 1, 2), (1, 0, 0), (2, 1, 1), 2),
    ],
)
def test_value_is_that_of_the_formula(x, w, stride, padding, dilation, groups):
    x, w = random(*x), random(*w)
    function = (rg.conv1d, rg.conv2d, rg.conv3d)[x.ndim - 3]
    bias = random(len(w))
    out = function(rg.tensor(x), rg.tensor(w), rg.tensor(bias), stride, padding, dilation, groups)
    expected = by_hand(x, w, stride, padding, dilation, groups)
    assert_allclose(out.numpy(), expected + bias.reshape(-1, *[1] * len(stride)), rtol=1e-12)


# ---------------------------------------------------------------- kernels against columns

PLANES = [
    # images, channels, size, filters, kernel, stride, padding, dilation, groups
    (3, 1, (28, 28), 6, (5, 5), (1, 1), (2, 2), (1, 1), 1),
    (2, 3, (9, 11), 5, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 3, (9, 11), 17, (3, 2), (2, 3), (1, 0), (1, 1), 1),
    (1, 2, (30, 21), 33, (3, 3), (1, 1), (2, 2), (2, 3), 1),
    (2, 3, (7, 32), 10, (3, 3), (1, 1), (1, 1), (1, 1), 1),  # rows of whole vectors
    (1, 2, (11, 64), 9, (5, 7), (2, 2), (2, 3), (1, 1), 1),
    (2, 6, (7, 8), 9, (2, 2), (2, 2), (0, 1), (1, 1), 3),
    (2, 5, (12, 13), 5, (3, 3), (1, 1), (1, 1), (1, 1), 5),
    (2, 5, (12, 13), 5, (3, 3), (2, 2), (1, 1), (1, 1), 5),
    (1, 4, (12, 13), 8, (5, 4), (1, 2), (2, 2), (2, 1), 4),
    (1, 2, (70, 50), 2, (3, 3), (1, 1), (1, 1), (1, 1), 2),  # in bands
    (2, 7, (14, 14), 65, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (2, 7, (9, 9), 4, (1, 1), (3, 3), (0, 0), (1, 1), 1),
    (1, 3, (40, 37), 20, (7, 7), (2, 2), (3, 3), (1, 1), 1),
    (2, 2, (1, 150), 3, (1, 9), (1, 2), (0, 4), (1, 3), 1),
    (3, 2, (4, 4), 3, (3, 3), (1, 1), (4, 5), (1, 1), 1),
    (3, 2, (5, 3), 130, (5, 3), (1, 1), (0, 0), (1, 1), 1),
    (2, 2, (6, 6), 3, (3, 3), (5, 5), (0, 0), (1, 1), 1),
    (2, 2, (6, 6), 3, (2, 2), (3, 3), (1, 1), (2, 2), 1),
]


class Guarded:
    """NumPy, with guard zones around every array that it makes."""

    ZONE = 512

    def __init__(self):
        self.made = []

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        size = int(np.prod(shape))
        memory = np.full(size + 2 * self.ZONE, 77, dtype)
        self.made.append(memory)
        return memory[self.ZONE : self.ZONE + size].reshape(shape)

    def zeros(self, shape, dtype):
        out = self.empty(shape, dtype)
        out[...] = 0
        return out

    def check(self):
        assert self.made
        for memory in self.made:
            assert (memory[: self.ZONE] == 77).all()
            assert (memory[-self.ZONE :] == 77).all()


def in_nan(a):
    """The array in the midst of NaN, so that whoever reads beside it computes NaN."""
    memory = np.full(a.size + 1024, np.nan, a.dtype)
    memory[512:-512] = a.ravel()
    return memory[512:-512].reshape(a.shape)


def three_products(dtype, n, c, size, f, kernel, stride, padding, dilation, groups):
    """What the three products make of one set of arrays."""
    rest = stride, padding, dilation, groups
    places = windows.Window(kernel, *rest[:3]).places(size)
    x, w = random(n, c, *size, dtype=dtype), random(f, c // groups, *kernel, dtype=dtype)
    y, bias = random(n, f, *places, dtype=dtype), random(f, dtype=dtype)
    x, w, y, bias = map(in_nan, (x, w, y, bias))
    return (
        convolving.convolution(x, w, *rest, bias),
        convolving.convolution(x, w, *rest),
        convolving.convolution_input(y, w, size, *rest),
        convolving.convolution_weight(x, y, kernel, *rest),
    )


def check_kernels(monkeypatch, dtype, plane):
    if not assembly.lanes(dtype):
        pytest.skip("this processor has no vectors that the kernels know")
    monkeypatch.setattr(convolving, "WORTH_COMPILING", NEVER)
    expected = three_products(dtype, *plane)
    monkeypatch.setattr(convolving, "WORTH_COMPILING", 0)
    three_products(dtype, *plane)  # compiles
    guarded = Guarded()
    monkeypatch.setattr(direct, "np", guarded)
    monkeypatch.setattr(direct_weight, "np", guarded)
    found = three_products(dtype, *plane)
    guarded.check()
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(initial=1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_kernels_make_what_columns_make(monkeypatch, dtype, plane):
    check_kernels(monkeypatch, dtype, plane)


@pytest.mark.parametrize("plane", PLANES[:12], ids=str)
def test_in_bands_and_by_several_threads(monkeypatch, plane):
    """As if images were too large for the cache, and every call large enough to share."""
    direct.layout.cache_clear()
    direct_weight.weight_layout.cache_clear()
    monkeypatch.setattr(direct, "SCRATCH", 1)
    monkeypatch.setattr(direct, "INNER", 1)
    monkeypatch.setattr(direct, "SERIAL", 0)
    monkeypatch.setattr(direct.kernels, "limit", 3)
    check_kernels(monkeypatch, "float32", plane)
    direct.layout.cache_clear()
    direct_weight.weight_layout.cache_clear()


@pytest.mark.parametrize("plane", PLANES, ids=str)
def test_blocks_of_pixels_end_in_scratch_memory(plane):
    if not assembly.lanes("float32"):
        pytest.skip("this processor has no vectors that the kernels know")
    _, c, size, f, kernel, stride, padding, dilation, groups = plane
    places = windows.Window(kernel, stride, padding, dilation).places(size)
    down, across = direct.axes(size, kernel, places, stride, padding, dilation)
    tile = direct.tile_for("float32", f // groups, down, across)
    for parts in (1, 3):
        taps = ((down.taps, across.taps),)
        where = direct.layout(c // groups, down, across, taps, tile, parts)
        read = tile.lanes * (1 if tile.apart else tile.vectors)
        assert where.pixels.max() + where.taps.max() + read <= where.size


numbers = st.integers
sizes = st.tuples(numbers(1, 12), numbers(1, 40))


@settings(max_examples=40, deadline=None)
@given(
    st.data(), numbers(1, 3), numbers(1, 4), numbers(1, 20), numbers(1, 3), sizes,
    st.tuples(numbers(1, 3), numbers(1, 4)), st.tuples(numbers(1, 3), numbers(1, 3)),
    st.tuples(numbers(0, 3), numbers(0, 3)), st.tuples(numbers(1, 2), numbers(1, 3)),
)  # fmt: skip
def test_any_sizes(data, n, c, f, groups, size, kernel, stride, padding, dilation):
    size = tuple(
        max(m, d * (k - 1) + 1 - 2 * p)
        for m, k, p, d in zip(size, kernel, padding, dilation, strict=True)
    )
    plane = (n, c * groups, size, f * groups, kernel, stride, padding, dilation, groups)
    with pytest.MonkeyPatch.context() as patch:
        check_kernels(patch, data.draw(st.sampled_from(["float32", "float64"])), plane)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", [2, 3, (4, 5), 1])
@pytest.mark.parametrize("size", [(32, 32), (33, 31), (17, 70)])
def test_gradients_of_every_other_place_are_woven(size, kernel, dtype):
    planes = -(-(1 << 17) // (8 * size[0] * size[1]))  # enough for a loop that weaves
    x = random(planes, 8, *size).astype(dtype)
    w = random(4, 8, *np.broadcast_to(kernel, 2)).astype(dtype)
    x = rg.tensor(x, requires_grad=True)
    y = F.conv2d(x, rg.tensor(w), stride=2)
    g = random(*y.shape, seed=1).astype(dtype)
    y.backward(rg.tensor(g))
    wanted = np.zeros(x.shape)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            rows, columns = slice(i, i + 2 * g.shape[2], 2), slice(j, j + 2 * g.shape[3], 2)
            wanted[:, :, rows, columns] += np.einsum("nfhw,fc->nchw", g, w[:, :, i, j])
    tolerance = 100 * np.finfo(dtype).eps
    assert_allclose(x.grad.numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(14, 14), (5, 5), (1, 3), (33, 31)])
def test_single_taps_are_products_of_matrices(size, dtype, threads, monkeypatch):
    monkeypatch.setattr(rg.autograd.kernels, "limit", threads)
    x, w, b = random(6, 48, *size), random(40, 48, 1, 1, seed=1), random(40, seed=2)
    x, w, b = (rg.tensor(a.astype(dtype), requires_grad=True) for a in (x, w, b))
    tolerance = 100 * np.finfo(dtype).eps
    for bias in (None, b):
        y = F.conv2d(x, w, bias)
        wanted = np.einsum("nchw,fc->nfhw", x.detach().numpy(), w.detach().numpy()[:, :, 0, 0])
        wanted = wanted if bias is None else wanted + b.detach().numpy()[:, None, None]
        assert_allclose(y.detach().numpy(), wanted, rtol=tolerance, atol=tolerance)
    g = random(*y.shape, seed=3).astype(dtype)
    y.backward(rg.tensor(g))
    wanted = np.einsum("nfhw,fc->nchw", g, w.detach().numpy()[:, :, 0, 0])
    assert_allclose(x.grad.numpy(), wanted, rtol=tolerance, atol=tolerance)
    wanted = np.einsum("nfhw,nchw->fc", g, x.detach().numpy())[..., None, None]
    assert_allclose(w.grad.numpy(), wanted, rtol=tolerance, atol=100 * tolerance)
    assert_allclose(b.grad.numpy(), g.sum((0, 2, 3)), rtol=tolerance, atol=100 * tolerance)


def test_infinities_stay_where_they_are(monkeypatch):
    """What stands over the padding is computed, but reaches no result."""
    x, w = random(2, 3, 12, 12, dtype="f4"), random(8, 3, 3, 3, dtype="f4")
    x[0, 0, 0, 0], x[1, 1, 2, 2] = np.nan, np.inf
    seen = []
    for limit in (NEVER, 0):
        monkeypatch.setattr(convolving, "WORTH_COMPILING", limit)
        inputs = [rg.tensor(a).requires_grad_() for a in (x, w)]
        out = rg.conv2d(*inputs, stride=2)
        out.backward(rg.tensor(random(*out.shape, dtype="f4")))
        seen.append([np.isfinite(a.numpy()) for a in (out.detach(), *(i.grad for i in inputs))])
    for a, b in zip(*seen, strict=True):
        assert_array_equal(a, b)


def test_lone_filters_keep_infinities_apart(monkeypatch):
    monkeypatch.setattr(convolving, "WORTH_COMPILING", 0)
    x, y = random(1, 2, 9, 9, dtype="f4"), random(1, 2, 7, 7, dtype="f4")
    x[0, 0, 0, 8] = np.inf  # only the last column of the window sees it
    found = convolving.convolution_weight(x, y, (3, 3), (1, 1), (0, 0), (1, 1), 2)
    assert_array_equal(np.isfinite(found[0, 0]), [[True, True, False], [True] * 3, [True] * 3])
    assert np.isfinite(found[1]).all()


# ---------------------------------------------------------------- derivatives

SMALL = [
    ("conv1d", (2, 4, 7), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ("conv2d", (2, 2, 5, 4), (3, 2, 2, 3), {"dilation": (2, 1)}),
    ("conv2d", (1, 2, 5, 4), (2, 1, 2, 2), {"groups": 2, "padding": "same"}),
    ("conv3d", (1, 2, 3, 3, 4), (2, 2, 2, 2, 2), {"padding": (0, 1, 0)}),
    ("conv_transpose1d", (2, 2, 4), (2, 3, 3), {"stride": 3, "output_padding": 1}),
    ("conv_transpose2d", (1, 4, 3, 4), (4, 2, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ("conv_transpose2d", (1, 2, 3, 3), (2, 1, 2, 2), {"dilation": 3, "output_padding": 2}),
    ("conv_transpose3d", (1, 2, 2, 2, 2), (2, 1, 2, 2, 2), {"stride": 2}),
]


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize(("name", "x", "w", "options"), SMALL, ids=str)
def test_first_and_second_derivative(monkeypatch, name, x, w, options, kernels):
    if kernels:
        monkeypatch.setattr(convolving, "WORTH_COMPILING", 0)
    filters = w[1] * options.get("groups", 1) if "transpose" in name else w[0]
    inputs = [rg.tensor(random(*s)).requires_grad_() for s in (x, w, (filters,))]

    def function(*inputs):
        return getattr(F, name)(*inputs, **options)

    assert rg.autograd.gradcheck(function, inputs)
    assert rg.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("size", [(5, 6), (9, 7)])
def test_fold_and_unfold_are_each_other_s_derivative(size):
    x = rg.tensor(random(2, 3, *size)).requires_grad_()
    options = {"kernel_size": (2, 3), "dilation": (1, 2), "padding": (1, 0), "stride": (2, 1)}
    columns = F.unfold(x, **options)
    c = rg.tensor(random(*columns.shape)).requires_grad_()
    image = F.fold(c, size, **options)
    (back,) = rg.autograd.grad(columns, x, c.detach())
    assert_allclose(back.numpy(), image.detach().numpy(), rtol=1e-13)
    (forth,) = rg.autograd.grad(image, c, x.detach())
    assert_allclose(forth.numpy(), columns.detach().numpy(), rtol=1e-13)
    assert rg.autograd.gradgradcheck(lambda x: F.unfold(x, **options) ** 2, x)


def test_a_convolution_is_a_product_of_its_columns():
    x, w = rg.tensor(random(2, 3, 6, 5)), rg.tensor(random(4, 3, 3, 2))
    product = w.reshape(4, -1) @ F.unfold(x, (3, 2), padding=1)
    expected = rg.conv2d(x, w, padding=1)
    assert_allclose(product.numpy().reshape(expected.shape), expected.numpy(), rtol=1e-12)


# ---------------------------------------------------------------- the tape, memory, forms


def test_a_layer_is_one_line_of_the_tape():
    layer = nn.Conv2d(2, 3, 3)
    node = layer(rg.ones(1, 2, 5, 5)).grad_fn
    assert node.name() == "ConvolutionBackward0"
    assert [parent for parent, _ in node.next_functions] == [
        None,
        *(p.node for p in layer.parameters()),
    ]


@pytest.mark.parametrize("shape", [(2, 3, 6, 7), (2, 3, 40, 40)])
def test_memory_layout_does_not_matter(shape):
    x, w = random(*shape, dtype="f4"), random(16, 3, 3, 3, dtype="f4")
    seen = []
    for order in (lambda a: a, np.asfortranarray, lambda a: np.repeat(a, 2, -1)[..., ::2]):
        a, b = (rg.from_numpy(order(v)).requires_grad_() for v in (x, w))
        out = rg.conv2d(a, b)
        g = rg.from_numpy(order(random(*out.shape, dtype="f4")))
        seen.append([out.detach().numpy(), *(d.numpy() for d in rg.autograd.grad(out, (a, b), g))])
    for first, second in pairwise(seen):
        for mine, other in zip(first, second, strict=True):
            assert_array_equal(mine, other)


def test_a_gradient_without_memory_of_its_own():
    """`sum` hands back one number for all elements."""
    layer = nn.Conv2d(3, 16, 3)
    layer(rg.ones(2, 3, 40, 40)).sum().backward()
    assert_allclose(layer.bias.grad.numpy(), np.full(16, 2 * 38 * 38))
    assert_allclose(layer.weight.grad.numpy(), np.full((16, 3, 3, 3), 2 * 38 * 38))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_one_example_is_a_batch_of_one(axes):
    layer, up = (getattr(nn, f"{kind}{axes}d")(2, 3, 2) for kind in ("Conv", "ConvTranspose"))
    x = rg.randn(2, *[4] * axes)
    for module in (layer, up):
        assert_array_equal(module(x).detach().numpy(), module(x.unsqueeze(0))[0].detach().numpy())


def test_settings_may_be_lists_and_numpy_s_integers():
    x, w = rg.ones(1, 2, 6, 6), rg.ones(3, 2, 3, 3)
    expected = rg.conv2d(x, w, stride=2, padding=(1, 2))
    out = rg.conv2d(x, w, stride=np.int64(2), padding=[np.int32(1), 2])
    assert_array_equal(out.numpy(), expected.numpy())
    with pytest.raises(TypeError, match="'groups' must be int, not float"):
        rg.conv2d(x, w, groups=1.0)


def test_errors_say_what_to_do():
    with pytest.raises(RuntimeError, match=r"weight type.*should be the same.*\.to\("):
        nn.Conv2d(2, 3, 3, dtype=rg.float64)(rg.ones(1, 2, 5, 5))
    with pytest.raises(ValueError, match="in_channels=3 and groups=2"):
        nn.Conv2d(3, 4, 3, groups=2)


# ---------------------------------------------------------------- bounds

EVERYTHING = """
import numpy as np
import retrograd as rg
from retrograd.autograd import convolving, windows
import retrograd.nn.functional as F
rg.manual_seed(0)
windows.WORTH_COMPILING = convolving.WORTH_COMPILING = 0
for c, f, g, options in [
    (3, 3, 1, {"padding": 1}), (4, 4, 4, {"padding": 1}),
    (3, 3, 1, {"dilation": 2, "stride": (1, 3)}),
]:
    x = rg.randn(2, c, 7, 9).requires_grad_()
    w = rg.randn(f, c // g, 3, 2).requires_grad_()
    out = rg.conv2d(x, w, groups=g, **options)
    out.backward(rg.ones_like(out))
    columns = F.unfold(x, (3, 2), **options)
    image = F.fold(columns, (7, 9), (3, 2), **options)
    for a in (out, x.grad, w.grad, columns, image):
        print(*(f"{v:.4g}" for v in a.detach().reshape(-1).tolist()))
"""


def test_bounds_are_kept(tmp_path):
    """The same numbers where Numba checks every index, and where it compiles nothing."""
    printed = {}
    for flag in ("", "NUMBA_BOUNDSCHECK", "NUMBA_DISABLE_JIT"):
        environment = {**os.environ}
        if flag == "NUMBA_BOUNDSCHECK":  # kernels on disk were compiled without
            environment["RETROGRAD_CACHE"] = str(tmp_path)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", EVERYTHING],
            env=environment | ({flag: "1"} if flag else {}),
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed[flag] = np.array(done.stdout.split(), float)
    usual = printed.pop("")
    assert usual.size > 1000
    for values in printed.values():
        assert_allclose(values, usual, rtol=2e-3, atol=1e-4)
