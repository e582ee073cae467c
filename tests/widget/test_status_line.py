"""The status line: figures, the null band, and nothing from outside taken for HTML."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.model.metrics import null_order
from chronoflux.widget.status_line import status_html


def status(**facts: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{"room": "room1", "node_id": "a", "light": "alone", "text": "alone", "problem": None, **facts}
    )


def test_the_null_band_is_what_unrelated_phases_do() -> None:
    """Mean and 95 % point agree with random phases, within sampling error."""
    n = 100
    phases = np.random.default_rng(5).uniform(0, 2 * np.pi, (20_000, n))
    H = np.abs(np.exp(1j * phases).mean(axis=1))
    mean, top = null_order(n)
    assert H.mean() == pytest.approx(mean, rel=0.02)
    assert np.quantile(H, 0.95) == pytest.approx(top, rel=0.02)
    assert null_order(1) == (pytest.approx(math.sqrt(math.pi / 4)), 1.0)


def test_the_figures_are_all_there() -> None:
    """Room, connection, peers, H with its band, H of the mesh and τ can be read."""
    html = status_html(
        status(light="linked", text="linked to 2"),
        {"H": 0.421, "tau": 0.0123, "peers": 2, "H_mesh": 0.6},
        220,
    )
    for text in ("room1", "linked to 2", "2 peers", "0.42", "0.06", "0.12", "0.60", "0.0123"):
        assert text in html


def test_missing_figures_are_a_dash() -> None:
    """Figures that are not there yet, or not finite, are shown as a dash, not as nan."""
    html = status_html(status(), {"H": float("nan")}, 220)
    assert "nan" not in html
    assert "–" in html
    assert "0 peers" in html


def test_problems_are_shown() -> None:
    """The node's own problem and the display's are both shown."""
    html = status_html(status(problem="disk full"), {}, 10, "x = 9 is not allowed")
    assert "disk full" in html
    assert "x = 9 is not allowed" in html


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_from_outside_is_html(room: str, text: str, problem: str, light: str) -> None:
    """Whatever a room, a connection or a problem is called, no tag of it gets into the page."""
    evil = "<img src=x onerror=alert(1)>"
    html = status_html(
        status(room=room + evil, text=text + evil, problem=problem + evil, light=light + evil), {}, 5, evil
    )
    assert "<img" not in html
    plain = status_html(status(), {}, 5)
    assert html.count("<span") == plain.count("<span")


def test_a_sample_is_named() -> None:
    """When only some oscillators are drawn, the line says how many; else it does not."""
    assert "4,000 of 8,000 drawn" in status_html(status(), {}, 8_000, drawn=4_000)
    assert "drawn" not in status_html(status(), {}, 220, drawn=220)
