"""Named results: the (values, indices) pairs of `sort`, `max` and their like."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

classes: dict[str, type[Named]] = {}


class Named(tuple[Any, ...]):
    """A tuple whose entries have names; prints as PyTorch's ``torch.return_types``."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = ",\n".join(f"{f}={x!r}" for f, x in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{lines})"

    def __reduce__(self) -> Any:
        return rebuild, (type(self).__name__, tuple(self))


def named(name: str, *fields: str) -> type[Named]:
    """The class of the result of the function ``name``; it is made from a sequence.

    >>> import retrograd as rg
    >>> rg.tensor([3, 1]).sort()
    torch.return_types.sort(
    values=tensor([1, 3]),
    indices=tensor([1, 0]))
    """
    if name not in classes:
        fields = fields or ("values", "indices")
        entries = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
        doc = f"What `{name}` returns: {', '.join(fields)}."
        body = {"__slots__": (), "__doc__": doc, "_fields": fields, **entries}
        classes[name] = type(name, (Named,), body)
    return classes[name]


def rebuild(name: str, entries: tuple[Any, ...]) -> Named:
    """What pickle calls to make a named result again."""
    return classes[name](entries)
