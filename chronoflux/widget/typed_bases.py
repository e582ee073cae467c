"""Typed base classes of the views: the boxes of ipywidgets and the widget of anywidget.

ipywidgets has no types, so a type checker does not know a class that inherits from it, nor a function that
takes or returns one. A type checker reads the declarations here, which cover what the views use; Python uses
the classes themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self

    from traitlets import HasTraits

    class Widget(HasTraits):
        """Base class of all widgets."""

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
        """A box that contains widgets."""

        def __init__(self, children: Sequence[Any] = (), **traits: Any) -> None: ...
        @property
        def children(self) -> tuple[Any, ...]:
            """The widgets in the box."""

        @children.setter
        def children(self, widgets: Sequence[Any]) -> None: ...

    class VBox(Box):
        """A box that arranges its widgets vertically."""

    class AnyWidget(Widget):
        """A widget with its own JavaScript on the page."""

else:
    from anywidget import AnyWidget
    from ipywidgets import Box, VBox, Widget

__all__ = ["AnyWidget", "Box", "VBox", "Widget"]
