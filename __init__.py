"""retrograd: reverse-mode automatic differentiation with PyTorch's face.

    import retrograd as rg
    from retrograd import nn, optim
    import retrograd.nn.functional as F

Everything PyTorch has at its top level and this package offers is here: the tensor, the dtypes,
every op (from the registry of `autograd`), the grad modes, random numbers, saving and drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import autograd
from .autograd import *  # noqa: F403
from .autograd import bool_, functions

if TYPE_CHECKING:  # the same as `functions`, for those who only read
    from .autograd.toplevel import *  # noqa: F403

__version__ = "0.1.0"

bool = bool_
globals().update(functions)
del bool_, functions

from . import nn, optim, utils  # noqa: E402 - they are built of the names above
