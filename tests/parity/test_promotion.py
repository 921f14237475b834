"""The type of a result, for every pair of operands: dtypes with dimensions, 0-d, and numbers."""

from __future__ import annotations

import itertools
import warnings

import pytest
import retrograd as rg

torch = pytest.importorskip("torch")

DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16"),
    *("float32", "float64", "complex64", "complex128"),
)
NUMBERS = {"True": True, "3": 3, "2.5": 2.5, "1j": 1j}
OPERANDS = (
    *((name, ndim) for name in DTYPES for ndim in (1, 0)),
    *((name, None) for name in NUMBERS),
)


def comparable(a, b):
    """Whether there is a tensor, and no complex32, which PyTorch makes of float16 and a complex."""
    names = {a[0], b[0]}
    return (a[1], b[1]) != (None, None) and not (
        "float16" in names and names & {"complex64", "complex128", "1j"}
    )


PAIRS = [pair for pair in itertools.product(OPERANDS, repeat=2) if comparable(*pair)]

OPS = {
    "add": lambda lib, a, b: a + b,
    "mul": lambda lib, a, b: a * b,
    "div": lambda lib, a, b: a / b,
    "pow": lambda lib, a, b: a**b,
    "eq": lambda lib, a, b: a == b,
    "lt": lambda lib, a, b: a < b,
    "where": lambda lib, a, b: lib.where(lib.tensor([True]), a, b),
    "result_type": lambda lib, a, b: lib.result_type(a, b),
}


def operand(lib, what):
    name, ndim = what
    if ndim is None:
        return NUMBERS[name]
    return lib.ones((2,) * ndim, dtype=getattr(lib, name))


def outcome(lib, op, a, b):
    """The type of the result, or the class of the error."""
    try:
        out = OPS[op](lib, operand(lib, a), operand(lib, b))
    except Exception as error:
        return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
    return repr(getattr(out, "dtype", out))


@pytest.mark.parametrize("op", OPS)
def test_result_types(op):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {(a, b): outcome(torch, op, a, b) for a, b in PAIRS}
    got = {(a, b): outcome(rg, op, a, b) for a, b in PAIRS}
    wrong = {p: (got[p], e) for p, e in expected.items() if got[p] != e}
    some = dict(itertools.islice(wrong.items(), 8))
    assert not wrong, f"{len(wrong)} of {len(PAIRS)} pairs, ours and PyTorch's: {some}"


@pytest.mark.parametrize("d1", DTYPES)
def test_promote_types(d1):
    for d2 in DTYPES:
        mine = rg.promote_types(getattr(rg, d1), getattr(rg, d2))
        assert repr(mine) == repr(torch.promote_types(getattr(torch, d1), getattr(torch, d2)))


@pytest.mark.parametrize("d1", DTYPES)
def test_can_cast(d1):
    for d2 in DTYPES:
        mine = rg.can_cast(getattr(rg, d1), getattr(rg, d2))
        assert mine is torch.can_cast(getattr(torch, d1), getattr(torch, d2))


@pytest.mark.parametrize("d1", [d for d in DTYPES if d != "float16"])
@pytest.mark.parametrize("default", ["float32", "float64"])
def test_numbers_take_the_default_type(default, d1):
    before = torch.get_default_dtype()
    try:
        results = []
        for lib in (torch, rg):
            lib.set_default_dtype(getattr(lib, default))
            x = lib.ones(2, dtype=getattr(lib, d1))
            results.append([repr((x * n).dtype) for n in NUMBERS.values()])
        assert results[0] == results[1]
    finally:
        torch.set_default_dtype(before)
        rg.set_default_dtype(getattr(rg, repr(before).removeprefix("torch.")))
