"""Sine, cosine and exponential in a form that the compiler vectorises, as calls to the C library cannot be.

Arguments are reduced by the method of W. J. Cody and W. Waite (*Software Manual for the Elementary
Functions*, 1980). The polynomials of sine and cosine are those of FDLIBM (Sun Microsystems, 1993), that of
the exponential is Taylor's. Errors are below 4e-16: relative for the exponential, absolute for sine and
cosine of angles up to 1e6 rad. Everything is float64, except :func:`single_exponential`.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numba.extending import overload

from chronoflux.model.engine.intrinsics import ROUNDER, fused_multiply_add, power_of_two
from chronoflux.model.engine.intrinsics import SINGLE_ROUNDER as _SINGLE_ROUNDER
from chronoflux.model.engine.jit import device_function

Float = TypeVar("Float", float, np.float32)

SINGLE_ROUNDER = np.float32(_SINGLE_ROUNDER)
"""As ``ROUNDER``, for a float32 below 2**22."""


def fused(a: Float, b: Float, c: Float) -> Float:
    """``a·b + c``, rounded once where the processor can; of three float32, a float32."""
    return type(c)(a * b + c)


def two_to(n: Float) -> Float:
    """``2ⁿ`` for an integer from −1022 to 1023; for a float32, from −126 to 127, a float32."""
    return type(n)(math.ldexp(1.0, int(n)))


@overload(fused)
def _fused_compiled(a, b, c):  # type: ignore[no-untyped-def]
    return lambda a, b, c: fused_multiply_add(a, b, c)  # type: ignore[call-arg]


@overload(two_to)
def _two_to_compiled(n):  # type: ignore[no-untyped-def]
    return lambda n: power_of_two(n)  # type: ignore[call-arg]


_PER_LN2 = 1 / math.log(2)
_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
_E = tuple(1 / math.factorial(power) for power in range(13, 1, -1))
_PER_RIGHT = 2 / math.pi
_RIGHT = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
"""π/2 in three parts, the first two of 33 bits."""


@device_function
def exponential(x: float) -> float:
    """eˣ for x from −700 to 700."""
    n = (x * _PER_LN2 + ROUNDER) - ROUNDER
    r = fused(-n, _LN2[1], fused(-n, _LN2[0], x))
    p = _E[0]
    p = fused(p, r, _E[1])
    p = fused(p, r, _E[2])
    p = fused(p, r, _E[3])
    p = fused(p, r, _E[4])
    p = fused(p, r, _E[5])
    p = fused(p, r, _E[6])
    p = fused(p, r, _E[7])
    p = fused(p, r, _E[8])
    p = fused(p, r, _E[9])
    p = fused(p, r, _E[10])
    p = fused(p, r, _E[11])
    return fused(p * r, r, r + 1.0) * two_to(n)


_SINGLE_PER_LN2, _SINGLE_LN2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
_SINGLE_E = tuple(np.float32(term) for term in (*_E[-4:], 1.0, 1.0))


@device_function
def single_exponential(x: np.float32) -> np.float32:
    """eˣ for a float32 from −80 to 80: a float32 with a relative error below 1e-5."""
    n = (x * _SINGLE_PER_LN2 + SINGLE_ROUNDER) - SINGLE_ROUNDER
    r = fused(-n, _SINGLE_LN2, x)
    p = fused(_SINGLE_E[0], r, _SINGLE_E[1])
    p = fused(p, r, _SINGLE_E[2])
    p = fused(p, r, _SINGLE_E[3])
    p = fused(p, r, _SINGLE_E[4])
    return np.float32(fused(p, r, _SINGLE_E[5]) * two_to(n))


@device_function
def sincos(x: float) -> tuple[float, float]:
    """Sine and cosine of `x` in rad; finite for every finite x."""
    n = np.rint(x * _PER_RIGHT)
    r = fused(-n, _RIGHT[2], fused(-n, _RIGHT[1], fused(-n, _RIGHT[0], x)))
    r = min(max(r, -1.0), 1.0)
    z = r * r
    s = fused(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08)
    s = fused(z, s, 2.75573137070700676789e-06)
    s = fused(z, s, -1.98412698298579493134e-04)
    s = fused(z, s, 8.33333333332248946124e-03)
    s = fused(z, s, -1.66666666666666324348e-01)
    s = fused(r * z, s, r)
    c = fused(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09)
    c = fused(z, c, -2.75573143513906633035e-07)
    c = fused(z, c, 2.48015872894767294178e-05)
    c = fused(z, c, -1.38888888888741095749e-03)
    c = fused(z, c, 4.16666666666666019037e-02)
    c = fused(z * z, c, fused(z, -0.5, 1.0))
    quarter = n - 4.0 * np.floor(n * 0.25)
    odd = (quarter == 1.0) | (quarter == 3.0)
    sine, cosine = (c if odd else s), (s if odd else c)
    return (
        -sine if quarter >= 2.0 else sine,
        -cosine if (quarter == 1.0) | (quarter == 2.0) else cosine,
    )
