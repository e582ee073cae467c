"""`Script`: the commands of a run in order, which a simulation follows, unchanged or changed.

Following a run's script from its seed gives the run bit for bit. `Without` names what is removed from it.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chronoflux.errors import LogError, ParameterError
from chronoflux.model.commands import Anchor, Change, Command, Fire, Forget, Hear, Reset
from chronoflux.model.events import EVENTS
from chronoflux.model.params import SPECS, Params
from chronoflux.model.simulation import Simulation
from chronoflux.replay.past_run import PastRun
from chronoflux.replay.recompute import command_of, command_of_input
from chronoflux.telemetry.read.history import START
from chronoflux.telemetry.read.journal import facts_of

METRICS = ("H", "psi", "omega", "tau", "H_local")
"""The metrics of a trajectory, in the order of its columns."""
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Without:
    """What is removed from a run.

    ``fields``: mean fields of these peers, by id or name, or ``"all"``. ``kinds``: events of these types
    (``"intent"``), own and received. ``origins``: events that these nodes fired, by id or name. ``ids``:
    events with these ids. ``events``: all events. By default, nothing is removed.

    Examples
    --------
    >>> Without(fields="all")
    Without(fields='all', kinds=(), origins=(), ids=(), events=False)
    """

    fields: Literal["all"] | Sequence[str] = ()
    kinds: Sequence[str] = ()
    origins: Sequence[str] = ()
    ids: Sequence[str] = ()
    events: bool = False

    def __post_init__(self) -> None:
        for name in ("fields", "kinds", "origins", "ids"):
            given = getattr(self, name)
            if not isinstance(given, str):
                object.__setattr__(self, name, tuple(given))  # hashable

    @classmethod
    def read(cls, value: Without | Mapping[str, Any] | str | None) -> Without:
        """From a user's argument: a `Without`, a mapping of its fields, ``"fields"`` or ``"events"``.

        Raises
        ------
        ParameterError
            When it is none of these.
        """
        if value is None:
            return cls()
        if isinstance(value, Without):
            return value
        if isinstance(value, str):
            if value not in ("fields", "events"):
                raise ParameterError("without", value, "'fields', 'events', or a Without")
            return cls(fields="all") if value == "fields" else cls(events=True)
        names = {entry.name for entry in dataclasses.fields(cls)}
        if unknown := set(value) - names:
            raise ParameterError("without", min(unknown), f"one of {', '.join(sorted(names))}")
        lists: dict[str, Any] = {
            key: (given,) if isinstance(given, str) and given != "all" else given
            for key, given in value.items()
        }
        return cls(**lists)

    def __bool__(self) -> bool:
        return bool(self.fields or self.kinds or self.origins or self.ids or self.events)

    def __str__(self) -> str:
        parts = []
        if self.fields:
            whose = "all peers" if self.fields == "all" else ", ".join(self.fields)
            parts.append(f"the fields of {whose}")
        if self.events:
            parts.append("all events")
        parts += [f"events of type {kind}" for kind in self.kinds]
        parts += [f"the events of {origin}" for origin in self.origins]
        if self.ids:
            parts.append(f"{len(self.ids)} event{'s' * (len(self.ids) > 1)} chosen by id")
        return " and ".join(parts) or "nothing"


class Step(NamedTuple):
    """One step of a script, before tick `tick` is computed: a command; None: a record is due.

    `input`: the number of the input that it was; −1 for a record.
    """

    tick: int
    command: Command | None
    input: int = -1


@dataclass(frozen=True)
class Script:
    """The commands of a run: `steps` in order, from a simulation of `params` and `seed`.

    ``names``: names of its peers, by id. ``own``: the run's own id in the room, if recorded. ``recorded``:
    the recorded metrics, float64 (records, metrics), NaN where missing. ``times``, int64, and ``at``, float64
    (records,): UTC and mesh time of the records, ms. ``faults``: what is missing or unreadable, in words.
    ``start``: the first tick.
    """

    node: str
    run: str
    params: Params
    seed: int
    steps: Sequence[Step]
    recorded: Floats
    times: NDArray[np.int64]
    at: Floats
    names: Mapping[str, str] = field(default_factory=dict)
    own: str = ""
    faults: Sequence[str] = ()
    room: str = ""
    start: int = 0

    @classmethod
    def read(cls, run: str | os.PathLike[str] | PastRun) -> Script:
        """The script of a run folder.

        Raises
        ------
        LogError
            When it is not one run with parameters, seed and inputs on record: exports of the first
            ChronoFlux, recorders' folders and single files cannot be recomputed.
        """
        past = run if isinstance(run, PastRun) else PastRun(run)
        story = past.history()
        steps, rows, times, at, names, own = [], [], [], [], dict[str, str](), ""
        waiting = story.inputs(START)
        given = next(waiting, None)
        last = 0
        for record in story.records(START):
            tick = record.tick or 0
            while given is not None and given.tick < tick:
                steps.append(Step(given.tick, command_of_input(given), given.seq))
                given = next(waiting, None)
            last = tick
            if record.type == "telemetry":
                metrics = (getattr(record.metrics, name, None) for name in METRICS)
                rows.append([np.nan if value is None else value for value in metrics])
                times.append(record.timestamp)
                at.append(np.nan if record.at is None else record.at)
                steps.append(Step(tick, None))
                continue
            data = facts_of(record.data)
            if record.type == "peer" and data.get("id") and data.get("name"):
                names[str(data["id"])] = str(data["name"])
            if record.id is not None and record.origin and not record.type.startswith("remote_"):
                own = own or record.origin
            command = command_of(record)
            if command is not None:
                steps.append(Step(tick, command))
        while given is not None and given.tick <= last:
            steps.append(Step(given.tick, command_of_input(given), given.seq))
            given = next(waiting, None)
        if not rows:
            raise LogError(past.path, "has no telemetry on record: there is nothing to compare with")
        faults = story.report.to_dict()
        told = [f"{faults['bad']} lines cannot be read"] if faults["bad"] else []
        return cls(
            node=str(past.facts.get("node", past.path.name)),
            run=str(past.facts.get("run", past.path.name)),
            params=past.params,
            seed=past.seed,
            steps=steps,
            recorded=np.array(rows, np.float64),
            times=np.array(times, np.int64),
            at=np.array(at, np.float64),
            room=str(past.facts.get("room", "")),
            names=names,
            own=own or str(past.facts.get("peer_id") or ""),
            faults=told,
        )

    # -- content --------------------------------------------------------------------------------------

    @property
    def peers(self) -> dict[str, int]:
        """The number of fields received from each peer, by id."""
        return dict(Counter(step.command.peer for step in self.steps if isinstance(step.command, Hear)))

    @property
    def events(self) -> list[Fire]:
        """The events, own and received, in order."""
        return [step.command for step in self.steps if isinstance(step.command, Fire)]

    @property
    def ticks(self) -> NDArray[np.int64]:
        """The ticks of the records, int64 (records,)."""
        return np.array([step.tick for step in self.steps if step.command is None], np.int64)

    def named(self, whom: str, ids: Iterable[str], what: str) -> str:
        """The id of a peer given by id or name.

        Raises
        ------
        ParameterError
            When there is none, or the name is not unique; the message lists the known ones.
        """
        known = list(ids)
        found = [id_ for id_ in known if whom in (id_, self.names.get(id_))]
        if len(found) == 1:
            return found[0]
        there = ", ".join(sorted({self.names.get(id_, id_) for id_ in known})) or "nobody"
        why = f"{len(found)} peers have this name; use an id" if found else f"one of those on record: {there}"
        raise ParameterError(what, whom, why)

    # -- changed ---------------------------------------------------------------------------------------

    def until(self, tick: int) -> Script:
        """The script up to `tick`."""
        steps = [step for step in self.steps if step.tick <= tick]
        return self._with_records(steps, slice(sum(step.command is None for step in steps)))

    def between(self, start: int, first: int, last: int) -> Script:
        """The script from tick `start` on, with the records of ticks `first` to `last` only.

        It begins with a new state; parameters, portal mode, mesh time and the peers' fields are those at
        `start`.
        """
        earlier = [step for step in self.steps if step.tick < start]
        later = [step for step in self.steps if start <= step.tick <= last]
        records = [step.tick for step in self.steps if step.command is None]
        low, high = np.searchsorted(records, first), np.searchsorted(records, last, side="right")
        steps = [Step(start, command) for command in _standing(earlier, start, self.params.dt)]
        steps += [step for step in later if step.command is not None or step.tick >= first]
        whole = dataclasses.replace(self, start=start)
        return whole._with_records(steps, slice(int(low), int(high)))

    def _with_records(self, steps: Sequence[Step], rows: slice) -> Script:
        arrays = {name: getattr(self, name)[rows] for name in ("recorded", "times", "at")}
        return dataclasses.replace(self, steps=steps, **arrays)

    def without(self, out: Without) -> tuple[Script, int | None]:
        """The script without these, and the first tick at which it differs; None if it does not.

        Raises
        ------
        ParameterError
            When nothing of the kind is recorded; the message lists what is.
        """
        if not out:
            return self, None
        peers, fired = self.peers, self.events
        silent = set(peers) if out.fields == "all" else {self.named(p, peers, "fields") for p in out.fields}
        origins = {event.origin or self.own for event in fired}
        silenced = {
            self.own if name == self.node else self.named(name, origins, "origins") for name in out.origins
        }
        types = [kind.name for kind in EVENTS]
        for kind in out.kinds:
            if kind not in types:
                raise ParameterError("kinds", kind, f"one of {', '.join(types)}")
        ids = {event.id for event in fired}
        for id_ in out.ids:
            if id_ not in ids:
                raise ParameterError("ids", id_, "the id of an event on record")

        def removed(command: Command | None) -> bool:
            match command:
                case Hear(peer=peer):
                    return peer in silent
                case Fire():
                    origin = command.origin or self.own
                    chosen = command.name in out.kinds or command.id in out.ids or origin in silenced
                    return out.events or chosen
            return False

        steps = [step for step in self.steps if not removed(step.command)]
        if len(steps) == len(self.steps):
            raise ParameterError("without", str(out), "something that is on record: this run has none")
        first = next(step.tick for step in self.steps if removed(step.command))
        return dataclasses.replace(self, steps=steps), first

    def changed(self, values: Mapping[str, Any], tick: int) -> tuple[Script, int]:
        """The script with parameters fixed at these values from `tick` on, whatever the run set them to.

        Raises
        ------
        ParameterError
            For an unknown parameter, a value that is not allowed, or one whose change is a reset.
        """
        for name in values:
            if name not in SPECS:
                raise ParameterError("params", name, f"one of {', '.join(SPECS)}")
            if SPECS[name].reset:
                raise ParameterError("params", name, "one that can change while a simulation runs")
        self.params.replace(**values)
        steps: list[Step] = []
        done = False
        for step in self.steps:
            if not done and step.tick >= tick:
                steps.append(Step(tick, Change(dict(values))))
                done = True
            if done and isinstance(step.command, Change):
                rest = {name: value for name, value in step.command.values.items() if name not in values}
                if not rest:
                    continue
                step = step._replace(command=Change(rest))
            steps.append(step)
        return dataclasses.replace(self, steps=steps), tick

    # -- following -------------------------------------------------------------------------------------

    def begin(self, seed: int | None = None) -> Simulation:
        """The simulation at the start of the script; with another `seed`, another draw."""
        simulation = Simulation(self.params, seed=self.seed if seed is None else seed)
        if self.start:
            simulation.reset(simulation.seed, tick=self.start)
        return simulation


def measured(simulation: Simulation) -> list[float]:
    """The present metrics, in the order of `METRICS`."""
    metrics = simulation.metrics()
    return [metrics[name] for name in METRICS]


def drawn_anew(command: Command, seed: int | None) -> Command:
    """The command in another draw of the run, in which a reset has another seed."""
    if seed is None or not isinstance(command, Reset) or command.seed is None:
        return command
    drawn = np.random.SeedSequence([seed, command.seed]).generate_state(1, np.uint64)[0]
    return Reset(int(drawn) >> 11)


def _standing(steps: Sequence[Step], tick: int, dt: float) -> list[Command]:
    """Commands that bring a new simulation to the parameters, mesh time and fields after these steps."""
    values: dict[str, Any] = {}
    anchor: Step | None = None
    standing: dict[str, Fire] = {}
    heard: dict[str, Hear] = {}
    for step in steps:
        match step.command:
            case Change():
                values |= step.command.values
            case Anchor():
                anchor = step
            case Fire(name=name) if EVENTS[name].standing:
                standing[name] = step.command
            case Hear(peer=peer):
                heard[peer] = step.command
            case Forget(peer=peer):
                heard.pop(peer, None)
    found: list[Command] = [Change(values)] if values else []
    if anchor is not None and isinstance(anchor.command, Anchor):
        passed = 1000 * dt * (tick - anchor.tick) / anchor.command.speed
        found.append(Anchor(anchor.command.at + passed, anchor.command.speed))
    found += [Fire(event.name, event.data) for event in standing.values()]
    return [*found, *heard.values()]
