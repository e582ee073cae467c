"""The panel of parameters: presets, defaults, and a slider or field with its unit for each parameter.

It is made from the registries (`SPECS`, `PRESETS`), so a new parameter or preset needs no change here.
Changes may arrive on any thread; `refresh` and `apply` are called on the view's event loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError, ParameterError
from chronoflux.model.params import SPECS, Params
from chronoflux.model.presets import PRESETS
from chronoflux.widget.elements import button
from chronoflux.widget.parameter_field import ParameterField
from chronoflux.widget.source import Source
from chronoflux.widget.typed_bases import VBox

NO_PRESET = "–"
"""What the preset menu shows when the parameters match no preset."""
KEPT = ("world", "dt", "integrator")
"""Parameters that a preset from the menu does not change; a preset with noise does set the integrator."""
SETTLE = 0.3
"""Seconds that a slider of a parameter that resets the swarm must rest before it is applied."""


class ParameterPanel(VBox):
    """Controls for every parameter of the source. Changes are collected and applied together.

    What the source refuses is said beside the field. `report` gets an error's line if it is about no single
    parameter, or None after a success.
    """

    def __init__(self, source: Source, report: Callable[[str | None], None]) -> None:
        self._source, self._report = source, report
        self._changed: dict[str, Any] = {}
        self._not_before = -math.inf  # when changes may be applied; later while a slider is dragged
        self._shown = source.params
        self._presets: tuple[str, ...] = ()
        self._preset = ipywidgets.Dropdown(
            description="preset", tooltip="Set all parameters to those of a named example"
        )
        self._preset.observe(lambda change: self._choose(change["new"]), "value")
        self._defaults = button("Defaults", "Set every parameter to its default", "undo")
        self._defaults.on_click(lambda _: self._request(Params()))
        self._fields = {
            name: ParameterField(name, spec, getattr(self._shown, name), self._set)
            for name, spec in SPECS.items()
        }
        sliders = [self._fields[name] for name, spec in SPECS.items() if spec.slider]
        others = [self._fields[name] for name, spec in SPECS.items() if not spec.slider]
        self._more = ipywidgets.ToggleButton(
            description="More parameters", icon="caret-right", tooltip="Show or hide the other parameters"
        )
        self._others = ipywidgets.VBox(others)
        self._more.observe(lambda change: self._show_more(change["new"]), "value")
        self._show_more(False)
        top = ipywidgets.HBox([self._preset, self._defaults])
        top.add_class("chronoflux-presets")
        super().__init__([top, *sliders, self._more, self._others])
        self.add_class("chronoflux-parameters")
        self._show(self._shown)

    def apply(self) -> None:
        """Apply to the source what was changed since the last call."""
        if not self._changed or time.monotonic() < self._not_before:
            return
        changed, self._changed = self._changed, {}
        for field in self._fields.values():
            field.show_problem(None)
        try:
            params = self._source.params.replace(**changed)
            if params != self._source.params:
                self._source.params = params
        except ChronofluxError as error:
            self._show(self._source.params)
            if isinstance(error, ParameterError) and error.name in self._fields:
                self._fields[error.name].show_problem(str(error))
                self._report(None)
            else:
                self._report(str(error))
        else:
            self._show(params)
            self._report(None)

    def refresh(self) -> None:
        """Show parameters changed elsewhere, and newly registered presets."""
        params = self._source.params
        if not self._changed and (params != self._shown or self._presets != tuple(PRESETS)):
            self._show(params)

    def disable(self) -> None:
        """Disable every control of the parameters."""
        for control in (self._preset, self._defaults):
            control.disabled = True
        for field in self._fields.values():
            field.disable()

    def _show(self, params: Params) -> None:
        self._shown = params
        for name, field in self._fields.items():
            field.show(getattr(params, name))
        if self._presets != tuple(PRESETS):
            self._presets = tuple(PRESETS)
            self._preset.options = (NO_PRESET, *self._presets)
        matches = (name for name in self._presets if _preset(name, params) == params)
        self._preset.value = next(matches, NO_PRESET)

    def _show_more(self, shown: bool) -> None:
        self._more.icon = "caret-down" if shown else "caret-right"
        self._others.layout.display = None if shown else "none"

    def _choose(self, name: str | None) -> None:
        if name is not None and name in PRESETS:
            self._request(_preset(name, self._shown))

    def _request(self, params: Params) -> None:
        """Have all of these parameters applied."""
        self._changed = {name: getattr(params, name) for name in SPECS}
        self._not_before = -math.inf

    def _set(self, name: str, value: Any, dragged: bool) -> None:
        """Have a control's value applied; `dragged`: it came from a slider, which may still move."""
        if self._changed.get(name) == value:  # the number that follows its slider
            return
        if value != getattr(self._shown, name) or name in self._changed:
            self._changed[name] = value
            self._not_before = time.monotonic() + SETTLE if dragged and SPECS[name].reset else -math.inf


def _preset(name: str, current: Params) -> Params:
    preset = PRESETS[name]
    kept = {one: getattr(current, one) for one in KEPT}
    if preset.noise:
        kept["integrator"] = preset.integrator
    return preset.replace(**kept)
