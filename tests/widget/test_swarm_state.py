"""What a view shows of a swarm: of a live node and of a replayed run alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from chronoflux.model.params import Params
from chronoflux.render.picture import MeanField
from chronoflux.widget.swarm_state import SwarmState, node_state, peer_fields
from tests.sources import SwarmSource


@pytest.mark.parametrize(
    "change",
    [
        lambda source: source.step(),
        lambda source: source.reset(),
        lambda source: setattr(source, "params", source.params.replace(kappa=1.0)),
        lambda source: setattr(source, "params", source.params.replace(oscillators=30)),
    ],
    ids=["a tick", "a reset at the same tick", "another parameter", "another number"],
)
def test_a_version_changes_with_what_is_drawn(change: object) -> None:
    """The version stays the same while nothing changes, and is another one after each kind of change."""
    source = SwarmSource(Params(oscillators=20))
    before = node_state(source).version
    assert node_state(source).version == before
    change(source)  # type: ignore[operator]
    assert node_state(source).version != before


def test_the_mean_field_on_record_is_preferred() -> None:
    """A live swarm's mean field is that of its phases; a replayed run's is the one on record."""
    snapshot = SwarmSource(Params(oscillators=20)).snapshot()
    live = SwarmState(snapshot)
    assert pytest.approx(abs(np.exp(1j * snapshot.phi).mean())) == live.mean_field.R
    recorded = SwarmState(snapshot, MeanField(0.25, 1.0), oscillators=500, mode="as recorded")
    assert recorded.mean_field == MeanField(0.25, 1.0)
    assert (live.n, recorded.n) == (20, 500)
    assert live.drawn == recorded.drawn == 20
    assert live.version != recorded.version


def test_peers_without_a_known_mean_field_are_left_out() -> None:
    """A peer is labelled with its name, or its id if it has none."""
    source = SwarmSource(Params(oscillators=20))
    assert peer_fields(source) == []
    source.table = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "name": ["Ada", "", "Cleo"],
            "H": [0.5, 0.25, np.nan],
            "dpsi": [1.0, 2.0, 3.0],
        }
    )
    assert peer_fields(source) == [MeanField(0.5, 1.0, "Ada"), MeanField(0.25, 2.0, "b")]
