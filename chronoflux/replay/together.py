"""Recomputes runs of one room together: each receives the fields of the recomputed others.

The record of a received field has the mesh time at which it was sent, and the sender's anchors give the tick.
So a recorded field can be replaced by that of the recomputed sender at this tick. Fields that match no tick
of the given runs (sent while paused, by a node without a folder, or after the end of its log) are kept as
recorded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chronoflux.errors import ChronofluxError
from chronoflux.model.commands import Anchor, Change, Command, Hear, Reset
from chronoflux.model.engine import Clock, mesh_time
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import column
from chronoflux.replay.script import METRICS, Floats, Script, Step, drawn_anew, measured

ROUNDED = 1e-3
"""Precision (ms) of mesh times of recorded inputs; ticks are milliseconds apart."""
NUDGE = 1e-9
"""Standard deviation (rad) of the nudge of every phase."""


class Source(NamedTuple):
    """The origin of a field: number of the run, its tick, and the speed that `omega` refers to.

    ``after``: how many resets of this tick precede it.
    """

    run: int
    tick: int
    speed: float
    after: int = 0


class Sent(NamedTuple):
    """A mean field as sent: each value rounded to float32."""

    R: float
    psi: float
    omega: float


class _Emit(NamedTuple):
    """Others need the field of this tick."""

    tick: int
    source: Source


Links = Mapping[int, Mapping[int, Source]]
"""For each run, by number of the input: the origin of its field."""


def sources_of(scripts: Sequence[Script]) -> dict[int, dict[int, Source]]:
    """The sender's tick of each field that a run received from another given run, by mesh time only.

    :func:`checked` compares the values.
    """
    places = {script.own: k for k, script in enumerate(scripts) if script.own}
    clocks = [_clocks(script) for script in scripts]
    found: dict[int, dict[int, Source]] = {}
    for k, script in enumerate(scripts):
        own = found[k] = {}
        for step in script.steps:
            match step.command:
                case Hear(peer=peer, at=at) if peer in places and places[peer] != k:
                    sender = places[peer]
                    source = _tick_at(at, clocks[sender], scripts[sender].params.dt)
                    if source is not None:
                        own[step.input] = Source(sender, *source)
    return found


def _clocks(script: Script) -> list[tuple[Clock, int]]:
    """The mesh clocks of a run, each with the last tick at which it may have applied."""
    anchors = [(step.tick, step.command) for step in script.steps if isinstance(step.command, Anchor)]
    last = script.steps[-1].tick if script.steps else 0
    ends = [tick for tick, _ in anchors[1:]] + [last]
    return [
        (Clock(anchor.at, tick, anchor.speed), end) for (tick, anchor), end in zip(anchors, ends, strict=True)
    ]


def _tick_at(at: float, clocks: Sequence[tuple[Clock, int]], dt: float) -> tuple[int, float] | None:
    """The tick with this mesh time, and the speed there; None if there is none."""
    for clock, end in reversed(clocks):
        if at < clock.at - ROUNDED:
            continue
        near = clock.tick + round((at - clock.at) * clock.speed / (1000 * dt))
        for tick in (near, near - 1, near + 1):
            if clock.tick <= tick <= end and abs(mesh_time(clock, tick, dt) - at) < ROUNDED:
                return tick, clock.speed
    return None


@dataclass
class Outcome:
    """Result of following scripts together.

    ``rows``: the metrics of each run, float64 (records, metrics). ``refused``: commands that were refused, in
    words. ``sent``: the fields that others needed. ``broken``: number of fields kept as recorded because
    their sender could not be computed first.
    """

    rows: list[Floats]
    refused: list[str] = field(default_factory=list)
    sent: dict[Source, Sent] = field(default_factory=dict)
    broken: int = 0
    simulations: list[Simulation] = field(default_factory=list)


class _Follower:
    """Follows one script; stops where it needs a field that is not computed yet."""

    def __init__(
        self,
        number: int,
        script: Script,
        wanted: Sequence[Source],
        links: Mapping[int, Source],
        *,
        seed: int | None,
        nudge: tuple[int, int] | None,
    ) -> None:
        self.simulation = script.begin(seed)
        self.rows: list[list[float]] = []
        self.refused: list[str] = []
        self._links, self._seed, self._nudge = links, seed, nudge
        self._items = _with_emissions(script.steps, wanted)
        self._next, self._number = 0, number
        self.held: set[int] = set()

    @property
    def done(self) -> bool:
        return self._next == len(self._items)

    def go(self, sent: dict[Source, Sent]) -> bool:
        """Advance as far as possible; return whether it advanced."""
        before = self._next
        while not self.done:
            item = self._items[self._next]
            command = None if isinstance(item, _Emit) else item.command
            if isinstance(command, Hear) and not isinstance(item, _Emit):
                source = self._links.get(item.input)
                if source is not None and item.input not in self.held:
                    if source not in sent:
                        break
                    command = Hear(command.peer, command.at, *sent[source])
            self._advance(item.tick)
            self._next += 1
            if isinstance(item, _Emit):
                sent[item.source] = emitted(self.simulation, item.source.speed)
            elif command is None:
                self.rows.append(measured(self.simulation))
            else:
                self._apply(command, item.tick)
        return self._next > before

    def hold(self) -> None:
        """Keep the field that it waits for as recorded."""
        item = self._items[self._next]
        assert isinstance(item, Step)
        self.held.add(item.input)

    def _advance(self, tick: int) -> None:
        if self._nudge is not None and tick >= self._nudge[0]:
            self._to(self._nudge[0])
            self.simulation = nudged(self.simulation, self._nudge[1] + self._number)
            self._nudge = None
        self._to(tick)

    def _to(self, tick: int) -> None:
        if tick > self.simulation.tick:
            self.simulation.advance(tick - self.simulation.tick)

    def _apply(self, command: Command, tick: int) -> None:
        try:
            drawn_anew(command, self._seed).apply(self.simulation)
        except (ChronofluxError, TypeError) as error:
            self.refused.append(f"tick {tick}: {error}")


def together(
    scripts: Sequence[Script],
    links: Links,
    *,
    seeds: Sequence[int] | None = None,
    nudges: Sequence[tuple[int, int] | None] | None = None,
) -> Outcome:
    """Follow the scripts; fields with an entry in `links` are those of the recomputed senders.

    Parameters
    ----------
    seeds
        One per run: seeds of other draws. None: as recorded.
    nudges
        One per run: the tick at which its phases are nudged, and the seed of the nudge; None: no nudge.
    """
    wanted: list[set[Source]] = [set() for _ in scripts]
    for k, own in links.items():
        # fields that no run needs are not computed, so runs without fields advance many ticks at once
        here = {step.input for step in scripts[k].steps} if own else set()
        for number, source in own.items():
            if number in here:
                wanted[source.run].add(source)
    followers = [
        _Follower(
            k,
            script,
            sorted(wanted[k]),
            links.get(k, {}),
            seed=None if seeds is None else seeds[k],
            nudge=None if nudges is None else nudges[k],
        )
        for k, script in enumerate(scripts)
    ]
    return _followed(scripts, followers)


def _followed(scripts: Sequence[Script], followers: Sequence[_Follower]) -> Outcome:
    """Follow all scripts to their ends, each as far as it can before it needs fields of the others."""
    outcome = Outcome([])
    while not all(follower.done for follower in followers):
        moved = [follower.go(outcome.sent) for follower in followers]
        if not any(moved):
            next(follower for follower in followers if not follower.done).hold()
            outcome.broken += 1
    for follower, script in zip(followers, scripts, strict=True):
        outcome.rows.append(np.array(follower.rows, np.float64).reshape(-1, len(METRICS)))
        outcome.refused += [f"{script.node}: {words}" for words in follower.refused]
        outcome.simulations.append(follower.simulation)
    return outcome


def checked(scripts: Sequence[Script]) -> tuple[dict[int, dict[int, Source]], Outcome, int]:
    """The links of recorded runs that agree bit for bit, the recomputed runs, and how many fields have none.

    A field sent at a tick with a reset may be from before or after it; its value decides.
    """
    links = sources_of(scripts)
    heard = {
        (k, step.input): step.command
        for k, script in enumerate(scripts)
        for step in script.steps
        if isinstance(step.command, Hear)
    }
    resets = [Counter(step.tick for step in script.steps if _renews(step)) for script in scripts]
    candidates: dict[int, dict[int, list[Source]]] = {
        k: {
            number: [source._replace(after=n) for n in range(1 + resets[source.run][source.tick])]
            for number, source in own.items()
        }
        for k, own in links.items()
    }
    # with every field as recorded, what a run sent depends on its own record only
    wanted: list[set[Source]] = [set() for _ in scripts]
    for own in candidates.values():
        for sources in own.values():
            for source in sources:
                wanted[source.run].add(source)
    followers = [
        _Follower(k, script, sorted(wanted[k]), {}, seed=None, nudge=None) for k, script in enumerate(scripts)
    ]
    outcome = _followed(scripts, followers)
    agreeing: dict[int, dict[int, Source]] = {k: {} for k in range(len(scripts))}
    for k, own in candidates.items():
        for number, sources in own.items():
            told = heard[k, number]
            for source in sources:
                if outcome.sent.get(source) == Sent(told.R, told.psi, told.omega):
                    agreeing[k][number] = source
                    break
    here = {script.own for script in scripts}
    among = sum(command.peer in here for command in heard.values())
    return agreeing, outcome, among - sum(map(len, agreeing.values()))


def emitted(simulation: Simulation, speed: float) -> Sent:
    """The present mean field as a node sends it, with `omega` per second of mesh time."""
    R, psi, omega = simulation.mean_field()
    turning = 0.0 if math.isnan(omega) else omega * speed
    return Sent(*(float(np.float32(value)) for value in (min(R, 1.0), psi, turning)))


def nudged(simulation: Simulation, seed: int) -> Simulation:
    """A copy with phases moved by about 1e-9 rad, drawn from `seed`."""
    saved = simulation.save()
    moves = np.random.default_rng(seed).normal(0.0, NUDGE, simulation.params.oscillators)
    return Simulation.load(saved | {"phi": column("phi", saved["phi"] + moves, len(moves))})


def _with_emissions(steps: Sequence[Step], wanted: Sequence[Source]) -> list[Step | _Emit]:
    """The steps with emissions in between, before the first step of their tick, or after its resets."""
    items: list[Step | _Emit] = []
    place, resets = 0, 0
    before = -1
    for step in steps:
        if step.tick != before:
            before, resets = step.tick, 0
        while place < len(wanted) and (wanted[place].tick, wanted[place].after) <= (step.tick, resets):
            items.append(_Emit(wanted[place].tick, wanted[place]))
            place += 1
        items.append(step)
        resets += _renews(step)
    items += [_Emit(source.tick, source) for source in wanted[place:]]
    return items


def _renews(step: Step) -> bool:
    """Whether the step draws a new state."""
    match step.command:
        case Reset():
            return True
        case Change():
            return step.command.renews
    return False
