"""Where oscillators are in a picture in space: arrays in, arrays out.

Coordinates are float32 (m, 3), within about ±1.5; colours are whole numbers 0xRRGGBB, uint32 (m,).
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from chronoflux.model import field, raster
from chronoflux.model.simulation import Snapshot

Points = NDArray[np.float32]
Packed = NDArray[np.uint32]

MOST_POINTS = 10_000
"""Of a larger swarm one in so many is shown."""
SPAN = 4.0
"""Simulated seconds that a helix goes back."""
MOMENTS = 40
"""Moments of which a helix consists."""
GRID = (56, 42)
"""Columns and rows of the field's surface."""
RISE = 0.5
"""Height of a unit of pressure; the field at rest lies at 0."""


def packed(phi: NDArray[np.float64]) -> Packed:
    """The colours of phases (m,) in rad."""
    r, g, b = raster.phase_colours(phi).astype(np.uint32).T
    colours: Packed = (r << 16) | (g << 8) | b
    return colours


def ring(height: float = 0.0) -> tuple[Points, Packed]:
    """A closed circle at `height`, each point at the angle of the phase whose colour it has: the key."""
    phi = np.linspace(0, 2 * np.pi, 129)
    return _stacked(np.cos(phi), np.sin(phi), np.full(len(phi), height)), packed(phi)


def torus(snapshot: Snapshot) -> Points:
    """Each oscillator on a ring at the angle of its phase; where on the ring's cross-section: its place.

    Round the cross-section goes x, outward y. Locked oscillators are one slice of the ring, waves a spiral.
    """
    W, H = snapshot.params.world
    around, out = 2 * np.pi * snapshot.x / W, 0.15 + 0.3 * snapshot.y / H
    reach = 1 + out * np.cos(around)
    return _stacked(reach * np.cos(snapshot.phi), reach * np.sin(snapshot.phi), out * np.sin(around))


def height(snapshot: Snapshot) -> Points:
    """Each oscillator above its place, as high as the pressure there."""
    W, H = snapshot.params.world
    x, y = 2 * snapshot.x / W - 1, (1 - 2 * snapshot.y / H) * H / W
    return _stacked(x, y, RISE * (snapshot.pressure - field.AMBIENT) + 0.02)


def surface(snapshot: Snapshot) -> tuple[Points, tuple[float, float]]:
    """The pressure field as heights, float32 (rows, columns), first row at the bottom; and half its sides.

    As high as in :func:`height`.
    """
    W, H = snapshot.params.world
    plane = snapshot.params.boundary == "plane"
    shape = (*GRID, snapshot.params.world, plane, snapshot.t, snapshot.portal, snapshot.pulses)
    p = field.pressure_grid(*shape)
    return (RISE * (p[::-1] - field.AMBIENT)).astype(np.float32), (1.0, H / W)


class Helix:
    """The phases of the last :data:`SPAN` seconds, each moment a circle, the present on top."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, Points, Packed]] = deque(maxlen=MOMENTS)

    def points(self, snapshot: Snapshot) -> tuple[Points, Packed]:
        """Places and colours of this moment and of those shown before it; a jump in time begins anew.

        The farther from the axis the farther right an oscillator is. As many points for as many oscillators:
        what has no past yet stands there several times.
        """
        moments, t = self._moments, snapshot.t
        step = -(-len(snapshot.phi) * MOMENTS // MOST_POINTS) or 1
        phi, reach = snapshot.phi[::step], 0.5 + 0.5 * snapshot.x[::step] / snapshot.params.world[0]
        if moments and not (moments[-1][0] <= t <= moments[-1][0] + SPAN / 4):
            moments.clear()
        if moments and len(moments[-1][1]) != len(phi):
            moments.clear()
        while moments and t - moments[0][0] > SPAN:
            moments.popleft()
        now = t, _stacked(reach * np.cos(phi), reach * np.sin(phi), np.zeros(len(phi))), packed(phi)
        shown = [*moments, *[now] * (MOMENTS + 1 - len(moments))]
        if not moments or t - moments[-1][0] >= SPAN / MOMENTS:
            moments.append(now)
        rise = [np.array([0, 0, 1 - 2 * (t - then) / SPAN], np.float32) for then, _, _ in shown]
        places = [places + up for (_, places, _), up in zip(shown, rise, strict=True)]
        return np.concatenate(places), np.concatenate([colours for _, _, colours in shown])


def _stacked(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> Points:
    return np.column_stack([x, y, z]).astype(np.float32)
