"""Files that the live view exports: the picture, a short clip, the log."""

from __future__ import annotations

import asyncio
import io
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from chronoflux.errors import ChronofluxError
from chronoflux.model.snapshot import Snapshot
from chronoflux.render.static_image import static_image, static_png
from chronoflux.widget.source import Source

log: logging.Logger = logging.getLogger(__name__)

CLIP_RATE, CLIP_SECONDS = 10, 3.0
"""Frames per second of a clip (GIF counts hundredths of a second), and its length in seconds."""
CLIP_SCALE = 0.5
"""Size of a clip relative to the live picture."""


class File(NamedTuple):
    """A file for the page to save: its name, its media type and its content."""

    name: str
    media: str
    content: bytes


class Exporter:
    """Export files of `source`, one at a time.

    Parameters
    ----------
    source
        What is exported; its picture and its log can be exported after it has ended, too.
    send
        Sends a file (name, media type, content) to the page.
    report
        Called with one line when an export failed, and with None when it succeeded.
    """

    def __init__(
        self,
        source: Source,
        send: Callable[[str, str, bytes], None],
        report: Callable[[str | None], None],
    ) -> None:
        self._source, self._send, self._report = source, send, report
        self._task: asyncio.Task[None] | None = None

    def start(self, what: str, palette: str) -> None:
        """Start to export ``"picture"``, ``"clip"`` or ``"log"``, unless an export is under way."""
        if self._task is None or self._task.done():
            export = self._export(what, palette)
            self._task = asyncio.get_running_loop().create_task(export, name=f"chronoflux export {what}")

    def stop(self) -> None:
        """Cancel an export that is under way."""
        if self._task is not None:
            self._task.cancel()

    async def wait_closed(self) -> None:
        """Wait until no export is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _export(self, what: str, palette: str) -> None:
        name = f"{self._source.status.room}-{self._source.status.node_id}"
        try:
            if what == "log":
                file = await asyncio.to_thread(log_file, self._source, name)
            elif what == "picture":
                file = await asyncio.to_thread(picture_file, self._source.snapshot(), palette, name)
            else:
                file = await asyncio.to_thread(clip_file, await self._collect(), palette, name)
        except (ChronofluxError, OSError) as error:
            self._report(f"{what} not saved: {error}")
        except Exception as error:
            log.exception("saving the %s failed", what)
            self._report(f"{what} not saved: {error!r}")
        else:
            self._send(*file)
            self._report(None)

    async def _collect(self) -> list[Snapshot]:
        """Collect snapshots over the next `CLIP_SECONDS`, `CLIP_RATE` per second."""
        snapshots = [self._source.snapshot()]
        while not self._source.closed and len(snapshots) < CLIP_RATE * CLIP_SECONDS:
            await asyncio.sleep(1 / CLIP_RATE)
            snapshots.append(self._source.snapshot())
        return snapshots


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
