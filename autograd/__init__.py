"""Everything about differentiation: tensors, the tape, the ops.

Nothing here knows about learning; `nn` and `optim` are built of the names below.
"""

from __future__ import annotations

if __name__ == "autograd":
    raise ImportError("this is retrograd's autograd folder: import retrograd.autograd instead")

import warnings as _warnings

from . import interop, ops, random, safetensors
from .allocation import keep_freed_memory
from .anomaly import detect_anomaly as detect_anomaly
from .anomaly import is_anomaly_check_nan_enabled, is_anomaly_enabled
from .anomaly import set_detect_anomaly as set_detect_anomaly
from .device import Size, device
from .draw import Picture, draw, tape_cycles, tape_text, tracing
from .dtypes import (
    bfloat16,
    bool_,
    complex64,
    complex128,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from .format import get_printoptions, printoptions, set_printoptions
from .function import Function as Function  # not at the top level: PyTorch's is not
from .functional import backward, grad
from .generator import Generator
from .gradcheck import gradcheck as gradcheck
from .gradcheck import gradgradcheck as gradgradcheck
from .layout import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .op import functions
from .random import default_generator
from .serialization import load, save
from .tensor import Parameter, Tensor
from .threads import get_num_threads, set_num_threads

# Overflow and division by zero are silent, as in PyTorch, in this package's own arithmetic only.
# (`np.errstate` would cost every op 0.7 µs.)
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"retrograd\.autograd\b")

keep_freed_memory()

# PyTorch's other names of the dtypes.
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128

__all__ = [
    "Generator",
    "Parameter",
    "Picture",
    "Size",
    "Tensor",
    "backward",
    "bfloat16",
    "bool_",
    "cdouble",
    "cfloat",
    "channels_last",
    "channels_last_3d",
    "complex64",
    "complex128",
    "contiguous_format",
    "default_generator",
    "device",
    "double",
    "draw",
    "dtype",
    "enable_grad",
    "finfo",
    "float",
    "float16",
    "float32",
    "float64",
    "functions",
    "get_default_dtype",
    "get_num_threads",
    "get_printoptions",
    "grad",
    "half",
    "iinfo",
    "inference_mode",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "layout",
    "load",
    "long",
    "memory_format",
    "no_grad",
    "ops",
    "preserve_format",
    "printoptions",
    "random",
    "safetensors",
    "save",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "set_printoptions",
    "short",
    "strided",
    "tape_cycles",
    "tape_text",
    "tracing",
    "uint8",
]
