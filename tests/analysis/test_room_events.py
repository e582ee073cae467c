"""Events and the nodes of a room, and who follows whom, on loaded logs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import chronoflux as cf
from chronoflux.analysis.room_events import event_dose_response, event_epochs, spreads
from chronoflux.errors import ParameterError
from tests.analysis.test_rooms import write

DELAY = 4


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Ten minutes; `first` answers an intent of strength E every 20 s by 0.2 E, `second` the same 4 s later;
    `other` goes its own way. All drift upwards together."""
    folder, rng = tmp_path_factory.mktemp("logs"), np.random.default_rng(5)
    seconds, events = np.arange(600.0), np.arange(20.0, 580, 20)
    strengths = rng.uniform(0.1, 1.0, len(events))
    answer = sum(
        np.where(seconds >= at, 0.2 * E * np.exp(-(seconds - at) / 5), 0)
        for at, E in zip(events, strengths, strict=True)
    )
    noise = 0.01 * rng.normal(size=(3, 600))
    courses = {"first": answer, "second": np.roll(answer, DELAY), "other": rng.permutation(answer)}
    for (node, course), own in zip(courses.items(), noise, strict=True):
        write(
            folder,
            node,
            seconds,
            order=0.2 + 0.0005 * seconds + course + own,
            phase=0 * seconds,
            hertz=1.2,
            events=tuple((at, "intent") for at in events) if node == "first" else (),
            strengths=tuple(strengths) if node == "first" else (),
        )
    return cf.load(folder)


def test_epochs_round_events_of_a_room(frame: pd.DataFrame) -> None:
    """Every event of a kind is an epoch in the node that has it on record; the planted response is there."""
    found = event_epochs(frame, "intent", before=5, after=15)
    assert len(found.courses) == 28
    assert found.mean[found.lag == 0] == pytest.approx(0.2 * 0.55, abs=0.03)
    assert cf.analysis.recovery_time(found.lag, found.mean) == pytest.approx(5, abs=2)
    with pytest.raises(ParameterError, match="0 events completely on record"):
        event_epochs(frame, "remote_intent")


def test_what_several_nodes_hear_is_one_event(frame: pd.DataFrame) -> None:
    """An event that two nodes have on record counts once, with the mean of their courses."""
    events = frame[frame["type"] == "intent"]
    data = [{**found, "id": f"{i:032x}"} for i, found in enumerate(events["data"])]
    heard = [events.assign(node=node, type="remote_intent", data=data) for node in ("second", "other")]
    both, *each = (
        event_epochs(pd.concat([frame, *part]), "remote_intent", before=5, after=15)
        for part in (heard, heard[:1], heard[1:])
    )
    assert len(both.courses) == len(each[0].courses) == 28
    assert both.mean == pytest.approx((each[0].mean + each[1].mean) / 2)


def test_a_planted_dose_response_of_a_room(frame: pd.DataFrame) -> None:
    """The response grows with the strength by what was planted, its mean over the 5 s after the event."""
    slope, rank = event_dose_response(frame, "intent", "E")
    planted = 0.2 * np.exp(-np.arange(1, 6) / 5).mean()
    assert slope.value == pytest.approx(planted, rel=0.25)
    assert slope.n == 28
    assert slope.p is not None
    assert slope.p < 0.01
    assert rank.value > 0.6
    with pytest.raises(ParameterError, match="events"):
        event_dose_response(frame, "intent", "no such field")


def test_spread_has_its_direction_and_its_delay(frame: pd.DataFrame) -> None:
    """Of three pairs only the planted one is found, from the first to the second and 4 s later."""
    found = spreads(frame)
    assert found.index[found["found"]].tolist() == [("first", "second")]
    assert found.loc[("first", "second"), "delay_s"] == DELAY
    assert found.loc[("first", "second"), "correlation"] > 0.5
    assert (found["delay_s"] >= 0).all()
    same = spreads(frame[frame["node"] != "other"].assign(node=lambda f: f["node"].replace("first", "z")))
    assert same.index.tolist() == [("z", "second")]


def test_spread_needs_two_nodes_and_time(frame: pd.DataFrame) -> None:
    """One node, or delays beyond a quarter of the record, are refused by name."""
    with pytest.raises(ParameterError, match="at least 2"):
        spreads(frame[frame["node"] == "first"])
    with pytest.raises(ParameterError, match="longest"):
        spreads(frame, longest=200)


@pytest.mark.slow
def test_spread_between_strangers_is_chance() -> None:
    """Of 40 rooms of three nodes that have nothing to do with each other at most a few seem to spread."""
    rooms = 40
    rng = np.random.default_rng(3)
    seconds = np.arange(300.0)
    rows = []
    for room in range(rooms):
        for node in "abc":
            walk = np.convolve(rng.normal(size=310), np.full(11, 1 / 11), "valid")
            rows.append(
                pd.DataFrame(
                    {
                        "time": pd.to_datetime(seconds, unit="s", utc=True),
                        "node": node,
                        "room": f"r{room}",
                        "type": "telemetry",
                        "at": 1000 * seconds,
                        "omega": 7.0,
                        "H": walk,
                    }
                )
            )
    frame = pd.concat(rows)
    wrong = sum(spreads(frame, room=f"r{room}")["found"].any() for room in range(rooms))
    assert wrong <= 6  # 2 expected; more than 6 in 1 of 250
