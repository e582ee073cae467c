"""Sparkline and peers below the picture: what the node has on record."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pandas as pd
import pytest

from chronoflux.widget import NodeView
from tests.pages import Page, within
from tests.sources import SwarmSource
from tests.support import until
from tests.widget.views import end, lines


async def test_order_and_peers_are_shown(front: Page, source: SwarmSource) -> None:
    """Below the picture: the sparkline, and a row for each peer."""
    source.table = pd.DataFrame({"id": ["p1"], "name": ["<b>"], "H": [0.5], "dpsi": [1.0], "via": ["direct"]})
    view = NodeView(source)
    _, history, peers = (w.value for w in within(view) if isinstance(w, ipywidgets.HTML))
    assert "<svg" in history
    assert "&lt;b&gt;" in peers
    assert "direct" in peers
    await end(view)


async def test_events_on_record_are_marked(front: Page, source: SwarmSource) -> None:
    """Every event on record, of whichever node, is a mark on the sparkline."""
    view = NodeView(source)
    front.watch(view)
    source.fire("pacemaker_flip")
    source.recent.add("remote_lion_gate", {"on": True}, {})

    def marks() -> list[str]:
        return re.findall(r"<line [^>]*><title>([^<]*)</title>", "".join(lines(view)))

    await until(lambda: marks() == ["pacemaker flip", "remote lion gate on"])
    await end(view)


async def test_the_sparkline_does_not_depend_on_the_view(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that opens late shows what was on record before, with the times of the records."""
    now = time.monotonic()
    monkeypatch.setattr("chronoflux.widget.history.time", SimpleNamespace(monotonic=lambda: now))
    for ago, H in ((60.0, 0.25), (59.0, 0.5), (58.0, 0.5), (20.0, 1.0), (19.0, 1.0)):
        source.recent.add("telemetry", {}, {"H": H}, at=now - ago)
    source.recent.add("intent", {}, {}, at=now - 30)
    view, other = NodeView(source), NodeView(source)
    for one in (view, other):
        (svg,) = lines(one)
        (path,) = re.findall(r'class="chronoflux-line-H" d="([^"]*)"', svg)
        points = [tuple(map(float, pair.split())) for pair in re.findall(r"[ML]([^ML]*)", path)]
        expected = [(150.0, 48.0), (152.5, 32.0), (155.0, 32.0), (250.0, 0.0), (252.5, 0.0)]
        np.testing.assert_allclose(points, expected, atol=0.1)
        assert [move for move in path if move in "ML"] == ["M", "L", "L", "M", "L"]  # with a gap
        (mark,) = re.findall(r'class="chronoflux-mark" x1="([^"]*)"', svg)
        assert float(mark) == pytest.approx(225, abs=0.1)
    await end(view)
    await end(other)
