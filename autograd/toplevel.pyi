"""The functions of the package's front door; written by ``python -m retrograd.autograd.stubs``."""

import builtins
from typing import Any, Self

from .tensor import Tensor


def abs(input: Any) -> Tensor:
    """The distance from zero; the slope at zero is taken as zero."""
def absolute(input: Any) -> Tensor:
    """The distance from zero; the slope at zero is taken as zero."""
def acos(input: Any) -> Tensor:
    """The angle in [0, π] whose cosine is ``x``."""
def acosh(input: Any) -> Tensor:
    """The inverse of `cosh`."""
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The averages of so many windows of the last axis."""
def adaptive_max_pool1d(input: Any, output_size: Any) -> Any:
    """The largest elements of so many windows of the last axis, and where they are."""
def add(input: Any, other: Any, *, alpha: Any = ...) -> Any:
    """``input + alpha · other``."""
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
    """``β · input + α · Σ batch1[i] @ batch2[i]``."""
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = ...) -> Any:
    """``input + value · tensor1 / tensor2``."""
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = ...) -> Any:
    """``input + value · tensor1 · tensor2``."""
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
    """``β · input + α · mat1 @ mat2``."""
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
    """``β · input + α · mat @ vec``."""
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
    """``β · input + α · outer(vec1, vec2)``."""
def all(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
    """Whether every element is nonzero."""
def allclose(input: Any, other: Any, rtol: builtins.float = ..., atol: builtins.float = ..., equal_nan: builtins.bool = ...) -> builtins.bool:
    """Whether `isclose` holds everywhere."""
def amax(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
    """Largest along ``dim``; ties share the gradient."""
def amin(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
    """Smallest along ``dim``; ties share the gradient."""
def aminmax(input: Any, *, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
    """Smallest and largest, of all or along ``dim``; ties share the gradient."""
def any(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
    """Whether any element is nonzero."""
def arange(start: Any = ..., end: Any = ..., step: Any = ..., *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """Numbers from ``start`` (0) up to, not including, ``end``."""
def arccos(input: Any) -> Tensor:
    """The angle in [0, π] whose cosine is ``x``."""
def arccosh(input: Any) -> Tensor:
    """The inverse of `cosh`."""
def arcsin(input: Any) -> Tensor:
    """The angle in [-π/2, π/2] whose sine is ``x``."""
def arcsinh(input: Any) -> Tensor:
    """The inverse of `sinh`."""
def arctan(input: Any) -> Tensor:
    """The angle in (-π/2, π/2) whose tangent is ``x``."""
def arctan2(input: Any, other: Any) -> Tensor:
    """The angle of the point ``(b, a)``."""
def arctanh(input: Any) -> Tensor:
    """The inverse of `tanh`."""
def argmax(input: Any, dim: builtins.int | None = ..., keepdim: builtins.bool = ...) -> Any:
    """Index of the largest element: in the flattened tensor, or along ``dim``."""
def argmin(input: Any, dim: builtins.int | None = ..., keepdim: builtins.bool = ...) -> Any:
    """Index of the smallest element: in the flattened tensor, or along ``dim``."""
def argsort(input: Any, dim: builtins.int = ..., descending: builtins.bool = ..., stable: builtins.bool = ...) -> Any:
    """The indices of `sort`."""
def argwhere(input: Any) -> Any:
    """The indices of nonzero elements, one row each."""
def as_strided(input: Any, size: Any, stride: Any, storage_offset: builtins.int | None = ...) -> Any:
    """A view of the tensor's memory with any size, strides and offset."""
def as_tensor(data: Any, dtype: Any = ..., device: Any = ...) -> Tensor:
    """``data`` as a tensor; tensors and arrays of the wanted type are not copied."""
def asarray(obj: Any, *, dtype: Any = ..., device: Any = ..., copy: builtins.bool | None = ..., requires_grad: builtins.bool = ...) -> Tensor:
    """`as_tensor` with a say about copying: ``copy=True`` always does, ``False`` never."""
def asin(input: Any) -> Tensor:
    """The angle in [-π/2, π/2] whose sine is ``x``."""
def asinh(input: Any) -> Tensor:
    """The inverse of `sinh`."""
def atan(input: Any) -> Tensor:
    """The angle in (-π/2, π/2) whose tangent is ``x``."""
def atan2(input: Any, other: Any) -> Tensor:
    """The angle of the point ``(b, a)``."""
def atanh(input: Any) -> Tensor:
    """The inverse of `tanh`."""
def atleast_1d(*tensors: Any) -> Any:
    """A tensor, or each of several, with 1 axes or more: missing ones are new."""
def atleast_2d(*tensors: Any) -> Any:
    """A tensor, or each of several, with 2 axes or more: missing ones are new."""
def atleast_3d(*tensors: Any) -> Any:
    """A tensor, or each of several, with 3 axes or more: missing ones are new."""
def avg_pool1d(input: Any, kernel_size: Any, stride: Any = ..., padding: Any = ..., ceil_mode: builtins.bool = ..., count_include_pad: builtins.bool = ...) -> Any:
    """The average of each window of the last axis."""
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
    """``β · input + α · batch1[i] @ batch2[i]``."""
def bernoulli(input: Tensor, p: builtins.float | None = ..., *, generator: Any = ..., out: Tensor | None = ...) -> Tensor:
    """Ones with the probabilities that ``input`` holds (or all with ``p``), and zeros."""
def bitwise_and(input: Any, other: Any) -> Tensor:
    """Bit by bit and; logical and for truth values."""
def bitwise_left_shift(input: Any, other: Any) -> Tensor:
    """``a · 2ᵇ`` by moving bits."""
def bitwise_not(input: Any) -> Tensor:
    """Bit by bit not; logical not for truth values."""
def bitwise_or(input: Any, other: Any) -> Tensor:
    """Bit by bit or; logical or for truth values."""
def bitwise_right_shift(input: Any, other: Any) -> Tensor:
    """``a / 2ᵇ``, rounded down, by moving bits."""
def bitwise_xor(input: Any, other: Any) -> Tensor:
    """Bit by bit exclusive or."""
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of one, zeros around them."""
def bmm(input: Any, mat2: Any) -> Any:
    """Products of matrices pair by pair."""
def broadcast_shapes(*sizes: Any) -> Any:
    """The shape that all sizes stretch to."""
def broadcast_tensors(*tensors: Any) -> Any:
    """Tensors stretched to their common shape."""
def broadcast_to(input: Any, size: Any) -> Any:
    """`expand` as a function."""
def bucketize(input: Any, boundaries: Any, *, out_int32: builtins.bool = ..., right: builtins.bool = ...) -> Any:
    """The number of the bucket each value falls into, between sorted boundaries."""
def can_cast(from_: Any, to: Any) -> builtins.bool:
    """Whether a value of one type may be written into another: never to a lower category."""
def cartesian_prod(*tensors: Any) -> Any:
    """Every combination of one element of each vector, a row each."""
def cat(tensors: Any, dim: builtins.int = ...) -> Any:
    """Tensors one after the other along an axis."""
def ceil(input: Any) -> Tensor:
    """The smallest integer not below; flat everywhere."""
def celu(input: Any, alpha: builtins.float = ...) -> Tensor:
    """``x`` where positive, ``α · (e^(x/α) - 1)`` elsewhere: smooth for every α (Barron 2017)."""
def chain_matmul(*matrices: Any) -> Any:
    """Product of two or more matrices, in the cheapest order."""
def channel_shuffle(input: Any, groups: builtins.int) -> Any:
    """The channels of ``groups`` groups dealt out in turn (Zhang et al. 2017)."""
def chunk(input: Any, chunks: builtins.int, dim: builtins.int = ...) -> Any:
    """At most ``chunks`` consecutive parts of an axis, equal but for the last."""
def clamp(input: Any, min: Any = ..., max: Any = ...) -> Any:
    """``input`` with what is below ``min`` or above ``max`` replaced by it."""
def clamp_max(input: Any, high: Any) -> Tensor:
    """``x``, but nowhere more than ``high``, a number or a tensor."""
def clamp_min(input: Any, low: Any) -> Tensor:
    """``x``, but nowhere less than ``low``, a number or a tensor."""
def clip(input: Any, min: Any = ..., max: Any = ...) -> Any:
    """``input`` with what is below ``min`` or above ``max`` replaced by it."""
def clone(input: Any, memory_format: Any = ...) -> Tensor:
    """A copy in memory of its own, connected to the tape."""
def column_stack(tensors: Any) -> Any:
    """`hstack` of vectors as columns."""
def combinations(input: Any, r: builtins.int = ..., with_replacement: builtins.bool = ...) -> Any:
    """Every choice of ``r`` elements of a vector, a row each, in order."""
def concat(tensors: Any, dim: builtins.int = ...) -> Any:
    """Tensors one after the other along an axis."""
def concatenate(tensors: Any, dim: builtins.int = ...) -> Any:
    """Tensors one after the other along an axis."""
def conv1d(input: Any, weight: Any, bias: Any = ..., stride: Any = ..., padding: Any = ..., dilation: Any = ..., groups: builtins.int = ...) -> Any:
    """Filters slid over sequences: ``y[f, o] = b[f] + Σ x[c, o·stride + k] · w[f, c, k]``."""
def conv2d(input: Any, weight: Any, bias: Any = ..., stride: Any = ..., padding: Any = ..., dilation: Any = ..., groups: builtins.int = ...) -> Any:
    """Filters slid over images; see `conv1d`."""
def conv3d(input: Any, weight: Any, bias: Any = ..., stride: Any = ..., padding: Any = ..., dilation: Any = ..., groups: builtins.int = ...) -> Any:
    """Filters slid over volumes; see `conv1d`."""
def conv_transpose1d(input: Any, weight: Any, bias: Any = ..., stride: Any = ..., padding: Any = ..., output_padding: Any = ..., groups: builtins.int = ..., dilation: Any = ...) -> Any:
    """Every element times the filters, added up where their windows overlap."""
def conv_transpose2d(input: Any, weight: Any, bias: Any = ..., stride: Any = ..., padding: Any = ..., output_padding: Any = ..., groups: builtins.int = ..., dilation: Any = ...) -> Any:
    """`conv_transpose1d` for images."""
def conv_transpose3d(input: Any, weight: Any, bias: Any = ..., stride: Any = ..., padding: Any = ..., output_padding: Any = ..., groups: builtins.int = ..., dilation: Any = ...) -> Any:
    """`conv_transpose1d` for volumes."""
def copysign(input: Any, other: Any) -> Tensor:
    """The size of ``a`` with the sign of ``b``."""
def corrcoef(input: Any) -> Any:
    """Correlation of variables (rows): `cov` divided by both standard deviations."""
def cos(input: Any) -> Tensor:
    """The cosine of an angle in radians."""
def cosh(input: Any) -> Tensor:
    """The hyperbolic cosine."""
def count_nonzero(input: Any, dim: Any = ...) -> Any:
    """How many elements are nonzero, of all or along ``dim``."""
def cov(input: Any, *, correction: builtins.int = ..., fweights: Any = ..., aweights: Any = ...) -> Any:
    """Covariance of variables (rows) over observations (columns), which may have weights."""
def cross(input: Any, other: Any, dim: builtins.int | None = ...) -> Any:
    """Cross product of vectors of three along an axis (the first of size 3)."""
def cummax(input: Any, dim: builtins.int) -> Any:
    """Largest so far along ``dim``, and where it was found (the last place of several)."""
def cummin(input: Any, dim: builtins.int) -> Any:
    """Smallest so far along ``dim``, and where it was found (the last place of several)."""
def cumprod(input: Any, dim: builtins.int, *, dtype: Any = ...) -> Any:
    """Products so far along ``dim``; the gradient is right at zeros too."""
def cumsum(input: Any, dim: builtins.int, *, dtype: Any = ...) -> Any:
    """Totals so far along ``dim``."""
def deg2rad(input: Any) -> Tensor:
    """Degrees as radians."""
def diag(input: Any, diagonal: builtins.int = ...) -> Any:
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector."""
def diag_embed(input: Any, offset: builtins.int = ..., dim1: builtins.int = ..., dim2: builtins.int = ...) -> Any:
    """The last axis as the diagonal of two new ones."""
def diagflat(input: Any, offset: builtins.int = ...) -> Any:
    """All elements as the diagonal of a matrix."""
def diagonal(input: Any, offset: Any = ..., dim1: Any = ..., dim2: Any = ...) -> Tensor:
    """The diagonal of two axes, as the last axis."""
def diagonal_scatter(input: Any, src: Any, offset: builtins.int = ..., dim1: builtins.int = ..., dim2: builtins.int = ...) -> Any:
    """A copy of ``input`` with ``src`` on the diagonal of two axes."""
def diff(input: Any, n: builtins.int = ..., dim: builtins.int = ..., prepend: Any = ..., append: Any = ...) -> Any:
    """Each entry of an axis minus the one before it, ``n`` times over."""
def dist(input: Any, other: Any, p: Any = ...) -> Any:
    """The `norm` of the difference."""
def div(input: Any, other: Any, *, rounding_mode: builtins.str | None = ...) -> Any:
    """Quotient; ``rounding_mode`` "floor" or "trunc" makes it a whole number."""
def divide(input: Any, other: Any, *, rounding_mode: builtins.str | None = ...) -> Any:
    """Quotient; ``rounding_mode`` "floor" or "trunc" makes it a whole number."""
def dot(input: Any, tensor: Any) -> Any:
    """Product of two vectors."""
def dsplit(input: Any, indices_or_sections: Any) -> Any:
    """`tensor_split` along the third axis."""
def dstack(tensors: Any) -> Any:
    """Tensors behind each other, along the third axis."""
def einsum(*args: Any) -> Any:
    """The sum of products that ``equation`` spells, as in ``einsum("ij,jk->ik", a, b)``."""
def elu(input: Any, alpha: builtins.float = ...) -> Tensor:
    """``x`` where positive, ``α · (eˣ - 1)`` elsewhere (Clevert et al. 2015)."""
def empty(*size: Any, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., memory_format: Any = ..., **options: Any) -> Tensor:
    """A tensor of uninitialised memory."""
def empty_like(input: Tensor, **options: Any) -> Tensor:
    """`empty` in the shape and type of ``input``."""
def empty_strided(size: Any, stride: Any, *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """A tensor of uninitialised memory with the strides (in elements) that are asked for."""
def eq(input: Any, other: Any) -> Tensor:
    """Where the two are equal."""
def equal(input: Any, other: Any) -> builtins.bool:
    """Whether two tensors have the same size and the same elements."""
def erf(input: Any) -> Tensor:
    """The error function ``2/√π ∫₀ˣ exp(-t²) dt``."""
def erfc(input: Any) -> Tensor:
    """``1 - erf(x)``, accurate where that is tiny."""
def exp(input: Any) -> Tensor:
    """``e`` raised to ``x``."""
def exp2(input: Any) -> Tensor:
    """2 raised to ``x``."""
def expand(input: Any, *size: Any) -> Tensor:
    """Axes of size 1 stretched, and new ones put in front, without copying; -1 keeps a size."""
def expm1(input: Any) -> Tensor:
    """``eˣ - 1``, accurate near zero."""
def eye(n: builtins.int, m: builtins.int | None = ..., *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
def fix(input: Any) -> Tensor:
    """The integer part; flat everywhere."""
def flatten(input: Any, start_dim: builtins.int = ..., end_dim: builtins.int = ...) -> Any:
    """The axes from ``start_dim`` to ``end_dim`` as one."""
def flip(input: Any, *dims: Any) -> Tensor:
    """Reversed along some axes."""
def fliplr(input: Any) -> Any:
    """Reversed left to right."""
def flipud(input: Any) -> Any:
    """Reversed top to bottom."""
def float_power(input: Any, exponent: Any) -> Any:
    """`pow` computed in float64."""
def floor(input: Any) -> Tensor:
    """The largest integer not above; flat everywhere."""
def floor_divide(input: Any, other: Any) -> Tensor:
    """Quotient rounded towards minus infinity."""
def fmax(input: Any, other: Any) -> Tensor:
    """The larger of two; a number wins against NaN."""
def fmin(input: Any, other: Any) -> Tensor:
    """The smaller of two; a number wins against NaN."""
def fmod(input: Any, other: Any) -> Tensor:
    """What a division rounded towards zero leaves; it has the dividend's sign."""
def frac(input: Any) -> Tensor:
    """The part behind the point, with the sign of ``x``."""
def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares memory with any object that speaks DLPack."""
def from_numpy(array: Any) -> Tensor:
    """A tensor that shares memory with ``array``."""
def full(size: Any, fill_value: Any, *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """A tensor filled with one value, whose type decides the dtype."""
def full_like(input: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """`full` in the shape and type of ``input``."""
def gather(input: Any, dim: builtins.int, index: Any, *, sparse_grad: builtins.bool = ...) -> Any:
    """``out[i][j] = input[index[i][j]][j]`` for ``dim = 0``; ``out`` has the index's shape."""
def ge(input: Any, other: Any) -> Tensor:
    """Where the first is not smaller."""
def gelu(input: Any, *, approximate: builtins.str = ...) -> Any:
    """``x · Φ(x)``; ``approximate="tanh"`` replaces the normal distribution function Φ."""
def ger(input: Any, vec2: Any) -> Any:
    """All products of two vectors' elements."""
def get_rng_state() -> Tensor:
    """The state of the default generator, as a tensor of bytes that PyTorch reads too."""
def greater(input: Any, other: Any) -> Tensor:
    """Where the first is larger."""
def greater_equal(input: Any, other: Any) -> Tensor:
    """Where the first is not smaller."""
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = ..., b_hh: Any = ...) -> Any:
    """One step of a GRU."""
def gt(input: Any, other: Any) -> Tensor:
    """Where the first is larger."""
def hardshrink(input: Any, lambd: builtins.float = ...) -> Tensor:
    """Zero within [-λ, λ], ``x`` outside."""
def heaviside(input: Any, values: Any) -> Any:
    """The step function: 0 below zero, 1 above, and ``values`` at zero."""
def hsplit(input: Any, indices_or_sections: Any) -> Any:
    """`tensor_split` into columns (of a vector: along its one axis)."""
def hstack(tensors: Any) -> Any:
    """Tensors side by side: along the second axis."""
def hypot(input: Any, other: Any) -> Tensor:
    """``√(a² + b²)``, without overflow."""
def index_add(input: Any, dim: builtins.int, index: Any, source: Any, *, alpha: Any = ...) -> Any:
    """``source`` added to the entries of one axis that ``index`` names."""
def index_copy(input: Any, dim: builtins.int, index: Any, source: Any) -> Any:
    """``source`` written to the entries of one axis that ``index`` names."""
def index_fill(input: Any, dim: builtins.int, index: Any, value: Any) -> Any:
    """One value written to the entries of one axis that ``index`` names."""
def index_put(input: Any, indices: Any, values: Any, accumulate: builtins.bool = ...) -> Any:
    """``values`` written (or added) at ``input[indices]``."""
def index_reduce(input: Any, dim: builtins.int, index: Any, source: Any, reduce: builtins.str, *, include_self: builtins.bool = ...) -> Any:
    """`scatter_reduce` of whole entries of an axis, which a vector names."""
def index_select(input: Any, dim: builtins.int, index: Any) -> Any:
    """The entries of one axis that a vector of integers names."""
def initial_seed() -> builtins.int:
    """The seed of the default generator."""
def inner(input: Any, other: Any) -> Any:
    """Products summed over the last axis of both."""
def is_complex(input: Any) -> builtins.bool:
    """Whether the elements are complex."""
def is_floating_point(input: Any) -> builtins.bool:
    """Whether the elements are real floating numbers."""
def is_tensor(obj: Any) -> builtins.bool:
    """Whether an object is a tensor."""
def isclose(input: Any, other: Any, rtol: builtins.float = ..., atol: builtins.float = ..., equal_nan: builtins.bool = ...) -> Any:
    """Where ``|a - b| ≤ atol + rtol·|b|``."""
def isfinite(input: Any) -> Any:
    """Where the value is neither infinite nor NaN."""
def isin(elements: Any, test_elements: Any, *, assume_unique: builtins.bool = ..., invert: builtins.bool = ...) -> Any:
    """Whether each element is among the test elements."""
def isinf(input: Any) -> Any:
    """Where the value is infinite."""
def isnan(input: Any) -> Tensor:
    """Where the value is not a number."""
def isneginf(input: Any) -> Any:
    """Where the value is minus infinity."""
def isposinf(input: Any) -> Any:
    """Where the value is plus infinity."""
def kron(input: Any, other: Any) -> Any:
    """Kronecker product: every element of ``input`` times the whole of ``other``."""
def kthvalue(input: Any, k: builtins.int, dim: builtins.int = ..., keepdim: builtins.bool = ...) -> Any:
    """The ``k``-th smallest along ``dim``, counted from 1, and its index."""
def ldexp(input: Any, other: Any) -> Any:
    """``input · 2^other``."""
def le(input: Any, other: Any) -> Tensor:
    """Where the first is not larger."""
def leaky_relu(input: Any, negative_slope: builtins.float = ...) -> Tensor:
    """``x`` where positive, ``negative_slope · x`` elsewhere (Maas et al. 2013)."""
def lerp(start: Any, end: Any, weight: Any) -> Tensor:
    """``start + weight · (end - start)``, exact at both ends."""
def less(input: Any, other: Any) -> Tensor:
    """Where the first is smaller."""
def less_equal(input: Any, other: Any) -> Tensor:
    """Where the first is not larger."""
def linspace(start: Any, end: Any, steps: builtins.int, *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """``steps`` evenly spaced numbers, both ends included."""
def log(input: Any) -> Tensor:
    """The natural logarithm."""
def log10(input: Any) -> Tensor:
    """The logarithm to base 10."""
def log1p(input: Any) -> Tensor:
    """``log(1 + x)``, accurate near zero."""
def log2(input: Any) -> Tensor:
    """The logarithm to base 2."""
def log_softmax(input: Any, dim: Any, *, dtype: Any = ...) -> Tensor:
    """``log softmax(x)``, computed without leaving the logarithm."""
def logaddexp(input: Any, other: Any) -> Tensor:
    """``log(eᵃ + eᵇ)``, without overflow."""
def logaddexp2(input: Any, other: Any) -> Tensor:
    """``log2(2ᵃ + 2ᵇ)``, without overflow."""
def logical_and(input: Any, other: Any) -> Any:
    """Where both are nonzero."""
def logical_not(input: Any) -> Any:
    """Where the value is zero."""
def logical_or(input: Any, other: Any) -> Any:
    """Where either is nonzero."""
def logical_xor(input: Any, other: Any) -> Any:
    """Where exactly one is nonzero."""
def logit(input: Any, eps: builtins.float | None = ...) -> Any:
    """``log(x / (1 - x))`` of ``x`` clamped to ``[eps, 1 - eps]``: the inverse of `sigmoid`."""
def logspace(start: Any, end: Any, steps: builtins.int, base: builtins.float = ..., *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """``base`` raised to `linspace`."""
def logsumexp(input: Any, dim: Any, keepdim: builtins.bool = ...) -> Tensor:
    """``log Σ eˣ`` along ``dim``, without overflow."""
def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = ..., b_hh: Any = ...) -> Any:
    """One step of an LSTM: the new ``h`` and ``c`` from the pair ``hx``."""
def lt(input: Any, other: Any) -> Tensor:
    """Where the first is smaller."""
def manual_seed(seed: Any) -> Any:
    """Seed the default generator, and return it."""
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``value`` where the mask holds."""
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The elements where a mask holds replaced by those of ``source``, in order."""
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where a mask holds, in one axis."""
def matmul(input: Any, other: Any) -> Tensor:
    """Matrix product over the last two axes; leading axes broadcast."""
def max(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
    """Largest of all; along ``dim`` (values, indices); with a tensor, `maximum` of the two."""
def max_pool1d(input: Any, kernel_size: Any, stride: Any = ..., padding: Any = ..., dilation: Any = ..., ceil_mode: builtins.bool = ...) -> Any:
    """The largest element of each window of the last axis."""
def max_pool1d_with_indices(input: Any, kernel_size: Any, stride: Any = ..., padding: Any = ..., dilation: Any = ..., ceil_mode: builtins.bool = ...) -> Any:
    """The largest element of each window of the last axis, and where it is."""
def max_pool2d(input: Any, kernel_size: Any, stride: Any = ..., padding: Any = ..., dilation: Any = ..., ceil_mode: builtins.bool = ...) -> Any:
    """The largest element of each window of the last two axes."""
def max_pool3d(input: Any, kernel_size: Any, stride: Any = ..., padding: Any = ..., dilation: Any = ..., ceil_mode: builtins.bool = ...) -> Any:
    """The largest element of each window of the last three axes."""
def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two; NaN wins; a tie shares the gradient."""
def mean(input: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Tensor:
    """Average along ``dim``."""
def median(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
    """The middle value (the lower of two), of all or with its index along ``dim``; NaN wins."""
def meshgrid(*tensors: Any, indexing: builtins.str = ...) -> Any:
    """Coordinates of the grid that vectors span, one tensor per vector."""
def min(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
    """Smallest of all; along ``dim`` (values, indices); with a tensor, `minimum` of the two."""
def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two; NaN wins; a tie shares the gradient."""
def mm(input: Any, mat2: Any) -> Any:
    """Product of two matrices; nothing broadcasts."""
def mode(input: Any, dim: builtins.int = ..., keepdim: builtins.bool = ...) -> Any:
    """The most frequent value along ``dim`` (the smallest of several), and an index of it."""
def moveaxis(input: Any, source: Any, destination: Any) -> Any:
    """Some axes put elsewhere, the others in their order."""
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Some axes put elsewhere, the others in their order."""
def msort(input: Any) -> Any:
    """The values of `sort` along the first axis."""
def mul(input: Any, other: Any) -> Tensor:
    """Product, element by element."""
def multinomial(input: Tensor, num_samples: builtins.int, replacement: builtins.bool = ..., *, generator: Any = ..., out: Tensor | None = ...) -> Tensor:
    """Indices drawn with the probabilities that ``input`` holds, up to a factor for each row."""
def multiply(input: Any, other: Any) -> Tensor:
    """Product, element by element."""
def mv(input: Any, vec: Any) -> Any:
    """Product of a matrix and a vector."""
def nan_to_num(input: Any, nan: Any = ..., posinf: Any = ..., neginf: Any = ...) -> Any:
    """Numbers in place of NaN (0) and the infinities (the largest and smallest of the type)."""
def nanmean(input: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Any:
    """`mean` of what is not NaN."""
def nanmedian(input: Any, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
    """`median` of what is not NaN."""
def nanquantile(input: Any, q: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, interpolation: builtins.str = ...) -> Any:
    """`quantile` of what is not NaN."""
def nansum(input: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Any:
    """`sum` of what is not NaN."""
def narrow(input: Any, dim: builtins.int, start: Any, length: builtins.int) -> Any:
    """``length`` entries of an axis from ``start`` on."""
def native_channel_shuffle(input: Any, groups: builtins.int) -> Any:
    """The channels of ``groups`` groups dealt out in turn (Zhang et al. 2017)."""
def ne(input: Any, other: Any) -> Tensor:
    """Where the two differ."""
def neg(input: Any) -> Tensor:
    """The negative."""
def negative(input: Any) -> Tensor:
    """The negative."""
def nonzero(input: Any, *, as_tuple: builtins.bool = ...) -> Any:
    """The indices of nonzero elements: one row each, or one tensor per axis."""
def norm(input: Any, p: Any = ..., dim: Any = ..., keepdim: builtins.bool = ..., dtype: Any = ...) -> Any:
    """The norm of all elements, or along ``dim``: Euclidean, or the ``p``-norm."""
def normal(mean: Tensor | builtins.float = ..., std: Tensor | builtins.float = ..., size: Any = ..., *, generator: Any = ..., out: Tensor | None = ..., **options: Any) -> Tensor:
    """Normal numbers, each of its own mean and standard deviation."""
def not_equal(input: Any, other: Any) -> Tensor:
    """Where the two differ."""
def numel(input: Any) -> builtins.int:
    """How many elements."""
def ones(*size: Any, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """A tensor of ones."""
def ones_like(input: Tensor, **options: Any) -> Tensor:
    """`ones` in the shape and type of ``input``."""
def outer(input: Any, vec2: Any) -> Any:
    """All products of two vectors' elements."""
def permute(input: Any, *dims: Any) -> Tensor:
    """Axes in another order."""
def pixel_shuffle(input: Any, upscale_factor: builtins.int) -> Any:
    """Channels as pixels: r² channels become one that is r times as high and wide (Shi 2016)."""
def pixel_unshuffle(input: Any, downscale_factor: builtins.int) -> Any:
    """Pixels as channels: undoes `pixel_shuffle`."""
def poisson(input: Tensor, generator: Any = ...) -> Tensor:
    """How many events happen at each of the rates that ``input`` holds."""
def positive(input: Any) -> Any:
    """The tensor itself."""
def pow(input: Any, exponent: Any) -> Any:
    """``input`` raised to ``exponent``, element by element; either may be a number."""
def prelu(input: Any, weight: Any) -> Any:
    """``x`` where positive, ``weight · x`` elsewhere: one weight for all, or one for each channel."""
def prod(input: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Any:
    """Product of all elements, or along one axis."""
def promote_types(type1: Any, type2: Any) -> Any:
    """The smallest type that both can be converted to."""
def put(input: Any, index: Any, source: Any, accumulate: builtins.bool = ...) -> Any:
    """``source`` written (or added) to elements of the flattened tensor."""
def quantile(input: Any, q: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, interpolation: builtins.str = ...) -> Any:
    """The values below which the fractions ``q`` of the elements lie; NaN wins."""
def rad2deg(input: Any) -> Tensor:
    """Radians as degrees."""
def rand(*size: Any, generator: Any = ..., out: Tensor | None = ..., dtype: Any = ..., **options: Any) -> Tensor:
    """Uniform numbers in [0, 1)."""
def rand_like(input: Tensor, *, generator: Any = ..., **options: Any) -> Tensor:
    """`rand` in the shape and type of ``input``."""
def randint(*bounds_and_size: Any, generator: Any = ..., out: Tensor | None = ..., dtype: Any = ..., **options: Any) -> Tensor:
    """Integers of [low, high): ``randint(high, size)`` or ``randint(low, high, size)``."""
def randint_like(input: Tensor, *bounds: Any, generator: Any = ..., **options: Any) -> Tensor:
    """`randint` in the shape and type of ``input``: ``(high)`` or ``(low, high)``."""
def randn(*size: Any, generator: Any = ..., out: Tensor | None = ..., dtype: Any = ..., **options: Any) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
def randn_like(input: Tensor, *, generator: Any = ..., **options: Any) -> Tensor:
    """`randn` in the shape and type of ``input``."""
def randperm(n: builtins.int, *, generator: Any = ..., out: Tensor | None = ..., dtype: Any = ..., **options: Any) -> Tensor:
    """The integers 0 … n-1 in random order."""
def ravel(input: Any) -> Any:
    """All elements in one axis."""
def reciprocal(input: Any) -> Tensor:
    """``1 / x``."""
def relu(input: Any) -> Tensor:
    """``x`` where positive, zero elsewhere; the slope at zero is taken as zero."""
def remainder(input: Any, other: Any) -> Tensor:
    """What `floor_divide` leaves; it has the divisor's sign."""
def repeat(input: Any, *sizes: Any, repeats: Any = ...) -> Any:
    """The tensor laid ``repeats[i]`` times after itself along each axis."""
def repeat_interleave(input: Any, repeats: Any = ..., dim: builtins.int | None = ..., *, output_size: builtins.int | None = ...) -> Any:
    """Each entry of an axis ``repeats`` times in a row; alone, each number that often itself."""
def reshape(input: Any, *shape: Any) -> Tensor:
    """The same elements in the same order, in another shape; a copy only where it must be."""
def result_type(tensor1: Any, tensor2: Any) -> Any:
    """The type in which an operation of the two would compute."""
def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = ..., b_hh: Any = ...) -> Any:
    """One step of Elman's network with `relu`: ``max(Wᵢₕ x + bᵢₕ + Wₕₕ h + bₕₕ, 0)``."""
def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = ..., b_hh: Any = ...) -> Any:
    """One step of Elman's network: ``tanh(Wᵢₕ x + bᵢₕ + Wₕₕ h + bₕₕ)``."""
def roll(input: Any, shifts: Any, dims: Any = ...) -> Any:
    """Entries moved on by ``shifts``; what leaves at one end comes in at the other."""
def rot90(input: Any, k: builtins.int = ..., dims: Any = ...) -> Any:
    """Turned by 90 degrees ``k`` times in the plane of two axes, from the first to the second."""
def round(input: Any, *, decimals: builtins.int = ...) -> Any:
    """The nearest number of so many ``decimals``, halves to the even one; flat everywhere."""
def row_stack(tensors: Any) -> Any:
    """Tensors as rows, one below the other."""
def rsqrt(input: Any) -> Tensor:
    """``1 / √x``."""
def rsub(input: Any, other: Any, *, alpha: Any = ...) -> Any:
    """``other - alpha · input``."""
def scalar_tensor(s: Any, *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ...) -> Tensor:
    """One number as a 0-d tensor, of the default float type unless another is given."""
def scatter(input: Any, dim: builtins.int, index: Any, src: Any = ..., *, value: Any = ..., reduce: builtins.str | None = ...) -> Any:
    """``out[index[i][j]][j] = src[i][j]`` for ``dim = 0``; ``src`` may be one number."""
def scatter_add(input: Any, dim: builtins.int, index: Any, src: Any) -> Any:
    """``out[index[i][j]][j] += src[i][j]`` for ``dim = 0``."""
def scatter_reduce(input: Any, dim: builtins.int, index: Any, src: Any, reduce: builtins.str, *, include_self: builtins.bool = ...) -> Any:
    """`scatter` that combines what lands in one place: sum, prod, mean, amax or amin."""
def searchsorted(sorted_sequence: Any, input: Any, *, out_int32: builtins.bool = ..., right: builtins.bool = ..., side: builtins.str | None = ..., sorter: Any = ...) -> Any:
    """Where each value would be put into the sorted last axis, so that it stays sorted."""
def seed() -> builtins.int:
    """Seed the default generator from the operating system, and return the seed."""
def select(input: Any, dim: builtins.int, index: builtins.int) -> Any:
    """One entry of an axis, which is gone from the result."""
def select_scatter(input: Any, src: Any, dim: builtins.int, index: builtins.int) -> Any:
    """A copy of ``input`` with ``src`` in the place of one entry of an axis."""
def selu(input: Any) -> Tensor:
    """`elu` with α ≈ 1.6733, scaled by 1.0507."""
def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator continue from a state that `get_rng_state` returned."""
def sgn(input: Any) -> Tensor:
    """-1, 0 or 1; flat everywhere."""
def sigmoid(input: Any) -> Tensor:
    """Logistic curve ``1 / (1 + e⁻ˣ)``."""
def sign(input: Any) -> Tensor:
    """-1, 0 or 1; flat everywhere."""
def signbit(input: Any) -> Tensor:
    """Where the sign is set: negative numbers, and minus zero."""
def silu(input: Any) -> Tensor:
    """``x · sigmoid(x)``, also called swish (Elfwing et al. 2017)."""
def sin(input: Any) -> Tensor:
    """The sine of an angle in radians."""
def sinc(input: Any) -> Tensor:
    """``sin(πx) / (πx)``, and 1 at zero."""
def sinh(input: Any) -> Tensor:
    """The hyperbolic sine."""
def slice_scatter(input: Any, src: Any, dim: builtins.int = ..., start: Any = ..., end: Any = ..., step: builtins.int = ...) -> Any:
    """A copy of ``input`` with ``src`` in the place of a slice of an axis."""
def softmax(input: Any, dim: Any, *, dtype: Any = ...) -> Tensor:
    """``eˣ / Σ eˣ`` along ``dim``: positive, and adding up to one."""
def softplus(input: Any, beta: builtins.float = ..., threshold: builtins.float = ...) -> Tensor:
    """``log(1 + e^(β·x)) / β``: a smooth `relu`; ``x`` itself where ``β·x > threshold``."""
def sort(input: Any, dim: builtins.int = ..., descending: builtins.bool = ..., stable: builtins.bool = ...) -> Any:
    """(values, indices) in order along ``dim``; equal values keep their order."""
def split(tensor: Any, split_size_or_sections: Any, dim: builtins.int = ...) -> Any:
    """Consecutive parts of an axis: of one size (the last may be smaller), or of given sizes."""
def sqrt(input: Any) -> Tensor:
    """The square root."""
def square(input: Any) -> Any:
    """``x²``; of truth values in int64."""
def squeeze(input: Any, dim: Any = ...) -> Tensor:
    """Without the axes of size 1: all of them, or those named."""
def stack(tensors: Any, dim: builtins.int = ...) -> Any:
    """Tensors of one shape, along a new axis."""
def std(input: Any, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
    """Standard deviation: the square root of `var`."""
def std_mean(input: Any, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
    """Standard deviation and mean."""
def sub(input: Any, other: Any, *, alpha: Any = ...) -> Any:
    """``input - alpha · other``."""
def subtract(input: Any, other: Any, *, alpha: Any = ...) -> Any:
    """``input - alpha · other``."""
def sum(input: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Tensor:
    """Total along ``dim`` (all axes by default)."""
def swapaxes(input: Any, dim0: Any, dim1: Any) -> Tensor:
    """Two axes exchanged."""
def swapdims(input: Any, dim0: Any, dim1: Any) -> Tensor:
    """Two axes exchanged."""
def t(input: Any) -> Any:
    """The transpose of a matrix; a vector or scalar as it is."""
def take(input: Any, index: Any) -> Any:
    """Elements of the flattened tensor."""
def take_along_dim(input: Any, indices: Any, dim: builtins.int | None = ...) -> Any:
    """`gather` whose indices broadcast with the input."""
def tan(input: Any) -> Tensor:
    """The tangent of an angle in radians."""
def tanh(input: Any) -> Tensor:
    """Hyperbolic tangent: squashes the real line into (-1, 1)."""
def tensor(data: Any, *, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., pin_memory: builtins.bool = ...) -> Tensor:
    """A new leaf tensor that holds a copy of ``data``."""
def tensor_split(input: Any, indices_or_sections: Any, dim: builtins.int = ...) -> Any:
    """Parts of an axis: a number of them, as even as can be, or cut at given indices."""
def tensordot(a: Any, b: Any, dims: Any = ..., out: None = ...) -> Any:
    """Products summed over several axes: the last ``dims`` of ``a`` and first of ``b``, or lists."""
def threshold(input: Any, threshold: Any, value: Any) -> Tensor:
    """``x`` where it exceeds the threshold, one value elsewhere."""
def tile(input: Any, *sizes: Any, dims: Any = ...) -> Any:
    """`repeat` that pads ``dims`` with ones in front."""
def topk(input: Any, k: builtins.int, dim: builtins.int = ..., largest: builtins.bool = ..., sorted: builtins.bool = ...) -> Any:
    """(values, indices) of the ``k`` largest, or smallest, along ``dim``, best first."""
def trace(input: Any) -> Any:
    """The sum of a matrix' diagonal."""
def transpose(input: Any, dim0: Any, dim1: Any) -> Tensor:
    """Two axes exchanged."""
def tril(input: Any, diagonal: Any = ...) -> Tensor:
    """The lower triangle of matrices; zeros above the ``diagonal``-th diagonal."""
def tril_indices(row: builtins.int, col: builtins.int, offset: builtins.int = ..., *, dtype: Any = ..., **ignored: Any) -> Any:
    """The indices of a lower triangle: one row of row numbers, one of column numbers."""
def triu(input: Any, diagonal: Any = ...) -> Tensor:
    """The upper triangle of matrices; zeros below the ``diagonal``-th diagonal."""
def triu_indices(row: builtins.int, col: builtins.int, offset: builtins.int = ..., *, dtype: Any = ..., **ignored: Any) -> Any:
    """The indices of an upper triangle: one row of row numbers, one of column numbers."""
def true_divide(input: Any, other: Any, *, rounding_mode: builtins.str | None = ...) -> Any:
    """Quotient; ``rounding_mode`` "floor" or "trunc" makes it a whole number."""
def trunc(input: Any) -> Tensor:
    """The integer part; flat everywhere."""
def unbind(input: Any, dim: builtins.int = ...) -> Any:
    """The entries of an axis, each without it."""
def unflatten(input: Any, dim: builtins.int, sizes: Any) -> Any:
    """One axis as several; one of the sizes may be -1."""
def unique(input: Any, sorted: builtins.bool = ..., return_inverse: builtins.bool = ..., return_counts: builtins.bool = ..., dim: builtins.int | None = ...) -> Any:
    """The distinct values in order; with ``dim`` the distinct entries of that axis."""
def unique_consecutive(input: Any, return_inverse: builtins.bool = ..., return_counts: builtins.bool = ..., dim: builtins.int | None = ...) -> Any:
    """Every run of equal values (with ``dim`` of equal entries) as one."""
def unsqueeze(input: Any, dim: Any) -> Tensor:
    """A new axis of size 1."""
def var(input: Any, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
    """Variance along ``dim``, divided by ``n - correction`` (1)."""
def var_mean(input: Any, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
    """Variance and mean."""
def vdot(input: Any, other: Any) -> Any:
    """Product of two vectors, the first conjugated."""
def vsplit(input: Any, indices_or_sections: Any) -> Any:
    """`tensor_split` into rows."""
def vstack(tensors: Any) -> Any:
    """Tensors as rows, one below the other."""
def where(condition: Any, input: Any = ..., other: Any = ...) -> Any:
    """``input`` where the condition holds, ``other`` elsewhere; alone, the indices where it holds."""
def xlogy(input: Any, other: Any) -> Any:
    """``input · log(other)``, and zero where ``input`` is zero unless ``other`` is NaN."""
def zero_(self: Any) -> Tensor:
    """Overwrite every element with zero."""
def zeros(*size: Any, dtype: Any = ..., device: Any = ..., requires_grad: builtins.bool = ..., **options: Any) -> Tensor:
    """A tensor of zeros."""
def zeros_like(input: Tensor, **options: Any) -> Tensor:
    """`zeros` in the shape and type of ``input``."""
