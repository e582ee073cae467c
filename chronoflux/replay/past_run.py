"""`PastRun`: a run folder, recomputed to verify its record or to resume the run."""

from __future__ import annotations

import heapq
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chronoflux.errors import LogError
from chronoflux.model.engine import COMPILED
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.replay.recompute import Continuation, Moment, Recomputed, Replayer, engines_note
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import CHECKPOINT, KEYFRAMES, MANIFEST
from chronoflux.telemetry.format.saved_state import load_simulation
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.read.discovery import RunFiles, read_manifest
from chronoflux.telemetry.read.history import START, RunHistory, RunHistoryInMemory
from chronoflux.telemetry.read.journal import RevokedRanges, read_revoked
from chronoflux.util.plugins import load_plugins


class PastRun:
    """A past run.

    Parameters
    ----------
    run
        Its folder.

    Raises
    ------
    LogError
        When it is not one run folder with a manifest.
    """

    params: Params
    seed: int

    def __init__(self, run: str | os.PathLike[str]) -> None:
        load_plugins()
        found = distinct_runs(os.fspath(run))
        if len(found) != 1 or found[0].folder is None or not (found[0].folder / MANIFEST).is_file():
            raise LogError(os.fspath(run), f"is not one run folder with a {MANIFEST}: name one")
        self._run: RunFiles = found[0]
        self.path: Path = found[0].folder
        self.facts: dict[str, Any] = read_manifest(self._run, Report(strict=True))
        """The content of ``run.json``."""
        if self.facts.get("kind") == "recorder":
            raise LogError(self.path, "is the record of a room: it has no swarm to recompute")
        try:
            self.params, self.seed = Params.from_dict(self.facts["params"]), int(self.facts["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise LogError(
                self.path / MANIFEST, f"does not have the initial parameters and seed of the run ({error!r})"
            ) from error

    def __repr__(self) -> str:
        return f"<PastRun {self.path.name}>"

    def recompute(self) -> Recomputed:
        """Recompute the run from its seed, parameters, inputs and events.

        At each telemetry record, `H`, `psi` and `tau` are compared, rounded as in the record; at each
        keyframe and at the checkpoint, the whole swarm, bit for bit.

        Raises
        ------
        LogError
            When the log cannot be read at all; missing or damaged parts are differences.
        """
        check = Verifier(self, RunHistory(self._run))
        while check.step():
            pass
        check.found.engines = engines_note(self.engine, check.simulation.engine)
        return check.found

    @property
    def engine(self) -> str:
        """The engine that computed the run, from ``run.json``."""
        return str(self.facts.get("engine") or COMPILED)

    def history(self) -> RunHistoryInMemory:
        """The commands and inputs of the run, as far as they are on record now."""
        return RunHistoryInMemory(self._run)

    def states(self) -> list[tuple[int, Path]]:
        """The saved states (keyframes and checkpoint) by tick; an unreadable checkpoint is last."""
        found = [
            (int(path.stem), path) for path in (self.path / KEYFRAMES).glob("*.npz") if path.stem.isdecimal()
        ]
        checkpoint = self.path / CHECKPOINT
        if checkpoint.is_file():
            try:
                tick = load_simulation(checkpoint).tick
            except LogError:
                tick = sys.maxsize
            found.append((tick, checkpoint))
        return sorted(found, key=lambda state: (state[0], state[1] == checkpoint))

    def continuation(self) -> Continuation:
        """The swarm after the last record, computed from the newest saved state.

        If the log after that state is incomplete or does not agree, the run continues from the state, and
        later records are revoked.

        Raises
        ------
        LogError
            When the log cannot be read.
        """
        void = read_revoked(self._run)
        for moment in itertools.chain(self._newest_first(void), [None]):
            simulation = Simulation(self.params, seed=self.seed) if moment is None else moment.simulation
            position = START if moment is None else moment.position
            replayer = Replayer(simulation, RunHistory(self._run, void), position)
            for record in replayer.records():
                replayer.apply(record)
            replayer.finish()
            if position["seq"] > replayer.seq or position["inputs"] > replayer.inputs:
                continue  # the log lost its end, and this state is later
            if moment is None:
                return replayer.continuation(None)
            if replayer.found.agrees:
                return replayer.continuation(moment.path.name)
            return replayer.continuation_from(Moment.load(moment.path))
        raise AssertionError("unreachable: the seed always gives a state")

    def _newest_first(self, void: RevokedRanges) -> Iterator[Moment]:
        """The readable states (keyframes and checkpoint), newest first, loaded one by one."""
        keyframes = [path for _, path in reversed(self.states()) if path.name != CHECKPOINT]
        kinds = (self._sound(paths, void) for paths in (keyframes, [self.path / CHECKPOINT]))
        return heapq.merge(*kinds, key=lambda moment: moment.place, reverse=True)

    @staticmethod
    def _sound(paths: list[Path], void: RevokedRanges) -> Iterator[Moment]:
        for path in paths:
            try:
                moment = Moment.load(path)
            except LogError:  # damaged: use an earlier one
                continue
            if not void.covers(moment.position):
                yield moment


class Verifier:
    """Recomputes a run step by step, and compares it with its record and its saved states."""

    def __init__(self, past: PastRun, history: RunHistory) -> None:
        self.replayer: Replayer = Replayer(Simulation(past.params, seed=past.seed), history)
        self._past, self._history = past, history
        self._records = self.replayer.records()
        self._coming = past.states()
        self._seen: set[tuple[int, Path]] = set()
        self._saved: Moment | None = None
        self.done: bool = False
        """Whether everything was compared."""

    @property
    def found(self) -> Recomputed:
        """The result so far."""
        return self.replayer.found

    @property
    def simulation(self) -> Simulation:
        """The swarm at the present tick."""
        return self.replayer.found.simulation

    def step(self) -> bool:
        """Compute up to the next record; False if there is none left, and everything is compared."""
        if self.done:
            return False
        record = next(self._records, None)
        self._compare_until(None if record is None else record.seq or 0)
        if record is not None:
            self.replayer.apply(record)
            return True
        self.replayer.finish()
        self.done = True
        return False

    def extend(self, history: RunHistory) -> None:
        """Continue with a history that has become longer."""
        position = self.replayer.position
        self.replayer = Replayer(self.simulation, history, position, self.found)
        self._history, self._records, self.done = history, self.replayer.records(), False
        self._coming = [state for state in self._past.states() if state not in self._seen]

    def _compare_until(self, seq: int | None) -> None:
        """Compare the saved states before record `seq`; None: all that are left."""
        while (saved := self._next_saved()) is not None and (seq is None or saved.position["seq"] <= seq):
            self.replayer.compare_saved(saved)
            self._saved = None

    def _next_saved(self) -> Moment | None:
        while self._saved is None and self._coming:
            state = self._coming.pop(0)
            self._seen.add(state)
            try:
                moment = Moment.load(state[1])
            except LogError as error:
                self.found.differ(str(error))
                continue
            if not self._history.revoked.covers(moment.position):
                self._saved = moment
        return self._saved
