"""What measures ask of their input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux import analysis
from chronoflux.analysis import validation
from chronoflux.errors import ParameterError, UsageError


@given(st.lists(st.sampled_from([0.5, 1.5, np.nan, np.inf, -np.inf]), min_size=1, max_size=40))
def test_incomplete_rows_are_left_out_and_counted(values: list[float]) -> None:
    """What is kept is finite in every array, and kept and counted together are all."""
    x = np.array(values)
    y = np.stack([np.arange(len(x)), x[::-1]], axis=1)
    finite = np.isfinite(x) & np.isfinite(x[::-1])
    (kept, other), masked = validation.complete("rows", x, y, least=0)
    assert np.array_equal(kept, x[finite])
    assert np.array_equal(other, y[finite])
    assert masked == np.count_nonzero(~finite)
    if masked:
        with pytest.raises(ParameterError, match=f"{masked} left out"):
            validation.complete("rows", x, y, least=len(x))


def test_constant_is_judged_by_size() -> None:
    """Rounding about a large value is no variation; a small one about 0 is."""
    with pytest.raises(ParameterError, match="constant"):
        validation.series("x", [1e9, 1e9 + 1e-6, 1e9])
    assert len(validation.series("x", [0, 1e-9, 0])) == 3


def test_a_missing_library_names_the_extra() -> None:
    """Without a library of the extra the error says what needs it and how to install it."""
    with pytest.raises(UsageError, match=r"the spectrum needs nothing_here: .*chronoflux\[analysis\]"):
        validation.library("nothing_here.at_all", "the spectrum")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "at least|shape|length|many"),
        (3.0, "shape|communities"),
        (None, "shape|numbers|communities"),
        (["a", "b"], "numbers"),
        ([[1.0, 2.0], [3.0]], "numbers"),
        (np.exp(1j * np.arange(60.0)), "complex"),
        (pd.date_range("2026-01-01", periods=60, freq="s"), "dates"),
        (pd.Series(pd.date_range("2026-01-01", periods=60, freq="s", tz="UTC")), "dates"),
        (np.full(60, np.nan), "complete|finite"),
        (np.full(60, np.inf), "complete|finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_series_of_numbers_is_refused_by_name(values: object, words: str) -> None:
    """No measure takes a part of complex numbers, a date for seconds, or a scalar for a series."""
    other, t = np.random.default_rng(1).normal(size=60), np.arange(60.0)
    for measure in (
        lambda x: analysis.phase_locking(x),
        lambda x: analysis.phase_locking_value(x, other),
        lambda x: analysis.weighted_phase_lag_index(x, other, weights=other),
        lambda x: analysis.metastability(x),
        lambda x: analysis.frequency_difference(x, other, t),
        lambda x: analysis.locked_intervals(x, t),
        lambda x: analysis.time_to_sync(x, t),
        lambda x: analysis.mutual_information_nats(x, other),
        lambda x: analysis.emergence_nats(np.stack([other, other**2], axis=1), x),
        lambda x: analysis.lempel_ziv(x),
        lambda x: analysis.superposed_epochs(x, t, [20.0, 25.0, 30.0]),
        lambda x: analysis.dose_response(x, other),
        lambda x: analysis.assess(analysis.transfer_entropy_nats, x, other),
    ):
        with pytest.raises(ParameterError, match=words):
            measure(values)


@pytest.mark.parametrize("value", ["a", None, np.nan, np.inf, 2.5, [3], -1])
def test_counts_are_whole_numbers(value: object) -> None:
    """What is no whole number is refused as such, whatever it is."""
    with pytest.raises(ParameterError, match="a whole number, at least 1"):
        analysis.null_band(value)  # type: ignore[arg-type]


def test_times_grow() -> None:
    """Times that stand still or go back are refused, as intervals between them would mean nothing."""
    order = np.linspace(0, 1, 40)
    for t in (np.zeros(40), np.arange(40.0)[::-1]):
        for measure in (analysis.time_to_sync, analysis.locked_intervals):
            with pytest.raises(ParameterError, match="not growing"):
                measure(order, t)


def test_one_length() -> None:
    """A series of one sample is not spread over a longer one."""
    with pytest.raises(ParameterError, match="as many samples"):
        analysis.phase_locking_value([0.1], np.arange(50.0))
