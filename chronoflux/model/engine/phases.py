"""The phases: the coupling of each oscillator, and one step of all phases.

``φ̇ᵢ = ωᵢ + κ (Aᵢ cos(φᵢ + α) − Bᵢ sin(φᵢ + α)) + mesh``, where ``Aᵢ = Σⱼ wᵢⱼ sin φⱼ`` and
``Bᵢ = Σⱼ wᵢⱼ cos φⱼ`` run over the coupling set: equal to ``κ Σⱼ wᵢⱼ sin(φⱼ − φᵢ − α)``, with n
sines and cosines per step instead of n·k (Y. Kuramoto, 1975; the lag: Sakaguchi and Kuramoto, 1986).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats, Indices, Longs
from chronoflux.model.engine.jit import allocating, cached_kernel, device_function
from chronoflux.model.engine.math_functions import sincos
from chronoflux.model.engine.periodic import wrap

TAU = 2 * math.pi
KNN, GLOBAL, GRAPH = 0, 1, 2
FRESH = 2000.0
"""A peer's field is used only within this many ms of its mesh time, before or after."""


class Graph(NamedTuple):
    """A weighted directed graph in CSR form: ``indices[indptr[i]:indptr[i + 1]]`` act on i.

    ``indptr``: int64 (n + 1,). ``indices``: int32 (m,), ascending and distinct in each row. ``weights``:
    float64 (m,).
    """

    indptr: Longs
    indices: Indices
    weights: Floats


class Coupling(NamedTuple):
    """The coupling: its kind (KNN, GLOBAL or GRAPH), κ (rad/s), the phase lag α (rad), and κ_mesh (rad/s)."""

    kind: int
    kappa: float
    lag: float
    mesh: float


@cached_kernel
def fixed_point_scale(n: int) -> float:
    """The scale at which sines and cosines of n phases are summed as integers of 63 bits.

    Sums of integers do not depend on the order, and so not on the number of threads. The error per term is at
    most ``n · 2⁻⁶³``, which is below the rounding of a float64 for n below a thousand.
    """
    scale = 2.0**62
    while n > 1:
        scale, n = scale / 2, (n + 1) // 2
    return scale


@device_function
def sin_cos_block(phi: Floats, scale: float, s: Floats, c: Floats) -> tuple[int, int]:
    """Fill `s`, `c` with sine and cosine of `phi` (float64, all (n,)); return their sums times `scale`."""
    sines: Any = 0
    cosines: Any = 0
    for i in range(len(phi)):
        s[i], c[i] = sincos(phi[i])
    for i in range(len(phi)):
        sines += int(s[i] * scale)
        cosines += int(c[i] * scale)
    return sines, cosines


@cached_kernel
def sin_cos(phi: Floats, s: Floats, c: Floats) -> tuple[float, float]:
    """Fill `s`, `c` with sine and cosine of `phi` (float64, all (n,)); return their means."""
    scale = fixed_point_scale(len(phi))
    sines, cosines = sin_cos_block(phi, scale, s, c)
    return sines / scale / len(phi), cosines / scale / len(phi)


@cached_kernel
def peers_pull(fields: Floats, T: float, ahead: float) -> tuple[int, float, float]:
    """``P``, the number of fresh fields of peers, and the means of ``R_p sin Ψ_p`` and ``R_p cos Ψ_p``.

    `fields`: float64 (peers, 4), rows ``at`` (ms), ``R``, ``psi`` (rad), ``omega`` (rad/s). A field is fresh
    or not at mesh time `T` (ms; with NaN none is); its phase is extrapolated to ``T + ahead``.
    """
    used, sines, cosines = 0, 0.0, 0.0
    for p in range(len(fields)):
        age = T - fields[p, 0]
        if abs(age) <= FRESH:
            angle = fields[p, 2] + fields[p, 3] * (age + ahead) / 1000
            sines += fields[p, 1] * math.sin(angle)
            cosines += fields[p, 1] * math.cos(angle)
            used += 1
    return used, sines / max(used, 1), cosines / max(used, 1)


@device_function
def _nearest_pull(first: int, s: Floats, c: Floats, near: Indices, A: Floats, B: Floats) -> None:
    """Fill ``A, B`` with the means of sine and cosine over the neighbours, rows of `near` from `first` on."""
    k = near.shape[1]
    share, begin = 1 / max(k, 1), np.uint64(first)
    for i in range(len(A)):
        a, b, row = 0.0, 0.0, begin + np.uint64(i)  # an unsigned index needs no check for a negative one
        for e in range(k):
            j = np.uint32(near[row, np.uint64(e)])
            a += s[j]
            b += c[j]
        A[i], B[i] = a * share, b * share


@device_function
def _graph_pull(first: int, s: Floats, c: Floats, graph: Graph, A: Floats, B: Floats) -> None:
    """Fill ``A, B`` with the weighted sums of sine and cosine over the rows of `graph` from `first` on."""
    for i in range(len(A)):
        a, b = 0.0, 0.0
        for e in range(graph.indptr[first + i], graph.indptr[first + i + 1]):
            j = np.uint32(graph.indices[e])
            a += graph.weights[e] * s[j]
            b += graph.weights[e] * c[j]
        A[i], B[i] = a, b


@device_function
def rates_block(
    first: int,
    omega: Floats,
    s: Floats,
    c: Floats,
    mean: tuple[float, float],
    coupling: Coupling,
    near: Indices,
    graph: Graph,
    peers: tuple[int, float, float],
    out: Floats,
    A: Floats,
    B: Floats,
) -> None:
    """Fill `out` (m,) with dφ/dt in rad/s of the m oscillators from `first` on.

    `omega`: natural frequencies, rad/s; `s, c`, `mean` from :func:`sin_cos`; `near`: int32 (n, k) for KNN;
    `graph` for GRAPH; `peers` from :func:`peers_pull`. `A, B` (m,) are overwritten.
    """
    kappa = coupling.kappa if len(s) > 1 else 0.0
    # κ (A cos(φ + α) − B sin(φ + α)) + mesh, with terms in cos φ and sin φ collected.
    cos_lag, sin_lag = kappa * math.cos(coupling.lag), kappa * math.sin(coupling.lag)
    mesh_s, mesh_c = coupling.mesh * peers[1], coupling.mesh * peers[2]
    end = first + len(out)
    own_s, own_c, own = s[first:end], c[first:end], omega[first:end]
    if coupling.kind == GLOBAL:
        mesh_c += mean[0] * sin_lag + mean[1] * cos_lag
        mesh_s += mean[0] * cos_lag - mean[1] * sin_lag
        for i in range(len(out)):
            out[i] = own[i] + own_c[i] * mesh_s - own_s[i] * mesh_c
        return
    if coupling.kind == GRAPH:
        _graph_pull(first, s, c, graph, A, B)
    else:
        _nearest_pull(first, s, c, near, A, B)
    for i in range(len(out)):
        out[i] = (
            own[i]
            + own_c[i] * (A[i] * cos_lag - B[i] * sin_lag + mesh_s)
            - own_s[i] * (A[i] * sin_lag + B[i] * cos_lag + mesh_c)
        )


@cached_kernel
def rates(
    omega: Floats,
    s: Floats,
    c: Floats,
    mean: tuple[float, float],
    coupling: Coupling,
    near: Indices,
    graph: Graph,
    peers: tuple[int, float, float],
    out: Floats,
) -> None:
    """Fill `out` (n,) with dφ/dt in rad/s of all; arguments as for :func:`rates_block`."""
    A, B = np.empty_like(out), np.empty_like(out)
    rates_block(0, omega, s, c, mean, coupling, near, graph, peers, out, A, B)


@device_function
def euler(phi: Floats, slope: Floats, dt: float) -> None:
    """Advance `phi` by ``slope · dt``."""
    for i in range(len(phi)):
        phi[i] = wrap(phi[i] + dt * slope[i], TAU)


@allocating
def runge_kutta(
    phi: Floats,
    s: Floats,
    c: Floats,
    mean: tuple[float, float],
    dt: float,
    omega: Floats,
    coupling: Coupling,
    near: Indices,
    graph: Graph,
    fields: Floats,
    T: float,
    span: float,
) -> None:
    """Advance `phi` by the classical fourth-order Runge-Kutta method; `s, c`, `mean` are those of `phi`.

    The peers' fields rotate during the step, which lasts `span` ms of mesh time from `T` on.
    """
    latest, total, first = np.empty_like(phi), np.empty_like(phi), len(s) - len(phi)
    A, B, peers = np.empty_like(phi), np.empty_like(phi), peers_pull(fields, T, 0.0)
    rates_block(first, omega, s, c, mean, coupling, near, graph, peers, latest, A, B)
    for i in range(len(phi)):
        total[i] = latest[i]
    stage, sines, cosines = np.empty_like(phi), np.empty_like(phi), np.empty_like(phi)
    for part_of_step, weight in ((0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
        for i in range(len(phi)):
            stage[i] = phi[i] + part_of_step * dt * latest[i]
        middle = sin_cos(stage, sines, cosines)
        peers = peers_pull(fields, T, part_of_step * span)
        rates_block(first, omega, sines, cosines, middle, coupling, near, graph, peers, latest, A, B)
        for i in range(len(phi)):
            total[i] += weight * latest[i]
    for i in range(len(phi)):
        phi[i] = wrap(phi[i] + dt / 6 * total[i], TAU)
