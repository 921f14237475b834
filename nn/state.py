"""The state of a tree of modules: written to a dictionary by dotted name, and read back.

Reading goes module by module, as PyTorch's does, because modules may override their part.  A
snapshot taken before makes it all or nothing: for the time of the loading it needs as much memory
as the parameters.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from ..autograd import Parameter, Tensor, no_grad
from ..autograd.hooks import RemovableHandle, add_hook
from .hooks import Hook, Hooks
from .members import BUFFER, MODULE, PARAMETER, members
from .parameter import is_lazy
from .tree import Tree

EXTRA_STATE = "_extra_state"  # the key, after the prefix, of what `get_extra_state` returned


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """The lists of names that `Module.load_state_dict` could not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class State(Tree):
    """The part of a module that saves and loads."""

    _version: int = 1  # of the layout of the state; stored in the metadata of `state_dict`

    _state_dict_pre_hooks = Hooks()
    _state_dict_hooks = Hooks()
    _state_dict_hooks_in_place = Hooks()
    _load_state_dict_pre_hooks = Hooks()
    _load_state_dict_pre_hooks_with_module = Hooks()
    _load_state_dict_post_hooks = Hooks()

    def state_dict(
        self, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """The parameters and persistent buffers of the tree, by dotted name, in an ``OrderedDict``.

        The tensors share the module's memory and are detached, unless ``keep_vars``.

        >>> import retrograd as rg
        >>> m = rg.nn.ParameterList([rg.zeros(2)])
        >>> dict(m.state_dict())
        {'0': tensor([0., 0.])}
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in members(self, MODULE).items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for number, hook in list(self._state_dict_hooks.items()):
            answer = hook(self, destination, prefix, metadata)
            if answer is None:
                continue
            if number in self._state_dict_hooks_in_place:
                raise RuntimeError("state_dict post-hook must return None")
            destination = answer
        return destination  # type: ignore[no-any-return]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own parameters and buffers into `destination`."""
        for name, value in self._saved_members().items():
            destination[prefix + name] = value if keep_vars or is_lazy(value) else value.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _saved_members(self) -> dict[str, Tensor]:
        values, left_out = self.__dict__, self._non_persistent_buffers_set
        names = (*self._registered[PARAMETER], *self._registered[BUFFER])
        return {n: values[n] for n in names if values[n] is not None and n not in left_out}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the tensors of ``state_dict`` into the parameters and buffers of the same names.

        With ``assign`` they take the place of the module's own.  Without ``strict``, keys that do
        not match are only reported.  Raises `RuntimeError` that lists all that is wrong; the
        module is then as it was before.

        >>> import retrograd as rg
        >>> m = rg.nn.ParameterList([rg.zeros(2)])
        >>> m.load_state_dict({"0": rg.ones(2)})
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None) or {}
        keys = _IncompatibleKeys([], [])
        errors: list[str] = []
        restore = _snapshot(self)
        try:
            self._load_tree(OrderedDict(state_dict), "", metadata, assign, keys, errors)
            _raise_for(type(self).__name__, keys if strict else _IncompatibleKeys([], []), errors)
        except BaseException:
            restore()
            raise
        return keys

    def _load_tree(
        self,
        state: OrderedDict[str, Any],
        prefix: str,
        metadata: Mapping[str, Any],
        assign: bool,
        keys: _IncompatibleKeys,
        errors: list[str],
    ) -> None:
        own = dict(metadata.get(prefix[:-1], {}))
        if assign:
            own["assign_to_params_buffers"] = True
        self._load_from_state_dict(state, prefix, own, True, *keys, errors)
        for name, child in members(self, MODULE).items():
            if child is not None:
                below = f"{prefix}{name}."
                part = OrderedDict((k, v) for k, v in state.items() if k.startswith(below))
                child._load_tree(part, below, metadata, assign, keys, errors)
        for hook in list(self._load_state_dict_post_hooks.values()):
            if hook(self, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected "
                    "to return new values, if incompatible_keys need to be modified, it should be "
                    "done inplace."
                )

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own parameters and buffers; add to the lists what does not fit."""
        report = (local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        for number, hook in list(self._load_state_dict_pre_hooks.items()):
            if number in self._load_state_dict_pre_hooks_with_module:
                hook(self, state_dict, prefix, *report)
            else:
                hook(state_dict, prefix, *report)

        expected = self._saved_members()
        for name, value in expected.items():
            key = prefix + name
            if key in state_dict:
                new = state_dict[key]
                if is_lazy(value):  # see `LazyModuleMixin`: it stays so for what is lazy itself
                    continue
                problem = _mismatch(key, value, new)
                if problem is not None:
                    error_msgs.append(problem)
                    continue
                if new.shape != value.shape:
                    new = new.reshape(value.shape)
                if local_metadata.get("assign_to_params_buffers", False):
                    setattr(self, name, _in_place_of(value, new))
                else:
                    with no_grad():
                        value.copy_(new)
            elif strict:
                missing_keys.append(key)

        extra = prefix + EXTRA_STATE
        takes_extra = type(self).set_extra_state is not State.set_extra_state
        if takes_extra and extra in state_dict:
            self.set_extra_state(state_dict[extra])
        elif takes_extra and strict:
            missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)

        if strict:
            children = members(self, MODULE)
            for key in state_dict:
                if key.startswith(prefix) and key != extra:
                    name, dot, _ = key[len(prefix) :].partition(".")
                    if name not in (children if dot else expected):
                        unexpected_keys.append(key)

    def get_extra_state(self) -> Any:
        """What `state_dict` shall hold besides tensors; define it with `set_extra_state`."""
        raise RuntimeError("Module.get_extra_state is only called where a subclass defines it")

    def set_extra_state(self, state: Any) -> None:
        """Take back, in `load_state_dict`, what `get_extra_state` returned."""
        raise RuntimeError("Module.set_extra_state is only called where a subclass defines it")

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict` reads this module."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after, to change it in place."""
        flags = ((self._state_dict_hooks_in_place, True),)
        return add_hook(self._state_dict_hooks, hook, flags=flags)

    def _register_state_dict_hook(self, hook: Hook) -> RemovableHandle:
        """`register_state_dict_post_hook`, but a result replaces the dict at the root."""
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, *arguments of _load_from_state_dict)`` before this module loads."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Hook, with_module: bool = False
    ) -> RemovableHandle:
        flags = ((self._load_state_dict_pre_hooks_with_module, with_module),)
        return add_hook(self._load_state_dict_pre_hooks, hook, flags=flags)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` when this module and its children have loaded.

        It may change the two lists of names; they decide whether ``strict`` raises.
        """
        return add_hook(self._load_state_dict_post_hooks, hook)


def _mismatch(key: str, value: Tensor, new: Any) -> str | None:
    """Why `new` cannot be loaded into `value`; None if it can."""
    if not isinstance(new, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(new)}"
        )
    # Old PyTorch saved scalars with one dimension.
    if new.shape != value.shape and not (value.shape == () and new.shape == (1,)):
        return (
            f"size mismatch for {key}: copying a param with shape {new.shape} from checkpoint, "
            f"the shape in current model is {value.shape}."
        )
    return None


def _in_place_of(value: Tensor, new: Tensor) -> Tensor:
    """The tensor that is assigned where `value` was: a parameter if that was one."""
    if not isinstance(value, Parameter):
        return new
    if isinstance(new, Parameter):
        return new.requires_grad_(value.requires_grad)
    return Parameter(new, requires_grad=value.requires_grad)


def _snapshot(root: Tree) -> Callable[[], None]:
    """A function that takes the tree back to what it is now."""
    attributes = [(module, module.__dict__.copy()) for module in root.modules()]
    values = [
        (tensor, type(tensor), tensor.data if is_lazy(tensor) else tensor.detach().clone())
        for walk in (root.parameters(), root.buffers())
        for tensor in walk
    ]

    def restore() -> None:
        for module, before in attributes:
            module.__dict__.clear()
            module.__dict__.update(before)
        with no_grad():
            for tensor, kind, value in values:
                if type(tensor) is kind and not is_lazy(tensor):
                    tensor.copy_(value)
                elif type(tensor) is not kind:  # it was materialised
                    tensor.data = value
                    tensor.__class__ = kind

    return restore


def _raise_for(name: str, keys: _IncompatibleKeys, errors: list[str]) -> None:
    """Raise one `RuntimeError` for all that is wrong, with what to do about it."""
    missing, unexpected = (", ".join(f'"{key}"' for key in part) for part in keys)
    found, remedies = [], ["Nothing was loaded."]
    if missing:
        found.append(f"Missing key(s) in state_dict: {missing}. ")
    if unexpected:
        found.append(f"Unexpected key(s) in state_dict: {unexpected}. ")
    if found:
        remedies.append("strict=False loads the keys that match.")
    if errors:
        remedies.append("Build the model with the sizes of the checkpoint, or drop those keys.")
    if found or errors:
        details = "\n\t".join([*found, *errors, " ".join(remedies)])
        raise RuntimeError(f"Error(s) in loading state_dict for {name}:\n\t{details}")
