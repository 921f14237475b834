"""The order in which samples are read: samplers of indices, and of batches of indices.

The samplers here draw exactly the numbers PyTorch's draw, from the same generators at the same
moments, so a seeded shuffle is PyTorch's shuffle.

Each of them yields Python ints to whoever iterates over it.  Internally they produce *runs*: a
`range`, or an int64 array, of many indices at once, drawn no earlier than the first index of the
run is asked for.  `BatchSampler` cuts batches out of runs, so the permutation of a large dataset
never becomes a list of Python ints.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

import numpy as np

from ...autograd import Tensor, float64
from ...autograd.creation import as_tensor
from ...autograd.random import Generator, multinomial, randint, randperm, source

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T_co = TypeVar("T_co", covariant=True)
Run: TypeAlias = "range | NDArray[Any]"

# How many indices PyTorch draws at a time when it samples with replacement.
DRAWN_TOGETHER = 32


class Sampler(Generic[T_co]):
    """Base class: subclasses write `__iter__`, and `__len__` where the length is known.

    >>> from retrograd.utils.data import DataLoader, Sampler
    >>> class Backwards(Sampler):
    ...     def __init__(self, data):
    ...         self.data = data
    ...     def __iter__(self):
    ...         return reversed(range(len(self.data)))
    ...     def __len__(self):
    ...         return len(self.data)
    >>> list(DataLoader([10, 11, 12], sampler=Backwards([10, 11, 12]), batch_size=2))
    [tensor([12, 11]), tensor([10])]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class _RunSampler(Sampler[int]):
    """A sampler that can say many indices at once; iterating over it says them one by one."""

    def _runs(self) -> Iterator[Run]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        for run in self._runs():
            yield from as_list(run)


class SequentialSampler(_RunSampler):
    """The indices in order, from the first to the last.

    >>> from retrograd.utils.data import SequentialSampler
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def _runs(self) -> Iterator[Run]:
        yield range(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(_RunSampler):
    """The indices shuffled, or drawn with replacement; `num_samples` of them if given.

    Without a generator, each pass draws one seed from the default generator and shuffles with a
    fresh generator of that seed.

    Raises TypeError if `replacement` is not a bool, ValueError if there is nothing to draw.

    >>> import retrograd as rg
    >>> from retrograd.utils.data import RandomSampler
    >>> list(RandomSampler("abcdef", generator=rg.Generator().manual_seed(0)))
    [2, 5, 3, 0, 1, 4]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                "num_samples should be a positive integer value, but got "
                f"num_samples={self.num_samples}; the dataset has {len(data_source)} samples"
            )

    @property
    def num_samples(self) -> int:
        """How many indices one pass draws; by default the current size of the dataset."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def _runs(self) -> Iterator[Run]:
        n = len(self.data_source)
        generator = self.generator
        if generator is None:
            generator = Generator()
            generator.manual_seed(draw_seed(None))
        if self.replacement:
            whole, rest = divmod(self.num_samples, DRAWN_TOGETHER)
            for size in itertools.chain(itertools.repeat(DRAWN_TOGETHER, whole), (rest,)):
                yield randint(0, n, (size,), generator=generator).array
        else:
            whole, rest = divmod(self.num_samples, n)
            for _ in range(whole):
                yield randperm(n, generator=generator).array
            # Drawn even where nothing of it is used: it moves the user's generator, as in PyTorch.
            if rest or generator is self.generator:
                yield randperm(n, generator=generator).array[:rest]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_RunSampler):
    """The given indices, shuffled.

    >>> import retrograd as rg
    >>> from retrograd.utils.data import SubsetRandomSampler
    >>> sorted(SubsetRandomSampler([5, 3, 8]))
    [3, 5, 8]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def _runs(self) -> Iterator[Run]:
        order = randperm(len(self.indices), generator=self.generator).array
        keys = as_rows(self.indices)
        if keys is None:
            keys = np.fromiter(self.indices, dtype=object, count=len(self.indices))
        yield keys[order]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_RunSampler):
    """Indices `0 … len(weights) - 1` drawn with the given weights, which need not add up to 1.

    Raises ValueError for a `num_samples` that is not a positive int, a `replacement` that is not
    a bool, or weights that are not one-dimensional.

    >>> from retrograd.utils.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 4))
    [1, 1, 1, 1]
    """

    weights: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _check_count("num_samples", num_samples)
        _check_flag("replacement", replacement)
        self.weights = as_tensor(weights, dtype=float64)
        if len(self.weights.shape) != 1:
            raise ValueError(
                "weights should be a 1d sequence but given weights have shape "
                f"{tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def _runs(self) -> Iterator[Run]:
        drawn = multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        yield drawn.array

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices from another sampler, the last one shorter or dropped.

    Raises ValueError for a `batch_size` that is not a positive int or a `drop_last` that is not
    a bool.

    >>> from retrograd.utils.data import BatchSampler, SequentialSampler
    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool
    ) -> None:
        _check_count("batch_size", batch_size)
        _check_flag("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def _batches(self) -> Iterator[Run | list[int]]:
        """Batches in their cheapest form: pieces of runs if the sampler has runs, or else lists."""
        if getattr(type(self.sampler), "__iter__", None) is _RunSampler.__iter__:
            return self._cut(cast(_RunSampler, self.sampler)._runs())
        return self._gather()

    def _cut(self, runs: Iterator[Run]) -> Iterator[Run]:
        size = self.batch_size
        held: list[Run] = []
        count = 0
        for run in runs:
            held.append(run)
            count += len(run)
            if count < size:
                continue
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            for end in range(size, count + 1, size):
                yield joined[end - size : end]
            held = [joined[count - count % size :]]
            count %= size
        if count and not self.drop_last:
            yield held[0] if len(held) == 1 else np.concatenate(held)

    def _gather(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches():
            yield as_list(batch)

    def __len__(self) -> int:
        count = len(cast(Sized, self.sampler))
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


def as_list(indices: Run | list[Any]) -> list[Any]:
    """Turn indices into a list of Python ints."""
    return indices.tolist() if isinstance(indices, np.ndarray) else list(indices)


def as_rows(indices: Any) -> NDArray[np.int64] | None:
    """Turn indices into an int64 array, or return None if they are keys of some other kind."""
    try:
        rows = np.asarray(indices)
    except ValueError:  # a ragged list
        return None
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        return None
    return rows.astype(np.int64, copy=False)


def draw_seed(generator: Generator | None) -> int:
    """Draw a seed of 63 bits, from the default generator if none is given."""
    return int(source(generator).random_(np.empty((), np.int64)))


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value}")
