"""What a workload is, and the register of all of them.

A workload is a function that gets an engine's module under the name ``torch`` and returns a
`Task`: what is computed, which tensors want gradients, and how much arithmetic and memory traffic
cannot be avoided.  It is written once; how it is run, compared and timed is no business of its.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The families in the order of a whole run: first what everything else is made of.
FAMILIES = (
    "overhead", "elementwise", "reduce", "matmul", "conv", "rnn", "norm", "optim", "data",
    "models", "memory", "startup",
)  # fmt: skip

FLOAT = 4  # bytes of a float32


@dataclass(slots=True)
class Task:
    """One step of a workload, ready to be run.

    ``forward()`` is called, then ``backward(gradient)`` of what it returned if there are
    ``leaves``, then ``optimizer.step()`` if there is one.  Results are what ``forward`` returned
    (numbers, tensors, or lists of them) and the gradients of the leaves.
    """

    forward: Callable[[], Any]
    leaves: Mapping[str, Any] = field(default_factory=dict)  # what wants a gradient, by name
    inputs: Mapping[str, Any] = field(default_factory=dict)  # what a twin is given beside them
    gradient: Any = None  # what backward starts from; a scalar needs none
    optimizer: Any = None
    certain: Callable[[], Any] | None = None  # forward without random numbers, to be compared
    count: int = 1  # how many operations a step stands for; times are per operation
    flops: float = 0.0  # of a step: multiplications and additions that cannot be avoided
    bytes: float = 0.0  # of a step: what must be read and written at least once


Make = Callable[[Any], Task]
# A twin for JAX: the loss of (jax, parameters, inputs), or the loss and changed parameters.
Twin = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload under its name, and what is said about it."""

    family: str
    name: str
    make: Make
    twin: Twin | None = None
    rule: tuple[str, float] | None = None  # the twin's update: "sgd" or "adam", and its rate
    quick: bool = True  # takes part in a quick run
    tolerance: float = 1e-4  # largest difference, relative to the largest element
    memory: bool = False  # peak memory is measured too, in processes of its own
    measure: str = "time"  # or "memory", or "startup"
    engines: tuple[str, ...] | None = None  # None: all

    @property
    def key(self) -> str:
        """Its family and name, as the command line and the files write them."""
        return f"{self.family}/{self.name}"


register: dict[str, Workload] = {}


def workload(family: str, name: str, **options: Any) -> Callable[[Make], Make]:
    """Enter a workload under its family and name."""

    def enter(make: Make) -> Make:
        entered = Workload(family, name, make, **options)
        if entered.key in register:
            raise ValueError(f"two workloads are called {entered.key}")
        register[entered.key] = entered
        return make

    return enter


class UnknownNameError(Exception):
    """A family or workload that is not there; the text lists those that are."""


def load(families: Iterable[str] = FAMILIES) -> dict[str, Workload]:
    """The register, with these families in it."""
    for family in families:
        importlib.import_module(f".families.{family}", __package__)
    return register


def find(names: Iterable[str] = ()) -> list[Workload]:
    """The workloads that are meant by names of families and of workloads; all without any.

    A workload's name, or a pattern such as ``mlp*``, narrows its family down if that is named too.
    """
    everything = list(load().values())
    names = list(names)
    families = [n for n in names if n in FAMILIES]
    chosen: set[str] = set()
    narrowed: set[str] = set()
    for name in names:
        if name in FAMILIES:
            continue
        fits = [
            w for w in everything
            if fnmatch.fnmatch(w.key if "/" in name else w.name, name)
            and ("/" in name or not families or w.family in families)
        ]  # fmt: skip
        if not fits:
            raise UnknownNameError(_unknown(name, families, everything))
        chosen.update(w.key for w in fits)
        narrowed.update(w.family for w in fits)
    chosen.update(w.key for w in everything if w.family in families and w.family not in narrowed)
    return [w for w in everything if not names or w.key in chosen]


def _unknown(name: str, families: list[str], everything: list[Workload]) -> str:
    within = [w for w in everything if not families or w.family in families]
    near = difflib.get_close_matches(name, [*FAMILIES, *(w.name for w in within)], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    lines = [f"no family or workload is called {name!r}{hint}"]
    lines.append(f"families: {', '.join(FAMILIES)}")
    if families:
        lines += [
            f"workloads of {family}: {', '.join(w.name for w in everything if w.family == family)}"
            for family in families
        ]
    return "\n".join(lines)


# ---------------------------------------------------------------- what is counted


def product(rows: int, inner: int, columns: int) -> float:
    """Operations of a matrix product."""
    return 2.0 * rows * inner * columns


def numel(tensors: Iterable[Any]) -> int:
    """Elements of several tensors together."""
    return sum(int(t.numel()) for t in tensors)
