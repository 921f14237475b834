"""Modules that learn the sizes of their parameters from the first input.

A lazy layer is the layer that it becomes, with uninitialised parameters (see `parameter`) and one
size unknown.  `LazyModuleMixin` is PyTorch's, for everyone; `LazyLayer` is the same for layers that
lack just one size: they say what it is called, where in the input it is found, and which shapes
follow from it::

    class LazyLinear(LazyLayer, Linear):
        cls_to_become = Linear
        lazy_size = "in_features"

        def __init__(self, out_features, bias=True, device=None, dtype=None):
            super().__init__(0, 0, False)
            self.out_features = out_features
            self.make_lazy(weight=True, bias=bias, device=device, dtype=dtype)

        def lazy_shapes(self):
            return {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, no_grad
from .linear import Linear
from .members import BUFFER, PARAMETER, members
from .module import Module
from .parameter import UninitializedBuffer, UninitializedParameter, is_lazy


class LazyModuleMixin(Module):
    """The part of a module that initialises its parameters when it is first called.

    The class defines ``initialize_parameters``, which gets what the call gets, before the forward.
    Afterwards the module is of the class ``cls_to_become``, unless that is None.  The parameters
    keep their identity, and a state dict loads into a lazy module as into any other.

    Raises `RuntimeError` if a parameter is still uninitialised then.

    >>> import retrograd as rg
    >>> model = rg.nn.Sequential(rg.nn.LazyLinear(4), rg.nn.ReLU(), rg.nn.LazyLinear(1))
    >>> model(rg.ones(5, 3)).shape
    torch.Size([5, 1])
    >>> model
    Sequential(
      (0): Linear(in_features=3, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=1, bias=True)
    )
    """

    cls_to_become: type[Any] | None = None

    _inferred: bool = False  # whether the first call has been

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Initialise the parameters at the first call; then call ``forward``."""
        if not self._inferred:
            self._infer_parameters(self, args, kwargs)
            return self(*args, **kwargs)  # now perhaps of another class
        return super().__call__(*args, **kwargs)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give the uninitialised parameters their shapes and values, from the first input."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        return any(map(is_lazy, self._own_tensors().values()))

    def _own_tensors(self) -> dict[str, Any]:
        return {**members(self, PARAMETER), **members(self, BUFFER)}

    def _infer_parameters(self, module: Any, args: Any, kwargs: Any = None) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        if module.cls_to_become is None:
            module._inferred = True
        else:
            module.__class__ = module.cls_to_become

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *report: Any) -> None:
        """Give what is uninitialised here the shape that it has in `state_dict`; then load."""
        for name, mine in self._own_tensors().items():
            given = state_dict.get(prefix + name)
            if is_lazy(mine) and isinstance(given, Tensor) and not is_lazy(given):
                mine.materialize(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *report)


class LazyLayer(LazyModuleMixin):
    """A lazy module that lacks one size, ``lazy_size``: the length of an axis of the input.

    ``lazy_axis`` says which axis, or `find_lazy_size` does; `lazy_shapes` says what follows.
    """

    lazy_size: str
    lazy_axis: int = -1

    def make_lazy(self, *, device: Any = None, dtype: Any = None, **wanted: bool) -> None:
        """Take the shape away from the parameters and buffers that are wanted.

        What is None in the class's own ``__init__`` (an absent bias) and not wanted stays None.
        """
        buffers = members(self, BUFFER)
        for name, is_wanted in wanted.items():
            if is_wanted:
                kind = UninitializedBuffer if name in buffers else UninitializedParameter
                setattr(self, name, kind(device=device, dtype=dtype))

    def find_lazy_size(self, input: Tensor) -> int:
        """The size, as the first input has it; raises if that has a wrong number of axes."""
        return input.shape[self.lazy_axis]

    def lazy_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters and buffers, now that the size is known."""
        raise NotImplementedError(f"lazy_shapes is not implemented for {type(self).__name__}")

    def reset_parameters(self) -> None:
        """Draw new weights; nothing before their shapes are known."""
        if not self.has_uninitialized_params() and getattr(self, self.lazy_size) != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Give the parameters shapes and values; arguments are those of ``forward``."""
        if self.has_uninitialized_params():
            with no_grad():
                setattr(self, self.lazy_size, self.find_lazy_size(input))
                for name, shape in self.lazy_shapes().items():
                    tensor = getattr(self, name)
                    if is_lazy(tensor):
                        tensor.materialize(shape)
                self.reset_parameters()
        elif getattr(self, self.lazy_size) == 0:  # the values came from a state dict
            self._adopt_lazy_size(self.find_lazy_size(input))

    def _adopt_lazy_size(self, size: int) -> None:
        """Take the size from the input, if the parameters that were loaded have it too."""
        setattr(self, self.lazy_size, size)
        for name, shape in self.lazy_shapes().items():
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != shape:
                setattr(self, self.lazy_size, 0)
                raise AssertionError(
                    f"The {self.lazy_size} inferred from input: {size} does not fit self.{name}, "
                    f"which has shape {list(tensor.shape)}, not {list(shape)}"
                )


class LazyLinear(LazyLayer, Linear):
    """A `Linear` that takes ``in_features`` from the last axis of its first input.

    Shape: ``(*, in_features) → (*, out_features)``
    """

    cls_to_become = Linear
    lazy_size = "in_features"

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, False)
        self.out_features = out_features
        self.make_lazy(weight=True, bias=bias, device=device, dtype=dtype)

    def lazy_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the weight and the bias."""
        return {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}
