"""Where tensors meet NumPy: its operators and functions on tensors, arrays out of tensors, DLPack.

``array * tensor`` and ``np.exp(tensor)`` are tensor ops, and so are the functions in `FUNCTIONS`.
Whatever else NumPy does to tensors happens on their arrays, and raises `RuntimeError` when one of
them requires a gradient: a tensor never leaves the tape unnoticed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import dtypes as dt
from . import version
from .creation import as_tensor
from .op import functions
from .tensor import Tensor, node_of, wrap

Array = np.ndarray[Any, Any]

# NumPy's names of ufuncs that are PyTorch's functions under another name.
RENAMED = {
    "conjugate": "conj", "power": "pow", "rint": "round", "fabs": "abs", "invert": "bitwise_not",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "degrees": "rad2deg", "radians": "deg2rad",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
}  # fmt: skip

OF_NUMBERS = ("add", "subtract", "multiply", "divide", "power")  # beside a tensor, as operators are


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """NumPy's element-wise functions and operators, where an operand is a tensor."""
    if any(type(x).__array_ufunc__ is None for x in inputs if hasattr(type(x), "__array_ufunc__")):
        return NotImplemented  # a type that wants to be asked by its reflected operator
    name = ufunc.__name__
    function = functions.get(RENAMED.get(name, name))
    if function is not None and method == "__call__" and not options:
        xs = [*map(_operand, inputs)]
        return function(*(xs if name in OF_NUMBERS else _all_tensors(xs)))
    full = name if method == "__call__" else f"{name}.{method}"
    result = _on_arrays(full, getattr(ufunc, method), inputs, options)
    return result if "out" in options else _as_tensors(result)


def _operand(x: Any) -> Any:
    """What operators take: tensors, and Python numbers, which are weak in promotion."""
    if isinstance(x, np.generic):
        return x.item()
    return x if isinstance(x, (Tensor, bool, int, float, complex)) else as_tensor(x)


def _all_tensors(xs: list[Any]) -> list[Tensor]:
    """Numbers as tensors beside a tensor, in its type where that can hold them."""
    (d, *_) = (x.dtype for x in xs if isinstance(x, Tensor))
    return [
        x
        if isinstance(x, Tensor)
        else as_tensor(x, d if d.category >= dt.of_number(x).category else None)
        for x in xs
    ]


def _as_tensors(result: Any) -> Any:
    """Arrays as tensors, where there is a dtype for them."""
    if isinstance(result, tuple):
        return tuple(map(_as_tensors, result))
    if isinstance(result, (np.ndarray, np.generic)) and result.dtype in KNOWN:
        return as_tensor(np.asarray(result))
    return result


KNOWN = [np.dtype(np.float16), *(d.array for d in dt.ALL if not d.array.names)]


def _array_function(
    self: Tensor, function: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """NumPy's other functions, where an argument is a tensor."""
    ours = FUNCTIONS.get(function)
    if ours is None and any(node_of(x) is not None for x in _tensors([args, options])):
        ours = JOINS.get(function)
    if ours is not None:
        try:
            call = inspect.signature(ours).bind(*args, **options)
        except TypeError:
            pass  # with an option that only arrays have
        else:
            return ours(*call.args, **call.kwargs)
    return _on_arrays(function.__name__, function, args, options)


def _tensors(x: Any) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, (tuple, list, dict)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from _tensors(part)


def _on_arrays(name: str, function: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Call a function of NumPy's with the arrays of the tensors among its arguments."""
    if any(node_of(x) is not None for x in _tensors([args, options])):
        written = "an array that is written to holds no gradient: use the result instead, or "
        named = f"use torch.{name}, or " if name in functions else ""
        raise RuntimeError(
            f"np.{name} would lose the gradient of a tensor that requires grad: "
            f"{written if options.get('out') is not None else named}pass tensor.detach() if no "
            "gradient is wanted"
        )
    if [*_tensors(options.get("out"))]:
        raise TypeError(f"np.{name}: out must be an array; use out.copy_(result) with a tensor")
    return function(*_read_only(args), **_read_only(options))


def _read_only(x: Any) -> Any:
    """Tensors as arrays that NumPy cannot write to: the tape would not notice."""
    if isinstance(x, Tensor):
        array = x.array.view()
        if array.dtype == dt.bfloat16.array:
            raise TypeError("Got unsupported ScalarType BFloat16: NumPy has none; use .float()")
        array.flags.writeable = False
        return array["float16"] if array.dtype.names else array
    if isinstance(x, dict):
        return {key: _read_only(value) for key, value in x.items()}
    return type(x)(map(_read_only, x)) if type(x) in (tuple, list) else x


def _reduction(name: str) -> Callable[..., Any]:
    """A reduction with NumPy's arguments."""

    def reduce(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        if axis is None and not keepdims:
            return functions[name](a)
        axes = tuple(range(a.ndim)) if axis is None else axis
        return functions[name](a, dim=axes, keepdim=keepdims)

    return reduce


def _deviation(name: str) -> Callable[..., Any]:
    def deviate(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
        return functions[name](a, dim=axis, correction=ddof, keepdim=keepdims)

    return deviate


def _join(name: str) -> Callable[..., Any]:
    def join(arrays: Any, axis: int = 0) -> Any:
        return functions[name]([as_tensor(x) for x in arrays], axis)

    return join


def _rows(name: str) -> Callable[..., Any]:
    def join(tup: Any) -> Any:
        return functions[name]([as_tensor(x) for x in tup])

    return join


def _choice(condition: Any, x: Any, y: Any) -> Any:
    return functions["where"](*map(_operand, (condition, x, y)))


def _transpose(a: Any, axes: Any = None) -> Any:
    return a.permute(tuple(range(a.ndim))[::-1] if axes is None else axes)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **{getattr(np, n): _reduction(n) for n in ("sum", "mean", "amax", "amin", "all", "any")},
    np.max: _reduction("amax"),
    np.min: _reduction("amin"),
    np.std: _deviation("std"),
    np.var: _deviation("var"),
    np.transpose: _transpose,
    np.reshape: lambda a, shape: a.reshape(shape),
    np.ravel: lambda a: a.reshape(-1),
    np.expand_dims: lambda a, axis: a.unsqueeze(axis),
    np.squeeze: lambda a, axis=None: a.squeeze() if axis is None else a.squeeze(axis),
    np.swapaxes: lambda a, axis1, axis2: a.transpose(axis1, axis2),
    np.broadcast_to: lambda array, shape: array.broadcast_to(shape),
    np.clip: lambda a, a_min=None, a_max=None: a.clamp(a_min, a_max),
    np.cumsum: lambda a, axis: a.cumsum(axis),
}
# Functions that give arrays, as they do for PyTorch's tensors, unless that would lose a gradient.
JOINS: dict[Any, Callable[..., Any]] = {
    np.concatenate: _join("cat"),
    np.stack: _join("stack"),
    np.vstack: _rows("vstack"),
    np.hstack: _rows("hstack"),
    np.dstack: _rows("dstack"),
    np.where: _choice,
    np.dot: lambda a, b: functions["matmul"](as_tensor(a), as_tensor(b)),
}


# ---------------------------------------------------------------- out of the engine


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Array:
    """The values as an array, sharing memory; raises where `Tensor.numpy` does."""
    return np.array(self.numpy(), dtype=dtype, copy=copy)


def _array_wrap(self: Tensor, array: Any, context: Any = None, scalar: bool = False) -> Any:
    """What code written for arrays computed from this one, as a tensor again."""
    return _as_tensors(array)


def _dlpack(self: Tensor, **options: Any) -> Any:
    """The memory, for `from_dlpack` of any library."""
    if node_of(self) is not None:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    array = self.array
    if array.dtype == dt.bfloat16.array:
        raise BufferError("NumPy, which exports the memory, has no bfloat16: use tensor.float()")
    version.expose(array)
    return (array["float16"] if array.dtype.names else array).__dlpack__(**options)


def _dlpack_device(self: Tensor) -> Any:
    """The CPU, in DLPack's terms."""
    return self.array.__dlpack_device__()


# ---------------------------------------------------------------- as a Python sequence


def _contains(self: Tensor, element: Any) -> bool:
    """Whether some element is equal."""
    if not isinstance(element, (Tensor, bool, int, float, complex, np.generic)):
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )
    return bool(functions["eq"](self, element).any())


def _reversed(self: Tensor) -> Tensor:
    """The entries along the first axis, last first."""
    flipped: Tensor = functions["flip"](self, 0) if self.ndim else wrap(self.array, node_of(self))
    return flipped


for _name, _method in {
    "array": _array,
    "array_function": _array_function,
    "array_ufunc": _array_ufunc,
    "array_wrap": _array_wrap,
    "contains": _contains,
    "dlpack": _dlpack,
    "dlpack_device": _dlpack_device,
    "reversed": _reversed,
}.items():
    setattr(Tensor, f"__{_name}__", _method)
