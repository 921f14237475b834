"""Recurrent ops: some steps of a recurrence, from the input on.

A layer is one op rather than one for each step, because the gradient of the weights is then one
matrix product over all steps, and because the weights are laid out for the products once.  A cell
is one step of the same op.  Its derivative runs back through time; recorded, that is made of the
ops below and of everyday ones.
"""

from __future__ import annotations

from builtins import slice as Slice
from functools import lru_cache
from typing import Any

from .. import recurrence
from .. import scalar as s
from ..creation import zeros
from ..declare import composite, opaque, word
from ..op import functions
from ..recurrence import Arrays
from ..tensor import Tensor
from .index import slice


class Tensors:
    """The words of the formulas, meaning functions of tensors."""

    @staticmethod
    def cat(pieces: Any, dim: int = 0) -> Any:
        """Joined along ``dim``."""
        return pieces[0] if len(pieces) == 1 else functions["cat"](pieces, dim)

    @staticmethod
    def tanh(x: Any) -> Any:
        """The op."""
        return x.tanh()

    @staticmethod
    def sigmoid(x: Any) -> Any:
        """The op."""
        return x.sigmoid()

    @staticmethod
    def affine(x: Any, w: Any, b: Any) -> Any:
        """``x Wᵀ + b``."""
        return x @ w.mT + b

    @staticmethod
    def relu(x: Any) -> Any:
        """The op."""
        return x.relu()

    @staticmethod
    def where_positive(x: Any, g: Any) -> Any:
        """``g`` where ``x`` is not below zero or zero."""
        return functions["where"](x <= 0, 0.0, g)

    @staticmethod
    def zeros(like: Any, rows: int) -> Any:
        """Rows of zeros as wide as those of ``like``."""
        return like.new_zeros((rows, like.array.shape[1]))


@word(arrays=recurrence.states_product)
def states_product(d: Any, rows: Any, initial: Any, steps: Any, reverse: bool) -> Any:
    """``dᵀ h₋``, where each row of ``h₋`` is the state that a row of ``d`` started from."""
    return d.mT @ recurrence.before(Tensors, rows, initial, steps, reverse)


# ---------------------------------------------------------------- LSTM


@word(arrays=recurrence.lstm_slopes)
def lstm_slopes(
    g: Any, x: Any, h0: Any, c0: Any, w_x: Any, w: Any, b_x: Any, b: Any, states: Any, c: Any,
    gates: Any, steps: Any, reverse: bool,
) -> Any:  # fmt: skip
    """The derivatives of `lstm_sequence`, recorded: what it kept is computed again, on the tape."""
    again = recurrence.lstm_sequence(Tensors, x, h0, c0, w_x, w, b_x, b, steps, reverse)
    (_, states, c, gates), n = again, sum(steps)
    slopes = recurrence.lstm_back(Tensors, g[:n], g[n:], w, c0, c, gates, steps, reverse)
    return *slopes, states


@opaque(
    states=2,
    shared=lambda g, x, h0, c0, w_x, w, b_x, b, states, c, gates, steps, reverse: s.lstm_slopes(
        g, x, h0, c0, w_x, w, b_x, b, states, c, gates, steps, reverse
    ),
    d_x=lambda shared, w_x: s.matmul(shared[0], w_x),
    d_h0=lambda shared: shared[1],
    d_c0=lambda shared: shared[2],
    d_w_x=lambda shared, x: s.rows_product(shared[0], x),
    d_w=lambda shared, h0, steps, reverse: s.states_product(
        shared[0], shared[3], h0, steps, reverse
    ),
    d_b_x=lambda shared: s.rows_sum(shared[0]),
    d_b=lambda shared: s.rows_sum(shared[0]),
    outputs=("out", "states", "c", "gates"), single=True,
    cases=[
        ((3, 5), (3, 2), (3, 2), (8, 5), (8, 2), (8,), (8,), {"steps": (3,)}),
        ((6, 5), (3, 2), (3, 2), (8, 5), (8, 2), (8,), (8,), {"steps": (3, 3)}),
        ((6, 5), (3, 2), (3, 2), (8, 5), (8, 2), (8,), (8,), {"steps": (3, 2, 1)}),
        ((6, 5), (3, 2), (3, 2), (8, 5), (8, 2), (8,), (8,), {"steps": (3, 3), "reverse": True}),
        ((7, 5), (3, 2), (3, 2), (8, 5), (8, 2), (8,), (8,), {"steps": (3, 3, 1), "reverse": True}),
    ],
    public=False, method=False,
)  # fmt: skip
def lstm_sequence(x, h0, c0, w_x, w, b_x, b, /, steps, reverse=False):
    """Steps of an LSTM: every ``h``, and below them the last ``c`` of each sequence.

    Step ``t`` has ``steps[t]`` of the rows.

    Shape: ``(R, D), (N, H), (N, H), (4H, D), (4H, H), (4H,), (4H,) → (R + N, H)``
    """
    return recurrence.lstm_sequence(Arrays, x, h0, c0, w_x, w, b_x, b, steps, reverse)


@word(arrays=recurrence.projected_lstm_slopes)
def projected_lstm_slopes(
    g: Any,
    x: Any,
    w: Any,
    b: Any,
    r: Any,
    h0: Any,
    c0: Any,
    out: Any,
    gates: Any,
    steps: Any,
    reverse: bool,
) -> Any:
    """The derivatives of `lstm_projected_sequence`, recorded; what it kept is computed again."""
    out, gates = recurrence.projected_lstm(Tensors, x, w, b, r, h0, c0, steps, reverse)
    slopes = recurrence.projected_lstm_back(Tensors, g, w, r, c0, out, gates, steps, reverse)
    n, p = c0.array.shape[1], r.array.shape[0]
    return *slopes, gates[:, 3 * n :] * out[:, p:].tanh()


@opaque(
    shared=lambda g, x, w, b, r, h0, c0, out, gates, steps, reverse: s.projected_lstm_slopes(
        g, x, w, b, r, h0, c0, out, gates, steps, reverse
    ),
    d_x=lambda shared: shared[0],
    d_w=lambda shared, r_shape, out, h0, steps, reverse: s.states_product(
        shared[0], out[:, : r_shape[0]], h0, steps, reverse
    ),
    d_b=lambda shared: shared[0],
    d_r=lambda shared: s.matmul(s.mT(shared[1]), shared[4]),
    d_h0=lambda shared: shared[2],
    d_c0=lambda shared: shared[3],
    outputs=("out", "gates"), single=True,
    cases=[
        ((6, 12), (12, 2), (12,), (2, 3), (3, 2), (3, 3), {"steps": (3, 3)}),
        ((6, 12), (12, 2), (12,), (2, 3), (3, 2), (3, 3), {"steps": (3, 2, 1)}),
        ((7, 12), (12, 2), (12,), (2, 3), (3, 2), (3, 3), {"steps": (3, 3, 1), "reverse": True}),
    ],
    public=False, method=False,
)  # fmt: skip
def lstm_projected_sequence(x, w, b, r, h0, c0, /, steps, reverse=False):
    """`lstm_sequence` whose state is a projection ``r h``: every state beside every ``c``.

    Shape: ``(R, 4H), (4H, P), (4H,), (P, H), (N, P), (N, H) → (R, P + H)``
    """
    return recurrence.projected_lstm(Arrays, x, w, b, r, h0, c0, steps, reverse)


# ---------------------------------------------------------------- GRU


@word(arrays=recurrence.gru_slopes)
def gru_slopes(
    g: Any, x: Any, h0: Any, w_x: Any, w: Any, b_x: Any, b: Any, states: Any, gates: Any,
    steps: Any, reverse: bool,
) -> Any:  # fmt: skip
    """The derivatives of `gru_sequence`, recorded: what it kept is computed again, on the tape."""
    _, states, gates = recurrence.gru_sequence(Tensors, x, h0, w_x, w, b_x, b, steps, reverse)
    return *recurrence.gru_back(Tensors, g, w, h0, states, gates, steps, reverse), states


@opaque(
    states=1,
    shared=lambda g, x, h0, w_x, w, b_x, b, states, gates, steps, reverse: s.gru_slopes(
        g, x, h0, w_x, w, b_x, b, states, gates, steps, reverse
    ),
    d_x=lambda shared, w_x: s.matmul(shared[0], w_x),
    d_h0=lambda shared: shared[2],
    d_w_x=lambda shared, x: s.rows_product(shared[0], x),
    d_w=lambda shared, h0, steps, reverse: s.states_product(
        shared[1], shared[3], h0, steps, reverse
    ),
    d_b_x=lambda shared: s.rows_sum(shared[0]),
    d_b=lambda shared: s.rows_sum(shared[1]),
    outputs=("out", "states", "gates"), single=True,
    cases=[
        ((3, 5), (3, 2), (6, 5), (6, 2), (6,), (6,), {"steps": (3,)}),
        ((6, 5), (3, 2), (6, 5), (6, 2), (6,), (6,), {"steps": (3, 3)}),
        ((6, 5), (3, 2), (6, 5), (6, 2), (6,), (6,), {"steps": (3, 2, 1)}),
        ((6, 5), (3, 2), (6, 5), (6, 2), (6,), (6,), {"steps": (3, 3), "reverse": True}),
        ((7, 5), (3, 2), (6, 5), (6, 2), (6,), (6,), {"steps": (3, 3, 1), "reverse": True}),
    ],
    public=False, method=False,
)  # fmt: skip
def gru_sequence(x, h0, w_x, w, b_x, b, /, steps, reverse=False):
    """Steps of a GRU: every state.  Step ``t`` has ``steps[t]`` of the rows.

    Shape: ``(R, D), (N, H), (3H, D), (3H, H), (3H,), (3H,) → (R, H)``
    """
    return recurrence.gru_sequence(Arrays, x, h0, w_x, w, b_x, b, steps, reverse)


# ---------------------------------------------------------------- Elman's network


@word(arrays=recurrence.rnn_slopes)
def rnn_slopes(
    g: Any, x: Any, h0: Any, w_x: Any, w: Any, b_x: Any, b: Any, out: Any,
    steps: Any, reverse: bool, nonlinearity: str,
) -> Any:  # fmt: skip
    """The derivatives of `rnn_sequence`, recorded: the states are computed again, on the tape."""
    out = recurrence.rnn_sequence(Tensors, x, h0, w_x, w, b_x, b, steps, reverse, nonlinearity)
    return recurrence.rnn_back(Tensors, g, w, out, steps, reverse, nonlinearity)


@opaque(
    states=1,
    shared=lambda g, x, h0, w_x, w, b_x, b, out, steps, reverse, nonlinearity: s.rnn_slopes(
        g, x, h0, w_x, w, b_x, b, out, steps, reverse, nonlinearity
    ),
    d_x=lambda shared, w_x: s.matmul(shared[0], w_x),
    d_h0=lambda shared: shared[1],
    d_w_x=lambda shared, x: s.rows_product(shared[0], x),
    d_w=lambda shared, out, h0, steps, reverse: s.states_product(
        shared[0], out, h0, steps, reverse
    ),
    d_b_x=lambda shared: s.rows_sum(shared[0]),
    d_b=lambda shared: s.rows_sum(shared[0]),
    cases=[
        ((3, 5), (3, 2), (2, 5), (2, 2), (2,), (2,), {"steps": (3,)}),
        ((6, 5), (3, 2), (2, 5), (2, 2), (2,), (2,), {"steps": (3, 3)}),
        ((6, 5), (3, 2), (2, 5), (2, 2), (2,), (2,), {"steps": (3, 2, 1), "nonlinearity": "relu"}),
        ((7, 5), (3, 2), (2, 5), (2, 2), (2,), (2,), {"steps": (3, 3, 1), "reverse": True}),
    ],
    public=False, method=False,
)  # fmt: skip
def rnn_sequence(x, h0, w_x, w, b_x, b, /, steps, reverse=False, nonlinearity="tanh"):
    """Steps of Elman's network: every state.  Step ``t`` has ``steps[t]`` of the rows.

    Shape: ``(R, D), (N, H), (H, D), (H, H), (H,), (H,) → (R, H)``
    """
    return recurrence.rnn_sequence(Arrays, x, h0, w_x, w, b_x, b, steps, reverse, nonlinearity)


# ---------------------------------------------------------------- cells


@lru_cache(maxsize=16)
def no_bias(rows: int, dtype: Any) -> Any:
    """Zeros, the same ones at each step: so it is seen that steps belong together."""
    return zeros(rows, dtype=dtype)


def _biases(b_ih: Any, b_hh: Any, w: Any) -> tuple[Any, Any]:
    """Both biases; zeros in place of those that are missing."""
    nothing = no_bias(len(w.array), w.dtype) if b_ih is None or b_hh is None else None
    return nothing if b_ih is None else b_ih, nothing if b_hh is None else b_hh


def _check_input(input: Any, w_ih: Any) -> None:
    _check_type(input, w_ih)
    if input.array.shape[1] != w_ih.array.shape[1]:
        raise RuntimeError(
            f"input has inconsistent input_size: got {input.array.shape[1]} expected "
            f"{w_ih.array.shape[1]}"
        )


def _check_type(x: Any, w: Any) -> None:
    if x.array.dtype is not w.array.dtype and x.dtype != w.dtype:
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {x.dtype} and {w.dtype}: "
            "convert the input or the cell with .to(...)"
        )


def _check_state(input: Any, state: Any, size: int, i: int) -> None:
    _check_type(state, input)
    rows, columns = state.array.shape
    if rows != input.array.shape[0]:
        raise RuntimeError(
            f"Input batch size {input.array.shape[0]} doesn't match hidden{i} batch size {rows}"
        )
    if columns != size:
        raise RuntimeError(
            f"hidden{i} has inconsistent hidden_size: got {columns}, expected {size}"
        )


@composite(method=False)
def rnn_tanh_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> Any:
    """One step of Elman's network: ``tanh(Wᵢₕ x + bᵢₕ + Wₕₕ h + bₕₕ)``.

    Shape: ``(N, D), (N, H), (H, D), (H, H), (H,), (H,) → (N, H)``
    """
    _check_input(input, w_ih)
    _check_state(input, hx, w_hh.array.shape[1], 0)
    steps = (input.array.shape[0],)
    return rnn_sequence(input, hx, w_ih, w_hh, *_biases(b_ih, b_hh, w_hh), steps)


@composite(method=False)
def rnn_relu_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> Any:
    """One step of Elman's network with `relu`: ``max(Wᵢₕ x + bᵢₕ + Wₕₕ h + bₕₕ, 0)``.

    Shape: ``(N, D), (N, H), (H, D), (H, H), (H,), (H,) → (N, H)``
    """
    _check_input(input, w_ih)
    _check_state(input, hx, w_hh.array.shape[1], 0)
    steps = (input.array.shape[0],)
    return rnn_sequence(input, hx, w_ih, w_hh, *_biases(b_ih, b_hh, w_hh), steps, False, "relu")


@composite(method=False)
def lstm_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[Any, Any]:
    """One step of an LSTM: the new ``h`` and ``c`` from the pair ``hx``.

    Shape: ``(N, D), ((N, H), (N, H)), (4H, D), (4H, H), (4H,), (4H,) → (N, H), (N, H)``
    """
    if isinstance(hx, Tensor) or len(hx) != 2:
        raise TypeError(
            f"lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors (h, c), not "
            f"{type(hx).__name__}"
        )
    h, c = hx
    _check_input(input, w_ih)
    _check_state(input, h, w_hh.array.shape[1], 0)
    _check_state(input, c, w_hh.array.shape[0] // 4, 1)
    n = input.array.shape[0]
    out = lstm_sequence(input, h, c, w_ih, w_hh, *_biases(b_ih, b_hh, w_hh), (n,))
    above, below = _halves(n)
    h, c = slice(out, above), slice(out, below)
    h.source = c.source = None  # nobody else sees the whole: these are no views
    return h, c


@lru_cache(maxsize=64)
def _halves(n: int) -> tuple[Any, Any]:
    """The keys of ``n`` rows and of those below."""
    return (Slice(n), ...), (Slice(n, None), ...)


@composite(method=False)
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of a GRU.

    Shape: ``(N, D), (N, H), (3H, D), (3H, H), (3H,), (3H,) → (N, H)``
    """
    _check_input(input, w_ih)
    _check_state(input, hx, w_hh.array.shape[1], 0)
    steps = (input.array.shape[0],)
    return gru_sequence(input, hx, w_ih, w_hh, *_biases(b_ih, b_hh, w_hh), steps)
