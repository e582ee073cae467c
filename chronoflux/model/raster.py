"""Pictures of the model as arrays: levels and colours of the pressure field, colours of the phases.

Colour maps are lookup tables, uint8 of shape (256, 3), red, green, blue. They are computed in OKLab
(Björn Ottosson, *A perceptual color space for image processing*, 2020), in which equal distances look
equal, between the anchor colours named here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.field import TOP
from chronoflux.model.jit import kernel
from chronoflux.model.swarm import Floats, Longs

Bytes = NDArray[np.uint8]

LEVELS = 256


def field_levels(p: Floats) -> Bytes:
    """The pressure `p` (h, w), dimensionless, as levels 0 to 255 of 0 to 1.3: uint8 (h, w).

    Rounded to the nearest level; values outside are clamped, NaN is level 0.
    """
    levels = np.empty(p.shape, np.uint8)
    _quantise(np.ascontiguousarray(p, np.float64).reshape(-1), (LEVELS - 1) / TOP, levels.reshape(-1))
    return levels


def paint(levels: Bytes, colours: Bytes) -> Bytes:
    """`levels` (h, w) looked up in the colour map `colours` (256, 3): an RGB image, uint8 (h, w, 3)."""
    image = np.empty((*levels.shape, 3), np.uint8)
    _look_up(np.ascontiguousarray(levels).reshape(-1), colours, image.reshape(-1, 3))
    return image


def field_image(p: Floats, colours: Bytes) -> Bytes:
    """The pressure `p` (h, w) as an RGB image, uint8 (h, w, 3), by the colour map `colours` (256, 3)."""
    return paint(field_levels(p), colours)


def phase_colours(phi: Floats) -> Bytes:
    """The colours (n, 3) of phases `phi` (n,) in rad, any turn; NaN has the colour of phase 0."""
    colours = np.empty((len(phi), 3), np.uint8)
    _look_up_phase(np.ascontiguousarray(phi, np.float64), PHASE_COLOURS, colours)
    return colours


def opacity(p: Floats) -> NDArray[np.float32]:
    """The opacity (n,), from 0.4 at pressure 0 to 1 at 1 and above, of oscillators at pressure `p` (n,)."""
    alpha: NDArray[np.float32] = np.clip(0.4 + 0.6 * np.asarray(p, np.float64), 0.4, 1.0).astype(np.float32)
    return alpha


def add_dots(image: Bytes, x: Floats, y: Floats, colours: Bytes, radius: int = 1) -> None:
    """Draw discs of `radius` px at ``x, y`` (n,), px of the picture, into the RGB `image` (h, w, 3) in place.

    `colours`: uint8 (n, 3). Later ones lie on top; what is outside the picture is cut off.
    """
    reach = np.arange(-radius, radius + 1)
    half_widths = np.floor(np.sqrt((radius + 0.5) ** 2 - reach**2)).astype(np.int64)
    half_widths = np.minimum(half_widths, radius)
    _stamp(
        image, np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64), colours, half_widths
    )


@kernel
def _stamp(image: Bytes, x: Floats, y: Floats, colours: Bytes, half_widths: Longs) -> None:
    height, width, _ = image.shape
    radius = len(half_widths) // 2
    for i in range(len(x)):
        if not (-radius <= x[i] < width + radius and -radius <= y[i] < height + radius):
            continue
        column, row = math.floor(x[i]), math.floor(y[i])
        red, green, blue = colours[i, 0], colours[i, 1], colours[i, 2]
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            half = half_widths[r - row + radius]
            for c in range(max(column - half, 0), min(column + half + 1, width)):
                image[r, c, 0], image[r, c, 1], image[r, c, 2] = red, green, blue


@kernel
def _quantise(p: Floats, scale: float, levels: Bytes) -> None:
    for i in range(p.size):
        level = p[i] * scale + 0.5
        level = level if level >= 0.0 else 0.0
        levels[i] = np.uint8(np.int32(level if level <= 255.0 else 255.0))


@kernel
def _look_up(levels: Bytes, colours: Bytes, image: Bytes) -> None:
    for i in range(levels.size):
        level = levels[i]
        image[i, 0] = colours[level, 0]
        image[i, 1] = colours[level, 1]
        image[i, 2] = colours[level, 2]


@kernel
def _look_up_phase(phi: Floats, colours: Bytes, out: Bytes) -> None:
    entries = colours.shape[0]
    for i in range(phi.size):
        turns = phi[i] / (2.0 * np.pi)
        turns -= np.floor(turns)
        entry = int(turns * entries) % entries if turns == turns else 0
        out[i, 0] = colours[entry, 0]
        out[i, 1] = colours[entry, 1]
        out[i, 2] = colours[entry, 2]


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
    """sRGB colours, uint8 (n, 3), in OKLab: lightness 0 to 1, green to red, blue to yellow; (n, 3)."""
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
    """A closed colour map (256, 3) through the `anchors` (hexadecimal sRGB), in even steps of OKLab.

    The loop is the closed Catmull–Rom spline through the anchors, run through at constant speed.
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
    """An open colour map (256, 3) between `stops` (pressure, hexadecimal sRGB), straight in OKLab."""
    p = np.linspace(0, TOP, LEVELS)
    at, lab = [stop[0] for stop in stops], _anchors(*(stop[1] for stop in stops))
    return _frozen(_srgb(np.column_stack([np.interp(p, at, column) for column in lab.T])))


def _frozen(table: Bytes) -> Bytes:
    table.flags.writeable = False
    return table


PHASE_COLOURS = cyclic_map("ff8cf5", "ffdd40", "15913a", "3a4cf5")
"""Phase 0 magenta, π/2 yellow, π green, 3π/2 blue, roughly: the order and the swing of lightness of
CET-C2 (Peter Kovesi, *Good Colour Maps: How to Design Them*, arXiv:1509.03700), by which the four
quarters can be told apart with red-green blindness too; lighter, to stand out from a dark field."""

FIELD_COLOURS = linear_map((0.0, "04060e"), (0.55, "101c36"), (1.0, "1f5673"), (TOP, "5fb4b8"))
"""The pressure field: near black in a trough, deep blue at rest, teal on a crest."""

PORTAL_COLOURS = linear_map((0.0, "0b0410"), (0.55, "2a1140"), (1.0, "7a2f6c"), (TOP, "f0a868"))
"""The pressure field in portal mode: violet at rest, amber on a crest."""
