"""The same programs in retrograd and in PyTorch: same values, same errors."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import retrograd as rg

torch = pytest.importorskip("torch")

programs = []
refusals = []


def program(function):
    """Something that both must compute alike, given the module."""
    programs.append(function)
    return function


def refusal(text):
    """Something that both must refuse with the same class of error, and this in its text."""

    def declare(function):
        refusals.append((function, text))
        return function

    return declare


def plain(x):
    """What can be compared: numbers, lists and text."""
    if isinstance(x, (rg.Tensor, torch.Tensor)):
        return [str(x.dtype), x.requires_grad, plain(x.detach().tolist())]
    if isinstance(x, (tuple, list)):
        return [plain(part) for part in x]
    return float(f"{x:.5g}") if isinstance(x, float) else x


def leaf(t, *values):
    return t.tensor(values or (1.0, 2.0), requires_grad=True)


def run(function, t):
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = plain(function(t))
    finally:
        t.set_grad_enabled(True)
        t.autograd.set_detect_anomaly(False)
    kinds = [w.category.__name__ for w in caught if "create_graph=True" not in str(w.message)]
    return result, kinds


# ---------------------------------------------------------------- backward and grad


@program
def accumulation(t):
    x = leaf(t)
    (x * x).sum().backward()
    (x * 3).sum().backward()
    return x.grad


@program
def several_roots(t):
    x = leaf(t)
    t.autograd.backward([(x * 2).sum(), x * 3], [None, t.ones(2)])
    return x.grad


@program
def same_root_twice(t):
    x = leaf(t)
    y = (x * 2).sum()
    t.autograd.backward([y, y])
    return x.grad


@program
def leaf_as_root(t):
    x = leaf(t)
    x.sum().backward()
    x.backward(t.ones(2))
    return x.grad, t.autograd.grad(x, x, t.ones(2))


@program
def inputs_of_backward(t):
    a, b = leaf(t), leaf(t)
    y = a * b
    y.sum().backward(inputs=[a, y])
    return a.grad, b.grad, y.grad


@program
def inputs_twice(t):
    x = leaf(t)
    return t.autograd.grad((x * 2).sum(), [x, x])


@program
def unused(t):
    x, other = leaf(t), leaf(t)
    y = (x * 2).sum()
    return (
        t.autograd.grad(y, [x, other], allow_unused=True, retain_graph=True),
        t.autograd.grad(y, [x, other], materialize_grads=True),
    )


@program
def second_order(t):
    x, w = leaf(t), leaf(t, 3.0, 4.0)
    (g,) = t.autograd.grad((w * x.exp()).sum(), x, create_graph=True)
    g.pow(2).sum().backward()
    return g, x.grad, w.grad


@program
def batched(t):
    x = leaf(t)
    return t.autograd.grad(x * x, x, t.eye(2), is_grads_batched=True)


@program
def gradient_in_another_type(t):
    x = leaf(t)
    (x * 2).backward(t.ones(2, dtype=t.float64))
    return x.grad


@program
def retained(t):
    x = leaf(t)
    y = x * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    (y * y).sum().backward()
    x.retain_grad()
    return x.grad, y.grad, y.retains_grad, x.retains_grad


@program
def gradient_of_a_non_leaf(t):
    return (leaf(t) * 2).grad


@program
def detached(t):
    x = leaf(t)
    y = x * 2
    before = y.is_leaf, y.requires_grad
    y.detach_()
    return before, y.is_leaf, y.requires_grad, x.detach().requires_grad, x.data.is_leaf


@program
def changed_shape(t):
    x = leaf(t)
    x.data = t.ones(3)
    (x * 2).sum().backward()
    return x.grad


@program
def writes_between(t):
    x = leaf(t)
    y = x * 2
    z = y.exp()
    y.mul_(3)
    (z + y).sum().backward()
    return x.grad


@program
def copies(t):
    x = leaf(t)
    x.grad, x.note = t.ones(2), "mine"
    twin, deep = copy.copy(x), copy.deepcopy(x)
    back = pickle.loads(pickle.dumps(x))
    return [(c, c.grad, c.note, c.is_leaf) for c in (twin, deep, back)]


# ---------------------------------------------------------------- hooks


@program
def order_of_hooks(t):
    seen = []
    x = leaf(t)
    y = x * 2
    y.register_hook(lambda g: seen.append(("first", g.tolist())))
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.register_hook(lambda g: seen.append(("last", g.tolist())))
    x.register_hook(lambda g: seen.append(("leaf", g.tolist())))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("post", p.grad.tolist())))
    y.sum().backward()
    return seen, y.grad, x.grad


@program
def removed_hooks(t):
    x = leaf(t)
    handle = x.register_hook(lambda g: g * 10)
    (x * 1).sum().backward()
    handle.remove()
    (x * 1).sum().backward()
    return x.grad


@program
def hooks_of_nodes(t):
    seen = []
    x = leaf(t)
    y = x * 2
    y.grad_fn.register_prehook(lambda outs: (outs[0] * 10,))
    y.grad_fn.register_hook(lambda ins, outs: seen.append((ins[0].tolist(), outs[0].tolist())))
    y.grad_fn.register_hook(lambda ins, outs: (ins[0] * 5, None))
    accumulate = y.grad_fn.next_functions[0][0]
    accumulate.register_hook(lambda ins, outs: seen.append((ins, outs[0].tolist())))
    y.sum().backward()
    return seen, x.grad


@program
def hook_and_modes(t):
    seen = []
    x = leaf(t)
    x.register_hook(lambda g: seen.append((g.requires_grad, t.is_grad_enabled())))
    t.autograd.grad((x * x).sum(), x)
    t.autograd.grad((x * x).sum(), x, create_graph=True)
    return seen


@program
def hook_answers_count_for_grad(t):
    x = leaf(t)
    x.register_hook(lambda g: g * 2)
    return t.autograd.grad((x * x).sum(), x)


# ---------------------------------------------------------------- modes


@program
def modes(t):
    seen = []

    def see():
        seen.append((t.is_grad_enabled(), t.is_inference_mode_enabled()))

    with t.no_grad():
        with t.enable_grad():
            see()
        see()
    for wrap in (t.no_grad(), t.no_grad, t.enable_grad, t.set_grad_enabled(False)):
        wrap(see)()
    t.set_grad_enabled(True)
    for wrap in (t.inference_mode, t.inference_mode(), t.inference_mode(False)):
        wrap(see)()
    t.set_grad_enabled(False)
    see()
    return seen


@program
def generators(t):
    @t.no_grad()
    def states():
        sent = yield t.is_grad_enabled()
        yield sent, t.is_grad_enabled()

    it = states()
    return next(it), t.is_grad_enabled(), it.send(5)


# ---------------------------------------------------------------- Function


def function(t, forward, backward, **more):
    methods = {"forward": forward, "backward": backward, **more}
    return type("Mine", (t.autograd.Function,), {k: staticmethod(v) for k, v in methods.items()})


@program
def function_of_two_outputs(t):
    def forward(ctx, x, n):
        e = x.exp()
        ctx.save_for_backward(x, e)
        ctx.n = n
        return e, x * n

    def backward(ctx, g, h):
        _, e = ctx.saved_tensors
        return g * e + h * ctx.n, None

    x = leaf(t)
    mine = function(t, forward, backward)
    (g,) = t.autograd.grad(mine.apply(x, 3)[0].sum(), x, create_graph=True)
    (gg,) = t.autograd.grad(g.sum(), x)
    e, y = mine.apply(x, 3)
    (e * y).sum().backward()
    return g, gg, x.grad, e.grad_fn.name(), ctx_facts(e.grad_fn)


def ctx_facts(node):
    return node.needs_input_grad, node.n


@program
def function_materializes(t):
    seen = []

    def forward(ctx, x):
        ctx.set_materialize_grads(len(seen) == 0)
        return x * 1, x * 2, 5, x.long()

    def backward(ctx, *gs):
        seen.append(plain(gs))
        return gs[0]

    for _ in range(2):
        function(t, forward, backward).apply(leaf(t))[0].sum().backward()
    return seen


@program
def function_in_place(t):
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    mine = function(t, forward, lambda ctx, g: 2 * g)
    x = leaf(t)
    whole = x * 1
    same = mine.apply(whole) is whole
    part = x * 1
    mine.apply(part[:1])
    (whole + part).sum().backward()
    return same, x.grad


@program
def function_returning_its_input(t):
    x = leaf(t)
    y = function(t, lambda ctx, x: x, lambda ctx, g: g * 3).apply(x)
    y.sum().backward()
    return y is x, x.grad


@program
def function_with_setup(t):
    def setup(ctx, inputs, output):
        ctx.n = inputs[1]

    mine = function(t, lambda x, n=3: x * n, lambda ctx, g: (g * ctx.n, None), setup_context=setup)
    x = leaf(t)
    mine.apply(x).sum().backward()
    mine.apply(x, n=5).sum().backward()
    return x.grad


@program
def function_with_odd_gradients(t):
    x = leaf(t)
    for answer in (
        lambda g: (g, None, None),
        lambda g: None,
        lambda g: t.ones(3, 2),
        lambda g: t.ones(2, dtype=t.int64),
        lambda g: g.double(),
    ):
        function(t, lambda ctx, x: x * 2, lambda ctx, g, a=answer: a(g)).apply(x).sum().backward()
    return x.grad


@program
def function_in_half_precision(t):
    x = t.tensor([1.0, 2.0], dtype=t.float16, requires_grad=True)
    seen = []
    mine = function(t, lambda ctx, x: x * 2, lambda ctx, g: (seen.append(str(g.dtype)), g * 2)[1])
    (mine.apply(x) * x).sum().backward()
    return seen, x.grad


# ---------------------------------------------------------------- of functions


def two(x, y):
    return x * y, (x**2).sum() * y.sum()


def one(x, y):
    return (x.exp() * y.view(2) ** 2).sum()


@program
def jacobians(t):
    x, y, s = t.tensor([1.0, 2.0]), t.tensor([[3.0], [4.0]]), t.tensor(2.0)
    jacobian = t.autograd.functional.jacobian
    return (
        jacobian(t.exp, x),
        jacobian(two, (x, y)),
        jacobian(lambda x: (x.sum(),), x),
        jacobian(lambda s: s**2, s),
        jacobian(lambda x, y: x * 2, (x, y)),
        jacobian(lambda x: x.detach(), x),
    )


@program
def recorded_jacobian(t):
    x = leaf(t)
    t.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True).sum().backward()
    return x.grad


@program
def hessians(t):
    x, y = t.tensor([1.0, 2.0]), t.tensor([[3.0], [4.0]])
    hessian = t.autograd.functional.hessian
    return hessian(lambda x: (x**3).sum(), x), hessian(one, (x, y))


@program
def products(t):
    x, y, s = t.tensor([1.0, 2.0]), t.tensor([[3.0], [4.0]]), t.tensor(2.0)
    functional, ones = t.autograd.functional, (t.ones(2), t.ones(2, 1))
    return (
        functional.vjp(two, (x, y), (t.ones(2, 2), s)),
        functional.vjp(lambda x: x.sum(), x),
        functional.jvp(two, (x, y), ones),
        functional.jvp(lambda s: s**3, s),
        functional.vhp(one, (x, y), ones),
        functional.hvp(one, (x, y), ones),
    )


@pytest.mark.parametrize("program", programs, ids=lambda f: f.__name__)
def test_same(program):
    assert run(program, rg) == run(program, torch)


# ---------------------------------------------------------------- refusals


@refusal("only for scalar outputs")
def no_scalar(t):
    (leaf(t) * 2).backward()


@refusal("does not require grad and does not have a grad_fn")
def no_tape(t):
    t.ones(1).backward()


@refusal("Mismatch in shape: grad_output")
def shape_of_the_gradient(t):
    (leaf(t) * 2).backward(t.ones(3))


@refusal("Trying to backward through the graph a second time")
def twice(t):
    y = (leaf(t) ** 2).sum()
    y.backward()
    y.backward()


@refusal("The differentiated Tensor at index 1 appears to not have been used in the graph")
def unused_input(t):
    x = leaf(t)
    t.autograd.grad(x.sum(), [x, leaf(t)])


@refusal("One of the differentiated Tensors does not require grad")
def input_without_gradient(t):
    t.autograd.grad(leaf(t).sum(), t.ones(2))


@refusal("cannot be empty")
def no_inputs(t):
    leaf(t).sum().backward(inputs=[])


@refusal("Expected allow_unused to be True or not passed when materialize_grads=True")
def contradiction(t):
    x = leaf(t)
    t.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


@refusal("modified by an inplace operation")
def changed_value(t):
    y = leaf(t) * 1
    z = y * y
    y.add_(1)
    z.sum().backward()


@refusal("a leaf Variable that requires grad is being used in an in-place operation")
def leaf_in_place(t):
    leaf(t).mul_(2)


@refusal("you can only change requires_grad flags of leaf variables")
def flag_of_a_result(t):
    (leaf(t) * 2).requires_grad_(False)


@refusal("can't retain_grad on Tensor that has requires_grad=False")
def retain_without_gradient(t):
    t.ones(1).retain_grad()


@refusal("cannot register a hook on a tensor that doesn't require gradient")
def hook_without_gradient(t):
    t.ones(1).register_hook(print)


@refusal("has changed the size of value")
def hook_of_another_size(t):
    x = leaf(t)
    x.register_hook(lambda g: g.sum())
    x.sum().backward()


@refusal("has changed the type of value")
def hook_of_another_type(t):
    x = leaf(t)
    x.register_hook(lambda g: g.double())
    x.sum().backward()


@refusal("expected Variable, but hook returned 'float'")
def hook_of_no_tensor(t):
    x = leaf(t)
    x.register_hook(lambda g: 3.0)
    x.sum().backward()


@refusal("can't assign Variable as its own grad")
def own_gradient(t):
    x = leaf(t)
    x.grad = x


@refusal("Can't call numpy() on Tensor that requires grad")
def array_of_a_leaf(t):
    np.asarray(leaf(t))


@refusal("Only Tensors created explicitly by the user")
def deepcopy_of_a_result(t):
    copy.deepcopy(leaf(t) * 2)


@refusal("SqrtBackward0' returned nan values in its 0th output")
def nan(t):
    t.autograd.set_detect_anomaly(True)
    t.tensor(-1.0, requires_grad=True).sqrt().backward()


ANSWERS = {
    "returned an incorrect number of gradients (expected 2, got 3)": lambda t, g: (g, g, g),
    "returned an incorrect number of gradients (expected 2, got 1)": lambda t, g: g,
    "returned a gradient different than None at position 2": lambda t, g: (g, g),
    "expected Variable or None (got float)": lambda t, g: (3.0, None),
    "index 0 - got [3] but expected shape compatible with [2]": lambda t, g: (t.ones(3), None),
    "index 0 - got [] but expected shape compatible with [2]": lambda t, g: (t.ones(()), None),
}
for _text, _answer in ANSWERS.items():

    @refusal(_text)
    def wrong_gradient(t, answer=_answer):
        mine = function(t, lambda ctx, x, n: x * n, lambda ctx, g: answer(t, g))
        mine.apply(leaf(t), 2).sum().backward()


@refusal("save_for_backward can only save variables, but argument 0 is of type float")
def saved_number(t):
    function(t, lambda ctx, x: (ctx.save_for_backward(3.0), x * 2)[1], None).apply(leaf(t))


@refusal("Some elements marked as dirty during the forward method were not returned")
def dirty_and_not_returned(t):
    function(t, lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1], None).apply(leaf(t) * 1)


@refusal("a leaf Variable that requires grad")
def dirty_leaf(t):
    function(t, lambda ctx, x: (ctx.mark_dirty(x), x.mul_(2))[1], None).apply(leaf(t))


@refusal("its base or another view of its base has been modified inplace")
def view_out_of_a_function(t):
    base = leaf(t) * 1
    y = function(t, lambda ctx, x: x.view(2), lambda ctx, g: g).apply(base)
    base.mul_(2)
    y.sum().backward()


@refusal("trying to differentiate twice a function that was marked with @once_differentiable")
def twice_where_once_is_right(t):
    once = t.autograd.function.once_differentiable(lambda ctx, g: g * 2)
    x, w = leaf(t), leaf(t)
    y = function(t, lambda ctx, x: x * 2, once).apply(x)
    (g,) = t.autograd.grad((y * w).sum(), x, create_graph=True)
    g.sum().backward()


@refusal("Legacy autograd function with non-static forward method is deprecated")
def called_instance(t):
    function(t, lambda ctx, x: x, None)()(leaf(t))


@refusal("Jacobian mismatch for output 0 with respect to input 0,\nnumerical:tensor([[2.0000")
def wrong_derivative(t):
    mine = function(t, lambda ctx, x: x * 2, lambda ctx, g: g * 3)
    t.autograd.gradcheck(mine.apply, t.ones(2, dtype=t.float64, requires_grad=True))


@refusal("gradcheck expects at least one input tensor to require gradient")
def nothing_to_check(t):
    t.autograd.gradcheck(t.sin, t.ones(2))


@refusal("independent of input 1. This is not allowed in strict mode")
def strict_jacobian(t):
    x = t.ones(2)
    t.autograd.functional.jacobian(lambda x, y: x * 2, (x, x), strict=True)


@refusal("should contain a single element")
def hessian_of_many(t):
    t.autograd.functional.hessian(lambda x: x * 2, t.ones(2))


@refusal("The vector v can only be None if")
def product_without_a_vector(t):
    t.autograd.functional.vjp(lambda x: x * 2, t.ones(2))


@refusal("v has invalid size: should be torch.Size([2]) but got torch.Size([3])")
def product_with_another_shape(t):
    t.autograd.functional.vjp(lambda x: x * 2, t.ones(2), t.ones(3))


@refusal("The outputs of the user-provided function")
def jacobian_of_no_tensor(t):
    t.autograd.functional.jacobian(lambda x: 3, t.ones(2))


@pytest.mark.parametrize(("refused", "text"), refusals, ids=lambda x: getattr(x, "__name__", "-"))
def test_same_refusal(refused, text):
    errors = []
    for t in (rg, torch):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is compared
            run(refused, t)
        errors.append(type(caught.value).__name__)
        assert text in str(caught.value)
    assert errors[0] == errors[1]


# ---------------------------------------------------------------- one memory, two libraries


@pytest.mark.parametrize(
    "name", ["float16", "float32", "float64", "int8", "uint8", "int64", "bool"]
)
def test_dlpack_both_ways(name):
    ours = rg.tensor([[1, 0], [1, 1]]).to(getattr(rg, name))
    theirs = torch.from_dlpack(ours)
    assert theirs.dtype is getattr(torch, name)
    assert theirs.data_ptr() == ours.data_ptr()
    theirs[0, 0] = 0
    assert ours[0, 0].item() == 0
    back = rg.from_dlpack(theirs.T)
    assert back.dtype is getattr(rg, name)
    assert back.tolist() == theirs.T.tolist()
    back[1, 1] = 0
    assert theirs[1, 1].item() == 0


def test_dlpack_of_views():
    x = rg.arange(6).view(2, 3)
    assert torch.from_dlpack(x.T[1:]).tolist() == x.T[1:].tolist()
    assert rg.from_dlpack(torch.ones(2).expand(3, 2)).tolist() == [[1, 1]] * 3


def test_gradients_stay_at_home():
    for one, other in ((rg, torch), (torch, rg)):
        with pytest.raises(BufferError, match="require gradient"):
            other.from_dlpack(leaf(one))


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept")  # PyTorch's
def test_numpy_functions_without_a_gradient():
    x = np.array([0.25, 0.5], np.float32)
    for call in (np.exp, np.cbrt, lambda x: np.float64(2) * x, lambda x: x * np.float64(2)):
        ours, theirs = call(rg.from_numpy(x)), call(torch.from_numpy(x))
        assert type(ours) is rg.Tensor
        assert type(theirs) is torch.Tensor
        assert str(ours.dtype) == str(theirs.dtype)
        assert np.allclose(ours.numpy(), theirs.numpy())
    for call in (lambda x: np.concatenate([x, x]), lambda x: np.stack([x, x]), np.linalg.norm):
        ours, theirs = call(rg.from_numpy(x)), call(torch.from_numpy(x))
        assert type(ours) is type(theirs)
        assert np.allclose(ours, theirs)
