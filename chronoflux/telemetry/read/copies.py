"""Copies of one run at several places: a run is identified by its id, not by its path."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import LOG
from chronoflux.telemetry.format.records import REFUSALS, Record, parse
from chronoflux.telemetry.read.discovery import RunFiles, Source, find_runs, read_manifest
from chronoflux.telemetry.read.old_names import facts_of
from chronoflux.telemetry.read.parts import read_entries

_FACTS = ("run", "room", "node", "start")
_NEAR = 86_400_000
"""Maximum distance in ms of a run's first record from its start; beyond it, the run is another one."""


def distinct_runs(source: Source, report: Report | None = None) -> list[RunFiles]:
    """Return the distinct runs that `source` names; further places of a run are its `copies`.

    A run is identified by its manifest: id, room, node and start. Without a readable manifest, its first
    whole record is used instead. :func:`find_runs` describes what is found, and the errors.
    """
    report = Report() if report is None else report
    found = find_runs(source, report)
    if len(found) == 1:
        return found
    groups: dict[Hashable, list[RunFiles]] = {}
    for run, identity in zip(found, _identities(found), strict=True):
        groups.setdefault(identity, []).append(run)
    return [_together(group) for group in groups.values()]


def _identities(runs: list[RunFiles]) -> list[Hashable]:
    manifests = [{} if run.exported else read_manifest(run, Report()) for run in runs]
    ids: list[Hashable] = [_identity(facts) for facts in manifests]
    records = {i: _first_record(run) for i, run in enumerate(runs) if ids[i] is None and not run.exported}
    strays = [record for record in records.values() if record is not None]
    known: dict[Hashable, Hashable] = {}
    for i, facts in enumerate(manifests):
        if ids[i] is not None and _began_near(facts, strays) and (first := _first_record(runs[i])):
            known.setdefault(_fingerprint(first, runs[i]), ids[i])
    for i in [i for i, one in enumerate(ids) if one is None]:
        first = records.get(i)
        mark: Hashable = ("place", i) if first is None else _fingerprint(first, runs[i])
        ids[i] = known.get(mark, mark)
    return ids


def _identity(facts: dict[str, Any]) -> Hashable:
    if not isinstance(facts.get("run"), str):
        return None
    return tuple(str(facts.get(name)) for name in _FACTS)


def _began_near(facts: dict[str, Any], records: Iterable[Record]) -> bool:
    try:
        start = datetime.fromisoformat(facts["start"]).timestamp() * 1000
    except (KeyError, TypeError, ValueError, OSError, OverflowError):
        return any(True for _ in records)
    return any(abs(record.timestamp - start) <= _NEAR for record in records)


def _first_record(run: RunFiles) -> Record | None:
    for entry in read_entries(run, LOG, Report()):
        if isinstance(entry.found, Record):
            return entry.found
        with contextlib.suppress(*REFUSALS):
            return parse(entry.line).record
    return None


def _fingerprint(record: Record, run: RunFiles) -> Hashable:
    """Identify a run by its first record: by its numbers in our logs, else also by content and origin."""
    values = (record.timestamp, record.type, record.t, record.seq, record.tick, record.mono, record.at)
    numbered = record.seq is not None and record.mono is not None
    rest = None if numbered else (record.metrics, record.data, record.room, record.node, facts_of(run))
    return (*values, msgspec.json.encode(rest))


def _together(group: list[RunFiles]) -> RunFiles:
    """Join the copies of a run: the fullest one, with the others as its `copies`."""
    first, *others = sorted(group, key=_fullness, reverse=True)
    seen = _places(first)
    copies = [run for run in others if not _places(run) <= seen]
    return replace(first, copies=tuple(copies)) if copies else first


def _places(run: RunFiles) -> set[Path]:
    return {file.resolve() for file in run.files}


def _fullness(run: RunFiles) -> tuple[bool, int, int, bool]:
    """Return a sort key. Among equally full copies, the folder that still has the run's own name is first."""
    sizes = []
    for file in run.files:
        with contextlib.suppress(OSError):
            sizes.append(file.stat().st_size)
    named = run.folder is not None and run.folder.name == read_manifest(run, Report()).get("run")
    return run.whole, len(sizes), sum(sizes), named
