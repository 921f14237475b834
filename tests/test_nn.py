"""Layers, activations, dropout and padding, without another engine beside them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import retrograd as rg
import retrograd.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from retrograd import nn

# ---------------------------------------------------------------- modules that hold settings


def test_a_settings_module_is_a_module():
    layer = nn.ELU(alpha=0.5)
    assert repr(layer) == "ELU(alpha=0.5)"
    assert layer.training
    assert len({layer, nn.ELU(0.5)}) == 2  # compared and hashed as objects
    assert repr(copy.deepcopy(layer)) == repr(pickle.loads(pickle.dumps(layer))) == repr(layer)


def test_a_settings_module_can_be_subclassed():
    class Leaky(nn.LeakyReLU):
        def __init__(self):
            super().__init__(0.5)

    @dataclass(eq=False, repr=False)
    class Shifted(nn.ReLU):
        by: float = 1.0

        def forward(self, x):
            return super().forward(x) + self.by

    x = rg.tensor([-2.0, 2.0])
    assert Leaky()(x).tolist() == [-1.0, 2.0]
    assert Shifted(by=3.0)(x).tolist() == [3.0, 5.0]
    assert repr(Shifted()) == "Shifted(by=1.0)"


def test_everything_is_where_scripts_look_for_it():
    assert rg.nn.functional is F
    assert nn.modules.loss._Loss is nn.MSELoss.__mro__[1]
    assert nn.modules.linear.Linear is nn.Linear
    assert isinstance(nn.Linear(1, 1).weight, nn.Parameter)
    assert [name for name in nn.__all__ if not hasattr(nn, name)] == []
    assert [name for name in F.__all__ if not hasattr(F, name)] == []


# ---------------------------------------------------------------- linear


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_one_line_of_the_tape(bias):
    layer = nn.Linear(3, 2, bias=bias)
    node = layer(rg.ones(4, 3)).grad_fn
    assert [parent for parent, _ in node.next_functions] == [
        None,
        *(p.node for p in layer.parameters()),
    ]


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (0, 3)])
def test_linear_is_a_product_and_a_sum(shape):
    layer = nn.Linear(3, 2, dtype=rg.float64)
    x = rg.randn(*shape, dtype=rg.float64)
    expected = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)


def test_linear_says_which_sizes_differ():
    with pytest.raises(RuntimeError, match=r"\(2x4 and 3x5\).*takes 3 features.*\[2, 4\] has 4"):
        nn.Linear(3, 5)(rg.ones(2, 4))
    with pytest.raises(RuntimeError, match=r"same dtype, but got float64 and float32.*\.to\("):
        nn.Linear(3, 5)(rg.ones(2, 3, dtype=rg.float64))


def test_linear_in_half_precision():
    layer = nn.Linear(3, 2)
    x = rg.randn(4, 3)
    half = layer.half()(x.half())
    assert half.dtype is rg.float16
    assert_allclose(half.float().detach().numpy(), layer.float()(x).detach().numpy(), atol=1e-2)


def test_bilinear_by_hand():
    layer = nn.Bilinear(3, 4, 2)
    a, b = rg.randn(5, 3), rg.randn(5, 4)
    expected = np.einsum("ni,kij,nj->nk", a.numpy(), layer.weight.detach().numpy(), b.numpy())
    assert_allclose(layer(a, b).detach().numpy(), expected + layer.bias.detach().numpy(), rtol=1e-5)


# ---------------------------------------------------------------- activations


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "elu", "celu", "selu", "hardtanh", "rrelu", "threshold"]
)
def test_in_place_form_writes_over_its_input(name):
    settings = (0.5, 2.0) if name == "threshold" else ()
    x = rg.randn(3, 4)
    expected = getattr(F, name)(x, *settings)
    out = getattr(F, f"{name}_")(x, *settings)
    assert out is x
    assert_array_equal(x.numpy(), expected.numpy())


def test_in_place_on_a_leaf_that_wants_a_gradient_is_refused():
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        nn.ReLU(inplace=True)(rg.ones(2, requires_grad=True))


@pytest.mark.parametrize("name", ["mish", "logsigmoid", "selu", "celu", "hardswish", "softsign"])
def test_far_from_zero_nothing_overflows(name):
    x = rg.tensor([-1e4, -200.0, 200.0, 1e4], requires_grad=True)
    out = getattr(F, name)(x)
    out.sum().backward()
    assert np.isfinite(out.detach().numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_nan_stays_nan():
    x = rg.tensor([float("nan")])
    for name in ("relu6", "hardshrink", "softshrink", "hardswish", "hardsigmoid", "celu", "selu"):
        assert np.isnan(getattr(F, name)(x).item()), name


def test_gumbel_softmax_is_one_hot_with_a_soft_gradient():
    logits = rg.randn(6, 3).requires_grad_()
    sample = F.gumbel_softmax(logits, hard=True)
    assert_allclose(np.sort(sample.detach().numpy(), 1), np.tile([0, 0, 1.0], (6, 1)), atol=1e-6)
    (sample * rg.arange(3.0)).sum().backward()
    assert np.abs(logits.grad.numpy()).sum() > 0


def test_softmax_without_dim_warns_at_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="Implicit dimension choice") as caught:
        F.softmax(rg.ones(2, 2))
    assert caught[0].filename == __file__


# ---------------------------------------------------------------- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_as_often_as_it_says(p):
    out = nn.Dropout(p)(rg.ones(100_000)).numpy()
    assert abs((out == 0).mean() - p) < 0.01
    assert_allclose(np.unique(out), [0, 1 / (1 - p)], rtol=1e-6)


def test_dropout_passes_the_gradient_where_it_passed_the_value():
    x = rg.ones(50, requires_grad=True)
    out = nn.Dropout(0.4)(x)
    out.sum().backward()
    assert_array_equal(x.grad.numpy(), out.detach().numpy())


def test_dropout_of_channels_drops_whole_channels():
    out = nn.Dropout2d(0.5)(rg.ones(8, 16, 3, 3)).numpy()
    assert set(out.mean((2, 3)).ravel().tolist()) == {0.0, 2.0}


def test_alpha_dropout_keeps_mean_and_variance():
    x = F.selu(rg.randn(200_000))
    out = F.alpha_dropout(x, 0.2, training=True)
    assert abs(float(out.mean() - x.mean())) < 0.02
    assert abs(float(out.var() / x.var()) - 1) < 0.02


def test_dropout_off():
    x = rg.ones(5)
    assert nn.Dropout().eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_refuses_what_is_no_probability():
    layer = nn.Dropout()
    layer.p = 1.5
    with pytest.raises(ValueError, match=r"between 0 and 1, but got 1.5"):
        layer(rg.ones(2))


# ---------------------------------------------------------------- tables and padding


def test_embedding_gives_padding_no_gradient():
    table = rg.randn(4, 2).requires_grad_()
    out = F.embedding(rg.tensor([[0, 1], [1, -0]]), table, padding_idx=0)
    out.sum().backward()
    assert_array_equal(table.grad.numpy(), [[0, 0], [2, 2], [0, 0], [0, 0]])


def test_embedding_shortens_long_rows_in_place():
    table = rg.tensor([[3.0, 4.0], [0.1, 0.1], [30.0, 40.0]])
    F.embedding(rg.tensor([0, 1, 0]), table, max_norm=1.0)
    assert_allclose(table.numpy(), [[0.6, 0.8], [0.1, 0.1], [30, 40]], rtol=1e-5)


def test_embedding_names_a_row_that_is_not_there():
    with pytest.raises(IndexError, match="4 rows"):
        F.embedding(rg.tensor([1, 4]), rg.ones(4, 2))


@pytest.mark.parametrize(
    ("classes", "num_classes", "message"),
    [
        ([0, 3], 3, "found 3, but num_classes is 3"),
        ([-1, 0], -1, "non-negative"),
        ([0.5], -1, r"convert it with .long\(\)"),
    ],
)
def test_one_hot_says_what_is_wrong(classes, num_classes, message):
    with pytest.raises(RuntimeError, match=message):
        F.one_hot(rg.tensor(classes), num_classes)


@pytest.mark.parametrize(
    ("mode", "name"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_padding_is_numpys(mode, name):
    x = rg.randn(2, 3, 4, 5)
    out = F.pad(x, (2, 1, 3, 0), mode=mode)
    expected = np.pad(x.numpy(), [(0, 0), (0, 0), (3, 0), (2, 1)], name)
    assert_array_equal(out.numpy(), expected)


def test_constant_padding_and_its_gradient():
    x = rg.arange(6.0).reshape(2, 3).requires_grad_()
    out = F.pad(x, (-1, 1, 0, 1), value=9)
    assert out.tolist() == [[1, 2, 9], [4, 5, 9], [9, 9, 9]]
    (out * out).sum().backward()
    assert x.grad.tolist() == [[0, 2, 4], [0, 8, 10]]


@pytest.mark.parametrize(
    ("pad", "mode", "error"),
    [
        ((1,), "constant", RuntimeError),
        ((1, 1, 1, 1, 1, 1), "constant", RuntimeError),
        ((-3, -1), "constant", RuntimeError),
        ((3, 0), "reflect", RuntimeError),
        ((1, 0), "mirror", NotImplementedError),
    ],
)
def test_padding_refuses(pad, mode, error):
    with pytest.raises(error, match=r"[Pp]ad"):
        F.pad(rg.ones(2, 3), pad, mode=mode)


def test_cosine_of_nothing_is_nothing():
    x = rg.zeros(1, 3, requires_grad=True)
    cosine = F.cosine_similarity(x, rg.ones(1, 3))
    cosine.sum().backward()
    assert cosine.item() == 0
    assert np.isfinite(x.grad.numpy()).all()
