"""The members of a module: which of its attributes are parameters, buffers and modules.

A module's ``__dict__`` holds the values like any other attribute, and its ``_registered`` the names
of each kind, in order (dictionaries to None: ordered sets).  `place` and `displace` are the only
writers; `Members` shows one kind as a dictionary, so the two cannot disagree.  ``_registered`` is
replaced, never changed: a copy of the ``__dict__``, however made, is a copy of the module.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from ..autograd.hooks import HookTable, RemovableHandle, add_hook

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tree import Tree

    # hook(module, name, value) sees each registration, and may return another value.
    Hook = Callable[[Tree, str, Any], Any]

PARAMETER = "parameter"
BUFFER = "buffer"
MODULE = "module"

NOTHING: dict[str, dict[str, None]] = {PARAMETER: {}, BUFFER: {}, MODULE: {}}  # a new module's


def members(module: Tree, kind: str) -> dict[str, Any]:
    """The members of one kind, by name, in order of registration."""
    names = module._registered[kind]
    if not names:
        return {}
    values = module.__dict__
    return {name: values[name] for name in names}


def place(module: Tree, name: str, kind: str, value: Any) -> None:
    """Make ``value`` the member ``name``; a name that changes its kind moves to the end."""
    if name not in module._registered[kind]:
        if any(name in names for names in module._registered.values()):
            displace(module, name)
        names = module._registered[kind].copy()
        names[name] = None
        module.__dict__["_registered"] = {**module._registered, kind: names}
    module.__dict__[name] = value


def displace(module: Tree, name: str) -> None:
    """Forget the member ``name``."""
    module.__dict__["_registered"] = {
        kind: {other: None for other in names if other != name} if name in names else names
        for kind, names in module._registered.items()
    }
    module._non_persistent_buffers_set.discard(name)
    del module.__dict__[name]


class Members(MutableMapping[str, Any]):
    """The parameters, the buffers or the modules of one module, as a dictionary.

    Writing here registers as assignment does, without assignment's checks.
    """

    __slots__ = ("_kind", "_module")

    def __init__(self, module: Tree, kind: str):
        self._module = module
        self._kind = kind

    def copy(self) -> dict[str, Any]:
        """An ordinary dictionary of the same names and values."""
        return members(self._module, self._kind)

    def __contains__(self, name: object) -> bool:
        return name in self._module._registered[self._kind]

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self._module.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        place(self._module, name, self._kind, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        displace(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.copy())

    def __len__(self) -> int:
        return len(self._module._registered[self._kind])

    def __repr__(self) -> str:
        return repr(self.copy())

    # Views of a copy are faster than those of MutableMapping, and can be reversed.

    def keys(self) -> Any:
        """The names, in order of registration."""
        return self.copy().keys()

    def values(self) -> Any:
        """The values, in order of registration."""
        return self.copy().values()

    def items(self) -> Any:
        """The (name, value) pairs, in order of registration."""
        return self.copy().items()


def members_property(kind: str) -> Any:
    """A property that shows the members of one kind, and takes a mapping in their place."""

    def show(module: Tree) -> Members:
        return Members(module, kind)

    def replace(module: Tree, new: Mapping[str, Any]) -> None:
        new = dict(new)  # it may be a view of what is about to be displaced
        for name in module._registered[kind]:
            del module.__dict__[name]
        module.__dict__["_registered"] = {**module._registered, kind: {}}
        for name, value in new.items():
            place(module, name, kind, value)

    return property(show, replace, doc=f"The members that are a {kind}, as a dictionary.")


# ---------------------------------------------------------------- hooks on registration

_hooks: dict[str, HookTable] = {kind: OrderedDict() for kind in (PARAMETER, BUFFER, MODULE)}


def shown(module: Tree, name: str, kind: str, value: Any) -> Any:
    """What the hooks on registration make of a new member."""
    for hook in list(_hooks[kind].values()):
        answer = hook(module, name, value)
        value = value if answer is None else answer
    return value


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` before any module registers one; it may replace it."""
    return add_hook(_hooks[PARAMETER], hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` before any module registers one; it may replace it."""
    return add_hook(_hooks[BUFFER], hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(module, name, child)`` before any module registers one; it may replace it."""
    return add_hook(_hooks[MODULE], hook)
