"""A run's records as columns of NumPy arrays, checked for what is missing, repeated or superseded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from chronoflux.telemetry.folder import SCHEMA
from chronoflux.telemetry.records import (
    METRICS,
    OLD_TYPES,
    REFUSALS,
    Metrics,
    Record,
    data_of,
    parse,
    parse_exact,
)
from chronoflux.telemetry.report import Report
from chronoflux.telemetry.sources import Lines, RunFiles, read_lines, read_manifest

TEXTS = ("node", "room", "run", "type")
WHOLE = ("timestamp", "seq", "tick", "mono", "nodes", "intents", "peers")
FLOATS = ("t", "at", "H", "psi", "omega", "tau", "H_local", "H_mesh")
LOGIC = ("portal",)
CLOCK_STEP_MS = 1000
"""A clock that moves so much against the monotonic one between two records was set."""

_RECORD = ("timestamp", "type", "t", "seq", "tick", "mono", "at", "room", "node", "run")
_record_values = attrgetter(*_RECORD)
_metric_values = attrgetter(*METRICS)
_NO_METRICS = Metrics()
_BATCH = 1024  # records that are turned into columns at once: few enough to stay in the CPU's cache

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


class Masked(NamedTuple):
    """Whole numbers or truth values, and where there are none."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]


class Coded(NamedTuple):
    """Texts as positions in a list of the distinct ones; −1 where there is none."""

    codes: Ints
    texts: list[str]


class _Codes(dict[str | None, int]):
    """Numbers texts as they come."""

    def __missing__(self, text: str | None) -> int:
        self[text] = code = -1 if text is None else len(self.texts)
        return code

    @property
    def texts(self) -> list[str]:
        return [text for text in self if text is not None]


@dataclass
class Table:
    """The records of one run, n rows.

    ``whole``, ``logic``: columns of shape (n,) with masks; ``floats``: (n,) float64, NaN where missing;
    ``texts``: (n,) codes; ``data`` and ``peerings``: values by row, where there are any; ``lines``: (n,)
    line numbers; ``files``: the first row and the path of each file.
    """

    whole: dict[str, Masked]
    floats: dict[str, Floats]
    logic: dict[str, Masked]
    texts: dict[str, Coded]
    data: dict[int, dict[str, Any]]
    peerings: dict[int, msgspec.Raw]
    lines: Ints
    files: list[tuple[int, Path]]

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> tuple[Path, int]:
        """The file and line a row comes from."""
        path = next(path for first, path in reversed(self.files) if first <= row)
        return path, int(self.lines[row])


def read_table(run: RunFiles, report: Report, *, peerings: bool = False) -> Table:
    """Read one run, noting in `report` whatever is wrong; `peerings` also keeps the pairwise rows.

    Raises
    ------
    LogError
        When a file cannot be read, or at the first fault when the report is strict.
    """
    manifest = read_manifest(run, report)
    builder = _Builder(run, manifest, keep_peerings=peerings)
    for path in run.files:
        builder.files.append((len(builder), path))
        for lines in read_lines(path, report):
            builder.add(path, lines, report)
    table = builder.finish()
    report.runs += 1
    report.files += len(run.files)
    report.records += len(table)
    _check_schema(run, manifest, report)
    _check_seq(table, run, manifest, report)
    _check_clock(table, report)
    _check_drops(table, report)
    return table


class _Builder:
    def __init__(self, run: RunFiles, manifest: dict[str, Any], *, keep_peerings: bool) -> None:
        self._defaults = {
            "run": _text(manifest.get("run")) or run.name,
            "room": _text(manifest.get("room")),
            "node": _text(manifest.get("node")),
        }
        self._keep_peerings = keep_peerings
        self._codes = {name: _Codes() for name in TEXTS}
        self._parts: dict[str, list[Any]] = {name: [] for name in (*_RECORD, *METRICS)}
        self._lines: list[int] = []
        self._further: dict[str, dict[int, float | None]] = {}
        self._rest: dict[int, dict[str, Any]] = {}  # further fields by row, until they are in the data
        self._data: dict[int, dict[str, Any]] = {}
        self._peerings: dict[int, msgspec.Raw] = {}
        self.files: list[tuple[int, Path]] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, path: Path, lines: Lines, report: Report) -> None:
        for start in range(0, len(lines.lines), _BATCH):
            part = slice(start, start + _BATCH)
            texts, numbers = lines.lines[part], lines.numbers[part]
            row = len(self)
            try:
                batch = [*map(parse_exact, texts)]
                self._lines.extend(numbers)
            except REFUSALS:
                batch = self._parse_singly(path, Lines(texts, numbers, lines.torn), report)
            self._add_others(batch, row)
            if batch:
                self._add_columns(batch)

    def _parse_singly(self, path: Path, lines: Lines, report: Report) -> list[Record]:
        """Parse lines among which some are blank, unusual or damaged."""
        batch: list[Record] = []
        for line, number in zip(lines.lines, lines.numbers, strict=True):
            if not line.strip():
                continue
            row = len(self)
            try:
                record, further, rest = parse(line)
            except REFUSALS as error:
                report.fault("torn" if lines.torn else "bad", path, number, f"no record ({error})")
                continue
            for name, value in further.items():
                self._further.setdefault(name, {})[row] = value
            if rest:
                self._rest[row] = rest
            batch.append(record)
            self._lines.append(number)
        return batch

    def _add_others(self, batch: list[Record], first: int) -> None:
        """Keep what only some records have."""
        for row, record in enumerate(batch, first):
            if record.data is not None or record.id is not None or record.origin is not None or self._rest:
                found = data_of(record, self._rest.pop(row, None))
                if found is not None:
                    self._data[row] = found
            if self._keep_peerings and record.peerings is not None:
                self._peerings[row] = record.peerings

    def _add_columns(self, batch: list[Record]) -> None:
        columns = dict(zip(_RECORD, zip(*map(_record_values, batch), strict=True), strict=True))
        metrics = [record.metrics or _NO_METRICS for record in batch]
        columns |= zip(METRICS, zip(*map(_metric_values, metrics), strict=True), strict=True)
        for name, values in columns.items():
            self._parts[name].append(self._column(name, values))

    def _column(self, name: str, values: Sequence[Any]) -> Any:
        if name in WHOLE:
            return _whole_column(values)
        if name in LOGIC:
            missing = np.array([value is None for value in values])
            return Masked(np.array([bool(value) for value in values]), missing)
        if name in FLOATS:
            return np.array(values, dtype=np.float64)  # None becomes NaN
        default = self._defaults.get(name)
        if name == "type":
            values = [OLD_TYPES.get(value, value) for value in values]
        elif default is not None:
            values = [default if value is None else value for value in values]
        codes = self._codes[name]
        return np.array([codes[value] for value in values], dtype=np.int64)

    def finish(self) -> Table:
        size = len(self)
        floats = {name: _joined(self._parts[name], np.float64) for name in FLOATS}
        for name, values in self._further.items():
            floats[name] = np.full(size, np.nan)
            floats[name][list(values)] = np.array(list(values.values()), dtype=np.float64)
        return Table(
            whole={name: _joined_masked(self._parts[name], np.int64) for name in WHOLE},
            floats=floats,
            logic={name: _joined_masked(self._parts[name], np.bool_) for name in LOGIC},
            texts={
                name: Coded(_joined(self._parts[name], np.int64), self._codes[name].texts) for name in TEXTS
            },
            data=self._data,
            peerings=self._peerings,
            lines=np.array(self._lines, dtype=np.int64),
            files=self.files,
        )


def _whole_column(values: Sequence[int | None]) -> Masked:
    try:
        return Masked(np.array(values, dtype=np.int64), np.zeros(len(values), dtype=np.bool_))
    except TypeError:  # there is a None among them
        missing = np.array([value is None for value in values])
        return Masked(np.array([value or 0 for value in values], dtype=np.int64), missing)


def _joined(parts: Iterable[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])


def _joined_masked(parts: list[Masked], dtype: type) -> Masked:
    return Masked(_joined((p.values for p in parts), dtype), _joined((p.missing for p in parts), np.bool_))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _check_schema(run: RunFiles, manifest: dict[str, Any], report: Report) -> None:
    schema = manifest.get("schema", SCHEMA)
    if schema != SCHEMA and run.folder is not None:
        report.fault(
            "unknown_schema",
            run.folder,
            None,
            f"schema {schema!r}, known is {SCHEMA}: use a newer ChronoFlux",
        )


def _check_seq(table: Table, run: RunFiles, manifest: dict[str, Any], report: Report) -> None:
    """Note seqs that are missing or there twice; in a whole run also at its beginning and end."""
    column = table.whole["seq"]
    rows = np.flatnonzero(~column.missing)
    seqs, first = np.unique(column.values[rows], return_index=True)
    if repeats := len(rows) - len(seqs):
        again = np.ones(len(rows), dtype=np.bool_)
        again[first] = False
        row = int(rows[np.argmax(again)])
        report.fault("repeats", *table.place(row), f"seq {column.values[row]} is there twice", repeats)
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
            "gaps", run.folder, None, f"the end is missing: {records} records, the last has seq {last}"
        )


def _check_clock(table: Table, report: Report) -> None:
    """Note where the clock was set: it moved against the monotonic clock, or without one went back."""
    time, mono = table.whole["timestamp"], table.whole["mono"]
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
            "clock_steps", *table.place(row), f"the clock was set by {moved / 1e3:+.3f} s", len(steps)
        )


def _check_drops(table: Table, report: Report) -> None:
    """Note the records that the writer itself says it could not write."""
    types = table.texts["type"]
    if "gap" not in types.texts:
        return
    for row in np.flatnonzero(types.codes == types.texts.index("gap")).tolist():
        dropped = table.data.get(row, {}).get("dropped")
        if isinstance(dropped, int) and dropped > 0:
            message = f"{dropped} records before this one could not be written"
            report.fault("dropped", *table.place(row), message, dropped)


def current_rows(table: Table) -> NDArray[np.intp]:
    """The rows that no ``resume`` has superseded.

    A run that was resumed at a tick computes what came after that tick once more: records of later
    ticks directly before its ``resume`` record no longer count.
    """
    keep = np.ones(len(table), dtype=np.bool_)
    types, tick = table.texts["type"], table.whole["tick"]
    if "resume" in types.texts:
        for row in np.flatnonzero(types.codes == types.texts.index("resume")):
            if not tick.missing[row]:
                valid = ~tick.missing[:row] & (tick.values[:row] <= tick.values[row])
                still = np.flatnonzero(valid)
                keep[still[-1] + 1 if len(still) else 0 : row] = False
    return np.flatnonzero(keep)
