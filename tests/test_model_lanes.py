"""Eight numbers computed with at once."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from chronoflux.model import lanes


def by_hand(numbers, found):
    """Everything that can be done with the first two rows of `numbers`."""
    a, b = lanes.take(numbers, 0), lanes.take(numbers, 1)
    lanes.put(found, 0, a + b * 2.0 - 1)
    lanes.put(found, 1, 3 - a / b)
    lanes.put(found, 2, lanes.least(a, b))
    lanes.put(found, 3, lanes.greatest(a, 0.5))
    lanes.put(found, 4, lanes.pick(a, b, a, -1.0))
    lanes.put(found, 5, lanes.pick(0.0, a, math.inf, b))
    lanes.put(found, 6, lanes.root(lanes.size(a)))
    lanes.put(found, 7, lanes.floor(b * 10.0) + lanes.all_of(0.25))
    return lanes.some(a, b), lanes.some(b, -math.inf)


def test_compiled_as_in_numpy():
    """What is done lane by lane is bit for bit what NumPy does, also with zeros, infinities and NaN."""
    rng = np.random.default_rng(1)
    numbers = rng.normal(0, 1, 2 * lanes.LANES)
    numbers[[0, 1, 2, lanes.LANES + 3, lanes.LANES + 4]] = [0.0, math.inf, math.nan, -math.inf, 5e-324]
    compiled, plain = np.zeros(8 * lanes.LANES), np.zeros(8 * lanes.LANES)
    with np.errstate(all="ignore"):
        assert (
            njit(error_model="numpy")(by_hand)(numbers, compiled) == by_hand(numbers, plain) == (True, False)
        )
    np.testing.assert_array_equal(compiled, plain)
