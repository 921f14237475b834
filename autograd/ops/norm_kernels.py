"""The compiled loops of normalisation: one pass out, one pass back, nothing written in between.

A gradient is allocated in its own shape: a leaf takes an array that is no view as it is.

`Rows` serves layers that normalise contiguous rows with a weight for each element of a row.
`Runs` serves those with a weight for each channel, where what is normalised together are runs of
contiguous elements: of one channel in all samples, or of one group of channels in one sample.
`Columns` serves channels whose runs are short, or single numbers: the samples are rows of a matrix,
and what is normalised together are its columns, which are added up side by side, as vectors.

Totals are added up as vectors within a run, or over some rows, and in float64 from there on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .. import kernels
from ..kernels import readonly
from ..normalization import Plan

Array = np.ndarray[Any, Any]

ROWS = 256  # of which the gradients by the weight are added up before they are joined
GRAIN = 1 << 15  # elements of rows that one thread takes at a time
LEAST = 16  # elements of a run from which vectors are worth it; of a column, twice as many


def quick(x: Array, plan: Plan) -> bool:
    """Whether a kernel is worth its loading for this input."""
    if x.size < kernels.WORTH_COMPILING or x.dtype.char not in "fd":
        return False
    if plan.axes == (0, 2):
        return plan.view[2] >= LEAST or plan.view[0] >= 2 * LEAST
    return len(plan.view) == 2 or plan.view[-1] >= LEAST


def in_columns(x: Array, plan: Plan) -> bool:
    """Whether the kernels of columns are for this input, which is normalised by channels."""
    return plan.view[2] < LEAST and quick(x, plan)


def flat(x: Array, shape: tuple[int, ...]) -> Array:
    """A contiguous array of this shape with the same elements."""
    return np.ascontiguousarray(x).reshape(shape)


@lru_cache(maxsize=8)
def _compiled(function: Any, dtype: str, arguments: str) -> Any:
    """A kernel: ``r2`` is an input of two axes, ``w1`` an output of one, ``p`` the pieces."""
    written = {1: f"{dtype}[::1]", 2: f"{dtype}[:, ::1]", 3: f"{dtype}[:, :, ::1]"}
    types = []
    for word in arguments.split():
        if word == "f":
            types.append(dtype)
        elif word == "i":
            types.append("int64")
        elif word == "p":
            types.append(readonly("int64"))
        elif word[0] == "r":
            types.append(readonly(dtype, int(word[1])))
        else:
            types.append(written[int(word[1])])
    signature = f"void({', '.join(types)})"
    return kernels.compile(function, signature, contract=True, reorder=True, wide=True)


# ---------------------------------------------------------------- rows


def norm_rows(rows, x, weight, bias, eps, centred, mean, var, out):  # type: ignore[no-untyped-def]
    """``(x - mean) / √(var + ε) · weight + bias`` in each of these rows of x."""
    width = x.shape[1]
    n = x.dtype.type(width)
    one = x.dtype.type(1)
    for r in rows:
        m = one - one
        if centred:
            for j in range(width):
                m += x[r, j]
            m = m / n
        square = one - one
        for j in range(width):
            c = x[r, j] - m
            square += c * c
        square = square / n
        mean[r] = m
        var[r] = square
        scale = one / np.sqrt(square + eps)
        for j in range(width):
            out[r, j] = (x[r, j] - m) * scale * weight[j] + bias[j]


def norm_rows_back(parts, g, x, weight, mean, var, eps, centred, length, d_x, d_weight, d_bias):  # type: ignore[no-untyped-def]
    """The derivatives of `norm_rows`; those of weight and bias for parts of ``length`` rows."""
    width = x.shape[1]
    n = x.dtype.type(width)
    one = x.dtype.type(1)
    for p in parts:
        own_weight, own_bias = d_weight[p], d_bias[p]
        for r in range(p * length, min(p * length + length, x.shape[0])):
            m = mean[r]
            scale = one / np.sqrt(var[r] + eps)
            total = one - one
            along = one - one
            for j in range(width):
                h = (x[r, j] - m) * scale
                gh = g[r, j] * h
                own_weight[j] += gh
                own_bias[j] += g[r, j]
                total += g[r, j] * weight[j]
                along += gh * weight[j]
            total = total / n if centred else one - one
            along = along / n * scale
            for j in range(width):
                d_x[r, j] = (g[r, j] * weight[j] - total - (x[r, j] - m) * along) * scale


def forward_of_rows(x: Array, weight: Array, bias: Array, plan: Plan) -> tuple[Array, ...]:
    """The output of a normalisation of rows, the means and the variances."""
    rows, width = plan.view
    kernel = _compiled(norm_rows, kernels.name_of(x.dtype), "p r2 r1 r1 f i w1 w1 w2")
    x2 = flat(x, plan.view)
    given = x2, flat(weight, (width,)), flat(bias, (width,)), x.dtype.type(plan.eps), plan.centred
    mean, var, out = np.empty(rows, x.dtype), np.empty(rows, x.dtype), np.empty_like(x2)
    kernels.launch_pieces(kernel, rows, *given, mean, var, out)
    return out.reshape(x.shape), mean.reshape(-1, 1), var.reshape(-1, 1)


def backward_of_rows(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """The derivatives of a normalisation of rows by input, weight and bias."""
    rows, width = plan.view
    kernel = _compiled(norm_rows_back, kernels.name_of(x.dtype), "p r2 r2 r1 r1 r1 f i i w2 w2 w2")
    given = (flat(g, plan.view), flat(x, plan.view), flat(weight, (width,)), mean.ravel(),
             var.ravel(), x.dtype.type(plan.eps), plan.centred)  # fmt: skip
    d_x = np.empty(x.shape, x.dtype)
    length = min(-(-rows // 8), ROWS)  # by the size alone: the bits do not depend on threads
    parts = -(-rows // length)
    sums = np.zeros((2, parts, width), x.dtype)
    kernels.launch_pieces(kernel, parts, *given, length, d_x.reshape(plan.view), *sums)
    d_weight, d_bias = np.add.reduce(sums, 1)
    return d_x, d_weight, d_bias


# ---------------------------------------------------------------- runs


def norm_runs(pieces, x, weight, bias, eps, groups, by_channel, mean, var, out):  # type: ignore[no-untyped-def]
    """`norm_rows` of runs x[i, j]: those of one j together, if ``by_channel``, else those of one i.

    The weight of a run is ``weight[i % groups, j]``.
    """
    across = x.shape[0] if by_channel else x.shape[1]
    length = x.shape[2]
    one = x.dtype.type(1)
    n = float(across * length)
    for k in pieces:
        total = 0.0
        for t in range(across):
            i, j = (t, k) if by_channel else (k, t)
            part = one - one
            for e in range(length):
                part += x[i, j, e]
            total += part
        m = x.dtype.type(total / n)
        total = 0.0
        for t in range(across):
            i, j = (t, k) if by_channel else (k, t)
            part = one - one
            for e in range(length):
                c = x[i, j, e] - m
                part += c * c
            total += part
        square = x.dtype.type(total / n)
        mean[k] = m
        var[k] = square
        scale = one / np.sqrt(square + eps)
        for t in range(across):
            i, j = (t, k) if by_channel else (k, t)
            factor = scale * weight[i % groups, j]
            shift = bias[i % groups, j]
            for e in range(length):
                out[i, j, e] = (x[i, j, e] - m) * factor + shift


def norm_runs_back(pieces, g, x, weight, mean, var, eps, groups, by_channel, d_x, sums, along):  # type: ignore[no-untyped-def]
    """The derivative of `norm_runs` by the input.

    Into ``sums`` and ``along`` go ``Σ g`` and ``Σ g · (x - mean) / √(var + ε)`` of each run.
    """
    across = x.shape[0] if by_channel else x.shape[1]
    length = x.shape[2]
    one = x.dtype.type(1)
    n = float(across * length)
    for k in pieces:
        m = mean[k]
        scale = one / np.sqrt(var[k] + eps)
        total = 0.0
        product = 0.0
        for t in range(across):
            i, j = (t, k) if by_channel else (k, t)
            part = one - one
            other = one - one
            for e in range(length):
                part += g[i, j, e]
                other += g[i, j, e] * (x[i, j, e] - m)
            other *= scale
            sums[i, j] = part
            along[i, j] = other
            total += part * weight[i % groups, j]
            product += other * weight[i % groups, j]
        average = x.dtype.type(total / n)
        slope = x.dtype.type(product / n) * scale
        for t in range(across):
            i, j = (t, k) if by_channel else (k, t)
            w = weight[i % groups, j]
            for e in range(length):
                d_x[i, j, e] = (g[i, j, e] * w - average - (x[i, j, e] - m) * slope) * scale


def _runs(plan: Plan) -> tuple[tuple[int, int, int], int, int, bool]:
    """Views and their settings for `norm_runs`: (shape of runs, pieces, groups, by channel)."""
    if plan.axes == (0, 2):
        n, c, length = plan.view
        return (n, c, length), c, 1, True
    n, groups, c, length = plan.view
    return (n * groups, c, length), n * groups, groups, False


def forward_of_runs(x: Array, weight: Array, bias: Array, plan: Plan) -> tuple[Array, ...]:
    """The output of a normalisation of channels or groups, the means and the variances."""
    shape, pieces, groups, by_channel = _runs(plan)
    kernel = _compiled(norm_runs, kernels.name_of(x.dtype), "p r3 r2 r2 f i i w1 w1 w3")
    x3, weights = flat(x, shape), (groups, shape[1])
    given = (x3, flat(weight, weights), flat(bias, weights), x.dtype.type(plan.eps), groups,
             by_channel)  # fmt: skip
    mean, var, out = np.empty(pieces, x.dtype), np.empty(pieces, x.dtype), np.empty_like(x3)
    kernels.launch_pieces(kernel, pieces, *given, mean, var, out)
    kept = tuple(1 if i in plan.axes else m for i, m in enumerate(plan.view))
    return out.reshape(x.shape), mean.reshape(kept), var.reshape(kept)


def backward_of_runs(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """The derivatives of a normalisation of channels or groups by input, weight and bias."""
    shape, pieces, groups, by_channel = _runs(plan)
    kernel = _compiled(norm_runs_back, kernels.name_of(x.dtype), "p r3 r3 r2 r1 r1 f i i w3 w2 w2")
    given = (flat(g, shape), flat(x, shape), flat(weight, (groups, shape[1])), mean.ravel(),
             var.ravel(), x.dtype.type(plan.eps), groups, by_channel)  # fmt: skip
    d_x = np.empty(x.shape, x.dtype)
    sums, along = np.empty((2, *shape[:2]), x.dtype)
    kernels.launch_pieces(kernel, pieces, *given, d_x.reshape(shape), sums, along)
    d_bias, d_weight = (np.add.reduce(s.reshape(-1, weight.size), 0) for s in (sums, along))
    return d_x, d_weight, d_bias


# ---------------------------------------------------------------- columns


def column_moments(parts, x, length, mean, squares):  # type: ignore[no-untyped-def]
    """The mean of each column in parts of ``length`` rows, and ``Σ (x - mean)²``, all 0 before."""
    width = x.shape[1]
    for p in parts:
        m, square = mean[p], squares[p]
        first, last = p * length, min(p * length + length, x.shape[0])
        n = x.dtype.type(last - first)
        for r in range(first, last):
            for j in range(width):
                m[j] += x[r, j]
        for j in range(width):
            m[j] = m[j] / n
        for r in range(first, last):
            for j in range(width):
                c = x[r, j] - m[j]
                square[j] += c * c


def column_products(parts, g, x, mean, length, sums, along):  # type: ignore[no-untyped-def]
    """``Σ g`` and ``Σ g · (x - mean)`` of each column in parts of ``length`` rows, all 0 before."""
    for p in parts:
        total, product = sums[p], along[p]
        for r in range(p * length, min(p * length + length, x.shape[0])):
            for j in range(x.shape[1]):
                total[j] += g[r, j]
                product[j] += g[r, j] * (x[r, j] - mean[j])


def column_lines(x, mean, factor, shift, out):  # type: ignore[no-untyped-def]
    """``(x - mean) · factor + shift``, with numbers for each column."""
    for r in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[r, j] = (x[r, j] - mean[j]) * factor[j] + shift[j]


def column_slopes(g, x, mean, along, average, factor, out):  # type: ignore[no-untyped-def]
    """``(g - average - (x - mean) · along) · factor``, with numbers for each column."""
    for r in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[r, j] = (g[r, j] - average[j] - (x[r, j] - mean[j]) * along[j]) * factor[j]


def _matrix(plan: Plan) -> tuple[int, int, int]:
    """A matrix with the samples as its rows: (rows, columns, rows of one part)."""
    n, c, length = plan.view
    return n, c * length, max(8, min(-(-n // 16), 64))  # by the size alone: so are the bits


def _stretched(values: Array, plan: Plan, dtype: Any) -> Array:
    """A number for each channel as one for each column."""
    return np.repeat(values.reshape(-1).astype(dtype, copy=False), plan.view[2])


def _by_row(kernel: Any, matrices: int, *arguments: Array) -> None:
    """Launch a kernel whose first ``matrices`` arguments, and whose last, are cut into rows."""
    n, width = arguments[0].shape
    cut = [int(i < matrices or i == len(arguments) - 1) for i in range(len(arguments))]
    kernels.launch(kernel, arguments, n, max(1, GRAIN // width), cut)


def forward_of_columns(x: Array, weight: Array, bias: Array, plan: Plan) -> tuple[Array, ...]:
    """The output of a normalisation of channels in short runs, the means and the variances."""
    n, width, length = _matrix(plan)
    parts, channels = -(-n // length), plan.view[1:]
    x = np.ascontiguousarray(x)
    x2 = x.reshape(n, width)
    means, squares = np.zeros((2, parts, width), x.dtype)
    kernel = _compiled(column_moments, kernels.name_of(x.dtype), "p r2 i w2 w2")
    kernels.launch_pieces(kernel, parts, x2, length, means, squares)
    count = np.full((parts, 1), float(length))
    count[-1] = n - (parts - 1) * length
    mean = (count.T @ means).reshape(channels).sum(1) / plan.shared
    means = means - _stretched(mean, plan, "float64")
    means *= means
    var = (count.T @ means + np.add.reduce(squares, 0, "float64")).reshape(channels).sum(1)
    mean, var = mean.astype(x.dtype), (var / plan.shared).astype(x.dtype)
    out = line_of_columns(x, mean, weight.reshape(-1) / np.sqrt(var + plan.eps), bias, plan)
    return out, mean.reshape(1, -1, 1), var.reshape(1, -1, 1)


def line_of_columns(x: Array, mean: Array, factor: Array, shift: Array, plan: Plan) -> Array:
    """``(x - mean) · factor + shift`` with numbers of their own for each channel."""
    x2 = flat(x, _matrix(plan)[:2])
    out = np.empty(x.shape, x.dtype)
    kernel = _compiled(column_lines, kernels.name_of(x.dtype), "r2 r1 r1 r1 w2")
    _by_row(
        kernel,
        1,
        x2,
        *(_stretched(a, plan, x.dtype) for a in (mean, factor, shift)),
        out.reshape(x2.shape),
    )
    return out


def sums_of_columns(
    g: Array, x: Array, mean: Array, scale: Array, plan: Plan
) -> tuple[Array, Array]:
    """``Σ g`` and ``Σ g · (x - mean) · scale`` of each channel."""
    n, width, length = _matrix(plan)
    parts = -(-n // length)
    sums = np.zeros((2, parts, width), x.dtype)
    kernel = _compiled(column_products, kernels.name_of(x.dtype), "p r2 r2 r1 i w2 w2")
    given = flat(g, (n, width)), flat(x, (n, width)), _stretched(mean, plan, x.dtype)
    kernels.launch_pieces(kernel, parts, *given, length, *sums)
    totals = np.add.reduce(sums, 1, "float64").reshape(2, *plan.view[1:]).sum(2)
    return totals[0].astype(x.dtype), (totals[1] * scale.reshape(-1)).astype(x.dtype)


def backward_of_columns(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """The derivatives of a normalisation of channels in short runs by input, weight and bias."""
    n, width, _ = _matrix(plan)
    scale = 1 / np.sqrt(var.reshape(-1) + plan.eps)
    d_bias, d_weight = sums_of_columns(g, x, mean, scale, plan)
    each = mean, d_weight * scale / plan.shared, d_bias / plan.shared, weight.reshape(-1) * scale
    d_x = np.empty(x.shape, x.dtype)
    kernel = _compiled(column_slopes, kernels.name_of(x.dtype), "r2 r2 r1 r1 r1 r1 w2")
    given = flat(g, (n, width)), flat(x, (n, width))
    _by_row(kernel, 2, *given, *(_stretched(a, plan, x.dtype) for a in each), d_x.reshape(n, width))
    return d_x, d_weight, d_bias


def backward_by_running(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """`backward_of_columns` where mean and variance do not depend on the input."""
    scale = 1 / np.sqrt(var + plan.eps)
    d_bias, d_weight = sums_of_columns(g, x, mean, scale, plan)
    none = np.zeros_like(scale)
    return line_of_columns(g, none, weight * scale, none, plan), d_weight, d_bias


# ---------------------------------------------------------------- channels


def forward_of_channels(x: Array, weight: Array, bias: Array, plan: Plan) -> tuple[Array, ...]:
    """`forward_of_runs` or, where these are short, `forward_of_columns`."""
    forward = forward_of_runs if plan.view[2] >= LEAST else forward_of_columns
    return forward(x, weight, bias, plan)


def backward_of_channels(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """`backward_of_runs` or, where these are short, `backward_of_columns`."""
    backward = backward_of_runs if plan.view[2] >= LEAST else backward_of_columns
    return backward(g, x, weight, mean, var, plan)
