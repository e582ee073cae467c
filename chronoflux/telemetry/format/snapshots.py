"""``snapshots/``: the swarm at significant events, and its picture."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.snapshot import Snapshot
from chronoflux.render.field_raster import ground
from chronoflux.render.palettes import FIELD_COLOURS
from chronoflux.render.rasterize import add_dots, paint, phase_colours

SNAPSHOTS = "snapshots"
MOST = 200
"""Snapshots of a run, unless told otherwise."""
APART = 10.0
"""Seconds between two that remotes cause."""
SIDE = 800
"""The longer side of a picture, px."""
_REMOTE = re.compile(r"\d+-remote_.*\.npz")


class Allowance:
    """How many snapshots a run may still keep: `most` in all, at most half of them caused by remotes.

    What lies in `folder` already, of a run that goes on, counts.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        names = [path.name for path in folder.glob("*.npz")]
        self._left = most - len(names)
        self._left_remote = most // 2 - sum(1 for name in names if _REMOTE.fullmatch(name))
        self._latest = -APART

    def take(self, now: float, *, remote: bool) -> bool:
        """Whether one more may be kept at `now`, seconds of the monotonic clock; if so it counts."""
        if self._left <= 0 or (remote and (self._left_remote <= 0 or now - self._latest < APART)):
            return False
        self._left -= 1
        if remote:
            self._left_remote -= 1
            self._latest = now
        return True


def picture(snapshot: Snapshot, side: int = SIDE) -> NDArray[np.uint8]:
    """The swarm as an RGB image, uint8 (h, w, 3), the longer side `side` px: the pressure field, and each
    oscillator a dot in the colour of its phase."""
    width, height = snapshot.params.world
    scale = side / max(width, height)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    plane = snapshot.params.boundary == "plane"
    levels = ground(columns, rows, snapshot.params.world, plane, snapshot.t, snapshot.portal, snapshot.pulses)
    image = paint(levels, FIELD_COLOURS)
    add_dots(image, snapshot.x * scale, snapshot.y * scale, phase_colours(snapshot.phi), radius=2)
    return image


def picture_png(snapshot: Snapshot) -> bytes:
    """:func:`picture` as a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture(snapshot)).save(file, "PNG")
    return file.getvalue()
