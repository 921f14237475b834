"""A module called with other parameters than its own."""

from __future__ import annotations

import warnings
from collections import defaultdict
from typing import Any

from ...autograd import Tensor
from ..module import Module


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call the module as if these tensors, by dotted name, were its parameters and buffers.

    What the call writes to a buffer of the dictionary is in the dictionary afterwards; the module
    is as it was.  With ``tie_weights``, a tensor for one name of a shared parameter is for all.
    Warns, as PyTorch does, that ``torch.func`` has the newer name.

    Raises `RuntimeError` with ``strict`` unless all names are given, and no others.

    >>> import retrograd as rg, warnings
    >>> warnings.simplefilter("ignore")
    >>> double = {"weight": rg.tensor([[2.0]]), "bias": rg.tensor([0.0])}
    >>> layer = rg.nn.Linear(1, 1)
    >>> rg.nn.utils.stateless.functional_call(layer, double, rg.tensor([3.0]))
    tensor([6.])
    """
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be "
        "removed in a future version of PyTorch. Please use `torch.func.functional_call` instead "
        "which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    given = parameters_and_buffers
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    values = _with_ties(own, given) if tie_weights else dict(given)
    if strict:
        _check_names(module, own, values)
    places = {name: _place(module, name) for name in values}
    before = {name: members.get(key) for name, (members, key) in places.items()}
    try:
        for name, value in values.items():
            members, key = places[name]
            members[key] = value
        return module(*args, **(kwargs or {}))
    finally:
        for name, old in before.items():
            members, key = places[name]
            if name in given:
                given[name] = members[key]
            if old is None:
                del members[key]
            else:
                members[key] = old


def _place(module: Module, name: str) -> tuple[dict[str, Any], str]:
    """The dictionary that holds a member of a dotted name, and the member's key in it."""
    path, _, key = name.rpartition(".")
    return module.get_submodule(path).__dict__, key


def _with_ties(own: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is given, for every name of a tensor that has several."""
    names_of = defaultdict(list)
    for name, tensor in own.items():
        names_of[id(tensor)].append(name)
    values = dict(given)
    for names in names_of.values():
        named = {id(given[name]): given[name] for name in names if name in given}
        if len(named) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(names)}, which are tied. "
                "Consider using tie_weights=False"
            )
        for value in named.values():
            values.update(dict.fromkeys(names, value))
    return values


def _check_names(module: Module, own: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    problems = []
    unexpected = [repr(name) for name in values if name not in own]
    missing = [repr(name) for name in own if name not in values]
    if unexpected:
        problems.append(f"Unexpected key(s): {', '.join(unexpected)}.")
    if missing:
        problems.append(f"Missing key(s): {', '.join(missing)}.")
    if problems:
        text = "\n\t".join(problems)
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t{text}")
