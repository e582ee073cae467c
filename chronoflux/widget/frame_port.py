"""Send frames to the page and receive its messages: the only file that uses ipycanvas's private parts.

ipycanvas draws everything it is sent and does not report when it is done, so a page slower than the kernel
falls ever further behind. Therefore one message carries a whole frame: the field as bytes, which
`frame_port.js` puts on the canvas itself (lossless, and without an image file as ipycanvas would use), and
the commands that ipycanvas draws over it; `frame_port.js` confirms the frame when it is on the screen. There
is one canvas, as each further canvas costs two copies of all its pixels per frame. Written against
ipycanvas 0.14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

from chronoflux.widget.elements import page_code, style_sheet
from chronoflux.widget.typed_bases import AnyWidget

Bytes = NDArray[np.uint8]


@dataclass
class Commands:
    """Drawing commands of ipycanvas, and the arrays that they use."""

    commands: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)


@contextmanager
def recorded_commands(canvas: Canvas) -> Iterator[Commands]:
    """Record what is drawn on `canvas` in this block, for :meth:`FramePort.send_frame`.

    Call only drawing methods of the canvas in the block. The arrays passed to them must not change
    afterwards: another thread reads them later.
    """
    manager, recorded = _CANVAS_MANAGER, Commands()
    saved = manager._caching, manager._commands_cache, manager._buffers_cache, manager._current_canvas
    # As if this canvas were the page's current one; `frame_port.js` makes it so.
    manager._caching, manager._commands_cache, manager._buffers_cache = True, [], []
    manager._current_canvas = canvas
    try:
        yield recorded
        recorded.commands, recorded.buffers = manager._commands_cache, manager._buffers_cache
    finally:
        manager._caching, manager._commands_cache, manager._buffers_cache, manager._current_canvas = saved


class FramePort(AnyWidget):
    """A transparent pane over the canvas: sends frames, receives confirmations, visibility and clicks.

    Parameters
    ----------
    canvas
        The canvas to draw on. Nothing else may draw on it.
    on_message
        Called with each message, on any thread: ``{"shown": frame, "client": …}``,
        ``{"watching": bool, "displayed": bool, "client": …}``, or, in fractions of the picture's sides,
        ``{"click": [x, y]}`` and, from a drag, ``{"drag": [x, y]}``.
    """

    _esm = page_code("frame_port.js")
    _css = style_sheet()

    port: Unicode[str, str | bytes] = Unicode().tag(sync=True)
    manager: Instance[Any] = Instance(ipywidgets.Widget).tag(sync=True, **widget_serialization)
    canvas: Instance[Any] = Instance(Canvas).tag(sync=True, **widget_serialization)

    def __init__(self, canvas: Canvas, on_message: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(port=uuid4().hex, manager=_CANVAS_MANAGER, canvas=canvas)
        self.add_class("chronoflux-port")
        self.on_msg(lambda _, content, __: on_message(content))

    def send_file(self, name: str, media: str, content: bytes) -> None:
        """Send a file to the watching page, which saves it as a download."""
        self.send({"save": name, "media": media}, buffers=[content])

    def send_frame(self, number: int, levels: Bytes, colours: Bytes, overlay: Commands) -> None:
        """Send one frame: the field, and what is drawn over it.

        Parameters
        ----------
        number
            The frame's number, which the page confirms.
        levels
            uint8 (h, w), stretched over the whole canvas. Must not change afterwards.
        colours
            uint8 (256, 3), the colour of each level.
        overlay
            What is drawn over the field, from :func:`recorded_commands`.
        """
        rows, columns = levels.shape
        header, packed = commands_to_buffer(overlay.commands)
        tag = {"port": self.port, "number": number, "rows": rows, "columns": columns}
        buffers = [packed, *overlay.buffers, levels.data, colours.data]
        self.send({**header, "chronoflux": tag}, buffers=buffers)
