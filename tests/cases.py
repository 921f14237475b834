"""Inputs worth trying for each op, made from its declaration: `domain`, `kinks` and `cases`.

A case of an elementwise op is a dict of settings; the shapes are chosen here.  For other ops it is
a tuple: one entry for each input, then a dict of settings or a tuple of positional ones.  An entry
is a shape, which is filled with numbers from the domain, or an array, which is taken as it is.  A
domain whose bounds are ints is one of integers; inputs that do not count for the result's type
(conditions) are truth values.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import retrograd as rg
from retrograd.autograd.op import Op, registry
from retrograd.autograd.scalar import SCALAR_WORDS
from retrograd.autograd.tensor import wrap


def leaf(*values):
    """A float64 vector that wants a gradient."""
    return rg.tensor(values, dtype=rg.float64, requires_grad=True)


MARGIN = 0.05  # how far inputs stay from a kink: finite differences must not step over it


@dataclass(frozen=True)
class Case:
    """One call of one op: arrays for its inputs, and its settings."""

    op: Op
    arrays: tuple[np.ndarray, ...]
    args: tuple[Any, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    fixed: bool = False  # whether an array was given by the declaration

    def __str__(self):
        shapes = [("x".join(map(str, a.shape)) or "()") for a in self.arrays]
        args = [str(a).replace("\n", " ") for a in self.args]
        settings = [f"{k}={v}".replace("\n", " ") for k, v in self.settings]
        return f"{self.op.name}[{', '.join([*shapes, *args, *settings])}]"

    def __call__(self, *tensors):
        """The op's result; of several, the first, which is the one with a derivative."""
        inputs = (tensors,) if self.op.variadic else tensors
        out = self.op.function(*inputs, *self.args, **dict(self.settings))
        return out if isinstance(out, rg.Tensor) else out[0]

    def rules(self):
        """The rule of each array."""
        rules = list(self.op.rules.values())
        return rules * len(self.arrays) if self.op.variadic else rules

    @property
    def wanting(self):
        """Positions of the inputs that have a derivative."""
        return [
            i
            for i, (array, rule) in enumerate(zip(self.arrays, self.rules(), strict=True))
            if rule is not None and array.dtype.kind == "f"
        ]

    def tensors(self, dtype=None, wanting=()):
        """New tensors with copies of the arrays; floats in ``dtype``, some wanting a gradient."""
        made = []
        for i, array in enumerate(self.arrays):
            x = rg.tensor(array)
            x = x.to(dtype) if dtype is not None and array.dtype.kind == "f" else x
            made.append(x.requires_grad_() if i in wanting else x)
        return made

    def setting_values(self):
        """The settings that the body is called with, defaults filled in."""
        given = {n: p.default for n, p in self.op.signature.parameters.items()}
        given |= dict(zip(self.op.settings, self.args, strict=False)) | dict(self.settings)
        return {name: given[name] for name in self.op.settings}

    def with_shapes(self, *shapes):
        """The same call on other shapes."""
        return replace(self, arrays=filled(self.op, shapes, salt=str(shapes)))


def filled(op, shapes, salt=""):
    """Arrays of numbers from the domain of ``op``, away from its kinks."""
    random = np.random.default_rng(zlib.crc32(f"{op.name} {salt}".encode()))
    names = op.inputs * len(shapes) if op.variadic else op.inputs
    return tuple(
        _numbers(op, name, shape, random) for name, shape in zip(names, shapes, strict=True)
    )


def _numbers(op, name, shape, random):
    low, high = op.domain
    if name in op.uncounted:
        return random.random(shape) < 0.5
    if type(low) is int:
        return random.integers(low, high, shape)
    x = random.uniform(low, high, shape)
    for kink in op.kinks:
        off = x - kink
        x = np.where(np.abs(off) < MARGIN, kink + np.copysign(MARGIN, off) + off, x)
    return x


def cases_of(op):
    """The cases of one op; none where the declaration does not say enough."""
    if op.kind == "elementwise":
        return [_elementwise(op, declared) for declared in op.cases or [{}]]
    if op.cases:
        return [_any(op, declared) for declared in op.cases]
    return [] if op.settings or op.variadic else [_any(op, ((2, 3),) * len(op.inputs))]


def _elementwise(op, declared):
    if not isinstance(declared, dict):
        return _any(op, declared)
    return Case(op, filled(op, ((2, 3),) * len(op.inputs)), settings=tuple(declared.items()))


def _any(op, declared):
    declared = list(declared)
    settings = declared.pop() if isinstance(declared[-1], dict) else {}
    count = len(declared) if op.variadic else len(op.inputs)
    entries, args = declared[:count], declared[count:]
    shapes = [e.shape if isinstance(e, np.ndarray) else e for e in entries]
    made = filled(op, shapes, salt=str(declared))
    arrays = [e if isinstance(e, np.ndarray) else m for e, m in zip(entries, made, strict=True)]
    fixed = any(isinstance(e, np.ndarray) for e in entries)
    return Case(op, tuple(arrays), tuple(*args), tuple(settings.items()), fixed)


CASES = [case for op in registry.values() for case in cases_of(op)]
SMOOTH = [case for case in CASES if case.wanting]
ELEMENTWISE = [case for case in CASES if case.op.kind == "elementwise"]
STRETCHABLE = [case for case in ELEMENTWISE if not case.fixed]


# ---------------------------------------------------------------- finite differences


def directional(function, inputs, *, along=2, step=1e-5, tolerance=1e-6):
    """Hold ⟨ȳ, J v⟩ by central difference against ⟨Jᵀ ȳ, v⟩ by the tape, for random v and ȳ.

    ``function`` maps float64 tensors to one tensor or a tuple of them.
    """
    random = np.random.default_rng(1)
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    outs = _tuple(function(*inputs))
    shown = [wrap(random.standard_normal(y.shape)) for y in outs]
    slopes = rg.autograd.grad(outs, inputs, shown, materialize_grads=True, allow_unused=True)
    for _ in range(along):
        ways = [random.standard_normal(x.shape) for x in inputs]
        moved = []
        for sign in (1, -1):
            there = [wrap(x.array + sign * step * v) for x, v in zip(inputs, ways, strict=True)]
            ys = [y.detach() for y in _tuple(function(*[x.requires_grad_() for x in there]))]
            moved.append(sum(np.vdot(y.array, s.array) for y, s in zip(ys, shown, strict=True)))
        numeric = (moved[0] - moved[1]) / (2 * step)
        taped = sum(np.vdot(g.array, v) for g, v in zip(slopes, ways, strict=True))
        assert math.isclose(numeric, taped, rel_tol=tolerance, abs_tol=tolerance), (
            f"the tape says {taped}, finite differences {numeric}"
        )


def _tuple(x):
    return (x,) if isinstance(x, rg.Tensor) else tuple(x)


def only(case, positions):
    """The case as a function of some of its inputs; the others stay."""

    def function(*moving):
        tensors = case.tensors()
        for i, x in zip(positions, moving, strict=True):
            tensors[i] = x
        return case(*tensors)

    return function


def gradient_of(function, seed):
    """The gradient of ``function``, as a function that can be differentiated again.

    It is a function of the gradient that arrives, too.
    """

    def gradient(g, *inputs):
        return rg.autograd.grad(
            function(*inputs),
            inputs,
            g,
            create_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )

    return gradient, wrap(np.random.default_rng(2).standard_normal(seed.shape))


# ---------------------------------------------------------------- plain numbers


def _sign(x):
    return math.copysign(1.0, x) if x else 0.0


def _maximum(a, b):
    return math.nan if math.isnan(a) or math.isnan(b) else max(a, b)


def _minimum(a, b):
    return math.nan if math.isnan(a) or math.isnan(b) else min(a, b)


# The scalar words with the meanings that Python's own `math` gives them.
NUMBERS = SimpleNamespace(
    **{name: getattr(math, name) for name in SCALAR_WORDS if hasattr(math, name)}
    | {"abs": abs, "maximum": _maximum, "minimum": _minimum, "pow": pow, "round": round}
    | {"remainder": lambda a, b: a % b, "floor_divide": lambda a, b: a // b}
    | {"shift_left": lambda a, b: a << b, "shift_right": lambda a, b: a >> b}
    | {"sign": _sign, "signbit": lambda x: math.copysign(1.0, x) < 0}
    | {"normal_cdf": lambda x: 0.5 * (1 + math.erf(x * 0.7071067811865476))}
    | {"where": lambda condition, a, b: a if condition else b}
)
