"""`AdaptiveLogSoftmaxWithLoss`, and modules with old names, in PyTorch and here."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)
X = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)


def both(call):
    results = []
    for engine in ENGINES:
        engine.manual_seed(3)
        results.append(call(engine))
    return results


def check_same(theirs, mine):
    assert len(theirs) == len(mine)
    for t, m in zip(theirs, mine, strict=True):
        np.testing.assert_allclose(m, t, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"div_value": 2.0, "head_bias": True}])
@pytest.mark.parametrize("target", [[0, 19, 5, 3, 12, 7], [0, 1, 2, 3, 0, 1], [19] * 6])
def test_outputs_and_gradients(settings, target):
    def call(engine):
        layer = engine.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], **settings)
        x = engine.tensor(X.tolist(), requires_grad=True)
        out, loss = layer(x, engine.tensor(target))
        (loss + out[0]).backward()
        arrays = [v.numpy() for v in layer.state_dict().values()]
        arrays += [out.detach().numpy(), loss.detach().numpy(), x.grad.numpy()]
        used = [p.grad for p in layer.parameters() if p.grad is not None]
        arrays += [g.numpy() for g in used if g.abs().max() > 0]
        arrays += [layer.log_prob(x).detach().numpy(), layer.predict(x).numpy()]
        return repr(layer), list(layer.state_dict()), arrays

    theirs, mine = both(call)
    assert mine[:2] == theirs[:2]
    check_same(theirs[2], mine[2])


def test_unbatched():
    def call(engine):
        layer = engine.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])
        out = layer(engine.tensor(X[0].tolist()), engine.tensor(12))
        return [out.output.detach().numpy(), out.loss.detach().numpy()]

    check_same(*both(call))


ERRORS = {
    "no cutoffs": lambda e: e.nn.AdaptiveLogSoftmaxWithLoss(16, 20, []),
    "unsorted": lambda e: e.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [10, 4]),
    "twice": lambda e: e.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 4]),
    "too large": lambda e: e.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 20]),
    "zero": lambda e: e.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [0, 4]),
    "fraction": lambda e: e.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4.5, 6]),
    "class": lambda e: layer(e)(e.ones(2, 16), e.tensor([0, 20])),
    "batch": lambda e: layer(e)(e.ones(2, 16), e.tensor([0])),
    "axes": lambda e: layer(e)(e.ones(16), e.tensor([0] * 16)),
    "scalar": lambda e: layer(e)(e.ones(2, 16), e.tensor(0)),
    "many": lambda e: layer(e)(e.ones(2, 16), e.tensor([[0], [0]])),
}


def layer(engine):
    return engine.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    def call(engine):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            ERRORS[name](engine)
        return type(caught.value)

    theirs, mine = both(call)
    assert mine is theirs


def test_old_names_warn():
    def call(engine):
        with pytest.warns(FutureWarning) as caught:
            loss = engine.nn.NLLLoss2d(reduction="sum")
        x = engine.tensor(X.reshape(1, 6, 4, 4).tolist())
        found = [repr(loss), loss(x, engine.zeros(1, 4, 4, dtype=engine.int64)).item()]
        with pytest.warns(FutureWarning) as also:
            found.append(repr(engine.nn.Container(a=engine.nn.Tanh())))
        return found, [str(w.message) for w in (*caught, *also)]

    theirs, mine = both(call)
    assert mine[0][::2] == theirs[0][::2]
    assert mine[0][1] == pytest.approx(theirs[0][1], rel=1e-5)
    assert mine[1] == theirs[1]
