"""One layer in both engines, from one seed: text, state, outputs, gradients, copies, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)
TOLERANCE = {
    "float32": {"rtol": 2e-5, "atol": 2e-5},
    "float64": {"rtol": 1e-9, "atol": 1e-10},
}


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def to(engine, x, dtype="float64", wants_grad=False):
    """A NumPy array as a tensor, floats in ``dtype``; None and numbers as they are."""
    if not isinstance(x, np.ndarray):
        return x
    kind = dtype if x.dtype.kind == "f" else x.dtype.name
    tensor = engine.tensor(x.tolist(), dtype=getattr(engine, kind)).reshape(x.shape)
    return tensor.requires_grad_(wants_grad and x.dtype.kind == "f")


def tensors(out):
    return [x for x in (out if isinstance(out, tuple) else (out,)) if x is not None]


def seen(engine, make, arrays, dtype, training, steps, call):
    """All that one engine shows of a layer."""
    engine.manual_seed(3)
    module = make(engine)
    module.train(training)
    start = {k: v.numpy().copy() for k, v in module.to(getattr(engine, dtype)).state_dict().items()}
    for _ in range(steps):
        inputs = [to(engine, x, dtype, True) for x in arrays]
        outs = tensors(call(module, *inputs))
        total = sum((y * to(engine, numbers(tuple(y.shape), 9), dtype)).sum() for y in outs)
        module.zero_grad()
        total.backward()
    leaves = [x for x in inputs if hasattr(x, "grad") and x.requires_grad]
    gradients = [
        None if x.grad is None else x.grad.numpy() for x in (*module.parameters(), *leaves)
    ]
    after = {k: v.numpy() for k, v in module.state_dict().items()}
    return repr(module), start, [y.detach().numpy() for y in outs], gradients, after


def compare(make, *arrays, dtype="float64", training=True, steps=1, call=None):
    """Hold the layer ``make(engine)`` against PyTorch's; returns ours."""
    call = call or (lambda module, *inputs: module(*inputs))
    theirs, mine = (seen(engine, make, arrays, dtype, training, steps, call) for engine in ENGINES)
    assert mine[0] == theirs[0]
    for before in (1, 4):
        assert list(mine[before]) == list(theirs[before])
        for key, value in theirs[before].items():
            assert mine[before][key].dtype == value.dtype
            np.testing.assert_allclose(mine[before][key], value, **TOLERANCE[dtype])
    for part in (2, 3):
        assert len(mine[part]) == len(theirs[part])
        for m, t in zip(mine[part], theirs[part], strict=True):
            assert (m is None) == (t is None)
            if t is not None:
                assert m.shape == t.shape
                np.testing.assert_allclose(m, t, **TOLERANCE[dtype])


def copies_work(make, *arrays):
    """A layer that was pickled, or copied, computes what it computed."""
    module = make(retrograd).eval()
    inputs = [to(retrograd, x, "float32") for x in arrays]
    expected = tensors(module(*inputs))
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(again) == repr(module)
        for y, e in zip(tensors(again(*inputs)), expected, strict=True):
            np.testing.assert_array_equal(y.detach().numpy(), e.detach().numpy())


def same_error(attempt, match=None):
    """Both engines raise the same built-in class; ours says what ``match`` asks for."""
    raised = []
    for engine in ENGINES:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            attempt(engine)
        raised.append(caught.value)
    expected = next(c for c in type(raised[0]).__mro__ if c.__module__ == "builtins")
    assert isinstance(raised[1], expected), repr(raised[1])
    if match is not None:
        assert match in str(raised[1])
