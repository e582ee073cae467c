"""The panel of parameters: presets, defaults, and a slider or field with its unit for each parameter.

It is made from the registries (`SPECS`, `PRESETS`), so a new parameter or preset needs no change here.
Changes may arrive on any thread; `refresh` and `apply` are called on the view's event loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.model.params import SPECS, Params, Spec
from chronoflux.model.presets import PRESETS
from chronoflux.widget.source import Source
from chronoflux.widget.typed_bases import VBox

OWN = "–"
"""What the preset menu shows when the parameters match no preset."""
KEPT = ("world", "dt", "integrator")
"""Parameters that a preset from the menu does not change; a preset with noise does set the integrator."""


class Parameters(VBox):
    """Controls for every parameter of the source. Changes are collected and applied together.

    `report` gets an error's line, or None after a success.
    """

    def __init__(self, source: Source, report: Callable[[str | None], None]) -> None:
        self._source, self._report = source, report
        self._moved: dict[str, Any] = {}
        self._shown = source.params
        self._presets: tuple[str, ...] = ()
        self._preset = ipywidgets.Dropdown(description="preset", tooltip="parameters with a name")
        self._preset.observe(lambda change: self._choose(change["new"]), "value")
        self._defaults = ipywidgets.Button(
            description="Defaults", tooltip="Set every parameter to its default", icon="undo"
        )
        self._defaults.on_click(lambda _: self._wish(Params()))
        self._fields = {name: _field(name, spec, getattr(self._shown, name)) for name, spec in SPECS.items()}
        for name, field in self._fields.items():
            field.observe(lambda change, name=name: self._move(name, change["new"]), "value")
        ranged = [self._fields[name] for name, spec in SPECS.items() if spec.slider]
        others = [self._fields[name] for name, spec in SPECS.items() if not spec.slider]
        more = ipywidgets.Accordion([ipywidgets.VBox(others)], titles=("More parameters",))
        top = ipywidgets.HBox([self._preset, self._defaults])
        top.add_class("chronoflux-presets")
        super().__init__([top, *ranged, more])
        self.add_class("chronoflux-parameters")
        self._show(self._shown)

    def apply(self) -> None:
        """Apply to the source what was changed since the last call."""
        if not self._moved:
            return
        moved, self._moved = self._moved, {}
        try:
            params = self._source.params.replace(**moved)
            if params != self._source.params:
                self._source.params = params
        except ChronofluxError as error:
            self._report(str(error))
            self._show(self._source.params)
        else:
            self._show(params)
            self._report(None)

    def refresh(self) -> None:
        """Show parameters changed elsewhere, and newly registered presets."""
        params = self._source.params
        if not self._moved and (params != self._shown or self._presets != tuple(PRESETS)):
            self._show(params)

    def disable(self) -> None:
        """Disable every control."""
        for widget in (self._preset, self._defaults, *self._fields.values()):
            widget.disabled = True

    def _show(self, params: Params) -> None:
        self._shown = params
        for name, field in self._fields.items():
            value = getattr(params, name)
            if isinstance(field, ipywidgets.IntSlider | ipywidgets.FloatSlider):
                field.min, field.max = min(field.min, value), max(field.max, value)
            field.value = _sides(value) if name == "world" else value
        if self._presets != tuple(PRESETS):
            self._presets = tuple(PRESETS)
            self._preset.options = (OWN, *self._presets)
        self._preset.value = next((name for name in self._presets if _preset(name, params) == params), OWN)

    def _choose(self, name: str | None) -> None:
        if name is not None and name in PRESETS:
            self._wish(_preset(name, self._shown))

    def _wish(self, params: Params) -> None:
        self._moved = {name: getattr(params, name) for name in SPECS}

    def _move(self, name: str, value: Any) -> None:
        if name == "world":
            value = _parsed(value)
        if value != getattr(self._shown, name):
            self._moved[name] = value


def _preset(name: str, current: Params) -> Params:
    preset = PRESETS[name]
    kept = {one: getattr(current, one) for one in KEPT}
    if preset.noise:
        kept["integrator"] = preset.integrator
    return preset.replace(**kept)


def _sides(world: tuple[float, float]) -> str:
    return f"{world[0]:g} × {world[1]:g}"


def _parsed(text: str) -> Any:
    """Parse two numbers from typed text. Return other text unchanged, so that `Params` reports the error."""
    parts = re.split(r"[×x*,;\s]+", text.strip())
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        return text


def _field(name: str, spec: Spec, value: Any) -> ipywidgets.Widget:
    symbol, _, meaning = spec.doc.rpartition(", ")
    label = symbol if 0 < len(symbol) <= 6 else name.replace("_", " ")
    facts: dict[str, Any] = {
        "value": value,
        "description": f"{label} [{spec.unit}]" if spec.unit else label,
        # These parameters restart the swarm: do not restart it at each px of a drag or at each key.
        "continuous_update": not spec.reset,
        "style": {"description_width": "9.5em"},
    }
    whole = isinstance(value, int)
    if spec.choices:
        del facts["continuous_update"]
        field = ipywidgets.Dropdown(options=spec.choices, **facts)
    elif spec.slider:
        facts |= {"min": min(spec.slider[0], value), "max": max(spec.slider[1], value)}
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        field = kind(step=1 if whole else 0.01, **facts)
        if not whole:
            field.readout_format = ".2f"
    elif name == "world":
        field = ipywidgets.Text(**facts | {"value": _sides(value), "continuous_update": False})
    else:
        field = ipywidgets.FloatText(**facts | {"continuous_update": False})
    field.tooltip = f"{name}: {meaning}" + (f", {spec.unit}" if spec.unit else "") + f" ({spec.allowed})"
    return field
