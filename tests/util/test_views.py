"""Nodes and replays show themselves by views that are looked up when they are first needed."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import chronoflux as cf
from chronoflux.util import views
from chronoflux.util.views import View, Viewable, register, view_of

LIGHT = """
import sys
from chronoflux.node.node import Node
from chronoflux.replay import Replay
from chronoflux.util.views import Viewable, view_of
drawing = ("ipywidgets", "ipycanvas", "chronoflux.widget")
assert not any(name in sys.modules for name in drawing), "something that draws was loaded"
assert issubclass(Node, Viewable) and issubclass(Replay, Viewable)
view = view_of(Node._VIEW)
import chronoflux.widget as widget
assert (view.mimebundle, view.space) == (widget.mimebundle, widget.view3d)
view = view_of(Replay._VIEW)
assert (view.mimebundle, view.space) == (widget.replay_mimebundle, widget.replay_view3d)
"""


def test_what_draws_is_loaded_when_the_first_view_is_asked_for() -> None:
    """A node and a replay are made without any widget, by whatever way they are imported; the first look at a
    view loads ``chronoflux.widget``, which has registered one for each."""
    subprocess.run([sys.executable, "-c", LIGHT], check=True)


@pytest.mark.parametrize("kind", [cf.Node, cf.Replay])
def test_the_methods_are_real(kind: type[Viewable]) -> None:
    """`view3d` and the display hook are methods of the class, with a signature and a docstring."""
    assert inspect.signature(kind.view3d).parameters["layout"].default == "torus"
    assert "helix" in (kind.view3d.__doc__ or "")
    assert kind._repr_mimebundle_ is Viewable._repr_mimebundle_
    assert not [name for name in ("view3d", "_repr_mimebundle_") if name in vars(kind)]


def test_a_view_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object is shown by the view registered for its kind: its bundle, and its layout in space."""

    class Shown(Viewable):
        _VIEW = "shown"

    class Picture:
        def __init__(self, layout: str) -> None:
            self.layout = layout

        def close(self) -> None: ...

    monkeypatch.setattr(views, "_VIEWS", dict(views._VIEWS))
    register("shown", View(lambda source: {"text/plain": repr(source)}, lambda _, layout: Picture(layout)))
    shown = Shown()
    assert shown._repr_mimebundle_() == {"text/plain": repr(shown)}
    picture = shown.view3d("helix")
    assert isinstance(picture, Picture)
    assert picture.layout == "helix"


def test_a_kind_that_nothing_draws_is_named() -> None:
    """A kind without a view is an error that names it."""
    with pytest.raises(KeyError, match="toaster"):
        view_of("toaster")
