"""Random numbers: PyTorch's values, states that go on, and in-place methods that obey autograd."""

from __future__ import annotations

import copy
import pickle
import zlib

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given
from hypothesis import strategies as st
from retrograd.autograd import box_muller, generator


@pytest.fixture(autouse=True)
def _seeded():
    before = rg.get_rng_state()
    rg.manual_seed(0)
    yield
    rg.set_rng_state(before)


def checksum(tensor):
    return zlib.crc32(np.ascontiguousarray(tensor.numpy()).tobytes())


# Checksums of what PyTorch 2.13 draws on a CPU after manual_seed(0).
GOLDEN = {
    "rand": (lambda: rg.rand(1000), 2206920785),
    "rand float64": (lambda: rg.rand(1000, dtype=rg.float64), 795037580),
    "randn": (lambda: rg.randn(1000), 3372653670),
    "randn of fifteen": (lambda: rg.randn(15), 3874830326),
    "randn ragged": (lambda: rg.randn(3, 7), 1784225629),
    "normal_": (lambda: rg.empty(64, 128).normal_(0.0, 0.02), 289518439),
    "normal_ transposed": (lambda: rg.zeros(5, 4).t().normal_(), 31477497),
    "uniform_": (lambda: rg.empty(1000).uniform_(-0.03571, 0.03571), 4025124243),
    "uniform_ float64": (
        lambda: rg.empty(1000, dtype=rg.float64).uniform_(-0.3, 0.7),
        2154681608,
    ),
    "bernoulli_": (lambda: rg.empty(1000).bernoulli_(0.3), 383463504),
    "randint": (lambda: rg.randint(10, (1000,)), 2097697032),
    "randint of 64 bits": (lambda: rg.randint(2**40, (1000,)), 2416866083),
    "random_": (lambda: rg.empty(1000, dtype=rg.int64).random_(), 3291633353),
    "random_ int8": (lambda: rg.empty(1000, dtype=rg.int8).random_(), 2197980551),
    "random_ float32": (lambda: rg.empty(1000).random_(), 2511178221),
    "randperm": (lambda: rg.randperm(1000), 1167042831),
    "multinomial": (
        lambda: rg.multinomial(rg.arange(1.0, 11.0), 1000, replacement=True),
        2526372204,
    ),
    "multinomial without replacement": (
        lambda: rg.multinomial(rg.arange(1.0, 101.0), 100),
        4211937,
    ),
}


@pytest.mark.parametrize(("draw", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_equal_to_pytorch_bit_for_bit(draw, expected):
    assert checksum(draw()) == expected


def test_values_by_the_c_library():
    expected = {
        "exponential_": [3.5083263, 1.2303847, 0.6150441, 2.5351186],
        "log_normal_": [0.3106636, 0.1657639, 6.0902777, 14.5276346],
        "cauchy_": [0.2612516, -0.7845946, -0.1491585, -1.6113328],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(rg.empty(4), name)().numpy(), values, rtol=1e-6)
    assert rg.empty(4).geometric_(0.2).tolist() == [5.0, 3.0, 4.0, 4.0]


def test_float64_normals():
    rg.randn(16)
    drawn = rg.randn(16, dtype=rg.float64)[:3].numpy()
    expected = [-1.1019526768307721, 0.22788178490062633, -0.5588234356839432]
    np.testing.assert_array_max_ulp(drawn, np.array(expected), 2)


@pytest.mark.parametrize(
    ("seed", "first"),
    [(-1, 0.9937993884086609), (2**64 - 1, 0.9937993884086609), (2**32, 0.49625658988952637)],
)
def test_seeds_of_64_bits(seed, first):
    """Only 32 bits reach the twister; negative seeds count from 2⁶⁴ downwards."""
    assert rg.manual_seed(seed) is rg.default_generator
    assert rg.initial_seed() == seed % 2**64
    assert rg.rand(1).item() == first


def test_seed_is_another_each_time():
    assert rg.seed() != rg.seed()


def test_a_state_has_pytorchs_bytes():
    rg.manual_seed(7)
    assert checksum(rg.get_rng_state()) == 2460441901
    rg.randn(3)  # leaves the fourth normal waiting
    assert checksum(rg.get_rng_state()) == 247687208


COPIES = {
    "state": lambda g: rg.Generator().set_state(g.get_state()),
    "clone_state": lambda g: g.clone_state(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda g: pickle.loads(pickle.dumps(g)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("used", [0, 1, 623, 624, 625])
def test_a_copied_generator_goes_on_as_the_original(copied, used):
    original = rg.Generator().manual_seed(5)
    rg.rand(used, generator=original)
    rg.randn(1, generator=original)
    twin = copied(original)
    for size in (2, 3, 700):
        ours, theirs = (rg.randn(size, generator=g).numpy() for g in (original, twin))
        np.testing.assert_array_equal(ours, theirs)


def test_generators_are_independent():
    mine = rg.Generator()
    before = rg.get_rng_state().numpy()
    rg.rand(10, generator=mine)
    np.testing.assert_array_equal(before, rg.get_rng_state().numpy())
    assert mine.device == rg.rand(1).device


def test_fork_rng_puts_the_state_back_also_after_an_error():
    expected = rg.rand(3).tolist()
    rg.manual_seed(0)
    with pytest.raises(RuntimeError, match="negative"), rg.random.fork_rng():
        rg.rand(5 - len(rg.randn(6)))
    with rg.random.fork_rng(enabled=False):
        assert rg.rand(3).tolist() == expected
    assert rg.rand(3).tolist() != expected


@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_swaps_followed_at_once_are_swaps_made_in_turn(n, random):
    targets = [random.randint(i, n - 1) for i in range(n)]
    order = list(range(n))
    for i, j in enumerate(targets):
        order[i], order[j] = order[j], order[i]
    assert generator.follow_swaps(np.array(targets)).tolist() == order


def test_the_compiled_transform_changes_no_bit(monkeypatch):
    slow = rg.randn(50_000).numpy()
    monkeypatch.setattr(box_muller, "_compiled", None)
    box_muller._compile()
    rg.manual_seed(0)
    np.testing.assert_array_equal(rg.randn(50_000).numpy(), slow)


@pytest.mark.parametrize("draw", [rg.Tensor.uniform_, rg.Tensor.normal_, rg.Tensor.bernoulli_])
def test_a_leaf_is_filled_only_without_recording(draw):
    x = rg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        draw(x)
    with rg.no_grad():
        assert draw(x) is x
    assert x.requires_grad


def test_a_filled_tensor_forgets_its_past():
    x = rg.ones(3, requires_grad=True)
    y = x * 2
    y.normal_()
    (y * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_a_view_is_filled_in_its_base():
    x = rg.zeros(4, 6)
    x[1:3, ::2].uniform_(1, 2)
    filled = x.numpy() != 0
    assert filled[1:3, ::2].all()
    assert filled.sum() == 6


def test_out_and_keywords():
    out = rg.empty(2, 3)
    assert rg.rand(2, 3, out=out) is out
    grown = rg.empty(0)
    rg.randn(5, out=grown)
    assert grown.shape == (5,)
    for tensor in (rg.rand((2, 3)), rg.rand([2, 3]), rg.rand(size=(2, 3)), rg.rand(2, 3)):
        assert tensor.shape == (2, 3)
    assert rg.randn(2, requires_grad=True).is_leaf
    assert rg.randint(low=1, high=2, size=(2,)).tolist() == [1, 1]
    assert rg.randint(2, 3, size=(2,), dtype=rg.int8).dtype is rg.int8
    with pytest.raises(TypeError):
        rg.rand(2, colour="red")
    with pytest.raises(RuntimeError, match="shape"):
        rg.rand(4, out=rg.empty(3))
    with pytest.raises(RuntimeError, match="dtype"):
        rg.rand(3, out=rg.empty(3), dtype=rg.float64)


@pytest.mark.parametrize(
    "draw", [rg.rand, rg.randn, lambda n, dtype: rg.randint(n, (n,), dtype=dtype)]
)
@pytest.mark.parametrize("dtype", [rg.float16, rg.bfloat16])
def test_half_precision_says_what_to_use_instead(draw, dtype):
    with pytest.raises(NotImplementedError, match="float32"):
        draw(3, dtype=dtype)


def test_weights_of_zero_are_never_drawn():
    weights = rg.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    drawn = rg.multinomial(weights, 500, replacement=True).numpy()
    assert set(drawn[0]) == {1, 2}
    assert set(drawn[1]) == {0}


def test_moments():
    n = 200_000
    assert abs(rg.randn(n).numpy().mean()) < 0.01
    assert abs(rg.randn(n).numpy().std() - 1) < 0.01
    assert abs(rg.empty(n).exponential_(2.0).numpy().mean() - 0.5) < 0.01
    assert abs(rg.empty(n).bernoulli_(0.3).numpy().mean() - 0.3) < 0.01
