"""The pressure field: a travelling jet and the intent pulses, with the analytic gradient.

``p(x, y, t) = clamp(0.55 + jet + Σ pulses, 0, 1.3)``, dimensionless. All functions are numba kernels on
float64 scalars and arrays, and share these arguments:

- ``world``: tuple ``(W, H)`` in px;
- ``plane``: True measures the distance to a pulse plainly, False on the torus (minimum image);
- ``t``: simulated time in s;
- ``portal``: True takes the jet away;
- ``pulses``: float64 array (P, 4), a row ``x, y, E(t), sigma`` for each pulse alive at ``t``, as
  :func:`decay` makes it. P may be 0.

They call nothing outside this file, which is what makes caching the compiled ones safe.
"""

from __future__ import annotations

import math

import numpy as np

from chronoflux.model.jit import kernel
from chronoflux.model.swarm import Floats, World

AMBIENT, TOP = 0.55, 1.3
"""Pressure at rest, and the upper clamp (the lower one is 0)."""
JET_STRENGTH = 0.45
JET_FROM = (0.2, 0.78)
"""Where the jet's axis passes, in parts of the world's width and height."""
COS, SIN = math.cos(0.35), math.sin(0.35)
"""Direction of the jet, 0.35 rad."""
WAVENUMBER = 2 * math.pi / 140.0
"""k = 2π/λ in rad/px, λ = 140 px."""
JET_OMEGA = 1.4 * 2.2
"""Angular frequency of the jet in rad/s: 1.4 times the Mach number 2.2."""
JET_WIDTH = 0.33 * 140.0
"""σⱼ, standard deviation of the jet's cross-section, px."""
FAINT = 0.02
"""A pulse of this strength or less is over."""


@kernel
def strength(E: float, age: float) -> float:
    """E(t) of a pulse of initial strength `E` after `age` seconds (scalars)."""
    return E * math.pow(0.985, max(age, 0.0) / 0.016)


@kernel
def decay(fired: Floats, t: float, alive: Floats) -> int:
    """Fill `alive` with the pulses that are left at time `t`; return how many there are.

    `fired`: float64 (P, 5), rows ``x, y, E, sigma, t_k`` as fired. `alive`: float64 (P, 4) to be filled
    with rows ``x, y, E(t), sigma``, in the same order, from the top.
    """
    count = 0
    for i in range(len(fired)):
        E = strength(fired[i, 2], t - fired[i, 4])
        if E > FAINT:
            alive[count, 0] = fired[i, 0]
            alive[count, 1] = fired[i, 1]
            alive[count, 2] = E
            alive[count, 3] = fired[i, 3]
            count += 1
    return count


@kernel
def offset(a: float, b: float, period: float, plane: bool) -> float:
    """``a − b`` along one axis: plain, or the shortest way round a circle of length `period`."""
    difference = a - b
    return difference if plane else float(difference - period * np.rint(difference / period))


@kernel
def evaluate(
    x: Floats,
    y: Floats,
    world: World,
    plane: bool,
    t: float,
    portal: bool,
    pulses: Floats,
    p: Floats,
    gx: Floats,
    gy: Floats,
) -> None:
    """Fill `p`, `gx`, `gy` with the pressure at the points `x, y` (px) and its gradient (1/px).

    All float64 (n,). The gradient is 0 where the clamp is active.
    """
    for i in range(len(x)):
        p[i], gx[i], gy[i] = AMBIENT, 0.0, 0.0
        if not portal:
            a, b = x[i] - JET_FROM[0] * world[0], y[i] - JET_FROM[1] * world[1]
            along, across = a * COS + b * SIN, b * COS - a * SIN
            angle = WAVENUMBER * along - JET_OMEGA * t
            envelope = JET_STRENGTH * math.exp(-across * across / (2 * JET_WIDTH * JET_WIDTH))
            jet = envelope * math.sin(angle)
            slope_along = envelope * math.cos(angle) * WAVENUMBER
            slope_across = -jet * across / (JET_WIDTH * JET_WIDTH)
            p[i] += jet
            gx[i] += slope_along * COS - slope_across * SIN
            gy[i] += slope_along * SIN + slope_across * COS
    for k in range(len(pulses)):
        variance = pulses[k, 3] * pulses[k, 3]
        for i in range(len(x)):
            dx = offset(x[i], pulses[k, 0], world[0], plane)
            dy = offset(y[i], pulses[k, 1], world[1], plane)
            pulse = pulses[k, 2] * math.exp(-(dx * dx + dy * dy) / (2 * variance))
            p[i] += pulse
            gx[i] -= pulse * dx / variance
            gy[i] -= pulse * dy / variance
    for i in range(len(x)):
        if p[i] < 0.0 or p[i] > TOP:
            p[i], gx[i], gy[i] = min(max(p[i], 0.0), TOP), 0.0, 0.0


@kernel
def pressure(
    x: Floats, y: Floats, world: World, plane: bool, t: float, portal: bool, pulses: Floats
) -> Floats:
    """Pressure at the points `x`, `y` (float64 arrays of shape (n,), px): float64 (n,), from 0 to 1.3."""
    p, gx, gy = np.empty(len(x)), np.empty(len(x)), np.empty(len(x))
    evaluate(x, y, world, plane, t, portal, pulses, p, gx, gy)
    return p


@kernel
def pressure_grid(
    columns: int, rows: int, world: World, plane: bool, t: float, portal: bool, pulses: Floats
) -> Floats:
    """Pressure at the centres of `columns` × `rows` equal pixels that cover the world.

    Returns float64 (rows, columns), from 0 to 1.3; row 0 is at y = 0. Equal to :func:`pressure` at
    ``x = (column + ½) W / columns``, ``y = (row + ½) H / rows`` up to rounding, but quicker: a pulse is a
    product of a function of x and one of y, and the jet is evaluated only where it is felt.
    """
    p = np.full((rows, columns), AMBIENT)
    if not portal:
        _add_jet(p, world, t)
    across, down = np.empty(columns), np.empty(rows)
    for i in range(len(pulses)):
        scale = -1 / (2 * pulses[i, 3] * pulses[i, 3])
        for column in range(columns):
            dx = offset((column + 0.5) * world[0] / columns, pulses[i, 0], world[0], plane)
            across[column] = pulses[i, 2] * math.exp(dx * dx * scale)
        for row in range(rows):
            dy = offset((row + 0.5) * world[1] / rows, pulses[i, 1], world[1], plane)
            down[row] = math.exp(dy * dy * scale)
        for row in range(rows):
            for column in range(columns):
                p[row, column] += across[column] * down[row]
    for row in range(rows):
        for column in range(columns):
            p[row, column] = min(max(p[row, column], 0.0), TOP)
    return p


@kernel
def _add_jet(p: Floats, world: World, t: float) -> None:
    rows, columns = p.shape
    for row in range(rows):
        b = (row + 0.5) * world[1] / rows - JET_FROM[1] * world[1]
        for column in range(columns):
            a = (column + 0.5) * world[0] / columns - JET_FROM[0] * world[0]
            across = b * COS - a * SIN
            exponent = across * across / (2 * JET_WIDTH * JET_WIDTH)
            if exponent < 40.0:  # beyond, it is less than the rounding of the ambient pressure
                angle = WAVENUMBER * (a * COS + b * SIN) - JET_OMEGA * t
                p[row, column] += JET_STRENGTH * math.exp(-exponent) * math.sin(angle)
