"""The live view without a browser: parameters, errors, ends, several views."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chronoflux.errors import ParameterError
from chronoflux.model.params import SPECS
from chronoflux.widget import NodeView
from tests.pages import Page, within
from tests.sources import SwarmSource
from tests.support import until
from tests.widget.views import end, slider, status, steers


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
    """Moving a slider sets its parameter; a parameter set elsewhere moves it, even beyond its range."""
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


async def test_a_refused_change_is_explained_and_taken_back(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for refusing a value is shown beside the slider, which returns to the value in force."""
    view = NodeView(source)
    front.watch(view)
    refuse = ParameterError("kappa", 1.9, "less, today")
    monkeypatch.setattr(type(source.simulation), "_check_fit", lambda *_: (_ for _ in ()).throw(refuse))
    slider(view, "kappa").value = 1.9
    await until(lambda: any("less, today" in str(getattr(w, "value", "")) for w in within(view)))
    await until(lambda: slider(view, "kappa").value == 0.7)
    await end(view)


async def test_an_error_while_drawing_is_reported(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The status line and the log report it; drawing stops, and nothing raises elsewhere."""
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
    """Drawing ends with the source, controls are disabled, and a page opened later shows the last picture."""
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


async def test_an_ended_view_closes_when_removed_from_the_page(front: Page, source: SwarmSource) -> None:
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
