"""What a node does by itself: events and changes of parameters at times drawn from the run's seed.

A schedule is a list of entries. Every draw belongs to one occurrence of one entry and to the seed, and to
nothing else: so a run that is split, resumed or joined late does what an unbroken one does.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chronoflux.errors import ParameterError
from chronoflux.model.engine.arrays import World
from chronoflux.model.events import EVENTS
from chronoflux.model.params import SPECS, Params

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
RAMP_STEP = 1.0
"""s between the changes that a ramp is made of."""
SHORTEST = 0.1
"""s, least time between two occurrences of an entry; a node fires at most 20 events a second."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to do, once or again and again. Times are seconds of the schedule.

    ``event`` is fired with ``data``; or the parameters in ``change`` are set; or those in ``ramp`` go from
    their first value to their second over ``over`` s, in steps of a second. It happens at ``first`` and,
    with ``every``, each so many seconds after that and before ``until``; each time with ``probability``,
    late by up to ``jitter`` s (uniform).

    Raises
    ------
    ParameterError
        Naming the field, the value and what is allowed.
    """

    first: float
    every: float | None = None
    until: float = math.inf
    probability: float = 1.0
    jitter: float = 0.0
    event: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    ramp: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    over: float = 0.0

    def __post_init__(self) -> None:
        if sum(map(bool, (self.event, self.change, self.ramp))) != 1:
            raise ParameterError("entry", self.event, "one of an event, a change or a ramp, and only one")
        if not 0 <= self.first < math.inf:
            raise ParameterError("at", self.first, "0 s or later")
        if self.every is not None and not SHORTEST <= self.every < math.inf:
            raise ParameterError("every", self.every, f"at least {SHORTEST:g} s")
        if not 0 < self.probability <= 1:
            raise ParameterError("probability", self.probability, "above 0, and at most 1")
        if not 0 <= self.jitter <= (self.every or math.inf) or self.jitter == math.inf:
            raise ParameterError("jitter", self.jitter, "from 0 s to the time between two occurrences")
        if not self.until > self.first:
            raise ParameterError("between", self.until, "an end that is after the beginning")
        if bool(self.ramp) != (self.over > 0) or self.over == math.inf:
            raise ParameterError("over", self.over, "how long a ramp takes, for a ramp and only there")
        if self.ramp and (self.every is not None or self.probability < 1 or self.jitter):
            raise ParameterError("ramp", dict(self.ramp), "a ramp without every, probability and jitter")

    def occurrences(self) -> Iterator[float]:
        """When it is due, before the jitter."""
        if self.ramp:
            steps = (self.first + k * RAMP_STEP for k in range(math.ceil(self.over / RAMP_STEP)))
            return itertools.chain(steps, [self.first + self.over])
        if self.every is None:
            return iter([self.first])
        times = (self.first + k * self.every for k in itertools.count())
        return itertools.takewhile(lambda t: t < self.until, times)

    def at(self, t: float) -> dict[str, Any]:
        """The parameters as this entry sets them at `t`."""
        done = min((t - self.first) / self.over, 1.0) if self.ramp else 1.0
        ramped = {name: a + (b - a) * done for name, (a, b) in self.ramp.items()}
        return dict(self.change) | ramped

    def check(self, params: Params) -> None:
        """Refuse an event or a value that a swarm of these parameters would not take."""
        if self.event is not None:
            kind = EVENTS[self.event]
            unknown = self.data.keys() - set(kind.payload.__struct_fields__)
            if unknown:
                name, fields = min(unknown), ", ".join(kind.payload.__struct_fields__)
                raise ParameterError(f"{self.event}.{name}", self.data[name], f"it has {fields or 'no data'}")
            kind.check(kind.place(self.data, params.world, random.Random(0)), params.world)
        for name in self.ramp:
            if name not in SPECS or SPECS[name].reset or not isinstance(getattr(params, name), float):
                raise ParameterError("ramp", name, "a parameter that is a number and can change in a run")
        params.replace(**self.at(self.first))
        params.replace(**self.at(math.inf))


Fired = tuple[str, Mapping[str, Any]]
"""An event's name and its data."""


@dataclass(frozen=True)
class Action:
    """One thing due at ``t`` s: an ``event`` with its data; without one, ``data`` are parameters to set."""

    t: float
    event: str | None
    data: Mapping[str, Any]


class Schedule:
    """Entries as they run, from the seed.

    ``start``: mesh time in ms at which second 0 is; None: it is where the run begins. ``name`` is kept in
    the run's manifest, and ``text``, if it came from a file.

    Raises
    ------
    ParameterError
        When a swarm of `params` would not take what an entry does.
    """

    name: str
    start: float | None
    text: str | None

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        seed: int,
        *,
        params: Params,
        start: float | None = None,
        text: str | None = None,
    ) -> None:
        for entry in entries:
            entry.check(params)
        self.name, self.start, self.text = name, start, text
        self._entries, self._seed = tuple(entries), seed
        self._begin()

    @property
    def next(self) -> float:
        """Second of the next occurrence; infinite when there is none."""
        return self._waiting[0][0] if self._waiting else math.inf

    def due(self, until: float, world: World) -> list[Action]:
        """What is due up to second `until` and was not asked for yet, in order; open positions are drawn."""
        actions = []
        for t, entry, rng in self._pop(until):
            if entry.event is None:
                actions.append(Action(t, None, entry.at(t)))
            else:
                actions.append(Action(t, entry.event, EVENTS[entry.event].place(entry.data, world, rng)))
        return actions

    def seek(self, t: float) -> dict[str, Any]:
        """Go on after second `t`, leaving out what was due until then; the parameters as set by then."""
        self._begin()
        changes: dict[str, Any] = {}
        for due, entry, _ in self._pop(t):
            if entry.event is None:
                changes |= entry.at(due)
        return changes

    def resume(self, before: float, now: float, world: World, done: Sequence[Fired]) -> list[Action]:
        """Go on with a run at second `now`: what is due after `before` and not among the events `done`."""
        self.seek(before)
        left = list(done)
        due = []
        for action in self.due(now, world):
            known = [one for one in left if action.event == one[0] and _within(action.data, one[1])]
            if known:
                left.remove(known[0])
            else:
                due.append(action)
        return due

    def _begin(self) -> None:
        self._waiting: list[tuple[float, int, int]] = []
        self._times = [enumerate(entry.occurrences()) for entry in self._entries]
        for index in range(len(self._entries)):
            self._await(index)

    def _await(self, index: int) -> None:
        """Have an entry's next occurrence wait its turn; a jitter is no longer than what lies between two."""
        for k, t in self._times[index]:
            entry = self._entries[index]
            late = entry.jitter and entry.jitter * self._rng(index, k).random()
            heapq.heappush(self._waiting, (t + late, index, k))
            return

    def _pop(self, until: float) -> Iterator[tuple[float, Entry, random.Random]]:
        while self.next <= until:
            t, index, k = heapq.heappop(self._waiting)
            self._await(index)
            rng = self._rng(index, k)
            rng.random()  # the jitter's
            if rng.random() < self._entries[index].probability:
                yield t, self._entries[index], rng

    def _rng(self, index: int, k: int) -> random.Random:
        return random.Random(f"{self._seed} {index} {k}")


def _within(data: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    return all(whole.get(name) == value for name, value in data.items())


SCHEDULES: dict[str, tuple[Entry, ...]] = {
    "classic": (
        Entry(first=5.0, every=5.0, probability=0.3, event="intent"),
        Entry(first=30.0, event="lion_gate", data={"on": True}),
        Entry(first=60.0, event="pacemaker_flip"),
    ),
    "none": (),
}
"""Schedules by name. ``classic`` is the first ChronoFlux's: an intent with probability 0.3 every 5 s, the
lion gate at 30 s, a flip at 60 s."""


def duration(text: str) -> float:
    """Seconds: ``90``, ``90s``, ``5m``, ``2h30m``, ``1d``.

    Raises
    ------
    ParameterError
        When it is not like that.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ParameterError("duration", text, "seconds, or like 90s, 5m, 2h30m, 1d")
    return sum(float(number) * UNITS[unit or "s"] for number, unit in parts)


def first_tick(second: float, dt: float) -> int:
    """The first tick with ``tick · dt >= second`` (to rounding)."""
    return math.ceil(second / dt - 1e-9)
