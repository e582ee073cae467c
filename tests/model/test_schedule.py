"""Schedules: what a node does by itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ParameterError
from chronoflux.model.params import Params
from chronoflux.model.schedule import SCHEDULES, Entry, Schedule, duration, first_tick

WORLD = Params().world
MIXED = (
    *SCHEDULES["classic"],
    Entry(first=0.0, every=0.7, jitter=0.7, event="intent", data={"E": 0.5}),
    Entry(first=12.0, change={"kappa": 1.5}),
    Entry(first=20.0, over=10.5, ramp={"kappa": (0.0, 2.1), "eta": (1.0, 0.0)}),
    Entry(first=3.0, every=10.0, until=23.0, event="pacemaker_flip"),
)


def schedule(entries: Any, seed: int = 1) -> Schedule:
    return Schedule("test", entries, seed, params=Params())


def test_classic_fires_what_it_says() -> None:
    """The gate at 30 s and the flip at 60 s once, intents at multiples of 5 s in 3 of 10 cases."""
    total = 0
    for seed in range(20):
        done = schedule(SCHEDULES["classic"], seed).due(3600, WORLD)
        assert [action.t for action in done if action.event == "lion_gate"] == [30]
        assert [action.t for action in done if action.event == "pacemaker_flip"] == [60]
        intents = [action for action in done if action.event == "intent"]
        assert {action.t % 5 for action in intents} == {0}
        assert all(0 <= action.data["x"] <= 800 and 0 <= action.data["y"] <= 600 for action in intents)
        total += len(intents)
    # 14,400 draws with p = 0.3: mean 4,320, standard deviation 55
    assert abs(total - 4320) < 5 * 55


@given(st.integers(0, 2**63), st.lists(st.floats(0, 60), max_size=20), st.floats(0, 60))
def test_what_is_done_does_not_depend_on_when_it_is_asked(seed: int, stops: list[float], cut: float) -> None:
    """However a run is split, or taken up in the middle, the same seed does the same in the same order."""
    whole = schedule(MIXED, seed).due(60, WORLD)
    assert [action.t for action in whole] == sorted(action.t for action in whole)
    split = schedule(MIXED, seed)
    assert [action for stop in sorted([*stops, 60]) for action in split.due(stop, WORLD)] == whole
    late = schedule(MIXED, seed)
    held = late.seek(cut)
    assert late.due(60, WORLD) == [action for action in whole if action.t > cut]
    expected: dict[str, Any] = {}
    for action in whole:
        if action.t <= cut and action.event is None:
            expected |= action.data
    assert held == expected


def test_times() -> None:
    """Windows, jitter and ramps keep to their times; a ramp's values lie on a line and end at its end."""
    done = schedule(MIXED).due(60, WORLD)
    assert [action.t for action in done if action.event == "pacemaker_flip"] == [3, 13, 60]
    late = [action.t for action in done if action.data.get("E") == 0.5 and action.event == "intent"]
    assert all(0.7 * k <= t <= 0.7 * (k + 1) for k, t in enumerate(late))
    assert len({round(t % 0.7, 6) for t in late}) > len(late) / 2
    ramp = [action for action in done if "eta" in action.data]
    assert [action.t for action in ramp] == [*range(20, 31), 30.5]
    for action in ramp:
        share = (action.t - 20) / 10.5
        assert action.data == pytest.approx({"kappa": 2.1 * share, "eta": 1 - share})


@given(st.integers(1, 10**5), st.floats(1e-4, 1))
def test_first_tick_is_the_first(second: int, dt: float) -> None:
    """The first tick of a second is not before it, and the one before it is."""
    tick = first_tick(second, dt)
    assert tick * dt >= second - 1e-6
    assert (tick - 1) * dt < second


def test_an_empty_schedule_does_nothing() -> None:
    """`none` is silent, and never due."""
    nothing = schedule(SCHEDULES["none"])
    assert nothing.due(1e9, WORLD) == []
    assert nothing.next == math.inf


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"first": -1.0, "event": "intent"}, "at"),
        ({"first": math.nan, "event": "intent"}, "at"),
        ({"first": 1.0}, "entry"),
        ({"first": 1.0, "event": "intent", "change": {"kappa": 1.0}}, "entry"),
        ({"first": 1.0, "every": 0.01, "event": "intent"}, "every"),
        ({"first": 1.0, "event": "intent", "probability": 0.0}, "probability"),
        ({"first": 1.0, "event": "intent", "probability": 1.5}, "probability"),
        ({"first": 1.0, "every": 5.0, "jitter": 6.0, "event": "intent"}, "jitter"),
        ({"first": 5.0, "every": 5.0, "until": 5.0, "event": "intent"}, "between"),
        ({"first": 1.0, "ramp": {"kappa": (0.0, 1.0)}}, "over"),
        ({"first": 1.0, "event": "intent", "over": 3.0}, "over"),
        ({"first": 1.0, "ramp": {"kappa": (0.0, 1.0)}, "over": 3.0, "jitter": 1.0}, "ramp"),
        ({"first": 1.0, "ramp": {"oscillators": (10.0, 90.0)}, "over": 3.0}, "ramp"),
        ({"first": 1.0, "ramp": {"kappa": (0.0, 1e9)}, "over": 3.0}, "kappa"),
        ({"first": 1.0, "change": {"kapa": 1.0}}, "kapa"),
        ({"first": 1.0, "event": "earthquake"}, "event"),
        ({"first": 1.0, "event": "intent", "data": {"F": 1.0}}, "intent.F"),
        ({"first": 1.0, "event": "intent", "data": {"E": 9.0}}, "intent"),
        ({"first": 1.0, "event": "intent", "data": {"x": 900.0}}, "intent.x"),
    ],
)
def test_wrong_entries_are_refused(facts: dict[str, Any], name: str) -> None:
    """What no run could do is refused before it begins, by the name of what is wrong."""
    with pytest.raises(ParameterError) as caught:
        schedule([Entry(**facts)])
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h30m", 9000), ("1d", 86400), ("1h1m1s", 3661)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are what they say."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "-5s", "5 s", "1e3"])
def test_durations_that_are_none(text: str) -> None:
    """What is no duration is refused with an example."""
    with pytest.raises(ParameterError, match="2h30m"):
        duration(text)
