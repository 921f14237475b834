"""Shapes: ways to look at the same memory.

Each of these is a view where NumPy can make one.  A step of a view is replayed when its base was
written in place, so a body depends on nothing but its arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided as strided

from .. import dtypes as dt
from .. import scalar as s
from .. import shapes, version
from ..declare import alias, composite, movement, selection, word
from ..device import Size
from ..op import functions
from ..shapes import axis_of, size_of
from ..tape import recording
from ..tensor import Tensor, node_of, wrap


def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    out = x.reshape(shape)
    if out.shape != shape and min(shape) < -1:
        raise ValueError("NumPy takes any negative size for one to be inferred")
    return out


@movement(
    quickly=_reshaped,
    d_x=lambda g, x_shape: s.reshape(g, x_shape),
    cases=[((2, 6), ((3, 4),)), ((4,), (2, 2)), ((2, 3), (-1,))],
)
def reshape(x, /, *shape):
    """The same elements in the same order, in another shape; a copy only where it must be.

    One size may be -1: it is inferred.

    >>> import retrograd as rg
    >>> rg.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return x.reshape(shapes.infer(size_of(shape), x.size))


@movement(
    d_x=lambda g, x_shape: s.reshape(g, x_shape),
    cases=[((2, 6), (3, 4)), ((4,), (2, -1))],
    public=False,
)
def view(x, /, *size):
    """`reshape` that never copies; ``view(dtype)`` reads the same bits as another type.

    Raises `RuntimeError` when the strides of the tensor do not allow it.
    """
    out = x.reshape(shapes.infer(size_of(size), x.size))
    if out.size and not np.may_share_memory(out, x):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return out


def _view_or_reinterpret(self: Any, *size: Any, dtype: Any = None, **named: Any) -> Any:
    if dtype is None and (not size or not isinstance(size[0], dt.dtype)):
        return view(self, *size, **named)
    dtype = dtype or size[0]
    try:
        return wrap(self.array.view(dtype.array))
    except (TypeError, ValueError) as error:
        raise RuntimeError(
            f"self.size(-1) must be divisible by the ratio of the element sizes to view "
            f"{self.dtype} as {dtype}, and its last axis contiguous: {error}"
        ) from None


_view_or_reinterpret.__doc__ = view.__doc__
Tensor.view = _view_or_reinterpret  # type: ignore[attr-defined]


@movement(d_x=lambda g, dims: s.unpermute(g, dims), cases=[((2, 3, 4), (2, 0, 1))])
def permute(x, /, *dims):
    """Axes in another order."""
    return x.transpose(_order(size_of(dims), x.ndim))


def _order(dims: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    if len(dims) != ndim:
        raise RuntimeError(
            "permute: number of dimensions in the tensor input does not match the length of the "
            f"desired ordering of dimensions i.e. input.dim() = {ndim} is not equal to "
            f"len(dims) = {len(dims)}"
        )
    order = tuple(axis_of(d, ndim) for d in dims)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return order


@word
def unpermute(g: Any, dims: tuple[int, ...]) -> Any:
    """Undo `permute`."""
    order = [0] * len(dims)
    for new, old in enumerate(dims):
        order[old] = new
    return permute(g, order)


@movement(
    d_x=lambda g, dim0, dim1: s.transpose(g, dim0, dim1),
    cases=[((2, 3), (0, 1)), ((2, 3, 4), (-1, 0))],
)
def transpose(x, /, dim0, dim1):
    """Two axes exchanged."""
    if dim0 == dim1 or not x.ndim:
        return x.view()
    return x.T if x.ndim == 2 else x.swapaxes(dim0, dim1)  # which takes twice as long


@movement(d_x=lambda g, x_shape: s.sum_to(g, x_shape), cases=[((2, 1), (2, 3)), ((3,), (2, -1))])
def expand(x, /, *size):
    """Axes of size 1 stretched, and new ones put in front, without copying; -1 keeps a size."""
    size = size_of(size)
    lead = len(size) - x.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand({list(x.shape)}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor "
            f"({x.ndim})"
        )
    full = tuple(x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(size))
    if full == x.shape:
        return x.view()
    if any(n < 0 for n in full):
        raise RuntimeError(
            f"The expanded size of the tensor ({min(full)}) isn't allowed in a leading, "
            f"non-existing dimension: target sizes {list(size)}"
        )
    for i, (n, m) in enumerate(zip(x.shape, full[lead:], strict=True), lead):
        if n not in (1, m):
            raise RuntimeError(
                f"The expanded size of the tensor ({m}) must match the existing size ({n}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(size)}.  "
                f"Tensor sizes: {list(x.shape)}"
            )
    out = shapes.expand(x, full)
    if out is x:
        return x.view()
    out.flags.writeable = False
    return out


@word
def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting, on tensors."""
    if g.array.shape == tuple(shape):
        return g
    lead = g.array.ndim - len(shape)
    stretched = [i for i, n in enumerate(shape, lead) if n == 1 and g.array.shape[i] != 1]
    return g.sum((*range(lead), *stretched), True).reshape(shape)


@movement(
    axes=lambda dim, ndim: axis_of(dim, ndim + 1),
    d_x=lambda g, x_shape: s.reshape(g, x_shape),
    cases=[((2, 3), (1,)), ((3,), (-1,))],
)
def unsqueeze(x, /, dim):
    """A new axis of size 1."""
    return np.expand_dims(x, dim)


def _axes(dim: Any, ndim: int) -> tuple[int, ...]:
    axes = tuple(axis_of(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if len(set(axes)) < len(axes):
        raise RuntimeError(f"dims {list(dim)} appear multiple times in the list of dims")
    return axes


@movement(
    axes=_axes,
    d_x=lambda g, x_shape: s.reshape(g, x_shape),
    cases=[((2, 1, 3, 1), ()), ((2, 1, 3), (1,)), ((2, 1, 1), ((1, 2),))],
)
def squeeze(x, /, dim=None):
    """Without the axes of size 1: all of them, or those named."""
    gone = [i for i, n in enumerate(x.shape) if n == 1 and (dim is None or i in dim)]
    return x.squeeze(tuple(gone)) if gone else x.view()


@movement(
    d_x=lambda g, x_shape, offset, dim1, dim2: s.undiagonal(g, x_shape, offset, dim1, dim2),
    cases=[((3, 3), ()), ((2, 3, 4), (1, 0, 2))],
)
def diagonal(x, /, offset=0, dim1=0, dim2=1):
    """The diagonal of two axes, as the last axis."""
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return s.diagonal(x, offset, dim1, dim2)


@selection(
    d_x=lambda g, offset, first, second: s.diagonal(g, offset, first, second),
    cases=[((3,), {"shape": (3, 4), "offset": 1, "first": 0, "second": 1})],
    public=False,
    method=False,
)
def undiagonal(x, /, shape, offset, first, second):
    """Zeros with ``x`` on the diagonal of two axes: the gradient of `diagonal`."""
    return s.undiagonal(x, shape, offset, first, second)


@movement(
    d_x=lambda g, x_shape, dimension, size, step: s.unwindowed(g, x_shape, dimension, size, step),
    cases=[((5,), (0, 2, 1)), ((2, 7), (1, 3, 2))],
    public=False,
    method=False,
)
def windowed(x, /, dimension, size, step):
    """Every window of ``size`` entries of an axis, ``step`` apart, along a new last axis."""
    n = x.shape[axis_of(dimension, x.ndim)] if x.ndim else 1
    if size > n:
        raise RuntimeError(
            f"maximum size for tensor at dimension {dimension} is {n} but size is {size}"
        )
    if step <= 0 or size < 0:
        raise RuntimeError(f"step is {step} but must be > 0, and size, {size}, must be >= 0")
    return s.windowed(x, dimension, size, step)


Tensor.unfold = windowed  # type: ignore[attr-defined]


@selection(
    d_x=lambda g, dimension, size, step: s.windowed(g, dimension, size, step),
    cases=[((3, 2), {"shape": (4,), "dimension": 0, "size": 2, "step": 1})],
    public=False,
    method=False,
)
def unwindowed(x, /, shape, dimension, size, step):
    """Windows added up where they were taken from: the gradient of `windowed`."""
    return s.unwindowed(x, shape, dimension, size, step)


@movement(
    d_x=lambda g, x_shape, size, stride, offset: s.reshape(
        s.unindex(g, (s.count(x_shape, None),), (s.lattice(size, stride, offset),)), x_shape
    ),
    cases=[((6,), ((2, 2), (2, 1), 1))],
    public=False,
    method=False,
)
def restrided(x, /, size, stride, offset):
    """The memory from the ``offset``-th element after the first on, with any strides."""
    held = version.owner(x)
    step = x.itemsize
    memory = strided(held, (held.size,), (step,)).view(x.dtype)
    start = (_address(x) - _address(held)) // step + offset
    end = start + sum((n - 1) * m for n, m in zip(size, stride, strict=True)) + 1
    if 0 not in size and not (start >= 0 and end <= held.size):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start} "
            f"require {end} elements, which are out of bounds for memory of {held.size}"
        )
    out = strided(memory[start:], size, [m * step for m in stride])
    if 0 not in size:
        positions = s.lattice(size, stride, 0)
        if len(np.unique(positions)) < positions.size:
            out.flags.writeable = False
    return out


def _address(x: Any) -> int:
    return int(x.__array_interface__["data"][0])


@composite()
def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A view of the tensor's memory with any size, strides and offset.

    Raises `RuntimeError` when a gradient is wanted and the tensor is not the whole of its memory
    in row-major order: which elements the view shows could not be said in terms of the tensor's.
    """
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides {list(stride)} and shape {list(size)}")
    if any(n < 0 for n in stride):
        raise RuntimeError(f"as_strided: Negative strides are not supported, got {list(stride)}")
    here = input.storage_offset()
    array = input.array
    whole = array.flags.c_contiguous and array.size == version.owner(array).size
    if input.requires_grad and not whole:
        raise RuntimeError(
            "as_strided: no gradient through a tensor that is only a part of its memory, or not in "
            "row-major order; call contiguous() first, or use slices and transpose"
        )
    return restrided(
        input, size, stride, (here if storage_offset is None else storage_offset) - here
    )


# ---------------------------------------------------------------- built of the above


@composite()
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from ``start_dim`` to ``end_dim`` as one.

    >>> import retrograd as rg
    >>> rg.zeros(2, 3, 4).flatten(1).shape
    torch.Size([2, 12])
    """
    shape = input.array.shape
    start, end = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return reshape(input, 1)
    merged = 1
    for n in shape[start : end + 1]:
        merged *= n
    return input if start == end else reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


@composite()
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """One axis as several; one of the sizes may be -1."""
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    shape = input.array.shape
    axis = axis_of(dim, len(shape))
    inner = shapes.infer(tuple(sizes), shape[axis])
    return reshape(input, (*shape[:axis], *inner, *shape[axis + 1 :]))


@composite()
def ravel(input: Any) -> Any:
    """All elements in one axis."""
    return reshape(input, -1)


@composite(public=False)
def view_as(self: Any, other: Any) -> Any:
    """`view` in the shape of another tensor."""
    return view(self, other.array.shape)


@composite(public=False)
def reshape_as(self: Any, other: Any) -> Any:
    """`reshape` in the shape of another tensor."""
    return reshape(self, other.array.shape)


@composite(public=False)
def expand_as(self: Any, other: Any) -> Any:
    """`expand` to the shape of another tensor."""
    return expand(self, other.array.shape)


@composite()
def broadcast_to(input: Any, size: Any) -> Any:
    """`expand` as a function."""
    return expand(input, size)


@composite(public=False)
def sum_to_size(self: Any, *size: Any) -> Any:
    """Undo an `expand` from ``size``: sums over the axes that it would stretch."""
    wanted = size_of(size)
    try:
        fits = shapes.broadcast(wanted, self.array.shape) == self.array.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"size {list(wanted)} is not expandable to size {list(self.array.shape)}."
        )
    return sum_to(self, wanted) if wanted else self.sum()


@composite(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Tensors stretched to their common shape."""
    tensors = _unpacked(tensors)
    shape = shapes.broadcast(*(t.array.shape for t in tensors))
    return tuple(expand(t, shape) for t in tensors)


def _unpacked(tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tensors given one by one or as one sequence."""
    one = len(tensors) == 1 and isinstance(tensors[0], (tuple, list))
    return tuple(tensors[0]) if one else tensors


@composite(method=False)
def broadcast_shapes(*sizes: Any) -> Size:
    """The shape that all sizes stretch to."""
    return Size(shapes.broadcast(*(size_of((n,)) for n in sizes)))


@composite(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Coordinates of the grid that vectors span, one tensor per vector.

    With ``indexing="xy"`` the first two axes of the results change places.
    """
    tensors = _unpacked(tensors)
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    if any(x.array.ndim > 1 for x in tensors):
        raise RuntimeError(
            "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got shapes "
            f"{[list(x.shape) for x in tensors]}"
        )
    if any(x.array.dtype != tensors[0].array.dtype for x in tensors):
        raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    swapped = indexing == "xy" and len(tensors) > 1
    order = (tensors[1], tensors[0], *tensors[2:]) if swapped else tensors
    n = len(order)
    shape = [x.array.size for x in order]
    grids = [
        expand(reshape(x, (*[1] * i, -1, *[1] * (n - 1 - i))), shape) for i, x in enumerate(order)
    ]
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


@composite()
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Some axes put elsewhere, the others in their order."""
    ndim = input.array.ndim
    source = source if isinstance(source, (tuple, list)) else (source,)
    destination = destination if isinstance(destination, (tuple, list)) else (destination,)
    if len(source) != len(destination):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source "
            f"({list(source)}) should contain the same number of dims as destination "
            f"({list(destination)})"
        )
    froms, tos = _each_once("source", source, ndim), _each_once("destination", destination, ndim)
    if not ndim:
        return input.view(())
    rest = iter(i for i in range(ndim) if i not in froms)
    moved = dict(zip(tos, froms, strict=True))
    return permute(input, [moved[i] if i in moved else next(rest) for i in range(ndim)])


def _each_once(name: str, dims: Any, ndim: int) -> list[int]:
    axes = [axis_of(d, ndim) for d in dims]
    if len(set(axes)) < len(axes):
        raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
    return axes


@composite()
def t(input: Any) -> Any:
    """The transpose of a matrix; a vector or scalar as it is."""
    ndim = input.array.ndim
    if ndim == 2:
        return transpose(input, 0, 1)
    if ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D; "
            "use transpose(dim0, dim1) or mT"
        )
    return reshape(input, input.array.shape)


@word
def mT(x: Any) -> Any:  # noqa: N802 - PyTorch's name
    """The last two axes exchanged."""
    return transpose(x, -2, -1)


def _matrix_transpose(self: Any) -> Any:
    """The last two axes exchanged."""
    if self.array.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. "
            f"Got {self.array.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


def _all_axes_reversed(self: Any) -> Any:
    """All axes in reverse order: of a matrix, its transpose."""
    return permute(self, tuple(range(self.array.ndim - 1, -1, -1)))


def _conjugated(axes_exchanged: Any, name: str, ranks: str) -> Any:
    def adjoint(self: Any) -> Any:
        if self.array.ndim == 0 and name == "H":
            return self
        if self.array.ndim < 2 or (self.array.ndim > 2 and name == "H"):
            raise RuntimeError(
                f"tensor.{name} is only supported on {ranks}. Got {self.array.ndim}-D tensor."
            )
        out = axes_exchanged(self)
        return out.conj() if self.is_complex() else out

    adjoint.__doc__ = f"{ranks.capitalize()} transposed and conjugated."
    return property(adjoint)


Tensor.T = property(_all_axes_reversed)  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transpose)  # type: ignore[attr-defined]
Tensor.H = _conjugated(_all_axes_reversed, "H", "matrices (2-D tensors)")  # type: ignore[attr-defined]
Tensor.mH = _conjugated(_matrix_transpose, "mH", "matrices or batches of matrices")  # type: ignore[attr-defined]
alias("transpose", "swapaxes", "swapdims")
alias("movedim", "moveaxis")


# ---------------------------------------------------------------- another shape in place


def _install_in_place(name: str) -> None:
    """``x.squeeze_()`` and its relatives: the tensor becomes the view, of a base of its own."""
    function = functions[name]

    def in_place(self: Any, *args: Any, **options: Any) -> Any:
        node = node_of(self)
        is_leaf = node is not None and node.op is None
        if is_leaf and recording() is not None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation. Wrap "
                f"it in torch.no_grad(), or use {name}."
            )
        before = wrap(self.array, node)
        before.source = self.source
        after = function(before, *args, **options)
        self.array = after.array
        if is_leaf:
            node.shape = after.array.shape
        else:
            self.node, self.source = after.node, after.source
        return self

    in_place.__name__ = in_place.__qualname__ = name + "_"
    in_place.__doc__ = f"`{name}` in place: this tensor gets the other shape and is returned."
    setattr(Tensor, name + "_", in_place)


for _name in ("squeeze", "unsqueeze", "transpose", "swapaxes", "swapdims", "t", "as_strided"):
    _install_in_place(_name)
