"""What a node fires by itself: a schedule of events, drawn from the run's seed.

Schedules are registered in `SCHEDULES`: a function from a random generator and the simulated second it
is asked for to the events of that second.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chronoflux.errors import ParameterError
from chronoflux.model.events import EVENTS, World

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
        self.name, self.rng, self._seed = name, random.Random(seed), seed
        self._second = 1

    def next_tick(self, dt: float) -> int:
        """The first tick, of `dt` s, at or after the next second that was not asked for."""
        return first_tick(self._second, dt)

    def due(self, tick: int, dt: float, world: World | None = None) -> list[Fired]:
        """The events of every second up to this tick; in a `world` complete, with positions drawn.

        These are drawn by a generator for each second, so that they do not depend on the world's past.
        """
        fired: list[Fired] = []
        while self.next_tick(dt) <= tick:
            places = random.Random(f"{self._seed}:{self._second}")
            for name, data in SCHEDULES[self.name](self._second, self.rng):
                fired.append((name, data if world is None else _whole(name, data, world, places)))
            self._second += 1
        return fired

    def resume(self, tick: int, dt: float, world: World, done: Sequence[Fired]) -> list[Fired]:
        """Go on at `tick`; what is due at it and not among the events `done` at it already."""
        self.due(tick - 1, dt)
        left = list(done)
        due = []
        for fired in self.due(tick, dt, world):
            if fired in left:
                left.remove(fired)
            else:
                due.append(fired)
        return due


def _whole(name: str, data: dict[str, Any], world: World, places: random.Random) -> dict[str, Any]:
    kind = EVENTS[name]
    return kind.check(kind.place(data, world, places), world)


def first_tick(second: int, dt: float) -> int:
    """The first tick with ``tick · dt >= second`` (to rounding)."""
    return math.ceil(second / dt - 1e-9)
