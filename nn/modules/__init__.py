"""PyTorch's paths to the layers: ``from retrograd.nn.modules.conv import Conv2d``.

The layers themselves are in the folder above.  A path here is a module in which every name is
looked up when it is asked for: in the files of the same subject, then in `nn`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from . import utils

# PyTorch's file, and files here that hold what it holds beside the public classes.
FILES = {
    "activation": "activation attention",
    "adaptive": "adaptive",
    "batchnorm": "batchnorm",
    "channelshuffle": "channelshuffle shuffle",
    "container": "container",
    "conv": "conv",
    "distance": "distance",
    "dropout": "dropout",
    "flatten": "flatten",
    "fold": "fold",
    "instancenorm": "instancenorm",
    "lazy": "lazy lazy_conv lazy_norm",
    "linear": "linear",
    "linear_cross_entropy_options": "linear_cross_entropy",
    "loss": "loss ctc linear_cross_entropy",
    "module": "module state hooks members",
    "normalization": "normalization norm",
    "padding": "padding",
    "pixelshuffle": "pixelshuffle shuffle",
    "pooling": "pooling",
    "rnn": "recurrent recurrent_cell",
    "sparse": "sparse embedding",
    "transformer": "transformer",
    "upsampling": "upsampling",
}

NN = __package__.rpartition(".")[0]


def _found(name: str, files: list[str]) -> Any:
    """What a name means in one of the files, or in `nn`; `AttributeError` if it means nothing."""
    for file in files:
        try:
            place = importlib.import_module(f"{NN}.{file}")
        except ModuleNotFoundError:
            continue
        if name in vars(place):
            return vars(place)[name]
    return getattr(sys.modules[NN], name)


def _path(name: str, files: str) -> ModuleType:
    made = ModuleType(f"{__name__}.{name}", f"PyTorch's path to what is in {files}.")
    made.__getattr__ = lambda attribute: _found(attribute, files.split())  # type: ignore[method-assign]
    return made


for _name, _files in FILES.items():
    sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _path(_name, _files)


def __getattr__(name: str) -> Any:
    return _found(name, [])


__all__ = ["utils"]
