"""Tables of learnt vectors, as modules."""

from __future__ import annotations

from typing import Any, Self

from ..autograd import Parameter, Tensor, no_grad
from ..autograd.creation import empty
from . import init
from .lookup import embedding, embedding_bag
from .module import Module


class _Table(Module):
    """The weight, and what rows of it are treated in another way."""

    weight: Tensor

    def _make(
        self, rows: int, width: int, padding_idx: int | None, given: Tensor | None, freeze: bool,
        kind: dict[str, Any],
    ) -> None:  # fmt: skip
        self.num_embeddings = rows
        self.embedding_dim = width
        if padding_idx is not None:
            if not -rows <= padding_idx < max(rows, 1):
                raise AssertionError(
                    f"Padding_idx must be within num_embeddings: {padding_idx} is not in "
                    f"[{-rows}, {rows})"
                )
            padding_idx %= max(rows, 1)
        self.padding_idx = padding_idx
        if given is None:
            self.weight = Parameter(empty((rows, width), **kind), requires_grad=not freeze)
            self.reset_parameters()
            return
        if tuple(given.shape) != (rows, width):
            raise AssertionError(
                "Shape of weight does not match num_embeddings and embedding_dim: it is "
                f"{list(given.shape)}, not {[rows, width]}"
            )
        self.weight = Parameter(given, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw new rows from the standard normal distribution; that of the padding is zeros."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)


class Embedding(_Table):
    """A learnt vector for each of ``num_embeddings`` numbers.

    The row ``padding_idx`` starts as zeros and gets no gradient.  Rows longer than ``max_norm`` are
    shortened to it when they are looked up, in place.  Gradients are dense: ``sparse`` raises
    `NotImplementedError` when called.

    Shape: ``(*) → (*, embedding_dim)``

    >>> import retrograd as rg
    >>> layer = rg.nn.Embedding(10, 3, padding_idx=0)
    >>> layer(rg.tensor([[1, 2], [4, 0]])).shape
    torch.Size([2, 2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        kind = {"device": device, "dtype": dtype}
        self._make(num_embeddings, embedding_dim, padding_idx, _weight, _freeze, kind)

    def forward(self, input: Tensor) -> Tensor:
        """The rows that ``input`` names."""
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes, and the settings that are not the usual ones."""
        usual = {
            "padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False,
            "sparse": False,
        }  # fmt: skip
        said = [
            f"{n}={getattr(self, n)}" for n, value in usual.items() if getattr(self, n) != value
        ]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *said])

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A table of given rows, which are not trained unless ``freeze`` is False."""
        _check_matrix(embeddings)
        return cls(
            embeddings.shape[0], embeddings.shape[1],
            padding_idx=padding_idx, max_norm=max_norm, norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq, sparse=sparse, _weight=embeddings,
            _freeze=freeze,
        )  # fmt: skip


def _check_matrix(embeddings: Tensor) -> None:
    if embeddings.ndim != 2:
        raise AssertionError(
            "Embeddings parameter is expected to be 2-dimensional, not "
            f"{embeddings.ndim}-dimensional"
        )


class EmbeddingBag(_Table):
    """The sum, mean or maximum of several rows of a table, without the rows in between.

    Shape: ``(B, n) → (B, embedding_dim)``, or a flat input and the ``offsets`` of B bags in it

    >>> import retrograd as rg
    >>> layer = rg.nn.EmbeddingBag(10, 3, mode="sum")
    >>> layer(rg.tensor([1, 2, 4, 5]), rg.tensor([0, 3])).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        kind = {"device": device, "dtype": dtype}
        self._make(num_embeddings, embedding_dim, padding_idx, _weight, False, kind)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """What each bag comes to."""
        return embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes, the mode, and the settings that are not the usual ones."""
        said = [f"{self.num_embeddings}, {self.embedding_dim}"]
        usual = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "mode": ""}
        for name, value in {**usual, "padding_idx": None}.items():
            if getattr(self, name) != value:
                said.append(f"{name}={getattr(self, name)!r}")
        return ", ".join(said)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A table of given rows, which are not trained unless ``freeze`` is False."""
        _check_matrix(embeddings)
        made = cls(
            embeddings.shape[0], embeddings.shape[1],
            _weight=embeddings, max_norm=max_norm, norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq, mode=mode, sparse=sparse,
            include_last_offset=include_last_offset, padding_idx=padding_idx,
        )  # fmt: skip
        made.weight.requires_grad_(not freeze)
        return made
