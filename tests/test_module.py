"""`nn.Module`: what assignment registers, the walks, calls and hooks, state, copies, text."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import retrograd as rg
from retrograd import nn
from retrograd.nn import module as nn_module


class Affine(nn.Module):
    def __init__(self, n_in=2, n_out=2):
        super().__init__()
        self.weight = nn.Parameter(rg.ones(n_out, n_in))
        self.bias = nn.Parameter(rg.zeros(n_out))
        self.register_buffer("calls", rg.zeros(1))
        self.register_buffer("scratch", rg.zeros(1), persistent=False)

    def forward(self, x, scale=1.0):
        return (x @ self.weight.T + self.bias) * scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Affine()
        self.second = Affine(2, 1)
        self.gain = nn.Parameter(rg.ones(1))

    def forward(self, x):
        return self.second(self.first(x)) * self.gain


KEYS = ["gain", "first.weight", "first.bias", "first.calls"] + [
    f"second.{name}" for name in ("weight", "bias", "calls")
]


def names(pairs):
    return [name for name, _ in pairs]


# ---------------------------------------------------------------- registering


def test_assignment_registers_in_order():
    net = Net()
    assert names(net.named_parameters()) == [key for key in KEYS if "calls" not in key]
    assert names(net.named_buffers()) == [
        f"{child}.{name}" for child in ("first", "second") for name in ("calls", "scratch")
    ]
    assert names(net.named_modules()) == ["", "first", "second"]
    assert list(net.children()) == [net.first, net.second]
    assert names(net.named_parameters(prefix="net", recurse=False)) == ["net.gain"]


@pytest.mark.parametrize(
    "make", [lambda: nn.Parameter(rg.ones(1)), lambda: nn.Buffer(rg.ones(1)), nn.Module]
)
def test_assignment_before_init_says_what_to_do(make):
    class Early(nn.Module):
        def __init__(self):
            self.member = make()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call: make super"):
        Early()


def test_none_keeps_the_name_and_delete_frees_it():
    m = Affine()
    m.bias = None
    assert names(m.named_parameters()) == ["weight"]
    assert "bias" in m._parameters
    m.bias = nn.Parameter(rg.ones(2))
    assert names(m.named_parameters()) == ["weight", "bias"]
    del m.weight
    assert "weight" not in m._parameters
    with pytest.raises(AttributeError, match="'Affine' object has no attribute 'weight'"):
        _ = m.weight


def test_the_dictionaries_are_views():
    m = Affine()
    new = nn.Parameter(rg.zeros(3))
    m._parameters["extra"] = new
    assert m.extra is new
    assert names(m.named_parameters()) == ["weight", "bias", "extra"]
    assert m._parameters.pop("weight").shape == (2, 2)
    assert not hasattr(m, "weight")
    assert next(reversed(m._parameters.values())) is new
    m._modules = {"child": nn.Sequential()}
    assert list(m.children()) == [m.child]
    with pytest.raises(KeyError):
        del m._buffers["extra"]


def test_a_name_is_of_one_kind():
    m = nn.Module()
    m.thing = 3
    m.thing = nn.Parameter(rg.ones(1))
    m.thing = nn.Parameter(rg.zeros(1))
    m.other = nn.Buffer(rg.ones(1), persistent=False)
    m.other = nn.Module()
    assert names(m.named_parameters()) == ["thing"]
    assert not m._buffers
    assert not m._non_persistent_buffers_set


@pytest.mark.parametrize(
    ("name", "value"), [("weight", "tensor"), ("weight", "module"), ("child", 1), ("calls", 1)]
)
def test_a_member_takes_only_its_kind(name, value):
    m = Affine()
    m.child = nn.Module()
    wrong = {"tensor": rg.ones(2, 2), "module": nn.Module()}.get(value, value)
    with pytest.raises(TypeError, match=f"cannot assign .* '{name}'"):
        setattr(m, name, wrong)


@pytest.mark.parametrize("name", ["a.b", "", "forward", "weight"])
@pytest.mark.parametrize(
    "register",
    [
        lambda m, name: m.register_buffer(name, rg.ones(1)),
        lambda m, name: m.add_module(name, nn.Module()),
    ],
)
def test_bad_names(register, name):
    with pytest.raises(KeyError):
        register(Affine(), name)


def test_register_parameter_refuses_what_is_no_parameter():
    with pytest.raises(TypeError, match=r"nn\.Parameter"):
        Affine().register_parameter("new", rg.ones(1))
    with pytest.raises(TypeError, match="string"):
        Affine().register_parameter(1, None)


def test_hidden_in_the_dict_is_not_registered():
    m = nn.Module()
    m.__dict__["teacher"] = Affine()
    assert isinstance(m.teacher, Affine)
    assert not list(m.children())


def test_shared_members_count_once():
    m, shared = nn.Module(), Affine()
    m.a, m.b = shared, shared
    m.c = Affine()
    m.c.weight = shared.weight
    assert names(m.named_modules()) == ["", "a", "c"]
    assert names(m.named_modules(remove_duplicate=False)) == ["", "a", "b", "c"]
    assert names(m.named_parameters()) == ["a.weight", "a.bias", "c.bias"]
    assert len(list(m.named_parameters(remove_duplicate=False))) == 6


def test_look_up_by_dotted_name():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_parameter("first.weight") is net.first.weight
    assert net.get_buffer("second.calls") is net.second.calls
    net.set_submodule("first.inner", nn.Sequential())
    assert net.get_submodule("first.inner") is net.first.inner
    for call in (
        lambda: net.get_submodule("first.nothing"),
        lambda: net.get_submodule("first.weight"),
        lambda: net.get_parameter("first.calls"),
        lambda: net.get_buffer("gain"),
        lambda: net.set_submodule("new", nn.Sequential(), strict=True),
    ):
        with pytest.raises(AttributeError):
            call()
    with pytest.raises(ValueError, match="target"):
        net.set_submodule("", nn.Sequential())


# ---------------------------------------------------------------- state


def test_state_dict_shares_memory_and_is_detached():
    net = Net()
    state = net.state_dict()
    assert list(state) == KEYS
    assert list(state._metadata) == ["", "first", "second"]
    assert not state["gain"].requires_grad
    state["gain"].fill_(5)
    assert net.gain.item() == 5
    assert net.state_dict(keep_vars=True)["gain"] is net.gain
    assert next(iter(net.state_dict(prefix="net."))) == "net.gain"


def test_load_copies_in_place():
    a, b = Net(), Net()
    a.gain.data.fill_(7)
    before = b.gain
    assert repr(b.load_state_dict(a.state_dict())) == "<All keys matched successfully>"
    assert b.gain is before
    assert b.gain.item() == 7


def test_load_assign_takes_the_tensors():
    net, weight = Affine(), rg.full((2, 2), 3.0)
    net.load_state_dict({"weight": weight, "bias": net.bias, "calls": net.calls}, assign=True)
    assert isinstance(net.weight, nn.Parameter)
    assert net.weight.data_ptr() == weight.data_ptr()


def test_load_reports_everything_and_changes_nothing():
    net = Net()
    wrong = {**net.state_dict(), "gain": rg.full((1,), 9.0), "first.weight": rg.ones(3)}
    del wrong["first.bias"]
    wrong["second.new"] = rg.ones(1)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(wrong)
    for part in (
        "Error(s) in loading state_dict for Net:",
        'Missing key(s) in state_dict: "first.bias". ',
        'Unexpected key(s) in state_dict: "second.new". ',
        "size mismatch for first.weight",
        "Nothing was loaded.",
    ):
        assert part in str(error.value)
    assert net.gain.item() == 1


def test_load_not_strict_returns_the_keys():
    keys = Affine().load_state_dict({"weight": rg.zeros(2, 2), "new": rg.ones(1)}, strict=False)
    assert keys.missing_keys == ["bias", "calls"]
    assert keys.unexpected_keys == ["new"]
    assert repr(keys).startswith("_IncompatibleKeys(missing_keys=['bias', 'calls']")


def test_a_failing_loader_leaves_the_tree_as_it_was():
    class Fragile(Affine):
        def _load_from_state_dict(self, *args):
            super()._load_from_state_dict(*args)
            self.note = "half way"
            raise OSError("the disk")

    net = nn.Sequential(Affine(), Fragile())
    state = {key: value + 1 for key, value in net.state_dict().items()}
    with pytest.raises(OSError, match="the disk"):
        net.load_state_dict(state)
    assert net[0].weight.sum().item() == net[1].weight.sum().item() == 4
    assert not hasattr(net[1], "note")


def test_extra_state():
    class Counting(nn.Module):
        count = 1

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = nn.Sequential(Counting()), nn.Sequential(Counting())
    a[0].count = 12
    assert list(a.state_dict()) == ["0._extra_state"]
    b.load_state_dict(a.state_dict())
    assert b[0].count == 12
    with pytest.raises(RuntimeError, match=r"Missing.*_extra_state"):
        b.load_state_dict({})


def test_state_hooks():
    net, seen = Affine(), []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append(("before", prefix, keep)))
    net.register_state_dict_post_hook(lambda m, state, *rest: state.__delitem__("bias"))
    net.register_load_state_dict_pre_hook(
        lambda m, state, *rest: state.update(bias=state.pop("old_bias"))
    )
    net.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys.missing_keys[:]))
    state = net.state_dict()
    assert list(state) == ["weight", "calls"]
    net.load_state_dict({**state, "old_bias": rg.full((2,), 4.0)})
    assert net.bias.sum().item() == 8
    assert seen == [("before", "", False), []]


# ---------------------------------------------------------------- the whole tree


def test_train_eval_apply():
    net, seen = Net(), []
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Affine", "Affine", "Net"]
    with pytest.raises(ValueError, match="boolean"):
        net.train(1)


def test_gradients_of_all_parameters():
    net = Net()
    net(rg.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert [p.grad.abs().sum().item() for p in net.parameters()] == [0] * 5
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_to_converts_floating_members_and_keeps_identity():
    net = Net()
    net.register_buffer("step", rg.tensor(3))
    net(rg.ones(1, 2)).sum().backward()
    gain = net.gain
    assert net.to(rg.float64) is net
    assert net.gain is gain
    assert {t.dtype for t in (gain, gain.grad, net.first.calls)} == {rg.float64}
    assert net.step.dtype == rg.int64
    assert net.to(rg.ones(1)).gain.dtype == rg.float32
    assert net.half().gain.dtype == rg.float16
    assert net.double().to("cpu").float().gain.dtype == rg.float32
    with pytest.raises(TypeError, match="floating point"):
        net.to(rg.int64)


@pytest.mark.parametrize("move", [lambda m: m.to("cuda"), lambda m: m.cuda()])
def test_there_is_only_the_cpu(move):
    with pytest.raises(RuntimeError, match="CPU"):
        move(Net())


# ---------------------------------------------------------------- calls and hooks


def test_no_forward():
    with pytest.raises(NotImplementedError, match=r"Module \[Module\] is missing"):
        nn.Module()(1)


def test_forward_hooks_may_replace():
    net, x = Affine(), rg.ones(1, 2)
    plain = net(x)
    with net.register_forward_pre_hook(lambda m, args: args[0] * 2):
        assert (net(x) == plain * 2).all()
    with net.register_forward_hook(lambda m, args, out: out * 3):
        assert (net(x) == plain * 3).all()
    with net.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"scale": kwargs["scale"] + 1}), with_kwargs=True
    ):
        assert (net(x, scale=4.0) == plain * 5).all()
    assert (net(x) == plain).all()


def test_a_pre_hook_with_keywords_returns_both():
    net = Affine()
    net.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="tuple of"):
        net(rg.ones(1, 2))


def test_always_called_hooks_see_a_failure():
    net, seen = Affine(), []
    net.register_forward_hook(lambda m, args, out: seen.append("plain"))
    net.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(TypeError):
        net(rg.ones(1, 2), nonsense=1)
    assert seen == [None]


def test_hooks_on_every_module():
    seen = []
    note = lambda m, *rest: seen.append(type(m).__name__)  # noqa: E731
    with nn_module.register_module_forward_hook(note):
        Net()(rg.ones(1, 2))
    Net()(rg.ones(1, 2))
    assert seen == ["Affine", "Affine", "Net"]


def test_hooks_on_registration():
    seen = []
    handles = [
        register(lambda m, name, value: seen.append(name))
        for register in (
            nn_module.register_module_parameter_registration_hook,
            nn_module.register_module_buffer_registration_hook,
            nn_module.register_module_module_registration_hook,
        )
    ]
    net = nn.Sequential(Affine())
    for handle in handles:
        handle.remove()
    net.extra = Affine()
    assert seen == ["weight", "bias", "calls", "scratch", "0"]


def test_backward_hooks_see_and_replace():
    net, seen = Affine(), []
    net.register_full_backward_pre_hook(lambda m, gs: (gs[0] * 10,))
    net.register_full_backward_hook(lambda m, gs, outs: seen.append((gs, outs)))
    net.register_full_backward_hook(lambda m, gs, outs: (gs[0] + 1,))
    x = rg.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    ((inputs, outputs),) = seen
    assert outputs[0].tolist() == [[10, 10]]
    assert inputs[0].tolist() == [[20, 20]]
    assert x.grad.tolist() == [[21, 21]]
    assert net.bias.grad.tolist() == [10, 10]


def test_backward_hook_without_inputs_that_need_gradients():
    net, seen = Affine(), []
    net.register_full_backward_hook(lambda m, gs, outs: seen.append(gs))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        net(rg.ones(1, 2)).sum().backward()
    assert seen == [(None,)]


def test_backward_hook_must_return_as_many():
    net = Affine()
    net.register_full_backward_hook(lambda m, gs, outs: (None, None))
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2"):
        net(rg.ones(1, 2, requires_grad=True)).sum().backward()


def test_backward_hooks_are_silent_without_gradients():
    net = Affine()
    net.register_full_backward_hook(lambda m, gs, outs: pytest.fail("called"))
    with rg.no_grad():
        assert not net(rg.ones(1, 2)).requires_grad


# ---------------------------------------------------------------- copies and text


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_complete_and_apart(clone):
    net = Net()
    net.tied = net.first
    other = clone(net)
    assert list(other.state_dict()) == list(net.state_dict())
    assert other.tied is other.first
    other.gain.data.fill_(3)
    assert net.gain.item() == 1


def test_a_shallow_copy_has_its_own_names():
    net = Net()
    other = copy.copy(net)
    other.extra = nn.Parameter(rg.ones(1))
    del other.gain
    assert other.first is net.first
    assert names(net.named_parameters(recurse=False)) == ["gain"]
    assert names(other.named_parameters(recurse=False)) == ["extra"]


def test_handle_survives_pickling_and_its_module():
    net = Affine()
    net.register_forward_pre_hook(print)
    handle = net.register_forward_hook(print)
    other_net, other_handle = pickle.loads(pickle.dumps((net, handle)))
    new = other_net.register_forward_hook(repr)
    assert len(other_net._forward_hooks) == 2
    other_handle.remove()
    assert list(other_net._forward_hooks) == [new.id]
    del net
    handle.remove()


def test_a_module_is_freed_without_the_collector():
    gc.disable()
    try:
        net = Net()
        net.register_forward_hook(lambda m, args, out: None)
        net(rg.ones(1, 2)).sum().backward()
        gone = [weakref.ref(net), weakref.ref(net.first), weakref.ref(net.first.weight)]
        del net
        assert [ref() for ref in gone] == [None] * 3
    finally:
        gc.enable()


def test_own_getattr_may_ask_module():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    assert Wrapper(Affine()).weight.shape == (2, 2)
    with pytest.raises(AttributeError, match="'Affine' object has no attribute 'nothing'"):
        _ = Wrapper(Affine()).nothing


def test_text():
    class Talkative(Affine):
        def extra_repr(self):
            return "one\ntwo"

    net = nn.Sequential(Affine(), Talkative())
    assert repr(net) == "Sequential(\n  (0): Affine()\n  (1): Talkative(\n    one\n    two\n  )\n)"
    assert {"weight", "calls", "forward"} <= set(dir(net[0]))
    assert "0" not in dir(net)


def test_init_takes_no_arguments_unless_passed_on():
    class Base:
        def __init__(self, size):
            self.size = size

    class Both(nn.Module, Base):
        call_super_init = True

    assert Both(3).size == 3
    with pytest.raises(TypeError, match="takes none"):
        nn.Module(3)
