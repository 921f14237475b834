"""The tape and the walk backwards: sharing, order, freeing, depth, grad modes, hooks."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import retrograd as rg
from retrograd.autograd.tape import FREED, Node, newest_first

from .cases import leaf

# ---------------------------------------------------------------- sharing


def test_a_tensor_used_twice_gets_both_gradients():
    x = leaf(3.0)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [7.0]


def test_a_diamond():
    x = leaf(2.0)
    top = x * 3
    left, right = top * top, top + 1
    (left * right).sum().backward()
    # d/dx of 9x²(3x + 1)
    assert x.grad.tolist() == [81 * 4 + 18 * 2]


def test_forty_doublings_are_forty_steps():
    x = leaf(1.0)
    y = x
    for _ in range(40):
        y = y + y
    y.sum().backward()
    assert x.grad.tolist() == [2.0**40]


def test_a_lattice_of_diamonds_is_walked_once_per_node():
    x = leaf(1.0)
    calls = []
    a, b = x * 1, x * 1
    for _ in range(20):
        a, b = a + b, a - b
    a.grad_fn.register_hook(lambda *_: calls.append("last"))
    x.register_hook(lambda g: calls.append("leaf"))
    (a + b).sum().backward()
    assert calls == ["last", "leaf"]
    assert x.grad.tolist() == [2.0**11]


def test_gradients_that_share_memory_are_not_mixed_up():
    """`add` hands the same array to both inputs; one of them then gets more."""
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    s = x + y
    (s + x * 5).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]
    assert y.grad.tolist() == [1.0, 1.0]
    x.grad.add_(100)
    assert y.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("create_graph", [False, True])
def test_leaves_do_not_share_their_gradients(create_graph):
    """Both get the product's gradient, which is one fresh array."""
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for _ in range(2):
        ((x + y) * 3).sum().backward(create_graph=create_graph)
    assert x.grad.tolist() == y.grad.tolist() == [6.0, 6.0]
    dx, dy = rg.autograd.grad(((x + y) * 3).sum(), [x, y], create_graph=create_graph)
    dx.detach().zero_()
    assert dy.tolist() == [3.0, 3.0]
    x.grad = y.grad = None  # with create_graph they hold the tape that holds them


def test_a_kept_gradient_is_not_the_leafs():
    x = leaf(1.0, 2.0)
    seen = []
    y = x + 1
    y.retain_grad()
    x.register_hook(seen.append)
    (y * 3).sum().backward()
    x.grad.zero_()
    assert y.grad.tolist() == [3.0, 3.0]
    assert seen[0].tolist() == [3.0, 3.0]


def test_the_callers_gradient_is_neither_kept_nor_changed():
    x, g = leaf(1.0, 2.0), rg.tensor([1.0, 1.0], dtype=rg.float64)
    (x + 0).backward(g)
    (x + x).backward(g)
    assert g.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [3.0, 3.0]
    g.fill_(50)
    assert x.grad.tolist() == [3.0, 3.0]


def test_gradients_accumulate_in_the_same_memory():
    x = leaf(1.0)
    (x * 2).sum().backward()
    before = x.grad
    (x * 3).sum().backward()
    assert x.grad is before
    assert before.tolist() == [5.0]


def test_several_roots_share_one_walk():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    rg.autograd.backward([y, z], [rg.ones_like(y), rg.ones_like(z)])
    assert x.grad.tolist() == [16.0]


def test_order_of_arguments_is_told_apart():
    x, y = leaf(5.0), leaf(2.0)
    (x - y * 3).sum().backward()
    assert (x.grad.item(), y.grad.item()) == (1.0, -3.0)


def test_an_inner_node_can_be_a_target():
    x = leaf(2.0)
    y = x * x
    z = y * y
    (dy,) = rg.autograd.grad(z.sum(), y)
    assert dy.item() == 8.0
    assert x.grad is None


def test_what_does_not_lead_to_a_target_is_not_walked():
    x, other = leaf(2.0), leaf(3.0)
    seen = []
    branch = other * 1
    branch.grad_fn.register_hook(lambda *_: seen.append("walked"))
    (dx,) = rg.autograd.grad((x * branch).sum(), x)
    assert dx.item() == 3.0
    assert not seen


def test_nodes_are_younger_than_their_inputs():
    x = leaf(1.0)
    out = ((x * 2) + (x * 3)) * x
    nodes = newest_first([out.grad_fn])
    assert [n.born for n in nodes] == sorted((n.born for n in nodes), reverse=True)
    assert all(p.born < n.born for n in nodes for p in n.inputs if p is not None)
    assert [n.name() for n in nodes] == [
        *("MulBackward0", "AddBackward0", "MulBackward0", "MulBackward0", "AccumulateGrad")
    ]


# ---------------------------------------------------------------- what is kept, and for how long


def test_backward_frees_what_was_kept():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = (y * y).sum()
    kept = weakref.ref(y.grad_fn.kept[0])
    node = y.grad_fn
    del y
    z.backward()
    assert node.kept is FREED
    assert kept() is None


def test_what_nobody_needs_is_freed_before_backward():
    x = leaf(1.0, 2.0)
    middle = x + 1
    array = weakref.ref(middle.array)
    out = (middle * 3).sum()
    del middle
    assert array() is None
    out.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_tape_has_no_reference_cycle():
    gc.disable()
    try:
        x = leaf(1.0)
        out = ((x * x).exp() + x).sum()
        node = weakref.ref(out.grad_fn)
        del out
        assert node() is None
        (g,) = rg.autograd.grad((x**3).sum(), x, create_graph=True)
        g.sum().backward()
        node = weakref.ref(g.grad_fn)
        del g
        assert node() is None
        assert x.grad.item() == 6.0
    finally:
        gc.enable()


def test_the_tape_does_not_keep_a_leaf_alive():
    x = leaf(1.0)
    out = (x * 2).sum()
    ref = weakref.ref(x)
    del x
    assert ref() is None
    out.backward()  # nobody is left to see the gradient


def test_retain_graph_walks_again():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


# ---------------------------------------------------------------- depth

CHAIN = """
    import gc, sys
    import retrograd as rg
    x = rg.tensor([1.0, 2.0], requires_grad=True)
    y = x
    for _ in range({n}):
        y = y + 1
    sys.setrecursionlimit(200)
"""


@pytest.mark.slow
def test_a_million_ops_forward_backward_and_free(in_new_process):
    out = in_new_process(
        CHAIN.format(n=1_000_000)
        + """
    print(repr(y))
    z = y.sum()
    z.backward(retain_graph=True)
    print(x.grad.tolist())
    z.backward()
    print(x.grad.tolist())
    del y, z
    gc.collect()
    print(sum(type(o).__name__ == "Node" for o in gc.get_objects()))
    """
    )
    assert out.splitlines() == [
        "tensor([1000001., 1000002.], grad_fn=<AddBackward0>)",
        "[1.0, 1.0]",
        "[2.0, 2.0]",
        "1",
    ]


def test_a_deep_tape_that_was_never_walked_is_freed_in_a_thread_with_a_small_stack(in_new_process):
    out = in_new_process(
        """
    import sys
    import threading
    import retrograd as rg
    def work():
        x = rg.ones(1, requires_grad=True)
        y = x
        for _ in range(300_000):
            y = y * 1.0
        del y
        print("freed")
    # Python 3.13 counts depth by itself: to free any long chain of objects it takes a megabyte.
    threading.stack_size((1024 if sys.version_info[:2] == (3, 13) else 64) * 1024)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    """
    )
    assert out == "freed"


def test_a_deep_tape_can_be_drawn_printed_and_differentiated_twice(in_new_process):
    out = in_new_process(
        CHAIN.format(n=20_000)
        + """
    picture = rg.draw(y.sum())
    print(len(picture.source) > 1000)
    (g,) = rg.autograd.grad((y * y).sum(), x, create_graph=True)
    g.sum().backward()
    print(x.grad.tolist())
    """
    )
    assert out.splitlines() == ["True", "[2.0, 2.0]"]


# ---------------------------------------------------------------- grad modes


def recorded():
    return (leaf(1.0) * 2).requires_grad


@pytest.mark.parametrize(
    "mode", [rg.no_grad, rg.inference_mode, lambda: rg.set_grad_enabled(False)]
)
def test_a_mode_holds_for_a_block_and_is_undone_by_an_exception(mode):
    def fails():
        with mode():
            assert not rg.is_grad_enabled()
            assert not recorded()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert rg.is_grad_enabled()
    assert recorded()


def test_modes_nest():
    with rg.no_grad():
        with rg.enable_grad():
            assert recorded()
            with rg.no_grad():
                assert not recorded()
            assert recorded()
        assert not recorded()


def test_set_grad_enabled_works_at_once():
    rg.set_grad_enabled(False)
    assert not recorded()
    rg.set_grad_enabled(True)
    assert recorded()


def test_modes_decorate():
    @rg.no_grad()
    def quiet():
        return recorded()

    @rg.no_grad
    def bare():
        return recorded()

    @rg.enable_grad()
    def loud():
        return recorded()

    assert not quiet()
    assert not bare()
    with rg.no_grad():
        assert loud()
        assert not quiet()
    assert recorded()


def test_a_decorated_generator_holds_its_mode_only_while_it_runs():
    @rg.no_grad()
    def numbers():
        try:
            yield recorded()
        except KeyError:
            yield "caught", recorded()
        yield recorded()

    steps = numbers()
    assert next(steps) is False
    assert recorded()
    assert steps.throw(KeyError) == ("caught", False)
    assert recorded()
    assert list(steps) == [False]
    assert recorded()


def test_a_result_under_no_grad_is_a_leaf_that_can_want_a_gradient():
    x = leaf(1.0)
    with rg.no_grad():
        y = x * 2
    assert y.is_leaf
    assert not y.requires_grad
    y.requires_grad_()
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3.0]
    assert x.grad is None


def test_threads_do_not_see_each_others_modes():
    wrong = []
    barrier = threading.Barrier(8)

    def toggle(i):
        barrier.wait()
        for step in range(300):
            quiet = (step + i) % 2 == 0
            with rg.set_grad_enabled(not quiet):
                if recorded() is quiet:
                    wrong.append((i, step))
                with rg.enable_grad():
                    if not recorded():
                        wrong.append((i, step))
            if not rg.is_grad_enabled():
                wrong.append((i, step))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(toggle, range(8)))
    assert not wrong


def test_a_new_thread_records_even_if_its_maker_does_not():
    found = []
    with rg.no_grad():
        thread = threading.Thread(target=lambda: found.append(rg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_tasks_that_take_turns_do_not_see_each_others_modes():
    async def quiet():
        with rg.no_grad():
            for _ in range(50):
                await asyncio.sleep(0)
                assert not recorded()

    async def loud():
        for _ in range(50):
            await asyncio.sleep(0)
            assert recorded()

    async def both():
        await asyncio.gather(quiet(), loud(), quiet(), loud())

    asyncio.run(both())


def test_backward_in_several_threads_at_once():
    def gradient(i):
        x = leaf(float(i))
        for _ in range(20):
            x.grad = None
            (x * x * x).sum().backward()
        return x.grad.item()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(gradient, range(16))) == [3.0 * i * i for i in range(16)]


# ---------------------------------------------------------------- hooks


def test_a_hook_sees_the_whole_gradient_once_and_may_replace_it():
    x = leaf(2.0)
    y = x * 1
    seen = []
    y.register_hook(lambda g: seen.append(g.item()) or g * 10)
    (y * 2 + y * 3).sum().backward()
    assert seen == [5.0]
    assert x.grad.item() == 50.0


def test_hooks_run_in_order_and_can_be_removed():
    x = leaf(1.0)
    seen = []
    first = x.register_hook(lambda g: seen.append("first"))
    x.register_hook(lambda g: seen.append("second"))
    (x * 2).sum().backward()
    first.remove()
    first.remove()
    (x * 2).sum().backward()
    assert seen == ["first", "second", "second"]


def test_retain_grad_fills_an_inner_tensor():
    x = leaf(3.0)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.item() == 12.0
    assert x.grad.item() == 24.0


def test_post_accumulate_hook_sees_the_finished_grad():
    x = leaf(1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.item()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [2.0, 4.0]


def test_a_node_hook_may_replace_what_the_node_hands_on():
    x, y = leaf(2.0), leaf(3.0)
    out = x * y
    out.grad_fn.register_hook(lambda inputs, outputs: tuple(g * 2 for g in inputs))
    out.sum().backward()
    assert (x.grad.item(), y.grad.item()) == (6.0, 4.0)


def test_a_hook_of_a_half_precision_tensor_sees_half_precision():
    x = rg.tensor([1.0, 2.0], dtype=rg.float16, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.dtype) or g * 2)
    (x * x).sum().backward()
    assert seen == [rg.float16]
    assert x.grad.dtype is rg.float16
    assert x.grad.tolist() == [4.0, 8.0]


# ---------------------------------------------------------------- what a user sees of a node


def test_a_node_has_pytorchs_names():
    x = leaf(1.0)
    node = (x * 2).grad_fn
    assert isinstance(node, Node)
    assert node.name() == "MulBackward0"
    (parent, number), *_ = node.next_functions
    assert parent.name() == "AccumulateGrad"
    assert number == 0
    assert parent.variable is x
    with pytest.raises(AttributeError, match="no attribute 'variable'"):
        _ = node.variable
    assert repr(node).startswith("<MulBackward0 object at 0x")
    assert "grad_fn=<MulBackward0>" in repr(x * 2)
