"""Normalisation against PyTorch's: values, gradients, running statistics, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import retrograd

from .layers import ENGINES, compare, copies_work, numbers, same_error, to, torch

LAYERS = [
    ("BatchNorm1d(3)", (4, 3)),
    ("BatchNorm1d(3, momentum=None)", (4, 3, 5)),
    ("BatchNorm1d(3, affine=False)", (4, 3)),
    ("BatchNorm1d(3, bias=False)", (4, 3)),
    ("BatchNorm1d(3, track_running_stats=False)", (4, 3)),
    ("BatchNorm2d(3, eps=1e-3, momentum=0.3)", (4, 3, 2, 5)),
    ("BatchNorm3d(2)", (3, 2, 2, 1, 3)),
    ("SyncBatchNorm(3)", (4, 3, 2)),
    ("LayerNorm(5)", (2, 3, 5)),
    ("LayerNorm((3, 5), eps=1e-2)", (2, 3, 5)),
    ("LayerNorm(5, bias=False)", (2, 5)),
    ("LayerNorm(5, elementwise_affine=False)", (5,)),
    ("LayerNorm(5)", (0, 5)),
    ("GroupNorm(2, 6)", (3, 6)),
    ("GroupNorm(3, 6, eps=1e-2)", (2, 6, 2, 3)),
    ("GroupNorm(1, 4, affine=False)", (2, 4, 3)),
    ("GroupNorm(2, 4, bias=False)", (2, 4, 3)),
    ("InstanceNorm1d(3)", (2, 3, 5)),
    ("InstanceNorm1d(3, affine=True)", (3, 5)),
    ("InstanceNorm2d(3, affine=True, track_running_stats=True)", (2, 3, 4, 2)),
    ("InstanceNorm3d(2, track_running_stats=True, momentum=0.4)", (2, 2, 2, 3, 2)),
    ("RMSNorm(5)", (2, 3, 5)),
    ("RMSNorm((3, 5), eps=1e-2, elementwise_affine=False)", (2, 3, 5)),
    ("LocalResponseNorm(3)", (2, 5, 4)),
    ("LocalResponseNorm(2, alpha=0.1, beta=0.5, k=2.0)", (2, 5, 2, 3)),
]


def made(call):
    return lambda engine: eval(f"nn.{call}", {"nn": engine.nn})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("call", "shape"), LAYERS, ids=str)
def test_layer(call, shape, training, dtype):
    compare(made(call), numbers(shape) * 2 + 1, dtype=dtype, training=training, steps=3)


@pytest.mark.parametrize(("call", "shape"), LAYERS, ids=str)
def test_copies(call, shape):
    copies_work(made(call), numbers(shape))


# Large enough for the compiled loops, and not multiples of anything.
LARGE = [
    ("LayerNorm(130)", (3, 101, 130)),
    ("RMSNorm(130)", (303, 130)),
    ("BatchNorm1d(7)", (9, 7, 601)),
    ("BatchNorm2d(7)", (9, 7, 25, 25)),
    ("GroupNorm(2, 6)", (9, 6, 25, 27)),
    ("InstanceNorm2d(6, affine=True, track_running_stats=True)", (9, 6, 25, 27)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("call", "shape"), LARGE, ids=str)
def test_many_elements(call, shape, dtype):
    def scaled(engine):
        module = made(call)(engine)
        with engine.no_grad():  # weights that matter
            for i, p in enumerate(module.parameters()):
                p.copy_(to(engine, numbers(tuple(p.shape), i), "float32"))
        return module

    x = numbers(shape) / np.sqrt(np.prod(shape)) * 100 + 3
    compare(scaled, x, dtype=dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("call", ["LayerNorm(200)", "RMSNorm(200)"])
@pytest.mark.parametrize("rows", [3, 200])
def test_infinite_and_missing_numbers_stay_in_their_row(call, rows, bad):
    x = numbers((rows, 200)).astype(np.float32)
    x[1, 7] = bad
    theirs, mine = (made(call)(e)(to(e, x, "float32")).detach().numpy() for e in ENGINES)
    np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs))


def second_gradients(engine, function, arrays):
    inputs = [to(engine, x, wants_grad=True) for x in arrays]
    out = function(engine.nn.functional, *inputs)
    g = to(engine, numbers(tuple(out.shape), 5), wants_grad=True)
    first = engine.autograd.grad(out, inputs, g, create_graph=True)
    total = sum((d * to(engine, numbers(tuple(d.shape), 6))).sum() for d in first)
    return [d.numpy() for d in engine.autograd.grad(total, [g, *inputs], materialize_grads=True)]


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda f, x, w, b: f.layer_norm(x, (4,), w, b), [(3, 4), (4,), (4,)]),
        (lambda f, x, w: f.rms_norm(x, (4,), w), [(3, 4), (4,)]),
        (lambda f, x, w, b: f.batch_norm(x, None, None, w, b, True), [(5, 3, 2), (3,), (3,)]),
        (lambda f, x, w, b: f.group_norm(x, 2, w, b), [(2, 4, 3), (4,), (4,)]),
        (lambda f, x, w, b: f.instance_norm(x, None, None, w, b), [(2, 3, 4), (3,), (3,)]),
        (lambda f, x: f.local_response_norm(x, 2, 0.1), [(2, 4, 3)]),
    ],
)
def test_second_gradient(function, shapes):
    arrays = [numbers(shape, i) for i, shape in enumerate(shapes)]
    theirs, mine = (second_gradients(engine, function, arrays) for engine in ENGINES)
    for m, t in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_cross_map_norm_has_their_values(size):
    x = numbers((2, 7, 2, 3))
    theirs, mine = (e.nn.CrossMapLRN2d(size, 0.5, 0.75, 1.5)(to(e, x)).numpy() for e in ENGINES)
    np.testing.assert_allclose(mine, theirs, rtol=1e-9)
    assert repr(retrograd.nn.CrossMapLRN2d(size)) == repr(torch.nn.CrossMapLRN2d(size))


def test_half_precision_layers():
    x = numbers((4, 6))
    for dtype in ("float16", "bfloat16"):
        results = []
        for engine in ENGINES:
            layer = engine.nn.LayerNorm(6).to(getattr(engine, dtype))
            out = layer(to(engine, x, "float32").to(getattr(engine, dtype)))
            assert repr(out.dtype) == f"torch.{dtype}"
            results.append(out.float().detach().numpy())
        np.testing.assert_allclose(results[1], results[0], atol=2e-2)


def test_conversion_to_sync_batch_norm():
    model = retrograd.nn.Sequential(retrograd.nn.Linear(3, 4), retrograd.nn.BatchNorm1d(4)).eval()
    before = model[1]
    converted = retrograd.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert converted is model
    assert type(model[1]) is retrograd.nn.SyncBatchNorm
    assert model[1].weight is before.weight
    assert model[1].running_mean is before.running_mean
    assert not model[1].training


def test_state_without_a_count_of_batches_loads_as_theirs():
    for engine in ENGINES:
        layer = engine.nn.BatchNorm1d(2)
        state = layer.state_dict()
        del state["num_batches_tracked"]
        del state._metadata
        assert not layer.load_state_dict(state).missing_keys


@pytest.mark.parametrize(
    ("attempt", "match"),
    [
        (lambda e: e.nn.BatchNorm2d(3)(e.ones(2, 3)), "expected 4D input"),
        (lambda e: e.nn.BatchNorm1d(3)(e.ones(2, 3, 1, 1)), "2D or 3D"),
        (lambda e: e.nn.BatchNorm1d(3)(e.ones(1, 3)), "more than 1 value per channel"),
        (lambda e: e.nn.BatchNorm1d(4)(e.ones(2, 3)), "running_mean should contain 3 elements"),
        (lambda e: e.nn.BatchNorm1d(3, eps=-1.0)(e.ones(2, 3)), "eps"),
        (lambda e: e.nn.BatchNorm1d(3)(e.ones(2, 3, dtype=e.float64)), "float64"),
        (lambda e: e.nn.functional.batch_norm(e.ones(2, 3), None, None), "running_mean must be"),
        (lambda e: e.nn.SyncBatchNorm(3)(e.ones(3)), "at least 2D"),
        (lambda e: e.nn.LayerNorm(4)(e.ones(2, 3)), "normalized_shape=[4]"),
        (lambda e: e.nn.LayerNorm((2, 3))(e.ones(3)), "[*, 2, 3]"),
        (lambda e: e.nn.LayerNorm(3)(e.ones(2, 3, dtype=e.float64)), "float64"),
        (lambda e: e.nn.LayerNorm(3)(e.ones(2, 3, dtype=e.int64)), None),
        (lambda e: e.nn.functional.layer_norm(e.ones(3), 3), "normalized_shape"),
        (lambda e: e.nn.functional.layer_norm(e.ones(3), ()), "at least 1-dimensional"),
        (lambda e: e.nn.functional.layer_norm(e.ones(3), (3,), e.ones(2)), "weight"),
        (lambda e: e.nn.functional.layer_norm(e.ones(3), (3,), None, e.ones(2)), "bias"),
        (lambda e: e.nn.functional.rms_norm(e.ones(3), (2,)), "[*, 2]"),
        (lambda e: e.nn.GroupNorm(2, 3), "num_channels (3)"),
        (lambda e: e.nn.GroupNorm(2, 4)(e.ones(2, 3, 5)), "divisible by num_groups"),
        (lambda e: e.nn.GroupNorm(2, 4)(e.ones(4)), "at least 2"),
        (lambda e: e.nn.GroupNorm(4, 4)(e.ones(1, 4)), None),
        (lambda e: e.nn.functional.group_norm(e.ones(2, 4, 3), 2, e.ones(3)), "weight"),
        (lambda e: e.nn.InstanceNorm1d(3)(e.ones(3)), "2D or 3D"),
        (lambda e: e.nn.InstanceNorm1d(3, affine=True)(e.ones(2, 4, 5)), "num_features"),
        (lambda e: e.nn.InstanceNorm1d(3)(e.ones(2, 3, 1)), "more than 1 spatial"),
        (lambda e: e.nn.functional.instance_norm(e.ones(2, 3, 2), use_input_stats=False), "stats"),
        (lambda e: e.nn.LocalResponseNorm(2)(e.ones(2, 3)), "3D"),
        (lambda e: e.nn.CrossMapLRN2d(2)(e.ones(2, 3, 4)), "4D"),
    ],
)
def test_error(attempt, match):
    same_error(attempt, match)


def test_wrong_number_of_features_warns_as_theirs():
    def said(engine):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            engine.nn.InstanceNorm1d(3)(engine.ones(2, 4, 5))
        return [str(w.message) for w in caught]

    assert said(retrograd) == said(torch)


@pytest.mark.parametrize("call", ["LayerNorm(3)", "BatchNorm1d(3)", "GroupNorm(1, 3)"])
def test_names_of_the_tape(call):
    theirs, mine = (made(call)(e)(e.ones(2, 3)).grad_fn.name() for e in ENGINES)
    assert mine == theirs
