"""What holds the samples: datasets read by index or as a stream, and their combinations.

A map-style dataset answers `dataset[i]` and `len(dataset)`.  It may also answer
`dataset.__getitems__([i, j, ...])` with a list of samples, which the loader then prefers.
An `IterableDataset` answers `iter(dataset)` alone.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ...autograd import Tensor
from ...autograd.random import randperm

if TYPE_CHECKING:
    from ...autograd.random import Generator

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by key: subclasses write `__getitem__`, and `__len__` where the size is known.

    >>> from retrograd.utils.data import Dataset
    >>> class Squares(Dataset):
    ...     def __getitem__(self, i):
    ...         return i * i
    ...     def __len__(self):
    ...         return 10
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[T_co]) -> Dataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """Samples as a stream: subclasses write `__iter__`, and cannot be made without it.

    With `num_workers > 0` every worker reads its own copy of the stream, so `__iter__` should
    ask `get_worker_info()` for its share, or each sample arrives once from every worker.

    >>> from retrograd.utils.data import DataLoader, IterableDataset, get_worker_info
    >>> class Count(IterableDataset):
    ...     def __iter__(self):
    ...         worker = get_worker_info()
    ...         start, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
    ...         return iter(range(start, 5, step))
    >>> list(DataLoader(Count(), batch_size=3))
    [tensor([0, 1, 2]), tensor([3, 4])]
    """

    def __add__(self, other: Dataset[T_co]) -> Dataset[T_co]:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors held in memory, cut along their first dimension: sample `i` is `(x[i], y[i], …)`.

    A `DataLoader` with the default collation takes a whole batch of it by one indexing per
    tensor, instead of stacking single rows.  A subclass with its own `__getitem__` is read row
    by row as any other dataset.

    Raises AssertionError if the first dimensions differ, TypeError if one is not a Tensor.

    >>> import retrograd as rg
    >>> from retrograd.utils.data import TensorDataset
    >>> TensorDataset(rg.tensor([[1., 2.], [3., 4.]]), rg.tensor([0, 1]))[1]
    (tensor([3., 4.]), tensor(1))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        for place, tensor in enumerate(tensors):
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"TensorDataset takes Tensors, but argument {place} is a "
                    f"{type(tensor).__name__}; convert it with from_numpy() or tensor()"
                )
        sizes = [tensor.size(0) for tensor in tensors]
        if len(set(sizes)) > 1:
            raise AssertionError(
                f"Size mismatch between tensors: their first dimensions are {sizes}, and each "
                "must hold one row per sample"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return cast(int, self.tensors[0].size(0))


class StackDataset(Dataset[Any]):
    """Datasets of equal length side by side: a sample is the tuple, or dict, of their samples.

    Raises ValueError without datasets, with both kinds of arguments, or with unequal lengths.

    >>> from retrograd.utils.data import StackDataset
    >>> StackDataset("ab", [1, 2])[1]
    ('b', 2)
    >>> StackDataset(letter="ab", number=[1, 2])[0]
    {'letter': 'a', 'number': 1}
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(
                "StackDataset takes datasets by position, for tuples, or by name, for dicts, "
                f"but was given {len(args)} by position and {list(kwargs)} by name"
            )
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in self._parts]
        if len(set(lengths)) > 1:
            raise ValueError(f"Size mismatch between datasets: their lengths are {lengths}")
        self._length = lengths[0]

    @property
    def _parts(self) -> tuple[Any, ...]:
        return tuple(self.datasets.values()) if isinstance(self.datasets, dict) else self.datasets

    def _sample(self, parts: tuple[Any, ...]) -> Any:
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, parts, strict=True))
        return parts

    def __getitem__(self, index: Any) -> Any:
        return self._sample(tuple(dataset[index] for dataset in self._parts))

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        """Samples at `indices`, asking each dataset for all of its own at once if it can."""
        columns = []
        for dataset in self._parts:
            column = _samples(dataset, indices)
            if len(column) != len(indices):
                raise ValueError(
                    f"Nested dataset's output size mismatch: __getitems__ of "
                    f"{type(dataset).__name__} was asked for {len(indices)} samples and "
                    f"returned {len(column)}"
                )
            columns.append(column)
        return [self._sample(parts) for parts in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Datasets one after another, as one.  `a + b` makes one as well.

    Raises AssertionError for no datasets, or for an `IterableDataset` among them.

    >>> from retrograd.utils.data import ConcatDataset
    >>> both = ConcatDataset(["abc", "de"])
    >>> len(both), both[3], both[-1]
    (5, 'd', 'e')
    """

    datasets: list[Any]
    cumulative_sizes: list[int]

    @staticmethod
    def cumsum(sequence: Iterable[Sized]) -> list[int]:
        """Running total of the lengths."""
        return list(itertools.accumulate(len(dataset) for dataset in sequence))

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError(
                "ConcatDataset does not support IterableDataset, which has no index; "
                "chain streams with ChainDataset"
            )
        self.cumulative_sizes = self.cumsum(self.datasets)

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> T_co:
        if idx < 0:
            if -idx > len(self):
                raise ValueError(
                    "absolute value of index should not exceed dataset length: "
                    f"index {idx}, length {len(self)}"
                )
            idx += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, idx)
        before = self.cumulative_sizes[which - 1] if which else 0
        return cast(T_co, self.datasets[which][idx - before])


class ChainDataset(IterableDataset[T_co]):
    """Streams one after another, as one.  Raises AssertionError for a dataset that is not a stream.

    >>> from retrograd.utils.data import ChainDataset, IterableDataset
    >>> class Word(IterableDataset):
    ...     def __init__(self, text):
    ...         self.text = text
    ...     def __iter__(self):
    ...         return iter(self.text)
    >>> "".join(ChainDataset([Word("for"), Word("ward")]))
    'forward'
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = datasets

    def _streams(self) -> Iterator[IterableDataset[T_co]]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError(
                    f"ChainDataset only supports IterableDataset, not {type(dataset).__name__}; "
                    "join datasets read by index with ConcatDataset"
                )
            yield dataset

    def __iter__(self) -> Iterator[T_co]:
        for dataset in self._streams():
            yield from dataset

    def __len__(self) -> int:
        return sum(len(cast(Sized, dataset)) for dataset in self._streams())


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`.

    A subclass that overrides `__getitem__` must override `__getitems__` too, because the loader
    asks for batches; otherwise NotImplementedError is raised.

    >>> from retrograd.utils.data import Subset
    >>> list(Subset("abcdef", [4, 0, 3]))
    ['e', 'a', 'd']
    """

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        cls = type(self)
        if cls.__getitem__ is not Subset.__getitem__ and cls.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{cls.__name__} overrides __getitem__ but not __getitems__, which is what "
                "DataLoader calls. Add, for example:\n\n"
                "    def __getitems__(self, indices):\n"
                "        return [self[i] for i in indices]"
            )

    def __getitem__(self, idx: Any) -> T_co:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        """Samples at `indices`, all at once if the dataset underneath can."""
        return _samples(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T], lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[T]]:
    """Cut a dataset at random into parts of the given lengths, or of the given fractions.

    Fractions are rounded down, and what is left over goes one sample each to the first parts.
    Without a generator the permutation comes from the default one.

    Raises ValueError if the lengths do not add up, or one is negative.

    >>> import retrograd as rg
    >>> from retrograd.utils.data import random_split
    >>> train, test = random_split(range(10), [0.75, 0.25], rg.Generator().manual_seed(0))
    >>> len(train), len(test)
    (8, 2)
    """
    total = len(cast(Sized, dataset))
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        counts = _counts(lengths, total)
    else:
        counts = cast("list[int]", list(lengths))
    if sum(counts) != total or min(counts, default=0) < 0:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset: the lengths "
            f"{list(lengths)} must be counts that add up to {total}, or fractions that add up to 1"
        )
    indices = randperm(total, generator=generator).tolist()
    ends = itertools.accumulate(counts)
    return [
        Subset(dataset, indices[end - count : end]) for end, count in zip(ends, counts, strict=True)
    ]


def _counts(fractions: Sequence[float], total: int) -> list[int]:
    """Turn fractions of `total` into counts that add up to it."""
    for place, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {place} is not between 0 and 1: {fraction}")
    counts = [math.floor(total * fraction) for fraction in fractions]
    for spare in range(total - sum(counts)):
        counts[spare % len(counts)] += 1
    for place, count in enumerate(counts):
        if count == 0:
            warnings.warn(
                f"Length of split at index {place} is 0. This might result in an empty dataset.",
                stacklevel=3,
            )
    return counts


def _samples(dataset: Any, indices: list[Any]) -> list[Any]:
    """List the samples at `indices`, by `__getitems__` where there is one."""
    if callable(getattr(dataset, "__getitems__", None)):
        return cast("list[Any]", dataset.__getitems__(indices))
    return [dataset[i] for i in indices]
