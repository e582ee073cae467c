"""What this machine allows at most, measured by loops that do nothing but what no engine can do without.

A figure of the benchmark stands beside one of these, so that a slow engine can be told from a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from chronoflux.model import threads
from chronoflux.model.elementary import sincos
from chronoflux.model.jit import kernel
from chronoflux.model.simulation import Simulation
from chronoflux.model.swarm import Floats

NEVER = np.iinfo(np.int64).max


def timed(work: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds that `work` takes, each time, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def bandwidth(n: int, repeats: int) -> float:
    """Bytes read and written a second when n floats are copied on all threads; the best of all repeats."""
    a, b = np.zeros(n), np.ones(n)

    def copy() -> None:
        threads.over(threads.ranges(n, 1), lambda first, end: np.copyto(a[first:end], b[first:end]))

    return 3 * a.nbytes / min(timed(copy, repeats))  # a line is fetched before it is written


def freeze(sim: Simulation) -> None:
    """Have no neighbour list of `sim` looked at any more: its steps are wrong from here on, but cost what all
    the rest of a step does."""
    sim._flock._lists.until[:] = NEVER
    sim._flock._ordered = False  # and no new order in memory


@kernel
def _circle(first: int, end: int, phi: Floats, s: Floats, c: Floats, times: int) -> None:
    for _ in range(times):
        for i in range(first, end):
            s[i], c[i] = sincos(phi[i])


def sines(repeats: int) -> float:
    """Pairs of sine and cosine a second on all threads, at best, of arrays that stay in the caches."""
    n, times = 1 << 14, 100
    phi = np.random.default_rng(1).random(n) * 6
    s, c = np.empty(n), np.empty(n)
    size = n // threads.count
    ranges = [(i * size, (i + 1) * size) for i in range(threads.count)]

    def work() -> None:
        threads.over(ranges, lambda first, end: _circle(first, end, phi, s, c, times))

    return size * threads.count * times / min(timed(work, repeats))
