"""Baseline for the benchmark: the default model in plain NumPy and SciPy, without the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chronoflux.model.engine import Floats, World
from chronoflux.model.simulation import Simulation


def plain_step(sim: Simulation) -> Callable[[], None]:
    """Return a function that advances the state of `sim` by a step per call. ImportError without SciPy."""
    from scipy.spatial import cKDTree

    p, s, n = sim.params, sim.state, sim.params.oscillators
    x, y, phi = s.x.copy(), s.y.copy(), s.phi.copy()
    vx, vy, world, tick = np.zeros(n), np.zeros(n), p.world, 0

    def step() -> None:
        nonlocal x, y, vx, vy, phi, tick
        gx, gy = _slope(x, y, tick * p.dt, world)
        vx += (-p.gamma * gx - p.eta * vx) * p.dt
        vy += (-p.gamma * gy - p.eta * vy) * p.dt
        x, y = (x + 60 * vx * p.dt) % world[0], (y + 60 * vy * p.dt) % world[1]
        points = np.column_stack([x, y])
        near = cKDTree(points, boxsize=world).query(points, k=p.neighbours + 1, workers=-1)[1][:, 1:]
        pull = np.sin(phi[near] - phi[:, None]).mean(axis=1)
        phi = (phi + p.dt * (2 * np.pi * p.frequency + p.kappa * pull)) % (2 * np.pi)
        tick += 1

    return step


def _slope(x: Floats, y: Floats, t: float, world: World) -> tuple[Floats, Floats]:
    """Gradient of the jet and of three pulses.

    Parameters
    ----------
    x, y
        Positions, px, (n,).
    t
        Simulated time, s.
    world
        Width and height, px.

    Returns
    -------
    tuple of numpy.ndarray
        Gradient in x and y, 1/px, (n,) each.
    """
    s = (x - 0.2 * world[0]) * np.cos(0.35) + (y - 0.78 * world[1]) * np.sin(0.35)
    d = -(x - 0.2 * world[0]) * np.sin(0.35) + (y - 0.78 * world[1]) * np.cos(0.35)
    wave, width = 2 * np.pi / 140, 0.33 * 140
    envelope = 0.45 * np.exp(-(d**2) / (2 * width**2))
    along, across = envelope * wave * np.cos(wave * s - 3.08 * t), -envelope * d / width**2
    across *= np.sin(wave * s - 3.08 * t)
    gx, gy = along * np.cos(0.35) - across * np.sin(0.35), along * np.sin(0.35) + across * np.cos(0.35)
    for part in (0.2, 0.5, 0.8):
        dx, dy = x - part * world[0], y - part * world[1]
        dx, dy = dx - world[0] * np.rint(dx / world[0]), dy - world[1] * np.rint(dy / world[1])
        bell = 0.2 * np.exp(-(dx**2 + dy**2) / (2 * 80**2)) / 80**2
        gx, gy = gx - bell * dx, gy - bell * dy
    return gx, gy
