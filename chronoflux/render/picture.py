"""Compose the picture of a swarm: a snapshot in, arrays in px out. Drawing them is left to the caller.

:func:`compose` is the only step between a :class:`~chronoflux.model.simulation.Snapshot` and what is drawn:
the live view sends a :class:`Picture` to a browser, :mod:`~chronoflux.render.static_image` draws it as PNG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import Floats
from chronoflux.model.metrics import order
from chronoflux.model.params import Params
from chronoflux.model.simulation import Snapshot
from chronoflux.render import rasterize
from chronoflux.render.field_raster import rasterize_field
from chronoflux.render.palettes import DEFAULT_PALETTE, LEVELS, PALETTES

Bytes = NDArray[np.uint8]
Singles = NDArray[np.float32]

MAX_SIZE = (800, 600)
"""Largest width and height of a picture, px. A picture keeps the world's proportions within this box."""
FIELD_PIXEL = 4
"""Side of a computed pixel of the pressure field, px of the picture. The field is smooth and interpolated."""
MAX_VECTORS = 2_000
"""Largest swarm drawn as vector graphics. The oscillators of a larger swarm are drawn into the raster."""
MAX_DOTS = 250_000
"""Most oscillators drawn, about half the px of a picture. Of a larger swarm every k-th is drawn."""
SINGLE_PIXEL_FROM = 12_000
"""Above this number an oscillator is drawn as a single px."""


def stride(n: int) -> int:
    """Return the sampling stride of a swarm of `n` >= 1 oscillators: every how many-th is drawn."""
    return -(-n // MAX_DOTS)


class MeanField(NamedTuple):
    """A mean field on the phase clock: order ``R`` (0 to 1), phase ``psi`` (rad), label ("" for our own)."""

    R: float
    psi: float
    label: str = ""


@dataclass(frozen=True)
class Picture:
    """The content of one frame. It owns its arrays, which must not be changed.

    Attributes
    ----------
    size
        Width and height, px.
    levels, colours
        uint8 (rows, columns) and uint8 (256, 3): the field, with the oscillators of a large swarm in it.
    x, y, radius, hues, alpha
        Oscillators of a small swarm: float32 (m,) px, px, uint8 (m, 3), float32 (m,).
    rings
        Pulses, float32 (p, 4): rows of ``x, y, radius, alpha``.
    mean_fields
        Mean fields for the phase clock, our own first.
    portal
        Whether portal mode is on.
    palette
        Name of the palette in `PALETTES`.
    """

    size: tuple[int, int]
    levels: Bytes
    colours: Bytes
    x: Singles
    y: Singles
    radius: float
    hues: Bytes
    alpha: Singles
    rings: Singles
    mean_fields: tuple[MeanField, ...]
    portal: bool
    palette: str


def picture_size(world: tuple[float, float]) -> tuple[int, int]:
    """Return width and height (px) of the picture of a `world`: its proportions, within `MAX_SIZE`."""
    scale = min(MAX_SIZE[0] / world[0], MAX_SIZE[1] / world[1])
    return max(round(world[0] * scale), 1), max(round(world[1] * scale), 1)


def compose(
    snapshot: Snapshot,
    peers: Sequence[MeanField] = (),
    palette: str = DEFAULT_PALETTE,
    own: MeanField | None = None,
) -> Picture:
    """Compose the picture of a snapshot.

    Parameters
    ----------
    snapshot
        The swarm to show.
    peers
        Peers' mean fields for the phase clock, ``psi`` relative to the swarm's own (rad).
    palette
        A name in `PALETTES`.
    own
        The swarm's own mean field; by default it is computed from the snapshot.
    """
    params, n, maps = snapshot.params, len(snapshot.x), PALETTES[palette]
    size = picture_size(params.world)
    scale, own = size[0] / params.world[0], mean_field(snapshot) if own is None else own
    if n > MAX_VECTORS:
        levels, vectors = _field(snapshot, *size, rasterize.FIELD_LEVELS), slice(0)
        swarm = snapshot.x, snapshot.y, snapshot.phi, snapshot.pressure
        rasterize.draw_swarm(levels, *swarm, scale, 0 if n > SINGLE_PIXEL_FROM else 1, stride(n))
        colours = rasterize.swarm_colormap(palette, snapshot.portal)
    else:
        columns, rows = (max(side // FIELD_PIXEL, 1) for side in size)
        levels, vectors = _field(snapshot, columns, rows, LEVELS), slice(n)
        colours = maps.portal if snapshot.portal else maps.field
    return Picture(
        size=size,
        levels=levels,
        colours=colours,
        x=(snapshot.x[vectors] * scale).astype(np.float32),
        y=(snapshot.y[vectors] * scale).astype(np.float32),
        radius=_dot_radius(size[0] * size[1], n),
        hues=rasterize.phase_colours(snapshot.phi[vectors], maps.phases),
        alpha=rasterize.opacity(snapshot.pressure[vectors]),
        rings=_rings(snapshot.pulses, params, scale),
        mean_fields=(own, *(peer._replace(psi=own.psi + peer.psi) for peer in peers)),
        portal=snapshot.portal,
        palette=palette,
    )


def mean_field(snapshot: Snapshot) -> MeanField:
    """Return the mean field of a swarm; ``R`` = 0 for an empty swarm."""
    return MeanField(*order(snapshot.phi)) if len(snapshot.phi) else MeanField(0.0, 0.0)


def _field(snapshot: Snapshot, columns: int, rows: int, levels: int) -> Bytes:
    """Return the pressure field as a raster of `levels` levels."""
    world, plane = snapshot.params.world, snapshot.params.boundary == "plane"
    return rasterize_field(columns, rows, world, plane, snapshot.t, snapshot.portal, snapshot.pulses, levels)


def _dot_radius(area: float, n: int) -> float:
    """Return the radius, 1.2 to 5.5 px, at which `n` dots cover about a thirtieth of `area` (px²)."""
    return min(max(math.sqrt(area / (30 * math.pi * max(n, 1))), 1.2), 5.5)


def _rings(pulses: Floats, params: Params, scale: float) -> Singles:
    """Return a ring of radius σ around each pulse, fading as it decays; on the torus with its images."""
    W, H = params.world
    wraps = (-1, 0, 1) if params.boundary == "torus" else (0,)
    rows = [
        ((x + i * W) * scale, (y + j * H) * scale, sigma * scale, min(E / 0.35, 1.0))
        for x, y, E, sigma in pulses
        for i in wraps
        for j in wraps
        if -sigma < x + i * W < W + sigma and -sigma < y + j * H < H + sigma
    ]
    return np.array(rows, np.float32).reshape(-1, 4)
