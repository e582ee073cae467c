"""Frames to the page and confirmations back: the only file that knows the insides of ipycanvas.

ipycanvas draws whatever it is sent, without saying when it is done: a page slower than the kernel falls
behind without end. So one message carries a whole frame (what ipycanvas draws, and behind it the
pressure field, which `frames.js` puts on its layer itself, lossless and without ipycanvas's detour over
an image file), and `frames.js` confirms it when it is on the screen. Written against ipycanvas 0.14.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets
import numpy as np
from ipycanvas import Canvas
from ipycanvas.canvas import _CANVAS_MANAGER
from ipycanvas.utils import commands_to_buffer
from ipywidgets import widget_serialization
from numpy.typing import NDArray
from traitlets import Instance, Unicode

Bytes = NDArray[np.uint8]

SAY_AGAIN = 60
"""Frames after which the page is told again which canvas is drawn on, should it have missed that. (Not
each time: ipycanvas then copies every layer to the screen twice.)"""


class FramePort(anywidget.AnyWidget):
    """An unseen pane in front of the canvas: sends frames, hears of confirmations, watching and clicks.

    Parameters
    ----------
    field
        The canvas that carries the picture of the pressure field, and nothing else.
    hear
        Called with each message, on whatever thread it comes in: ``{"shown": frame, "client": …}``,
        ``{"watching": bool, "displayed": bool, "client": …}``, or ``{"click": [x, y]}`` in fractions of
        the picture's sides.
    """

    _esm = (files("chronoflux.widget") / "frames.js").read_text("utf-8")
    _css = (files("chronoflux.widget") / "view.css").read_text("utf-8")

    port = Unicode().tag(sync=True)
    manager = Instance(ipywidgets.Widget).tag(sync=True, **widget_serialization)
    field = Instance(Canvas).tag(sync=True, **widget_serialization)

    def __init__(self, field: Canvas, hear: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(port=uuid4().hex, manager=_CANVAS_MANAGER, field=field)
        self.add_class("chronoflux-port")
        self.on_msg(lambda _, content, __: hear(content))

    def send_frame(
        self, number: int, draw: Callable[[], None], levels: Bytes, colours: Bytes, *, anew: bool
    ) -> None:
        """Send one frame: what `draw` draws, and the field as `levels` (h, w) of `colours` (256, 3).

        `anew` when a page may have come that does not know yet which canvas was drawn on last.
        `draw` only draws; it hands over arrays that nobody changes afterwards (they are read later, by
        another thread), as `levels` is.
        """
        manager = _CANVAS_MANAGER
        held = manager._caching, manager._commands_cache, manager._buffers_cache
        manager._caching, manager._commands_cache, manager._buffers_cache = True, [], []
        if anew or number % SAY_AGAIN == 0:
            manager._current_canvas = None
        try:
            draw()
            commands, buffers = manager._commands_cache, manager._buffers_cache
        finally:
            manager._caching, manager._commands_cache, manager._buffers_cache = held
        rows, columns = levels.shape
        header, packed = commands_to_buffer(commands)
        tag = {"port": self.port, "number": number, "rows": rows, "columns": columns}
        manager.send(
            {**header, "chronoflux": tag},
            buffers=[packed, *buffers, levels.data, colours.data],
        )
