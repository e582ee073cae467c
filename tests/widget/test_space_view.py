"""The view in 3-D without a browser: frames, layouts, and a missing extra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import chronoflux as cf
from chronoflux.errors import ParameterError, UsageError
from chronoflux.model.params import Params
from chronoflux.render.point_cloud import LAYOUTS
from chronoflux.replay import Replay
from chronoflux.widget import replay_view3d, view3d
from chronoflux.widget.space_view import CAMERAS, Pane, SpaceView
from tests.pages import Page, within
from tests.runs import make_run
from tests.sources import SwarmSource
from tests.support import until

pytest.importorskip("k3d")


def pane(view: Any) -> Any:
    return next(widget for widget in within(view) if isinstance(widget, Pane))


def say(view: SpaceView, content: dict[str, Any]) -> None:
    message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
    pane(view).comm.handle_msg(message)


def frames(view: SpaceView) -> list[int]:
    sent = [data.get("content", {}) for _, data, _ in pane(view).comm.messages]
    return [content["frame"] for content in sent if "frame" in content]


async def end(view: Any) -> None:
    view.close()
    await view.wait_closed()


@pytest.mark.slow
async def test_frames_flow_two_at_a_time_in_every_layout(front: Page) -> None:
    """Nothing is sent before a page watches, then two frames, and one per confirmation; palettes work."""
    source = SwarmSource(Params(oscillators=50)).start()
    view = view3d(source)
    for layout in LAYOUTS:
        choice, colours = view.children[0].children
        choice.value = layout
        await until(lambda layout=layout: view._plot.camera == CAMERAS[layout])
        cloud = view._points
        before = cloud.positions.copy()
        say(view, {"watching": True, "displayed": True, "client": "a"})
        await until(lambda: len(frames(view)) >= 2)
        last = frames(view)[-1]
        say(view, {"shown": last, "client": "a"})
        await until(lambda last=last: frames(view)[-1] == last + 2)
        assert view.flow.in_flight <= 2
        say(view, {"watching": False, "displayed": False, "client": "a"})
        assert view._points is cloud
        assert (cloud.positions != before).any()
    dark = view._plot.background_color
    colours.value = "day"
    await until(lambda: view._plot.background_color == 0xFFFFFF != dark)
    for nonsense in ({}, {"shown": "x"}, {"watching": 3}):
        say(view, nonsense)
    await source.leave()
    await view.wait_closed()
    await end(view)


@pytest.mark.slow
async def test_a_replay_in_space_has_its_scrub_bar(front: Page, tmp_path: Path) -> None:
    """The scrub bar moves the swarm in 3-D; nodes and replays have ``view3d``."""
    with Replay(make_run(tmp_path)) as replay:
        view = replay_view3d(replay, "height")
        (space,) = view.views
        say(space, {"watching": True, "displayed": True, "client": "a"})
        await until(lambda: frames(space))
        before = space._points.positions.copy()
        replay.seek(7.5)
        await until(lambda: (space._points.positions != before).any())
        await end(view)
    assert callable(cf.Node.view3d)
    assert callable(cf.Replay.view3d)


async def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without k3d the error says what to install; an unknown layout is refused by name."""
    source = SwarmSource(Params(oscillators=5))
    with pytest.raises(ParameterError, match="layout = 'cube' is not allowed: one of torus, helix, height"):
        view3d(source, "cube")
    monkeypatch.setitem(sys.modules, "k3d", None)
    with pytest.raises(UsageError, match=r'pip install "chronoflux\[3d\]"'):
        view3d(source)
