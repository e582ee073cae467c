"""Pictures of the model as arrays: levels and colours of the pressure field, oscillators in them.

Colour maps are those of :mod:`chronoflux.render.palettes`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from chronoflux.model.engine.arrays import Floats, Longs
from chronoflux.model.engine.field import AMBIENT, TOP, pressure_grid
from chronoflux.model.engine.jit import kernel, part
from chronoflux.model.metrics import order
from chronoflux.render.field_raster import ground
from chronoflux.render.palettes import LEVELS, PALETTES, PHASE_COLOURS, USUAL, Bytes

GROUNDS, SHADES, HUES = 96, 4, 40
"""A picture of a large swarm has one byte a pixel: so many levels of the field, then dots, in so many shades
(by pressure) of so many hues (by phase); 256 in all."""


def put_word(array: Bytes, first: int, word: np.uint64) -> None:
    """Write a word into the bytes `array`, from `first` on, the lowest of its eight bytes first."""
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
    """The pressure `p` (h, w), dimensionless, as levels 0 to 255 of 0 to 1.3: uint8 (h, w).

    Rounded to the nearest level; values outside are clamped, NaN is level 0.
    """
    levels = np.empty(p.shape, np.uint8)
    _quantise(np.ascontiguousarray(p, np.float64).reshape(-1), LEVELS - 1.0, levels.reshape(-1))
    return levels


def paint(levels: Bytes, colours: Bytes) -> Bytes:
    """`levels` (h, w) looked up in the colour map `colours` (256, 3): an RGB image, uint8 (h, w, 3)."""
    image = np.empty((*levels.shape, 3), np.uint8)
    _look_up(np.ascontiguousarray(levels).reshape(-1), colours, image.reshape(-1, 3))
    return image


def phase_colours(phi: Floats, map_: Bytes = PHASE_COLOURS) -> Bytes:
    """The colours (n, 3) of phases `phi` (n,) in rad, any turn, by a cyclic map; NaN is as phase 0."""
    colours = np.empty((len(phi), 3), np.uint8)
    _look_up_phase(np.ascontiguousarray(phi, np.float64), map_, colours)
    return colours


def opacity(p: Floats) -> NDArray[np.float32]:
    """The opacity (n,), from 0.4 at pressure 0 to 1 at 1 and above, of oscillators at pressure `p` (n,)."""
    alpha: NDArray[np.float32] = np.clip(0.4 + 0.6 * np.asarray(p, np.float64), 0.4, 1.0).astype(np.float32)
    return alpha


def add_dots(image: Bytes, x: Floats, y: Floats, colours: Bytes, radius: int = 1) -> None:
    """Draw discs of `radius` px at ``x, y`` (n,), px of the picture, into the RGB `image` (h, w, 3) in place.

    `image`: contiguous. `colours`: uint8 (n, 3). Later ones lie on top; what is outside is cut off.
    """
    reach = np.arange(-radius, radius + 1)
    half_widths = np.floor(np.sqrt((radius + 0.5) ** 2 - reach**2)).astype(np.int64)
    half_widths = np.minimum(half_widths, radius)
    _stamp(
        image, np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64), colours, half_widths
    )


@kernel
def add_swarm(
    levels: Bytes,
    x: Floats,
    y: Floats,
    phi: Floats,
    pressure: Floats,
    scale: float,
    radius: int,
    every: int = 1,
) -> None:
    """Draw a large swarm into a picture of one byte a pixel, for the colours of :func:`swarm_colours`.

    `levels`: uint8 (h, w), the field's in `GROUNDS` levels, changed in place. Of the oscillators at ``x, y``
    (n,), px of the world, `scale` times as many px of the picture, with phases `phi` (rad) at pressures
    `pressure`, one in `every` is drawn, as a square of ``2 radius + 1`` px. What is outside the picture, or
    NaN, is left out.
    """
    height, width = levels.shape
    for i in range(0, len(x), every):
        px, py = x[i] * scale, y[i] * scale
        if not (0.0 <= px < width and 0.0 <= py < height):
            continue
        column, row, value = int(px), int(py), _dot(phi[i], pressure[i])
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            for c in range(max(column - radius, 0), min(column + radius + 1, width)):
                levels[r, c] = value


def warm_up() -> None:
    """Compile what pictures are made with (seconds when it is not in the cache yet)."""
    few, pulses = np.zeros(1), np.empty((0, 4))
    for array in (few, pulses):  # as those of a snapshot: another type, for numba
        array.flags.writeable = False
    field_levels(pressure_grid(1, 1, (1.0, 1.0), False, 0.0, False, pulses))
    levels = ground(1, 1, (1.0, 1.0), False, 0.0, False, pulses)
    paint(levels, PALETTES[USUAL].field)
    add_swarm(levels, few, few, few, few, 1.0, 0, 1)
    phase_colours(few)
    order(few)


@cache
def swarm_colours(palette: str, portal: bool) -> Bytes:
    """The colours (256, 3) of :func:`add_swarm` in a palette of that name, in portal mode or not."""
    chosen = PALETTES[palette]
    field = chosen.portal if portal else chosen.field
    hues = chosen.phases[np.arange(HUES) * LEVELS // HUES].astype(np.float64)
    rest = field[round(AMBIENT / TOP * (LEVELS - 1))]
    table = np.empty((LEVELS, 3), np.uint8)
    table[:GROUNDS] = field[np.round(np.linspace(0, LEVELS - 1, GROUNDS)).astype(int)]
    for shade in range(SHADES):
        alpha = opacity(np.array([(shade + 0.5) / SHADES]))[0]
        first = GROUNDS + shade * HUES
        table[first : first + HUES] = np.round(alpha * hues + (1 - alpha) * rest)
    table.flags.writeable = False
    return table


@part
def _dot(phi: float, pressure: float) -> np.uint8:
    turns = phi / (2.0 * np.pi)
    turns -= np.floor(turns)
    hue = int(turns * HUES) % HUES if turns == turns else 0
    shade = min(int(pressure * SHADES), SHADES - 1) if pressure > 0.0 else 0
    return np.uint8(GROUNDS + shade * HUES + hue)


@kernel
def _stamp(image: Bytes, x: Floats, y: Floats, colours: Bytes, half_widths: Longs) -> None:
    height, width, _ = image.shape
    radius, flat = len(half_widths) // 2, image.reshape(-1)
    for i in range(len(x)):
        if not (-radius <= x[i] < width + radius and -radius <= y[i] < height + radius):
            continue
        column, row = math.floor(x[i]), math.floor(y[i])
        red, green, blue = colours[i, 0], colours[i, 1], colours[i, 2]
        if radius == 1 and 1 <= column < width - 1 and 1 <= row < height - 1:
            first = 3 * ((row - 1) * width + column - 1)
            _stamp_square(flat, first, 3 * width, red, green, blue)
            continue
        for r in range(max(row - radius, 0), min(row + radius + 1, height)):
            half = half_widths[r - row + radius]
            for c in range(max(column - half, 0), min(column + half + 1, width)):
                image[r, c, 0], image[r, c, 1], image[r, c, 2] = red, green, blue


@part
def _stamp_square(image: Bytes, first: int, line: int, red: int, green: int, blue: int) -> None:
    """Three pixels of three rows, from byte `first` on; a row is `line` bytes long."""
    pixel = np.uint64(red) | np.uint64(green) << np.uint64(8) | np.uint64(blue) << np.uint64(16)
    word = pixel | pixel << np.uint64(24) | pixel << np.uint64(48)
    for at in range(first, first + 3 * line, line):
        put_word(image, at, word)
        image[at + 8] = blue


@kernel
def _quantise(p: Floats, top: float, levels: Bytes) -> None:
    for i in range(p.size):
        level = p[i] * (top / TOP) + 0.5
        level = level if level >= 0.0 else 0.0
        levels[i] = np.uint8(np.int32(level if level <= top else top))


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
