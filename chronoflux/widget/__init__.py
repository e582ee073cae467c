"""The widget: the live picture of a node in a notebook, with its controls.

``NodeView(source)`` is an ipywidgets box for any :class:`~chronoflux.widget.source.Source`;
``mimebundle(source)`` is what a source displays itself with.
"""

from chronoflux.widget.display import display_node, mimebundle
from chronoflux.widget.source import Source
from chronoflux.widget.view import NodeView

__all__ = ["NodeView", "Source", "display_node", "mimebundle"]
