"""The parts of an axis: one entry, a stretch, all of it cut up; copies with a part replaced."""

from __future__ import annotations

from builtins import slice as Slice
from itertools import accumulate
from typing import Any

from .. import dtypes as dt
from .. import scalar as s
from ..declare import composite
from ..op import registry
from ..shapes import axis_of
from ..tensor import Tensor
from .index import ALL, checked_slice, put, section, slice, unbound


def along(axis: int, part: Any) -> tuple[Any, ...]:
    """The key that takes ``part`` of one axis and all of the others."""
    return (*(ALL,) * axis, part, ...)


def _axis_with_entries(name: str, x: Any, dim: int) -> int:
    axis = axis_of(dim, x.array.ndim)
    if not x.array.ndim:
        raise IndexError(f"{name}() cannot be applied to a 0-dim tensor.")
    return axis


@composite(name="select")
def select_along(input: Any, dim: int, index: int) -> Any:
    """One entry of an axis, which is gone from the result."""
    return slice(input, _entry(input, dim, index))


def _entry(input: Any, dim: int, index: int) -> tuple[Any, ...]:
    axis = _axis_with_entries("select", input, dim)
    n = input.array.shape[axis]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {axis}"
        )
    return along(axis, int(index))


@composite()
def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of ``input`` with ``src`` in the place of one entry of an axis."""
    key = _entry(input, dim, index)
    return _with_part(input, src, input.array[key].shape, ((), key))


@composite()
def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """A copy of ``input`` with ``src`` in the place of a slice of an axis."""
    key = along(_axis_with_entries("slice", input, dim), checked_slice(Slice(start, end, step)))
    return _with_part(input, src, input.array[key].shape, ((), key))


@composite()
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of ``input`` with ``src`` on the diagonal of two axes."""
    steps = ((registry["diagonal"], (offset, dim1, dim2)),)
    return _with_part(input, src, s.look(input.array, steps).shape, (steps, None))


def _with_part(input: Any, src: Any, shape: tuple[int, ...], region: s.Region) -> Any:
    if src.array.shape != shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(shape)}"
        )
    return put(input, src.to(input.dtype), region)


@composite()
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """``length`` entries of an axis from ``start`` on."""
    if not input.array.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor) and (start.array.ndim or start.array.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis]
    start = int(start)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start += n if start < 0 else 0
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice(input, along(axis, Slice(start, start + length)))


@composite()
def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """The entries of an axis, each without it."""
    axis = axis_of(dim, input.array.ndim)
    if not input.array.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    lead = (ALL,) * axis
    return tuple([unbound(input, (*lead, i, ...)) for i in range(input.array.shape[axis])])


def _sections(x: Any, axis: int, ends: Any) -> tuple[Any, ...]:
    """The parts of an axis between zero, the given ends, and its own."""
    starts = [0, *ends]
    stops = [*ends, x.array.shape[axis]]
    return tuple([section(x, along(axis, Slice(a, b))) for a, b in zip(starts, stops, strict=True)])


@composite()
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Consecutive parts of an axis: of one size (the last may be smaller), or of given sizes.

    >>> import retrograd as rg
    >>> rg.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    if not tensor.array.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    axis = axis_of(dim, tensor.array.ndim)
    n = tensor.array.shape[axis]
    sizes = split_size_or_sections
    if not isinstance(sizes, (list, tuple)):
        size = int(sizes)
        if size < 0 or (size == 0 and n):
            raise RuntimeError(
                f"split expects split_size be non-negative and not 0, but got split_size={size}"
            )
        return _sections(tensor, axis, range(size, n, size) if n else [])
    if sum(sizes) != n or any(size < 0 for size in sizes):
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {axis}), but got split_sizes={list(sizes)}"
        )
    return _sections(tensor, axis, list(accumulate(sizes))[:-1])


@composite(public=False)
def split_with_sizes(self: Any, split_sizes: Any, dim: int = 0) -> Any:
    """`split` by a list of sizes."""
    return split(self, list(split_sizes), dim)


@composite()
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` consecutive parts of an axis, equal but for the last."""
    if not input.array.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis]
    if not n:
        return _sections(input, axis, [0] * (chunks - 1))
    return split(input, max(-(-n // chunks), 1), dim)


@composite()
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Parts of an axis: a number of them, as even as can be, or cut at given indices."""
    if not input.array.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    axis = axis_of(dim, input.array.ndim)
    n = input.array.shape[axis]
    cuts = indices_or_sections
    if isinstance(cuts, Tensor):
        if cuts.dtype is not dt.int64 or cuts.array.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                f"one-dimensional long tensor, but got {cuts.array.ndim} dims of {cuts.dtype}"
            )
        cuts = cuts.tolist()
    if isinstance(cuts, (list, tuple)):
        starts, stops = [0, *cuts], [*cuts, n]
        parts = [Slice(a, b) for a, b in zip(starts, stops, strict=True)]
        return tuple([section(input, along(axis, part)) for part in parts])
    if cuts <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {cuts}")
    small, larger = divmod(n, cuts)
    return _sections(input, axis, [i * small + min(i, larger) for i in range(1, cuts)])


def _split_along(name: str, least: int, axis: int, doc: str) -> None:
    @composite(name=name)
    def cut(input: Any, indices_or_sections: Any) -> Any:
        x, n = input.array, indices_or_sections
        if x.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a "
                f"tensor with {x.ndim} dimensions!"
            )
        dim = 0 if x.ndim == 1 else axis
        if isinstance(n, int) and (n <= 0 or x.shape[dim] % n):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the "
                f"dimension {x.shape[dim]} is not divisible by the split_size {n}!"
            )
        return tensor_split(input, n, dim)

    cut.__doc__ = doc


_split_along("hsplit", 1, 1, "`tensor_split` into columns (of a vector: along its one axis).")
_split_along("vsplit", 2, 0, "`tensor_split` into rows.")
_split_along("dsplit", 3, 2, "`tensor_split` along the third axis.")
