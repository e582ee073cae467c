"""What a cell shows: the live view, a static picture and text."""

from __future__ import annotations

from chronoflux.widget import display_node, mimebundle
from tests.pages import Page
from tests.sources import SwarmSource
from tests.widget.views import end


async def test_a_cell_shows_one_view_and_a_static_picture(front: Page, source: SwarmSource) -> None:
    """The bundle has the live view, the same one each time, a PNG and text; closed, a new one is made."""
    first, second = mimebundle(source), mimebundle(source)
    assert set(first) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    live = "application/vnd.jupyter.widget-view+json"
    assert first[live]["model_id"] == second[live]["model_id"]
    assert first["text/plain"] == "<SwarmSource>"
    assert first["image/png"].startswith("iVBORw0KGgo")
    view = display_node(source)
    await end(view)
    again = display_node(source)
    assert again is not view
    await end(again)


def test_without_a_loop_there_is_a_static_picture_only(front: Page) -> None:
    """Without a running event loop the bundle has the picture and the text only."""
    assert set(mimebundle(SwarmSource())) == {"text/plain", "image/png"}
