"""The tree of modules: what assignment registers, and the walks over it.

See `members` for where the names and values are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..autograd import Parameter, Tensor
from .members import (
    BUFFER,
    MODULE,
    NOTHING,
    PARAMETER,
    displace,
    members,
    members_property,
    place,
    shown,
)
from .parameter import Buffer

if TYPE_CHECKING:
    from .module import Module


class Tree:
    """The part of a module that knows its parameters, buffers and child modules."""

    _registered: dict[str, dict[str, None]]
    _non_persistent_buffers_set: set[str]

    _parameters = members_property(PARAMETER)
    _buffers = members_property(BUFFER)
    _modules = members_property(MODULE)

    def __setattr__(self, name: str, value: Any) -> None:
        kinds = self.__dict__.get("_registered", NOTHING)
        if isinstance(value, Parameter):
            self._make_room(name, PARAMETER)
            self.register_parameter(name, value)
        elif name in kinds[PARAMETER]:
            self._check_none(name, value, "parameter", "nn.Parameter")
            self.register_parameter(name, value)
        elif isinstance(value, Tree):
            self._make_room(name, MODULE)
            place(self, name, MODULE, shown(self, name, MODULE, value))
        elif name in kinds[MODULE]:
            self._check_none(name, value, "child module", "nn.Module")
            place(self, name, MODULE, shown(self, name, MODULE, value))
        elif isinstance(value, Buffer):
            self._make_room(name, BUFFER)
            self.register_buffer(name, value, value.persistent)
        elif name in kinds[BUFFER]:
            if not isinstance(value, Tensor):
                self._check_none(name, value, "buffer", "Tensor")
            self.register_buffer(name, value, name not in self._non_persistent_buffers_set)
        else:
            object.__setattr__(self, name, value)

    def _make_room(self, name: str, kind: str) -> None:
        """Drop what the attribute `name` was, unless it was of the `kind` it is going to be."""
        if "_registered" not in self.__dict__:
            what = "parameters" if kind == PARAMETER else kind
            raise AttributeError(
                f"cannot assign {what} before Module.__init__() call: make super().__init__() "
                f"the first line of {type(self).__name__}.__init__"
            )
        if name in self.__dict__ and name not in self._registered[kind]:
            delattr(self, name)

    def _check_none(self, name: str, value: Any, what: str, wanted: str) -> None:
        if value is not None:
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as {what} '{name}' ({wanted} or None "
                f"expected): assign one of these, or `del` the attribute first"
            )

    def __getattr__(self, name: str) -> Any:
        # Only a name that is nowhere gets here.
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        if any(name in names for names in self._registered.values()):
            displace(self, name)
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted(key for key in object.__dir__(self) if not key[0].isdigit())

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or None to reserve its name.

        Raises `KeyError` if the name is taken or has a dot, `TypeError` unless given a Parameter.
        """
        self._check_name(name, PARAMETER)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                    "(nn.Parameter or None required): wrap it in nn.Parameter"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method."
                )
            param = shown(self, name, PARAMETER, param)
        place(self, name, PARAMETER, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not learned; kept in `state_dict` if ``persistent``.

        Raises `KeyError` if the name is taken or has a dot, `TypeError` unless given a Tensor.

        >>> import retrograd as rg
        >>> m = rg.nn.Module()
        >>> m.register_buffer("count", rg.tensor(0))
        >>> dict(m.state_dict())
        {'count': tensor(0)}
        """
        self._check_name(name, BUFFER)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(Tensor or None required)"
            )
        place(self, name, BUFFER, shown(self, name, BUFFER, tensor))
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child module; the same as `add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name that need not be a Python name, but has no dot."""
        if module is not None and not isinstance(module, Tree):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, MODULE)
        place(self, name, MODULE, shown(self, name, MODULE, module))

    def _check_name(self, name: str, kind: str) -> None:
        """Raise unless `name` can be given to a member of `kind`."""
        if "_registered" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        # `graph` is no method of PyTorch's: a model written for it may have a member of that name.
        free = name == "graph" and name not in self.__dict__
        if name not in self._registered[kind] and hasattr(self, name) and not free:
            raise KeyError(f"attribute '{name}' already exists")

    # ------------------------------------------------------------ walking the tree

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield ``(dotted.name, module)`` for this module and all below it, each module once.

        >>> import retrograd as rg
        >>> inner = rg.nn.Sequential()
        >>> [name for name, _ in rg.nn.Sequential(inner, inner).named_modules()]
        ['', '0']
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)  # type: ignore[arg-type]
        yield prefix, self  # type: ignore[misc]
        for name in self._registered[MODULE]:
            module = self.__dict__[name]
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield ``(name, module)`` for the modules directly below this one, each once."""
        seen = set()
        for name, module in members(self, MODULE).items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self,
        get_members_fn: Callable[[Any], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """Yield ``(dotted.name, value)`` for the pairs that the function finds on each module."""
        seen: set[int] = set()
        tree = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in tree if recurse else [(prefix, self)]:
            for name, value in get_members_fn(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield ``(dotted.name, parameter)``, a shared parameter once, under its first name."""
        return self._named_members(
            lambda module: members(module, PARAMETER).items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters of this module and of all below it, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield ``(dotted.name, buffer)``, a shared buffer once, under its first name."""
        return self._named_members(
            lambda module: members(module, BUFFER).items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers of this module and of all below it, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """Find a module by its dotted name; `AttributeError` if there is none."""
        found: Module = self  # type: ignore[assignment]
        for name in target.split(".") if target else []:
            found = found._member(name, Tree, "an nn.Module")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """Find a parameter by its dotted name; `AttributeError` if there is none."""
        path, _, name = target.rpartition(".")
        found: Parameter = self.get_submodule(path)._member(name, Parameter, "an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """Find a buffer by its dotted name; `AttributeError` if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found: Tensor = module._member(name, object, "a buffer")
        if name not in module._registered[BUFFER]:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted name; with ``strict`` there must be one already."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Tree):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict or hasattr(parent, name):
            parent._member(name, Tree, "an nn.Module")
        setattr(parent, name, module)

    def _member(self, name: str, of: type, what: str) -> Any:
        if not hasattr(self, name):
            raise AttributeError(f"{self._get_name()} has no attribute `{name}`")
        found = getattr(self, name)
        if not isinstance(found, of):
            raise AttributeError(f"`{name}` is not {what}")
        return found
