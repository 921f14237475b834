"""Convolutions, `fold` and `unfold` in PyTorch and here: values, gradients, layers and errors."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import re
import warnings

import numpy as np
import pytest
import retrograd

from .test_nn import both, check, numbers, raw, to

torch = pytest.importorskip("torch")

# PyTorch copies an input that it cannot pad evenly, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def sizes(text):
    return tuple(map(int, text.split("x")))


# input, weight, settings; the functions of more than one axis take the same settings for each
CONVOLUTIONS = [
    ("2x3x7", "4x3x3", {}),
    ("3x7", "4x3x3", {"padding": 1}),
    ("2x4x9", "6x2x3", {"stride": 2, "dilation": 2, "groups": 2, "padding": 2}),
    ("2x3x8", "4x3x4", {"padding": "same"}),
    ("2x3x8", "4x3x4", {"padding": "same", "dilation": 3}),
    ("2x3x8", "4x3x4", {"padding": "valid", "stride": (3,)}),
    ("1x1x1x1", "1x1x1x1", {}),
    ("2x3x6x5", "4x3x3x3", {}),
    ("3x6x5", "4x3x3x2", {"padding": (1, 0)}),
    ("2x3x7x6", "4x3x3x3", {"stride": 2, "padding": 1}),
    ("2x3x9x8", "4x3x3x2", {"stride": (3, 2), "padding": (2, 1), "dilation": (2, 3)}),
    ("2x4x6x6", "4x1x3x3", {"groups": 4, "padding": 1}),
    ("2x4x6x6", "8x1x3x3", {"groups": 4, "stride": 2, "padding": 3}),
    ("2x6x5x7", "9x2x2x3", {"groups": 3}),
    ("2x5x6x6", "7x5x1x1", {}),
    ("2x5x6x6", "7x5x1x1", {"stride": 2}),
    ("2x3x6x5", "4x3x2x4", {"padding": "same"}),
    ("0x3x6x5", "4x3x3x3", {"padding": 1}),
    ("2x3x4x5x6", "4x3x3x2x3", {"padding": 1}),
    ("3x4x5x6", "4x3x3x2x3", {"stride": (1, 2, 3)}),
    ("2x4x4x5x6", "4x2x2x2x2", {"padding": "same", "groups": 2}),
]
TRANSPOSED = [
    ("2x3x5", "3x4x3", {}),
    ("3x5", "3x4x3", {"stride": 2}),
    ("2x4x5", "4x3x3", {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2}),
    ("2x3x4x5", "3x4x3x3", {"stride": 2, "padding": 1, "output_padding": 1}),
    ("2x3x4x5", "3x4x3x2", {"stride": (2, 1), "dilation": (1, 3), "output_padding": (1, 2)}),
    ("2x4x4x5", "4x1x2x2", {"groups": 4, "stride": 2}),
    ("0x4x4x5", "4x1x2x2", {"groups": 2}),
    ("2x3x2x3x4", "3x2x2x3x2", {"stride": 2, "padding": 1}),
]


def call(engine, name, dtype, x, w, settings, bias):
    """Value, gradients, and gradients of a function of the gradients."""
    function = getattr(engine.nn.functional, name)
    groups = settings.get("groups", 1)
    filters = w[1] * groups if "transpose" in name else w[0]
    shapes = [x, w, (filters,)] if bias else [x, w]
    inputs = [to(engine, numbers(s, i).astype(dtype)) for i, s in enumerate(shapes)]
    out = function(*inputs, **settings)
    seed = to(engine, numbers(tuple(out.shape), 9).astype(dtype))
    slopes = engine.autograd.grad(out, inputs, seed, create_graph=True)
    total = sum((s * to(engine, numbers(tuple(s.shape), 7).astype(dtype), False)).sum()
                for s in slopes[:2])  # fmt: skip
    second = engine.autograd.grad(total, [seed, *inputs[:2]], materialize_grads=True)
    return [raw(r) for r in (out, *slopes, *second)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("x", "w", "settings"), CONVOLUTIONS + TRANSPOSED, ids=str)
def test_function(x, w, settings, bias, dtype):
    name = "conv_transpose" if (x, w, settings) in TRANSPOSED else "conv"
    name += f"{w.count('x') - 1}d"
    theirs, ours = both(lambda e: call(e, name, dtype, sizes(x), sizes(w), settings, bias))
    tolerance = 1e-5 if dtype == "float32" else 1e-11
    for mine, their in zip(ours, theirs, strict=True):
        assert mine.dtype == their.dtype
        assert mine.shape == their.shape
        np.testing.assert_allclose(mine, their, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["int64", "int32", "complex64"])
def test_other_types(dtype):
    def run(engine):
        x = engine.ones(1, 2, 4, 4).to(getattr(engine, dtype))
        return raw(engine.nn.functional.conv2d(x, x[:, :, :2, :2]))

    theirs, ours = both(run)
    assert theirs.dtype == ours.dtype
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    def run(engine):
        x, w = (to(engine, numbers(s, i)).to(getattr(engine, dtype))
                for i, s in enumerate([(2, 3, 6, 6), (4, 3, 3, 3)]))  # fmt: skip
        out = engine.nn.functional.conv2d(x, w, padding=1)
        assert out.dtype is getattr(engine, dtype)
        return raw(out.float())

    theirs, ours = both(run)
    np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=5e-2)


# ---------------------------------------------------------------- layers

LAYERS = {
    "Conv1d(3, 4, 3)": (2, 3, 7),
    "Conv1d(4, 8, 3, 2, 'valid', groups=2, bias=False)": (2, 4, 7),
    "Conv1d(3, 4, 4, padding='same', padding_mode='circular')": (2, 3, 7),
    "Conv2d(3, 4, 3)": (3, 7, 6),
    "Conv2d(3, 6, (3, 2), (2, 1), (1, 2), (1, 2), 3)": (2, 3, 7, 6),
    "Conv2d(3, 4, 3, padding=2, padding_mode='reflect')": (2, 3, 7, 6),
    "Conv2d(3, 4, 3, padding=2, padding_mode='replicate')": (2, 3, 7, 6),
    "Conv2d(3, 4, (3, 4), padding='same', padding_mode='circular', bias=False)": (2, 3, 7, 6),
    "Conv2d(3, 4, 3, padding='valid', padding_mode='circular')": (2, 3, 7, 6),
    "Conv3d(3, 4, 3, padding=1)": (2, 3, 4, 5, 4),
    "ConvTranspose1d(3, 4, 3, 2)": (2, 3, 5),
    "ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, False, 2)": (2, 4, 5, 4),
    "ConvTranspose3d(3, 4, 2, stride=2)": (2, 3, 2, 3, 2),
    "Unfold(3)": (2, 3, 5, 6),
    "Unfold((3, 2), 2, 1, 2)": (3, 7, 6),
    "Fold(5, 3)": (2, 18, 9),
    "Fold((5, 6), (3, 2), 2, 1, (2, 1))": (18, 12),
}


@pytest.mark.parametrize(("text", "shape"), LAYERS.items(), ids=list(LAYERS))
def test_layer(text, shape):
    check(lambda nn: eval(f"nn.{text}", {"nn": nn}), numbers(shape))


@pytest.mark.parametrize("text", LAYERS)
def test_layer_is_copied_and_pickled(text):
    layer = eval(f"nn.{text}", {"nn": retrograd.nn})
    x = retrograd.tensor(numbers(LAYERS[text]))
    expected = layer(x).detach().numpy()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        np.testing.assert_array_equal(other(x).detach().numpy(), expected)


@pytest.mark.parametrize("text", [t for t in LAYERS if "Conv" in t])
def test_attributes(text):
    theirs, ours = both(lambda e: eval(f"nn.{text}", {"nn": e.nn}))
    for name in (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"),
        *("transposed", "output_padding", "groups", "padding_mode"),
    ):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("size", [(11, 12), [12, 11], (2, 6, 11, 12)])
def test_output_size(size):
    def run(engine):
        layer = engine.nn.ConvTranspose2d(4, 6, 3, stride=2)
        return raw(layer(to(engine, numbers((2, 4, 5, 5))), output_size=size))

    theirs, ours = both(run)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


# ---------------------------------------------------------------- errors

# What fails in PyTorch, and words of our message.
ERRORS = [
    ("F.conv2d(t(5, 5), w)", "input to conv2d"),
    ("F.conv2d(t(1, 1, 4, 5, 5), w)", "input to conv2d"),
    ("F.conv2d(x, t(6, 4, 3))", "weight"),
    ("F.conv1d(t(1, 4, 5), w)", "weight"),
    ("F.conv2d(t(1, 3, 5, 5), w)", "expected input.*4 channels, but got 3 channels"),
    ("F.conv2d(t(3, 5, 5), w)", "expected input.*4 channels, but got 3 channels"),
    ("F.conv2d(x, t(6, 2, 3, 3), groups=4)", "groups=4, expected weight to be divisible by 4"),
    ("F.conv2d(x, t(6, 2, 3, 3), groups=3)", "groups=3, weight.*6 channels, but got 4"),
    ("F.conv2d(x, t(5, 2, 3, 3), groups=2)", "groups=2, expected weight to be divisible by 2"),
    ("F.conv2d(x, w, groups=0)", "non-positive groups"),
    ("F.conv2d(x, w, groups=-1)", "non-positive groups"),
    ("F.conv2d(x, t(6, 4, 7, 7))", "Kernel size can't be greater than actual input size"),
    ("F.conv2d(x, t(6, 4, 7, 7), padding=(0, 1))", r"\(5 x 7\). Kernel size: \(7 x 7\)"),
    ("F.conv2d(x, w, dilation=3)", r"\(5 x 5\). Kernel size: \(7 x 7\)"),
    ("F.conv2d(x, w, stride=0)", "non-positive stride"),
    ("F.conv2d(x, w, stride=-1)", "non-positive stride"),
    ("F.conv2d(x, w, dilation=0)", "dilation should be greater than zero"),
    ("F.conv2d(x, w, padding=-1)", "negative padding"),
    ("F.conv2d(x, w, t(5))", "expected bias to be 1-dimensional with 6 elements"),
    ("F.conv2d(x, w, t(6, 1))", "expected bias to be 1-dimensional with 6 elements"),
    ("F.conv2d(x, w.double())", r"weight type \(torch.float64\)|weight type"),
    ("F.conv2d(x, w, t(6).double())", "bias type"),
    ("F.conv2d(x.bool(), w.bool())", "not implemented for 'Bool'"),
    ("F.conv2d(x, w, stride=(1, 1, 1))", "expected stride to be a single integer value"),
    ("F.conv2d(x, w, stride=1.5)", "'stride'"),
    ("F.conv2d(x, w, padding='foo')", "Invalid padding string: 'foo'"),
    ("F.conv2d(x, w, padding='same', stride=2)", "padding='same' is not supported"),
    ("F.conv2d([1], w)", "'input'"),
    ("F.conv2d(x, 3)", "'weight'"),
    ("F.conv2d(x, w, 3)", "'bias'"),
    ("F.conv2d(t(1, 4, 0, 5), w, padding=1)", "Kernel size can't be greater"),
    ("F.conv2d(x, t(0, 4, 3, 3))", "expected weight to be at least 1 at dimension 0"),
    ("F.conv2d(x, t(6, 4, 0, 3))", "kernel size should be greater than zero"),
    ("F.conv_transpose2d(x, wt, output_padding=1)", "output padding must be smaller"),
    ("F.conv_transpose2d(x, wt, stride=2, output_padding=2)", "output padding must be smaller"),
    ("F.conv_transpose2d(x, wt, stride=2, output_padding=-1)", "negative output_padding"),
    ("F.conv_transpose2d(t(1, 3, 5, 5), wt)", "expected input.*4 channels, but got 3 channels"),
    ("F.conv_transpose2d(x, wt, t(5))", "expected bias to be 1-dimensional with 6 elements"),
    ("F.conv_transpose2d(x, wt, groups=3)", "groups=3, expected weight to be divisible by 3"),
    ("F.conv_transpose2d(t(1, 4, 1, 1), wt, padding=2)", "Output size is too small"),
    ("F.conv_transpose2d(x, wt.double())", "weight type"),
    ("F.conv_transpose2d(x, wt, padding='same')", "'padding'"),
    ("F.conv_transpose2d(t(1, 4, 0, 5), wt)", "input shape"),
    ("nn.Conv2d(4, 6, 3, groups=3)", "in_channels must be divisible by groups"),
    ("nn.Conv2d(6, 4, 3, groups=3)", "out_channels must be divisible by groups"),
    ("nn.Conv2d(4, 6, 3, groups=0)", "groups must be a positive integer"),
    ("nn.Conv2d(4, 6, 3, padding='foo')", "Invalid padding string 'foo'"),
    ("nn.Conv2d(4, 6, 3, padding='same', stride=2)", "padding='same' is not supported"),
    ("nn.Conv2d(4, 6, 3, padding_mode='foo')", "padding_mode='foo'"),
    ("nn.ConvTranspose2d(4, 6, 3, padding_mode='reflect')", 'Only "zeros" padding mode'),
    ("nn.Conv2d(4, 6, -3)", "negative dimension"),
    ("nn.Conv2d(4, 6, 3)(t(1, 3, 5, 5))", "4 channels, but got 3"),
    ("up(x, output_size=(20, 20))", "requested an output size of"),
    ("up(x, output_size=(20,))", "output_size must have 2 or 4 elements"),
    ("F.unfold(x[None], 3)", "3D or 4D"),
    ("F.unfold(x, 7)", "at least one"),
    ("F.unfold(x, 0)", "kernel_size"),
    ("F.unfold(x, 3, stride=0)", "stride should be greater than zero"),
    ("F.unfold(x, 3, dilation=0)", "dilation should be greater than zero"),
    ("F.unfold(x, 3, padding=-1)", "padding should be non-negative"),
    ("F.unfold(x, (3, 3, 3))", "kernel_size equals to 2, but got size 3"),
    ("F.unfold(x.long(), 3)", "not implemented for"),
    ("F.unfold(t(1, 0, 5, 5), 3)", "non-zero dimensions"),
    ("F.fold(t(9), 5, 3)", "2D or 3D"),
    ("F.fold(c, 6, 3)", r"sliding blocks 4 \* 4 = 16, but got input.size\(2\)=9"),
    ("F.fold(t(1, 35, 9), 5, 3)", "divisible by the product of kernel_size"),
    ("F.fold(c, 5, (3,))", "kernel_size equals to 2, but got size 1"),
    ("F.fold(c, (5, 5, 5), 3)", "output_size equals to 2, but got size 3"),
    ("F.fold(c, 5, 3, stride=0)", "stride should be greater than zero"),
    ("F.fold(c, 5, 3, dilation=0)", "dilation should be greater than zero"),
    ("F.fold(c, 5, 3, padding=-1)", "padding should be non-negative"),
    ("F.fold(c, 2, 3)", r"sliding blocks 0 \* 0 = 0"),
    ("F.fold(c.long(), 5, 3)", "not implemented for"),
]


def names(engine):
    t, nn = engine.ones, engine.nn
    return {
        **{"F": nn.functional, "nn": nn, "t": t, "x": t(1, 4, 5, 5), "c": t(1, 36, 9)},
        **{"w": t(6, 4, 3, 3), "wt": t(4, 6, 3, 3), "up": nn.ConvTranspose2d(4, 6, 3, stride=2)},
    }


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[call for call, _ in ERRORS])
def test_error(call, words):
    theirs = None
    try:
        eval(call, names(torch))
    except Exception as error:
        theirs = type(error)
    assert theirs is not None
    with pytest.raises(theirs) as ours:
        eval(call, names(retrograd))
    assert re.search(words, str(ours.value), re.DOTALL), str(ours.value)


def test_layers_without_weights():
    def run(engine):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layer = engine.nn.Conv2d(0, 6, 3)
        return [str(w.message) for w in caught], tuple(layer.weight.shape)

    theirs, ours = both(run)
    assert theirs == ours


def test_names_on_the_tape():
    def run(engine):
        x, w = engine.ones(1, 1, 4, 4).requires_grad_(), engine.ones(1, 1, 2, 2)
        f = engine.nn.functional
        outs = (
            f.conv2d(x, w),
            f.conv2d(x, w, w[0, 0, 0, :1]),
            f.conv_transpose2d(x, w),
            f.unfold(x, 2),
        )
        return [out.grad_fn.name() for out in (*outs, f.fold(outs[-1], 4, 2))]

    theirs, ours = both(run)
    assert theirs == ours


def test_every_signature():
    def parameters(layer):
        return inspect.signature(layer).parameters.values()

    kinds = itertools.product(("Conv", "ConvTranspose"), "123")
    for name in [*(f"{a}{b}d" for a, b in kinds), "Fold", "Unfold"]:
        theirs, ours = (
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(e.nn, name)).parameters.values()
            ]
            for e in (torch, retrograd)
        )
        assert theirs == ours
