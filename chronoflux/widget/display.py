"""How a source shows itself as the value of a cell: one view each, and a still picture for readers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any
from weakref import WeakKeyDictionary

from chronoflux.widget.source import Source
from chronoflux.widget.still import still_png
from chronoflux.widget.view import NodeView

_VIEWS: WeakKeyDictionary[Source, NodeView] = WeakKeyDictionary()


def display_node(source: Source) -> NodeView:
    """The view of a source: made on the first call, the same one for as long as it is open."""
    view = _VIEWS.get(source)
    if view is None or view.comm is None:
        view = _VIEWS[source] = NodeView(source)
    return view


def mimebundle(source: Source) -> dict[str, Any]:
    """What ``_repr_mimebundle_`` returns: the live view, a still picture (PNG) and a line of text.

    Where there is no kernel the page shows the picture. Without a running event loop there is no view.
    """
    bundle = {
        "text/plain": repr(source),
        "image/png": b64encode(still_png(source.snapshot())).decode("ascii"),
    }
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return bundle
    return {**display_node(source)._repr_mimebundle_(), **bundle}
