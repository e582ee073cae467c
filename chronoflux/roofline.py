"""What this machine allows at most, measured by loops that do nothing but what no engine can do without.

A figure of the benchmark stands beside one of these, so that a slow engine can be told from a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from chronoflux.model import threads
from chronoflux.model.elementary import sincos
from chronoflux.model.jit import kernel
from chronoflux.model.simulation import Simulation
from chronoflux.model.swarm import Floats

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Times:
    """Seconds that something took, repeatedly, and processors it had on average."""

    median: float
    best: float
    processors: float

    @classmethod
    def of(cls, work: Callable[[], Any], repeats: int) -> Times:
        """Of `work`, after one run to warm up."""
        return cls.alternating([work], repeats)[0]

    @classmethod
    def alternating(cls, works: list[Callable[[], Any]], repeats: int) -> list[Times]:
        """Of all `works`, which take turns, after a first round to warm up."""
        taken: list[list[tuple[float, float]]] = [[] for _ in works]
        for _ in range(repeats + 1):
            for work, times in zip(works, taken, strict=True):
                wall, used = time.perf_counter(), time.process_time()
                work()
                times.append((time.perf_counter() - wall, time.process_time() - used))
        warm = [list(zip(*times[1:], strict=True)) for times in taken]
        return [cls(median(wall), min(wall), sum(used) / sum(wall)) for wall, used in warm]


Load = tuple[Callable[[], Any], float]
"""Work, and how much of it: bytes, or pairs of sine and cosine."""


def copying(n: int) -> Load:
    """Copying n floats on all threads; the bytes read and written by that."""
    parts = zip(*(np.array_split(array, threads.count) for array in (np.zeros(n), np.ones(n))), strict=True)
    pairs = list(parts)

    def work() -> None:
        threads.together(threads.count, lambda worker: np.copyto(*pairs[worker]))

    return work, 24.0 * n  # a line is fetched before it is written


def freeze(sim: Simulation) -> None:
    """Have no neighbour list of `sim` looked at any more: its steps are wrong from here on, but cost what all
    the rest of a step does."""
    flock = sim._flock
    flock._lists.until[:] = NEVER
    flock._foresee = lambda old, fired: None  # type: ignore[method-assign]  # whatever is fired from here on
    flock._ordered = False  # and no new order in memory


@kernel
def _circle(first: int, end: int, phi: Floats, s: Floats, c: Floats, times: int) -> None:
    for _ in range(times):
        for i in range(first, end):
            s[i], c[i] = sincos(phi[i])


def turning() -> Load:
    """Sines and cosines on all threads, of arrays that stay in the caches; how many pairs."""
    size, times = 1 << 13, 100
    n = size * threads.count
    phi = np.random.default_rng(1).random(n) * 6
    s, c = np.empty(n), np.empty(n)

    def work() -> None:
        threads.together(
            threads.count, lambda worker: _circle(worker * size, (worker + 1) * size, phi, s, c, times)
        )

    return work, float(n * times)
