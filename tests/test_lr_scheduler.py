"""Learning-rate schedules by their formulas."""

from __future__ import annotations

import copy
import math

import pytest
import retrograd as rg
from retrograd.optim import lr_scheduler as kinds


def optimizer(lr=1.0):
    return rg.optim.SGD([rg.nn.Parameter(rg.ones(1))], lr=lr)


def rates(scheduler, epochs=8):
    found = []
    for _ in range(epochs):
        found += scheduler.get_last_lr()
        scheduler.optimizer.step()
        scheduler.step()
    return found


FORMULAS = [
    (lambda o: kinds.LambdaLR(o, lambda t: 1 / (t + 1)), lambda t: 1 / (t + 1)),
    (lambda o: kinds.StepLR(o, 3, gamma=0.5), lambda t: 0.5 ** (t // 3)),
    (lambda o: kinds.MultiStepLR(o, [2, 4], gamma=0.5), lambda t: 0.5 ** ((t >= 2) + (t >= 4))),
    (lambda o: kinds.ExponentialLR(o, 0.9), lambda t: 0.9**t),
    (lambda o: kinds.LinearLR(o, 0.5, 1.0, 4), lambda t: 0.5 + 0.125 * min(t, 4)),
    (
        lambda o: kinds.CosineAnnealingLR(o, 3, eta_min=0.2),
        lambda t: 0.2 + 0.8 * (1 + math.cos(math.pi * t / 3)) / 2,
    ),
]


@pytest.mark.parametrize(("make", "formula"), FORMULAS)
def test_formula(make, formula):
    assert rates(make(optimizer())) == pytest.approx([formula(t) for t in range(8)])


@pytest.mark.parametrize(("make", "formula"), FORMULAS)
def test_saved_and_resumed(make, formula):
    first = make(optimizer())
    rates(first, 3)
    second = make(optimizer())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert rates(second, 4) == pytest.approx([formula(t) for t in range(3, 7)])


def test_callable_object_is_saved():
    class Warmup:
        def __init__(self, steps):
            self.steps = steps

        def __call__(self, t):
            return min(1.0, (t + 1) / self.steps)

    first, second = (kinds.LambdaLR(optimizer(), Warmup(n)) for n in (4, 8))
    second.load_state_dict(first.state_dict())
    assert second.lr_lambdas[0].steps == 4


def test_one_cycle_rises_and_falls_against_momentum():
    scheduler = kinds.OneCycleLR(optimizer(), 1.0, total_steps=10)
    seen, momenta = [], []
    for _ in range(10):
        seen += scheduler.get_last_lr()
        momenta.append(scheduler.optimizer.param_groups[0]["momentum"])
        scheduler.optimizer.step()
        if len(seen) < 10:
            scheduler.step()
    top = seen.index(max(seen))
    assert seen[top] == pytest.approx(1.0)
    assert seen[:top] == sorted(seen[:top])
    assert seen[top:] == sorted(seen[top:], reverse=True)
    assert momenta.index(min(momenta)) == top


def test_plateau_waits_and_cools_down():
    scheduler = kinds.ReduceLROnPlateau(optimizer(), factor=0.5, patience=1, cooldown=2)
    seen = []
    for _ in range(8):
        scheduler.step(1.0)
        seen += scheduler.get_last_lr()
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_plateau_after_a_group_was_added():
    scheduler = kinds.ReduceLROnPlateau(optimizer(), patience=0, min_lr=[0.5])
    scheduler.optimizer.add_param_group({"params": rg.nn.Parameter(rg.ones(1))})
    scheduler.step(1.0)
    with pytest.raises(RuntimeError, match="has 2 param groups now"):
        scheduler.step(1.0)


def test_scheduler_does_not_keep_its_optimizer_from_being_copied():
    scheduler = kinds.StepLR(optimizer(), 2)
    twin = copy.deepcopy(scheduler.optimizer)
    twin.step()
    assert twin.param_groups[0]["initial_lr"] == 1.0
