"""Files that the live view exports: the picture, a short clip, the log."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from chronoflux.model.snapshot import Snapshot
from chronoflux.render.static_image import static_image, static_png
from chronoflux.widget.source import Source

CLIP_RATE, CLIP_SECONDS = 10, 3.0
"""Frames per second of a clip (GIF counts hundredths of a second), and its length in seconds."""
CLIP_SCALE = 0.5
"""Size of a clip relative to the live picture."""


class File(NamedTuple):
    """A file for the page to save: its name, its media type and its content."""

    name: str
    media: str
    content: bytes


def picture_file(snapshot: Snapshot, palette: str, name: str) -> File:
    """Return the picture of a snapshot as a PNG file."""
    return File(f"{name}-{snapshot.tick}.png", "image/png", static_png(snapshot, palette, scale=1.0))


def clip_file(snapshots: Sequence[Snapshot], palette: str, name: str) -> File:
    """Return at least one snapshot as an animated GIF: `CLIP_RATE` frames per second, endless loop."""
    pictures = [
        static_image(snapshot, palette, scale=CLIP_SCALE).quantize(128, dither=Image.Dither.NONE)
        for snapshot in snapshots
    ]
    file = io.BytesIO()
    pictures[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=1000 // CLIP_RATE,
        loop=0,
    )
    return File(f"{name}-{snapshots[-1].tick}.gif", "image/gif", file.getvalue())


def log_file(source: Source, name: str) -> File:
    """Return the log so far as one JSON array, the format of the first ChronoFlux.

    Raises
    ------
    LogError
        When the log cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = source.export_log(Path(folder) / "log.json")
        return File(f"{name}.json", "application/json", path.read_bytes())
