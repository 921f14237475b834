"""Learning-rate schedules beside PyTorch's."""

from __future__ import annotations

import inspect
import warnings

import pytest
import retrograd as rg

torch = pytest.importorskip("torch")

CASES = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 0.9**epoch, lambda epoch: 1 / (1 + epoch)]}),
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.2, "end_factor": 0.6, "total_iters": 7}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20}),
    ("OneCycleLR", {"max_lr": [0.5, 0.7], "epochs": 4, "steps_per_epoch": 5, "three_phase": True}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20, "anneal_strategy": "linear"}),
    ("ReduceLROnPlateau", {"patience": 1, "cooldown": 1, "factor": 0.5}),
    ("ReduceLROnPlateau", {"patience": 1, "mode": "max", "min_lr": [0.01, 0.05]}),
    ("ReduceLROnPlateau", {"patience": 0, "mode": "max", "threshold": 0.5}),
    ("ReduceLROnPlateau", {"patience": 0, "threshold_mode": "abs", "threshold": 0.2}),
]
METRICS = [3.0, 2.0, 2.0, 1.9, 2.5, 2.4, 2.6, 2.6, 2.6, 1.0, 1.0, 1.0, 1.0, 1.1, 1.2, 0.5, 0.5, 0.5]


def pair(optimizer="SGD", **options):
    """The same two groups, optimized in both libraries."""
    made = []
    for library in (rg, torch):
        params = [library.nn.Parameter(library.ones(2)) for _ in range(2)]
        groups = [{"params": params[:1], "lr": 0.1}, {"params": params[1:], "lr": 0.3}]
        made.append(getattr(library.optim, optimizer)(groups, **options))
    return made


def step(optimizer, scheduler, metric):
    optimizer.step()
    if type(scheduler).__name__ == "ReduceLROnPlateau":
        scheduler.step(metric)
    else:
        scheduler.step()


def seen(optimizer, scheduler):
    groups = optimizer.param_groups
    keys = ("lr", "initial_lr", "momentum", "betas")
    return [scheduler.get_last_lr(), *[[g.get(key) for g in groups] for key in keys]]


def approximately(value):
    if isinstance(value, (list, tuple)):
        return [approximately(part) for part in value]
    return None if value is None else pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_same_rates(name, options, optimizer):
    ours, theirs = pair(optimizer)
    mine = getattr(rg.optim.lr_scheduler, name)(ours, **options)
    yours = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for metric in METRICS:
        got, wanted = seen(ours, mine), seen(theirs, yours)
        assert [[*map(list_of, part)] for part in got] == approximately(
            [[*map(list_of, part)] for part in wanted]
        )
        step(ours, mine, metric)
        step(theirs, yours, metric)


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_is_exchanged(name, options):
    ours, theirs = pair()
    mine = getattr(rg.optim.lr_scheduler, name)(ours, **options)
    yours = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for metric in METRICS[:4]:
        step(ours, mine, metric)
        step(theirs, yours, metric)
    mine.load_state_dict(yours.state_dict())
    for metric in METRICS[4:8]:
        step(ours, mine, metric)
        step(theirs, yours, metric)
    assert mine.get_last_lr() == approximately(yours.get_last_lr())
    assert set(yours.state_dict()) - set(mine.state_dict()) <= {"_get_lr_called_within_step"}


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "ExponentialLR", "LinearLR"])
def test_jump_to_an_epoch(name):
    options = dict(CASES)[name]
    rates = []
    for library, optimizer in zip((rg, torch), pair(), strict=True):
        scheduler = getattr(library.optim.lr_scheduler, name)(optimizer, **options)
        optimizer.step()
        with pytest.warns(UserWarning, match="epoch parameter in `scheduler.step"):
            scheduler.step(7)
        rates.append(scheduler.get_last_lr())
    assert rates[0] == approximately(rates[1])


def test_schedulers_of_one_optimizer_multiply():
    rates = []
    for library, optimizer in zip((rg, torch), pair(), strict=True):
        kinds = library.optim.lr_scheduler
        schedulers = [kinds.ExponentialLR(optimizer, 0.9), kinds.StepLR(optimizer, 2, 0.5)]
        for _ in range(6):
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        rates.append(schedulers[1].get_last_lr())
    assert rates[0] == approximately(rates[1])


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES} | {"LRScheduler"}))
def test_signature(name):
    def parameters(library):
        given = inspect.signature(getattr(library.optim.lr_scheduler, name)).parameters.values()
        return [(p.name, p.kind, p.default) for p in given]

    assert parameters(rg) == parameters(torch)


REFUSED = [
    ("LambdaLR", {"lr_lambda": [abs]}, ValueError),
    ("LinearLR", {"start_factor": 0.0}, ValueError),
    ("LinearLR", {"end_factor": 1.5}, ValueError),
    ("StepLR", {"step_size": 2, "last_epoch": 3}, KeyError),
    ("OneCycleLR", {"max_lr": 0.1}, ValueError),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": -1}, ValueError),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 1.5, "steps_per_epoch": 2}, ValueError),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 5, "pct_start": 2.0}, ValueError),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 5, "anneal_strategy": "cubic"}, ValueError),
    ("OneCycleLR", {"max_lr": [0.1], "total_steps": 5}, ValueError),
    ("ReduceLROnPlateau", {"factor": 1.0}, ValueError),
    ("ReduceLROnPlateau", {"mode": "best"}, ValueError),
    ("ReduceLROnPlateau", {"threshold_mode": "best"}, ValueError),
    ("ReduceLROnPlateau", {"min_lr": [0.1]}, ValueError),
]


@pytest.mark.parametrize(("name", "options", "error"), REFUSED)
def test_refused_as_in_pytorch(name, options, error):
    for library, optimizer in zip((rg, torch), pair(), strict=True):
        with pytest.raises(error):
            getattr(library.optim.lr_scheduler, name)(optimizer, **options)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_refuses_what_is_no_optimizer(name, options):
    with pytest.raises(TypeError, match="str is not an Optimizer"):
        getattr(rg.optim.lr_scheduler, name)("optimizer", **options)


def test_one_cycle_needs_momentum_and_ends():
    for library in (rg, torch):
        kinds, w = library.optim.lr_scheduler, library.nn.Parameter(library.ones(1))
        with pytest.raises(ValueError, match="momentum or beta1"):
            kinds.OneCycleLR(library.optim.Adagrad([w]), 0.1, total_steps=3)
        optimizer = library.optim.SGD([w])
        scheduler = kinds.OneCycleLR(optimizer, 0.1, total_steps=3)
        for _ in range(3):
            optimizer.step()
            scheduler.step()
        with pytest.raises(ValueError, match="Tried to step"):
            scheduler.step()


def test_warns_when_steps_come_in_the_wrong_order():
    for library, optimizer in zip((rg, torch), pair(), strict=True):
        scheduler = library.optim.lr_scheduler.StepLR(optimizer, 3)
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            scheduler.step()


def test_tensor_rate_stays_the_tensor_it_is():
    for library in (rg, torch):
        rate = library.tensor(0.5)
        optimizer = library.optim.SGD([library.nn.Parameter(library.ones(1))], lr=rate)
        scheduler = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()
        assert optimizer.param_groups[0]["lr"] is rate
        assert rate.item() == 0.25
        assert scheduler.base_lrs[0].item() == 0.5
