"""The tensor: an array, and the tape node that made it.

A `Tensor` has an `array` (NumPy, never a scalar) and a `node`: None when no gradient is wanted, a
leaf node for a tensor the user created with ``requires_grad=True``, the node of an op for its
result.  `source` is None except for a view: then it says of which base, and by which steps.

There are no operators here.  Ops install themselves, as methods and operators, when they are
declared (see `declare.py` and `ops/`); ``methods.pyi`` lists them for editors.  The protocols of
NumPy are in `interop.py`.  Whatever writes to `array` in place goes through `inplace.write`, or
calls `version.note_change`.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes as dt
from . import tape, version
from .device import CPU, Size, device
from .dtypes import dtype
from .format import tensor_repr
from .layout import check_format, lies_in, strided
from .shapes import unwound
from .tape import Node, new_node

if TYPE_CHECKING:  # what declarations install, for those who only read
    from .methods import Methods
else:
    Methods = object

Array = np.ndarray[Any, Any]


class Source:
    """Of what, and how, a tensor is a view.

    ``base`` is no view itself.  ``trail`` leads from it: (trail before, op, settings), () at the
    base; None if nothing was recorded.  ``seen`` is the base's node when the view's own was made:
    an in-place write to the base, or to any view of it, gives the base a new one.
    """

    __slots__ = ("base", "seen", "trail")  # `viewing` fills them, in `call.py`

    base: Tensor
    seen: Node | None
    trail: tuple[Any, ...] | None

    @property
    def steps(self) -> tuple[tuple[Any, ...], ...] | None:  # (op, settings) from the base on
        return None if self.trail is None else tuple(unwound(self.trail))[::-1]

    @property
    def is_one_of_several(self) -> bool:
        """Whether one function returned this view and others of the same base."""
        return any(op.name in ("unbind", "split") for op, _ in self.steps or ())


class Tensor(Methods):
    """A multi-dimensional array that remembers how it was computed.

    ``Tensor(2, 3)`` is uninitialised, ``Tensor([[1, 2]])`` holds data in the default float type;
    `tensor` is the better constructor.

    >>> import retrograd as rg
    >>> x = rg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__dict__", "__weakref__", "_grad", "array", "node", "source")

    array: Array
    node: Node | None
    source: Source | None
    _grad: Tensor | None

    def __new__(cls, *data: Any, device: Any = None, dtype: dtype | None = None) -> Tensor:
        array = _legacy_array(data, dt.get_default_dtype())
        return wrap_as(cls, array)

    # ------------------------------------------------------------ what it is

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return dt.BY_ARRAY[self.array.dtype]

    @property
    def device(self) -> device:
        """Always the CPU."""
        return CPU

    @property
    def ndim(self) -> int:
        """How many dimensions."""
        return self.array.ndim

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.nbytes

    @property
    def is_cuda(self) -> bool:
        """False: there is only the CPU."""
        return False

    is_mps = is_xpu = is_sparse = is_quantized = is_meta = is_cuda
    is_cpu = property(lambda self: True, doc="True: there is only the CPU.")
    layout = property(lambda self: strided, doc="Always `strided`.")
    name = property(lambda self: None, doc="PyTorch's; always None.")

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        from .shapes import axis_of

        axis = axis_of(dim, self.array.ndim)
        if not self.array.ndim:
            raise IndexError("Dimension specified as 0 but tensor has no dimensions")
        return self.array.shape[axis]

    def dim(self) -> int:
        """How many dimensions."""
        return self.array.ndim

    ndimension = dim

    def numel(self) -> int:
        """How many elements."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.array.itemsize

    def is_floating_point(self) -> bool:
        """Whether the elements are real floating numbers."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the elements may be negative."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Always False: `inference_mode` makes ordinary tensors."""
        return False

    def stride(self, dim: int | None = None) -> Any:
        """Elements to skip in memory for one step along each dimension."""
        array = self.array
        if array.size:
            steps = tuple([step // array.itemsize for step in array.strides])
        else:  # NumPy says zero; PyTorch says what a size of one would give
            sizes = [max(n, 1) for n in array.shape]
            steps = tuple([math.prod(sizes[i + 1 :]) for i in range(array.ndim)])
        return steps if dim is None else steps[dim]

    def storage_offset(self) -> int:
        """Elements between the start of the memory and this tensor's first element."""
        start = version.owner(self.array).__array_interface__["data"][0]
        return (self.data_ptr() - start) // self.array.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self.array.__array_interface__["data"][0])

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in row-major order (or another) without gaps."""
        if memory_format is None:
            return self.array.flags.c_contiguous
        return lies_in(self.array, check_format("is_contiguous", memory_format))

    def _is_view(self) -> bool:
        """Whether this tensor was made by looking at another one's memory."""
        return self.source is not None

    @property
    def _version(self) -> int:
        """How often the memory was written in place."""
        return version.version(self.array)

    # ------------------------------------------------------------ gradients

    @property
    def requires_grad(self) -> bool:
        """Whether backward will reach this tensor; settable on a leaf."""
        return node_of(self) is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        node = node_of(self)
        if node is not None and node.op is not None:
            if wanted:
                return
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if not wanted:
            self.node = None
        elif node is None:
            if self.array.dtype.kind in "iub":
                raise RuntimeError(
                    "only Tensors of floating point and complex dtype can require gradients; "
                    f"this one is {self.dtype}: convert it with .float() first"
                )
            self.node = leaf_node(self)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients (or stop asking), in place."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the user, not an op, made this tensor."""
        node = node_of(self)
        return node is None or node.op is None

    @property
    def grad_fn(self) -> Node | None:
        """The tape node that made this tensor; None for a leaf."""
        node = node_of(self)
        return None if node is None or node.op is None else node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` accumulated here; None before."""
        grad: Tensor | None = getattr(self, "_grad", None)
        if grad is None and not self.is_leaf and not self.retains_grad:
            import warnings

            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. "
                "Its .grad attribute won't be populated during autograd.backward(). If you "
                "indeed want the .grad field to be populated for a non-leaf Tensor, use "
                ".retain_grad() on the non-leaf Tensor.",
                UserWarning,
                stacklevel=2,
            )
        return grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type {value!r}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.array.shape != self.array.shape:
                raise RuntimeError(
                    "assigned grad has data of a different size: expected "
                    f"{list(self.array.shape)}, got {list(value.array.shape)}"
                )
            if value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    "assigned grad has data of a different type: expected "
                    f"{self.dtype}, got {value.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this non-leaf."""
        node = node_of(self)
        hooks = tape.tensor_hooks.get(node, {}) if node is not None else {}
        return any(isinstance(hook, _Retain) for hook in hooks.values())

    def retain_grad(self) -> None:
        """Let `backward` fill ``.grad`` of this non-leaf too."""
        node = node_of(self)
        if node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if node.op is not None and not self.retains_grad:
            tape.add_hook(tape.tensor_hooks, node, _Retain(self))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``hook(gradient)`` in backward, once the gradient of this tensor is whole.

        What it returns, unless None, replaces the gradient.  The result's ``remove()`` undoes it.
        """
        node = node_of(self)
        if node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return tape.add_hook(tape.tensor_hooks, node, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Any:
        """Call ``hook(tensor)`` after backward has accumulated into this leaf's ``.grad``."""
        node = node_of(self)
        if node is None or node.op is not None:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        return tape.add_hook(tape.post_hooks, node, hook)

    def detach(self) -> Tensor:
        """The same memory without the tape."""
        return wrap(self.array)

    def detach_(self) -> Tensor:
        """Cut this tensor from the tape that made it."""
        if self.source is not None:
            raise RuntimeError(
                "Can't detach views in-place: use detach() instead, or clone() first."
            )
        self.node = None
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without the tape; assigning replaces the memory."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self.array = value.array
        node = self.node
        if node is not None and node.op is None:
            node.shape, node.dtype = value.array.shape, value.array.dtype

    # ------------------------------------------------------------ out of the engine

    def numpy(self, *, force: bool = False) -> Array:
        """The array itself, sharing memory.

        Raises `RuntimeError` when a gradient is wanted: the array would leave the tape silently.
        """
        if node_of(self) is not None and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        if self.array.dtype.names is not None:
            if self.array.dtype == dt.bfloat16.array:
                raise TypeError("Got unsupported ScalarType BFloat16: NumPy has none; use .float()")
            return self.array["float16"]
        version.expose(self.array)
        return self.array

    def item(self) -> Any:
        """The one element, as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self.array.size} elements cannot be converted to Scalar"
            )
        return dt.widen(self.array).item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return dt.widen(self.array).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.array.size != 1 or self.array.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.array.item())

    def __bool__(self) -> bool:
        if self.array.size == 1:
            return bool(self.item())
        if self.array.size == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        raise RuntimeError(
            "Boolean value of Tensor with more than one value is ambiguous: say which you mean, "
            ".any() or .all()"
        )

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        node = node_of(self)
        kind = type(self)
        return tensor_repr(
            dt.widen(self.array),
            self.dtype,
            kind="tensor" if kind in (Tensor, Parameter) else kind.__name__,
            parameter=isinstance(self, Parameter),
            requires_grad=node is not None,
            grad_fn=None if node is None or node.op is None else node.name(),
        )

    def __format__(self, spec: str) -> str:
        if self.array.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    # ------------------------------------------------------------ copies

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) in memo:
            found: Tensor = memo[id(self)]
            return found
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment; use x.detach().clone() for the values, or deepcopy the "
                "module whose parameters this was computed from."
            )
        made = wrap_as(type(self), self.array.copy(order="K"))
        memo[id(self)] = made
        if self.node is not None:
            made.node = leaf_node(made)
        grad = getattr(self, "_grad", None)
        if grad is not None:
            made._grad = copy.deepcopy(grad, memo)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self.is_leaf:
            raise RuntimeError(
                "Can't pickle a non-leaf Tensor: its tape cannot be stored. Use x.detach()."
            )
        return _rebuild, (type(self), self.array, self.node is not None, self.__dict__)

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)


def _rebuild(cls: type[Tensor], array: Array, requires_grad: bool, attributes: Any) -> Tensor:
    made = wrap_as(cls, array)
    made.node = leaf_node(made) if requires_grad else None
    made.__dict__.update(attributes)
    return made


class _Retain:
    """The hook of `retain_grad`: put the gradient where the user looks for it."""

    def __init__(self, tensor: Tensor):
        self.tensor = weakref.ref(tensor)

    def __call__(self, grad: Tensor) -> None:
        tensor = self.tensor()
        if tensor is not None:
            before = getattr(tensor, "_grad", None)
            tensor._grad = grad if before is None else before + grad


def wrap(array: Array, node: Node | None = None) -> Tensor:
    """A tensor round an array, sharing its memory."""
    made: Tensor = _new(Tensor)
    made.array = array
    made.node = node
    made.source = None
    return made


def wrap_as(cls: type[Any], array: Array) -> Any:
    """`wrap` for a subclass."""
    made = _new(cls)
    made.array = array
    made.node = None
    made.source = None
    return made


_new: Any = object.__new__


def leaf_node(tensor: Tensor) -> Node:
    """The node at which gradients of ``tensor`` end.  It does not keep the tensor alive."""
    return new_node((), weakref.ref(tensor), None, (), tensor.array)


def node_of(tensor: Tensor) -> Node | None:
    """The node of ``tensor``, brought up to date if it is a view of something written since."""
    source = tensor.source
    if source is not None:
        now = source.base.node
        if now is not source.seen and now is not None and now.op is not None:
            if source.steps is not None:
                again = source.base
                _check_may_be_made_again(source)
                with tape.enable_grad():
                    for op, settings in source.steps:
                        again = op.function(again, *settings)
                tensor.node = again.node
                source.seen = now
            elif tape.recording() is not None:
                raise RuntimeError(
                    "A view was created in no_grad mode, or by a custom Function, and its base or "
                    "another view of its base has been modified inplace with grad mode enabled: "
                    "its gradient would be wrong. Make the view where gradients are recorded, "
                    "make it after the write, or clone it."
                )
    return tensor.node


def _check_may_be_made_again(source: Source) -> None:
    """Refuse to bring views up to date that PyTorch refuses, or that no longer make sense."""
    if source.base.source is not None:
        raise RuntimeError(
            "the tensor that this is a view of was given another shape in place (squeeze_, "
            "transpose_, …) and written to: make the view again, or use the out-of-place form"
        )
    if source.is_one_of_several and tape.recording() is not None:
        raise RuntimeError(
            "this view is one output of a function that returns multiple views (unbind, split), "
            "and its base or another view of its base has been modified inplace: make the views "
            "after the write, or write to a clone"
        )


def _legacy_array(data: tuple[Any, ...], default: dtype) -> Array:
    """What ``Tensor(...)`` holds: sizes make uninitialised memory, anything else is data."""
    if not data:
        return np.empty(0, default.array)
    first = data[0]
    if isinstance(first, Size) or (data and all(type(n) is int for n in data)):
        return np.empty(first if isinstance(first, Size) else data, default.array)
    if len(data) > 1:
        raise TypeError(
            f"new(): expected sizes or one sequence of data, got {len(data)} arguments; "
            "use torch.tensor(data)"
        )
    if isinstance(first, Tensor):
        return first.array
    from .creation import array_of

    return array_of(first, default)


class Parameter(Tensor):
    """A tensor that a module learns: a leaf that requires a gradient unless told not to.

    >>> import retrograd as rg
    >>> rg.nn.Parameter(rg.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = wrap(np.empty(0, dt.get_default_dtype().array))
        if not isinstance(data, Tensor):
            raise TypeError(
                f"cannot assign '{type(data).__name__}' object to a Parameter: "
                "give it a tensor, as in Parameter(torch.tensor(data))"
            )
        made: Parameter = wrap_as(cls, data.array)
        made.requires_grad = requires_grad
        return made

    def __init__(self, *args: Any, **kwargs: Any):
        pass
