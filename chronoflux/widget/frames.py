"""Frames to the page and confirmations back: the only file that knows the insides of ipycanvas.

ipycanvas draws whatever it is sent, without saying when it is done: a page slower than the kernel falls
behind without end. So one message carries a whole frame: the field as bytes, which `frames.js` puts on the
canvas itself (lossless and without ipycanvas's detour over an image file), and what ipycanvas draws over it;
and `frames.js` confirms it when it is on the screen. One canvas, as each more costs two copies of all its
pixels a frame. Written against ipycanvas 0.14.
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

from chronoflux.widget.live_view import page_code

Bytes = NDArray[np.uint8]


class FramePort(anywidget.AnyWidget):
    """An unseen pane in front of the canvas: sends frames, hears of confirmations, watching and clicks.

    Parameters
    ----------
    canvas
        What is drawn on, by nobody else.
    hear
        Called with each message, on whatever thread it comes in: ``{"shown": frame, "client": …}``,
        ``{"watching": bool, "displayed": bool, "client": …}``, or, in fractions of the picture's sides,
        ``{"click": [x, y]}`` and ``{"trail": [x, y]}`` from a drag.
    """

    _esm = page_code("frames.js")
    _css = (files("chronoflux.widget") / "view.css").read_text("utf-8")

    port = Unicode().tag(sync=True)
    manager = Instance(ipywidgets.Widget).tag(sync=True, **widget_serialization)
    canvas = Instance(Canvas).tag(sync=True, **widget_serialization)

    def __init__(self, canvas: Canvas, hear: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(port=uuid4().hex, manager=_CANVAS_MANAGER, canvas=canvas)
        self.add_class("chronoflux-port")
        self.on_msg(lambda _, content, __: hear(content))

    def send_file(self, name: str, media: str, content: bytes) -> None:
        """Have the page that watches keep a file, as a download."""
        self.send({"save": name, "media": media}, buffers=[content])

    def send_frame(self, number: int, levels: Bytes, colours: Bytes, draw: Callable[[], None]) -> None:
        """Send one frame: `levels` (h, w) of `colours` (256, 3) over all of the canvas, and on it `draw`.

        `draw` only draws on the canvas; it hands over arrays that nobody changes afterwards (they are read
        later, by another thread), as `levels` is.
        """
        manager = _CANVAS_MANAGER
        held = manager._caching, manager._commands_cache, manager._buffers_cache, manager._current_canvas
        # As if the page drew on this canvas already: `frames.js` sees to that.
        manager._caching, manager._commands_cache, manager._buffers_cache = True, [], []
        manager._current_canvas = self.canvas
        try:
            draw()
            commands, buffers = manager._commands_cache, manager._buffers_cache
        finally:
            manager._caching, manager._commands_cache, manager._buffers_cache, manager._current_canvas = held
        rows, columns = levels.shape
        header, packed = commands_to_buffer(commands)
        tag = {"port": self.port, "number": number, "rows": rows, "columns": columns}
        self.send({**header, "chronoflux": tag}, buffers=[packed, *buffers, levels.data, colours.data])
