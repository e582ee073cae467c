"""The phases: what pulls on each, and one step of all of them.

``φ̇ᵢ = ωᵢ + κ (Aᵢ cos(φᵢ + α) − Bᵢ sin(φᵢ + α)) + mesh``, where ``Aᵢ = Σⱼ wᵢⱼ sin φⱼ`` and
``Bᵢ = Σⱼ wᵢⱼ cos φⱼ`` run over the coupling set: the same as ``κ Σⱼ wᵢⱼ sin(φⱼ − φᵢ − α)``, with n
sines and cosines a step instead of n·k (Y. Kuramoto, 1975; the lag: Sakaguchi and Kuramoto, 1986).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.jit import kernel, part
from chronoflux.model.neighbours import Indices
from chronoflux.model.periodic import wrap
from chronoflux.model.swarm import Floats

TAU = 2 * math.pi
KNN, GLOBAL, GRAPH = 0, 1, 2
FRESH = 2000.0
"""A peer's field older than this many ms of mesh time, or as far in the future, is not used."""


class Graph(NamedTuple):
    """A weighted directed graph by rows: ``indices[indptr[i]:indptr[i + 1]]`` act on i.

    ``indptr``: int64 (n + 1,). ``indices``: int32 (m,), ascending and distinct in each row. ``weights``:
    float64 (m,).
    """

    indptr: NDArray[np.int64]
    indices: Indices
    weights: Floats


class Coupling(NamedTuple):
    """How oscillators pull on each other: one of KNN, GLOBAL and GRAPH, κ in rad/s, α in rad, κ_mesh."""

    kind: int
    kappa: float
    lag: float
    mesh: float


@kernel
def circle(phi: Floats, s: Floats, c: Floats) -> tuple[float, float]:
    """Fill `s`, `c` with sine and cosine of `phi` (float64, all (n,)); return their means."""
    sines, cosines = 0.0, 0.0
    for i in range(len(phi)):
        s[i], c[i] = math.sin(phi[i]), math.cos(phi[i])
        sines += s[i]
        cosines += c[i]
    return sines / len(phi), cosines / len(phi)


@kernel
def peers_pull(fields: Floats, T: float, ahead: float) -> tuple[int, float, float]:
    """``P`` and the means of ``R_p sin Ψ_p`` and ``R_p cos Ψ_p`` over the peers heard of lately.

    `fields`: float64 (peers, 4), rows ``at`` (ms), ``R``, ``psi`` (rad), ``omega`` (rad/s). Whether one is
    fresh is judged at mesh time `T` (ms; NaN: none is); phases are carried forward to ``T + ahead``.
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


@kernel
def _nearest_pull(s: Floats, c: Floats, near: Indices, A: Floats, B: Floats) -> None:
    """Fill ``A, B`` (n,) with the means of sine and cosine over the neighbours `near` (n, k)."""
    n, k = near.shape
    for i in range(n):
        a, b = 0.0, 0.0
        for e in range(k):
            a += s[near[i, e]]
            b += c[near[i, e]]
        A[i], B[i] = a / max(k, 1), b / max(k, 1)


@kernel
def _graph_pull(s: Floats, c: Floats, graph: Graph, A: Floats, B: Floats) -> None:
    """Fill ``A, B`` (n,) with the weighted sums of sine and cosine over the rows of `graph`."""
    for i in range(len(s)):
        a, b = 0.0, 0.0
        for e in range(graph.indptr[i], graph.indptr[i + 1]):
            a += graph.weights[e] * s[graph.indices[e]]
            b += graph.weights[e] * c[graph.indices[e]]
        A[i], B[i] = a, b


@kernel
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
    """Fill `out` (n,) with dφ/dt in rad/s.

    `omega`: natural frequencies, rad/s; `s, c`, `mean` from :func:`circle`; `near`: int32 (n, k) for KNN;
    `graph` for GRAPH; `peers` from :func:`peers_pull`.
    """
    A, B = np.empty_like(s), np.empty_like(s)
    if coupling.kind == GLOBAL:
        A[:], B[:] = mean
    elif coupling.kind == GRAPH:
        _graph_pull(s, c, graph, A, B)
    else:
        _nearest_pull(s, c, near, A, B)
    kappa = coupling.kappa if len(s) > 1 else 0.0
    cos_lag, sin_lag = math.cos(coupling.lag), math.sin(coupling.lag)
    mesh_s, mesh_c = coupling.mesh * peers[1], coupling.mesh * peers[2]
    for i in range(len(s)):
        pull = A[i] * (c[i] * cos_lag - s[i] * sin_lag) - B[i] * (s[i] * cos_lag + c[i] * sin_lag)
        out[i] = omega[i] + kappa * pull + mesh_s * c[i] - mesh_c * s[i]


@part
def euler(phi: Floats, slope: Floats, dt: float, kick: float, normals: Floats) -> None:
    """Advance `phi` by ``slope · dt + kick · normals`` (Euler–Maruyama; `normals` may be empty)."""
    for i in range(len(phi)):
        step = dt * slope[i]
        if len(normals) > 0:
            step += kick * normals[i]
        phi[i] = wrap(phi[i] + step, TAU)


@part
def runge_kutta(
    phi: Floats,
    slope: Floats,
    dt: float,
    omega: Floats,
    coupling: Coupling,
    near: Indices,
    graph: Graph,
    fields: Floats,
    T: float,
    span: float,
) -> None:
    """Advance `phi` by the classical fourth-order method, from `slope`, the rates at its start.

    The peers' fields go on turning within the step, which takes `span` ms of mesh time from `T` on.
    """
    s, c = np.empty_like(phi), np.empty_like(phi)
    total, stage, latest = slope.copy(), np.empty_like(phi), slope.copy()
    for part_of_step, weight in ((0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
        for i in range(len(phi)):
            stage[i] = phi[i] + part_of_step * dt * latest[i]
        mean = circle(stage, s, c)
        peers = peers_pull(fields, T, part_of_step * span)
        rates(omega, s, c, mean, coupling, near, graph, peers, latest)
        for i in range(len(phi)):
            total[i] += weight * latest[i]
    for i in range(len(phi)):
        phi[i] = wrap(phi[i] + dt / 6 * total[i], TAU)
