"""Complexity against what is known of noise, waves and small words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.analysis.complexity import count_words, detrended_fluctuation, lempel_ziv, permutation_entropy
from chronoflux.errors import ParameterError

NOISE = np.random.default_rng(1).normal(size=20_000)


def test_the_words_of_lempel_and_ziv() -> None:
    """The published example 0001101001000101 has 6 words, a constant one 2, a period of two 3."""
    assert count_words(b"0001101001000101") == 6  # 0·001·10·100·1000·101
    assert count_words(b"0" * 40) == 2
    assert count_words(b"01" * 40) == 3


@given(st.binary(min_size=1, max_size=60).map(lambda b: bytes(48 + x % 2 for x in b)))
def test_words_are_those_of_the_definition(symbols: bytes) -> None:
    """The count equals that of trying every word at every place."""
    words, start = 0, 0
    while start < len(symbols):
        length = 1
        while start + length <= len(symbols) and any(
            symbols[i : i + length] == symbols[start : start + length] for i in range(start)
        ):
            length += 1
        words, start = words + 1, start + length
    assert count_words(symbols) == words


def test_white_noise_is_as_complex_as_can_be() -> None:
    """White noise has a Lempel–Ziv complexity and a permutation entropy of 1.0 and a DFA exponent of .5."""
    assert float(lempel_ziv(NOISE)) == pytest.approx(1.0, abs=0.04)
    assert float(permutation_entropy(NOISE)) == pytest.approx(1.0, abs=1e-3)
    assert float(permutation_entropy(NOISE, order=5, delay=2)) == pytest.approx(1.0, abs=5e-3)
    assert float(detrended_fluctuation(NOISE)) == pytest.approx(0.5, abs=0.04)


def test_a_wave_is_simple() -> None:
    """A sine is nearly without new words, and stands in few orders; a growing series in one."""
    sine = np.sin(2 * np.pi * np.arange(5000) / 50)
    assert float(lempel_ziv(sine)) < 0.1
    assert float(permutation_entropy(sine)) < 0.6
    assert float(permutation_entropy(np.arange(100.0))) == 0


def test_permutation_entropy_of_a_small_series() -> None:
    """Eight steps up and four down are the entropy of thirds, over one bit; equal values go as up."""
    series = [4, 7, 9, 10, 6, 11, 3, 3.5, 4.5, 5, 6, 5.5, 5.0]
    third = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert float(permutation_entropy(series, order=2)) == pytest.approx(third)
    assert float(permutation_entropy([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2], order=2)) == 0


def test_sums_of_noise_wander() -> None:
    """Brownian motion has a DFA exponent of 1.5, the steps of white noise one near 0."""
    assert float(detrended_fluctuation(np.cumsum(NOISE))) == pytest.approx(1.5, abs=0.06)
    assert float(detrended_fluctuation(np.diff(NOISE))) < 0.15


@given(st.floats(0.1, 1e6), st.floats(-1e3, 1e3))
def test_complexity_knows_no_scale(scale: float, shift: float) -> None:
    """None of the three depends on the unit or the zero of the series."""
    x = NOISE[:400]
    for measure in (lempel_ziv, permutation_entropy, detrended_fluctuation):
        assert float(measure(scale * x + shift)) == pytest.approx(float(measure(x)), rel=1e-6)


@pytest.mark.parametrize("measure", [lempel_ziv, permutation_entropy, detrended_fluctuation])
def test_short_constant_and_gappy_series_are_refused(measure: object) -> None:
    """Too short, constant, gappy, infinite and two-dimensional input is refused by name."""
    gappy = NOISE[:500].copy()
    gappy[7] = np.nan
    for bad, words in (
        (NOISE[:8], "at least"),
        (np.ones(500), "constant"),
        (gappy, "1 of 500 values not finite"),
        (np.append(NOISE[:500], np.inf), "not finite"),
        (NOISE[:500].reshape(2, -1), "series of shape"),
        (["a"], "numbers"),
    ):
        with pytest.raises(ParameterError, match=words):
            measure(bad)  # type: ignore[operator]
