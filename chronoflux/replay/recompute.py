"""A run computed again: a simulation taken along a run's records and inputs, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chronoflux.errors import ChronofluxError, LogError, ParameterError
from chronoflux.model.commands import REMOTE, Command, Entry, Forget, Hear, read_command, read_input
from chronoflux.model.engine import COMPILED
from chronoflux.model.schedule import Fired, first_tick
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry.format.records import Input, Record, rounded
from chronoflux.telemetry.format.saved_state import load_saved_state
from chronoflux.telemetry.read.history import START, RunHistory
from chronoflux.telemetry.read.journal import Range, facts_of

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("H", "psi", "tau")
MOST_TOLD = 20
"""Differences that are described; all are counted."""


@dataclass
class Recomputed:
    """What :meth:`PastRun.recompute` found; true when everything agrees.

    ``records``, ``keyframes``: how many were compared. ``differences``: in words, at most the first 20 of
    ``different``. ``simulation``: the swarm at the end.
    """

    simulation: Simulation
    records: int = 0
    keyframes: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)
    recorded_by: str = COMPILED
    """The engine that computed the run, as ``run.json`` has it."""
    _rows: list[tuple[int, float, float, float, float]] = field(default_factory=list, repr=False)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and nothing is missing."""
        return not self.different

    def __bool__(self) -> bool:
        return self.agrees

    @property
    def metrics(self) -> pd.DataFrame:
        """``tick, t`` (s), ``H, psi, tau`` as computed, rounded as on record; a row for each such record."""
        import pandas as pd

        return pd.DataFrame(self._rows, columns=["tick", "t", *COMPARED])

    def __str__(self) -> str:
        compared = f"{self.records} records and {self.keyframes} saved states compared"
        exactly, engines = " bit for bit", ""
        if self.recorded_by != (now := self.simulation.engine):
            exactly = ""
            engines = (
                f"; recorded by the {self.recorded_by} engine, recomputed by the {now} one: they agree to "
            )
            engines += "1e-12, not bit for bit"
        if self.agrees:
            return f"agrees{exactly}: {compared}{engines}"
        return f"{self.different} differences, {compared}; the first: {self.differences[0]}{engines}"

    def differ(self, what: str) -> None:
        """Note a difference."""
        self.different += 1
        if len(self.differences) < MOST_TOLD:
            self.differences.append(what)


@dataclass(frozen=True)
class Continuation:
    """Where a run goes on: the swarm as its last record left it, and what the log has to know.

    ``seq``, ``inputs``: the next numbers. ``facts``: for the ``resume`` record. ``done``: own events at
    this tick that are on record; ``owed``: whether its telemetry is not. ``t_wall``: of the last record, UTC
    ms, if there was one.
    """

    simulation: Simulation
    seq: int
    inputs: int
    facts: dict[str, Any]
    done: list[Fired]
    owed: bool
    t_wall: int | None


@dataclass
class Moment:
    """A saved state of a run, and its place in the log."""

    path: Path
    simulation: Simulation
    position: dict[str, int]

    @classmethod
    def load(cls, path: Path) -> Moment:
        simulation, position = load_saved_state(path)
        if position is None:
            raise LogError(path, "does not say which moment of its run it is")
        return cls(path, simulation, position)

    @property
    def place(self) -> tuple[int, int, int]:
        """By this the states of a run are in the order in which they were saved."""
        return self.position["seq"], self.position["tick"], self.position["inputs"]


class Replayer:
    """A simulation taken along a run's story, from `position` on; what is found is added to `found`."""

    seq: int
    inputs: int

    def __init__(
        self,
        simulation: Simulation,
        story: RunHistory,
        position: dict[str, int] = START,
        found: Recomputed | None = None,
    ) -> None:
        self.found: Recomputed = found or Recomputed(simulation)
        self.seq = self.inputs = 0  # the next of each
        self._from = position
        self._simulation, self._story = simulation, story
        self._waiting = self._own_inputs()
        self._next = next(self._waiting, None)
        self._own: list[tuple[int, int, Fired]] = []  # seq and tick of own events, of the latest tick
        self._told = -1  # tick of the last telemetry record
        self._wall: int | None = None
        self._used = 0

    def records(self) -> Iterator[Record]:
        """The records from the position on."""
        for record in self._story.records(self._from):
            assert record.seq is not None
            if record.seq < self.seq:
                continue  # there twice
            self._expect("records", self.seq, record.seq, self._from["seq"], self._story.revoked.records)
            self.seq = record.seq + 1
            self._wall = record.timestamp
            self._look(record)
            if record.seq >= self._from["seq"]:
                yield record

    @property
    def position(self) -> dict[str, int]:
        """Where in the story it stands: the same course goes on from here."""
        seq, inputs = max(self.seq, self._from["seq"]), max(self.inputs, self._from["inputs"])
        return {"seq": seq, "inputs": inputs if self._next is None else self._next.seq}

    def _look(self, record: Record) -> None:
        """Keep in mind what a run that goes on must not do again."""
        assert record.seq is not None
        assert record.tick is not None
        if record.type == "telemetry":
            self._told = record.tick
        if record.id is not None and not record.type.startswith(REMOTE):
            self._own = [own for own in self._own if own[1] == record.tick]
            self._own.append((record.seq, record.tick, (record.type, facts_of(record.data))))

    def _own_inputs(self) -> Iterator[Input]:
        for given in self._story.inputs(self._from):
            if given.seq < self.inputs:
                continue
            self._expect("inputs", self.inputs, given.seq, self._from["inputs"], self._story.revoked.inputs)
            self.inputs = given.seq + 1
            if given.seq >= self._from["inputs"]:
                yield given

    def _expect(self, what: str, due: int, seq: int, start: int, void: list[Range]) -> None:
        """Note missing numbers that are neither void nor before the start."""
        due = max(due, start)
        for first, end in sorted(void):
            if first <= due < end:
                due = end
        if seq > due:
            self.found.differ(f"{what} {due} to {seq - 1} are missing")

    def take(self, record: Record) -> None:
        """Advance to a record; compare what it says, or do what it did."""
        assert record.tick is not None
        if record.tick < self._simulation.tick:
            self.found.differ(f"tick {record.tick} comes after tick {self._simulation.tick}")
            return
        self.go(record.tick)
        try:
            self._act(record)
        except (ChronofluxError, TypeError) as error:
            self.found.differ(f"tick {record.tick}: {record.type} cannot be done ({error})")

    def _act(self, record: Record) -> None:
        if record.type == "telemetry":
            self._compare(record)
        elif record.type == "gap" and (lost := facts_of(record.data).get("dropped")):
            self.found.differ(f"tick {record.tick}: {lost} records could not be written")
        elif (command := command_of(record)) is not None:
            command.apply(self._simulation)

    def go(self, tick: int, inputs: int = 0) -> None:
        """Advance to `tick` with the inputs of earlier ticks, of this one with those before `inputs`."""
        while (given := self._next) is not None and (given.tick < tick or given.seq < inputs):
            self._hear(given)
        self._advance(tick)

    def _hear(self, given: Input) -> None:
        self._advance(given.tick)
        try:
            command_of_input(given).apply(self._simulation)
        except ParameterError as error:
            self.found.differ(f"tick {given.tick}: input {given.seq} is refused ({error})")
        self._next = next(self._waiting, None)

    def _advance(self, tick: int) -> None:
        if tick < self._simulation.tick:
            self.found.differ(f"tick {tick} comes after tick {self._simulation.tick}")
        else:
            self._simulation.advance(tick - self._simulation.tick)

    def _compare(self, record: Record) -> None:
        simulation = self._simulation
        measured = rounded(simulation.metrics())
        row = [measured[name] for name in COMPARED]
        self.found._rows.append((simulation.tick, simulation.t, row[0], row[1], row[2]))
        if record.metrics is None or simulation.tick == 0:
            return
        self.found.records += 1
        for name, value in zip(COMPARED, row, strict=True):
            written = getattr(record.metrics, name)
            if written != (None if math.isnan(value) else value):
                self.found.differ(f"tick {record.tick}: {name} is {written} on record, and {value} computed")

    def compare_saved(self, moment: Moment) -> None:
        """Compare the whole swarm with a saved state; compute on to it when it is of a later tick."""
        if moment.simulation.tick >= self._simulation.tick:
            self.go(moment.simulation.tick, moment.position["inputs"])
        read = {"seq": self.seq, "inputs": self.inputs}
        if lost := sum(max(0, moment.position[one] - max(read[one], self._from[one])) for one in read):
            self.found.differ(f"{moment.path.name} is ahead of the log: {lost} lines at its end are missing")
            return
        self.found.keyframes += 1
        if names := _unequal(self._simulation.save(), moment.simulation.save()):
            self.found.differ(f"{moment.path.name}: {', '.join(names)} are others than computed")

    def finish(self) -> None:
        """At the end of the records: inputs of the last tick count, those after it do not."""
        while self._next is not None and self._next.tick <= self._simulation.tick:
            self._hear(self._next)
        self._used = self.inputs if self._next is None else self._next.seq
        for _ in self._waiting:
            pass  # only counted
        faults = self._story.report.to_dict()
        if faults["bad"]:
            self.found.differ(f"{faults['bad']} lines cannot be read; the first: {faults['examples'][0]}")

    def continuation(self, source: str | None) -> Continuation:
        """How the run goes on from here."""
        records, inputs = [self.seq, self.seq], [self._used, self.inputs]
        return self._continuation(self._simulation, source, records, inputs)

    def taken_back(self, moment: Moment) -> Continuation:
        """How it goes on from a saved state, without what came after that."""
        records, inputs = [moment.position["seq"], self.seq], [moment.position["inputs"], self.inputs]
        found = self._continuation(moment.simulation, moment.path.name, records, inputs)
        found.facts["why"] = self.found.differences[0]
        return found

    def _continuation(
        self, simulation: Simulation, source: str | None, records: list[int], inputs: list[int]
    ) -> Continuation:
        tick, dt = simulation.tick, simulation.params.dt
        facts = {"from": source or "seed", "records": records, "inputs": inputs}
        done = [event for seq, when, event in self._own if when == tick and seq < records[0]]
        due = tick > 0 and first_tick(int(simulation.t + 1e-9), dt) == tick
        owed = due and (self._told < tick or records[0] < records[1])
        return Continuation(simulation, self.seq, self.inputs, facts, done, owed, self._wall)


def command_of(record: Record) -> Command | None:
    """The command that a record is of; None if it did nothing to the swarm.

    Raises
    ------
    ParameterError
        When it names an event that is not registered here.
    """
    return read_command(Entry(record.type, facts_of(record.data), record.at, record.id, record.origin))


def command_of_input(given: Input) -> Hear | Forget:
    """The command that an input is of."""
    return read_input(given.peer, given.at, given.R, given.psi, given.omega)


def _unequal(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The entries of two saved states that are not the same to the bit."""
    return [name for name in first.keys() | second.keys() if not _same(first.get(name), second.get(name))]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return (
            first.dtype == second.dtype
            and first.shape == second.shape
            and first.tobytes() == second.tobytes()
        )
    return bool(first == second)
