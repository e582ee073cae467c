"""The replay's view without a browser: scrub bar, buttons, modes, several runs, and its end."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest

import chronoflux as cf
from chronoflux.render.palettes import PALETTES
from chronoflux.replay import RECOMPUTED, RECORDED, Replay
from chronoflux.widget import ReplayView, display_replay
from chronoflux.widget.run_view import RunView
from chronoflux.widget.timeline import CURVE_POINTS, Timeline, contents
from tests.pages import Page, within
from tests.runs import INTENTS, PARAMS, make_run
from tests.support import until


async def end(view: ReplayView) -> None:
    view.close()
    await view.wait_closed()


def control(view: ReplayView, label: str) -> Any:
    return next(w for w in within(view) if label in (getattr(w, "description", ""), getattr(w, "icon", "")))


def modes(view: ReplayView) -> ipywidgets.ToggleButtons:
    return next(w for w in within(view) if isinstance(w, ipywidgets.ToggleButtons))


def bar(view: ReplayView) -> Timeline:
    return next(w for w in within(view) if isinstance(w, Timeline))


def said(view: ReplayView) -> str:
    return " ".join(w.value for w in within(view) if isinstance(w, ipywidgets.HTML))


def tell(view: ReplayView, content: dict[str, Any]) -> None:
    """Send a message as the page's scrub bar does, on another thread."""
    message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
    worker = threading.Thread(target=bar(view).comm.handle_msg, args=(message,))
    worker.start()
    worker.join()


async def first_frame(front: Page, view: ReplayView) -> RunView:
    """Let a page watch the first run and confirm one frame."""
    picture = view.views[0]
    front.watch(picture)
    await until(lambda: front.frames_of(picture) == [1])
    front.confirm(picture, 1)
    return picture


async def test_scrubbing_stepping_and_modes(front: Page, tmp_path: Path) -> None:
    """Scrub bar and buttons move the replay, from any thread; the picture follows; the mode is shown."""
    with Replay(make_run(tmp_path)) as replay:
        view = ReplayView(replay)
        picture = await first_frame(front, view)
        tell(view, {"seek": 5.0})
        await until(lambda: front.frames_of(picture) == [1, 2], 60, "a frame of the moment, compiled perhaps")
        assert replay.position == 5.0
        await until(lambda: bar(view).position == 5.0)
        front.confirm(picture, 2)

        front.press(control(view, "step-forward"))
        assert replay.position == pytest.approx(INTENTS[1] + 2 * PARAMS.dt, abs=PARAMS.dt)
        front.press(control(view, "step-backward"))
        assert replay.position == pytest.approx(INTENTS[0] + 2 * PARAMS.dt, abs=PARAMS.dt)
        tell(view, {"step": 1})
        await until(lambda: len(front.frames_of(picture)) >= 3)
        front.confirm(picture, front.frames_of(picture)[-1])
        await until(lambda: "as recorded: metrics and field of now, swarm as it began" in said(view))

        modes(view).value = RECOMPUTED
        await until(lambda: "agrees bit for bit with the record: 15 records" in said(view), 60)
        await until(lambda: "recomputed: every tick computed" in said(view))
        front.press(control(view, "Play"))
        await until(lambda: replay.position > 7.2)
        await until(lambda: bool(control(view, "Pause")))
        tell(view, {"toggle": True})
        assert not replay.playing
        control(view, "Speed").value = 1000.0
        assert replay.speed == 1000
        for nonsense in ({"seek": "x"}, {"seek": float("nan")}, {"step": None}, {}, {"toggle": 3}):
            tell(view, nonsense)
        await end(view)


async def test_runs_side_by_side_have_a_picture_each(front: Page, tmp_path: Path) -> None:
    """Each run has its own lane, curve, marks and picture; the scrub bar shows what is on record."""
    runs = [make_run(tmp_path, node=f"n{i}", seed=i, at=1e12 + 4000 * i) for i in (0, 1)]
    with Replay(runs) as replay:
        assert replay.duration == pytest.approx(19, abs=0.1)
        view = ReplayView(replay)
        shown = contents(replay)
        curves = np.frombuffer(shown["curves"], np.float32).reshape(2, CURVE_POINTS)
        for track, curve in zip(replay.runs, curves, strict=True):
            assert np.nanmean(curve) == pytest.approx(np.mean(track.record.H[1]), abs=0.02)
        assert np.isnan(curves[1][: int(CURVE_POINTS * 4 / 19)]).all()
        seconds = [mark[0] for mark in shown["marks"]]
        assert seconds == pytest.approx(sorted([*INTENTS, *(4 + s for s in INTENTS)]), abs=0.02)
        assert {mark[1] for mark in shown["marks"]} == {0, 1}
        for picture in view.views:
            front.watch(picture)
        tell(view, {"seek": 10.0})
        await until(lambda: [round(track.shown.t) for track in replay.runs] == [10, 6])
        assert [picture._display._source.node for picture in view.views] == ["n0", "n1"]
        await end(view)


async def test_colours_are_chosen_and_files_kept(front: Page, tmp_path: Path) -> None:
    """A paused replay is redrawn in chosen colours; picture and log are exported; it has no controls."""
    with Replay(make_run(tmp_path)) as replay:
        view = ReplayView(replay)
        picture = await first_frame(front, view)
        control(view, "colours").value = "day"
        await until(lambda: front.frames_of(picture) == [1, 2])
        colours = np.frombuffer(front.frames[-1][1][-1], np.uint8).reshape(256, 3)
        np.testing.assert_array_equal(colours, PALETTES["day"].field)
        front.press(control(view, "Picture"))
        await until(lambda: front.files)
        front.press(control(view, "Log"))
        await until(lambda: len(front.files) == 2)
        (tag, content), (log, records) = front.files
        assert tag["save"] == "room1-n1-0.png"
        assert bytes(content).startswith(b"\x89PNG")
        assert log["save"] == "room1-n1.json"
        assert sum(record["type"] == "telemetry" for record in json.loads(bytes(records))) == 15
        assert not {"Defaults", "+ Intent", "preset"} & {getattr(w, "description", "") for w in within(view)}
        await end(view)


async def test_the_end_of_a_replay(front: Page, tmp_path: Path) -> None:
    """A cell shows one view and a static picture; a closed replay says so, and its controls are disabled."""
    replay = cf.Replay(make_run(tmp_path))
    bundle = replay._repr_mimebundle_()  # type: ignore[attr-defined]
    assert set(bundle) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert "as recorded, 0.0 of 15.0 s" in bundle["text/plain"]
    view = display_replay(replay)
    assert display_replay(replay) is view
    with pytest.raises(cf.ChronofluxError):
        replay.mode = "x"
    replay.close()
    await until(lambda: control(view, "Play").disabled)
    assert "closed" in said(view)
    assert replay.mode == RECORDED
    await end(view)
    await asyncio.sleep(0)
