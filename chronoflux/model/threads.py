"""Work on ranges of a large swarm, shared among threads. Kernels let go of the GIL, so that they really run
at once; no threading layer of numba's is involved, and other uses of numba in the process are left alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")

_LEAST = 4096
"""Elements in the smallest range worth handing over."""
_RANGES = 2
"""Ranges to a thread, so that one held up by something else leaves more to the others."""


def available() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


count = available()
"""Threads that large swarms are computed on, the caller's among them; no result depends on it."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, available() - 1), thread_name_prefix="swarm")


def ranges(n: int, step: int) -> list[tuple[int, int]]:
    """0 to n in ranges of a multiple of `step` elements each."""
    size = max(_LEAST, n // (_RANGES * count))
    size = -(-size // step) * step
    return [(first, min(first + size, n)) for first in range(0, n, size)]


def over(parts: list[tuple[int, int]], work: Callable[[int, int], T]) -> list[T]:
    """The results of `work` on every range, in no particular order; the caller's thread works too."""
    left = iter(parts)

    def labour() -> list[T]:
        return [work(first, end) for first, end in left]

    helpers = [_pool().submit(labour) for _ in range(min(count, len(parts)) - 1)]
    done = labour()
    for helper in helpers:
        if not helper.cancel():  # one that has not begun is not needed any more
            done += helper.result()
    return done
