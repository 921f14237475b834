"""Formulas over large arrays: bodies and rules where memory, not Python, decides the time.

NumPy computes a formula operation by operation, and every operation reads and writes whole arrays.
Over many elements an elementwise op, forward and backward, takes one of three other ways:

- what a kernel computes as vectors is one compiled loop (`kernels`), shared by threads;
- any other single operation stays NumPy's own function, whose parts several threads compute;
- the rest is computed by NumPy part by part, while the part is in the cache.

The formula and the element type say which; the size alone says whether.  So the same call always
gives the same bits.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from . import kernels, scalar
from .printer import arguments, print_rule

__all__ = ["LARGE", "Formula", "added", "copied", "formula"]

Array = np.ndarray[Any, Any]
Operand = tuple[int | None, Any]  # the position of an argument, or None and a constant

LARGE = 1 << 15  # elements from which a loop beats NumPy's passes, even if it must be loaded
WORTH_SHARING = 1 << 16  # elements; below, the work is over before another thread has begun
WORTH_WAKING = 1 << 18  # elements; below, it is over before a thread of Python's is awake
GRAIN = 1 << 14  # elements that one thread takes of a loop
PART = 1 << 15  # elements of a formula's part: five float32 arrays of so many fit the L2 cache

UFUNCS: dict[type, np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.USub: np.negative,
}


def copied(a: Array) -> Array:
    """A copy of an array in NumPy's usual order, whatever its order was."""
    constant = a.size and not any(a.strides)
    if a.size < LARGE or a.dtype.char not in _COPIES:
        return a.copy()
    if not a.flags.c_contiguous and not constant:
        return a.copy()
    out = np.empty(a.shape, a.dtype)
    whole = np.full(GRAIN, a[(0,) * a.ndim], a.dtype) if constant else a.reshape(-1)
    loop = _COPIES[a.dtype.char].compiled()
    kernels.launch(loop, [whole, out.reshape(-1)], a.size, GRAIN, [not constant, 1])
    return out


def added(a: Any, b: Any) -> Any:
    """``a + b``, where many elements of one type and shape lie side by side by all threads."""
    if (
        type(a) is not np.ndarray
        or type(b) is not np.ndarray
        or a.size < LARGE
        or a.shape != b.shape
        or a.dtype is not b.dtype
        or a.dtype.char not in _SUMS
        or not (a.flags.c_contiguous and b.flags.c_contiguous)
    ):
        return a + b
    out = np.empty(a.shape, a.dtype)
    flat = [x.reshape(-1) for x in (a, b, out)]
    kernels.launch(_SUMS[a.dtype.char].compiled(), flat, a.size, GRAIN)
    return out


_SUMS = {
    dtype[0] if dtype[-1] == "2" else "d": kernels.Elementwise(("a", "b"), "a + b", dtype, "add")
    for dtype in ("float32", "float64")
}
_COPIES = {
    dtype[0] if dtype[-1] == "2" else "d": kernels.Elementwise(("x",), "x", dtype, "copy")
    for dtype in ("float32", "float64")
}


def formula(op: Any, input: str | None = None) -> Formula | None:
    """The body of an elementwise op, or its rule for ``input``, for large arrays.

    None if there is nothing to gain: an op without derivatives, a gradient handed on as it is.
    """
    rule = op.body if input is None else op.rules[input]
    if op.kind != "elementwise" or op.flat or op.uncounted or rule is None:
        return None
    if not {"g", *op.inputs, *op.outputs, *op.settings}.issuperset(arguments(rule)):
        return None
    found = Formula(op, rule, input)
    return None if found.text in arguments(rule) else found


class Formula:
    """A rule to be called with large arrays."""

    def __init__(self, op: Any, rule: Callable[..., Any], input: str | None):
        self.op = op
        self.rule = rule
        self.name = op.name if input is None else f"{op.name}_d_{input}"
        self._loops: dict[Any, kernels.Elementwise] = {}

    @cached_property
    def text(self) -> str:
        """The formula; empty where the rule branches on a setting, so that it has none."""
        self._words: set[str] = set()
        try:
            return print_rule(self.rule, used=self._words)
        except TypeError:
            return ""

    @cached_property
    def single(self) -> tuple[np.ufunc, tuple[Operand, ...]] | None:
        """NumPy's function and its operands, where the formula is just one operation."""
        if not self.text:
            return None
        tree: Any = ast.parse(self.text, mode="eval").body
        ufunc: Any = None
        if isinstance(tree, (ast.BinOp, ast.UnaryOp)):
            ufunc = UFUNCS.get(type(tree.op))
            parts: list[Any] = (
                [tree.left, tree.right] if isinstance(tree, ast.BinOp) else [tree.operand]
            )
        elif isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            ufunc, parts = getattr(scalar, tree.func.id), tree.args
        if not isinstance(ufunc, np.ufunc):
            return None
        names = arguments(self.rule)
        if all(isinstance(p, (ast.Name, ast.Constant)) for p in parts):
            return ufunc, tuple(
                (names.index(p.id), None) if isinstance(p, ast.Name) else (None, p.value)
                for p in parts
            )
        return None

    @cached_property
    def fused(self) -> set[np.dtype[Any]]:
        """The element types for which the formula is one compiled loop."""
        if not self.text:
            return set()
        nodes = list(ast.walk(ast.parse(self.text)))
        if any(isinstance(n, (ast.Pow, ast.FloorDiv, ast.Mod)) for n in nodes):
            return set()
        types: set[np.dtype[Any]] = set()
        if self._words <= kernels.VECTOR_WORDS | kernels.SINGLES:
            types.add(np.dtype("float32"))
        if self._words <= kernels.VECTOR_WORDS:
            types.add(np.dtype("float64"))
        return types

    def __call__(self, *args: Any) -> Any:
        """What the rule says of these arrays and numbers."""
        arrays = [a for a in args if a.__class__ is np.ndarray]
        kind, shape = arrays[0].dtype, arrays[0].shape
        if len(arrays) == len(args) and kind in self.fused:  # nearly all: no more than this
            for a in arrays:
                if a.shape != shape or a.dtype is not kind or not a.flags.c_contiguous:
                    break
            else:
                return self._on_alike(arrays, kind)
        if kind.char not in "fd" or any(
            a.dtype is not kind if a.__class__ is np.ndarray else a.__class__ not in (int, float)
            for a in args
        ):
            return self.rule(*args)
        with np.errstate(all="ignore"):
            if self.single is not None:
                _, shape = max((a.size, a.shape) for a in arrays)
                stretched = any(a.shape != shape and a.size != 1 for a in arrays)
                if stretched or kind not in self.fused:
                    return self._by_ufunc(args, arrays, kind)
            return self._by_parts(args, arrays, kind)

    def _on_alike(self, arrays: list[Array], kind: np.dtype[Any]) -> Array:
        """The loop over arrays of one type and shape, which lie in memory as the result will."""
        out = np.empty(arrays[0].shape, kind)
        flat = [a.reshape(-1) for a in arrays]
        flat.append(out.reshape(-1))
        size = out.size
        loop = self._loop(kind, ()).compiled()
        kernels.launch(loop, flat, size, GRAIN if size >= self.sharing else size)
        return out

    @cached_property
    def sharing(self) -> int:
        """From how many elements another thread is worth waiting for: an exponential takes long."""
        return WORTH_SHARING // 2 if self._words & kernels.SINGLES else WORTH_SHARING

    # ------------------------------------------------------------ one operation

    def _by_ufunc(self, args: Sequence[Any], arrays: list[Array], kind: np.dtype[Any]) -> Any:
        assert self.single is not None
        ufunc, operands = self.single
        args = [constant if i is None else args[i] for i, constant in operands]
        shape = arrays[0].shape
        if any(a.shape != shape for a in arrays):
            shape = np.broadcast_shapes(*[a.shape for a in arrays])
        size = math.prod(shape)
        if size < WORTH_WAKING or not all(a.flags.c_contiguous for a in arrays):
            return ufunc(*args)
        out = np.empty(shape, kind)
        alike = all(a.shape == shape or a.size == 1 for a in arrays)
        count = size if alike else shape[0]
        within: Any = out
        whole = [a.__class__ is not np.ndarray or a.size == 1 for a in args]
        if alike:
            args = [a if w else a.reshape(-1) for a, w in zip(args, whole, strict=True)]
            within = out.reshape(-1)
        else:  # some are stretched: along the first axis all that have it are cut
            whole = [w or a.shape[:1] != shape[:1] or a.ndim < len(shape)
                     for a, w in zip(args, whole, strict=True)]  # fmt: skip

        def work(i: int, j: int) -> None:
            ufunc(*[a if w else a[i:j] for a, w in zip(args, whole, strict=True)], out=within[i:j])

        kernels.share(work, count, -(-count // (2 * kernels.threads())))
        return out

    # ------------------------------------------------------------ several operations

    def _by_parts(self, args: Sequence[Any], arrays: list[Array], kind: np.dtype[Any]) -> Any:
        shape = arrays[0].shape
        if any(a.shape != shape for a in arrays):
            shape = np.broadcast_shapes(*[a.shape for a in arrays])
        order = _order_of(arrays, shape)
        size = math.prod(shape)
        out = np.empty(shape if order is None else [shape[i] for i in order], kind)
        within = out.reshape(-1)
        grain = GRAIN if kind in self.fused else PART
        ready = [
            _flat(a, shape, order, min(grain, size)) if a.__class__ is np.ndarray else a
            for a in args
        ]
        if kind in self.fused:
            self._by_loop(ready, within, kind)
        else:
            self._by_steps(ready, within)
        if order is None:
            return out
        return out.transpose(sorted(range(len(order)), key=order.__getitem__))

    def _by_steps(self, args: Sequence[Any], out: Array) -> None:
        size, rule = out.size, self.rule

        def work(i: int, j: int) -> None:
            out[i:j] = rule(*[_part(a, i, j, size) for a in args])

        if size >= WORTH_WAKING:
            kernels.share(work, size, PART)
            return
        for i in range(0, size, PART):
            work(i, min(i + PART, size))

    def _by_loop(self, args: Sequence[Any], out: Array, kind: np.dtype[Any]) -> None:
        numbers = tuple(i for i, a in enumerate(args) if a.__class__ is not np.ndarray)
        loop, size = self._loop(kind, numbers).compiled(), out.size
        ready = [kind.type(a) if i in numbers else a for i, a in enumerate(args)]
        cut = [int(i not in numbers and a.size == size) for i, a in enumerate(args)]
        if size < self.sharing and sum(cut) + len(numbers) == len(args):
            loop(*ready, out)
        else:  # a part is no longer than what is there of a constant
            kernels.launch(loop, [*ready, out], size, GRAIN, [*cut, 1])

    def _loop(self, kind: np.dtype[Any], numbers: tuple[int, ...]) -> kernels.Elementwise:
        """The loop for a type, where the arguments at these positions are numbers."""
        found = self._loops.get((kind, numbers))
        if found is None:
            names = arguments(self.rule)
            found = self._loops[kind, numbers] = kernels.Elementwise(
                names, self.text, kind.name, self.name, [names[i] for i in numbers]
            )
        return found

    def __repr__(self) -> str:
        return f"<{self.name} of large arrays: {self.text}>"


def _part(a: Any, i: int, j: int, size: int) -> Any:
    """What of an argument belongs to the elements from ``i`` to ``j``; see `_flat`."""
    if a.__class__ is not np.ndarray:
        return a
    return a[i:j] if a.size == size else a[: j - i]


def _flat(a: Array, shape: tuple[int, ...], order: Any, part: int) -> Array:
    """An array as flat memory in the result's order; of one that is constant just a part."""
    if a.size == 1 or not any(a.strides):
        return np.full(part, a.item(0) if a.size == 1 else a[(0,) * a.ndim], a.dtype)
    if a.shape != shape:
        a = np.broadcast_to(a, shape)
    if order is not None:
        a = a.transpose(order)
    return np.ascontiguousarray(a).reshape(-1)


def _order_of(arrays: list[Array], shape: tuple[int, ...]) -> list[int] | None:
    """The order of axes in memory that the result takes from its operands, as NumPy's does.

    None for the usual one.
    """
    for a in arrays:
        if a.shape == shape and any(a.strides):
            if a.flags.c_contiguous:
                return None
            steps = a.strides
            order = sorted(range(a.ndim), key=lambda i: -abs(steps[i]))
            return None if order == list(range(a.ndim)) else order
    return None
