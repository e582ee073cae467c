"""A result says what it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chronoflux.analysis.information import mutual_information_nats
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


def test_what_is_read_agrees_with_what_is_printed() -> None:
    """A reading that names the amount names it in the unit of the value, also in bits."""
    x = np.random.default_rng(1).normal(size=(2, 500))
    nats = mutual_information_nats(x[0], x[0] + x[1])
    bits = nats.in_bits()
    assert f"{nats.value:.2g} nats" in nats.reading
    assert f"{bits.value:.2g} bits" in bits.reading
    assert "nats" not in repr(bits)
