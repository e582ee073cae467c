"""Positions of oscillators in a three-dimensional picture, and its background: arrays in, arrays out.

Everything is drawn as points, which browsers draw fast even without a graphics card. Coordinates are float32
(m, 3), within about ±1.5; colours are integers 0xRRGGBB, uint32 (m,).
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
"""Most oscillators shown; of a larger swarm every k-th is shown."""
SPAN = 4.0
"""Length of a helix, simulated seconds."""
MOMENTS = 40
"""Number of moments in a helix."""
SHEET = 4_000
"""Approximate number of points of the field's surface."""
RING = 360
"""Points of the ring that is the colour key of phases."""
RISE = 0.5
"""Height per unit of pressure; the field at rest lies at height 0."""


def packed(rgb: Bytes) -> Packed:
    """Pack RGB colours, uint8 (..., 3), into integers 0xRRGGBB, uint32 (m,), in C order."""
    r, g, b = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    colours: Packed = ((r << 16) | (g << 8) | b).ravel()
    return colours


def ring(height: float = 0.0) -> tuple[Points, NDArray[np.float64]]:
    """Return points (RING, 3) of a unit circle at `height`, and their phases (angles) in rad (RING,)."""
    phi = np.linspace(0, 2 * np.pi, RING, endpoint=False)
    return _stacked(np.cos(phi), np.sin(phi), np.full(len(phi), height)), phi


def torus(snapshot: Snapshot) -> Points:
    """Return the oscillators' positions (n, 3) on a torus.

    The phase is the angle along the ring. In the ring's cross-section x is the angle and y the distance from
    the centre. Locked oscillators form one slice of the ring, waves form a spiral.
    """
    W, H = snapshot.params.world
    around, out = 2 * np.pi * snapshot.x / W, 0.15 + 0.3 * snapshot.y / H
    reach = 1 + out * np.cos(around)
    return _stacked(reach * np.cos(snapshot.phi), reach * np.sin(snapshot.phi), out * np.sin(around))


def height(snapshot: Snapshot) -> Points:
    """Return the oscillators' positions (n, 3): each above its place, at the height of the pressure there."""
    W, H = snapshot.params.world
    x, y = 2 * snapshot.x / W - 1, (1 - 2 * snapshot.y / H) * H / W
    return _stacked(x, y, RISE * (snapshot.pressure - field.AMBIENT) + 0.02)


def sheet(snapshot: Snapshot) -> tuple[Points, Bytes, float]:
    """Return the pressure field as a sheet of points over the world, with the heights of :func:`height`.

    Returns
    -------
    tuple
        The points (m, 3), row by row from y = 0; the level of each in a colour map of pressures, uint8 (m,);
        and the distance between neighbouring points.
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
    """The phases of the last :data:`SPAN` simulated seconds: each moment is a circle, the present on top."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, Points, NDArray[np.float64]]] = deque(maxlen=MOMENTS)

    def points(self, snapshot: Snapshot) -> tuple[Points, NDArray[np.float64]]:
        """Return positions (m, 3) and phases (m,) in rad of this moment and of earlier ones.

        A jump in time starts a new helix. The distance from the axis grows with x. The number of points
        depends on the number of oscillators only: while the past is short, the present is repeated.
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
