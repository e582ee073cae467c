"""`PastRun`: a run folder computed again, to see whether it was so, or to go on from its end."""

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
from chronoflux.replay.recompute import Continuation, Moment, Recomputed, Replayer
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import CHECKPOINT, KEYFRAMES, MANIFEST
from chronoflux.telemetry.format.saved_state import load_simulation
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.read.discovery import RunFiles, read_manifest
from chronoflux.telemetry.read.history import START, RunHistory, RunHistoryInMemory
from chronoflux.telemetry.read.journal import RevokedRanges, read_revoked
from chronoflux.util.plugins import load_plugins


class PastRun:
    """One run of the past.

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
        """What ``run.json`` says."""
        if self.facts.get("kind") == "recorder":
            raise LogError(self.path, "is the record of a room: it has no swarm to compute again")
        try:
            self.params, self.seed = Params.from_dict(self.facts["params"]), int(self.facts["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise LogError(
                self.path / MANIFEST, f"does not say what the run began with ({error!r})"
            ) from error

    def __repr__(self) -> str:
        return f"<Past {self.path.name}>"

    def recompute(self) -> Recomputed:
        """Compute the run again, from its seed, parameters, inputs and events.

        At each telemetry record `H`, `psi` and `tau` are compared, rounded as there; at each keyframe and
        at the checkpoint the whole swarm, bit for bit.

        Raises
        ------
        LogError
            When the log cannot be read at all; what is merely missing or damaged is a difference.
        """
        check = Verifier(self, RunHistory(self._run))
        while check.step():
            pass
        check.found.recorded_by = str(self.facts.get("engine") or COMPILED)
        return check.found

    def story(self) -> RunHistoryInMemory:
        """What moved the run, as far as it is on record now."""
        return RunHistoryInMemory(self._run)

    def states(self) -> list[tuple[int, Path]]:
        """The saved states by tick, keyframes and checkpoint; an unreadable checkpoint stands last."""
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
        """The swarm as the last record left it, computed from the newest saved state.

        Where what came after that state is incomplete or does not agree, it goes on from there, and what
        is on record since is taken back.

        Raises
        ------
        LogError
            When the log cannot be read.
        """
        void = read_revoked(self._run)
        for moment in itertools.chain(self._newest_first(void), [None]):
            simulation = Simulation(self.params, seed=self.seed) if moment is None else moment.simulation
            position = START if moment is None else moment.position
            course = Replayer(simulation, RunHistory(self._run, void), position)
            for record in course.records():
                course.take(record)
            course.finish()
            if position["seq"] > course.seq or position["inputs"] > course.inputs:
                continue  # the log lost its end, and this state is of a time after that
            if moment is None:
                return course.continuation(None)
            if course.found.agrees:
                return course.continuation(moment.path.name)
            return course.taken_back(Moment.load(moment.path))
        raise AssertionError("unreachable: the seed is always there")

    def _newest_first(self, void: RevokedRanges) -> Iterator[Moment]:
        """The sound states, loaded one by one; the newest is a keyframe or the checkpoint."""
        keyframes = [path for _, path in reversed(self.states()) if path.name != CHECKPOINT]
        kinds = (self._sound(paths, void) for paths in (keyframes, [self.path / CHECKPOINT]))
        return heapq.merge(*kinds, key=lambda moment: moment.place, reverse=True)

    @staticmethod
    def _sound(paths: list[Path], void: RevokedRanges) -> Iterator[Moment]:
        for path in paths:
            try:
                moment = Moment.load(path)
            except LogError:  # damaged: an earlier one will do
                continue
            if not void.covers(moment.position):
                yield moment


class Verifier:
    """A run computed again step by step, and compared with its record and its saved states on the way."""

    def __init__(self, past: PastRun, story: RunHistory) -> None:
        self.course: Replayer = Replayer(Simulation(past.params, seed=past.seed), story)
        self._past, self._story = past, story
        self._records = self.course.records()
        self._coming = past.states()
        self._seen: set[tuple[int, Path]] = set()
        self._saved: Moment | None = None
        self.done: bool = False
        """Whether all was compared."""

    @property
    def found(self) -> Recomputed:
        """What was found so far."""
        return self.course.found

    @property
    def simulation(self) -> Simulation:
        """The swarm as far as it is computed."""
        return self.course.found.simulation

    def step(self) -> bool:
        """Compute up to the next record; False when there is none left, and all is compared."""
        if self.done:
            return False
        record = next(self._records, None)
        self._compare_until(None if record is None else record.seq or 0)
        if record is not None:
            self.course.take(record)
            return True
        self.course.finish()
        self.done = True
        return False

    def go_on(self, story: RunHistory) -> None:
        """Go on with a story that is longer than it was."""
        position = self.course.position
        self.course = Replayer(self.simulation, story, position, self.found)
        self._story, self._records, self.done = story, self.course.records(), False
        self._coming = [state for state in self._past.states() if state not in self._seen]

    def _compare_until(self, seq: int | None) -> None:
        """Compare the saved states from before record `seq`, or all that are left."""
        while (saved := self._next_saved()) is not None and (seq is None or saved.position["seq"] <= seq):
            self.course.compare_saved(saved)
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
            if not self._story.revoked.covers(moment.position):
                self._saved = moment
        return self._saved
