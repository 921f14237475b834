"""DataLoader: a dataset, an order and a collation, read as batches, here or in worker processes."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .fetch import fetcher
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from .worker import Crew, Failure, Job, StreamEnd, Task, get_worker_info

if TYPE_CHECKING:
    from ...autograd.random import Generator

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)

# What an iterator has read once; changing it later would be silently ignored.
FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class DataLoader(Generic[T_co]):
    """Iterate over a dataset in batches, in order or shuffled, in this process or in workers.

    Shuffles are PyTorch's for the same seed, and leave the default generator where PyTorch's
    leave it.  A `TensorDataset`, or a `Subset` of one, with the default collation is taken by one
    indexing per tensor and batch, which is faster than any number of workers: workers pay when
    making one sample takes long, as decoding a picture does.

    With `num_workers > 0`, batches are made by that many processes, each seeded `base_seed + id`,
    each with a pickled copy of the dataset, and are sent back through pipes.  They are started by
    `forkserver` (`spawn` on Windows), not by `fork`, which would copy compiled thread pools in an
    unusable state: so dataset, `collate_fn` and `worker_init_fn` must be picklable, and a script
    must start its loop under `if __name__ == "__main__":`.  `multiprocessing_context` asks for
    another way.  Workers stop when the epoch ends,
    when the iterator is dropped, and when the parent is gone; with `persistent_workers` they
    wait for the next epoch.

    `pin_memory` has no effect on a CPU, and says so.

    Raises ValueError for options that contradict each other.

    >>> import retrograd as rg
    >>> from retrograd.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(rg.arange(5), rg.arange(5) * 10)
    >>> for x, y in DataLoader(data, batch_size=2):
    ...     print(x, y)
    tensor([0, 1]) tensor([ 0, 10])
    tensor([2, 3]) tensor([20, 30])
    tensor([4]) tensor([40])
    """

    dataset: Dataset[T_co]
    batch_size: int | None
    sampler: Sampler[Any] | Iterable[Any]
    batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None
    _ready = False

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if isinstance(dataset, IterableDataset):
            _check_stream(shuffle, sampler, batch_sampler)
        _check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last)

        if sampler is None:
            sampler = _default_sampler(dataset, shuffle, generator)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._promised: int | None = None
        self._iterator: _WorkerIterator | None = None
        self._ready = True
        _warn_of_many_workers(num_workers)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized; "
                "make a new one"
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How workers are started, or None for the default."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None and self.num_workers == 0:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading "
                f"(num_workers > 0), but got num_workers={self.num_workers}"
            )
        if isinstance(context, str):
            methods = multiprocessing.get_all_start_methods()
            if context not in methods:
                raise ValueError(
                    "multiprocessing_context option should specify a valid start method in "
                    f"{methods!r}, but got multiprocessing_context={context!r}"
                )
            context = multiprocessing.get_context(context)
        if not isinstance(context, BaseContext | None):
            raise TypeError(
                "multiprocessing_context option should be a valid context object or a string "
                f"specifying the start method, but got multiprocessing_context={context}"
            )
        self._context: BaseContext | None = context

    @property
    def _order(self) -> Any:
        """What yields the indices: batches of them, or one at a time."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> _Iterator:
        if self.num_workers == 0:
            return _LocalIterator(self)
        if not self.persistent_workers:
            return _WorkerIterator(self)
        if self._iterator is None or not self._iterator.has_workers:
            self._iterator = _WorkerIterator(self)
        else:
            self._iterator.restart(self)
        return self._iterator

    def __len__(self) -> int:
        """Count the batches.  For a stream it is computed from what `len(dataset)` promises."""
        if not isinstance(self.dataset, IterableDataset):
            return len(self._order)
        self._promised = length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)


def _default_sampler(dataset: Any, shuffle: object, generator: Generator | None) -> Sampler[Any]:
    if isinstance(dataset, IterableDataset):
        return _Slots()
    return RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)


class _Slots(Sampler[None]):
    """The order of a stream, which has no indices: it never ends, the stream does."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class _Iterator:
    """One pass over a loader: the order of the batches, and the check of a promised length.

    It keeps no reference to the loader, so that dropping a loader ends its workers at once.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device "
                "pinned memory won't be used.",
                stacklevel=4,
            )
        self._start(loader)
        # Drawn whether or not there are workers to seed, and after the order was asked for its
        # iterator, which may draw as well: so the generator moves as PyTorch's.
        self._base_seed = draw_seed(loader.generator)

    def _start(self, loader: DataLoader[Any]) -> None:
        self._dataset = loader.dataset
        self._promised = loader._promised
        self._order = order = loader._order
        # Indices stay arrays where they can; a subclass with its own `__iter__` is respected.
        cut = getattr(type(order), "__iter__", None) is BatchSampler.__iter__
        self._indices: Iterator[Any] = order._batches() if cut else iter(order)
        self._yielded = 0

    def __iter__(self) -> _Iterator:
        return self

    def __len__(self) -> int:
        return len(self._order)

    def __next__(self) -> Any:
        batch = self._next()
        self._yielded += 1
        if self._promised is not None and self._yielded > self._promised:
            self._warn_of_length()
        return batch

    def _next(self) -> Any:
        raise NotImplementedError

    def _warn_of_length(self) -> None:
        warnings.warn(
            f"Length of IterableDataset {self._dataset} was reported to be {self._promised} (when "
            f"accessing len(dataloader)), but {self._yielded} samples have been fetched. With "
            "workers, each reads the whole stream unless its __iter__ takes only the worker's "
            "share, for which it asks get_worker_info().",
            stacklevel=3,
        )


class _LocalIterator(_Iterator):
    """Batches made in this process."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        if loader.timeout != 0:
            raise AssertionError("timeout is for workers: it needs num_workers > 0")
        super().__init__(loader)
        batched = loader.batch_sampler is not None
        self._fetch = fetcher(loader.dataset, batched, loader.collate_fn, loader.drop_last)

    def _next(self) -> Any:
        return self._fetch(next(self._indices))


class _WorkerIterator(_Iterator):
    """Batches made by workers, each kept supplied with `prefetch_factor` tasks."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        if not loader.prefetch_factor:
            raise AssertionError("prefetch_factor must be greater than 0 when there are workers")
        super().__init__(loader)
        self._workers = loader.num_workers
        self._ahead = loader.prefetch_factor * loader.num_workers
        self._timeout = loader.timeout
        self._in_order = loader.in_order
        self._persistent = loader.persistent_workers
        job = Job(
            dataset=loader.dataset,
            batched=loader.batch_sampler is not None,
            collate_fn=loader.collate_fn,
            drop_last=loader.drop_last,
            base_seed=self._base_seed,
            init_fn=loader.worker_init_fn,
            num_workers=loader.num_workers,
        )
        self._crew = Crew(job, loader.multiprocessing_context)
        self._epoch = 0
        # It starts the order a second time: an order that draws in its `__iter__` draws twice, as
        # in PyTorch.
        self.restart(loader)

    @property
    def has_workers(self) -> bool:
        """Whether the workers are there, or an error has ended them."""
        return self._crew.dismiss.alive

    def restart(self, loader: DataLoader[Any]) -> None:
        """Begin the next epoch with the same workers; answers still under way are dropped."""
        self._start(loader)
        self._epoch += 1
        self._prime()

    def _prime(self) -> None:
        self._numbers = itertools.count()
        self._assigned: dict[int, int] = {}  # task number: worker, oldest first
        self._answers: dict[int, Any] = {}  # task number: batch or failure, in order of arrival
        self._reading = set(range(self._workers))  # workers whose stream has not ended
        self._turn = itertools.cycle(range(self._workers))
        for _ in range(self._ahead):
            self._assign()

    def _assign(self) -> None:
        """Give the next indices to the worker whose turn it is, or to the one with least to do."""
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        if not self._reading:
            return
        if self._in_order:
            worker = next(worker for worker in self._turn if worker in self._reading)
        else:
            worker = min(self._reading, key=list(self._assigned.values()).count)
        number = next(self._numbers)
        self._crew.send(worker, Task(self._epoch, number, indices))
        self._assigned[number] = worker

    def _next(self) -> Any:
        while self._assigned:
            number = next(iter(self._assigned if self._in_order else self._answers), None)
            if number in self._answers:
                del self._assigned[number]
                answer = self._answers.pop(number)
                self._assign()
                if isinstance(answer, Failure):
                    raise answer.error()
                return answer
            self._collect()
        if not self._persistent:
            self._crew.dismiss()
        raise StopIteration

    def _collect(self) -> None:
        answers = self._crew.receive(self._timeout or None)
        if not answers:
            raise RuntimeError(
                f"DataLoader timed out after {self._timeout} seconds: no worker finished a batch "
                "in that time; raise the timeout, or see what the dataset waits for"
            )
        for epoch, number, answer in answers:
            if epoch != self._epoch:
                continue
            if isinstance(answer, StreamEnd):
                self._reading.discard(self._assigned.pop(number))
                self._assign()
            else:
                self._answers[number] = answer


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            f"num_workers option should be non-negative, but got {num_workers}; use "
            "num_workers=0 to load in this process"
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, but got {timeout}")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing: let "
            "num_workers > 0, or leave prefetch_factor out"
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError(
            f"prefetch_factor option should be non-negative, but got {prefetch_factor}"
        )
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream(shuffle: object, sampler: object, batch_sampler: object) -> None:
    unusable = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
    for name, value in unusable.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got "
                f"{name}={value}; a stream is read in its own order"
            )


def _check_batching(
    batch_size: int | None, shuffle: object, sampler: object, batch_sampler: object, drop_last: bool
) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                "and drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )


def _warn_of_many_workers(num_workers: int) -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if usable is not None and num_workers > usable:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total, but this "
            f"process may use {usable} CPUs only, so they will wait for each other; lower "
            "num_workers.",
            stacklevel=3,
        )
