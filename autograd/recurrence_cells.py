"""The pointwise part of recurrent cells: a vector of units at a time, in registers.

A cell's formula is written once.  It reads and writes units of some rows, ``at.x[2]`` are those of
the third gate of ``x``, and what they are is left open: LLVM's vectors, where `block` makes an
intrinsic of the formula, or parts of NumPy's arrays where kernels are not compiled.  Loops over
units in Numba's own language become vectors only one short loop at a time, because the many rows of
a cell might overlap: an LSTM's gates took 0.78 ms for 1600 rows of 128 units so, and take 0.54.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
f, i = np.float32, np.int32

FORWARD = ("x", "z", "b", "h", "c", "out", "c_out", "gates")  # the rows of a step, and backwards
BACKWARD = ("g", "before", "own", "gates", "dh", "dc", "d_x", "d_z")


# ---------------------------------------------------------------- functions


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, ``b`` elsewhere."""
    return condition.select(a, b) if isinstance(condition, Vector) else np.where(condition, a, b)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + e⁻ˣ)``, with e⁻ˣ as in `polynomials.exp`, where one factor gives 2ⁿ."""
    x = where(x > f(87), f(87), where(x < f(-87), f(-87), x))
    shifted = f(12582912) - x * f(1.4426950408889634)
    n = shifted - f(12582912)
    r = (-x - n * f(0.693359375)) - n * f(-2.12194440054690583e-4)
    p = f(1.3814466967935956e-3) * r + f(8.368780497637342e-3)
    p = p * r + f(4.166839421910894e-2)
    p = p * r + f(1.6666520107097374e-1)
    p = p * r + f(4.9999993412447347e-1)
    p = p * (r * r) + r + f(1)
    power = ((shifted.view(i) - i(0x4B400000 - 127)) << i(23)).view(f)
    return f(1) / (f(1) + p * power)


def tanh(x: Any) -> Any:
    """A quotient of polynomials fitted to ``[-9, 9]``, within 4e-7 of the value: one division."""
    y = where(x > f(9), f(9), where(x < f(-9), f(-9), x))
    s = y * y
    p = f(1.3354900546077483e-08) * s + f(2.0609277178788695e-05)
    p = p * s + f(3.4956010406310984e-3)
    p = p * s + f(1.3381036925324996e-1)
    p = p * s + f(0.9999999795859474)
    q = f(7.776662594081637e-07) * s + f(3.2856551575464164e-4)
    q = q * s + f(2.5877032557264687e-2)
    q = q * s + f(4.6714352556150257e-1)
    q = q * s + f(1)
    out = y * p / q
    return where(out > f(1), f(1), where(out < f(-1), f(-1), out))


# ---------------------------------------------------------------- the cells, forward


def lstm(at: Any) -> None:
    """`recurrence.lstm`, one step."""
    i, f, g, o = (at.x[k] + at.z[k] + at.b[k] for k in range(4))
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c = f * at.c[0] + i * g
    h = o * tanh(c)
    at.gates[0], at.gates[1], at.gates[2], at.gates[3] = i, f, g, o
    at.c[0] = at.c_out[0] = c
    at.h[0] = at.out[0] = h


def gru(at: Any) -> None:
    """`recurrence.gru`, one step."""
    r, u = (sigmoid(at.x[k] + at.z[k] + at.b[k]) for k in range(2))
    z = at.z[2] + at.b[2]
    new = tanh(at.x[2] + r * z)
    at.gates[0], at.gates[1], at.gates[2], at.gates[3] = r, u, new, z
    at.h[0] = at.out[0] = new + u * (at.h[0] - new)


def tanh_cell(at: Any) -> None:
    """`recurrence.rnn`, one step."""
    at.h[0] = at.out[0] = tanh(at.x[0] + at.z[0] + at.b[0])


def relu_cell(at: Any) -> None:
    """`recurrence.rnn` with `relu`, one step."""
    x = at.x[0] + at.z[0] + at.b[0]
    at.h[0] = at.out[0] = where(x <= f(0), f(0), x)


# ---------------------------------------------------------------- backward, up to the product


def lstm_back(at: Any) -> None:
    """`recurrence.lstm_back`, one step."""
    i, f, u, o = (at.gates[k] for k in range(4))
    t, dh = tanh(at.own[0]), at.dh[0] + at.g[0]
    dc = at.dc[0] + dh * o * (one - t * t)
    before = at.before[0]
    at.d_x[0] = dc * u * i * (one - i)
    at.d_x[1] = dc * before * f * (one - f)
    at.d_x[2] = dc * i * (one - u * u)
    at.d_x[3] = dh * t * o * (one - o)
    at.dc[0], at.dh[0] = dc * f, nothing


def gru_back(at: Any) -> None:
    """`recurrence.gru_back`, one step."""
    r, u, new, z = (at.gates[k] for k in range(4))
    dh = at.dh[0] + at.g[0]
    d_u = dh * (at.before[0] - new) * u * (one - u)
    d_new = dh * (one - u) * (one - new * new)
    d_r = d_new * z * r * (one - r)
    at.d_x[0] = at.d_z[0] = d_r
    at.d_x[1] = at.d_z[1] = d_u
    at.d_x[2], at.d_z[2] = d_new, d_new * r
    at.dh[0] = dh * u


def tanh_cell_back(at: Any) -> None:
    """`recurrence.rnn_back`, one step."""
    h = at.own[0]
    at.d_x[0] = (at.g[0] + at.dh[0]) * (one - h * h)
    at.dh[0] = nothing


def relu_cell_back(at: Any) -> None:
    """`recurrence.rnn_back` with `relu`, one step."""
    at.d_x[0] = where(at.own[0] <= f(0), f(0), at.g[0] + at.dh[0])
    at.dh[0] = nothing


one: Any = f(1)
nothing: Any = f(0)


# ---------------------------------------------------------------- what formulas are read with


class Vector:
    """LLVM's vector of some numbers, with the operators of formulas."""

    __array_ufunc__ = None  # let NumPy's numbers on the left ask us

    def __init__(self, builder: Any, value: Any):
        self.builder = builder
        self.value = value

    def _of(self, other: Any) -> Any:
        """The value of a vector, or of one with the same number everywhere."""
        from llvmlite import ir

        if isinstance(other, Vector):
            return other.value
        kind = self.value.type
        number = int(other) if isinstance(kind.element, ir.IntType) else float(other)
        return ir.Constant(kind, [number] * kind.count)

    def _by(self, name: str, left: Any, right: Any) -> Vector:
        flags = {"flags": ("contract",)} if name[0] == "f" else {}
        operation = getattr(self.builder, name)
        return Vector(self.builder, operation(self._of(left), self._of(right), **flags))

    def __add__(self, other: Any) -> Vector:
        return self._by("fadd", self, other)

    def __mul__(self, other: Any) -> Vector:
        return self._by("fmul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __sub__(self, other: Any) -> Vector:
        return self._by("sub" if isinstance(other, i) else "fsub", self, other)

    def __rsub__(self, other: Any) -> Vector:
        return self._by("fsub", other, self)

    def __truediv__(self, other: Any) -> Vector:
        return self._by("fdiv", self, other)

    def __rtruediv__(self, other: Any) -> Vector:
        return self._by("fdiv", other, self)

    def __neg__(self) -> Vector:
        return Vector(self.builder, self.builder.fneg(self.value))

    def __lshift__(self, other: Any) -> Vector:
        return self._by("shl", self, other)

    def _compared(self, how: str, other: Any) -> Vector:
        return Vector(self.builder, self.builder.fcmp_ordered(how, self.value, self._of(other)))

    def __gt__(self, other: Any) -> Vector:
        return self._compared(">", other)

    def __lt__(self, other: Any) -> Vector:
        return self._compared("<", other)

    def __le__(self, other: Any) -> Vector:
        return self._compared("<=", other)

    def select(self, a: Any, b: Any) -> Vector:
        """What `where` gives; this is its condition."""
        like = a if isinstance(a, Vector) else b
        return Vector(self.builder, self.builder.select(self.value, like._of(a), like._of(b)))

    def view(self, kind: Any) -> Vector:
        """The same bits as other numbers."""
        from llvmlite import ir

        element = ir.IntType(32) if kind is i else ir.FloatType()
        wanted = ir.VectorType(element, self.value.type.count)
        return Vector(self.builder, self.builder.bitcast(self.value, wanted))


class _Units:
    """Some units of every gate in a row, in memory."""

    def __init__(self, load: Callable[[int], Any], store: Callable[[int, Any], object]):
        self.load = load
        self.store = store

    def __getitem__(self, gate: int) -> Any:
        return self.load(gate)

    def __setitem__(self, gate: int, value: Any) -> None:
        self.store(gate, value)


@lru_cache(maxsize=32)
def block(cell: Callable[[Any], None], names: tuple[str, ...], units: int) -> Any:
    """A cell's formula for so many units, as an intrinsic function.

    It takes eight rows, the number of units in all, and the place of the first unit.
    """
    from numba import config

    if config.DISABLE_JIT:

        def plain(*arguments: Any) -> None:
            *rows, n, j = arguments

            def reader(row: Array) -> _Units:
                def part(k: int) -> slice:
                    return slice(k * n + j, k * n + j + units)

                return _Units(
                    lambda k: row[part(k)].copy(), lambda k, v: row.__setitem__(part(k), v)
                )

            cell(SimpleNamespace(**{m: reader(r) for m, r in zip(names, rows, strict=True)}))

        return plain

    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    kind = ir.VectorType(ir.FloatType(), units)

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        *rows, n, j = args

        def reader(row: Any, type_: Any) -> _Units:
            data = context.make_array(type_)(context, b, row).data

            def pointer(k: int) -> Any:
                place = b.add(b.mul(n, ir.Constant(ir.IntType(64), k)), j)
                return b.bitcast(b.gep(data, [place]), kind.as_pointer())

            def store(k: int, value: Any) -> None:
                value = value if isinstance(value, Vector) else ir.Constant(kind, [value] * units)
                b.store(getattr(value, "value", value), pointer(k), align=4)

            return _Units(lambda k: Vector(b, b.load(pointer(k), align=4)), store)

        readers = [reader(r, t) for r, t in zip(rows, signature.args, strict=False)]
        cell(SimpleNamespace(**dict(zip(names, readers, strict=True))))
        return context.get_dummy_value()

    def of_rows(
        context: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, n: Any, j: Any
    ) -> Any:
        return types.void(a, b, c, d, e, f, g, h, types.int64, types.int64), emit

    return intrinsic(of_rows)
