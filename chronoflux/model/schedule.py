"""Schedules: events and parameter changes at times drawn from the run's seed.

A schedule is a list of entries. Every draw depends only on the seed, the entry and the occurrence. So a run
that is split, resumed or joined late does the same as one without interruption.
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
from chronoflux.model.engine import World
from chronoflux.model.events import EVENTS
from chronoflux.model.params import SPECS, Params

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
RAMP_STEP = 1.0
"""s between the parameter changes of a ramp."""
SHORTEST = 0.1
"""Shortest time (s) between two occurrences of an entry; a node fires at most 20 events per second."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One action, done once or repeatedly. Times are seconds of the schedule.

    ``event`` is fired with ``data``; or the parameters in ``change`` are set; or those in ``ramp`` change
    from their first value to their second within ``over`` s, in steps of a second. This happens at ``first``,
    and with ``every`` again after each so many seconds, before ``until``; each time with ``probability``, and
    with a delay of up to ``jitter`` s (uniform).

    Raises
    ------
    ParameterError
        It names the field, its value and what is allowed.
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
            raise ParameterError("entry", self.event, "exactly one of an event, a change and a ramp")
        if not 0 <= self.first < math.inf:
            raise ParameterError("at", self.first, "0 s or later")
        if self.every is not None and not SHORTEST <= self.every < math.inf:
            raise ParameterError("every", self.every, f"at least {SHORTEST:g} s")
        if not 0 < self.probability <= 1:
            raise ParameterError("probability", self.probability, "above 0, and at most 1")
        if not 0 <= self.jitter <= (self.every or math.inf) or self.jitter == math.inf:
            raise ParameterError("jitter", self.jitter, "from 0 s to the time between two occurrences")
        if not self.until > self.first:
            raise ParameterError("between", self.until, "an end after the beginning")
        if bool(self.ramp) != (self.over > 0) or self.over == math.inf:
            raise ParameterError("over", self.over, "the duration of a ramp, only with a ramp")
        if self.ramp and (self.every is not None or self.probability < 1 or self.jitter):
            raise ParameterError("ramp", dict(self.ramp), "a ramp without every, probability and jitter")

    def occurrences(self) -> Iterator[float]:
        """The times at which it is due, s, without jitter."""
        if self.ramp:
            steps = (self.first + k * RAMP_STEP for k in range(math.ceil(self.over / RAMP_STEP)))
            return itertools.chain(steps, [self.first + self.over])
        if self.every is None:
            return iter([self.first])
        times = (self.first + k * self.every for k in itertools.count())
        return itertools.takewhile(lambda t: t < self.until, times)

    def at(self, t: float) -> dict[str, Any]:
        """The parameters that this entry sets at `t`, by name."""
        done = min((t - self.first) / self.over, 1.0) if self.ramp else 1.0
        ramped = {name: a + (b - a) * done for name, (a, b) in self.ramp.items()}
        return dict(self.change) | ramped

    def check(self, params: Params) -> None:
        """Refuse an event or a value that a swarm of these parameters would refuse."""
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
    """An action due at ``t`` s: an ``event`` with its data; if it is None, ``data`` are parameters to set."""

    t: float
    event: str | None
    data: Mapping[str, Any]


class Schedule:
    """A running schedule.

    ``start``: mesh time (ms) of second 0; None: second 0 is the start of the run. The run's manifest contains
    ``name``, and ``text`` if the schedule was read from a file.

    Raises
    ------
    ParameterError
        When a swarm of `params` would refuse an entry.
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
        """Second of the next occurrence; infinite if there is none."""
        return self._waiting[0][0] if self._waiting else math.inf

    def due(self, until: float, world: World) -> list[Action]:
        """The actions due up to second `until` since the last call, in order; missing positions are drawn."""
        actions = []
        for t, entry, rng in self._pop(until):
            if entry.event is None:
                actions.append(Action(t, None, entry.at(t)))
            else:
                actions.append(Action(t, entry.event, EVENTS[entry.event].place(entry.data, world, rng)))
        return actions

    def seek(self, t: float) -> dict[str, Any]:
        """Skip to second `t`; return the parameters that the schedule has set until then."""
        self._begin()
        changes: dict[str, Any] = {}
        for due, entry, _ in self._pop(t):
            if entry.event is None:
                changes |= entry.at(due)
        return changes

    def resume(self, before: float, now: float, world: World, done: Sequence[Fired]) -> list[Action]:
        """Resume a run at second `now`; return the actions due after `before` that are not among `done`."""
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
        """Queue an entry's next occurrence; its jitter is at most the time between two occurrences."""
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
            rng.random()  # used for the jitter
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
"""Schedules by name. ``classic``, that of the first ChronoFlux: an intent with probability 0.3 every 5 s, the
lion gate at 30 s, a flip at 60 s."""


def duration(text: str) -> float:
    """Seconds: ``90``, ``90s``, ``5m``, ``2h30m``, ``1d``.

    Raises
    ------
    ParameterError
        When the text has another form.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ParameterError("duration", text, "seconds, or like 90s, 5m, 2h30m, 1d")
    return sum(float(number) * UNITS[unit or "s"] for number, unit in parts)


def first_tick(second: float, dt: float) -> int:
    """The first tick with ``tick · dt >= second`` (to rounding)."""
    return math.ceil(second / dt - 1e-9)
