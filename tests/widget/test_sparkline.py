"""The sparkline and the marks on it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest

from chronoflux.widget.sparkline import SIZE, SPAN, Trace

NULL_TOP = math.sqrt(math.log(20) / 100)


def test_lines_band_and_marks() -> None:
    """The latest value ends at the right edge at its height; the band is that of chance; gaps are gaps."""
    trace = Trace()
    trace.mark(100.0, "<gate>")
    for at, H in ((100.0, 0.5), (130.0, float("nan")), (160.0, 1.0)):
        trace.add(at, {"H": H, "H_local": 0.25, "H_mesh": None})
    picture = ET.fromstring(trace.svg(100))
    band, mark, *lines = picture
    assert float(band.get("height")) == pytest.approx(SIZE[1] * NULL_TOP, abs=0.1)
    assert float(mark.get("x1")) == SIZE[0] * (1 - 60 / SPAN)
    assert mark[0].text == "<gate>"
    assert [line[0].text for line in lines] == ["H", "H_local"]
    assert lines[0].get("d") == f"M{SIZE[0] / 2} {SIZE[1] / 2}M{SIZE[0]}.0 0.0"
    assert "H 1.00, H_local 0.25" in picture.get("aria-label")


def test_what_is_long_past_is_gone() -> None:
    """Nothing older than the span is kept, so that memory is flat, and old marks are not drawn."""
    trace = Trace()
    trace.mark(0.0, "old")
    for at in range(1000):
        trace.add(float(at), {"H": 0.5})
    assert len(trace._points) == SPAN + 1
    assert "old" not in trace.svg(10)


def test_nothing_yet() -> None:
    """Before the first metrics there is a picture too."""
    assert "nothing yet" in Trace().svg(5)
