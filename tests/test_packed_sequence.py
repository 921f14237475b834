"""Packed sequences."""

from __future__ import annotations

import copy
import pickle

import pytest
import retrograd as rg
from numpy.testing import assert_array_equal
from retrograd.nn.utils.rnn import (
    PackedSequence,
    invert_permutation,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)

XS = [rg.tensor([1, 2, 3]), rg.tensor([4]), rg.tensor([5, 6])]


def test_there_and_back():
    packed = pack_sequence(XS, enforce_sorted=False)
    assert packed.data.tolist() == [1, 5, 4, 2, 6, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [0, 2, 1]
    assert packed.unsorted_indices.tolist() == [0, 2, 1]
    assert [x.tolist() for x in unpack_sequence(packed)] == [x.tolist() for x in XS]
    padded, lengths = pad_packed_sequence(packed, batch_first=True, padding_value=9)
    assert padded.tolist() == [[1, 2, 3], [4, 9, 9], [5, 6, 9]]
    assert lengths.tolist() == [3, 1, 2]


def test_padding():
    assert pad_sequence(XS).tolist() == [[1, 4, 5], [2, 0, 6], [3, 0, 0]]
    assert pad_sequence(XS, True, padding_side="left").tolist() == [[1, 2, 3], [0, 0, 4], [0, 5, 6]]
    padded = pad_sequence(XS)
    assert [x.tolist() for x in unpad_sequence(padded, rg.tensor([3, 1, 2]))] == [
        x.tolist() for x in XS
    ]
    assert padded.shape == (3, 3)  # PyTorch's transposes its argument


def test_an_order_is_undone():
    assert invert_permutation(rg.tensor([2, 0, 1])).tolist() == [1, 2, 0]


def test_a_length_beyond_the_batch_is_refused():
    """PyTorch reads whatever lies behind the batch in memory."""
    with pytest.raises(RuntimeError, match="'lengths' has an element 5, but .* have 4 steps"):
        pack_padded_sequence(rg.ones(4, 2), [5, 1])


def test_conversions():
    packed = pack_sequence(XS, enforce_sorted=False)
    assert packed.to(rg.int64) is packed
    assert packed.cpu() is packed
    assert packed.pin_memory() is packed
    assert not packed.is_pinned()
    assert not packed.is_cuda
    assert packed.float().data.dtype is rg.float32
    assert packed.float().sorted_indices is packed.sorted_indices
    for name in ("double", "half", "long", "int", "short", "char", "byte"):
        assert getattr(packed, name)().data.dtype is getattr(packed.data, name)().dtype
    with pytest.raises(RuntimeError, match="cuda"):
        packed.cuda()


def test_copies():
    packed = pack_sequence(XS, enforce_sorted=False)
    for other in (pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed)):
        assert isinstance(other, PackedSequence)
        for a, b in zip(other, packed, strict=True):
            assert_array_equal(a.array, b.array)
