"""The step of every optimizer that is an elementwise rule.

A subclass has a `rule`, says which state a group needs (`_fills`), and, at each step, what the
settings of the rule are (`_settings`).  Everything else happens here: state is made when a
parameter first has a gradient, parameters are divided into batches, and the batches are updated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import is_
from typing import Any, ClassVar

import numpy as np

from ..autograd import Tensor, enable_grad, version
from ..autograd.tensor import wrap
from .batch import Batch, counter_kind, divide
from .optimizer import Optimizer, Params
from .update import Program, Rule, Scratch

Array = np.ndarray[Any, Any]
Group = dict[str, Any]
Numbers = dict[str, float]


# Options that checkpoints of older versions of PyTorch may lack.
LATER_OPTIONS: dict[str, Any] = {
    "momentum": 0,
    "nesterov": False,
    "centered": False,
    "amsgrad": False,
    "decoupled_weight_decay": False,
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
}


class Elementwise(Optimizer):
    """An optimizer that treats every element of every parameter alike."""

    rule: ClassVar[Rule]

    def __init__(self, params: Params, defaults: dict[str, Any]):
        self._forget_plans()
        super().__init__(params, defaults)
        if defaults.get("fused"):
            if defaults["differentiable"]:
                raise RuntimeError("`fused` does not support `differentiable`")
            if defaults["foreach"]:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget_plans()
        for group in self.param_groups:
            for name in self.defaults.keys() & LATER_OPTIONS.keys():
                group.setdefault(name, LATER_OPTIONS[name])
            for p in group["params"]:
                counters = self.state.get(p, {})
                for name in self._counts(group).keys() & counters.keys():
                    if not isinstance(counters[name], Tensor):
                        counters[name] = self._counter(counters[name])

    @staticmethod
    def _counter(number: float) -> Tensor:
        """A number that a parameter has one of, as its state holds it."""
        return wrap(np.array(number, counter_kind()))

    def _forget_plans(self) -> None:
        self._plans: list[_Plan] = []  # one for each group
        self._scratch = Scratch()

    def _fills(self, group: Group) -> dict[str, float]:
        """The names of the state that the group's parameters have, and what it starts as."""
        raise NotImplementedError

    def _counts(self, group: Group) -> Numbers:
        """The numbers that each parameter has one of, and what they start as."""
        return {"step": 0.0}

    def _count(self, group: Group, before: Numbers) -> Numbers:
        """What those numbers become in a step."""
        return {"step": before["step"] + 1}

    def _settings(self, group: Group, fresh: bool, before: Numbers, now: Numbers) -> dict[str, Any]:
        """The settings of the rule, for parameters with these counters before and now.

        ``fresh`` says that their state was made for this step.
        """
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once.  ``closure`` computes the loss anew, and is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with np.errstate(all="ignore"):
            for number, group in enumerate(self.param_groups):
                self._update(number, group)
        return loss

    def _update(self, number: int, group: Group) -> None:
        """One step of one group."""
        _check_options(group)
        fills, counts = self._fills(group), self._counts(group)
        while len(self._plans) <= number:
            self._plans.append(_Plan())
        plan = self._plans[number]
        params = group["params"]
        grads = [getattr(p, "_grad", None) for p in params]
        if not plan.holds(params, grads, fills, self.state):
            plan.make(params, grads, fills, counts, self.state)
        all_there = not any(g is None for g in grads)
        known: dict[Any, tuple[Numbers, Program, list[Array]]] = {}  # by what it depends on
        written: list[Array] = []
        for batch in plan.batches:
            mine = [grads[i] for i in batch.places]
            for run in batch.runs(mine, all_there, counts):
                before = {name: batch.flat[name].item(run.start) for name in counts}
                key = (batch.work, batch.fresh, *before.values())
                if key not in known:
                    now = self._count(group, before)
                    now = {n: batch.flat[n].dtype.type(x).item() for n, x in now.items()}
                    settings = self._settings(group, batch.fresh, before, now)
                    program = self.rule.program(tuple(fills), settings)
                    known[key] = now, program, program.numbers(settings, batch.work)
                now, program, numbers = known[key]
                for name, value in now.items():
                    batch.flat[name][run] = value
                batch.update(program, numbers, run, mine[run], self._scratch)
                written += batch.arrays[run]
            batch.fresh = False
        version.note_changes(written, f"{type(self).__name__}.step")


class _Plan:
    """How a group's parameters are divided into batches."""

    def __init__(self) -> None:
        self.params: list[Tensor] = []
        self.fills: dict[str, float] = {}
        self.batches: list[Batch] = []
        self.idle: list[int] = []  # places of the parameters that are in no batch

    def holds(
        self, params: list[Tensor], grads: list[Any], fills: dict[str, float], states: Any
    ) -> bool:
        """Whether every parameter with a gradient has its batch, and nothing was replaced."""
        return (
            len(params) == len(self.params)
            and all(map(is_, params, self.params))
            and self.fills.keys() == fills.keys()
            and all(grads[i] is None for i in self.idle)
            and all(batch.holds(states) for batch in self.batches)
        )

    def make(
        self,
        params: list[Tensor],
        grads: list[Any],
        fills: dict[str, float],
        counts: Mapping[str, float],
        states: Any,
    ) -> None:
        """Divide the parameters that have a gradient now, or state from before."""
        chosen: dict[Tensor, int] = {}
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            if g is not None:
                _check_gradient(p, g)
            if g is not None or (fills and states.get(p)):
                chosen.setdefault(p, i)  # a parameter listed twice is updated once
        self.batches = divide({i: p for p, i in chosen.items()}, states, fills, counts)
        self.idle = [i for i, p in enumerate(params) if p not in chosen]
        self.params = list(params)
        self.fills = fills


def _check_gradient(p: Tensor, g: Tensor) -> None:
    if g.array.shape != p.array.shape or g.array.dtype != p.array.dtype:
        raise RuntimeError(
            f"a parameter of shape {list(p.shape)} and type {p.dtype} has a gradient of shape "
            f"{list(g.shape)} and type {g.dtype}: its .data was replaced after backward. Call "
            "zero_grad() and backward() again before step()."
        )


def _check_options(group: Group) -> None:
    if group.get("differentiable"):
        raise NotImplementedError(
            "differentiable=True: optimizer steps are not recorded. Write the update with tensor "
            "operations to differentiate through it."
        )
    if group.get("capturable"):
        raise AssertionError(
            "capturable=True needs an accelerator, and there is only the CPU. Leave it out."
        )


def number_of(setting: Any) -> Any:
    """A setting as a Python number; it may be a tensor of one element."""
    return setting.item() if isinstance(setting, Tensor) else setting
