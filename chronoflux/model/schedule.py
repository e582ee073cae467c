"""What a node fires by itself: a schedule of events, drawn from the run's seed.

Schedules are registered in `SCHEDULES`: a function from a random generator and the simulated second it
is asked for to the events of that second.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from typing import Any

from chronoflux.errors import ParameterError

Fired = tuple[str, dict[str, Any]]


def classic(second: int, rng: random.Random) -> Iterable[Fired]:
    """An intent with probability 0.3 every 5 s, the lion gate at 30 s, a flip at 60 s."""
    if second % 5 == 0 and rng.random() < 0.3:
        yield "intent", {}
    if second == 30:
        yield "lion_gate", {"on": True}
    if second == 60:
        yield "pacemaker_flip", {}


def none(second: int, rng: random.Random) -> Iterable[Fired]:
    """Nothing."""
    return ()


SCHEDULES: dict[str, Callable[[int, random.Random], Iterable[Fired]]] = {"classic": classic, "none": none}


class Schedule:
    """A schedule as it runs: asked once at each simulated second, from 1 on.

    Same name, seed and ticks: the same events, whatever the run was split into.
    """

    def __init__(self, name: str, seed: int) -> None:
        if name not in SCHEDULES:
            raise ParameterError("schedule", name, "one of " + ", ".join(SCHEDULES))
        self.name, self.rng = name, random.Random(seed)
        self._second = 1

    def next_tick(self, dt: float) -> int:
        """The first tick, of `dt` s, at or after the next second that was not asked for."""
        return first_tick(self._second, dt)

    def due(self, tick: int, dt: float) -> list[Fired]:
        """The events of every second up to this tick; positions not given are to be drawn."""
        fired: list[Fired] = []
        while self.next_tick(dt) <= tick:
            fired.extend(SCHEDULES[self.name](self._second, self.rng))
            self._second += 1
        return fired


def first_tick(second: int, dt: float) -> int:
    """The first tick with ``tick · dt >= second`` (to rounding)."""
    return math.ceil(second / dt - 1e-9)
