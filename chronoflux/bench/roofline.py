"""What this machine allows at most, measured by loops that do nothing but what no engine can do without.

A figure of the benchmark stands beside one of these, so that a slow engine can be told from a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from chronoflux.model.engine import thread_pool
from chronoflux.model.engine.arrays import Floats
from chronoflux.model.engine.jit import kernel
from chronoflux.model.engine.math_functions import sincos
from chronoflux.model.simulation import Simulation

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


COPIED = 24
"""Bytes that copying a float reads and writes: a line is fetched to be written."""


def copying(n: int, times: int = 1) -> Load:
    """Copying n floats on all threads, so many times; the bytes read and written by that."""
    parts = zip(
        *(np.array_split(array, thread_pool.count) for array in (np.zeros(n), np.ones(n))), strict=True
    )
    pairs = list(parts)

    def copy(worker: int) -> None:
        for _ in range(times):
            np.copyto(*pairs[worker])

    return partial(thread_pool.together, thread_pool.count, copy), float(COPIED * n * times)


def freeze(sim: Simulation) -> None:
    """Have no neighbour list of `sim` looked at any more: its steps are wrong from here on, but cost what all
    the rest of a step does."""
    flock = sim._flock
    flock._lists.until[:] = NEVER
    flock._foresee = lambda old, fired: None  # type: ignore[method-assign]  # whatever is fired from here on
    flock._ordered = False  # and no new order in memory


@kernel
def _circle(phi: Floats, s: Floats, c: Floats, times: int) -> None:
    for _ in range(times):
        for i in range(len(phi)):
            s[i], c[i] = sincos(phi[i])


def turning() -> Load:
    """Sines and cosines on all threads, of arrays that stay in the caches; how many pairs."""
    size, times = 1 << 10, 800
    phi = np.random.default_rng(1).random((thread_pool.count, size)) * 6
    s, c = np.empty_like(phi), np.empty_like(phi)

    def turn(worker: int) -> None:
        _circle(phi[worker], s[worker], c[worker], times)

    return partial(thread_pool.together, thread_pool.count, turn), float(phi.size * times)
