"""Draw a picture as an image file, for readers of an executed notebook without a kernel, and for exports."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from chronoflux.model.simulation import Snapshot
from chronoflux.render import rasterize
from chronoflux.render.palettes import DEFAULT_PALETTE
from chronoflux.render.picture import compose, picture_size

SCALE = 0.8
"""Size of the static picture relative to the live one: large enough to read, small in the notebook file."""
_SUPERSAMPLING = 2
"""The image is drawn this many times larger, then reduced, which smooths edges."""


def static_png(snapshot: Snapshot, palette: str = DEFAULT_PALETTE, *, scale: float = SCALE) -> bytes:
    """Return the picture of `snapshot` as the bytes of a PNG file: field, oscillators and pulses."""
    image = static_image(snapshot, palette, scale=scale)
    file = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def static_image(snapshot: Snapshot, palette: str = DEFAULT_PALETTE, *, scale: float = SCALE) -> Image.Image:
    """Return the picture of `snapshot` as an image, `scale` times as large as the live picture."""
    picture = compose(snapshot, palette=palette)
    width, height = (max(round(side * scale), 1) for side in picture_size(snapshot.params.world))
    factor = scale * _SUPERSAMPLING
    image = Image.fromarray(rasterize.apply_colormap(picture.levels, picture.colours))
    image = image.resize((width * _SUPERSAMPLING, height * _SUPERSAMPLING), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image, "RGBA")
    for x, y, radius, alpha in picture.rings * (factor, factor, factor, 255):
        draw.ellipse(_box(x, y, radius), outline=(255, 255, 255, int(alpha)), width=2 * _SUPERSAMPLING)
    rgba = np.column_stack([picture.hues, (picture.alpha * 255).astype(np.uint8)]).tolist()
    for x, y, colour in zip(picture.x * factor, picture.y * factor, rgba, strict=True):
        draw.ellipse(_box(x, y, picture.radius * factor), fill=tuple(colour))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    """Return the bounding box of a circle."""
    return x - radius, y - radius, x + radius, y + radius
