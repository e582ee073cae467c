"""What is measured on a swarm: its order, its local order, and the turbulence of the field."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.field import pressure
from chronoflux.model.jit import kernel
from chronoflux.model.neighbours import Indices
from chronoflux.model.phases import circle
from chronoflux.model.swarm import Floats, World


def order(phi: Floats) -> tuple[float, float]:
    """Kuramoto's order parameter ``|⟨e^{iφ}⟩|``, from 0 to 1, and its angle ψ in rad; `phi`: (n,), rad."""
    s, c = circle(phi, np.empty_like(phi), np.empty_like(phi))
    return min(math.hypot(s, c), 1.0), math.atan2(s, c)


def local_order(phi: Floats, indptr: NDArray[np.int64], indices: Indices) -> float:
    """Mean over oscillators of ``|⟨e^{iφ}⟩|`` over the oscillator and its coupling set.

    The set of i is ``indices[indptr[i]:indptr[i + 1]]``, each once; i itself counts once in any case.
    """
    s, c = np.empty_like(phi), np.empty_like(phi)
    circle(phi, s, c)
    return min(_local_order(s, c, indptr, indices), 1.0)


@kernel
def _local_order(s: Floats, c: Floats, indptr: NDArray[np.int64], indices: Indices) -> float:
    total = 0.0
    for i in range(len(s)):
        sines, cosines, members = s[i], c[i], 1
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i:
                sines += s[indices[e]]
                cosines += c[indices[e]]
                members += 1
        total += math.sqrt(sines * sines + cosines * cosines) / members
    return total / len(s)


@kernel
def turbulence(world: World, plane: bool, t: float, portal: bool, pulses: Floats) -> float:
    """Mean of ``|(p(x+1, y) − p(x−1, y)) − (p(x, y+1) − p(x, y−1))|`` over 22 × 22 points of the world.

    The points are the inner ones of the grid ``x = iW/24, y = jH/24``; arguments as in
    :mod:`chronoflux.model.field`.
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
