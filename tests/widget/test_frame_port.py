"""Frames on their way to the page: one message each, with the field and what is drawn over it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chronoflux.render.picture import compose
from chronoflux.widget import NodeView
from chronoflux.widget.frame_port import recorded_commands
from tests.pages import Page, port
from tests.sources import SwarmSource
from tests.support import until
from tests.widget.views import end


async def test_one_message_carries_the_whole_frame(front: Page, source: SwarmSource) -> None:
    """A frame's message has ipycanvas's commands first and the field last, and does not change afterwards."""
    view = NodeView(source)
    expected = compose(source.snapshot())
    front.watch(view)
    await until(lambda: front.frames)
    source.simulation.advance(50)
    tag, (packed, *buffers) = front.frames[0]
    commands = json.loads(bytes(packed))
    assert 60 not in [command[0] for command in commands]  # switchCanvas: the page sees to that
    assert sum(command[2] for command in commands if len(command) > 2) == len(buffers) - 2
    levels, colours = buffers[-2:]
    shape = tag["rows"], tag["columns"]
    np.testing.assert_array_equal(np.frombuffer(levels, np.uint8).reshape(shape), expected.levels)
    np.testing.assert_array_equal(np.frombuffer(colours, np.uint8).reshape(256, 3), expected.colours)
    dots = [np.frombuffer(buffer, np.float32) for buffer in buffers if len(bytes(buffer)) == 4 * 220]
    assert any(np.array_equal(column, expected.x) for column in dots)
    await end(view)


async def test_a_failure_while_drawing_leaves_ipycanvas_as_it_was(front: Page, source: SwarmSource) -> None:
    """An error while commands are recorded reaches the caller, and other canvases still draw at once."""
    from ipycanvas.canvas import _CANVAS_MANAGER

    view = NodeView(source)
    with pytest.raises(ZeroDivisionError), recorded_commands(port(view).canvas):
        raise ZeroDivisionError
    assert _CANVAS_MANAGER._caching is False
    assert _CANVAS_MANAGER._commands_cache == []
    await end(view)
