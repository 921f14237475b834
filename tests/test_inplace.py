"""In-place writes: what they change, what they refuse, and how a stale value is noticed."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd as rg


def leaf(*shape):
    return rg.ones(*shape, requires_grad=True)


def test_a_write_through_a_view_reaches_the_base_and_its_gradient():
    w = leaf(3)
    y = w * 2
    y[1:].mul_(3)
    assert y.tolist() == [2, 6, 6]
    y.sum().backward()
    assert w.grad.tolist() == [2, 6, 6]


def test_a_write_to_the_base_reaches_an_older_view():
    w = leaf(2, 2)
    y = w * 1
    row = y[0]
    y.mul_(5)
    row.sum().backward()
    assert w.grad.tolist() == [[5, 5], [0, 0]]


def test_what_is_overwritten_gets_no_gradient_and_the_value_gets_it():
    w, v = leaf(3), rg.tensor(2.0, requires_grad=True)
    y = w * 3
    y[0] = v
    (y * y).sum().backward()
    assert w.grad.tolist() == [0, 18, 18]
    assert v.grad.item() == 4


def test_masks_and_places_are_written():
    x = rg.arange(6.0).reshape(2, 3)
    x[x > 3] = -1.0
    x[:, rg.tensor([0, 2])] += 10
    assert x.tolist() == [[10, 1, 12], [13, -1, 9]]


@pytest.mark.parametrize(
    "write",
    [
        lambda w: w.add_(1),
        lambda w: w[0].mul_(2),
        lambda w: w.__setitem__(0, 1.0),
        lambda w: w.zero_(),
        lambda w: w.T.fill_(1.0),
        lambda w: w.unsqueeze_(0),
    ],
)
def test_a_leaf_is_written_only_outside_the_tape(write):
    w = leaf(2, 2)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        write(w)
    assert w.tolist() == [[1, 1], [1, 1]]
    with rg.no_grad():
        write(w)
    assert w.is_leaf
    assert w.requires_grad


def test_a_kept_value_that_changed_is_named_with_its_shape_and_line():
    x, w = rg.ones(2, 3), leaf(2, 3)
    y = x * w
    x.add_(1)  # the line to be named
    with pytest.raises(RuntimeError, match=r"\[2, 3\]") as caught:
        y.sum().backward()
    text = str(caught.value)
    assert "mul" in text
    assert "add_" in text
    assert "test_inplace.py" in text


@pytest.mark.parametrize("write", [lambda x: x[0].zero_(), lambda x: x.detach().mul_(2)])
def test_a_change_through_a_view_or_a_twin_is_noticed(write):
    x, w = rg.ones(2, 2), leaf(2, 2)
    y = (x * w).sum()
    write(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("route", ["from_numpy", "numpy()", "detach().numpy()", "asarray"])
def test_a_change_through_numpy_is_noticed(route):
    if route == "from_numpy":
        array = np.ones(3, np.float32)
        x = rg.from_numpy(array)
    else:
        x = rg.ones(3)
        ways = {"numpy()": x.numpy, "detach().numpy()": lambda: x.detach().numpy()}
        array = ways[route]() if route in ways else np.asarray(x)
    y = (x * leaf(3)).sum()
    array[0] = 7
    with pytest.raises(RuntimeError, match="NumPy"):
        y.backward()


def test_a_value_that_is_not_needed_may_change():
    x, w = rg.ones(3), leaf(3)
    y = (x + w).sum()
    x.mul_(5)
    y.backward()
    assert w.grad.tolist() == [1, 1, 1]


def test_an_op_in_place_keeps_what_it_needs_of_the_old_value():
    w, v = leaf(2), leaf(2)
    y = w * 3
    y.mul_(v)
    y.sum().backward()
    assert v.grad.tolist() == [3, 3]


@pytest.mark.parametrize("several", [lambda y: y.unbind()[0], lambda y: y.split(1)[0]])
def test_one_of_several_views_is_not_written(several):
    y = leaf(3) * 1
    with pytest.raises(RuntimeError, match="multiple views"):
        several(y).mul_(2)
    assert several(rg.ones(3)).mul_(2).tolist() in (2.0, [2.0])


def test_elements_that_share_a_place_are_not_written_apart():
    x = rg.zeros(1, 3).expand(2, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.copy_(rg.ones(2, 3))
    x[0].copy_(rg.ones(3))
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda: rg.ones(2).add_(rg.ones(3, 2)), "broadcast shape"),
        (lambda: rg.ones(2).copy_(rg.ones(3)), "does not broadcast"),
        (lambda: rg.ones(2, dtype=rg.int64).add_(0.5), "can't be cast"),
        (lambda: rg.ones(2, dtype=rg.int8).fill_(300), "overflow"),
        (lambda: rg.ones(2).__setitem__(0, rg.ones(2)), "broadcast shape"),
    ],
)
def test_values_that_do_not_fit_are_refused(write, complaint):
    with pytest.raises(RuntimeError, match=complaint):
        write()


def test_the_version_counts_writes_of_all_who_share_the_memory():
    x = rg.zeros(2, 2)
    assert x._version == 0
    x[0].add_(1)
    x.T.mul_(2)
    assert x._version == x[1]._version == x.detach()._version == 2


def test_another_shape_in_place():
    w = leaf(2, 3)
    y = (w * 2).unsqueeze_(0).transpose_(1, 2).squeeze_(0)
    assert y.shape == (3, 2)
    (y * rg.arange(6.0).reshape(3, 2)).sum().backward()
    assert w.grad.tolist() == [[0, 4, 8], [2, 6, 10]]


def test_a_view_of_what_got_another_shape_is_not_brought_up_to_date():
    y = leaf(2, 3) * 1
    row = y[0]
    y.t_()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="another shape in place"):
        row * 1
