"""The pressure field: a travelling jet and the intent pulses, with the analytic gradient.

``p(x, y, t) = clamp(0.55 + jet + Σ pulses, 0, 1.3)``, dimensionless. All functions are numba kernels on
float64 scalars and arrays, and share these arguments:

- ``world``: tuple ``(W, H)`` in px;
- ``plane``: True for plain distances to a pulse, False for those on the torus (minimum image);
- ``t``: simulated time in s;
- ``portal``: True switches the jet off;
- ``pulses``: float64 array (P, 4), a row ``x, y, E(t), sigma`` for each pulse alive at ``t``, from
  :func:`decay`. P may be 0.
"""

from __future__ import annotations

import math

import numpy as np

from chronoflux.model.engine.arrays import Floats, World
from chronoflux.model.engine.jit import cached_kernel, device_function
from chronoflux.model.engine.math_functions import exponential, sincos

AMBIENT, TOP = 0.55, 1.3
"""Pressure at rest, and the upper clamp (the lower one is 0)."""
JET_STRENGTH = 0.45
JET_FROM = (0.2, 0.78)
"""A point on the jet's axis, as fractions of the world's width and height."""
COS, SIN = math.cos(0.35), math.sin(0.35)
"""Direction of the jet, 0.35 rad."""
WAVENUMBER = 2 * math.pi / 140.0
"""k = 2π/λ in rad/px, λ = 140 px."""
JET_OMEGA = 1.4 * 2.2
"""Angular frequency of the jet in rad/s: 1.4 times the Mach number 2.2."""
JET_WIDTH = 0.33 * 140.0
"""σⱼ, standard deviation of the jet's cross-section, px."""
FAR = 7.0
"""Standard deviations beyond which bounds do not shrink further."""
FAINT = 0.02
"""A pulse ends when its strength falls to this."""
CUTOFF = 40.0
"""Jet and pulses are 0 where they are below ``e^−40`` of their strength: less than the rounding of 0.55."""
BOX_CUTOFF = CUTOFF * (1 + 1e-6)
"""The same for a rectangle around points, with an allowance for rounding."""
BLOCK = 512
"""Points whose pressure is computed together."""


@cached_kernel
def strength(E: float, age: float) -> float:
    """E(t): the strength of a pulse of initial strength `E` after `age` seconds (scalars)."""
    return E * math.pow(0.985, max(age, 0.0) / 0.016)


@cached_kernel
def decay(fired: Floats, t: float, alive: Floats) -> int:
    """Fill `alive` with the pulses that are alive at time `t`; return how many there are.

    `fired`: float64 (P, 5), rows ``x, y, E, sigma, t_k`` as fired. `alive`: float64 (P, 4), filled from the
    top with rows ``x, y, E(t), sigma``, in the same order.
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


@device_function
def offset(a: float, b: float, period: float, plane: bool) -> float:
    """``a − b`` along one axis: plain, or the shortest on a circle of length `period`."""
    difference = a - b
    return difference if plane else float(difference - period * np.rint(difference / period))


@device_function
def bell(exponent: float) -> float:
    """``e^−exponent`` for an exponent >= 0; 0 beyond the cutoff."""
    return exponential(-exponent) if exponent < CUTOFF else 0.0


@device_function
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
    across: Floats,
    down: Floats,
    exponent: Floats,
) -> bool:
    """Fill `p`, `gx`, `gy` with the pressure at the points `x, y` (px) and its gradient (1/px).

    All float64 (n,); `across`, `down`, `exponent` are overwritten. The gradient is 0 where the clamp is
    active. Returns False where neither jet nor pulses reach, and the gradient is 0 everywhere. The compiler
    vectorises each loop. Jet and pulses that reach no point are skipped, so it is best to pass some hundred
    points that lie close together.
    """
    left, right = _extent(x, exponent)
    top, bottom = _extent(y, exponent)
    for i in range(len(x)):
        p[i], gx[i], gy[i] = AMBIENT, 0.0, 0.0
    reached = False
    if (
        not portal
        and _near_jet(left, right, top, bottom, world)
        and _from_axis(x, y, world, across, exponent)
    ):
        reached = True
        _add_jet_and_slope(x, y, world, JET_OMEGA * t, across, exponent, p, gx, gy)
    for k in range(len(pulses)):
        E, per_variance = pulses[k, 2], 1 / (pulses[k, 3] * pulses[k, 3])
        dx = _least_offset(left, right, pulses[k, 0], world[0], plane)
        dy = _least_offset(top, bottom, pulses[k, 1], world[1], plane)
        if (dx * dx + dy * dy) * per_variance / 2 < BOX_CUTOFF and _from_pulse(
            x, y, pulses[k, 0], pulses[k, 1], pulses[k, 3], world, plane, across, down, exponent
        ):
            reached = True
            for i in range(len(x)):
                exponent[i] = E * bell(exponent[i])
            for i in range(len(x)):
                p[i] += exponent[i]
                gx[i] -= exponent[i] * across[i] * per_variance
                gy[i] -= exponent[i] * down[i] * per_variance
    if not reached:
        return False
    for i in range(len(x)):
        free = (p[i] >= 0.0) & (p[i] <= TOP)
        p[i] = min(max(p[i], 0.0), TOP)
        gx[i] = gx[i] if free else 0.0
        gy[i] = gy[i] if free else 0.0
    return True


@device_function
def _extent(x: Floats, spare: Floats) -> tuple[float, float]:
    """The least and the greatest of `x`, all >= 0; `spare`, of the same length, is overwritten."""
    bits, found = x.view(np.int64), spare.view(np.int64)  # ordered as the numbers are
    least = greatest = bits[0]
    for i in range(len(x)):  # a minimum of floats is not vectorised
        least, greatest = min(least, bits[i]), max(greatest, bits[i])
    found[0] = least
    low = spare[0]
    found[0] = greatest
    return low, spare[0]


@device_function
def _near_jet(left: float, right: float, top: float, bottom: float, world: World) -> bool:
    """Whether the jet may reach a rectangle."""
    x0, y0 = JET_FROM[0] * world[0], JET_FROM[1] * world[1]
    above, below = (top - y0) * COS - (right - x0) * SIN, (bottom - y0) * COS - (left - x0) * SIN
    away = max(above, -below, 0.0)
    return away * away / (2 * JET_WIDTH * JET_WIDTH) < BOX_CUTOFF


@device_function
def _least_offset(low: float, high: float, at: float, period: float, plane: bool) -> float:
    """The least offset, in size, from `at` to anything between `low` and `high`."""
    return max(abs(offset((low + high) / 2, at, period, plane)) - (high - low) / 2, 0.0)


@device_function
def _from_axis(x: Floats, y: Floats, world: World, across: Floats, exponent: Floats) -> bool:
    """Fill `across` with distances from the jet's axis, px, and `exponent` with those of its envelope.

    Returns whether the jet reaches any point.
    """
    reached = 0
    x0, y0, scale = JET_FROM[0] * world[0], JET_FROM[1] * world[1], 1 / (2 * JET_WIDTH * JET_WIDTH)
    for i in range(len(x)):
        d = (y[i] - y0) * COS - (x[i] - x0) * SIN
        across[i] = d
        exponent[i] = d * d * scale
        reached |= d * d * scale < CUTOFF
    return reached != 0


@device_function
def _add_jet_and_slope(
    x: Floats,
    y: Floats,
    world: World,
    turned: float,
    across: Floats,
    exponent: Floats,
    p: Floats,
    gx: Floats,
    gy: Floats,
) -> None:
    x0, y0, per_variance = JET_FROM[0] * world[0], JET_FROM[1] * world[1], 1 / (JET_WIDTH * JET_WIDTH)
    for i in range(len(x)):
        exponent[i] = JET_STRENGTH * bell(exponent[i])
    for i in range(len(x)):
        sine, cosine = sincos(WAVENUMBER * ((x[i] - x0) * COS + (y[i] - y0) * SIN) - turned)
        jet = exponent[i] * sine
        across[i] *= -jet * per_variance  # slope across the axis
        exponent[i] *= cosine * WAVENUMBER  # slope along the axis
        p[i] += jet
    for i in range(len(x)):
        gx[i] += exponent[i] * COS - across[i] * SIN
        gy[i] += exponent[i] * SIN + across[i] * COS


@device_function
def _from_pulse(
    x: Floats,
    y: Floats,
    x0: float,
    y0: float,
    sigma: float,
    world: World,
    plane: bool,
    across: Floats,
    down: Floats,
    exponent: Floats,
) -> bool:
    """Fill `across, down` with offsets from a pulse at ``x0, y0``, px, and `exponent` with those of its bell.

    Returns whether the pulse reaches any point.
    """
    reached = 0
    scale, width, height = 1 / (2 * sigma * sigma), 1 / world[0], 1 / world[1]
    around = 0.0 if plane else 1.0
    for i in range(len(x)):
        dx, dy = x[i] - x0, y[i] - y0
        dx -= around * world[0] * np.rint(dx * width)
        dy -= around * world[1] * np.rint(dy * height)
        across[i], down[i] = dx, dy
        exponent[i] = (dx * dx + dy * dy) * scale
        reached |= (dx * dx + dy * dy) * scale < CUTOFF
    return reached != 0


@cached_kernel
def steepest(portal: bool, pulses: Floats) -> float:
    """Bound on the gradient anywhere, now and later, as long as no pulse is added, 1/px.

    `pulses`: float64 (P, 4 or more), rows that begin with ``x, y, E, sigma``.
    """
    bound = 0.0 if portal else JET_STRENGTH * WAVENUMBER
    for k in range(len(pulses)):
        bound += abs(pulses[k, 2]) / (pulses[k, 3] * math.sqrt(math.e))
    return bound


@device_function
def jet_slope(x: float, y: float, radius: float, world: World) -> float:
    """Bound on the jet's gradient within `radius` px of ``x, y``, 1/px."""
    d = abs((y - JET_FROM[1] * world[1]) * COS - (x - JET_FROM[0] * world[0]) * SIN) - radius
    u = min(max(d / JET_WIDTH, 0.0), FAR)
    slope = max(u, 1.0) / JET_WIDTH  # of the envelope; beyond its width the product decreases
    return JET_STRENGTH * math.exp(-0.5 * u * u) * math.sqrt(WAVENUMBER * WAVENUMBER + slope * slope)


@cached_kernel
def pulse_slope(E: float, sigma: float, distance: float) -> float:
    """Bound on a pulse's gradient at `distance` px from its centre and beyond, 1/px."""
    u = min(max(distance / sigma, 1.0), FAR)
    return abs(E) / sigma * u * math.exp(-0.5 * u * u)


@cached_kernel
def pressure(
    x: Floats, y: Floats, world: World, plane: bool, t: float, portal: bool, pulses: Floats
) -> Floats:
    """Pressure at the points `x`, `y` (float64 arrays of shape (n,), px): float64 (n,), from 0 to 1.3.

    Fastest where points that lie close together follow each other.
    """
    p, spare = np.empty(len(x)), np.empty((5, BLOCK))
    for a in range(0, len(x), BLOCK):
        b = min(a + BLOCK, len(x))
        gx, gy, one, two, three = spare[0, : b - a], spare[1, : b - a], spare[2], spare[3], spare[4]
        evaluate(x[a:b], y[a:b], world, plane, t, portal, pulses, p[a:b], gx, gy, one, two, three)
    return p


@cached_kernel
def pressure_grid(
    columns: int, rows: int, world: World, plane: bool, t: float, portal: bool, pulses: Floats
) -> Floats:
    """Pressure at the centres of `columns` × `rows` equal pixels that cover the world.

    Returns float64 (rows, columns), from 0 to 1.3; row 0 is at y = 0. Equal to :func:`pressure` at
    ``x = (column + ½) W / columns``, ``y = (row + ½) H / rows`` up to rounding, but faster: a pulse is a
    product of a function of x and one of y, and the jet is computed only where it reaches.
    """
    p, bells = np.empty((rows, columns)), np.empty((len(pulses), columns))
    x = (np.arange(columns) + 0.5) * (world[0] / columns)
    for i in range(len(pulses)):
        for column in range(columns):
            dx = offset(x[column], pulses[i, 0], world[0], plane)
            bells[i, column] = pulses[i, 2] * math.exp(-dx * dx / (2 * pulses[i, 3] * pulses[i, 3]))
    along, sines, cosines = np.empty(columns), np.empty(columns), np.empty(columns)
    for column in range(columns):
        along[column] = x[column] - JET_FROM[0] * world[0]
    for column in range(columns):
        sines[column], cosines[column] = sincos(WAVENUMBER * COS * along[column] - JET_OMEGA * t)
    for row in range(rows):  # whole rows, which fit the processor's L1 cache
        line, y = p[row], (row + 0.5) * world[1] / rows
        for column in range(columns):
            line[column] = AMBIENT
        if not portal:
            _add_jet(line, along, sines, cosines, y - JET_FROM[1] * world[1])
        for i in range(len(pulses)):
            dy = offset(y, pulses[i, 1], world[1], plane)
            share, bell_across = math.exp(-dy * dy / (2 * pulses[i, 3] * pulses[i, 3])), bells[i]
            for column in range(columns):
                line[column] += share * bell_across[column]
        for column in range(columns):
            line[column] = min(max(line[column], 0.0), TOP)
    return p


@device_function
def _add_jet(line: Floats, along: Floats, sines: Floats, cosines: Floats, b: float) -> None:
    """Add the jet to a row of pixels that lies `b` px below the point ``JET_FROM``.

    `along`: their distances to the right of that point, px, ascending; `sines, cosines`: of the wave's phase
    there. The row adds to that phase: ``sin(a + b) = sin a cos b + cos a sin b``.
    """
    sine, cosine = sincos(WAVENUMBER * SIN * b)
    scale, reached = 1 / (2 * JET_WIDTH * JET_WIDTH), JET_WIDTH * math.sqrt(2 * CUTOFF)
    first = np.searchsorted(along, (b * COS - reached) / SIN)
    last = np.searchsorted(along, (b * COS + reached) / SIN)
    line, along, sines, cosines = line[first:last], along[first:last], sines[first:last], cosines[first:last]
    for i in range(len(line)):
        across = b * COS - along[i] * SIN
        line[i] += JET_STRENGTH * bell(across * across * scale) * (sines[i] * cosine + cosines[i] * sine)
