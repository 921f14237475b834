"""What models are built and trained with besides layers."""

from . import rnn

__all__ = ["rnn"]
