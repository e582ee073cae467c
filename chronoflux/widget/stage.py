"""The stage: the canvases of a picture, and the pen that draws it on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
from ipycanvas import Canvas, MultiCanvas

from chronoflux.model.raster import PHASE_COLOURS
from chronoflux.widget.frames import FramePort
from chronoflux.widget.picture import Picture

MOST_HANDS = 12
CLOCK = 46.0
"""Radius of the phase clock, px."""
_RIM = 64
"""Arcs that the coloured rim of the clock is drawn with; it is the key to the dots' colours."""


class Stage(ipywidgets.Box):  # type: ignore[misc]
    """The canvases of one picture of `size` (px), and in front of them the pane that hears the page."""

    def __init__(self, size: tuple[int, int], hear: Callable[[dict[str, Any]], None]) -> None:
        self._canvas = canvas = MultiCanvas(2, width=size[0], height=size[1])
        self._field, self._dots = canvas[0], canvas[1]
        self._port = FramePort(self._field, hear)
        super().__init__([canvas, self._port])
        self.add_class("chronoflux-stage")
        self._resize(size)

    def show(self, picture: Picture, number: int, *, anew: bool) -> None:
        """Send `picture` as frame `number`, `anew` when a page has come since the last."""
        if picture.size != self._size:
            self._resize(picture.size)
        self._port.send_frame(number, lambda: self._draw(picture), picture.levels, picture.colours, anew=anew)

    def _resize(self, size: tuple[int, int]) -> None:
        self._size, self._rim = size, _rim(size)
        self._canvas.width, self._canvas.height = size
        self.layout.max_width = f"{size[0]}px"

    def _draw(self, picture: Picture) -> None:
        pen, rings = self._dots, picture.rings
        pen.clear()
        if picture.portal:
            _frame(pen, self._size)
        if len(rings):
            pen.line_width = 2.5
            white = np.full((len(rings), 3), 255, np.uint8)
            x, y, radius, alpha = (column.copy() for column in rings.T)
            pen.stroke_styled_circles(x, y, radius, white, alpha)
        if len(picture.x):
            pen.fill_styled_circles(picture.x, picture.y, picture.radius, picture.hues, picture.alpha)
        self._draw_clock(picture)

    def _draw_clock(self, picture: Picture) -> None:
        """A small dial, anticlockwise from the right: whose mean field points where, and how long."""
        pen, (x, y) = self._dots, _clock_centre(self._size)
        pen.fill_style = "rgba(4, 6, 14, 0.72)"
        pen.fill_circle(x, y, CLOCK + 6)
        pen.line_width = 4
        pen.stroke_styled_arcs(*self._rim)
        pen.line_cap = "round"
        pen.font = "11px system-ui, sans-serif"
        pen.text_align, pen.text_baseline = "center", "middle"
        own, *peers = picture.hands[: MOST_HANDS + 1]
        for hand in peers:
            tip, label = _tip(hand.psi, hand.R), _tip(hand.psi, max(hand.R, 0.4) + 0.12)
            pen.stroke_style, pen.line_width = "rgba(160, 205, 255, 0.85)", 1.5
            pen.stroke_line(x, y, x + tip[0], y + tip[1])
            pen.fill_style = "rgba(200, 225, 255, 0.95)"
            pen.fill_text(hand.label[:12], x + label[0], y + label[1])
        tip = _tip(own.psi, own.R)
        pen.stroke_style, pen.line_width = "white", 3
        pen.stroke_line(x, y, x + tip[0], y + tip[1])


def _clock_centre(size: tuple[int, int]) -> tuple[float, float]:
    return size[0] - CLOCK - 16, size[1] - CLOCK - 16


def _tip(psi: float, R: float) -> tuple[float, float]:
    reach = (CLOCK - 4) * R
    return reach * math.cos(psi), -reach * math.sin(psi)


def _rim(size: tuple[int, int]) -> tuple[Any, ...]:
    """Arguments for the arcs of the rim, in the colours of their phases."""
    x, y = _clock_centre(size)
    start = np.arange(_RIM) * (2 * np.pi / _RIM)
    every = np.full(_RIM, 1, np.float32)
    hues = PHASE_COLOURS[np.arange(_RIM) * len(PHASE_COLOURS) // _RIM].copy()
    # The canvas counts angles clockwise, the clock anticlockwise.
    angles = -(start + 2 * np.pi / _RIM + 0.02).astype(np.float32), -start.astype(np.float32)
    return x * every, y * every, (CLOCK + 3) * every, *angles, hues, every


def _frame(pen: Canvas, size: tuple[int, int]) -> None:
    """Portal mode: an amber frame around the picture."""
    pen.stroke_style, pen.line_width = "rgba(240, 168, 104, 0.9)", 6
    pen.stroke_rect(3, 3, size[0] - 6, size[1] - 6)
