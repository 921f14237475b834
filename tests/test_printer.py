"""The text of rules and bodies: it means the same on numbers, on arrays and in a kernel."""

from __future__ import annotations

import operator
import warnings

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given, reject
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from retrograd.autograd import kernels, scalar
from retrograd.autograd import scalar as s
from retrograd.autograd.declare import elementwise
from retrograd.autograd.op import registry
from retrograd.autograd.printer import (
    Numbers,
    Text,
    arguments,
    print_body,
    print_rule,
    read,
    straight_rule,
    with_named_numbers,
)

from .cases import ELEMENTWISE, NUMBERS

array_words = {name: getattr(scalar, name) for name in scalar.SCALAR_WORDS}
number_words = vars(NUMBERS)


def readings(case):
    """Every formula of an op: the body and the rules, each with its function."""
    yield "body", case.op.body
    for name, rule in case.op.rules.items():
        if rule is not None:
            yield f"d_{name}", rule


FORMULAS = [
    pytest.param(case, function, id=f"{case}-{what}")
    for case in ELEMENTWISE
    for what, function in readings(case)
]
every_formula = pytest.mark.parametrize(("case", "function"), FORMULAS)


def text_of(case, function):
    settings = case.setting_values()
    return print_rule(function, {n: v for n, v in settings.items() if n in arguments(function)})


def by_hand(case, function, arrays):
    """What the formula itself makes of arrays."""
    known = case.setting_values() | arrays
    return np.asarray(function(*(known[n] for n in arguments(function))))


def values(case, function, dtype=None):
    """Arrays for the parameters of a formula: inputs, the result, and a gradient."""
    floats = dict(zip(case.op.inputs, case.arrays, strict=True))
    floats["out"] = np.asarray(case.op.body(*case.arrays, *case.setting_values().values()))
    floats["g"] = np.random.default_rng(0).standard_normal(floats["out"].shape)
    found = {n: floats[n] for n in arguments(function) if n in floats}
    return {n: a.astype(dtype) if dtype and a.dtype.kind == "f" else a for n, a in found.items()}


def evaluated(text, words, variables):
    return eval(text, {"__builtins__": {}, **words}, variables)


def test_there_is_something_to_print():
    assert len(FORMULAS) >= 180


@every_formula
def test_text_on_numbers_is_the_op(case, function):
    arrays = values(case, function)
    text = text_of(case, function)
    broadcast = np.broadcast_arrays(*arrays.values())
    rows = zip(*(a.ravel().tolist() for a in broadcast), strict=True)
    got = [evaluated(text, number_words, dict(zip(arrays, row, strict=True))) for row in rows]
    expected = np.broadcast_to(by_hand(case, function, arrays), broadcast[0].shape)
    assert_allclose(got, expected.ravel(), rtol=1e-13, atol=1e-15)


@every_formula
def test_text_on_arrays_is_the_op_and_keeps_float32(case, function):
    arrays = values(case, function, np.float32)
    got = np.asarray(evaluated(text_of(case, function), array_words, arrays))
    assert_array_equal(got, by_hand(case, function, arrays))
    if type(case.op.domain[0]) is float and case.op.promote != "bool":
        assert got.dtype == np.float32


# ---------------------------------------------------------------- compiled


def one_function(texts, names):
    """The source of a function whose results are all the formulas."""
    lines = [f"    r{i} = {text}" for i, text in enumerate(texts)]
    results = ", ".join(f"r{i}" for i in range(len(texts)))
    return "\n".join([f"def formulas({', '.join(names)}):", *lines, f"    return {results}"])


def wide_variables(overload):
    """The variables of a compiled function that are float64, besides literals as they are read."""
    from numba.core import ir, types

    blocks = overload.type_annotation.blocks.values()
    literals = {
        line.target.name
        for block in blocks
        for line in block.body
        if isinstance(line, ir.Assign) and isinstance(line.value, ir.Const)
    }
    typemap = overload.type_annotation.typemap
    return {v for v, t in typemap.items() if t in (types.float64, types.complex128)} - literals


@pytest.mark.usefixtures("compiler")
def test_compiled_text_computes_in_float32():
    """No operation of any formula is on float64 where the inputs are float32.

    Many formulas are compiled as one function: one by one they would take a minute.
    """
    import numba
    from numba import types

    floating = [
        p.values
        for p in FORMULAS
        if p.values[0].op.promote != "bool" and not p.values[0].op.uncounted
        if type(p.values[0].op.domain[0]) is float
    ]
    texts = [kernels._with_typed_literals(text_of(*formula)) for formula in floating]
    names = sorted({name for formula in floating for name in values(*formula)})
    assert len(texts) >= 150
    words = kernels.compiled_words("float32")
    point = {name: np.float32(0.3 + 0.1 * i) for i, name in enumerate(names)}
    for start in range(0, len(texts), 50):
        some = texts[start : start + 50]
        space = dict(words)
        exec(one_function(some, names), space)
        signature = types.UniTuple(types.float32, len(some))(*[types.float32] * len(names))
        compiled = numba.njit(signature, error_model="numpy")(space["formulas"])
        (overload,) = compiled.overloads.values()
        assert not wide_variables(overload), "\n".join(some)
        with np.errstate(all="ignore"):
            expected = [evaluated(t, {**array_words, "f": np.float32}, point) for t in some]
        got = compiled(*[point[n] for n in names])
        assert_allclose(got, np.array(expected, np.float32), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- what cannot be printed


OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv,
    "%": operator.mod, "&": operator.and_, "|": operator.or_, "^": operator.xor,
    "<<": operator.lshift, ">>": operator.rshift, "**": operator.pow,
    "<": operator.lt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
LEAVES = st.sampled_from(["x", "y"]) | st.integers(-3, 3)
TREES = st.recursive(
    LEAVES,
    lambda trees: (
        st.tuples(st.sampled_from(["neg", "~"]), trees)
        | st.tuples(st.sampled_from(list(OPERATORS)), trees, trees)
    ),
    max_leaves=6,
)


def grown(tree, leaf):
    """The value of an expression tree whose names mean what ``leaf`` says."""
    if isinstance(tree, str):
        return leaf[tree]
    if isinstance(tree, int):
        return tree
    parts = [grown(part, leaf) for part in tree[1:]]
    if len(parts) == 1:
        return -parts[0] if tree[0] == "neg" else ~parts[0]
    if isinstance(parts[1], int) and abs(parts[1]) > 50 and tree[0] in ("<<", ">>", "**"):
        raise OverflowError("too large to be worth computing")
    return OPERATORS[tree[0]](*parts)


@given(TREES)
def test_text_groups_as_the_expression_did(tree):
    numbers = {"x": 3, "y": -2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ~True
        try:
            expected = grown(tree, numbers)
        except (ArithmeticError, ValueError, TypeError):
            reject()
        text = str(grown(tree, {"x": Text("x"), "y": Text("y")}))
        assert eval(text, {}, numbers) == expected, text


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e-320, 0.1, -0.0, True, 10**20])
def test_any_number_can_be_a_literal(value):
    text = print_rule(lambda x, limit: x * 0 + limit, {"limit": value})
    assert_array_equal(eval(text, {"x": 1.0}), value)


def test_a_body_may_use_nothing_but_words():
    with pytest.raises(TypeError, match=r"far uses \['np'\], which is no word of scalar"):

        @elementwise(d_x=None)
        def far(x):
            """Declared in vain."""
            return np.exp(x)

    with pytest.raises(TypeError, match=r"far uses \['sigmoid'\], which is no word of scalar"):

        @elementwise(d_x=None)
        def far(x):
            """Declared in vain."""
            return s.sigmoid(x)


def test_a_body_may_not_branch():
    with pytest.raises(TypeError, match=r"may not branch on a value[\s\S]*use s.where"):

        @elementwise(d_x=None)
        def bent(x):
            """Declared in vain."""
            return x if x > 0 else -x


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (lambda g, y: g * y, r"d_x asks for unknown \['y'\]"),
        (lambda g, x: g * np.exp(x), r"d_x uses .*'np'"),
        (lambda g, x: g * s.no_such_word(x), r"d_x uses .*'no_such_word'"),
        (lambda g, x: g * x.nbytes, r"d_x uses .*'nbytes'"),
    ],
    ids=["unknown input", "a module", "no word", "an attribute"],
)
def test_a_rule_may_use_nothing_but_what_it_is_given(rule, complaint):
    with pytest.raises(TypeError, match=complaint):

        @elementwise(d_x=rule)
        def wrong(x):
            """Declared in vain."""
            return x * x


def test_a_rule_may_not_branch():
    with pytest.raises(TypeError, match=r"may not branch on a value[\s\S]*use s.where"):

        @elementwise(d_x=lambda g, x: g if x > 0 else -g)
        def bent(x):
            """Declared in vain."""
            return s.abs(x)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({}, "no d_x; write d_x=None if it is flat"),
        ({"d_x": None, "d_y": None}, r"\['d_y'\] are derivatives of no input"),
    ],
)
def test_every_input_has_a_rule_and_no_other(rules, complaint):
    with pytest.raises(TypeError, match=complaint):

        @elementwise(**rules)
        def incomplete(x):
            """Declared in vain."""
            return x * x


def test_a_failed_declaration_leaves_nothing():
    assert not {"far", "bent", "wrong", "incomplete"} & set(registry)
    assert not hasattr(rg.Tensor, "bent")


def test_numbers_are_named_but_for_exponents():
    numbers = []
    text = with_named_numbers("where(x <= 0, -0.5, pow(x, 2) * g ** (1 - 2) + 0 - 1e999)", numbers)
    assert text == "where(x <= number0, number1, pow(x, 2) * g ** (1 - 2) + number0 - number2)"
    assert numbers == ["0", "-0.5", "1e999"]


def test_named_numbers_are_of_the_type_that_is_computed_in():
    known = Numbers(["0", "-0.5", "1e999"])
    for kind in ("float32", "float64"):
        found = known[np.dtype(kind)]
        assert [n.item() for n in found] == [0.0, -0.5, np.inf]
        assert all(n.dtype == kind and n.ndim == 0 and not n.flags.writeable for n in found)
    assert known[np.dtype("int64")] == (0, -0.5, float("inf"))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lambda g, x_shape: s.reshape(g, x_shape), "reshape(g, x_shape)"),
        (lambda g, b: s.matmul(g, b.mT), "matmul(g, b.mT)"),
        (lambda g, dim: s.flip(g, (dim, -1)) / 2, "flip(g, (dim, -1, )) / 2"),
        (lambda g, x, n: g * 0 if n == 0 else g * x, None),
        (lambda g, dim: g if dim is None else g * 2, None),
        (lambda g, size: s.reshape(g, size[1:]), None),
        (lambda g: s.take(g, slice(1)), None),
    ],
)
def test_rules_of_any_kind_are_printed_unless_they_branch(rule, text):
    used = set()
    assert straight_rule(rule, used) == text


def test_docs_show_the_formula():
    assert print_body(registry["sigmoid"].body) == "1 / (1 + exp(-x))"
    assert print_rule(registry["tanh"].rules["x"]) == "g - g * out * out"
    assert print_rule(read(lambda g, x: s.where(x > 0, g, 0), s)) == "where(x > 0, g, 0)"
