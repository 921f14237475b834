"""Convolutions of 3 by 3 taps, and their gradients, by fewer multiplications."""

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from retrograd.autograd import assembly, convolving, kernels, winograd, winograd_weight

pytestmark = pytest.mark.skipif(
    not assembly.lanes("float32") or kernels.crew() is None, reason="no machine code here"
)

# images (N, C, H, W), filters, padding: odd sizes, few and many squares, whole vectors and parts
CASES = [
    ((2, 16, 9, 7), 16, 1),
    ((3, 17, 5, 41), 21, 0),
    ((1, 32, 26, 26), 40, 2),
    ((5, 16, 14, 14), 24, 1),
    ((1, 16, 3, 97), 16, (3, 1)),
    ((2, 64, 8, 33), 19, (0, 4)),
    ((7, 24, 8, 8), 32, "same"),
    ((2, 16, 30, 1), 16, (1, 2)),
]


@pytest.fixture
def ways(monkeypatch):
    """Say of each convolution and each weight's gradient that comes here whether it is finite."""
    answers = []

    def noted(function):
        def note(*arguments):
            found = function(*arguments)
            answers.append(found is not None)
            return found

        return note

    monkeypatch.setattr(winograd, "correlate", noted(winograd.correlate))
    monkeypatch.setattr(winograd_weight, "weigh", noted(winograd_weight.weigh))
    monkeypatch.setattr(winograd, "WORTH", 0)
    monkeypatch.setattr(winograd, "PAIRS", 0)
    monkeypatch.setattr(winograd_weight, "PAIRS", 0)
    monkeypatch.setattr(convolving, "WORTH_COMPILING", 0)
    return answers


def exact(x, w, bias, padding):
    """The same in double precision, window by window."""
    x, w = x.astype("d"), w.astype("d")
    down, across = (1, 1) if padding == "same" else np.broadcast_to(padding, 2)
    wide = np.pad(x, ((0, 0), (0, 0), (down, down), (across, across)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))
    return np.einsum("nchwij,fcij->nfhw", windows, w) + bias[:, None, None]


def arrays(images, filters, dtype, seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal(images).astype(dtype)
    w = random.standard_normal((filters, images[1], 3, 3)).astype(dtype)
    return x, w, random.standard_normal(filters).astype(dtype)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("images", "filters", "padding"), CASES)
def test_results_are_those_of_the_definition(
    images, filters, padding, dtype, threads, ways, monkeypatch
):
    monkeypatch.setattr(kernels, "limit", threads)
    x, w, bias = arrays(images, filters, dtype)
    y = F.conv2d(rg.tensor(x), rg.tensor(w), rg.tensor(bias), padding=padding)
    assert ways == [True]
    # of 9 C products of numbers about 1, each rounded
    scale = 4 * np.finfo(dtype).eps * np.sqrt(9 * images[1])
    np.testing.assert_allclose(y.numpy(), exact(x, w, bias, padding), rtol=scale, atol=8 * scale)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("images", "filters", "padding"), CASES)
def test_gradients_are_those_of_the_definition(
    images, filters, padding, threads, ways, monkeypatch
):
    monkeypatch.setattr(kernels, "limit", threads)
    x, w, bias = arrays(images, filters, "float64")
    x, w, bias = (rg.tensor(a, requires_grad=True) for a in (x, w, bias))
    y = F.conv2d(x, w, bias, padding=padding)
    slopes = rg.tensor(np.random.default_rng(1).standard_normal(y.shape))
    (y * slopes).sum().backward()
    assert ways == [True, True, True]  # the input's gradient is such a convolution, too
    down, across = (1, 1) if padding == "same" else np.broadcast_to(padding, 2)
    wide = np.pad(slopes.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    turned = w.detach().numpy()[:, :, ::-1, ::-1].swapaxes(0, 1)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))
    whole = np.einsum("nfhwij,cfij->nchw", windows, turned)
    wanted = whole[:, :, down : down + images[2], across : across + images[3]]
    np.testing.assert_allclose(x.grad.numpy(), wanted, atol=1e-10)
    wide = np.pad(x.detach().numpy(), ((0, 0), (0, 0), (down, down), (across, across)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))
    wanted = np.einsum("nfhw,nchwij->fcij", slopes.numpy(), windows)
    np.testing.assert_allclose(w.grad.numpy(), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_where_it_belongs(value, ways):
    x, w, bias = arrays((2, 16, 12, 12), 16, "float32")
    x[1, 3, 5, 6] = value
    y = F.conv2d(rg.tensor(x), rg.tensor(w), rg.tensor(bias), padding=1).numpy()
    assert ways == [False]
    seen = np.zeros((2, 16, 12, 12), bool)
    seen[1, :, 4:7, 5:8] = True
    np.testing.assert_array_equal(~np.isfinite(y), seen)
    wanted = exact(np.where(np.isfinite(x), x, 0), w, bias, 1)
    np.testing.assert_allclose(y[~seen], wanted[~seen], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("where", ["image", "slope"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weights_gradient_is_not_finite_where_it_should_be(value, where, ways):
    x, w, bias = arrays((2, 16, 9, 9), 16, "float32")
    slopes = np.ones((2, 16, 9, 9), np.float32)
    if where == "image":
        x[0, 3, 0, 0] = value  # seen by the taps from the centre on, to the left and above
        expected = np.zeros((16, 16, 3, 3), bool)
        expected[:, 3, :2, :2] = True
    else:
        slopes[1, 5, 4, 6] = value
        expected = np.zeros((16, 16, 3, 3), bool)
        expected[5] = True
    w = rg.tensor(w, requires_grad=True)
    F.conv2d(rg.tensor(x), w, rg.tensor(bias), padding=1).backward(rg.tensor(slopes))
    assert ways[-1] is False
    np.testing.assert_array_equal(~np.isfinite(w.grad.numpy()), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weights_gradient_is_as_right_as_rounding_lets_it(dtype, ways):
    x, _, _ = arrays((6, 32, 20, 22), 48, dtype)
    slopes = np.random.default_rng(2).standard_normal((6, 48, 20, 22)).astype(dtype)
    w = rg.zeros(48, 32, 3, 3, dtype=getattr(rg, dtype), requires_grad=True)
    F.conv2d(rg.tensor(x), w, padding=1).backward(rg.tensor(slopes))
    assert ways == [True, True]
    wide = np.pad(x.astype("d"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))
    wanted = np.einsum("nfhw,nchwij->fcij", slopes.astype("d"), windows, optimize=True)
    error = np.abs(w.grad.numpy() - wanted).max()
    assert error < 16 * np.finfo(dtype).eps * np.abs(wanted).max()


def test_numbers_that_overflow_in_the_transform_do_not_in_the_result(ways):
    x, w, bias = arrays((4, 16, 12, 12), 16, "float32")
    x = np.sign(x) * np.float32(3e38)
    w *= 1e-3
    y = F.conv2d(rg.tensor(x), rg.tensor(w), rg.tensor(bias), padding=1).numpy()
    assert ways == [False]
    np.testing.assert_allclose(y, exact(x, w, bias, 1), rtol=1e-4, atol=1e33)


def test_images_may_lie_in_memory_anyhow(ways):
    x, w, bias = arrays((3, 16, 10, 11), 16, "float32")
    image = rg.tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).permute(0, 3, 1, 2)
    filters = rg.tensor(np.ascontiguousarray(w.transpose(2, 3, 0, 1))).permute(2, 3, 0, 1)
    y = F.conv2d(image, filters, rg.tensor(bias))
    assert ways == [True]
    np.testing.assert_allclose(y.numpy(), exact(x, w, bias, 0), rtol=1e-4, atol=1e-4)


def test_other_convolutions_are_computed_otherwise(ways):
    x, w, bias = (rg.tensor(a) for a in arrays((2, 16, 12, 12), 16, "float32"))
    F.conv2d(x, w, bias, stride=2)
    F.conv2d(x, w, bias, dilation=2)
    F.conv2d(x, w[:, :1], bias, groups=16)
    F.conv2d(x, w[:, :, :, :2], bias)
    F.conv2d(x[:, :3], w[:, :3], bias)
    F.conv1d(x[:, :, 0], w[:, :, 0], bias)
    assert ways == []


def test_the_same_bits_each_time(ways):
    x, w, bias = (rg.tensor(a) for a in arrays((9, 32, 20, 20), 32, "float32"))
    first = F.conv2d(x, w, bias, padding=1).numpy()
    for _ in range(20):
        np.testing.assert_array_equal(F.conv2d(x, w, bias, padding=1).numpy(), first)
    assert all(ways)


def test_gradients_of_second_order(ways):
    x, w, _ = (rg.tensor(a, requires_grad=True) for a in arrays((1, 16, 2, 3), 16, "float64"))

    def squares(x, w):
        return (F.conv2d(x, w, padding=1) ** 2).sum(1)

    assert rg.autograd.gradcheck(squares, (x, w), fast_mode=True)
    assert rg.autograd.gradgradcheck(squares, (x, w), fast_mode=True)
    assert ways
    assert all(ways)


@pytest.mark.parametrize(("images", "filters", "padding"), [c for c in CASES if c[2] != "same"])
def test_what_memory_holds_by_chance_is_no_factor(images, filters, padding, monkeypatch):
    """It might be subnormal, and each product take a hundred times as long."""
    monkeypatch.setattr(kernels, "limit", 1)
    x, w, _ = arrays(images, filters, "float32")
    padding = (padding, padding) if isinstance(padding, int) else padding
    places = [n + 2 * p - 2 for n, p in zip(images[2:], padding, strict=True)]
    made = []

    def empty(shape, dtype):
        made.append(np.full(shape, np.nan, dtype))
        return made[-1]

    monkeypatch.setattr(np, "empty", empty)
    found = winograd.correlate(x, w, None, places, padding)
    monkeypatch.undo()
    assert np.isfinite(found).all()
    lanes, (rows, _) = assembly.lanes("float32"), winograd._tile(assembly.lanes("float32"), 4)
    halves = [-(-n // 2) for n in places]
    strips = winograd._strips(
        images[1], halves[1], images[0] * halves[0], lanes, 4, images[3], threads=1
    )
    begin = lanes + images[3] + 16 * (images[1] * strips.pitch + lanes)
    sums = made[-1][begin:][: 16 * (rows * strips.pitch + lanes)].reshape(16, -1)
    sums = sums[:, : rows * strips.pitch].reshape(16, rows, strips.pitch)
    count = min(strips.rows, images[0] * halves[0] - strips.rows * (strips.number - 1))
    assert np.isfinite(sums[..., : -(-count * strips.apart // lanes) * lanes]).all()
