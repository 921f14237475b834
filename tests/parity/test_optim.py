"""Optimizers beside PyTorch's: trajectories, state dicts, printed forms, and refused arguments."""

from __future__ import annotations

import copy
import inspect
import itertools

import numpy as np
import pytest
import retrograd as rg
from retrograd import optim

torch = pytest.importorskip("torch")
database = pytest.importorskip("torch.testing._internal.common_optimizers")

STEPS = 100
ENTRIES = [entry for entry in database.optim_db if hasattr(optim, entry.name)]
RULES = [entry for entry in ENTRIES if entry.name != "LBFGS"]
SHAPES = [(3, 4), (), (0,), (5,), (80, 60)]
KINDS = {"float32": 2e-6, "float64": 1e-13, "complex64": 2e-6}  # the relative error allowed


def label(entry):
    return entry.name


def ours(value):
    """PyTorch's tensors, anywhere in a value, as ours; all else as it is."""
    if isinstance(value, torch.nn.Parameter):
        return rg.Parameter(ours(value.data))
    if isinstance(value, torch.Tensor):
        made = rg.tensor(value.detach().numpy())
        return made.requires_grad_() if value.requires_grad else made
    if isinstance(value, dict):
        return {key: ours(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(ours(part) for part in value)
    return value


def theirs(value):
    """Our tensors, anywhere in a value, as PyTorch's."""
    if isinstance(value, rg.Tensor):
        return torch.tensor(value.detach().numpy())
    if isinstance(value, dict):
        return {key: theirs(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(theirs(part) for part in value)
    return value


class Race:
    """The same parameters twice, stepped by the same gradients in both libraries."""

    def __init__(self, name, groups, dtype="float32", shapes=SHAPES, **options):
        self.random = np.random.default_rng(0)
        self.kind = np.dtype(dtype)
        starts = [self.draw(shape) for shape in shapes]
        self.ours = [rg.Parameter(rg.tensor(start)) for start in starts]
        self.theirs = [torch.nn.Parameter(torch.tensor(start)) for start in starts]
        self.our = getattr(optim, name)(groups(self.ours), **ours(options))
        self.their = getattr(torch.optim, name)(groups(self.theirs), **options)

    def draw(self, shape):
        values = self.random.standard_normal(shape)
        if self.kind.kind == "c":
            values = values + 1j * self.random.standard_normal(shape)
        return np.asarray(values, self.kind)

    def step(self, gets_gradient=lambda i: True):
        for i, (our, their) in enumerate(zip(self.ours, self.theirs, strict=True)):
            if not gets_gradient(i):
                our.grad = their.grad = None
                continue
            # A gradient that turns as training goes on, drawn in another order of memory.
            g = np.asarray(self.draw(our.shape[::-1]).T + 0.1 * their.detach().numpy(), self.kind)
            our.grad, their.grad = rg.from_numpy(g), torch.from_numpy(g.copy())
        self.our.step()
        self.their.step()

    def check(self, rtol):
        for our, their in zip(self.ours, self.theirs, strict=True):
            self.close(our, their, rtol)
            got, wanted = self.our.state.get(our, {}), self.their.state.get(their, {})
            assert list(got) == list(wanted)
            for name in wanted:
                assert str(got[name].dtype) == str(wanted[name].dtype)
                self.close(got[name], wanted[name], rtol)

    @staticmethod
    def close(our, their, rtol):
        wanted = their.detach().numpy()
        got = our.detach().numpy()
        assert got.shape == wanted.shape
        size = abs(wanted).max(initial=0.1)  # they started at 1, and may end near 0
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * size)


def whole(params):
    return params


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("entry", RULES, ids=label)
def test_database(entry, dtype):
    if dtype.startswith("complex") and not entry.supports_complex:
        pytest.skip("PyTorch takes no complex parameters here")
    for case in entry.optim_inputs_func(device="cpu", dtype=getattr(torch, dtype)):
        race = Race(entry.name, whole, dtype, **case.kwargs)
        for _ in range(STEPS):
            race.step()
        # NAdam counts in float32, whatever the parameters are.
        race.check(1e-8 if (entry.name, dtype) == ("NAdam", "float64") else KINDS[dtype])


OPTIONS = [
    ("SGD", options)
    for momentum, dampening, decay, nesterov, maximize in itertools.product(
        (0, 0.9), (0, 0.3), (0, 0.1), (False, True), (False, True)
    )
    if not nesterov or (momentum and not dampening)
    for options in [
        {"lr": 0.01, "momentum": momentum, "dampening": dampening, "weight_decay": decay}
        | {"nesterov": nesterov, "maximize": maximize}
    ]
] + [
    (name, {"weight_decay": decay, "amsgrad": amsgrad, "maximize": maximize, "betas": betas})
    for name, decay, amsgrad, maximize, betas in itertools.product(
        ("Adam", "AdamW"), (0, 0.1), (False, True), (False, True), ((0.9, 0.999), (0.0, 0.5))
    )
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_combinations(name, options):
    race = Race(name, whole, **options)
    for _ in range(STEPS):
        race.step()
    race.check(2e-6)


@pytest.mark.parametrize("entry", RULES, ids=label)
def test_missing_gradients_and_groups(entry):
    def groups(params):
        return [{"params": params[:2]}, {"params": params[2:], "lr": 0.02}]

    race = Race(entry.name, groups)
    for at in range(40):
        race.step(lambda i, at=at: at >= 5 * i and (at + i) % 7 != 0)
        race.our.param_groups[0]["lr"] = race.their.param_groups[0]["lr"] = 0.01 / (1 + at)
    race.check(2e-6)


@pytest.mark.parametrize("entry", RULES, ids=label)
def test_state_dicts_are_exchanged(entry):
    there, back = Race(entry.name, whole), Race(entry.name, whole)
    for race in (there, back):
        for _ in range(5):
            race.step()
    mine, yours = there.our.state_dict(), there.their.state_dict()
    assert mine["param_groups"] == yours["param_groups"]
    assert list(mine["param_groups"][0]) == list(yours["param_groups"][0])
    assert {k: list(v) for k, v in mine["state"].items()} == {
        k: list(v) for k, v in yours["state"].items()
    }
    there.our.load_state_dict(ours(yours))
    back.their.load_state_dict(theirs(back.our.state_dict()))
    for race in (there, back):
        for _ in range(5):
            race.step()
        race.check(2e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_half_precision(name, dtype):
    p = rg.Parameter(rg.ones(3, dtype=getattr(rg, dtype)))
    q = torch.nn.Parameter(torch.ones(3, dtype=getattr(torch, dtype)))
    our, their = getattr(optim, name)([p], lr=0.01), getattr(torch.optim, name)([q], lr=0.01)
    for _ in range(10):
        p.grad, q.grad = p.detach().clone(), q.detach().clone()
        our.step()
        their.step()
    unit = 2.0**-8 if dtype == "bfloat16" else 2.0**-11
    got, wanted = p.detach().float().numpy(), q.detach().float().numpy()
    np.testing.assert_allclose(got, wanted, atol=10 * unit)


# ---------------------------------------------------------------- errors, and what is printed


@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_refused_as_in_pytorch(entry):
    for error in entry.optim_error_inputs_func(device="cpu", dtype=torch.float32):
        case = error.optimizer_error_input
        assert error.error_on is database.OptimizerErrorEnum.CONSTRUCTION_ERROR
        params = case.params if case.params is not None else [torch.nn.Parameter(torch.ones(2))]
        shared = {}

        def once(value, shared=shared):
            if isinstance(value, torch.Tensor):
                return shared.setdefault(id(value), ours(value))
            if isinstance(value, (list, tuple)):
                return type(value)(once(part) for part in value)
            if isinstance(value, dict):
                return {key: once(part) for key, part in value.items()}
            return value

        if issubclass(error.error_type, Warning):
            with pytest.warns(error.error_type, match=error.error_regex):
                getattr(optim, entry.name)(once(params), **ours(case.kwargs))
        else:
            with pytest.raises(error.error_type, match=error.error_regex):
                getattr(optim, entry.name)(once(params), **ours(case.kwargs))


@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_signature_and_repr(entry):
    mine, yours = getattr(optim, entry.name), getattr(torch.optim, entry.name)

    def parameters(cls):
        return [(p.name, p.kind, p.default) for p in inspect.signature(cls).parameters.values()]

    assert parameters(mine) == parameters(yours)
    p, q = rg.Parameter(rg.ones(2)), torch.nn.Parameter(torch.ones(2))
    assert repr(mine([("w", p)])) == repr(yours([("w", q)]))
    assert copy.deepcopy(mine([p])).defaults == yours([q]).defaults


def test_public_methods_are_there():
    names = {n for n in vars(torch.optim.Optimizer) if n[0] != "_"}
    missing = names - set(dir(optim.Optimizer))
    assert missing <= {"OptimizerPreHook", "OptimizerPostHook", "profile_hook_step"}
