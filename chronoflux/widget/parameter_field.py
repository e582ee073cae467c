"""`ParameterField`: the control of one parameter, with its label, unit and help, and problems beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from chronoflux.model.params import Spec
from chronoflux.widget.typed_bases import VBox

LABEL_WIDTH = "9.5em"


class ParameterField(VBox):
    """The control of one parameter: a slider with a number field, a number field, a menu, or a text field.

    A slider covers the usual range. Its number field takes every value that the model takes; the slider's
    range grows to such a value while it holds.

    Parameters
    ----------
    name, spec
        The parameter.
    value
        Its value.
    on_change
        Called with name, new value, and whether a slider was moved, on any thread.
    """

    def __init__(
        self, name: str, spec: Spec, value: Any, on_change: Callable[[str, Any, bool], None]
    ) -> None:
        self._name, self._spec = name, spec
        self._showing = False  # True while the code, not the user, changes the controls
        self._slider = _slider(spec, value) if spec.slider else None
        self._input = _input(name, spec, value)
        self._link: Any = None
        if self._slider is not None:
            # On the page, the number follows the slider at once; the other way would clamp the number.
            self._link = ipywidgets.jsdlink((self._slider, "value"), (self._input, "value"))
            self._slider.observe(lambda change: self._changed(on_change, change["new"], True), "value")
            self._input.add_class("chronoflux-number")
        self._input.observe(lambda change: self._changed(on_change, change["new"], False), "value")
        self._label()
        controls = [self._input] if self._slider is None else [self._slider, self._input]
        self._row = ipywidgets.HBox(controls)
        self._row.add_class("chronoflux-field")
        self._problem = ipywidgets.HTML()
        super().__init__([self._row])

    def show(self, value: Any) -> None:
        """Show a value; nothing is reported."""
        self._showing = True
        try:
            if self._slider is not None and self._spec.slider is not None:
                low, high = self._spec.slider
                self._slider.min, self._slider.max = (
                    min(self._slider.min, value),
                    max(self._slider.max, value),
                )
                self._slider.value = value
                self._slider.min, self._slider.max = min(low, value), max(high, value)
            self._input.value = _world_text(value) if self._name == "world" else value
        finally:
            self._showing = False

    def show_problem(self, problem: str | None) -> None:
        """Show why a value was refused, below the control; None: nothing was."""
        self._problem.value = (
            ""
            if problem is None
            else (f'<div class="chronoflux-problem" role="alert">⚠ {escape(problem)}</div>')
        )
        self.children = [self._row] if problem is None else [self._row, self._problem]

    def disable(self) -> None:
        """Disable the controls."""
        for control in self._row.children:
            control.disabled = True

    @property
    def hidden_parts(self) -> list[ipywidgets.Widget]:
        """Parts that are no children, to be closed with the field."""
        return [self._problem] if self._link is None else [self._problem, self._link]

    def _label(self) -> None:
        """Give the controls their label, unit and help."""
        symbol, _, meaning = self._spec.doc.rpartition(", ")
        label = symbol if 0 < len(symbol) <= 6 else self._name.replace("_", " ")
        unit = self._spec.unit
        help_ = f"{self._name}: {meaning}" + (f", {unit}" if unit else "") + f" ({self._spec.allowed})"
        for control in (self._input, self._slider):
            if control is not None:
                control.description = f"{label} [{unit}]" if unit else label
                control.style.description_width = LABEL_WIDTH
                control.tooltip = help_
        if self._slider is not None:
            self._input.tooltip = f"Type a value: {self._spec.allowed}"

    def _changed(self, on_change: Callable[[str, Any, bool], None], value: Any, dragged: bool) -> None:
        if not self._showing:
            on_change(self._name, _parse_world(value) if self._name == "world" else value, dragged)


def _slider(spec: Spec, value: Any) -> ipywidgets.Widget:
    assert spec.slider is not None
    low, high = min(spec.slider[0], value), max(spec.slider[1], value)
    integer = isinstance(value, int)
    kind = ipywidgets.IntSlider if integer else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=1 if integer else 0.01, readout=False)


def _input(name: str, spec: Spec, value: Any) -> ipywidgets.Widget:
    if spec.choices:
        return ipywidgets.Dropdown(options=spec.choices, value=value)
    if name == "world":
        return ipywidgets.Text(value=_world_text(value), continuous_update=False)
    kind = ipywidgets.IntText if isinstance(value, int) else ipywidgets.FloatText
    return kind(value=value, continuous_update=False)


def _world_text(world: tuple[float, float]) -> str:
    return f"{world[0]:g} × {world[1]:g}"


def _parse_world(text: str) -> Any:
    """Parse two numbers from typed text. Return other text unchanged, so that `Params` reports the error."""
    parts = re.split(r"[×x*,;\s]+", text.strip())
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        return text
