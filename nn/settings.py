"""Modules that hold nothing but their settings.

Such a module is a dataclass: the fields are its arguments, its attributes and what it prints::

    @dataclass(eq=False, repr=False)
    class LeakyReLU(Settings):
        negative_slope: float = 0.01
        inplace: bool = False
"""

from __future__ import annotations

from dataclasses import fields

from .module import Module


class Settings(Module):
    """The base of a module whose arguments are fields of a dataclass."""

    def __post_init__(self) -> None:
        super().__init__()

    def extra_repr(self) -> str:
        """Each field as ``name=value``; ``inplace`` only where it is set."""
        named = [(field.name, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]
        return ", ".join(f"{k}={v!r}" for k, v in named if k != "inplace" or v)
