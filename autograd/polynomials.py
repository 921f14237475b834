"""`exp`, `tanh`, `erf` and others of float32 as polynomials: what compiled kernels call.

Nothing here branches, so LLVM turns a loop over elements into vector instructions, where a call of
the C library per element would take ten times as long.  Results are within two units in the last
place, if nothing else is said.  The functions also run on arrays as they stand.  The coefficients
are minimax fits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

f: Any = np.float32
i: Any = np.int32
where, abs, copysign = np.where, np.abs, np.copysign


def exp(x: Any) -> Any:
    """``eˣ = 2ⁿ · eʳ``, with ``n`` the integer nearest to ``x / log 2``."""
    # The processor takes a hundred cycles to round what is too small.  At -176 both factors are 0,
    # so that minus infinity, the score of what is masked, is quick.
    x = where(x > f(89), f(89), where(x < f(-176), f(-176), x))
    shifted = x * f(1.4426950408889634) + f(12582912)  # 1.5 · 2²³: no fraction fits beside it
    n = shifted - f(12582912)
    r = (x - n * f(0.693359375)) - n * f(-2.12194440054690583e-4)  # log 2 in two parts
    p = f(1.3814466967935956e-3) * r + f(8.368780497637342e-3)
    p = p * r + f(4.166839421910894e-2)
    p = p * r + f(1.6666520107097374e-1)
    p = p * r + f(4.9999993412447347e-1)
    p = p * (r * r) + r + f(1)
    whole = i(f(shifted).view(i) - i(0x4B400000))
    half = i(whole >> i(1))  # 2ⁿ in two factors, which reach subnormal results and infinity
    first = i(i(half + i(127)) << i(23)).view(f)
    second = i(i(whole - half + i(127)) << i(23)).view(f)
    return p * first * second


def expm1(x: Any) -> Any:
    """``2ⁿ · (eʳ - 1) + (2ⁿ - 1)`` near zero, where ``n`` is -1, 0 or 1."""
    n = where(x > f(0.35), f(1), where(x < f(-0.35), f(-1), f(0)))
    r = (x - n * f(0.693359375)) - n * f(-2.12194440054690583e-4)
    p = f(1.3814466967935956e-3) * r + f(8.368780497637342e-3)
    p = p * r + f(4.166839421910894e-2)
    p = p * r + f(1.6666520107097374e-1)
    p = p * r + f(4.9999993412447347e-1)
    scale = where(x > f(0.35), f(2), where(x < f(-0.35), f(0.5), f(1)))
    near = scale * (p * (r * r) + r) + (scale - f(1))
    return copysign(where(abs(x) < f(1), near, exp(x) - f(1)), x)


def log1p(x: Any) -> Any:
    """``log (1 + x) = n · log 2 + log (1 + y)``, with ``y`` between √½ - 1 and √2 - 1."""
    w = f(1) + x
    whole = i(i(f(w).view(i) - i(0x3F3504F3)) >> i(23))  # how often √½ must double to reach w
    n = f(whole)
    m = i(f(w).view(i) - i(whole << i(23))).view(f)
    inside = whole == i(0)
    y = where(inside, x, m - f(1))
    p = f(6.746643485856202e-2) * y + f(-1.1675656315902941e-1)
    p = p * y + f(1.1888163391374384e-1)
    p = p * y + f(-1.2405588308398403e-1)
    p = p * y + f(1.4219552144504585e-1)
    p = p * y + f(-1.6667995877939573e-1)
    p = p * y + f(2.0002118669132243e-1)
    p = p * y + f(-2.500000959914567e-1)
    p = p * y + f(3.333331260393218e-1)
    lost = where(inside, f(0), (x - (w - f(1))) / w)  # by rounding 1 + x
    out = p * (y * y * y) + (n * f(-2.12194440054690583e-4) + lost)
    out = (out - f(0.5) * (y * y) + y) + n * f(0.693359375)
    out = where(x == f(np.inf), x, where(x == f(-1), f(-np.inf), out))
    return copysign(where(x < f(-1), f(np.nan), out), x)


def tanh(x: Any) -> Any:
    """An odd polynomial near zero, ``1 - 2 / (e²ˣ + 1)`` elsewhere."""
    t, s = abs(x), x * x
    p = f(-6.282472044895165e-3) * s + f(2.1077757572889627e-2)
    p = p * s + f(-5.3853857787884464e-2)
    p = p * s + f(1.3332601684707132e-1)
    p = p * s + f(-3.333331804569976e-1)
    near = p * (s * t) + t
    far = f(1) - f(2) / (exp(t + t) + f(1))
    return copysign(where(t < f(0.55), near, far), x)


def erf(x: Any) -> Any:
    """An odd polynomial near zero, ``1 - eᑫ⁽ˣ⁾`` elsewhere."""
    t, s = abs(x), x * x
    p = f(7.889123015752952e-5) * s + f(-8.020842409677666e-4)
    p = p * s + f(5.189535478007587e-3)
    p = p * s + f(-2.6854444671758577e-2)
    p = p * s + f(1.1283600178416782e-1)
    p = p * s + f(-3.761262713620182e-1)
    p = p * s + f(1.283791659138167e-1)
    near = p * t + t
    outer = t > f(0.97)
    t = where(t > f(4), f(4), t)
    q = f(-2.1445512447792993e-5) * t + f(4.385293297138842e-4)
    q = q * t + f(-4.190852868177908e-3)
    q = q * t + f(2.5171801228489707e-2)
    q = q * t + f(-1.0836154102436484e-1)
    q = q * t + f(-6.332724239164503e-1)
    q = q * t + f(-1.129552036436113)
    q = q * t + f(1.824591656793818e-4)
    return copysign(where(outer, f(1) - exp(q), near), x)


def normal_cdf(x: Any) -> Any:
    """``e^(-x²/2)`` times a polynomial of ``1 / (1 + 0.3·|x|)``; of 1 what is left, above zero.

    The slope of a formula in it has the same exponential, which LLVM then computes once.  Exact to
    six units, and another x² of them below zero, where the exponent is large and was rounded.
    """
    u = f(1) / (f(1) + f(0.3) * abs(x))
    p = f(3.705396130681038e-2) * u + f(-1.6299627721309662e-1)
    p = p * u + f(2.1643830835819244e-1)
    p = p * u + f(-6.308652460575104e-2)
    p = p * u + f(1.3361766934394836e-1)
    p = p * u + f(9.835003316402435e-2)
    p = p * u + f(1.2101078778505325e-1)
    p = p * u + f(1.1961203813552856e-1)
    below = p * u * exp(f(-0.5) * x * x)
    return where(x > f(0), f(1) - below, below)
