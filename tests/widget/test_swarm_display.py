"""Picture, status line and display options: frames, clicks, colours."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest

from chronoflux.render.palettes import PALETTES
from chronoflux.widget import NodeView
from tests.pages import Page, within
from tests.sources import SwarmSource
from tests.support import until
from tests.widget.views import end, status


async def test_frames_flow_two_at_a_time(front: Page, source: SwarmSource) -> None:
    """Nothing is sent before a page watches, then two frames, and one more for each confirmed."""
    view = NodeView(source)
    source.start()
    await asyncio.sleep(0.05)
    assert front.frames_of(view) == []
    front.watch(view)
    await until(lambda: front.frames_of(view) == [1, 2])
    await asyncio.sleep(0.1)
    assert front.frames_of(view) == [1, 2]
    front.confirm(view, 1)
    await until(lambda: front.frames_of(view) == [1, 2, 3])
    front.watch(view, watching=False)
    await asyncio.sleep(0.05)
    front.confirm(view, 3)
    await asyncio.sleep(0.05)
    assert front.frames_of(view) == [1, 2, 3]
    await source.leave()
    await end(view)


async def test_a_paused_swarm_is_drawn_once_for_each_new_page(front: Page, source: SwarmSource) -> None:
    """Without a tick there is no second frame, but a page that is reloaded gets one."""
    source.pause()
    view = NodeView(source)
    front.watch(view)
    await until(lambda: front.frames_of(view) == [1])
    front.confirm(view, 1)
    await asyncio.sleep(0.15)
    assert front.frames_of(view) == [1]
    front.client = "reloaded"
    front.watch(view)
    await until(lambda: front.frames_of(view) == [1, 2])
    await end(view)


async def test_a_reset_of_a_paused_swarm_is_drawn(front: Page, source: SwarmSource) -> None:
    """A new swarm at the same tick is another picture."""
    source.pause()
    view = NodeView(source)
    front.watch(view)
    await until(lambda: front.frames_of(view) == [1])
    front.confirm(view, 1)
    source.reset()
    await until(lambda: front.frames_of(view) == [1, 2])
    await end(view)


@pytest.mark.parametrize(
    ("click", "world"),
    [((0.5, 0.25), (400.0, 150.0)), ((-0.1, 2), (0.0, 600.0))],
)
async def test_a_click_fires_an_intent_at_its_position(
    front: Page, source: SwarmSource, click: tuple[float, float], world: tuple[float, float]
) -> None:
    """Fractions of the picture become px of the world, kept within it."""
    view = NodeView(source)
    front.say(view, {"click": list(click)})
    await until(lambda: source.fired)
    name, place, _ = source.fired[0]
    assert (name, place["x"], place["y"]) == ("intent", *world)
    await end(view)


async def test_a_drag_leaves_a_few_intents(front: Page, source: SwarmSource) -> None:
    """However many positions a drag reports, at most eight per second become intents."""
    view = NodeView(source)
    for _ in range(60):
        front.say(view, {"drag": [0.5, 0.5]}, thread=False)
    front.say(view, {"click": [0.25, 0.5]}, thread=False)
    await until(lambda: any(data["x"] == 200 for _, data, _ in source.fired))
    assert 8 <= sum(data["x"] == 400 for _, data, _ in source.fired) <= 10
    await end(view)


@pytest.mark.parametrize("words", [{"click": ["a", 1]}, {"shown": "x"}, {}, {"click": [float("nan"), 0]}])
async def test_invalid_messages_are_ignored(
    front: Page, source: SwarmSource, words: dict[str, object]
) -> None:
    """An invalid message is ignored, and the view keeps running."""
    view = NodeView(source)
    front.say(view, words)
    front.watch(view)
    await until(lambda: front.frames_of(view))
    assert source.fired == []
    await end(view)


async def test_colours_and_frame_rate_are_chosen(front: Page, source: SwarmSource) -> None:
    """A chosen palette is drawn at once, even if the swarm is paused; the frame rate is shown on request."""
    source.pause()
    view = NodeView(source)
    front.watch(view)
    await until(lambda: front.frames_of(view) == [1])
    front.confirm(view, 1)
    assert "frames/s" not in status(view)
    choice = next(w for w in within(view) if getattr(w, "description", "") == "colours")
    choice.value = "day"
    await until(lambda: front.frames_of(view) == [1, 2])
    colours = np.frombuffer(front.frames[-1][1][-1], np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(colours, PALETTES["day"].field)
    next(w for w in within(view) if getattr(w, "description", "") == "frame rate").value = True
    await until(lambda: "frames/s" in status(view))
    await end(view)


async def test_peers_are_on_the_clock_and_counted(front: Page, source: SwarmSource) -> None:
    """Peers with a known mean field get a hand; names from outside are escaped in the status line."""
    source.table = pd.DataFrame(
        {"id": ["p1", "p2"], "name": ["", "x"], "H": [0.5, np.nan], "dpsi": [1.0, np.nan]}
    )
    source.room = "<script>"
    view = NodeView(source)
    front.watch(view)
    await until(lambda: front.frames)
    _, (packed, *_) = front.frames[0]
    assert b'"p1"' in bytes(packed)
    assert b'"x"' not in bytes(packed)
    assert "2 peers" in status(view)
    assert "<script>" not in status(view)
    await end(view)
