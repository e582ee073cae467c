"""Schedules: what a node fires by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ParameterError
from chronoflux.model.schedule import Schedule, first_tick

DT = 0.016


def run(name: str, seed: int, stops: list[int], dt: float = DT) -> list[tuple[int, str]]:
    """The events of a schedule asked at these ticks, with the tick at which each came."""
    schedule = Schedule(name, seed)
    return [(tick, event) for tick in stops for event, _ in schedule.due(tick, dt)]


def test_classic_fires_what_it_says() -> None:
    """The gate at 30 s and the flip at 60 s once, intents at multiples of 5 s in 3 of 10 cases."""
    seconds = range(1, 3601)
    total = 0
    for seed in range(20):
        fired = run("classic", seed, [first_tick(second, DT) for second in seconds])
        assert [tick for tick, event in fired if event == "lion_gate"] == [first_tick(30, DT)]
        assert [tick for tick, event in fired if event == "pacemaker_flip"] == [first_tick(60, DT)]
        intents = [tick for tick, event in fired if event == "intent"]
        assert set(intents) <= {first_tick(5 * i, DT) for i in range(721)}
        total += len(intents)
    # 14,400 draws with p = 0.3: mean 4,320, standard deviation 55
    assert abs(total - 4320) < 5 * 55


@given(st.integers(0, 2**63), st.lists(st.integers(1, 6000), min_size=1, max_size=30))
def test_the_events_do_not_depend_on_when_it_is_asked(seed: int, stops: list[int]) -> None:
    """However a run is split, the same seed gives the same events."""
    last = max(stops)
    assert [event for _, event in run("classic", seed, sorted(stops))] == [
        event for _, event in run("classic", seed, [last])
    ]


@given(st.integers(1, 10**5), st.floats(1e-4, 1))
def test_first_tick_is_the_first(second: int, dt: float) -> None:
    """The first tick of a second is not before it, and the one before it is."""
    tick = first_tick(second, dt)
    assert tick * dt >= second - 1e-6
    assert (tick - 1) * dt < second


def test_none_fires_nothing_and_others_are_refused() -> None:
    """`none` is silent; an unknown schedule is an error that names those there are."""
    assert run("none", 1, [10**6]) == []
    with pytest.raises(ParameterError, match="classic"):
        Schedule("daily", 1)
