"""Activations as modules.  Each is its function in `functional`, with the settings kept."""

from __future__ import annotations

import warnings
from dataclasses import InitVar, dataclass
from typing import Any

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty
from ..autograd.ops.activation import gelu, relu, sigmoid
from ..autograd.ops.transcendental import tanh
from . import functional as F
from .init import constant_
from .module import Module
from .settings import Settings


@dataclass(eq=False, repr=False)
class ReLU(Settings):
    """``max(x, 0)``.

    >>> import retrograd as rg
    >>> rg.nn.ReLU()(rg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Zero where negative."""
        return F.relu(input, True) if self.inplace else relu(input)


@dataclass(eq=False, repr=False)
class LeakyReLU(Settings):
    """``x`` where positive, ``negative_slope · x`` elsewhere (Maas et al. 2013)."""

    negative_slope: float = 0.01
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Less steep where negative."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)


@dataclass(eq=False, repr=False)
class RReLU(Settings):
    """`LeakyReLU` with random slopes in training, their mean in evaluation (Xu et al. 2015)."""

    lower: float = 1 / 8
    upper: float = 1 / 3
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Less steep where negative."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """``x`` where positive, ``weight · x`` elsewhere, with a learnt weight (He et al. 2015).

    ``num_parameters`` is 1, or the number of channels (axis 1).
    """

    weight: Tensor

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all weights to ``init``."""
        constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Multiplied by the weight where negative."""
        return F.prelu(input, self.weight)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


@dataclass(eq=False, repr=False)
class ELU(Settings):
    """``x`` where positive, ``α · (eˣ - 1)`` elsewhere (Clevert et al. 2015)."""

    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Towards -α where negative."""
        return F.elu(input, self.alpha, self.inplace)


@dataclass(eq=False, repr=False)
class CELU(Settings):
    """``x`` where positive, ``α · (e^(x/α) - 1)`` elsewhere: smooth for every α."""

    alpha: float = 1.0
    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Towards -α where negative."""
        return F.celu(input, self.alpha, self.inplace)


@dataclass(eq=False, repr=False)
class SELU(Settings):
    """`ELU` with the α and the scale that keep mean 0 and variance 1 (Klambauer et al. 2017)."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Scaled, and towards -1.76 where negative."""
        return F.selu(input, self.inplace)


@dataclass(eq=False, repr=False)
class GELU(Settings):
    """``x · Φ(x)``; ``approximate="tanh"`` replaces the normal distribution function Φ."""

    approximate: str = "none"

    def forward(self, input: Tensor) -> Tensor:
        """Weighted by the probability of a smaller normal number."""
        return gelu(input, approximate=self.approximate)


@dataclass(eq=False, repr=False)
class SiLU(Settings):
    """``x · sigmoid(x)``, also called swish."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Weighted by the sigmoid."""
        return F.silu(input, self.inplace)


@dataclass(eq=False, repr=False)
class Mish(Settings):
    """``x · tanh(softplus(x))`` (Misra 2019)."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Weighted by tanh of the softplus."""
        return F.mish(input, self.inplace)


@dataclass(eq=False, repr=False)
class Softplus(Settings):
    """``log(1 + e^(β·x)) / β``; ``x`` itself where ``β·x`` exceeds the threshold."""

    beta: float = 1.0
    threshold: float = 20.0

    def forward(self, input: Tensor) -> Tensor:
        """A smooth ReLU."""
        return F.softplus(input, self.beta, self.threshold)  # type: ignore[no-any-return]


class Softsign(Module):
    """``x / (1 + |x|)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Squashed into (-1, 1)."""
        return F.softsign(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Squashed into (-1, 1)."""
        return tanh(input)  # type: ignore[no-any-return]


class Tanhshrink(Module):
    """``x - tanh(x)``."""

    def forward(self, input: Tensor) -> Tensor:
        """What `Tanh` takes away."""
        return F.tanhshrink(input)


class Sigmoid(Module):
    """``1 / (1 + e⁻ˣ)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Squashed into (0, 1)."""
        return sigmoid(input)  # type: ignore[no-any-return]


class LogSigmoid(Module):
    """``log(1 / (1 + e⁻ˣ))``, without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        """The logarithm of the sigmoid."""
        return F.logsigmoid(input)  # type: ignore[no-any-return]


@dataclass(eq=False, repr=False)
class Hardtanh(Settings):
    """``x`` clipped to [min_val, max_val]."""

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False
    min_value: InitVar[float | None] = None
    max_value: InitVar[float | None] = None

    def __post_init__(self, min_value: float | None, max_value: float | None) -> None:
        super().__post_init__()
        for name, old in (("min_val", min_value), ("max_val", max_value)):
            if old is not None:
                warnings.warn(
                    f"keyword argument `{name}ue` is deprecated and renamed to `{name}`",
                    FutureWarning,
                    stacklevel=3,
                )
                setattr(self, name, old)
        if self.max_val <= self.min_val:
            raise AssertionError(
                f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Clipped."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class ReLU6(Hardtanh):
    """``min(max(x, 0), 6)``."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """Whether it writes over its input."""
        return "inplace=True" if self.inplace else ""


@dataclass(eq=False, repr=False)
class Hardsigmoid(Settings):
    """A straight line through (-3, 0) and (3, 1), clipped to [0, 1]."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Squashed into [0, 1]."""
        return F.hardsigmoid(input, self.inplace)

    extra_repr = Module.extra_repr


@dataclass(eq=False, repr=False)
class Hardswish(Settings):
    """``x · hardsigmoid(x)`` (Howard et al. 2019)."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Weighted by the hard sigmoid."""
        return F.hardswish(input, self.inplace)

    extra_repr = Module.extra_repr


@dataclass(eq=False, repr=False)
class Hardshrink(Settings):
    """Zero within [-λ, λ], ``x`` outside."""

    lambd: float = 0.5

    def forward(self, input: Tensor) -> Tensor:
        """Zero where small."""
        return F.hardshrink(input, self.lambd)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """λ alone."""
        return str(self.lambd)


@dataclass(eq=False, repr=False)
class Softshrink(Settings):
    """``x`` moved towards zero by λ."""

    lambd: float = 0.5

    def forward(self, input: Tensor) -> Tensor:
        """Zero where small, nearer to zero elsewhere."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """λ alone."""
        return str(self.lambd)


class Threshold(Module):
    """``x`` where it exceeds the threshold, ``value`` elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """One value where not above the threshold."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """All settings."""
        inplace = ", inplace=True" if self.inplace else ""
        return f"threshold={self.threshold}, value={self.value}{inplace}"


@dataclass(eq=False, repr=False)
class GLU(Settings):
    """``a · sigmoid(b)``, where a and b are the halves of the axis ``dim``."""

    dim: int = -1

    def forward(self, input: Tensor) -> Tensor:
        """The first half, gated by the second."""
        return F.glu(input, self.dim)


@dataclass(eq=False, repr=False)
class Softmax(Settings):
    """``eˣ / Σ eˣ`` along ``dim``.

    >>> import retrograd as rg
    >>> rg.nn.Softmax(dim=0)(rg.zeros(2))
    tensor([0.5000, 0.5000])
    """

    dim: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Positive, and adding up to one along ``dim``."""
        return F.softmax(input, self.dim, _stacklevel=4)


@dataclass(eq=False, repr=False)
class LogSoftmax(Settings):
    """The logarithm of `Softmax`, computed without leaving it."""

    dim: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Logarithms of what adds up to one along ``dim``."""
        return F.log_softmax(input, self.dim, _stacklevel=4)


@dataclass(eq=False, repr=False)
class Softmin(Settings):
    """`Softmax` of ``-x``."""

    dim: int | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Positive, and adding up to one along ``dim``."""
        return F.softmin(input, self.dim, _stacklevel=4)


class Softmax2d(Module):
    """`Softmax` over the channels at each place of an image.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``; `ValueError` for any other
    """

    def forward(self, input: Tensor) -> Tensor:
        """Channels that add up to one at each place."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)
