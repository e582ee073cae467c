"""The table of peers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from chronoflux.mesh.peer import PEER_COLUMNS
from chronoflux.widget.peer_table import MAX_ROWS, peers_html


def test_a_row_says_state_way_and_round_trip() -> None:
    """Known values are shown, unknown ones are a dash, and all text from peers is escaped."""
    row = dict.fromkeys(PEER_COLUMNS) | {"name": "<i>", "state": "live", "via": "direct", "rtt_ms": 0.62}
    table = peers_html(pd.DataFrame([row | {"reason": '"late"', "H": np.nan}]))
    assert "<td>&lt;i&gt;</td><td>live</td><td>direct</td><td>–</td><td>0.6 ms</td>" in table
    assert 'title="&quot;late&quot;"' in table


def test_nobody_and_too_many() -> None:
    """An empty room is stated in words; a large one shows the first peers and the number of the others."""
    assert "Nobody" in peers_html(pd.DataFrame(columns=list(PEER_COLUMNS)))
    many = peers_html(pd.DataFrame({"id": [str(k) for k in range(MAX_ROWS + 3)]}))
    assert many.count("<tr") == MAX_ROWS + 1
    assert "3 more" in many
