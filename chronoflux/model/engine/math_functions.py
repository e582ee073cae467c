"""Sine, cosine and exponential of which loops can be vectorised, as calls to the C library cannot.

Ranges are reduced as W. J. Cody and W. Waite do (*Software Manual for the Elementary Functions*, 1980).
The polynomials of sine and cosine are those of FDLIBM (Sun Microsystems, 1993), of the exponential
Taylor's. Errors are below 4e-16, relative for the exponential, absolute for sine and cosine of
angles up to 1e6 rad. All of it is float64; the one function for float32 says so.
"""

from __future__ import annotations

import math
import platform
from typing import Any, TypeVar

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, overload

from chronoflux.model.engine.jit import device_function

Float = TypeVar("Float", float, np.float32)


def _fuses() -> bool:
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on every system
        features = {}
    return bool(features.get("fma", platform.machine() not in ("x86_64", "AMD64")))


FUSES = _fuses()
"""Whether this processor multiplies and adds in one instruction."""
ROUNDER = 1.5 * 2.0**52
"""Added to a float below 2**51 it leaves the nearest whole number in the lowest bits."""
SINGLE_ROUNDER = np.float32(1.5 * 2.0**23)
"""The same for a float32 below 2**22."""


def fused(a: Float, b: Float, c: Float) -> Float:
    """``a·b + c``, rounded once where the processor can; of three float32 a float32."""
    return type(c)(a * b + c)


def two_to(n: Float) -> Float:
    """``2ⁿ`` for a whole number from −1022 to 1023; for a float32, from −126 to 127, a float32."""
    return type(n)(math.ldexp(1.0, int(n)))


@intrinsic
def _fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args) if FUSES else builder.fadd(builder.fmul(args[0], args[1]), args[2])

    kind = types.float32 if a == b == c == types.float32 else types.float64
    return kind(kind, kind, kind), generate


@intrinsic
def _two_to(typing: Any, n: Any) -> Any:
    single = n == types.float32
    word, rounder = ir.IntType(32 if single else 64), float(SINGLE_ROUNDER) if single else ROUNDER
    bias, mantissa = (127, 23) if single else (1023, 52)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shifted = builder.bitcast(builder.fadd(args[0], args[0].type(rounder)), word)
        exponent = builder.shl(builder.add(shifted, word(bias)), word(mantissa))
        return builder.bitcast(exponent, args[0].type)

    kind = types.float32 if single else types.float64
    return kind(kind), generate


@overload(fused)
def _fused_compiled(a, b, c):  # type: ignore[no-untyped-def]
    return lambda a, b, c: _fused(a, b, c)  # type: ignore[call-arg]


@overload(two_to)
def _two_to_compiled(n):  # type: ignore[no-untyped-def]
    return lambda n: _two_to(n)  # type: ignore[call-arg]


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
