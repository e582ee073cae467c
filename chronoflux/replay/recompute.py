"""Recomputation: a simulation follows a run's records and inputs, and is compared with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chronoflux.errors import ChronofluxError, LogError, ParameterError
from chronoflux.model.commands import REMOTE, Command, Entry, Forget, Hear, read_command, read_input
from chronoflux.model.schedule import Fired, first_tick
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry.format.records import Input, Record, rounded
from chronoflux.telemetry.format.saved_state import load_saved_state
from chronoflux.telemetry.read.history import START, RunHistory
from chronoflux.telemetry.read.journal import Range, facts_of

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("H", "psi", "tau")
DESCRIBED = 20
"""Differences that are described; all are counted."""


@dataclass
class Recomputed:
    """Result of :meth:`PastRun.recompute`; true if everything agrees.

    ``records``, ``keyframes``: how many were compared. ``different``: the number of differences;
    ``differences``: the first 20 in words. ``simulation``: the swarm at the end. ``engines``: names the
    engines if another one recorded the run; otherwise empty.
    """

    simulation: Simulation
    records: int = 0
    keyframes: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)
    engines: str = ""
    _rows: list[tuple[int, float, float, float, float]] = field(default_factory=list, repr=False)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and nothing is missing."""
        return not self.different

    def __bool__(self) -> bool:
        return self.agrees

    @property
    def metrics(self) -> pd.DataFrame:
        """``tick, t`` (s), ``H, psi, tau`` as computed, rounded as recorded; one row per telemetry record."""
        import pandas as pd

        return pd.DataFrame(self._rows, columns=["tick", "t", *COMPARED])

    def __str__(self) -> str:
        compared = f"{self.records} records and {self.keyframes} saved states compared"
        engines = f"; {self.engines}" if self.engines else ""
        if self.agrees:
            return f"agrees{'' if engines else ' bit for bit'}: {compared}{engines}"
        return f"{self.different} differences, {compared}; the first: {self.differences[0]}{engines}"

    def differ(self, what: str) -> None:
        """Add a difference."""
        self.different += 1
        if len(self.differences) < DESCRIBED:
            self.differences.append(what)


@dataclass(frozen=True)
class Continuation:
    """The state from which a run resumes: the swarm after its last record, and what the log needs.

    ``seq``, ``inputs``: the next numbers. ``facts``: for the ``resume`` record. ``done``: own events of this
    tick that are on record. ``record_pending``: whether the telemetry record of this tick is missing.
    ``t_wall``: time of the last record, UTC ms; None if there is none.
    """

    simulation: Simulation
    seq: int
    inputs: int
    facts: dict[str, Any]
    done: list[Fired]
    record_pending: bool
    t_wall: int | None


@dataclass
class Moment:
    """A saved state of a run, and its position in the log."""

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
        """Sort key: the order in which the states of a run were saved."""
        return self.position["seq"], self.position["tick"], self.position["inputs"]


class Replayer:
    """A simulation that follows a run's history from `position` on; results are added to `found`."""

    seq: int
    inputs: int

    def __init__(
        self,
        simulation: Simulation,
        history: RunHistory,
        position: dict[str, int] = START,
        found: Recomputed | None = None,
    ) -> None:
        self.found: Recomputed = found or Recomputed(simulation)
        self.seq = self.inputs = 0  # the next of each
        self._from = position
        self._simulation, self._history = simulation, history
        self._waiting = self._own_inputs()
        self._next = next(self._waiting, None)
        self._own: list[tuple[int, int, Fired]] = []  # seq, tick and event: own events of the latest tick
        self._recorded = -1  # tick of the last telemetry record
        self._wall: int | None = None
        self._used = 0

    def records(self) -> Iterator[Record]:
        """The records from the position on."""
        for record in self._history.records(self._from):
            assert record.seq is not None
            if record.seq < self.seq:
                continue  # duplicate
            self._expect("records", self.seq, record.seq, self._from["seq"], self._history.revoked.records)
            self.seq = record.seq + 1
            self._wall = record.timestamp
            self._remember(record)
            if record.seq >= self._from["seq"]:
                yield record

    @property
    def position(self) -> dict[str, int]:
        """The present position in the history, from which another replayer can continue."""
        seq, inputs = max(self.seq, self._from["seq"]), max(self.inputs, self._from["inputs"])
        return {"seq": seq, "inputs": inputs if self._next is None else self._next.seq}

    def _remember(self, record: Record) -> None:
        """Remember what a resumed run must not do again."""
        assert record.seq is not None
        assert record.tick is not None
        if record.type == "telemetry":
            self._recorded = record.tick
        if record.id is not None and not record.type.startswith(REMOTE):
            self._own = [own for own in self._own if own[1] == record.tick]
            self._own.append((record.seq, record.tick, (record.type, facts_of(record.data))))

    def _own_inputs(self) -> Iterator[Input]:
        for given in self._history.inputs(self._from):
            if given.seq < self.inputs:
                continue
            self._expect("inputs", self.inputs, given.seq, self._from["inputs"], self._history.revoked.inputs)
            self.inputs = given.seq + 1
            if given.seq >= self._from["inputs"]:
                yield given

    def _expect(self, what: str, due: int, seq: int, start: int, void: list[Range]) -> None:
        """Report missing numbers that are neither revoked nor before the start."""
        due = max(due, start)
        for first, end in sorted(void):
            if first <= due < end:
                due = end
        if seq > due:
            self.found.differ(f"{what} {due} to {seq - 1} are missing")

    def apply(self, record: Record) -> None:
        """Advance to a record; compare its metrics, or apply its command."""
        assert record.tick is not None
        if record.tick < self._simulation.tick:
            self.found.differ(f"tick {record.tick} comes after tick {self._simulation.tick}")
            return
        self.advance_to(record.tick)
        try:
            self._apply(record)
        except (ChronofluxError, TypeError) as error:
            self.found.differ(f"tick {record.tick}: {record.type} cannot be applied ({error})")

    def _apply(self, record: Record) -> None:
        if record.type == "telemetry":
            self._compare(record)
        elif record.type == "gap" and (lost := facts_of(record.data).get("dropped")):
            self.found.differ(f"tick {record.tick}: {lost} records could not be written")
        elif (command := command_of(record)) is not None:
            command.apply(self._simulation)

    def advance_to(self, tick: int, inputs: int = 0) -> None:
        """Advance to `tick`; apply the inputs of earlier ticks, and this tick's before number `inputs`."""
        while (given := self._next) is not None and (given.tick < tick or given.seq < inputs):
            self._apply_input(given)
        self._advance(tick)

    def _apply_input(self, given: Input) -> None:
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
        """Compare the whole swarm with a saved state, after advancing to its tick."""
        if moment.simulation.tick >= self._simulation.tick:
            self.advance_to(moment.simulation.tick, moment.position["inputs"])
        read = {"seq": self.seq, "inputs": self.inputs}
        if lost := sum(max(0, moment.position[one] - max(read[one], self._from[one])) for one in read):
            self.found.differ(f"{moment.path.name} is ahead of the log: {lost} lines at its end are missing")
            return
        self.found.keyframes += 1
        if names := _unequal(self._simulation.save(), moment.simulation.save()):
            self.found.differ(f"{moment.path.name}: {', '.join(names)} differ from the computed ones")

    def finish(self) -> None:
        """After the last record, apply the inputs of its tick; later ones do not count."""
        while self._next is not None and self._next.tick <= self._simulation.tick:
            self._apply_input(self._next)
        self._used = self.inputs if self._next is None else self._next.seq
        for _ in self._waiting:
            pass  # only counted
        faults = self._history.report.to_dict()
        if faults["bad"]:
            self.found.differ(f"{faults['bad']} lines cannot be read; the first: {faults['examples'][0]}")

    def continuation(self, source: str | None) -> Continuation:
        """The continuation from the present state."""
        records, inputs = [self.seq, self.seq], [self._used, self.inputs]
        return self._continuation(self._simulation, source, records, inputs)

    def continuation_from(self, moment: Moment) -> Continuation:
        """The continuation from a saved state, which revokes what came after it."""
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
        record_pending = due and (self._recorded < tick or records[0] < records[1])
        return Continuation(simulation, self.seq, self.inputs, facts, done, record_pending, self._wall)


def engines_note(recorded_by: str, recomputed_by: str) -> str:
    """Names the engines of a record and of its recomputation if they differ; otherwise empty."""
    if recorded_by == recomputed_by:
        return ""
    engines = f"recorded by the {recorded_by} engine, recomputed by the {recomputed_by} one"
    return f"{engines}: they agree to 1e-12, not bit for bit"


def command_of(record: Record) -> Command | None:
    """The command of a record; None if it did not act on the swarm.

    Raises
    ------
    ParameterError
        When it names an event that is not registered.
    """
    return read_command(Entry(record.type, facts_of(record.data), record.at, record.id, record.origin))


def command_of_input(given: Input) -> Hear | Forget:
    """The command of an input."""
    return read_input(given.peer, given.at, given.R, given.psi, given.omega)


def _unequal(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The names of the entries in which two saved states are not bit-for-bit equal."""
    return [name for name in first.keys() | second.keys() if not _same(first.get(name), second.get(name))]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return (
            first.dtype == second.dtype
            and first.shape == second.shape
            and first.tobytes() == second.tobytes()
        )
    return bool(first == second)
