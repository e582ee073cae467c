"""Eight numbers computed with at once."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from chronoflux.model.engine import simd


def by_hand(numbers, found):
    """Everything that can be done with the first two rows of `numbers`."""
    a, b = simd.take(numbers, 0), simd.take(numbers, 1)
    simd.put(found, 0, a + b * 2.0 - 1)
    simd.put(found, 1, 3 - a / b)
    simd.put(found, 2, simd.least(a, b))
    simd.put(found, 3, simd.greatest(a, 0.5))
    simd.put(found, 4, simd.pick(a, b, a, -1.0))
    simd.put(found, 5, simd.pick(0.0, a, math.inf, b))
    simd.put(found, 6, simd.root(simd.size(a)))
    simd.put(found, 7, simd.floor(b * 10.0) + simd.all_of(0.25))
    return simd.some(a, b), simd.some(b, -math.inf)


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
