"""Handles of hooks: what every ``register_…_hook`` returns, for tensors and modules alike.

The hooks of one kind live in an ``OrderedDict`` from a handle's id to the function, in the order
in which they run.  A handle knows its table weakly, so it never keeps a tensor or a module alive.
"""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

HookTable = OrderedDict[int, Any]

_ids = itertools.count()


class RemovableHandle:
    """The way to take a hook off again: call ``remove``, or use it in a ``with`` statement.

    Removing twice, or after the tensor or module is gone, does nothing.

    >>> table = OrderedDict()
    >>> with add_hook(table, print):
    ...     len(table)
    1
    >>> len(table)
    0
    """

    def __init__(
        self, hooks_dict: HookTable, *, extra_dict: HookTable | list[HookTable] | None = None
    ) -> None:
        extras = extra_dict if isinstance(extra_dict, list) else [extra_dict]
        # A table that was unpickled holds ids of another process: pass over them.
        self.id = next(number for number in _ids if number not in hooks_dict)
        self._tables = tuple(
            weakref.ref(table) for table in [hooks_dict, *extras] if table is not None
        )

    def remove(self) -> None:
        """Take the hook off."""
        for table in self._live_tables():
            table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __getstate__(self) -> tuple[int, list[HookTable]]:
        return self.id, self._live_tables()

    def __setstate__(self, state: tuple[int, list[HookTable]]) -> None:
        self.id, tables = state
        self._tables = tuple(weakref.ref(table) for table in tables)

    def _live_tables(self) -> list[HookTable]:
        return [table for ref in self._tables if (table := ref()) is not None]


def add_hook(
    table: HookTable,
    hook: Callable[..., Any],
    *,
    prepend: bool = False,
    flags: Iterable[tuple[HookTable, bool]] = (),
) -> RemovableHandle:
    """Enter `hook` in `table`, last or first, and in each of the `flags` tables that is wanted."""
    flags = list(flags)
    handle = RemovableHandle(table, extra_dict=[flagged for flagged, _ in flags])
    table[handle.id] = hook
    for flagged, wanted in flags:
        if wanted:
            flagged[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle
