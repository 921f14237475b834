"""The compiled loops of normalisation: one pass out, one pass back, nothing written in between.

`Rows` serves layers that normalise contiguous rows with a weight for each element of a row.
`Runs` serves those with a weight for each channel, where what is normalised together are runs of
contiguous elements: of one channel in all samples, or of one group of channels in one sample.

Totals are added up as vectors within a run, and in float64 from run to run.
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
LEAST = 16  # elements of a run from which vectors are worth it


def quick(x: Array, plan: Plan) -> bool:
    """Whether a kernel is worth its loading for this input."""
    if x.size < kernels.WORTH_COMPILING or x.dtype.char not in "fd":
        return False
    return len(plan.view) == 2 or plan.view[-1] >= LEAST


def flat(x: Array, shape: tuple[int, ...]) -> Array:
    """A contiguous array of this shape with the same elements."""
    return np.ascontiguousarray(x).reshape(shape)


@lru_cache(maxsize=8)
def _compiled(function: Any, dtype: str, arguments: str) -> Any:
    """A kernel: ``arguments`` are words, ``r2`` an input of two axes, ``w1`` an output of one."""
    written = {1: f"{dtype}[::1]", 2: f"{dtype}[:, ::1]", 3: f"{dtype}[:, :, ::1]"}
    types = []
    for word in arguments.split():
        if word == "f":
            types.append(dtype)
        elif word == "i":
            types.append("int64")
        elif word[0] == "r":
            types.append(readonly(dtype, int(word[1])))
        else:
            types.append(written[int(word[1])])
    signature = f"void({', '.join(types)})"
    return kernels.compile(function, signature, contract=True, reorder=True)


# ---------------------------------------------------------------- rows


def norm_rows(x, weight, bias, eps, centred, start, stop, mean, var, out):  # type: ignore[no-untyped-def]
    """``(x - mean) / √(var + ε) · weight + bias`` in each row from ``start`` to ``stop``."""
    width = x.shape[1]
    n = x.dtype.type(width)
    one = x.dtype.type(1)
    for r in range(start, stop):
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


def norm_rows_back(g, x, weight, mean, var, eps, centred, start, stop, d_x, d_weight, d_bias):  # type: ignore[no-untyped-def]
    """The derivatives of `norm_rows`; those of weight and bias are added to what is there."""
    width = x.shape[1]
    n = x.dtype.type(width)
    one = x.dtype.type(1)
    for r in range(start, stop):
        m = mean[r]
        scale = one / np.sqrt(var[r] + eps)
        total = one - one
        along = one - one
        for j in range(width):
            h = (x[r, j] - m) * scale
            gh = g[r, j] * h
            d_weight[j] += gh
            d_bias[j] += g[r, j]
            total += g[r, j] * weight[j]
            along += gh * weight[j]
        total = total / n if centred else one - one
        along = along / n * scale
        for j in range(width):
            d_x[r, j] = (g[r, j] * weight[j] - total - (x[r, j] - m) * along) * scale


def forward_of_rows(x: Array, weight: Array, bias: Array, plan: Plan) -> tuple[Array, ...]:
    """The output of a normalisation of rows, the means and the variances."""
    rows, width = plan.view
    kernel = _compiled(norm_rows, x.dtype.name, "r2 r1 r1 f i i i w1 w1 w2")
    x2 = flat(x, plan.view)
    given = x2, flat(weight, (width,)), flat(bias, (width,)), x.dtype.type(plan.eps), plan.centred
    mean, var, out = np.empty(rows, x.dtype), np.empty(rows, x.dtype), np.empty_like(x2)
    with np.errstate(all="ignore"):  # for the day the loop is Python's
        kernels.share(lambda i, j: kernel(*given, i, j, mean, var, out), rows, grain(rows))
    return out.reshape(x.shape), mean.reshape(-1, 1), var.reshape(-1, 1)


def backward_of_rows(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """The derivatives of a normalisation of rows by input, weight and bias."""
    rows, width = plan.view
    kernel = _compiled(norm_rows_back, x.dtype.name, "r2 r2 r1 r1 r1 f i i i w2 w1 w1")
    given = (flat(g, plan.view), flat(x, plan.view), flat(weight, (width,)), mean.ravel(),
             var.ravel(), x.dtype.type(plan.eps), plan.centred)  # fmt: skip
    part = min(-(-rows // 8), ROWS)  # by the size alone, so that the bits do not depend on threads
    d_x = np.empty(plan.view, x.dtype)
    sums = np.zeros((2, -(-rows // part), width), x.dtype)  # each part of the work has its own

    def work(start: int, stop: int) -> None:
        for i in range(start, stop, part):
            own = sums[:, i // part]
            kernel(*given, i, min(i + part, stop), d_x, own[0], own[1])

    with np.errstate(all="ignore"):
        kernels.share(work, rows, -(-grain(rows) // part) * part)
    d_weight, d_bias = np.add.reduce(sums, 1)
    return d_x.reshape(x.shape), d_weight, d_bias


def grain(total: int) -> int:
    """How many of the pieces of work one thread takes at a time."""
    return -(-total // (2 * kernels.threads()))


# ---------------------------------------------------------------- runs


def norm_runs(x, weight, bias, eps, groups, by_channel, start, stop, mean, var, out):  # type: ignore[no-untyped-def]
    """`norm_rows` of runs x[i, j]: those of one j together, if ``by_channel``, else those of one i.

    The weight of a run is ``weight[i % groups, j]``.
    """
    across = x.shape[0] if by_channel else x.shape[1]
    length = x.shape[2]
    one = x.dtype.type(1)
    n = float(across * length)
    for k in range(start, stop):
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


def norm_runs_back(g, x, weight, mean, var, eps, groups, by_channel, start, stop, d_x, sums, along):  # type: ignore[no-untyped-def]
    """The derivative of `norm_runs` by the input.

    Into ``sums`` and ``along`` go ``Σ g`` and ``Σ g · (x - mean) / √(var + ε)`` of each run.
    """
    across = x.shape[0] if by_channel else x.shape[1]
    length = x.shape[2]
    one = x.dtype.type(1)
    n = float(across * length)
    for k in range(start, stop):
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
    kernel = _compiled(norm_runs, x.dtype.name, "r3 r2 r2 f i i i i w1 w1 w3")
    x3, weights = flat(x, shape), (groups, shape[1])
    given = (x3, flat(weight, weights), flat(bias, weights), x.dtype.type(plan.eps), groups,
             by_channel)  # fmt: skip
    mean, var, out = np.empty(pieces, x.dtype), np.empty(pieces, x.dtype), np.empty_like(x3)
    with np.errstate(all="ignore"):
        kernels.share(lambda i, j: kernel(*given, i, j, mean, var, out), pieces, grain(pieces))
    kept = tuple(1 if i in plan.axes else m for i, m in enumerate(plan.view))
    return out.reshape(x.shape), mean.reshape(kept), var.reshape(kept)


def backward_of_runs(
    g: Array, x: Array, weight: Array, mean: Array, var: Array, plan: Plan
) -> tuple[Array, Array, Array]:
    """The derivatives of a normalisation of channels or groups by input, weight and bias."""
    shape, pieces, groups, by_channel = _runs(plan)
    kernel = _compiled(norm_runs_back, x.dtype.name, "r3 r3 r2 r1 r1 f i i i i w3 w2 w2")
    given = (flat(g, shape), flat(x, shape), flat(weight, (groups, shape[1])), mean.ravel(),
             var.ravel(), x.dtype.type(plan.eps), groups, by_channel)  # fmt: skip
    d_x = np.empty(shape, x.dtype)
    sums, along = np.empty((2, *shape[:2]), x.dtype)
    with np.errstate(all="ignore"):
        kernels.share(lambda i, j: kernel(*given, i, j, d_x, sums, along), pieces, grain(pieces))
    d_bias, d_weight = (np.add.reduce(s.reshape(-1, weight.size), 0) for s in (sums, along))
    return d_x.reshape(x.shape), d_weight, d_bias
