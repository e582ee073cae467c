"""`Picture`: what one frame shows, as arrays in px, made from a snapshot. Other modules draw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine.arrays import Floats
from chronoflux.model.metrics import order
from chronoflux.model.params import Params
from chronoflux.model.simulation import Snapshot
from chronoflux.render import rasterize
from chronoflux.render.field_raster import ground
from chronoflux.render.palettes import LEVELS, PALETTES, USUAL

Bytes = NDArray[np.uint8]
Singles = NDArray[np.float32]

PICTURE = (800, 600)
"""Largest width and height of a picture, px. A picture keeps the world's proportions within this box."""
GRAIN = 4
"""Picture px per computed pixel of the pressure field, which is smooth and is interpolated."""
VECTORS = 2_000
"""Largest swarm whose oscillators are drawn one by one. Larger swarms are drawn into the field's pixels."""
MOST_DOTS = 250_000
"""Most oscillators drawn, about half the px of a picture. Of a larger swarm every k-th is drawn."""
CROWDED = 12_000
"""Above this number an oscillator is drawn as a single px."""


def sampled(n: int) -> int:
    """Return the sampling stride of a swarm of `n` >= 1: one oscillator in so many is drawn."""
    return -(-n // MOST_DOTS)


class Hand(NamedTuple):
    """A mean field on the phase clock: length ``R`` (0 to 1), angle ``psi`` (rad). Our own has no label."""

    label: str
    R: float
    psi: float


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
    hands
        Mean fields, our own first.
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
    hands: tuple[Hand, ...]
    portal: bool
    palette: str


def picture_size(world: tuple[float, float]) -> tuple[int, int]:
    """Return width and height (px) of the picture of a `world`: its proportions, within `PICTURE`."""
    scale = min(PICTURE[0] / world[0], PICTURE[1] / world[1])
    return max(round(world[0] * scale), 1), max(round(world[1] * scale), 1)


def compose(
    snapshot: Snapshot, peers: Sequence[Hand] = (), palette: str = USUAL, own: Hand | None = None
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
    params, n, paint = snapshot.params, len(snapshot.x), PALETTES[palette]
    size = picture_size(params.world)
    scale, own = size[0] / params.world[0], own_hand(snapshot) if own is None else own
    if n > VECTORS:
        levels, few = _ground(snapshot, *size, rasterize.GROUNDS), slice(0)
        swarm = snapshot.x, snapshot.y, snapshot.phi, snapshot.pressure
        rasterize.add_swarm(levels, *swarm, scale, 0 if n > CROWDED else 1, sampled(n))
        colours = rasterize.swarm_colours(palette, snapshot.portal)
    else:
        few = slice(n)
        levels = _ground(snapshot, max(size[0] // GRAIN, 1), max(size[1] // GRAIN, 1), LEVELS)
        colours = paint.portal if snapshot.portal else paint.field
    return Picture(
        size=size,
        levels=levels,
        colours=colours,
        x=(snapshot.x[few] * scale).astype(np.float32),
        y=(snapshot.y[few] * scale).astype(np.float32),
        radius=_dot_radius(size[0] * size[1], n),
        hues=rasterize.phase_colours(snapshot.phi[few], paint.phases),
        alpha=rasterize.opacity(snapshot.pressure[few]),
        rings=_rings(snapshot.pulses, params, scale),
        hands=(own, *(hand._replace(psi=own.psi + hand.psi) for hand in peers)),
        portal=snapshot.portal,
        palette=palette,
    )


def _ground(snapshot: Snapshot, columns: int, rows: int, levels: int) -> Bytes:
    """Return the field at the pixels of a picture, quantised to `levels` levels."""
    plane = snapshot.params.boundary == "plane"
    shape = columns, rows, snapshot.params.world, plane
    return ground(*shape, snapshot.t, snapshot.portal, snapshot.pulses, levels)


def own_hand(snapshot: Snapshot) -> Hand:
    """Return the swarm's own mean field; 0 for an empty swarm."""
    if not len(snapshot.phi):
        return Hand("", 0.0, 0.0)
    return Hand("", *order(snapshot.phi))


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
