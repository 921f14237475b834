"""Where a tensor lives, and how large it is: the small values that describe one."""

from __future__ import annotations

from typing import Any


class Size(tuple[int, ...]):
    """The sizes of a tensor's dimensions; a tuple that prints as PyTorch's does."""

    __slots__ = ()

    def numel(self) -> int:
        """How many elements that makes."""
        total = 1
        for n in self:
            total *= n
        return total

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def __getitem__(self, key: Any) -> Any:
        got = tuple.__getitem__(self, key)
        return Size(got) if isinstance(key, slice) else got

    def __add__(self, other: Any) -> Any:
        return Size(tuple.__add__(self, tuple(other)))


class device:  # noqa: N801 - PyTorch's name
    """Where a tensor lives: the CPU, always.

    Raises `RuntimeError` for any other device.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index
        name, colon, number = str(type).partition(":")
        if name != "cpu":
            raise RuntimeError(
                f"no device '{type}' here: retrograd computes on the CPU. "
                "Use device='cpu', or leave the device out."
            )
        self.type = name
        self.index = int(number) if colon else index

    def __repr__(self) -> str:
        at = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{at})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")
