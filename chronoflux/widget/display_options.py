"""Display options below the picture: palette, frame rate on demand, and buttons that export files."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from chronoflux.render.palettes import DEFAULT_PALETTE, PALETTES
from chronoflux.widget.elements import button
from chronoflux.widget.typed_bases import Box

EXPORTS = {
    "picture": ("Picture", "image", "Save the picture as PNG"),
    "clip": ("Clip", "film", "Save the next three seconds as an animated GIF"),
    "log": ("Log", "file-text-o", "Save the log so far as JSON"),
}
"""What can be saved: the button's text, icon and tooltip."""


def palette_choice() -> ipywidgets.Dropdown:
    """Return a menu of palettes; its value is a name in `PALETTES`."""
    return ipywidgets.Dropdown(
        options=[(palette.label, name) for name, palette in PALETTES.items()],
        value=DEFAULT_PALETTE,
        description="colours",
        tooltip="Colours of phases and pressure; all are safe for red-green blindness",
    )


class DisplayOptions(Box):
    """Palette menu, frame-rate checkbox, and buttons that call `save` with one of `EXPORTS`."""

    def __init__(self, save: Callable[[str], None]) -> None:
        self._palette = palette_choice()
        self._frame_rate = ipywidgets.Checkbox(description="frame rate", indent=False)
        buttons = []
        for what, (label, icon, tooltip) in EXPORTS.items():
            buttons.append(button(label, tooltip, icon))
            buttons[-1].on_click(lambda _, what=what: save(what))
        super().__init__([self._palette, self._frame_rate, *buttons])
        self.add_class("chronoflux-toolbar")

    @property
    def palette(self) -> str:
        """The chosen palette, a name in `PALETTES`."""
        return str(self._palette.value)

    @property
    def show_frame_rate(self) -> bool:
        """Whether to show the frame rate."""
        return bool(self._frame_rate.value)
