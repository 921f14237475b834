"""The text of tensors: the expected ones were printed by PyTorch 2.13."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest
import retrograd as rg
from retrograd.autograd.dtypes import ALL, set_default_dtype
from retrograd.autograd.format import (
    format_value,
    get_printoptions,
    printoptions,
    set_printoptions,
    tensor_repr,
)

DTYPES = {dtype.name: dtype for dtype in ALL}
inf, nan = np.inf, np.nan


@pytest.fixture(autouse=True)
def _default_options():
    yield
    set_printoptions(profile="default")


def text(values, name="float32", **options):
    """Return the text of `values` as a tensor of the named dtype."""
    return tensor_repr(np.array(values, name), DTYPES[name], **options)


GOLDEN = [
    # floats that are all whole keep a bare point; zeros, inf and nan do not widen the column
    (3.0, "float32", "tensor(3.)"),
    ([1.0, 2.0], "float32", "tensor([1., 2.])"),
    ([0.0, -0.0], "float32", "tensor([0., -0.])"),
    ([1.0, inf, nan], "float32", "tensor([1., inf, nan])"),
    ([0.5, -inf, nan], "float32", "tensor([0.5000,   -inf,    nan])"),
    ([1e8], "float32", "tensor([100000000.])"),
    # others have four digits
    (-2.5, "float32", "tensor(-2.5000)"),
    ([1.5, -2.25], "float32", "tensor([ 1.5000, -2.2500])"),
    # scientific: above 1e8, below 1e-4, or spread over more than three decades
    (1e-9, "float32", "tensor(1.0000e-09)"),
    ([1e-5, 1.0], "float32", "tensor([1.0000e-05, 1.0000e+00])"),
    ([1.0, 1001.0], "float32", "tensor([1.0000e+00, 1.0010e+03])"),
    ([2e8, 1.0], "float32", "tensor([2.0000e+08, 1.0000e+00])"),
    # the rest of the dtypes; what is not usual is named
    ([1, -20, 300], "int64", "tensor([  1, -20, 300])"),
    ([True, False], "bool", "tensor([ True, False])"),
    ([1 + 2j, -0.5 - 1j], "complex64", "tensor([ 1.0000+2.j, -0.5000-1.j])"),
    ([complex(nan, -0.0), complex(1, inf)], "complex64", "tensor([nan-0.j, 1.+infj])"),
    ([1.0], "float64", "tensor([1.], dtype=torch.float64)"),
    ([1], "uint8", "tensor([1], dtype=torch.uint8)"),
    # without elements
    ([], "float32", "tensor([])"),
    ([[], []], "float32", "tensor([], size=(2, 0))"),
    ([[], []], "int64", "tensor([], size=(2, 0), dtype=torch.int64)"),
]

LONG = [
    (
        np.arange(8.0, dtype="float32").reshape(2, 2, 2),
        """\
        tensor([[[0., 1.],
                 [2., 3.]],

                [[4., 5.],
                 [6., 7.]]])""",
    ),
    (
        np.arange(30),
        """\
        tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
                18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])""",
    ),
    (np.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (
        np.ones((2, 2, 300), "float32"),
        """\
        tensor([[[1., 1., 1.,  ..., 1., 1., 1.],
                 [1., 1., 1.,  ..., 1., 1., 1.]],

                [[1., 1., 1.,  ..., 1., 1., 1.],
                 [1., 1., 1.,  ..., 1., 1., 1.]]])""",
    ),
    (
        np.arange(-1000, 1000).reshape(50, 40),
        """\
        tensor([[-1000,  -999,  -998,  ...,  -963,  -962,  -961],
                [ -960,  -959,  -958,  ...,  -923,  -922,  -921],
                [ -920,  -919,  -918,  ...,  -883,  -882,  -881],
                ...,
                [  880,   881,   882,  ...,   917,   918,   919],
                [  920,   921,   922,  ...,   957,   958,   959],
                [  960,   961,   962,  ...,   997,   998,   999]])""",
    ),
]


@pytest.mark.parametrize(("values", "name", "expected"), GOLDEN)
def test_golden(values, name, expected):
    assert text(values, name) == expected


@pytest.mark.parametrize(("array", "expected"), LONG)
def test_golden_of_several_lines(array, expected):
    assert tensor_repr(array, DTYPES[array.dtype.name]) == dedent(expected)


def test_storage_dtypes_show_the_float32_values_they_are_given():
    array = np.array([0.5], "float32")
    expected = "tensor([0.5000], dtype=torch.bfloat16)"
    assert tensor_repr(array, DTYPES["bfloat16"]) == expected


def test_remarks():
    assert text([1.0], requires_grad=True) == "tensor([1.], requires_grad=True)"
    made = text([1.0], requires_grad=True, grad_fn="MulBackward0")
    assert made == "tensor([1.], grad_fn=<MulBackward0>)"
    wide = text(np.ones(17), "float64", requires_grad=True)
    assert wide.splitlines()[1] == "       dtype=torch.float64, requires_grad=True)"


def test_classes():
    assert text([1.0], kind="Image") == "Image([1.])"
    assert text([1.0], parameter=True) == "Parameter containing:\ntensor([1.])"
    own = text([1.0], kind="Weight", parameter=True)
    assert own == "Parameter containing:\nParameter(Weight([1.]))"


def test_default_dtype_goes_without_saying():
    try:
        set_default_dtype(DTYPES["float64"])
        assert text([1.0], "float64") == "tensor([1.])"
        assert text([1j], "complex128") == "tensor([0.+1.j])"
        assert text([1.0]) == "tensor([1.], dtype=torch.float32)"
    finally:
        set_default_dtype(DTYPES["float32"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"precision": 2}, "tensor([1.12, 2.00, 3.00, 4.00, 5.00])"),
        ({"profile": "short"}, "tensor([1.12, 2.00, 3.00, 4.00, 5.00])"),
        ({"threshold": 4, "edgeitems": 1}, "tensor([1.1235,  ..., 5.0000])"),
        ({"threshold": 4, "edgeitems": 0}, "tensor([...], size=(5,))"),
        ({"linewidth": 24}, "tensor([1.1235, 2.0000,\n        3.0000, 4.0000,\n        5.0000])"),
        (
            {"sci_mode": True, "precision": 1},
            "tensor([1.1e+00, 2.0e+00, 3.0e+00, 4.0e+00, 5.0e+00])",
        ),
    ],
)
def test_options(options, expected):
    with printoptions(**options):
        assert text([1.12345, 2, 3, 4, 5]) == expected
    assert text([1.12345]) == "tensor([1.1235])"


def test_options_are_restored_after_an_error():
    set_printoptions(precision=3, sci_mode=False)
    before = get_printoptions()
    with pytest.raises(TypeError, match="unsupported format"), printoptions(profile="full"):
        f"{get_printoptions():.3f}"
    assert get_printoptions() == before


def test_each_call_resets_sci_mode():
    set_printoptions(sci_mode=False)
    assert text([1e-5]) == "tensor([0.0000])"
    set_printoptions(precision=4)
    assert text([1e-5]) == "tensor([1.0000e-05])"


def test_unknown_profile():
    with pytest.raises(ValueError, match=r"no profile 'tiny'; choose from \['default', 'short'"):
        set_printoptions(profile="tiny")


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [(0.125, ".2f", "0.12"), (0.1, "", "0.1"), (True, "", "True"), (1 + 2j, ".1f", "1.0+2.0j")],
)
def test_format_value(value, spec, expected):
    assert format_value(value, spec) == expected


@pytest.mark.parametrize("shape", [(10**12,), (10**12, 1), (1, 10**12), (10**4,) * 3])
def test_only_what_is_shown_is_read(shape):
    array = np.broadcast_to(np.float32(1), shape)  # one element in memory, too many to visit
    edges = 6 ** sum(size > 6 for size in shape)
    assert tensor_repr(array, DTYPES["float32"]).count("1.") == edges


def test_many_axes():
    printed = text(np.ones((1,) * 60))
    assert printed == f"tensor({'[' * 60}1.{']' * 60})"


@pytest.mark.parametrize(("values", "name", "expected"), GOLDEN)
def test_repr_of_a_tensor(values, name, expected):
    tensor = rg.tensor(values, dtype=getattr(rg, name))
    assert repr(tensor) == str(tensor) == expected


def test_repr_of_tensors_with_gradients():
    x = rg.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert repr((x * 2).detach()) == "tensor([2.])"
    expected = "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert repr(rg.nn.Parameter(rg.tensor([1.0]))) == expected


def test_repr_of_subclasses():
    class Weight(rg.nn.Parameter):
        pass

    expected = "Parameter containing:\nParameter(Weight([1.], requires_grad=True))"
    assert repr(Weight(rg.tensor([1.0]))) == expected


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_repr_of_storage_dtypes(name):
    x = rg.tensor([0.5, -3.0], dtype=getattr(rg, name))
    assert repr(x) == f"tensor([ 0.5000, -3.0000], dtype=torch.{name})"
    assert f"{x[0]:.2f}" == "0.50"


def test_format_of_tensors():
    assert f"{rg.tensor(0.125, requires_grad=True):.2f}" == "0.12"
    assert f"{rg.tensor(0.1)}" == f"{rg.tensor(0.1, requires_grad=True)}" == "0.10000000149011612"
    assert f"{rg.nn.Parameter(rg.tensor(0.5))}".startswith("Parameter containing:")
    assert f"{rg.tensor([0.5])}" == "tensor([0.5000])"
    with pytest.raises(TypeError, match="unsupported format string"):
        format(rg.tensor([0.5]), ".2f")
