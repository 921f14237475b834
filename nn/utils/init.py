"""Modules without initial values."""

from __future__ import annotations

import inspect
from typing import Any

from ...autograd.random import get_rng_state, set_rng_state
from ..module import Module


def skip_init(module_cls: type[Any], *args: Any, **kwargs: Any) -> Any:
    """Make a module whose parameters have whatever is in their memory.

    The random numbers that its constructor draws are given back.

    Raises `RuntimeError` for a class that takes no ``device``.

    >>> import retrograd as rg
    >>> rg.nn.utils.skip_init(rg.nn.Linear, 5, 1)
    Linear(in_features=5, out_features=1, bias=True)
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = get_rng_state()
    try:
        made = module_cls(*args, **kwargs)
    finally:
        set_rng_state(state)
    return made.to_empty(device=kwargs.get("device", "cpu"))
