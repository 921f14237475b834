"""Every path under torch.nn that scripts import from leads to the same things here."""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil

import pytest
import retrograd

torch = pytest.importorskip("torch")

ENGINES = (torch, retrograd)


def subjects():
    names = [info.name for info in pkgutil.iter_modules(torch.nn.modules.__path__)]
    return [name for name in names if name[0] != "_" and name != "linear_cross_entropy"]


def ours(path):
    return importlib.import_module("retrograd." + path)


@pytest.mark.parametrize("subject", subjects())
def test_classes_are_found_by_their_path(subject):
    theirs = importlib.import_module(f"torch.nn.modules.{subject}")
    mine = ours(f"nn.modules.{subject}")
    for name in getattr(theirs, "__all__", []):
        if hasattr(retrograd.nn, name):
            assert getattr(mine, name) is getattr(retrograd.nn, name)
            assert getattr(retrograd.nn.modules, name) is getattr(retrograd.nn, name)
    with pytest.raises(AttributeError):
        getattr(mine, "nothing_of_this_name")  # noqa: B009


def test_names_that_scripts_import():
    paths = {
        "nn.modules.utils": "_single _pair _triple _quadruple _ntuple _reverse_repeat_tuple "
        "consume_prefix_in_state_dict_if_present",
        "nn.modules.loss": "_Loss _WeightedLoss CTCLoss",
        "nn.modules.lazy": "LazyModuleMixin",
        "nn.modules.module": "Module register_module_forward_hook register_module_backward_hook "
        "_IncompatibleKeys",
        "nn.parameter": "Parameter Buffer UninitializedParameter UninitializedBuffer "
        "UninitializedTensorMixin is_lazy",
        "nn.common_types": "_size_1_t _size_2_t _size_3_t _size_any_t _ratio_2_t _maybe_indices_t",
        "nn.utils.clip_grad": "clip_grad_norm_ clip_grad_value_",
        "nn.utils.parametrize": "ParametrizationList register_parametrization cached",
        "nn.utils.parametrizations": "weight_norm spectral_norm",
        "nn.utils.stateless": "functional_call",
        "nn.utils.convert_parameters": "parameters_to_vector",
        "nn.utils.fusion": "fuse_conv_bn_eval",
        "nn.utils.weight_norm": "WeightNorm weight_norm",
        "nn.utils.spectral_norm": "SpectralNorm spectral_norm",
    }
    for path, names in paths.items():
        theirs, mine = importlib.import_module("torch." + path), ours(path)
        for name in names.split():
            assert hasattr(theirs, name), f"{path}.{name}"
            assert hasattr(mine, name), f"{path}.{name}"


@pytest.mark.parametrize("given", [3, (1, 2), [1, 2, 3], "ab", range(2), 1.5])
@pytest.mark.parametrize("name", ["_single", "_pair", "_triple", "_quadruple"])
def test_tuples(name, given):
    theirs, mine = (
        getattr(importlib.import_module(f"{e.__name__}.nn.modules.utils"), name) for e in ENGINES
    )
    assert mine(given) == theirs(given)
    assert mine.__name__ == theirs.__name__


def test_the_prefix_of_a_wrapped_model():
    found = []
    for engine in ENGINES:
        utils = importlib.import_module(f"{engine.__name__}.nn.modules.utils")
        wrapped = engine.nn.Module()
        wrapped.module = engine.nn.Sequential(engine.nn.Linear(2, 3), engine.nn.Tanh())
        state = wrapped.state_dict()
        utils.consume_prefix_in_state_dict_if_present(state, "module.")
        wrapped.module.load_state_dict(state)
        found.append((list(state), dict(state._metadata), utils._reverse_repeat_tuple((1, 2), 2)))
    assert found[1] == found[0]


# ---------------------------------------------------------------- the base class


def test_every_public_name_of_a_module():
    theirs = {name for name in dir(torch.nn.Module) if name[0] != "_"}
    assert theirs - set(dir(retrograd.nn.Module)) == {"T_destination"}  # a type variable


def parameters(function):
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


def test_to_empty():
    found = []
    for engine in ENGINES:
        model = engine.nn.Sequential(engine.nn.Linear(2, 3), engine.nn.PReLU())
        weight = model[0].weight
        with engine.no_grad():
            weight.fill_(3.0)
        before = weight.detach()
        with pytest.raises(TypeError):
            model.to_empty()
        answer = model.to_empty(device="cpu")
        model[0].weight.data.fill_(1.0)
        shapes = [tuple(p.shape) for p in model.parameters()]
        found.append(
            (answer is model, model[0].weight is weight, before.tolist(), shapes, repr(model))
        )
    assert found[1] == found[0]
    assert parameters(retrograd.nn.Module.to_empty) == parameters(torch.nn.Module.to_empty)


def test_compile_changes_nothing():
    layer = retrograd.nn.Linear(2, 2)
    before = layer(retrograd.ones(2)).tolist()
    assert layer.compile(mode="max-autotune") is None
    assert layer(retrograd.ones(2)).tolist() == before
    assert repr(copy.deepcopy(layer)) == repr(layer)
