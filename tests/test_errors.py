"""Bad input: each mistake by the class PyTorch raises, and by what the message tells the user."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import retrograd as rg

from .cases import leaf

A = rg.ones(2, 3)
B = rg.ones(4, 5)
WHOLE = rg.tensor([1, 2, 3])
CUBE = rg.ones(2, 3, 4)

# what was done, the exception's class, and what its message must say
MISTAKES = {
    # shapes
    "add": (lambda: A + B, RuntimeError, r"size of tensor a \(3\) must match.*\(5\).*dimension 1"),
    "add, the shapes": (lambda: A + B, RuntimeError, r"\[2, 3\] and \[4, 5\]"),
    "add, the remedy": (lambda: A + B, RuntimeError, "unsqueeze, transpose or expand"),
    "matmul": (lambda: A @ B, RuntimeError, r"shapes cannot be multiplied \(2x3 and 4x5\)"),
    "matmul, leading": (lambda: CUBE @ rg.ones(3, 4, 2), RuntimeError, "cannot be multiplied"),
    "matmul of scalars": (lambda: rg.tensor(1.0) @ rg.tensor(2.0), RuntimeError, "at least 1D"),
    "mm of a cube": (lambda: rg.mm(CUBE, CUBE), RuntimeError, "matrix"),
    "bmm": (lambda: rg.bmm(CUBE, rg.ones(3, 4, 5)), RuntimeError, r"\[2, 4\] but got: \[3, 4\]"),
    "dot": (lambda: rg.dot(A, A), RuntimeError, "1D|vector"),
    "reshape": (lambda: A.reshape(4), RuntimeError, r"'\[4\]' is invalid for input of size 6"),
    "reshape, two holes": (lambda: A.reshape(-1, -1), RuntimeError, "only one dimension"),
    "reshape, ambiguous": (lambda: rg.ones(0).reshape(-1, 0), RuntimeError, "ambiguous"),
    "view": (lambda: A.t().view(6), RuntimeError, r"not compatible.*\.reshape"),
    "expand": (lambda: A.expand(2, 4), RuntimeError, "expand"),
    "cat": (lambda: rg.cat([A, B]), RuntimeError, r"must match except in dimension 0.* 3 .* 5"),
    "cat of nothing": (lambda: rg.cat([]), (RuntimeError, ValueError), "non-empty"),
    "stack": (lambda: rg.stack([A, B]), RuntimeError, "equal size"),
    "permute": (lambda: A.permute(0), RuntimeError, r"input.dim\(\) = 2"),
    "permute twice": (lambda: A.permute(0, 0), RuntimeError, "duplicate dims"),
    "split": (lambda: A.split([1, 2]), RuntimeError, r"sum exactly to 2"),
    "assignment": (lambda: A.clone().__setitem__(0, rg.ones(4)), RuntimeError, r"\[4\].*\[3\]"),
    "copy_": (lambda: A.clone().copy_(B), RuntimeError, r"\[4, 5\].*\[2, 3\]"),
    "in place": (lambda: rg.ones(3).add_(A), RuntimeError, r"\[3\] doesn't match.*\[2, 3\]"),
    "einsum": (lambda: rg.einsum("ij,jk->ik", A, B), RuntimeError, "einsum"),
    "gather": (lambda: A.gather(0, rg.zeros(1, dtype=rg.int64)), RuntimeError, "number of dim"),
    # axes and indices
    "dim": (lambda: A.sum(2), IndexError, r"out of range \(expected.*\[-2, 1\], but got 2\)"),
    "dim twice": (lambda: A.sum((0, 0)), RuntimeError, "appears multiple times"),
    "softmax": (lambda: A.softmax(5), IndexError, r"but got 5"),
    "transpose": (lambda: A.transpose(0, 3), IndexError, r"but got 3"),
    "unsqueeze": (lambda: A.unsqueeze(4), IndexError, r"\[-3, 2\], but got 4"),
    "index": (lambda: A[2], IndexError, r"index 2 .* dimension 0 with size 2"),
    "index of axis 1": (lambda: A[0, 3], IndexError, r"index 3 .* dimension \d with size 3"),
    "negative index": (lambda: A[-3], IndexError, r"index -3 is out of bounds"),
    "many indices": (lambda: A[0, 0, 0], IndexError, "too many indices.* 2"),
    "scalar index": (lambda: rg.tensor(1.0)[0], IndexError, r"tensor\.item\(\)"),
    "float index": (lambda: A[rg.tensor([0.5])], IndexError, r"long, int, byte or bool"),
    "text index": (lambda: A["a"], TypeError, "invalid data type 'str'"),
    "index list": (lambda: A[[5]], IndexError, r"index 5 is out of bounds"),
    "mask": (lambda: A[rg.tensor([True, False, True])], IndexError, "mask"),
    "negative step": (lambda: A[::-1], ValueError, r"step must be greater than zero.*flip"),
    "index_select": (lambda: A.index_select(1, rg.tensor([3])), IndexError, "out of"),
    "gather index": (lambda: A.gather(1, rg.tensor([[3]])), (IndexError, RuntimeError), "index 3"),
    "select": (lambda: A.select(0, 7), IndexError, "7"),
    "narrow": (lambda: A.narrow(1, 2, 3), RuntimeError, r"exceeds dimension size \(3\)"),
    "embedding": (
        lambda: rg.nn.functional.embedding(rg.tensor([9]), A), IndexError, "out of (range|bounds)",
    ),
    # types
    "mean of ints": (lambda: WHOLE.mean(), RuntimeError, r"floating point.*\.float\(\)"),
    "int by zero": (lambda: WHOLE // 0, RuntimeError, "ZeroDivisionError"),
    "int remainder by zero": (lambda: WHOLE % rg.tensor(0), RuntimeError, "ZeroDivisionError"),
    "bool minus bool": (lambda: (WHOLE > 1) - (WHOLE > 2), RuntimeError, "`-`|not supported|bool"),
    "minus bool": (lambda: -(WHOLE > 1), RuntimeError, "`-`|not supported|bool|Bool"),
    "int into itself": (lambda: WHOLE.clone().div_(2), RuntimeError, "Float can't be cast"),
    "mixed matmul": (lambda: A @ A.t().double(), RuntimeError, r"same dtype.*float != double"),
    "shift of floats": (lambda: A << 1, NotImplementedError, "not implemented for"),
    "and of floats": (lambda: A & A, NotImplementedError, "not implemented for"),
    "softmax of ints": (lambda: rg.softmax(WHOLE, 0), NotImplementedError, r"int64.*\.float\(\)"),
    "log_softmax of ints": (lambda: rg.log_softmax(WHOLE, 0), NotImplementedError, "not impl"),
    "gelu of ints": (lambda: rg.nn.functional.gelu(WHOLE), NotImplementedError, "not impl"),
    "mask of ints": (lambda: A.masked_fill(WHOLE, 0), RuntimeError, "boolean masks"),
    "gradient of ints": (
        lambda: rg.tensor([1], requires_grad=True), RuntimeError, "floating point and complex",
    ),
    "wish of ints": (lambda: WHOLE.clone().requires_grad_(), RuntimeError, r"\.float"),
    "a device": (lambda: rg.ones(1, device="cuda"), (RuntimeError, AssertionError), "CPU"),
    "default type": (lambda: rg.set_default_dtype(rg.int64), TypeError, "floating-point"),
    # values
    "item": (lambda: A.item(), RuntimeError, "6 elements cannot be converted to Scalar"),
    "bool": (lambda: bool(A), RuntimeError, r"ambiguous.*any\(\) or \.all\(\)"),
    "bool of nothing": (lambda: bool(rg.ones(0)), RuntimeError, "ambiguous"),
    "len": (lambda: len(rg.tensor(1.0)), TypeError, "0-d tensor"),
    "iteration": (lambda: iter(rg.tensor(1.0)), TypeError, "0-d tensor"),
    "max of nothing": (lambda: rg.ones(0).max(), RuntimeError, "numel"),
    "argmax of nothing": (lambda: rg.ones(0).argmax(), IndexError, "numel"),
    "amax of nothing": (lambda: rg.ones(0, 2).amax(0), IndexError, "non-zero size"),
    "negative size": (lambda: rg.ones(-1), RuntimeError, "negative dimension -1"),
    "ragged": (lambda: rg.tensor([[1, 2], [3]]), ValueError, "length"),
    "text": (lambda: rg.tensor("abc"), TypeError, "str"),
    "None": (lambda: rg.tensor(None), RuntimeError, "Could not infer dtype of NoneType"),
    "too large": (lambda: rg.tensor([2**70]), (RuntimeError, ValueError), "[Oo]verflow"),
    "step": (lambda: rg.arange(0, 1, 0), RuntimeError, "step must be nonzero"),
    "direction": (lambda: rg.arange(1, 0), RuntimeError, "inconsistent with step sign"),
    # operands
    "no tensor": (lambda: rg.exp([1.0]), TypeError, r"argument 'input'.*must be Tensor, not list"),
    "text operand": (lambda: A + "b", TypeError, "unsupported operand|must be Tensor"),
    "None operand": (lambda: A * None, TypeError, "unsupported operand|must be Tensor"),
    "object operand": (lambda: object() - A, TypeError, "unsupported operand"),
    "keyword": (lambda: A.sum(axle=1), TypeError, "axle"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake):
    attempt, kind, text = MISTAKES[mistake]
    with pytest.raises(kind) as caught:
        attempt()
    assert re.search(text, str(caught.value), re.DOTALL), str(caught.value)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_no_trail_of_inner_errors(mistake):
    """What NumPy said first is part of the message, or of no interest."""
    attempt, kind, _ = MISTAKES[mistake]
    with pytest.raises(kind) as caught:
        attempt()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# ---------------------------------------------------------------- backward


def test_backward_without_a_tape():
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        rg.ones(1).sum().backward()
    with rg.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="computed under no_grad"):
        y.backward()


def test_backward_of_a_non_scalar():
    with pytest.raises(RuntimeError, match=r"implicitly created only for scalar.*\[2\].*sum\(\)"):
        (leaf(1.0, 2.0) * 2).backward()


def test_backward_with_a_gradient_of_another_shape():
    with pytest.raises(RuntimeError, match=r"grad_output has a shape of torch.Size\(\[3\]\)"):
        (leaf(1.0, 2.0) * 2).backward(rg.ones(3, dtype=rg.float64))


def test_backward_with_no_tensor():
    with pytest.raises(TypeError, match="gradients can be either Tensors or None, but got float"):
        (leaf(1.0) * 2).backward(1.0)


def test_backward_twice():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"a second time.*what .* kept.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 2.0


def test_a_second_backward_through_a_shared_part():
    x = leaf(1.0)
    shared = x.exp()
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="what exp kept was freed"):
        (shared * 2).sum().backward()
    assert x.grad.item() == np.e


def test_grad_of_what_takes_no_part():
    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(RuntimeError, match=r"not have been used in the graph.*allow_unused=True"):
        rg.autograd.grad((x * 2).sum(), y)
    assert rg.autograd.grad((x * 2).sum(), y, allow_unused=True) == (None,)
    with pytest.raises(RuntimeError, match="does not require grad"):
        rg.autograd.grad((x * 2).sum(), rg.ones(1))


def test_a_failed_backward_leaves_every_grad_as_it_was():
    x, y, z = leaf(1.0), leaf(2.0), leaf(3.0)
    x.grad = rg.tensor([7.0], dtype=rg.float64)
    inner = y * y
    out = (inner * x) + (z * z * x)
    with rg.no_grad():
        y.add_(1)  # the rule that needs y comes last
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
    assert x.grad.item() == 7.0
    assert y.grad is None
    assert z.grad is None


# ---------------------------------------------------------------- in place


def test_in_place_on_a_leaf_that_wants_a_gradient():
    x = leaf(1.0, 2.0)
    for change in (
        lambda: x.add_(1),
        lambda: x.mul_(x),
        lambda: x.zero_(),
        lambda: x.__setitem__(0, 1.0),
        lambda: x[0].fill_(1.0),
    ):
        with pytest.raises(RuntimeError, match=r"a.*leaf Variable that requires grad.*no_grad"):
            change()
    with rg.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0]
    assert x.requires_grad


def test_a_kept_value_that_changed_names_the_op_the_shape_and_this_line():
    x = leaf(1.0, 2.0)
    y = x * 1
    out = y.exp() * y
    y.add_(1)
    line = inspect.currentframe().f_lineno - 1
    with pytest.raises(RuntimeError) as caught:
        out.sum().backward()
    said = str(caught.value)
    assert "modified by an inplace operation" in said
    assert "a tensor of shape [2] that mul keeps" in said
    assert "changed by add_" in said
    assert f'File "{__file__}", line {line}' in said
    assert "y.add_(1)" in said
    assert "out-of-place" in said
    assert x.grad is None


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.zero_(),
        lambda y: y[0].mul_(2),
        lambda y: y.__setitem__(0, 5.0),
        lambda y: y.view(2, 1).add_(1),
        lambda y: y.detach().add_(1),
        lambda y: y.data.fill_(3),
        lambda y: y.t().copy_(rg.zeros(2)),
        lambda y: y.uniform_(),
    ],
    ids=["zero_", "a view", "setitem", "view", "detach", "data", "t", "random"],
)
def test_every_way_to_change_a_kept_value_is_seen(change):
    x = leaf(1.0, 2.0)
    y = x * 1
    out = (y * y).sum()
    with rg.no_grad():
        change(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_a_change_of_what_nobody_keeps_is_fine():
    x = leaf(1.0, 2.0)
    y = x * 3
    out = (y + 1).sum()
    with rg.no_grad():
        y.zero_()
    out.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_an_expanded_tensor_is_not_written_to():
    with pytest.raises(RuntimeError, match=r"single memory location.*clone\(\)"):
        rg.ones(1).expand(3).add_(1)


def test_a_view_made_under_no_grad_is_not_written_to_while_recording():
    x = leaf(1.0, 2.0)
    y = x * 1
    with rg.no_grad():
        v = y[0]
    with pytest.raises(RuntimeError, match="created in no_grad mode"):
        v.mul_(x[0])


def test_grad_is_checked_when_assigned():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"different size: expected \[2\], got \[3\]"):
        x.grad = rg.ones(3, dtype=rg.float64)
    with pytest.raises(
        RuntimeError, match=r"different type: expected torch\.float64, got torch\.float32"
    ):
        x.grad = rg.ones(2)
    with pytest.raises(TypeError, match="to be a Tensor or None"):
        x.grad = 1.0
    assert x.grad is None


def test_requires_grad_of_a_result_cannot_be_taken_back():
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf"):
        (leaf(1.0) * 2).requires_grad = False


def test_grad_of_a_result_warns():
    y = leaf(1.0) * 2
    with pytest.warns(UserWarning, match=r"not a leaf Tensor is being accessed.*retain_grad"):
        assert y.grad is None


def test_numpy_of_what_wants_a_gradient():
    with pytest.raises(RuntimeError, match=r"tensor\.detach\(\)\.numpy\(\)"):
        leaf(1.0).numpy()
    assert leaf(1.0).numpy(force=True).tolist() == [1.0]


def test_hooks_are_checked():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        rg.ones(1).register_hook(print)
    y = x * 2
    y.register_hook(lambda g: rg.ones(3))
    with pytest.raises(RuntimeError, match=r"changed the size of value: expected \[2\], got \[3\]"):
        y.sum().backward()
    y = x * 2
    y.register_hook(lambda g: 1.0)
    with pytest.raises(TypeError, match="hook returned 'float'"):
        y.sum().backward()
    assert x.grad is None
