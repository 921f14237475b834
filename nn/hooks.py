"""Calling a module: straight to its forward, or past its hooks.

Tables of hooks are made when first asked for, and the flag ``_hooked`` says that a module has one,
so a call without hooks is one test.  `everywhere` has the hooks that every module calls.

A module with backward hooks passes its inputs, and then its outputs, through an identity whose
derivative is a `BackwardCall`: the gradients that arrive at the outputs are remembered until those
of the inputs are there, and then the hooks see both.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import Function, Tensor, is_grad_enabled
from ..autograd.hooks import RemovableHandle, add_hook

Hook = Callable[..., Any]
Gradients = tuple[Tensor | None, ...]


class Hooks:
    """An attribute of a module that is a table of hooks, made and kept when first asked for.

    With ``at_call``, a call must look into the table: making it raises the module's ``_hooked``.
    """

    def __init__(self, *, at_call: bool = False):
        self._at_call = at_call

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        if self._at_call:
            module.__dict__["_hooked"] = True
        return module.__dict__.setdefault(self._name, OrderedDict())


class Hooked:
    """The part of a module that is called.

    Hooks on every module come before the module's own.  `register_forward_hook` and its siblings
    return a `RemovableHandle`.
    """

    _hooked: bool = False

    _forward_pre_hooks = Hooks(at_call=True)
    _forward_pre_hooks_with_kwargs = Hooks()
    _forward_hooks = Hooks(at_call=True)
    _forward_hooks_with_kwargs = Hooks()
    _forward_hooks_always_called = Hooks()
    _backward_pre_hooks = Hooks(at_call=True)
    _backward_hooks = Hooks(at_call=True)

    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward``, with the hooks round it."""
        if self._hooked or everywhere._hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = None
        finished: set[tuple[Hooked, int]] = set()
        try:
            for owner, number, hook in self._hooks("_forward_pre_hooks"):
                if number in owner._forward_pre_hooks_with_kwargs:
                    args, kwargs = _checked_inputs(hook(self, args, kwargs), args, kwargs)
                elif (new := hook(self, args)) is not None:
                    args = new if isinstance(new, tuple) else (new,)
            crossing = None
            before, after = self._hooks("_backward_pre_hooks"), self._hooks("_backward_hooks")
            if before or after:
                crossing = BackwardCall(self, [h for *_, h in before], [h for *_, h in after])
                args = crossing.enter(args)
            result = self.forward(*args, **kwargs)
            for owner, number, hook in self._hooks("_forward_hooks"):
                finished.add((owner, number))
                new = _call_forward_hook(owner, number, hook, self, args, kwargs, result)
                result = result if new is None else new
            return result if crossing is None else crossing.leave(result)
        except Exception:
            for owner, number, hook in self._hooks("_forward_hooks"):
                always = number in owner._forward_hooks_always_called
                if not always or (owner, number) in finished:
                    continue
                try:
                    new = _call_forward_hook(owner, number, hook, self, args, kwargs, result)
                    result = result if new is None else new
                except Exception as error:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that "
                        f"was silenced as another error was raised in forward: {error}",
                        stacklevel=3,
                    )
            raise

    def _hooks(self, table: str) -> Sequence[tuple[Hooked, int, Hook]]:
        """The hooks on every module, then this one's: (the table's owner, number, hook)."""
        common, own = everywhere.__dict__.get(table), self.__dict__.get(table)
        if not (common or own):
            return ()
        tables = ((everywhere, common or {}), (self, own or {}))
        return [(owner, number, hook) for owner, t in tables for number, hook in t.items()]

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns replaces the args.

        With ``with_kwargs``: ``hook(module, args, kwargs)``, returning None or ``(args, kwargs)``.
        """
        flags = ((self._forward_pre_hooks_with_kwargs, with_kwargs),)
        return add_hook(self._forward_pre_hooks, hook, prepend=prepend, flags=flags)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; a result replaces the output.

        With ``with_kwargs``: ``hook(module, args, kwargs, output)``.  With ``always_call`` also
        when something raised.

        >>> import retrograd as rg
        >>> double = rg.nn.Sequential()
        >>> with double.register_forward_hook(lambda module, args, output: 2 * output):
        ...     double(rg.ones(2))
        tensor([2., 2.])
        """
        flags = (
            (self._forward_hooks_with_kwargs, with_kwargs),
            (self._forward_hooks_always_called, always_call),
        )
        return add_hook(self._forward_hooks, hook, prepend=prepend, flags=flags)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` in backward; a result replaces ``grad_output``."""
        return add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` once backward has passed the module.

        Both are tuples, with None for what is no tensor or got no gradient; a result replaces
        ``grad_input``.  If no input needs a gradient, it is called at the outputs, with a warning.
        """
        return add_hook(self._backward_hooks, hook, prepend=prepend)

    # PyTorch's older hook saw the gradients of the last op only; it has announced this change.
    register_backward_hook = register_full_backward_hook


def _checked_inputs(
    answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a forward pre-hook that sees keywords makes of the inputs."""
    if answer is None:
        return args, kwargs
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise RuntimeError(
            "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
            f"{answer}."
        )
    new_args, new_kwargs = answer
    return new_args, new_kwargs


def _call_forward_hook(
    owner: Hooked,
    number: int,
    hook: Hook,
    module: Hooked,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
) -> Any:
    if number in owner._forward_hooks_with_kwargs:
        return hook(module, args, kwargs, result)
    return hook(module, args, result)


everywhere = Hooked()  # its hooks are called for every module


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """`Module.register_forward_pre_hook` for every module there is."""
    return everywhere.register_forward_pre_hook(hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """`Module.register_forward_hook` for every module there is."""
    return everywhere.register_forward_hook(hook, with_kwargs=with_kwargs, always_call=always_call)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """`Module.register_full_backward_pre_hook` for every module there is."""
    return everywhere.register_full_backward_pre_hook(hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """`Module.register_full_backward_hook` for every module there is."""
    return everywhere.register_full_backward_hook(hook)


# As on a module: PyTorch's older hook is the full one here.
register_module_backward_hook = register_module_full_backward_hook


# ---------------------------------------------------------------- backward hooks


class BackwardCall:
    """One call of a module that has backward hooks."""

    def __init__(self, module: Hooked, before: list[Hook], after: list[Hook]):
        self._module = module
        self._before = before
        self._after = after
        self._grad_output: Gradients | None = None

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs, such that their gradients come by here."""
        self._n_inputs = len(args)
        crossed, self._inputs = _cross(args, self._at_inputs)
        return crossed

    def leave(self, result: Any) -> Any:
        """The output or outputs, such that their gradients come by here."""
        if not isinstance(result, Tensor | tuple):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=4,
            )
        outputs = result if isinstance(result, tuple) else (result,)
        self._n_outputs = len(outputs)
        crossed, self._outputs = _cross(outputs, self._at_outputs)
        return crossed if isinstance(result, tuple) else crossed[0]

    def _at_outputs(self, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        seen = _spread(gradients, self._outputs, self._n_outputs)
        for hook in self._before:
            seen = _answer(hook(self._module, seen), seen, "pre hook", "grad_output")
        if self._inputs:
            self._grad_output = seen
        elif self._after:
            self._without_inputs(seen)
        return [seen[i] for i in self._outputs]

    def _without_inputs(self, grad_output: Gradients) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module "
            "outputs since no inputs require gradients.",
            stacklevel=2,
        )
        nothing = (None,) * self._n_inputs
        for hook in self._after:
            answer = hook(self._module, nothing, grad_output)
            if answer is not None and any(part is not None for part in answer):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always "
                    "return None or None for all gradients."
                )

    def _at_inputs(self, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if self._grad_output is None:  # a path past the outputs, in a second derivative
            return gradients
        seen = _spread(gradients, self._inputs, self._n_inputs)
        for hook in self._after:
            answer = hook(self._module, seen, self._grad_output)
            seen = _answer(answer, seen, "hook", "grad_input")
        self._grad_output = None
        return [seen[i] for i in self._inputs]


class _Crossing(Function):
    """The identity; its derivative is what ``turn`` makes of the gradients."""

    @staticmethod
    def forward(ctx: Any, turn: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.turn = turn
        ctx.set_materialize_grads(False)
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.turn(gradients))


def _cross(values: tuple[Any, ...], turn: Callable[..., Any]) -> tuple[tuple[Any, ...], list[int]]:
    """Pass what needs a gradient through `_Crossing`; the new values, and which these were."""
    places = [
        i
        for i, value in enumerate(values)
        if isinstance(value, Tensor) and value.requires_grad and is_grad_enabled()
    ]
    if not places:
        return values, places
    new = list(values)
    crossed = _Crossing.apply(turn, *(values[i] for i in places))
    for i, value in zip(places, crossed, strict=True):
        new[i] = value
    return type(values)(*new) if hasattr(values, "_fields") else tuple(new), places


def _spread(gradients: Sequence[Tensor | None], places: list[int], size: int) -> Gradients:
    """The gradients at their places among ``size``, and None elsewhere."""
    at = dict(zip(places, gradients, strict=True))
    return tuple(at.get(i) for i in range(size))


def _answer(answer: Any, seen: Gradients, what: str, of: str) -> Gradients:
    """What a hook returned in place of the gradients it was shown."""
    if answer is None:
        return seen
    new: Gradients = (answer,) if isinstance(answer, Tensor) else tuple(answer)
    if len(new) != len(seen):
        raise RuntimeError(
            f"Backward {what} returned an invalid number of {of}, got {len(new)}, but "
            f"expected {len(seen)}"
        )
    return new
