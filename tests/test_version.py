"""The guard of kept values: histories of memory, and seals on memory that others can write."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given
from hypothesis import strategies as st
from retrograd.autograd import errors, version

from .cases import leaf

# ---------------------------------------------------------------- one history for one memory


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x,
        lambda x: x[1:],
        lambda x: x.view(3, 1),
        lambda x: x.detach(),
        lambda x: x.data,
        lambda x: x.t(),
        lambda x: x.unsqueeze(0)[0, 1:2],
        lambda x: x.as_strided((2,), (1,)),
    ],
    ids=["itself", "slice", "view", "detach", "data", "t", "nested", "as_strided"],
)
def test_a_tensor_and_its_views_have_one_version(look):
    x = rg.zeros(3)
    seen = look(x)
    assert seen._version == x._version == 0
    seen.add_(1)
    assert seen._version == x._version == 1
    x.mul_(2)
    assert seen._version == x._version == 2


@pytest.mark.parametrize("look", [lambda x: x.clone(), lambda x: x + 0, lambda x: x[[0, 1]]])
def test_a_copy_has_its_own_version(look):
    x = rg.zeros(3)
    x.add_(1)
    assert look(x)._version == 0


def test_every_kind_of_write_counts_once():
    x = rg.zeros(4)
    writes = [
        lambda: x.add_(1),
        lambda: x.__iadd__(1),
        lambda: x.copy_(rg.ones(4)),
        lambda: x.fill_(2),
        lambda: x.zero_(),
        lambda: x.__setitem__(0, 1),
        lambda: x.__setitem__(rg.tensor([0, 2]), 1.0),
        lambda: x.normal_(),
        lambda: x.masked_fill_(x > 0, 1.0),
        lambda: x.clamp_(0, 1),
    ]
    for count, write in enumerate(writes, 1):
        write()
        assert x._version == count


def test_reading_counts_nothing():
    x = rg.ones(4)
    x + 1, x[0], x.sum(), x.clone(), x.numpy(), repr(x), x.tolist()
    assert x._version == 0


def test_the_history_goes_with_the_memory():
    gc.collect()
    before = len(version.changed), len(version.exposed)
    x = rg.zeros(3)
    x.add_(1)
    x.numpy()
    view = x[1:]
    assert (len(version.changed), len(version.exposed)) == (before[0] + 1, before[1] + 1)
    del x
    assert view._version == 1
    del view
    assert (len(version.changed), len(version.exposed)) == before


def test_the_owner_of_memory_is_found_through_any_chain_of_views():
    held = np.arange(24.0)
    view = np.lib.stride_tricks.as_strided(held.reshape(4, 6).T[1:], (2, 2), (8, 16))[0]
    assert version.owner(view) is held
    assert version.owner(held) is held


# ---------------------------------------------------------------- before and after


def test_a_write_before_the_op_is_no_concern():
    x, y = leaf(1.0, 2.0), rg.ones(2, dtype=rg.float64)
    y.mul_(3)
    (x * y).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_write_after_the_op_raises_even_if_it_writes_the_same_values():
    x, y = leaf(1.0, 2.0), rg.ones(2, dtype=rg.float64)
    out = (x * y).sum()
    y.mul_(1)
    with pytest.raises(RuntimeError, match="changed by mul_"):
        out.backward()


def test_a_write_to_another_part_of_the_memory_counts_as_pytorchs_does():
    x, y = leaf(1.0), rg.ones(2, dtype=rg.float64)
    out = (x * y[:1]).sum()
    y[1:].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_in_place_results_are_differentiated_as_if_out_of_place():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.exp_()
    y += x
    y[0] = y[1] * 3
    y.sum().backward()
    e4 = float(np.exp(4))
    assert x.grad.tolist() == pytest.approx([0.0, 4 * (2 * e4 + 1)])


def test_a_write_through_a_view_reaches_the_base_and_every_other_view():
    x = leaf(1.0, 2.0, 3.0)
    base = x * 1
    first, whole = base[:2], base.view(3, 1)
    first.mul_(10)
    assert base.tolist() == [10.0, 20.0, 3.0]
    (whole.sum() + first.sum()).backward()
    assert x.grad.tolist() == [20.0, 20.0, 1.0]


VIEWS = {
    "itself": lambda t: t,
    "front": lambda t: t[:2],
    "every other": lambda t: t[::2],
    "column": lambda t: t.view(4, 1),
    "back of the column": lambda t: t.view(4, 1)[2:],
}
WRITES = {
    "scaled": (lambda t: t.mul_(2), lambda t: t * 2),
    "shifted": (lambda t: t.add_(1), lambda t: t + 1),
    "squared": (lambda t: t.pow_(2), lambda t: t**2),
    "zeroed": (lambda t: t.zero_(), lambda t: t * 0),
}


@given(st.lists(st.tuples(st.sampled_from(list(VIEWS)), st.sampled_from(list(WRITES))), max_size=5))
def test_any_writes_through_any_views_agree_with_functions_of_whole_tensors(steps):
    """The same program without a write: each step replaces a part by where the view looks."""
    x = leaf(0.5, -1.0, 1.5, 2.0)
    y = x * 1
    again = leaf(0.5, -1.0, 1.5, 2.0)
    z = again * 1
    for view, write in steps:
        in_place, function = WRITES[write]
        in_place(VIEWS[view](y))
        places = VIEWS[view](rg.arange(4)).reshape(-1)
        mask = rg.zeros(4, dtype=rg.bool).index_fill(0, places, True)
        z = rg.where(mask, function(z), z)
    assert y.tolist() == z.tolist()
    weights = rg.tensor([1.0, 2.0, 3.0, 4.0], dtype=rg.float64)
    (y * weights).sum().backward()
    (z * weights).sum().backward()
    assert x.grad.tolist() == again.grad.tolist()


# ---------------------------------------------------------------- seals


@given(st.integers(0, 63), st.integers(0, 11))
def test_a_checksum_sees_a_change_of_any_bit(bit, place):
    array = np.arange(12.0).reshape(3, 4).T
    before = version.checksum(array)
    array.T.reshape(-1).view(np.uint64)[place] ^= np.uint64(1 << bit)
    assert version.checksum(array) != before


def test_only_exposed_memory_is_sealed():
    private, shared = np.ones(2), np.ones(2)
    version.expose(shared)
    assert version.seal((private, None, (2, 3))) is None
    assert version.seal((private, shared)) == (None, version.checksum(shared))


def test_a_seal_is_kept_only_as_long_as_its_node():
    from retrograd.autograd.tape import seals

    array = np.ones(2)
    out = leaf(1.0, 2.0) * rg.from_numpy(array)
    assert out.grad_fn in seals
    before = len(seals)
    del out
    assert len(seals) == before - 1


# ---------------------------------------------------------------- whose line it was


def test_the_line_is_the_users():
    code, line = errors.user_line()
    assert code.co_name == "test_the_line_is_the_users"
    assert errors.show_line((code, line)).endswith("    code, line = errors.user_line()")
    assert errors.show_line(None) == "an unknown line"
