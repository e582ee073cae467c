"""Upper bounds of this machine, measured by loops that only do the work no engine can avoid.

The benchmark prints a bound beside each figure, to tell a slow engine from a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from chronoflux.model.engine import Floats, ParticleStore, cached_kernel, run_on_threads, sincos, threads
from chronoflux.model.simulation import Simulation

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Times:
    """Seconds that repeated runs took, and the average number of processors used."""

    median: float
    best: float
    processors: float

    @classmethod
    def of(cls, work: Callable[[], Any], repeats: int) -> Times:
        """Time `work`, after one warm-up run."""
        return cls.alternating([work], repeats)[0]

    @classmethod
    def alternating(cls, works: list[Callable[[], Any]], repeats: int) -> list[Times]:
        """Time all `works` in alternation, after one warm-up round."""
        taken: list[list[tuple[float, float]]] = [[] for _ in works]
        for _ in range(repeats + 1):
            for work, times in zip(works, taken, strict=True):
                wall, used = time.perf_counter(), time.process_time()
                work()
                times.append((time.perf_counter() - wall, time.process_time() - used))
        warm = [list(zip(*times[1:], strict=True)) for times in taken]
        return [cls(median(wall), min(wall), sum(used) / sum(wall)) for wall, used in warm]


Load = tuple[Callable[[], Any], float]
"""Work, and its amount: bytes, or pairs of sine and cosine."""


COPIED = 24
"""Bytes read and written when a float is copied, including fetching the line that is written."""


def copying(n: int, times: int = 1) -> Load:
    """Return a load that copies n floats `times` times on all threads, with the bytes read and written."""
    parts = zip(*(np.array_split(array, threads()) for array in (np.zeros(n), np.ones(n))), strict=True)
    pairs = list(parts)

    def copy(worker: int) -> None:
        for _ in range(times):
            np.copyto(*pairs[worker])

    return partial(run_on_threads, threads(), copy), float(COPIED * n * times)


def freeze(sim: Simulation) -> None:
    """Stop looking at neighbour lists of `sim`.

    Its steps are wrong from here on, but cost the same as the rest of a normal step.
    """
    store = sim._stepper.particles
    assert isinstance(store, ParticleStore)  # the compiled engine
    store._lists.valid_until[:] = NEVER
    store._update_bounds = lambda old, fired: None  # type: ignore[method-assign]  # events fired later, too
    store._ordered = False  # and no reordering in memory


@cached_kernel
def _circle(phi: Floats, s: Floats, c: Floats, times: int) -> None:
    for _ in range(times):
        for i in range(len(phi)):
            s[i], c[i] = sincos(phi[i])


def turning() -> Load:
    """Return a load of sines and cosines on all threads, of arrays that fit into the caches."""
    size, times = 1 << 10, 800
    phi = np.random.default_rng(1).random((threads(), size)) * 6
    s, c = np.empty_like(phi), np.empty_like(phi)

    def turn(worker: int) -> None:
        _circle(phi[worker], s[worker], c[worker], times)

    return partial(run_on_threads, threads(), turn), float(phi.size * times)
