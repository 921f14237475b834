"""Element types: promotion, conversion, storage types, limits."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
import retrograd as rg
from retrograd.autograd import dtypes as dt

ALL = {d.name: d for d in dt.ALL}
REAL = [d for d in dt.ALL if not d.is_complex]
NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]

# PyTorch's table of promotion, upper triangle: what a row's type and a column's type make.
SHORT = {"b1": "bool", "u1": "uint8", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
         "f2": "float16", "bf": "bfloat16", "f4": "float32", "f8": "float64"}  # fmt: skip
TABLE = """
    b1 u1 i1 i2 i4 i8 f2 bf f4 f8
       u1 i2 i2 i4 i8 f2 bf f4 f8
          i1 i2 i4 i8 f2 bf f4 f8
             i2 i4 i8 f2 bf f4 f8
                i4 i8 f2 bf f4 f8
                   i8 f2 bf f4 f8
                      f2 f4 f4 f8
                         bf f4 f8
                            f4 f8
                               f8
"""
PROMOTED = {
    (NAMES[i], NAMES[i + j]): SHORT[code]
    for i, row in enumerate(TABLE.split("\n")[1:-1])
    for j, code in enumerate(row.split())
}


def test_the_table_is_whole():
    assert len(PROMOTED) == 55


@pytest.mark.parametrize(("pair", "result"), PROMOTED.items(), ids=str)
def test_promotion(pair, result):
    a, b = (ALL[name] for name in pair)
    assert rg.promote_types(a, b) is rg.promote_types(b, a) is ALL[result]
    x, y = rg.ones(2, dtype=a), rg.ones(2, dtype=b)
    assert (x + y).dtype is (y + x).dtype is ALL[result]
    assert (x * y).dtype is ALL[result]


@pytest.mark.parametrize("d", REAL, ids=str)
def test_a_number_is_weak(d):
    x = rg.ones(2, dtype=d)
    floating = d if d.is_floating_point else rg.float32
    assert (x * 2.5).dtype is (2.5 * x).dtype is floating
    assert (x * 2).dtype is (rg.int64 if d is rg.bool else d)
    assert (x + True).dtype is d
    assert (x / 2).dtype is floating
    assert (x == 1).dtype is rg.bool
    assert (x * 1j).dtype is (rg.complex128 if d is rg.float64 else rg.complex64)


@pytest.mark.parametrize("d", REAL, ids=str)
def test_a_scalar_tensor_lifts_the_category_only(d):
    x, scalar = rg.ones(2, dtype=d), rg.tensor(1.0, dtype=rg.float64)
    assert (x * scalar).dtype is (d if d.is_floating_point else rg.float64)
    whole = rg.tensor(1, dtype=rg.int64)
    assert (x * whole).dtype is (rg.int64 if d is rg.bool else d)
    assert (x.sum() * scalar).dtype is rg.float64


@pytest.mark.parametrize("d", [d for d in REAL if not d.is_floating_point], ids=str)
def test_whole_numbers_divide_to_the_default_float(d):
    x = rg.ones(2, dtype=d)
    assert (x / x).dtype is rg.float32
    assert x.exp().dtype is rg.float32
    assert rg.sin(x).dtype is rg.float32
    before = rg.get_default_dtype()
    try:
        rg.set_default_dtype(rg.float64)
        assert (
            (x / x).dtype is x.exp().dtype is (x * 0.5).dtype is rg.tensor(1.0).dtype is rg.float64
        )
    finally:
        rg.set_default_dtype(before)


def test_sums_of_whole_numbers_are_int64():
    x = rg.ones(3, dtype=rg.uint8)
    assert x.sum().dtype is x.prod().dtype is x.cumsum(0).dtype is rg.int64
    assert x.sum(dtype=rg.float32).dtype is rg.float32
    assert (x > 0).sum().item() == 3
    assert rg.ones(3, dtype=rg.int32).max().dtype is rg.int32


def test_numpy_scalars_do_not_widen():
    x = rg.ones(2)
    assert (x * np.float64(2)).dtype is rg.float32
    assert (x * np.sqrt(2)).dtype is rg.float32
    assert (np.float64(2) * x).dtype is rg.float32


def test_numpy_integers_wrap_as_c_does():
    assert (rg.tensor([200], dtype=rg.uint8) + 100).tolist() == [44]
    assert (rg.tensor([127], dtype=rg.int8) + 1).tolist() == [-128]
    assert (rg.tensor([2**31 - 1], dtype=rg.int32) * 2).tolist() == [-2]


@pytest.mark.parametrize(("a", "b"), list(itertools.product(dt.ALL, dt.ALL)), ids=str)
def test_every_type_converts_to_every_other(a, b):
    x = rg.tensor([0, 1, 3]).to(a)
    y = x.to(b)
    assert y.dtype is b
    assert y.tolist() == [b_of(v, b) for v in x.tolist()]


def b_of(value, d):
    """A small number in a type, as Python sees it."""
    value = value.real if isinstance(value, complex) and not d.is_complex else value
    kind = (
        bool if d is rg.bool else complex if d.is_complex else float if d.is_floating_point else int
    )
    return kind(value)


@pytest.mark.parametrize("d", [rg.float16, rg.bfloat16, rg.float32], ids=str)
def test_a_conversion_is_on_the_tape(d):
    x = rg.tensor([1.0, 2.0], dtype=rg.float64, requires_grad=True)
    (x.to(d) * 3).sum().backward()
    assert x.grad.dtype is rg.float64
    assert x.grad.tolist() == [3.0, 3.0]


def test_to_the_same_type_is_the_tensor_itself():
    x = rg.ones(2)
    assert x.to(rg.float32) is x.float() is x.type_as(x) is x
    assert x.to(rg.float32, copy=True) is not x


# ---------------------------------------------------------------- storage types


@pytest.mark.parametrize("d", [rg.float16, rg.bfloat16], ids=str)
def test_storage_types_compute_and_differentiate(d):
    x = rg.tensor([1.0, 2.0, 3.0], dtype=d, requires_grad=True)
    y = (x * x + x.exp() * 0).sum()
    assert y.dtype is d
    assert y.item() == 14.0
    y.backward()
    assert x.grad.dtype is d
    assert x.grad.tolist() == [2.0, 4.0, 6.0]
    assert x[1:].dtype is rg.cat([x, x]).dtype is x.reshape(3, 1).dtype is (x @ x).dtype is d


@pytest.mark.parametrize("d", [rg.float16, rg.bfloat16], ids=str)
def test_a_scalar_result_of_a_storage_type_starts_backward_with_one(d):
    x = rg.tensor(2.0, dtype=d, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0
    (x * 3).backward(rg.tensor(2.0, dtype=d))
    assert x.grad.item() == 7.0
    (g,) = rg.autograd.grad(x * x, x, create_graph=True)
    assert g.dtype is d
    assert rg.autograd.grad(g, x)[0].item() == 2.0


def test_bfloat16_rounds_to_even():
    values = [1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-9, -1 - 2**-7, 3.3895e38, math.inf]
    expected = [1.0, 1.0, 1 + 2**-6, 1.0, -1 - 2**-7, 3.3895313892515355e38, math.inf]
    assert rg.tensor(values, dtype=rg.bfloat16).tolist() == expected
    assert math.isnan(rg.tensor(math.nan).bfloat16().item())


def test_float16_overflows_and_underflows():
    assert rg.tensor([65504.0, 65520.0, 1e-8]).half().tolist() == [65504.0, math.inf, 0.0]


# ---------------------------------------------------------------- the objects


@pytest.mark.parametrize("d", dt.ALL, ids=str)
def test_a_dtype_describes_itself(d):
    assert repr(d) == f"torch.{d.name}"
    assert pickle.loads(pickle.dumps(d)) is d
    assert rg.zeros(3, dtype=d).nbytes == 3 * d.itemsize
    assert rg.zeros(1, dtype=d).dtype is d
    assert d.is_floating_point + d.is_complex + (d in (rg.bool,)) <= 1
    assert getattr(rg, d.name) is d


def test_other_names():
    assert rg.float is rg.float32
    assert rg.double is rg.float64
    assert rg.half is rg.float16
    assert rg.long is rg.int64
    assert rg.int is rg.int32
    assert rg.short is rg.int16


@pytest.mark.parametrize(
    ("kind", "d"), [(float, rg.float64), (int, rg.int64), (bool, rg.bool), (complex, rg.complex128)]
)
def test_python_types_stand_for_dtypes(kind, d):
    assert rg.zeros(1, dtype=kind).dtype is d


@pytest.mark.parametrize(
    ("data", "d"),
    [
        (1, rg.int64), (1.0, rg.float32), (True, rg.bool), (1j, rg.complex64),
        ([1, 2.0], rg.float32), ([True, 2], rg.int64), ([], rg.float32), ([[]], rg.float32),
        (np.float64(1), rg.float64), (np.ones(1), rg.float64), (np.ones(1, np.int16), rg.int16),
    ],
    ids=repr,
)  # fmt: skip
def test_the_type_of_data(data, d):
    assert rg.tensor(data).dtype is d


def test_limits():
    assert rg.finfo(rg.float32).eps == 2.0**-23
    assert rg.finfo(rg.float64).max == np.finfo(float).max
    assert rg.finfo(rg.bfloat16).bits == 16
    assert rg.finfo(rg.bfloat16).eps == 2.0**-7
    assert rg.finfo(rg.float16).tiny == 2.0**-14
    assert rg.finfo().dtype == "float32"
    assert (rg.iinfo(rg.uint8).min, rg.iinfo(rg.uint8).max) == (0, 255)
    assert rg.iinfo(rg.int64).bits == 64
    with pytest.raises(TypeError, match="floating point"):
        rg.finfo(rg.int32)
    with pytest.raises(TypeError, match="integer"):
        rg.iinfo(rg.float32)


def test_can_cast_never_to_a_lower_category():
    assert rg.can_cast(rg.float64, rg.float16)
    assert rg.can_cast(rg.int64, rg.float16)
    assert not rg.can_cast(rg.float32, rg.int64)
    assert not rg.can_cast(rg.int64, rg.bool)


def test_in_place_keeps_the_type():
    x = rg.ones(2)
    x += rg.ones(2, dtype=rg.float64)
    assert x.dtype is rg.float32
    whole = rg.ones(2, dtype=rg.int64)
    whole *= 3
    assert whole.tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="result type Float can't be cast"):
        whole *= 0.5
