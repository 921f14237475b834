"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...autograd import Tensor
from ...autograd.ops.join import cat


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters in a row; gradients go through it.

    >>> import retrograd as rg
    >>> rg.nn.utils.parameters_to_vector([rg.zeros(2), rg.ones(1, 2)])
    tensor([0., 0., 1., 1.])
    """
    return cat([parameter.view(-1) for parameter in parameters])  # type: ignore[no-any-return]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of a vector, one after the other; they share its memory.

    Raises `TypeError` unless given a tensor.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.data = vec[start:stop].view_as(parameter).data
        start = stop
