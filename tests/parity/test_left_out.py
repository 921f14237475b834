"""Layers that PyTorch's database of modules leaves out, in PyTorch and here."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)


def both(call):
    results = []
    for engine in ENGINES:
        engine.manual_seed(3)
        results.append(call(engine))
    return results


def x_of(engine, shape, dtype, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return engine.tensor(values.tolist(), dtype=getattr(engine, dtype)).reshape(shape)


def raw(x):
    return x.detach().numpy()


def run(engine, make, shape, dtype):
    """A layer's text, state, output and gradients, and what a copy of it says."""
    layer = make(engine.nn).to(getattr(engine, dtype))
    x = x_of(engine, shape, dtype).requires_grad_()
    state = [(key, raw(value).copy()) for key, value in layer.state_dict().items()]
    out = layer(x)
    out.backward(x_of(engine, tuple(out.shape), dtype, 1))
    again = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    gradients = [raw(p.grad) for p in (x, *layer.parameters())]
    return [repr(layer), repr(again), layer.training], state, [raw(out), *gradients]


LAYERS = {
    "ChannelShuffle": (lambda nn: nn.ChannelShuffle(2), (2, 6, 3, 4)),
    "CrossMapLRN2d": (lambda nn: nn.CrossMapLRN2d(3, 0.1, 0.5, 2), (2, 5, 3, 4)),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), (2, 8, 3, 4)),
    "PixelUnshuffle": (lambda nn: nn.PixelUnshuffle(2), (2, 3, 4, 6)),
    "Upsample nearest": (lambda nn: nn.Upsample(scale_factor=2), (2, 3, 4, 5)),
    "Upsample size": (lambda nn: nn.Upsample((7, 5), mode="nearest-exact"), (2, 3, 4, 5)),
    "Upsample linear": (lambda nn: nn.Upsample(7, mode="linear"), (2, 3, 4)),
    "Upsample bilinear": (
        lambda nn: nn.Upsample(scale_factor=1.5, mode="bilinear", align_corners=True),
        (2, 3, 4, 6),
    ),
    "Upsample bicubic": (lambda nn: nn.Upsample(scale_factor=2, mode="bicubic"), (1, 2, 4, 5)),
    "Upsample trilinear": (lambda nn: nn.Upsample((3, 4, 5), mode="trilinear"), (1, 2, 2, 3, 3)),
    "UpsamplingBilinear2d": (lambda nn: nn.UpsamplingBilinear2d(scale_factor=2), (1, 2, 3, 3)),
    "UpsamplingNearest2d": (lambda nn: nn.UpsamplingNearest2d((6, 4)), (1, 2, 3, 3)),
}


# Layers whose gradient is not PyTorch's, and why.
OTHER_GRADIENT = {"CrossMapLRN2d": "PyTorch's is not that of the value that it computes"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, dtype):
    theirs, mine = both(lambda engine: run(engine, *LAYERS[name], dtype))
    assert mine[0] == theirs[0]
    assert [key for key, _ in mine[1]] == [key for key, _ in theirs[1]]
    compared = slice(1 if name in OTHER_GRADIENT else None)
    for t, m in zip(theirs[2][compared], mine[2][compared], strict=True):
        assert m.dtype == t.dtype
        np.testing.assert_allclose(m, t, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("with_size", [False, True])
def test_unpooling(dims, with_size):
    def call(engine):
        nn = engine.nn
        pool = getattr(nn, f"MaxPool{dims}d")(2, stride=2, return_indices=True)
        unpool = getattr(nn, f"MaxUnpool{dims}d")(2, stride=2)
        x = x_of(engine, (2, 3, *[5 if with_size else 4] * dims), "float32").requires_grad_()
        out, indices = pool(x)
        back = unpool(out, indices, output_size=x.shape) if with_size else unpool(out, indices)
        (back * back).sum().backward()
        return repr(unpool), indices.tolist(), back.tolist(), x.grad.tolist()

    theirs, mine = both(call)
    assert mine == theirs


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("settings", [{}, {"padding_idx": 2}, {"include_last_offset": True}])
def test_bags_of_embeddings(mode, settings):
    def call(engine):
        bag = engine.nn.EmbeddingBag(7, 4, mode=mode, **settings)
        offsets = [0, 2, 5, 6] if settings.get("include_last_offset") else [0, 2, 5]
        out = bag(engine.tensor([1, 2, 4, 5, 2, 6]), engine.tensor(offsets))
        (out * out).sum().backward()
        rows = bag(engine.tensor([[1, 2], [3, 4]])) if not settings else out
        return repr(bag), [raw(x) for x in (bag.weight, out, bag.weight.grad, rows)]

    theirs, mine = both(call)
    assert mine[0] == theirs[0]
    for t, m in zip(theirs[1], mine[1], strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-5, atol=1e-6)


def test_the_bases_of_recurrent_layers():
    def call(engine):
        base = engine.nn.RNNBase("LSTM", 3, 4, num_layers=2, bidirectional=True)
        cell = engine.nn.RNNCellBase(3, 4, bias=True, num_chunks=3)
        shapes = [[(k, tuple(v.shape)) for k, v in m.state_dict().items()] for m in (base, cell)]
        values = [raw(v) for m in (base, cell) for v in m.state_dict().values()]
        return shapes, repr(base), values

    theirs, mine = both(call)
    assert mine[:2] == theirs[:2]
    for t, m in zip(theirs[2], mine[2], strict=True):
        np.testing.assert_array_equal(m, t)


def test_synchronised_batch_norm_is_made_of_others():
    """PyTorch's computes on GPUs only: texts and state are compared."""

    def call(engine):
        nn = engine.nn
        model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm2d(2)))
        made = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return repr(made), repr(nn.SyncBatchNorm(4)), list(made.state_dict())

    theirs, mine = both(call)
    assert mine == theirs


@pytest.mark.parametrize("settings", [{}, {"norm_first": True, "batch_first": True}])
def test_a_decoder(settings):
    def call(engine):
        nn = engine.nn
        layer = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, **settings)
        decoder = nn.TransformerDecoder(layer, 2, norm=nn.LayerNorm(8))
        target = x_of(engine, (3, 4, 8), "float32").requires_grad_()
        memory = x_of(engine, (3, 4, 8), "float32", 1).requires_grad_()
        out = decoder(target, memory)
        (out * out[0, 0]).sum().backward()
        grads = [raw(p.grad) for p in (target, memory, *decoder.parameters())]
        return repr(decoder), list(decoder.state_dict()), [raw(out), *grads]

    theirs, mine = both(call)
    assert mine[:2] == theirs[:2]
    for t, m in zip(theirs[2], mine[2], strict=True):
        np.testing.assert_allclose(m, t, rtol=1e-4, atol=1e-4)


def test_options_of_the_linear_cross_entropy():
    def call(engine):
        options = engine.nn.LinearCrossEntropyOptions
        texts = [repr(options()), repr(options(batch_chunk_size=4, chunking_method=None))]
        for wrong in ({"acc_policy": "x"}, {"chunking_method": "x"}, {"batch_chunk_size": 0}):
            with pytest.raises(ValueError, match="acc_policy|chunking_method|batch_chunk_size"):
                options(**wrong)
        return texts, options() == options(), hash(options()) == hash(options())

    theirs, mine = both(call)
    assert mine == theirs
