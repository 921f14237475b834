"""`autograd.Function`: ops that users write."""

import gc
import weakref

import pytest
import retrograd as rg
from retrograd.autograd import Function, gradcheck, gradgradcheck
from retrograd.autograd.function import once_differentiable


def function(forward, backward=None, **methods):
    """A Function of the given methods, called `Mine`."""
    methods["forward"] = forward
    if backward is not None:
        methods["backward"] = backward
    return type("Mine", (Function,), {name: staticmethod(m) for name, m in methods.items()})


class Mul(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b, g * a


class Split(Function):
    """Two outputs, of which the first is saved."""

    @staticmethod
    def forward(ctx, x):
        e, s = x.exp(), x.sin()
        ctx.save_for_backward(x, e)
        return e, s

    @staticmethod
    def backward(ctx, g, h):
        x, e = ctx.saved_tensors
        return g * e + h * x.cos()


class Double(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return 2 * g


def leaf(*values, **options):
    return rg.tensor(values or (1.0, 2.0), requires_grad=True, **options)


def double(*values):
    return leaf(*values, dtype=rg.float64)


def test_value_gradient_and_second_gradient():
    a, b = double(1.0, 2.0), double(3.0, 4.0)
    assert gradcheck(Mul.apply, (a, b))
    assert gradgradcheck(Mul.apply, (a, b))


def test_several_outputs():
    x = double(0.5, -1.0)
    e, s = Split.apply(x)
    assert type(Split.apply(x)) is tuple
    (e * s).sum().backward()
    assert rg.allclose(x.grad, x.detach().exp() * (x.detach().sin() + x.detach().cos()))
    assert gradcheck(Split.apply, (x,))
    assert gradgradcheck(Split.apply, (x,))


def test_outputs_without_a_gradient_bring_zeros_or_none():
    seen = []

    def backward(ctx, *gs):
        seen.append(gs)
        return gs[0]

    for materialize in (True, False):

        def forward(ctx, x, materialize=materialize):
            ctx.set_materialize_grads(materialize)
            return x * 1, x * 2, 5, x.long()

        x = leaf()
        function(forward, backward).apply(x)[0].sum().backward()
    (one, zero, number, ints), (_, none, _, no_ints) = seen
    assert one.tolist() == [1, 1]
    assert zero.tolist() == [0, 0]
    assert ints.tolist() == [0, 0]
    assert ints.dtype is rg.int64
    assert number is none is no_ints is None


def test_tuple_of_one_stays_a_tuple():
    (y,) = function(lambda ctx, x: (x * 2,), lambda ctx, g: g).apply(leaf())
    assert y.requires_grad


@pytest.mark.parametrize("result", [3.0, None, "text"])
def test_outputs_that_are_no_tensors_pass(result):
    assert function(lambda ctx, x: result).apply(leaf()) == result


def test_list_of_tensors_would_lose_the_gradient():
    with pytest.raises(TypeError, match="return a tuple"):
        function(lambda ctx, x: [x * 2]).apply(leaf())


def test_integers_and_marked_outputs_need_no_gradient():
    def forward(ctx, x):
        y, z = x * 2, x * 3
        ctx.mark_non_differentiable(z)
        return y, z, x.long()

    y, z, n = function(forward, lambda ctx, *gs: gs[0]).apply(leaf())
    assert [t.requires_grad for t in (y, z, n)] == [True, False, False]


def test_mark_non_differentiable_takes_tensors():
    def forward(ctx, x):
        ctx.mark_non_differentiable(1)

    with pytest.raises(RuntimeError, match="only accepts variable arguments, but got int"):
        function(forward).apply(leaf())


def test_setup_context_and_defaults():
    def forward(x, factor=3):
        return x * factor

    def setup_context(ctx, inputs, output):
        assert output.tolist() == [3, 6]
        assert ctx.needs_input_grad == (True, False)
        _, ctx.factor = inputs

    def backward(ctx, g):
        return g * ctx.factor, None

    x = leaf()
    function(forward, backward, setup_context=setup_context).apply(x).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_setup_context_cannot_see_keyword_only_arguments():
    mine = function(lambda x, *, k=1: x, setup_context=lambda ctx, inputs, output: None)
    with pytest.raises(TypeError, match="keyword-only"):
        mine.apply(leaf(), k=2)


def test_vjp_is_another_name_of_backward():
    x = leaf()
    function(lambda ctx, x: x * 2, vjp=lambda ctx, g: g * 5).apply(x).sum().backward()
    assert x.grad.tolist() == [5, 5]
    both = function(lambda ctx, x: x * 2, lambda ctx, g: g, vjp=lambda ctx, g: g)
    with pytest.raises(RuntimeError, match="both 'backward' and 'vjp'"):
        both.apply(x).sum().backward()


def test_boxed_gradients_are_one_list():
    def backward(ctx, gs):
        return gs.pop() * 3

    mine = function(lambda ctx, x: x * 2, backward)
    mine.boxed_grads_call = True
    x = leaf()
    mine.apply(x).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_saved_tensors_can_be_cleared_by_backward():
    class Once(Mul):
        clear_saved_tensors_on_access = True

    a = leaf()
    y = Once.apply(a, 2 * a)
    y.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward()


def test_missing_methods():
    with pytest.raises(NotImplementedError, match="implement the forward"):
        type("Empty", (Function,), {}).apply(leaf())
    with pytest.raises(NotImplementedError, match="either the backward or vjp"):
        function(lambda ctx, x: x * 2).apply(leaf()).sum().backward()


def test_instances_are_a_mistake():
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        made = Mul()
    with pytest.raises(RuntimeError, match="Legacy autograd function"):
        made(leaf(), leaf())


def test_context_of_backward():
    seen = {}

    def forward(ctx, x, n, y):
        assert not rg.is_grad_enabled()
        ctx.shape = ctx.inputs = "mine"  # names that a node has, too
        assert ctx.needs_input_grad == (True, False, False)
        return x * n

    def backward(ctx, g):
        seen["grad mode"] = rg.is_grad_enabled()
        assert ctx.shape == ctx.inputs == "mine"
        return g * 2, None, g  # a gradient nobody asked for is dropped

    x = leaf()
    y = function(forward, backward).apply(x, 2, rg.ones(2))
    y.sum().backward(retain_graph=True)
    assert seen["grad mode"] is False
    rg.autograd.grad(y.sum(), x, create_graph=True)
    assert seen["grad mode"] is True


def test_grad_fn_is_named_after_the_function():
    x = leaf()
    y = Mul.apply(x, 2 * x)
    assert repr(y) == "tensor([2., 8.], grad_fn=<MulBackward>)"
    assert "MulBackward object" in repr(y.grad_fn)
    a, _ = y.grad_fn.saved_tensors
    assert a is x
    assert y.grad_fn.next_functions[1][0].name() == "MulBackward0"
    e, _ = Split.apply(x)
    assert repr(e.grad_fn).startswith("<SplitBackward object")
    assert e.grad_fn.saved_tensors[1].grad_fn.name() == "SplitBackward"
    assert e.grad_fn.needs_input_grad == (True,)
    assert e.grad_fn.next_functions[0][0].variable is x
    with pytest.raises(AttributeError):
        _ = e.grad_fn.nothing


def test_hook_of_a_function_with_several_outputs():
    seen = []
    x = leaf()
    e, s = Split.apply(x)
    e.grad_fn.register_hook(lambda ins, outs: seen.append((len(ins), len(outs))))
    (e + s).sum().backward()
    assert seen == [(1, 2)]


def test_drawing():
    x = leaf()
    e, s = Split.apply(x)
    assert rg.draw(e * s).graph.title == "4 ops, 1 leaf"
    assert "Split" in rg.tape_text(e * s)


# ---------------------------------------------------------------- what is saved


def test_saved_inputs_are_the_tensors_themselves():
    p = rg.Parameter(rg.ones(2))

    def backward(ctx, g):
        assert ctx.saved_tensors[0] is p
        assert ctx.saved_tensors[1] is None
        return g

    def forward(ctx, x):
        ctx.save_for_backward(x, None)
        return x * 2

    function(forward, backward).apply(p).sum().backward()
    assert p.grad is not None


def test_only_tensors_are_saved():
    with pytest.raises(TypeError, match="argument 1 is of type int"):
        function(lambda ctx, x: (ctx.save_for_backward(x, 3), x * 2)[1]).apply(leaf())


def test_saved_tensors_are_freed_by_backward():
    x = leaf()
    y = Mul.apply(x, 2 * x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        _ = y.grad_fn.saved_tensors
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward(rg.ones(2))


def test_backward_that_saved_nothing_runs_twice():
    x = leaf()
    y = function(lambda ctx, x: x * 2, lambda ctx, g: g * 2).apply(x)
    y.backward(rg.ones(2))
    y.backward(rg.ones(2))
    assert x.grad.tolist() == [4, 4]


def test_saved_tensors_are_guarded_against_changes():
    x = leaf()
    z = x * 1
    y = Mul.apply(z, x)
    z.add_(1)
    with pytest.raises(RuntimeError, match=r"that Mul keeps for\s+backward was changed by add_"):
        y.sum().backward()


def test_changes_in_forward_come_before_saving():
    def forward(ctx, x):
        y = x * 2
        ctx.save_for_backward(y)
        y.add_(1)
        return y.clone()

    x = leaf()
    function(forward, lambda ctx, g: g * ctx.saved_tensors[0]).apply(x).sum().backward()
    assert x.grad.tolist() == [3, 5]


def test_no_reference_cycle():
    gc.disable()
    try:
        for mine in (Mul, Split):
            x = leaf()
            outs = mine.apply(*[x] * (2 if mine is Mul else 1))
            out = outs[0] if isinstance(outs, tuple) else outs
            node = weakref.ref(out.grad_fn)
            del outs, out
            assert node() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- what backward returns


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda g: (g, g, g), r"incorrect number of gradients \(expected 2, got 3\)"),
        (lambda g: g, r"incorrect number of gradients \(expected 2, got 1\)"),
        (lambda g: (g, g), "different than None at position 2"),
        (lambda g: (3.0, None), r"expected Variable or None \(got float\)"),
        (
            lambda g: (rg.ones(3), None),
            r"index 0 - got \[3\] but expected shape compatible with \[2\]",
        ),
        (lambda g: (rg.ones(()), None), r"index 0 - got \[\]"),
    ],
)
def test_wrong_gradients(answer, message):
    mine = function(lambda ctx, x, n: x * n, lambda ctx, g: answer(g))
    x = leaf()
    with pytest.raises(RuntimeError, match=message):
        mine.apply(x, 2).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda g: (g, None, None), [1, 1]),
        (lambda g: None, None),
        (lambda g: rg.ones(3, 2), [3, 3]),
        (lambda g: rg.ones(2, dtype=rg.int64), [1, 1]),
        (lambda g: g.double(), [1, 1]),
    ],
    ids=["more Nones", "None", "stretched", "whole numbers", "other type"],
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_that_fit(answer, expected, create_graph):
    x = leaf()
    function(lambda ctx, x: x * 2, lambda ctx, g: answer(g)).apply(x).sum().backward(
        create_graph=create_graph
    )
    assert (None if x.grad is None else x.grad.tolist()) == expected
    assert x.grad is None or x.grad.dtype is rg.float32


@pytest.mark.parametrize("dtype", [rg.float16, rg.bfloat16])
def test_storage_types(dtype):
    seen = []

    def backward(ctx, g):
        seen.append(g.dtype)
        return g * ctx.saved_tensors[0]

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x / 2

    x = rg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    function(forward, backward).apply(x).sum().backward()
    assert seen == [dtype]
    assert x.grad.dtype is dtype
    assert x.grad.tolist() == [1, 2]


def test_writing_to_the_gradient_changes_nobody_elses():
    x, y = leaf(), leaf()
    doubled = function(lambda ctx, x: x * 1, lambda ctx, g: g.mul_(2)).apply(x)
    seed = rg.ones(2)
    (doubled + y).backward(seed)
    assert x.grad.tolist() == [2, 2]
    assert y.grad.tolist() == seed.tolist() == [1, 1]


def test_gradient_that_the_user_holds_stays_the_users():
    held = rg.ones(2)
    x = leaf()
    y = function(lambda ctx, x: x * 1, lambda ctx, g: held).apply(x)
    y.backward(rg.ones(2), retain_graph=True)
    y.backward(rg.ones(2))
    assert held.tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]


# ---------------------------------------------------------------- inputs as outputs, in place


def test_input_returned_as_it_is():
    x = leaf()
    y = function(lambda ctx, x: x, lambda ctx, g: g * 3).apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_view_of_an_input_cannot_be_written():
    def view():
        return function(lambda ctx, x: x.view(2), lambda ctx, g: g).apply(base)

    base = leaf() * 1
    with pytest.raises(RuntimeError, match="by a custom Function"):
        view().mul_(2)
    y = view()
    base.mul_(2)
    with pytest.raises(RuntimeError, match="its base or another view"):
        y.sum()


def test_written_input():
    x = leaf()
    z = x * 1
    y = Double.apply(z)
    assert y is z
    z.sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert z.grad_fn.name() == "DoubleBackward"


def test_written_input_that_wanted_no_gradient():
    def forward(ctx, x, w):
        ctx.mark_dirty(x)
        return x.mul_(w)

    w, x = leaf(), rg.ones(2)
    function(forward, lambda ctx, g: (None, g)).apply(x, w)
    assert x.requires_grad
    x.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_written_view_rewrites_its_base():
    x = leaf()
    base = x * 1
    Double.apply(base[:1])
    base.sum().backward()
    assert x.grad.tolist() == [2, 1]


def test_written_input_counts_as_a_change():
    x = leaf()
    z = x * 1
    y = z * z
    Double.apply(z)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_written_leaf():
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        Double.apply(leaf())


@pytest.mark.parametrize("dirty", [lambda x: x, lambda x: rg.ones(1)])
def test_dirty_tensors_must_be_returned(dirty):
    def forward(ctx, x):
        ctx.mark_dirty(dirty(x))
        return x * 2

    with pytest.raises(RuntimeError, match="Some elements marked as dirty"):
        function(forward).apply(leaf() * 1)


def test_no_recording_without_need():
    assert not Mul.apply(rg.ones(2), rg.ones(2)).requires_grad
    with rg.no_grad():
        assert not Mul.apply(leaf(), leaf()).requires_grad


def test_recording_inside_forward_is_dropped():
    def forward(ctx, x):
        with rg.enable_grad():
            y = x * 2
        ctx.save_for_backward(y)
        return y

    x = leaf()
    y = function(forward, lambda ctx, g: g * ctx.saved_tensors[0]).apply(x)
    assert y.grad_fn.name() == "MineBackward"
    y.sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_backward_that_runs_forward_again():
    """What checkpointing does."""

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    def backward(ctx, g):
        with rg.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            x.exp().backward(g)
        return x.grad

    x = leaf()
    (function(forward, backward).apply(x) * 2).sum().backward()
    assert rg.allclose(x.grad, 2 * x.detach().exp())


# ---------------------------------------------------------------- once_differentiable


def test_once_differentiable():
    mine = function(lambda ctx, x: x * x, once_differentiable(lambda ctx, g: g * 7))
    x = leaf()
    mine.apply(x).sum().backward()
    assert x.grad.tolist() == [7, 7]
    w = leaf()
    (g,) = rg.autograd.grad((mine.apply(x) * w).sum(), x, create_graph=True)
    assert g.requires_grad
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        g.sum().backward()


def test_once_differentiable_keeps_none():
    mine = function(lambda ctx, x, n: x * n, once_differentiable(lambda ctx, g: (g, None)))
    x, w = leaf(), leaf()
    (g,) = rg.autograd.grad((mine.apply(x, 1) * w).sum(), x, create_graph=True)
    assert g.tolist() == w.tolist()
