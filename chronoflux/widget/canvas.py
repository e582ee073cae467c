"""`Stage`: the canvas that shows a picture, and the calls that draw on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ipycanvas import Canvas

from chronoflux.render.palettes import PALETTES
from chronoflux.render.picture import Picture
from chronoflux.widget.clock import Clock
from chronoflux.widget.frames import FramePort
from chronoflux.widget.typed_bases import Box


class Stage(Box):
    """A canvas of `size` (width, height in px), and over it the pane that receives the page's messages.

    `hear` is called with each message, on any thread (see :class:`~chronoflux.widget.frames.FramePort`).
    """

    def __init__(self, size: tuple[int, int], hear: Callable[[dict[str, Any]], None]) -> None:
        self._canvas = Canvas(width=size[0], height=size[1])
        self._port = FramePort(self._canvas, hear)
        self._size: tuple[int, int] | None = None
        self._palette = ""
        super().__init__([self._canvas, self._port])
        self.add_class("chronoflux-stage")
        self.layout.max_width = f"{size[0]}px"

    def show(self, picture: Picture, number: int) -> None:
        """Send `picture` as frame `number`."""
        if (picture.size, picture.palette) != (self._size, self._palette):
            self._prepare(picture)
        self._port.send_frame(number, picture.levels, picture.colours, lambda: self._draw(picture))

    def keep(self, name: str, media: str, content: bytes) -> None:
        """Send a file to the page, which saves it as a download."""
        self._port.send_file(name, media, content)

    def _prepare(self, picture: Picture) -> None:
        self._size, self._palette = size, name = picture.size, picture.palette
        self._clock = Clock(size, PALETTES[name].phases)
        self._canvas.width, self._canvas.height = size
        self.layout.max_width = f"{size[0]}px"

    def _draw(self, picture: Picture) -> None:
        pen, rings = self._canvas, picture.rings
        if picture.portal:
            _frame(pen, picture.size)
        if len(rings):
            pen.line_width = 2.5
            white = np.full((len(rings), 3), 255, np.uint8)
            x, y, radius, alpha = (column.copy() for column in rings.T)
            pen.stroke_styled_circles(x, y, radius, white, alpha)
        if len(picture.x):
            pen.fill_styled_circles(picture.x, picture.y, picture.radius, picture.hues, picture.alpha)
        self._clock.draw(pen, picture.mean_fields)


def _frame(pen: Canvas, size: tuple[int, int]) -> None:
    """Draw an amber frame around the picture, the sign of portal mode."""
    pen.stroke_style, pen.line_width = "rgba(240, 168, 104, 0.9)", 6
    pen.stroke_rect(3, 3, size[0] - 6, size[1] - 6)
