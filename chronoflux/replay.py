"""`Replay`: a run folder computed again, to see whether it was so, or to go on from its end."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.recompute import Continuation, Course, Moment, Recomputed
from chronoflux.telemetry.folder import CHECKPOINT, KEYFRAMES, MANIFEST
from chronoflux.telemetry.journal import Void, read_void
from chronoflux.telemetry.report import Report
from chronoflux.telemetry.sources import RunFiles, find_runs, read_manifest


class Replay:
    """A run of the past.

    Parameters
    ----------
    run
        Its folder.

    Raises
    ------
    LogError
        When it is not one run folder with a manifest.
    """

    def __init__(self, run: str | os.PathLike[str]) -> None:
        found = find_runs(os.fspath(run))
        if len(found) != 1 or found[0].folder is None or not (found[0].folder / MANIFEST).is_file():
            raise LogError(os.fspath(run), f"is not one run folder with a {MANIFEST}: name one")
        self._run: RunFiles = found[0]
        self.path: Path = found[0].folder
        self.facts = read_manifest(self._run, Report(strict=True))
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
        return f"<Replay of {self.path.name}>"

    def recompute(self) -> Recomputed:
        """Compute the run again, from its seed, parameters, inputs and events.

        At each telemetry record `H`, `psi` and `tau` are compared, rounded as there; at each keyframe and
        at the checkpoint the whole swarm, bit for bit.

        Raises
        ------
        LogError
            When the log cannot be read at all; what is merely missing or damaged is a difference.
        """
        void = read_void(self._run)
        course = Course(Simulation(self.params, seed=self.seed), self._run, void)
        saved = []
        for path in self._states():
            try:
                moment = Moment.load(path)
            except LogError as error:
                course.found.differ(str(error))
                continue
            if not void.covers(moment.position):
                saved.append(moment)
        saved.sort(key=lambda moment: moment.place)
        for record in course.records():
            while saved and saved[0].position["seq"] <= (record.seq or 0):
                course.compare_saved(saved.pop(0))
            course.take(record)
        for moment in saved:
            course.compare_saved(moment)
        course.finish()
        return course.found

    def _states(self) -> list[Path]:
        """The files of saved states: keyframes from the first on, then the checkpoint."""
        keyframes = sorted((self.path / KEYFRAMES).glob("*.npz"), key=lambda path: path.name.zfill(40))
        return [path for path in (*keyframes, self.path / CHECKPOINT) if path.is_file()]

    def continuation(self) -> Continuation:
        """The swarm as the last record left it, computed from the newest saved state.

        Where what came after that state is incomplete or does not agree, it goes on from there, and what
        is on record since is taken back.

        Raises
        ------
        LogError
            When the log cannot be read.
        """
        void = read_void(self._run)
        for moment in itertools.chain(self._newest_first(void), [None]):
            simulation = Simulation(self.params, seed=self.seed) if moment is None else moment.simulation
            position = {"seq": 0, "inputs": 0} if moment is None else moment.position
            course = Course(simulation, self._run, void, position)
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

    def _newest_first(self, void: Void) -> Iterator[Moment]:
        """The sound states, loaded one by one; the newest is a keyframe or the checkpoint."""
        keyframes = [path for path in reversed(self._states()) if path.name != CHECKPOINT]
        kinds = (self._sound(paths, void) for paths in (keyframes, [self.path / CHECKPOINT]))
        return heapq.merge(*kinds, key=lambda moment: moment.place, reverse=True)

    @staticmethod
    def _sound(paths: list[Path], void: Void) -> Iterator[Moment]:
        for path in paths:
            try:
                moment = Moment.load(path)
            except LogError:  # damaged: an earlier one will do
                continue
            if not void.covers(moment.position):
                yield moment
