"""Tensors among NumPy arrays: no gradient is lost unnoticed, memory is shared where it is said."""

import copy
import operator
import pickle

import numpy as np
import pytest
import retrograd as rg

ARITHMETIC = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.matmul,
]
COMPARISONS = [operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge]


def leaf(*values, dtype=rg.float32):
    return rg.tensor(values or (1.0, 2.0), dtype=dtype, requires_grad=True)


def f32(*values):
    return np.array(values, np.float32)


# ---------------------------------------------------------------- operators


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_with_an_array_on_either_side(op):
    array, other = f32(3, 5), rg.tensor([3.0, 5.0])
    for left in (True, False):
        x, y = leaf(), leaf()
        out, expected = (op(array, x), op(other, y)) if left else (op(x, array), op(y, other))
        assert type(out) is rg.Tensor
        assert rg.equal(out, expected)
        out.sum().backward()
        expected.sum().backward()
        assert rg.equal(x.grad, y.grad)


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparison_with_an_array(op):
    array, x = f32(3, 1), leaf()
    expected = op(array, x.detach().numpy()).tolist()
    assert op(array, x).tolist() == expected
    assert op(array, x).dtype is rg.bool


@pytest.mark.parametrize("number", [np.float64(2), np.float32(2), np.int64(2), 2])
def test_numpy_numbers_are_weak(number):
    x = leaf()
    for out in (number * x, x * number):
        assert out.dtype is rg.float32
        assert out.tolist() == [2, 4]
        assert out.requires_grad


def test_zero_dimensional_array_promotes_by_category():
    assert (np.array(2.0) * leaf()).dtype is rg.float32
    assert (np.array([2.0]) * leaf()).dtype is rg.float64


def test_array_that_is_written_later_is_noticed():
    array, x = f32(3, 5), leaf()
    y = array * x
    array[:] = 0
    with pytest.raises(RuntimeError, match="modified outside the engine"):
        y.sum().backward()


def test_assignment_to_an_array():
    array = f32(1, 1)
    before = array
    array += rg.tensor([1.0, 2.0])
    assert array is before
    assert array.tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="lose the gradient"):
        array += leaf()
    assert array.tolist() == [2, 3]


def test_elements_assigned_to_an_array():
    array = f32(0, 0)
    array[:] = rg.tensor([1.0, 2.0])
    assert array.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="requires grad"):
        array[:] = leaf()


def test_array_indexed_by_a_tensor():
    array = f32(5, 6, 7)
    assert array[rg.tensor([2, 0])].tolist() == [7, 5]
    assert array[rg.tensor([True, False, True])].tolist() == [5, 7]
    assert array[rg.tensor(1)] == 6


def test_object_arrays():
    with pytest.raises(TypeError, match="object"):
        np.array([1, None], dtype=object) * leaf()


# ---------------------------------------------------------------- functions


@pytest.mark.parametrize("name", ["exp", "sin", "arctan", "square", "fabs", "reciprocal", "rint"])
@pytest.mark.parametrize("dtype", [rg.float32, rg.bfloat16])
def test_function_of_one_tensor(name, dtype):
    x = leaf(0.25, 0.5, dtype=dtype)
    out = getattr(np, name)(x)
    assert out.dtype is dtype
    assert out.requires_grad
    expected = getattr(np, name)(f32(0.25, 0.5))
    assert np.allclose(out.detach().float().numpy(), expected, rtol=1e-2)


@pytest.mark.parametrize(
    "name", ["arctan2", "hypot", "maximum", "fmod", "power", "logaddexp", "copysign", "remainder"]
)
@pytest.mark.parametrize("other", [float, np.float64, lambda n: f32(n, n + 1)])
def test_function_of_two(name, other):
    function, x, other = getattr(np, name), leaf(), other(2)
    plain = x.detach().numpy()
    for out, expected in [
        (function(x, other), function(plain, other)),
        (function(other, x), function(other, plain)),
    ]:
        assert out.requires_grad
        assert np.allclose(out.detach().numpy(), expected)


def test_predicates():
    x = leaf(float("nan"), 1.0)
    assert np.isnan(x).tolist() == [True, False]
    assert np.logical_not(np.isfinite(x)).tolist() == [True, False]


def test_functions_without_a_counterpart():
    out = np.cbrt(rg.tensor([8.0]))
    assert type(out) is rg.Tensor
    assert out.tolist() == [2]
    assert np.spacing(rg.ones(1, dtype=rg.float16)).dtype is rg.float16
    with pytest.raises(RuntimeError, match=r"np\.cbrt would lose the gradient.*detach\(\)"):
        np.cbrt(leaf())


def test_methods_of_functions():
    x = rg.tensor([1.0, 2.0])
    assert np.add.reduce(x).item() == 3
    assert np.multiply.outer(x, x).tolist() == [[1, 2], [2, 4]]
    with pytest.raises(RuntimeError, match=r"np\.multiply\.outer would lose the gradient"):
        np.multiply.outer(leaf(), x)


def test_out_must_be_an_array():
    with pytest.raises(TypeError, match="out must be an array"):
        np.exp(rg.ones(2), out=rg.zeros(2))
    out = f32(0, 0)
    assert np.exp(rg.zeros(2), out=out) is out
    assert out.tolist() == [1, 1]


@pytest.mark.parametrize(
    "call",
    [
        np.sum,
        np.mean,
        np.max,
        np.amin,
        np.std,
        np.var,
        lambda x: np.sum(x, axis=0),
        lambda x: np.sum(x, axis=(0, 1), keepdims=True),
        lambda x: np.mean(x, axis=-1, keepdims=True),
        lambda x: np.var(x, axis=1, ddof=1),
        lambda x: np.concatenate([x, x]),
        lambda x: np.concatenate([x, np.ones((1, 2), np.float32)], axis=0),
        lambda x: np.stack([x, x], axis=1),
        lambda x: np.vstack([x, x]),
        lambda x: np.hstack([x, x]),
        lambda x: np.where(x > 2, x, 0.0),
        lambda x: np.dot(x, x),
        lambda x: np.transpose(x),
        lambda x: np.transpose(x, (1, 0)),
        lambda x: np.reshape(x, (4,)),
        lambda x: np.ravel(x),
        lambda x: np.expand_dims(x, 0),
        lambda x: np.squeeze(x),
        lambda x: np.swapaxes(x, 0, 1),
        lambda x: np.clip(x, 1.5, 3),
        lambda x: np.cumsum(x, axis=1),
        lambda x: np.broadcast_to(x, (2, 2, 2)),
    ],
)
def test_functions_of_arrays_keep_the_gradient(call):
    x = rg.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    out = call(x)
    assert out.requires_grad
    expected = call(x.detach().numpy())
    assert out.shape == np.shape(expected)
    assert np.allclose(out.detach().numpy(), expected)


def test_arrays_come_of_joining_tensors_without_a_gradient():
    x = rg.ones(2)
    for out in (np.concatenate([x, x]), np.stack([x, x]), np.where(x > 0, x, 0)):
        assert type(out) is np.ndarray


def test_other_functions_work_on_the_arrays():
    x = rg.tensor([3.0, 4.0])
    assert np.linalg.norm(x) == 5
    assert np.allclose(x, f32(3, 4))
    assert np.array_equal(x, x)
    with pytest.raises(RuntimeError, match=r"np\.norm would lose the gradient.*torch\.norm"):
        np.linalg.norm(leaf())


def test_numpy_cannot_write_to_a_tensor_unnoticed():
    x = rg.ones(2)
    with pytest.raises(ValueError, match="read-only"):
        np.copyto(x, f32(5, 5))
    assert x.tolist() == [1, 1]


# ---------------------------------------------------------------- conversions


@pytest.mark.parametrize(
    "convert", [np.array, np.asarray, lambda x: x.numpy(), lambda x: [*map(float, np.asarray([x]))]]
)
def test_tensor_that_wants_a_gradient_is_no_array(convert):
    with pytest.raises(RuntimeError, match=r"Use tensor\.detach\(\)\.numpy\(\)"):
        convert(leaf())


def test_asarray_shares_and_array_copies():
    x = rg.ones(2)
    np.asarray(x)[0] = 5
    np.array(x)[1] = 7
    assert x.tolist() == [5, 1]
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype=np.float64, copy=False)


def test_list_of_tensors():
    assert np.asarray([rg.ones(2), rg.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert np.asarray([rg.tensor(1.0), rg.tensor(2.0)]).tolist() == [1, 2]


def test_half():
    x = rg.tensor([1.0, 2.0], dtype=rg.float16)
    assert x.numpy().dtype == np.float16
    assert np.shares_memory(x.numpy(), np.asarray(x))
    assert rg.from_numpy(x.numpy()).dtype is rg.float16
    assert (np.ones(2, np.float16) * x).dtype is rg.float16


def test_bfloat16_has_no_array():
    x = rg.ones(2, dtype=rg.bfloat16)
    for convert in (np.asarray, lambda x: np.linalg.norm(x)):
        with pytest.raises(TypeError, match="BFloat16"):
            convert(x)
    with pytest.raises(BufferError, match="bfloat16"):
        np.from_dlpack(x)


@pytest.mark.parametrize(
    "dtype", [rg.float16, rg.float32, rg.float64, rg.int8, rg.uint8, rg.int64, rg.bool]
)
def test_dlpack_shares_memory(dtype):
    x = rg.tensor([[1, 0], [0, 1]]).to(dtype)
    array = np.from_dlpack(x)
    back = rg.from_dlpack(x)
    assert back.dtype is dtype
    x[0, 0] = 0
    assert array[0, 0] == back[0, 0] == 0


def test_dlpack_of_views_and_read_only_memory():
    assert np.from_dlpack(rg.arange(6).view(2, 3).T).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert np.from_dlpack(rg.ones(2).expand(3, 2)).shape == (3, 2)
    frozen = f32(1, 2)
    frozen.flags.writeable = False
    x = rg.from_dlpack(frozen)
    assert x.tolist() == [1, 2]
    with pytest.raises(RuntimeError):
        x.add_(1)


def test_dlpack_of_a_tensor_that_wants_a_gradient():
    with pytest.raises(BufferError, match=r"use tensor\.detach\(\)"):
        np.from_dlpack(leaf())


def test_dlpack_memory_is_watched():
    x = rg.ones(2)
    array = np.from_dlpack(x)
    y = leaf() * x
    array[0] = 3
    with pytest.raises(RuntimeError, match="modified outside the engine"):
        y.sum().backward()


def test_no_cuda_array():
    assert not hasattr(rg.ones(1), "__cuda_array_interface__")


def test_array_wrap():
    assert type(rg.ones(2).__array_wrap__(f32(1, 2))) is rg.Tensor


# ---------------------------------------------------------------- as a Python object


def test_contains():
    x = leaf()
    assert 1.0 in x
    assert np.float32(2) in x
    assert rg.tensor(3.0) not in x
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar"):
        "1" in x  # noqa: B015


def test_reversed():
    x = leaf()
    back = reversed(x)
    assert back.tolist() == [2, 1]
    assert back.requires_grad
    assert reversed(rg.tensor(3)).item() == 3


def test_copy_shares_memory():
    p = rg.Parameter(rg.ones(2))
    p.note, p.grad = ["mine"], rg.ones(2)
    twin = copy.copy(p)
    assert type(twin) is rg.Parameter
    assert twin.data_ptr() == p.data_ptr()
    assert twin.note is p.note
    assert twin.requires_grad
    assert twin.grad is None


def test_deepcopy_shares_nothing():
    p = rg.Parameter(rg.ones(2))
    p.note, p.grad = ["mine"], rg.ones(2)
    one, two = copy.deepcopy([p, p])
    assert one is two
    assert type(one) is rg.Parameter
    assert one.note == ["mine"]
    assert one.note is not p.note
    one.grad.add_(1)
    with rg.no_grad():
        one.add_(1)
    assert p.tolist() == p.grad.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [rg.float32, rg.float16, rg.bfloat16, rg.bool])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(dtype, protocol):
    x = rg.tensor([[1, 0], [1, 1]]).to(dtype)
    x.note = "mine"
    back = pickle.loads(pickle.dumps(x, protocol))
    assert back.dtype is dtype
    assert rg.equal(back, x)
    assert back.note == "mine"


def test_pickle_keeps_what_kind_of_leaf_it_is():
    for x in (leaf(), rg.Parameter(rg.ones(2)), rg.Parameter(rg.ones(2), requires_grad=False)):
        back = pickle.loads(pickle.dumps(x))
        assert type(back) is type(x)
        assert back.requires_grad == x.requires_grad
        assert back.is_leaf


def test_results_have_no_copies():
    y = leaf() * 2
    for duplicate in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match=r"detach\(\)"):
            duplicate(y)
