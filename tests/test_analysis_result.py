"""A result says what it is."""

from __future__ import annotations

import math

import pytest

from chronoflux.analysis.result import Result


def test_a_result_prints_value_unit_uncertainty_size_p_and_reading() -> None:
    """Printing a result says everything that is known of it, in one line; without a p it claims none."""
    full = Result(
        name="transfer entropy",
        value=0.09205,
        unit="nats",
        n=5000,
        masked=12,
        uncertainty=0.0031,
        p=0.005,
        surrogates=199,
        reading="more than chance",
    )
    assert repr(full) == (
        "transfer entropy = 0.09205 ± 0.0031 nats "
        "(n = 5,000, 12 masked, p = 0.005 by 199 surrogates): more than chance"
    )
    assert repr(Result(name="PLV", value=0.5, unit="1", n=10)) == "PLV = 0.5 (n = 10)"


def test_a_result_is_a_number_and_a_series() -> None:
    """A result converts to its value, to a Series of its fields, and from nats to bits."""
    result = Result(name="Ψ", value=math.log(2), unit="nats", n=3, uncertainty=math.log(4), p=0.5)
    assert float(result) == math.log(2)
    series = result.to_series()
    assert (series.name, series["unit"], series["n"], series["p"]) == ("Ψ", "nats", 3, 0.5)
    bits = result.in_bits()
    assert (bits.value, bits.uncertainty, bits.unit) == (pytest.approx(1), pytest.approx(2), "bits")
    with pytest.raises(ValueError, match="not in nats"):
        bits.in_bits()
