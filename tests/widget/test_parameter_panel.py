"""The panel of parameters without a browser: every one of them, presets, and the way back."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chronoflux.model.params import SPECS, Params
from chronoflux.model.presets import PRESETS
from chronoflux.widget.elements import close_all
from chronoflux.widget.parameter_field import ParameterField
from chronoflux.widget.parameter_panel import NO_PRESET, SETTLE, ParameterPanel
from tests.pages import page, within
from tests.sources import SwarmSource

TROUBLE: list[str | None] = []


@pytest.fixture
def source() -> SwarmSource:
    return SwarmSource(Params(oscillators=20))


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, source: SwarmSource) -> Iterator[ParameterPanel]:
    with page(monkeypatch):
        TROUBLE.clear()
        panel = ParameterPanel(source, TROUBLE.append)
        yield panel
        close_all(panel)


def field(panel: ParameterPanel, name: str) -> Any:
    (found,) = [w for w in within(panel) if str(getattr(w, "tooltip", "") or "").startswith(f"{name}:")]
    return found


def typed_number(panel: ParameterPanel, name: str) -> Any:
    """The number field beside the slider of a parameter."""
    (row,) = [w for w in within(panel) if field(panel, name) in getattr(w, "children", ())]
    return row.children[1]


def problems(panel: ParameterPanel) -> dict[str, str]:
    """The messages beside fields, by parameter."""
    found = {}
    for row in within(panel):
        if isinstance(row, ParameterField) and len(row.children) > 1:
            text = re.sub("<[^>]*>", "", row.children[1].value).removeprefix("⚠ ")
            found[text.partition(" ")[0]] = html.unescape(text)
    return found


def menu(panel: ParameterPanel) -> Any:
    return next(w for w in within(panel) if getattr(w, "description", "") == "preset")


def test_every_parameter_has_its_control(panel: ParameterPanel, source: SwarmSource) -> None:
    """Each control shows its value and unit, and explains what it is and what is allowed."""
    for name, spec in SPECS.items():
        control = field(panel, name)
        assert spec.allowed in control.tooltip
        assert spec.unit in control.description
        assert control.value == ("800 × 600" if name == "world" else getattr(source.params, name))


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("frequency", 2.0, 2.0),
        ("coupling", "global", "global"),
        ("world", "400x300", (400.0, 300.0)),
        ("noise", 0.1, 0.1),
        ("neighbours", 3, 3),
    ],
)
def test_what_is_set_is_applied(
    panel: ParameterPanel, source: SwarmSource, name: str, typed: Any, value: Any
) -> None:
    """A number, a choice, a slider and the size of the world reach the source, and no preset is shown."""
    field(panel, name).value = typed
    panel.apply()
    assert getattr(source.params, name) == value
    assert TROUBLE == [None]
    assert menu(panel).value == NO_PRESET


@pytest.mark.parametrize(
    ("name", "typed", "allowed"),
    [
        ("dt", -1.0, "from 1e-06 to 1 (s)"),
        ("world", "wide", "two numbers, width and height in px"),
        ("world", "1 2 3", "two numbers, width and height in px"),
    ],
)
def test_a_refused_value_is_explained_beside_its_field(
    panel: ParameterPanel, source: SwarmSource, name: str, typed: Any, allowed: str
) -> None:
    """The field says what is allowed and shows the value that holds; the next change removes the message."""
    before = field(panel, name).value
    field(panel, name).value = typed
    panel.apply()
    (said,) = problems(panel).values()
    assert said.startswith(f"{name} = ")
    assert said.endswith(f" is not allowed: {allowed}")
    assert field(panel, name).value == before
    field(panel, "kappa").value = 1.0
    panel.apply()
    assert problems(panel) == {}


def test_a_number_beyond_the_slider_is_taken(panel: ParameterPanel, source: SwarmSource) -> None:
    """Every number that the model takes may be typed, whatever the slider's range; others say why not."""
    slider, number = field(panel, "oscillators"), typed_number(panel, "oscillators")
    number.value = 5000
    panel.apply()
    assert source.params.oscillators == 5000
    assert (slider.value, slider.max, number.value) == (5000, 5000, 5000)
    number.value = 0
    panel.apply()
    assert (source.params.oscillators, slider.value, number.value) == (5000, 5000, 5000)
    assert list(problems(panel)) == ["oscillators"]
    number.value = 300
    panel.apply()
    assert (slider.min, slider.max) == SPECS["oscillators"].slider
    assert problems(panel) == {}


def test_a_slider_that_resets_the_swarm_is_applied_once_it_rests(
    panel: ParameterPanel, source: SwarmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drag does not reset the swarm at each px; the number that follows the slider changes nothing."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    slider, number = field(panel, "oscillators"), typed_number(panel, "oscillators")
    for n in (100, 200, 300):
        slider.value = number.value = n
        panel.apply()
        assert source.params.oscillators == 20
        clock[0] += SETTLE / 2
    clock[0] += SETTLE / 2
    panel.apply()
    assert source.params.oscillators == 300


def test_presets_and_defaults(panel: ParameterPanel, source: SwarmSource) -> None:
    """The menu sets all parameters but world and step, and shows which preset matches, whoever set it."""
    source.params = source.params.replace(world=(400.0, 300.0))
    panel.refresh()
    menu(panel).value = "storm"
    panel.apply()
    assert source.params == PRESETS["storm"].replace(world=(400.0, 300.0))
    assert menu(panel).value == "storm"
    source.params = PRESETS["spirals"].replace(world=(400.0, 300.0))
    panel.refresh()
    assert menu(panel).value == "spirals"
    next(w for w in within(panel) if getattr(w, "description", "") == "Defaults").click()
    panel.apply()
    assert source.params == Params()
    assert menu(panel).value == "classic"


def test_presets_beside_an_integrator_without_noise(panel: ParameterPanel, source: SwarmSource) -> None:
    """With rk4 presets are still recognised and chosen; those with noise set their own integrator."""
    for name, preset in PRESETS.items():
        source.params = Params(integrator="rk4", kappa=0.123)
        panel.refresh()
        assert menu(panel).value == "–"
        menu(panel).value = name
        panel.apply()
        assert source.params == preset.replace(integrator="euler" if preset.noise else "rk4")
        assert menu(panel).value == name


def test_presets_registered_meanwhile_are_offered(panel: ParameterPanel) -> None:
    """The menu follows the registry."""
    PRESETS.register("later", Params(kappa=0.2), "")
    try:
        panel.refresh()
        assert "later" in menu(panel).options
    finally:
        PRESETS.unregister("later")
    panel.refresh()
    assert "later" not in menu(panel).options
