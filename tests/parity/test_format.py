"""Every printed tensor reads as PyTorch prints it, under every print option."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrograd.autograd.dtypes import ALL, set_default_dtype
from retrograd.autograd.format import (
    format_value,
    get_printoptions,
    printoptions,
    set_printoptions,
    tensor_repr,
)

torch = pytest.importorskip("torch")

DTYPES = {dtype.name: dtype for dtype in ALL}
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 7, 9, 13]), max_size=3).map(tuple)
SPECIALS = [0.0, -0.0, math.nan, math.inf, -math.inf, 1.0, -1.0, 1e-4, 1e8, 0.5, 999.99996]

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 8),
        "threshold": st.sampled_from([0, 5, 20, 1000, math.inf]),
        "edgeitems": st.integers(0, 4),
        "linewidth": st.sampled_from([1, 20, 41, 80, 200]),
        "profile": st.sampled_from(["default", "short", "full"]),
        "sci_mode": st.sampled_from([None, True, False]),
    },
)


def plain(tensor):
    """The tensor's values as an array that NumPy can compute with."""
    return (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()


def floats(rng, shape, exponents, whole, special):
    """Numbers whose magnitudes spread over `exponents`; some are replaced by special values."""
    values = 10.0 ** rng.uniform(*exponents, shape) * rng.choice([-1, 1], shape)
    values = np.round(values) if whole else values
    return np.where(rng.random(shape) < special, rng.choice(SPECIALS, shape), values)


@st.composite
def pairs(draw):
    """An array, the dtype to show, and PyTorch's tensor of the same values."""
    shape = draw(SHAPES)
    dtype = draw(st.sampled_from(ALL))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.name == "bool":
        values = rng.random(shape) < draw(st.sampled_from([0, 0.5, 1]))
    elif not (dtype.is_floating_point or dtype.is_complex):
        bits = draw(st.sampled_from([1, 4, 7, 31, 62]))
        values = rng.integers(-(2**bits), 2**bits, shape)
    else:
        low, high = sorted(draw(st.tuples(st.integers(-8, 8), st.integers(-8, 8))))
        whole, special = draw(st.booleans()), draw(st.sampled_from([0, 0.1, 0.5, 1]))
        values = floats(rng, shape, (low, high), whole, special)
        if dtype.is_complex:
            parts = np.stack([values, floats(rng, shape, (low, high), whole, special)], -1)
            values = parts.view(np.complex128)[..., 0]
    theirs = torch.from_numpy(np.asarray(values)).to(getattr(torch, dtype.name))
    return plain(theirs), dtype, theirs


@pytest.fixture(autouse=True)
def _default_options():
    yield
    set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


@settings(max_examples=600, deadline=None)
@given(pair=pairs(), options=OPTIONS, transposed=st.booleans())
def test_text(pair, options, transposed):
    array, dtype, theirs = pair
    if transposed:
        array, theirs = array.T, theirs.permute(tuple(reversed(range(theirs.ndim))))
    with printoptions(**options), torch._tensor_str.printoptions(**options):
        assert get_printoptions() == torch._tensor_str.get_printoptions()
        assert tensor_repr(array, dtype) == repr(theirs)
    assert get_printoptions() == torch._tensor_str.get_printoptions()


@pytest.mark.parametrize("width", range(1, 45))
@pytest.mark.parametrize("name", ["float32", "float64", "complex64"])
def test_remarks_break_lines(name, width):
    theirs = torch.ones(width, dtype=getattr(torch, name), requires_grad=True)
    array, dtype = theirs.detach().numpy(), DTYPES[name]
    assert tensor_repr(array, dtype, requires_grad=True) == repr(theirs)
    made = tensor_repr(array, dtype, requires_grad=True, grad_fn="MulBackward0")
    assert made == repr(theirs * 1)


@pytest.mark.parametrize("shape", [(), (3,), (30,), (2, 30), (0, 2)])
def test_subclasses_and_parameters(shape):
    class Weight(torch.nn.Parameter):
        pass

    class Image(torch.Tensor):
        pass

    array = np.ones(shape, np.float32)
    values = torch.from_numpy(array)
    cases = [
        (Image(values), {"kind": "Image"}),
        (torch.nn.Parameter(values), {"parameter": True, "requires_grad": True}),
        (Weight(values), {"kind": "Weight", "parameter": True, "requires_grad": True}),
    ]
    for theirs, options in cases:
        assert tensor_repr(array, DTYPES["float32"], **options) == repr(theirs)


@pytest.mark.parametrize("default", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (2,)])
def test_default_dtype_is_silent(default, name, shape):
    theirs = torch.ones(shape, dtype=getattr(torch, name))
    try:
        torch.set_default_dtype(getattr(torch, default))
        set_default_dtype(DTYPES[default])
        assert tensor_repr(plain(theirs), DTYPES[name]) == repr(theirs)
    finally:
        torch.set_default_dtype(torch.float32)
        set_default_dtype(DTYPES["float32"])


@pytest.mark.parametrize("shape", [(1001,), (400, 3), (3, 400), (7, 2, 90), (9, 9, 9, 9)])
@pytest.mark.parametrize("name", ["float32", "float64", "int64", "complex64", "bool"])
def test_summary(shape, name):
    array = (np.random.default_rng(0).normal(size=shape) * 3).astype(name)
    assert tensor_repr(array, DTYPES[name]) == repr(torch.from_numpy(array))


@pytest.mark.parametrize("extreme", [5e-324, 1e308, 1.7e308, -1e300, 1e15, 123456789.0, 2.0**63])
def test_extreme_magnitudes(extreme):
    for values in ([extreme], [extreme, 1.0], [extreme, 0.0, math.nan], [extreme, 5e-324]):
        array = np.array(values)
        assert tensor_repr(array, DTYPES["float64"]) == repr(torch.from_numpy(array))


@pytest.mark.parametrize("spec", ["", ".3f", "8.2e", ">12", "g"])
@pytest.mark.parametrize("value", [0.1, -2.5, math.inf, 7, True, 1 + 2j])
def test_format_spec(value, spec):
    theirs = torch.tensor(value)
    assert format_value(theirs.item(), spec) == format(theirs, spec)
