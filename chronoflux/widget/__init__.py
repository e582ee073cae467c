"""The widget: the live picture of a node in a notebook, with its controls, and the same of runs of the past.

``NodeView(source)`` is an ipywidgets box for any :class:`~chronoflux.widget.source.Source`;
``mimebundle(source)`` is what a source displays itself with. ``ReplayView(replay)`` and
``replay_mimebundle(replay)`` are the same for a replay;
``view3d(source)`` and ``replay_view3d(replay)`` show either in space.
"""

from chronoflux.widget.display import (
    display_node,
    display_replay,
    mimebundle,
    replay_mimebundle,
    replay_view3d,
    view3d,
)
from chronoflux.widget.replay_view import ReplayView
from chronoflux.widget.source import Source
from chronoflux.widget.view import NodeView

__all__ = [
    "NodeView",
    "ReplayView",
    "Source",
    "display_node",
    "display_replay",
    "mimebundle",
    "replay_mimebundle",
    "replay_view3d",
    "view3d",
]
