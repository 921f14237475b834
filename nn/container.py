"""Modules that hold modules or parameters: in a row, in a list, in a dictionary.

They are the list or dictionary they say they are; what they hold is registered, under its index or
its key, so that it is found by ``parameters()``, moved, saved and printed.
"""

from __future__ import annotations

import operator
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Self

from ..autograd import Parameter, Tensor
from .members import MODULE, members
from .module import Module, block, indent


class _Row(Module):
    """Modules by position.  Their keys are their positions, unless someone chose others."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(members(self, MODULE).values())

    def _key(self, index: int) -> str:
        keys: list[str] = list(self._modules)
        index = operator.index(index)
        if not -len(keys) <= index < len(keys):
            raise IndexError(f"index {index} is out of range")
        return keys[index]

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return self._slice(idx)
        return self._modules[self._key(idx)]

    def _slice(self, idx: slice) -> Self:
        return type(self)(list(self._modules.values())[idx])

    def __setitem__(self, idx: int, module: Module) -> None:
        setattr(self, self._key(idx), module)

    def __delitem__(self, idx: int | slice) -> None:
        keys = list(self._modules)[idx] if isinstance(idx, slice) else [self._key(idx)]
        for key in keys:
            delattr(self, key)
        self._number(list(self))

    def _number(self, modules: list[Module]) -> None:
        self._modules = {str(i): module for i, module in enumerate(modules)}

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at ``index``; `IndexError` if that is out of range."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(f"Index out of range: {index}")
        modules.insert(index, module)
        self._number(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{self._get_name()}.extend should be called with an iterable, but got "
                f"{type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Remove what is at an index or a slice, and return it."""
        removed = self[key]
        del self[key]
        return removed


class Container(Module):
    """A module with children given by name; PyTorch's old base class, which warns."""

    def __init__(self, **kwargs: Any) -> None:
        warnings.warn(
            "`nn.Container` is deprecated. All of its functionality is now implemented in "
            "`nn.Module`. Subclass that instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__()
        for key, value in kwargs.items():
            self.add_module(key, value)


class Sequential(_Row):
    """Modules called one after the other, each with what the one before returned.

    Takes the modules, or one ``OrderedDict`` of them to give them names.

    >>> import retrograd as rg
    >>> from collections import OrderedDict
    >>> rg.nn.Sequential(OrderedDict(first=rg.nn.Sequential(), second=rg.nn.Sequential()))
    Sequential(
      (first): Sequential()
      (second): Sequential()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for key, module in args[0].items():
                self.add_module(key, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        """Pass the input through all modules."""
        for module in self:
            input = module(input)
        return input

    def _slice(self, idx: slice) -> Self:
        return type(self)(OrderedDict(list(self._modules.items())[idx]))

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *_checked_sequential(other))

    def __iadd__(self, other: Sequential) -> Self:
        return self.extend(_checked_sequential(other))

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*list(self) * self._checked_factor(other))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        return self.extend(list(self) * (self._checked_factor(other) - 1))

    def _checked_factor(self, factor: int) -> int:
        if not isinstance(factor, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(factor)}")
        if factor <= 0:
            raise ValueError(f"Non-positive multiplication factor {factor} for {type(self)}")
        return factor


def _checked_sequential(other: Any) -> Sequential:
    if not isinstance(other, Sequential):
        raise ValueError(
            f"add operator supports only objects of Sequential class, but {type(other)} is given."
        )
    return other


class ModuleList(_Row):
    """A list of modules, to be called as the owner's forward likes.

    >>> import retrograd as rg
    >>> rg.nn.ModuleList([rg.nn.Sequential() for _ in range(3)])
    ModuleList(
      (0-2): 3 x Sequential()
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self += modules

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def __repr__(self) -> str:
        lines, start = [], 0
        for text, group in groupby(map(repr, self)):
            stop = start + len(list(group))
            times = f"{start}" if stop == start + 1 else f"{start}-{stop - 1}"
            count = "" if stop == start + 1 else f"{stop - start} x "
            lines.append(indent(f"({times}): {count}{text}"))
            start = stop
        return block(self._get_name(), lines)


class _Dictionary(Module):
    """What the dictionaries share, in terms of their keys and of reading and writing an item."""

    if TYPE_CHECKING:

        def keys(self) -> Any: ...
        def __getitem__(self, key: str) -> Any: ...
        def __setitem__(self, key: str, value: Any) -> None: ...
        def __delitem__(self, key: str) -> None: ...

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def values(self) -> Any:
        """The values, in order of insertion."""
        return {key: self[key] for key in self.keys()}.values()

    def items(self) -> Any:
        """The (key, value) pairs, in order of insertion."""
        return {key: self[key] for key in self.keys()}.items()

    def pop(self, key: str) -> Any:
        """Remove a key and return its value."""
        removed = self[key]
        del self[key]
        return removed

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self.keys()):
            del self[key]

    def update(self, given: Any) -> None:
        """Enter the items of a mapping or of an iterable of (key, value) pairs."""
        name = self._get_name()
        if not isinstance(given, Iterable):
            raise TypeError(
                f"{name}.update should be called with an iterable of key/value pairs, but got "
                f"{type(given).__name__}"
            )
        if isinstance(given, Mapping | _Dictionary):
            for key, value in given.items():
                self[key] = value
            return
        for i, pair in enumerate(given):
            if not isinstance(pair, Iterable):
                raise TypeError(
                    f"{name} update sequence element #{i} should be Iterable; is "
                    f"{type(pair).__name__}"
                )
            pair = tuple(pair)
            if len(pair) != 2:
                raise ValueError(
                    f"{name} update sequence element #{i} has length {len(pair)}; 2 is required"
                )
            self[pair[0]] = pair[1]


class ModuleDict(_Dictionary):
    """A dictionary of modules.

    A key cannot be the name of an attribute, such as ``"keys"``: that raises `KeyError`.

    >>> import retrograd as rg
    >>> rg.nn.ModuleDict({"left": rg.nn.Sequential(), "right": rg.nn.Sequential()})
    ModuleDict(
      (left): Sequential()
      (right): Sequential()
    )
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def keys(self) -> Any:
        """The keys, in order of insertion."""
        return self._modules.keys()

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]


class ParameterList(Module):
    """A list of parameters; a tensor put into it becomes one, other values stay as they are.

    >>> import retrograd as rg
    >>> rg.nn.ParameterList([rg.zeros(2, 3), "a note"])
    ParameterList(
        (0): Parameter containing: [torch.float32 of size 2x3]
        (1): Object of type: str
    )
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _key(self, index: int) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range")
        return str(index % len(self))

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)(self[i] for i in range(*idx.indices(len(self))))
        return getattr(self, self._key(idx))

    def __setitem__(self, idx: int, param: Any) -> None:
        setattr(self, self._key(idx), _as_parameter(param))

    def append(self, value: Any) -> Self:
        """Add a value at the end."""
        self._size += 1
        self[-1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add the values of an iterable (which a tensor is not, here) at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                "ParameterList.extend should be called with an iterable, but got "
                f"{type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    __iadd__ = extend

    def extra_repr(self) -> str:
        """One line for each value."""
        return "\n".join(_describe(i, value, "dtype") for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `RuntimeError`: there is nothing to call."""
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(_Dictionary):
    """A dictionary of parameters; a tensor put into it becomes one, other values stay.

    A plain ``dict`` is entered sorted by key, as PyTorch does; an ``OrderedDict`` in its order.

    >>> import retrograd as rg
    >>> rg.nn.ParameterDict({"b": rg.zeros(2), "a": rg.zeros(3)})
    ParameterDict(
        (a): Parameter containing: [torch.FloatTensor of size 3]
        (b): Parameter containing: [torch.FloatTensor of size 2]
    )
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def keys(self) -> Any:
        """The keys, in order of insertion."""
        return self._keys.keys()

    def __getitem__(self, key: str) -> Any:
        return getattr(self, _checked_key(key))

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, _checked_key(key), _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def update(self, given: Any) -> None:
        """Enter the items of a mapping or of an iterable of (key, value) pairs."""
        plain = isinstance(given, Mapping) and not isinstance(given, OrderedDict)
        super().update(sorted(given.items()) if plain else given)

    def copy(self) -> ParameterDict:
        """Another dictionary of the same parameters."""
        return ParameterDict(self)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a key, which is entered with the default if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Any]:
        """Remove the last pair and return it."""
        if not self._keys:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default if it is not there."""
        return self[key] if key in self else default  # noqa: SIM401 - this is that get

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary with these keys, all of one value."""
        return ParameterDict((key, default) for key in keys)

    def extra_repr(self) -> str:
        """One line for each value."""
        return "\n".join(_describe(key, value, "type") for key, value in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `RuntimeError`: there is nothing to call."""
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other: Any) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: Any) -> ParameterDict:
        made = ParameterDict(other)
        made.update(self)
        return made

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self


def _as_parameter(value: Any) -> Any:
    plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
    return Parameter(value) if plain else value


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(
            "Index given to ParameterDict cannot be used as a key as it is not a string (type is "
            f"'{type(key).__name__}'): use str(key)"
        )
    return key


def _describe(key: object, value: Any, by: str) -> str:
    """One line of a printed list or dictionary, which name the element type each in its way."""
    if not isinstance(value, Tensor):
        return f"  ({key}): Object of type: {type(value).__name__}"
    what = "Parameter" if isinstance(value, Parameter) else "Tensor"
    kind = value.dtype if by == "dtype" else value.type()
    return f"  ({key}): {what} containing: [{kind} of size {'x'.join(map(str, value.shape))}]"
