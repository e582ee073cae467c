"""Metrics of a swarm: order parameter, local order, and turbulence of the pressure field."""

from __future__ import annotations

import math

import numpy as np

from chronoflux.model.engine import Floats, Indices, Longs, World, cached_kernel, pressure, sin_cos


def order(phi: Floats) -> tuple[float, float]:
    """Kuramoto's order parameter ``|⟨e^{iφ}⟩|``, and the phase ψ of the mean field.

    Parameters
    ----------
    phi
        Phases, float64 (n,), rad.

    Returns
    -------
    R : float
        From 0 to 1.
    psi : float
        rad, in [−π, π].

    Examples
    --------
    >>> import numpy as np
    >>> R, psi = order(np.array([0.5, 0.5]))
    >>> round(R, 12), round(psi, 12)
    (1.0, 0.5)
    """
    s, c = sin_cos(phi, np.empty_like(phi), np.empty_like(phi))
    return min(math.hypot(s, c), 1.0), math.atan2(s, c)


def null_order(n: int) -> tuple[float, float]:
    """Mean and 95th percentile of the order parameter of `n` independent phases: ``√(π/4n)``, ``√(ln 20/n)``.

    For large n it has a Rayleigh distribution of scale ``1/√(2n)``. For the smallest n both are limited to 1.
    """
    return min(math.sqrt(math.pi / (4 * n)), 1.0), min(math.sqrt(math.log(20) / n), 1.0)


def local_orders(phi: Floats, indptr: Longs, indices: Indices) -> Floats:
    """Local order ``|⟨e^{iφ}⟩|`` over each oscillator and its coupling set.

    It distinguishes locked regions from drifting ones: the local order parameter of Y. Kuramoto and
    D. Battogtokh, Nonlinear Phenomena in Complex Systems 5, 380, 2002, over neighbours instead of a kernel.

    Parameters
    ----------
    phi
        Phases, float64 (n,), rad.
    indptr, indices
        int64 (n + 1,) and int32 (m,): the set of i is ``indices[indptr[i]:indptr[i + 1]]``, each once. i
        itself always counts once.

    Returns
    -------
    ndarray
        float64 (n,), from 0 to 1.
    """
    s, c, out = np.empty_like(phi), np.empty_like(phi), np.empty_like(phi)
    sin_cos(phi, s, c)
    _local_orders(s, c, indptr, indices, out)
    return out


def local_order(phi: Floats, indptr: Longs, indices: Indices) -> float:
    """The mean of :func:`local_orders`, from 0 to 1; arguments as there."""
    return float(local_orders(phi, indptr, indices).mean())


@cached_kernel
def _local_orders(s: Floats, c: Floats, indptr: Longs, indices: Indices, out: Floats) -> None:
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

    The points are the inner ones of the grid ``x = iW/24, y = jH/24``.

    Parameters
    ----------
    world
        Width and height, px.
    plane
        True for plain distances to a pulse, False for those on the torus.
    t
        Simulated time, s.
    portal
        Whether portal mode is on, in which there is no jet.
    pulses
        float64 (P, 4), rows ``x, y`` (px), ``E(t)``, ``sigma`` (px) of the pulses alive at `t`.
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
