"""`Builder`: collects a run's lines, blocks and segments and converts them to the columns of a `Table`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.records import (
    FLOATS,
    METRICS,
    OLD_TYPES,
    REFUSALS,
    WHOLE,
    Metrics,
    Parsed,
    Record,
    data_of,
    parse,
    parse_exact,
)
from chronoflux.telemetry.read.causes import cause
from chronoflux.telemetry.read.columns import LOGIC, NUMBER, TEXTS, Coded, Column, Columns, Masked, Table
from chronoflux.telemetry.read.lines import Block, Lines

if TYPE_CHECKING:
    from chronoflux.telemetry.read.fast_scan import Scanned
    from chronoflux.telemetry.read.segment_decode import Unpacked

_RECORD = ("timestamp", "type", "t", "seq", "tick", "mono", "at", "room", "node", "run")
_record_values = attrgetter(*_RECORD)
_metric_values = attrgetter(*METRICS)
_NO_METRICS = Metrics()
_BATCH = 1024  # records converted to columns at once: few enough to stay in the CPU's cache


class _Codes(dict[str | None, int]):
    """Assign numbers to texts in the order of their first use."""

    def __missing__(self, text: str | None) -> int:
        self[text] = code = -1 if text is None else len(self.texts)
        return code

    @property
    def texts(self) -> list[str]:
        return [text for text in self if text is not None]


@dataclass
class _Batch:
    """Parsed records with their line numbers, and by position the additional content of some records."""

    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    odd: dict[int, Parsed] = field(default_factory=dict)


class Builder:
    """Collects the records of one run; `defaults` are the run's ``run``, ``room`` and ``node``."""

    def __init__(self, defaults: dict[str, str | None], *, keep_peerings: bool) -> None:
        self._defaults = defaults
        self.keep_peerings = keep_peerings
        self._codes = {name: _Codes() for name in TEXTS}
        self._columns = Columns()
        self._further: dict[str, dict[int, float | None]] = {}
        self._data: dict[int, dict[str, Any]] = {}
        self._peerings: dict[int, msgspec.Raw] = {}
        self.files: list[tuple[int, Path]] = []

    def __len__(self) -> int:
        return len(self._columns)

    def add(self, path: Path, lines: Lines, report: Report) -> None:
        """Parse and add lines."""
        for batch in _parsed(path, lines, report):
            if batch.records:
                self._note_others(batch, range(len(self), len(self) + len(batch.records)))
                self._columns.append(self._columns_of(batch))

    def add_scanned(self, path: Path, block: Block, scanned: Scanned, report: Report) -> None:
        """Add a block: its regular lines from the scan, the other lines parsed."""
        rows = np.flatnonzero(scanned.regular)
        columns = self._columns_of_scanned(block, scanned, rows)
        left = np.flatnonzero(~scanned.regular).tolist()
        starts = scanned.starts
        texts = [block.content[starts[i] : starts[i + 1] - 1] for i in left]
        numbers = [block.number + i for i in left]
        where = self._append_mixed(columns, path, Lines(texts, numbers), report)
        if self.keep_peerings:
            for row, line in zip(where.tolist(), rows.tolist(), strict=True):
                begin, end = scanned.peerings[:, line].tolist()
                if end:
                    self._peerings[row] = msgspec.Raw(block.content[begin:end])

    def spaces(self, sizes: Sequence[int]) -> list[dict[str, Any]]:
        """Reserve the next rows in parts of these sizes, for segments that are decoded in place."""
        self._columns.reserve(sum(sizes))
        starts = itertools.accumulate(sizes, initial=len(self))
        return [self._columns.space(start, size) for start, size in zip(starts, sizes, strict=False)]

    def add_segment(self, path: Path, found: Unpacked, report: Report) -> None:
        """Add a closed segment: its columns directly, its unchanged lines parsed."""
        for name, texts in found.texts.items():
            self._recode(name, found.columns[name], texts)
        if found.in_place:
            where = np.arange(len(self), len(self) + len(found.columns[NUMBER]))
            self._columns.extend(len(where))
        else:
            where = self._append_mixed(found.columns, path, found.kept, report)
        rows, data = found.data
        self._data |= zip(where[rows].tolist(), data, strict=True)
        self._peerings |= {int(where[position]): raw for position, raw in found.peerings.items()}

    def _recode(self, name: str, column: Any, texts: list[str]) -> None:
        """Map a segment's text codes (−1: none) to this run's codes."""
        codes = self._codes[name]
        if not texts:
            column[:] = codes[self._defaults.get(name)]
            return
        places = [codes[OLD_TYPES.get(text, text) if name == "type" else text] for text in texts]
        nothing = codes[self._defaults.get(name)] if (column < 0).any() else -1
        table = np.array([*places, nothing], np.int32)  # −1 selects the last entry
        if (table[:-1] != np.arange(len(places))).any() or nothing != -1:
            column[:] = table[column]

    def _append_mixed(
        self, columns: dict[str, Column], path: Path, rest: Lines, report: Report
    ) -> NDArray[np.int64]:
        """Append rows given as columns and the lines `rest`, which are parsed, in line order.

        Return the row numbers of the former.
        """
        size, start = len(columns[NUMBER]), len(self)
        batches = [batch for batch in _parsed(path, rest, report) if batch.records]
        if not batches:
            self._columns.append(columns)
            return np.arange(start, start + size)
        parts = [columns, *(self._columns_of(batch) for batch in batches)]
        place = np.argsort(np.concatenate([part[NUMBER] for part in parts]), kind="stable")
        where = np.empty(len(place), np.int64)
        where[place] = np.arange(start, start + len(place))
        at = size
        for batch in batches:
            self._note_others(batch, where[at : at + len(batch.records)].tolist())
            at += len(batch.records)
        self._columns.append(_interleaved(parts, place))
        return where[:size]

    def _note_others(self, batch: _Batch, rows: Sequence[int]) -> None:
        """Store additional metrics, data and peerings by row."""
        for position, parsed in batch.odd.items():
            for name, value in parsed.metrics.items():
                self._further.setdefault(name, {})[rows[position]] = value
        for position, (row, record) in enumerate(zip(rows, batch.records, strict=True)):
            odd = batch.odd.get(position) if batch.odd else None
            rest = odd.rest if odd else None
            if record.data is not None or record.id is not None or record.origin is not None or rest:
                found = data_of(record, rest)
                if found is not None:
                    self._data[row] = found
            if self.keep_peerings and record.peerings is not None:
                self._peerings[row] = record.peerings

    def _columns_of(self, batch: _Batch) -> dict[str, Column]:
        values = dict(zip(_RECORD, zip(*map(_record_values, batch.records), strict=True), strict=True))
        metrics = [record.metrics or _NO_METRICS for record in batch.records]
        values |= zip(METRICS, zip(*map(_metric_values, metrics), strict=True), strict=True)
        columns = {name: self._column(name, column) for name, column in values.items()}
        return columns | {NUMBER: np.array(batch.numbers, dtype=np.int64)}

    def _column(self, name: str, values: Sequence[Any]) -> Column:
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
        return np.array([codes[value] for value in values], dtype=np.int32)

    def _columns_of_scanned(
        self, block: Block, scanned: Scanned, rows: NDArray[np.intp]
    ) -> dict[str, Column]:
        columns: dict[str, Column] = {NUMBER: rows + block.number}
        for name, values in zip(WHOLE, scanned.whole, strict=True):
            columns[name] = Masked(values[rows], scanned.missing(name)[rows])
        for name, floats in zip(FLOATS, scanned.floats, strict=True):
            columns[name] = floats[rows]
        columns["portal"] = Masked(scanned.portal[rows], scanned.missing("portal")[rows])
        for name in TEXTS:
            text = "telemetry" if name == "type" else self._defaults.get(name)
            columns[name] = np.full(len(rows), self._codes[name][text], np.int32)
        return columns

    def finish(self) -> Table:
        """Return all added rows in order."""
        joined = self._columns.rows()
        floats = {name: joined[name] for name in FLOATS}
        for name, values in self._further.items():
            floats[name] = np.full(len(self), np.nan)
            floats[name][list(values)] = np.array(list(values.values()), dtype=np.float64)
        return Table(
            whole={name: joined[name] for name in WHOLE},
            floats=floats,
            logic={name: joined[name] for name in LOGIC},
            texts={name: Coded(joined[name], self._codes[name].texts) for name in TEXTS},
            data=self._data,
            peerings=self._peerings,
            lines=joined[NUMBER],
            files=self.files,
        )


def _parsed(path: Path, lines: Lines, report: Report) -> Iterator[_Batch]:
    for start in range(0, len(lines.lines), _BATCH):
        part = slice(start, start + _BATCH)
        texts, numbers = lines.lines[part], lines.numbers[part]
        try:
            yield _Batch([*map(parse_exact, texts)], list(numbers))
        except REFUSALS:
            yield _parsed_singly(path, Lines(texts, numbers, lines.torn), report)


def _parsed_singly(path: Path, lines: Lines, report: Report) -> _Batch:
    """Parse lines some of which are blank, unusual or damaged."""
    batch = _Batch()
    for line, number in zip(lines.lines, lines.numbers, strict=True):
        if not line.strip():
            continue
        try:
            parsed = parse(line)
        except REFUSALS as error:
            report.fault(
                "torn" if lines.torn else "bad", path, number, f"not a valid record ({cause(line, error)})"
            )
            continue
        if parsed.metrics or parsed.rest:
            batch.odd[len(batch.records)] = parsed
        batch.records.append(parsed.record)
        batch.numbers.append(number)
    return batch


def _interleaved(columns: list[dict[str, Column]], place: NDArray[np.intp]) -> dict[str, Column]:
    """Join the columns of several parts in the order of `place`."""
    found: dict[str, Column] = {}
    for name, first in columns[0].items():
        if isinstance(first, Masked):
            pairs = zip(*(part[name] for part in columns), strict=True)
            found[name] = Masked(*(np.concatenate(arrays)[place] for arrays in pairs))
        else:
            found[name] = np.concatenate([part[name] for part in columns])[place]
    return found


def _whole_column(values: Sequence[int | None]) -> Masked:
    try:
        return Masked(np.array(values, dtype=np.int64), np.zeros(len(values), dtype=np.bool_))
    except TypeError:  # there is a None in `values`
        missing = np.array([value is None for value in values])
        return Masked(np.array([value or 0 for value in values], dtype=np.int64), missing)
