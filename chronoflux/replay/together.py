"""Runs of one room followed together: each hears the fields that the others send as they are computed.

What a node heard is on record with the mesh time at which it was sent; the sender's anchors tell the tick. So
a field on record can be replaced by the one that the recomputed sender has at that tick. Fields that match no
tick of a run that is here (sent while paused, by somebody without a folder, out of a lost tail) are held as
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
"""ms to which mesh times of inputs are written; ticks are milliseconds apart."""
NUDGE = 1e-9
"""rad, standard deviation of what a nudge adds to every phase."""


class Source(NamedTuple):
    """Where a field came from: number of the run, its tick, and the speed that its `omega` is told at.

    ``after``: how many resets at this tick it was sent after.
    """

    run: int
    tick: int
    speed: float
    after: int = 0


class Sent(NamedTuple):
    """A mean field as it is told: each value as float32."""

    R: float
    psi: float
    omega: float


class _Emit(NamedTuple):
    """The field of this tick is asked for by others."""

    tick: int
    source: Source


Links = Mapping[int, Mapping[int, Source]]
"""For each run: by the number of an input, where its field came from."""


def sources_of(scripts: Sequence[Script]) -> dict[int, dict[int, Source]]:
    """For each field that a run heard of another one here: which tick of the sender it belongs to.

    Only by mesh time; :func:`checked` compares the values.
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
    """The mesh clocks of a run, each with the last tick at which it may have been used."""
    anchors = [(step.tick, step.command) for step in script.steps if isinstance(step.command, Anchor)]
    last = script.steps[-1].tick if script.steps else 0
    ends = [tick for tick, _ in anchors[1:]] + [last]
    return [
        (Clock(anchor.at, tick, anchor.speed), end) for (tick, anchor), end in zip(anchors, ends, strict=True)
    ]


def _tick_at(at: float, clocks: Sequence[tuple[Clock, int]], dt: float) -> tuple[int, float] | None:
    """The tick that has this mesh time, and the speed there."""
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
    """What came of following scripts together: the metrics of each run (records, metrics), and what was
    refused. ``sent``: the fields that others asked for. ``broken``: fields held as recorded because their
    sender could not be computed before."""

    rows: list[Floats]
    refused: list[str] = field(default_factory=list)
    sent: dict[Source, Sent] = field(default_factory=dict)
    broken: int = 0
    simulations: list[Simulation] = field(default_factory=list)


class _Follower:
    """One run on its way; stops where it has to hear a field that is not computed yet."""

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
        """As far as it can; whether it got any further."""
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
        """Take the field that it waits for as it is on record."""
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
    """Follow the scripts, each hearing what the others send where `links` say so.

    Parameters
    ----------
    seeds
        One a run: other draws of the same. None: as recorded.
    nudges
        One a run: the tick at which its phases are nudged, and a seed for that; None: not.
    """
    wanted: list[set[Source]] = [set() for _ in scripts]
    for k, own in links.items():
        # a field that nobody hears any more is not computed: a run without fields goes in long strides
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
    """Have all go to their ends, each as far as it can without what the others have not sent yet."""
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
    """The links of recorded runs whose values agree to the bit, the runs as they were, and how many fields
    are held as recorded.

    A field sent at a tick at which the swarm was reset may be from before or after that: the value tells.
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
    # as recorded, every field held: what each run sent follows from its own record alone
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
    """The mean field of now as a node tells it, `omega` by the second of mesh time."""
    R, psi, omega = simulation.mean_field()
    turning = 0.0 if math.isnan(omega) else omega * speed
    return Sent(*(float(np.float32(value)) for value in (min(R, 1.0), psi, turning)))


def nudged(simulation: Simulation, seed: int) -> Simulation:
    """The same with phases moved by some 1e-9 rad, drawn from `seed`."""
    saved = simulation.save()
    moves = np.random.default_rng(seed).normal(0.0, NUDGE, simulation.params.oscillators)
    return Simulation.load(saved | {"phi": column("phi", saved["phi"] + moves, len(moves))})


def _with_emissions(steps: Sequence[Step], wanted: Sequence[Source]) -> list[Step | _Emit]:
    """The steps with the emissions between them: before the first step of their tick, or after its resets."""
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
    """Whether it draws a new state at once."""
    match step.command:
        case Reset():
            return True
        case Change():
            return step.command.renews
    return False
