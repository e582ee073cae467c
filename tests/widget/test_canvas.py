"""Drawing a picture: what goes to the page with the field."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ipycanvas.canvas import COMMANDS

from chronoflux.model.params import Params
from chronoflux.render.picture import compose
from chronoflux.widget.canvas import PictureCanvas
from chronoflux.widget.elements import close_all
from tests.pages import Page
from tests.sources import SwarmSource


@pytest.mark.parametrize("portal", [False, True])
def test_a_picture_is_one_message(front: Page, portal: bool) -> None:
    """One message has the field, the pulses' rings, the oscillators and the clock; in portal mode a frame."""
    source = SwarmSource(Params(oscillators=20))
    if portal:
        source.fire("lion_gate", on=True)
    source.fire("intent", x=400, y=300)
    source.step()
    picture = compose(source.snapshot())
    canvas = PictureCanvas((800, 600), lambda message: None)
    canvas.send_picture(picture, 7)
    ((tag, (commands, *buffers)),) = front.frames
    assert tag["number"] == 7
    drawn = [command[0] for command in json.loads(bytes(commands))]
    assert (COMMANDS["strokeRect"] in drawn) == portal
    columns = [np.frombuffer(buffer, np.float32) for buffer in buffers[:-2] if len(bytes(buffer)) % 4 == 0]
    for expected in (picture.x, picture.y, picture.rings[:, 0], picture.rings[:, 2]):
        assert any(np.array_equal(column, expected) for column in columns)
    np.testing.assert_array_equal(np.frombuffer(buffers[-2], np.uint8), picture.levels.ravel())
    close_all(canvas)


def test_the_canvas_takes_the_size_of_the_picture(front: Page) -> None:
    """A swarm whose world changes shape is drawn on a canvas of that shape."""
    source = SwarmSource(Params(oscillators=20))
    canvas = PictureCanvas((800, 600), lambda message: None)
    canvas.send_picture(compose(source.snapshot()), 1)
    source.params = source.params.replace(world=(1600, 600))
    canvas.send_picture(compose(source.snapshot()), 2)
    assert (canvas.children[0].width, canvas.children[0].height) == (800, 300)
    assert canvas.layout.max_width == "800px"
    close_all(canvas)
