"""Pooling, resampling and padding modules against PyTorch's, over its own database of modules."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest
import retrograd as rg

from .corpus import TOLERANCE, class_of, leaves, same, to_ours, torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

KINDS = ("Pool", "Pad", "Pixel", "Shuffle", "Upsampl", "Unpool")
INFOS = [i for i in module_db if any(kind in i.module_cls.__name__ for kind in KINDS)]


def kept(kwargs):
    return {k: v for k, v in kwargs.items() if k not in ("device", "dtype")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("info", INFOS, ids=lambda i: i.module_cls.__name__)
def test_every_input_of_the_database(info, dtype):
    theirs, mine = info.module_cls, getattr(rg.nn, info.module_cls.__name__)
    inputs = info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=True, training=True
    )
    for sample in inputs:
        args, settings = sample.constructor_input.args, kept(sample.constructor_input.kwargs)
        t = theirs(*args, **settings).to(dtype)
        m = mine(*to_ours(list(args)), **to_ours(settings)).to(to_ours(dtype))
        assert repr(m) == repr(t)
        assert list(m.state_dict()) == list(t.state_dict())
        m = pickle.loads(pickle.dumps(copy.deepcopy(m)))
        given = list(sample.forward_input.args), sample.forward_input.kwargs
        ours = to_ours(given[0]), to_ours(given[1])
        torch.manual_seed(0)
        rg.manual_seed(0)
        expected, out = t(*given[0], **given[1]), m(*ours[0], **ours[1])
        same("value", out, expected, TOLERANCE)
        leaves(expected, torch.Tensor)[0].sum().backward()
        leaves(out, rg.Tensor)[0].sum().backward()
        for x, y in zip(leaves(given, torch.Tensor), leaves(ours, rg.Tensor), strict=True):
            if x.requires_grad:
                same("gradient", y.grad, x.grad, TOLERANCE)


CALLS = [
    "Upsample(scale_factor=2)",
    "Upsample(size=(5, 3), mode='bilinear')",
    "Upsample(scale_factor=(1.7, 0.6), mode='bicubic', align_corners=True)",
    "Upsample(scale_factor=1.7, mode='bilinear', recompute_scale_factor=True)",
    "UpsamplingNearest2d(scale_factor=2)",
    "UpsamplingBilinear2d(size=7)",
    "PixelShuffle(2)",
    "PixelUnshuffle(2)",
    "ChannelShuffle(2)",
    "MaxPool2d(3, 2, (1, 0), ceil_mode=True)",
    "AvgPool2d(3, divisor_override=5)",
    "LPPool2d(float('inf'), 2)",
    "FractionalMaxPool2d((2, 3), output_size=(2, 3))",
    "FractionalMaxPool2d(2, output_ratio=(0.6, 0.4))",
    "AdaptiveMaxPool2d((3, None))",
    "AdaptiveAvgPool2d((None, 4))",
    "ReflectionPad2d((1, 2, 0, 3))",
    "ConstantPad2d((1, -1, 0, 2), 1.5)",
    "ZeroPad2d(2)",
]
BIG, SMALL = (3, 4, 40, 38), (2, 4, 6, 8)


@pytest.mark.parametrize("shape", [SMALL, BIG], ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_module(call, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    results = []
    for engine in (torch, rg):
        module = eval(f"nn.{call}", {"nn": engine.nn})
        given = engine.tensor(x.tolist()).requires_grad_()
        engine.manual_seed(1)
        out = module(given)
        (out * out).sum().backward()
        results.append((repr(module), out.detach().numpy(), given.grad.numpy()))
    theirs, mine = results
    assert mine[0] == theirs[0]
    np.testing.assert_allclose(mine[1], theirs[1], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(mine[2], theirs[2], rtol=2e-5, atol=5e-5)


ERRORS = [
    "F.max_pool2d(x, (2, 2, 2))",
    "F.max_pool2d(x, 2.5)",
    "F.max_pool2d(x, 2, 0)",
    "F.max_pool2d(x, 2, padding=2)",
    "F.max_pool2d(x, 2, padding=-1)",
    "F.max_pool2d(x, 9)",
    "F.max_pool2d(x[0, 0], 2)",
    "F.max_pool2d(x[:, :0], 2)",
    "F.max_pool2d(x, 2, dilation=0)",
    "F.max_pool2d([1], 2)",
    "F.max_pool2d(x > 0, 2)",
    "F.max_pool1d(i[0], 2)",
    "F.max_pool1d(x, 2)",
    "F.avg_pool2d(x, 2, 0)",
    "F.avg_pool2d(x, 2, padding=2)",
    "F.avg_pool2d(x, 9)",
    "F.avg_pool2d(x, 2, divisor_override=0)",
    "F.avg_pool1d(x, 2)",
    "F.adaptive_avg_pool2d(i, 2)",
    "F.adaptive_avg_pool2d(i, 1)",
    "F.adaptive_avg_pool2d(x, -1)",
    "F.adaptive_avg_pool2d(x[0, 0], 2)",
    "F.adaptive_avg_pool2d(x[0, 0], (2, 2))",
    "F.adaptive_max_pool2d(x, (1, 2, 3))",
    "F.lp_pool2d(x, 2, (2, 2, 2))",
    "F.lp_pool2d(x, 0, 2)",
    "F.fractional_max_pool2d(x, 2)",
    "F.fractional_max_pool2d(x, 2, 8)",
    "F.fractional_max_pool2d(x, 2, output_ratio=(0.5, 0.5, 0.5))",
    "F.fractional_max_pool2d(i, 2, 2)",
    "F.max_unpool2d(x, i.int(), 2)",
    "F.max_unpool2d(x, i[:1], 2)",
    "F.max_unpool2d(x, i + 999, 2)",
    "F.max_unpool2d(x, -i, 2)",
    "F.max_unpool2d(x, i, 2, output_size=(12,))",
    "F.max_unpool2d(x, i, 2, output_size=(22, 12))",
    "F.max_unpool2d(x, i, 2, padding=9)",
    "F.max_unpool2d(i, i, 2)",
    "nn.FractionalMaxPool2d(2)",
    "nn.FractionalMaxPool2d(2, 2, 0.5)",
    "nn.FractionalMaxPool2d(2, output_ratio=1.5)",
    "nn.FractionalMaxPool3d(0, 2)",
    "F.interpolate(x)",
    "F.interpolate(x, 2, 2)",
    "F.interpolate(x, (2, 2, 2))",
    "F.interpolate(x, (2.5, 2))",
    "F.interpolate(x, scale_factor=(2, 2, 2))",
    "F.interpolate(x, 0)",
    "F.interpolate(x, -1)",
    "F.interpolate(i, 2)",
    "F.interpolate(x, 2, mode='linear')",
    "F.interpolate(x[0], 2, mode='bilinear')",
    "F.interpolate(x[0, 0], 2)",
    "F.interpolate(x, 2, mode='cubic')",
    "F.interpolate(x, 2, align_corners=False)",
    "F.interpolate(x, 2, antialias=True)",
    "F.interpolate(x, 2, recompute_scale_factor=True)",
    "F.interpolate(x, 2, mode='lanczos')",
    "F.grid_sample(x, x, 'linear')",
    "F.grid_sample(x, x, padding_mode='mirror')",
    "F.grid_sample(x, x, align_corners=True)",
    "F.grid_sample(x, x[:1, ..., :2], align_corners=True)",
    "F.grid_sample(x, x[..., :2].double(), align_corners=True)",
    "F.affine_grid(i[0], (3, 1, 2, 2), align_corners=True)",
    "F.affine_grid(x[0], (3, 1, 2, 2), align_corners=True)",
    "F.affine_grid(x[0, :, :2, :3], (3, 1, 0, 2), align_corners=True)",
    "F.affine_grid(x[0, :, :2, :3], (3, 2), align_corners=True)",
    "F.pixel_shuffle(x, 2)",
    "F.pixel_shuffle(x, 0)",
    "F.pixel_shuffle(x[0, 0], 1)",
    "F.pixel_unshuffle(x, 4)",
    "F.channel_shuffle(x, 2)",
    "F.channel_shuffle(x, 0)",
    "nn.CircularPad1d(1)(x)",
    "nn.ReflectionPad2d(9)(x)",
    "nn.ConstantPad2d(-4, 0)(x)",
]


@pytest.mark.parametrize("call", ERRORS)
def test_error_is_of_the_same_class(call):
    errors = []
    for engine in (torch, rg):
        x = engine.ones(2, 3, 6, 6)
        space = {"F": engine.nn.functional, "nn": engine.nn, "x": x, "i": x.long()}
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            eval(call, space)
        errors.append(caught.value)
    assert isinstance(errors[1], class_of(errors[0])), repr(errors)


@pytest.mark.parametrize(
    "call",
    [
        "upsample(x, 3)",
        "upsample_nearest(x, 3)",
        "upsample_bilinear(x, 3)",
        "affine_grid(x[0, :, :, :3], (1, 1, 2, 2))",
        "grid_sample(x, x[..., :2])",
    ],
)
def test_warning_is_theirs(call):
    texts = []
    for engine in (torch, rg):
        space = {"F": engine.nn.functional, "x": engine.ones(1, 1, 2, 3)}
        with pytest.warns(UserWarning, match="nn.functional|align_corners") as caught:
            eval(f"F.{call}", space)
        texts.append([(str(w.message), w.filename) for w in caught])
    assert texts[1] == texts[0]


PUBLIC = [n for n in dir(torch.nn.functional) if "_pool" in n and n[0] != "_"]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_pooling_function_is_there(name):
    mine = getattr(rg.nn.functional, name)
    assert "input" in inspect.signature(mine).parameters
