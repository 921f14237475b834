"""Conversions: of type, of memory layout, and copies."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import large
from .. import scalar as s
from ..creation import check_device, functions, number
from ..declare import cast as casting
from ..declare import composite, selection, word
from ..device import device
from ..inplace import write
from ..layout import (
    check_format,
    contiguous_format,
    copied,
    form_of,
    lies_in,
    memory_format,
    preserve_format,
)
from ..modes import recording
from ..tensor import Tensor, wrap


@casting(
    d_x=lambda g, x_dtype: s.cast(g, x_dtype),
    cases=[((2, 3), {"type": dt.float64})],
    public=False,
    method=False,
)
def convert(x, /, type):
    """The same values in another element type."""
    return dt.cast(x, type)


@word
def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """A gradient in another element type; those of storage types stay in float32 on the tape."""
    return convert(x, dt.of_array(dt.of_array(dtype).compute))


@word
def like(x: Any, other: Any) -> Any:
    """In the element type of ``other``."""
    return x.to(other.dtype)


@selection(d_x=lambda g: g, cases=[((2, 3), ())])
def clone(x, /, memory_format=None):
    """A copy in memory of its own, connected to the tape."""
    if memory_format is None:
        return large.copied(x) if x.flags.c_contiguous else x.copy(order="K")
    return copied(x, check_format("clone", memory_format))


@composite(public=False)
def contiguous(self: Any, memory_format: Any = None) -> Any:
    """This tensor if its elements lie in row-major order (or another one), else such a copy."""
    form = contiguous_format
    if memory_format is not None:
        form = check_format("contiguous", memory_format)
    if lies_in(self.array, form):
        return self
    if form is preserve_format:
        raise RuntimeError(
            "preserve memory format is unsupported by the contiguous operator: name the order that "
            "is wanted, such as torch.contiguous_format"
        )
    return clone(self, form)


def _checked(x: Any, d: dt.dtype, form: memory_format = preserve_format) -> Any:
    """`convert`, but for a real tensor whose gradient would pass through complex numbers."""
    if d.is_complex and recording() is not None and x.requires_grad and not x.is_complex():
        raise NotImplementedError(
            "gradients through complex tensors are not there: the rules of the ops do not "
            "conjugate. Compute with the real and the imaginary part, or detach() first."
        )
    out = convert(x, d)
    return out if form is preserve_format else contiguous(out, form)


@composite(public=False)
def to(self: Any, *args: Any, **options: Any) -> Any:
    """In another dtype, given as a dtype, as another tensor, or after a device (the CPU)."""
    d = options.pop("dtype", None)
    copies = options.pop("copy", False)
    form = check_format("to", options.pop("memory_format", None))
    places = [options.pop("device", None)]
    unknown = set(options) - {"non_blocking"}
    if unknown:
        raise TypeError(f"to() received an invalid keyword argument: {sorted(unknown)[0]!r}")
    flags = []  # non_blocking, then copy
    for arg in args:
        if isinstance(arg, Tensor):
            d = arg.dtype
        elif isinstance(arg, (dt.dtype, builtins.type)):
            d = arg
        elif isinstance(arg, bool):
            flags.append(arg)
        elif arg is None or isinstance(arg, (str, int, device)):
            places.append(arg)
        else:
            raise TypeError(
                f"to() received an invalid argument {arg!r}: expected a dtype such as "
                "torch.float64, a device, or another tensor"
            )
    copies = copies or flags[1:2] == [True]
    for place in places:
        if place is not None:
            check_device(place)
    if d is None or (d := dt.as_dtype(d)) is self.dtype:
        lies = form is preserve_format or form is form_of(self.array)
        return self if lies and not copies else clone(self, form)
    return _checked(self, d, form)


def _type_method(name: str, d: dt.dtype) -> None:
    def method(self: Any, *, memory_format: Any = None) -> Any:
        if memory_format is None:
            return self if self.dtype is d else _checked(self, d)
        return to(self, d, memory_format=memory_format)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In {d.name}."
    setattr(Tensor, name, method)


for _name, _d in (
    *(("float", dt.float32), ("double", dt.float64), ("half", dt.float16)),
    *(("bfloat16", dt.bfloat16), ("long", dt.int64), ("int", dt.int32), ("short", dt.int16)),
    *(("char", dt.int8), ("byte", dt.uint8), ("bool", dt.bool_)),
    *(("cfloat", dt.complex64), ("cdouble", dt.complex128)),
):
    _type_method(_name, _d)


@composite(public=False)
def type(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The legacy name of the type, or the tensor in another one."""
    names = {
        "torch.FloatTensor": dt.float32, "torch.DoubleTensor": dt.float64,
        "torch.HalfTensor": dt.float16, "torch.BFloat16Tensor": dt.bfloat16,
        "torch.LongTensor": dt.int64, "torch.IntTensor": dt.int32, "torch.ShortTensor": dt.int16,
        "torch.CharTensor": dt.int8, "torch.ByteTensor": dt.uint8, "torch.BoolTensor": dt.bool_,
        "torch.ComplexFloatTensor": dt.complex64, "torch.ComplexDoubleTensor": dt.complex128,
    }  # fmt: skip
    if dtype is None:
        return next(name for name, d in names.items() if d is self.dtype)
    if isinstance(dtype, str):
        if dtype not in names:
            raise ValueError(f"invalid type: '{dtype}'; choose one of {', '.join(names)}")
        dtype = names[dtype]
    return self.to(dtype)


@composite(public=False)
def type_as(self: Any, other: Any) -> Any:
    """In the type of another tensor."""
    return self.to(other.dtype)


@composite(public=False)
def cpu(self: Any, memory_format: Any = None) -> Any:
    """This tensor: it is on the CPU."""
    return to(self, memory_format=memory_format)


@composite(public=False)
def is_shared(self: Any) -> bool:
    """False: no tensor's memory is shared with another process."""
    return False


@composite(public=False)
def share_memory_(self: Any) -> Any:
    """Raises `NotImplementedError`, and says how processes share numbers without it."""
    raise NotImplementedError(
        "share_memory_: tensors do not move to shared memory here. Let several processes see one "
        "array with multiprocessing.shared_memory: from_numpy(np.ndarray(shape, dtype, block.buf)) "
        "is a tensor over it. Threads share every tensor, and DataLoader needs no shared memory."
    )


@composite(public=False)
def cuda(self: Any, device: Any = None, **ignored: Any) -> Any:
    """Raises `RuntimeError`: there is only the CPU."""
    check_device(device or "cuda")


@composite(public=False)
def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Overwrite with another tensor's values, which broadcast and convert."""
    if not isinstance(src, Tensor):
        raise TypeError(
            f"copy_(): argument 'other' (position 1) must be Tensor, not {src.__class__.__name__}"
        )
    return write(self, src, "copy_")


@composite(public=False)
def fill_(self: Any, value: Any) -> Any:
    """Overwrite every element with one value."""
    if not isinstance(value, Tensor):
        value = wrap(number(value, self.dtype))
    elif value.array.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value.array.ndim} dimensions."
        )
    return write(self, value, "fill_")


@composite()
def zero_(self: Any) -> Any:
    """Overwrite every element with zero."""
    return fill_(self, 0)


@composite(public=False)
def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
    """Overwrite the diagonal with one value; with ``wrap`` again below a tall matrix' square."""
    shape = self.array.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise RuntimeError(
            f"fill_diagonal_: a matrix is needed, or equal dimensions; got {list(shape)}"
        )
    places = np.zeros(shape, bool)
    np.fill_diagonal(places, True, wrap)
    self[places] = fill_value
    return self


@composite(method=False)
def is_tensor(obj: Any) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, Tensor)


@composite(method=False)
def is_floating_point(input: Any) -> bool:
    """Whether the elements are real floating numbers."""
    return bool(input.is_floating_point())


@composite(method=False)
def is_complex(input: Any) -> bool:
    """Whether the elements are complex."""
    return bool(input.is_complex())


@composite(method=False)
def numel(input: Any) -> int:
    """How many elements."""
    return int(input.array.size)


@composite(method=False)
def result_type(tensor1: Any, tensor2: Any) -> dt.dtype:
    """The type in which an operation of the two would compute.

    >>> import retrograd as rg
    >>> rg.result_type(rg.tensor([1]), 1.0)
    torch.float32
    """
    both = (tensor1, tensor2)
    tensors = [x for x in both if isinstance(x, Tensor)]
    return dt.result_of(
        (x.dtype for x in tensors if x.array.ndim),
        (x.dtype for x in tensors if not x.array.ndim),
        (x for x in both if not isinstance(x, Tensor)),
    )


functions["promote_types"] = dt.promote_types
functions["can_cast"] = dt.can_cast
