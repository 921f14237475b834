"""Optimizers: against their recurrences, and as their users meet them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import retrograd as rg
from hypothesis import given, settings
from hypothesis import strategies as st
from retrograd import optim
from retrograd.autograd import kernels
from retrograd.optim import batch, elementwise, update

CLASSES = [
    cls
    for cls in vars(optim).values()
    if isinstance(cls, type) and issubclass(cls, elementwise.Elementwise)
]
both = pytest.mark.parametrize("cls", [optim.SGD, optim.Adam])


def parameters(*shapes, dtype=None):
    rg.manual_seed(0)
    return [rg.nn.Parameter(rg.randn(shape).to(dtype or rg.float32)) for shape in shapes]


def give_gradients(params):
    for p in params:
        p.grad = p.detach() * 2 + 1


def train(optimizer, params, steps=3):
    for _ in range(steps):
        give_gradients(params)
        optimizer.step()
    return [p.detach().numpy().copy() for p in params]


def same(got, wanted):
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


# ---------------------------------------------------------------- rules and programs


@pytest.mark.parametrize("cls", CLASSES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_program_and_its_text_compute_the_rule(cls, data):
    group = cls([rg.nn.Parameter(rg.ones(2))]).param_groups[0]
    flags = {"maximize", "amsgrad", "centered", "decoupled_weight_decay", "nesterov"}
    for name in sorted(flags & group.keys()):
        group[name] = data.draw(st.booleans(), name)
    for name in sorted({"weight_decay", "momentum"} & group.keys()):
        group[name] = data.draw(st.sampled_from([0, 0.3]), name)
    optimizer = cls([group])
    fills, counts = optimizer._fills(group), optimizer._counts(group)
    options = optimizer._settings(group, False, counts, optimizer._count(group, counts))
    program = cls.rule.program(tuple(fills), options)

    random = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    size = data.draw(st.sampled_from([0, 1, 7, update.CHUNK, 2 * update.CHUNK + 3]), "size")
    arrays = [random.random(size) + 0.5 for _ in program.arrays]
    named = dict(zip(program.arrays, arrays, strict=True))
    with np.errstate(all="ignore"):
        of_rule = cls.rule(*[named.get(n) for n in ("p", "g", *cls.rule.state)], **options)
        wanted = [a for a in of_rule if a is not None]
        words = {n: getattr(np, n) for n in ("sqrt", "abs", "sign", "maximum", "minimum")}
        exec(str(program), words)
        numbers = {name: options[name] for name in program.operands}
        of_text = words[cls.rule.name](**named, **numbers)
        g = arrays[1].copy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "WORTH_COMPILING", size + 1)
            program.run(arrays, program.numbers(options, np.dtype(float)), update.Scratch())
    for got, text, want in zip([arrays[0], *arrays[2:]], of_text, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
        np.testing.assert_allclose(text, want, rtol=1e-12)
    np.testing.assert_array_equal(arrays[1], g)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_loop_gives_the_same_bits(cls, dtype, monkeypatch):
    options = {"weight_decay": 0.1} if cls is not optim.Rprop else {}
    found = []
    for least in (1, 1 << 40):
        monkeypatch.setattr(kernels, "WORTH_COMPILING", least)
        monkeypatch.setattr(update, "WORTH_SHARING", 16)
        params = parameters((50,), dtype=getattr(rg, dtype))
        optimizer = cls(params, lr=0.1, **options)
        if "momentum" in optimizer.param_groups[0]:
            optimizer.param_groups[0]["momentum"] = 0.9
        found.append(train(optimizer, params, steps=4)[0])
    np.testing.assert_array_equal(*found)


def test_result_needed_later_is_not_overwritten():
    @update.Rule
    def swap(p, g, old, /, *, lr):
        new = old + lr * g
        return p - new * old, new

    arrays = [np.array([x]) for x in (1.0, 2.0, 3.0)]
    program = swap.program(("old",), {"lr": 0.5})
    program.run(arrays, program.numbers({"lr": 0.5}, np.dtype(float)), update.Scratch())
    assert [a.item() for a in arrays] == [-11, 2, 4]


def test_rule_may_not_branch_on_what_it_computes():
    @update.Rule
    def wrong(p, g, /, *, lr):
        return (p - lr * g if p * g else p,)

    with pytest.raises(TypeError, match="may branch on its settings only"):
        wrong.program((), {"lr": 0.1})


def test_changing_a_number_makes_no_new_program():
    (p,) = params = parameters((2,))
    optimizer = optim.SGD([p], lr=0.1)
    train(optimizer, params)
    made = len(optim.SGD.rule._programs)
    optimizer.param_groups[0]["lr"] = 0.01
    train(optimizer, params)
    assert len(optim.SGD.rule._programs) == made


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize("cls", CLASSES)
def test_descends(cls):
    w = rg.tensor([3.0, -2.0], requires_grad=True)
    optimizer = cls([w], lr=0.1)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with rg.no_grad():  # the closure records nevertheless
        losses = [optimizer.step(closure).item() for _ in range(30)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("cls", CLASSES)
def test_batching_changes_nothing(cls, monkeypatch):
    shapes = [(3,), (2, 2), (), (0,), (40,), (7,)]
    together = parameters(*shapes)
    got = train(cls(together, lr=0.1), together)
    monkeypatch.setattr(batch, "SMALL", -1)  # each alone
    monkeypatch.setattr(update, "CHUNK", 4)
    alone = parameters(*shapes)
    same(got, train(cls(alone, lr=0.1), alone))


@both
def test_small_batches_are_split(cls, monkeypatch):
    monkeypatch.setattr(batch, "CHUNK", 5)
    split, whole = parameters((3,), (3,), (3,)), parameters((3,), (3,), (3,))
    got = train(cls(split, lr=0.1), split)
    monkeypatch.undo()
    same(got, train(cls(whole, lr=0.1), whole))


@both
def test_parameters_in_any_memory(cls):
    wanted = parameters((4, 6))
    (start,) = (p.detach().clone() for p in wanted)
    same_in = [
        rg.nn.Parameter(start.t().contiguous().t()),
        rg.nn.Parameter(start.repeat_interleave(2, 0)[::2]),
    ]
    want = train(cls(wanted, lr=0.1), wanted) * 2
    same(train(cls(same_in, lr=0.1), same_in), want)


@both
def test_parameters_that_share_memory_are_updated_one_after_the_other(cls):
    base = rg.ones(4)
    a, b = rg.nn.Parameter(base), rg.nn.Parameter(base)
    optimizer = cls([a, b], lr=0.1)
    a.grad, b.grad = rg.ones(4), rg.ones(4)
    optimizer.step()
    same([base.numpy()], [np.full(4, 0.8, np.float32)])


def test_memory_that_cannot_be_written_is_refused():
    p = rg.ones(1).expand(3).requires_grad_()
    p.grad = rg.ones(3)
    with pytest.raises(RuntimeError, match="single memory location"):
        optim.SGD([p]).step()


@both
def test_parameter_replaced_between_steps(cls):
    kept, replaced = parameters((3,)), parameters((3,))
    optimizer = cls(replaced, lr=0.1)
    train(optimizer, replaced)
    replaced[0].data = replaced[0].detach().clone()
    want_optimizer = cls(kept, lr=0.1)
    train(want_optimizer, kept)
    same(train(optimizer, replaced), train(want_optimizer, kept))


def test_state_replaced_between_steps():
    (p,) = params = parameters((2,))
    optimizer = optim.SGD(params, lr=1.0, momentum=0.5)
    train(optimizer, params)
    optimizer.state[p]["momentum_buffer"] = rg.zeros(2)
    p.grad, before = rg.ones(2), p.detach().clone()
    optimizer.step()
    assert p.tolist() == (before - 1).tolist()
    del optimizer.state[p]
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].tolist() == [1, 1]


def test_state_of_the_wrong_shape_is_refused():
    (p,) = params = parameters((2,))
    optimizer = optim.Adam(params)
    train(optimizer, params)
    p.data = rg.ones(3)
    p.grad = rg.ones(3)
    with pytest.raises(RuntimeError, match="'exp_avg' has shape"):
        optimizer.step()
    del optimizer.state[p]
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].shape == (3,)


def test_gradient_older_than_its_parameter_is_refused():
    (p,) = params = parameters((2,))
    give_gradients(params)
    p.data = rg.ones(3)
    with pytest.raises(RuntimeError, match="was replaced after backward"):
        optim.SGD(params).step()


@both
def test_backward_through_a_changed_parameter_names_the_step(cls):
    (p,) = params = parameters((2,))
    optimizer = cls(params, lr=0.1)
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match=f"changed by {cls.__name__}.step"):
        loss.backward()


@both
def test_step_leaves_gradients_and_tape_alone(cls):
    params = parameters((2,), (3,))
    give_gradients(params)
    before = [p.grad.clone() for p in params]
    cls(params, lr=0.1, weight_decay=0.1, maximize=True).step()
    same([p.grad.numpy() for p in params], [g.numpy() for g in before])
    assert all(p.is_leaf and p.requires_grad for p in params)


def test_infinite_gradients_warn_no_more_than_in_pytorch():
    (p,) = parameters((2,))
    optimizer = optim.Adam([p])
    p.grad = rg.tensor([np.inf, np.nan])
    optimizer.step()
    assert p.isnan().all()


def test_tensor_lr_is_read_at_each_step():
    (p,) = parameters((2,))
    lr = rg.tensor(0.5)
    optimizer = optim.SGD([p], lr=lr)
    p.grad, before = rg.ones(2), p.detach().clone()
    optimizer.step()
    lr.fill_(0.25)
    optimizer.step()
    assert p.tolist() == (before - 0.5 - 0.25).tolist()


@pytest.mark.parametrize(
    ("option", "error"),
    [("differentiable", NotImplementedError), ("capturable", AssertionError)],
)
def test_options_without_meaning_here_are_refused(option, error):
    (p,) = params = parameters((2,))
    give_gradients(params)
    with pytest.raises(error, match=option):
        optim.Adam([p], **{option: True}).step()


@both
def test_fused_excludes_its_alternatives(cls):
    params = parameters((2,))
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        cls(params, fused=True, foreach=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        cls(params, fused=True, differentiable=True)


def test_duplicate_is_updated_once():
    (p,) = parameters((2,))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = optim.SGD([p, p], lr=1.0)
    p.grad, before = rg.ones(2), p.detach().clone()
    optimizer.step()
    assert p.tolist() == (before - 1).tolist()


# ---------------------------------------------------------------- groups


def test_groups_have_their_own_options():
    a, b = parameters((2,), (2,))
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.25)
    assert [g["lr"] for g in optimizer.param_groups] == [0.25, 0.5]
    a.grad = b.grad = rg.ones(2)
    before = [a.detach().clone(), b.detach().clone()]
    optimizer.step()
    assert a.tolist() == (before[0] - 0.25).tolist()
    assert b.tolist() == (before[1] - 0.5).tolist()


@both
def test_group_added_later(cls):
    params = parameters((2,), (3,))
    optimizer = cls(params[:1], lr=0.1)
    train(optimizer, params[:1])
    optimizer.add_param_group({"params": params[1:]})
    before = params[1].detach().clone()
    train(optimizer, params, steps=1)
    assert (params[1] != before).all()
    assert len(optimizer.param_groups) == 2


def test_names():
    a, b = parameters((2,), (2,))
    optimizer = optim.SGD([("a", a), ("b", b)])
    assert optimizer.param_groups[0]["param_names"] == ["a", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]


REFUSED = [
    (lambda p: p, TypeError, "should be an iterable"),
    (lambda p: [], ValueError, "empty parameter list"),
    (lambda p: [p * 2], ValueError, "can't optimize a non-leaf Tensor"),
    (lambda p: [p, "p"], TypeError, "one of the params is str"),
    (lambda p: [{"params": {p}}], TypeError, "ordered collections"),
    (lambda p: [{"params": p}, p], TypeError, "param_group must be a dict"),
]


@pytest.mark.parametrize(("params", "error", "match"), REFUSED)
def test_refused_parameters(params, error, match):
    (p,) = parameters((2,))
    with pytest.raises(error, match=match):
        optim.SGD(params(p))


def test_required_option():
    class Own(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"rate": optim.optimizer.required})

    with pytest.raises(ValueError, match="required optimization parameter rate"):
        Own(parameters((2,)))


# ---------------------------------------------------------------- gradients


def test_zero_grad():
    p, q = params = parameters((2,), (2,))
    optimizer = optim.SGD(params)
    (p * p).sum().backward(create_graph=True)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0]
    assert not p.grad.requires_grad
    assert q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


# ---------------------------------------------------------------- saving


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_continue_alike_and_apart(cls, how):
    params = parameters((2,), (3, 2))
    optimizer = cls(params, lr=0.1)
    train(optimizer, params)
    other, theirs = how((optimizer, params))
    assert repr(other) == repr(optimizer)
    got = train(other, theirs)
    same(got, train(optimizer, params))


@pytest.mark.parametrize("cls", CLASSES)
def test_state_dict_continues(cls):
    params, fresh = parameters((2,), (3, 2)), parameters((2,), (3, 2))
    optimizer = cls(params, lr=0.1)
    train(optimizer, params)
    for p, q in zip(params, fresh, strict=True):
        q.data.copy_(p)
    loaded = cls(fresh)
    loaded.load_state_dict(optimizer.state_dict())
    same(train(loaded, fresh), train(optimizer, params))  # also: neither changes the other's state
    assert loaded.param_groups[0]["lr"] == 0.1


def test_loading_casts_state_but_not_step():
    narrow, wide = parameters((2,)), parameters((2,), dtype=rg.float64)
    optimizer = optim.Adam(narrow)
    train(optimizer, narrow)
    loaded = optim.Adam(wide)
    loaded.load_state_dict(optimizer.state_dict())
    state = loaded.state[wide[0]]
    assert state["exp_avg"].dtype is rg.float64
    assert state["step"].dtype is rg.float32
    assert train(loaded, wide)[0].dtype == np.float64


def test_loading_an_old_checkpoint():
    params = parameters((2,))
    optimizer = optim.Adam(params)
    train(optimizer, params)
    old = optimizer.state_dict()
    old["state"][0]["step"] = 3
    for name in ("maximize", "foreach", "decoupled_weight_decay"):
        del old["param_groups"][0][name]
    optimizer.load_state_dict(old)
    train(optimizer, params, steps=1)
    assert optimizer.state[params[0]]["step"].item() == 4
    assert optimizer.param_groups[0]["maximize"] is False


def test_adamw_stays_decoupled():
    params = parameters((2,))
    optimizer = optim.AdamW(params)
    optimizer.load_state_dict(optim.Adam(params).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_loading_what_does_not_fit():
    two, one = optim.SGD(parameters((2,), (2,))), optim.SGD(parameters((2,)))
    with pytest.raises(ValueError, match="doesn't match the size"):
        one.load_state_dict(two.state_dict())
    two.add_param_group({"params": parameters((2,))})
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict(two.state_dict())


# ---------------------------------------------------------------- hooks


def test_step_hooks_run_in_order():
    params = parameters((2,))
    give_gradients(params)
    optimizer = optim.SGD(params)
    seen = []

    def note(word):
        return lambda opt, args, kwargs: seen.append((word, args == (opt,)))

    handles = [
        optim.register_optimizer_step_pre_hook(note("every pre")),
        optim.register_optimizer_step_post_hook(note("every post")),
        optimizer.register_step_pre_hook(note("pre")),
        optimizer.register_step_post_hook(note("post")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == [("every pre", True), ("pre", True), ("post", True), ("every post", True)]


def test_step_pre_hook_replaces_arguments():
    params = parameters((2,))
    optimizer = optim.SGD(params)
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: ((opt, lambda: 5.0), {}))
    assert optimizer.step() == 5.0
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: "nonsense")
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_hooks_run_once_when_a_subclass_calls_its_parent():
    class Own(optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    optimizer, seen = Own(parameters((2,))), []
    optimizer.register_step_post_hook(lambda *args: seen.append(args))
    optimizer.step()
    assert len(seen) == 1


def test_state_dict_hooks():
    params = parameters((2,))
    optimizer, seen = optim.SGD(params, lr=0.5), []
    optimizer.register_state_dict_pre_hook(lambda opt: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda opt, state: state | {"more": 1})
    optimizer.register_load_state_dict_post_hook(lambda opt: seen.append("loaded"))
    optimizer.register_load_state_dict_pre_hook(lambda opt, state: seen.append(state["more"]))
    optimizer.register_load_state_dict_pre_hook(
        lambda opt, state: seen.append("first"), prepend=True
    )
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["save", "first", 1, "loaded"]
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_betas_are_read_as_numbers():
    params, others = parameters((2,)), parameters((2,))
    tensors = optim.Adam(params, betas=(rg.tensor([0.5]), rg.tensor(0.75)))
    got = train(tensors, params)
    same(got, train(optim.Adam(others, betas=(0.5, 0.75)), others))
