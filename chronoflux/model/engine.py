"""Whole ticks in one compiled call: the order of a step, and nothing else."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from chronoflux.model.field import decay
from chronoflux.model.jit import kernel, part
from chronoflux.model.motion import move
from chronoflux.model.neighbours import nearest
from chronoflux.model.periodic import wrap
from chronoflux.model.phases import KNN, TAU, Coupling, Graph, circle, euler, peers_pull, rates, runge_kutta
from chronoflux.model.swarm import Floats, World


class Law(NamedTuple):
    """The parameters as the kernel takes them; names and units are those of ``Params``."""

    world: World
    plane: bool
    portal: bool
    dt: float
    gamma: float
    eta: float
    noise: float
    neighbours: int
    rk4: bool
    coupling: Coupling


class Clock(NamedTuple):
    """Mesh time: `at` ms at tick `tick`, `speed` simulated seconds a second from there on."""

    at: float
    tick: int
    speed: float


@kernel
def mesh_time(clock: Clock, tick: int, dt: float) -> float:
    """Mesh time of a tick in ms; NaN while the clock's `at` is."""
    return clock.at + 1000 * dt * (tick - clock.tick) / clock.speed


@part
def _run(
    ticks: int,
    tick: int,
    x: Floats,
    y: Floats,
    vx: Floats,
    vy: Floats,
    phi: Floats,
    omega: Floats,
    law: Law,
    graph: Graph,
    fired: Floats,
    fields: Floats,
    clock: Clock,
    normals: Floats,
    turns: Floats,
    turned: int,
) -> tuple[int, int]:
    """Advance the swarm by `ticks` from tick `tick`, in place.

    Parameters
    ----------
    x, y, vx, vy, phi, omega
        float64 (n,): px, px per frame, rad, natural frequencies in rad/s.
    fired
        float64 (P, 5), pulses as :func:`~chronoflux.model.field.decay` takes them.
    fields
        float64 (peers, 4) as :func:`~chronoflux.model.phases.peers_pull` takes them.
    normals
        Standard normal numbers, float64 (ticks, n), or (0, n) without noise.
    turns, turned
        Ring of the turns of ψ in rad, one a tick, float64 (m,), and how many were ever written to it.

    Returns
    -------
    The number of pulses alive at the end, and of peers whose field was used in the last tick.
    """
    n = len(phi)
    s, c, slope = np.empty(n), np.empty(n), np.empty(n)
    near = np.empty((n, min(law.neighbours, n - 1) if law.coupling.kind == KNN else 0), np.int32)
    alive = np.empty((len(fired), 4))
    kick = math.sqrt(2 * law.noise * law.dt)
    mean = circle(phi, s, c)
    used = 0
    for step in range(ticks):
        t = (tick + step) * law.dt
        pulses = alive[: decay(fired, t, alive)]
        move(x, y, vx, vy, law.world, law.plane, t, law.portal, pulses, law.gamma, law.eta, law.dt)
        nearest(x, y, law.world, law.plane, near)
        T = mesh_time(clock, tick + step, law.dt)
        peers = peers_pull(fields, T, 0.0)
        used = peers[0]
        rates(omega, s, c, mean, law.coupling, near, graph, peers, slope)
        if law.rk4:
            span = 1000 * law.dt / clock.speed
            runge_kutta(phi, slope, law.dt, omega, law.coupling, near, graph, fields, T, span)
        else:
            euler(phi, slope, law.dt, kick, normals[step] if len(normals) > 0 else normals.ravel())
        psi = math.atan2(mean[0], mean[1])
        mean = circle(phi, s, c)
        turn = wrap(math.atan2(mean[0], mean[1]) - psi + math.pi, TAU) - math.pi
        turns[(turned + step) % len(turns)] = turn
    return decay(fired, (tick + ticks) * law.dt, alive), used


def _cached_under(sources: int) -> Callable[..., tuple[int, int]]:
    """`_run`, cached on disk for these `sources`.

    numba's cache would not notice an edit of the other files whose kernels `_run` calls. What a closure
    holds is part of the cache's key, so a checksum of this room's sources is held by one.
    """

    @kernel
    def run(*arguments):  # type: ignore[no-untyped-def]
        sources  # noqa: B018 - named so that the closure holds it
        return _run(*arguments)

    return cast("Callable[..., tuple[int, int]]", run)


run = _cached_under(zlib.crc32(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py")))))
