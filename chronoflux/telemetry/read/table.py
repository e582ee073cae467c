"""A run's records as one table, checked for missing, repeated and superseded records."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import LOG
from chronoflux.telemetry.read.builder import Builder
from chronoflux.telemetry.read.columns import Table
from chronoflux.telemetry.read.consistency import check_clock, check_drops, check_schema, check_seq
from chronoflux.telemetry.read.discovery import RunFiles, read_manifest
from chronoflux.telemetry.read.merging import merge
from chronoflux.telemetry.read.old_names import facts_of
from chronoflux.telemetry.read.parts import read_parts
from chronoflux.telemetry.read.prefetch import add_parts, make_ready
from chronoflux.telemetry.read.times import check_times


def read_table(run: RunFiles, report: Report, *, peerings: bool = False) -> Table:
    """Read one run and note all faults in `report`; with `peerings`, also keep the pairwise rows.

    For a run with copies, the copy with the most records is read; records it lacks come from the others.

    Raises
    ------
    LogError
        At the first fault, when the report is strict.
    """
    manifest = read_manifest(run, report)
    table = _read(run, manifest, report, peerings) if not run.copies else _merged(run, report, peerings)
    table = check_times(table, report)
    report.runs += 1
    report.files += sum(len(one.files) for one in (run, *run.copies))
    report.records += len(table)
    check_schema(run, manifest, report)
    if not run.exported:
        check_seq(table, run, manifest, report)
        check_clock(table, report)
    check_drops(table, report)
    return table


def _read(run: RunFiles, manifest: dict[str, Any], report: Report, peerings: bool) -> Table:
    defaults = {name: _text(manifest.get(name)) for name in ("run", "room", "node")} | facts_of(run)
    builder = Builder(defaults | {"run": defaults["run"] or run.name}, keep_peerings=peerings)
    make_ready([run])
    add_parts(builder, read_parts(run, LOG, report), report)
    return builder.finish()


def _merged(run: RunFiles, report: Report, peerings: bool) -> Table:
    """Merge a run with its copies. A copy's faults do not count: its data are in another or missing."""
    runs = [run, *run.copies]
    manifest = next((facts for one in runs if (facts := read_manifest(one, Report()))), {"run": run.name})
    found = []
    for one in runs:
        faults = Report()
        table = _read(one, manifest, faults, peerings)
        found.append((one, table, faults))
    # Among equally full copies, those without faults come first; otherwise the order is kept.
    found.sort(key=lambda one: (len(one[1]), not one[2].to_dict()["examples"]), reverse=True)
    first, table, faults = found[0]
    report.take(faults)
    merged = merge([table for _, table, _ in found])
    for (copy, _, _), part in zip(found[1:], merged.copies, strict=True):
        if part.known:
            more = f"; {part.taken:,} of its records were missing there" if part.taken else ""
            report.copies.append(f"{copy.path}: is a copy of {first.path}{more}")
        if part.different:
            seq, here, there = part.first
            message = "seq {} is a different record in {}:{}".format(seq, *there)
            report.fault("conflicts", *here, message, part.different)
    return merged.table


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def current_rows(table: Table, run: RunFiles) -> NDArray[np.intp] | slice:
    """Return the rows that no ``resume`` has superseded.

    A resumed run computes everything after its resume tick again: its ``resume`` record names the seqs that
    are superseded. If it names none, records of later ticks directly before it are. An export does not
    contain superseded records.

    Returns
    -------
    numpy.ndarray or slice
        intp (m,), row numbers; a slice when all rows are current.
    """
    types, tick = table.texts["type"], table.whole["tick"]
    if "resume" not in types.texts or run.exported:
        return slice(0, len(table))
    keep = np.ones(len(table), dtype=np.bool_)
    seq = table.whole["seq"]
    for row in np.flatnonzero(types.codes == types.texts.index("resume")).tolist():
        match table.data.get(row):
            case {"records": [int(first), int(end)]}:
                gone = ~seq.missing[:row] & (first <= seq.values[:row]) & (seq.values[:row] < end)
                keep[:row] &= ~gone
                continue
        if not tick.missing[row]:
            valid = ~tick.missing[:row] & (tick.values[:row] <= tick.values[row])
            still = np.flatnonzero(valid)
            keep[still[-1] + 1 if len(still) else 0 : row] = False
    return np.flatnonzero(keep)
