"""Send frames to the page and receive confirmations: the only file that uses ipycanvas's private parts.

ipycanvas draws everything it is sent and does not report when it is done, so a page slower than the kernel
falls ever further behind. Therefore one message carries a whole frame: the field as bytes, which `frames.js`
puts on the canvas itself (lossless, and without an image file as ipycanvas would use), and the commands that
ipycanvas draws over it; `frames.js` confirms the frame when it is on the screen. There is one canvas, as
each further canvas costs two copies of all its pixels per frame. Written against ipycanvas 0.14.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any
from uuid import uuid4

import ipywidgets
import numpy as np
from ipycanvas import Canvas
from ipycanvas.canvas import _CANVAS_MANAGER
from ipycanvas.utils import commands_to_buffer
from ipywidgets import widget_serialization
from numpy.typing import NDArray
from traitlets import Instance, Unicode

from chronoflux.widget.live_view import page_code
from chronoflux.widget.typed_bases import AnyWidget

Bytes = NDArray[np.uint8]


class FramePort(AnyWidget):
    """A transparent pane over the canvas: sends frames, receives confirmations, visibility and clicks.

    Parameters
    ----------
    canvas
        The canvas to draw on. Nothing else may draw on it.
    hear
        Called with each message, on any thread: ``{"shown": frame, "client": …}``,
        ``{"watching": bool, "displayed": bool, "client": …}``, or, in fractions of the picture's sides,
        ``{"click": [x, y]}`` and, from a drag, ``{"trail": [x, y]}``.
    """

    _esm = page_code("frames.js")
    _css = (files("chronoflux.widget") / "view.css").read_text("utf-8")

    port: Unicode[str, str | bytes] = Unicode().tag(sync=True)
    manager: Instance[Any] = Instance(ipywidgets.Widget).tag(sync=True, **widget_serialization)
    canvas: Instance[Any] = Instance(Canvas).tag(sync=True, **widget_serialization)

    def __init__(self, canvas: Canvas, hear: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(port=uuid4().hex, manager=_CANVAS_MANAGER, canvas=canvas)
        self.add_class("chronoflux-port")
        self.on_msg(lambda _, content, __: hear(content))

    def send_file(self, name: str, media: str, content: bytes) -> None:
        """Send a file to the watching page, which saves it as a download."""
        self.send({"save": name, "media": media}, buffers=[content])

    def send_frame(self, number: int, levels: Bytes, colours: Bytes, draw: Callable[[], None]) -> None:
        """Send one frame: the field, and what `draw` draws on the canvas over it.

        Parameters
        ----------
        number
            The frame's number, which the page confirms.
        levels
            uint8 (h, w), stretched over the whole canvas.
        colours
            uint8 (256, 3), the colour of each level.
        draw
            Calls drawing methods of the canvas, and does nothing else. The arrays it passes, and `levels`,
            must not change afterwards: another thread reads them later.
        """
        manager = _CANVAS_MANAGER
        held = manager._caching, manager._commands_cache, manager._buffers_cache, manager._current_canvas
        # As if this canvas were the page's current one; `frames.js` makes it so.
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
