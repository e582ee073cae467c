"""Notebook widgets: the live view of a node with its controls, and the view of a replay.

A frame takes this way: :class:`~chronoflux.widget.frame_loop.FrameLoop` decides when the next one is due,
:func:`chronoflux.render.picture.compose` makes the picture of a snapshot, and
:meth:`~chronoflux.widget.canvas.PictureCanvas.send_picture` sends it to the page.

``NodeView(source)`` is an ipywidgets box for any :class:`~chronoflux.widget.source.Source`;
``mimebundle(source)`` is what a source's ``_repr_mimebundle_`` returns. ``ReplayView(replay)`` and
``replay_mimebundle(replay)`` do the same for a replay.
``view3d(source)`` and ``replay_view3d(replay)`` show either in three dimensions.
"""

from chronoflux.widget.display import (
    display_node,
    display_replay,
    mimebundle,
    replay_mimebundle,
    replay_view3d,
    view3d,
)
from chronoflux.widget.node_view import NodeView
from chronoflux.widget.replay_view import ReplayView
from chronoflux.widget.source import Source

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
