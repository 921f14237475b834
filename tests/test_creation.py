"""Tensors from data, from NumPy and from sizes: types, shapes, and data that is refused."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1, "int64", ()),
        (1.5, "float32", ()),
        (True, "bool", ()),
        (1j, "complex64", ()),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        ([1, 2.0], "float32", (2,)),
        ([True, 2], "int64", (2,)),
        (range(3), "int64", (3,)),
        (((1, 2), (3, 4)), "int64", (2, 2)),
        (np.float64(1), "float64", ()),
        ([np.float64(1)], "float64", (1,)),
        ([np.float32(1), np.float32(2)], "float32", (2,)),
        (np.zeros((2, 3), np.int16), "int16", (2, 3)),
        ([np.zeros(2), np.ones(2)], "float64", (2, 2)),
        ([rg.tensor(1), 2.5], "float32", (2,)),
        ([[rg.tensor(1.0, dtype=rg.float64), 2], [3, 4]], "float64", (2, 2)),
    ],
)
def test_what_data_becomes(data, dtype, shape):
    made = rg.tensor(data)
    assert (made.dtype, made.shape) == (getattr(rg, dtype), shape)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (None, RuntimeError),
        ([1, None], RuntimeError),
        ("text", TypeError),
        (["text"], ValueError),
        ([[1, 2], [3]], ValueError),
        ([[1, 2], 3], TypeError),
        ([[[1], [2, 3]]], ValueError),
        ({1: 2}, RuntimeError),
        (object(), RuntimeError),
        (2**63, ValueError),
        ([2**70], ValueError),
        ([rg.ones(2)], ValueError),
        (np.array(["text"]), TypeError),
        (np.array([None]), TypeError),
        (np.ma.masked_array([1.0, 2.0], [True, False]), TypeError),
    ],
)
def test_data_that_is_no_tensor(data, kind):
    with pytest.raises(kind):
        rg.tensor(data)


def test_the_uneven_level_is_named():
    with pytest.raises(ValueError, match="expected sequence of length 2 at dim 1"):
        rg.tensor([[1, 2], [3]])


def test_a_type_that_cannot_hold_the_values():
    with pytest.raises(RuntimeError, match="overflow"):
        rg.tensor([1, 300], dtype=rg.int8)
    with pytest.raises(RuntimeError, match="overflow"):
        rg.tensor(float("nan"), dtype=rg.int64)
    with pytest.raises(TypeError, match="complex"):
        rg.tensor([1j], dtype=rg.float32)
    with pytest.raises(RuntimeError, match="floating point"):
        rg.tensor([1], requires_grad=True)


def test_data_is_copied_and_arrays_are_shared():
    array = np.zeros(2, np.float32)
    copied, shared, also = rg.tensor(array), rg.from_numpy(array), rg.as_tensor(array)
    array[0] = 1
    assert copied.tolist() == [0, 0]
    assert shared.tolist() == also.tolist() == [1, 0]
    assert rg.as_tensor(copied) is copied


def test_a_tensor_as_data_warns():
    with pytest.warns(UserWarning, match="sourceTensor"):
        assert rg.tensor(rg.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        ([1], TypeError),
        (np.arange(3)[::-1], ValueError),
        (np.arange(3, dtype=">i4"), ValueError),
        (np.array(["a"]), TypeError),
    ],
)
def test_arrays_that_are_not_shared(array, kind):
    with pytest.raises(kind):
        rg.from_numpy(array)


@pytest.mark.parametrize("size", [(2, 3), ((2, 3),), ([2, 3],), (rg.Size([2, 3]),)])
@pytest.mark.parametrize("make", [rg.zeros, rg.ones, rg.empty])
def test_sizes_are_given_in_several_ways(make, size):
    assert make(*size).shape == (2, 3)
    assert make(size=(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: rg.zeros(2, -1), RuntimeError),
        (lambda: rg.zeros(2.0), TypeError),
        (lambda: rg.zeros("a"), TypeError),
        (lambda: rg.zeros(True), TypeError),
        (lambda: rg.zeros(), TypeError),
        (lambda: rg.zeros((2, 3), 4), TypeError),
        (lambda: rg.zeros(2, dtype="float32"), TypeError),
        (lambda: rg.ones(2, color="red"), TypeError),
        (lambda: rg.ones(2, dtype=rg.int64, requires_grad=True), RuntimeError),
        (lambda: rg.full(2, 1), TypeError),
        (lambda: rg.full((2,), 300, dtype=rg.int8), RuntimeError),
        (lambda: rg.eye(-1), RuntimeError),
        (lambda: rg.eye(2.0), TypeError),
        (lambda: rg.arange(0, 1, 0), RuntimeError),
        (lambda: rg.arange(5, 1), RuntimeError),
        (lambda: rg.arange(float("inf")), RuntimeError),
        (lambda: rg.linspace(0, 1, -1), RuntimeError),
        (lambda: rg.linspace(0, 1, 5.0), TypeError),
        (lambda: rg.zeros_like([1]), TypeError),
        (lambda: rg.empty_strided((2,), (1, 1)), RuntimeError),
    ],
)
def test_arguments_that_are_refused(call, kind):
    with pytest.raises(kind):
        call()


def test_sequences():
    assert rg.arange(5, 1, -2).tolist() == [5, 3]
    assert rg.arange(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75]
    assert rg.arange(rg.tensor(3)).dtype is rg.int64
    assert rg.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert rg.linspace(0, 1, 1).tolist() == [0]
    assert rg.logspace(0, 2, 3).tolist() == [1, 10, 100]


def test_likeness_keeps_type_and_memory_order():
    x = rg.ones(2, 3, dtype=rg.float64).T
    for made in (rg.zeros_like(x), rg.empty_like(x), rg.full_like(x, 2)):
        assert (made.dtype, made.shape, made.stride()) == (x.dtype, x.shape, x.stride())
    assert rg.ones_like(x, dtype=rg.int32).dtype is rg.int32
    assert not rg.ones_like(x).requires_grad
    assert rg.ones_like(x, requires_grad=True).is_leaf


def test_new_tensors_take_the_type_of_the_tensor():
    x = rg.ones(2, dtype=rg.float64)
    assert x.new_zeros(2, 3).dtype is rg.float64
    assert x.new_full((2,), 1).dtype is rg.float64
    assert x.new_tensor([1]).dtype is rg.float64
    assert x.new_ones(2, dtype=rg.int8).dtype is rg.int8
    assert x.new_empty((2, 0)).shape == (2, 0)


def test_every_way_to_say_to():
    x = rg.ones(2)
    for args in ((rg.float64,), ("cpu", rg.float64), (rg.ones(1).double(),), (float,)):
        assert x.to(*args).dtype is rg.float64
    assert x.to() is x.to("cpu") is x.to(rg.float32) is x
    assert x.to(rg.float32, copy=True) is not x
    assert x.to(rg.float32, False, True) is not x
    with pytest.raises(RuntimeError, match="CPU"):
        x.to("cuda")
    with pytest.raises(TypeError):
        x.to([1])
