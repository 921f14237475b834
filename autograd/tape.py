"""The tape: what happened, in order, and how to walk it backwards.

A `Node` is made whenever an op touches a tensor that wants a gradient.  Nodes point at the nodes
they came from and hold only the arrays their derivatives will ask for, so a tensor that no
derivative needs is freed as soon as the user lets go of it, and the tape has no reference cycle.

A node is younger than its inputs.  So the nodes sorted by birth, newest first, are in topological
order, and nothing here recurses.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes, hooks, version
from .chain import Chain
from .deferred import Deferred, Part, settled
from .large import added
from .shapes import sum_to
from .version import FREED

if TYPE_CHECKING:
    from .op import Op


class Node:
    """One line of the tape: which op made a tensor, from what, and what its gradient needs.

    A leaf has no op, and keeps a weak reference to its tensor.  PyTorch's users meet a node as
    ``tensor.grad_fn``.
    """

    __slots__ = (
        *("__weakref__", "born", "dtype", "hooks", "inputs", "kept", "op", "settings", "shape"),
    )

    born: int
    inputs: tuple[Node | None, ...]
    kept: Any
    op: Op | None
    settings: tuple[Any, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    hooks: dict[int, OrderedDict[int, Any]]  # not there until the first is registered
    # No __init__: `new_node`, and the functions of the ops, fill it in; a call would cost 0.1 µs.

    def name(self) -> str:
        """PyTorch's name for this kind of node: ``MulBackward0``, ``AccumulateGrad`` for a leaf."""
        if self.op is None:
            return "AccumulateGrad"
        return self.op.backward_name

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that this one hands gradients to, each with 0 (PyTorch's output number)."""
        return tuple((node, 0) for node in self.inputs)

    @property
    def variable(self) -> Any:
        """A leaf's tensor; `AttributeError` for the node of an op."""
        if self.op is not None:
            raise AttributeError(f"'{self.name()}' object has no attribute 'variable'")
        return self.kept()

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_inputs, grad_outputs)`` when backward passes this node."""
        return add_hook(node_hooks, self, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_outputs)`` before backward passes this node; a tuple replaces them."""

        def on_gradient(g: Any) -> Any:
            answer = hook((g,))
            return answer[0] if isinstance(answer, tuple) else answer

        return add_hook(tensor_hooks, self, on_gradient)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


def new_node(
    inputs: tuple[Node | None, ...], kept: Any, op: Op | None, settings: tuple[Any, ...],
    out: np.ndarray[Any, Any], kind: type[Node] = Node,
) -> Any:  # fmt: skip
    """A node of ``kind``, born now, for the tensor that holds ``out``."""
    node = kind()
    node.born = version.tick()
    node.inputs, node.kept, node.op, node.settings = inputs, kept, op, settings
    node.shape, node.dtype = out.shape, out.dtype
    return node


class Hooks:
    """The hooks of one kind, by node.

    They are rare.  So a node has no attribute for them until it has one, ``node.hooks``, and what
    is here only tells which nodes have.  The functions must be held by the node itself: those
    that speak of their own tensor would otherwise keep it alive for ever.
    """

    def __init__(self) -> None:
        self._nodes: weakref.WeakSet[Node] = weakref.WeakSet()
        self.data: Any = self._nodes.data  # type: ignore[attr-defined]  # empty if there are none

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node: Node) -> bool:
        return node in self._nodes

    def __getitem__(self, node: Node) -> hooks.HookTable:
        return node.hooks[id(self)]

    def get(self, node: Node, default: Any) -> Any:
        """The hooks of ``node``, or ``default``."""
        return self[node] if node in self else default  # noqa: SIM401 - this is it

    def setdefault(self, node: Node, table: hooks.HookTable) -> hooks.HookTable:
        """The hooks of ``node``, which are ``table`` if it had none."""
        if node not in self:
            if not hasattr(node, "hooks"):
                node.hooks = {}
            node.hooks[id(self)] = table
            self._nodes.add(node)
        return self[node]


tensor_hooks = Hooks()  # called with the finished gradient of a tensor
node_hooks = Hooks()  # called with (grad_inputs, grad_outputs)
post_hooks = Hooks()  # called with a leaf whose .grad was just accumulated
seals: weakref.WeakKeyDictionary[Node, tuple[int | None, ...]]
seals = weakref.WeakKeyDictionary()  # checksums of kept arrays that NumPy code can write
places: weakref.WeakKeyDictionary[Node, str]
places = weakref.WeakKeyDictionary()  # forward tracebacks, under anomaly detection


def add_hook(table: Any, node: Node, hook: Callable[..., Any]) -> Any:
    """File ``hook`` under ``node``; what is returned removes it again."""
    return hooks.add_hook(table.setdefault(node, OrderedDict()), hook)


# ---------------------------------------------------------------- the walk


class Reading:
    """What the walk computes with: arrays here, tensors when the gradient is itself recorded."""

    plain = True
    sum_to = staticmethod(sum_to)

    @staticmethod
    def show(g: Any) -> Any:
        """A gradient as the tensor a hook is called with: a copy, which it may write to."""
        from .tensor import wrap

        return wrap(np.array(g))

    @staticmethod
    def unshow(g: Any) -> Any:
        """A hook's answer, in this reading again; a view, so that nobody takes its memory over."""
        return g.array.view()


class Many(list[Any]):
    """The gradient of a node with several outputs: one entry each, None where nothing arrived."""

    shape = None


def newest_first(roots: Iterable[Node]) -> list[Node]:
    """Every node behind ``roots``.  A node is younger than its inputs, so age is an order."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        for parent in stack.pop().inputs:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=_birth, reverse=True)


def _birth(node: Node) -> int:
    return node.born


def leading_to(roots: Iterable[Node], targets: Iterable[Node]) -> set[Node]:
    """The nodes behind ``roots`` whose inputs are, or lead to, a target."""
    found, leading = set(targets), set()
    for node in reversed(newest_first(roots)):
        if any(parent in found for parent in node.inputs):
            found.add(node)
            leading.add(node)
    return leading


def walk(
    roots: Sequence[Node],
    seeds: Sequence[Any],
    *,
    targets: Sequence[Node] | None = None,
    keep: bool = False,
    reading: type[Reading] = Reading,
    inspect: Callable[[Node, Any], None] | None = None,
) -> dict[Node, Any]:
    """Hand each node the gradient of its output, newest first; return those of the targets.

    Without ``targets`` they are all the leaves.  Nothing outside the tape is changed: who called
    decides what to do with the gradients.  ``keep`` leaves what the nodes hold for another walk.

    Nodes that wait for their turn are in a heap by age, which sorts only what it must.  When one
    node hands on to just one and none waits, that one is next, and a row of such needs no heap.
    Steps of a recurrence wait for each other in a `Chain`, unless somebody looks at single nodes.
    """
    goals = set(targets or ())
    leading = None if targets is None else leading_to(roots, targets)
    hooked = tensor_hooks.data or node_hooks.data or seals.data  # type: ignore[attr-defined]
    rare = bool(targets is not None or hooked or inspect)
    plain, to_shape = reading.plain, reading.sum_to
    chains, chain = plain and not (rare or places.data), None  # type: ignore[attr-defined]
    pending: dict[Node, Any] = {}  # gradients so far; in the end, those of the leaves
    ours: set[Node] = set()  # nodes whose pending gradient is an array made here
    add, ndarray = np.add, np.ndarray
    reached: dict[Node, Any] = {}
    heap: list[tuple[int, Node]] = []
    node: Any = None  # the next node, where that is known without the heap
    g: Any = None  # its gradient
    if len(roots) == 1 and roots[0].op is not None:
        node, g = roots[0], seeds[0]
    else:
        for root, seed in zip(roots, seeds, strict=True):
            if root not in pending and root.op is not None:
                heappush(heap, (-root.born, root))
            _gather(pending, ours, root, seed, plain)
    while True:
        if node is None:
            if heap:
                node = heap.pop()[1] if len(heap) == 1 else heappop(heap)[1]
                g = pending.pop(node)
            elif chain is None:
                break
        if chain is not None:
            node, g = chain.take(node, g, keep)
            if chain.before is None:
                chain = None
            if node is None:
                continue
        elif chains and node.op.states:
            chain = Chain(node, g, pending, heap)
            if chain.before is not None:
                node = None
                continue
            chain = None
        op: Any = node.op
        if rare:
            if node in tensor_hooks:
                g = _call_hooks(tensor_hooks[node], g, node, reading)
            if node in goals:
                reached[node] = g
            if leading is not None and node not in leading:
                node = None
                continue
            if node in seals and node.kept is not FREED:
                version.check_seal(node.kept, seals[node], op.name)
        kept = node.kept
        try:
            if kept is FREED:
                raise _freed(op.name)
            if kept and node.born < version.latest:
                version.check(kept, node.born, op.name)
            ds = op.pull(g, node) if plain else op.pull_tensors(g, node)
        except Exception as error:
            if node in places:
                error.add_note(f"{node.name()} was recorded by this forward call:\n{places[node]}")
            raise
        if rare:
            if inspect is not None or node in node_hooks:
                ds = settled(ds)
            if inspect is not None:
                inspect(node, ds)
            if node in node_hooks:
                ds = _call_node_hooks(node, ds, g, reading)
        if kept and not keep:
            node.kept = FREED
        parent: Any
        following: Any
        ahead: Any
        inputs = node.inputs
        if op.unary and not (heap or rare):  # nothing to gather: only leaves are pending
            parent, d = inputs[0], ds[0]
            if d.__class__ is ndarray and parent.op is not None:
                node, g = parent, d
                continue
        following, ahead, i = None, None, -1
        for d in ds:  # and its parent, counted by hand: making a `zip` takes 0.1 µs
            i += 1
            if d is None:
                continue
            parent = inputs[i]
            if d.shape != parent.shape and type(d) is not Many:
                if not isinstance(d, Deferred):
                    d = to_shape(d, parent.shape)
                elif (
                    parent.op is not None
                    and parent not in ours
                    and (rare or parent.op.states < 2 or type(d) is not Part)
                ):
                    # Only leaves can wait, and an LSTM, which takes a part as it is.
                    d = d.value()
                    if heap and parent not in pending:
                        ours.add(parent)  # and `pending` below: what comes next is added in place
            if pending and parent in pending:
                if parent in ours:  # `_gather`'s common case
                    add(pending[parent], d, pending[parent])
                else:
                    _gather(pending, ours, parent, d, plain)
            elif parent is following:
                ahead = _merged(ahead, d) if type(d) is Many else ahead + d
            elif heap or following is not None or parent.op is None:
                pending[parent] = d
                if parent.op is not None:
                    heappush(heap, (-parent.born, parent))
            else:
                following, ahead = parent, d
        if heap and following is not None:
            pending[following] = ahead
            heappush(heap, (-following.born, following))
            following = None
        node, g = following, ahead

    for leaf, g in pending.items():
        if isinstance(g, Deferred):
            g = g.value()
        if rare and leaf in tensor_hooks:
            g = _call_hooks(tensor_hooks[leaf], g, leaf, reading)
        if targets is None or leaf in goals:
            reached[leaf] = g
    return reached


def _freed(name: str) -> RuntimeError:
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors "
        f"after they have already been freed): what {name} kept was freed by the first backward. "
        "Specify retain_graph=True there if you need to backward through the graph a second time, "
        "or run the forward pass again."
    )


def _gather(pending: dict[Node, Any], ours: set[Node], node: Node, d: Any, plain: bool) -> None:
    """Add ``d`` to the pending gradient of ``node``: in place once the sum is ours."""
    before = pending.get(node)
    if before is None:
        pending[node] = d
    elif type(d) is Many:
        pending[node] = _merged(before, d)
    elif node in ours:
        np.add(before, d, before)
    else:
        # The first sum makes fresh memory: `before` may be shared with other nodes' gradients.
        pending[node] = total = added(before, d)
        if plain and type(total) is np.ndarray:
            ours.add(node)


def _merged(before: Many, d: Many) -> Many:
    """The sum of two gradients of one node of several outputs."""
    return Many(
        b if a is None else a if b is None else a + b for a, b in zip(before, d, strict=True)
    )


def _call_hooks(callbacks: dict[int, Any], g: Any, node: Node, reading: Any) -> Any:
    """Show a finished gradient to the hooks of its tensor; each may replace it."""
    shown = reading.show(g)
    if node.dtype.names is not None:
        shown = shown.to(dtypes.of_array(node.dtype))
    for hook in list(callbacks.values()):
        answer = hook(shown)
        if answer is None:
            continue
        if not hasattr(answer, "array"):
            raise TypeError(f"expected Variable, but hook returned '{type(answer).__name__}'")
        if answer.array.shape != node.shape:
            raise RuntimeError(
                f"hook '{getattr(hook, '__name__', hook)}' has changed the size of value: "
                f"expected {list(node.shape)}, got {list(answer.array.shape)}"
            )
        if answer.array.dtype != shown.array.dtype:
            raise RuntimeError(
                f"hook '{getattr(hook, '__name__', hook)}' has changed the type of value "
                f"(was {shown.dtype} got {answer.dtype}): convert it back with .to(grad.dtype)"
            )
        shown = answer
    return reading.unshow(shown.float() if node.dtype.names is not None else shown)


def _call_node_hooks(node: Node, ds: Sequence[Any], g: Any, reading: Any) -> Sequence[Any]:
    """Show what a node received and what it hands on; an answer replaces the latter."""
    for hook in list(node_hooks[node].values()):
        shown = tuple(None if d is None or type(d) is Many else reading.show(d) for d in ds)
        parts = g if type(g) is Many else [g]
        answer = hook(shown, tuple(None if p is None else reading.show(p) for p in parts))
        if answer is not None:
            answer = answer if isinstance(answer, tuple) else (answer,)
            ds = [None if a is None else reading.unshow(a) for a in answer]
    return ds
