"""One alternative of recorded runs: what is left out or changed, drawn anew or nudged, and its computation.

An alternative is known by the folders of the runs, so that a worker process reads them itself, once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.replay.script import Floats, Script, Without
from chronoflux.replay.together import Outcome, Source, checked, together

SAMPLE = 10.0
"""Simulated s by which it is told how long the whole takes."""
LEAD = 60.0
"""Simulated s that are computed before a window: new draws have settled by then, or do not settle."""


Stamp = tuple[tuple[str, int, int], ...]
"""Names, sizes and times of change (ns) of the files of run folders."""


@dataclass(frozen=True)
class Recorded:
    """Runs of one room as they are on record, up to a time.

    ``stamp``: the state of the files when they were read. What they did, as computed, and which field came
    from which tick of whom is worked out when it is first asked for.
    """

    folders: tuple[str, ...]
    until: float
    stamp: Stamp
    scripts: tuple[Script, ...]

    def alternative(self, **changes: Any) -> Alternative:
        """These runs, otherwise, whatever is written to their folders from now on."""
        ends = tuple(int(script.ticks[-1]) for script in self.scripts)
        mine = Alternative(folders=self.folders, until=self.until, stamp=self.stamp, ends=ends)
        return replace(mine, **changes)

    @cached_property
    def _checked(self) -> tuple[dict[int, dict[int, Source]], Outcome, int]:
        return checked(self.scripts)

    @property
    def links(self) -> Mapping[int, Mapping[int, Source]]:
        """For each run: by the number of an input, the tick of the sender that its field is from."""
        return self._checked[0]

    @property
    def outcome(self) -> Outcome:
        """The runs as they were: one array of metrics (records, metrics) a run."""
        return self._checked[1]

    @property
    def held(self) -> int:
        """How many fields between runs that are here match no tick of their sender."""
        return self._checked[2]

    @property
    def faults(self) -> list[str]:
        """What is missing, cannot be read, or was refused, in words."""
        told = [f"{script.node}: {fault}" for script in self.scripts for fault in script.faults]
        return told + self.outcome.refused


def recorded(folders: tuple[str, ...], until: float = math.inf, stamp: Stamp | None = None) -> Recorded:
    """Read runs as they were, up to `until` (simulated s); once, unless their files have changed.

    `stamp`: the state of the files that is meant, to be read no second time even if they have changed since:
    of runs that go on, workers read later, and cut what came after.
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
    stamp, ends
        The state of the files that is meant, and the last tick of each run then; None, (): as they are.
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
        """The runs as they are on record."""
        return recorded(self.folders, self.until, self.stamp)

    def changed(self) -> tuple[list[Script], list[int | None]]:
        """The scripts, and for each the first tick at which it differs from the record."""
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
        # who hears nobody needs no links, which cost a computation of all runs
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
        """About how long its computation takes, by the first part of it."""
        longest = max(_span(script) * script.params.dt for script in self.changed()[0])
        share = min(1.0, SAMPLE / longest)
        self.outcome(share / 10)  # what takes time only once
        began = time.perf_counter()
        self.outcome(share)
        return (time.perf_counter() - began) / share


def compute(alternative: Alternative) -> list[Floats]:
    """The metrics of each run in this alternative, (records, metrics): for workers."""
    return alternative.outcome().rows


def _as_recorded(alternative: Alternative) -> list[Script]:
    """The scripts up to where they ended when they were read first, in the window if there is one."""
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
    """How many ticks it has, 1 at least."""
    return max(1, max((step.tick for step in script.steps), default=0) - script.start)


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
