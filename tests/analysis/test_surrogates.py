"""Surrogates keep what they promise to keep, and lose the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.analysis.surrogates import (
    autoregressions,
    block_shuffles,
    circular_shifts,
    event_shuffles,
    iaaft,
    matched_ends,
)
from chronoflux.errors import ParameterError
from tests.analysis.test_criticality import ar


@given(st.integers(20, 200), st.integers(0, 1000), st.integers(1, 5))
def test_circular_shifts_are_turns_and_all_different(n: int, seed: int, least: int) -> None:
    """Each shift is the series turned by at least `least` steps either way, no two by the same."""
    x = np.arange(float(n))
    made = list(circular_shifts(x, 10, np.random.default_rng(seed), least=least))
    turns = [int(-surrogate[0] % n) for surrogate in made]
    assert len(set(turns)) == 10
    assert all(least <= turn <= n - least for turn in turns)
    assert all(
        np.array_equal(np.roll(x, turn), surrogate) for turn, surrogate in zip(turns, made, strict=True)
    )


def test_more_shifts_than_there_are_is_refused() -> None:
    """A series of 30 with 5 steps at least has 21 shifts; 22 are refused."""
    x = np.arange(30.0)
    assert len(list(circular_shifts(x, 21, np.random.default_rng(1), least=5))) == 21
    with pytest.raises(ParameterError, match="1 to 21"):
        next(circular_shifts(x, 22, np.random.default_rng(1), least=5))


def test_columns_turn_together_or_each_by_itself() -> None:
    """By default rows stay rows; apart, each column is a turn of itself, and deeper axes go along."""
    x = np.arange(40.0)[:, None, None] + np.array([[0, 0.1], [0.2, 0.3], [0.4, 0.5]])
    rng = np.random.default_rng(2)
    (whole,) = circular_shifts(x, 1, rng)
    assert np.allclose(whole - whole[:, :1, :1], x - x[:, :1, :1])
    (apart,) = circular_shifts(x, 1, rng, together=False)
    turns = np.floor(apart[0, :, 0])
    assert len(set(turns)) > 1
    for j, turn in enumerate(turns):
        assert np.array_equal(apart[:, j], np.roll(x[:, j], -int(turn), axis=0))


def test_iaaft_keeps_values_and_spectrum() -> None:
    """IAAFT keeps the values exactly and the spectrum nearly, each time in another order."""
    x = 1 / (1 + np.exp(-ar(0.9, 2000, 3)))  # like an order parameter: bounded, often near 0 or 1
    for surrogate in iaaft(x, 3, np.random.default_rng(3)):
        assert np.array_equal(np.sort(surrogate), np.sort(x))
        assert not np.array_equal(surrogate, x)
        power = [np.abs(np.fft.rfft(series - x.mean())) ** 2 for series in (x, surrogate)]
        assert np.abs(power[0] - power[1]).sum() / power[0].sum() < 0.02


@given(st.integers(1, 8), st.integers(0, 1000))
def test_blocks_stay_whole(block: int, seed: int) -> None:
    """A block shuffle keeps every value once, and within blocks each value its successor."""
    n = 48
    (mixed,) = block_shuffles(np.arange(float(n)), 1, np.random.default_rng(seed), block=block)
    assert np.array_equal(np.sort(mixed), np.arange(n))
    joints = np.count_nonzero((np.diff(mixed) - 1) % n)
    assert joints <= -(-n // block)


def test_columns_of_a_block_stay_together() -> None:
    """Rows of two columns are shuffled as rows; fewer than five blocks are refused."""
    x = np.arange(100.0)[:, None] * [1, 2]
    (mixed,) = block_shuffles(x, 1, np.random.default_rng(1), block=10)
    assert np.array_equal(mixed[:, 1], 2 * mixed[:, 0])
    with pytest.raises(ParameterError, match="at most 20"):
        next(block_shuffles(x, 1, np.random.default_rng(1), block=21))


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique=True), st.integers(0, 1000))
def test_event_shuffles_keep_the_waiting_times(moments: list[int], seed: int) -> None:
    """Shuffled events lie on the record and have, round the circle, the same waiting times."""
    times = np.sort(np.array(moments, dtype=float))
    (shuffled,) = event_shuffles(times, 1, np.random.default_rng(seed), start=-5, end=1005, step=0)
    assert shuffled.min() >= -5
    assert shuffled.max() < 1005

    def waits(found: np.ndarray) -> np.ndarray:
        return np.sort(np.diff(found, append=found[0] + 1010))

    assert waits(shuffled) == pytest.approx(waits(times), abs=1e-6)


@given(
    st.lists(st.integers(0, 500), min_size=4, max_size=30, unique=True), st.floats(0, 1.9), st.integers(0, 99)
)
def test_event_shuffles_keep_the_places_between_samples(whole: list[int], place: float, seed: int) -> None:
    """Named the distance of samples, shuffled events lie where the events lie between samples."""
    times = 3 + 2.0 * np.sort(np.array(whole, dtype=float))
    times[0] += place
    (shuffled,) = event_shuffles(times, 1, np.random.default_rng(seed), start=3, end=1003, step=2)
    assert len(shuffled) == len(times)
    assert shuffled.min() >= 3
    assert shuffled.max() <= 1003
    places = (shuffled - 3) % 2
    assert np.count_nonzero(np.minimum(places, 2 - places) > 1e-9) <= 1
    assert np.isclose(places, place, atol=1e-9).any() or np.isclose(shuffled.max(), 1003)


def test_events_on_a_grid_need_its_step() -> None:
    """Events that lie on a grid are refused until the distance of samples is named; rounding is no grid."""
    rng = np.random.default_rng(4)
    on_samples = np.sort(rng.choice(600, 20, replace=False)).astype(float)
    with pytest.raises(ParameterError, match="on a grid of 1 s"):
        next(event_shuffles(on_samples, 1, rng, start=0, end=599))
    for step in (0, 1, 0.5):
        assert len(next(event_shuffles(on_samples, 1, rng, start=0, end=599, step=step))) == 20
    with pytest.raises(ParameterError, match="step"):
        next(event_shuffles(on_samples, 1, rng, start=0, end=599, step=600))
    in_milliseconds = np.sort(rng.integers(0, 600_000, 20) / 1000)
    assert len(next(event_shuffles(in_milliseconds, 1, rng, start=0, end=600))) == 20


def test_ends_that_meet() -> None:
    """Of a series that ends elsewhere than it begins, the stretch is found whose ends are nearly alike."""
    x = ar(0.95, 300, 3)
    x[:5] += 8
    part = matched_ends(x)
    assert part.stop - part.start >= 270
    assert abs(x[part.start] - x[part.stop - 1]) < 0.2 * x.std()


def test_events_beyond_the_record_are_refused() -> None:
    """Events outside the record they are shuffled in are refused by name."""
    with pytest.raises(ParameterError, match="between 0 and 10"):
        next(event_shuffles([1, 11], 1, np.random.default_rng(1), start=0, end=10))


def test_autoregressions_keep_values_and_memory() -> None:
    """New draws have exactly the values of the series, nearly its correlations, and differ."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=2000)
    for t in range(2, len(x)):
        x[t] += 0.6 * x[t - 1] + 0.3 * x[t - 2]
    x = np.exp(x / 4)
    made = np.array(list(autoregressions(x, 20, np.random.default_rng(1))))
    assert made.shape == (20, 2000)
    assert np.array_equal(np.sort(made, axis=1), np.tile(np.sort(x), (20, 1)))
    for lag in (1, 2, 5):
        own = np.corrcoef(x[lag:], x[:-lag])[0, 1]
        drawn = [np.corrcoef(one[lag:], one[:-lag])[0, 1] for one in made]
        assert abs(np.mean(drawn) - own) < 0.08
    assert abs(np.corrcoef(made)[0, 1:]).max() < 0.5
    again = np.array(list(autoregressions(x, 20, np.random.default_rng(1))))
    assert np.array_equal(again, made)
    with pytest.raises(ParameterError, match="constant"):
        next(autoregressions(np.ones(50), 1, rng))
