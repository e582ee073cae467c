"""Display a source as the value of a cell: one view per source, and a static picture for readers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import ipywidgets

from chronoflux.model.simulation import Snapshot
from chronoflux.render.static_image import static_png
from chronoflux.replay import Replay
from chronoflux.util.views import View, register
from chronoflux.widget.node_view import NodeView
from chronoflux.widget.replay_view import ReplayView
from chronoflux.widget.source import Source
from chronoflux.widget.space_view import SpaceView

_VIEWS: WeakKeyDictionary[Any, ipywidgets.Widget] = WeakKeyDictionary()
V = TypeVar("V", bound=ipywidgets.Widget)


def display_node(source: Source) -> NodeView:
    """Return the view of a source. The first call makes it; later calls return it while it is open."""
    return _view(source, NodeView)


def display_replay(replay: Replay) -> ReplayView:
    """Return the view of a replay; made once, as in :func:`display_node`."""
    return _view(replay, ReplayView)


def _view(source: Any, make: Callable[[Any], V]) -> V:
    known = _VIEWS.get(source)
    if known is not None and known.comm is not None:
        return cast(V, known)
    view = _VIEWS[source] = make(source)
    return view


def mimebundle(source: Source) -> dict[str, Any]:
    """Return what ``_repr_mimebundle_`` needs: the live view, a static picture (PNG) and a line of text.

    A page without a kernel shows the picture. Without a running event loop the bundle has no view.
    """
    return _bundle(source, source.snapshot(), display_node)


def replay_mimebundle(replay: Replay) -> dict[str, Any]:
    """Return the bundle of a replay; the static picture shows its first run at the current position."""
    return _bundle(replay, replay.runs[0].snapshot(), display_replay)


def view3d(source: Source, layout: str = "torus") -> SpaceView:
    """Return a new three-dimensional view of a node; see :class:`~chronoflux.widget.space_view.SpaceView`."""
    return SpaceView(source, layout)


def replay_view3d(replay: Replay, layout: str = "torus") -> ReplayView:
    """Return a new three-dimensional view of a replay, with its scrub bar."""
    return ReplayView(replay, lambda track: SpaceView(track, layout))


def _bundle(source: Any, snapshot: Snapshot, display: Callable[[Any], Any]) -> dict[str, Any]:
    bundle = {"text/plain": repr(source), "image/png": b64encode(static_png(snapshot)).decode("ascii")}
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return bundle
    return {**display(source)._repr_mimebundle_(), **bundle}


register("node", View(mimebundle, view3d))
register("replay", View(replay_mimebundle, replay_view3d))
