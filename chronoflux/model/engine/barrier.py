"""Work sharing: which thread takes which slots of a swarm, and the barrier at which all threads wait.

Two words of shared memory, changed by atomic instructions, are all that the threads need: to meet costs less
than a microsecond, while going back to Python would cost a hundred. No result may depend on which thread
takes which slots. A team of one thread takes everything at once and never waits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from chronoflux.model.engine.arrays import Floats, Longs
from chronoflux.model.engine.intrinsics import atomic_add_word, atomic_load_word, yield_processor
from chronoflux.model.engine.jit import device_function

LINE = 8
"""int64s in a cache line. What one thread writes has cache lines of its own."""
CHUNKS = 8
"""Chunks in the range of a thread, so that a delayed thread leaves some to the others."""
SPINS = 2000
"""How often a waiting thread checks the barrier before it yields its processor."""


class Team(NamedTuple):
    """What the threads of a team share.

    ``next_slots``: int64 (workers · LINE,); in the line of each thread, the first slot of its range that is
    not taken yet. ``ends``: int64 (workers + 1,), the starts of the ranges and the end of the last.
    ``chunk``: slots taken at once. ``arrivals``: int64 (2 · LINE,), how many threads have arrived, and how
    often all have. ``results``: int64 (workers, LINE), and ``speeds``: float64 (workers, LINE), results for
    the other threads.
    """

    next_slots: Longs
    ends: Longs
    chunk: int
    arrivals: Longs
    results: Longs
    speeds: Floats


def make_team(workers: int, n: int, block: int) -> Team:
    """A team of so many threads for n slots, taken in multiples of `block`."""
    most = -(-n // (workers * CHUNKS)) if workers > 1 else n
    chunk = max(1, -(-most // block)) * block
    chunks = -(-n // chunk)
    ends = np.minimum(np.arange(workers + 1) * chunks // workers * chunk, n)
    next_slots = np.zeros(workers * LINE, np.int64)
    next_slots[::LINE] = ends[:-1]
    results = np.zeros((workers, LINE), np.int64)
    speeds = np.zeros((workers, LINE))
    return Team(next_slots, ends, chunk, np.zeros(2 * LINE, np.int64), results, speeds)


def atomic_add(words: Longs, place: int, more: int) -> int:
    """Add to one of the int64s in one indivisible step, and return its value before."""
    before = words[place]
    words[place] += more
    return int(before)


def atomic_load(words: Longs, place: int) -> int:
    """One of the int64s. Afterwards everything that was written before it can be read."""
    return int(words[place])


def yield_thread() -> None:
    """Let another thread run on this processor."""


@overload(atomic_add)
def _atomic_add_compiled(words, place, more):  # type: ignore[no-untyped-def]
    return lambda words, place, more: atomic_add_word(words, place, more)  # type: ignore[call-arg]


@overload(atomic_load)
def _atomic_load_compiled(words, place):  # type: ignore[no-untyped-def]
    return lambda words, place: atomic_load_word(words, place)  # type: ignore[call-arg]


@overload(yield_thread)
def _yield_thread_compiled():  # type: ignore[no-untyped-def]
    return lambda: yield_processor()  # type: ignore[call-arg]


@device_function
def next_chunk(team: Team, worker: int) -> tuple[int, int]:
    """The next slots for a thread, from the first up to the second; ``(0, 0)`` when none are left.

    A thread takes those of its own range first, then those of the others.
    """
    workers = len(team.results)
    for other in range(workers):
        owner = (worker + other) % workers
        end = team.ends[owner + 1]
        if workers == 1 or atomic_load(team.next_slots, owner * LINE) < end:
            first = atomic_add(team.next_slots, owner * LINE, team.chunk)
            if first < end:
                return first, min(first + team.chunk, end)
    return 0, 0


@device_function
def arrive(team: Team) -> bool:
    """Wait at the barrier until all threads have arrived and :func:`release` is called.

    The last thread to arrive does not wait. It gets True, and has to call :func:`release`.
    """
    round_ = atomic_load(team.arrivals, LINE)
    if atomic_add(team.arrivals, 0, 1) == len(team.results) - 1:
        return True
    spins = 0
    while atomic_load(team.arrivals, LINE) == round_:
        spins += 1
        if spins > SPINS:
            yield_thread()
    return False


@device_function
def release(team: Team) -> None:
    """Open the barrier; all slots may be taken again."""
    for worker in range(len(team.results)):
        team.next_slots[worker * LINE] = team.ends[worker]
    team.arrivals[0] = 0
    atomic_add(team.arrivals, LINE, 1)
