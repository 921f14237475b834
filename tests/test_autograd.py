"""Backward and grad: what they compute, leave behind, share, and refuse."""

import asyncio
import gc
import itertools
import threading
import weakref

import numpy as np
import pytest
import retrograd as rg
from retrograd.autograd import Function, backward, functional, grad


def leaf(*values):
    return rg.tensor(values or (1.0, 2.0), requires_grad=True)


def grads(*tensors):
    return [None if t.grad is None else t.grad.tolist() for t in tensors]


# ---------------------------------------------------------------- graphs


def test_one_tensor_many_times():
    x = leaf(3.0)
    (x * x * x + x).backward()
    assert grads(x) == [[28]]


def test_diamonds():
    x = leaf(1.0)
    y = x
    for _ in range(50):  # 2⁵⁰ paths
        y = y + y
    y.backward()
    assert grads(x) == [[2.0**50]]


def test_long_chain_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = -y
    y.backward()
    assert grads(x) == [[1]]
    del y
    gc.collect()


def test_two_backwards_accumulate():
    x = leaf()
    (x * 2).sum().backward()
    before = x.grad
    (x * 3).sum().backward()
    assert grads(x) == [[5, 5]]
    assert x.grad is before


def test_several_roots():
    x = leaf()
    backward([(x * 2).sum(), x * 3], [None, rg.tensor([1.0, 10.0])])
    assert grads(x) == [[5, 32]]


def test_same_root_twice():
    x = leaf(1.0)
    y = x * 2
    backward([y, y])
    assert grads(x) == [[4]]


def test_root_that_another_root_is_made_of():
    x = leaf(1.0)
    y = x * 2
    z = y * 3
    backward([y, z])
    assert grads(x) == [[8]]


def test_leaf_as_root():
    x = leaf()
    x.backward(rg.tensor([3.0, 4.0]))
    assert grads(x) == [[3, 4]]
    assert grad(x, x, rg.ones(2))[0].tolist() == [1, 1]


def test_gradient_in_another_type_is_converted():
    x = leaf()
    (x * 2).backward(rg.ones(2, dtype=rg.float64))
    assert x.grad.dtype is rg.float32


def test_broadcasting_is_undone():
    a, b = rg.ones(3, 1, requires_grad=True), rg.ones(4, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.tolist() == [[4]] * 3
    assert b.grad.tolist() == [3] * 4


# ---------------------------------------------------------------- options


def test_second_backward_needs_what_the_first_freed():
    x = leaf()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert grads(x) == [[4, 8]]
    with pytest.raises(RuntimeError, match=r"(?s)a second time.*retain_graph=True"):
        y.backward()


def test_tape_that_keeps_nothing_can_be_walked_again():
    x = leaf()
    y = (x + 1).clone()
    y.backward(rg.ones(2))
    y.backward(rg.ones(2))
    assert grads(x) == [[2, 2]]


def test_inputs_restrict_backward():
    a, b = leaf(), leaf()
    y = a * b
    (y * 3).sum().backward(inputs=[a])
    assert grads(a, b) == [[3, 6], None]
    z = a * 2
    (z * 3).sum().backward(inputs=z)
    assert grads(z) == [[3, 3]]
    with pytest.raises(RuntimeError, match="cannot be empty"):
        z.sum().backward(inputs=[])


def test_create_graph():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    assert grads(x) == [[12]]


def test_third_derivative():
    x = leaf(0.5)
    y = x.sin()
    for expected in (np.cos(0.5), -np.sin(0.5), -np.cos(0.5)):
        (y,) = grad(y.sum(), x, create_graph=True)
        assert y.item() == pytest.approx(expected, rel=1e-6)


def test_gradient_penalty():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = grad((w * x * x).sum(), x, create_graph=True)
    g.pow(2).sum().backward()
    assert w.grad.tolist() == [24, 128]


def test_grad_leaves_grad_alone():
    x = leaf()
    assert grad((x * 2).sum(), x)[0].tolist() == [2, 2]
    assert x.grad is None


def test_grad_of_what_lies_between():
    x = leaf()
    y = x * 2
    z = y * y
    gy, gx = grad(z.sum(), [y, x])
    assert gy.tolist() == [4, 8]
    assert gx.tolist() == [8, 16]


def test_unused_inputs():
    x, other = leaf(), leaf()
    y = (x * 2).sum()
    with pytest.raises(RuntimeError, match="Tensor at index 1 appears to not have been used"):
        grad(y, [x, other])
    y = (x * 2).sum()
    assert grad(y, [x, other], retain_graph=True, allow_unused=True)[1] is None
    assert grad(y, [x, other], materialize_grads=True)[1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="allow_unused"):
        grad(y, [x, other], materialize_grads=True, allow_unused=False)


def test_batched_gradients():
    x = leaf()
    (jacobian,) = grad(x * x, x, rg.eye(2), is_grads_batched=True)
    assert jacobian.tolist() == [[2, 0], [0, 4]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: (x * 2).backward(), RuntimeError, "only for scalar outputs"),
        (lambda x: rg.ones(1).backward(), RuntimeError, "does not require grad"),
        (lambda x: (x * 2).backward(rg.ones(3)), RuntimeError, "Mismatch in shape"),
        (lambda x: (x * 2).backward(1.0), TypeError, "float"),
        (lambda x: backward([x, x], [rg.ones(2)]), RuntimeError, "got 2 tensors and 1 gradients"),
        (lambda x: grad(x.sum(), rg.ones(2)), RuntimeError, "does not require grad"),
        (lambda x: grad(x.sum(), []), RuntimeError, "cannot be empty"),
        (lambda x: setattr(x, "grad", 3), TypeError, "expected to be a Tensor or None"),
        (lambda x: setattr(x, "grad", rg.ones(3)), RuntimeError, "size"),
        (lambda x: setattr(x, "grad", rg.ones(2).double()), RuntimeError, "type"),
        (lambda x: setattr(x, "grad", x), RuntimeError, "its own grad"),
        (lambda x: setattr(x, "data", 3), TypeError, "data has to be a tensor"),
        (lambda x: (x * 2).requires_grad_(False), RuntimeError, "leaf variables"),
        (lambda x: rg.tensor([1]).requires_grad_(), RuntimeError, "floating point"),
        (lambda x: (x * 2)[:1].detach_(), RuntimeError, "detach views"),
        (lambda x: x.mul_(2), RuntimeError, "a leaf Variable that requires grad"),
        (lambda x: x[0].mul_(2), RuntimeError, "a view of a leaf Variable"),
        (lambda x: x.numpy(), RuntimeError, r"tensor\.detach\(\)\.numpy\(\)"),
        (lambda x: rg.ones(1).retain_grad(), RuntimeError, "requires_grad=False"),
        (lambda x: rg.ones(1).register_hook(print), RuntimeError, "doesn't require gradient"),
        (lambda x: (x * 2).register_post_accumulate_grad_hook(print), RuntimeError, "non-leaf"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(leaf())


# ---------------------------------------------------------------- of functions


def test_jacobian_and_hessian():
    x = rg.tensor([1.0, 2.0])
    assert functional.jacobian(lambda x: x**2, x).tolist() == [[2, 0], [0, 4]]
    assert functional.hessian(lambda x: x.prod() * x[0], x).tolist() == [[4, 2], [2, 0]]
    assert functional.jacobian(lambda x: x * 2, rg.ones(0)).shape == (0, 0)
    assert not x.requires_grad


def test_products_agree_with_jacobian_and_hessian():
    x, u, v = rg.randn(3), rg.randn(3), rg.randn(3)

    def func(x):
        return x.sin() * x.sum()

    jacobian = functional.jacobian(func, x)
    assert rg.allclose(functional.vjp(func, x, u)[1], u @ jacobian)
    assert rg.allclose(functional.jvp(func, x, v)[1], jacobian @ v, atol=1e-6)
    out, product = functional.hvp(lambda x: func(x).sum(), x, v)
    hessian = functional.hessian(lambda x: func(x).sum(), x)
    assert rg.allclose(out, func(x).sum())
    assert rg.allclose(product, hessian @ v, atol=1e-5)


def test_jacobian_of_what_inputs_do_not_matter():
    x = rg.ones(2)
    assert functional.jacobian(lambda x: rg.ones(3), x).tolist() == [[0, 0]] * 3
    with pytest.raises(RuntimeError, match="independent of input 0"):
        functional.jacobian(lambda x: rg.ones(3), x, strict=True)


# ---------------------------------------------------------------- memory of gradients

SHARING = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "clone": lambda a, b: a.clone() + b.clone(),
    "views": lambda a, b: a.view(2, 1).view(2) + b.reshape(2),
    "cat": lambda a, b: rg.cat([a, b]).view(2, 2)[0] + a,
    "stack": lambda a, b: rg.stack([a, b]).sum(0),
    "where": lambda a, b: rg.where(rg.tensor([True, False]), a, b),
    "expand": lambda a, b: (a.sum() + b.sum()).expand(2),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("join", SHARING.values(), ids=SHARING)
def test_gradients_share_no_memory(join, create_graph):
    a, b, seed = leaf(), leaf(), rg.ones(2)
    y = join(a, b)
    y.backward(seed, retain_graph=True, create_graph=create_graph)
    given = grad(join(a, b), [a, b], seed, create_graph=create_graph, allow_unused=True)
    arrays = [a.grad, b.grad, seed, *(g for g in given if g is not None)]
    arrays = [t.detach().numpy() for t in arrays if t is not None]
    for one, other in itertools.combinations(arrays, 2):
        assert not np.shares_memory(one, other)


def test_gradient_shares_no_memory_with_what_hooks_kept():
    kept = []
    x = leaf()
    y = x.clone()
    y.register_hook(kept.append)
    y.retain_grad()
    x.register_hook(kept.append)
    y.backward(rg.ones(2))
    kept += [y.grad, x.grad]
    for one, other in itertools.combinations(kept, 2):
        assert one is other or not np.shares_memory(one.numpy(), other.numpy()) or one is kept[0]
    x.grad.add_(5)
    assert kept[0].tolist() == kept[1].tolist() == y.grad.tolist() == [1, 1]


def test_gradient_is_contiguous():
    x = rg.ones(2, 3, requires_grad=True)
    x.T.contiguous().backward(rg.ones(3, 2).cumsum(0))
    assert x.grad.is_contiguous()
    assert x.grad.tolist() == [[1, 2, 3]] * 2


# ---------------------------------------------------------------- backward that fails

FAILURES = [ValueError, KeyboardInterrupt, MemoryError]


def failing(error, at):
    """An identity whose backward raises the ``at``-th time that any of them is passed."""
    count = itertools.count(1)

    class Passed(Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            if next(count) == at:
                raise error("stop")
            return g

    return Passed.apply


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("at", range(1, 7))
def test_failed_backward_changes_no_gradient(error, at, create_graph):
    stop = failing(error, at)
    a, b = leaf(), leaf()
    a.grad = rg.ones(2)
    y = stop(stop(stop(a) * stop(b)) + stop(a)) * stop(b)
    with pytest.raises(error):
        y.sum().backward(create_graph=create_graph)
    assert grads(a, b) == [[1, 1], None]


def test_failing_hook_changes_no_gradient():
    a, b = leaf(), leaf()
    a.grad = rg.ones(2)
    a.register_hook(lambda g: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        (a * b).sum().backward()
    assert grads(a, b) == [[1, 1], None]


def test_changed_value_changes_no_gradient():
    a, b = leaf(), leaf()
    c = a * 1
    y = c * c + b
    with rg.no_grad():
        c.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    assert grads(a, b) == [None, None]


def test_grad_mode_is_restored_after_a_failure():
    x = leaf()
    x.register_hook(lambda g: 1 // 0)
    for create_graph in (False, True):
        with pytest.raises(ZeroDivisionError):
            (x * 2).sum().backward(create_graph=create_graph)
        assert rg.is_grad_enabled()


# ---------------------------------------------------------------- leaves and others


def test_grad_of_a_non_leaf_warns():
    y = leaf() * 2
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert y.grad is None


def test_retain_grad():
    x = leaf()
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward(retain_graph=True)
    assert grads(x, y) == [[8, 16], [4, 8]]
    (y * y).sum().backward()
    assert grads(x, y) == [[16, 32], [8, 16]]
    x.retain_grad()
    assert not x.retains_grad


def test_retained_gradient_is_the_hooks_answer():
    x = leaf()
    y = x * 2
    y.register_hook(lambda g: g * 10)
    y.retain_grad()
    y.sum().backward()
    assert grads(x, y) == [[20, 20], [10, 10]]


def test_leaves():
    x = leaf()
    assert x.is_leaf
    assert x.grad_fn is None
    y = x * 2
    assert not y.is_leaf
    assert y.requires_grad
    assert y.grad_fn.next_functions[0][0].variable is x
    assert y.detach().is_leaf
    assert rg.ones(1).is_leaf


def test_detach_shares_memory():
    x = leaf()
    d = x.detach()
    assert not d.requires_grad
    d[0] = 7
    assert x.tolist() == [7, 2]
    y = x * 2
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad


def test_requires_grad_of_leaves_can_be_changed():
    x = rg.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_data_may_change_shape():
    x = leaf()
    x.data = rg.ones(3)
    (x * 2).sum().backward()
    assert grads(x) == [[2, 2, 2]]


def test_leaf_that_is_gone():
    x = leaf()
    y = x * leaf()
    gone = weakref.ref(x)
    del x
    assert gone() is None
    y.sum().backward()


def test_tape_is_freed_with_its_result():
    x = leaf()
    y = x * x
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is None


# ---------------------------------------------------------------- hooks


def test_hooks_run_in_order_and_replace():
    seen = []
    x = leaf()
    y = x * 2
    for t in (x, y):
        t.register_hook(lambda g: seen.append(g.tolist()))
        t.register_hook(lambda g: g * 10)
        t.register_hook(lambda g: seen.append(g.tolist()))
    y.sum().backward()
    assert seen == [[1, 1], [10, 10], [20, 20], [200, 200]]
    assert grads(x) == [[200, 200]]


def test_hooks_are_removed():
    x = leaf()
    handle = x.register_hook(lambda g: g * 10)
    with x.register_hook(lambda g: g * 3):
        (x * 1).sum().backward()
    handle.remove()
    handle.remove()
    (x * 1).sum().backward()
    assert grads(x) == [[31, 31]]


def test_hook_sees_the_whole_gradient_once():
    seen = []
    x = leaf()
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5, 5]]


def test_hook_may_write_to_its_gradient():
    a, b = leaf(), leaf()
    a.register_hook(lambda g: g.mul_(2))
    (a + b).sum().backward()
    assert grads(a, b) == [[2, 2], [1, 1]]


@pytest.mark.parametrize("create_graph", [False, True])
def test_hook_in_either_mode(create_graph):
    seen = []
    x = leaf()
    x.register_hook(lambda g: seen.append((g.requires_grad, rg.is_grad_enabled())))
    grad((x * x).sum(), x, create_graph=create_graph)
    assert seen == [(create_graph, create_graph)]


def test_hook_of_a_hook_answer_is_differentiated():
    x = leaf(2.0)
    x.register_hook(lambda g: g * g)
    (g,) = grad(x * x, x, rg.ones(1), create_graph=True)
    assert g.item() == 16
    x2 = grad(g, x)[0]
    assert x2.item() == 16**2  # (d 4x²/dx = 16)², by the hook again


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda g: 3.0, TypeError, "hook returned 'float'"),
        (lambda g: g.sum(), RuntimeError, "changed the size of value"),
        (lambda g: g.double(), RuntimeError, "changed the type of value"),
    ],
)
def test_wrong_answers(answer, error, message):
    x = leaf()
    x.register_hook(answer)
    with pytest.raises(error, match=message):
        (x * 2).sum().backward()


def test_hooks_of_nodes():
    seen = []
    x = leaf()
    y = x * rg.ones(2)
    node = y.grad_fn
    node.register_hook(lambda ins, outs: seen.append((ins[0].tolist(), ins[1], outs[0].tolist())))
    node.register_hook(lambda ins, outs: (ins[0] * 5, None))
    node.register_prehook(lambda outs: (outs[0] * 10,))
    y.sum().backward()
    assert seen == [([10, 10], None, [10, 10])]
    assert grads(x) == [[50, 50]]


def test_hooks_that_speak_of_their_tensor_keep_nothing_alive():
    def hooked():
        x = leaf()
        y = x * 2
        x.register_hook(lambda g: print(x, y))
        y.register_hook(lambda g: print(x, y))
        y.grad_fn.register_hook(lambda ins, outs: print(y))
        x.register_post_accumulate_grad_hook(lambda p: print(x))
        return weakref.ref(x), weakref.ref(y)

    gone = hooked()
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_hook_of_an_accumulating_node():
    seen = []
    x = leaf()
    y = x * 2
    (accumulate, _), *_ = y.grad_fn.next_functions
    accumulate.register_hook(lambda ins, outs: seen.append((ins, x.grad.tolist())))
    y.sum().backward()
    assert seen == [((), [2, 2])]


def test_hook_after_accumulation():
    x, seen = leaf(), []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [[2, 2], [4, 4]]
    x.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
    (x * 2).sum().backward()
    assert x.grad is None


# ---------------------------------------------------------------- grad modes


def mode():
    return rg.is_grad_enabled()


def test_modes_nest():
    with rg.no_grad():
        assert not mode()
        with rg.enable_grad():
            assert mode()
            with rg.set_grad_enabled(False):
                assert not mode()
            assert mode()
        assert not mode()
    assert mode()


@pytest.mark.parametrize(
    ("decorate", "expected"),
    [
        (rg.no_grad(), False),
        (rg.no_grad, False),
        (rg.enable_grad(), True),
        (rg.enable_grad, True),
        (rg.set_grad_enabled(True), True),
        (rg.inference_mode(), False),
        (rg.inference_mode, False),
        (rg.inference_mode(mode=False), True),
    ],
)
def test_decorators(decorate, expected):
    wrapped = decorate(mode)
    assert wrapped() is expected
    assert wrapped.__name__ == "mode"
    assert wrapped() is expected
    assert mode()


def test_set_grad_enabled_as_a_decorator_changes_nothing_at_once():
    wrapped = rg.set_grad_enabled(False)(mode)
    assert mode()
    assert not wrapped()


def test_set_grad_enabled_as_a_call():
    try:
        rg.set_grad_enabled(False)
        assert not mode()
    finally:
        rg.set_grad_enabled(True)
    assert mode()


def test_generators_carry_their_mode():
    @rg.no_grad()
    def states():
        try:
            sent = yield mode()
            yield sent, mode()
        except ZeroDivisionError:
            yield "caught", mode()
        return "end"

    it = states()
    assert next(it) is False
    assert mode()
    assert it.send(5) == (5, False)
    it = states()
    next(it)
    assert it.throw(ZeroDivisionError()) == ("caught", False)
    with pytest.raises(StopIteration) as stop:
        next(it)
    assert stop.value.value == "end"
    assert mode()


def test_mode_is_restored_after_an_error():
    for wrapped in (rg.no_grad, rg.enable_grad, rg.inference_mode):
        with pytest.raises(ZeroDivisionError):
            wrapped(lambda: 1 // 0)()
    assert mode()


def test_inference_mode():
    with rg.inference_mode():
        assert rg.is_inference_mode_enabled()
        assert not (leaf() * 2).requires_grad
    assert not rg.is_inference_mode_enabled()


def test_threads_have_their_own_mode():
    seen = []
    with rg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mode()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_tasks_have_their_own_mode():
    async def inside(ready, done):
        with rg.no_grad():
            ready.set()
            await done.wait()
            return mode()

    async def outside(ready, done):
        await ready.wait()
        seen = mode()
        done.set()
        return seen

    async def both():
        ready, done = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(inside(ready, done), outside(ready, done))

    assert asyncio.run(both()) == [False, True]


def test_leaf_made_without_grad_mode():
    with rg.no_grad():
        x = leaf()
        assert x.requires_grad
        assert not (x * 2).requires_grad
    (x * 2).sum().backward()
    assert grads(x) == [[2, 2]]


def test_threads_differentiate_at_once():
    def work(n):
        for _ in range(50):
            x = leaf(float(n))
            (x * x).backward()
            results.append(x.grad.item() == 2 * n)

    results = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 200
