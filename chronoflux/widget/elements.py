"""Small parts that all views use: a button, and closing a widget with everything that belongs to it."""

from __future__ import annotations

from importlib.resources import files

import ipywidgets


def button(label: str, tooltip: str, icon: str = "") -> ipywidgets.Button:
    """Return a button with a label, a tooltip and an icon (a name of Font Awesome)."""
    return ipywidgets.Button(description=label, tooltip=tooltip, icon=icon)


def close_all(widget: ipywidgets.Widget) -> None:
    """Close a widget and all its parts: children, canvases, layouts, styles and ``hidden_parts``."""
    for name in ("children", "_canvases", "hidden_parts"):
        for part in getattr(widget, name, ()):
            close_all(part)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            part.close()
    ipywidgets.Widget.close(widget)


def page_code(name: str) -> str:
    """Return the JavaScript of a pane: ``watching.js``, which all panes share, then the file `name`."""
    folder = files("chronoflux.widget")
    return "\n".join((folder / part).read_text("utf-8") for part in ("watching.js", name))


def style_sheet() -> str:
    """Return the style sheet of all views."""
    return (files("chronoflux.widget") / "view.css").read_text("utf-8")
