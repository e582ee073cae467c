"""Rasterise a swarm: the pressure field as levels and colours, and the oscillators in it.

Colour maps come from :mod:`chronoflux.render.palettes`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from chronoflux.model.engine import AMBIENT, TOP, Floats, Longs, cached_kernel, device_function, pressure_grid
from chronoflux.model.metrics import order
from chronoflux.render.field_raster import rasterize_field
from chronoflux.render.palettes import DEFAULT_PALETTE, LEVELS, PALETTES, PHASE_COLOURS, Bytes

FIELD_LEVELS, SHADES, HUES = 96, 4, 40
"""Codes of a large swarm's picture, one byte per pixel: `FIELD_LEVELS` levels of the field, then the
oscillators in `SHADES` (by pressure) × `HUES` (by phase); 256 in total."""


def put_word(array: Bytes, first: int, word: np.uint64) -> None:
    """Write the eight bytes of `word`, little-endian, into `array` from index `first`."""
    array[first : first + 8] = [int(word) >> 8 * i & 255 for i in range(8)]


@intrinsic
def _put_word(typing: Any, array: Any, first: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bytes_ = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(bytes_.data, [args[1]]), args[2].type.as_pointer())
        builder.store(args[2], place, align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), generate


@overload(put_word)
def _put_word_compiled(array, first, word):  # type: ignore[no-untyped-def]
    return lambda array, first, word: _put_word(array, first, word)  # type: ignore[call-arg]


def field_levels(p: Floats) -> Bytes:
    """Quantise pressure to levels.

    Parameters
    ----------
    p
        Pressure, dimensionless, (h, w).

    Returns
    -------
    ndarray
        uint8 (h, w): levels 0 to 255 for pressures from 0 to 1.3, rounded to nearest. Values outside are
        clamped; NaN is level 0.
    """
    levels = np.empty(p.shape, np.uint8)
    _quantise(np.ascontiguousarray(p, np.float64).reshape(-1), LEVELS - 1.0, levels.reshape(-1))
    return levels


def apply_colormap(levels: Bytes, colours: Bytes) -> Bytes:
    """Look up levels in a colour map.

    Parameters
    ----------
    levels
        uint8 (h, w).
    colours
        Colour map, uint8 (256, 3).

    Returns
    -------
    ndarray
        RGB image, uint8 (h, w, 3).
    """
    image = np.empty((*levels.shape, 3), np.uint8)
    _look_up(np.ascontiguousarray(levels).reshape(-1), colours, image.reshape(-1, 3))
    return image


def phase_colours(phi: Floats, colormap: Bytes = PHASE_COLOURS) -> Bytes:
    """Look up phases in a cyclic colour map.

    Parameters
    ----------
    phi
        Phases in rad, of any range, (n,). NaN counts as phase 0.
    colormap
        Cyclic colour map, uint8 (m, 3).

    Returns
    -------
    ndarray
        RGB colours, uint8 (n, 3).
    """
    colours = np.empty((len(phi), 3), np.uint8)
    _look_up_phase(np.ascontiguousarray(phi, np.float64), colormap, colours)
    return colours


def opacity(p: Floats) -> NDArray[np.float32]:
    """Return the opacity of oscillators by pressure.

    Parameters
    ----------
    p
        Pressure at the oscillators, dimensionless, (n,).

    Returns
    -------
    ndarray
        float32 (n,): linear from 0.4 at pressure 0 to 1 at pressure 1, constant outside.
    """
    alpha: NDArray[np.float32] = np.clip(0.4 + 0.6 * np.asarray(p, np.float64), 0.4, 1.0).astype(np.float32)
    return alpha


def draw_discs(image: Bytes, x: Floats, y: Floats, colours: Bytes, radius: int = 1) -> None:
    """Draw discs into an RGB image, in place. Later discs cover earlier ones; parts outside are clipped.

    Parameters
    ----------
    image
        uint8 (h, w, 3), contiguous.
    x, y
        Centres, px of the picture, (n,).
    colours
        uint8 (n, 3).
    radius
        Radius of the discs, px.
    """
    reach = np.arange(-radius, radius + 1)
    half_widths = np.floor(np.sqrt((radius + 0.5) ** 2 - reach**2)).astype(np.int64)
    half_widths = np.minimum(half_widths, radius)
    _draw_discs(
        image, np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64), colours, half_widths
    )


@cached_kernel
def draw_swarm(
    levels: Bytes,
    x: Floats,
    y: Floats,
    phi: Floats,
    pressure: Floats,
    scale: float,
    radius: int,
    every: int = 1,
) -> None:
    """Draw a large swarm into a picture of one byte per pixel, for the colours of :func:`swarm_colormap`.

    Oscillators outside the picture, or at NaN, are skipped.

    Parameters
    ----------
    levels
        uint8 (h, w), the field in `FIELD_LEVELS` levels; changed in place.
    x, y
        Positions, px of the world, (n,).
    phi
        Phases, rad, (n,).
    pressure
        Pressure at the oscillators, dimensionless, (n,).
    scale
        Picture px per px of the world.
    radius
        Each oscillator is drawn as a square of ``2 radius + 1`` px.
    every
        Stride: one in `every` oscillators is drawn.
    """
    height, width = levels.shape
    for i in range(0, len(x), every):
        px, py = x[i] * scale, y[i] * scale
        if not (0.0 <= px < width and 0.0 <= py < height):
            continue
        column, row, value = int(px), int(py), _swarm_code(phi[i], pressure[i])
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                levels[r, c] = value


def warm_up() -> None:
    """Compile the kernels that make pictures; this takes seconds if they are not cached."""
    one, pulses = np.zeros(1), np.empty((0, 4))
    for array in (one, pulses):  # read-only like a snapshot's arrays, which numba treats as another type
        array.flags.writeable = False
    field_levels(pressure_grid(1, 1, (1.0, 1.0), False, 0.0, False, pulses))
    levels = rasterize_field(1, 1, (1.0, 1.0), False, 0.0, False, pulses)
    apply_colormap(levels, PALETTES[DEFAULT_PALETTE].field)
    draw_swarm(levels, one, one, one, one, 1.0, 0, 1)
    phase_colours(one)
    order(one)


@cache
def swarm_colormap(palette: str, portal: bool) -> Bytes:
    """Return the colour map, uint8 (256, 3), for the codes of :func:`draw_swarm`.

    `palette` is a name in `PALETTES`; `portal` selects the colours of portal mode.
    """
    chosen = PALETTES[palette]
    field = chosen.portal if portal else chosen.field
    hues = chosen.phases[np.arange(HUES) * LEVELS // HUES].astype(np.float64)
    background = field[round(AMBIENT / TOP * (LEVELS - 1))]
    table = np.empty((LEVELS, 3), np.uint8)
    table[:FIELD_LEVELS] = field[np.round(np.linspace(0, LEVELS - 1, FIELD_LEVELS)).astype(int)]
    for shade in range(SHADES):
        alpha = opacity(np.array([(shade + 0.5) / SHADES]))[0]
        first = FIELD_LEVELS + shade * HUES
        table[first : first + HUES] = np.round(alpha * hues + (1 - alpha) * background)
    table.flags.writeable = False
    return table


@device_function
def _swarm_code(phi: float, pressure: float) -> np.uint8:
    turns = phi / (2.0 * np.pi)
    turns -= np.floor(turns)
    hue = int(turns * HUES) % HUES if turns == turns else 0
    shade = min(int(pressure * SHADES), SHADES - 1) if pressure > 0.0 else 0
    return np.uint8(FIELD_LEVELS + shade * HUES + hue)


@cached_kernel
def _draw_discs(image: Bytes, x: Floats, y: Floats, colours: Bytes, half_widths: Longs) -> None:
    height, width, _ = image.shape
    radius, flat = len(half_widths) // 2, image.reshape(-1)
    for i in range(len(x)):
        if not (-radius <= x[i] < width + radius and -radius <= y[i] < height + radius):
            continue
        column, row = math.floor(x[i]), math.floor(y[i])
        red, green, blue = colours[i, 0], colours[i, 1], colours[i, 2]
        if radius == 1 and 1 <= column < width - 1 and 1 <= row < height - 1:
            first = 3 * ((row - 1) * width + column - 1)
            _draw_square(flat, first, 3 * width, red, green, blue)
            continue
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            half = half_widths[r - row + radius]
            for c in range(max(column - half, 0), min(column + half + 1, width)):
                image[r, c, 0], image[r, c, 1], image[r, c, 2] = red, green, blue


@device_function
def _draw_square(image: Bytes, first: int, line: int, red: int, green: int, blue: int) -> None:
    """Write a square of 3 × 3 pixels, from byte `first` on; a row of the image has `line` bytes."""
    pixel = np.uint64(red) | np.uint64(green) << np.uint64(8) | np.uint64(blue) << np.uint64(16)
    word = pixel | pixel << np.uint64(24) | pixel << np.uint64(48)
    for at in range(first, first + 3 * line, line):
        put_word(image, at, word)
        image[at + 8] = blue


@cached_kernel
def _quantise(p: Floats, top: float, levels: Bytes) -> None:
    for i in range(p.size):
        level = p[i] * (top / TOP) + 0.5
        level = level if level >= 0.0 else 0.0
        levels[i] = np.uint8(np.int32(level if level <= top else top))


@cached_kernel
def _look_up(levels: Bytes, colours: Bytes, image: Bytes) -> None:
    for i in range(levels.size):
        level = levels[i]
        image[i, 0] = colours[level, 0]
        image[i, 1] = colours[level, 1]
        image[i, 2] = colours[level, 2]


@cached_kernel
def _look_up_phase(phi: Floats, colours: Bytes, out: Bytes) -> None:
    entries = colours.shape[0]
    for i in range(phi.size):
        turns = phi[i] / (2.0 * np.pi)
        turns -= np.floor(turns)
        entry = int(turns * entries) % entries if turns == turns else 0
        out[i, 0] = colours[entry, 0]
        out[i, 1] = colours[entry, 1]
        out[i, 2] = colours[entry, 2]
