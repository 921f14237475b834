"""Memory formats: where the elements lie is what was asked for, and the values stay."""

from __future__ import annotations

import copy
import pickle

import pytest
import retrograd as rg
from retrograd import nn

IMAGES = (2, 3, 4, 5)
CHANNELS_LAST = (60, 1, 15, 3)
MAKERS = {
    "contiguous": lambda x, form: x.contiguous(memory_format=form),
    "clone": lambda x, form: x.clone(memory_format=form),
    "to": lambda x, form: x.to(memory_format=form),
    "to another type": lambda x, form: x.to(rg.float64, memory_format=form),
    "double": lambda x, form: x.double(memory_format=form),
    "cpu": lambda x, form: x.cpu(memory_format=form),
}
LIKE = (rg.empty_like, rg.zeros_like, rg.ones_like, rg.rand_like, rg.randn_like)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_channels_last_and_back(make):
    x = rg.randn(IMAGES, requires_grad=True)
    last = make(x, rg.channels_last)
    assert last.stride() == CHANNELS_LAST
    assert last.is_contiguous(memory_format=rg.channels_last)
    assert not last.is_contiguous()
    back = make(last, rg.contiguous_format)
    assert back.is_contiguous()
    assert rg.equal(back, x.to(back.dtype))
    (back * rg.arange(5)).sum().backward()
    assert x.grad[0, 0, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("make", LIKE)
def test_like_keeps_the_order_or_takes_another(make):
    x = rg.empty(IMAGES, memory_format=rg.channels_last)
    assert x.stride() == make(x).stride() == CHANNELS_LAST
    assert make(x, memory_format=rg.preserve_format).stride() == CHANNELS_LAST
    assert make(x, memory_format=rg.contiguous_format).is_contiguous()


def test_volumes():
    x = rg.zeros(2, 3, 4, 5, 6).contiguous(memory_format=rg.channels_last_3d)
    assert x.stride() == (360, 1, 90, 18, 3)
    assert x.is_contiguous(memory_format=rg.channels_last_3d)


def test_what_lies_right_is_not_copied():
    x = rg.zeros(IMAGES)
    assert x.contiguous(memory_format=rg.contiguous_format) is x
    assert x.to(memory_format=rg.contiguous_format) is x
    last = x.to(memory_format=rg.channels_last)
    assert last.to(memory_format=rg.channels_last) is last


def test_a_module_lays_out_its_images():
    net = nn.Linear(2, 3)
    net.image = nn.Parameter(rg.randn(IMAGES))
    net.to(memory_format=rg.channels_last)
    assert net.image.stride() == CHANNELS_LAST
    assert net.weight.stride() == (2, 1)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (RuntimeError, lambda: rg.zeros(2, 3).clone(memory_format=rg.channels_last)),
        (RuntimeError, lambda: rg.empty(2, memory_format=rg.preserve_format)),
        (RuntimeError, lambda: rg.zeros(2, 3).T.contiguous(memory_format=rg.preserve_format)),
        (TypeError, lambda: rg.zeros(2).clone(memory_format="channels_last")),
        (TypeError, lambda: rg.zeros(2, memory_format=rg.contiguous_format)),
        (TypeError, lambda: rg.zeros(2, layout="sparse")),
        (NotImplementedError, lambda: rg.zeros(2).share_memory_()),
        (NotImplementedError, lambda: nn.Linear(2, 2).share_memory()),
    ],
)
def test_refusals(error, call):
    with pytest.raises(error):
        call()


def test_they_are_values():
    assert repr(rg.channels_last) == str(rg.channels_last) == "torch.channels_last"
    assert rg.zeros(1).layout is rg.strided
    for value in (rg.strided, rg.channels_last_3d):
        assert copy.deepcopy(value) is pickle.loads(pickle.dumps(value)) is value
    assert not rg.zeros(1).is_shared()
