"""Every declared op, against everything we know about ops.

Nothing here names an op.  Declare one in autograd/ops/ and these tests find it.
"""

from __future__ import annotations

import inspect
import operator
import re
import subprocess
import sys
import warnings
from operator import attrgetter

import numpy as np
import pytest
import retrograd as rg
from numpy.testing import assert_allclose, assert_array_equal
from retrograd.autograd.declare import COMPARISONS, OPERATORS, UNARY
from retrograd.autograd.deferred import settled
from retrograd.autograd.op import functions, registry
from retrograd.autograd.printer import read

from .cases import (
    CASES,
    ELEMENTWISE,
    NUMBERS,
    SMOOTH,
    STRETCHABLE,
    cases_of,
    directional,
    gradient_of,
    only,
)

every_op = pytest.mark.parametrize("op", registry.values(), ids=attrgetter("name"))
every_case = pytest.mark.parametrize("case", CASES, ids=str)
smooth_case = pytest.mark.parametrize("case", SMOOTH, ids=str)
elementwise_case = pytest.mark.parametrize("case", ELEMENTWISE, ids=str)

# Which shapes meet in an op of several inputs; a third input has the shape (3,).
MEETINGS = [
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((1, 1, 3), (2, 1)),
    ((0, 3), (1, 3)),
]
SHAPES = [(), (1,), (0, 3), (2, 1, 2)]


def test_there_is_something_to_test():
    assert len(registry) >= 130
    assert len(CASES) >= 1.2 * len(registry)
    assert len(SMOOTH) >= 130
    assert len(ELEMENTWISE) >= 100


def test_every_op_says_what_to_try():
    silent = [op.name for op in registry.values() if not cases_of(op)]
    assert not silent, f"no inputs can be made for these ops; give them cases=…: {silent}"


def test_every_op_is_declared_once():
    """Of two declarations of one name, the later would silently replace the earlier."""
    twice = [
        f"{module.__name__}.{name}"
        for module in vars(rg.autograd.ops).values()
        if inspect.ismodule(module)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__
        if function.__code__.co_filename.startswith("<call of")
        if registry[function.__name__].function is not function
    ]
    assert not twice


# ---------------------------------------------------------------- values


@elementwise_case
def test_value_is_that_of_plain_numbers(case):
    body = read(case.op.body, NUMBERS)
    settings = case.setting_values().values()
    rows = zip(*(a.ravel().tolist() for a in np.broadcast_arrays(*case.arrays)), strict=True)
    expected = [body(*row, *settings) for row in rows]
    assert_allclose(case(*case.tensors()).array.ravel(), expected, rtol=1e-13, atol=1e-15)


@every_case
def test_inputs_are_untouched(case):
    tensors = case.tensors(wanting=case.wanting)
    out = case(*tensors)
    if out.requires_grad:
        out.sum().backward()
    for x, array in zip(tensors, case.arrays, strict=True):
        assert_array_equal(x.array, array)


def fortran(array):
    return np.array(array, order="F")


def with_gaps(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]) if array.ndim else (), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


@pytest.mark.parametrize("layout", [fortran, with_gaps])
@every_case
def test_memory_layout_does_not_matter(case, layout):
    if "stride" in case.op.settings or not all(a.ndim for a in case.arrays):
        pytest.skip("this op is about memory, or has a scalar input")
    tensors = [rg.from_numpy(layout(a)) for a in case.arrays]
    try:
        out = case(*tensors)
    except RuntimeError as error:
        if "Use .reshape(...) instead" not in str(error):  # a view that cannot be
            raise
    else:
        assert_allclose(out.array, case(*case.tensors()).array, rtol=1e-14, atol=1e-15)


@smooth_case
def test_gradient_does_not_depend_on_memory_layout(case):
    if "stride" in case.op.settings:
        pytest.skip("this op is about memory")
    usual = case.tensors(wanting=case.wanting)
    out = case(*usual)
    g = np.array(np.random.default_rng(0).standard_normal(out.shape))
    out.backward(rg.from_numpy(g))
    again = case.tensors(wanting=case.wanting)
    case(*again).backward(rg.from_numpy(np.array(g, order="F")))
    for i in case.wanting:
        assert_allclose(again[i].grad.array, usual[i].grad.array, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", STRETCHABLE, ids=str)
def test_any_shape(case, shape):
    case = case.with_shapes(*[shape] * len(case.arrays))
    tensors = case.tensors(wanting=case.wanting)
    out = case(*tensors)
    assert out.shape == shape
    assert type(out.array) is np.ndarray
    if case.wanting:
        out.backward(rg.ones_like(out))
        assert [tensors[i].grad.shape for i in case.wanting] == [shape] * len(case.wanting)


# ---------------------------------------------------------------- derivatives


def moving(case):
    """The inputs along which an op is differentiated."""
    return [x for i, x in enumerate(case.tensors()) if i in case.wanting]


@smooth_case
def test_gradient(case):
    directional(only(case, case.wanting), moving(case))


@smooth_case
def test_second_gradient(case):
    function = only(case, case.wanting)
    inputs = moving(case)
    gradient, g = gradient_of(function, function(*inputs))
    directional(gradient, [g, *inputs], tolerance=1e-5)


@smooth_case
def test_a_wrong_rule_would_be_noticed(case, monkeypatch):
    """The test of these tests: with derivatives that are one in a thousand off, they fail."""
    op, right = case.op, case.op.pull
    slopes = []

    def wrong(g, node):
        slopes[:] = [None if d is None else np.asarray(d) * 1.001 for d in settled(right(g, node))]
        return slopes

    monkeypatch.setattr(op, "pull", wrong)
    try:
        directional(only(case, case.wanting), moving(case))
    except AssertionError:
        return
    assert not any(d is not None and d.any() for d in slopes)  # flat: nothing to be wrong about


@smooth_case
def test_each_input_alone(case):
    """A gradient is the same whether or not the other inputs want one."""
    together = case.tensors(wanting=case.wanting)
    out = case(*together)
    out.backward(rg.ones_like(out))
    for i in case.wanting:
        alone = case.tensors(wanting=[i])
        out = case(*alone)
        out.backward(rg.ones_like(out))
        assert_array_equal(alone[i].grad.array, together[i].grad.array)
        assert all(x.grad is None for j, x in enumerate(alone) if j != i)


@pytest.mark.parametrize("shapes", MEETINGS, ids=str)
@pytest.mark.parametrize("case", [c for c in STRETCHABLE if len(c.arrays) > 1], ids=str)
def test_broadcasting(case, shapes):
    shapes = (*shapes, (3,))[: len(case.arrays)]
    case = case.with_shapes(*shapes)
    tensors = case.tensors(wanting=case.wanting)
    out = case(*tensors)
    stretched = np.broadcast_arrays(*case.arrays)
    assert_array_equal(out.array, case(*map(rg.tensor, stretched)).array)
    if case.wanting:
        out.backward(rg.ones_like(out))
        assert [tensors[i].grad.shape for i in case.wanting] == [shapes[i] for i in case.wanting]
        directional(only(case, case.wanting), [tensors[i] for i in case.wanting])


# ---------------------------------------------------------------- types


@pytest.mark.parametrize("dtype", [rg.float32, rg.float64, rg.float16, rg.bfloat16], ids=str)
@smooth_case
def test_type_stays(case, dtype):
    if case.op.kind == "cast":
        pytest.skip("this op is about types")
    tensors = case.tensors(dtype, wanting=case.wanting)
    out = case(*tensors)
    assert out.dtype is dtype
    out.backward(rg.ones_like(out))
    assert {tensors[i].grad.dtype for i in case.wanting} == {dtype}


@smooth_case
def test_type_stays_in_second_gradients(case):
    if case.op.kind == "cast":
        pytest.skip("this op is about types")
    inputs = [
        x.requires_grad_() for i, x in enumerate(case.tensors(rg.float32)) if i in case.wanting
    ]
    fixed = [x for i, x in enumerate(case.tensors(rg.float32)) if i not in case.wanting]

    def function(*moving):
        moving, rest = iter(moving), iter(fixed)
        return case(*(next(moving if i in case.wanting else rest) for i in range(len(case.arrays))))

    gradient, g = gradient_of(function, function(*inputs))
    g = g.float().requires_grad_()
    slopes = gradient(g, *inputs)
    assert {s.dtype for s in slopes} == {rg.float32}
    outs = [s for s in slopes if s.requires_grad]
    seeds = [rg.ones_like(s) for s in outs]
    second = rg.autograd.grad(outs, [g, *inputs], seeds, allow_unused=True)
    assert {s.dtype for s in second if s is not None} <= {rg.float32}


@elementwise_case
def test_integers_follow_the_declaration(case):
    names = case.op.inputs
    arrays = [
        rg.tensor(np.ones((2, 3), bool if name in case.op.uncounted else np.int32))
        for name in names
    ]
    if case.op.ints == "refuse":
        with pytest.raises(NotImplementedError, match="floating-point"):
            case(*arrays)
        return
    out = case(*arrays)
    assert out.dtype is {"same": rg.int32, "float": rg.float32, "bool": rg.bool}[case.op.promote]
    if case.op.promote == "float":
        assert_array_equal(out.array, case(*[x.float() for x in arrays]).array)


@pytest.mark.parametrize("case", [c for c in CASES if c.op.kind == "reduction"], ids=str)
def test_reductions_of_integers_follow_the_declaration(case):
    x = rg.tensor(np.ones(case.arrays[0].shape, np.int32))
    if case.op.ints == "refuse":
        with pytest.raises(RuntimeError, match=r"could not infer output dtype[\s\S]*\.float\(\)"):
            case(x)
        return
    expected = {"same": rg.int32, "int64": rg.int64, "float": rg.float32}[case.op.ints]
    assert case(x).dtype in (expected, rg.bool)


# ---------------------------------------------------------------- the tape


@every_case
def test_nothing_is_recorded_where_nothing_is_wanted(case):
    assert case(*case.tensors()).node is None
    with rg.no_grad():
        assert case(*case.tensors(wanting=case.wanting)).node is None


@smooth_case
def test_keeps_what_its_rules_name_and_nothing_else(case):
    op, rules = case.op, case.rules()
    for i in case.wanting:
        tensors = case.tensors(wanting=[i])
        out = case(*tensors)
        named = set(op.names_of(rules[i])) - {"g", "i", *op.settings}
        assert set(op.kept_names) >= named
        kept = dict(zip(op.kept_names, out.node.kept, strict=True))
        assert {name for name, value in kept.items() if value is not None} == named
        assert out.node.op is op
        assert [n is not None for n in out.node.inputs] == [j == i for j in range(len(tensors))]
        inputs = dict(zip(op.inputs, tensors, strict=False))
        for name in named:
            stem, _, fact = name.rpartition("_")
            if name in op.outputs:
                assert name != "out" or kept[name] is out.array
            elif op.variadic:
                assert kept[name] == tuple(getattr(x.array, fact) for x in tensors)
            elif name in inputs:
                assert kept[name] is inputs[name].array
            else:
                assert kept[name] == getattr(inputs[stem].array, fact)


@every_op
def test_a_flat_op_makes_no_node(op):
    for case in cases_of(op) if op.flat else ():
        out = case(*[x.requires_grad_() if x.is_floating_point() else x for x in case.tensors()])
        assert not out.requires_grad


# ---------------------------------------------------------------- forms


def number_like(array):
    return 3 if array.dtype.kind in "iu" else 1.75


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.op.symbol and not c.settings and len(c.arrays) > 1], ids=str
)
def test_operator(case):
    a, b = case.tensors()
    if case.op.symbol in COMPARISONS:
        name = COMPARISONS[case.op.symbol]
        assert_array_equal(getattr(a, f"__{name}__")(b).array, case(a, b).array)
        return
    name = OPERATORS[case.op.symbol]
    assert_array_equal(getattr(a, f"__{name}__")(b).array, case(a, b).array)
    assert getattr(a, f"__{name}__")(object()) is NotImplemented
    if case.op.kind == "elementwise":
        n = number_like(case.arrays[0])
        reflected = getattr(b, f"__r{name}__")(n)
        assert_allclose(reflected.array, case(rg.full_like(b, n), b).array, rtol=1e-15)
        assert reflected.dtype is b.dtype


@pytest.mark.parametrize(
    "case", [c for c in SMOOTH if c.op.symbol in OPERATORS and not c.settings], ids=str
)
def test_operator_with_an_array_stays_on_the_tape(case):
    a, b = case.tensors(wanting=[0, 1])
    name = OPERATORS[case.op.symbol]
    left, right = (array.copy() for array in case.arrays)
    call = getattr(operator, name)
    for out in (call(left, b), call(a, right), getattr(b, f"__r{name}__")(left)):
        assert isinstance(out, rg.Tensor)
        assert out.requires_grad
        assert_array_equal(out.array, case(a, b).array)


@pytest.mark.parametrize("case", [c for c in CASES if c.op.symbol in UNARY], ids=str)
def test_unary_operator(case):
    (x,) = case.tensors()
    assert_array_equal(getattr(x, f"__{UNARY[case.op.symbol]}__")().array, case(x).array)


@pytest.mark.parametrize("case", [c for c in ELEMENTWISE if len(c.arrays) == 2], ids=str)
def test_a_number_counts_as_a_tensor_without_dimensions(case):
    """Also on the tape: the versions of an op for a number give the same gradient."""
    n = number_like(case.arrays[0])
    may = {"both": (0, 1), "either": (0, 1), "other": (1,), "none": ()}[case.op.numbers]
    for at in may:
        tensors = case.tensors(wanting=[i for i in case.wanting if i != at])
        mixed = [n if i == at else x for i, x in enumerate(tensors)]
        full = case.tensors(wanting=[i for i in case.wanting if i != at])
        full[at] = rg.full((), n, dtype=full[at].dtype)
        out, expected = case(*mixed), case(*full)
        assert_array_equal(out.array, expected.array)
        assert out.dtype is expected.dtype
        assert out.requires_grad == expected.requires_grad
        if out.requires_grad:
            out.sum().backward()
            expected.sum().backward()
            assert_allclose(tensors[1 - at].grad.array, full[1 - at].grad.array, rtol=1e-14)


@pytest.mark.parametrize("number", [0.0, -0.0, 0, 3, 0.1, -1e-320, 1e300, np.inf, np.nan, True])
@pytest.mark.parametrize("dtype", [rg.float32, rg.float64], ids=str)
@pytest.mark.parametrize("calculate", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_a_number_beside_a_tensor_means_what_it_means_to_numpy(calculate, dtype, number):
    x = rg.tensor([1.5, -2.0, 0.0, np.inf], dtype=dtype)
    for one, other in ((x, number), (number, x)):
        plain = [x.array if a is x else a for a in (one, other)]
        with np.errstate(all="ignore"):
            expected = np.asarray(calculate(*plain))
        for _ in range(2):  # made, and remembered
            out = calculate(one, other)
            assert out.array.dtype == dtype.array
            assert_array_equal(out.array, expected)
            assert_array_equal(np.signbit(out.array), np.signbit(expected))


def in_place(op):
    """The in-place method of ``op``, where it is one the user can name."""
    method = getattr(rg.Tensor, op.name + "_", None)
    public = op.kind == "elementwise" or functions.get(op.name) is op.function
    return method if public and method and method.__module__.endswith(".declare") else None


@pytest.mark.parametrize("case", [c for c in CASES if in_place(c.op)], ids=str)
def test_in_place_form(case):
    form, settings = in_place(case.op), dict(case.settings)
    first = case.wanting[:1] == [0]
    tensors = case.tensors(wanting=case.wanting)
    start = tensors[0] * 1 if first else tensors[0]
    out = form(start, *tensors[1:], *case.args, **settings)
    assert out is start
    again = case.tensors(wanting=case.wanting)
    expected = case(again[0] * 1 if first else again[0], *again[1:])
    assert_array_equal(out.array, expected.array)
    if case.wanting:
        g = np.random.default_rng(3).standard_normal(out.shape)
        out.backward(rg.tensor(g))
        expected.backward(rg.tensor(g))
        for i in case.wanting:
            assert_allclose(tensors[i].grad.array, again[i].grad.array, rtol=1e-13, atol=1e-15)


@every_op
def test_method_is_the_function(op):
    """A public op is reached under its name, as a function and as a method, or through both."""
    method, function = getattr(rg.Tensor, op.name, None), functions.get(op.name)
    if function is op.function and method is not None:
        for case in cases_of(op)[:1]:
            tensors = case.tensors()
            out = method(*tensors, *case.args, **dict(case.settings))
            first = out if isinstance(out, rg.Tensor) else out[0]
            assert_array_equal(first.array, case(*tensors).array)
    if function is not None:
        assert getattr(rg, op.name) is function


# ---------------------------------------------------------------- what users read


@every_op
def test_is_documented_in_one_sentence(op):
    first = op.doc.partition("\n")[0]
    assert re.fullmatch(r"\S.*[.]", first), f"{op.name}: {first!r} is no sentence"
    assert len(first) <= 100
    assert not first.startswith(("This ", "Returns ", "Computes "))


def test_the_signature_is_there_before_the_first_call():
    code = (
        "import inspect, retrograd as rg\n"
        "print(inspect.signature(rg.tanh), inspect.signature(rg.sum))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "(input) (input, dim=None, keepdim=False, *, dtype=None)"


@every_op
def test_function_knows_its_name_and_module(op):
    assert op.function.__doc__
    assert op.function.__name__ in (op.name, op.name.rstrip("_"))


# ---------------------------------------------------------------- floating-point events

EXTREMES = np.array([0.0, -0.0, 1e-320, 1e300, -1e300, np.inf, -np.inf, np.nan, 1000.0, -1000.0])


@pytest.mark.parametrize("state", ["warn", "raise"])
@pytest.mark.parametrize("case", [c for c in ELEMENTWISE if type(c.op.domain[0]) is float], ids=str)
def test_floating_point_events_are_silent(case, state):
    """Overflow, division by zero and NaN are values, whatever NumPy is told to do about them."""
    arrays = [
        np.roll(EXTREMES, i) if a.dtype.kind == "f" else EXTREMES > 0
        for i, a in enumerate(case.arrays)
    ]
    tensors = [rg.tensor(a) for a in arrays]
    for i in case.wanting:
        tensors[i].requires_grad_()
    with warnings.catch_warnings(), np.errstate(all=state):
        warnings.simplefilter("error")
        out = case(*tensors)
        if out.requires_grad:
            out.backward(rg.ones_like(out))
    assert out.shape == EXTREMES.shape
