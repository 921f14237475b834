"""Ops that users write: a forward, a backward, and a context that carries values between them.

Subclass `Function`, write its static methods ``forward`` and ``backward`` with tensors, and call
``apply``.  On the tape such a call is one `FunctionNode`.  If it has several outputs, each of them
stands on a `Pick`, which hands the gradient of its output to the node of them all.
"""

from __future__ import annotations

import functools
import inspect
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes as dt
from . import version
from .inplace import adopt
from .modes import enable_grad, is_grad_enabled, no_grad, recording
from .op import watch
from .tape import Many, Node, _freed, new_node
from .tensor import Tensor, node_of, wrap
from .version import FREED

Array = np.ndarray[Any, Any]
Gradients = Sequence[Tensor | None]


class FunctionCtx:
    """What ``forward`` leaves for ``backward``: saved tensors, and attributes of any name."""

    needs_input_grad: tuple[bool, ...] = ()  # for each argument of `apply`

    _to_save: tuple[Tensor | None, ...] = ()
    _dirty: tuple[Tensor, ...] = ()
    _flat: tuple[Tensor, ...] = ()
    _materialize = True
    _node: weakref.ref[Node] | None = None  # weak, because the node holds the context
    _origins: tuple[Any, ...] = ()  # where each saved tensor comes from, see `_origin`
    _arguments: tuple[bool, ...] = ()  # which arguments are tensors
    _outputs: tuple[Any, ...] = ()  # shape and type of each output; None for what is no tensor
    _places: tuple[int, ...] = ()  # which outputs get a gradient

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs or other tensors until backward, guarded against changes."""
        self._to_save = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs ``forward`` has written to; it must return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs have no gradient.  Integers have none anyway."""
        for x in tensors:
            if not isinstance(x, Tensor):
                raise RuntimeError(
                    "mark_non_differentiable only accepts variable arguments, but got "
                    f"{type(x).__name__}"
                )
        self._flat = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` is given zeros (the default) or None where no gradient arrived."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` was given, connected to the tape as it was then.

        Raises `RuntimeError` once backward has freed it, or when it was changed in place.
        """
        if self._node is None:
            return self._to_save
        node = self._node()
        if node is None or node.kept is FREED:
            raise _freed("the function" if node is None else node.op.name)  # type: ignore[union-attr]
        version.check(node.kept, node.born, node.op.name)  # type: ignore[union-attr]
        return tuple(map(functools.partial(self._revive, node), node.kept, self._origins))

    def _origin(self, saved: Tensor | None, args: Sequence[Any], made: Sequence[Any]) -> Any:
        """Input i: i; output i: ~i; anything else: its node.  No reference leads to an output."""
        if _index(args, saved) >= 0 and _index(self._dirty, saved) < 0:
            return _index(args, saved)
        if _index(made, saved) >= 0:
            return ~_index(made, saved)
        return None if saved is None else node_of(saved)

    def _revive(self, node: Node, array: Array | None, origin: Any) -> Tensor | None:
        if array is None:
            return None
        if type(origin) is not int:
            return wrap(array, origin)
        if origin < 0:
            return wrap(array, self._edge(node, ~origin) if ~origin in self._places else None)
        parent = node.inputs[origin]
        leaf = parent.kept() if parent is not None and parent.op is None else None
        return leaf if leaf is not None and leaf.array is array else wrap(array, parent)

    def _edge(self, node: Node, place: int) -> Node:
        """The node that output number ``place`` stands on."""
        return node if len(self._places) == 1 else Pick(node, self, place)


class FunctionNode(Node):
    """The node of a call; attributes of its context can be read on it too."""

    __slots__ = ("context",)

    context: FunctionCtx

    def __getattr__(self, name: str) -> Any:
        if name == "context" or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.context, name)


class Pick(FunctionNode):
    """One output of a function that has several; the user takes it for the function's node."""

    __slots__ = ()

    def __init__(self, node: Node, context: FunctionCtx, place: int):
        shape, dtype = context._outputs[place]
        self.born = version.tick()
        self.inputs = (node,)
        self.kept = ()
        self.op = PickOp(node.op.backward_name)  # type: ignore[assignment, union-attr]
        self.settings = (place, len(context._outputs))
        self.shape = shape
        self.dtype = dtype
        self.context = context

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """Those of the function."""
        (node,) = self.inputs
        return node.next_functions  # type: ignore[union-attr]

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook`` when backward passes the function."""
        (node,) = self.inputs
        return node.register_hook(hook)  # type: ignore[union-attr]


class PickOp:
    """The op of a `Pick`."""

    kind = "opaque"
    name = "pick"
    unary = False
    states = 0

    def __init__(self, backward_name: str):
        self.backward_name = backward_name

    def pull(self, g: Any, node: Node) -> tuple[Many]:
        """The gradient of one output among those of all."""
        place, outputs = node.settings
        return (Many(g if i == place else None for i in range(outputs)),)

    pull_tensors = pull


class FunctionOp:
    """The op of a `Function` class: its ``backward`` in both readings of the walk."""

    kind = "opaque"
    unary = False  # what users return may have to be summed
    states = 0

    def __init__(self, function: type[Function]):
        self.function = function
        self.name = function.__name__
        self.backward_name = f"{self.name}Backward"

    def pull(self, g: Any, node: FunctionNode) -> list[Array | None]:
        """The derivatives as arrays; the walk has switched recording off."""
        ds = self._differentiate(g, node, lambda array: wrap(np.array(array)))
        # The user may hold what backward returned: a view says that the memory is not the walk's.
        return [None if d is None else d.array.view() for d in ds]

    def pull_tensors(self, g: Any, node: FunctionNode) -> Gradients:
        """The derivatives as tensors, recorded."""
        return self._differentiate(g, node, lambda tensor: tensor.clone())

    def _differentiate(
        self, g: Any, node: FunctionNode, show: Callable[[Any], Tensor]
    ) -> Gradients:
        ctx = node.context
        (place, *_), count = ctx._places, len(ctx._outputs)
        arrived = g if type(g) is Many else [g if i == place else None for i in range(count)]
        gradients: list[Tensor | None] = []
        for one, known in zip(arrived, ctx._outputs, strict=True):
            if one is not None:  # a copy: other nodes may be given the same memory
                shown = show(one)
                same = shown.array.dtype == known[1]
                gradients.append(shown if same else shown.to(dt.of_array(known[1])))
            elif known is None or not ctx._materialize:
                gradients.append(None)
            else:
                gradients.append(wrap(np.zeros(*known)))
        answer = self._backward()(
            ctx, *([gradients] if self.function.boxed_grads_call else gradients)
        )
        if self.function.clear_saved_tensors_on_access:
            node.kept = FREED
        return self._checked(answer, node)

    def _backward(self) -> Callable[..., Any]:
        backward, vjp = self.function.backward, self.function.vjp
        if backward is Function.backward:
            return vjp
        if vjp is not Function.vjp:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You "
                "should only implement one of them."
            )
        return backward

    def _checked(self, answer: Any, node: FunctionNode) -> Gradients:
        """One gradient per argument, in the argument's type; whatever else is the user's error."""
        ds = answer if isinstance(answer, tuple) else (answer,)
        expected = len(node.inputs)
        if len(ds) < expected or any(d is not None for d in ds[expected:]):
            raise RuntimeError(
                f"function {self.backward_name} returned an incorrect number of gradients "
                f"(expected {expected}, got {len(ds)}): return one for each argument of forward, "
                "None for those that need none"
            )
        found: list[Tensor | None] = []
        for i, (d, parent) in enumerate(zip(ds, node.inputs, strict=False)):
            if d is not None and not node.context._arguments[i]:
                raise RuntimeError(
                    f"function {self.backward_name} returned a gradient different than None at "
                    f"position {i + 1}, but the corresponding forward input was not a Variable"
                )
            if d is None or parent is None:
                found.append(None)
                continue
            if not isinstance(d, Tensor):
                raise RuntimeError(
                    f"expected Variable or None (got {type(d).__name__}): "
                    f"{self.backward_name} must return a tensor for argument {i + 1}"
                )
            if d.array.shape != parent.shape and not _stretched(d.array.shape, parent.shape):
                raise RuntimeError(
                    f"Function {self.backward_name} returned an invalid gradient at index {i} - "
                    f"got {list(d.shape)} but expected shape compatible with {list(parent.shape)}"
                )
            if d.array.dtype != parent.dtype or parent.dtype.names:
                # The gradients of storage types travel in float32.
                d = d.to(dt.float32 if parent.dtype.names else dt.of_array(parent.dtype))
            found.append(d)
        return found


def _stretched(shape: tuple[int, ...], small: tuple[int, ...]) -> bool:
    """Whether ``small`` broadcasts to ``shape``, so that adding up leads back."""
    if len(shape) < len(small):
        return False
    tail = shape[len(shape) - len(small) :]
    return all(n in (1, m) for n, m in zip(small, tail, strict=True))


class Function:
    """An op of one's own: subclass it, write ``forward`` and ``backward``, and call ``apply``.

    ``forward(ctx, *args)`` computes with tensors, unrecorded, and leaves on ``ctx`` what
    ``backward(ctx, *grad_outputs)`` will need.  Backward returns one gradient for each argument,
    None for those that need none; written with tensor ops, it can be differentiated again.
    Instead, ``forward(*args)`` can do without the context and ``setup_context(ctx, inputs,
    output)`` fill it afterwards.  Check the result with `gradcheck`.

    >>> import retrograd as rg
    >>> class Cube(rg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * g
    >>> x = rg.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    boxed_grads_call = False  # whether backward takes one list that it may empty
    clear_saved_tensors_on_access = False  # whether backward frees what it saved even if retained
    generate_vmap_rule = False

    _op: FunctionOp

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        cls._op = FunctionOp(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(
            f"{type(self)} should not be instantiated: its methods are static, so call "
            f"{type(self).__name__}.apply(...) on the class itself.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `RuntimeError`: a function is applied through its class."""
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated: make forward "
            f"static and call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: yours to write."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Fill the context after a ``forward`` that takes none."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Make the inputs' gradients of the outputs': yours to write."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward  # another name for it; write one of the two

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward`` and record it as one op."""
        separate = cls.setup_context is not Function.setup_context
        if separate:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
            if kwargs:
                raise TypeError(
                    f"{cls.__name__}.apply() got keyword-only arguments {sorted(kwargs)}: "
                    "setup_context sees positional ones only"
                )
        nodes = tuple(node_of(x) if isinstance(x, Tensor) else None for x in args)
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(node is not None for node in nodes)
        with no_grad():
            if separate:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
            made = result if isinstance(result, tuple) else (result,)
            outs = _owned(cls, ctx, args, made)
        if recording() is not None and any(ctx.needs_input_grad):
            _record(cls, ctx, args, nodes, made, outs)
        return outs if isinstance(result, tuple) else outs[0]


def _index(items: Sequence[Any], wanted: Any) -> int:
    """Where an object is, by identity (tensors compare element by element); -1 for nowhere."""
    for i, item in enumerate(items):
        if item is wanted:
            return i
    return -1


def _owned(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], made: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The outputs; views in place of inputs that were returned unwritten and of recorded ones."""
    if any(_index(made, x) < 0 or _index(args, x) < 0 for x in ctx._dirty):
        raise RuntimeError(
            "Some elements marked as dirty during the forward method were not returned as output. "
            "The inputs that are modified inplace must all be outputs of the Function."
        )
    outs: list[Any] = []
    for x in made:
        if isinstance(x, list) and any(isinstance(part, Tensor) for part in x):
            raise TypeError(
                f"{cls.__name__}.forward returned a list of tensors, which would get no gradient: "
                "return a tuple"
            )
        taken = isinstance(x, Tensor) and (x.node is not None or _index(args, x) >= 0)
        outs.append(x.view_as(x) if taken and _index(ctx._dirty, x) < 0 else x)
    return tuple(outs)


def _record(
    cls: type[Function],
    ctx: FunctionCtx,
    args: tuple[Any, ...],
    nodes: tuple[Node | None, ...],
    made: tuple[Any, ...],
    outs: tuple[Any, ...],
) -> None:
    """Write a call on the tape: ``made`` is what forward returned, ``outs`` what the user gets."""
    ctx._arguments = tuple(isinstance(x, Tensor) for x in args)
    ctx._outputs = tuple(
        (x.array.shape, x.array.dtype) if isinstance(x, Tensor) else None for x in made
    )
    ctx._places = tuple(
        i
        for i, x in enumerate(made)
        if isinstance(x, Tensor)
        and (x.is_floating_point() or x.is_complex())
        and _index(ctx._flat, x) < 0
    )
    if not ctx._places:
        return
    kept = tuple(_array_to_keep(i, x) for i, x in enumerate(ctx._to_save))
    ctx._origins = tuple(ctx._origin(x, args, made) for x in ctx._to_save)
    dirty = ctx._dirty
    ctx._to_save = ctx._dirty = ctx._flat = ()  # from here on, arrays are enough
    for x in dirty:
        version.note_change(x.array, cls.__name__)
    first = outs[ctx._places[0]].array
    node = new_node(nodes, kept, cls._op, (), first, FunctionNode)  # type: ignore[arg-type]
    node.context = ctx
    ctx._node = weakref.ref(node)
    watch(node, kept, recording())
    for i in ctx._places:
        edge = ctx._edge(node, i)
        if _index(dirty, outs[i]) >= 0:
            adopt(outs[i], edge)
        else:
            outs[i].node = edge


def _array_to_keep(position: int, x: Any) -> Array | None:
    if x is not None and not isinstance(x, Tensor):
        raise TypeError(
            f"save_for_backward can only save variables, but argument {position} is of type "
            f"{type(x).__name__}; set an attribute of ctx instead"
        )
    return None if x is None else x.array


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a ``backward`` that cannot be differentiated itself: trying to raises."""

    @functools.wraps(backward)
    def once(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            answer = backward(ctx, *gradients)
        wanted = any(isinstance(g, Tensor) and g.requires_grad for g in gradients)
        if not (wanted and is_grad_enabled()):
            return answer
        ds = answer if isinstance(answer, tuple) else (answer,)
        with enable_grad():
            marked = [None if d is None else d.detach().requires_grad_() for d in ds]
        return _DifferentiatedOnce.apply(*marked)

    return once


class _DifferentiatedOnce(Function):
    """The identity, for which there is no backward."""

    @staticmethod
    def forward(ctx: Any, *ds: Tensor | None) -> tuple[Tensor | None, ...]:
        return ds

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
