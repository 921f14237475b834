"""Matrix products, and what is built of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import deferred, products
from .. import scalar as s
from ..creation import as_tensor, number
from ..declare import composite, contraction, opaque, word
from ..op import not_a_tensor, registry, run
from ..shapes import axis_of, broadcast
from ..tensor import Tensor, wrap


def _matmul_operator(op: Any, operands: tuple[Any, ...], settings: Any) -> Any:
    """`_matmul_slowly` for ``@``: arrays become tensors, foreign operands are left to Python."""
    if any(isinstance(x, np.ndarray) for x in operands):
        return matmul(*(as_tensor(x) if isinstance(x, np.ndarray) else x for x in operands))
    if not all(isinstance(x, Tensor) for x in operands):
        return NotImplemented
    return _matmul_slowly(op, operands, settings)


def _matmul_slowly(op: Any, operands: tuple[Any, ...], settings: Any) -> Any:
    """Vectors become matrices for the product; mistakes are explained."""
    a, b = operands
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        raise not_a_tensor(op, operands)
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {_c_name(a)} != {_c_name(b)}; "
            "convert one of them with .to(...)"
        )
    if a.array.dtype.names:
        return matmul(a.float(), b.float()).to(a.dtype)
    if not a.array.ndim or not b.array.ndim:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are "
            f"{a.array.ndim}D and {b.array.ndim}D; multiply with * instead"
        )
    if a.array.shape[-1] != b.array.shape[-2 if b.array.ndim > 1 else 0]:
        raise _sizes_differ(a, b)
    if a.array.ndim == 1:
        return matmul(a.unsqueeze(0), b).squeeze(-2 if b.array.ndim > 1 else 0)
    if b.array.ndim == 1:
        return matmul(a, b.unsqueeze(1)).squeeze(-1)
    if a.array.dtype.kind == "b":
        raise NotImplementedError("\"matmul\" not implemented for 'Bool'; convert with .float()")
    try:
        broadcast(a.array.shape[:-2], b.array.shape[:-2])
    except RuntimeError:
        raise _sizes_differ(a, b) from None
    return run(op, operands, settings)  # nothing is wrong: NumPy was told to raise at an overflow


def _sizes_differ(a: Any, b: Any) -> RuntimeError:
    left, right = a.array.shape, b.array.shape
    shapes = f"{'x'.join(map(str, left))} and {'x'.join(map(str, right))}"
    inner = right[-2 if len(right) > 1 else 0]
    return RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({shapes}): the last size of the left "
        f"({left[-1]}) must equal the last but one of the right ({inner})"
        " and leading sizes must broadcast; transpose one of them, or check the layer before."
    )


def _c_name(x: Any) -> str:
    return {"float32": "float", "float64": "double", "int64": "long"}.get(
        x.dtype.name, x.dtype.name
    )


@contraction(
    symbol="@",
    slowly=_matmul_slowly,
    operator=_matmul_operator,
    d_a=lambda g, b: s.matmul(g, b.mT),
    d_b=lambda g, a: s.matmul(a.mT, g),
    cases=[((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (7, 3, 4))],
)
def matmul(a, b):
    """Matrix product over the last two axes; leading axes broadcast.

    Shape: ``(*, n, k) @ (*, k, m) → (*, n, m)``; a vector counts as a row on the left and as a
    column on the right, and leaves no axis of its own.

    >>> import retrograd as rg
    >>> rg.ones(2, 3) @ rg.ones(3)
    tensor([3., 3.])
    """
    return s.matmul(a, b)


def _of_rank(name: str, argument: str, x: Any, ndim: int) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")
    if x.array.ndim != ndim:
        kind = {1: "vector", 2: "matrix", 3: "batch of matrices"}[ndim]
        raise RuntimeError(
            f"{name}(): {argument} must be a {kind} ({ndim}D), got {x.array.ndim}D {list(x.shape)}"
        )


@composite()
def mm(input: Any, mat2: Any) -> Any:
    """Product of two matrices; nothing broadcasts."""
    _of_rank("mm", "self", input, 2)
    _of_rank("mm", "mat2", mat2, 2)
    return matmul(input, mat2)


@composite()
def bmm(input: Any, mat2: Any) -> Any:
    """Products of matrices pair by pair.

    Shape: ``(B, n, k), (B, k, m) → (B, n, m)``
    """
    _of_rank("bmm", "batch1", input, 3)
    _of_rank("bmm", "batch2", mat2, 3)
    if input.array.shape[0] != mat2.array.shape[0]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{input.shape[0]}, {input.shape[2]}] but got: [{mat2.shape[0]}, {mat2.shape[1]}]."
        )
    return matmul(input, mat2)


@composite()
def mv(input: Any, vec: Any) -> Any:
    """Product of a matrix and a vector."""
    _of_rank("mv", "input", input, 2)
    _of_rank("mv", "vec", vec, 1)
    return matmul(input, vec)


@composite()
def dot(input: Any, tensor: Any) -> Any:
    """Product of two vectors."""
    _of_rank("dot", "input", input, 1)
    _of_rank("dot", "tensor", tensor, 1)
    return matmul(input, tensor)


@composite(aliases=("ger",))
def outer(input: Any, vec2: Any) -> Any:
    """All products of two vectors' elements."""
    _of_rank("outer", "input", input, 1)
    _of_rank("outer", "vec2", vec2, 1)
    return input.unsqueeze(1) * vec2


def _plus(name: str, input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``β · input + α · product`` in the type of the product."""
    if input.dtype is not product.dtype:
        raise RuntimeError(
            f"{name}(): self and the matrices must have the same dtype, but got {input.dtype} and "
            f"{product.dtype}; convert one of them with .to(...)"
        )
    d = product.dtype
    for factor in (alpha, beta):
        if isinstance(factor, complex) > d.is_complex:
            raise RuntimeError(f"{name}(): for {d} tensors alpha and beta must not be complex")
    if alpha != 1:
        product = product * wrap(number(alpha, d))
    if beta == 0:
        return product.expand(broadcast(input.array.shape, product.array.shape))
    return (input if beta == 1 else input * wrap(number(beta, d))) + product


@composite(inplace=True)
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``β · input + α · mat1 @ mat2``."""
    return _plus("addmm", input, mm(mat1, mat2), beta, alpha)


@composite(inplace=True)
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``β · input + α · mat @ vec``."""
    return _plus("addmv", input, mv(mat, vec), beta, alpha)


@composite(inplace=True)
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``β · input + α · Σ batch1[i] @ batch2[i]``."""
    product = bmm(batch1, batch2)
    return _plus("addbmm", input, product.sum(0).to(product.dtype), beta, alpha)


@composite(inplace=True)
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``β · input + α · batch1[i] @ batch2[i]``."""
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@composite(inplace=True)
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """``β · input + α · outer(vec1, vec2)``."""
    return _plus("addr", input, outer(vec1, vec2), beta, alpha)


@composite(inplace=True)
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value · tensor1 · tensor2``."""
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


@composite(inplace=True)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value · tensor1 / tensor2``."""
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)


@composite()
def vdot(input: Any, other: Any) -> Any:
    """Product of two vectors, the first conjugated."""
    _of_rank("vdot", "self", input, 1)
    _of_rank("vdot", "other", other, 1)
    return matmul(input.conj() if input.is_complex() else input, other)


@composite()
def inner(input: Any, other: Any) -> Any:
    """Products summed over the last axis of both."""
    if not input.array.ndim or not other.array.ndim:
        return input * other
    if input.array.shape[-1] != other.array.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    return tensordot(input, other, ([-1], [-1]))


@composite(method=False)
def tensordot(a: Any, b: Any, dims: Any = 2, out: None = None) -> Any:
    """Products summed over several axes: the last ``dims`` of ``a`` and first of ``b``, or lists.

    >>> import retrograd as rg
    >>> rg.tensordot(rg.ones(2, 3), rg.ones(3, 4), 1).shape
    torch.Size([2, 4])
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.array.ndim, b.array.ndim):
            raise RuntimeError(
                "tensordot expects dims < ndim_a or ndim_b, but got dims="
                f"{dims} for {a.array.ndim}D and {b.array.ndim}D tensors"
            )
        dims = range(a.array.ndim - dims, a.array.ndim), range(dims)
    left = [axis_of(d, a.array.ndim) for d in dims[0]]
    right = [axis_of(d, b.array.ndim) for d in dims[1]]
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have the same length")
    for i, j in zip(left, right, strict=True):
        if a.array.shape[i] != b.array.shape[j] and 1 not in (a.array.shape[i], b.array.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.array.shape[i]} in "
                f"dim {i} and second has size {b.array.shape[j]} in dim {j}"
            )
        if a.array.shape[i] != b.array.shape[j]:  # an axis of size 1 stands for its repetition
            a, b = (_shrunk(x, k) for x, k in ((a, i), (b, j)))
    rows_of = [i for i in range(a.array.ndim) if i not in left]
    columns_of = [i for i in range(b.array.ndim) if i not in right]
    depth = math.prod(a.array.shape[i] for i in left)
    shape = [*(a.array.shape[i] for i in rows_of), *(b.array.shape[i] for i in columns_of)]
    n = math.prod(shape[: len(rows_of)])
    x = a.permute([*rows_of, *left]).reshape(n, depth)
    y = b.permute([*right, *columns_of]).reshape(depth, math.prod(shape[len(rows_of) :]))
    return matmul(x, y).reshape(shape)


def _shrunk(x: Any, axis: int) -> Any:
    return x if x.array.shape[axis] == 1 else x.sum(axis, keepdim=True).to(x.dtype)


@composite(method=False)
def chain_matmul(*matrices: Any) -> Any:
    """Product of two or more matrices, in the cheapest order."""
    for i, x in enumerate(matrices):
        _of_rank("chain_matmul", f"matrix {i}", x, 2)
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    sizes = [x.array.shape[0] for x in matrices] + [matrices[-1].array.shape[1]]
    return _in_order(list(matrices), _cheapest(sizes), 0, len(matrices) - 1)


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to split each run of matrices so that the fewest numbers are multiplied."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    splits = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            at = min(
                range(i, j),
                key=lambda k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1],
            )
            splits[i, j] = at
            cost[i, j] = cost[i, at] + cost[at + 1, j] + sizes[i] * sizes[at + 1] * sizes[j + 1]
    return splits


def _in_order(matrices: list[Any], splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return matrices[i]
    at = splits[i, j]
    return mm(_in_order(matrices, splits, i, at), _in_order(matrices, splits, at + 1, j))


@composite()
def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """Cross product of vectors of three along an axis (the first of size 3)."""
    if input.array.ndim != other.array.ndim:
        raise RuntimeError(
            f"inconsistent tensors dimensions input: {input.array.ndim} other: {other.array.ndim}"
        )
    if dim is None:
        dim = next((i for i, n in enumerate(input.array.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError(f"no dimension of size 3 in input {list(input.shape)}")
    axis = axis_of(dim, input.array.ndim)
    if input.array.shape[axis] != 3 or other.array.shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got "
            f"{input.array.shape[axis]} and {other.array.shape[axis]}"
        )
    shape = broadcast(input.array.shape, other.array.shape)
    a, b = input.expand(shape), other.expand(shape)
    return a.roll(-1, axis) * b.roll(-2, axis) - a.roll(-2, axis) * b.roll(-1, axis)


@composite()
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Covariance of variables (rows) over observations (columns), which may have weights."""
    if input.array.ndim > 2:
        raise RuntimeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.array.ndim} dimensions"
        )
    if input.dtype.name == "bool":
        raise RuntimeError("cov(): bool dtype is not supported for input; use .int()")
    x = input.reshape(1, -1) if input.array.ndim < 2 else input
    count = x.array.shape[1]
    weights = _weights(fweights, aweights, count)
    if not x.is_floating_point() and not x.is_complex():
        x = x.float()
    if weights is None:
        total = count
        x = x - x.mean(1, keepdim=True)
        scaled = x
    else:
        total = weights.sum()
        x = x - (x * weights).sum(1, keepdim=True) / total
        scaled = x * weights
    if aweights is None:
        left = total - correction
    else:
        left = total - correction * (weights * aweights).sum() / total
    left = left.clamp(min=0) if isinstance(left, Tensor) else max(left, 0)
    product = matmul(scaled, (x.conj() if x.is_complex() else x).mT) / left
    return product.squeeze()


def _weights(fweights: Any, aweights: Any, count: int) -> Any:
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        if w.array.ndim > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions")
        if w.array.size != count:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the "
                f"input but got {w.array.size} != {count}"
            )
        if w.array.size and w.array.min() < 0:
            raise RuntimeError(f"cov(): {name} cannot be negative")
    if fweights is not None and fweights.array.dtype.kind not in "iu":
        raise RuntimeError(
            f"cov(): expected fweights to have integral dtype but got {fweights.dtype}"
        )
    if aweights is not None and not aweights.is_floating_point():
        raise RuntimeError(
            f"cov(): expected aweights to have floating point dtype but got {aweights.dtype}"
        )
    if fweights is None or aweights is None:
        return aweights if fweights is None else fweights
    return fweights * aweights


@composite()
def corrcoef(input: Any) -> Any:
    """Correlation of variables (rows): `cov` divided by both standard deviations."""
    if input.array.ndim > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input.array.ndim} dimensions"
        )
    c = cov(input)
    if not c.array.ndim:
        return c / c
    deviations = c.diagonal().sqrt()
    return c / deviations.unsqueeze(1) / deviations


@word
def rows(x: Any) -> Any:
    """All axes but the last as one."""
    shape = x.array.shape
    return x if len(shape) == 2 else x.reshape(math.prod(shape[:-1]), shape[-1])


@word(arrays=deferred.rows_product)
def rows_product(left: Any, right: Any) -> Any:
    """``leftᵀ right``: the gradient of a weight."""
    return matmul(left.mT, right)


@word(arrays=deferred.rows_sum)
def rows_sum(g: Any) -> Any:
    """The sum of rows: the gradient of a bias."""
    return g.sum(0)


def _times_transpose(x: Any, weight: Any) -> Any:
    """``x Wᵀ`` along the last axis, or PyTorch's complaint."""
    if x.dtype is not weight.dtype and x.dtype != weight.dtype:
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {x.dtype} and {weight.dtype}: "
            "convert the input or the layer with .to(...)"
        )
    if x.ndim == 2:
        try:
            return s.matmul(x, weight.T)
        except ValueError:
            pass
    if not x.ndim or x.shape[-1] != weight.shape[-1]:
        left, right = ("x".join(map(str, a.shape)) for a in (s.rows(np.atleast_1d(x)), weight.T))
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({left} and {right}): the layer takes "
            f"{weight.shape[-1]} features, and the last axis of the input {list(x.shape)} has "
            f"{x.shape[-1] if x.ndim else 'none'}"
        )
    return s.matmul(s.rows(x), weight.T).reshape(*x.shape[:-1], len(weight))


def _fits(x: Any, weight: Any, bias: Any) -> bool:
    """Whether the shapes are those of a layer without mistakes."""
    return x.ndim > 1 and x.shape[-1] == weight.shape[-1] and bias.shape == weight.shape[:1]


@opaque(
    d_x=lambda g, x_shape, weight: s.reshape(s.matmul(s.rows(g), weight), x_shape),
    d_weight=lambda g, x: s.rows_product(s.rows(g), s.rows(x)),
    cases=[((2, 3), (4, 3)), ((3,), (4, 3)), ((2, 5, 3), (4, 3))],
    public=False,
    method=False,
)
def linear_map(x, weight, /):
    """``x Wᵀ`` along the last axis.

    Shape: ``(*, n), (m, n) → (*, m)``
    """
    return _times_transpose(x, weight)


@opaque(
    d_x=lambda g, x_shape, weight: s.reshape(s.matmul(s.rows(g), weight), x_shape),
    d_weight=lambda g, x: s.rows_product(s.rows(g), s.rows(x)),
    d_bias=lambda g: g,
    cases=[((2, 3), (4, 3), (4,)), ((3,), (4, 3), (4,)), ((2, 5, 3), (4, 3), (4,))],
    public=False,
    method=False,
)
def affine(x, weight, bias, /):
    """``x Wᵀ + b`` along the last axis, as one line of the tape.

    Shape: ``(*, n), (m, n), (m,) → (*, m)``
    """
    if x.size >= s.SIZABLE and x.dtype == weight.dtype == bias.dtype and _fits(x, weight, bias):
        out = products.dot(s.rows(x), weight.T, bias)
        return out if x.ndim == 2 else out.reshape(*x.shape[:-1], len(weight))
    out = _times_transpose(x, weight)
    if bias.dtype != out.dtype:
        raise RuntimeError(f"expected a bias of {out.dtype}, but got {bias.dtype}")
    return np.add(out, bias, out=out)


registry["linear_map"].backward_name = "MmBackward0"  # as PyTorch's users know them
registry["affine"].backward_name = "AddmmBackward0"
