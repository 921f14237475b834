"""Batches of sequences of several lengths: padded, packed, and back.

Packed, the steps of all sequences stand one under another, first step first, without padding;
``batch_sizes`` says how many sequences reach each step.  That takes the sequences longest first, so
a packed batch also remembers in which order they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

import numpy as np

from ...autograd import Tensor, device
from ...autograd.creation import tensor
from ...autograd.op import functions
from ...autograd.tensor import wrap

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """Sequences of several lengths without padding; `pack_sequence` and its like make them.

    ``data`` holds the steps, ``batch_sizes`` how many rows of it each step has, ``sorted_indices``
    in which order the sequences were taken, and ``unsorted_indices`` the way back; both are None
    where the order has not changed.

    >>> import retrograd as rg
    >>> from retrograd.nn.utils.rnn import pack_sequence
    >>> pack_sequence([rg.tensor([1, 2, 3]), rg.tensor([4, 5])])
    PackedSequence(data=tensor([1, 4, 2, 5, 3]), batch_sizes=tensor([2, 2, 1]), \
sorted_indices=None, unsorted_indices=None)
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        """Also ``PackedSequence((data, batch_sizes))``; the way back follows from the order."""
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)  # type: ignore[arg-type]

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """The data converted as `Tensor.to` does; this one itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._with(data)

    def _with(self, data: Tensor) -> Self:
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def _cast(self, dtype: str) -> Self:
        return self.to(dtype=getattr(self.data, dtype)().dtype)

    def cpu(self, *args: Any, **kwargs: Any) -> Self:
        """This one: everything is on the CPU; arguments are those of `to`."""
        return self.to(*args, **kwargs) if args or kwargs else self

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Raise `RuntimeError`: there is only the CPU."""
        return self.to(device("cuda"))

    def pin_memory(self) -> Self:
        """This one: memory is never pinned."""
        return self

    def is_pinned(self) -> bool:
        """False: memory is never pinned."""
        return False

    @property
    def is_cuda(self) -> bool:
        """False: there is only the CPU."""
        return False

    def double(self) -> Self:
        """The data in float64."""
        return self._cast("double")

    def float(self) -> Self:
        """The data in float32."""
        return self._cast("float")

    def half(self) -> Self:
        """The data in float16."""
        return self._cast("half")

    def long(self) -> Self:
        """The data in int64."""
        return self._cast("long")

    def int(self) -> Self:
        """The data in int32."""
        return self._cast("int")

    def short(self) -> Self:
        """The data in int16."""
        return self._cast("short")

    def char(self) -> Self:
        """The data in int8."""
        return self._cast("char")

    def byte(self) -> Self:
        """The data in uint8."""
        return self._cast("byte")


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; None of None."""
    if permutation is None:
        return None
    order = permutation.array
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size)
    return wrap(inverse)


# ---------------------------------------------------------------- padded to packed, and back


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | list[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Take the padding out of a batch of sequences whose lengths are given.

    They must come longest first, unless ``enforce_sorted`` is False: then they are sorted here,
    and `pad_packed_sequence` brings them back into the order in which they came.

    Shape: ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``

    Raises `RuntimeError` for lengths that are not one for each sequence, not positive, longer than
    the batch, or not sorted.
    """
    order = None
    given = _lengths(lengths)
    if not enforce_sorted:
        order = np.argsort(-given, kind="stable") if given.ndim == 1 else None
    x = input.transpose(0, 1) if batch_first else input
    steps, batch = _checked_shape(x)
    if given.ndim != 1:
        raise RuntimeError(
            "'lengths' argument should be a 1D CPU int64 tensor, but got "
            f"{given.ndim}D cpu Long tensor"
        )
    if given.size != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {given.size} "
            f"(batch_size={batch})"
        )
    if order is not None:
        given = given[order]
        x = x.index_select(1, wrap(order))
    _check_lengths(given, steps)
    reached = np.arange(given[0])[:, None] < given  # (T, N)
    data = x[: int(given[0])][wrap(reached)]
    sizes = np.add.reduce(reached, axis=1, dtype=np.int64)
    return PackedSequence(data, wrap(sizes), None if order is None else wrap(order))


def _lengths(lengths: Any) -> np.ndarray[Any, Any]:
    found = lengths.array if isinstance(lengths, Tensor) else tensor(lengths).array
    return found.astype(np.int64)


def _checked_shape(x: Tensor) -> tuple[int, int]:
    if x.ndim < 2:
        raise IndexError(
            "Dimension out of range: pack_padded_sequence takes sequences of a batch, "
            f"(T, N, *), but the input has {x.ndim} dimension(s)"
        )
    if not x.array.size:
        raise RuntimeError("Cannot pack empty tensors.")
    return x.array.shape[:2]  # type: ignore[return-value]


def _check_lengths(lengths: np.ndarray[Any, Any], steps: int) -> None:
    """PyTorch's complaints; it reads beyond the batch where a length is larger."""
    if lengths.min() <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if (lengths[1:] > lengths[:-1]).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if lengths[0] > steps:
        raise RuntimeError(
            f"'lengths' has an element {lengths[0]}, but the padded sequences have {steps} steps"
        )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo `pack_padded_sequence`: the padded batch and the lengths, in the original order.

    With ``total_length`` the batch is padded to so many steps; `ValueError` if there are more.

    Shape: ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``, and ``(N,)``
    """
    sizes = sequence.batch_sizes.array
    steps = sizes.size
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in "
                f"input, but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    batch = int(sizes[0])
    reached = np.zeros((steps, batch), bool)
    reached[: sizes.size] = np.arange(batch) < sizes[:, None]
    data = sequence.data
    padded = data.new_full((steps, batch, *data.array.shape[1:]), padding_value)
    padded[wrap(reached)] = data
    lengths = wrap(np.add.reduce(reached, axis=0, dtype=np.int64))
    if batch_first:
        padded = padded.transpose(0, 1)
    back = sequence.unsorted_indices
    if back is not None:
        return padded.index_select(0 if batch_first else 1, back), lengths[back]
    return padded, lengths


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences of several lengths as one batch, padded at the end or on the left.

    Shape: ``(L, *)`` each ``→ (T, N, *)``, or ``(N, T, *)`` with ``batch_first``

    >>> import retrograd as rg
    >>> from retrograd.nn.utils.rnn import pad_sequence
    >>> pad_sequence([rg.tensor([1, 2, 3]), rg.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    xs = tuple(sequences)
    _check_sequences(xs, padding_side)
    lengths = [x.array.shape[0] for x in xs]
    steps, rest = max(lengths), xs[0].array.shape[1:]
    shape = (len(xs), steps) if batch_first else (steps, len(xs))
    padded = xs[0].new_full((*shape, *rest), padding_value)
    shift = [0 if padding_side == "right" else steps - n for n in lengths]
    time = wrap(np.concatenate([np.arange(n) + k for n, k in zip(lengths, shift, strict=True)]))
    row = wrap(np.repeat(np.arange(len(xs)), lengths))
    values = functions["cat"]([x.to(xs[0].dtype) for x in xs])
    padded[(row, time) if batch_first else (time, row)] = values
    return padded


def _check_sequences(xs: tuple[Any, ...], padding_side: str) -> None:
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    if not xs:
        raise RuntimeError("received an empty list of sequences")
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            )
        if not x.ndim:
            raise RuntimeError(
                f"pad_sequence: sequence {i} is a scalar: a sequence has steps (L, *)"
            )
        if x.array.shape[1:] != xs[0].array.shape[1:]:
            raise RuntimeError(
                f"pad_sequence: sizes may differ in the first dimension alone, but sequence 0 has "
                f"shape {list(xs[0].shape)} and sequence {i} {list(x.shape)}: "
                "must match at every other dimension"
            )


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch, each as long as ``lengths`` says."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [
        row[: max(n, 0)].clone() for row, n in zip(rows.unbind(0), lengths.tolist(), strict=True)
    ]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences ``(L, *)`` packed; longest first, unless ``enforce_sorted`` is False."""
    xs = tuple(sequences)
    padded = pad_sequence(xs)
    return pack_padded_sequence(
        padded, [x.array.shape[0] for x in xs], enforce_sorted=enforce_sorted
    )


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in their original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
