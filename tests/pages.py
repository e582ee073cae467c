"""A page without a browser: what widgets send is recorded, what a page would say is put in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import comm
import ipywidgets
import pytest
from comm.base_comm import BaseComm
from ipycanvas.canvas import _CANVAS_MANAGER
from ipywidgets.widgets.widget import _instances

Message = tuple[str, dict[str, Any], list[Any]]


class Recorded(BaseComm):
    """A comm that keeps what is published on it, for itself and in `all_messages`."""

    all_messages: ClassVar[list[Message]] = []

    def __init__(self, **options: Any) -> None:
        self.messages: list[Message] = []
        super().__init__(**options)

    def publish_msg(self, msg_type: str, data: Any = None, buffers: Any = None, **_: Any) -> None:
        message = (msg_type, data or {}, list(buffers or []))
        self.messages.append(message)
        self.all_messages.append(message)


class Page:
    """The front end. ``client`` names it to the flow of frames."""

    client = "page"

    @property
    def frames(self) -> list[tuple[dict[str, Any], list[Any]]]:
        """All frames sent so far: their tag, and all buffers."""
        return [
            (data["content"]["chronoflux"], buffers)
            for kind, data, buffers in Recorded.all_messages
            if kind == "comm_msg" and data.get("method") == "custom" and "chronoflux" in data["content"]
        ]

    @property
    def files(self) -> list[tuple[dict[str, Any], Any]]:
        """All files sent so far for the page to keep: their tag, and their content."""
        return [
            (data["content"], buffers[0])
            for kind, data, buffers in Recorded.all_messages
            if kind == "comm_msg" and data.get("method") == "custom" and "save" in data["content"]
        ]

    def frames_of(self, view: Any) -> list[int]:
        """The numbers of the frames that one view sent."""
        name = port(view).port
        return [tag["number"] for tag, _ in self.frames if tag["port"] == name]

    def say(self, view: Any, content: dict[str, Any], *, thread: bool = True) -> None:
        """Let the view's port receive a message, by default on a thread of its own."""
        message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
        receive = port(view).comm.handle_msg
        if not thread:
            receive(message)
            return
        worker = threading.Thread(target=receive, args=(message,), name="subshell")
        worker.start()
        worker.join()

    def watch(self, view: Any, watching: bool = True, displayed: bool = True) -> None:
        self.say(view, {"watching": watching, "displayed": displayed, "client": self.client})

    def confirm(self, view: Any, frame: int) -> None:
        self.say(view, {"shown": frame, "client": self.client})

    def press(self, button: ipywidgets.Button) -> None:
        """Click a button, as a message on a thread of its own."""
        message = {
            "content": {"data": {"method": "custom", "content": {"event": "click"}}},
            "buffers": [],
        }
        worker = threading.Thread(target=button.comm.handle_msg, args=(message,), name="subshell")
        worker.start()
        worker.join()


def port(view: Any) -> Any:
    """The view's pane that talks to the page."""
    return next(widget for widget in within(view) if type(widget).__name__ == "FramePort")


def within(widget: Any) -> Iterator[Any]:
    """A widget and all its children."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from within(child)


@contextmanager
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page; when it ends, no widget made meanwhile may be left."""
    before = set(_instances)
    Recorded.all_messages.clear()
    monkeypatch.setattr(comm, "create_comm", Recorded)
    canvas = _CANVAS_MANAGER.comm
    _CANVAS_MANAGER.comm = Recorded(comm_id=canvas.comm_id)
    try:
        yield Page()
    finally:
        _CANVAS_MANAGER.comm = canvas
    left = [type(_instances[name]).__name__ for name in set(_instances) - before]
    assert not left, f"widgets left open: {left}"
