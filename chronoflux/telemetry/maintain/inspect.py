"""Summaries, checks and repairs of run folders."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from chronoflux.errors import LogError
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import (
    CHECKPOINT,
    INPUTS,
    KEYFRAMES,
    LOG,
    cut_torn,
    is_running,
    open_regular,
    write_manifest,
)
from chronoflux.telemetry.format.phase_store import STORE, faults_of_phases, has_checksums
from chronoflux.telemetry.format.records import to_json
from chronoflux.telemetry.format.saved_state import load_saved_state
from chronoflux.telemetry.format.snapshots import SNAPSHOTS
from chronoflux.telemetry.read.columns import Table
from chronoflux.telemetry.read.discovery import RunFiles, read_manifest
from chronoflux.telemetry.read.inputs import read_inputs
from chronoflux.telemetry.read.table import read_table
from chronoflux.telemetry.write.rotation import trim_log


@dataclass(frozen=True)
class Summary:
    """Summary of a run: ``start`` in UTC, ``seconds`` of wall-clock time from first to last record."""

    run: str
    room: str
    node: str
    start: datetime | None
    seconds: float
    records: int
    gaps: int
    status: str


def summary(run: RunFiles, others: Report) -> Summary:
    """Summarise a run; its copies are noted in `others`."""
    report = Report()
    facts = read_manifest(run, report)
    table = read_table(run, report)
    times = table.whole["timestamp"].values
    begun = datetime.fromtimestamp(times[0] / 1000, UTC) if len(times) else None
    counts = report.to_dict()
    others.copies += report.copies
    return Summary(
        run=run.name,
        room=_text(facts.get("room")),
        node=_text(facts.get("node")),
        start=begun,
        seconds=float(times[-1] - times[0]) / 1000 if len(times) else 0.0,
        records=len(table),
        gaps=counts["gaps"],
        status=status(facts),
    )


def status(facts: dict[str, Any]) -> str:
    """Return ``running``, ``ended`` or ``interrupted``; a run whose process has ended was interrupted."""
    said = facts.get("status")
    if said == "running" and facts.get("host") == socket.gethostname():
        alive = facts.get("pid") == os.getpid() or is_running(facts.get("pid"))
        return "running" if alive else "interrupted"
    return said if isinstance(said, str) else "unknown"


def types(table: Table) -> dict[str, int]:
    """Count the records of each type."""
    return by_text(table, "type")


def by_text(table: Table, name: str) -> dict[str, int]:
    """Count the records by the text in a column, such as ``node``."""
    column = table.texts[name]
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
    return dict(zip(column.texts, counts.tolist(), strict=True))


def has_swarm(run: RunFiles) -> bool:
    """Return whether this is the run of a swarm, which can be recomputed, and not a recorder's log."""
    return read_manifest(run, Report()).get("kind") != "recorder"


def check_run(run: RunFiles) -> list[str]:
    """Check a run. Return its faults, a line each with file and place; empty when it has none.

    Only the run's own files are checked, without what its copies could add. A copy that has a different
    record with the same seq is also a fault.
    """
    report, merged = Report(), Report()
    facts = read_manifest(run, report)
    found: list[str] = []
    try:
        table = read_table(replace(run, copies=()), report)
        if run.copies:
            read_table(run, merged)
        if not len(table):
            found.append(f"{run.folder or run.name}: holds no record")
    except LogError as error:
        found.append(str(error))
    found += _check_inputs(run, report) + _check_states(run)
    if status(facts) == "interrupted" and facts.get("status") == "running":
        found.append(
            f"{run.folder}: its process ended without closing the log: "
            "repair marks it as interrupted, resume continues it"
        )
    counts = report.to_dict()
    examples = counts["examples"]
    # `read_table` reads the manifest again: report its faults only once.
    return list(dict.fromkeys([*examples, *merged.to_dict()["examples"]])) + found


def _check_inputs(run: RunFiles, report: Report) -> list[str]:
    found, due = [], 0
    for path, given in read_inputs(run, report):
        if given.seq > due:
            found.append(f"{path}: inputs {due} to {given.seq - 1} are missing")
        elif given.seq < due:
            found.append(f"{path}: input {given.seq} occurs twice")
        due = max(due, given.seq + 1)
    return found


def _check_states(run: RunFiles) -> list[str]:
    if run.folder is None:
        return []
    found = []
    states = [path for name in (KEYFRAMES, SNAPSHOTS) for path in sorted((run.folder / name).glob("*.npz"))]
    for path in [run.folder / CHECKPOINT, *states]:
        if path.exists():
            try:
                load_saved_state(path)
            except LogError as error:
                found.append(str(error))
    for path in sorted((run.folder / SNAPSHOTS).glob("*.png")):
        if fault := _fault_of_picture(path):
            found.append(f"{path}: is damaged ({fault})")
    if (store := run.folder / STORE).exists():
        found += faults_of_phases(store)
    return found


def _fault_of_picture(path: Path) -> str | None:
    from PIL import Image

    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as image:
            image.verify()  # compares the checksum of each chunk
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error)
    return None


def unprotected(run: RunFiles) -> list[str]:
    """Return a line for each part of a run that lacks optional checksums. These are not faults."""
    if run.folder is None or not (run.folder / STORE).exists():
        return []
    try:
        if has_checksums(run.folder / STORE):
            return []
    except LogError:
        return []  # `check_run` reports it
    return [f"{run.folder / STORE}: has no checksums, because an older ChronoFlux recorded it"]


def repair_run(run: RunFiles) -> list[str]:
    """Cut torn tails, trim lines that segments hold, remove incomplete files, and note an interruption.

    Missing data stay missing. Return a line for each change; empty when nothing was changed.

    Raises
    ------
    LogError
        When the run is still being written, or a file cannot be changed.
    """
    if run.folder is None:
        raise LogError(run.files[0], "is not a run folder: only run folders can be repaired")
    report = Report()
    facts = read_manifest(run, report)
    if status(facts) == "running":
        raise LogError(run.folder, f"process {facts.get('pid')} is writing it: end that process first")
    done = []
    try:
        for name in (INPUTS, LOG):
            if torn := cut_torn(run.folder / name):
                done.append(f"{run.folder / name}: cut off {torn} bytes of an incomplete last line")
            with contextlib.suppress(LogError):  # `check` reports it; the lines stay in the log
                if lines := trim_log(run.folder, name):
                    done.append(f"{run.folder / name}: removed {lines} lines that closed segments hold")
        for path in sorted(run.folder.rglob(".*.new")):
            path.unlink()
            done.append(f"{path}: removed, because it was incomplete")
        if facts.get("status") == "running":
            table = read_table(run, Report())
            ticks = table.whole["tick"]
            last = int(ticks.values[~ticks.missing][-1]) if (~ticks.missing).any() else None
            write_manifest(run.folder, to_json(facts | {"status": "interrupted", "last_tick": last}))
            done.append(f"{run.folder}: marked as interrupted at tick {last}")
    except OSError as error:
        raise LogError(run.folder, f"cannot be repaired ({error.strerror or error})") from error
    return done


def _text(value: object) -> str:
    return value if isinstance(value, str) else "–"
