"""Normals from uniforms, by Box and Muller: r · cos θ and r · sin θ from a radius and an angle.

The float32 transform follows PyTorch's rounding by rounding: logarithm, sine and cosine are the
Cephes library's polynomials, evaluated with fused multiply-adds as its vector code does.  `_log`
and `_normal_pair` are read twice: on arrays with the words defined here, and by Numba on scalars
with the words of `_compile`, once so many normals were drawn that a compiler pays.
"""

from __future__ import annotations

import math
from types import FunctionType
from typing import Any

import numpy as np

__all__ = ["BLOCK", "box_muller"]

Array = np.ndarray[Any, Any]

BLOCK = 16  # eight radii, then eight angles


def box_muller(u: Array, out: Array) -> None:
    """Standard normals from uniforms in blocks of sixteen: eight radii, then eight angles."""
    half = np.dtype((np.void, 8 * u.itemsize))  # moves eight numbers as one
    halves, into = u.view(half), out.view(half)
    heights, turns = (halves[i::2].copy().view(u.dtype) for i in (0, 1))
    if u.dtype == np.float32:
        first, second = _reading(u.size)(heights, turns)
    else:
        radius = np.sqrt(-2.0 * np.log(1.0 - heights))
        angle = 2.0 * math.pi * turns
        first, second = radius * np.cos(angle), radius * np.sin(angle)
    into[0::2], into[1::2] = first.view(half), second.view(half)


f32: Any = np.float32
i32: Any = np.int32
where, sqrt = np.where, np.sqrt


def fma(a: Any, b: Any, c: Any) -> Any:
    """``a · b + c``, rounded once: the product of two float32 is exact in float64."""
    return f32(np.float64(a) * np.float64(b) + np.float64(c))


def as_bits(x: Any) -> Any:
    """The bits of float32 as int32."""
    return x.view(np.int32)


def as_float(bits: Any) -> Any:
    """The float32 that int32 bits stand for."""
    return bits.view(np.float32)


def _log(x: Any) -> Any:
    """Natural logarithm of a normal positive float32."""
    bits = as_bits(x)
    e = f32((bits >> i32(23)) - i32(126))
    x = as_float(i32((bits & i32(0x007FFFFF)) | i32(0x3F000000)))  # x · 2⁻ᵉ, in [1/2, 1)
    low = x < f32(0.707106781186547524)
    e = where(low, e - f32(1), e)
    x = where(low, (x - f32(1)) + x, x - f32(1))
    y = fma(f32(7.0376836292e-2), x, f32(-1.1514610310e-1))
    y = fma(y, x, f32(1.1676998740e-1))
    y = fma(y, x, f32(-1.2420140846e-1))
    y = fma(y, x, f32(1.4249322787e-1))
    y = fma(y, x, f32(-1.6668057665e-1))
    y = fma(y, x, f32(2.0000714765e-1))
    y = fma(y, x, f32(-2.4999993993e-1))
    y = fma(y, x, f32(3.3333331174e-1))
    z = x * x
    y = fma(y * x, z, e * f32(-2.12194440e-4))
    y = fma(z, f32(-0.5), y)
    return fma(e, f32(0.693359375), x + y)


def _normal_pair(height: Any, turn: Any) -> tuple[Any, Any]:
    """The pair r · cos θ, r · sin θ, for r = √(-2 log(1 - height)) and θ = 2π · turn."""
    radius = sqrt(f32(-2) * _log(f32(1) - height))
    x = f32(2 * 3.141592653589793) * turn
    octant = i32((i32(x * f32(1.27323954473516)) + i32(1)) & i32(-2))
    y = f32(octant)
    x = fma(y, f32(-0.78515625), x)  # x - octant · π/4, with π/4 in three parts
    x = fma(y, f32(-2.4187564849853515625e-4), x)
    x = fma(y, f32(-3.77489497744594108e-8), x)
    z = x * x
    c = fma(f32(2.443315711809948e-5), z, f32(-1.388731625493765e-3))
    c = fma(c, z, f32(4.166664568298827e-2))
    c = fma(c * z, z, z * f32(-0.5)) + f32(1)
    s = fma(f32(-1.9515295891e-4), z, f32(8.3321608736e-3))
    s = fma(s, z, f32(-1.6666654611e-1))
    s = fma(s * z, x, x)
    swapped = (octant & i32(2)) != i32(0)
    cos, sin = where(swapped, s, c), where(swapped, c, s)
    cos = where(((octant + i32(2)) & i32(4)) != i32(0), -cos, cos)
    sin = where((octant & i32(4)) != i32(0), -sin, sin)
    return radius * cos, radius * sin


_compiled: Any = None
_drawn = 0
WORTH_COMPILING = 1 << 23  # normals: as many as could be had while a compiled loop is loaded


def _reading(n: int) -> Any:
    """The reading of `_normal_pair` for the next ``n`` normals; both give the same bits."""
    global _drawn
    _drawn += n
    if _compiled is None and _drawn > WORTH_COMPILING:
        _compile()
    return _compiled or _normal_pair


def _compile() -> None:
    """`_normal_pair` as one loop of vector instructions, with the same results."""
    global _compiled
    from llvmlite import ir
    from numba import config, njit, types
    from numba.extending import intrinsic

    from . import kernels

    if config.DISABLE_JIT:
        _compiled = _normal_pair
        return
    real, integer = ir.FloatType(), ir.IntType(32)

    def as_bits(context: Any, x: Any) -> Any:
        return types.int32(types.float32), lambda _, b, __, args: b.bitcast(args[0], integer)

    def as_float(context: Any, bits: Any) -> Any:
        return types.float32(types.int32), lambda _, b, __, args: b.bitcast(args[0], real)

    def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
        def emit(_: Any, b: Any, __: Any, args: Any) -> Any:
            signature = ir.FunctionType(real, [real] * 3)
            return b.call(b.module.declare_intrinsic("llvm.fma", [real], signature), args)

        return types.float32(*[types.float32] * 3), emit

    words: dict[str, Any] = {f.__name__: intrinsic(f) for f in (as_bits, as_float, fma)}
    words |= {"f32": f32, "i32": i32, "sqrt": sqrt, "where": njit(lambda c, a, b: a if c else b)}
    words["_log"] = njit(FunctionType(_log.__code__, words))
    scalar_pair: Any = njit(FunctionType(_normal_pair.__code__, words))

    def box_muller(heights: Any, turns: Any, first: Any, second: Any) -> None:
        for i in range(heights.size):
            first[i], second[i] = scalar_pair(heights[i], turns[i])

    given = kernels.readonly("float32")
    loop = kernels.compile(box_muller, f"void({given}, {given}, float32[::1], float32[::1])")

    def pair(heights: Array, turns: Array) -> tuple[Array, Array]:
        first, second = np.empty_like(heights), np.empty_like(turns)
        loop(heights, turns, first, second)
        return first, second

    _compiled = pair
