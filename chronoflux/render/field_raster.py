"""Rasterise the pressure field to levels, row by row, with the formula of `chronoflux.model.engine.field`.

It computes in float32, as pictures have at most 256 levels: errors are about a thousandth of a level, so a
few pixels are one level off. It takes a third of the time of levels made from
:func:`~chronoflux.model.engine.field.pressure_grid`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import (
    AMBIENT,
    COS,
    JET_FROM,
    JET_OMEGA,
    JET_STRENGTH,
    JET_WIDTH,
    SIN,
    TOP,
    WAVENUMBER,
    Floats,
    World,
    cached_kernel,
    device_function,
    offset,
    sincos,
    single_exponential,
)
from chronoflux.render.palettes import LEVELS, Bytes

Singles = NDArray[np.float32]

UNSEEN = 16.0
"""Cutoff exponent: a jet or pulse below ``e^−16`` of its strength is invisible and is not drawn."""
_REST, _ZERO, _HALF = np.float32(AMBIENT), np.float32(0), np.float32(0.5)
_PER_VARIANCE = np.float32(-1 / (2 * JET_WIDTH * JET_WIDTH))


def rasterize_field(
    columns: int,
    rows: int,
    world: World,
    plane: bool,
    t: float,
    portal: bool,
    pulses: Floats,
    levels: int = LEVELS,
) -> Bytes:
    """Return the pressure field as levels: one value per pixel, at the centre of the pixel.

    Parameters
    ----------
    columns, rows
        Size of the raster, px.
    world
        Width and height of the world, px.
    plane
        Whether the world is a plane (else a torus).
    t
        Simulated time, s.
    portal
        Whether portal mode is on, in which there is no jet.
    pulses
        float64 (p, 4): rows of x, y (px), amplitude E, width σ (px).
    levels
        Number of levels that pressures from 0 to 1.3 are mapped to.

    Returns
    -------
    ndarray
        uint8 (rows, columns); row 0 is at y = 0.
    """
    raster = np.empty((rows, columns), np.uint8)
    _fill(raster, levels - 1, world, plane, t, portal, pulses)
    return raster


@cached_kernel
def _fill(raster: Bytes, top: int, world: World, plane: bool, t: float, portal: bool, pulses: Floats) -> None:
    rows, columns = raster.shape
    x = (np.arange(columns) + 0.5) * (world[0] / columns)
    pulse_x = np.empty((len(pulses), columns), np.float32)  # a pulse is a factor in x times one in y
    for k in range(len(pulses)):
        for column in range(columns):
            dx = offset(x[column], pulses[k, 0], world[0], plane)
            pulse_x[k, column] = pulses[k, 2] * math.exp(-dx * dx / (2 * pulses[k, 3] * pulses[k, 3]))
    along = x - JET_FROM[0] * world[0]
    steps, sines, cosines = (
        np.empty(columns, np.float32),
        np.empty(columns, np.float32),
        np.empty(columns, np.float32),
    )
    for column in range(columns):
        steps[column] = (x[column] - x[0]) * SIN
        sines[column], cosines[column] = sincos(WAVENUMBER * COS * along[column] - JET_OMEGA * t)
    line = np.empty(columns, np.float32)
    for row in range(rows):  # whole rows, which fit the processor's L1 cache
        y = (row + 0.5) * world[1] / rows
        for column in range(columns):
            line[column] = _REST
        if not portal:
            _add_jet(line, along, steps, sines, cosines, y - JET_FROM[1] * world[1])
        for k in range(len(pulses)):
            dy = offset(y, pulses[k, 1], world[1], plane)
            exponent = dy * dy / (2 * pulses[k, 3] * pulses[k, 3])
            if exponent < UNSEEN:
                pulse_y, row_x = np.float32(math.exp(-exponent)), pulse_x[k]
                for column in range(columns):
                    line[column] += pulse_y * row_x[column]
        _quantise(line, np.float32(top / TOP), np.float32(top), raster[row])


@device_function
def _add_jet(
    line: Singles, along: Floats, steps: Singles, sines: Singles, cosines: Singles, b: float
) -> None:
    """Add the jet to a row of pixels, as in :mod:`chronoflux.model.engine.field`.

    `steps`: each pixel's offset across the jet's axis relative to the row's first pixel, px of the world.
    """
    phase = sincos(WAVENUMBER * SIN * b)
    sine, cosine = np.float32(JET_STRENGTH * phase[0]), np.float32(JET_STRENGTH * phase[1])
    reach = JET_WIDTH * math.sqrt(2 * UNSEEN)  # half width of the visible jet, px
    first = np.searchsorted(along, (b * COS - reach) / SIN)
    last = np.searchsorted(along, (b * COS + reach) / SIN)
    if first == last:
        return
    start = np.float32(b * COS - along[first] * SIN)  # computed in float64: exact even in a large world
    line, steps = line[first:last], steps[: last - first]
    sines, cosines = sines[first:last], cosines[first:last]
    for i in range(len(line)):
        across = start - steps[i]
        envelope = single_exponential(across * across * _PER_VARIANCE)
        line[i] += envelope * (sines[i] * cosine + cosines[i] * sine)


@device_function
def _quantise(line: Singles, scale: np.float32, top: np.float32, levels: Bytes) -> None:
    for i in range(len(line)):
        level = line[i] * scale
        level = level if level >= _ZERO else _ZERO
        level = level if level <= top else top
        levels[i] = np.uint8(np.int32(level + _HALF))
