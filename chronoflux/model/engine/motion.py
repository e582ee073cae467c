"""Motion of the oscillators: down the pressure gradient, with drag."""

from __future__ import annotations

import numpy as np

from chronoflux.model.engine.arrays import Floats, World
from chronoflux.model.engine.field import evaluate
from chronoflux.model.engine.jit import device_function
from chronoflux.model.engine.periodic import wrap

FRAMES = 60.0
"""Frames a second; velocities are in px per frame."""
FASTEST = 1e9
"""Bound on each velocity component, px per frame. An explicit step with η dt > 2 diverges; the bound, far
above anything physical, keeps it finite."""
SPARE = 6
"""Rows of working memory that :func:`move` needs."""
SLOWEST = 1e-150
"""A smaller velocity component is set to 0: drag would otherwise shrink it to denormal numbers, which are
slow."""


@device_function
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
    spare: Floats,
) -> tuple[float, bool]:
    """Move all oscillators by one step of `dt` s, in place: ``v += (−γ ∇p − η v) dt``, ``r += 60 v dt``.

    `x, y, vx, vy`: float64 (n,), px and px per frame; positions end in ``[0, W) × [0, H)``. `world` to
    `pulses`: as in :mod:`chronoflux.model.engine.field`, at the time before the step. `gamma` in
    px²/(frame·s), `eta` in 1/s. `spare`: float64 (SPARE, n or more), overwritten. Returns the largest squared
    speed, and whether any oscillator crossed the seam.
    """
    rests = not (_any(vx) or _any(vy))
    if rests and gamma == 0.0:
        return 0.0, False
    n = len(x)
    p, gx, gy = spare[0][:n], spare[1][:n], spare[2][:n]
    across, down, exponent = spare[3][:n], spare[4][:n], spare[5][:n]
    reached = False
    if gamma != 0.0:
        reached = evaluate(x, y, world, plane, t, portal, pulses, p, gx, gy, across, down, exponent)
    else:
        for i in range(n):
            gx[i], gy[i] = 0.0, 0.0
    if rests and not reached:
        return 0.0, False
    _accelerate(vx, gx, gamma, eta, dt)
    _accelerate(vy, gy, gamma, eta, dt)
    crossed = _shift(x, vx, world[0], dt) | _shift(y, vy, world[1], dt)
    return _fastest(vx, vy, p), crossed


@device_function
def _any(v: Floats) -> bool:
    moving = 0
    for i in range(len(v)):
        moving |= v[i] != 0.0
    return moving != 0


@device_function
def _accelerate(v: Floats, slope: Floats, gamma: float, eta: float, dt: float) -> None:
    for i in range(len(v)):
        u = min(max(v[i] + (-gamma * slope[i] - eta * v[i]) * dt, -FASTEST), FASTEST)
        v[i] = u if abs(u) > SLOWEST else 0.0


@device_function
def _shift(x: Floats, v: Floats, side: float, dt: float) -> bool:
    crossed = 0
    for i in range(len(x)):
        moved = x[i] + FRAMES * v[i] * dt
        x[i] = wrap(moved, side)
        crossed |= x[i] != moved
    return crossed != 0


@device_function
def _fastest(vx: Floats, vy: Floats, squares: Floats) -> float:
    """The largest squared speed; `squares` (n,) is overwritten."""
    for i in range(len(vx)):
        squares[i] = vx[i] * vx[i] + vy[i] * vy[i]
    bits, largest = squares.view(np.int64), 0
    for i in range(len(bits)):  # ordered as the squares are; a maximum of floats is not vectorised
        largest = max(largest, bits[i])
    bits[0] = largest
    return float(squares[0])
