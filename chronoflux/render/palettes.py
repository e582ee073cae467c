"""Colour maps of phases and pressures, and the palettes made of them.

A colour map is a lookup table, uint8 (256, 3): red, green, blue. Maps interpolate the anchor colours named
here in OKLab, in which equal distances look equal (Björn Ottosson, *A perceptual color space for image
processing*, 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import TOP, Floats

Bytes = NDArray[np.uint8]

LEVELS = 256

# sRGB ↔ OKLab, matrices of Ottosson 2020.
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(rgb: Bytes) -> Floats:
    """Convert sRGB colours, uint8 (n, 3), to OKLab.

    Returns
    -------
    ndarray
        float64 (n, 3): lightness (0 to 1), green to red, blue to yellow.
    """
    value = np.asarray(rgb) / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    lab: Floats = np.cbrt(linear @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T
    return lab


def _srgb(lab: Floats) -> Bytes:
    linear = np.clip((lab @ np.linalg.inv(_LMS_TO_LAB).T) ** 3 @ np.linalg.inv(_RGB_TO_LMS).T, 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)


def _anchors(*colours: str) -> Floats:
    rgb = np.array([list(bytes.fromhex(colour)) for colour in colours], np.uint8)
    return oklab(rgb)


def cyclic_map(*anchors: str) -> Bytes:
    """Return a cyclic colour map (256, 3) through `anchors` (hexadecimal sRGB), in even steps of OKLab.

    The loop is the closed Catmull–Rom spline through the anchors, sampled at equal arc lengths.
    """
    nodes = _anchors(*anchors)
    before, after, second = np.roll(nodes, 1, 0), np.roll(nodes, -1, 0), np.roll(nodes, -2, 0)
    u = np.linspace(0, 1, 512, endpoint=False)[:, None, None]
    loop = 0.5 * (
        2 * nodes
        + (after - before) * u
        + (2 * before - 5 * nodes + 4 * after - second) * u**2
        + (3 * nodes - before - 3 * after + second) * u**3
    )
    path = loop.transpose(1, 0, 2).reshape(-1, 3)
    path = np.vstack([path, path[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    even = np.linspace(0, length[-1], LEVELS, endpoint=False)
    return _frozen(_srgb(np.column_stack([np.interp(even, length, column) for column in path.T])))


def linear_map(*stops: tuple[float, str]) -> Bytes:
    """Return a linear colour map (256, 3) between `stops` (pressure, hexadecimal sRGB), linear in OKLab."""
    p = np.linspace(0, TOP, LEVELS)
    at, lab = [stop[0] for stop in stops], _anchors(*(stop[1] for stop in stops))
    return _frozen(_srgb(np.column_stack([np.interp(p, at, column) for column in lab.T])))


def _frozen(table: Bytes) -> Bytes:
    table.flags.writeable = False
    return table


PHASE_COLOURS = cyclic_map("ff8cf5", "ffdd40", "15913a", "3a4cf5")
"""Colour-blind-safe map of phases: about magenta at 0, yellow at π/2, green at π, blue at 3π/2.

Hue order and lightness follow CET-C2 (Peter Kovesi, *Good Colour Maps: How to Design Them*,
arXiv:1509.03700), which keeps the four quarters distinct with red-green blindness. It is lighter than CET-C2,
for contrast with a dark field."""

FIELD_COLOURS = linear_map((0.0, "04060e"), (0.55, "101c36"), (1.0, "1f5673"), (TOP, "5fb4b8"))
"""The pressure field: near black in a trough, deep blue at rest, teal on a crest."""

PORTAL_COLOURS = linear_map((0.0, "0b0410"), (0.55, "2a1140"), (1.0, "7a2f6c"), (TOP, "f0a868"))
"""The pressure field in portal mode: violet at rest, amber on a crest."""


@dataclass(frozen=True)
class Palette:
    """Colour maps of a picture: cyclic `phases`, and pressure as `field` or, in portal mode, `portal`."""

    label: str
    phases: Bytes
    field: Bytes
    portal: Bytes


PALETTES: dict[str, Palette] = {
    "vivid": Palette("vivid on dark", PHASE_COLOURS, FIELD_COLOURS, PORTAL_COLOURS),
    "dusk": Palette(
        "dusk, soft on dark",
        cyclic_map("f7ead7", "f08a4b", "b04fa8", "4f9df0"),
        linear_map((0.0, "050507"), (0.55, "1b1a2c"), (1.0, "46405f"), (TOP, "a08fb0")),
        linear_map((0.0, "04100c"), (0.55, "0f3029"), (1.0, "2f7a5c"), (TOP, "b9e08a")),
    ),
    "day": Palette(
        "day, on light",
        cyclic_map("ef7aba", "5c8509", "004c38", "0f09a6"),
        linear_map((0.0, "ffffff"), (0.55, "eef3fa"), (1.0, "b5d3e6"), (TOP, "6fa9c9")),
        linear_map((0.0, "fffdf7"), (0.55, "fde6cf"), (1.0, "f2b8c6"), (TOP, "d987b0")),
    ),
}
"""The palettes to choose from, by name; the first is the default."""

DEFAULT_PALETTE = next(iter(PALETTES))
