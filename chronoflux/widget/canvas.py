"""`PictureCanvas`: the canvas of a live picture; it draws a picture and sends it to the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ipycanvas import Canvas

from chronoflux.render.palettes import PALETTES
from chronoflux.render.picture import Picture
from chronoflux.widget.frame_port import FramePort, recorded_commands
from chronoflux.widget.phase_clock import PhaseClock
from chronoflux.widget.typed_bases import Box


class PictureCanvas(Box):
    """A canvas of `size` (width, height in px), under the pane that receives the page's messages.

    `on_message` is called with each message, on any thread (see
    :class:`~chronoflux.widget.frame_port.FramePort`).
    """

    def __init__(self, size: tuple[int, int], on_message: Callable[[dict[str, Any]], None]) -> None:
        self._canvas = Canvas(width=size[0], height=size[1])
        self._port = FramePort(self._canvas, on_message)
        self._prepared: tuple[tuple[int, int], str] | None = None  # size and palette
        super().__init__([self._canvas, self._port])
        self.add_class("chronoflux-stage")
        self.layout.max_width = f"{size[0]}px"

    def send_picture(self, picture: Picture, number: int) -> None:
        """Send `picture` as frame `number`."""
        if self._prepared != (picture.size, picture.palette):
            self._prepare(picture)
        with recorded_commands(self._canvas) as overlay:
            self._draw_overlay(picture)
        self._port.send_frame(number, picture.levels, picture.colours, overlay)

    def send_file(self, name: str, media: str, content: bytes) -> None:
        """Send a file to the page, which saves it as a download."""
        self._port.send_file(name, media, content)

    def _prepare(self, picture: Picture) -> None:
        self._prepared = picture.size, picture.palette
        self._clock = PhaseClock(picture.size, PALETTES[picture.palette].phases)
        self._canvas.width, self._canvas.height = picture.size
        self.layout.max_width = f"{picture.size[0]}px"

    def _draw_overlay(self, picture: Picture) -> None:
        """Draw everything but the field: portal frame, pulses, oscillators, phase clock."""
        canvas, rings = self._canvas, picture.rings
        if picture.portal:
            _draw_portal_frame(canvas, picture.size)
        if len(rings):
            canvas.line_width = 2.5
            white = np.full((len(rings), 3), 255, np.uint8)
            x, y, radius, alpha = (column.copy() for column in rings.T)
            canvas.stroke_styled_circles(x, y, radius, white, alpha)
        if len(picture.x):
            canvas.fill_styled_circles(picture.x, picture.y, picture.radius, picture.hues, picture.alpha)
        self._clock.draw(canvas, picture.mean_fields)


def _draw_portal_frame(canvas: Canvas, size: tuple[int, int]) -> None:
    """Draw an amber frame around the picture, the sign of portal mode."""
    canvas.stroke_style, canvas.line_width = "rgba(240, 168, 104, 0.9)", 6
    canvas.stroke_rect(3, 3, size[0] - 6, size[1] - 6)
