"""What a module holds: parameters, buffers, and both before their shape is known.

An uninitialised tensor has a dtype and nothing else.  Its memory hides behind an ``array`` that
raises, so that every op refuses it, until `materialize` gives it a shape and makes it an ordinary
parameter or tensor, in place: an optimizer that holds it goes on holding it.
"""

from __future__ import annotations

import weakref
from builtins import int as Int
from typing import Any, Self

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty
from ..autograd.tape import new_node
from ..autograd.tensor import wrap, wrap_as

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]

_array: Any = Tensor.__dict__["array"]  # the slot that `UninitializedTensorMixin.array` hides


class Buffer(Tensor):
    """A tensor that becomes a buffer by plain assignment to an attribute of a module.

    >>> import retrograd as rg
    >>> m = rg.nn.Module()
    >>> m.mean = rg.nn.Buffer(rg.zeros(2), persistent=False)
    >>> [name for name, _ in m.named_buffers()], list(m.state_dict())
    (['mean'], [])
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        """Share the memory of ``data``."""
        made: Buffer = wrap_as(cls, (empty(0) if data is None else data).array)
        made.persistent = persistent
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


class UninitializedTensorMixin(Tensor):
    """The part of a parameter or buffer without a shape: it refuses everything but `materialize`.

    Its dtype can be read and changed.  Raises `RuntimeError` where the shape is asked for, and
    `ValueError` where an op asks for the values.
    """

    __slots__ = ()

    cls_to_become: type[Tensor]

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None
    ) -> UninitializedTensorMixin:
        """Nothing yet, of a dtype."""
        made: UninitializedTensorMixin = wrap_as(cls, empty(0, device=device, dtype=dtype).array)
        made.requires_grad = requires_grad
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter or tensor of ``shape``, with whatever is in its memory.

        >>> import retrograd as rg
        >>> weight = rg.nn.UninitializedParameter()
        >>> weight
        <UninitializedParameter>
        >>> weight.materialize((2, 3))
        >>> type(weight).__name__, weight.shape
        ('Parameter', torch.Size([2, 3]))
        """
        self.data = empty(shape, device=device, dtype=self.dtype if dtype is None else dtype)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    def _refuse(self) -> Any:
        raise ValueError(
            f"Attempted to use an uninitialized parameter ({type(self).__name__}). This error "
            "happens when you are using a `LazyModule` or explicitly manipulating "
            f"`torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call "
            "`forward` with a dummy batch to initialize the parameters before calling torch "
            "functions"
        )

    array = property(_refuse, _array.__set__, doc="Raises `ValueError`: there are no values.")

    def _shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    shape = property(_shape, doc="Raises `RuntimeError`: there is none yet.")

    def share_memory_(self) -> Any:
        """Raise `RuntimeError`: there is nothing to share."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    # ------------------------------------------------------------ what it does have

    @property
    def data(self) -> Tensor:
        """An empty tensor of the dtype; assigning replaces it."""
        return wrap(_array.__get__(self))

    @data.setter
    def data(self, value: Tensor) -> None:
        value = value.data if is_lazy(value) else value
        Tensor.data.__set__(self, value)  # type: ignore[attr-defined]

    @property
    def dtype(self) -> Any:
        """The type that the elements will have."""
        return self.data.dtype

    @property
    def requires_grad(self) -> bool:
        """Whether it will require a gradient; settable."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.data.requires_grad_(wanted)  # raises for integers
        self.node = (
            new_node((), weakref.ref(self), None, (), _array.__get__(self)) if wanted else None
        )

    def size(self, dim: Int | None = None) -> Any:
        """The size of the empty memory: PyTorch allows this one question."""
        return self.data.size(dim)

    def _converted(name: str) -> Any:  # type: ignore[misc] # noqa: N805 - makes the methods below
        def form(self: Any, *args: Any, **kwargs: Any) -> Any:
            made = getattr(self.data, name)(*args, **kwargs)
            return type(self)(self.requires_grad and made.is_floating_point(), dtype=made.dtype)

        form.__name__ = name
        form.__doc__ = f"Another after `Tensor.{name}`; it is uninitialised too."
        return form

    to, cpu, half, bfloat16 = map(_converted, ("to", "cpu", "half", "bfloat16"))
    float, double, int, long = map(_converted, ("float", "double", "int", "long"))
    short, char = map(_converted, ("short", "char"))

    def __repr__(self, *, tensor_contents: object = None) -> str:  # type: ignore[override]
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[Int, Any]) -> Self:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)
        return memo[id(self)]  # type: ignore[no-any-return]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, None, self.dtype)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter without a shape, until `materialize` makes it a `Parameter`."""

    __slots__ = ()

    cls_to_become = Parameter

    def __new__(
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> UninitializedParameter:
        """Nothing yet, of a dtype."""
        return super().__new__(cls, requires_grad, device, dtype)  # type: ignore[return-value]


class UninitializedBuffer(UninitializedTensorMixin, Buffer):
    """A buffer without a shape, until `materialize` makes it a plain tensor."""

    __slots__ = ()

    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> UninitializedBuffer:
        """Nothing yet, of a dtype."""
        made: Any = super().__new__(cls, requires_grad, device, dtype)
        made.persistent = persistent
        return made  # type: ignore[no-any-return]


def is_lazy(param: Any) -> bool:
    """Whether this is a parameter or buffer without a shape yet."""
    return isinstance(param, UninitializedTensorMixin)
