"""Responses that were planted are found again."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from chronoflux.analysis.lead_lag import spread
from chronoflux.analysis.response import (
    dose_response,
    epoch_response,
    recovery_time,
    superpose,
    superposed_epochs,
)
from chronoflux.analysis.result import Result
from chronoflux.analysis.significance import assess
from chronoflux.analysis.surrogates import event_shuffles
from chronoflux.errors import ParameterError
from tests.analysis.test_criticality import ar

EVENTS = np.arange(50.0, 1950, 50)


def planted(size: float, tau: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A series sampled every second that jumps by `size` at each event and recovers with `tau` s."""
    t = np.arange(2000.0)
    since = t[:, None] - EVENTS
    kicks = np.where(since >= 0, size * np.exp(-np.maximum(since, 0) / tau), 0).sum(axis=1)
    return 0.4 + kicks + noise * np.random.default_rng(seed).normal(size=len(t)), t


@settings(max_examples=20)
@given(st.floats(-1, 1).filter(lambda size: abs(size) > 0.2), st.floats(3, 8), st.integers(0, 1000))
def test_a_planted_response_is_recovered(size: float, tau: float, seed: int) -> None:
    """The mean epoch is the planted course, within a band that noise would give, and recovers in τ."""
    x, t = planted(size, tau, 0.02, seed)
    found = superposed_epochs(x, t, EVENTS, before=10, after=30)
    assert (len(found.courses), found.left_out) == (len(EVENTS), 0)
    rest = size * sum(math.exp(-(50 * k - 5.5) / tau) for k in (1,))  # what the last event left behind
    expected = np.where(found.lag >= 0, size * np.exp(-np.maximum(found.lag, 0) / tau), 0)
    assert found.mean == pytest.approx(expected, abs=0.03 + 2 * abs(rest))
    assert recovery_time(found.lag, found.mean) == pytest.approx(tau, rel=0.2)


def test_the_band_covers_the_truth() -> None:
    """The 95 % band of a moment covers the true value in nearly 95 % of repetitions."""
    covered = []
    for seed in range(200):
        x, t = planted(0.0, 5.0, 1.0, seed)
        found = superposed_epochs(x, t, EVENTS, before=2, after=2, baseline=False, resamples=400)
        covered.append((found.low <= 0.4) & (found.high >= 0.4))
    assert np.mean(covered) == pytest.approx(0.94, abs=0.025)


def test_the_band_is_the_spread_of_the_mean() -> None:
    """The band's width is about 2 · 1.96 standard errors of the mean over events."""
    x, t = planted(0.5, 5.0, 0.1, 1)
    found = superposed_epochs(x, t, EVENTS, resamples=4000)
    error = found.courses.std(axis=0, ddof=1) / math.sqrt(len(EVENTS))
    assert (found.high - found.low) / error == pytest.approx(2 * 1.96 * np.ones(len(error)), rel=0.12)


@pytest.mark.parametrize(
    ("skewed", "n", "least"), [(False, 5, 0.93), (False, 10, 0.93), (True, 5, 0.92), (True, 20, 0.93)]
)
def test_the_band_covers_the_mean_of_few_events(skewed: bool, n: int, least: float) -> None:
    """Over 1,500 draws a 95 % band covers the true mean in 93 to 97 %, of a skewed law in 92 % at n = 5."""
    lag, covered = np.arange(-1.0, 5.0), []
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        courses = rng.exponential(size=(n, 6)) - 1 if skewed else rng.normal(size=(n, 6))
        found = superpose(lag, courses, baseline=False, resamples=600, seed=seed)
        covered.append((found.low <= 0) & (found.high >= 0))
    assert least <= np.mean(covered) <= 0.97


def test_fewer_than_five_events_have_no_band() -> None:
    """The mean is told, and that there is no band."""
    found = superpose(np.arange(-1.0, 3.0), np.random.default_rng(0).normal(size=(4, 4)))
    assert np.isfinite(found.mean).all()
    assert np.isnan([found.low, found.high]).all()


def test_of_many_events_the_band_is_normal() -> None:
    """Beyond 2,000 events the band is 1.96 standard errors either side of the mean."""
    t = np.arange(40_000.0)
    x = np.random.default_rng(1).normal(size=len(t))
    found = superposed_epochs(x, t, np.arange(10, 39_900, 15.0), before=2, after=2)
    error = found.courses.std(axis=0, ddof=1) / math.sqrt(len(found.courses))
    assert len(found.courses) > 2000
    assert found.high - found.mean == pytest.approx(1.959964 * error)
    assert found.mean - found.low == pytest.approx(1.959964 * error)


def test_epochs_over_gaps_and_edges_are_left_out() -> None:
    """Events too near an edge, over a gap in time or a missing value are left out and counted."""
    x, t = planted(0.5, 5.0, 0.1, 2)
    x[500] = np.nan  # within the epoch of the event at 500 alone
    keep = (t < 1010) | (t > 1020)
    found = superposed_epochs(x[keep], t[keep], [5, *EVENTS, 1990], before=10, after=30)
    assert found.left_out == 4  # at 5, 500, 1000, 1990
    assert len(found.courses) == len(EVENTS) - 2
    with pytest.raises(ParameterError, match="at least 3"):
        superposed_epochs(x, t, [5, 1990])


def test_a_response_is_judged_over_all_moments() -> None:
    """A planted response is found at its moment; where there is none about 5 % of trials find one."""
    x, t = planted(0.5, 5.0, 0.1, 1)
    found = epoch_response(superposed_epochs(x, t, EVENTS))
    assert (found.p, found.surrogates, found.n) == (0.005, 199, len(EVENTS))
    assert found.value == pytest.approx(0.5, abs=5 * float(found.uncertainty or 0))
    assert "more than chance" in found.reading
    rng = np.random.default_rng(8)
    lag = np.arange(-5.0, 20)
    none = [superpose(lag, rng.normal(size=(30, 25)), resamples=100) for _ in range(200)]
    share = np.mean([epoch_response(one, seed=i).p <= 0.05 for i, one in enumerate(none)])
    assert 0.01 <= share <= 0.1
    with pytest.raises(ParameterError, match="count"):
        epoch_response(none[0], count=18)
    with pytest.raises(ParameterError, match="varies"):
        epoch_response(superpose(lag, np.ones((5, 25))))


def test_few_events_are_no_evidence_either_way() -> None:
    """Where not even a response in every event could be told from chance, none is given a p."""
    lag = np.arange(-5.0, 10)
    courses = np.where(lag >= 0, 1.0, 0.0) + 0.01 * np.random.default_rng(3).normal(size=(6, len(lag)))
    few, enough = (epoch_response(superpose(lag, courses[:n], resamples=100)) for n in (5, 6))
    assert (few.p, few.surrogates, few.n) == (None, 0, 5)
    assert few.value == pytest.approx(1, abs=0.05)
    assert few.reading.endswith("5 events are too few to tell it from chance: at least 6")
    assert (enough.p, enough.surrogates) == (1 / 32, 31)  # all ways to give six signs, once each


def test_a_response_is_judged_by_events_at_other_moments() -> None:
    """With shuffled events instead of signs: a planted response is beyond chance, one of noise is not."""
    rng = np.random.default_rng(9)
    t = np.arange(2000.0)
    noise = rng.normal(size=len(t))
    events = np.sort(rng.choice(np.arange(50.0, 1950), 40, replace=False))
    kicked = noise + 2.0 * np.isin(t, events)

    def change(x: np.ndarray, t: np.ndarray, events: np.ndarray) -> Result:
        return epoch_response(superposed_epochs(x, t, events, resamples=100), count=0)

    shuffled = partial(event_shuffles, start=float(t[0]), end=float(t[-1]), step=1.0)
    options = {"which": 2, "tail": "both", "count": 39, "surrogate": shuffled}
    found = assess(change, kicked, t, events, **options)
    assert (found.p, found.surrogates, found.uncertainty) == (0.05, 39, None)
    assert found.reading.count("chance") == 1
    assert float(assess(change, noise, t, events, **options).p or 0) > 0.05


def test_recovery_of_an_exponential() -> None:
    """e^{−t/τ} is down to 1/e after τ; what has not recovered in the epoch has no time."""
    lag = np.arange(-5, 40, 0.1)
    course = np.where(lag >= 0, -0.3 * np.exp(-lag / 7), 0)
    assert recovery_time(lag, course) == pytest.approx(7, abs=0.01)
    assert recovery_time(lag, course, fraction_left=0.5) == pytest.approx(7 * math.log(2), abs=0.01)
    assert recovery_time(lag, np.where(lag >= 0, 1.0, 0)) is None


@given(st.floats(-2, 2).filter(lambda slope: abs(slope) > 0.3), st.integers(0, 1000))
@settings(max_examples=20)
def test_a_planted_dose_response_is_recovered(slope: float, seed: int) -> None:
    """The slope is found within its uncertainty, beyond chance, and the rank correlation is Spearman's."""
    rng = np.random.default_rng(seed)
    dose = rng.integers(1, 6, 60).astype(float)
    answer = 1 + slope * dose + 0.3 * rng.normal(size=60)
    answer[3] = np.nan
    found = dose_response(dose, answer, count=499)
    assert found.slope.value == pytest.approx(slope, abs=5 * 0.3 / math.sqrt(60))
    assert found.slope.uncertainty == pytest.approx(0.3 / (math.sqrt(59) * np.delete(dose, 3).std()), rel=0.6)
    assert found.slope.p == pytest.approx(1 / 500)
    assert (found.slope.n, found.slope.masked) == (59, 1)
    assert float(found.rank) == pytest.approx(spearmanr(np.delete(dose, 3), np.delete(answer, 3)).statistic)


def test_many_doses_are_judged_by_what_resampling_converges_to() -> None:
    """Beyond 2,000 events error and p-values are formulas; on either side of the edge they agree."""
    rng = np.random.default_rng(6)
    dose = rng.random(2001)
    answer = 0.1 * dose + (0.5 + dose) * rng.normal(0, 0.6, 2001)
    many, few = dose_response(dose, answer), dose_response(dose[:2000], answer[:2000], count=999)
    for a, b in zip(many, few, strict=True):
        assert (a.surrogates, b.surrogates) == (0, 999)
        assert a.p == pytest.approx(b.p, abs=0.03)
    assert many.slope.uncertainty == pytest.approx(few.slope.uncertainty, rel=0.1)
    assert "surrogates" not in repr(many.slope)


def test_no_dose_response_is_not_found() -> None:
    """Answers that have nothing to do with the dose are found in about 5 % of trials at p ≤ .05."""
    rng = np.random.default_rng(3)
    p = [dose_response(rng.normal(size=20), rng.normal(size=20), count=199).slope.p for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_spread_is_found_with_its_delay() -> None:
    """What reaches a second series 3 s later is found at 3 s, from the other side at −3 s."""
    x = ar(0.7, 2000, 4)
    y = np.roll(x, 6) + ar(0.5, 2000, 5)
    found = spread(x, y, step=0.5, longest=10)
    assert float(found.delay) == 3
    assert found.correlation.p == pytest.approx(1 / 200)
    assert float(spread(y, x, step=0.5, longest=10).delay) == -3


def test_spread_between_strangers_is_chance() -> None:
    """Of unrelated AR series about 5 % give p ≤ .05, the search for the best lag included."""
    p = [
        spread(
            ar(0.8, 600, 2 * i), ar(0.8, 600, 2 * i + 1), step=1, longest=10, stationary=True
        ).correlation.p
        for i in range(200)
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.045)


def test_responses_to_nothing_are_refused() -> None:
    """Times that do not grow, one dose for all, and lags beyond a quarter of the record are refused."""
    for work, words in (
        (lambda: superposed_epochs([1, 2, 3], [0, 2, 1], [1]), "growing"),
        (lambda: superposed_epochs([1, 2, 3], [0, 1, 2], [1], before=0), "baseline"),
        (lambda: dose_response(np.ones(9), np.arange(9)), "constant"),
        (lambda: dose_response([1, 2, 3], [1, 2, 3]), "at least 5"),
        (lambda: spread(np.arange(40.0), np.arange(40.0), step=1, longest=10), "quarter"),
    ):
        with pytest.raises(ParameterError, match=words):
            work()
