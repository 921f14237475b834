"""Connectionist temporal classification in PyTorch and here."""

from __future__ import annotations

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)
TEXTS = [[1, 2, 2, 3], [3, 1, 0, 1], [2, 2, 2, 2]]


def both(call):
    return [call(engine) for engine in ENGINES]


def scores(dtype, shape=(9, 3, 5)):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def run(engine, x, texts, steps, lengths, as_tensors=True, **settings):
    """Loss, and the gradients of the log-probabilities and of the scores under them."""
    x = engine.tensor(x.tolist(), dtype=getattr(engine, x.dtype.name), requires_grad=True)
    log_probs = x.log_softmax(-1)
    log_probs.retain_grad()
    if as_tensors:
        steps, lengths = engine.tensor(steps), engine.tensor(lengths)
    loss = engine.nn.functional.ctc_loss(
        log_probs, engine.tensor(texts, dtype=engine.int64), steps, lengths, **settings
    )
    loss.sum().backward()
    return [t.detach().numpy() for t in (loss, log_probs.grad, x.grad)]


def check(dtype, *args, **settings):
    tolerance = {"float32": 2e-5, "float64": 1e-10}[dtype]
    shape = settings.pop("shape", (9, 3, 5))
    theirs, mine = both(lambda engine: run(engine, scores(dtype, shape), *args, **settings))
    for m, t in zip(mine, theirs, strict=True):
        assert m.dtype == t.dtype
        np.testing.assert_allclose(m, t, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("texts", "steps", "lengths"),
    [
        (TEXTS, (9, 9, 9), (4, 4, 4)),
        (TEXTS, (9, 7, 8), (3, 2, 1)),
        (TEXTS, (9, 1, 3), (0, 1, 2)),
        ([1, 2, 3, 3, 1, 4], (9, 5, 9), (2, 3, 1)),
        ([], (9, 5, 2), (0, 0, 0)),
        ([1], (0, 5, 2), (0, 0, 1)),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"reduction": "sum"}, {"reduction": "none"}])
def test_texts_of_all_lengths(dtype, texts, steps, lengths, settings):
    check(dtype, texts, steps, lengths, **settings)
    check(dtype, texts, steps, lengths, as_tensors=False, **settings)


@pytest.mark.parametrize("blank", [0, 2, 4])
def test_blank(blank):
    texts = [[c if c < blank else c + 1 for c in row] for row in [[1, 2, 2, 3], [3, 1, 0, 1]]]
    check("float64", texts, (9, 8), (4, 3), blank=blank, shape=(9, 2, 5), reduction="none")


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_texts_that_do_not_fit_into_their_steps(zero_infinity, reduction):
    settings = {"zero_infinity": zero_infinity, "reduction": reduction}
    check("float64", TEXTS, (5, 3, 4), (4, 4, 4), **settings)


def test_unbatched():
    for steps, lengths in [(9, 4), ((9,), (4,))]:
        for reduction in ("none", "mean", "sum"):
            check("float64", [1, 2, 2, 3], steps, lengths, shape=(9, 5), reduction=reduction)


def test_a_long_sequence_of_steep_scores_keeps_its_digits():
    """Ways to the far end are e^-900 times less likely than the likeliest: not so in float32."""
    x = scores("float32", (300, 2, 6)) * 4
    x[:, :, 0] += 12
    texts = np.random.default_rng(1).integers(1, 6, (2, 60)).tolist()
    theirs, mine = both(
        lambda engine: run(engine, x, texts, (300, 280), (60, 50), reduction="none")
    )
    for m, t in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-4, atol=1e-3)


def test_impossible_classes_make_no_nan():
    """PyTorch's gradient has NaN where a probability is zero."""
    log_probs = scores("float64")
    log_probs[3, :, 1] = -np.inf
    x = retrograd.tensor(log_probs).requires_grad_()
    ctc_loss = retrograd.nn.functional.ctc_loss
    ctc_loss(x, retrograd.tensor(TEXTS), (9, 9, 9), (4, 4, 4)).backward()
    assert x.grad.isfinite().all()


def test_module():
    def call(engine):
        layer = engine.nn.CTCLoss(blank=1, reduction="sum", zero_infinity=True)
        x = engine.tensor(scores("float32").tolist()).log_softmax(2)
        return repr(layer), layer(x, engine.tensor([[2, 3]] * 3), (9, 9, 9), (2, 2, 1)).item()

    theirs, mine = both(call)
    assert mine[0] == theirs[0]
    assert mine[1] == pytest.approx(theirs[1], rel=1e-5)


def loss_of(x, texts, steps, lengths, **settings):
    def call(engine):
        given = engine.tensor(x.tolist(), dtype=getattr(engine, x.dtype.name))
        texts_ = engine.tensor(texts)
        return engine.nn.functional.ctc_loss(given, texts_, steps, lengths, **settings)

    return call


X = scores("float32")
ERRORS = {
    "steps too many": loss_of(X, TEXTS, (10, 9, 9), (1, 1, 1)),
    "steps negative": loss_of(X, TEXTS, (-1, 9, 9), (1, 1, 1)),
    "text too short": loss_of(X, TEXTS, (9, 9, 9), (5, 1, 1)),
    "texts too few": loss_of(X, TEXTS[:2], (9, 9, 9), (1, 1, 1)),
    "texts do not add up": loss_of(X, [1, 2, 3], (9, 9, 9), (1, 2, 1)),
    "texts of three axes": loss_of(X, [TEXTS], (9, 9, 9), (1, 2, 1)),
    "blank": loss_of(X, TEXTS, (9, 9, 9), (1, 1, 1), blank=5),
    "negative blank": loss_of(X, TEXTS, (9, 9, 9), (1, 1, 1), blank=-1),
    "number of steps": loss_of(X, TEXTS, (9, 9), (1, 1, 1)),
    "number of lengths": loss_of(X, TEXTS, (9, 9, 9), (1, 1)),
    "axes": loss_of(X[0, 0], TEXTS, (9, 9, 9), (1, 1, 1)),
    "half": loss_of(X.astype("float16"), TEXTS, (9, 9, 9), (1, 1, 1)),
    "reduction": loss_of(X, TEXTS, (9, 9, 9), (1, 1, 1), reduction="all"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    def call(engine):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            ERRORS[name](engine)
        return type(caught.value)

    theirs, mine = both(call)
    assert mine is theirs


def test_a_class_that_is_not_there_is_an_error():
    """PyTorch reads beyond the end of the probabilities."""
    with pytest.raises(IndexError, match="class 5 is out of bounds"):
        loss_of(X, [[1, 5]] * 3, (9, 9, 9), (2, 2, 2))(retrograd)
    loss_of(X, [[1, 5]] * 3, (9, 9, 9), (1, 1, 1))(retrograd)  # one that does not count
