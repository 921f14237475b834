"""Recurrent layers and cells in PyTorch and here: same seed, same weights, same everything."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

# PyTorch says so when it leaves oneDNN.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

ENGINES = (torch, retrograd)
LAYERS = ["RNN", "LSTM", "GRU"]
SETTINGS = [
    "",
    "bias=False",
    "num_layers=2",
    "bidirectional=True",
    "batch_first=True",
    "num_layers=3, bidirectional=True, bias=False, batch_first=True",
    "num_layers=2, dropout=0.4, bidirectional=True",
    "num_layers=2, dropout=1.0",
]
CALLS = [f"{name}(5, 4, {settings})" for name in LAYERS for settings in SETTINGS]
CALLS += ["RNN(5, 4, nonlinearity='relu')", "RNN(5, 4, 2, 'relu', bidirectional=True)"]
CALLS += [
    "LSTM(5, 4, proj_size=2)",
    "LSTM(5, 4, 2, proj_size=3, bidirectional=True, batch_first=True, dropout=0.3)",
    "LSTM(5, 4, proj_size=1, bias=False)",
]
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}  # relative; a tenth of it to the largest number


def numbers(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def to(engine, array, wanting=True):
    x = engine.tensor(array.tolist(), dtype=getattr(engine, array.dtype.name)).reshape(array.shape)
    return x.requires_grad_(wanting and array.dtype.kind == "f")


def raw(x):
    return x.detach().numpy()


def leaves(x):
    """The tensors in nested tuples, packed sequences among them."""
    if x is None:
        return []
    return [t for part in x for t in leaves(part)] if isinstance(x, tuple) else [x]


def make(engine, call, dtype="float32"):
    engine.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = eval(f"nn.{call}", {"nn": engine.nn})
    return module.to(getattr(engine, dtype))


def trained(engine, module, inputs, call):
    """What a call gives, and the gradients of everything under it."""
    engine.manual_seed(7)
    outs = leaves(call(module))
    moving = [out for out in outs if out.requires_grad]
    seeds = [to(engine, numbers(*o.shape, seed=9 + i, dtype=str(o.dtype)[6:]), False)
             for i, o in enumerate(moving)]  # fmt: skip
    wanted = [*module.parameters(), *inputs]
    slopes = engine.autograd.grad(moving, wanted, seeds, allow_unused=True)
    return [raw(x) for x in outs], [None if g is None else raw(g) for g in slopes]


def same(theirs, ours, dtype="float32"):
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours, strict=True):
        if a is None or b is None:
            assert b is None or not b.any()
            assert a is None or not a.any()
            continue
        assert a.shape == b.shape
        near = TOLERANCE[dtype]
        scale = max(1.0, float(np.abs(a).max(initial=0)))
        np.testing.assert_allclose(b, a, rtol=near, atol=near / 10 * scale)


def compare(call, run, dtype="float32"):
    """``run(engine, module)`` gives the inputs that want gradients, and how to call the module."""
    results = []
    for engine in ENGINES:
        module = make(engine, call, dtype)
        inputs, function = run(engine, module)
        results.append(trained(engine, module, inputs, function))
    (theirs, their_slopes), (ours, our_slopes) = results
    same(theirs, ours, dtype)
    same(their_slopes, our_slopes, dtype)


def states(engine, module, batch, dtype="float32"):
    """Initial states of a layer: one tensor, or LSTM's pair."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    rest = () if batch is None else (batch,)
    h = to(
        engine, numbers(count, *rest, module.proj_size or module.hidden_size, seed=5, dtype=dtype)
    )
    if module.mode != "LSTM":
        return h
    return h, to(engine, numbers(count, *rest, module.hidden_size, seed=6, dtype=dtype))


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("call", CALLS)
def test_initial_weights_text_and_state(call):
    theirs, ours = (make(engine, call) for engine in ENGINES)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_array_equal(raw(ours.state_dict()[name]), raw(value))
    assert ours._flat_weights_names == theirs._flat_weights_names
    assert [[tuple(w.shape) for w in ws] for ws in ours.all_weights] == [
        [tuple(w.shape) for w in ws] for ws in theirs.all_weights
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "given"])
@pytest.mark.parametrize("call", CALLS)
def test_layer(call, given, dtype):
    def run(engine, module):
        shape = (3, 6, 5) if module.batch_first else (6, 3, 5)
        x = to(engine, numbers(*shape, dtype=dtype))
        hx = states(engine, module, 3, dtype) if given else None
        return [x, *leaves(hx)], lambda m: m(x, hx)

    compare(call, run, dtype)


@pytest.mark.parametrize("call", CALLS)
def test_unbatched(call):
    def run(engine, module):
        x = to(engine, numbers(6, 5))
        hx = states(engine, module, None)
        return [x, *leaves(hx)], lambda m: m(x, hx)

    compare(call, run)


@pytest.mark.parametrize("lengths", [[6, 4, 4, 1], [3, 6, 1, 6], [2, 2, 2, 2]], ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_packed(call, lengths):
    def run(engine, module):
        x = to(engine, numbers(6, 4, 5))
        hx = states(engine, module, 4) if lengths[0] != 2 else None
        packed = engine.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return [x, *leaves(hx)], lambda m: m(packed, hx)

    compare(call, run)


@pytest.mark.parametrize("call", ["RNN(16, 20)", "RNN(16, 20, nonlinearity='relu')", "LSTM(16, 20)",
                                  "GRU(16, 20, bidirectional=True)", "LSTM(16, 24, 2, proj_size=9)",
                                  "LSTM(16, 16, bidirectional=True)"])  # fmt: skip
@pytest.mark.parametrize("batch", [1, 5, 32])
def test_large_enough_to_be_compiled(call, batch):
    def run(engine, module):
        lengths = [300] + [300 - 7 * i for i in range(1, batch)]
        x = to(engine, numbers(300, batch, 16))
        hx = states(engine, module, batch)
        packed = engine.nn.utils.rnn.pack_padded_sequence(x, lengths)
        return [x, *leaves(hx)], lambda m: (m(x, hx)[0].mean(1), m(packed, hx)[1])

    compare(call, run)


@pytest.mark.parametrize(
    "call",
    [
        *("RNN(3, 2)", "RNN(3, 2, 2, 'relu')", "GRU(3, 2)", "LSTM(3, 2, bidirectional=True)"),
        "LSTM(3, 3, proj_size=2)",
    ],
)
def test_second_derivatives(call):
    results = []
    for engine in ENGINES:
        module = make(engine, call, "float64")
        x = to(engine, numbers(4, 2, 3, dtype="float64"))
        hx = states(engine, module, 2, "float64")
        wanted = [x, *leaves(hx), *module.parameters()]
        out = sum((t * t).sum() for t in leaves(module(x, hx)))
        slopes = engine.autograd.grad(out, wanted, create_graph=True)
        total = sum((g * g).sum() for g in slopes)
        second = engine.autograd.grad(total, wanted)
        results.append([raw(g) for g in (*slopes, *second)])
    same(*results, dtype="float64")


@pytest.mark.parametrize("call", CALLS)
def test_pickle_and_deepcopy(call):
    module = make(retrograd, call).eval()
    x = retrograd.randn(6, 6, 5)
    expected = raw(module(x)[0])
    for other in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert repr(other) == repr(module)
        np.testing.assert_array_equal(raw(other(x)[0]), expected)


def test_state_dict_of_pytorch_is_taken():
    theirs, ours = (
        torch.nn.LSTM(5, 4, 2, bidirectional=True),
        make(retrograd, "LSTM(5, 4, 2, bidirectional=True)"),
    )
    state = {k: retrograd.tensor(raw(v).tolist()) for k, v in theirs.state_dict().items()}
    assert repr(ours.load_state_dict(state)) == "<All keys matched successfully>"
    x = numbers(6, 3, 5)
    np.testing.assert_allclose(
        raw(ours(to(retrograd, x))[0]), raw(theirs(to(torch, x))[0]), rtol=2e-5, atol=2e-6
    )


# ---------------------------------------------------------------- cells

CELLS = [
    *("RNNCell(5, 4)", "RNNCell(5, 4, nonlinearity='relu')", "LSTMCell(5, 4)", "GRUCell(5, 4)"),
    *("RNNCell(5, 4, False)", "LSTMCell(5, 4, bias=False)", "GRUCell(5, 4, bias=False)"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [(), (3,), (0,), (512,)], ids=str)
@pytest.mark.parametrize("call", CELLS)
def test_cell(call, batch, dtype):
    theirs, ours = (make(engine, call) for engine in ENGINES)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())

    def run(engine, module):
        x = to(engine, numbers(*batch, 5, dtype=dtype))
        h = to(engine, numbers(*batch, 4, seed=1, dtype=dtype))
        c = to(engine, numbers(*batch, 4, seed=2, dtype=dtype))
        hx = (h, c) if call.startswith("LSTM") else h
        return [x, h, c], lambda m: (m(x), m(x, hx))

    compare(call, run, dtype)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("sizes", [(5, 4), (64, 128)], ids=str)
@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell"])
def test_states_may_be_written_to(kind, sizes, recorded):
    results = []
    for engine in ENGINES:
        cell = make(engine, f"{kind}{sizes}")
        x, state, outputs = to(engine, numbers(6, 32, sizes[0])), None, []
        for t in range(6):
            state = cell(x[t], state)
            parts = state if kind == "LSTMCell" else (state,)
            if t in (1, 4):
                with engine.set_grad_enabled(recorded):
                    for part in parts:
                        part.mul_(0.5)
            outputs.append(parts[0])
        engine.stack(outputs).square().mean().backward()
        results.append([raw(p.grad) for p in (x, *cell.parameters())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.abs(a).max())


@pytest.mark.parametrize("call", CELLS)
def test_second_derivatives_of_cells(call):
    results = []
    for engine in ENGINES:
        module = make(engine, call, "float64")
        x, h, c = (to(engine, numbers(3, n, seed=n, dtype="float64")) for n in (5, 4, 4))
        hx = (h, c) if call.startswith("LSTM") else h
        wanted = [x, h, *([c] if call.startswith("LSTM") else []), *module.parameters()]
        out = sum((t * t).sum() for t in leaves(module(x, hx)))
        slopes = engine.autograd.grad(out, wanted, create_graph=True)
        second = engine.autograd.grad(sum((g * g).sum() for g in slopes), wanted)
        results.append([raw(g) for g in (*slopes, *second)])
    same(*results, dtype="float64")


# ---------------------------------------------------------------- a model


def test_a_character_model_learns_as_pytorchs():
    """The same text, seed and optimizer: the same line of losses."""
    text = "the quick brown fox jumps over the lazy dog. " * 8
    letters = sorted(set(text))
    codes = np.array([letters.index(c) for c in text])

    def losses(engine):
        nn = engine.nn
        engine.manual_seed(1)
        embed = nn.Linear(len(letters), 8, bias=False)
        lstm = nn.LSTM(8, 16, 2, dropout=0.2)
        head = nn.Linear(16, len(letters))
        model = nn.ModuleList([embed, lstm, head]).double()
        optimizer = engine.optim.Adam(model.parameters(), lr=0.02)
        found, state = [], None
        for i in range(12):
            at = 9 * (i % 6)
            x = to(engine, np.eye(len(letters))[codes[at : at + 240].reshape(10, 24).T], False)
            y = engine.tensor(codes[at + 1 : at + 241].reshape(10, 24).T.tolist())
            out, state = lstm(embed(x), state)
            state = tuple(s.detach() for s in state)
            loss = nn.functional.cross_entropy(head(out).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    theirs, ours = map(losses, ENGINES)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert ours[-1] < ours[0]


# ---------------------------------------------------------------- what is refused

X = "engine.ones(4, 3, 2)"
MISTAKES = [
    ("LSTM(2, 3)", "engine.ones(4)"),
    ("LSTM(2, 3)", "engine.ones(2, 3, 4, 5)"),
    ("GRU(2, 3)", "engine.ones(2, 3, 4, 5)"),
    ("RNN(2, 3)", "engine.ones(4)"),
    ("LSTM(2, 3)", "engine.ones(4, 3, 7)"),
    ("LSTM(2, 3)", f"{X}.double()"),
    ("LSTM(2, 3)", "engine.ones(0, 3, 2)"),
    ("GRU(2, 3)", "engine.ones(0, 3, 2)"),
    ("LSTM(2, 3)", f"{X}, (engine.zeros(1, 2, 3), engine.zeros(1, 3, 3))"),
    ("LSTM(2, 3)", f"{X}, (engine.zeros(1, 3, 3), engine.zeros(1, 3, 4))"),
    ("LSTM(2, 3)", f"{X}, (engine.zeros(3, 3), engine.zeros(1, 3, 3))"),
    ("LSTM(2, 3)", f"{X}[:, 0], (engine.zeros(1, 3, 3), engine.zeros(1, 3, 3))"),
    ("LSTM(2, 3, proj_size=2)", f"{X}, (engine.zeros(1, 3, 3), engine.zeros(1, 3, 3))"),
    ("GRU(2, 3)", f"{X}, engine.zeros(3, 3)"),
    ("GRU(2, 3)", f"{X}, engine.zeros(1, 2, 3)"),
    ("RNN(2, 3)", f"{X}[:, 0], engine.zeros(1, 3, 3)"),
    ("LSTMCell(2, 3)", X),
    ("LSTMCell(2, 3)", "engine.ones(3, 5)"),
    ("LSTMCell(2, 3)", "engine.ones(3, 2), (engine.zeros(2, 3), engine.zeros(2, 3))"),
    ("LSTMCell(2, 3)", "engine.ones(3, 2), (engine.zeros(3, 3), engine.zeros(3, 4))"),
    ("LSTMCell(2, 3)", "engine.ones(3, 2), (engine.zeros(1, 1, 3), engine.zeros(3, 3))"),
    ("LSTMCell(2, 3)", "engine.ones(3, 2), engine.zeros(3, 3)"),
    ("LSTMCell(2, 3)", "engine.ones(2), (engine.zeros(4), engine.zeros(3))"),
    ("LSTMCell(2, 3)", "engine.ones(3, 2).double()"),
    ("GRUCell(2, 3)", X),
    ("GRUCell(2, 3)", "engine.ones(3, 5)"),
    ("GRUCell(2, 3)", "engine.ones(3, 2), engine.zeros(2, 3)"),
    ("GRUCell(2, 3)", "engine.ones(3, 2), engine.zeros(3, 4)"),
    ("RNNCell(2, 3)", "engine.ones(3, 2), engine.zeros(1, 3, 3)"),
    ("RNNCell(2, 3, nonlinearity='x')", "engine.ones(3, 2)"),
]
REFUSED = [
    *("LSTM(0, 3)", "LSTM(2, 0)", "LSTM(2, -3)", "GRU(2, 3, 0)", "LSTM(2, 3, proj_size=3)"),
    *("LSTM(2, 3, proj_size=-1)", "GRU(2, 3, proj_size=2)", "RNN(2, 3, proj_size=2)"),
    *("RNN(2, 3, nonlinearity='x')", "LSTM(2.0, 3)", "LSTM(2, 3.0)", "LSTM(2, 3, bias=1)"),
    *("LSTM(2, 3, batch_first=0)", "LSTM(2, 3, 2, dropout=1.5)", "LSTM(2, 3, 2, dropout=-0.1)"),
    *("LSTM(2, 3, 2, dropout=True)", "GRU(2)", "RNNBase('X', 2, 3)", "LSTMCell(2, -3)"),
]


def error_of(function):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is compared
        function()
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize(("call", "arguments"), MISTAKES)
def test_mistakes_are_pytorchs(call, arguments):
    (kind, text), mine = (
        error_of(lambda e=e: eval(f"module({arguments})", {"engine": e, "module": make(e, call)}))
        for e in ENGINES
    )
    assert mine[0] is kind
    if call.startswith(("LSTM(", "GRU(", "RNN(")) and "0, 3, 2" not in arguments:
        assert mine[1] == text


@pytest.mark.parametrize("call", REFUSED)
def test_settings_that_pytorch_refuses(call):
    (kind, text), mine = (error_of(lambda e=e: eval(f"nn.{call}", {"nn": e.nn})) for e in ENGINES)
    assert mine[0] is kind
    assert mine[1][:12] == text[:12] or kind is RuntimeError


@pytest.mark.parametrize("engine", ENGINES, ids=["torch", "retrograd"])
def test_dropout_in_one_layer_warns(engine):
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last") as seen:
        engine.nn.LSTM(2, 3, dropout=0.5)
    assert engine is torch or seen[0].filename == __file__  # whose line is its own
