"""What one frame shows, as arrays in px of the picture: made from a snapshot, drawn by others."""

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
"""The box, in px, that a picture of the world fills as far as its proportions allow."""
GRAIN = 4
"""Picture px to one pixel of the pressure field, which is smooth and is enlarged smoothly."""
VECTORS = 2_000
"""The largest swarm whose oscillators are drawn one by one. A larger one is part of the field's picture."""
MOST_DOTS = 250_000
"""A larger swarm is shown by a sample, one in so many: half as many as a picture has px."""
CROWDED = 12_000
"""From here on a dot is a single px."""


def sampled(n: int) -> int:
    """Of `n` oscillators, at least one, one in so many is drawn."""
    return -(-n // MOST_DOTS)


class Hand(NamedTuple):
    """A mean field on the phase clock: ``R`` from 0 to 1 long, at ``psi`` rad; the own one has no label."""

    label: str
    R: float
    psi: float


@dataclass(frozen=True)
class Picture:
    """One frame. Arrays are its own; nobody changes them.

    ``size``: width and height in px.
    ``levels`` uint8 (rows, columns) and ``colours`` (256, 3): the field, and in it the oscillators of a
    large swarm. ``x, y`` float32 (m,), ``radius``, ``hues`` uint8 (m, 3), ``alpha`` float32 (m,): the
    oscillators of a small one. ``rings``: float32 (p, 4), rows ``x, y, radius, alpha``: the pulses.
    ``hands``: own mean field first. ``palette``: what it is painted with, a name in `PALETTES`.
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
    """Width and height in px of the picture of a `world`: its proportions, within `PICTURE`."""
    scale = min(PICTURE[0] / world[0], PICTURE[1] / world[1])
    return max(round(world[0] * scale), 1), max(round(world[1] * scale), 1)


def compose(
    snapshot: Snapshot, peers: Sequence[Hand] = (), palette: str = USUAL, own: Hand | None = None
) -> Picture:
    """The picture of a snapshot; `peers` are the mean fields of others for the phase clock, with
    ``psi`` relative to the swarm's own; that is `own`, if it is not to be taken from the snapshot."""
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
    """The field at the pixels of a picture, in so many levels."""
    plane = snapshot.params.boundary == "plane"
    shape = columns, rows, snapshot.params.world, plane
    return ground(*shape, snapshot.t, snapshot.portal, snapshot.pulses, levels)


def own_hand(snapshot: Snapshot) -> Hand:
    """The mean field of the swarm itself; of no oscillators 0."""
    if not len(snapshot.phi):
        return Hand("", 0.0, 0.0)
    return Hand("", *order(snapshot.phi))


def _dot_radius(area: float, n: int) -> float:
    """A dot covers about a thirtieth of its share of the picture, within what can be seen and told apart."""
    return min(max(math.sqrt(area / (30 * math.pi * max(n, 1))), 1.2), 5.5)


def _rings(pulses: Floats, params: Params, scale: float) -> Singles:
    """A ring at σ around each pulse, fainter as it decays; on the torus also where it crosses the seam."""
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
