"""`Module`: a function with parameters, and the tree that assignment makes of them.

Assign a `Parameter`, a `Module` or (through `Module.register_buffer`) a tensor to an attribute, and
the module knows it.  The value is an ordinary attribute of the instance, and the names of each kind
are kept beside it (see `members`): so ``self.weight`` in a forward takes 16 ns, where PyTorch's
``__getattr__`` takes 355.  A call without hooks adds 130 ns to its forward; PyTorch's adds 475 (see
`hooks`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Self

from ..autograd import Picture, Tensor, bfloat16, float16, float32, float64, no_grad
from ..autograd import device as Device
from ..autograd import dtype as Dtype
from ..autograd.creation import empty_like
from ..autograd.draw import graph_of_call
from .hooks import (
    Hooked,
    register_module_backward_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from .members import (
    BUFFER,
    MODULE,
    NOTHING,
    PARAMETER,
    members,
    place,
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from .state import State

# PyTorch keeps the registrations for all modules here too.
__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]


def _forward_unimplemented(self: Module, *input: Any) -> None:
    """Compute the output from the input; every subclass defines its own."""
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


class Module(Hooked, State):
    """The base of every layer and model: define ``__init__`` and ``forward``, call the instance.

    ``training`` says whether the module is in training mode (see `train` and `eval`).

    >>> import retrograd as rg
    >>> class Scale(rg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = rg.nn.Parameter(rg.tensor(3.0))
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> scale = Scale()
    >>> scale(rg.ones(2))
    tensor([3., 3.], grad_fn=<MulBackward0>)
    >>> dict(scale.named_parameters())
    {'factor': Parameter containing:
    tensor(3., requires_grad=True)}
    """

    call_super_init: bool = False  # True passes __init__'s arguments on to the next base class

    dump_patches: bool = False  # PyTorch's, without meaning

    training: bool

    forward: Callable[..., Any] = _forward_unimplemented

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if (args or kwargs) and not self.call_super_init:
            given = f"argument '{next(iter(kwargs))}'" if kwargs else f"{len(args)} argument(s)"
            raise TypeError(
                f"{type(self).__name__}.__init__() got {given}, but Module takes none: "
                "call super().__init__() without arguments"
            )
        self.__dict__.update(
            training=True, _registered=NOTHING, _non_persistent_buffers_set=set(), _hooked=False
        )
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # ------------------------------------------------------------ the whole tree at once

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call ``fn`` on every module below, and then on this one: to initialise weights, say."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the memory of every parameter, gradient and buffer by what `fn` makes of it."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for parameter in members(self, PARAMETER).values():
                if parameter is not None:
                    gradient = parameter.grad
                    parameter.data = fn(parameter)
                    if gradient is not None:
                        gradient.data = fn(gradient)
            for name, buffer in members(self, BUFFER).items():
                if buffer is not None:
                    place(self, name, BUFFER, fn(buffer))
        return self

    def train(self, mode: bool = True) -> Self:
        """Put the tree in training mode, or with False in evaluation mode."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Put the tree in evaluation mode: dropout off, batch norm on its running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            gradient = parameter.grad
            if set_to_none or gradient is None:
                parameter.grad = None
                continue
            if gradient.grad_fn is not None:
                gradient.detach_()
            gradient.requires_grad_(False).zero_()

    def to(
        self,
        device: Any = None,
        dtype: Any = None,
        non_blocking: bool = False,
        *,
        tensor: Tensor | None = None,
        memory_format: Any = None,
    ) -> Self:
        """Convert floating and complex parameters and buffers: ``to(dtype)``, ``to(tensor)``.

        With ``memory_format`` those of four or five dimensions are laid out in it.  A device can
        only be the CPU, and like ``non_blocking`` changes nothing.  Raises `RuntimeError` for
        another device, `TypeError` for an integer dtype.
        """
        if isinstance(device, Tensor):
            device, tensor = None, device
        elif isinstance(device, Dtype):
            device, dtype = None, device
        if tensor is not None:
            dtype = tensor.dtype
        if device is not None:
            Device(device)
        if dtype is None and memory_format is None:
            return self
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={dtype}"
            )

        def moved(t: Tensor) -> Tensor:
            form = memory_format if memory_format and t.ndim in (4, 5) else None
            kind = dtype if t.is_floating_point() or t.is_complex() else None
            return t.to(dtype=kind, memory_format=form)  # type: ignore[no-any-return]

        return self._apply(moved)

    def _cast(self, dtype: Dtype) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Self:
        """Convert floating parameters and buffers to float32."""
        return self._cast(float32)

    def double(self) -> Self:
        """Convert floating parameters and buffers to float64."""
        return self._cast(float64)

    def half(self) -> Self:
        """Convert floating parameters and buffers to float16."""
        return self._cast(float16)

    def bfloat16(self) -> Self:
        """Convert floating parameters and buffers to bfloat16."""
        return self._cast(bfloat16)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self) -> Self:
        """Nothing: everything is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Raise `RuntimeError`: there is only the CPU."""
        return self.to("cuda")

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give all parameters and buffers new memory, with whatever is in it."""
        Device(device)
        return self._apply(empty_like, recurse)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: forward stays as it is.  The arguments are PyTorch's, and ignored."""

    ipu = xpu = mtia = cuda

    def share_memory(self) -> Self:
        """`Tensor.share_memory_` on all parameters and buffers."""
        return self._apply(lambda t: t.share_memory_())

    # ------------------------------------------------------------ a picture

    def graph(
        self,
        *args: Any,
        overlay: str | None = None,
        view: str = "forward",
        depth: int | None = None,
        collapse: Any = None,
        roll: bool | None = None,
        backward: bool | None = None,
        max_nodes: int | None = None,
        **kwargs: Any,
    ) -> Picture:
        """Call the module and draw what happened: its modules, ops, source lines, times and values.

        Arguments are the module's own; the options are those of `retrograd.draw` (give forward's
        arguments of these names by position).  If forward raises, the picture ends at the op that
        failed, and its ``error`` is the exception.

        >>> import retrograd as rg
        >>> rg.nn.Sequential(rg.nn.Tanh(), rg.nn.Linear(2, 1)).graph(rg.ones(3, 2))
        <Picture: Sequential: 1 op, 2 leaves, 3 parameters; keeps 24 B in 1 buffer>
        """
        options = {"overlay": overlay, "view": view, "depth": depth, "collapse": collapse,
                   "roll": roll, "backward": backward, "max_nodes": max_nodes}  # fmt: skip
        try:
            inputs = dict(inspect.signature(self.forward).bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):  # forward itself will complain
            inputs = {f"input {k}": x for k, x in enumerate(args)}
        return graph_of_call(self, args, kwargs, inputs, **options)

    # ------------------------------------------------------------ copies and text

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What to print between the parentheses; subclasses say their settings."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not members(self, MODULE):
            return f"{self._get_name()}({extra})"
        lines += [f"({k}): {indent(repr(m))}" for k, m in members(self, MODULE).items()]
        return block(self._get_name(), lines)


def block(name: str, lines: list[str]) -> str:
    """A module's text: its name, and in parentheses a line or indented lines for each part."""
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)" if lines else f"{name}()"


def indent(text: str) -> str:
    """`text` with all lines but the first two columns to the right."""
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line if line.strip() else "" for line in rest)])
