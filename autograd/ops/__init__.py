"""The ops: declarations only.  Importing this package declares them all."""

from ..op import unkept_announcements
from . import (
    activation,
    arithmetic,
    compare,
    convert,
    convolution,
    ctc,
    einsum,
    fold,
    gate,
    gather,
    index,
    join,
    linalg,
    loss,
    norm,
    part,
    rank,
    recurrent,
    reduce,
    scan,
    shape,
    sort,
    transcendental,
)

if unkept_announcements():
    raise TypeError(f"rules name {sorted(unkept_announcements())}, which no file here declares")

__all__ = [
    "activation",
    "arithmetic",
    "compare",
    "convert",
    "convolution",
    "ctc",
    "einsum",
    "fold",
    "gate",
    "gather",
    "index",
    "join",
    "linalg",
    "loss",
    "norm",
    "part",
    "rank",
    "recurrent",
    "reduce",
    "scan",
    "shape",
    "sort",
    "transcendental",
]
