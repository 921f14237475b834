"""Recurrent cells: one step of Elman's network, of an LSTM, of a GRU."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty
from ..autograd.ops.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from . import init
from .module import Module

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]

RNN_CELLS = {"tanh": rnn_tanh_cell, "relu": rnn_relu_cell}


class RNNCellBase(Module):
    """What cells share: their parameters and the checks of their arguments.

    ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh`` hold ``num_chunks`` gates one under
    another; they start uniform within ``±1/√hidden_size``.
    """

    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((gates, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(empty(gates, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and the settings that are not the default."""
        bias = "" if self.bias is True else f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        shown = "" if nonlinearity == "tanh" else f", nonlinearity={nonlinearity}"
        return f"{self.input_size}, {self.hidden_size}{bias}{shown}"

    @property
    def _parameters_in_order(self) -> tuple[Any, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _check_rank(self, name: str, x: Tensor) -> None:
        if x.array.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {x.ndim}D instead"
            )

    def _step(self, cell: Any, input: Tensor, hx: Any) -> Any:
        """One step of a cell with a single state, batched or not."""
        self._check_rank("input", input)
        if hx is not None:
            self._check_rank("hidden", hx)
        single = input.array.ndim == 1
        if single:
            input = input.unsqueeze(0)
            hx = None if hx is None else hx.unsqueeze(0)
        if hx is None:
            hx = input.new_zeros((input.array.shape[0], self.hidden_size))
        out = cell(input, hx, *self._parameters_in_order)
        return out.squeeze(0) if single else out


class RNNCell(RNNCellBase):
    """One step of Elman's network: ``h' = tanh(Wᵢₕ x + bᵢₕ + Wₕₕ h + bₕₕ)``, or `relu`.

    Shape: ``(N, D), (N, H) → (N, H)``, or without N

    >>> import retrograd as rg
    >>> rg.nn.RNNCell(3, 4)(rg.ones(2, 3)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new state; without one given it starts from zeros."""
        cell = RNN_CELLS.get(self.nonlinearity)
        if cell is None:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(cell, input, hx)  # type: ignore[no-any-return]


class LSTMCell(RNNCellBase):
    """One step of an LSTM (see `LSTM`).

    Shape: ``(N, D)`` and the states ``(N, H), (N, H) → (N, H), (N, H)``, or without N

    >>> import retrograd as rg
    >>> h, c = rg.nn.LSTMCell(3, 4)(rg.ones(2, 3))
    >>> h.shape, c.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        """The new ``h`` and ``c``; without states given they start from zeros."""
        self._check_rank("input", input)
        if hx is not None:
            for name, state in zip(("hx[0]", "hx[1]"), hx, strict=False):
                self._check_rank(name, state)
        single = input.array.ndim == 1
        if single:
            input = input.unsqueeze(0)
            hx = None if hx is None else (hx[0].unsqueeze(0), hx[1].unsqueeze(0))
        if hx is None:
            nothing = input.new_zeros((input.array.shape[0], self.hidden_size))
            hx = nothing, nothing
        h, c = lstm_cell(input, hx, *self._parameters_in_order)
        return (h.squeeze(0), c.squeeze(0)) if single else (h, c)


class GRUCell(RNNCellBase):
    """One step of a GRU (see `GRU`).

    Shape: ``(N, D), (N, H) → (N, H)``, or without N

    >>> import retrograd as rg
    >>> rg.nn.GRUCell(3, 4)(rg.ones(2, 3)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new state; without one given it starts from zeros."""
        return self._step(gru_cell, input, hx)  # type: ignore[no-any-return]
