"""The optimizer as its user knows it: groups of parameters with options, state, hooks, saving.

What a step does is up to the subclasses: see `elementwise.py` for most of them.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from ..autograd import Tensor, float32
from ..autograd.hooks import HookTable, RemovableHandle, add_hook

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
StateDict = dict[str, Any]

_before_every_step: HookTable = OrderedDict()
_after_every_step: HookTable = OrderedDict()


class _Required:
    """The default of an option that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Changes parameters step by step, so that a loss falls.

    ``params`` is an iterable of tensors, of ``(name, tensor)`` pairs, or of dicts with the key
    ``params`` and options of their own; ``defaults`` are the options of the rest.

    Raises `TypeError` or `ValueError` for anything that cannot be optimized, and where a parameter
    is in two groups.

    A subclass defines ``step``:

    >>> import retrograd as rg
    >>> class Descent(rg.optim.Optimizer):
    ...     @rg.no_grad()
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p -= group["lr"] * p.grad
    >>> w = rg.tensor([3.0], requires_grad=True)
    >>> optimizer = Descent([w], {"lr": 0.1})
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.4000], requires_grad=True)
    """

    state: defaultdict[Any, Any]
    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]

    def __init__(self, params: Params, defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {type(params).__name__}: put it in a list"
            )
        Optimizer.__setstate__(self, {"defaults": defaults, "state": defaultdict(dict)})
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError(
                "optimizer got an empty parameter list: is it given a generator that was used "
                "up, or a module without parameters?"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)  # type: ignore[arg-type]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once.  ``closure`` computes the loss anew, and is returned."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    if p.grad.requires_grad:
                        p.grad = p.grad.detach()
                    p.grad.zero_()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    # ------------------------------------------------------------ groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize the tensors in ``param_group["params"]`` too, with the options in it."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        members = [params] if isinstance(params, Tensor) else list(params)
        names = [m[0] for m in members if isinstance(m, tuple)]
        if names and len(names) != len(members):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        tensors = [m[1] for m in members] if names else members
        param_group["params"] = tensors
        if names:
            param_group["param_names"] = names
        for tensor in tensors:
            self._check_optimizable(tensor)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        if len(tensors) != len(set(tensors)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; list each once",
                stacklevel=_levels_up(),
            )
        self._check_against_others(param_group)
        self.param_groups.append(param_group)

    def _check_optimizable(self, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, but one of the params is "
                f"{type(tensor).__name__}"
            )
        if not (self.defaults.get("differentiable") or tensor.is_leaf or tensor.retains_grad):
            raise ValueError(
                "can't optimize a non-leaf Tensor: it is computed from others; optimize those, "
                "or its .detach().requires_grad_()"
            )

    def _check_against_others(self, new: dict[str, Any]) -> None:
        taken: set[Tensor] = set()
        for group in self.param_groups:
            taken.update(group["params"])
            if ("param_names" in new) != ("param_names" in group):
                kind = "with names" if "param_names" in new else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {kind} to the optimizer"
                )
        if not taken.isdisjoint(new["params"]):
            raise ValueError("some parameters appear in more than one parameter group")

    # ------------------------------------------------------------ saving

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for table in _TABLES:
            self.__dict__.setdefault(table, OrderedDict())
        self.defaults.setdefault("differentiable", False)

    def state_dict(self) -> StateDict:
        """The state by the number of its parameter, and the groups with those numbers.

        Parameters are numbered through the groups.  The tensors are the optimizer's own.

        >>> import retrograd as rg
        >>> w = rg.ones(2, requires_grad=True)
        >>> rg.optim.SGD([w], lr=0.5).state_dict()["param_groups"][0]["params"]
        [0]
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[Any, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            for number, p in enumerate(group["params"], start):
                numbers.setdefault(p, number)
            packed["params"] = [numbers[p] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        state = {
            numbers[key] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        made: StateDict = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            made = _or_else(hook(self, made), made)
        return made

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over options and state that `state_dict` returned; tensors are copied.

        Raises `ValueError` where the groups are not as many, or not as large, as they were.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = _or_else(hook(self, state_dict), state_dict)
        groups, saved = self.param_groups, deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(saved)} for the {len(groups)} of the optimizer"
            )
        owners: dict[Any, tuple[Tensor, dict[str, Any]]] = {}  # number → parameter, group
        for i, (group, new) in enumerate(zip(groups, saved, strict=True)):
            if len(group["params"]) != len(new["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: group {i} has {len(group['params'])} parameters, and "
                    f"{len(new['params'])} in the state dict"
                )
            for number, p in zip(new["params"], group["params"], strict=True):
                owners[number] = p, new
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            p, new = owners.get(key, (key, {}))
            state[p] = _adapted(value, p, new) if key in owners else value
        for group, new in zip(groups, saved, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    # ------------------------------------------------------------ hooks

    _optimizer_step_pre_hooks: HookTable
    _optimizer_step_post_hooks: HookTable
    _optimizer_state_dict_pre_hooks: HookTable
    _optimizer_state_dict_post_hooks: HookTable
    _optimizer_load_state_dict_pre_hooks: HookTable
    _optimizer_load_state_dict_post_hooks: HookTable

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ones."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` before `state_dict`."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend=prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after `state_dict`; a result replaces it."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend=prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; a result replaces what is loaded."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend=prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend=prepend)


_TABLES = tuple(name for name in Optimizer.__annotations__ if name.startswith("_optimizer_"))


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """`Optimizer.register_step_pre_hook` for every optimizer there is."""
    return add_hook(_before_every_step, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """`Optimizer.register_step_post_hook` for every optimizer there is."""
    return add_hook(_after_every_step, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """A ``step`` with the hooks round it; one that a subclass's own step calls is left alone."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        before, after = self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks
        if not (before or after or _before_every_step or _after_every_step):
            return step(self, *args, **kwargs)
        if type(self).step is not hooked:
            return step(self, *args, **kwargs)
        given: tuple[Any, ...] = (self, *args)
        for hook in (*_before_every_step.values(), *before.values()):
            answer = hook(self, given, kwargs)
            if answer is None:
                continue
            if not (isinstance(answer, tuple) and len(answer) == 2):
                raise RuntimeError(
                    f"{step.__qualname__}: a step pre-hook must return None or a tuple of "
                    f"(new_args, new_kwargs), but got {answer}."
                )
            given, kwargs = answer
        result = step(*given, **kwargs)
        for hook in (*after.values(), *_after_every_step.values()):
            hook(self, given, kwargs)
        return result

    return hooked


def _or_else(answer: Any, before: StateDict) -> StateDict:
    return before if answer is None else answer


def _adapted(value: Any, p: Tensor, group: Mapping[str, Any], key: Any = None) -> Any:
    """A copy of loaded state, in the parameter's type; ``step`` counts and keeps its own."""
    if isinstance(value, Tensor):
        if key == "step":
            keep = not (group.get("capturable") or group.get("fused"))
            return value.detach().clone() if keep else value.to(float32, copy=True)
        return value.to(p.dtype if p.is_floating_point() else value.dtype, copy=True)
    if isinstance(value, dict):
        return {k: _adapted(v, p, group, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        parts: Iterator[Any] = (_adapted(v, p, group) for v in value)
        return type(value)(parts)  # type: ignore[call-arg]
    return value


def _levels_up() -> int:
    """How many frames up the first caller outside this package is."""
    import sys

    package = __name__.partition(".")[0]
    level, frame = 0, sys._getframe(0)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    return level


# ---------------------------------------------------------------- options

_SPOKEN = {"lr": "learning rate", "eps": "epsilon value"}


def check_options(*, betas: Any = None, **options: Any) -> None:
    """Raise `ValueError` for a negative option, or a decay rate that is not in [0, 1)."""
    for name, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"Tensor {name} must be 1-element")
        if not value >= 0.0:
            raise ValueError(f"Invalid {_SPOKEN.get(name, name + ' value')}: {value}")
    for i, beta in enumerate(betas or ()):
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element")
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
