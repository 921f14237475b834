"""Axes merged and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..autograd import Tensor
from .module import Module
from .settings import Settings


@dataclass(eq=False, repr=False)
class Flatten(Settings):
    """The axes from ``start_dim`` to ``end_dim`` as one: by default all but the batch.

    >>> import retrograd as rg
    >>> rg.nn.Flatten()(rg.zeros(2, 3, 4)).shape
    torch.Size([2, 12])
    """

    start_dim: int = 1
    end_dim: int = -1

    def forward(self, input: Tensor) -> Tensor:
        """The same elements with fewer axes."""
        return input.flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """One axis as several; one of their sizes may be -1.

    Raises `TypeError` unless ``unflattened_size`` is a tuple of ints.

    >>> import retrograd as rg
    >>> rg.nn.Unflatten(1, (3, 4))(rg.zeros(2, 12)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                "unflattened_size must be a tuple of ints, but found type "
                f"{type(unflattened_size).__name__}"
            )
        for position, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise TypeError(
                    "unflattened_size must be tuple of ints, but found element of type "
                    f"{type(size).__name__} at pos {position}"
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """The same elements with more axes."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and its sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
