"""Compose the three-dimensional picture of a swarm: a snapshot in, a cloud of points out.

Everything is drawn as points, which browsers draw fast even without a graphics card. Coordinates are float32
(m, 3), within about ±1.5; colours are integers 0xRRGGBB, uint32 (m,).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import AMBIENT, pressure_grid
from chronoflux.model.simulation import Snapshot
from chronoflux.render import rasterize
from chronoflux.render.palettes import Palette

Bytes = NDArray[np.uint8]
Points = NDArray[np.float32]
PackedColours = NDArray[np.uint32]

LAYOUTS = ("torus", "helix", "height")
"""Layouts: position by phase, on a torus or along a helix in time; or height by pressure over the field."""
MAX_POINTS = 10_000
"""Most oscillators shown; of a larger swarm every k-th is shown."""
HELIX_SPAN = 4.0
"""Length of a helix, simulated seconds."""
HELIX_MOMENTS = 40
"""Number of moments in a helix."""
SURFACE_POINTS = 4_000
"""Approximate number of points of the field's surface."""
RING_POINTS = 360
"""Points of the ring that is the colour key of phases."""
RISE = 0.5
"""Height per unit of pressure; the field at rest lies at height 0."""


class PointCloud(NamedTuple):
    """Points of a three-dimensional picture: first the background, then the oscillators.

    ``positions`` float32 (m, 3), ``colours`` uint32 (m,), ``sizes`` (diameters) float32 (m,).
    """

    positions: Points
    colours: PackedColours
    sizes: NDArray[np.float32]


def compose_cloud(snapshot: Snapshot, layout: str, palette: Palette, helix: Helix) -> PointCloud:
    """Compose the point cloud of a snapshot.

    Parameters
    ----------
    snapshot
        The swarm to show.
    layout
        One of `LAYOUTS`.
    palette
        Colours of phases and of the field.
    helix
        The swarm's recent past, used and continued by the layout ``"helix"``.
    """
    every = slice(None, None, -(-len(snapshot.phi) // MAX_POINTS) or 1)
    if layout == "height":
        background, levels, spacing = surface(snapshot)
        background_rgb = (palette.portal if snapshot.portal else palette.field)[levels]
        positions, phi, background_size = height(snapshot)[every], snapshot.phi[every], 1.2 * spacing
    else:
        background, ring_phases = ring(1.0 if layout == "helix" else 0.0)
        background_rgb, background_size = rasterize.phase_colours(ring_phases, palette.phases), 0.02
        if layout == "helix":
            positions, phi = helix.points(snapshot)
        else:
            positions, phi = torus(snapshot)[every], snapshot.phi[every]
    rgb = np.concatenate([background_rgb, rasterize.phase_colours(phi, palette.phases)])
    size = min(max(1.2 / max(len(positions), 1) ** 0.5, 0.016), 0.06)
    sizes = np.concatenate([np.full(len(background), background_size), np.full(len(positions), size)])
    return PointCloud(np.concatenate([background, positions]), packed_colours(rgb), sizes.astype(np.float32))


def packed_colours(rgb: Bytes) -> PackedColours:
    """Pack RGB colours, uint8 (..., 3), into integers 0xRRGGBB, uint32 (m,), in C order."""
    r, g, b = np.moveaxis(rgb.astype(np.uint32), -1, 0)
    colours: PackedColours = ((r << 16) | (g << 8) | b).ravel()
    return colours


def ring(z: float = 0.0) -> tuple[Points, NDArray[np.float64]]:
    """Return points (m, 3) of a unit circle at height `z`, and their phases (angles) in rad (m,)."""
    phi = np.linspace(0, 2 * np.pi, RING_POINTS, endpoint=False)
    return _points(np.cos(phi), np.sin(phi), np.full(len(phi), z)), phi


def torus(snapshot: Snapshot) -> Points:
    """Return the oscillators' positions (n, 3) on a torus.

    The phase is the angle along the ring. In the ring's cross-section x is the angle and y the distance from
    the centre. Locked oscillators form one slice of the ring, waves form a spiral.
    """
    W, H = snapshot.params.world
    angle, radius = 2 * np.pi * snapshot.x / W, 0.15 + 0.3 * snapshot.y / H
    distance = 1 + radius * np.cos(angle)
    return _points(distance * np.cos(snapshot.phi), distance * np.sin(snapshot.phi), radius * np.sin(angle))


def height(snapshot: Snapshot) -> Points:
    """Return the oscillators' positions (n, 3): each above its place, at the height of the pressure there."""
    W, H = snapshot.params.world
    x, y = 2 * snapshot.x / W - 1, (1 - 2 * snapshot.y / H) * H / W
    return _points(x, y, RISE * (snapshot.pressure - AMBIENT) + 0.02)


def surface(snapshot: Snapshot) -> tuple[Points, Bytes, float]:
    """Return the pressure field as a surface of points over the world, with the heights of :func:`height`.

    Returns
    -------
    tuple
        The points (m, 3), row by row from y = 0; the level of each in a colour map of pressures, uint8 (m,);
        and the distance between neighbouring points.
    """
    W, H = snapshot.params.world
    columns = min(max(round((SURFACE_POINTS * W / H) ** 0.5), 2), SURFACE_POINTS // 2)
    rows = SURFACE_POINTS // columns
    plane = snapshot.params.boundary == "plane"
    p = pressure_grid(
        columns, rows, snapshot.params.world, plane, snapshot.t, snapshot.portal, snapshot.pulses
    )
    x = (2 * np.arange(columns) + 1) / columns - 1
    y = (1 - (2 * np.arange(rows) + 1) / rows) * H / W
    points = _points(np.tile(x, rows), np.repeat(y, columns), RISE * (p.ravel() - AMBIENT))
    return points, rasterize.field_levels(p).ravel(), max(2 / columns, 2 * H / W / rows)


class Helix:
    """The phases of the last `HELIX_SPAN` simulated seconds: each moment is a circle, the present on top."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, Points, NDArray[np.float64]]] = deque(maxlen=HELIX_MOMENTS)

    def points(self, snapshot: Snapshot) -> tuple[Points, NDArray[np.float64]]:
        """Return positions (m, 3) and phases (m,) in rad of this moment and of earlier ones.

        A jump in time starts a new helix. The distance from the axis grows with x. The number of points
        depends on the number of oscillators only: while the past is short, the present is repeated.
        """
        moments, t = self._moments, snapshot.t
        step = -(-len(snapshot.phi) * HELIX_MOMENTS // MAX_POINTS) or 1
        phi, radius = snapshot.phi[::step], 0.5 + 0.5 * snapshot.x[::step] / snapshot.params.world[0]
        if moments and not (moments[-1][0] <= t <= moments[-1][0] + HELIX_SPAN / 4):
            moments.clear()
        if moments and len(moments[-1][1]) != len(phi):
            moments.clear()
        while moments and t - moments[0][0] > HELIX_SPAN:
            moments.popleft()
        now = t, _points(radius * np.cos(phi), radius * np.sin(phi), np.zeros(len(phi))), phi
        shown = [*moments, *[now] * (HELIX_MOMENTS + 1 - len(moments))]
        if not moments or t - moments[-1][0] >= HELIX_SPAN / HELIX_MOMENTS:
            moments.append(now)
        rise = [np.array([0, 0, 1 - 2 * (t - then) / HELIX_SPAN], np.float32) for then, _, _ in shown]
        positions = [circle + up for (_, circle, _), up in zip(shown, rise, strict=True)]
        return np.concatenate(positions), np.concatenate([phi for _, _, phi in shown])


def _points(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> Points:
    return np.column_stack([x, y, z]).astype(np.float32)
