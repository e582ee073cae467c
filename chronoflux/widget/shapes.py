"""Where oscillators are in a picture in space, and what they are seen against: arrays in, arrays out.

All of it is points, which even a browser without a graphics card draws at once. Coordinates are float32
(m, 3), within about ±1.5; colours are whole numbers 0xRRGGBB, uint32 (m,).
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import field
from chronoflux.model.simulation import Snapshot
from chronoflux.render import rasterize

Bytes = NDArray[np.uint8]
Points = NDArray[np.float32]
Packed = NDArray[np.uint32]

MOST_POINTS = 10_000
"""Of a larger swarm one in so many is shown."""
SPAN = 4.0
"""Simulated seconds that a helix goes back."""
MOMENTS = 40
"""Moments of which a helix consists."""
SHEET = 4_000
"""Points, about, of the field's surface."""
RING = 360
"""Points of the ring that is the key to the colours of phases."""
RISE = 0.5
"""Height of a unit of pressure; the field at rest lies at 0."""


def packed(rgb: Bytes) -> Packed:
    """Colours, uint8 (..., 3), as whole numbers, in the order of their places."""
    r, g, b = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    colours: Packed = ((r << 16) | (g << 8) | b).ravel()
    return colours


def ring(height: float = 0.0) -> tuple[Points, NDArray[np.float64]]:
    """Points of a circle at `height`, each at the angle of its phase, and these phases in rad."""
    phi = np.linspace(0, 2 * np.pi, RING, endpoint=False)
    return _stacked(np.cos(phi), np.sin(phi), np.full(len(phi), height)), phi


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


def sheet(snapshot: Snapshot) -> tuple[Points, Bytes, float]:
    """The pressure field as a sheet of points over the world, as high as in :func:`height`.

    Its points, row by row from y = 0; the level of each in a map of pressures, uint8; and how far apart
    they are.
    """
    W, H = snapshot.params.world
    columns = min(max(round((SHEET * W / H) ** 0.5), 2), SHEET // 2)
    rows = SHEET // columns
    plane = snapshot.params.boundary == "plane"
    where = (columns, rows, snapshot.params.world, plane)
    p = field.pressure_grid(*where, snapshot.t, snapshot.portal, snapshot.pulses)
    x = (2 * np.arange(columns) + 1) / columns - 1
    y = (1 - (2 * np.arange(rows) + 1) / rows) * H / W
    places = _stacked(np.tile(x, rows), np.repeat(y, columns), RISE * (p.ravel() - field.AMBIENT))
    return places, rasterize.field_levels(p).ravel(), max(2 / columns, 2 * H / W / rows)


class Helix:
    """The phases of the last :data:`SPAN` seconds, each moment a circle, the present on top."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, Points, NDArray[np.float64]]] = deque(maxlen=MOMENTS)

    def points(self, snapshot: Snapshot) -> tuple[Points, NDArray[np.float64]]:
        """Places and phases of this moment and of those shown before it; a jump in time begins anew.

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
        now = t, _stacked(reach * np.cos(phi), reach * np.sin(phi), np.zeros(len(phi))), phi
        shown = [*moments, *[now] * (MOMENTS + 1 - len(moments))]
        if not moments or t - moments[-1][0] >= SPAN / MOMENTS:
            moments.append(now)
        rise = [np.array([0, 0, 1 - 2 * (t - then) / SPAN], np.float32) for then, _, _ in shown]
        places = [places + up for (_, places, _), up in zip(shown, rise, strict=True)]
        return np.concatenate(places), np.concatenate([phi for _, _, phi in shown])


def _stacked(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> Points:
    return np.column_stack([x, y, z]).astype(np.float32)
