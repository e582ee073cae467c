"""Eight numbers computed with at once."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from chronoflux.model.engine import simd


def by_hand(numbers, found):
    """Everything that can be done with the first two rows of `numbers`."""
    a, b = simd.load(numbers, 0), simd.load(numbers, 1)
    simd.store(found, 0, a + b * 2.0 - 1)
    simd.store(found, 1, 3 - a / b)
    simd.store(found, 2, simd.minimum(a, b))
    simd.store(found, 3, simd.maximum(a, 0.5))
    simd.store(found, 4, simd.select(a, b, a, -1.0))
    simd.store(found, 5, simd.select(0.0, a, math.inf, b))
    simd.store(found, 6, simd.sqrt(simd.absolute(a)))
    simd.store(found, 7, simd.floor(b * 10.0) + simd.splat(0.25))
    return simd.any_less(a, b), simd.any_less(b, -math.inf)


def test_compiled_as_in_numpy():
    """What is done lane by lane is bit for bit what NumPy does, also with zeros, infinities and NaN."""
    rng = np.random.default_rng(1)
    numbers = rng.normal(0, 1, 2 * simd.LANES)
    numbers[[0, 1, 2, simd.LANES + 3, simd.LANES + 4]] = [0.0, math.inf, math.nan, -math.inf, 5e-324]
    compiled, plain = np.zeros(8 * simd.LANES), np.zeros(8 * simd.LANES)
    with np.errstate(all="ignore"):
        assert (
            njit(error_model="numpy")(by_hand)(numbers, compiled) == by_hand(numbers, plain) == (True, False)
        )
    np.testing.assert_array_equal(compiled, plain)
