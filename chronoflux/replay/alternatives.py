"""One alternative of recorded runs: what is left out or changed, drawn anew or nudged, and its computation.

An alternative is known by the folders of the runs, so that a worker process reads them itself, once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.replay.script import Floats, Script, Without
from chronoflux.replay.together import Outcome, Source, checked, together

LEAD = 60.0
"""Simulated s that are computed before a window: new draws have settled by then, or do not settle."""


@dataclass(frozen=True)
class Recorded:
    """Runs of one room as they are on record, up to a time, and which field came from which tick of whom.

    ``held``: fields between runs that are here which match no tick of their sender; ``rows``: the metrics as
    computed, one array (records, metrics) a run.
    """

    scripts: tuple[Script, ...]
    links: Mapping[int, Mapping[int, Source]]
    outcome: Outcome
    held: int

    @property
    def faults(self) -> list[str]:
        """What is missing, cannot be read, or was refused, in words."""
        told = [f"{script.node}: {fault}" for script in self.scripts for fault in script.faults]
        return told + self.outcome.refused


@lru_cache(maxsize=4)
def recorded(folders: tuple[str, ...], until: float = math.inf) -> Recorded:
    """Read and compute runs as they were, up to `until` (simulated s)."""
    scripts = []
    for folder in folders:
        script = Script.read(folder)
        scripts.append(script if until == math.inf else script.until(int(until / script.params.dt + 1e-9)))
    runs = [script.run for script in scripts]
    if len(set(runs)) < len(runs):
        twice = next(run for run in runs if runs.count(run) > 1)
        raise ParameterError("runs", twice, "each run once")
    links, outcome, held = checked(scripts)
    return Recorded(tuple(scripts), links, outcome, held)


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """The runs in these folders, otherwise.

    Parameters
    ----------
    out, deaf
        What is left out of each run; and pairs (sender, receiver), numbers of runs, whose fields are.
    params, since
        Parameters held at other values from `since` (simulated s) on.
    answering
        Whether each hears what the others send in this alternative, or what they sent on record.
    seed
        Another draw of initial states, noise and frequencies.
    nudge
        A seed: the runs as recorded, with their phases nudged at the first tick that the alternative changes.
    window
        Only the records between these mesh times (ms), computed from a minute before.
    """

    folders: tuple[str, ...]
    until: float = math.inf
    out: Without = field(default_factory=Without)
    deaf: tuple[tuple[int, int], ...] = ()
    params: tuple[tuple[str, Any], ...] = ()
    since: float = 0.0
    answering: bool = True
    seed: int | None = None
    nudge: int | None = None
    window: tuple[float, float] | None = None

    def scripts_in_window(self, scripts: Sequence[Script]) -> list[Script]:
        """The scripts from a minute before the window on, with the records in it."""
        if self.window is None:
            return list(scripts)
        return [_within(script, *self.window) for script in scripts]

    def changed(self) -> tuple[list[Script], list[int | None]]:
        """The scripts, and for each the first tick at which it differs from the record."""
        runs = tuple(self.scripts_in_window(recorded(self.folders, self.until).scripts))
        scripts, firsts = _left_out(runs, self.out)
        for sender, receiver in self.deaf:
            whose = runs[sender].own
            if whose in scripts[receiver].peers:
                scripts[receiver], first = scripts[receiver].without(Without(fields=[whose]))
                firsts[receiver] = _earlier(firsts[receiver], first)
        if self.params:
            for k, script in enumerate(scripts):
                tick = math.ceil(self.since / script.params.dt - 1e-9)
                scripts[k], first = script.changed(dict(self.params), tick)
                firsts[k] = _earlier(firsts[k], first)
        return scripts, firsts

    def outcome(self) -> Outcome:
        """Compute it."""
        whole = recorded(self.folders, self.until)
        scripts, firsts = self.changed()
        links = whole.links if self.answering else {}
        nudges = None
        if self.nudge is not None:
            scripts = list(whole.scripts)
            start = 1000 * self.nudge
            nudges = [None if first is None else (first, start) for first in firsts]
        seeds = None
        if self.seed is not None:
            drawn = np.random.SeedSequence(self.seed).generate_state(len(scripts), np.uint64)
            seeds = [int(one) >> 11 for one in drawn]
        return together(scripts, links, seeds=seeds, nudges=nudges)


def compute(alternative: Alternative) -> list[Floats]:
    """The metrics of each run in this alternative, (records, metrics): for workers."""
    return alternative.outcome().rows


def _within(script: Script, begin: float, end: float) -> Script:
    ticks = script.ticks
    here = np.flatnonzero((script.at >= begin) & (script.at <= end))
    if not len(here):
        raise ParameterError("window", script.node, "a stretch in which every node is on record")
    first, last = int(ticks[here[0]]), int(ticks[here[-1]])
    return script.between(max(0, first - round(LEAD / script.params.dt)), first, last)


def _left_out(runs: tuple[Script, ...], out: Without) -> tuple[list[Script], list[int | None]]:
    """Take `out` from every run that has it; refused when none has."""
    scripts: list[Script] = []
    firsts: list[int | None] = []
    refusals = []
    for run in runs:
        try:
            script, first = run.without(out)
        except ParameterError as error:
            script, first = run, None
            refusals.append(error)
        scripts.append(script)
        firsts.append(first)
    if out and all(first is None for first in firsts):
        raise refusals[0]
    return scripts, firsts


def _earlier(first: int | None, other: int | None) -> int | None:
    known = [tick for tick in (first, other) if tick is not None]
    return min(known, default=None)
