"""The surface of a tensor: out into Python and NumPy, printing, comparing, what it says it is."""

from __future__ import annotations

import math
import operator
import weakref

import numpy as np
import pytest
import retrograd as rg

SCALARS = {
    "float": (rg.tensor(2.5), 2.5),
    "float64": (rg.tensor(2.5, dtype=rg.float64), 2.5),
    "int": (rg.tensor(3), 3),
    "bool": (rg.tensor(True), True),
    "complex": (rg.tensor(1 + 2j), 1 + 2j),
    "float16": (rg.tensor(0.5, dtype=rg.float16), 0.5),
    "bfloat16": (rg.tensor(0.5, dtype=rg.bfloat16), 0.5),
    "one element": (rg.tensor([[7.0]]), 7.0),
}


# ---------------------------------------------------------------- out into Python


@pytest.mark.parametrize("name", SCALARS)
def test_item_is_a_python_number(name):
    x, value = SCALARS[name]
    assert x.item() == value
    assert type(x.item()) is type(value)


def test_numbers():
    x = rg.tensor(2.75)
    assert (float(x), int(x), bool(x), complex(x)) == (2.75, 2, True, 2.75 + 0j)
    assert math.floor(float(rg.tensor([2.75]))) == 2
    assert [10, 20, 30][rg.tensor(1)] == 20
    assert list(range(rg.tensor(3))) == [0, 1, 2]
    assert not rg.tensor(0.0)
    assert rg.tensor([[1]])
    with pytest.raises(TypeError, match="index"):
        operator.index(rg.tensor(1.0))


@pytest.mark.parametrize(
    "values", [[], [[]], [1.0, 2.0], [[1, 2], [3, 4]], [[[True], [False]]], 5, [1 + 1j]], ids=repr
)
def test_tolist_is_what_went_in(values):
    assert rg.tensor(values).tolist() == values


def test_a_result_of_no_dimensions_is_still_a_tensor():
    x = rg.ones(2, 3)
    for y in (x.sum(), x.mean(), x.max(), x[0, 0], x.prod(), x.norm(), x.all(), x.argmax()):
        assert isinstance(y, rg.Tensor)
        assert type(y.array) is np.ndarray
        assert y.shape == ()


def test_length_and_iteration():
    x = rg.arange(6).reshape(3, 2)
    assert len(x) == 3
    rows = list(x)
    assert [r.tolist() for r in rows] == [[0, 1], [2, 3], [4, 5]]
    assert all(isinstance(r, rg.Tensor) for r in rows)
    a, b, c = rg.tensor([1, 2, 3])
    assert (a + b + c).item() == 6
    assert 4 in x
    assert 9 not in x


def test_iteration_is_on_the_tape():
    x = rg.ones(2, 2, requires_grad=True)
    first, second = x
    (first * 2 + second * 3).sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0], [3.0, 3.0]]


# ---------------------------------------------------------------- out into NumPy


def test_numpy_shares_memory_both_ways():
    x = rg.zeros(2)
    array = x.numpy()
    array[0] = 5
    x[1] = 7
    assert x.tolist() == array.tolist() == [5.0, 7.0]
    back = rg.from_numpy(array)
    assert back.data_ptr() == x.data_ptr()


def test_asarray_and_array():
    x = rg.tensor([1.0, 2.0])
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, np.float64).tolist() == [1.0, 2.0]
    copied = np.array(x)
    copied[0] = 9
    assert x.tolist() == [1.0, 2.0]
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]


def test_bfloat16_has_no_numpy():
    with pytest.raises(TypeError, match=r"BFloat16.*float\(\)"):
        rg.ones(1).bfloat16().numpy()
    assert rg.ones(1).half().numpy().dtype == np.float16


# ---------------------------------------------------------------- identity and comparison


def test_a_tensor_is_hashed_by_identity():
    x, y = rg.ones(1), rg.ones(1)
    assert len({x, y, x}) == 2
    table = {x: "x", y: "y"}
    assert (table[x], table[y]) == ("x", "y")


def test_comparison_is_element_by_element():
    x = rg.tensor([1.0, 2.0])
    assert (x == 1).tolist() == [True, False]
    assert operator.lt(1, x).tolist() == [False, True]
    assert (x != x).any().item() is False
    assert rg.equal(x, rg.tensor([1.0, 2.0])) is True
    assert (x == None) is False  # noqa: E711 - what == with a foreign object gives
    assert (x != "a") is True


def test_a_tensor_takes_attributes_and_weak_references():
    x = rg.ones(1)
    x.note = "mine"
    assert x.note == "mine"
    ref = weakref.ref(x)
    del x
    assert ref() is None


# ---------------------------------------------------------------- printing


def test_format_of_a_scalar_is_its_numbers():
    x = rg.tensor(3.14159)
    assert f"{x:.2f}" == "3.14"
    assert f"{x:8.1f}|" == "     3.1|"
    assert f"{rg.tensor(7):03d}" == "007"
    assert f"{x}" == "3.141590118408203"
    assert f"{rg.tensor([1.0])}" == "tensor([1.])"
    with pytest.raises(TypeError, match="format"):
        f"{rg.tensor([1.0]):.2f}"


def test_repr_says_what_is_unusual():
    x = rg.ones(1, requires_grad=True)
    assert repr(x) == str(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert repr(rg.ones(1, dtype=rg.float64)) == "tensor([1.], dtype=torch.float64)"
    assert repr(rg.nn.Parameter(rg.ones(1))).splitlines()[0] == "Parameter containing:"


# ---------------------------------------------------------------- what it says it is


def test_shape_and_its_relatives():
    x = rg.zeros(2, 3, 4)
    assert x.shape == x.size() == (2, 3, 4)
    assert (x.size(1), x.size(-1), x.shape[0]) == (3, 4, 2)
    assert x.ndim == x.dim() == x.ndimension() == 3
    assert x.numel() == x.nelement() == rg.numel(x) == 24
    assert (x.itemsize, x.element_size(), x.nbytes) == (4, 4, 96)
    with pytest.raises(IndexError, match="out of range"):
        x.size(3)


def test_memory():
    x = rg.arange(12.0).reshape(3, 4)
    assert x.stride() == (4, 1)
    assert x.t().stride() == (1, 4)
    assert x.stride(0) == 4
    assert x.is_contiguous()
    assert not x.t().is_contiguous()
    assert x.t().contiguous().is_contiguous()
    assert x[1, 2:].storage_offset() == 6
    assert x[1, 2:].data_ptr() == x.data_ptr() + 6 * 4
    assert x.contiguous() is x


def test_type_and_device():
    x = rg.zeros(1)
    assert x.dtype is rg.float32
    assert x.type() == "torch.FloatTensor"
    assert x.is_floating_point()
    assert not x.is_complex()
    assert x.is_signed()
    assert x.device == rg.device("cpu")
    assert str(x.device) == "cpu"
    assert repr(x.device) == "device(type='cpu')"
    assert rg.device("cpu:0").index == 0
    assert x.is_cpu
    assert not x.is_cuda
    assert x.cpu() is x
    assert x.to("cpu") is x
    assert rg.is_tensor(x)
    assert not rg.is_tensor(1)


def test_leaf_and_its_relatives():
    x = rg.ones(2, requires_grad=True)
    y = x * 2
    assert (x.is_leaf, x.grad_fn, x.requires_grad) == (True, None, True)
    assert (y.is_leaf, y.requires_grad) == (False, True)
    assert y.grad_fn.name() == "MulBackward0"
    z = y.detach()
    assert (z.is_leaf, z.requires_grad) == (True, False)
    assert z.data_ptr() == y.data_ptr()
    assert x.requires_grad_(False) is x
    assert not x.requires_grad


def test_detach_in_place_cuts_the_tape():
    x = rg.ones(2, requires_grad=True)
    y = x * 2
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad


def test_data_is_the_same_memory_and_can_be_replaced():
    x = rg.ones(2, requires_grad=True)
    x.data.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    x.data = rg.zeros(3)
    assert x.tolist() == [0.0, 0.0, 0.0]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_grad_can_be_assigned_and_deleted():
    x = rg.ones(2, requires_grad=True)
    x.grad = rg.full((2,), 5.0)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]
    x.grad = None
    assert x.grad is None
    (x * 2).sum().backward()
    del x.grad
    assert x.grad is None


# ---------------------------------------------------------------- how one is made


def test_the_legacy_constructor():
    assert rg.Tensor(2, 3).shape == (2, 3)
    assert rg.Tensor([1, 2]).dtype is rg.float32
    assert rg.Tensor().shape == (0,)
    assert rg.Tensor(rg.Size([2])).shape == (2,)


def test_tensor_copies_and_as_tensor_does_not():
    array = np.ones(2)
    copied, shared = rg.tensor(array), rg.as_tensor(array)
    array[0] = 9
    assert copied.tolist() == [1.0, 1.0]
    assert shared.tolist() == [9.0, 1.0]
    assert rg.as_tensor(shared) is shared


def test_tensor_of_a_tensor_warns():
    with pytest.warns(UserWarning, match="sourceTensor.detach"):
        rg.tensor(rg.ones(1))


def test_tensors_inside_lists_are_numbers():
    assert rg.tensor([rg.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
def test_a_size_is_given_in_any_way(name):
    make = getattr(rg, name)
    for x in (make(2, 3), make((2, 3)), make([2, 3]), make(size=(2, 3)), make(rg.Size([2, 3]))):
        assert x.shape == (2, 3)
    x = make(2, dtype=rg.int64)
    assert getattr(rg, name + "_like")(x).dtype is rg.int64
    assert getattr(x, "new_" + name)(3).dtype is rg.int64
    assert make(2, requires_grad=True).requires_grad


def test_parameter():
    p = rg.nn.Parameter(rg.ones(2))
    assert isinstance(p, rg.Tensor)
    assert p.requires_grad
    assert p.is_leaf
    assert type(p * 2) is rg.Tensor
    assert not rg.nn.Parameter(rg.ones(2), requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="Parameter"):
        rg.nn.Parameter([1.0])
