"""What can be taken away from the live view, as files: the picture, a short clip, the log."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from chronoflux.model.snapshot import Snapshot
from chronoflux.widget.source import Source
from chronoflux.widget.static_png import still_image, still_png

CLIP_RATE, CLIP_SECONDS = 10, 3.0
"""Pictures a second of a clip (GIF counts hundredths of a second), and how long it is."""
CLIP_SCALE = 0.5


class File(NamedTuple):
    """A file for the page to keep: its name, its media type and its content."""

    name: str
    media: str
    content: bytes


def picture_file(snapshot: Snapshot, palette: str, name: str) -> File:
    """The swarm as it is, as PNG."""
    return File(f"{name}-{snapshot.tick}.png", "image/png", still_png(snapshot, palette, scale=1.0))


def clip_file(snapshots: Sequence[Snapshot], palette: str, name: str) -> File:
    """A clip of at least one snapshot, as GIF that repeats for ever, `CLIP_RATE` to the second."""
    pictures = [
        still_image(snapshot, palette, scale=CLIP_SCALE).quantize(128, dither=Image.Dither.NONE)
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
    """The log so far, as the JSON array of the first ChronoFlux. Raises LogError when it cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        path = source.export_log(Path(folder) / "log.json")
        return File(f"{name}.json", "application/json", path.read_bytes())
