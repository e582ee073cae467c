"""Events that several nodes hear drive them alike: what follows them is left out, or refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from chronoflux.analysis.common_events import common_moments
from chronoflux.analysis.room_events import spreads
from chronoflux.analysis.rooms import information_flow
from chronoflux.errors import ParameterError
from tests.analysis.test_stationarity import room

Floats = NDArray[np.float64]


def events(at: Floats, nodes: tuple[str, ...] = ("n0", "n1"), *, late: float = 0.0) -> pd.DataFrame:
    """Records of intents fired by the first node; each further one hears them `late` s later."""
    parts = []
    for k, node in enumerate(nodes):
        t = at + 1.7e9 + k * late
        columns = {"time": pd.to_datetime(t, unit="s", utc=True), "node": node, "run": node, "at": t * 1e3}
        kind = "remote_intent" if k else "intent"
        ids = [{"id": f"e{i}"} for i in range(len(at))]
        parts.append(pd.DataFrame({**columns, "room": "r", "type": kind, "omega": 0.0, "data": ids}))
    return pd.concat(parts)


def flipped(seed: int, moments: Floats, n: int = 400) -> pd.DataFrame:
    """Two phases that wander independently, and advance by a quarter turn at the same moments."""
    rng = np.random.default_rng(seed)
    steps = 0.3 * rng.normal(size=(n, 2)) + 2 * np.pi * np.array([1.1, 1.3])
    steps[moments.astype(int)] += np.pi / 2
    psi = np.angle(np.exp(1j * np.cumsum(steps, axis=0)))
    return room(0.5 + 0.01 * rng.normal(size=psi.shape), psi)


MOMENTS = np.arange(30.0, 390, 40)


@pytest.mark.parametrize("measure", [spreads, information_flow])
def test_common_events_are_no_link(measure: object) -> None:
    """Quarter turns at the same moments look like a link; with the events on record they do not."""
    seen = {"unknown": 0, "on record": 0}
    for seed in range(12):
        frame = flipped(seed, MOMENTS)
        known = pd.concat([frame, events(MOMENTS - 1)])
        for name, one in (("unknown", frame), ("on record", known)):
            seen[name] += bool(measure(one, "phase", count=39, seed=seed)["found"].any())  # type: ignore[operator]
    if measure is spreads:
        assert seen["unknown"] >= 10
    assert seen["on record"] <= 3  # 0.6 expected, more than 3 in 1 of 400


def test_what_is_left_out_is_told() -> None:
    """The number of common events and of moments left out are in `attrs`; with `fades=None` none are."""
    frame = pd.concat([flipped(1, MOMENTS), events(MOMENTS - 1)])
    facts = information_flow(frame, count=19).attrs
    assert facts["common_events"] == len(MOMENTS)
    assert facts["disturbed"] == pytest.approx(10 * len(MOMENTS), abs=len(MOMENTS))
    kept = information_flow(frame, count=19, fades=None).attrs
    assert (kept["common_events"], kept["disturbed"]) == (None, 0)
    alone = pd.concat([flipped(1, MOMENTS), events(MOMENTS - 1, ("n0",))])
    assert information_flow(alone, count=19).attrs["common_events"] == 0
    with pytest.raises(ParameterError, match="fades"):
        information_flow(frame, fades=-1)


def test_too_many_common_events_are_refused() -> None:
    """Where hardly a moment is undisturbed it is said why, and what can be asked instead."""
    often = np.arange(5.0, 395, 9)
    frame = pd.concat([flipped(1, often), events(often - 1)])
    for measure in (information_flow, spreads):
        with pytest.raises(ParameterError, match="drive several nodes at once; otherwise use null runs"):
            measure(frame, "phase", count=19)


def test_an_event_that_arrives_late_is_common_by_its_id() -> None:
    """The same event counts in both nodes' records, however late; own events of one kind within a second."""
    frame = events(np.array([10.0, 50.0]), late=5.0)
    assert (common_moments(frame, {"n0", "n1"}) - 1.7e9).tolist() == [10, 15, 50, 55]
    apart = frame.assign(data=None)
    assert len(common_moments(apart, {"n0", "n1"})) == 0
    own = pd.concat([events(np.array([10.0]), (node,)).assign(data=None) for node in ("n0", "n1")])
    assert len(common_moments(own, {"n0", "n1"})) == 2
    assert len(common_moments(own, {"n0"})) == 0
