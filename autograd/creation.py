"""New tensors: from data, from NumPy, and from a size.

Every function takes PyTorch's keywords: ``dtype``, ``device`` (the CPU), ``requires_grad``,
``layout`` (strided), ``memory_format`` where PyTorch has it, and ``pin_memory`` (without effect).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes as dt
from . import version
from .device import device
from .dtypes import as_dtype, dtype
from .layout import check_format, check_layout, contiguous_format, memory_format
from .layout import empty as memory
from .nested import array_of, number, type_of
from .op import functions
from .shapes import size_of
from .tensor import Tensor, leaf_node, wrap

Array = np.ndarray[Any, Any]

# ---------------------------------------------------------------- from data


def finish(array: Array, requires_grad: bool = False, device: Any = None) -> Tensor:
    """The tensor that a creation function returns."""
    if device is not None:
        check_device(device)
    made = wrap(array)
    if requires_grad:
        made.requires_grad = True
    return made


def check_device(name: Any) -> None:
    """Raise `RuntimeError` for any device but the CPU."""
    device(name)


def tensor(
    data: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new leaf tensor that holds a copy of ``data``.

    >>> import retrograd as rg
    >>> rg.tensor([[1, 2], [3, 4]]).dtype, rg.tensor(1.0).dtype
    (torch.int64, torch.float32)
    """
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach()."
            "clone() or sourceTensor.detach().clone().requires_grad_(True), rather than "
            "torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
    return finish(array_of(data, _given(dtype)), requires_grad, device)


def _given(d: Any) -> dtype | None:
    return None if d is None else as_dtype(d)


def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """``data`` as a tensor; tensors and arrays of the wanted type are not copied."""
    if device is not None:
        check_device(device)
    d = _given(dtype)
    if isinstance(data, Tensor):
        return data if d is None or data.dtype is d else data.to(d)
    if isinstance(data, np.ndarray) and (d is None or type_of(data) is d):
        return from_numpy(data)
    return wrap(array_of(data, d))


def asarray(
    obj: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`as_tensor` with a say about copying: ``copy=True`` always does, ``False`` never."""
    made = as_tensor(obj, dtype, device)
    shares = isinstance(obj, (Tensor, np.ndarray)) and np.may_share_memory(made.array, _memory(obj))
    if copy is False and not shares:
        raise ValueError("can't alias the data: it is of another type, or no tensor and no array")
    if copy and shares:
        made = made.clone()
    if isinstance(obj, Tensor) and not requires_grad:
        made = made.detach()
    return made.requires_grad_() if requires_grad and not made.requires_grad else made


def _memory(obj: Any) -> Array:
    return obj.array if isinstance(obj, Tensor) else obj


def from_numpy(array: Array) -> Tensor:
    """A tensor that shares memory with ``array``.

    Raises `TypeError` for anything but a NumPy array of a supported type.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    d = type_of(array)
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported; use array.astype(array.dtype."
            "newbyteorder('='))"
        )
    if any(step < 0 for step in array.strides) and array.size:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. You can make a copy with array.copy()."
        )
    version.expose(array)
    shared = np.asarray(array)
    if d is dt.float16:
        shared = shared.view(dt.float16.array)
    return wrap(shared.view() if shared is array else shared)


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares memory with any object that speaks DLPack."""
    return from_numpy(np.from_dlpack(source))


# ---------------------------------------------------------------- from a size


def _sized(name: str, size: tuple[Any, ...], options: dict[str, Any]) -> tuple[int, ...]:
    """The size of a creation function, given as numbers, a sequence, or ``size=``."""
    if size and not options and _is_plain(size):
        return size
    _check_options(name, options, "size")
    if not size and "size" not in options:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    given = size or (options["size"],)
    if len(given) > 1 and isinstance(given[0], (tuple, list)):
        raise TypeError(f"{name}() takes 1 positional argument but {len(given)} were given")
    return _checked_size(name, given)


def _check_options(name: str, options: dict[str, Any], *more: str) -> None:
    known = {"layout", "pin_memory", *more}
    for key in options:
        if key not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
    check_layout(name, options.get("layout"))


def _is_plain(size: Sequence[Any]) -> bool:
    for n in size:  # noqa: SIM110 - `all` takes 0.3 µs more, half of what `zeros` takes
        if n.__class__ is not int or n < 0:
            return False
    return True


def _checked_size(name: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    parts = given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given
    if _is_plain(parts):
        return tuple(parts)
    for part in parts:
        if isinstance(part, bool) or not hasattr(part, "__index__"):
            raise TypeError(
                f"{name}(): argument 'size' (position 1) must be tuple of ints, not "
                f"{type(part).__name__}"
            )
    shape = size_of(tuple(parts))
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"{name}: Dimension size must be non-negative: negative dimension {min(shape)} in "
            f"{list(shape)}"
        )
    return shape


def empty(
    *size: Any,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: memory_format | None = None,
    **options: Any,
) -> Tensor:
    """A tensor of uninitialised memory."""
    form = contiguous_format
    if memory_format is not None:
        form = check_format("empty", memory_format)
    array = memory(_sized("empty", size, options), as_dtype(dtype).array, form)
    return finish(array, requires_grad, device)


def zeros(
    *size: Any,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """A tensor of zeros."""
    d = dt.get_default_dtype() if dtype is None else as_dtype(dtype)
    array = np.zeros(_sized("zeros", size, options), d.array)
    return finish(array, requires_grad, device)


def ones(
    *size: Any,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """A tensor of ones.

    >>> import retrograd as rg
    >>> rg.ones(2, 3)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    d = dt.get_default_dtype() if dtype is None else as_dtype(dtype)
    array = np.empty(_sized("ones", size, options), d.array)
    array.fill(number(1, d) if d.array.names else 1)
    return finish(array, requires_grad, device)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """A tensor filled with one value, whose type decides the dtype."""
    if options:
        _check_options("full", options)
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    d = _given(dtype) or (
        fill_value.dtype if isinstance(fill_value, Tensor) else dt.of_number(fill_value)
    )
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    array = np.empty(_checked_size("full", (size,)), d.array)
    array[...] = number(value, d)
    return finish(array, requires_grad, device)


def scalar_tensor(
    s: Any, *, dtype: dtype | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number as a 0-d tensor, of the default float type unless another is given."""
    return finish(number(s, as_dtype(dtype)), requires_grad, device)


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """A tensor of uninitialised memory with the strides (in elements) that are asked for."""
    _check_options("empty_strided", options)
    shape = _checked_size("empty_strided", (tuple(size),))
    if len(shape) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {list(stride)} and {list(shape)}"
        )
    if any(step < 0 for step in stride):
        raise RuntimeError(f"empty_strided: negative strides are not supported: {list(stride)}")
    last = sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    row = np.empty(0 if 0 in shape else last + 1, as_dtype(dtype).array)
    steps = [step * row.itemsize for step in stride]
    return finish(np.ndarray(shape, row.dtype, row, 0, steps), requires_grad, device)


def _like(name: str, input: Any, fill: Any, options: dict[str, Any]) -> Tensor:
    """A tensor of the shape and memory order of ``input``, filled unless ``fill`` is None."""
    made = like(name, input, options)
    if fill is not None:
        made.array[...] = number(fill, made.dtype)
    return made


def like(name: str, input: Any, options: dict[str, Any]) -> Tensor:
    """A tensor of uninitialised memory, of the shape and memory order of ``input``."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    d = _given(options.pop("dtype", None)) or input.dtype
    requires_grad, place = options.pop("requires_grad", False), options.pop("device", None)
    form = check_format(name, options.pop("memory_format", None))
    _check_options(name, options)
    array = memory(input.array.shape, d.array, form, input.array)
    return finish(array, requires_grad, place)


def empty_like(input: Tensor, **options: Any) -> Tensor:
    """`empty` in the shape and type of ``input``."""
    return _like("empty_like", input, None, options)


def zeros_like(input: Tensor, **options: Any) -> Tensor:
    """`zeros` in the shape and type of ``input``."""
    return _like("zeros_like", input, 0, options)


def ones_like(input: Tensor, **options: Any) -> Tensor:
    """`ones` in the shape and type of ``input``."""
    return _like("ones_like", input, 1, options)


def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """`full` in the shape and type of ``input``."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _like("full_like", input, value, options)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    _check_options("eye", options)
    for name, size in (("n", n), ("m", 0 if m is None else m)):
        if not hasattr(size, "__index__"):
            raise TypeError(f"eye(): argument '{name}' must be int, not {type(size).__name__}")
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    array = dt.cast(np.eye(n, m, dtype=np.float32), as_dtype(dtype))
    return finish(array, requires_grad, device)


# ---------------------------------------------------------------- sequences


def _python(name: str, *values: Any) -> tuple[Any, ...]:
    """Numbers that may have been given as 0-d tensors."""
    for v in values:
        if isinstance(v, Tensor) and v.array.ndim:
            raise RuntimeError(f"{name} only supports 0-dimensional tensors, got {v.array.ndim}D")
        if not isinstance(v, (Tensor, np.generic, bool, int, float, complex)):
            raise TypeError(f"{name}(): expected a number, not {type(v).__name__}")
    return tuple(v.item() if isinstance(v, (Tensor, np.generic)) else v for v in values)


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Numbers from ``start`` (0) up to, not including, ``end``.

    >>> import retrograd as rg
    >>> rg.arange(5), rg.arange(1, 2, 0.5)
    (tensor([0, 1, 2, 3, 4]), tensor([1.0000, 1.5000]))
    """
    _check_options("arange", options)
    if end is None:
        start, end = 0, start
    start, end, step = _python("arange", start, end, step)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError(
            f"upper bound and lower bound inconsistent with step sign: {start} -> {end} by {step}"
        )
    d = _given(dtype) or dt.result_of((), (), (start, end, step))
    if d is dt.bool_:
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'; convert with .bool()")
    if d is dt.int64:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero: the dtype makes it an integer")
        return finish(np.arange(start, end, step, dtype=np.int64), requires_grad, device)
    count = math.ceil((end - start) / step)
    if d.category == dt.INTEGER:
        start, step = int(start), int(step)
    return finish(dt.cast(start + np.arange(count) * step, d), requires_grad, device)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """``steps`` evenly spaced numbers, both ends included."""
    _check_options("linspace", options)
    start, end = _python("linspace", start, end)
    d = _given(dtype) or dt.result_of((), (), (start, end, 0.0))
    return finish(dt.cast(_even("linspace", start, end, steps, d), d), requires_grad, device)


def _even(name: str, start: Any, end: Any, steps: int, d: dtype) -> Array:
    """Evenly spaced values computed from both ends inwards, so that both are exact."""
    if isinstance(steps, float) or not hasattr(steps, "__index__"):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    compute = d.compute
    if d.category < dt.FLOAT:
        start, end, compute = int(start), int(end), np.dtype(np.float64)
    if steps == 1:
        return np.full(1, start, compute)
    step = np.asarray((end - start) / max(steps - 1, 1), compute)
    places = np.arange(steps).astype(compute)
    up = np.asarray(start, compute) + step * places
    down = np.asarray(end, compute) - step * (steps - 1 - places)
    return np.where(np.arange(steps) < steps // 2, up, down)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """``base`` raised to `linspace`."""
    _check_options("logspace", options)
    start, end = _python("logspace", start, end)
    d = _given(dtype) or dt.get_default_dtype()
    if d.category == dt.INTEGER:
        start, end = int(start), int(end)
    with np.errstate(all="ignore"):
        powers = np.power(base, _even("logspace", start, end, steps, dt.float64))
    return finish(dt.cast(powers, d), requires_grad, device)


def _new_form(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``tensor.new_zeros(size)`` and its relatives: the type comes from the tensor."""

    def new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        if options.get("dtype") is None:
            options["dtype"] = self.dtype
        return function(*args, **options)

    new.__name__ = new.__qualname__ = f"new_{function.__name__}"
    new.__doc__ = f"`{function.__name__}` with this tensor's dtype, unless another is given."
    return new


PUBLIC: tuple[Callable[..., Tensor], ...] = (
    *(tensor, as_tensor, asarray, from_numpy, from_dlpack, empty, zeros, ones, full),
    *(
        scalar_tensor,
        empty_strided,
        empty_like,
        zeros_like,
        ones_like,
        full_like,
        eye,
        arange,
        linspace,
        logspace,
    ),
)
for _function in PUBLIC:
    functions[_function.__name__] = _function
for _function in (tensor, empty, empty_strided, zeros, ones, full):
    setattr(Tensor, f"new_{_function.__name__}", _new_form(_function))

__all__ = ["array_of", "as_tensor", "finish", "from_numpy", "leaf_node", "tensor"]
