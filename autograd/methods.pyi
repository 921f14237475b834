"""The methods that declarations install on `Tensor`; written by ``python -m retrograd.autograd.stubs``."""

import builtins
from typing import Any, Self

from .tensor import Tensor


class Methods:
    @property
    def H(self) -> Any: ...
    @property
    def T(self) -> Any: ...
    def __abs__(self) -> Tensor: ...
    def __add__(self, other: Any) -> Tensor: ...
    def __and__(self, other: Any) -> Tensor: ...
    def __array__(self, dtype: Any = ..., copy: builtins.bool | None = ...) -> Any: ...
    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any: ...
    def __array_ufunc__(self, ufunc: Any, method: builtins.str, *inputs: Any, **options: Any) -> Any: ...
    def __array_wrap__(self, array: Any, context: Any = ..., scalar: builtins.bool = ...) -> Any: ...
    def __contains__(self, element: Any) -> builtins.bool: ...
    def __dlpack__(self, **options: Any) -> Any: ...
    def __dlpack_device__(self) -> Any: ...
    def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __floordiv__(self, other: Any) -> Tensor: ...
    def __ge__(self, other: Any) -> Tensor: ...
    def __getitem__(self, user_index: Any) -> Any: ...
    def __gt__(self, other: Any) -> Tensor: ...
    def __iadd__(self, other: Any) -> Tensor: ...
    def __iand__(self, other: Any) -> Tensor: ...
    def __ifloordiv__(self, other: Any) -> Tensor: ...
    def __ilshift__(self, other: Any) -> Tensor: ...
    def __imatmul__(self, other: Any) -> Tensor: ...
    def __imod__(self, other: Any) -> Tensor: ...
    def __imul__(self, other: Any) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __ior__(self, other: Any) -> Tensor: ...
    def __ipow__(self, other: Any) -> Tensor: ...  # type: ignore[misc]
    def __irshift__(self, other: Any) -> Tensor: ...
    def __isub__(self, other: Any) -> Tensor: ...
    def __itruediv__(self, other: Any) -> Tensor: ...
    def __ixor__(self, other: Any) -> Tensor: ...
    def __le__(self, other: Any) -> Tensor: ...
    def __lshift__(self, other: Any) -> Tensor: ...
    def __lt__(self, other: Any) -> Tensor: ...
    def __matmul__(self, other: Any) -> Tensor: ...
    def __mod__(self, other: Any) -> Tensor: ...
    def __mul__(self, other: Any) -> Tensor: ...
    def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: Any) -> Tensor: ...
    def __pos__(self) -> Any: ...
    def __pow__(self, exponent: Any, modulo: None = ...) -> Any: ...
    def __radd__(self, other: Any) -> Tensor: ...
    def __rand__(self, other: Any) -> Tensor: ...
    def __rdiv__(self, other: Any) -> Tensor: ...
    def __reversed__(self) -> Tensor: ...
    def __rfloordiv__(self, other: Any) -> Tensor: ...
    def __rlshift__(self, other: Any) -> Tensor: ...
    def __rmatmul__(self, other: Any) -> Tensor: ...
    def __rmod__(self, other: Any) -> Tensor: ...
    def __rmul__(self, other: Any) -> Tensor: ...
    def __ror__(self, other: Any) -> Tensor: ...
    def __rpow__(self, base: Any) -> Any: ...
    def __rrshift__(self, other: Any) -> Tensor: ...
    def __rshift__(self, other: Any) -> Tensor: ...
    def __rsub__(self, other: Any) -> Tensor: ...
    def __rtruediv__(self, other: Any) -> Tensor: ...
    def __rxor__(self, other: Any) -> Tensor: ...
    def __setitem__(self, user_index: Any, value: Any) -> None: ...
    def __sub__(self, other: Any) -> Tensor: ...
    def __truediv__(self, other: Any) -> Tensor: ...
    def __xor__(self, other: Any) -> Tensor: ...
    def abs(self) -> Tensor:
        """The distance from zero; the slope at zero is taken as zero."""
    def abs_(self) -> Self:
        """`abs` in place: overwrites this tensor and returns it."""
    def absolute(self) -> Tensor:
        """The distance from zero; the slope at zero is taken as zero."""
    def absolute_(self) -> Self:
        """`abs` in place: overwrites this tensor and returns it."""
    def acos(self) -> Tensor:
        """The angle in [0, π] whose cosine is ``x``."""
    def acos_(self) -> Self:
        """`acos` in place: overwrites this tensor and returns it."""
    def acosh(self) -> Tensor:
        """The inverse of `cosh`."""
    def acosh_(self) -> Self:
        """`acosh` in place: overwrites this tensor and returns it."""
    def add(self, other: Any, *, alpha: Any = ...) -> Any:
        """``input + alpha · other``."""
    def add_(self, other: Any, *, alpha: Any = ...) -> Self:
        """`add` in place: overwrites this tensor and returns it."""
    def addbmm(self, batch1: Any, batch2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
        """``β · input + α · Σ batch1[i] @ batch2[i]``."""
    def addbmm_(self, batch1: Any, batch2: Any, *, beta: Any = ..., alpha: Any = ...) -> Self:
        """`addbmm` in place: overwrites this tensor and returns it."""
    def addcdiv(self, tensor1: Any, tensor2: Any, *, value: Any = ...) -> Any:
        """``input + value · tensor1 / tensor2``."""
    def addcdiv_(self, tensor1: Any, tensor2: Any, *, value: Any = ...) -> Self:
        """`addcdiv` in place: overwrites this tensor and returns it."""
    def addcmul(self, tensor1: Any, tensor2: Any, *, value: Any = ...) -> Any:
        """``input + value · tensor1 · tensor2``."""
    def addcmul_(self, tensor1: Any, tensor2: Any, *, value: Any = ...) -> Self:
        """`addcmul` in place: overwrites this tensor and returns it."""
    def addmm(self, mat1: Any, mat2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
        """``β · input + α · mat1 @ mat2``."""
    def addmm_(self, mat1: Any, mat2: Any, *, beta: Any = ..., alpha: Any = ...) -> Self:
        """`addmm` in place: overwrites this tensor and returns it."""
    def addmv(self, mat: Any, vec: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
        """``β · input + α · mat @ vec``."""
    def addmv_(self, mat: Any, vec: Any, *, beta: Any = ..., alpha: Any = ...) -> Self:
        """`addmv` in place: overwrites this tensor and returns it."""
    def addr(self, vec1: Any, vec2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
        """``β · input + α · outer(vec1, vec2)``."""
    def addr_(self, vec1: Any, vec2: Any, *, beta: Any = ..., alpha: Any = ...) -> Self:
        """`addr` in place: overwrites this tensor and returns it."""
    def all(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Whether every element is nonzero."""
    def allclose(self, other: Any, rtol: builtins.float = ..., atol: builtins.float = ..., equal_nan: builtins.bool = ...) -> builtins.bool:
        """Whether `isclose` holds everywhere."""
    def amax(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Largest along ``dim``; ties share the gradient."""
    def amin(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Smallest along ``dim``; ties share the gradient."""
    def aminmax(self, *, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
        """Smallest and largest, of all or along ``dim``; ties share the gradient."""
    def any(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Tensor:
        """Whether any element is nonzero."""
    def arccos(self) -> Tensor:
        """The angle in [0, π] whose cosine is ``x``."""
    def arccos_(self) -> Self:
        """`acos` in place: overwrites this tensor and returns it."""
    def arccosh(self) -> Tensor:
        """The inverse of `cosh`."""
    def arccosh_(self) -> Self:
        """`acosh` in place: overwrites this tensor and returns it."""
    def arcsin(self) -> Tensor:
        """The angle in [-π/2, π/2] whose sine is ``x``."""
    def arcsin_(self) -> Self:
        """`asin` in place: overwrites this tensor and returns it."""
    def arcsinh(self) -> Tensor:
        """The inverse of `sinh`."""
    def arcsinh_(self) -> Self:
        """`asinh` in place: overwrites this tensor and returns it."""
    def arctan(self) -> Tensor:
        """The angle in (-π/2, π/2) whose tangent is ``x``."""
    def arctan2(self, other: Any) -> Tensor:
        """The angle of the point ``(b, a)``."""
    def arctan2_(self, other: Any) -> Self:
        """`atan2` in place: overwrites this tensor and returns it."""
    def arctan_(self) -> Self:
        """`atan` in place: overwrites this tensor and returns it."""
    def arctanh(self) -> Tensor:
        """The inverse of `tanh`."""
    def arctanh_(self) -> Self:
        """`atanh` in place: overwrites this tensor and returns it."""
    def argmax(self, dim: builtins.int | None = ..., keepdim: builtins.bool = ...) -> Any:
        """Index of the largest element: in the flattened tensor, or along ``dim``."""
    def argmin(self, dim: builtins.int | None = ..., keepdim: builtins.bool = ...) -> Any:
        """Index of the smallest element: in the flattened tensor, or along ``dim``."""
    def argsort(self, dim: builtins.int = ..., descending: builtins.bool = ..., stable: builtins.bool = ...) -> Any:
        """The indices of `sort`."""
    def argwhere(self) -> Any:
        """The indices of nonzero elements, one row each."""
    def as_strided(self, size: Any, stride: Any, storage_offset: builtins.int | None = ...) -> Any:
        """A view of the tensor's memory with any size, strides and offset."""
    def as_strided_(self, size: Any, stride: Any, storage_offset: builtins.int | None = ...) -> Self:
        """`as_strided` in place: this tensor gets the other shape and is returned."""
    def asin(self) -> Tensor:
        """The angle in [-π/2, π/2] whose sine is ``x``."""
    def asin_(self) -> Self:
        """`asin` in place: overwrites this tensor and returns it."""
    def asinh(self) -> Tensor:
        """The inverse of `sinh`."""
    def asinh_(self) -> Self:
        """`asinh` in place: overwrites this tensor and returns it."""
    def atan(self) -> Tensor:
        """The angle in (-π/2, π/2) whose tangent is ``x``."""
    def atan2(self, other: Any) -> Tensor:
        """The angle of the point ``(b, a)``."""
    def atan2_(self, other: Any) -> Self:
        """`atan2` in place: overwrites this tensor and returns it."""
    def atan_(self) -> Self:
        """`atan` in place: overwrites this tensor and returns it."""
    def atanh(self) -> Tensor:
        """The inverse of `tanh`."""
    def atanh_(self) -> Self:
        """`atanh` in place: overwrites this tensor and returns it."""
    def backward(self, gradient: Tensor | None = ..., retain_graph: builtins.bool | None = ..., create_graph: builtins.bool = ..., inputs: Any = ...) -> None:
        """Add the gradients of this tensor to the ``.grad`` of the leaves it was computed from."""
    def baddbmm(self, batch1: Any, batch2: Any, *, beta: Any = ..., alpha: Any = ...) -> Any:
        """``β · input + α · batch1[i] @ batch2[i]``."""
    def baddbmm_(self, batch1: Any, batch2: Any, *, beta: Any = ..., alpha: Any = ...) -> Self:
        """`baddbmm` in place: overwrites this tensor and returns it."""
    def bernoulli(self, p: builtins.float | None = ..., *, generator: Any = ..., out: Tensor | None = ...) -> Tensor:
        """Ones with the probabilities that ``input`` holds (or all with ``p``), and zeros."""
    def bernoulli_(self, p: Any = ..., *, generator: Any = ...) -> Self:
        """Fill with ones of probability ``p`` (a number, or a tensor that broadcasts), and zeros."""
    def bfloat16(self, *, memory_format: Any = ...) -> Any:
        """In bfloat16."""
    def bitwise_and(self, other: Any) -> Tensor:
        """Bit by bit and; logical and for truth values."""
    def bitwise_and_(self, other: Any) -> Self:
        """`bitwise_and` in place: overwrites this tensor and returns it."""
    def bitwise_left_shift(self, other: Any) -> Tensor:
        """``a · 2ᵇ`` by moving bits."""
    def bitwise_left_shift_(self, other: Any) -> Self:
        """`bitwise_left_shift` in place: overwrites this tensor and returns it."""
    def bitwise_not(self) -> Tensor:
        """Bit by bit not; logical not for truth values."""
    def bitwise_not_(self) -> Self:
        """`bitwise_not` in place: overwrites this tensor and returns it."""
    def bitwise_or(self, other: Any) -> Tensor:
        """Bit by bit or; logical or for truth values."""
    def bitwise_or_(self, other: Any) -> Self:
        """`bitwise_or` in place: overwrites this tensor and returns it."""
    def bitwise_right_shift(self, other: Any) -> Tensor:
        """``a / 2ᵇ``, rounded down, by moving bits."""
    def bitwise_right_shift_(self, other: Any) -> Self:
        """`bitwise_right_shift` in place: overwrites this tensor and returns it."""
    def bitwise_xor(self, other: Any) -> Tensor:
        """Bit by bit exclusive or."""
    def bitwise_xor_(self, other: Any) -> Self:
        """`bitwise_xor` in place: overwrites this tensor and returns it."""
    def bmm(self, mat2: Any) -> Any:
        """Products of matrices pair by pair."""
    def bool(self, *, memory_format: Any = ...) -> Any:
        """In bool."""
    def broadcast_to(self, size: Any) -> Any:
        """`expand` as a function."""
    def byte(self, *, memory_format: Any = ...) -> Any:
        """In uint8."""
    def cauchy_(self, median: builtins.float = ..., sigma: builtins.float = ..., *, generator: Any = ...) -> Self:
        """Fill with Cauchy-distributed numbers."""
    def cdouble(self, *, memory_format: Any = ...) -> Any:
        """In complex128."""
    def ceil(self) -> Tensor:
        """The smallest integer not below; flat everywhere."""
    def ceil_(self) -> Self:
        """`ceil` in place: overwrites this tensor and returns it."""
    def cfloat(self, *, memory_format: Any = ...) -> Any:
        """In complex64."""
    def char(self, *, memory_format: Any = ...) -> Any:
        """In int8."""
    def chunk(self, chunks: builtins.int, dim: builtins.int = ...) -> Any:
        """At most ``chunks`` consecutive parts of an axis, equal but for the last."""
    def clamp(self, min: Any = ..., max: Any = ...) -> Any:
        """``input`` with what is below ``min`` or above ``max`` replaced by it."""
    def clamp_(self, min: Any = ..., max: Any = ...) -> Self:
        """`clamp` in place: overwrites this tensor and returns it."""
    def clamp_max(self, high: Any) -> Tensor:
        """``x``, but nowhere more than ``high``, a number or a tensor."""
    def clamp_max_(self, high: Any) -> Self:
        """`clamp_max` in place: overwrites this tensor and returns it."""
    def clamp_min(self, low: Any) -> Tensor:
        """``x``, but nowhere less than ``low``, a number or a tensor."""
    def clamp_min_(self, low: Any) -> Self:
        """`clamp_min` in place: overwrites this tensor and returns it."""
    def clip(self, min: Any = ..., max: Any = ...) -> Any:
        """``input`` with what is below ``min`` or above ``max`` replaced by it."""
    def clip_(self, min: Any = ..., max: Any = ...) -> Self:
        """`clip` in place: overwrites this tensor and returns it."""
    def clone(self, memory_format: Any = ...) -> Tensor:
        """A copy in memory of its own, connected to the tape."""
    def combinations(self, r: builtins.int = ..., with_replacement: builtins.bool = ...) -> Any:
        """Every choice of ``r`` elements of a vector, a row each, in order."""
    def contiguous(self, memory_format: Any = ...) -> Any:
        """This tensor if its elements lie in row-major order (or another one), else such a copy."""
    def copy_(self, src: Any, non_blocking: builtins.bool = ...) -> Self:
        """Overwrite with another tensor's values, which broadcast and convert."""
    def copysign(self, other: Any) -> Tensor:
        """The size of ``a`` with the sign of ``b``."""
    def copysign_(self, other: Any) -> Self:
        """`copysign` in place: overwrites this tensor and returns it."""
    def corrcoef(self) -> Any:
        """Correlation of variables (rows): `cov` divided by both standard deviations."""
    def cos(self) -> Tensor:
        """The cosine of an angle in radians."""
    def cos_(self) -> Self:
        """`cos` in place: overwrites this tensor and returns it."""
    def cosh(self) -> Tensor:
        """The hyperbolic cosine."""
    def cosh_(self) -> Self:
        """`cosh` in place: overwrites this tensor and returns it."""
    def count_nonzero(self, dim: Any = ...) -> Any:
        """How many elements are nonzero, of all or along ``dim``."""
    def cov(self, *, correction: builtins.int = ..., fweights: Any = ..., aweights: Any = ...) -> Any:
        """Covariance of variables (rows) over observations (columns), which may have weights."""
    def cpu(self, memory_format: Any = ...) -> Any:
        """This tensor: it is on the CPU."""
    def cross(self, other: Any, dim: builtins.int | None = ...) -> Any:
        """Cross product of vectors of three along an axis (the first of size 3)."""
    def cuda(self, device: Any = ..., **ignored: Any) -> Any:
        """Raises `RuntimeError`: there is only the CPU."""
    def cummax(self, dim: builtins.int) -> Any:
        """Largest so far along ``dim``, and where it was found (the last place of several)."""
    def cummin(self, dim: builtins.int) -> Any:
        """Smallest so far along ``dim``, and where it was found (the last place of several)."""
    def cumprod(self, dim: builtins.int, *, dtype: Any = ...) -> Any:
        """Products so far along ``dim``; the gradient is right at zeros too."""
    def cumprod_(self, dim: builtins.int, *, dtype: Any = ...) -> Self:
        """`cumprod` in place: overwrites this tensor and returns it."""
    def cumsum(self, dim: builtins.int, *, dtype: Any = ...) -> Any:
        """Totals so far along ``dim``."""
    def cumsum_(self, dim: builtins.int, *, dtype: Any = ...) -> Self:
        """`cumsum` in place: overwrites this tensor and returns it."""
    def deg2rad(self) -> Tensor:
        """Degrees as radians."""
    def deg2rad_(self) -> Self:
        """`deg2rad` in place: overwrites this tensor and returns it."""
    def diag(self, diagonal: builtins.int = ...) -> Any:
        """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector."""
    def diag_embed(self, offset: builtins.int = ..., dim1: builtins.int = ..., dim2: builtins.int = ...) -> Any:
        """The last axis as the diagonal of two new ones."""
    def diagflat(self, offset: builtins.int = ...) -> Any:
        """All elements as the diagonal of a matrix."""
    def diagonal(self, offset: Any = ..., dim1: Any = ..., dim2: Any = ...) -> Tensor:
        """The diagonal of two axes, as the last axis."""
    def diagonal_scatter(self, src: Any, offset: builtins.int = ..., dim1: builtins.int = ..., dim2: builtins.int = ...) -> Any:
        """A copy of ``input`` with ``src`` on the diagonal of two axes."""
    def diff(self, n: builtins.int = ..., dim: builtins.int = ..., prepend: Any = ..., append: Any = ...) -> Any:
        """Each entry of an axis minus the one before it, ``n`` times over."""
    def dist(self, other: Any, p: Any = ...) -> Any:
        """The `norm` of the difference."""
    def div(self, other: Any, *, rounding_mode: builtins.str | None = ...) -> Any:
        """Quotient; ``rounding_mode`` "floor" or "trunc" makes it a whole number."""
    def div_(self, other: Any, *, rounding_mode: builtins.str | None = ...) -> Self:
        """`div` in place: overwrites this tensor and returns it."""
    def divide(self, other: Any, *, rounding_mode: builtins.str | None = ...) -> Any:
        """Quotient; ``rounding_mode`` "floor" or "trunc" makes it a whole number."""
    def divide_(self, other: Any, *, rounding_mode: builtins.str | None = ...) -> Self:
        """`divide` in place: overwrites this tensor and returns it."""
    def dot(self, tensor: Any) -> Any:
        """Product of two vectors."""
    def double(self, *, memory_format: Any = ...) -> Any:
        """In float64."""
    def dsplit(self, indices_or_sections: Any) -> Any:
        """`tensor_split` along the third axis."""
    def eq(self, other: Any) -> Tensor:
        """Where the two are equal."""
    def eq_(self, other: Any) -> Self:
        """`eq` in place: overwrites this tensor and returns it."""
    def equal(self, other: Any) -> builtins.bool:
        """Whether two tensors have the same size and the same elements."""
    def erf(self) -> Tensor:
        """The error function ``2/√π ∫₀ˣ exp(-t²) dt``."""
    def erf_(self) -> Self:
        """`erf` in place: overwrites this tensor and returns it."""
    def erfc(self) -> Tensor:
        """``1 - erf(x)``, accurate where that is tiny."""
    def erfc_(self) -> Self:
        """`erfc` in place: overwrites this tensor and returns it."""
    def exp(self) -> Tensor:
        """``e`` raised to ``x``."""
    def exp2(self) -> Tensor:
        """2 raised to ``x``."""
    def exp2_(self) -> Self:
        """`exp2` in place: overwrites this tensor and returns it."""
    def exp_(self) -> Self:
        """`exp` in place: overwrites this tensor and returns it."""
    def expand(self, *size: Any) -> Tensor:
        """Axes of size 1 stretched, and new ones put in front, without copying; -1 keeps a size."""
    def expand_as(self, other: Any) -> Any:
        """`expand` to the shape of another tensor."""
    def expm1(self) -> Tensor:
        """``eˣ - 1``, accurate near zero."""
    def expm1_(self) -> Self:
        """`expm1` in place: overwrites this tensor and returns it."""
    def exponential_(self, lambd: builtins.float = ..., *, generator: Any = ...) -> Self:
        """Fill with numbers of density λ · exp(-λ · x)."""
    def fill_(self, value: Any) -> Self:
        """Overwrite every element with one value."""
    def fill_diagonal_(self, fill_value: Any, wrap: builtins.bool = ...) -> Self:
        """Overwrite the diagonal with one value; with ``wrap`` again below a tall matrix' square."""
    def fix(self) -> Tensor:
        """The integer part; flat everywhere."""
    def fix_(self) -> Self:
        """`trunc` in place: overwrites this tensor and returns it."""
    def flatten(self, start_dim: builtins.int = ..., end_dim: builtins.int = ...) -> Any:
        """The axes from ``start_dim`` to ``end_dim`` as one."""
    def flip(self, *dims: Any) -> Tensor:
        """Reversed along some axes."""
    def fliplr(self) -> Any:
        """Reversed left to right."""
    def flipud(self) -> Any:
        """Reversed top to bottom."""
    def float(self, *, memory_format: Any = ...) -> Any:
        """In float32."""
    def float_power(self, exponent: Any) -> Any:
        """`pow` computed in float64."""
    def float_power_(self, exponent: Any) -> Self:
        """`float_power` in place, for float64 alone."""
    def floor(self) -> Tensor:
        """The largest integer not above; flat everywhere."""
    def floor_(self) -> Self:
        """`floor` in place: overwrites this tensor and returns it."""
    def floor_divide(self, other: Any) -> Tensor:
        """Quotient rounded towards minus infinity."""
    def floor_divide_(self, other: Any) -> Self:
        """`floor_divide` in place: overwrites this tensor and returns it."""
    def fmax(self, other: Any) -> Tensor:
        """The larger of two; a number wins against NaN."""
    def fmin(self, other: Any) -> Tensor:
        """The smaller of two; a number wins against NaN."""
    def fmod(self, other: Any) -> Tensor:
        """What a division rounded towards zero leaves; it has the dividend's sign."""
    def fmod_(self, other: Any) -> Self:
        """`fmod` in place: overwrites this tensor and returns it."""
    def frac(self) -> Tensor:
        """The part behind the point, with the sign of ``x``."""
    def frac_(self) -> Self:
        """`frac` in place: overwrites this tensor and returns it."""
    def gather(self, dim: builtins.int, index: Any, *, sparse_grad: builtins.bool = ...) -> Any:
        """``out[i][j] = input[index[i][j]][j]`` for ``dim = 0``; ``out`` has the index's shape."""
    def ge(self, other: Any) -> Tensor:
        """Where the first is not smaller."""
    def ge_(self, other: Any) -> Self:
        """`ge` in place: overwrites this tensor and returns it."""
    def geometric_(self, p: builtins.float, *, generator: Any = ...) -> Self:
        """Fill with the number of trials up to the first success of probability ``p``."""
    def ger(self, vec2: Any) -> Any:
        """All products of two vectors' elements."""
    def graph(self, params: Any = ..., **options: Any) -> Any:
        """The picture of the tape behind this tensor: `draw` with the same options."""
    def greater(self, other: Any) -> Tensor:
        """Where the first is larger."""
    def greater_(self, other: Any) -> Self:
        """`gt` in place: overwrites this tensor and returns it."""
    def greater_equal(self, other: Any) -> Tensor:
        """Where the first is not smaller."""
    def greater_equal_(self, other: Any) -> Self:
        """`ge` in place: overwrites this tensor and returns it."""
    def gt(self, other: Any) -> Tensor:
        """Where the first is larger."""
    def gt_(self, other: Any) -> Self:
        """`gt` in place: overwrites this tensor and returns it."""
    def half(self, *, memory_format: Any = ...) -> Any:
        """In float16."""
    def hardshrink(self, lambd: builtins.float = ...) -> Tensor:
        """Zero within [-λ, λ], ``x`` outside."""
    def heaviside(self, values: Any) -> Any:
        """The step function: 0 below zero, 1 above, and ``values`` at zero."""
    def heaviside_(self, values: Any) -> Self:
        """`heaviside` in place: overwrites this tensor and returns it."""
    def hsplit(self, indices_or_sections: Any) -> Any:
        """`tensor_split` into columns (of a vector: along its one axis)."""
    def hypot(self, other: Any) -> Tensor:
        """``√(a² + b²)``, without overflow."""
    def hypot_(self, other: Any) -> Self:
        """`hypot` in place: overwrites this tensor and returns it."""
    def index_add(self, dim: builtins.int, index: Any, source: Any, *, alpha: Any = ...) -> Any:
        """``source`` added to the entries of one axis that ``index`` names."""
    def index_add_(self, dim: builtins.int, index: Any, source: Any, *, alpha: Any = ...) -> Self:
        """`index_add` in place: overwrites this tensor and returns it."""
    def index_copy(self, dim: builtins.int, index: Any, source: Any) -> Any:
        """``source`` written to the entries of one axis that ``index`` names."""
    def index_copy_(self, dim: builtins.int, index: Any, source: Any) -> Self:
        """`index_copy` in place: overwrites this tensor and returns it."""
    def index_fill(self, dim: builtins.int, index: Any, value: Any) -> Any:
        """One value written to the entries of one axis that ``index`` names."""
    def index_fill_(self, dim: builtins.int, index: Any, value: Any) -> Self:
        """`index_fill` in place: overwrites this tensor and returns it."""
    def index_put(self, indices: Any, values: Any, accumulate: builtins.bool = ...) -> Any:
        """``values`` written (or added) at ``input[indices]``."""
    def index_put_(self, indices: Any, values: Any, accumulate: builtins.bool = ...) -> Self:
        """`index_put` in place: overwrites this tensor and returns it."""
    def index_reduce(self, dim: builtins.int, index: Any, source: Any, reduce: builtins.str, *, include_self: builtins.bool = ...) -> Any:
        """`scatter_reduce` of whole entries of an axis, which a vector names."""
    def index_reduce_(self, dim: builtins.int, index: Any, source: Any, reduce: builtins.str, *, include_self: builtins.bool = ...) -> Self:
        """`index_reduce` in place: overwrites this tensor and returns it."""
    def index_select(self, dim: builtins.int, index: Any) -> Any:
        """The entries of one axis that a vector of integers names."""
    def inner(self, other: Any) -> Any:
        """Products summed over the last axis of both."""
    def int(self, *, memory_format: Any = ...) -> Any:
        """In int32."""
    def is_shared(self) -> builtins.bool:
        """False: no tensor's memory is shared with another process."""
    def isclose(self, other: Any, rtol: builtins.float = ..., atol: builtins.float = ..., equal_nan: builtins.bool = ...) -> Any:
        """Where ``|a - b| ≤ atol + rtol·|b|``."""
    def isfinite(self) -> Any:
        """Where the value is neither infinite nor NaN."""
    def isin(self, test_elements: Any, *, assume_unique: builtins.bool = ..., invert: builtins.bool = ...) -> Any:
        """Whether each element is among the test elements."""
    def isinf(self) -> Any:
        """Where the value is infinite."""
    def isnan(self) -> Tensor:
        """Where the value is not a number."""
    def isneginf(self) -> Any:
        """Where the value is minus infinity."""
    def isposinf(self) -> Any:
        """Where the value is plus infinity."""
    def kron(self, other: Any) -> Any:
        """Kronecker product: every element of ``input`` times the whole of ``other``."""
    def kthvalue(self, k: builtins.int, dim: builtins.int = ..., keepdim: builtins.bool = ...) -> Any:
        """The ``k``-th smallest along ``dim``, counted from 1, and its index."""
    def ldexp(self, other: Any) -> Any:
        """``input · 2^other``."""
    def ldexp_(self, other: Any) -> Self:
        """`ldexp` in place: overwrites this tensor and returns it."""
    def le(self, other: Any) -> Tensor:
        """Where the first is not larger."""
    def le_(self, other: Any) -> Self:
        """`le` in place: overwrites this tensor and returns it."""
    def lerp(self, end: Any, weight: Any) -> Tensor:
        """``start + weight · (end - start)``, exact at both ends."""
    def lerp_(self, end: Any, weight: Any) -> Self:
        """`lerp` in place: overwrites this tensor and returns it."""
    def less(self, other: Any) -> Tensor:
        """Where the first is smaller."""
    def less_(self, other: Any) -> Self:
        """`lt` in place: overwrites this tensor and returns it."""
    def less_equal(self, other: Any) -> Tensor:
        """Where the first is not larger."""
    def less_equal_(self, other: Any) -> Self:
        """`le` in place: overwrites this tensor and returns it."""
    def log(self) -> Tensor:
        """The natural logarithm."""
    def log10(self) -> Tensor:
        """The logarithm to base 10."""
    def log10_(self) -> Self:
        """`log10` in place: overwrites this tensor and returns it."""
    def log1p(self) -> Tensor:
        """``log(1 + x)``, accurate near zero."""
    def log1p_(self) -> Self:
        """`log1p` in place: overwrites this tensor and returns it."""
    def log2(self) -> Tensor:
        """The logarithm to base 2."""
    def log2_(self) -> Self:
        """`log2` in place: overwrites this tensor and returns it."""
    def log_(self) -> Self:
        """`log` in place: overwrites this tensor and returns it."""
    def log_normal_(self, mean: builtins.float = ..., std: builtins.float = ..., *, generator: Any = ...) -> Self:
        """Fill with exponentials of normal numbers."""
    def log_softmax(self, dim: Any, *, dtype: Any = ...) -> Tensor:
        """``log softmax(x)``, computed without leaving the logarithm."""
    def logaddexp(self, other: Any) -> Tensor:
        """``log(eᵃ + eᵇ)``, without overflow."""
    def logaddexp2(self, other: Any) -> Tensor:
        """``log2(2ᵃ + 2ᵇ)``, without overflow."""
    def logical_and(self, other: Any) -> Any:
        """Where both are nonzero."""
    def logical_and_(self, other: Any) -> Self:
        """`logical_and` in place: overwrites this tensor and returns it."""
    def logical_not(self) -> Any:
        """Where the value is zero."""
    def logical_not_(self) -> Self:
        """`logical_not` in place: overwrites this tensor and returns it."""
    def logical_or(self, other: Any) -> Any:
        """Where either is nonzero."""
    def logical_or_(self, other: Any) -> Self:
        """`logical_or` in place: overwrites this tensor and returns it."""
    def logical_xor(self, other: Any) -> Any:
        """Where exactly one is nonzero."""
    def logical_xor_(self, other: Any) -> Self:
        """`logical_xor` in place: overwrites this tensor and returns it."""
    def logit(self, eps: builtins.float | None = ...) -> Any:
        """``log(x / (1 - x))`` of ``x`` clamped to ``[eps, 1 - eps]``: the inverse of `sigmoid`."""
    def logit_(self, eps: builtins.float | None = ...) -> Self:
        """`logit` in place: overwrites this tensor and returns it."""
    def logsumexp(self, dim: Any, keepdim: builtins.bool = ...) -> Tensor:
        """``log Σ eˣ`` along ``dim``, without overflow."""
    def long(self, *, memory_format: Any = ...) -> Any:
        """In int64."""
    def lt(self, other: Any) -> Tensor:
        """Where the first is smaller."""
    def lt_(self, other: Any) -> Self:
        """`lt` in place: overwrites this tensor and returns it."""
    @property
    def mH(self) -> Any: ...
    @property
    def mT(self) -> Any: ...
    def masked_fill(self, mask: Any, value: Any) -> Any:
        """``value`` where the mask holds."""
    def masked_fill_(self, mask: Any, value: Any) -> Self:
        """`masked_fill` in place: overwrites this tensor and returns it."""
    def masked_scatter(self, mask: Any, source: Any) -> Any:
        """The elements where a mask holds replaced by those of ``source``, in order."""
    def masked_scatter_(self, mask: Any, source: Any) -> Self:
        """`masked_scatter` in place: overwrites this tensor and returns it."""
    def masked_select(self, mask: Any) -> Any:
        """The elements where a mask holds, in one axis."""
    def matmul(self, other: Any) -> Tensor:
        """Matrix product over the last two axes; leading axes broadcast."""
    def max(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
        """Largest of all; along ``dim`` (values, indices); with a tensor, `maximum` of the two."""
    def maximum(self, other: Any) -> Tensor:
        """The larger of two; NaN wins; a tie shares the gradient."""
    def mean(self, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Tensor:
        """Average along ``dim``."""
    def median(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
        """The middle value (the lower of two), of all or with its index along ``dim``; NaN wins."""
    def min(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
        """Smallest of all; along ``dim`` (values, indices); with a tensor, `minimum` of the two."""
    def minimum(self, other: Any) -> Tensor:
        """The smaller of two; NaN wins; a tie shares the gradient."""
    def mm(self, mat2: Any) -> Any:
        """Product of two matrices; nothing broadcasts."""
    def mode(self, dim: builtins.int = ..., keepdim: builtins.bool = ...) -> Any:
        """The most frequent value along ``dim`` (the smallest of several), and an index of it."""
    def moveaxis(self, source: Any, destination: Any) -> Any:
        """Some axes put elsewhere, the others in their order."""
    def movedim(self, source: Any, destination: Any) -> Any:
        """Some axes put elsewhere, the others in their order."""
    def msort(self) -> Any:
        """The values of `sort` along the first axis."""
    def mul(self, other: Any) -> Tensor:
        """Product, element by element."""
    def mul_(self, other: Any) -> Self:
        """`mul` in place: overwrites this tensor and returns it."""
    def multinomial(self, num_samples: builtins.int, replacement: builtins.bool = ..., *, generator: Any = ..., out: Tensor | None = ...) -> Tensor:
        """Indices drawn with the probabilities that ``input`` holds, up to a factor for each row."""
    def multiply(self, other: Any) -> Tensor:
        """Product, element by element."""
    def multiply_(self, other: Any) -> Self:
        """`mul` in place: overwrites this tensor and returns it."""
    def mv(self, vec: Any) -> Any:
        """Product of a matrix and a vector."""
    def nan_to_num(self, nan: Any = ..., posinf: Any = ..., neginf: Any = ...) -> Any:
        """Numbers in place of NaN (0) and the infinities (the largest and smallest of the type)."""
    def nan_to_num_(self, nan: Any = ..., posinf: Any = ..., neginf: Any = ...) -> Self:
        """`nan_to_num` in place: overwrites this tensor and returns it."""
    def nanmean(self, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Any:
        """`mean` of what is not NaN."""
    def nanmedian(self, dim: Any = ..., keepdim: builtins.bool = ...) -> Any:
        """`median` of what is not NaN."""
    def nanquantile(self, q: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, interpolation: builtins.str = ...) -> Any:
        """`quantile` of what is not NaN."""
    def nansum(self, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Any:
        """`sum` of what is not NaN."""
    def narrow(self, dim: builtins.int, start: Any, length: builtins.int) -> Any:
        """``length`` entries of an axis from ``start`` on."""
    def ne(self, other: Any) -> Tensor:
        """Where the two differ."""
    def ne_(self, other: Any) -> Self:
        """`ne` in place: overwrites this tensor and returns it."""
    def neg(self) -> Tensor:
        """The negative."""
    def neg_(self) -> Self:
        """`neg` in place: overwrites this tensor and returns it."""
    def negative(self) -> Tensor:
        """The negative."""
    def negative_(self) -> Self:
        """`neg` in place: overwrites this tensor and returns it."""
    def new_empty(self, *args: Any, **options: Any) -> Tensor:
        """`empty` with this tensor's dtype, unless another is given."""
    def new_empty_strided(self, *args: Any, **options: Any) -> Tensor:
        """`empty_strided` with this tensor's dtype, unless another is given."""
    def new_full(self, *args: Any, **options: Any) -> Tensor:
        """`full` with this tensor's dtype, unless another is given."""
    def new_ones(self, *args: Any, **options: Any) -> Tensor:
        """`ones` with this tensor's dtype, unless another is given."""
    def new_tensor(self, *args: Any, **options: Any) -> Tensor:
        """`tensor` with this tensor's dtype, unless another is given."""
    def new_zeros(self, *args: Any, **options: Any) -> Tensor:
        """`zeros` with this tensor's dtype, unless another is given."""
    def nonzero(self, *, as_tuple: builtins.bool = ...) -> Any:
        """The indices of nonzero elements: one row each, or one tensor per axis."""
    def norm(self, p: Any = ..., dim: Any = ..., keepdim: builtins.bool = ..., dtype: Any = ...) -> Any:
        """The norm of all elements, or along ``dim``: Euclidean, or the ``p``-norm."""
    def normal_(self, mean: builtins.float = ..., std: builtins.float = ..., *, generator: Any = ...) -> Self:
        """Fill with normal numbers."""
    def not_equal(self, other: Any) -> Tensor:
        """Where the two differ."""
    def not_equal_(self, other: Any) -> Self:
        """`ne` in place: overwrites this tensor and returns it."""
    def outer(self, vec2: Any) -> Any:
        """All products of two vectors' elements."""
    def permute(self, *dims: Any) -> Tensor:
        """Axes in another order."""
    def positive(self) -> Any:
        """The tensor itself."""
    def pow(self, exponent: Any) -> Any:
        """``input`` raised to ``exponent``, element by element; either may be a number."""
    def pow_(self, exponent: Any) -> Self:
        """`pow` in place: overwrites this tensor and returns it."""
    def prelu(self, weight: Any) -> Any:
        """``x`` where positive, ``weight · x`` elsewhere: one weight for all, or one for each channel."""
    def prod(self, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Any:
        """Product of all elements, or along one axis."""
    def put(self, index: Any, source: Any, accumulate: builtins.bool = ...) -> Any:
        """``source`` written (or added) to elements of the flattened tensor."""
    def put_(self, index: Any, source: Any, accumulate: builtins.bool = ...) -> Self:
        """`put` in place: overwrites this tensor and returns it."""
    def quantile(self, q: Any, dim: Any = ..., keepdim: builtins.bool = ..., *, interpolation: builtins.str = ...) -> Any:
        """The values below which the fractions ``q`` of the elements lie; NaN wins."""
    def rad2deg(self) -> Tensor:
        """Radians as degrees."""
    def rad2deg_(self) -> Self:
        """`rad2deg` in place: overwrites this tensor and returns it."""
    def random_(self, *bounds: builtins.int | None, generator: Any = ..., **named: Any) -> Self:
        """Fill with integers: ``random_()``, ``random_(to)`` or ``random_(from, to)``."""
    def ravel(self) -> Any:
        """All elements in one axis."""
    def reciprocal(self) -> Tensor:
        """``1 / x``."""
    def reciprocal_(self) -> Self:
        """`reciprocal` in place: overwrites this tensor and returns it."""
    def relu(self) -> Tensor:
        """``x`` where positive, zero elsewhere; the slope at zero is taken as zero."""
    def relu_(self) -> Self:
        """`relu` in place: overwrites this tensor and returns it."""
    def remainder(self, other: Any) -> Tensor:
        """What `floor_divide` leaves; it has the divisor's sign."""
    def remainder_(self, other: Any) -> Self:
        """`remainder` in place: overwrites this tensor and returns it."""
    def repeat(self, *sizes: Any, repeats: Any = ...) -> Any:
        """The tensor laid ``repeats[i]`` times after itself along each axis."""
    def repeat_interleave(self, repeats: Any = ..., dim: builtins.int | None = ..., *, output_size: builtins.int | None = ...) -> Any:
        """Each entry of an axis ``repeats`` times in a row; alone, each number that often itself."""
    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in the same order, in another shape; a copy only where it must be."""
    def reshape_as(self, other: Any) -> Any:
        """`reshape` in the shape of another tensor."""
    def roll(self, shifts: Any, dims: Any = ...) -> Any:
        """Entries moved on by ``shifts``; what leaves at one end comes in at the other."""
    def rot90(self, k: builtins.int = ..., dims: Any = ...) -> Any:
        """Turned by 90 degrees ``k`` times in the plane of two axes, from the first to the second."""
    def round(self, *, decimals: builtins.int = ...) -> Any:
        """The nearest number of so many ``decimals``, halves to the even one; flat everywhere."""
    def round_(self, *, decimals: builtins.int = ...) -> Self:
        """`round` in place: overwrites this tensor and returns it."""
    def rsqrt(self) -> Tensor:
        """``1 / √x``."""
    def rsqrt_(self) -> Self:
        """`rsqrt` in place: overwrites this tensor and returns it."""
    def rsub(self, other: Any, *, alpha: Any = ...) -> Any:
        """``other - alpha · input``."""
    def scatter(self, dim: builtins.int, index: Any, src: Any = ..., *, value: Any = ..., reduce: builtins.str | None = ...) -> Any:
        """``out[index[i][j]][j] = src[i][j]`` for ``dim = 0``; ``src`` may be one number."""
    def scatter_(self, dim: builtins.int, index: Any, src: Any = ..., *, value: Any = ..., reduce: builtins.str | None = ...) -> Self:
        """`scatter` in place: overwrites this tensor and returns it."""
    def scatter_add(self, dim: builtins.int, index: Any, src: Any) -> Any:
        """``out[index[i][j]][j] += src[i][j]`` for ``dim = 0``."""
    def scatter_add_(self, dim: builtins.int, index: Any, src: Any) -> Self:
        """`scatter_add` in place: overwrites this tensor and returns it."""
    def scatter_reduce(self, dim: builtins.int, index: Any, src: Any, reduce: builtins.str, *, include_self: builtins.bool = ...) -> Any:
        """`scatter` that combines what lands in one place: sum, prod, mean, amax or amin."""
    def scatter_reduce_(self, dim: builtins.int, index: Any, src: Any, reduce: builtins.str, *, include_self: builtins.bool = ...) -> Self:
        """`scatter_reduce` in place: overwrites this tensor and returns it."""
    def select(self, dim: builtins.int, index: builtins.int) -> Any:
        """One entry of an axis, which is gone from the result."""
    def select_scatter(self, src: Any, dim: builtins.int, index: builtins.int) -> Any:
        """A copy of ``input`` with ``src`` in the place of one entry of an axis."""
    def sgn(self) -> Tensor:
        """-1, 0 or 1; flat everywhere."""
    def sgn_(self) -> Self:
        """`sign` in place: overwrites this tensor and returns it."""
    def share_memory_(self) -> Self:
        """Raises `NotImplementedError`, and says how processes share numbers without it."""
    def short(self, *, memory_format: Any = ...) -> Any:
        """In int16."""
    def sigmoid(self) -> Tensor:
        """Logistic curve ``1 / (1 + e⁻ˣ)``."""
    def sigmoid_(self) -> Self:
        """`sigmoid` in place: overwrites this tensor and returns it."""
    def sign(self) -> Tensor:
        """-1, 0 or 1; flat everywhere."""
    def sign_(self) -> Self:
        """`sign` in place: overwrites this tensor and returns it."""
    def signbit(self) -> Tensor:
        """Where the sign is set: negative numbers, and minus zero."""
    def silu_(self, *args: Any, **settings: Any) -> Self:
        """`silu` in place: overwrites this tensor and returns it."""
    def sin(self) -> Tensor:
        """The sine of an angle in radians."""
    def sin_(self) -> Self:
        """`sin` in place: overwrites this tensor and returns it."""
    def sinc(self) -> Tensor:
        """``sin(πx) / (πx)``, and 1 at zero."""
    def sinc_(self) -> Self:
        """`sinc` in place: overwrites this tensor and returns it."""
    def sinh(self) -> Tensor:
        """The hyperbolic sine."""
    def sinh_(self) -> Self:
        """`sinh` in place: overwrites this tensor and returns it."""
    def slice_scatter(self, src: Any, dim: builtins.int = ..., start: Any = ..., end: Any = ..., step: builtins.int = ...) -> Any:
        """A copy of ``input`` with ``src`` in the place of a slice of an axis."""
    def softmax(self, dim: Any, *, dtype: Any = ...) -> Tensor:
        """``eˣ / Σ eˣ`` along ``dim``: positive, and adding up to one."""
    def sort(self, dim: builtins.int = ..., descending: builtins.bool = ..., stable: builtins.bool = ...) -> Any:
        """(values, indices) in order along ``dim``; equal values keep their order."""
    def split(self, split_size_or_sections: Any, dim: builtins.int = ...) -> Any:
        """Consecutive parts of an axis: of one size (the last may be smaller), or of given sizes."""
    def split_with_sizes(self, split_sizes: Any, dim: builtins.int = ...) -> Any:
        """`split` by a list of sizes."""
    def sqrt(self) -> Tensor:
        """The square root."""
    def sqrt_(self) -> Self:
        """`sqrt` in place: overwrites this tensor and returns it."""
    def square(self) -> Any:
        """``x²``; of truth values in int64."""
    def square_(self) -> Self:
        """`square` in place: overwrites this tensor and returns it."""
    def squeeze(self, dim: Any = ...) -> Tensor:
        """Without the axes of size 1: all of them, or those named."""
    def squeeze_(self, dim: Any = ...) -> Self:
        """`squeeze` in place: this tensor gets the other shape and is returned."""
    def std(self, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
        """Standard deviation: the square root of `var`."""
    def std_mean(self, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
        """Standard deviation and mean."""
    def sub(self, other: Any, *, alpha: Any = ...) -> Any:
        """``input - alpha · other``."""
    def sub_(self, other: Any, *, alpha: Any = ...) -> Self:
        """`sub` in place: overwrites this tensor and returns it."""
    def subtract(self, other: Any, *, alpha: Any = ...) -> Any:
        """``input - alpha · other``."""
    def subtract_(self, other: Any, *, alpha: Any = ...) -> Self:
        """`subtract` in place: overwrites this tensor and returns it."""
    def sum(self, dim: Any = ..., keepdim: builtins.bool = ..., *, dtype: Any = ...) -> Tensor:
        """Total along ``dim`` (all axes by default)."""
    def sum_to_size(self, *size: Any) -> Any:
        """Undo an `expand` from ``size``: sums over the axes that it would stretch."""
    def swapaxes(self, dim0: Any, dim1: Any) -> Tensor:
        """Two axes exchanged."""
    def swapaxes_(self, dim0: Any, dim1: Any) -> Self:
        """`swapaxes` in place: this tensor gets the other shape and is returned."""
    def swapdims(self, dim0: Any, dim1: Any) -> Tensor:
        """Two axes exchanged."""
    def swapdims_(self, dim0: Any, dim1: Any) -> Self:
        """`swapdims` in place: this tensor gets the other shape and is returned."""
    def t(self) -> Any:
        """The transpose of a matrix; a vector or scalar as it is."""
    def t_(self) -> Self:
        """`t` in place: this tensor gets the other shape and is returned."""
    def take(self, index: Any) -> Any:
        """Elements of the flattened tensor."""
    def take_along_dim(self, indices: Any, dim: builtins.int | None = ...) -> Any:
        """`gather` whose indices broadcast with the input."""
    def tan(self) -> Tensor:
        """The tangent of an angle in radians."""
    def tan_(self) -> Self:
        """`tan` in place: overwrites this tensor and returns it."""
    def tanh(self) -> Tensor:
        """Hyperbolic tangent: squashes the real line into (-1, 1)."""
    def tanh_(self) -> Self:
        """`tanh` in place: overwrites this tensor and returns it."""
    def tensor_split(self, indices_or_sections: Any, dim: builtins.int = ...) -> Any:
        """Parts of an axis: a number of them, as even as can be, or cut at given indices."""
    def tile(self, *sizes: Any, dims: Any = ...) -> Any:
        """`repeat` that pads ``dims`` with ones in front."""
    def to(self, *args: Any, **options: Any) -> Any:
        """In another dtype, given as a dtype, as another tensor, or after a device (the CPU)."""
    def topk(self, k: builtins.int, dim: builtins.int = ..., largest: builtins.bool = ..., sorted: builtins.bool = ...) -> Any:
        """(values, indices) of the ``k`` largest, or smallest, along ``dim``, best first."""
    def trace(self) -> Any:
        """The sum of a matrix' diagonal."""
    def transpose(self, dim0: Any, dim1: Any) -> Tensor:
        """Two axes exchanged."""
    def transpose_(self, dim0: Any, dim1: Any) -> Self:
        """`transpose` in place: this tensor gets the other shape and is returned."""
    def tril(self, diagonal: Any = ...) -> Tensor:
        """The lower triangle of matrices; zeros above the ``diagonal``-th diagonal."""
    def tril_(self, diagonal: Any = ...) -> Self:
        """`tril` in place: overwrites this tensor and returns it."""
    def triu(self, diagonal: Any = ...) -> Tensor:
        """The upper triangle of matrices; zeros below the ``diagonal``-th diagonal."""
    def triu_(self, diagonal: Any = ...) -> Self:
        """`triu` in place: overwrites this tensor and returns it."""
    def true_divide(self, other: Any, *, rounding_mode: builtins.str | None = ...) -> Any:
        """Quotient; ``rounding_mode`` "floor" or "trunc" makes it a whole number."""
    def true_divide_(self, other: Any, *, rounding_mode: builtins.str | None = ...) -> Self:
        """`true_divide` in place: overwrites this tensor and returns it."""
    def trunc(self) -> Tensor:
        """The integer part; flat everywhere."""
    def trunc_(self) -> Self:
        """`trunc` in place: overwrites this tensor and returns it."""
    def type(self, dtype: Any = ..., non_blocking: builtins.bool = ...) -> Any:
        """The legacy name of the type, or the tensor in another one."""
    def type_as(self, other: Any) -> Any:
        """In the type of another tensor."""
    def unbind(self, dim: builtins.int = ...) -> Any:
        """The entries of an axis, each without it."""
    def unflatten(self, dim: builtins.int, sizes: Any) -> Any:
        """One axis as several; one of the sizes may be -1."""
    def unfold(self, dimension: Any, size: Any, step: Any) -> Tensor:
        """Every window of ``size`` entries of an axis, ``step`` apart, along a new last axis."""
    def uniform_(self, from_: builtins.float = ..., to: builtins.float = ..., *, generator: Any = ...) -> Self:
        """Fill with uniform numbers in [from, to)."""
    def unique(self, sorted: builtins.bool = ..., return_inverse: builtins.bool = ..., return_counts: builtins.bool = ..., dim: builtins.int | None = ...) -> Any:
        """The distinct values in order; with ``dim`` the distinct entries of that axis."""
    def unique_consecutive(self, return_inverse: builtins.bool = ..., return_counts: builtins.bool = ..., dim: builtins.int | None = ...) -> Any:
        """Every run of equal values (with ``dim`` of equal entries) as one."""
    def unsqueeze(self, dim: Any) -> Tensor:
        """A new axis of size 1."""
    def unsqueeze_(self, dim: Any) -> Self:
        """`unsqueeze` in place: this tensor gets the other shape and is returned."""
    def var(self, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
        """Variance along ``dim``, divided by ``n - correction`` (1)."""
    def var_mean(self, dim: Any = ..., unbiased: Any = ..., keepdim: builtins.bool = ..., *, correction: Any = ...) -> Any:
        """Variance and mean."""
    def vdot(self, other: Any) -> Any:
        """Product of two vectors, the first conjugated."""
    def view(self, *size: Any, dtype: Any = ..., **named: Any) -> Any:
        """`reshape` that never copies; ``view(dtype)`` reads the same bits as another type."""
    def view_as(self, other: Any) -> Any:
        """`view` in the shape of another tensor."""
    def vsplit(self, indices_or_sections: Any) -> Any:
        """`tensor_split` into rows."""
    def where(self, condition: Any, other: Any) -> Any:
        """This tensor's elements where the condition holds, those of ``other`` elsewhere."""
    def xlogy(self, other: Any) -> Any:
        """``input · log(other)``, and zero where ``input`` is zero unless ``other`` is NaN."""
    def xlogy_(self, other: Any) -> Self:
        """`xlogy` in place: overwrites this tensor and returns it."""
    def zero_(self) -> Self:
        """Overwrite every element with zero."""
