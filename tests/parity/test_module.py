"""The same trees of modules in PyTorch and here: names, text, errors, and the order of hooks."""

from __future__ import annotations

import pytest
import retrograd
from retrograd.nn import module as retrograd_module

torch = pytest.importorskip("torch")
torch_module = pytest.importorskip("torch.nn.modules.module")

ENGINES = [(torch, torch_module), (retrograd, retrograd_module)]


def make_affine(rg):
    class Affine(rg.nn.Module):
        _version = 2

        def __init__(self, n_in=2, n_out=2):
            super().__init__()
            self.weight = rg.nn.Parameter(rg.ones(n_out, n_in))
            self.bias = rg.nn.Parameter(rg.zeros(n_out))
            self.register_buffer("seen", rg.zeros(1))
            self.register_buffer("scratch", rg.zeros(1), persistent=False)
            self.register_buffer("later", None)
            self.n_out = n_out

        def forward(self, x, scale=1.0):
            return (x @ self.weight.T + self.bias) * scale

        def extra_repr(self):
            return f"{self.n_out}"

    return Affine


def nested(rg):
    affine = make_affine(rg)
    net = rg.nn.Sequential(affine(), rg.nn.Sequential(affine(2, 3), affine(3, 1)))
    net.extra = None
    net.add_module("nothing", None)
    return net


def shared(rg):
    affine = make_affine(rg)
    net, part = rg.nn.Module(), affine()
    net.a = net.b = part
    net.c = affine()
    net.c.weight = part.weight
    net.c.seen = part.seen
    return net


def lists(rg):
    affine = make_affine(rg)
    net = rg.nn.Module()
    net.rows = rg.nn.ModuleList([affine(), affine(), affine(2, 1), rg.nn.ModuleList()])
    net.named = rg.nn.ModuleDict({"b": affine(), "a": rg.nn.Sequential()})
    net.loose = rg.nn.ParameterList([rg.ones(2, 3), "note", rg.ones(())])
    net.keyed = rg.nn.ParameterDict({"z": rg.ones(2, 3), "y": 3})
    return net


def changed(rg):
    affine = make_affine(rg)
    net = rg.nn.Sequential(*(affine(2, n) for n in range(1, 6)))
    del net[1:3]
    net.insert(1, affine(2, 9))
    net[0].bias = None
    net[0].extra = rg.nn.Parameter(rg.ones(1))
    net[0].bias = rg.nn.Parameter(rg.ones(1))
    net[1].weight = None
    net[1].seen = rg.ones(4)
    del net[1].scratch
    net.late = rg.nn.Parameter(rg.ones(1))
    net[2]._parameters["direct"] = rg.nn.Parameter(rg.ones(1))
    net.tail = net[1:] * 2
    return net


ZOO = [nested, shared, lists, changed]


def portrait(rg, build):
    """All that is text or order about a tree."""
    net = build(rg)
    order = {id(m): i for i, m in enumerate(net.modules())}
    state = net.state_dict(prefix="p.")
    return {
        "repr": repr(net),
        "parameters": [name for name, _ in net.named_parameters()],
        "all parameters": [name for name, _ in net.named_parameters("p", remove_duplicate=False)],
        "own parameters": [name for name, _ in net.named_parameters(recurse=False)],
        "buffers": [name for name, _ in net.named_buffers()],
        "modules": [(name, order[id(m)]) for name, m in net.named_modules()],
        "all modules": [(n, order[id(m)]) for n, m in net.named_modules(remove_duplicate=False)],
        "children": [name for name, _ in net.named_children()],
        "state": [(key, tuple(value.shape)) for key, value in state.items()],
        "metadata": state._metadata,
        "registries": [[*m._parameters, "|", *m._buffers, "|", *m._modules] for m in net.modules()],
        "hidden": [sorted(m._non_persistent_buffers_set) for m in net.modules()],
    }


@pytest.mark.parametrize("build", ZOO)
def test_portrait(build):
    theirs, ours = (portrait(rg, build) for rg, _ in ENGINES)
    assert ours == theirs


def load_error(rg, build, edit, strict):
    net = build(rg)
    state = net.state_dict()
    edit(rg, state)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state, strict=strict)
    return str(error.value)


def drop_first(rg, state):
    del state[next(iter(state))]


def add_strangers(rg, state):
    state["0.stranger"] = state["stranger.deep"] = state["_extra_state"] = rg.ones(1)


def resize_all(rg, state):
    for key in state:
        state[key] = rg.ones(7, 1)


def everything(rg, state):
    resize_all(rg, state)
    drop_first(rg, state)
    add_strangers(rg, state)


def no_tensor(rg, state):
    state[next(iter(state))] = 3


@pytest.mark.parametrize("build", ZOO)
@pytest.mark.parametrize("edit", [drop_first, add_strangers, resize_all, everything, no_tensor])
def test_load_errors_begin_with_the_same_text(build, edit):
    theirs, ours = (load_error(rg, build, edit, True) for rg, _ in ENGINES)
    assert ours.startswith(theirs + "\n\t")


@pytest.mark.parametrize("edit", [drop_first, add_strangers])
def test_keys_that_do_not_match(edit):
    found = []
    for rg, _ in ENGINES:
        net = nested(rg)
        state = net.state_dict()
        edit(rg, state)
        found.append(repr(net.load_state_dict(state, strict=False)))
    assert found[1] == found[0]


def hook_story(rg, module):
    """Everything that hooks are told about two calls, in order."""
    net, story = nested(rg), []
    del net.nothing
    names = {id(m): name or "net" for name, m in net.named_modules()}

    def teller(what, answer=None):
        def tell(m, *rest):
            shapes = [
                [None if t is None else tuple(t.shape) for t in part]
                for part in rest
                if isinstance(part, tuple)
            ]
            story.append((what, names[id(m)], shapes))
            return answer

        return tell

    handles = [
        module.register_module_forward_pre_hook(teller("every pre")),
        module.register_module_forward_hook(teller("every")),
        module.register_module_full_backward_pre_hook(teller("every back pre")),
        module.register_module_full_backward_hook(teller("every back")),
        net[0].register_forward_hook(teller("first")),
        net[0].register_forward_hook(teller("second")),
        net[0].register_forward_hook(teller("prepended"), prepend=True),
        net[0].register_forward_hook(teller("with keywords"), with_kwargs=True),
        net.register_forward_pre_hook(teller("pre"), prepend=True),
        net.register_forward_pre_hook(teller("pre keywords"), with_kwargs=True),
        net[1].register_full_backward_pre_hook(teller("back pre")),
        net[1].register_full_backward_hook(teller("back")),
        net[1].register_full_backward_hook(teller("back prepended"), prepend=True),
    ]
    x = rg.ones(4, 2, requires_grad=True)
    try:
        net(x).sum().backward()
        for handle in handles[::2]:
            handle.remove()
        story.append("half of them gone")
        net(x).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    return [*story, x.grad.tolist()]


def test_hooks_tell_the_same_story():
    theirs, ours = (hook_story(*engine) for engine in ENGINES)
    assert ours == theirs


def state_hook_story(rg, module):
    net, story = nested(rg), []
    for name, m in net.named_modules():
        m.register_state_dict_pre_hook(
            lambda m, prefix, keep, name=name: story.append(("save", name, prefix, keep))
        )
        m.register_state_dict_post_hook(
            lambda m, state, *rest, name=name: story.append(("saved", name, list(state), *rest))
        )
        m.register_load_state_dict_pre_hook(
            lambda m, state, prefix, meta, *rest, name=name: story.append(
                ("load", name, list(state), prefix, meta, *map(repr, rest))
            )
        )
        m.register_load_state_dict_post_hook(
            lambda m, keys, name=name: story.append(("loaded", name, repr(keys)))
        )
    state = net.state_dict()
    drop_first(rg, state)
    net.load_state_dict(state, strict=False)
    return story


def test_state_hooks_tell_the_same_story():
    theirs, ours = (state_hook_story(*engine) for engine in ENGINES)
    assert ours == theirs


FAILURES = {
    "empty name": lambda rg, m: m.add_module("", m),
    "tensor as parameter": lambda rg, m: setattr(m[0], "weight", rg.ones(1)),
    "number as buffer": lambda rg, m: setattr(m[0], "seen", 3),
    "number as module": lambda rg, m: setattr(m, "1", 3),
    "dotted parameter": lambda rg, m: m.register_parameter("a.b", None),
    "taken name": lambda rg, m: m.register_parameter("forward", None),
    "tensor registered": lambda rg, m: m.register_parameter("new", rg.ones(1)),
    "no module": lambda rg, m: m.add_module("new", 3),
    "numbered module": lambda rg, m: m.add_module(3, None),
    "no buffer": lambda rg, m: m.register_buffer("new", 3),
    "no attribute": lambda rg, m: m.absent,
    "delete nothing": lambda rg, m: delattr(m, "absent"),
    "no submodule": lambda rg, m: m.get_submodule("1.7"),
    "not a submodule": lambda rg, m: m.get_submodule("0.weight"),
    "not a parameter": lambda rg, m: m.get_parameter("0.seen"),
    "not a buffer": lambda rg, m: m.get_buffer("0.weight"),
    "set without target": lambda rg, m: m.set_submodule("", m),
    "set no module": lambda rg, m: m.set_submodule("0", 3),
    "set strictly": lambda rg, m: m.set_submodule("0.new", m, strict=True),
    "mode": lambda rg, m: m.train(1),
    "integers": lambda rg, m: m.to(rg.int64),
    "load no dict": lambda rg, m: m.load_state_dict([1]),
    "no forward": lambda rg, m: rg.nn.Module()(1),
    "list called": lambda rg, m: rg.nn.ModuleList()(1),
    "parameters called": lambda rg, m: rg.nn.ParameterList()(1),
    "index": lambda rg, m: m[12],
    "index of a list": lambda rg, m: rg.nn.ModuleList()[0],
    "key of a module dict": lambda rg, m: rg.nn.ModuleDict()["a"],
    "key of a parameter dict": lambda rg, m: rg.nn.ParameterDict()["a"],
    "delete a key": lambda rg, m: rg.nn.ParameterDict().pop("a"),
    "add": lambda rg, m: m + rg.nn.ModuleList([m]),
    "times nothing": lambda rg, m: m * 0,
    "times a half": lambda rg, m: m * 0.5,
    "insert no module": lambda rg, m: m.insert(0, 3),
    "insert far": lambda rg, m: m.insert(9, m),
    "extend": lambda rg, m: rg.nn.ModuleList(3),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_same_class_of_error(name):
    classes = []
    for rg, _ in ENGINES:
        with pytest.raises(Exception) as error:  # noqa: PT011 - which one is the question
            FAILURES[name](rg, nested(rg))
        classes.append(error.type)
    assert classes[1] is classes[0]
