"""From indices to a batch: the one step that the loader and its workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...autograd import Tensor
from ...autograd.tensor import wrap
from .collate import collate_tensor_fn, default_collate, default_collate_fn_map
from .dataset import Dataset, IterableDataset, Subset, TensorDataset
from .sampler import as_list, as_rows

Fetch = Callable[[Any], Any]


def fetcher(dataset: Any, batched: bool, collate_fn: Fetch, drop_last: bool) -> Fetch:
    """Return the function that makes a batch of what the sampler yields.

    It raises StopIteration at the end of a stream.
    """
    if isinstance(dataset, IterableDataset):
        return _stream(dataset, batched, collate_fn, drop_last)
    if not batched:
        return lambda index: collate_fn(dataset[index])
    rows = by_rows(dataset, collate_fn)

    def fetch(indices: Any) -> Any:
        if rows is not None and (batch := rows(indices)) is not None:
            return batch
        wanted = as_list(indices)
        if getattr(dataset, "__getitems__", None):
            return collate_fn(dataset.__getitems__(wanted))
        return collate_fn([dataset[i] for i in wanted])

    return fetch


def _stream(
    dataset: IterableDataset[Any], batched: bool, collate_fn: Fetch, drop_last: bool
) -> Fetch:
    samples: Iterator[Any] = iter(dataset)
    ended = False

    def fetch(slots: Any) -> Any:
        nonlocal ended
        if ended:
            raise StopIteration
        if not batched:
            return collate_fn(next(samples))
        batch = []
        for _ in slots:
            try:
                batch.append(next(samples))
            except StopIteration:
                ended = True
                break
        if not batch or (drop_last and len(batch) < len(slots)):
            raise StopIteration
        return collate_fn(batch)

    return fetch


def by_rows(dataset: Dataset[Any], collate_fn: Fetch) -> Fetch | None:
    """Return a function that takes a batch by one indexing per tensor, or None if none may.

    That is allowed where the result is what collating single samples gives: the default
    collation, over a `TensorDataset`, or subsets of one, whose item methods nobody overrode.
    The function itself returns None for indices that are not integers, and for tensors that
    require gradients, whose rows the tape must see.
    """
    if collate_fn is not default_collate:
        return None
    if default_collate_fn_map.get(Tensor) is not collate_tensor_fn:
        return None
    chosen = None
    while isinstance(dataset, Subset):
        if type(dataset).__getitems__ is not Subset.__getitems__:
            return None
        indices = as_rows(dataset.indices)
        if indices is None:
            return None
        chosen = indices if chosen is None else indices[chosen]
        dataset = dataset.dataset
    if not isinstance(dataset, TensorDataset) or hasattr(dataset, "__getitems__"):
        return None
    if type(dataset).__getitem__ is not TensorDataset.__getitem__:
        return None

    def rows(indices: Any) -> list[Tensor] | None:
        tensors = dataset.tensors
        if any(t.requires_grad for t in tensors):
            return None
        # Fresh memory either way: a batch never aliases the dataset.
        if chosen is None and _is_slice(indices, len(dataset)):
            return [wrap(t.array[indices.start : indices.stop].copy()) for t in tensors]
        picked = as_rows(indices)
        if picked is None:
            return None
        if chosen is not None:
            picked = chosen[picked]
        return [wrap(t.array.take(picked, axis=0)) for t in tensors]

    return rows


def _is_slice(indices: Any, size: int) -> bool:
    return (
        isinstance(indices, range)
        and indices.step == 1
        and 0 <= indices.start <= indices.stop <= size
    )
