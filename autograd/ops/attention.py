"""Scaled dot product attention (Vaswani et al. 2017) as one line of the tape.

For many scores the softmax, out and back, is a compiled pass over them in the place where they
are; the products are matrix products.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from types import FunctionType
from typing import Any

import numpy as np

from .. import attention as arithmetic
from .. import kernels, machine, polynomials, products
from .. import scalar as s
from ..declare import opaque, word
from ..kernels import readonly
from ..op import TENSOR_WORDS, announce, registry
from ..rows import largest
from ..tensor import wrap

Array = np.ndarray[Any, Any]

announce("attention_slope", "packed_attention_slope")

BLOCK = 64  # rows of scores, of which a causal mask spares those columns that all of them miss
NOTHING = np.zeros((), bool)  # a mask, or noise, that is none

CASES: list[Any] = [
    ((2, 3, 4), (2, 5, 4), (2, 5, 3), NOTHING, NOTHING, {"scale": 0.5, "causal": False}),
    ((3, 4), (3, 4), (3, 2), NOTHING, NOTHING, {"scale": 0.5, "causal": True}),
    ((2, 3, 4), (2, 5, 4), (2, 5, 3), np.eye(3, 5), np.full((2, 3, 5), 1.5),
     {"scale": 0.7, "causal": False}),
]  # fmt: skip


@opaque(
    outputs=("out", "weights"),
    single=True,
    d_q=lambda g, q, k, v, mask, noise, weights, scale, causal: s.attention_slope(
        g, q, k, v, mask, noise, weights, scale, causal, "q"
    ),
    d_k=lambda g, q, k, v, mask, noise, weights, scale, causal: s.attention_slope(
        g, q, k, v, mask, noise, weights, scale, causal, "k"
    ),
    d_v=lambda g, q, k, v, mask, noise, weights, scale, causal: s.attention_slope(
        g, q, k, v, mask, noise, weights, scale, causal, "v"
    ),
    d_mask=lambda g, q, k, v, mask, noise, weights, scale, causal: s.attention_slope(
        g, q, k, v, mask, noise, weights, scale, causal, "mask"
    ),
    d_noise=None,
    uncounted=("mask", "noise"),
    cases=CASES,
    public=False,
    method=False,
)
def attend(q, k, v, mask, noise, /, scale, causal):
    """``(softmax(scale · Q Kᵀ + mask) * noise) V``.

    Shape: ``(*, L, E), (*, S, E), (*, S, V) → (*, L, V)``
    """
    return _attended(q, k, v, mask, noise, scale, causal)


@opaque(
    outputs=("out", "weights"),
    single=True,
    d_packed=lambda g, packed, mask, noise, weights, heads, scale, causal, batch_first: (
        s.packed_attention_slope(
            g, packed, mask, noise, weights, heads, scale, causal, batch_first
        )
    ),
    d_mask=None,
    d_noise=None,
    uncounted=("mask", "noise"),
    cases=[
        ((2, 3, 12), NOTHING, NOTHING,
         {"heads": 2, "scale": 0.7, "causal": True, "batch_first": True}),
        ((3, 2, 12), np.eye(3), np.full((2, 2, 3, 3), 1.5),
         {"heads": 2, "scale": 0.7, "causal": False, "batch_first": False}),
    ],
    public=False,
    method=False,
)  # fmt: skip
def attend_packed(packed, mask, noise, /, heads, scale, causal, batch_first):
    """`attend` of a sequence to itself: query, key and value of all heads lie side by side.

    Shape: ``(N, T, 3 · E)`` if ``batch_first``, else ``(T, N, 3 · E)`` → the same of E
    """
    q, k, v = arithmetic.by_heads(packed, heads, batch_first)
    a, b, width = packed.shape
    out = np.empty((a, b, width // 3), packed.dtype)
    into = arithmetic.one_by_heads(out, heads, batch_first)
    _, weights = _attended(q, k, v, mask, noise, scale, causal, into)
    return out, weights


def _attended(
    q: Array, k: Array, v: Array, mask: Array, noise: Array, scale: float, causal: bool,
    out: Array | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """What attention gives, and its weights: product, softmax and product head by head."""
    scores = np.empty((*q.shape[:-1], k.shape[-2]), q.dtype)
    into = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype) if out is None else out
    given = None if noise.ndim else _given(scores, mask, scale, causal)
    if given is not None and _chained(
        _blocks(q, k.swapaxes(-1, -2), scores, "result" if causal else None),
        ("softmax_scores", scores, given),
        _blocks(scores, v, into, "left" if causal else None),
    ):
        return into, scores
    weights = _weights(products.matmul(q, k.swapaxes(-1, -2)), mask, scale, causal)
    dropped = weights * noise if noise.ndim else weights
    return products.matmul(dropped, v, out=out), weights


def _blocks(a: Array, b: Array, out: Array, triangle: str | None) -> list[products.Step] | None:
    """A product head by head, and block by block of rows where a causal mask makes it smaller.

    A ``triangle`` is all that is wanted of the "result", or all that is not zero in the "left"
    factor, below the diagonal; "turned" is the latter above it.  None where NumPy is for it.
    """
    length = out.shape[-2]
    count = 1 if triangle is None else max(1, min(length // BLOCK, 8))
    size = -(-length // count)
    steps = []
    for i in range(0, length, size):
        j = i + size
        if triangle == "result":
            found = products.each(a[..., i:j, :], b[..., :j], out[..., i:j, :j])
        elif triangle == "left":
            found = products.each(a[..., i:j, :j], b[..., :j, :], out[..., i:j, :])
        elif triangle == "turned":
            found = products.each(a[..., i:j, i:], b[..., i:, :], out[..., i:j, :])
        else:
            found = products.each(a, b, out)
        if found is None:
            return None
        steps.append(found[0])
    return steps


# ---------------------------------------------------------------- backward, all parts at once


def _pull(g: Array, node: Any) -> tuple[Array | None, ...]:
    """The derivatives of `attend`, with the scores' found once for all inputs."""
    q, k, v, _, noise, weights = node.kept
    scale, causal = node.settings
    n_q, n_k, n_v, n_mask, _ = node.inputs
    if n_mask is None and None not in (n_q, n_k, n_v) and q.shape[:-2] == k.shape[:-2]:
        d_q, d_k, d_v = (np.empty(x.shape, x.dtype) for x in (q, k, v))
        if v.shape[:-2] == q.shape[:-2]:
            _by_inputs(g, q, k, v, noise, weights, scale, causal, (d_q, d_k, d_v))
            return d_q, d_k, d_v, None, None
    d_q = d_k = d_v = d_mask = None
    if n_v is not None:
        d_v = products.matmul((weights * noise if noise.ndim else weights).swapaxes(-1, -2), g)
    if n_q is None and n_k is None and n_mask is None:
        return None, None, d_v, None, None
    slope = products.matmul(g, v.swapaxes(-1, -2))
    if n_mask is None:
        slope = _scores_slope(weights, slope, noise, scale, causal)
    else:
        d_mask = _scores_slope(weights, slope, noise, 1.0, causal)
        slope = d_mask * scale
    if n_q is not None:
        d_q = products.matmul(slope, k)
    if n_k is not None:
        d_k = products.matmul(slope.swapaxes(-1, -2), q)
    return d_q, d_k, d_v, d_mask, None


def _packed_slope(
    g: Array, packed: Array, mask: Array, noise: Array, weights: Array, heads: int, scale: float,
    causal: bool, batch_first: bool,
) -> Array:  # fmt: skip
    """The derivative of `attend_packed`, each part written to where it belongs."""
    q, k, v = arithmetic.by_heads(packed, heads, batch_first)
    g = arithmetic.one_by_heads(g, heads, batch_first)
    out = np.empty(packed.shape, packed.dtype)
    into = arithmetic.by_heads(out, heads, batch_first)
    _by_inputs(g, q, k, v, noise, weights, scale, causal, into)
    return out


def _by_inputs(
    g: Array, q: Array, k: Array, v: Array, noise: Array, weights: Array, scale: float,
    causal: bool, into: tuple[Array, Array, Array],
) -> None:  # fmt: skip
    """Write the derivatives of attention by its inputs: all steps head by head, if that can be."""
    d_q, d_k, d_v = into
    dropped = (weights * noise if noise.ndim else weights).swapaxes(-1, -2)
    slope = np.empty(weights.shape, weights.dtype)
    given = _given_back(weights, slope, noise, scale, causal)
    if given is not None and _chained(
        _blocks(dropped, g, d_v, "turned" if causal else None),
        _blocks(g, v.swapaxes(-1, -2), slope, "result" if causal else None),
        ("softmax_scores_back", slope, given),
        _blocks(slope, k, d_q, "left" if causal else None),
        _blocks(slope.swapaxes(-1, -2), q, d_k, "turned" if causal else None),
    ):
        return
    products.matmul(dropped, g, out=d_v)
    slope = _scores_slope(weights, products.matmul(g, v.swapaxes(-1, -2)), noise, scale, causal)
    products.matmul(slope, k, out=d_q)
    products.matmul(slope.swapaxes(-1, -2), q, out=d_k)


registry["attend"].pull = _pull


# ---------------------------------------------------------------- gradients of gradients


@word(arrays=arithmetic.attention_slope)
def attention_slope(
    g: Any, q: Any, k: Any, v: Any, mask: Any, noise: Any, weights: Any, scale: float,
    causal: bool, part: str,
) -> Any:  # fmt: skip
    """The derivative of attention by one of its inputs, with the weights found on the tape."""
    one = wrap(np.eye(k.shape[-2], dtype=k.array.dtype))
    weights = attend(q, k, one, mask, wrap(NOTHING), scale, causal)
    if part == "v":
        return (weights * noise if noise.ndim else weights).mT @ g
    slope = g @ v.mT
    if noise.ndim:
        slope = slope * noise
    slope = (slope - (slope * weights).sum(-1, keepdim=True)) * weights
    if part == "mask":
        return slope
    return slope @ k * scale if part == "q" else slope.mT @ q * scale


@word(arrays=_packed_slope)
def packed_attention_slope(
    g: Any, packed: Any, mask: Any, noise: Any, weights: Any, heads: int, scale: float,
    causal: bool, batch_first: bool,
) -> Any:  # fmt: skip
    """The derivative of attention by its packed input."""
    a, b, width = g.shape
    order, back = ((2, 0, 3, 1, 4), (1, 3, 0, 2, 4)) if batch_first else (
        (2, 1, 3, 0, 4), (3, 1, 0, 2, 4))  # fmt: skip
    q, k, v = packed.reshape(a, b, 3, heads, width // heads).permute(order).unbind(0)
    g = g.reshape(a, b, heads, width // heads)
    g = g.permute((0, 2, 1, 3) if batch_first else (1, 2, 0, 3))
    slopes = [
        attention_slope(g, q, k, v, mask, noise, weights, scale, causal, part) for part in "qkv"
    ]
    return TENSOR_WORDS.stack(slopes).permute(back).reshape(packed.shape)


# ---------------------------------------------------------------- the passes over the scores


def _weights(scores: Array, mask: Array, scale: float, causal: bool) -> Array:
    """The softmax of scores, in their place."""
    given = _given(scores, mask, scale, causal)
    if given is None:
        return arithmetic.attention_weights(scores, mask, scale, causal)
    kernels.launch_pieces(_kernel("softmax_scores"), scores.size // scores.shape[-1], *given)
    return scores


def _given(scores: Array, mask: Array, scale: float, causal: bool) -> tuple[Any, ...] | None:
    """What `softmax_scores` takes beside the rows; None where NumPy is for it."""
    columns = scores.shape[-1]
    if not _quick(scores) or (mask.ndim and mask.shape[-1] != columns):
        return None
    if mask.ndim:
        table = np.ascontiguousarray(mask, scores.dtype).reshape(-1, columns)
        row_of = _rows_of_mask(scores.shape[:-1], mask.shape[:-1])
    else:
        table, row_of = np.zeros((1, 1), scores.dtype), np.zeros(1, np.int64)
    return (scores.reshape(-1, columns), table, row_of, mask.ndim > 0, np.float32(scale),
            causal, scores.shape[-2])  # fmt: skip


def _scores_slope(weights: Array, slope: Array, noise: Array, scale: float, causal: bool) -> Array:
    """The derivative by the scores, in the place of that by the dropped weights."""
    given = _given_back(weights, slope, noise, scale, causal)
    if given is None:
        if noise.ndim:
            slope *= noise
        slope = arithmetic.scores_slope(weights, slope)
        slope *= scale
        return slope
    kernels.launch_pieces(_kernel("softmax_scores_back"), slope.size // slope.shape[-1], *given)
    return slope


def _given_back(
    weights: Array, slope: Array, noise: Array, scale: float, causal: bool
) -> tuple[Any, ...] | None:
    """What `softmax_scores_back` takes beside the rows; None where NumPy is for it."""
    if not _quick(slope) or not weights.flags.c_contiguous:
        return None
    shape = -1, slope.shape[-1]
    drawn = np.ascontiguousarray(noise, slope.dtype).reshape(shape if noise.ndim else (1, 1))
    return (slope.reshape(shape), weights.reshape(shape), drawn, noise.ndim > 0, np.float32(scale),
            causal, slope.shape[-2])  # fmt: skip


def _quick(scores: Array) -> bool:
    """Whether a kernel is worth its loading: the exponential is a vector in float32 only."""
    return (
        scores.size >= kernels.WORTH_COMPILING
        and scores.dtype.char == "f"
        and scores.flags.c_contiguous
    )


@lru_cache(maxsize=16)
def _rows_of_mask(shape: tuple[int, ...], masks: tuple[int, ...]) -> Array:
    """Which row of a mask belongs to each row of the scores."""
    count = int(np.prod(masks, dtype=np.int64))
    return np.broadcast_to(np.arange(count).reshape(masks), shape).ravel()


@cache
def _kernel(name: str) -> Any:
    space: dict[str, Any] = {**globals(), **vars(polynomials)}

    def prepare() -> None:
        space["exp"] = kernels.compiled_words("float32")["exp"]
        space["largest"] = kernels.inner(FunctionType(largest.__code__, space, "largest"))

    function = FunctionType(globals()[name].__code__, space, name)
    read, write, pieces = readonly("float32", 2), "float32[:, ::1]", readonly("int64")
    settings = {
        "softmax_scores": f"{write}, {read}, {pieces}, int64, float32, int64, int64",
        "softmax_scores_back": f"{write}, {read}, {read}, int64, float32, int64, int64",
    }
    signature = f"void({pieces}, {settings[name]})"
    return kernels.compile(
        function, signature, contract=True, reorder=True, wide=True, prepare=prepare
    )


def _chained(*steps: Any) -> bool:
    """Take the steps head by head, if kernels are machine code here; whether that was done.

    A step is the blocks of a product, or the name of a kernel here with whose rows they are and
    its arguments.
    """
    chain: list[products.Step] = []
    checks, links = [], 0
    for step in steps:
        if step is None:
            return False
        if isinstance(step, list):
            chain += step
            continue
        name, scores, given = step
        links = math.prod(scores.shape[:-2])
        kernel = _kernel(name)
        if not isinstance(kernel, machine.Machine):
            return False
        arguments = np.arange(scores.size // scores.shape[-1]), *given
        table = kernel.table(arguments, (1,) + (0,) * len(given))
        chain.append(products.Step(kernel.address, table, scores.shape[-2]))
        checks.append((kernel, arguments))
    status = products.chain(chain, links)
    for kernel, arguments in checks:
        kernel.check(status, arguments)
    return True


exp = polynomials.exp


def softmax_scores(rows, scores, mask, row_of, masked, scale, causal, queries):  # type: ignore[no-untyped-def]
    """The softmax of ``scale · scores + mask`` in each of these rows."""
    columns = scores.shape[1]
    for r in rows:
        seen = min(r % queries + 1, columns) if causal else columns
        whole = min(seen + 31 & ~31, columns)  # vectors, for what is left over takes longer
        if masked:
            m = row_of[r]
            for j in range(seen):
                scores[r, j] = scores[r, j] * scale + mask[m, j]
        else:
            for j in range(seen):
                scores[r, j] = scores[r, j] * scale
        for j in range(seen, whole):
            scores[r, j] = -np.inf
        top = largest(scores[r, :whole])
        if top == -np.inf:
            top = np.float32(0)
        total = np.float32(0)
        for j in range(whole):
            e = exp(scores[r, j] - top)
            scores[r, j] = e
            total += e
        factor = np.float32(1) if total == 0 else np.float32(1) / total
        for j in range(whole):
            scores[r, j] *= factor
        for j in range(seen, columns):
            scores[r, j] = 0


def softmax_scores_back(rows, slope, weights, noise, noisy, scale, causal, queries):  # type: ignore[no-untyped-def]
    """The derivative of `softmax_scores` by the scores, in place of that by the weights."""
    columns = slope.shape[1]
    for r in rows:
        seen = min(r % queries + 1, columns) if causal else columns
        whole = min(seen + 31 & ~31, columns)
        if noisy:
            for j in range(seen):
                slope[r, j] *= noise[r, j]
        total = np.float32(0)
        for j in range(whole):
            slope[r, j] = slope[r, j] * weights[r, j] if j < seen else np.float32(0)
            total += slope[r, j]
        for j in range(whole):
            slope[r, j] = (slope[r, j] - total * weights[r, j]) * scale
        for j in range(whole, columns):
            slope[r, j] = 0


for _op in ("attend", "attend_packed"):
    registry[_op].backward_name = "ScaledDotProductAttentionBackward0"  # as PyTorch's users know it
