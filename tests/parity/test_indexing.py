"""Reading and writing by a few hundred generated indices: values, sharing, gradients, errors."""

from __future__ import annotations

import itertools
import random
import warnings

import numpy as np
import pytest
import retrograd as rg

torch = pytest.importorskip("torch")

# What may stand between the brackets.  Each entry is written in terms of `t`, the package.
ATOMS = [
    *("0", "-1", "2", "np.int64(1)", "t.tensor(1)"),
    *(":", "1:", ":-1", "0:3:2", "5:9", "-2:"),
    *("None", "...", "True", "False"),
    *("t.tensor([0, 2])", "t.tensor([-1, 0, 1])", "t.tensor([[0, 1], [2, 0]])", "[1, 0, 1]"),
    *("t.tensor([], dtype=t.int64)", "np.array([1, 2])", "t.tensor([1], dtype=t.int32)"),
    *("t.tensor([True, False, True])", "[False, True, True]"),
    *("t.tensor([[True, False, True]] * 3)", "t.tensor(True)"),
    *("7", "t.tensor([5])", "1.0", "'a'", "t.tensor([0.5])", "::-1"),
]
SHAPES = [(), (3,), (3, 3), (3, 3, 3), (3, 3, 3, 3)]


def indices() -> list[tuple[tuple[int, ...], str]]:
    chosen = [(shape, atom) for shape in SHAPES for atom in ATOMS if shape or atom != "'a'"]
    pick = random.Random(0)
    for length in (2, 3, 4):
        of_that_length = list(itertools.product(ATOMS[:-6], repeat=length))
        chosen += [
            (pick.choice(SHAPES[2:]), ", ".join(several))
            for several in pick.sample(of_that_length, 140)
        ]
    return chosen


class Brackets:
    def __getitem__(self, key):
        return key


def key_of(text: str, t):
    return eval(f"brackets[{text}]", {"brackets": Brackets(), "t": t, "np": np})


def data(shape) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def outcome(program, t):
    """What a program gives as arrays, or the class of its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [np.asarray(x) for x in program(t)]
        except Exception as error:
            return type(error)


def check_same(program) -> None:
    theirs, ours = outcome(program, torch), outcome(program, rg)
    if isinstance(theirs, type) or isinstance(ours, type):
        assert ours == theirs
        return
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(("shape", "text"), indices())
def test_reading(shape, text):
    def program(t):
        x = t.tensor(data(shape), requires_grad=True)
        y = x[key_of(text, t)]
        weights = t.tensor(data(tuple(y.shape)), requires_grad=True)
        (g,) = t.autograd.grad((y * y * weights).sum(), x, create_graph=True)
        gg = t.autograd.grad((g * g).sum(), (x, weights))
        shares = y.data_ptr() >= x.data_ptr() and y._is_view() if y.numel() else True
        return y.detach(), g.detach(), *gg, shares

    check_same(program)


@pytest.mark.parametrize("value", ["2.5", "wide", "row", "too large"])
@pytest.mark.parametrize(("shape", "text"), indices()[::2])
def test_writing(shape, text, value):
    def program(t):
        x = t.tensor(data(shape), requires_grad=True)
        key = key_of(text, t)
        if value == "2.5":
            v = t.tensor(2.5, dtype=t.float64, requires_grad=True)
        else:
            sizes = tuple(x[key].shape)
            sizes = {"wide": (1, *sizes), "row": sizes[-1:], "too large": (*sizes, 7)}[value]
            v = t.tensor(data(sizes), requires_grad=True)
        y = x * 2
        y[key] = v
        dx, dv = t.autograd.grad((y * y).sum(), (x, v))
        return y.detach(), dx, dv

    if text == "False":
        pytest.skip("PyTorch leaves the value out of the tape: there is nothing to write")
    if "[-1, 0, 1]" in text and value == "wide" and text.count("[") > 1:
        pytest.skip("one place may be written several times, in no defined order")
    check_same(program)


@pytest.mark.parametrize("value", ["1", "1.5", "True", "None", "'a'", "[1.0]", "1j", "np.ones(3)"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_numbers_written(dtype, value):
    def program(t):
        x = t.zeros(3, dtype=getattr(t, dtype))
        x[1:] = eval(value)
        return [x]

    check_same(program)


@pytest.mark.parametrize(
    "call",
    [
        "x[[0, 1], [1, 0]]",
        "x[(0, 1), ...]",
        "x.index_put((t.tensor([0, 0]),), t.ones(2, 3, dtype=t.float64), accumulate=True)",
        "x.index_put((None, t.tensor([0, 2])), t.ones(2, dtype=t.float64))",
        "x[x > 0]",
        "x[t.tensor([True, False, True]), 1]",
        "x[t.tensor([True, False, True]), t.tensor([0, 1])]",
        "x[:, None, t.tensor([1, 1])]",
        "x[t.tensor([0, 1]), None, t.tensor([1, 1])]",
        "x[t.tensor(0):t.tensor(2)]",
        "x[...]",
        "x[()]",
        "x[slice(None, None, None)]",
        "x[t.tensor([0, 1])][t.tensor([1])]",
        "t.where(x > 0)[0]",
        "x[t.where(x > 0)]",
        "x[t.arange(3), t.arange(3)]",
        "x.T[t.tensor([2, 0])]",
        "x[1:, 1:].T[0]",
    ],
)
def test_spelled_out(call):
    check_same(lambda t: [eval(call, {"x": t.tensor(data((3, 3))), "t": t})])
