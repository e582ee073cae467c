"""Sine, cosine and exponential against the C library in extended precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from chronoflux.model.engine.math_functions import exponential, sincos, single_exponential


@njit(error_model="numpy")
def on_circle(x):
    s, c = np.empty_like(x), np.empty_like(x)
    for i in range(len(x)):
        s[i], c[i] = sincos(x[i])
    return s, c


@njit(error_model="numpy")
def exponentials(x):
    e = np.empty_like(x)
    for i in range(len(x)):
        e[i] = exponential(x[i])
    return e


@njit(error_model="numpy")
def single_exponentials(x):
    e = np.empty_like(x)
    for i in range(len(x)):
        e[i] = single_exponential(x[i])
    return e


@pytest.mark.parametrize("top", [1.0, 2 * np.pi, 1e3, 1e6])
def test_sine_and_cosine(top):
    """Sine and cosine are right to 4e-16, also of large angles."""
    x = np.random.default_rng(1).uniform(-top, top, 200_001)
    s, c = on_circle(x)
    assert np.abs(s - np.sin(x.astype(np.longdouble))).max() < 4e-16
    assert np.abs(c - np.cos(x.astype(np.longdouble))).max() < 4e-16


def test_exponential():
    """The exponential is right to 4e-16 of itself."""
    x = np.random.default_rng(2).uniform(-700, 700, 200_001)
    assert np.abs(exponentials(x) / np.exp(x.astype(np.longdouble)) - 1).max() < 4e-16
    assert exponentials(np.zeros(1))[0] == 1.0


def test_quarters():
    """At multiples of a quarter turn sine and cosine are 0 and ±1 to rounding."""
    quarter = np.arange(-9, 10)
    s, c = on_circle(quarter * (np.pi / 2))
    np.testing.assert_allclose(s, [(0, 1, 0, -1)[q % 4] for q in quarter], atol=4e-15)
    np.testing.assert_allclose(c, [(1, 0, -1, 0)[q % 4] for q in quarter], atol=4e-15)


def test_the_same_wherever_in_an_array():
    """A value does not depend on where it stands, whether a vector or the loop's end computes it."""
    x = np.random.default_rng(3).uniform(0, 6, 1003)
    for computed in (lambda a: on_circle(a)[0], lambda a: on_circle(a)[1], exponentials):
        np.testing.assert_array_equal(computed(x)[7:], computed(x[7:].copy()))
        np.testing.assert_array_equal(computed(x)[:5], computed(x[:5].copy()))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finite(x):
    """Of any finite angle sine and cosine are finite and within ±1 to rounding."""
    s, c = sincos(x)
    assert abs(s) <= 1 + 1e-15
    assert abs(c) <= 1 + 1e-15


def test_single_exponential():
    """The exponential of a float32 is a float32 and right to 1e-5 of itself."""
    x = np.linspace(-80, 80, 10_001, dtype=np.float32)
    e = single_exponentials(x)
    assert e.dtype == np.float32
    np.testing.assert_allclose(e, np.exp(x.astype(float)), rtol=1e-5)
