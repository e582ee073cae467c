"""A static picture as PNG, for readers of an executed notebook without a kernel."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from chronoflux.model.simulation import Snapshot
from chronoflux.render import rasterize
from chronoflux.render.palettes import USUAL
from chronoflux.widget.frame import compose, picture_size

SCALE = 0.8
"""Size of the static picture relative to the live one: large enough to read, small in the notebook file."""
_FINE = 2  # supersampling: drawn this much larger, then reduced, for smooth edges


def still_png(snapshot: Snapshot, palette: str = USUAL, *, scale: float = SCALE) -> bytes:
    """Return the picture of `snapshot` as the bytes of a PNG file: field, oscillators and pulses."""
    image = still_image(snapshot, palette, scale=scale)
    file = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def still_image(snapshot: Snapshot, palette: str = USUAL, *, scale: float = SCALE) -> Image.Image:
    """Return the picture of `snapshot` as an image, `scale` times as large as the live picture."""
    picture = compose(snapshot, palette=palette)
    width, height = (max(round(side * scale), 1) for side in picture_size(snapshot.params.world))
    factor = scale * _FINE
    image = Image.fromarray(rasterize.paint(picture.levels, picture.colours))
    image = image.resize((width * _FINE, height * _FINE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image, "RGBA")
    for x, y, radius, alpha in picture.rings * (factor, factor, factor, 255):
        draw.ellipse(_around(x, y, radius), outline=(255, 255, 255, int(alpha)), width=2 * _FINE)
    hues = np.column_stack([picture.hues, (picture.alpha * 255).astype(np.uint8)]).tolist()
    for x, y, hue in zip(picture.x * factor, picture.y * factor, hues, strict=True):
        draw.ellipse(_around(x, y, picture.radius * factor), fill=tuple(hue))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius
