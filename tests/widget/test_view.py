"""The view without a browser: frames, controls, clicks, errors, ends, on messages from other threads."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator

import ipywidgets
import numpy as np
import pandas as pd
import pytest

from chronoflux.errors import LogError, ParameterError
from chronoflux.model.events import EVENTS
from chronoflux.model.params import SPECS
from chronoflux.render.palettes import PALETTES
from chronoflux.render.picture import compose
from chronoflux.widget import NodeView, display_node, mimebundle
from tests.pages import Page, page, within
from tests.sources import SwarmSource
from tests.support import until

OTHERS = ["Defaults", "Picture", "Clip", "Log"]


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    with page(monkeypatch) as front:
        yield front


@pytest.fixture
async def source() -> SwarmSource:
    return SwarmSource()


async def end(view: NodeView) -> None:
    view.close()
    await view.wait_closed()


def button(view: NodeView, label: str) -> ipywidgets.Button:
    found = [w for w in within(view) if isinstance(w, ipywidgets.Button) and w.description.startswith(label)]
    assert len(found) == 1, f"{len(found)} buttons {label}"
    return found[0]


def steers(widget: object) -> bool:
    """Whether this is a button that does something to the swarm; files can be kept of an ended one too."""
    return isinstance(widget, ipywidgets.Button) and widget.description not in ("Picture", "Clip", "Log")


def labels(view: NodeView) -> list[str]:
    return [w.description for w in within(view) if isinstance(w, ipywidgets.Button)]


def slider(view: NodeView, name: str) -> ipywidgets.Widget:
    return next(w for w in within(view) if str(getattr(w, "tooltip", "") or "").startswith(f"{name}:"))


def lines(view: NodeView) -> list[str]:
    """The sparkline, as soon as there is one."""
    return [w.value for w in within(view) if isinstance(w, ipywidgets.HTML) and "chronoflux-trace" in w.value]


def status(view: NodeView) -> str:
    return next(w.value for w in within(view) if isinstance(w, ipywidgets.HTML))


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


async def test_one_message_carries_the_whole_frame(front: Page, source: SwarmSource) -> None:
    """ipycanvas's commands come first and the field last, as the picture has them, unchanged later."""
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
    """An error between the drawing calls reaches the caller, and other canvases still draw at once."""
    from ipycanvas.canvas import _CANVAS_MANAGER

    from tests.pages import port

    view = NodeView(source)
    picture = compose(source.snapshot())

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        port(view).send_frame(1, picture.levels, picture.colours, fail)
    assert _CANVAS_MANAGER._caching is False
    assert _CANVAS_MANAGER._commands_cache == []
    await end(view)


async def test_a_held_swarm_is_drawn_once_for_each_page_that_opens(front: Page, source: SwarmSource) -> None:
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


async def test_the_buttons_are_the_registry(front: Page, source: SwarmSource) -> None:
    """Play, Step, Reset and every event have a button, in the registry's order, with the event's label."""
    view = NodeView(source)
    assert labels(view) == ["Pause", "Step", "Reset", "+ Intent", "Lion Gate: off", "Pacemaker Flip", *OTHERS]
    front.press(button(view, "Pacemaker Flip"))
    front.press(button(view, "+ Intent"))
    (flip, _, thread), (intent, place, _) = source.fired
    assert (flip, intent, thread) == ("pacemaker_flip", "intent", "subshell")
    assert 0 <= place["x"] <= 800
    assert 0 <= place["y"] <= 600
    await end(view)


async def test_a_newly_registered_event_gets_a_button(front: Page, source: SwarmSource) -> None:
    """An event registered while the view is open appears, works, and goes again."""
    view = NodeView(source)
    front.watch(view)

    def freeze(swarm: object, age: float) -> None:
        """Stop everybody."""

    EVENTS.register(freeze, wire="freeze", label="Freeze!")
    try:
        await until(lambda: "Freeze!" in labels(view))
        front.press(button(view, "Freeze!"))
        assert source.fired[-1][0] == "freeze"
    finally:
        EVENTS.unregister("freeze")
    await until(lambda: "Freeze!" not in labels(view))
    await end(view)


async def test_lion_gate_toggles_and_shows_it(front: Page, source: SwarmSource) -> None:
    """Each press asks for the opposite, and the button says what holds, also if others switched it."""
    view = NodeView(source)
    source.start()
    front.watch(view)
    front.press(button(view, "Lion Gate"))
    await until(lambda: "Lion Gate: on" in labels(view))
    assert source.fired[-1][1] == {"on": True}
    front.press(button(view, "Lion Gate"))
    await until(lambda: "Lion Gate: off" in labels(view))
    assert source.fired[-1][1] == {"on": False}
    await source.leave()
    await end(view)


async def test_portal_mode_switched_elsewhere_is_shown(front: Page, source: SwarmSource) -> None:
    """A Lion Gate of another node turns this view's button on."""
    source.simulation.lion_gate()
    source.simulation.advance()
    view = NodeView(source)
    assert "Lion Gate: on" in labels(view)
    await end(view)


async def test_play_and_pause(front: Page, source: SwarmSource) -> None:
    """The first button holds the swarm and lets it go, and says which it will do."""
    view = NodeView(source)
    front.watch(view)
    front.press(button(view, "Pause"))
    assert not source.playing
    await until(lambda: "Play" in labels(view))
    front.press(button(view, "Play"))
    assert source.playing
    await end(view)


async def test_step_reset_and_speed(front: Page, source: SwarmSource) -> None:
    """Each press is one step or one new swarm; a speed chosen here, and one set elsewhere, are both shown;
    a swarm at full speed has none to choose."""
    view = NodeView(source)
    front.watch(view)
    front.press(button(view, "Step"))
    front.press(button(view, "Step"))
    front.press(button(view, "Reset"))
    assert (source.steps, source.resets) == (2, 1)
    await until(lambda: "Play" in labels(view))
    menu = next(w for w in within(view) if getattr(w, "description", "") == "speed")
    assert menu.value == source.speed == 1.0
    menu.value = 4.0
    assert source.speed == 4.0
    source.speed = 60.0
    await until(lambda: menu.value == 60.0)
    assert menu.label == "× 60"
    source.speed = 0.25
    await until(lambda: menu.label == "× ¼")
    assert source.speed == 0.25
    source.speed = "max"
    await until(lambda: menu.disabled)
    assert (menu.label, source.speed) == ("max", "max")
    await end(view)


async def test_every_parameter_with_a_range_has_a_slider(front: Page, source: SwarmSource) -> None:
    """A slider has its parameter's range, value, unit and meaning."""
    view = NodeView(source)
    for name, spec in SPECS.items():
        if spec.slider:
            control = slider(view, name)
            assert (control.min, control.max) == spec.slider
            assert control.value == getattr(source.params, name)
            assert spec.unit in control.description
    await end(view)


async def test_sliders_change_parameters_and_follow_them(front: Page, source: SwarmSource) -> None:
    """A moved slider sets its parameter; a parameter set elsewhere moves its slider, beyond its range too."""
    view = NodeView(source)
    front.watch(view)
    await asyncio.to_thread(setattr, slider(view, "kappa"), "value", 1.5)
    await asyncio.to_thread(setattr, slider(view, "oscillators"), "value", 100)
    await until(lambda: source.params.kappa == 1.5 and source.params.oscillators == 100)
    source.params = source.params.replace(kappa=7.0, eta=0.5)
    await until(lambda: slider(view, "kappa").value == 7.0)
    assert slider(view, "eta").value == 0.5
    await asyncio.sleep(0.3)
    assert source.params.kappa == 7.0
    await end(view)


async def test_a_refused_change_is_said_and_taken_back(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the source refuses is in the status line, and the slider goes back."""
    view = NodeView(source)
    front.watch(view)
    refuse = ParameterError("kappa", 1.9, "less, today")
    monkeypatch.setattr(type(source.simulation), "_check_fit", lambda *_: (_ for _ in ()).throw(refuse))
    slider(view, "kappa").value = 1.9
    await until(lambda: "less, today" in status(view))
    await until(lambda: slider(view, "kappa").value == 0.7)
    await end(view)


@pytest.mark.parametrize(
    ("click", "world"),
    [((0.5, 0.25), (400.0, 150.0)), ((-0.1, 2), (0.0, 600.0))],
)
async def test_a_click_is_an_intent_there(
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
    """However many places a page reports of a drag, not more than eight a second become intents."""
    view = NodeView(source)
    for _ in range(60):
        front.say(view, {"trail": [0.5, 0.5]}, thread=False)
    front.say(view, {"click": [0.25, 0.5]}, thread=False)
    await until(lambda: any(data["x"] == 200 for _, data, _ in source.fired))
    assert 8 <= sum(data["x"] == 400 for _, data, _ in source.fired) <= 10
    await end(view)


@pytest.mark.parametrize(
    ("label", "begin", "name"),
    [
        ("Picture", b"\x89PNG", "room1-test-0.png"),
        ("Clip", b"GIF89a", "room1-test-0.gif"),
        ("Log", b"[]", "room1-test.json"),
    ],
)
async def test_files_to_keep(
    front: Page,
    source: SwarmSource,
    monkeypatch: pytest.MonkeyPatch,
    label: str,
    begin: bytes,
    name: str,
) -> None:
    """Picture, clip and log are sent to the page as files of their kind, named after room and node."""
    monkeypatch.setattr("chronoflux.widget.view.CLIP_SECONDS", 0.3)
    view = NodeView(source)
    front.press(button(view, label))
    await until(lambda: front.files)
    (tag, content), *others = front.files
    assert not others
    assert tag["save"] == name
    assert bytes(content).startswith(begin)
    await end(view)


async def test_a_log_that_cannot_be_read_is_said(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is saved then, and the status line tells why."""

    def fail(path: object) -> None:
        raise LogError("logs", "the disk is gone")

    monkeypatch.setattr(source, "export_log", fail)
    view = NodeView(source)
    front.watch(view)
    front.press(button(view, "Log"))
    await until(lambda: "the disk is gone" in status(view))
    assert front.files == []
    await end(view)


async def test_colours_and_frame_rate_are_chosen(front: Page, source: SwarmSource) -> None:
    """Another palette is drawn at once, also of a held swarm; the frame rate is shown when asked for."""
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


async def test_order_and_peers_are_shown(front: Page, source: SwarmSource) -> None:
    """Below the picture: the sparkline, and a row for each peer."""
    source.table = pd.DataFrame({"id": ["p1"], "name": ["<b>"], "H": [0.5], "dpsi": [1.0], "via": ["direct"]})
    view = NodeView(source)
    _, history, company = (w.value for w in within(view) if isinstance(w, ipywidgets.HTML))
    assert "<svg" in history
    assert "&lt;b&gt;" in company
    assert "direct" in company
    await end(view)


async def test_what_is_on_record_is_marked(front: Page, source: SwarmSource) -> None:
    """What is put on record from now on, by whomever, is a mark on the sparkline, once."""
    source.fire("intent")
    view = NodeView(source)
    front.watch(view)
    source.fire("pacemaker_flip")
    source.recent.append((9, "remote_lion_gate", {"on": True}))

    def marks() -> list[str]:
        return re.findall(r"<line [^>]*><title>([^<]*)</title>", "".join(lines(view)))

    await until(lambda: marks() == ["pacemaker flip", "remote lion gate on"])
    await end(view)


async def test_a_note_goes_into_the_log(front: Page, source: SwarmSource) -> None:
    """What is typed is handed on when it is done, once, and the field is empty again."""
    view = NodeView(source)
    field = next(w for w in within(view) if "remark" in str(getattr(w, "tooltip", "")))
    field.value = "  coffee "
    assert source.notes == ["coffee"]
    assert field.value == ""
    await end(view)


@pytest.mark.parametrize("words", [{"click": ["a", 1]}, {"shown": "x"}, {}, {"click": [float("nan"), 0]}])
async def test_nonsense_from_the_page_does_no_harm(
    front: Page, source: SwarmSource, words: dict[str, object]
) -> None:
    """A message that is none is ignored, and the view goes on."""
    view = NodeView(source)
    front.say(view, words)
    front.watch(view)
    await until(lambda: front.frames_of(view))
    assert source.fired == []
    await end(view)


async def test_peers_are_hands_and_counted(front: Page, source: SwarmSource) -> None:
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


async def test_an_error_while_drawing_is_said(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The status line and the log tell of it; nothing else is drawn, nothing raises elsewhere."""
    view = NodeView(source)

    def fail() -> None:
        raise RuntimeError("no snapshot today")

    monkeypatch.setattr(source, "snapshot", fail)
    with caplog.at_level(logging.ERROR):
        front.watch(view)
        await until(lambda: "no snapshot today" in status(view))
    assert "the display stopped" in caplog.text
    assert all(w.disabled for w in within(view) if steers(w))
    await end(view)


async def test_the_last_picture_stays_when_the_source_ends(front: Page, source: SwarmSource) -> None:
    """The task ends with the source, controls are switched off, and a page opened later sees the end."""
    view = NodeView(source)
    front.watch(view)
    await until(lambda: front.frames_of(view))
    source.text = "left"
    await source.leave()
    await view.wait_closed()
    await until(lambda: "left" in status(view))
    assert all(w.disabled for w in within(view) if steers(w))
    before = len(front.frames_of(view))
    front.client = "later"
    front.watch(view)
    await until(lambda: len(front.frames_of(view)) == before + 1)
    await end(view)


async def test_an_ended_view_goes_when_it_is_taken_off_the_page(front: Page, source: SwarmSource) -> None:
    """Once its source has ended and no page displays it, the view closes all its comms by itself."""
    view = NodeView(source)
    front.watch(view)
    await source.leave()
    await view.wait_closed()
    front.watch(view, watching=False, displayed=True)
    await asyncio.sleep(0.02)
    assert view.comm is not None
    front.watch(view, watching=False, displayed=False)
    await until(lambda: view.comm is None)


async def test_two_views_of_one_source(front: Page, source: SwarmSource) -> None:
    """Each view has its own frames and controls, and closing one leaves the other alone."""
    one, two = NodeView(source), NodeView(source)
    source.start()
    front.watch(one)
    front.watch(two)
    await until(lambda: front.frames_of(one) == [1, 2] and front.frames_of(two) == [1, 2])
    await end(one)
    front.confirm(two, 2)
    await until(lambda: len(front.frames_of(two)) == 4)
    await source.leave()
    await end(two)


async def test_closing_from_another_thread(front: Page, source: SwarmSource) -> None:
    """A view may be closed from any thread, and more than once."""
    view = NodeView(source)
    await asyncio.to_thread(view.close)
    await view.wait_closed()
    view.close()


async def test_a_cell_shows_one_view_and_a_still(front: Page, source: SwarmSource) -> None:
    """The bundle has the live view, the same one each time, a PNG and text; closed, a new one is made."""
    first, second = mimebundle(source), mimebundle(source)
    assert set(first) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    live = "application/vnd.jupyter.widget-view+json"
    assert first[live]["model_id"] == second[live]["model_id"]
    assert first["text/plain"] == "<SwarmSource>"
    assert first["image/png"].startswith("iVBORw0KGgo")
    view = display_node(source)
    await end(view)
    again = display_node(source)
    assert again is not view
    await end(again)


def test_without_a_loop_there_is_a_still_only(front: Page) -> None:
    """In a plain script, where nothing could be live, the bundle has the picture and the text."""
    assert set(mimebundle(SwarmSource())) == {"text/plain", "image/png"}
