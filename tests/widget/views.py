"""What tests look for in a view."""

from __future__ import annotations

import ipywidgets

from chronoflux.widget import NodeView
from tests.pages import within


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
