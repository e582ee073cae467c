"""How a source shows itself as the value of a cell: one view each, and a still picture for readers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import ipywidgets

from chronoflux.model.simulation import Snapshot
from chronoflux.replay import Replay
from chronoflux.widget.replay_view import ReplayView
from chronoflux.widget.source import Source
from chronoflux.widget.space import Space
from chronoflux.widget.static_png import still_png
from chronoflux.widget.view import NodeView

_VIEWS: WeakKeyDictionary[Any, ipywidgets.Widget] = WeakKeyDictionary()
V = TypeVar("V", bound=ipywidgets.Widget)


def display_node(source: Source) -> NodeView:
    """The view of a source: made on the first call, the same one for as long as it is open."""
    return _view(source, NodeView)


def display_replay(replay: Replay) -> ReplayView:
    """The view of a replay, likewise."""
    return _view(replay, ReplayView)


def _view(source: Any, make: Callable[[Any], V]) -> V:
    known = _VIEWS.get(source)
    if known is not None and known.comm is not None:
        return cast(V, known)
    view = _VIEWS[source] = make(source)
    return view


def mimebundle(source: Source) -> dict[str, Any]:
    """What ``_repr_mimebundle_`` returns: the live view, a still picture (PNG) and a line of text.

    Where there is no kernel the page shows the picture. Without a running event loop there is no view.
    """
    return _bundle(source, source.snapshot(), display_node)


def replay_mimebundle(replay: Replay) -> dict[str, Any]:
    """The same of a replay; the still is of its first run at its position."""
    return _bundle(replay, replay.runs[0].snapshot(), display_replay)


def view3d(source: Source, layout: str = "torus") -> Space:
    """A node in space: see :class:`~chronoflux.widget.space.Space`. A new one on each call."""
    return Space(source, layout)


def replay_view3d(replay: Replay, layout: str = "torus") -> ReplayView:
    """A replay in space, with its scrub bar."""
    return ReplayView(replay, lambda track: Space(track, layout))


def _bundle(source: Any, snapshot: Snapshot, display: Callable[[Any], Any]) -> dict[str, Any]:
    bundle = {"text/plain": repr(source), "image/png": b64encode(still_png(snapshot)).decode("ascii")}
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return bundle
    return {**display(source)._repr_mimebundle_(), **bundle}
