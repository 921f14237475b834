"""Padding and packing in PyTorch and here."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)


def values(x):
    """Everything in a result, as NumPy arrays and plain values."""
    if isinstance(x, (tuple, list)):
        return [values(part) for part in x]
    return x.detach().numpy() if hasattr(x, "detach") else x


def same(theirs, ours):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(theirs, ours, strict=True):
            same(a, b)
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


def outcome(engine, call):
    """The value of an expression, or the class of its exception and what it says."""
    u = engine.nn.utils.rnn
    x = engine.arange(24.0).reshape(4, 3, 2)
    words = {
        **vars(u),
        "engine": engine,
        "x": x,
        "tensor": engine.tensor,
        "p": u.pack_padded_sequence,
    }
    words["xs"] = [engine.arange(3.0), engine.ones(1), engine.arange(5.0)]
    words["sorted_"] = u.pack_padded_sequence(x, [4, 2, 1])
    words["unsorted"] = u.pack_padded_sequence(x, [1, 4, 2], enforce_sorted=False)
    try:
        return values(eval(call, words)), None
    except Exception as error:
        return type(error), str(error)


GOOD = """
p(x, [4, 2, 1])
p(x, [3, 3, 3])
p(x, (2, 2, 1))
p(x, tensor([4, 2, 1]))
p(x, tensor([4, 2, 1], dtype=engine.int32))
p(x, tensor([3.5, 2, 1]))
p(x[..., 0], [4, 2, 1])
p(x, [2, 4, 1], enforce_sorted=False)
p(x, [2, 4, 2], enforce_sorted=False)
p(x.transpose(0, 1), [2, 4, 2], True, False)
p(x.long(), [4, 2, 1])
pad_packed_sequence(sorted_)
pad_packed_sequence(unsorted)
pad_packed_sequence(unsorted, batch_first=True)
pad_packed_sequence(unsorted, True, -1.5, 6)
pad_packed_sequence(p(x.long(), [4, 2, 1]), padding_value=-1)
pad_packed_sequence(p(x[..., 0], [4, 2, 1]))
pad_sequence(xs)
pad_sequence(xs, True)
pad_sequence(xs, True, -1)
pad_sequence(xs, padding_side="left")
pad_sequence(xs, True, 0.5, "left")
pad_sequence([x, x[:2]])
pad_sequence([engine.ones(2), engine.ones(3, dtype=engine.int64)])
pad_sequence(iter(xs))
pad_sequence(x)
unpad_sequence(pad_sequence(xs), tensor([3, 1, 5]))
unpad_sequence(pad_sequence(xs, True), tensor([3, 1, 5]), batch_first=True)
pack_sequence(xs, enforce_sorted=False)
pack_sequence([xs[2], xs[0], xs[1]])
unpack_sequence(pack_sequence(xs, enforce_sorted=False))
unpack_sequence(sorted_)
invert_permutation(tensor([2, 0, 1]))
invert_permutation(None)
PackedSequence((x, tensor([4])))
PackedSequence(x, tensor([4]), tensor([1, 2, 0]))
sorted_.double()
sorted_.int()
sorted_.byte()
unsorted.long()
sorted_.to(engine.float64)
sorted_.to(engine.float32) is sorted_
sorted_.float() is sorted_
sorted_.cpu() is sorted_
sorted_.is_cuda
repr(unsorted)
sorted_._fields
""".strip().splitlines()

BAD = """
p(x, [3, 2])
p(x, [1, 2, 3])
p(x, [3, 2, 0])
p(x, [3, 2, -1])
p(x, [3, 0, 2], enforce_sorted=False)
p(x, tensor([[3, 2, 1]]))
p(engine.ones(4), [3, 2, 1])
p(engine.ones(4, 0, 3), [])
p(engine.ones(4, 3, 0), [3, 2, 1])
pad_packed_sequence(sorted_, total_length=3)
pad_sequence(5)
pad_sequence([])
pad_sequence([engine.ones(2), engine.ones(2, 3)])
pad_sequence([engine.ones(2, 2), engine.ones(2, 3)])
pad_sequence(xs, padding_side="x")
pad_sequence([engine.ones(2, 2), 1])
pad_sequence([engine.tensor(1.0)])
pack_sequence([engine.ones(2), engine.ones(3)])
pack_sequence([])
PackedSequence(x)
""".strip().splitlines()


@pytest.mark.parametrize("call", GOOD)
def test_equal(call):
    theirs, error = outcome(torch, call)
    assert error is None
    ours, error = outcome(retrograd, call)
    assert error is None
    same(theirs, ours)


@pytest.mark.parametrize("call", BAD)
def test_refused(call):
    (kind, text), mine = (outcome(engine, call) for engine in ENGINES)
    assert text is not None
    assert mine[0] is kind
    if "pad_sequence([engine" not in call and "engine.ones(4)," not in call:
        assert mine[1] == text


def test_gradients():
    results = []
    for engine in ENGINES:
        u = engine.nn.utils.rnn
        x = engine.arange(24.0).reshape(4, 3, 2).requires_grad_()
        packed = u.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False)
        padded, _ = u.pad_packed_sequence(packed, batch_first=True, total_length=5)
        xs = u.unpack_sequence(packed)
        again = u.pad_sequence(xs, padding_value=3.0, padding_side="left")
        total = (padded * padded).sum() + sum((y**3).sum() for y in xs) + (again**2).sum()
        (g,) = engine.autograd.grad(total, x, create_graph=True)
        (second,) = engine.autograd.grad((g * g).sum(), x)
        results.append([values(total), values(g), values(second)])
    same(*results)
