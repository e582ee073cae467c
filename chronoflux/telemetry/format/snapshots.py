"""``snapshots/``: the state of the swarm at significant events, and its image."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.snapshot import Snapshot
from chronoflux.render.field_raster import rasterize_field
from chronoflux.render.palettes import FIELD_COLOURS
from chronoflux.render.rasterize import apply_colormap, draw_discs, phase_colours

SNAPSHOTS = "snapshots"
MOST = 200
"""Snapshots of a run by default."""
APART = 10.0
"""Minimum seconds between two snapshots caused by remotes."""
SIDE = 800
"""Longer side of an image, px."""
_REMOTE = re.compile(r"\d+-remote_.*\.npz")


class Allowance:
    """Limits the snapshots of a run: `most` in all, at most half of them caused by remotes.

    Existing snapshots in `folder`, as of a resumed run, count.
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        names = [path.name for path in folder.glob("*.npz")]
        self._left = most - len(names)
        self._left_remote = most // 2 - sum(1 for name in names if _REMOTE.fullmatch(name))
        self._latest = -APART

    def take(self, now: float, *, remote: bool) -> bool:
        """Return whether another snapshot is allowed at `now`, monotonic seconds. If so, count it."""
        if self._left <= 0 or (remote and (self._left_remote <= 0 or now - self._latest < APART)):
            return False
        self._left -= 1
        if remote:
            self._left_remote -= 1
            self._latest = now
        return True


def picture(snapshot: Snapshot, side: int = SIDE) -> NDArray[np.uint8]:
    """Draw the pressure field, and each oscillator as a dot in the colour of its phase.

    Parameters
    ----------
    snapshot
        The state of the swarm.
    side
        Longer side of the image, px.

    Returns
    -------
    numpy.ndarray
        RGB image, uint8 (h, w, 3).
    """
    width, height = snapshot.params.world
    scale = side / max(width, height)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    plane = snapshot.params.boundary == "plane"
    levels = rasterize_field(
        columns, rows, snapshot.params.world, plane, snapshot.t, snapshot.portal, snapshot.pulses
    )
    image = apply_colormap(levels, FIELD_COLOURS)
    draw_discs(image, snapshot.x * scale, snapshot.y * scale, phase_colours(snapshot.phi), radius=2)
    return image


def picture_png(snapshot: Snapshot) -> bytes:
    """Return :func:`picture` as a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture(snapshot)).save(file, "PNG")
    return file.getvalue()
