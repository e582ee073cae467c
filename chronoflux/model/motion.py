"""Motion of the oscillators: down the pressure gradient, against drag."""

from __future__ import annotations

import numpy as np

from chronoflux.model.field import evaluate
from chronoflux.model.jit import part
from chronoflux.model.periodic import wrap
from chronoflux.model.swarm import Floats, World

FRAMES = 60.0
"""Frames a second; velocities are in px per frame."""
FASTEST = 1e9
"""Bound on each velocity component, px per frame. An explicit step with η dt > 2 grows without end; this
keeps it finite, far above anything physical."""


@part
def move(
    x: Floats,
    y: Floats,
    vx: Floats,
    vy: Floats,
    world: World,
    plane: bool,
    t: float,
    portal: bool,
    pulses: Floats,
    gamma: float,
    eta: float,
    dt: float,
) -> None:
    """Move all oscillators by one step of `dt` s, in place: ``v += (−γ ∇p − η v) dt``, ``r += 60 v dt``.

    `x, y, vx, vy`: float64 (n,), px and px per frame; positions end in ``[0, W) × [0, H)``. `world` to
    `pulses` as in :mod:`chronoflux.model.field`, taken before the move. `gamma` in px²/(frame·s), `eta`
    in 1/s.
    """
    p, gx, gy = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    evaluate(x, y, world, plane, t, portal, pulses, p, gx, gy)
    for i in range(len(x)):
        vx[i] = min(max(vx[i] + (-gamma * gx[i] - eta * vx[i]) * dt, -FASTEST), FASTEST)
        vy[i] = min(max(vy[i] + (-gamma * gy[i] - eta * vy[i]) * dt, -FASTEST), FASTEST)
        x[i] = wrap(x[i] + FRAMES * vx[i] * dt, world[0])
        y[i] = wrap(y[i] + FRAMES * vy[i] * dt, world[1])
