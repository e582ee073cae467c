"""The boxes of ipywidgets and the pane of anywidget, as base classes of our views, with types.

ipywidgets has no types, so a class that inherits from it is unknown to a type checker, and with it every
function that takes or returns one. A checker reads here what the views use of it; Python gets the classes
themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self

    from traitlets import HasTraits

    class Widget(HasTraits):
        """What all widgets share."""

        comm: object | None
        """The connection to the pages; None once the widget is closed."""
        layout: Any
        """An ``ipywidgets.Layout``."""

        def __init__(self, **traits: Any) -> None: ...
        def add_class(self, className: str) -> Self: ...
        def close(self) -> None: ...
        def on_msg(self, callback: Callable[[Any, Any, Any], None], remove: bool = False) -> None: ...
        def send(self, content: Any, buffers: Sequence[Any] | None = None) -> None: ...

    class Box(Widget):
        """A box with widgets."""

        def __init__(self, children: Sequence[Any] = (), **traits: Any) -> None: ...
        @property
        def children(self) -> tuple[Any, ...]:
            """The widgets in it."""

        @children.setter
        def children(self, widgets: Sequence[Any]) -> None: ...

    class VBox(Box):
        """A box with widgets below each other."""

    class AnyWidget(Widget):
        """A widget with a page's program of its own."""

else:
    from anywidget import AnyWidget
    from ipywidgets import Box, VBox, Widget

__all__ = ["AnyWidget", "Box", "VBox", "Widget"]
