"""Views: how an object that knows no widget shows itself in a notebook.

A `Viewable` looks its view up by name when it is first shown. ``chronoflux.widget``, which draws, is above
this module and registers the views; it is loaded by name at that moment, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Literal, Protocol

Layout = Literal["torus", "helix", "height"]

PROVIDER = "chronoflux.widget"
"""The module that registers the views when it is loaded."""


class Widget(Protocol):
    """What is shown: an ipywidgets widget."""

    def close(self) -> None:
        """Take it out of the page and the kernel."""


@dataclass(frozen=True)
class View:
    """How one kind of object is shown: as the value of a cell, and in three dimensions."""

    mimebundle: Callable[[Any], dict[str, Any]]
    space: Callable[[Any, Layout], Widget]


_VIEWS: dict[str, View] = {}


def register(kind: str, view: View) -> None:
    """Add the view of a kind of object; one of that name is replaced."""
    _VIEWS[kind] = view


def view_of(kind: str) -> View:
    """The view of a kind of object; loads what draws on the first call."""
    if kind not in _VIEWS:
        import_module(PROVIDER)
    return _VIEWS[kind]


class Viewable:
    """An object with a view: it is shown as the value of a cell, and by `view3d` in space."""

    _VIEW: ClassVar[str]

    def view3d(self, layout: Layout = "torus") -> Widget:
        """The swarm in space, as a widget.

        Parameters
        ----------
        layout
            ``"torus"``, ``"helix"`` (phase over time) or ``"height"`` (by pressure).

        Raises
        ------
        UsageError
            Without the extra ``chronoflux[3d]``.
        ParameterError
            When there is no such layout.
        """
        return view_of(self._VIEW).space(self, layout)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """What a notebook shows: the live view, a still picture and a line of text."""
        return view_of(self._VIEW).mimebundle(self)
