"""Parameters that are functions of other parameters.

`register_parametrization` takes a parameter or buffer off its module and puts a property in its
place, on a class of the module's own: reading it computes ``parametrizations.<name>`` from the
original, writing it sets the original through the parametrization's ``right_inverse``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from ...autograd import Parameter, Tensor, no_grad
from ..container import ModuleDict, ModuleList
from ..module import Module

M = TypeVar("M", bound=Module)

_cached: dict[tuple[int, str], Tensor] = {}
_cache_depth = 0


@contextmanager
def cached() -> Iterator[None]:
    """Within it, each parametrized tensor is computed once.

    >>> import retrograd as rg
    >>> layer = rg.nn.utils.parametrizations.spectral_norm(rg.nn.Linear(3, 3))
    >>> with rg.nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cached.clear()


def _register(module: Module, name: str, value: Tensor) -> None:
    """Make a tensor a parameter or a buffer, whichever it is."""
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _inverse(module: Module) -> Callable[..., Any] | None:
    return getattr(module, "right_inverse", None)


class ParametrizationList(ModuleList):
    """Parametrizations in the order in which they are applied, and the original tensor or tensors.

    The original is ``original``, or ``original0``, ``original1``, … where the first one's
    ``right_inverse`` returns several.
    """

    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                inverse = _inverse(module)
                if inverse is not None:
                    with suppress(NotImplementedError):
                        new = inverse(new)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if isinstance(new, Tensor):
            self._hold(original, new)
        else:
            self._hold_several(original, new)
        if not unsafe:
            _check_same("tensor", "A parametrization", self(), shape, dtype)

    def _hold(self, original: Tensor, new: Tensor) -> None:
        if original.dtype != new.dtype:
            raise ValueError(
                "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
            )
        original.data = new.detach()
        _register(self, "original", original)

    def _hold_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for i, value in enumerate(new):
            if not isinstance(value, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                    f"tuple...). Got element {i} of the sequence with type {type(value).__name__}."
                )
            if isinstance(original, Parameter):
                value = Parameter(value, original.requires_grad)
            value.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", value)

    def right_inverse(self, value: Any) -> None:
        """Set the original such that the parametrized tensor becomes ``value``.

        Raises `RuntimeError` if a parametrization has no ``right_inverse``, `ValueError` if one
        returns what does not fit.
        """
        with no_grad():
            for module in reversed(list(self)):
                inverse = _inverse(module)
                if inverse is None:
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(
                    f"`right_inverse` should return a tensor. Got {type(value).__name__}"
                )
            value = [value]
        elif not isinstance(value, Sequence):
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}."
            )
        elif len(value) != self.ntensors:
            raise ValueError(
                "'right_inverse' must return a sequence of tensors of length "
                f"{self.ntensors}. Got a sequence of length {len(value)}."
            )
        for name, new in zip(self._names(), value, strict=True):
            original = getattr(self, name)
            if not isinstance(new, Tensor):
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors. Got {name} of type "
                    f"{type(new).__name__}."
                )
            if new.dtype != original.dtype:
                raise ValueError(
                    f"The tensor returned by `right_inverse` has dtype {new.dtype} while "
                    f"`{name}` has dtype {original.dtype}"
                )
            original.data = new.detach()

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    def forward(self) -> Any:
        """The parametrized tensor."""
        first, *rest = self
        out = first(*(getattr(self, name) for name in self._names()))
        for module in rest:
            out = module(out)
        return out


def _check_same(what: str, who: str, new: Any, shape: Any, dtype: Any) -> None:
    """Raise `ValueError` unless a parametrization keeps shape and dtype."""
    if not isinstance(new, Tensor):
        raise ValueError(f"{who} must return a tensor. Got {type(new).__name__}.")
    for fact, before, after in (("dtype", dtype, new.dtype), ("shape", shape, new.shape)):
        if before != after:
            raise ValueError(
                f"Registering a parametrization may not change the {fact} of the {what}, unless "
                f"`unsafe` flag is enabled.\nunparametrized {fact}: {before}\n"
                f"parametrized {fact}: {after}"
            )


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    if id(self) not in memo:
        made = memo[id(self)] = object.__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return memo[id(self)]


def _getstate(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
        "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
    )


def _give_own_class(module: Module) -> None:
    """Make the module the only one of its class, to put properties there."""
    cls = type(module)
    methods: dict[str, Any] = {"__getstate__": _getstate}
    if not hasattr(cls, "__deepcopy__"):
        methods["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), methods)


def _property_of(name: str) -> property:
    def read(self: Any) -> Any:
        if not _cache_depth:
            return self.parametrizations[name]()
        key = id(self), name
        if key not in _cached:
            _cached[key] = self.parametrizations[name]()
        return _cached[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def register_parametrization(
    module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> M:
    """Make a parameter or buffer of a module a function of what it was.

    The function is a module; with a method ``right_inverse`` the tensor may be assigned to, and
    keeps its value now.  Several are applied one after the other.  With ``unsafe`` the tensor may
    change its shape or dtype.

    Raises `ValueError` if it does without, or if there is no such tensor.

    >>> import retrograd as rg
    >>> class Symmetric(rg.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = rg.nn.Linear(3, 3)
    >>> _ = rg.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all()), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        found: ParametrizationList = module.parametrizations[tensor_name]
        found.append(parametrization)
        found.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_own_class(module)
            module.parametrizations = ModuleDict()
        if hasattr(module, tensor_name):
            raise AssertionError(f"Module already has an attribute named '{tensor_name}'")
        setattr(type(module), tensor_name, _property_of(tensor_name))
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    return module


def _check_next(module: Module, name: str, parametrization: Module) -> None:
    """Raise `ValueError` unless one more parametrization, and its inverse, keep shape and dtype."""
    now = getattr(module, name)
    then = parametrization(now)
    _check_same("tensor", "A parametrization", then, now.shape, now.dtype)
    inverse = _inverse(parametrization)
    if inverse is None:
        return
    try:
        back = inverse(then)
    except NotImplementedError:
        return
    if not isinstance(back, Tensor):
        raise ValueError(
            "parametrization.right_inverse must return a tensor. Got: " + type(back).__name__
        )
    for fact in ("dtype", "shape"):
        if getattr(back, fact) != getattr(now, fact):
            raise ValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {fact} "
                f"as module.{name}, unless the `unsafe` flag is enabled.\n"
                f"module.{name}.{fact}: {getattr(now, fact)}\n"
                f"returned {fact}: {getattr(back, fact)}"
            )


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether any tensor of the module, or the named one, is parametrized."""
    found = module.__dict__.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Make the tensor a plain parameter or buffer again.

    It keeps its value, or with ``leave_parametrized=False`` gets the original's.

    Raises `ValueError` if it is not parametrized, or if there are several originals to go back to.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    found: ParametrizationList = module.parametrizations[tensor_name]
    original: Any
    if found.is_tensor:
        original = found.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give ``to_module`` the parametrizations and originals of the other, or of one tensor of it.

    They are shared.
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        found: ParametrizationList = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in found:
            register_parametrization(to_module, name, parametrization)
        for original in found._names():
            setattr(to_module.parametrizations[name], original, getattr(found, original))
    return to_module
