"""What is measured on a swarm: its order, its local order, and the turbulence of the field."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine.arrays import Floats, World
from chronoflux.model.engine.cell_list import Indices
from chronoflux.model.engine.field import pressure
from chronoflux.model.engine.jit import cached_kernel
from chronoflux.model.engine.phases import sin_cos


def order(phi: Floats) -> tuple[float, float]:
    """Kuramoto's order parameter ``|⟨e^{iφ}⟩|``, from 0 to 1, and its angle ψ in rad; `phi`: (n,), rad."""
    s, c = sin_cos(phi, np.empty_like(phi), np.empty_like(phi))
    return min(math.hypot(s, c), 1.0), math.atan2(s, c)


def null_order(n: int) -> tuple[float, float]:
    """Mean and 95 % point of the order parameter of `n` unrelated phases: ``√(π/4n)``, ``√(ln 20 / n)``.

    For large n it is Rayleigh distributed with scale ``1/√(2n)``; both are cut to 1 for the smallest n.
    """
    return min(math.sqrt(math.pi / (4 * n)), 1.0), min(math.sqrt(math.log(20) / n), 1.0)


def local_orders(phi: Floats, indptr: NDArray[np.int64], indices: Indices) -> Floats:
    """``|⟨e^{iφ}⟩|`` over each oscillator and its coupling set: float64 (n,), from 0 to 1.

    The set of i is ``indices[indptr[i]:indptr[i + 1]]``, each once; i itself counts once in any case. The
    local order parameter of Y. Kuramoto and D. Battogtokh, Nonlinear Phenomena in Complex Systems 5, 380,
    2002, over neighbours instead of a kernel: it tells locked regions from drifting ones.
    """
    s, c, out = np.empty_like(phi), np.empty_like(phi), np.empty_like(phi)
    sin_cos(phi, s, c)
    _local_orders(s, c, indptr, indices, out)
    return out


def local_order(phi: Floats, indptr: NDArray[np.int64], indices: Indices) -> float:
    """The mean of :func:`local_orders`."""
    return float(local_orders(phi, indptr, indices).mean())


@cached_kernel
def _local_orders(s: Floats, c: Floats, indptr: NDArray[np.int64], indices: Indices, out: Floats) -> None:
    for i in range(len(s)):
        sines, cosines, members = s[i], c[i], 1
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i:
                sines += s[indices[e]]
                cosines += c[indices[e]]
                members += 1
        out[i] = min(math.sqrt(sines * sines + cosines * cosines) / members, 1.0)


@cached_kernel
def turbulence(world: World, plane: bool, t: float, portal: bool, pulses: Floats) -> float:
    """Mean of ``|(p(x+1, y) − p(x−1, y)) − (p(x, y+1) − p(x, y−1))|`` over 22 × 22 points of the world.

    The points are the inner ones of the grid ``x = iW/24, y = jH/24``; arguments as in
    :mod:`chronoflux.model.engine.field`.
    """
    m = 22 * 22
    x, y, total = np.empty(4 * m), np.empty(4 * m), 0.0
    for i in range(22):
        for j in range(22):
            for side, (dx, dy) in enumerate(((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))):
                x[side * m + i * 22 + j] = (i + 1) * world[0] / 24 + dx
                y[side * m + i * 22 + j] = (j + 1) * world[1] / 24 + dy
    p = pressure(x, y, world, plane, t, portal, pulses)
    for i in range(m):
        total += abs((p[i] - p[m + i]) - (p[2 * m + i] - p[3 * m + i]))
    return total / m
