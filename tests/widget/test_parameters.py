"""The panel of parameters without a browser: every one of them, presets, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chronoflux.model.params import SPECS, Params
from chronoflux.model.presets import PRESETS
from chronoflux.widget.controls import close_all
from chronoflux.widget.parameters import OWN, Parameters
from tests.pages import page, within
from tests.sources import SwarmSource

TROUBLE: list[str | None] = []


@pytest.fixture
def source() -> SwarmSource:
    return SwarmSource(Params(oscillators=20))


@pytest.fixture
def panel(monkeypatch: pytest.MonkeyPatch, source: SwarmSource) -> Iterator[Parameters]:
    with page(monkeypatch):
        TROUBLE.clear()
        panel = Parameters(source, TROUBLE.append)
        yield panel
        close_all(panel)


def field(panel: Parameters, name: str) -> Any:
    (found,) = [w for w in within(panel) if str(getattr(w, "tooltip", "") or "").startswith(f"{name}:")]
    return found


def menu(panel: Parameters) -> Any:
    return next(w for w in within(panel) if getattr(w, "description", "") == "preset")


def test_every_parameter_has_its_control(panel: Parameters, source: SwarmSource) -> None:
    """Each shows its value, its unit, and says in words what it is and what is allowed."""
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
    panel: Parameters, source: SwarmSource, name: str, typed: Any, value: Any
) -> None:
    """A number, a choice, a slider or the sides of the world reach the source, and stand there."""
    field(panel, name).value = typed
    panel.apply()
    assert getattr(source.params, name) == value
    assert TROUBLE == [None]
    assert menu(panel).value == OWN


@pytest.mark.parametrize(("name", "typed"), [("dt", -1.0), ("world", "wide"), ("world", "1 2 3")])
def test_what_is_refused_is_said_and_taken_back(
    panel: Parameters, source: SwarmSource, name: str, typed: Any
) -> None:
    """A value outside of what is allowed is reported by name, and the control shows what holds."""
    before = field(panel, name).value
    field(panel, name).value = typed
    panel.apply()
    assert name in str(TROUBLE[-1])
    assert field(panel, name).value == before


def test_presets_and_defaults(panel: Parameters, source: SwarmSource) -> None:
    """The menu sets all parameters but world and step; it names those that are a preset, from anywhere."""
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


def test_presets_beside_an_integrator_without_noise(panel: Parameters, source: SwarmSource) -> None:
    """Under rk4 presets are still told apart and chosen: those with noise bring their own integrator."""
    for name, preset in PRESETS.items():
        source.params = Params(integrator="rk4", kappa=0.123)
        panel.refresh()
        assert menu(panel).value == "–"
        menu(panel).value = name
        panel.apply()
        assert source.params == preset.replace(integrator="euler" if preset.noise else "rk4")
        assert menu(panel).value == name


def test_presets_registered_meanwhile_are_offered(panel: Parameters) -> None:
    """The menu follows the registry."""
    PRESETS.register("later", Params(kappa=0.2), "")
    try:
        panel.refresh()
        assert "later" in menu(panel).options
    finally:
        PRESETS.unregister("later")
    panel.refresh()
    assert "later" not in menu(panel).options
