"""The text of a tensor: what PyTorch prints, from an array and the dtype to show.

`tensor_repr` writes it in three steps. A big array is first cut to its edges, so that only what is
shown is ever formatted. The elements that are left become texts of one width. The texts are put
into brackets, one axis after another from the innermost out. `set_printoptions` and its relatives
say how; `format_value` serves f-strings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .dtypes import bool_, dtype, get_default_dtype, int64

__all__ = ["format_value", "get_printoptions", "printoptions", "set_printoptions", "tensor_repr"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """How tensors are printed; `set_printoptions` explains the fields."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

# Replaced whole, never changed: a thread that is printing keeps the options it began with.
_options = PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed, from now on and in every thread.

    `precision` is the number of digits after the point. A tensor of more than `threshold` elements
    is summarised by `edgeitems` entries at both ends of each axis. Lines break before `linewidth`
    characters. `profile` ("default", "short" or "full") sets these four, before the others apply.
    `sci_mode` forces scientific notation (True) or forbids it (False); as in PyTorch, a call that
    leaves it out goes back to the automatic choice. Raises `ValueError` for an unknown profile.

    >>> import retrograd as rg
    >>> rg.set_printoptions(precision=2)
    >>> rg.tensor([1.12345])
    tensor([1.12])
    >>> rg.set_printoptions(profile="default")
    """
    global _options
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"set_printoptions: no profile {profile!r}; choose from {list(PROFILES)}")
    base = _options if profile is None else PROFILES[profile]
    _options = PrintOptions(
        precision=base.precision if precision is None else precision,
        threshold=base.threshold if threshold is None else threshold,
        edgeitems=base.edgeitems if edgeitems is None else edgeitems,
        linewidth=base.linewidth if linewidth is None else linewidth,
        sci_mode=sci_mode,
    )


def get_printoptions() -> dict[str, Any]:
    """Return the options in force, as keyword arguments of `set_printoptions`.

    >>> import retrograd as rg
    >>> rg.get_printoptions()["linewidth"]
    80
    """
    return asdict(_options)


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Choose how tensors are printed inside a `with` block; takes what `set_printoptions` takes.

    >>> import retrograd as rg
    >>> with rg.printoptions(sci_mode=True, precision=1):
    ...     print(rg.tensor([1500.0]))
    tensor([1.5e+03])
    """
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


def tensor_repr(
    array: Array,
    dtype: dtype,
    *,
    kind: str = "tensor",
    parameter: bool = False,
    requires_grad: bool = False,
    grad_fn: str | None = None,
) -> str:
    """Return the text of a tensor that holds `array` and calls itself `dtype`.

    `array` is a plain numeric array; of a dtype that NumPy lacks, pass the values as float32.
    `kind` is "tensor" for `Tensor` and `Parameter` themselves, the class's name for a subclass of
    either. `grad_fn` is the name of the op that made the tensor, such as "MulBackward0".
    """
    options = _options
    opening = kind + "("
    text = opening + _contents(array, len(opening), options)
    remarks = _remarks(array, dtype, options)
    if grad_fn is not None:
        remarks.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        remarks.append("requires_grad=True")
    text = _append(text, remarks, len(opening), options.linewidth) + ")"
    if parameter:
        named = text if kind == "tensor" else f"Parameter({text})"
        return "Parameter containing:\n" + named
    return text


def format_value(value: complex, spec: str) -> str:
    """Format a 0-d tensor's item, a plain Python number: what `f"{loss:.3f}"` shows."""
    return format(value, spec)


def _contents(array: Array, indent: int, options: PrintOptions) -> str:
    """Write the elements with their brackets; `indent` is where the first bracket stands."""
    if array.size == 0:
        return "[]"
    if array.ndim == 0:
        return _elements(array, options)[0][0]
    cut = [False] * array.ndim
    if array.size > options.threshold:
        if options.edgeitems == 0:
            return "[...]"
        cut = [size > 2 * options.edgeitems for size in array.shape]
        array = _edges(array, cut, options.edgeitems)
    texts, width = _elements(array, options)
    per_line = max(1, math.floor((options.linewidth - indent - array.ndim + 1) / (width + 2)))
    innermost = array.ndim - 1
    for axis in range(innermost, -1, -1):
        gap = "," + "\n" * max(1, innermost - axis) + " " * (indent + axis + 1)
        size = array.shape[axis]
        rows = []
        for start in range(0, len(texts), size):
            row = texts[start : start + size]
            if cut[axis]:
                row.insert(options.edgeitems, " ..." if axis == innermost else "...")
            if axis == innermost:
                row = [", ".join(row[i : i + per_line]) for i in range(0, len(row), per_line)]
            rows.append("[" + gap.join(row) + "]")
        texts = rows
    return texts[0]


def _edges(array: Array, cut: list[bool], items: int) -> Array:
    """Keep the first and last `items` entries of every axis that is to be cut."""
    ends = [*range(items), *range(-items, 0)]
    shown = [ends if too_long else range(array.shape[i]) for i, too_long in enumerate(cut)]
    return array[np.ix_(*shown)]


def _elements(array: Array, options: PrintOptions) -> tuple[list[str], int]:
    """Return the text of every element in order, and the width they are aligned to."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "c":
        reals, real_width = _floats(flat.real, options)
        imags, imag_width = _floats(flat.imag, options)
        signed = (imag.lstrip() for imag in imags)
        texts = [
            f"{real}{'' if imag[0] == '-' else '+'}{imag}j"
            for real, imag in zip(reals, signed, strict=True)
        ]
        return texts, real_width + imag_width + 1
    if flat.dtype.kind == "f":
        return _floats(flat, options)
    texts = [str(value) for value in flat.tolist()]
    width = max(map(len, texts))
    return [text.rjust(width) for text in texts], width


def _floats(flat: Array, options: PrintOptions) -> tuple[list[str], int]:
    """Return the texts of real numbers, all in one notation, and their width.

    Only finite numbers other than zero choose the notation and the width, as in PyTorch: a longer
    "-0." or "inf" then sticks out.
    """
    counts = np.isfinite(flat) & (flat != 0)
    counted = flat[counts]
    whole, scientific = True, False
    if counted.size:
        sizes = np.abs(counted)
        least, most = float(sizes.min()), float(sizes.max())
        whole = bool((counted == np.ceil(counted)).all())
        scientific = most / least > 1000.0 or most > 1e8 or least < 1e-4
        if options.sci_mode is not None:
            scientific = options.sci_mode
    digits = options.precision if scientific or not whole else 0
    spec = f".{digits}{'e' if scientific else 'f'}"
    texts = [format(value, spec) for value in flat.tolist()]
    if whole and not scientific:  # the point tells a float from an int; inf and nan need none
        texts = [text + "." if text[-1].isdigit() else text for text in texts]
    width = max((len(texts[i]) for i in counts.nonzero()[0].tolist()), default=1)
    return [text.rjust(width) for text in texts], width


def _remarks(array: Array, dtype: dtype, options: PrintOptions) -> list[str]:
    """List what the elements do not show: the size where it is hidden, the dtype unless usual."""
    default = get_default_dtype()
    if array.size == 0:  # no element shows what it is: only the default goes without saying
        sized, usual = array.ndim != 1, [default]
    else:
        sized, usual = options.edgeitems == 0, [default, default.to_complex(), int64, bool_]
    remarks = []
    if sized:
        remarks.append(f"size={array.shape}")
    if dtype not in usual:
        remarks.append(f"dtype={dtype}")
    return remarks


def _append(text: str, remarks: list[str], indent: int, linewidth: int) -> str:
    """Add the remarks after the last line of `text`, or on lines of their own where it is full."""
    used = len(text) - text.rfind("\n") + 1  # two more than the line holds, as PyTorch counts
    for remark in remarks:
        if used + len(remark) + 2 > linewidth:
            text += ",\n" + " " * indent + remark
            used = indent + len(remark)
        else:
            text += ", " + remark
            used += len(remark) + 2
    return text
