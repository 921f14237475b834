"""`nn.utils` in PyTorch and here: the same calls, twice."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)


def both(call):
    results = []
    for engine in ENGINES:
        engine.manual_seed(3)
        results.append(call(engine))
    return results


def check_same(theirs, mine, tolerance=1e-5):
    """Nested results: arrays are close, all else is equal."""
    if isinstance(theirs, np.ndarray):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)
    elif isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs)
        for t, m in zip(theirs, mine, strict=True):
            check_same(t, m, tolerance)
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=tolerance, nan_ok=True)
    else:
        assert mine == theirs


def check(call, tolerance=1e-5):
    check_same(*both(call), tolerance)


def raw(x):
    return x.detach().numpy().copy()


def x_of(engine, *shape, seed=0):
    return engine.tensor(np.random.default_rng(seed).standard_normal(shape).tolist())


def state(module):
    return [(key, raw(value)) for key, value in module.state_dict().items()]


def gradients(module):
    return [raw(p.grad) for p in module.parameters() if p.grad is not None]


# ---------------------------------------------------------------- clipping


def with_gradients(engine, scale=1.0):
    made = [engine.zeros(3, 4), engine.zeros(5), engine.zeros(2, dtype=engine.float64)]
    for i, x in enumerate(made):
        x.requires_grad_()
        x.grad = (x_of(engine, *x.shape, seed=i) * scale).to(x.dtype)
    return [*made, engine.zeros(2, requires_grad=True)]


@pytest.mark.parametrize("order", [2, 2.0, 1, 0.5, 3, float("inf"), -float("inf"), 0])
@pytest.mark.parametrize("largest", [0.5, 100.0])
def test_clip_grad_norm(order, largest):
    def call(engine):
        parameters = with_gradients(engine)
        total = engine.nn.utils.clip_grad_norm_(parameters, largest, order)
        only = with_gradients(engine)[0]
        one = engine.nn.utils.clip_grad_norm_(only, largest, order, foreach=False)
        arrays = [raw(p.grad) for p in parameters if p.grad is not None]
        return raw(total), arrays, raw(one), raw(only.grad)

    check(call)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_clip_to_a_norm_that_is_not_finite(bad):
    def call(engine):
        parameters = with_gradients(engine)
        parameters[0].grad[0, 0] = bad
        with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
            engine.nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        before = [raw(p.grad) for p in parameters[:3]]
        total = engine.nn.utils.clip_grad_norm_(parameters, 1.0)
        return before, raw(total), [raw(p.grad) for p in parameters[:3]]

    check(call)


def test_clip_grad_value():
    def call(engine):
        parameters = with_gradients(engine)
        answer = engine.nn.utils.clip_grad_value_(iter(parameters), 0.3)
        return answer, [raw(p.grad) for p in parameters[:3]]

    check(call)


def test_norm_and_clipping_apart():
    def call(engine):
        utils, parameters = engine.nn.utils, with_gradients(engine)
        total = utils.get_total_norm([p.grad for p in parameters[:3]])
        utils.clip_grads_with_norm_(parameters, 0.7, total)
        utils.clip_grads_with_norm_([], 0.7, total)
        empty = utils.get_total_norm([])
        return raw(total), raw(empty), [raw(p.grad) for p in parameters[:3]]

    check(call)


def test_an_empty_generator_warns():
    def call(engine):
        with pytest.warns(UserWarning, match="empty generator") as caught:
            total = engine.nn.utils.clip_grad_norm_((p for p in []), 1.0)
        return str(caught[0].message), caught[0].filename, raw(total)

    check(call)


def test_the_old_name_warns():
    def call(engine):
        with pytest.warns(FutureWarning) as caught:
            total = engine.nn.utils.clip_grad_norm(with_gradients(engine), 1.0)
        return str(caught[0].message), raw(total)

    check(call)


# ---------------------------------------------------------------- vectors


def test_vectors():
    def call(engine):
        utils = engine.nn.utils
        layer = engine.nn.Linear(3, 2)
        vector = utils.parameters_to_vector(layer.parameters())
        (vector * vector).sum().backward()
        new = engine.arange(8.0)
        utils.vector_to_parameters(new, layer.parameters())
        new[0] = 100.0  # they share memory
        return raw(vector), gradients(layer), state(layer)

    check(call)
    for engine in ENGINES:
        with pytest.raises(TypeError):
            engine.nn.utils.vector_to_parameters([1.0], [])


# ---------------------------------------------------------------- weight norm and spectral norm


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def trained(engine, module, steps=2, width=4):
    """A few steps of training; outputs, gradients and state on the way."""
    found = [repr(module), state(module)]
    optimizer = engine.optim.SGD(module.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        out = module(x_of(engine, 3, width, seed=step))
        (out * out).sum().backward()
        found += [raw(out), gradients(module)]
        optimizer.step()
    module.eval()
    return [*found, raw(module(x_of(engine, 3, width, seed=9))), state(module)]


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("form", ["old", "new"])
def test_weight_norm(form, dim):
    def call(engine):
        utils = engine.nn.utils
        layer = engine.nn.Linear(4, 5)
        if form == "old":
            quiet(utils.weight_norm, layer, dim=dim)
        else:
            utils.parametrizations.weight_norm(layer, dim=dim)
        found = trained(engine, layer)
        if form == "old":
            utils.remove_weight_norm(layer)
        else:
            utils.parametrize.remove_parametrizations(layer, "weight")
        return found, repr(layer), state(layer), [n for n, _ in layer.named_parameters()]

    check(call)


@pytest.mark.parametrize("settings", [{}, {"n_power_iterations": 3, "dim": 1}, {"eps": 1e-3}])
@pytest.mark.parametrize("form", ["old", "new"])
def test_spectral_norm(form, settings):
    def call(engine):
        utils = engine.nn.utils
        layer = engine.nn.Linear(4, 5)
        make = utils.spectral_norm if form == "old" else utils.parametrizations.spectral_norm
        make(layer, **settings)
        found = trained(engine, layer)
        metadata = layer.state_dict()._metadata[""]
        if form == "old":
            utils.remove_spectral_norm(layer)
            assert not layer._forward_pre_hooks
            assert not layer._state_dict_hooks
        else:
            utils.parametrize.remove_parametrizations(layer, "weight")
        return found, metadata, repr(layer), state(layer)

    check(call)


def test_state_dicts_of_normed_layers():
    def call(engine):
        utils = engine.nn.utils
        old = quiet(utils.weight_norm, engine.nn.Linear(4, 5))
        new = utils.parametrizations.weight_norm(engine.nn.Linear(4, 5))
        found = [repr(new.load_state_dict(old.state_dict())), raw(new.weight), raw(old.weight)]
        spectral = utils.spectral_norm(engine.nn.Linear(4, 5))
        other = utils.spectral_norm(engine.nn.Linear(4, 5))
        found.append(repr(other.load_state_dict(spectral.state_dict())))
        return found, state(other)

    check(call)


def test_spectral_norm_of_a_vector():
    def call(engine):
        layer = engine.nn.utils.parametrizations.spectral_norm(engine.nn.Linear(4, 5), "bias")
        return state(layer), raw(layer.bias)

    check(call)


# ---------------------------------------------------------------- parametrize


def modules_of(engine):
    class Symmetric(engine.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).T

        def right_inverse(self, a):
            return a.triu()

    class Double(engine.nn.Module):
        def forward(self, x):
            return 2 * x

    class Sum(engine.nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, x):
            return x / 4, x * 3 / 4

    class Longer(engine.nn.Module):
        def forward(self, x):
            return x.repeat(2, 1)

    return Symmetric(), Double(), Sum(), Longer()


def test_parametrizations_one_after_the_other():
    def call(engine):
        parametrize = engine.nn.utils.parametrize
        symmetric, double, *_ = modules_of(engine)
        layer = engine.nn.Linear(4, 4)
        parametrize.register_parametrization(layer, "weight", symmetric)
        found = [repr(layer), state(layer), raw(layer.weight)]
        parametrize.register_parametrization(layer, "weight", double)
        parametrize.register_parametrization(layer, "bias", double)
        found += [repr(layer), [n for n, _ in layer.named_parameters()], raw(layer.weight)]
        found += [parametrize.is_parametrized(layer), parametrize.is_parametrized(layer, "weight")]
        found += [parametrize.is_parametrized(layer, "other"), type(layer).__name__]
        found.append(parametrize.type_before_parametrizations(layer).__name__)
        found.append(trained(engine, layer))
        parametrize.remove_parametrizations(layer, "bias", leave_parametrized=False)
        found += [repr(layer), state(layer)]
        parametrize.remove_parametrizations(layer, "weight")
        return [*found, repr(layer), state(layer), hasattr(layer, "parametrizations")]

    check(call)


def test_assignment_goes_through_right_inverse():
    def call(engine):
        parametrize = engine.nn.utils.parametrize
        symmetric, _, both_parts, _ = modules_of(engine)
        layer = engine.nn.Linear(4, 4)
        parametrize.register_parametrization(layer, "weight", symmetric)
        layer.weight = x_of(engine, 4, 4)
        found = [raw(layer.weight), state(layer)]
        parametrize.register_parametrization(layer, "bias", both_parts)
        layer.bias = engine.ones(4)
        return found, raw(layer.bias), state(layer), repr(layer)

    check(call)


def test_several_originals_are_removed():
    def call(engine):
        parametrize = engine.nn.utils.parametrize
        layer = engine.nn.Linear(4, 4)
        before = raw(layer.bias)
        parametrize.register_parametrization(layer, "bias", modules_of(engine)[2])
        with pytest.raises(ValueError, match="sequence of tensors"):
            parametrize.remove_parametrizations(layer, "bias", leave_parametrized=False)
        parametrize.remove_parametrizations(layer, "bias")
        return before, state(layer), type(layer.bias).__name__

    check(call)


def test_unsafe_parametrizations_change_the_shape():
    def call(engine):
        layer = engine.nn.Linear(4, 4, bias=False)
        longer = modules_of(engine)[3]
        parametrize = engine.nn.utils.parametrize
        parametrize.register_parametrization(layer, "weight", longer, unsafe=True)
        return raw(layer(engine.ones(1, 4))), repr(layer), layer.parametrizations.weight.unsafe

    check(call)


def test_buffers():
    def call(engine):
        module = engine.nn.Module()
        module.register_buffer("mean", engine.ones(3))
        parametrize = engine.nn.utils.parametrize
        parametrize.register_parametrization(module, "mean", modules_of(engine)[1])
        found = [raw(module.mean), state(module), [n for n, _ in module.named_buffers()]]
        parametrize.remove_parametrizations(module, "mean")
        return found, state(module), [n for n, _ in module.named_buffers()]

    check(call)


def test_cached():
    def call(engine):
        parametrize = engine.nn.utils.parametrize
        layer = engine.nn.Linear(4, 4)
        parametrize.register_parametrization(layer, "weight", modules_of(engine)[1])
        with parametrize.cached():
            with parametrize.cached():
                first = layer.weight
            found = [layer.weight is first]
        return [*found, layer.weight is first]

    check(call)


def test_copies_of_parametrized_modules():
    def call(engine):
        parametrize = engine.nn.utils.parametrize
        layer = engine.nn.Linear(4, 4)
        parametrize.register_parametrization(layer, "weight", modules_of(engine)[1])
        again = copy.deepcopy(layer)
        with engine.no_grad():
            again.parametrizations.weight.original.zero_()
        with pytest.raises(RuntimeError, match="only supported through state_dict"):
            pickle.dumps(layer)
        return raw(layer.weight), raw(again.weight), repr(again)

    check(call)


def test_transfer():
    def call(engine):
        parametrize = engine.nn.utils.parametrize
        symmetric, double, *_ = modules_of(engine)
        layer, other = engine.nn.Linear(4, 4), engine.nn.Linear(4, 4)
        parametrize.register_parametrization(layer, "weight", symmetric)
        parametrize.register_parametrization(layer, "weight", double)
        parametrize.transfer_parametrizations_and_params(layer, other)
        return repr(other), raw(other.weight), raw(layer.weight)

    check(call)


def register(*indices, name="weight"):
    def call(engine):
        layer = engine.nn.Linear(4, 4)
        for i in indices:
            made = modules_of(engine)[i]
            engine.nn.utils.parametrize.register_parametrization(layer, name, made)
        return layer

    return call


def assign(value, *indices):
    def call(engine):
        register(*indices)(engine).weight = value(engine)

    return call


# ---------------------------------------------------------------- the rest


def lazy(engine):
    return engine.nn.LazyLinear(3)


ERRORS = {
    "no such tensor": register(0, name="nothing"),
    "changes the shape": register(3),
    "changes the shape later": register(1, 3),
    "no inverse": assign(lambda e: e.ones(4, 4), 1),
    "inverse of another type": assign(lambda e: e.ones(4, 4, dtype=e.float64), 0),
    "remove none": lambda e: e.nn.utils.parametrize.remove_parametrizations(
        e.nn.Linear(2, 2), "weight"
    ),
    "empty list": lambda e: e.nn.utils.parametrize.ParametrizationList([], e.ones(2)),
    "weight norm twice": lambda e: quiet(
        e.nn.utils.weight_norm, quiet(e.nn.utils.weight_norm, e.nn.Linear(2, 2))
    ),
    "spectral norm twice": lambda e: e.nn.utils.spectral_norm(
        e.nn.utils.spectral_norm(e.nn.Linear(2, 2))
    ),
    "weight norm of none": lambda e: e.nn.utils.remove_weight_norm(e.nn.Linear(2, 2)),
    "spectral norm of none": lambda e: e.nn.utils.remove_spectral_norm(e.nn.Linear(2, 2)),
    "lazy weight norm": lambda e: quiet(e.nn.utils.weight_norm, lazy(e)),
    "lazy spectral norm": lambda e: e.nn.utils.spectral_norm(lazy(e)),
    "no bias": lambda e: e.nn.utils.spectral_norm(e.nn.Linear(2, 2, bias=False), "bias"),
    "no steps": lambda e: e.nn.utils.spectral_norm(e.nn.Linear(2, 2), n_power_iterations=0),
    "no steps, new": lambda e: e.nn.utils.parametrizations.spectral_norm(
        e.nn.Linear(2, 2), n_power_iterations=0
    ),
    "axis": lambda e: e.nn.utils.parametrizations.spectral_norm(e.nn.Linear(2, 2), dim=2),
    "no tensor": lambda e: e.nn.utils.parametrizations.spectral_norm(e.nn.Linear(2, 2), "x"),
    "skip no module": lambda e: e.nn.utils.skip_init(dict),
    "skip without device": lambda e: e.nn.utils.skip_init(e.nn.ReLU),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    def call(engine):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            ERRORS[name](engine)
        return type(caught.value)

    theirs, mine = both(call)
    assert mine is theirs


def test_skip_init_gives_the_random_numbers_back():
    def call(engine):
        made = engine.nn.utils.skip_init(engine.nn.Linear, 3, 2, bias=False)
        return repr(made), tuple(made.weight.shape), made.weight.requires_grad, raw(engine.rand(3))

    check(call)


def functional_call(engine, *args, **kwargs):
    return quiet(engine.nn.utils.stateless.functional_call, *args, **kwargs)


def test_functional_call():
    def call(engine):
        model = engine.nn.Sequential(engine.nn.Linear(3, 3), engine.nn.Tanh())
        given = {"0.weight": engine.eye(3).requires_grad_(), "0.bias": engine.zeros(3)}
        x = x_of(engine, 2, 3)
        out = functional_call(engine, model, given, x)
        out.sum().backward()
        strict = functional_call(engine, model, given, (x,), strict=True)
        found = [raw(out), raw(strict), raw(given["0.weight"].grad), state(model)]
        return found, [p.grad for p in model.parameters()]

    check(call)


def test_functional_call_with_buffers_and_shared_parameters():
    def call(engine):
        class Counting(engine.nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("calls", engine.zeros(()))
                self.first = engine.nn.Linear(2, 2, bias=False)
                self.second = self.first

            def forward(self, x):
                self.calls = self.calls + 1
                return self.second(self.first(x))

        model = Counting()
        given = {"calls": engine.tensor(5.0), "first.weight": engine.eye(2) * 2}
        out = functional_call(engine, model, given, engine.ones(1, 2))
        if engine is retrograd:  # PyTorch leaves a module that is there twice with what was given
            assert not (model.first.weight == given["first.weight"]).all()
        untied = dict(given)
        alone = functional_call(engine, model, untied, engine.ones(1, 2), tie_weights=False)
        return raw(out), raw(given["calls"]), raw(model.calls), raw(alone)

    check(call)


@pytest.mark.parametrize(
    ("given", "strict"), [({"nothing.weight": 1}, False), ({"weight": 1}, True), ({"a": 1}, True)]
)
def test_functional_call_errors(given, strict):
    def call(engine):
        layer = engine.nn.Linear(2, 2)
        tensors = {name: engine.ones(2, 2) for name in given}
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            functional_call(engine, layer, tensors, engine.ones(1, 2), strict=strict)
        return type(caught.value), state(layer)

    check(call)


def test_every_name_is_there():
    theirs = {n for n in dir(torch.nn.utils) if n[0] != "_"}
    missing = theirs - set(dir(retrograd.nn.utils))
    assert missing <= {"rnn"}


def parameters(function):
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("place", ["", "parametrize", "parametrizations", "stateless"])
def test_signatures(place):
    theirs, mine = (getattr(e.nn.utils, place) if place else e.nn.utils for e in ENGINES)
    for name, function in vars(theirs).items():
        if name[0] != "_" and inspect.isfunction(function) and hasattr(mine, name):
            assert parameters(getattr(mine, name)) == parameters(function), name
