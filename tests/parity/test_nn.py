"""Every module, function of initial values and loss in PyTorch and here: the same call, twice.

Same seed, same initial weights, same text, same keys; same outputs and gradients; same errors.
"""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def to(engine, x, wants_grad=True):
    """A NumPy array as a tensor; floats want a gradient."""
    if not isinstance(x, np.ndarray):
        return x
    tensor = engine.tensor(x.tolist(), dtype=getattr(engine, x.dtype.name)).reshape(x.shape)
    return tensor.requires_grad_(wants_grad and x.dtype.kind == "f")


def raw(x):
    return x.detach().numpy()


def both(call):
    """What ``call(engine)`` gives in each engine, with the same random numbers; PyTorch first."""
    results = []
    for engine in ENGINES:
        engine.manual_seed(3)
        results.append(call(engine))
    return results


def run(make, engine, arrays):
    """A module's text, state, output and gradients."""
    module = make(engine.nn)
    state = {key: raw(value) for key, value in module.state_dict().items()}
    inputs = [to(engine, x) for x in arrays]
    out = module(*inputs)
    out.backward(to(engine, numbers(tuple(out.shape), 9), wants_grad=False))
    leaves = [x for x in inputs if hasattr(x, "grad") and x.requires_grad]
    gradients = [raw(x.grad) for x in (*module.parameters(), *leaves)]
    return repr(module), state, raw(out), gradients


def check(make, *arrays):
    (text, state, out, gradients), mine = both(lambda engine: run(make, engine, arrays))
    assert mine[0] == text
    assert list(mine[1]) == list(state)
    for key, value in state.items():
        np.testing.assert_array_equal(mine[1][key], value)
    assert mine[2].shape == out.shape
    np.testing.assert_allclose(mine[2], out, rtol=2e-5, atol=2e-6)
    assert len(mine[3]) == len(gradients)
    for my_gradient, gradient in zip(mine[3], gradients, strict=True):
        np.testing.assert_allclose(my_gradient, gradient, rtol=2e-5, atol=2e-6)


# ---------------------------------------------------------------- layers and activations

ACTIVATIONS = {
    "Identity": "()(5) (7, a=1)",
    "ReLU": "() (inplace=False)",
    "ReLU6": "()",
    "LeakyReLU": "() (0.3)",
    "RReLU": "() (0.2, 0.4)",
    "ELU": "() (alpha=0.5)",
    "CELU": "() (2.0)",
    "SELU": "()",
    "GELU": "() ('tanh')",
    "SiLU": "()",
    "Mish": "()",
    "Softplus": "() (2, 1.5)",
    "Softsign": "()",
    "Tanh": "()",
    "Tanhshrink": "()",
    "Sigmoid": "()",
    "LogSigmoid": "()",
    "Hardtanh": "() (-0.5, 0.7)",
    "Hardsigmoid": "()",
    "Hardswish": "()",
    "Hardshrink": "() (0.2)",
    "Softshrink": "() (0.2)",
    "Threshold": "(0.1, 20) (0, 1.5)",
    "PReLU": "() (init=0.1)",
    "GLU": "() (0)",
    "Softmax": "(0) (dim=-1)",
    "LogSoftmax": "(0) (dim=-1)",
    "Softmin": "(0) (dim=-1)",
    "Dropout": "() (0.2) (0) (1.0)",
    "AlphaDropout": "() (0.2)",
    "Flatten": "(0) (0, -1)",
}

CALLS = [
    f"{name}({arguments.strip(' ()')})"
    for name, several in ACTIVATIONS.items()
    for arguments in several.split(")")[:-1]
]


def made(call):
    return lambda nn: eval(f"nn.{call}", {"nn": nn})


@pytest.mark.parametrize("shape", [(4,), (2, 6), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_activation(call, shape):
    check(made(call), 3 * numbers(shape))


IN_PLACE = [
    *("ReLU", "ReLU6", "LeakyReLU", "RReLU", "ELU", "CELU", "SELU", "SiLU", "Mish", "Hardtanh"),
    *("Hardsigmoid", "Hardswish", "Dropout"),
]


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name):
    check(
        lambda nn: nn.Sequential(nn.Linear(4, 5), getattr(nn, name)(inplace=True)), numbers((3, 4))
    )


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        ("Linear(3, 4)", [(2, 3)]),
        ("Linear(3, 4, bias=False)", [(2, 3)]),
        ("Linear(3, 1)", [(3,)]),
        ("Linear(784, 10)", [(2, 5, 784)]),
        ("Linear(3, 2)", [(0, 3)]),
        ("Bilinear(3, 4, 2)", [(5, 3), (5, 4)]),
        ("Bilinear(3, 4, 2, bias=False)", [(2, 5, 3), (2, 5, 4)]),
        ("PReLU(3)", [(2, 3, 4)]),
        ("PReLU(3)", [(2, 3)]),
        ("Flatten()", [(2, 3, 4)]),
        ("Flatten(1, 2)", [(2, 3, 4, 5)]),
        ("Unflatten(1, (2, 3))", [(4, 6)]),
        ("Unflatten(-1, [3, -1])", [(4, 6)]),
        ("Softmax2d()", [(2, 3, 4, 5)]),
        ("Dropout1d(0.4)", [(4, 3, 2)]),
        ("Dropout1d(0.4)", [(4, 3)]),
        ("Dropout2d(0.4)", [(4, 3, 2, 2)]),
        ("Dropout3d(0.4)", [(4, 3, 2, 2, 2)]),
        ("Dropout3d(0.4)", [(4, 3, 2, 2)]),
        ("FeatureAlphaDropout(0.4)", [(4, 3, 2)]),
        ("CosineSimilarity()", [(2, 3), (2, 3)]),
        ("PairwiseDistance(1.5, keepdim=True)", [(2, 3), (2, 3)]),
        ("Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout(), nn.Linear(5, 2))", [(2, 3, 4)]),
    ],
)
def test_layer(call, shapes):
    check(made(call), *(numbers(shape, seed) for seed, shape in enumerate(shapes)))


def test_dropout_is_off_in_evaluation():
    check(
        lambda nn: nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.RReLU()).eval(), numbers((2, 4))
    )


# ---------------------------------------------------------------- losses

X, Y = numbers((4, 3)), numbers((4, 3), 1)
P, Q = 1 / (1 + np.exp(-X)), 1 / (1 + np.exp(-Y))
CLASSES, SIGNS = np.array([2, 0, 1, 2]), np.array([1, -1, -1, 1])
W = np.array([0.5, 2.0, 1.0], np.float32)
IMAGE, PLACES = numbers((2, 3, 2, 2)), np.array([[[0, 1], [2, 0]], [[1, -100], [0, 2]]])

LOSSES = [
    ("MSELoss()", X, Y),
    ("MSELoss()", np.array(X[0, 0]), np.array(Y[0, 0])),
    ("L1Loss()", X, Y),
    ("SmoothL1Loss()", X, Y),
    ("SmoothL1Loss(beta=0.3)", X, Y),
    ("SmoothL1Loss(beta=0.0)", X, Y),
    ("HuberLoss()", X, Y),
    ("HuberLoss(delta=0.4)", X, Y),
    ("BCELoss()", P, Q),
    ("BCELoss(W)", P, Q),
    ("BCEWithLogitsLoss()", 20 * X, Q),
    ("BCEWithLogitsLoss(W)", X, Q),
    ("BCEWithLogitsLoss(pos_weight=W)", X, Q),
    ("BCEWithLogitsLoss(W, pos_weight=W)", X, Q),
    ("KLDivLoss()", X, Q),
    ("KLDivLoss(log_target=True)", X, Y),
    ("PoissonNLLLoss()", X, 3 * Q),
    ("PoissonNLLLoss(log_input=False, full=True)", P, 3 * Q),
    ("GaussianNLLLoss()", X, Y, P),
    ("GaussianNLLLoss(full=True, eps=0.5)", X, Y, P[:, :1]),
    ("HingeEmbeddingLoss(0.5)", X[:, 0], SIGNS),
    ("SoftMarginLoss()", X[:, 0], SIGNS),
    ("CrossEntropyLoss()", X, CLASSES),
    ("CrossEntropyLoss()", 50 * X, CLASSES),
    ("CrossEntropyLoss()", X[0], np.array(1)),
    ("CrossEntropyLoss()", IMAGE, PLACES),
    ("CrossEntropyLoss()", X, CLASSES.astype(np.uint8)),
    ("CrossEntropyLoss(W)", X, CLASSES),
    ("CrossEntropyLoss(ignore_index=2)", X, CLASSES),
    ("CrossEntropyLoss(W, ignore_index=2)", X, CLASSES),
    ("CrossEntropyLoss(label_smoothing=0.2)", X, CLASSES),
    ("CrossEntropyLoss(label_smoothing=0.2)", 50 * X, CLASSES),
    ("CrossEntropyLoss(W, label_smoothing=0.2)", IMAGE, PLACES),
    ("CrossEntropyLoss(ignore_index=1, label_smoothing=1.0)", X, CLASSES),
    ("CrossEntropyLoss()", X, Q),
    ("CrossEntropyLoss()", X[0], Q[0]),
    ("CrossEntropyLoss(W, label_smoothing=0.2)", IMAGE, numbers((2, 3, 2, 2), 1)),
    ("NLLLoss()", X, CLASSES),
    ("NLLLoss()", X[0], np.array(1)),
    ("NLLLoss(W, ignore_index=0)", X, CLASSES),
    ("NLLLoss()", IMAGE, PLACES),
    ("MultiMarginLoss()", X, CLASSES),
    ("MultiMarginLoss(2, 0.5, W)", X, CLASSES),
    ("MultiLabelMarginLoss()", X, np.array([[0, -1, 1], [2, 0, -1], [0, 1, 2], [-1, 0, 0]])),
    ("MultiLabelSoftMarginLoss(W)", X, Q),
    ("MarginRankingLoss(0.3)", X[:, 0], X[:, 1], SIGNS),
    ("CosineEmbeddingLoss(0.1)", X, Y, SIGNS),
    ("TripletMarginLoss()", X, Y, P),
    ("TripletMarginLoss(0.5, p=1, swap=True)", X, Y, P),
    ("TripletMarginWithDistanceLoss(swap=True)", X, Y, P),
]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss[0]}{loss[1].shape}")
def test_loss(loss, reduction):
    call, *arrays = loss
    call = call.replace("()", f"(reduction={reduction!r})")
    if "reduction" not in call:
        call = f"{call[:-1]}, reduction={reduction!r})"

    def make(nn):
        engine = torch if nn is torch.nn else retrograd
        return eval(f"nn.{call}", {"nn": nn, "W": to(engine, W, wants_grad=False)})

    check(make, *arrays)


def test_batchmean():
    check(made("KLDivLoss(reduction='batchmean')"), X, Q)


@pytest.mark.parametrize("weight", [None, np.abs(X)], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weighted_function(name, weight):
    def call(engine):
        loss = getattr(engine.nn.functional, name)
        return raw(loss(to(engine, X), to(engine, Y), weight=to(engine, weight)))

    expected, mine = both(call)
    np.testing.assert_allclose(mine, expected, rtol=1e-6)


def test_old_arguments_warn_as_theirs():
    def call(engine):
        with pytest.warns(UserWarning, match="size_average and reduce args") as caught:
            loss = engine.nn.L1Loss(size_average=False)
        return str(caught[0].message), loss.reduction

    expected, mine = both(call)
    assert mine == expected


def test_target_that_stretches_to_the_input_warns_as_theirs():
    def call(engine):
        with pytest.warns(UserWarning, match="Using a target size") as caught:
            loss = engine.nn.functional.mse_loss(to(engine, X), to(engine, Y[0]))
        return str(caught[0].message), raw(loss)

    expected, mine = both(call)
    assert mine[0] == expected[0]
    np.testing.assert_allclose(mine[1], expected[1], rtol=1e-6)


# ---------------------------------------------------------------- errors

ERRORS = [
    ("CrossEntropyLoss()", X, np.array([0, 1, 2, 3])),
    ("CrossEntropyLoss()", X, np.array([0, 1, 2, -1])),
    ("CrossEntropyLoss()", X, np.array([0, 1, 2])),
    ("CrossEntropyLoss()", X, CLASSES.astype(np.int32)),
    ("CrossEntropyLoss()", X, CLASSES.astype(np.float32)),
    ("CrossEntropyLoss()", X, np.zeros((4, 3), int)),
    ("CrossEntropyLoss()", IMAGE, np.zeros((2, 2, 3), int)),
    ("CrossEntropyLoss(ignore_index=1)", X, Q),
    ("CrossEntropyLoss(label_smoothing=1.5)", X, CLASSES),
    ("CrossEntropyLoss(reduction='total')", X, CLASSES),
    ("CrossEntropyLoss()", np.ones((2, 3), int), CLASSES[:2]),
    ("MSELoss()", CLASSES, CLASSES),
    ("Dropout()", CLASSES),
    ("NLLLoss()", X, np.array([0, 1, 2, 3])),
    ("NLLLoss()", X, CLASSES[:2]),
    ("BCELoss()", X, Q),
    ("BCELoss()", P, Q[0]),
    ("BCELoss()", P, Q.astype(np.float64)),
    ("BCEWithLogitsLoss()", X, Q[0]),
    ("MSELoss()", X, Y[:2]),
    ("MSELoss(reduction='total')", X, Y),
    ("HuberLoss(delta=0.0)", X, Y),
    ("SmoothL1Loss(beta=-1.0)", X, Y),
    ("GaussianNLLLoss()", X, Y, -P),
    ("MultiMarginLoss(p=3)", X, CLASSES),
    ("TripletMarginLoss(margin=0.0)", X, Y, P),
    ("MarginRankingLoss()", X[0], X[1], X),
    ("CosineEmbeddingLoss()", X, Y, X),
    ("Dropout(1.5)", X),
    ("Dropout(-0.1)", X),
    ("Dropout1d()", IMAGE),
    ("Linear(5, 2)", X),
    ("Linear(3, 2)", X.astype(np.float64)),
    ("Linear(3, 2)", CLASSES),
    ("Bilinear(0, 2, 2)", X, X),
    ("Bilinear(3, 2, 2)", X, X),
    ("Unflatten(0, 3)", X),
    ("Unflatten(0, (2, '2'))", X),
    ("Unflatten(0, (3, 3))", X),
    ("GLU()", X),
    ("Hardtanh(1, -1)", X),
    ("CELU(0)", X),
    ("Softshrink(-1)", X),
    ("Softmax2d()", X),
    ("Softmax(5)", X),
    ("PReLU(2)", X),
    ("RReLU(1.0, 0.5)", X),
    ("Linear(3)", X),
    ("ReLU(True, False)", X),
]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case[0]}{case[1].shape}")
def test_error_is_of_the_same_class(case):
    call, *arrays = case

    def attempt(engine):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            made(call)(engine.nn)(*(to(engine, x) for x in arrays))
        return caught.value

    expected, mine = both(attempt)
    assert type(mine) is type(expected), str(mine)


# ---------------------------------------------------------------- initial values

INITS = [
    "uniform_(-1, 2)",
    "normal_(1, 0.5)",
    "constant_(0.3)",
    "ones_()",
    "zeros_()",
    "trunc_normal_()",
    "trunc_normal_(mean=1, std=0.2, a=0.5, b=1.1)",
    "trunc_normal_(std=1, a=2.0, b=3.0)",
    "xavier_uniform_()",
    "xavier_normal_(gain=2)",
    "kaiming_uniform_(a=5 ** 0.5)",
    "kaiming_uniform_(mode='fan_out', nonlinearity='relu')",
    "kaiming_normal_(mode='FAN_OUT', nonlinearity='tanh')",
    "orthogonal_(gain=0.5)",
]


def initialised(call, shape):
    name, _, arguments = call.partition("(")

    def fill(engine):
        tensor = engine.zeros(shape).requires_grad_()
        result = eval(
            f"init.{name}(tensor, {arguments}", {"init": engine.nn.init, "tensor": tensor}
        )
        assert result is tensor
        assert tensor.is_leaf
        return raw(tensor)

    expected, mine = both(fill)
    np.testing.assert_allclose(mine, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (40, 30), (4, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("call", INITS)
def test_initial_values(call, shape):
    initialised(call, shape)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        ("eye_()", (3, 5)),
        ("sparse_(0.4)", (5, 4)),
        ("sparse_(sparsity=0.1, std=2.0)", (30, 4)),
        ("dirac_()", (4, 3, 5)),
        ("dirac_(2)", (4, 3, 3, 3)),
        ("dirac_(groups=2)", (4, 1, 2, 3, 3)),
    ],
)
def test_initial_values_of_matrices_and_filters(call, shape):
    initialised(call, shape)


@pytest.mark.parametrize(
    "call",
    [
        "xavier_uniform_(x)",
        "kaiming_normal_(x)",
        "kaiming_uniform_(x.reshape(2, 2), mode='in')",
        "kaiming_uniform_(x.reshape(2, 2), nonlinearity='gelu')",
        "calculate_gain('leaky_relu', True)",
        "orthogonal_(x)",
        "eye_(x)",
        "dirac_(x)",
        "sparse_(x, 0.5)",
        "dirac_(x.reshape(1, 2, 2), groups=2)",
    ],
)
def test_initial_value_errors(call):
    def attempt(engine):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            eval(f"init.{call}", {"init": engine.nn.init, "x": engine.zeros(4)})
        return type(caught.value)

    expected, mine = both(attempt)
    assert mine is expected


@pytest.mark.parametrize(
    "name", ["linear", "tanh", "relu", "selu", "sigmoid", "conv2d", "leaky_relu"]
)
def test_gain(name):
    expected, mine = both(lambda engine: engine.nn.init.calculate_gain(name))
    assert mine == expected


def test_old_names_warn():
    def call(engine):
        with pytest.warns(FutureWarning, match="deprecated") as caught:
            engine.nn.init.xavier_uniform(engine.zeros(2, 2))
        return str(caught[0].message)

    expected, mine = both(call)
    assert mine == expected


# ---------------------------------------------------------------- signatures


def parameters(function):
    """Names, defaults (of functions their names, for each engine has its own) and kinds."""
    return [
        (p.name, p.default.__name__ if inspect.isfunction(p.default) else p.default, p.kind)
        for p in inspect.signature(function).parameters.values()
    ]


def shared_names(theirs, mine):
    return [name for name in sorted(vars(mine)) if hasattr(theirs, name) and name[0] != "_"]


@pytest.mark.parametrize("name", shared_names(torch.nn, retrograd.nn))
def test_module_signature(name):
    theirs, mine = getattr(torch.nn, name), getattr(retrograd.nn, name)
    if not inspect.isclass(theirs) or theirs.__new__ is not object.__new__:
        pytest.skip("no class, or made by __new__")
    assert parameters(mine.__init__) == parameters(theirs.__init__)


@pytest.mark.parametrize("name", shared_names(torch.nn.functional, retrograd.nn.functional))
def test_function_signature(name):
    theirs, mine = getattr(torch.nn.functional, name), getattr(retrograd.nn.functional, name)
    if not inspect.isfunction(theirs):
        pytest.skip("written in C, or imported")
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(theirs).parameters.values()):
        pytest.skip("one of two functions, which return_indices chooses")
    expected = [p for p in parameters(theirs) if p[0] != "_stacklevel"]
    if [p[0] for p in expected] == ["args", "kwargs"]:
        pytest.skip("they choose one of two functions by an argument, and show neither's")
    assert [p for p in parameters(mine) if p[0] != "_stacklevel"] == expected


def test_softmax_without_dim_warns_and_guesses_as_theirs():
    def call(engine):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out = engine.nn.Softmax()(to(engine, numbers((2, 3, 4))))
        return raw(out), [str(w.message) for w in caught], [w.filename for w in caught]

    expected, mine = both(call)
    np.testing.assert_allclose(mine[0], expected[0], rtol=1e-6)
    assert mine[1] == expected[1]
