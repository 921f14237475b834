"""Lazy modules in PyTorch and here: before, at and after the first call."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)


def both(call):
    results = []
    for engine in ENGINES:
        engine.manual_seed(1)
        results.append(call(engine))
    return results


def model(engine):
    nn = engine.nn
    return nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 4), nn.LazyLinear(1, bias=False))


def numbers_of(module):
    return {key: value.detach().numpy() for key, value in module.state_dict().items()}


def check_same(theirs, mine):
    assert list(theirs) == list(mine)
    for key in theirs:
        np.testing.assert_array_equal(mine[key], theirs[key])


def test_before_the_first_call():
    def call(engine):
        made = model(engine)
        state = made.state_dict()
        return (
            repr(made),
            [(key, repr(value)) for key, value in state.items() if key[0] != "2"],
            [repr(p) for p in made[0].parameters()],
            [made[0].has_uninitialized_params(), made[0].weight.requires_grad],
            [repr(made[0].weight.dtype), repr(made.double()[0].weight.dtype)],
            [type(p).__name__ for p in made.half().parameters()],
        )

    theirs, mine = both(call)
    assert mine == theirs


def test_the_first_call_draws_the_same_weights_and_changes_the_class():
    def call(engine):
        made = model(engine)
        out = made(engine.ones(5, 3))
        names = [type(m).__name__ for m in made]
        kinds = [type(p).__name__ for p in made.parameters()]
        return repr(made), names, kinds, numbers_of(made), out.detach().numpy()

    theirs, mine = both(call)
    assert mine[:3] == theirs[:3]
    check_same(theirs[3], mine[3])
    np.testing.assert_allclose(mine[4], theirs[4], rtol=1e-6)


@pytest.mark.parametrize("round_trip", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_lazy_too(round_trip):
    def call(engine):
        made = round_trip(model(engine))
        before = repr(made)
        engine.manual_seed(2)
        made(engine.ones(5, 3))
        return before, repr(made), numbers_of(made)

    theirs, mine = both(call)
    assert mine[:2] == theirs[:2]
    check_same(theirs[2], mine[2])


def test_state_dicts_go_between_lazy_and_ordinary_modules():
    def call(engine):
        ready, lazy, also_lazy = model(engine), model(engine), model(engine)
        ready(engine.ones(1, 3))
        found = [repr(also_lazy.load_state_dict(lazy.state_dict())), repr(also_lazy)]
        found += [repr(lazy.load_state_dict(ready.state_dict())), repr(lazy)]
        found += [repr([type(p).__name__ for p in lazy.parameters()])]
        lazy(engine.ones(1, 3))
        found += [repr(lazy)]
        return found, numbers_of(lazy)

    theirs, mine = both(call)
    assert mine[0] == theirs[0]
    check_same(theirs[1], mine[1])


def test_a_failed_loading_leaves_the_module_lazy():
    """PyTorch has materialised it by then."""
    lazy, other = model(retrograd), model(retrograd)
    other(retrograd.ones(1, 3))
    state = other.state_dict()
    del state["2.bias"]
    with pytest.raises(RuntimeError, match="Missing key"):
        lazy.load_state_dict(state)
    assert [type(p).__name__ for p in lazy[0].parameters()] == ["UninitializedParameter"] * 2
    assert lazy(retrograd.ones(1, 3)).shape == (1, 1)


def test_an_optimizer_made_before_the_first_call_trains():
    def call(engine):
        made = engine.nn.Sequential(engine.nn.LazyLinear(2), engine.nn.LazyLinear(1))
        optimizer = engine.optim.Adam(made.parameters(), lr=0.1)
        made(engine.ones(5, 3))
        for _ in range(3):
            optimizer.zero_grad()
            made(engine.ones(5, 3)).sum().backward()
            optimizer.step()
        return numbers_of(made)

    theirs, mine = both(call)
    for key, value in theirs.items():
        np.testing.assert_allclose(mine[key], value, rtol=1e-5, atol=1e-6)


def test_a_module_of_ones_own():
    def call(engine):
        class Scale(engine.nn.modules.lazy.LazyModuleMixin, engine.nn.Module):
            def __init__(self):
                super().__init__()
                self.factor = engine.nn.UninitializedParameter()
                self.seen = engine.nn.UninitializedBuffer(dtype=engine.float64)
                self.calls = 0

            def initialize_parameters(self, input):
                self.calls += 1
                if self.has_uninitialized_params():
                    self.factor.materialize(input.shape[1:])
                    self.seen.materialize((1,), dtype=engine.float32)
                    engine.nn.init.constant_(self.factor, 2.0)
                    engine.nn.init.zeros_(self.seen)

            def forward(self, input):
                return input * self.factor

        made = Scale()
        before = [name for name, _ in made.named_buffers()]
        outs = [made(engine.ones(2, 3)).tolist() for _ in range(2)]
        return before, outs, made.calls, made.has_uninitialized_params(), type(made).__name__

    theirs, mine = both(call)
    assert mine == theirs


def unfinished(engine):
    class Unfinished(engine.nn.modules.lazy.LazyModuleMixin, engine.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = engine.nn.UninitializedParameter()

        def initialize_parameters(self, input):
            pass

    return Unfinished()(engine.ones(1))


def uninferable(engine):
    return engine.nn.modules.lazy.LazyModuleMixin().initialize_parameters()


def lazy_into_ordinary(engine):
    return engine.nn.Linear(3, 4).load_state_dict(engine.nn.LazyLinear(4).state_dict())


ERRORS = {
    "shape": lambda e: e.nn.UninitializedParameter().shape,
    "shape of a buffer": lambda e: e.nn.UninitializedBuffer().shape,
    "an op": lambda e: e.nn.UninitializedParameter() + 1,
    "numel": lambda e: e.nn.UninitializedParameter().numel(),
    "relu": lambda e: e.relu(e.nn.LazyLinear(3).weight),
    "no input": lambda e: e.nn.LazyLinear(3)(),
    "share_memory": lambda e: e.nn.LazyLinear(3).share_memory(),
    "integers": lambda e: e.nn.UninitializedParameter(dtype=e.int64),
    "not finished": unfinished,
    "no initialize_parameters": lambda e: (
        e.nn.modules.lazy.LazyModuleMixin().initialize_parameters()
    ),
    "lazy into ordinary": lambda e: e.nn.Linear(3, 4).load_state_dict(
        e.nn.LazyLinear(4).state_dict()
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    def call(engine):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            ERRORS[name](engine)
        return type(caught.value)

    theirs, mine = both(call)
    if name == "no initialize_parameters":  # PyTorch's mixin is no module by itself
        assert mine is NotImplementedError
    else:
        assert mine is theirs


def test_text_of_a_refusal_says_what_to_do():
    with pytest.raises(ValueError, match="Call `forward` with a dummy batch"):
        retrograd.nn.UninitializedParameter().sum()


def test_materialize():
    def call(engine):
        made = engine.nn.UninitializedParameter(dtype=engine.float64)
        same = made
        made.materialize((2, 3))
        made.data.fill_(1)
        (made * 2).sum().backward()
        return type(same).__name__, same.grad.tolist(), repr(same)

    theirs, mine = both(call)
    assert mine == theirs


# ---------------------------------------------------------------- normalisation

NORMS = [f"Lazy{kind}{n}d" for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)]


@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"bias": False}, {"momentum": 0.5}])
@pytest.mark.parametrize("name", NORMS)
def test_normalisation(name, settings):
    shape = (4, 3, *[5] * int(name[-2]))
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def call(engine):
        layer = getattr(engine.nn, name)(**settings)
        found = [repr(layer), repr(layer.state_dict()).count("Uninitialized"), layer.training]
        outs = [layer(engine.tensor(x.tolist())).detach().numpy() for _ in range(2)]
        layer.eval()
        outs.append(layer(engine.tensor(x.tolist())).detach().numpy())
        return [*found, repr(layer), type(layer).__name__], numbers_of(layer), outs

    theirs, mine = both(call)
    assert mine[0] == theirs[0]
    assert list(mine[1]) == list(theirs[1])
    for key, value in theirs[1].items():
        np.testing.assert_allclose(mine[1][key], value, rtol=1e-5, atol=1e-6)
    for m, t in zip(mine[2], theirs[2], strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_normalisation_loads_and_is_loaded(name):
    shape = (4, 3, *[5] * int(name[-2]))
    make = getattr(retrograd.nn, name)
    lazy, ready = make(), make()
    ready(retrograd.randn(*shape))
    text = repr(copy.deepcopy(lazy))
    assert repr(lazy.load_state_dict(make().state_dict())) == "<All keys matched successfully>"
    assert repr(lazy) == text
    lazy.load_state_dict(ready.state_dict())
    lazy.eval()(retrograd.randn(*shape))
    check_same(numbers_of(ready), numbers_of(lazy))
    assert type(lazy) is type(ready)
