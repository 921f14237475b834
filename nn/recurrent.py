"""Recurrent layers: Elman's network, LSTM and GRU, in several layers and both directions.

One layer in one direction is one op (`autograd/ops/recurrent.py`).  Inside, a batch is always
packed: the steps one under another, with the number of rows of each.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np

from ..autograd import Parameter, Tensor
from ..autograd.creation import empty, zeros
from ..autograd.op import functions
from ..autograd.ops.linalg import linear_map
from ..autograd.ops.recurrent import (
    gru_sequence,
    lstm_projected_sequence,
    lstm_sequence,
    no_bias,
    rnn_sequence,
)
from ..autograd.tensor import wrap
from . import init
from .dropout import dropout
from .module import Module
from .utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
Steps = tuple[int, ...]


class RNNBase(Module):
    """What recurrent layers share: their parameters, checks, and the walk over layers.

    The parameters of layer ``k`` are ``weight_ih_lk``, ``weight_hh_lk``, ``bias_ih_lk``,
    ``bias_hh_lk`` and with projections ``weight_hr_lk``; ``_reverse`` stands after those of the
    second direction.  They start uniform within ``±1/√hidden_size``.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_settings(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: self._directions]:
                self._all_weights.append(self._add_parameters(layer, suffix, device, dtype))
        self.reset_parameters()

    def _add_parameters(self, layer: int, suffix: str, device: Any, dtype: Any) -> list[str]:
        """Register the parameters of one layer in one direction; their names."""
        gates = GATES[self.mode] * self.hidden_size
        features = self._state_size * self._directions if layer else self.input_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, features),
            "weight_hh": (gates, self._state_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = [f"{name}_l{layer}{suffix}" for name in shapes]
        for name, shape in zip(names, shapes.values(), strict=True):
            setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
        return names

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _state_size(self) -> int:
        """The features of an output in one direction."""
        return self.proj_size or self.hidden_size

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    # ------------------------------------------------------------ the parameters as lists

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters: a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        """What the next forward will use: the attributes as they are now."""
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, weights: list[Any]) -> None:
        if any(w is not own for w, own in zip(weights, self._flat_weights, strict=True)):
            raise AttributeError(
                "_flat_weights shows the attributes weight_ih_l0, …: assign those instead"
            )

    def flatten_parameters(self) -> None:
        """Nothing: parameters need not lie together in memory."""

    # ------------------------------------------------------------ checks

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise where the input's type, rank or number of features is wrong."""
        own = getattr(self, self._all_weights[0][0]).dtype
        if input.dtype is not own:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({own}). Convert "
                f"input: input.to({own}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.ndim != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.ndim}")
        if input.array.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.array.shape[-1]}"
            )

    def get_expected_hidden_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, int, int]:
        """The shape of the initial state: (layers · directions, N, features)."""
        if batch_sizes is not None:
            batch = int(batch_sizes.array[0])
        else:
            batch = input.array.shape[0 if self.batch_first else 1]
        return self.num_layers * self._directions, batch, self._state_size

    def check_hidden_size(
        self,
        hx: Tensor,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """Raise `RuntimeError` where a state has another shape."""
        if hx.array.shape != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.array.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise where the input or the initial state does not fit the layer."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """A state with its batch in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # ------------------------------------------------------------ forward

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The last layer's outputs at all steps, and the last state of every layer.

        A `PackedSequence` gives a packed output; unbatched input gives unbatched results.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        ndim = input.ndim
        if ndim not in (2, 3):
            tensor = " tensor" if self.mode.startswith("RNN") else ""
            raise ValueError(
                f"{self.mode[:4].rstrip('_')}: Expected input to be 2D or 3D, got {ndim}D{tensor} "
                "instead"
            )
        if hx is not None:
            self._check_rank(hx, ndim)
        if ndim == 2:
            batch_dim = 0 if self.batch_first else 1
            input = input.unsqueeze(batch_dim)
            hx = None if hx is None else self._each(hx, lambda s: s.unsqueeze(1))
        x = input
        if hx is None:
            hx = self._zero_state(self.get_expected_hidden_size(input, None)[1], input)
        self.check_forward_args(input, hx, None)
        if self.batch_first:
            x = input.transpose(0, 1)
        steps, batch, features = x.array.shape
        if not steps:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        out, hx = self._layers(x.reshape(steps * batch, features), (batch,) * steps, hx)
        out = out.reshape(steps, batch, out.array.shape[1])
        if self.batch_first:
            out = out.transpose(0, 1)
        if ndim == 2:
            return out.squeeze(batch_dim), self._each(hx, lambda s: s.squeeze(1))
        return out, hx

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> Any:
        input, batch_sizes, order, back = packed
        steps = tuple(batch_sizes.tolist())
        hx = self._zero_state(steps[0], input) if hx is None else self.permute_hidden(hx, order)
        self.check_forward_args(input, hx, batch_sizes)
        out, hx = self._layers(input, steps, hx)
        return PackedSequence(out, batch_sizes, order, back), self.permute_hidden(hx, back)

    def _check_rank(self, hx: Any, ndim: int) -> None:
        if hx.ndim != ndim:
            batched = "batched 3-D" if ndim == 3 else "unbatched 2-D"
            raise RuntimeError(
                f"For {batched} input, hx should also be {ndim}-D but got {hx.ndim}-D tensor"
            )

    def _each(self, hx: Any, function: Any) -> Any:
        return function(hx)

    def _zero_state(self, batch: int, input: Tensor) -> Any:
        shape = (self.num_layers * self._directions, batch, self._state_size)
        return zeros(shape, dtype=input.dtype)

    def _layers(self, rows: Any, steps: Steps, hx: Any) -> tuple[Any, Any]:
        """All layers, on packed rows; the output and the last states."""
        last: list[Any] = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(self._directions):
                weights = [getattr(self, name) for name in self._all_weights[len(last)]]
                state = self._each(hx, lambda s: s[len(last)])
                out, state = self._direction(rows, weights, state, steps, direction == 1)
                outs.append(out)
                last.append(state)
            rows = outs[0] if len(outs) == 1 else functions["cat"](outs, 1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                rows = dropout(rows, self.dropout)
        return rows, self._stacked(last)

    def _stacked(self, last: list[Any]) -> Any:
        return functions["stack"](last)

    def _direction(
        self, rows: Any, weights: list[Any], state: Any, steps: Steps, reverse: bool
    ) -> tuple[Any, Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define its recurrence")

    def extra_repr(self) -> str:
        """The sizes, and the settings that are not the default."""
        defaults = {
            **{"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False},
            **{"dropout": 0.0, "bidirectional": False},
        }
        changed = [f", {k}={v}" for k, d in defaults.items() if (v := getattr(self, k)) != d]
        return f"{self.input_size}, {self.hidden_size}{''.join(changed)}"


def _check_settings(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any,
    bias: Any,
    batch_first: Any,
    dropout: Any,
    proj_size: Any,
) -> None:
    """Raise PyTorch's exceptions for settings out of range."""
    number = isinstance(dropout, numbers.Number) and not isinstance(dropout, bool)
    if not number or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element "
            f"being zeroed, but got {dropout!r}"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            stacklevel=4,
        )
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero, but got {value}")
    if num_layers <= 0:
        raise ValueError(f"num_layers must be greater than zero, but got {num_layers}")
    if proj_size < 0:
        raise ValueError(
            "proj_size should be a positive integer or zero to disable projections, but got "
            f"{proj_size}"
        )
    if proj_size >= hidden_size:
        raise ValueError(
            f"proj_size has to be smaller than hidden_size, but got {proj_size} and {hidden_size}"
        )


def _last_rows(rows: Any, steps: Steps, reverse: bool) -> Any:
    """The rows in which the sequences of a batch end."""
    batch, total = steps[0], sum(steps)
    if reverse:
        return rows[:batch]
    if steps[-1] == batch:
        return rows[total - batch : total]
    sizes = np.array(steps)
    lengths = np.add.reduce(np.arange(batch) < sizes[:, None], axis=0)
    return rows[wrap((np.add.accumulate(sizes) - sizes)[lengths - 1] + np.arange(batch))]


def _one_bias(biases: list[Any], weight: Any) -> tuple[Any, Any]:
    """The sum of both biases and no other one, for its gradient is theirs; zeros where none are."""
    nothing = no_bias(len(weight.array), weight.dtype)
    return (biases[0] + biases[1] if biases else nothing), nothing


# ---------------------------------------------------------------- the layers


class RNN(RNNBase):
    """Elman's network: ``hₜ = tanh(Wᵢₕ xₜ + bᵢₕ + Wₕₕ hₜ₋₁ + bₕₕ)``, or `relu` instead of tanh.

    Shape: ``(T, N, D) → (T, N, H)`` and the last states ``(layers, N, H)``; ``(N, T, D)`` with
    ``batch_first``; without N for a single sequence; H is twice as large and there are twice as
    many states with ``bidirectional``.

    >>> import retrograd as rg
    >>> out, h = rg.nn.RNN(3, 4)(rg.ones(5, 2, 3))
    >>> out.shape, h.shape
    (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Arguments: input_size, hidden_size, num_layers, nonlinearity="tanh", and `RNNBase`'s."""
        _refuse_projection(kwargs)
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def _direction(
        self, rows: Any, weights: list[Any], state: Any, steps: Steps, reverse: bool
    ) -> tuple[Any, Any]:
        w_ih, w_hh, *biases = weights
        given = rows, state, w_ih, w_hh, *_one_bias(biases, w_hh)
        out = rnn_sequence(*given, steps, reverse, self.nonlinearity)
        return out, _last_rows(out, steps, reverse)


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    ``i, f, o = σ(W x + U h + b)``, ``g = tanh(W x + U h + b)``, ``c' = f c + i g``,
    ``h' = o tanh(c')``; with ``proj_size`` the state is ``Wₕᵣ h'`` (Sak et al., 2014).

    Shape: ``(T, N, D) → (T, N, H)`` and the last ``h`` and ``c`` ``(layers, N, H)``; ``(N, T, D)``
    with ``batch_first``; without N for a single sequence; H is twice as large and there are twice
    as many states with ``bidirectional``.

    >>> import retrograd as rg
    >>> out, (h, c) = rg.nn.LSTM(3, 4, num_layers=2)(rg.ones(5, 2, 3))
    >>> out.shape, h.shape, c.shape
    (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Arguments: input_size, hidden_size, and `RNNBase`'s."""
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(
        self, input: Tensor, batch_sizes: Tensor | None
    ) -> tuple[int, int, int]:
        """The shape of the initial cell state: (layers · directions, N, H)."""
        layers, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return layers, batch, self.hidden_size

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise where the input or one of the initial states does not fit the layer."""
        self.check_input(input, batch_sizes)
        sizes = self.get_expected_hidden_size, self.get_expected_cell_size
        for i, size in enumerate(sizes):
            message = f"Expected hidden[{i}] size {{}}, got {{}}"
            self.check_hidden_size(hidden[i], size(input, batch_sizes), message)

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """Both states with their batch in another order."""
        return hx if permutation is None else tuple(s.index_select(1, permutation) for s in hx)

    def _check_rank(self, hx: Any, ndim: int) -> None:
        _check_pair("LSTM", hx)
        if hx[0].ndim != ndim or hx[1].ndim != ndim:
            batched = "batched 3-D" if ndim == 3 else "unbatched 2-D"
            raise RuntimeError(
                f"For {batched} input, hx and cx should also be {ndim}-D but got "
                f"({hx[0].ndim}-D, {hx[1].ndim}-D) tensors"
            )

    def _each(self, hx: Any, function: Any) -> Any:
        return function(hx[0]), function(hx[1])

    def _zero_state(self, batch: int, input: Tensor) -> Any:
        cell = (self.num_layers * self._directions, batch, self.hidden_size)
        return super()._zero_state(batch, input), zeros(cell, dtype=input.dtype)

    def _stacked(self, last: list[Any]) -> Any:
        h, c = zip(*last, strict=True)
        return functions["stack"](h), functions["stack"](c)

    def _direction(
        self, rows: Any, weights: list[Any], state: Any, steps: Steps, reverse: bool
    ) -> tuple[Any, Any]:
        (w_ih, w_hh, *others), (h0, c0) = weights, state
        b, nothing = _one_bias(others[:2] if self.bias else [], w_hh)
        total = sum(steps)
        if self.proj_size:
            x = linear_map(rows, w_ih)
            out = lstm_projected_sequence(x, w_hh, b, others[-1], h0, c0, steps, reverse)
            h, c = out[:, : self.proj_size], _last_rows(out, steps, reverse)[:, self.proj_size :]
        else:
            out = lstm_sequence(rows, h0, c0, w_ih, w_hh, b, nothing, steps, reverse)
            h, c = out[:total], out[total:]
        return h, (_last_rows(h, steps, reverse), c)


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al., 2014), in PyTorch's and cuDNN's form.

    ``r, u = σ(W x + U h + b)``, ``n = tanh(W x + b + r (U h + b'))``, ``h' = (1 - u) n + u h``.

    Shape: ``(T, N, D) → (T, N, H)`` and the last states ``(layers, N, H)``; ``(N, T, D)`` with
    ``batch_first``; without N for a single sequence; H is twice as large and there are twice as
    many states with ``bidirectional``.

    >>> import retrograd as rg
    >>> out, h = rg.nn.GRU(3, 4, bidirectional=True)(rg.ones(5, 2, 3))
    >>> out.shape, h.shape
    (torch.Size([5, 2, 8]), torch.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Arguments: input_size, hidden_size, and `RNNBase`'s."""
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)

    def _direction(
        self, rows: Any, weights: list[Any], state: Any, steps: Steps, reverse: bool
    ) -> tuple[Any, Any]:
        w_ih, w_hh, *biases = weights
        both = biases or (no_bias(len(w_hh.array), w_hh.dtype),) * 2
        out = gru_sequence(rows, state, w_ih, w_hh, *both, steps, reverse)
        return out, _last_rows(out, steps, reverse)


def _refuse_projection(kwargs: dict[str, Any]) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


def _check_pair(name: str, hx: Any) -> None:
    if isinstance(hx, Tensor) or len(hx) != 2:
        raise TypeError(f"{name}: hx must be a pair of tensors (h_0, c_0), not {type(hx).__name__}")
