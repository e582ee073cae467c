"""Transitions and bursts, planted and found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from chronoflux.analysis.criticality import (
    avalanches,
    change_points,
    early_warnings,
    power_law_tail,
    variance_and_lag1,
)
from chronoflux.errors import ParameterError


def ar(a: float | NDArray[np.float64], n: int, seed: int) -> NDArray[np.float64]:
    """An AR(1) series of unit noise; `a` may change from step to step."""
    noise = np.random.default_rng(seed).normal(size=n)
    if np.ndim(a) == 0:
        return np.asarray(lfilter([1.0], [1.0, -float(a)], noise))
    x = np.zeros(n)
    for i, coefficient in enumerate(np.asarray(a)[1:], 1):
        x[i] = coefficient * x[i - 1] + noise[i]
    return x


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_variance_and_lag1_of_an_autoregressive_series(a: float) -> None:
    """AR(a) with noise σ = 1 has the variance 1/(1 − a²) and the lag-1 correlation a."""
    variance, lag1 = variance_and_lag1(ar(a, 100_000, 1))
    assert float(variance) == pytest.approx(1 / (1 - a**2), rel=0.06)
    assert float(lag1) == pytest.approx(a, abs=0.01)


def test_early_warnings_grow_before_a_transition() -> None:
    """As the coefficient climbs to 1 variance and lag-1 correlation grow (τ near 1); at rest they do not."""
    rising = early_warnings(ar(np.linspace(0, 0.97, 4000), 4000, 2), window=500, step=50)
    assert float(rising.variance_trend) > 0.7
    assert float(rising.lag1_trend) > 0.8
    assert rising.lag1_trend.reading == "grows"
    assert (rising.end[0], rising.end[-1]) == (499, 3999)
    still = early_warnings(ar(0.5, 4000, 3), window=500, step=50)
    assert abs(float(still.lag1_trend)) < 0.7


def test_early_warnings_without_the_trend() -> None:
    """A slow drift passes for variance until the moving mean is taken off."""
    drift = ar(0.3, 3000, 4) + 1e-9 * np.arange(3000.0) ** 3
    assert float(early_warnings(drift, window=300).variance_trend) > 0.8
    assert float(early_warnings(drift, window=300, detrend=50).variance_trend) < 0.6


@settings(deadline=None)  # the first one loads ruptures
@given(st.integers(300, 1200), st.integers(0, 1000))
def test_a_step_is_found_where_it_was_planted(place: int, seed: int) -> None:
    """One step of three standard deviations is found within a few samples, and nothing else."""
    x = np.random.default_rng(seed).normal(size=1500) + 3 * (np.arange(1500) >= place)
    found = change_points(x, strictness=2)
    assert len(found) == 1
    assert found[0] == pytest.approx(place, abs=5)


def test_slow_noise_is_no_step_when_it_may_forget() -> None:
    """AR(0.9) noise gives no step once segments are long beside its memory; a true one stays."""
    x = ar(0.9, 20_000, 5)
    assert len(change_points(x, least=100)) == 0
    x[12_000:] += 10
    found = change_points(x, least=100)
    assert len(found) == 1
    assert found[0] == pytest.approx(12_000, abs=30)


def test_avalanches_of_a_small_series() -> None:
    """Sizes are areas above the threshold, durations samples; those the record cuts are left out."""
    x = [5, 0, 0, 2, 3, 0, 1, 0, 0, 4, 4, 4]
    found = avalanches(x, threshold=0.5)
    assert found.sizes.tolist() == [1.5 + 2.5, 0.5]
    assert found.durations.tolist() == [2, 1]
    assert found.spans.tolist() == [[3, 4], [6, 6]]
    assert found.cut == 2


@pytest.mark.slow
def test_a_power_law_is_told_from_an_exponential() -> None:
    """Pareto sizes give their exponent and beat the exponential; exponential ones are no power law."""
    rng = np.random.default_rng(6)
    tail = power_law_tail((1 - rng.random(800)) ** (-1 / 1.5))
    assert tail.exponent.value == pytest.approx(2.5, abs=4 * tail.exponent.uncertainty)
    assert tail.against["exponential"][0] > 0
    assert tail.against["exponential"][1] < 0.01
    other = power_law_tail(1 + rng.exponential(size=800))
    assert other.exponent.reading.startswith("no power law")


def test_what_cannot_be_judged_is_refused() -> None:
    """Too few sizes, sizes of 0, gaps and windows longer than half the record are refused by name."""
    x = ar(0.5, 200, 7)
    for work, words in (
        (lambda: power_law_tail(np.ones(20)), "at least 50"),
        (lambda: power_law_tail(np.arange(100.0)), "above 0"),
        (lambda: early_warnings(x, window=150), "at most 100"),
        (lambda: early_warnings(np.append(x, np.nan), window=50), "not finite"),
        (lambda: change_points(x[:20]), "at least 40"),
        (lambda: change_points(np.repeat([0.0, 1.0], 100)), "noise"),
        (lambda: avalanches(np.ones(100)), "constant"),
    ):
        with pytest.raises(ParameterError, match=words):
            work()
