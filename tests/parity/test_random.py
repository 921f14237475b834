"""Random numbers against PyTorch: values, and the generator's state after every call."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import retrograd as rg

torch = pytest.importorskip("torch")

SEEDS = [0, 1, 42, -1, 2**64 - 1, 2**32 + 7]
SIZES = [(0,), (), (1,), (2,), (5,), (15,), (16,), (17,), (31,), (33,), (100,), (1000,)]
SIZES += [(3, 7), (64, 128), (2, 3, 4), (20001,)]
FLOATS = ["float32", "float64"]
INTEGERS = ["int64", "int32", "int16", "int8", "uint8"]


@pytest.fixture(params=SEEDS)
def seeded(request):
    before = rg.get_rng_state()
    rg.manual_seed(request.param)
    torch.manual_seed(request.param)
    yield request.param
    rg.set_rng_state(before)


def same_state():
    np.testing.assert_array_equal(rg.get_rng_state().numpy(), torch.get_rng_state().numpy())


def check(ours, theirs, ulps=0):
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if ulps and ours.size:
        np.testing.assert_array_max_ulp(ours, theirs, ulps)
    else:
        np.testing.assert_array_equal(ours, theirs)
    same_state()


def both(call, ulps=0):
    check(call(rg), call(torch), ulps)


def test_a_fresh_state_is_the_same_bytes(seeded):
    same_state()
    assert rg.initial_seed() == torch.initial_seed() == seeded % 2**64


def test_float32_is_equal_bit_for_bit(seeded):
    for size in SIZES:
        both(lambda t: t.rand(size))  # noqa: B023
        both(lambda t: t.randn(size))  # noqa: B023
        both(lambda t: t.empty(size).uniform_(-0.03571, 0.03571))  # noqa: B023
        both(lambda t: t.empty(size).uniform_(2.5, 7.1))  # noqa: B023
        both(lambda t: t.empty(size).normal_(0.5, 1.7))  # noqa: B023
        both(lambda t: t.empty(size).exponential_(0.7))  # noqa: B023
        both(lambda t: t.empty(size).log_normal_())  # noqa: B023
        both(lambda t: t.empty(size).cauchy_(1.0, 2.0))  # noqa: B023
        both(lambda t: t.empty(size).geometric_(0.3))  # noqa: B023
        both(lambda t: t.empty(size).bernoulli_(0.3))  # noqa: B023


@pytest.mark.parametrize("size", SIZES)
def test_float64(seeded, size):
    """Uniforms are equal; logarithms and sines end in the C library's last bit or in NumPy's."""
    both(lambda t: t.rand(size, dtype=t.float64))
    both(lambda t: t.empty(size, dtype=t.float64).uniform_(-0.3, 0.7))
    both(lambda t: t.empty(size, dtype=t.float64).bernoulli_(0.3))
    both(lambda t: t.randn(size, dtype=t.float64), ulps=4)
    both(lambda t: t.empty(size, dtype=t.float64).exponential_(0.7), ulps=2)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("size", [(3,), (40,)])
def test_extreme_parameters(seeded, name, size):
    most = 8e307 if name == "float64" else 1.7e38
    both(lambda t: t.empty(size, dtype=getattr(t, name)).uniform_(-most, most))
    both(lambda t: t.empty(size, dtype=getattr(t, name)).uniform_(1.0, 1.0000001))
    both(lambda t: t.empty(size, dtype=getattr(t, name)).uniform_(3.0, 3.0))
    both(lambda t: t.empty(size, dtype=getattr(t, name)).normal_(0.0, 2 * most), ulps=4)
    both(lambda t: t.empty(size, dtype=getattr(t, name)).normal_(float("inf"), 1.0))
    both(lambda t: t.empty(size, dtype=getattr(t, name)).normal_(1.0, 0.0))
    both(lambda t: t.empty(size, dtype=getattr(t, name)).log_normal_(700.0, 1.0), ulps=2**12)
    both(lambda t: t.empty(size, dtype=getattr(t, name)).bernoulli_(1.0))
    both(lambda t: t.empty(size, dtype=getattr(t, name)).bernoulli_(0.0))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("bounds", [(-(2**30) - 1, 2**60 + 1), (2**53 + 1, 2**54 + 3)])
def test_integers_that_a_float_does_not_hold(seeded, name, bounds):
    for t in (rg, torch):
        with pytest.warns(UserWarning, match="beyond|out of bounds"):
            t.empty(1, dtype=getattr(t, name)).random_(*bounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both(lambda t: t.empty(100, dtype=getattr(t, name)).random_(*bounds))


def test_float64_normals_of_fewer_than_sixteen_are_equal_bit_for_bit(seeded):
    for n in (1, 2, 5, 15, 3):
        both(lambda t: t.empty(n, dtype=t.float64).normal_(0.5, 1.7))  # noqa: B023


@pytest.mark.parametrize("name", [*INTEGERS, "bool", *FLOATS])
def test_integers(seeded, name):
    for size in ((), (7,), (1000,)):
        both(lambda t: t.empty(size, dtype=getattr(t, name)).random_())  # noqa: B023
        both(lambda t: t.empty(size, dtype=getattr(t, name)).random_(2))  # noqa: B023
        both(lambda t: t.empty(size, dtype=getattr(t, name)).random_(0, None))  # noqa: B023
        both(lambda t: t.empty(size, dtype=getattr(t, name)).bernoulli_(0.6))  # noqa: B023
        if name != "bool":
            both(lambda t: t.randint(3, 100, size, dtype=getattr(t, name)))  # noqa: B023


@pytest.mark.parametrize(
    "bounds",
    [
        *((0, 2**28 - 1), (0, 2**28), (0, 2**40), (-(2**62), 2**62)),
        *((-(2**63), 2**63 - 1), (-(2**63), None), (-5, None)),
    ],
)
def test_wide_ranges(seeded, bounds):
    both(lambda t: t.empty(100, dtype=t.int64).random_(*bounds))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 100, 1000, 60000])
def test_randperm(seeded, n):
    both(lambda t: t.randperm(n))


@pytest.mark.parametrize("name", ["int32", "int16", "float32", "float64"])
def test_randperm_in_other_types(seeded, name):
    both(lambda t: t.randperm(50, dtype=getattr(t, name)))


@pytest.mark.parametrize("name", FLOATS)
def test_draws_by_probability_tensors(seeded, name):
    for size in ((6,), (5, 8)):
        weights = np.random.RandomState(3).rand(*size).astype(name)
        both(lambda t: t.bernoulli(t.from_numpy(weights)))  # noqa: B023
        both(lambda t: t.bernoulli(t.from_numpy(weights), 0.25))  # noqa: B023
        both(lambda t: t.empty(size, dtype=t.uint8).bernoulli_(t.from_numpy(weights)))  # noqa: B023
        both(lambda t: t.multinomial(t.from_numpy(weights), 1))  # noqa: B023
        both(lambda t: t.multinomial(t.from_numpy(weights), 5))  # noqa: B023
        both(lambda t: t.multinomial(t.from_numpy(weights), 20, replacement=True))  # noqa: B023


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_coins_in_half_precision(seeded, name):
    both(lambda t: t.empty(100, dtype=getattr(t, name)).bernoulli_(0.3).float())
    both(lambda t: t.bernoulli(t.full((100,), 0.3, dtype=getattr(t, name))).float())
    both(lambda t: t.empty(100, dtype=getattr(t, name)).geometric_(0.3).float())


@pytest.mark.parametrize("name", FLOATS)
def test_poisson(seeded, name):
    rates = np.array([[0.0, 0.1, 3.0, 9.99], [10.0, 11.5, 100.0, 1e6]], name).repeat(50, 0)
    both(lambda t: t.poisson(t.from_numpy(rates)))


def test_normal_of_tensors(seeded):
    mean = np.arange(21.0, dtype=np.float32).reshape(3, 7)
    std = np.linspace(0.1, 2.0, 7, dtype=np.float32)
    both(lambda t: t.normal(t.from_numpy(mean), 0.5))
    both(lambda t: t.normal(3.0, t.from_numpy(std)))
    both(lambda t: t.normal(t.from_numpy(mean), t.from_numpy(std)))
    both(lambda t: t.normal(1.0, 2.0, (4, 5)))


@pytest.mark.parametrize(
    "view",
    [lambda x: x.t(), lambda x: x[:, ::2], lambda x: x[1:, 3:], lambda x: x[:, 1]],
    ids=["transposed", "stepped", "corner", "column"],
)
def test_memory_that_is_not_contiguous(seeded, view):
    """PyTorch fills in the order of memory, and draws normals there pair by pair."""
    both(lambda t: view(t.zeros(30, 21)).uniform_(-0.3, 0.7))
    both(lambda t: view(t.zeros(30, 21)).normal_(0.5, 1.7))
    both(lambda t: view(t.zeros(30, 21)).bernoulli_(0.3))
    both(lambda t: view(t.zeros(30, 21, dtype=t.int64)).random_(9))
    both(lambda t: t.rand_like(view(t.zeros(30, 21))))


def test_like_functions(seeded):
    both(lambda t: t.rand_like(t.zeros(3, 7)))
    both(lambda t: t.randn_like(t.zeros(3, 7).t()))
    both(lambda t: t.randn_like(t.zeros(40, dtype=t.float64)), ulps=4)
    both(lambda t: t.randint_like(t.zeros(3, 7), 9))
    both(lambda t: t.randint_like(t.zeros(3, 7), 2, 9))


def test_complex(seeded):
    both(lambda t: t.rand(5, dtype=t.complex64))
    for n in (3, 8, 100):
        both(lambda t: t.randn(n, dtype=t.complex64))  # noqa: B023


def test_interleaved_calls_keep_in_step(seeded):
    """An odd normal is kept for later, also across other draws and in a saved state."""
    for n in (1, 16, 3, 17, 2, 100):
        both(lambda t: t.randn(n))  # noqa: B023
        both(lambda t: t.rand(n))  # noqa: B023
        saved = rg.get_rng_state()
        both(lambda t: t.randperm(n))  # noqa: B023
        torch.set_rng_state(torch.from_numpy(saved.numpy()))  # ours is theirs
        rg.set_rng_state(rg.from_numpy(torch.get_rng_state().numpy()))  # and theirs ours
        both(lambda t: t.randn(n))  # noqa: B023


def test_separate_generators(seeded):
    ours, theirs = (t.Generator().manual_seed(seeded) for t in (rg, torch))
    for n in (5, 40):
        check(rg.randn(n, generator=ours), torch.randn(n, generator=theirs))
        check(rg.randint(9, (n,), generator=ours), torch.randint(9, (n,), generator=theirs))
    np.testing.assert_array_equal(ours.get_state().numpy(), theirs.get_state().numpy())


REFUSED = {
    "seed too large": lambda t: t.manual_seed(2**64),
    "seed too small": lambda t: t.manual_seed(-(2**63) - 1),
    "seed a word": lambda t: t.manual_seed("a"),
    "generator's seed a float": lambda t: t.Generator().manual_seed(1.5),
    "device": lambda t: t.Generator("nowhere"),
    "state of another size": lambda t: t.set_rng_state(t.zeros(5, dtype=t.uint8)),
    "state of zeros": lambda t: t.set_rng_state(t.zeros(5056, dtype=t.uint8)),
    "state of floats": lambda t: t.set_rng_state(t.zeros(5056)),
    "state a number": lambda t: t.Generator().set_state(3),
    "empty range": lambda t: t.randint(5, 5, (2,)),
    "range beyond uint8": lambda t: t.randint(0, 300, (2,), dtype=t.uint8),
    "bound beyond int64": lambda t: t.randint(0, 2**63, (2,)),
    "fractional bound": lambda t: t.randint(0, 2.5, (2,)),
    "negative randperm": lambda t: t.randperm(-1),
    "randperm beyond uint8": lambda t: t.randperm(300, dtype=t.uint8),
    "uniform reversed": lambda t: t.empty(3).uniform_(2, 1),
    "uniform nan": lambda t: t.empty(3).uniform_(float("nan"), 1),
    "uniform too wide": lambda t: t.empty(3).uniform_(-3e38, 3e38),
    "uniform of integers": lambda t: t.empty(3, dtype=t.int64).uniform_(),
    "normal of integers": lambda t: t.randn(3, dtype=t.int64),
    "normal std": lambda t: t.empty(3).normal_(0, -1),
    "normal std nan": lambda t: t.empty(3).normal_(0, float("nan")),
    "normal std tensor": lambda t: t.normal(t.zeros(2), t.tensor([1.0, -2.0])),
    "normal of integer means": lambda t: t.normal(t.arange(3), 1.0),
    "normal without size": lambda t: t.normal(0.0, 1.0),
    "bernoulli p": lambda t: t.empty(3).bernoulli_(1.5),
    "bernoulli probability": lambda t: t.bernoulli(t.tensor([1.5])),
    "bernoulli integers": lambda t: t.bernoulli(t.tensor([1, 0])),
    "exponential rate": lambda t: t.empty(3).exponential_(0),
    "exponential integers": lambda t: t.empty(3, dtype=t.int64).exponential_(),
    "cauchy sigma": lambda t: t.empty(3).cauchy_(0, -1),
    "cauchy integers": lambda t: t.empty(3, dtype=t.int64).cauchy_(),
    "log_normal std": lambda t: t.empty(3).log_normal_(0, -1),
    "log_normal integers": lambda t: t.empty(3, dtype=t.int64).log_normal_(),
    "geometric p": lambda t: t.empty(3).geometric_(1),
    "random reversed": lambda t: t.empty(3).random_(5, 2),
    "random beyond uint8": lambda t: t.empty(3, dtype=t.uint8).random_(0, 257),
    "multinomial too many": lambda t: t.multinomial(t.tensor([1.0, 0.0]), 3),
    "multinomial negative": lambda t: t.multinomial(t.tensor([1.0, -1.0]), 1),
    "multinomial zeros": lambda t: t.multinomial(t.tensor([0.0, 0.0]), 1, True),
    "multinomial integers": lambda t: t.multinomial(t.tensor([1, 0]), 1),
    "multinomial dims": lambda t: t.multinomial(t.ones(2, 2, 2), 1),
    "multinomial none": lambda t: t.multinomial(t.ones(2), 0),
    "multinomial categories": lambda t: t.multinomial(t.ones(2**24 + 1), 1),
    "poisson rate": lambda t: t.poisson(t.tensor([-1.0])),
    "negative size": lambda t: t.rand(-1),
    "a number for a generator": lambda t: t.rand(2, generator=5),
    "in place on a leaf": lambda t: t.ones(3, requires_grad=True).uniform_(),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_pytorch_refuses_is_refused_by_the_same_exception(call):
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - whichever it is
        call(torch)
    with pytest.raises(type(theirs.value)):
        call(rg)
