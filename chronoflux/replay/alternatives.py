"""`Alternative`: recorded runs with something removed, changed, redrawn or nudged, and how it is computed.

An alternative names the folders of the runs, so that a worker process reads them itself, once.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.engine import use_threads
from chronoflux.replay.script import Floats, Script, Without
from chronoflux.replay.together import Outcome, Source, checked, together

SAMPLE = 10.0
"""Simulated s from which the duration of a computation is estimated."""
LEAD = 60.0
"""Simulated s computed before a window, so that transients of new draws decay."""


Stamp = tuple[tuple[str, int, int], ...]
"""Names, sizes and modification times (ns) of the files of run folders."""


@dataclass(frozen=True)
class Recorded:
    """Recorded runs of one room, up to a time.

    ``stamp``: the state of the files when they were read. The recomputed runs, and the sender's tick of each
    field, are computed on first use.
    """

    folders: tuple[str, ...]
    until: float
    stamp: Stamp
    scripts: tuple[Script, ...]

    def alternative(self, **changes: Any) -> Alternative:
        """An alternative of these runs, unaffected by what is written to their folders later."""
        ends = tuple(int(script.ticks[-1]) for script in self.scripts)
        mine = Alternative(folders=self.folders, until=self.until, stamp=self.stamp, ends=ends)
        return replace(mine, **changes)

    @cached_property
    def _checked(self) -> tuple[dict[int, dict[int, Source]], Outcome, int]:
        return checked(self.scripts)

    @property
    def links(self) -> Mapping[int, Mapping[int, Source]]:
        """For each run, by number of the input: the sender's tick of the field."""
        return self._checked[0]

    @property
    def outcome(self) -> Outcome:
        """The runs as recorded: for each, an array of metrics, float64 (records, metrics)."""
        return self._checked[1]

    @property
    def held(self) -> int:
        """How many fields between these runs match no tick of their sender."""
        return self._checked[2]

    @property
    def faults(self) -> list[str]:
        """What is missing, unreadable or refused, in words."""
        told = [f"{script.node}: {fault}" for script in self.scripts for fault in script.faults]
        return told + self.outcome.refused


def recorded(folders: tuple[str, ...], until: float = math.inf, stamp: Stamp | None = None) -> Recorded:
    """Read recorded runs up to `until` (simulated s); once, unless their files have changed.

    `stamp`: the state of the files to use. Runs read in that state are not read again, even if the files have
    changed: of live runs, workers read more, and cut off what came later.
    """
    return _read(folders, until, _stamp(folders) if stamp is None else stamp)


@lru_cache(maxsize=4)
def _read(folders: tuple[str, ...], until: float, stamp: Stamp) -> Recorded:
    scripts = []
    for folder in folders:
        script = Script.read(folder)
        scripts.append(script if until == math.inf else script.until(int(until / script.params.dt + 1e-9)))
    runs = [script.run for script in scripts]
    if len(set(runs)) < len(runs):
        twice = next(run for run in runs if runs.count(run) > 1)
        raise ParameterError("runs", twice, "each run once")
    return Recorded(folders, until, stamp, tuple(scripts))


def _stamp(folders: tuple[str, ...]) -> Stamp:
    found = []
    for folder in folders:
        path = Path(folder)
        for file in sorted(path.iterdir()) if path.is_dir() else ():
            facts = file.stat()
            found.append((str(file), facts.st_size, facts.st_mtime_ns))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """The runs in these folders with some changes.

    Parameters
    ----------
    out, deaf
        What is removed from each run; and pairs (sender, receiver), numbers of runs, whose fields are
        removed.
    params, since
        Parameters held at other values from `since` (simulated s) on.
    answering
        Whether each run receives what the others send in this alternative, or what they sent on record.
    seed
        Another draw of initial states, noise and frequencies.
    nudge
        A seed: the runs as recorded, with their phases nudged at the first tick that the alternative changes.
    window
        Only the records between these mesh times (ms), computed from one minute earlier.
    stamp, ends
        The state of the files to use, and the last tick of each run in it; None, (): the present one.
    """

    folders: tuple[str, ...]
    until: float = math.inf
    stamp: Stamp | None = None
    ends: tuple[int, ...] = ()
    out: Without = field(default_factory=Without)
    deaf: tuple[tuple[int, int], ...] = ()
    params: tuple[tuple[str, Any], ...] = ()
    since: float = 0.0
    answering: bool = True
    seed: int | None = None
    nudge: int | None = None
    window: tuple[float, float] | None = None

    @property
    def recorded(self) -> Recorded:
        """The runs as recorded."""
        return recorded(self.folders, self.until, self.stamp)

    def changed(self) -> tuple[list[Script], list[int | None]]:
        """The scripts, and for each the first tick at which it differs from the record; None: nowhere."""
        scripts, firsts = _changed(replace(self, seed=None, nudge=None, answering=True))
        return list(scripts), list(firsts)

    def outcome(self, share: float = 1.0) -> Outcome:
        """Compute it, or the first `share` of it."""
        scripts, firsts = self.changed()
        nudges = None
        if self.nudge is not None:
            scripts = _as_recorded(self)
            start = 1000 * self.nudge
            nudges = [None if first is None else (first, start) for first in firsts]
        # runs without fields need no links, which take a computation of all runs
        deaf = not any(script.peers for script in scripts)
        links = {} if deaf or not self.answering else self.recorded.links
        seeds = None
        if self.seed is not None:
            drawn = np.random.SeedSequence(self.seed).generate_state(len(scripts), np.uint64)
            seeds = [int(one) >> 11 for one in drawn]
        if share < 1:
            scripts = [script.until(int(script.start + share * _span(script))) for script in scripts]
        return together(scripts, links, seeds=seeds, nudges=nudges)

    def seconds(self) -> float:
        """Estimated duration of its computation, from the first part of it."""
        longest = max(_span(script) * script.params.dt for script in self.changed()[0])
        share = min(1.0, SAMPLE / longest)
        self.outcome(share / 10)  # compilation and caches
        began = time.perf_counter()
        self.outcome(share)
        return (time.perf_counter() - began) / share


def compute(alternative: Alternative, home: int) -> list[Floats]:
    """The metrics of each run in this alternative, float64 (records, metrics).

    Workers call this; `home`: the id of the process that started them.
    """
    if os.getpid() != home:
        use_threads(1)  # there are as many workers as processors
    return alternative.outcome().rows


def _as_recorded(alternative: Alternative) -> list[Script]:
    """The scripts up to their end in the state of the files to use, and within the window."""
    scripts = list(alternative.recorded.scripts)
    if alternative.ends:
        ends = alternative.ends
        scripts = [
            script if script.ticks[-1] <= end else script.until(end)
            for script, end in zip(scripts, ends, strict=True)
        ]
    if alternative.window is None:
        return scripts
    return [_within(script, *alternative.window) for script in scripts]


@lru_cache(maxsize=4)
def _changed(alternative: Alternative) -> tuple[list[Script], list[int | None]]:
    runs = tuple(_as_recorded(alternative))
    scripts, firsts = _left_out(runs, alternative.out)
    for sender, receiver in alternative.deaf:
        whose = runs[sender].own
        if whose in scripts[receiver].peers:
            scripts[receiver], first = scripts[receiver].without(Without(fields=(whose,)))
            firsts[receiver] = _earlier(firsts[receiver], first)
    if alternative.params:
        for k, script in enumerate(scripts):
            tick = math.ceil(alternative.since / script.params.dt - 1e-9)
            scripts[k], first = script.changed(dict(alternative.params), tick)
            firsts[k] = _earlier(firsts[k], first)
    return scripts, firsts


def _span(script: Script) -> int:
    """Its number of ticks, at least 1."""
    return max(1, max((step.tick for step in script.steps), default=0) - script.start)


def _within(script: Script, begin: float, end: float) -> Script:
    ticks = script.ticks
    here = np.flatnonzero((script.at >= begin) & (script.at <= end))
    if not len(here):
        raise ParameterError("window", script.node, "a time span in which every node is on record")
    first, last = int(ticks[here[0]]), int(ticks[here[-1]])
    return script.between(max(0, first - round(LEAD / script.params.dt)), first, last)


def _left_out(runs: tuple[Script, ...], out: Without) -> tuple[list[Script], list[int | None]]:
    """Remove `out` from every run that has it; ParameterError if none has."""
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
