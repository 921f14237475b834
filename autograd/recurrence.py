"""Recurrence: a cell applied step after step, and the way back through time.

The states of all steps stand one under another, as in a packed sequence: step ``t`` has
``steps[t]`` rows, and no step has more than the one before it.  A batch of equally long sequences
has the same number at every step.  Read backwards, sequences join as the rows grow.

Each function is written once, for arrays and for tensors.  On arrays it is eager NumPy; on tensors
it is the recorded form that second derivatives come from.  Large float32 arrays go to compiled
loops of the same meaning (`recurrence_kernels`), and the size alone decides which.

``x`` is the projected input, but where ``w_x`` and ``b_x`` are given as well.  LSTM's gates are in
PyTorch's order input, forget, cell, output, GRU's reset, update, new.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np

from . import scalar
from .deferred import cut, rows_product

Array = np.ndarray[Any, Any]
Steps = tuple[int, ...]

WORTH_COMPILING = 1 << 14  # gate activations of all steps from which compiled loops win
STEP_WORTH_COMPILING = 1 << 12  # and of one step, which will not be the only one


class Arrays:
    """The words of the formulas, meaning functions of arrays."""

    cat = staticmethod(np.concatenate)
    tanh = staticmethod(np.tanh)

    @staticmethod
    def sigmoid(x: Array) -> Array:
        """``1 / (1 + e⁻ˣ)``."""
        out = np.exp(-x)
        out += 1
        return np.divide(1, out, out)

    @staticmethod
    def affine(x: Array, w: Array, b: Array) -> Array:
        """``x Wᵀ + b``."""
        out = scalar.matmul(x, w.T)
        return np.add(out, b, out)

    @staticmethod
    def relu(x: Array) -> Array:
        """``max(x, 0)``."""
        return np.maximum(x, 0)

    @staticmethod
    def where_positive(x: Array, g: Array) -> Array:
        """``g`` where ``x`` is not below zero or zero."""
        return np.where(x <= 0, 0, g)

    @staticmethod
    def zeros(like: Array, rows: int) -> Array:
        """Rows of zeros as wide as those of ``like``."""
        return np.zeros((rows, like.shape[1]), like.dtype)


# ---------------------------------------------------------------- steps and rows


def order(steps: Steps, reverse: bool) -> Iterator[tuple[int, int]]:
    """The first row and the number of rows of each step, in the order in which they are taken."""
    places = zip(accumulate(steps, initial=0), steps, strict=False)
    return reversed([*places]) if reverse else iter([*places])


def fitted(m: Any, rows: Any, n: int, supply: Any, ended: list[Any]) -> Any:
    """The state of a step with ``n`` rows: others join from ``supply``, or end."""
    have = rows.shape[0]
    if n < have:
        ended.append(rows[n:])
        return rows[:n]
    if have == n:
        return rows
    return m.cat([rows, supply[have:n]]) if have else supply[:n]


def together(m: Any, rows: Any, ended: list[Any]) -> Any:
    """The rows that are left with those that have ended before, in the order of the batch."""
    return m.cat([rows, *reversed(ended)]) if ended else rows


def before(m: Any, rows: Any, initial: Any, steps: Steps, reverse: bool) -> Any:
    """The state that each row's cell started from."""
    n, total = steps[0], sum(steps)
    if steps[-1] == n:
        kept = rows[n:total] if reverse else rows[: total - n]
        return m.cat([kept, initial] if reverse else [initial, kept])
    pieces, starts = [], [*accumulate(steps, initial=0)]
    for t, n in enumerate(steps):
        p = t + 1 if reverse else t - 1
        have = min(steps[p], n) if 0 <= p < len(steps) else 0
        if have:
            pieces.append(rows[starts[p] : starts[p] + have])
        if have < n:
            pieces.append(initial[have:n])
    return m.cat(pieces)


def _in_time(m: Any, pieces: list[Any], reverse: bool) -> Any:
    return m.cat(pieces[::-1] if reverse else pieces)


def _kept(states: list[Any], rows: Any) -> Any:
    """The states of all steps; that of a single one apart from what the user may write to."""
    return states[0] if len(states) == 1 else rows


def _large(x: Any) -> bool:
    """Whether a compiled loop is worth it for the pointwise part of a step."""
    return type(x) is np.ndarray and x.dtype == np.float32 and x.size >= WORTH_COMPILING


def _compiled(x: Any, w: Any, gates: int, steps: Steps) -> bool:
    """Whether they are worth it, where ``x`` is not projected yet or are the gates."""
    least = STEP_WORTH_COMPILING if len(steps) == 1 else WORTH_COMPILING
    return (
        type(x) is np.ndarray
        and x.dtype == np.float32
        and len(x) * len(w) * gates >= least
        and w.shape[1] > 0
    )


@cache
def _kernels() -> Any:
    from . import recurrence_kernels

    return recurrence_kernels


# ---------------------------------------------------------------- LSTM


def lstm(
    m: Any, x: Any, w: Any, b: Any, h0: Any, c0: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any, Any, Any]:
    """Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.

    ``i, f, o = σ(z)``, ``g = tanh(z)``, ``c = f c₋ + i g``, ``h = o tanh(c)``, with
    ``z = x + Wh₋ + b``.

    Gives ``h`` of all rows with the last ``c`` of each sequence below; and what is kept, ``h``,
    ``c`` and the gates of all rows.  Without weights a step is its pointwise part alone, and ``b``
    the projected state.
    """
    if w is None and _large(x):
        return _kernels().lstm(x, h0, c0, None, None, None, b, steps, reverse)
    n = c0.shape[1]
    hs: list[Any] = []
    cs: list[Any] = []
    gates: list[Any] = []
    ended: list[Any] = []
    h, c = None if w is None else h0[:0], c0[:0]
    for start, rows in order(steps, reverse):
        z = x[start : start + rows] + b
        if w is not None:
            h = fitted(m, h, rows, h0, [])
            z = z + h @ w.mT
        c = fitted(m, c, rows, c0, ended)
        i_f = m.sigmoid(z[:, : 2 * n])
        g, o = m.tanh(z[:, 2 * n : 3 * n]), m.sigmoid(z[:, 3 * n :])
        c = i_f[:, n:] * c + i_f[:, :n] * g
        h = o * m.tanh(c)
        hs.append(h)
        cs.append(c)
        gates.append(m.cat([i_f, g, o], 1))
    hs = hs[::-1] if reverse else hs
    out = m.cat([*hs, together(m, c, ended)])
    states = _kept(hs, out[: x.shape[0]])
    return out, states, _in_time(m, cs, reverse), _in_time(m, gates, reverse)


def lstm_back(
    m: Any, g: Any, last: Any, w: Any, c0: Any, c: Any, gates: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any, Any]:
    """The derivatives by ``x``, ``h0`` and ``c0``, from those by ``h`` and by the ``last`` cells.

    The latter may be None, for zeros.
    """
    if w is None and _large(gates):
        return _kernels().lstm_back(g, last, w, c0, c, gates, steps, reverse)
    n = c0.shape[1]
    last = m.zeros(c0, steps[0]) if last is None else last
    c_before, t = before(m, c, c0, steps, reverse), m.tanh(c)
    ds: list[Any] = []
    h_ended: list[Any] = []
    c_ended: list[Any] = []
    nothing = m.zeros(c0, steps[0])
    dh, dc = nothing[:0], last[:0]
    for start, rows in order(steps, not reverse):
        at = slice(start, start + rows)
        dh = fitted(m, dh, rows, nothing, h_ended)
        dc = fitted(m, dc, rows, last, c_ended)
        i, f, u, o = (gates[at, k * n : k * n + n] for k in range(4))
        dh = dh + g[at]
        dc = dc + dh * o * (1 - t[at] * t[at])
        d = m.cat(
            [
                dc * u * i * (1 - i),
                dc * c_before[at] * f * (1 - f),
                dc * i * (1 - u * u),
                dh * t[at] * o * (1 - o),
            ],
            1,
        )
        dc = dc * f
        dh = nothing[:rows] if w is None else d @ w
        ds.append(d)
    return _in_time(m, ds, not reverse), together(m, dh, h_ended), together(m, dc, c_ended)


def projected_lstm(
    m: Any, x: Any, w: Any, b: Any, r: Any, h0: Any, c0: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any]:
    """Sak et al., 2014: `lstm` whose state is ``r h``.  Gives ``[r h, c]`` and the gates."""
    outs: list[Any] = []
    gates: list[Any] = []
    h, c = h0[:0], c0[:0]
    for start, rows in order(steps, reverse):
        h, c = fitted(m, h, rows, h0, []), fitted(m, c, rows, c0, [])
        z = h @ w.mT + b
        hc, _, _, a = lstm(m, x[start : start + rows], None, z, None, c, (rows,), False)
        h, c = hc[:rows] @ r.mT, hc[rows:]
        outs.append(m.cat([h, c], 1))
        gates.append(a)
    return _in_time(m, outs, reverse), _in_time(m, gates, reverse)


def projected_lstm_back(
    m: Any, g: Any, w: Any, r: Any, c0: Any, out: Any, gates: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any, Any, Any]:
    """The derivatives by ``x``, by ``r h`` of all rows, by ``h0`` and by ``c0``."""
    p = r.shape[0]
    c_before = before(m, out[:, p:], c0, steps, reverse)
    ds: list[Any] = []
    hs: list[Any] = []
    h_ended: list[Any] = []
    c_ended: list[Any] = []
    nothing, no_cell = m.zeros(g[:, :p], steps[0]), m.zeros(c0, steps[0])
    dh, dc = nothing[:0], no_cell[:0]
    for start, rows in order(steps, not reverse):
        at = slice(start, start + rows)
        dh = fitted(m, dh, rows, nothing, h_ended) + g[at, :p]
        dc = fitted(m, dc, rows, no_cell, c_ended) + g[at, p:]
        hs.append(dh)
        cell = c_before[at], out[at, p:], gates[at]
        d, _, dc = lstm_back(m, dh @ r, dc, None, *cell, (rows,), False)
        dh = d @ w
        ds.append(d)
    dx, d_r = _in_time(m, ds, not reverse), _in_time(m, hs, not reverse)
    return dx, d_r, together(m, dh, h_ended), together(m, dc, c_ended)


# ---------------------------------------------------------------- GRU


def gru(
    m: Any, x: Any, w: Any, b: Any, h0: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any, Any]:
    """Cho et al., 2014, in the form whose new state resets the product, as PyTorch's and cuDNN's.

    ``r, u = σ(x + z)``, ``n = tanh(x + r z)``, ``h = n + u (h₋ - n)``, where ``z = Wh₋ + b``.

    Gives ``h``, the same to be kept, and ``r, u, n, z`` (the part of ``n``) of all rows.
    """
    n = h0.shape[1]
    hs: list[Any] = []
    gates: list[Any] = []
    h = h0[:0]
    for start, rows in order(steps, reverse):
        h = fitted(m, h, rows, h0, [])
        y = x[start : start + rows]
        z = h @ w.mT + b
        r_u = m.sigmoid(y[:, : 2 * n] + z[:, : 2 * n])
        z = z[:, 2 * n :]
        new = m.tanh(y[:, 2 * n :] + r_u[:, :n] * z)
        h = new + r_u[:, n:] * (h - new)
        hs.append(h)
        gates.append(m.cat([r_u, new, z], 1))
    out = _in_time(m, hs, reverse)
    return out, _kept(hs, out), _in_time(m, gates, reverse)


def gru_back(
    m: Any, g: Any, w: Any, h0: Any, h: Any, gates: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any, Any]:
    """The derivatives by ``x``, by ``Wh₋ + b`` of all rows, and by ``h0``."""
    n = h0.shape[1]
    h_before = before(m, h, h0, steps, reverse)
    xs: list[Any] = []
    zs: list[Any] = []
    ended: list[Any] = []
    nothing = m.zeros(h0, steps[0])
    dh = nothing[:0]
    for start, rows in order(steps, not reverse):
        at = slice(start, start + rows)
        dh = fitted(m, dh, rows, nothing, ended)
        r, u, new, z = (gates[at, k * n : k * n + n] for k in range(4))
        dh = dh + g[at]
        d_u = dh * (h_before[at] - new) * u * (1 - u)
        d_new = dh * (1 - u) * (1 - new * new)
        d_r = d_new * z * r * (1 - r)
        d_z = m.cat([d_r, d_u, d_new * r], 1)
        xs.append(m.cat([d_r, d_u, d_new], 1))
        zs.append(d_z)
        dh = dh * u + d_z @ w
    dx, dz = _in_time(m, xs, not reverse), _in_time(m, zs, not reverse)
    return dx, dz, together(m, dh, ended)


# ---------------------------------------------------------------- Elman's network


def rnn(
    m: Any, x: Any, w: Any, b: Any, h0: Any, steps: Steps, reverse: bool, nonlinearity: str
) -> Any:
    """Elman, 1990: ``h = tanh(x + Wh₋ + b)``, or `relu` of it, for all rows."""
    activation = m.tanh if nonlinearity == "tanh" else m.relu
    hs: list[Any] = []
    h = h0[:0]
    for start, rows in order(steps, reverse):
        h = fitted(m, h, rows, h0, [])
        h = activation(x[start : start + rows] + b + h @ w.mT)
        hs.append(h)
    return _in_time(m, hs, reverse)


def rnn_back(
    m: Any, g: Any, w: Any, h: Any, steps: Steps, reverse: bool, nonlinearity: str
) -> tuple[Any, Any]:
    """The derivatives by ``x`` and ``h0``."""
    ds: list[Any] = []
    ended: list[Any] = []
    nothing = m.zeros(h, steps[0])
    dh = nothing[:0]
    for start, rows in order(steps, not reverse):
        at = slice(start, start + rows)
        dh = fitted(m, dh, rows, nothing, ended) + g[at]
        d = dh * (1 - h[at] * h[at]) if nonlinearity == "tanh" else m.where_positive(h[at], dh)
        dh = d @ w
        ds.append(d)
    return _in_time(m, ds, not reverse), together(m, dh, ended)


# ---------------------------------------------------------------- with the projection

# ``w_x`` and ``b_x`` project the input.  Loops do that step by step where it pays.


def lstm_sequence(
    m: Any, x: Any, h0: Any, c0: Any, w_x: Any, w: Any, b_x: Any, b: Any, steps: Steps,
    reverse: bool,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """`lstm` of an input that is yet to be projected."""
    if _compiled(x, w, 1, steps):
        return _kernels().lstm(x, h0, c0, w_x, w, b_x, b, steps, reverse)
    return lstm(m, m.affine(x, w_x, b_x), w, b, h0, c0, steps, reverse)


def gru_sequence(
    m: Any, x: Any, h0: Any, w_x: Any, w: Any, b_x: Any, b: Any, steps: Steps, reverse: bool
) -> tuple[Any, Any, Any]:
    """`gru` of an input that is yet to be projected."""
    if _compiled(x, w, 1, steps):
        return _kernels().gru(x, h0, w_x, w, b_x, b, steps, reverse)
    return gru(m, m.affine(x, w_x, b_x), w, b, h0, steps, reverse)


def rnn_sequence(
    m: Any, x: Any, h0: Any, w_x: Any, w: Any, b_x: Any, b: Any, steps: Steps, reverse: bool,
    nonlinearity: str,
) -> Any:  # fmt: skip
    """`rnn` of an input that is yet to be projected."""
    if _compiled(x, w, 4, steps):
        return _kernels().rnn(x, h0, w_x, w, b_x, b, steps, reverse, nonlinearity)
    return rnn(m, m.affine(x, w_x, b_x), w, b, h0, steps, reverse, nonlinearity)


# ---------------------------------------------------------------- words of the rules, on arrays


def lstm_slopes(
    g: Any, x: Array, h0: Array, c0: Array, w_x: Array, w: Array, b_x: Array, b: Array,
    states: Array, c: Array, gates: Array, steps: Any, reverse: Any,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The derivatives of `lstm_sequence` by the projected ``x``, ``h0``, ``c0``; ``states``."""
    rest = *cut(g, len(gates)), w, c0, c, gates, steps, reverse
    if _compiled(gates, w, 1, steps):
        return *_kernels().lstm_back(*rest), states
    return *lstm_back(Arrays, *rest), states


def projected_lstm_slopes(
    g: Array, x: Array, w: Array, b: Array, r: Array, h0: Array, c0: Array, out: Array,
    gates: Array, steps: Any, reverse: Any,
) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """The derivatives of `lstm_projected_sequence` by ``x``, ``rh``, ``h0``, ``c0``; then ``h``."""
    m, n, p = Arrays, c0.shape[1], r.shape[0]
    slopes = projected_lstm_back(m, g, w, r, c0, out, gates, steps, reverse)
    return *slopes, gates[:, 3 * n :] * np.tanh(out[:, p:])


def gru_slopes(
    g: Array, x: Array, h0: Array, w_x: Array, w: Array, b_x: Array, b: Array,
    states: Array, gates: Array, steps: Any, reverse: Any,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The derivatives of `gru_sequence` by the projected ``x``, ``Wh₋ + b``, ``h0``; ``states``."""
    if _compiled(gates, w, 1, steps):
        return *_kernels().gru_back(g, w, h0, states, gates, steps, reverse), states
    return *gru_back(Arrays, g, w, h0, states, gates, steps, reverse), states


def rnn_slopes(
    g: Array, x: Array, h0: Array, w_x: Array, w: Array, b_x: Array, b: Array,
    out: Array, steps: Any, reverse: Any, nonlinearity: str,
) -> tuple[Array, Array]:  # fmt: skip
    """The derivatives of `rnn_sequence` by the projected ``x`` and ``h0``."""
    if _compiled(out, w, 4, steps):
        return _kernels().rnn_back(g, w, out, steps, reverse, nonlinearity)  # type: ignore[no-any-return]
    return rnn_back(Arrays, g, w, out, steps, reverse, nonlinearity)


def states_product(d: Array, rows: Array, initial: Array, steps: Any, reverse: Any) -> Any:
    """``dᵀ h₋``, where each row of ``h₋`` is the state that a row of ``d`` started from."""
    n, total = steps[0], len(d)
    if len(steps) == 1:
        return rows_product(d, initial)
    if steps[-1] < n or total < 2 * d.shape[1]:  # a copy of the states is less than two products
        return scalar.matmul(d.T, before(Arrays, rows, initial, steps, reverse))
    if reverse:
        later, first, states = d[: total - n], d[total - n :], rows[n:total]
    else:
        later, first, states = d[n:], d[:n], rows[: total - n]
    product = scalar.matmul(later.T, states)
    product += scalar.matmul(first.T, initial)
    return product
