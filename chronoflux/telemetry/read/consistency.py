"""Consistency checks of a run's records: gaps, repeats, clock steps and dropped records."""

from __future__ import annotations

from typing import Any

import numpy as np

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import SCHEMA
from chronoflux.telemetry.read.columns import Table
from chronoflux.telemetry.read.discovery import RunFiles

CLOCK_STEP_MS = 1000
"""Deviation from the monotonic clock between two records, in ms, from which the clock counts as set."""
STEP_NS = CLOCK_STEP_MS * 10**6


def check_schema(run: RunFiles, manifest: dict[str, Any], report: Report) -> None:
    schema = manifest.get("schema", SCHEMA)
    if schema != SCHEMA and run.folder is not None:
        report.fault(
            "unknown_schema",
            run.folder,
            None,
            f"has schema {schema!r}, and this ChronoFlux reads up to {SCHEMA}: use a newer one",
        )


def check_seq(table: Table, run: RunFiles, manifest: dict[str, Any], report: Report) -> None:
    """Report missing and repeated seqs; in a whole run also at its beginning and end."""
    column = table.whole["seq"]
    known_start = len(table) > 0 and (not run.whole or column.values[0] <= 0)
    if known_start and not column.missing.any() and (np.diff(column.values) == 1).all():  # the usual case
        _check_end(int(column.values[-1]), run, manifest, report)
        return
    rows = np.flatnonzero(~column.missing)
    seqs, first = np.unique(column.values[rows], return_index=True)
    if repeats := len(rows) - len(seqs):
        again = np.ones(len(rows), dtype=np.bool_)
        again[first] = False
        row = int(rows[np.argmax(again)])
        report.fault("repeats", *table.place(row), f"seq {column.values[row]} occurs twice", repeats)
    begins = [-1] if run.whole and len(seqs) and seqs[0] >= 0 else []
    known = np.concatenate([np.array(begins, dtype=np.int64), seqs])
    holes = np.flatnonzero((known[1:] > known[:-1]) & (known[1:] - 1 != known[:-1]))
    if len(holes):
        missing = sum(int(known[i + 1]) - int(known[i]) - 1 for i in holes)
        hole = int(holes[0])
        row = int(rows[first[hole + 1 - len(begins)]])
        message = f"records are missing: after seq {known[hole]} comes {known[hole + 1]}"
        report.missing += missing
        report.fault("gaps", *table.place(row), message, len(holes))
    _check_end(int(seqs[-1]) if len(seqs) else -1, run, manifest, report)


def _check_end(last: int, run: RunFiles, manifest: dict[str, Any], report: Report) -> None:
    records = manifest.get("records")
    closed = manifest.get("status") in ("ended", "interrupted")
    if run.whole and run.folder is not None and closed and isinstance(records, int) and records > last + 1:
        report.missing += records - last - 1
        report.fault(
            "gaps",
            run.folder,
            None,
            f"the end is missing: run.json counts {records} records, and the last one has seq {last}",
        )


def check_clock(table: Table, report: Report) -> None:
    """Report clock steps against the monotonic clock or, where there is none, backwards."""
    time, mono = table.whole["timestamp"], table.whole["mono"]
    if not mono.missing.any():
        ahead = time.values * 10**6
        ahead -= mono.values
        steps = np.diff(ahead)
        if not (np.abs(steps, out=steps) > STEP_NS).any():
            return  # the usual case
    elapsed = np.diff(time.values).astype(np.float64)
    ran = np.diff(mono.values).astype(np.float64) / 1e6
    both = ~(mono.missing[1:] | mono.missing[:-1])
    types = table.texts["type"]
    resume = types.texts.index("resume") if "resume" in types.texts else -2
    one_process = both & (ran >= 0) & (types.codes[1:] != resume)
    steps = np.flatnonzero(np.where(both, one_process & (np.abs(elapsed - ran) > CLOCK_STEP_MS), elapsed < 0))
    if len(steps):
        row = int(steps[0]) + 1
        moved = elapsed[row - 1] - (ran[row - 1] if both[row - 1] else 0)
        report.fault(
            "clock_steps", *table.place(row), f"the clock was changed by {moved / 1e3:+.3f} s", len(steps)
        )


def check_drops(table: Table, report: Report) -> None:
    """Report records that the writer itself noted as dropped."""
    types = table.texts["type"]
    if "gap" not in types.texts:
        return
    for row in np.flatnonzero(types.codes == types.texts.index("gap")).tolist():
        dropped = table.data.get(row, {}).get("dropped")
        if isinstance(dropped, int) and dropped > 0:
            message = f"{dropped} records before this one could not be written"
            report.fault("dropped", *table.place(row), message, dropped)
