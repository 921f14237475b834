"""From a list of samples to one batch: `default_collate`, and `default_convert` for one sample.

How values of a type are joined is looked up in `default_collate_fn_map`, first by the exact type,
then by `isinstance` in the order of the entries.  A user teaches the loader a new type by adding
a function `(batch, *, collate_fn_map)` to it.  Containers are walked after that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, TypeAlias, cast

import numpy as np

from ...autograd import Tensor, float64
from ...autograd.creation import as_tensor, tensor
from ...autograd.ops.join import stack
from ...autograd.tensor import wrap

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

Collate: TypeAlias = "Callable[..., Any]"
CollateMap: TypeAlias = "dict[type | tuple[type, ...], Collate]"

# Text, bytes and objects: arrays of these have no tensor form.
NOT_NUMBERS = "SUO"


def default_collate(batch: Any) -> Any:
    """Join samples: numbers become tensors, arrays and tensors gain a first dimension.

    Python floats give float64 and ints int64, arrays keep their dtype, text stays a list, and
    mappings, namedtuples and sequences are joined field by field (a plain tuple gives a list).

    Raises RuntimeError for tensors or sequences of unequal size, TypeError for other types.

    >>> from retrograd.utils.data import default_collate
    >>> default_collate([(0, "a"), (1, "b")])
    [tensor([0, 1]), ('a', 'b')]
    >>> default_collate([{"x": [1, 2]}, {"x": [3, 4]}])
    {'x': [tensor([1, 3]), tensor([2, 4])]}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Join samples, each type by its function in `collate_fn_map`, containers field by field."""
    first = batch[0]
    known = collate_fn_map or {}
    join = known.get(type(first))
    if join is None:
        join = next((fn for kind, fn in known.items() if isinstance(first, kind)), None)
    if join is not None:
        return join(batch, collate_fn_map=collate_fn_map)

    def joined(samples: Any) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _like(first, {key: joined([sample[key] for sample in batch]) for key in first})
    if _is_namedtuple(first):
        return type(first)(*map(joined, zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) > 1:
            raise RuntimeError(
                "each element in list of batch should be of equal size, but this batch has "
                f"samples of {_listed(sorted(lengths))} elements; pad them in the dataset, or "
                "give the DataLoader a collate_fn that does"
            )
        columns = [joined(column) for column in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like(first, columns)
    raise TypeError(_unknown(type(first)))


def default_convert(data: Any) -> Any:
    """Turn the arrays in one sample into tensors, and leave everything else as it is.

    >>> import numpy as np
    >>> from retrograd.utils.data import default_convert
    >>> default_convert({"x": np.array([1, 2]), "name": "a"})
    {'x': tensor([1, 2]), 'name': 'a'}
    """
    if isinstance(data, np.ndarray):
        return data if data.dtype.kind in NOT_NUMBERS else as_tensor(data)
    if isinstance(data, np.generic) and not isinstance(data, str | bytes):
        return as_tensor(data)
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if _is_namedtuple(data):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        items = [default_convert(item) for item in data]
        return items if isinstance(data, tuple) else _like(data, items)
    return data


def collate_tensor_fn(batch: Sequence[Tensor], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Stack tensors of one shape along a new first dimension."""
    if not any(sample.requires_grad for sample in batch):
        joined = _stacked([sample.array for sample in batch])
        if joined is not None:
            return wrap(joined)
    shape = batch[0].shape
    for place, sample in enumerate(batch):
        if sample.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 "
                f"and {list(sample.shape)} at entry {place} of the batch; crop or pad the samples "
                "to one shape in the dataset, or give the DataLoader a collate_fn that does"
            )
    return stack(list(batch), 0)


def collate_numpy_array_fn(
    batch: Sequence[np.ndarray[Any, Any]], *, collate_fn_map: CollateMap | None = None
) -> Any:
    """Turn arrays into tensors and join those."""
    if batch[0].dtype.kind in NOT_NUMBERS:
        raise TypeError(_unknown(batch[0].dtype))
    if collate_fn_map is not None and collate_fn_map.get(Tensor) is collate_tensor_fn:
        joined = _stacked(batch)
        if joined is not None:
            return as_tensor(joined)
    return collate([as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(
    batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None
) -> Any:
    """Make one tensor of NumPy scalars, in their own dtype."""
    return as_tensor(np.asarray(batch))


def collate_float_fn(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Make one float64 tensor of floats."""
    return tensor(batch, dtype=float64)


def collate_int_fn(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Make one tensor of ints, or of bools."""
    return tensor(batch)


def collate_str_fn(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    """Leave text as it is."""
    return batch


default_collate_fn_map: CollateMap = {
    Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def _stacked(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any] | None:
    """Stack arrays that agree in shape and dtype; return None for others."""
    shape, kind = arrays[0].shape, arrays[0].dtype
    if all(array.shape == shape and array.dtype == kind for array in arrays):
        return np.array(arrays)
    return None


def _like(original: Any, content: Any) -> Any:
    """Put the content of a dict or list into a container of the type of `original`."""
    try:
        # A container may carry more than its items: copy it, then replace those.
        if isinstance(original, MutableMapping):
            clone = copy.copy(original)
            clone.update(content)
            return clone
        if isinstance(original, MutableSequence):
            clone = cast(Any, copy.copy(original))
            for place, item in enumerate(content):
                clone[place] = item
            return clone
        return type(original)(content)
    except TypeError:  # it cannot be copied, written to, or made from its items, as `range`
        return content


def _is_namedtuple(value: object) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"


def _unknown(kind: object) -> str:
    return (
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {kind}. Give the DataLoader a collate_fn that knows how to join it"
    )
