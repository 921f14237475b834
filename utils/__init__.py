"""Things round the training loop that are not layers: for now, loading data."""

from __future__ import annotations

from . import data

__all__ = ["data"]
