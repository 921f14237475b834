"""Differentiation for the user: `backward`, `grad`, and the Jacobians and products made of them.

`backward` commits only when the whole walk has succeeded: a failed one leaves every ``.grad`` as
it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from . import dtypes as dt
from . import tape
from .anomaly import inspector
from .large import copied
from .tape import Node, Reading, walk
from .tensor import Tensor, node_of, wrap

Array = np.ndarray[Any, Any]


class TensorReading(Reading):
    """The walk on tensors: each derivative is recorded and can be differentiated again."""

    plain = False

    @staticmethod
    def sum_to(g: Any, shape: Any) -> Any:
        from .op import TENSOR_WORDS

        return TENSOR_WORDS.sum_to(g, shape)

    show = staticmethod(lambda g: g.clone())
    unshow = staticmethod(lambda g: g)


def _tuple(x: Any) -> tuple[Any, ...]:
    return (x,) if x is None or isinstance(x, Tensor) else tuple(x)


def _roots_and_seeds(
    outputs: Sequence[Tensor], grads: Sequence[Tensor | None], create_graph: bool
) -> tuple[list[Node], list[Any]]:
    """The nodes to start from and the gradients to start with."""
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    roots, seeds = [], []
    for output, grad in zip(outputs, grads, strict=True):
        if not isinstance(output, Tensor):
            raise TypeError(f"can only differentiate Tensors, not {type(output).__name__}")
        node = node_of(output)
        if node is None:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn: nothing "
                "it was computed from has requires_grad=True, or it was computed under no_grad"
            )
        if grad is None:
            if output.array.size != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs; this one has shape "
                    f"{list(output.shape)}: reduce it, as in loss.sum().backward(), or pass "
                    "gradient="
                )
            seed = _one(output)
            seeds.append(wrap(seed) if create_graph else seed)
        else:
            if not isinstance(grad, Tensor):
                raise TypeError(
                    f"gradients can be either Tensors or None, but got {type(grad).__name__}"
                )
            if grad.array.shape != output.array.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output has a shape of {grad.shape} and output has a "
                    f"shape of {output.shape}."
                )
            if grad.array.dtype != output.dtype.compute:
                grad = grad.to(dt.of_array(output.dtype.compute))
            seeds.append(grad if create_graph else grad.array)
        roots.append(node)
    return roots, seeds


def _one(output: Tensor) -> Array:
    """The gradient of a scalar with respect to itself; shared, for nothing writes to a seed."""
    one = _ONES.get(output.array.dtype)
    if one is None:
        one = _ONES[output.array.dtype] = np.ones((), output.dtype.compute)
    return np.ones(output.array.shape, one.dtype) if output.array.ndim else one


_ONES: dict[Any, Array] = {}  # by the type of the scalar


def _walk(
    roots: Sequence[Node], seeds: Sequence[Any], create_graph: bool, **options: Any
) -> dict[Node, Any]:
    watching = inspector()
    if create_graph:
        with tape.enable_grad():
            return walk(roots, seeds, reading=TensorReading, inspect=watching, **options)
    mode = tape.recording()
    try:
        tape.set_mode(None)  # what a user's Function does in its backward is not recorded
        with np.errstate(all="ignore"):
            return walk(roots, seeds, inspect=watching, **options)
    finally:
        tape.set_mode(mode)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of ``tensors`` to the ``.grad`` of the leaves they were computed from.

    ``inputs`` restricts it to some tensors.  What the tape kept is freed on the way unless
    ``retain_graph``; with ``create_graph`` the gradients can be differentiated themselves.

    Raises `RuntimeError` for a tensor without a tape, a non-scalar without a gradient, a second
    backward through freed values, and kept values that were changed in place.
    """
    outputs = _tuple(tensors)
    grads = (None,) * len(outputs) if grad_tensors is None else _tuple(grad_tensors)
    roots, seeds = _roots_and_seeds(outputs, grads, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        reached = _walk(roots, seeds, create_graph, keep=keep)
        for node in reached:
            _check_real(node)
        hooked = bool(tape.node_hooks.data or tape.post_hooks.data)
        for node in reached:
            _accumulate(node, node.kept(), reached, hooked)
        return
    targets = _tuple(inputs)
    if not targets:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    nodes = [_node_to_differentiate(x) for x in targets]
    reached = _walk(roots, seeds, create_graph, keep=keep, targets=nodes)
    for tensor, node in zip(targets, nodes, strict=True):
        if node in reached:
            _accumulate(node, tensor, reached)


def _node_to_differentiate(x: Tensor) -> Node:
    node = node_of(x)
    if node is None:
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    _check_real(node)
    return node


def _taken(reached: dict[Node, Any], node: Node) -> Any:
    """The gradient of ``node`` in memory that nobody else sees: the very array, or a copy.

    It is ours when two references to it exist, the dictionary's and the one being counted.  Other
    leaves, the caller's seed, what a hook kept and what the tape keeps would be more.
    """
    alone = getrefcount(reached[node]) == 2
    g = reached[node]
    if g.__class__ is np.ndarray:
        return g if alone and g.base is None else copied(g)
    if isinstance(g, Tensor):
        if alone and g.array.base is None:
            return g
        with tape.enable_grad():
            return g.clone()
    return np.array(g)


def _check_real(node: Node) -> None:
    if node.dtype.kind == "c":
        raise NotImplementedError(
            "gradients with respect to complex tensors are not there: the rules of the ops do not "
            "conjugate. Differentiate with respect to the real and the imaginary part."
        )


def _accumulate(
    node: Node, tensor: Tensor | None, reached: dict[Node, Any], hooked: bool = True
) -> None:
    """Add a finished gradient to ``.grad``; ``hooked`` says that there may be hooks to call."""
    if tensor is None:
        return
    before = getattr(tensor, "_grad", None)
    g = reached[node]
    if node.dtype.names is not None:
        g = _stored(g, node)
    if isinstance(g, Tensor):
        with tape.enable_grad():
            tensor._grad = g.clone() if before is None else before + g
    elif before is None:
        del g  # it would count as a reference
        fresh = _taken(reached, node)
        tensor._grad = wrap(fresh if fresh.flags.c_contiguous else fresh.copy(order="C"))
    elif before.node is not None:
        tensor._grad = before + wrap(np.asarray(g))
    else:
        np.add(before.array, g, out=before.array)
    if not hooked:
        return
    if tape.node_hooks and node in tape.node_hooks:
        for hook in list(tape.node_hooks[node].values()):
            hook((), (tensor._grad,))
    if tape.post_hooks and node in tape.post_hooks:
        for hook in list(tape.post_hooks[node].values()):
            hook(tensor)


def _stored(g: Any, node: Node) -> Tensor:
    """A gradient of a storage type: float32 on the tape, in the type of its tensor outside."""
    g = g if isinstance(g, Tensor) else wrap(np.asarray(g))
    narrow: Tensor = g.to(dt.of_array(node.dtype))
    return narrow


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, returned and not accumulated.

    Raises `RuntimeError` when an input does not take part, unless ``allow_unused`` (None stands
    for its gradient) or ``materialize_grads`` (zeros do).

    >>> import retrograd as rg
    >>> x = rg.tensor(3.0, requires_grad=True)
    >>> (g,) = rg.autograd.grad(x**3, x, create_graph=True)
    >>> rg.autograd.grad(g, x)
    (tensor(18.),)
    """
    if is_grads_batched:
        return _row_by_row(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    outs, targets = _tuple(outputs), _tuple(inputs)
    if not targets:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    grads = (None,) * len(outs) if grad_outputs is None else _tuple(grad_outputs)
    roots, seeds = _roots_and_seeds(outs, grads, create_graph)
    nodes = [_node_to_differentiate(x) for x in targets]
    keep = create_graph if retain_graph is None else retain_graph
    reached = _walk(roots, seeds, create_graph, keep=keep, targets=nodes)
    found: list[Any] = []
    for i, (tensor, node) in enumerate(zip(targets, nodes, strict=True)):
        if node in reached:
            g = _taken(reached, node)
            g = _stored(g, node) if node.dtype.names is not None else g
            found.append(g if isinstance(g, Tensor) else wrap(g))
        elif materialize_grads:
            found.append(wrap(np.zeros_like(tensor.array)))
        elif allow_unused:
            found.append(None)
        else:
            raise RuntimeError(
                f"The differentiated Tensor at index {i} appears to not have been used in the "
                "graph. Set allow_unused=True if this is the desired behavior."
            )
    return tuple(found)


def _row_by_row(
    outputs: Any,
    inputs: Any,
    grads: Any,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool | None,
) -> tuple[Any, ...]:
    """`grad` for each entry of the first axis of ``grads``, stacked."""
    from .op import functions

    rows = [*zip(*(g.unbind(0) for g in _tuple(grads)), strict=True)]
    keep = create_graph if retain_graph is None else retain_graph
    found = [
        grad(outputs, inputs, row, keep or i < len(rows) - 1, create_graph, allow_unused)
        for i, row in enumerate(rows)
    ]
    return tuple(
        None if parts[0] is None else functions["stack"](parts)
        for parts in zip(*found, strict=True)
    )


def _tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of this tensor to the ``.grad`` of the leaves it was computed from.

    A tensor of more than one element needs ``gradient``, the gradient of what comes after it.
    """
    gradients = None if gradient is None else (gradient,)
    backward(self, gradients, retain_graph, create_graph, inputs=inputs)


setattr(Tensor, "backward", _tensor_backward)  # noqa: B010 - as all methods are installed


# ---------------------------------------------------------------- of functions

Func = Callable[..., Any]
Tensors = tuple[Tensor, ...]


def jacobian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """All derivatives of ``func`` at ``inputs``: ``J[i, j] = ∂outᵢ/∂inⱼ``, row by row.

    The shape is the output's, then the input's; with several outputs or inputs it is a tuple over
    outputs of tuples over inputs.  ``vectorize`` and ``strategy`` change nothing here.

    >>> import retrograd as rg
    >>> rg.autograd.functional.jacobian(lambda x: x**2, rg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with tape.enable_grad():
        xs = _own(inputs, create_graph)
        result = func(*xs)
        rows = [_rows(out, xs, create_graph, strict) for out in _outputs(result)]
    entries = tuple(row[0] if isinstance(inputs, Tensor) else row for row in rows)
    return entries[0] if isinstance(result, Tensor) else entries


def _rows(out: Tensor, xs: Tensors, create_graph: bool, strict: bool) -> tuple[Any, ...]:
    """The Jacobian of one output with respect to each input."""
    from .op import functions

    size = out.array.size
    units = np.eye(size, dtype=out.dtype.compute).reshape(size, *out.shape)
    rows = [_derivatives([out], xs, [wrap(u).to(out.dtype)], create_graph, strict) for u in units]
    return tuple(
        functions["stack"]([row[j] for row in rows]).reshape(*out.shape, *x.shape)
        if rows
        else wrap(np.empty((*out.shape, *x.shape), x.array.dtype))
        for j, x in enumerate(xs)
    )


def hessian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """All second derivatives of a ``func`` of one number: the Jacobian of its gradient.

    >>> import retrograd as rg
    >>> rg.autograd.functional.hessian(lambda x: (x**3).sum(), rg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradient(*xs: Tensor) -> Any:
        return _gradient(func(*xs), xs, strict)

    entries = jacobian(gradient, _tuple(inputs), create_graph, strict)
    return entries[0][0] if isinstance(inputs, Tensor) else entries


def _gradient(out: Any, xs: Tensors, strict: bool) -> tuple[Any, ...]:
    if not isinstance(out, Tensor) or out.array.size != 1:
        raise RuntimeError(
            "The Tensor returned by the user-provided function should contain a single element: "
            "second derivatives are those of one number"
        )
    return _derivatives([out], xs, [wrap(np.ones_like(out.array))], True, strict)


def vjp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``func(*inputs)``, and ``vᵀ J``: what backward from the gradient ``v`` gives.

    ``v`` may be left out when the output is one number.
    """
    with tape.enable_grad():
        xs = _own(inputs, create_graph)
        result = func(*xs)
        outs = _outputs(result)
        ds = _derivatives(outs, xs, _vectors(v, outs, "output"), create_graph, strict)
    return _like(result, outs, create_graph), _like(inputs, ds, create_graph)


def jvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``func(*inputs)``, and ``J v``: how the outputs change when the inputs move along ``v``.

    It is computed by two backwards: ``gᵀ J`` is linear in ``g``, and its derivative is ``J``.
    """
    with tape.enable_grad():
        xs = _own(inputs, create_graph)
        result = func(*xs)
        outs = _outputs(result)
        vs = _vectors(v, xs, "input")
        gs = tuple(wrap(np.zeros_like(out.array)).requires_grad_() for out in outs)
        ds = _derivatives(outs, xs, gs, True, strict)
        products = _derivatives(ds, gs, vs, create_graph, strict=False)
    return _like(result, outs, create_graph), _like(result, products, create_graph)


def vhp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """``func(*inputs)``, one number, and ``vᵀ H``: its second derivatives along ``v``."""
    with tape.enable_grad():
        xs = _own(inputs, create_graph)
        result = func(*xs)
        ds = _gradient(result, xs, strict)
        products = _derivatives(ds, xs, _vectors(v, xs, "input"), create_graph, strict)
    return _like(result, [result], create_graph), _like(inputs, products, create_graph)


hvp = vhp  # H is symmetric


def _own(inputs: Any, create_graph: bool) -> Tensors:
    """The inputs as tensors of this computation, connected to the caller's on demand."""
    own = []
    for x in inputs if isinstance(inputs, (tuple, list)) else (inputs,):
        if not isinstance(x, Tensor):
            raise TypeError(f"The inputs must be Tensors, not {type(x).__name__}")
        seen = x.view_as(x) if create_graph else x.detach()
        own.append(seen if seen.requires_grad else seen.requires_grad_())
    return tuple(own)


def _outputs(result: Any) -> Tensors:
    outs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    for out in outs:
        if not isinstance(out, Tensor):
            raise TypeError(
                "The outputs of the user-provided function must be Tensors, not "
                f"{type(out).__name__}"
            )
    return outs


def _vectors(v: Any, of: Tensors, what: str) -> Tensors:
    """``v`` with the shapes it must have; ones, for None beside a single number."""
    if v is None:
        if len(of) != 1 or of[0].array.size != 1:
            raise RuntimeError(
                f"The vector v can only be None if there is a single {what} with a single element"
            )
        return (wrap(np.ones_like(of[0].array)),)
    vs = _tuple(v)
    if len(vs) != len(of):
        raise RuntimeError(f"v has {len(vs)} entries, but there are {len(of)} {what}s")
    for i, (one, x) in enumerate(zip(vs, of, strict=True)):
        if one.shape != x.shape:
            raise RuntimeError(
                f"Entry {i} of v has invalid size: should be {x.shape} but got {one.shape}"
            )
    return vs


def _derivatives(
    outs: Sequence[Tensor],
    xs: Sequence[Tensor],
    seeds: Sequence[Tensor],
    create_graph: bool,
    strict: bool,
) -> tuple[Any, ...]:
    """`grad`, in which what does not depend on an input has the derivative zero."""
    pairs = [(out, g) for out, g in zip(outs, seeds, strict=True) if out.requires_grad]
    found: tuple[Any, ...] = (None,) * len(xs)
    if pairs:
        some, gs = zip(*pairs, strict=True)
        found = grad(some, xs, gs, True, create_graph, allow_unused=True)
    if strict and any(d is None for d in found):
        i = next(i for i, d in enumerate(found) if d is None)
        raise RuntimeError(
            f"The output of the user-provided function is independent of input {i}. This is not "
            "allowed in strict mode."
        )
    return tuple(
        wrap(np.zeros_like(x.array)) if d is None else d for x, d in zip(xs, found, strict=True)
    )


def _like(shape: Any, tensors: Sequence[Tensor], create_graph: bool) -> Any:
    """One tensor or a tuple of them, as ``shape`` is; without their tape unless that is wanted."""
    results = tuple(t if create_graph else t.detach() for t in tensors)
    return results[0] if isinstance(shape, Tensor) else results
