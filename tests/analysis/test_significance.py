"""Chance: p-values that are what they say, and refused where they could not be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, kstest

from chronoflux.analysis.information import mutual_information_nats, transfer_entropy_nats
from chronoflux.analysis.integration import Emergence, emergence_nats
from chronoflux.analysis.result import Result
from chronoflux.analysis.significance import assess, false_discovery, maximum_statistic, null_band, p_value
from chronoflux.analysis.surrogates import block_shuffles
from chronoflux.errors import ParameterError
from tests.analysis.test_criticality import ar
from tests.analysis.test_information import var


def slope(x: np.ndarray, y: np.ndarray) -> Result:
    """The correlation of two series, as a result."""
    return Result(name="correlation", value=float(np.corrcoef(x, y)[0, 1]), unit="1", n=len(x))


def test_p_is_uniform_on_independent_series() -> None:
    """Of independent AR(0.9) series p is uniform by circular shifts, and far from it by shuffled samples."""
    trials = [(ar(0.9, 400, 2 * i), ar(0.9, 400, 2 * i + 1)) for i in range(240)]
    shifted = [assess(slope, x, y, count=39, seed=i, stationary=True).p for i, (x, y) in enumerate(trials)]
    # p takes the values 1/40 … 40/40: made continuous within each step
    rng = np.random.default_rng(1)
    assert kstest(np.array(shifted) - rng.random(240) / 40, "uniform").pvalue > 0.01
    single = {"surrogate": "block", "block": 1, "stationary": True}
    naive = [assess(slope, x, y, count=39, **single).p for x, y in trials[:100]]
    assert np.mean(np.array(naive) <= 0.05) > 0.12


def test_p_counts_the_surrogates_as_extreme() -> None:
    """p is (b + 1)/(m + 1): by the greater, the lesser or both sides, and never 0."""
    null = np.arange(1.0, 100)
    assert p_value(95, null) == pytest.approx((5 + 1) / 100)
    assert p_value(5, null, tail="less") == pytest.approx((5 + 1) / 100)
    assert p_value(95, null, tail="both") == pytest.approx(0.12)
    assert p_value(1e9, null) == 0.01


@given(st.integers(1, 60), st.floats(0.01, 0.5))
def test_too_few_surrogates_are_refused(count: int, level: float) -> None:
    """m surrogates are refused just when 1/(m + 1) is above the level."""
    null = np.arange(float(count))
    if 1 / (count + 1) > level * (1 + 1e-9):
        with pytest.raises(ParameterError, match="at least"):
            p_value(1e9, null, level=level)
    elif 1 / (count + 1) < level * (1 - 1e-9):
        assert p_value(1e9, null, level=level) <= level


def test_the_maximum_statistic_holds_the_error_over_all_tests() -> None:
    """Of families of 380 null tests 5 % find something, with 199 surrogates; a true effect is found."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(300):
        values = rng.normal(size=(200, 380))
        found += maximum_statistic(values[0], values[1:]).found.any()
    assert found / 300 == pytest.approx(0.05, abs=0.035)
    values[0, 7] = 6
    family = maximum_statistic(values[0], values[1:])
    assert family.found[7]
    assert family.p[7] == pytest.approx(1 / 200)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_false_discovery_is_benjamini_and_hochberg(p: list[float]) -> None:
    """Adjusted p-values equal SciPy's."""
    family = false_discovery(p)
    assert family.p == pytest.approx(false_discovery_control(p))
    assert np.array_equal(family.found, family.p <= 0.05)


def test_false_discovery_over_many_tests_needs_many_surrogates() -> None:
    """With 200 surrogates and 380 pairs nothing single could be found: refused; 7,599 are enough."""
    p = np.full(380, 0.5)
    with pytest.raises(ParameterError, match=r"at least 7599.*maximum statistic"):
        false_discovery(p, surrogates=200)
    assert not false_discovery(p, surrogates=7599).found.any()


def test_the_null_band_of_order() -> None:
    """n unrelated phases have on average √(π/4n), and stay below the band's edge as often as it says."""
    rng = np.random.default_rng(3)
    orders = np.abs(np.exp(1j * rng.uniform(0, 2 * np.pi, (20_000, 100))).mean(axis=1))
    for level in (0.5, 0.95, 0.99):
        band = null_band(100, level=level)
        assert np.mean(orders < band.high) == pytest.approx(level, abs=0.012)
    assert orders.mean() == pytest.approx(null_band(100).mean, rel=0.02)
    assert null_band(100).high == pytest.approx(math.sqrt(math.log(20) / 100))


def test_a_measure_is_judged_whole() -> None:
    """A true transfer entropy has the smallest p and an uncertainty of its size; its reverse has not."""
    x, y = var([[0.5, 0], [0.4, 0.5]], 4000, 4).T
    there = assess(transfer_entropy_nats, x, y, count=99)
    assert there.p == pytest.approx(0.01)
    assert there.reading.endswith("more than chance")
    assert there.uncertainty is not None
    spread = np.std(
        [float(transfer_entropy_nats(*var([[0.5, 0], [0.4, 0.5]], 4000, s).T)) for s in range(40)]
    )
    assert spread / 2 < there.uncertainty < spread * 2
    back = assess(transfer_entropy_nats, y, x, count=99)
    assert back.p is not None
    assert back.p > 0.02
    assert back.reading.endswith("chance may give as much")


def test_the_same_seed_gives_the_same_judgement() -> None:
    """Surrogates come from the seed alone, and a surrogate may be any function that yields them."""
    x, y = ar(0.5, 400, 5), ar(0.5, 400, 6)
    assert assess(slope, x, y, seed=3) == assess(slope, x, y, seed=3)

    def blocks(series: np.ndarray, count: int, rng: np.random.Generator) -> object:
        return block_shuffles(series, count, rng, block=20)

    own = assess(slope, x, y, surrogate=blocks, count=39)
    assert own == assess(slope, x, y, surrogate="block", block=20, count=39)


def test_emergence_is_judged_against_parts_turned_apart() -> None:
    """Parts turned against each other lose their common course: Ψ of a parity among bits is beyond chance."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2, (400, 3))
    parity = np.cumsum(rng.random(400) > 0.95) % 2
    bits[:, 2] = (bits[:, 0] + bits[:, 1] + parity) % 2

    def psi(micro: np.ndarray) -> Result:
        return emergence_nats(micro, micro.sum(axis=1) % 2, method="discrete").psi

    assert assess(psi, bits, together=False, count=39).p == pytest.approx(1 / 40)


def test_results_that_belong_together_are_judged_by_the_same_surrogates() -> None:
    """A measure of several results gives them all judged, each as if it had been judged alone."""
    micro = np.stack([ar(0.7, 300, seed) for seed in (5, 6, 7)], axis=1)
    together = assess(of_the_mean, micro, together=False, count=39)
    for name, found in together._asdict().items():
        alone = assess(lambda m, name=name: getattr(of_the_mean(m), name), micro, together=False, count=39)
        assert found == alone
        assert (found.surrogates, found.p is None, found.uncertainty is None) == (39, False, False)
    for wrong in (lambda m: 1.0, lambda m: (), lambda m: (1.0, 2.0)):
        with pytest.raises(ParameterError, match="returns a Result"):
            assess(wrong, micro)


def of_the_mean(micro: np.ndarray) -> Emergence:
    """Emergence of the mean of the parts."""
    return emergence_nats(micro, micro.mean(axis=1))


def test_undecided_stays_undecided_whatever_its_p() -> None:
    """A Ψ below 0 is unlike that of surrogates where parts share a course; that decides nothing."""
    rng = np.random.default_rng(3)
    micro = ar(0.9, 500, 4)[:, None] + 0.3 * rng.normal(size=(500, 4))

    found = assess(of_the_mean, micro, together=False, count=39, tail="less").psi
    assert found.value < 0
    assert found.p == pytest.approx(1 / 40)
    assert "undecided" in found.reading
    assert "chance" not in found.reading


def test_what_cannot_be_judged_is_refused_before_work_begins() -> None:
    """Too few surrogates, unknown kinds and a place that is not there are refused by name."""
    x, y = ar(0.5, 400, 8), ar(0.5, 400, 9)
    for options, words in (
        ({"count": 18}, "at least 19"),
        ({"count": 38, "tail": "both"}, "at least 39"),
        ({"surrogate": "shuffle"}, "shift, iaaft"),
        ({"surrogate": "block"}, "length of a block"),
        ({"which": 2}, "one of the 2"),
    ):
        with pytest.raises(ParameterError, match=words):
            assess(mutual_information_nats, x, y, **options)


def test_segments_too_short_leave_the_uncertainty_open() -> None:
    """Where a segment cannot be measured there is no uncertainty, rather than a wrong one."""
    x, y = ar(0.5, 60, 10), ar(0.5, 60, 11)
    assert assess(mutual_information_nats, x, y, count=19).uncertainty is None
