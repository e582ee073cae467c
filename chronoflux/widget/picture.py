"""What one frame shows, as arrays in px of the picture: made from a snapshot, drawn by others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model import field, raster
from chronoflux.model.params import Params
from chronoflux.model.simulation import Snapshot
from chronoflux.model.swarm import Floats

Bytes = NDArray[np.uint8]
Singles = NDArray[np.float32]

PICTURE = (800, 600)
"""The box, in px, that a picture of the world fills as far as its proportions allow."""
GRAIN = 4
"""Picture px to one pixel of the pressure field, which is smooth and is enlarged smoothly."""
MOST_DOTS = 5_000
"""A larger swarm is shown by a sample, one in so many: pages draw some 100,000 dots a second."""


def sample(n: int) -> slice:
    """Which of `n` oscillators are drawn: all, or of a larger swarm one in so many."""
    return slice(None, None, -(-n // MOST_DOTS))


class Hand(NamedTuple):
    """A mean field on the phase clock: ``R`` from 0 to 1 long, at ``psi`` rad; the own one has no label."""

    label: str
    R: float
    psi: float


@dataclass(frozen=True)
class Picture:
    """One frame. Arrays are its own; nobody changes them.

    ``size``: width and height in px.
    ``levels`` uint8 (rows, columns) and ``colours`` (256, 3): the field. ``x, y`` float32 (m,),
    ``radius``, ``hues`` uint8 (m, 3), ``alpha`` float32 (m,): the oscillators. ``rings``: float32 (p, 4),
    rows ``x, y, radius, alpha``: the pulses. ``hands``: own mean field first.
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


def picture_size(world: tuple[float, float]) -> tuple[int, int]:
    """Width and height in px of the picture of a `world`: its proportions, within `PICTURE`."""
    scale = min(PICTURE[0] / world[0], PICTURE[1] / world[1])
    return max(round(world[0] * scale), 1), max(round(world[1] * scale), 1)


def compose(snapshot: Snapshot, peers: Sequence[Hand] = (), own: Hand | None = None) -> Picture:
    """The picture of a snapshot; `peers` are the mean fields of others for the phase clock, with
    ``psi`` relative to the swarm's own; that is `own`, if it is not to be taken from the snapshot."""
    params, world = snapshot.params, snapshot.params.world
    width, height = picture_size(world)
    p = field.pressure_grid(
        max(width // GRAIN, 1),
        max(height // GRAIN, 1),
        world,
        params.boundary == "plane",
        snapshot.t,
        snapshot.portal,
        snapshot.pulses,
    )
    some = sample(len(snapshot.x))
    scale = width / world[0]
    own = own_hand(snapshot) if own is None else own
    return Picture(
        size=(width, height),
        levels=raster.field_levels(p),
        colours=raster.PORTAL_COLOURS if snapshot.portal else raster.FIELD_COLOURS,
        x=(snapshot.x[some] * scale).astype(np.float32),
        y=(snapshot.y[some] * scale).astype(np.float32),
        radius=_dot_radius(width * height, min(len(snapshot.x), MOST_DOTS)),
        hues=raster.phase_colours(snapshot.phi[some]),
        alpha=raster.opacity(snapshot.pressure[some]),
        rings=_rings(snapshot.pulses, params, scale),
        hands=(own, *(hand._replace(psi=own.psi + hand.psi) for hand in peers)),
        portal=snapshot.portal,
    )


def own_hand(snapshot: Snapshot) -> Hand:
    """The mean field of the swarm itself; of no oscillators 0."""
    if not len(snapshot.phi):
        return Hand("", 0.0, 0.0)
    z = np.exp(1j * snapshot.phi).mean()
    return Hand("", float(abs(z)), float(np.angle(z)))


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
