"""The sparkline: curves, gaps, the null band and event marks."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest

from chronoflux.telemetry.recent import RecentRecord
from chronoflux.widget.sparkline import SIZE, SPAN, sparkline_svg

NULL_TOP = math.sqrt(math.log(20) / 100)


def test_curves_band_and_marks() -> None:
    """The latest value ends at the right edge at its height; the band is that of chance; marks have names."""
    recent = RecentRecord()
    recent.add("note", {"text": "<gate>"}, {}, at=100.0)
    for at, H in ((100.0, 0.5), (130.0, math.nan), (160.0, 1.0)):
        recent.add("telemetry", {}, {"H": H, "H_local": 0.25, "H_mesh": None}, at=at)
    picture = ET.fromstring(sparkline_svg(recent, 100, 160.0))
    band, mark, *curves = picture
    assert float(band.get("height")) == pytest.approx(SIZE[1] * NULL_TOP, abs=0.1)
    assert float(mark.get("x1")) == SIZE[0] * (1 - 60 / SPAN)
    assert mark[0].text == "note <gate>"
    assert [curve[0].text for curve in curves] == ["H", "H_local"]
    assert curves[0].get("d") == f"M{SIZE[0] / 2} {SIZE[1] / 2}M{SIZE[0]}.0 0.0"
    assert "H 1.00, H_local 0.25" in picture.get("aria-label")


@pytest.mark.parametrize("period", [1.0, 4.0])
def test_a_curve_has_a_gap_where_nothing_is_on_record(period: float) -> None:
    """The curve is interrupted while the node stood still, not because its records come slowly."""
    recent = RecentRecord()
    for i in range(20):
        recent.add("telemetry", {}, {"H": 0.5}, at=i * period + (20 if i >= 10 else 0))
    path = ET.fromstring(sparkline_svg(recent, 100, 20 * period + 20))[1].get("d")
    assert path.count("M") == 2
    assert path.count("L") == 18


def test_the_time_axis_ends_now() -> None:
    """Without new records the curve moves to the left, and out of the picture."""
    recent = RecentRecord()
    for at in (0.0, 1.0):
        recent.add("telemetry", {}, {"H": 0.5}, at=at)
    recent.add("intent", {}, {}, at=1.0)
    _, mark, curve = ET.fromstring(sparkline_svg(recent, 5, 61.0))
    assert float(mark.get("x1")) == SIZE[0] / 2
    assert curve.get("d").endswith(f"L{SIZE[0] / 2} {SIZE[1] / 2}")
    assert len(ET.fromstring(sparkline_svg(recent, 5, 1.5 + SPAN))) == 1


def test_nothing_on_record() -> None:
    """Before the first record there is a picture too."""
    assert "not measured yet" in sparkline_svg(RecentRecord(), 5, 0.0)
