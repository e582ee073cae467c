"""Check that timestamps are milliseconds: some programs write seconds or microseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.read.columns import Ints, Table
from chronoflux.telemetry.read.merging import rows_of

EARLIEST, LATEST = (round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2000, 2100))
"""Range in ms in which a timestamp is plausible."""
LAST = 253_402_300_799_999
"""Last representable date in ms."""
NEAR = 86_400_000
"""Maximum difference in ms of mesh time and wall clock when the unit of the latter is inferred."""
UNITS = {"seconds": 1e3, "microseconds": 1e-3, "nanoseconds": 1e-6}
"""Other units: factors to ms."""


def check_times(table: Table, report: Report) -> Table:
    """Handle timestamps before 2000 or after 2100, which are noted.

    Timestamps that in another unit are near the record's mesh time are converted from that unit. Records
    whose timestamps only seem to have another unit, or are no dates at all, are left out. All others are
    kept, such as those of a machine whose clock was never set.
    """
    times = table.whole["timestamp"].values
    odd = np.flatnonzero((times < EARLIEST) | (times > LATEST))
    if not len(odd):
        return table
    told, at = times[odd], table.floats["at"][odd]
    right, seems = np.zeros(len(odd), np.bool_), np.full(len(odd), "", dtype=object)
    for unit, factor in UNITS.items():
        scaled = np.rint(told * factor)
        possible = (scaled >= EARLIEST) & (scaled <= LATEST)
        near = possible & (np.abs(scaled - at) <= NEAR)
        if near.any():
            _tell(table, report, odd[near], f"timestamp in {unit}, as `at` shows: converted to ms")
            times[odd[near]] = scaled[near].astype(np.int64)
        right |= near
        seems[possible & ~near] = unit
    refused = ~right & ((seems != "") | (told > LAST) | (told < 0))
    kept = ~right & ~refused
    if kept.any():
        _tell(table, report, odd[kept], "a date before 2000 or after 2100: was the clock wrong?")
    if not refused.any():
        return table
    for unit in dict.fromkeys(seems[refused]):
        which = odd[refused & (seems == unit)]
        what = f"it seems to be in {unit}, and must be in ms" if unit else "it is not a date in ms"
        path, line = table.place(int(which[0]))
        value = int(times[which[0]])
        report.fault("bad", path, line, f"not a valid record (timestamp {value}: {what})", len(which))
    keep = np.ones(len(table), np.bool_)
    keep[odd[refused]] = False
    return rows_of([table], np.flatnonzero(keep))


def _tell(table: Table, report: Report, rows: Ints, message: str) -> None:
    path: Path
    path, line = table.place(int(rows[0]))
    report.fault("times", path, line, message, len(rows))
