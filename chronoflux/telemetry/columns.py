"""From records to columns: `Builder` takes a run's lines and blocks, and gives a `Table`."""

from __future__ import annotations

import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from chronoflux.telemetry.records import (
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
from chronoflux.telemetry.report import Report
from chronoflux.telemetry.sources import Block, Lines

if TYPE_CHECKING:
    from chronoflux.telemetry.parts import Part
    from chronoflux.telemetry.scan import Scanned
    from chronoflux.telemetry.segments import Segment
    from chronoflux.telemetry.unpacking import Unpacked

TEXTS = ("node", "room", "run", "type")
LOGIC = ("portal",)

_RECORD = ("timestamp", "type", "t", "seq", "tick", "mono", "at", "room", "node", "run")
_record_values = attrgetter(*_RECORD)
_metric_values = attrgetter(*METRICS)
_NO_METRICS = Metrics()
_BATCH = 1024  # records that are turned into columns at once: few enough to stay in the CPU's cache
LARGE = 8 << 20
"""Bytes from which a file is scanned by a compiled kernel; 8 × while that takes 1.4 s to be loaded first."""
_AHEAD = 3  # blocks scanned, or segments taken apart, before their turn
_WORKERS = min(_AHEAD + 1, max(2, os.cpu_count() or 2))

T = TypeVar("T")
R = TypeVar("R")
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


class Masked(NamedTuple):
    """Whole numbers or truth values, and where there are none."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]


class Coded(NamedTuple):
    """Texts as positions in a list of the distinct ones; −1 where there is none."""

    codes: NDArray[np.int32]
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


Column: TypeAlias = Masked | NDArray[Any]


@dataclass
class _Batch:
    """Records parsed one by one, their line numbers, and by position what only some of them have."""

    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    odd: dict[int, Parsed] = field(default_factory=dict)


class Builder:
    """Collects the records of one run; `defaults` are its ``run``, ``room`` and ``node``."""

    def __init__(self, defaults: dict[str, str | None], *, keep_peerings: bool) -> None:
        self._defaults = defaults
        self.keep_peerings = keep_peerings
        self._codes = {name: _Codes() for name in TEXTS}
        self._parts: dict[str, list[Any]] = {name: [] for name in (*_RECORD, *METRICS, "line")}
        self._size = 0
        self._further: dict[str, dict[int, float | None]] = {}
        self._data: dict[int, dict[str, Any]] = {}
        self._peerings: dict[int, msgspec.Raw] = {}
        self.files: list[tuple[int, Path]] = []

    def __len__(self) -> int:
        return self._size

    def add(self, path: Path, lines: Lines, report: Report) -> None:
        """Add lines, parsing each."""
        for batch in _parsed(path, lines, report):
            if batch.records:
                self._note_others(batch, range(len(self), len(self) + len(batch.records)))
                self._append(self._columns_of(batch))

    def add_scanned(self, path: Path, block: Block, scanned: Scanned, report: Report) -> None:
        """Add a block whose regular lines were scanned; the others are parsed."""
        rows = np.flatnonzero(scanned.regular)
        columns = self._columns_of_scanned(block, scanned, rows)
        left = np.flatnonzero(~scanned.regular).tolist()
        starts = scanned.starts
        texts = [block.content[starts[i] : starts[i + 1] - 1] for i in left]
        numbers = [block.number + i for i in left]
        where = self._append_mixed(columns, path, Lines(texts, numbers), report)
        if self.keep_peerings:
            for row, line in zip(where, rows.tolist(), strict=True):
                begin, end = scanned.peerings[:, line].tolist()
                if end:
                    self._peerings[row] = msgspec.Raw(block.content[begin:end])

    def add_segment(self, path: Path, found: Unpacked, report: Report) -> None:
        """Add a closed segment: its columns as they are, lines that were kept in it parsed."""
        columns: dict[str, Column] = {"line": found.rows, "portal": Masked(*found.portal), **found.floats}
        columns |= {name: Masked(*column) for name, column in found.whole.items()}
        columns |= {name: self._recoded(name, *column) for name, column in found.texts.items()}
        where = self._append_mixed(columns, path, found.kept, report)
        self._data |= zip(map(where.__getitem__, found.data), found.data.values(), strict=True)
        self._peerings |= {where[position]: raw for position, raw in found.peerings.items()}

    def _recoded(self, name: str, column: NDArray[np.int32], texts: list[str]) -> NDArray[np.int32]:
        """Codes of a segment's own list of texts (−1: none) as codes of this run's."""
        codes = self._codes[name]
        if not texts:
            return np.full(len(column), codes[self._defaults.get(name)], np.int32)
        places = [codes[OLD_TYPES.get(text, text) if name == "type" else text] for text in texts]
        nothing = codes[self._defaults.get(name)] if (column < 0).any() else -1
        return np.array([*places, nothing], np.int32)[column]  # −1 takes the last

    def _append_mixed(
        self, columns: dict[str, Column], path: Path, rest: Lines, report: Report
    ) -> Sequence[int]:
        """Append rows that are columns already, and `rest`, which is parsed, in the order of their lines.

        Which rows the former are.
        """
        size, start = len(columns["line"]), len(self)
        batches = [batch for batch in _parsed(path, rest, report) if batch.records]
        if not batches:
            self._append(columns)
            return range(start, start + size)
        parts = [columns, *(self._columns_of(batch) for batch in batches)]
        place = np.argsort(np.concatenate([part["line"] for part in parts]), kind="stable")
        where = np.empty(len(place), np.int64)
        where[place] = np.arange(start, start + len(place))
        at = size
        for batch in batches:
            self._note_others(batch, where[at : at + len(batch.records)].tolist())
            at += len(batch.records)
        self._append(_interleaved(parts, place))
        found: list[int] = where[:size].tolist()
        return found

    def _note_others(self, batch: _Batch, rows: Sequence[int]) -> None:
        """Keep what only some records have."""
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

    def _append(self, columns: dict[str, Column]) -> None:
        self._size += len(columns["line"])
        for name, column in columns.items():
            self._parts[name].append(column)

    def _columns_of(self, batch: _Batch) -> dict[str, Column]:
        values = dict(zip(_RECORD, zip(*map(_record_values, batch.records), strict=True), strict=True))
        metrics = [record.metrics or _NO_METRICS for record in batch.records]
        values |= zip(METRICS, zip(*map(_metric_values, metrics), strict=True), strict=True)
        columns = {name: self._column(name, column) for name, column in values.items()}
        return columns | {"line": np.array(batch.numbers, dtype=np.int64)}

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
        columns: dict[str, Column] = {"line": rows + block.number}
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
        """Everything that was added, in its order."""
        with ThreadPoolExecutor(2, thread_name_prefix="columns") as pool:  # copies of large arrays
            names = (*FLOATS, *TEXTS, *WHOLE, *LOGIC, "line")
            joined = dict(zip(names, pool.map(self._join, names), strict=True))
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
            lines=joined["line"],
            files=self.files,
        )

    def _join(self, name: str) -> Any:
        """A column as a whole; its parts are let go of."""
        parts = self._parts.pop(name)
        if name in WHOLE or name in LOGIC:
            dtype = np.bool_ if name in LOGIC else np.int64
            return Masked(
                _joined([part.values for part in parts], dtype),
                _joined([part.missing for part in parts], np.bool_),
            )
        return _joined(parts, np.float64 if name in FLOATS else np.int32 if name in TEXTS else np.int64)


def add_parts(builder: Builder, parts: Iterable[tuple[Path, Part]], report: Report) -> None:
    """Add what a log holds, file by file: segments, and lines; those of large files are scanned."""
    for path, group in itertools.groupby(parts, key=lambda part: part[0] if _is_text(part[1]) else None):
        if path is None:
            add_segments(builder, (part for _, part in group if not isinstance(part, Block | Lines)), report)
            continue
        builder.files.append((len(builder), path))
        blocks = (part for _, part in group if isinstance(part, Block | Lines))
        if _is_large(path):
            add_blocks(builder, path, blocks, report)
        else:
            for block in blocks:
                builder.add(path, block.split() if isinstance(block, Block) else block, report)


def _is_text(part: Part) -> bool:
    return isinstance(part, Block | Lines)


def _is_large(path: Path) -> bool:
    least = LARGE if "chronoflux.telemetry.scan" in sys.modules else 8 * LARGE
    try:
        return path.stat().st_size >= least
    except OSError:  # gone by now
        return False


def add_segments(builder: Builder, segments: Iterable[Segment], report: Report) -> None:
    """Add closed segments: they are taken apart on other threads, a few ahead of their turn."""
    from chronoflux.telemetry.unpacking import unpack  # Arrow: only where there are segments

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="unpack") as pool:
        work = partial(unpack, peerings=builder.keep_peerings)
        for segment, found in _ahead(segments, lambda one: pool.submit(work, one)):
            builder.files.append((len(builder), segment.path))
            builder.add_segment(segment.path, found.result(), report)


def add_blocks(builder: Builder, path: Path, blocks: Iterable[Block | Lines], report: Report) -> None:
    """Add a large file: its blocks are scanned on other threads, a few ahead of their turn."""
    from chronoflux.telemetry.scan import scan  # numba: only where it saves more time than it takes to load

    with ThreadPoolExecutor(2, thread_name_prefix="scan") as pool:

        def start(block: Block | Lines) -> Future[Scanned] | None:
            return pool.submit(scan, block.content) if isinstance(block, Block) else None

        for block, scanned in _ahead(blocks, start):
            if isinstance(block, Lines):
                builder.add(path, block, report)
            else:
                assert scanned is not None
                builder.add_scanned(path, block, scanned.result(), report)


def _ahead(items: Iterable[T], start: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Each item with what was started for it, which is some items before its turn."""
    waiting: deque[tuple[T, R]] = deque()
    for item in items:
        waiting.append((item, start(item)))
        if len(waiting) > _AHEAD:
            yield waiting.popleft()
    yield from waiting


def _parsed(path: Path, lines: Lines, report: Report) -> Iterator[_Batch]:
    for start in range(0, len(lines.lines), _BATCH):
        part = slice(start, start + _BATCH)
        texts, numbers = lines.lines[part], lines.numbers[part]
        try:
            yield _Batch([*map(parse_exact, texts)], list(numbers))
        except REFUSALS:
            yield _parsed_singly(path, Lines(texts, numbers, lines.torn), report)


def _parsed_singly(path: Path, lines: Lines, report: Report) -> _Batch:
    """Parse lines among which some are blank, unusual or damaged."""
    batch = _Batch()
    for line, number in zip(lines.lines, lines.numbers, strict=True):
        if not line.strip():
            continue
        try:
            parsed = parse(line)
        except REFUSALS as error:
            report.fault("torn" if lines.torn else "bad", path, number, f"no record ({error})")
            continue
        if parsed.metrics or parsed.rest:
            batch.odd[len(batch.records)] = parsed
        batch.records.append(parsed.record)
        batch.numbers.append(number)
    return batch


def _interleaved(columns: list[dict[str, Column]], place: NDArray[np.intp]) -> dict[str, Column]:
    """Columns of several parts as one, in the order of `place`."""
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
    except TypeError:  # there is a None among them
        missing = np.array([value is None for value in values])
        return Masked(np.array([value or 0 for value in values], dtype=np.int64), missing)


def _joined(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
