"""Closed segments of a run's log: ``telemetry-0001.parquet``, ``inputs-0001.parquet``, …

A segment is an ordinary Parquet file with two entries of metadata: what it is (``chronoflux``, JSON: kind,
the seqs ``first ≤ seq < end`` that it holds, rows), and a CRC-32 of the whole file, taken with its own eight
digits as zeros. It is read only when that is right: a damaged file is refused, never half believed.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from chronoflux.errors import LogError
from chronoflux.telemetry.format.layout import open_regular, segment_name, segments_of, sync, sync_folder
from chronoflux.telemetry.format.records import REFUSALS, Input, Record
from chronoflux.telemetry.format.segment_encode import COUNTS, FIELDS, LINE, TELEMETRY, Kind

SCHEMA = 1
"""Version of the layout of segments."""
LEVEL = 9
"""Of zstd: segments are written once an hour, and kept."""
_MANY: tuple[Any, ...] = ()
_META, _SUM = "chronoflux", "chronoflux.crc32"
_TAG, _DIGITS = b"crc32=", 8
_SPARSE = ("id", "origin", "room", "node", "run", LINE)
"""Columns that often are empty: how much is in them is noted, so that they need not be read."""
_STEADY = (*COUNTS, "portal")
"""Those that often say one thing throughout: what they say is noted, likewise."""
_GROUP = 10  # batches in a row group, which is held in memory
_CHUNK = 1 << 20


class Facts(Struct, forbid_unknown_fields=True):
    """What a segment says of itself."""

    schema: int
    kind: str
    first: int
    end: int
    rows: int


class Written(NamedTuple):
    """A segment that was published: its file, and the seqs ``first ≤ seq < end`` in so many rows."""

    path: Path
    first: int
    end: int
    rows: int


@dataclass(frozen=True)
class Segment:
    """A segment whose checksum was right, held in memory."""

    path: Path
    facts: Facts
    _kind: Kind
    _file: pq.ParquetFile

    @classmethod
    def read(cls, path: Path, kind: Kind) -> Segment:
        """Read a whole file and check it.

        Raises
        ------
        LogError
            When it cannot be read, is damaged, or is no segment of that kind.
        """
        try:
            with open_regular(path) as opened:
                content = opened.read()
        except OSError as error:
            raise LogError(path, f"cannot be read ({error.strerror or error})") from error
        _check(path, content)
        try:
            file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=kind.coded, pre_buffer=False)
            facts = msgspec.json.decode(file.metadata.metadata[_META.encode()], type=Facts)
        except (pa.ArrowException, OSError, KeyError, *REFUSALS) as error:
            raise LogError(path, f"is no segment of a log ({error})") from error
        if facts.schema != SCHEMA:
            raise LogError(path, f"has schema {facts.schema}, known is {SCHEMA}: use a newer ChronoFlux")
        if facts.kind != kind.stem:
            raise LogError(path, f"holds {facts.kind}, not {kind.stem}")
        if facts.rows != file.metadata.num_rows:
            raise LogError(path, f"has {file.metadata.num_rows} rows instead of {facts.rows}")
        return cls(path, facts, kind, file)

    @property
    def plain(self) -> bool:
        """Whether the metadata tells that no line is kept as it is: each row is a record."""
        return LINE in self.uniform((LINE,))

    def column(self, name: str) -> pa.Array:
        """A column as a whole. On this thread alone: several segments are read at a time.

        Raises
        ------
        LogError
            When it has not a value for each row.
        """
        column = self._file.read([name], use_threads=False)[name]
        if len(column) != self.facts.rows:
            raise LogError(self.path, f"has {len(column)} values of {name} in {self.facts.rows} rows")
        return column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()

    def uniform(self, columns: Sequence[str]) -> dict[str, Any]:
        """Those of the columns in which all rows say the same, as far as the metadata tells, and what: None
        where they are empty.
        """
        metadata = self._file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        found = {}
        for name in {*_SPARSE, *_STEADY}.intersection(columns, self._file.schema.names):
            index = self._file.schema.names.index(name)
            said = {_said(group.column(index).statistics, name in _STEADY) for group in groups}
            if len(said) == 1 and (only := said.pop()) != _MANY:
                found[name] = only[0]
        return found

    def rows(self, kinds: frozenset[str] | None = None) -> Iterator[tuple[int, Record | Input | bytes]]:
        """What its lines were, with their numbers (from 1), a row group at a time.

        `kinds`: only groups in which there are such records, or lines that are kept as they are.
        """
        number = 1
        for group in range(self._file.num_row_groups):
            if kinds is None or self._may_have(kinds, group):
                for batch in self._file.iter_batches(row_groups=[group]):
                    yield from enumerate(self._kind.unpack(batch), number)
                    number += len(batch)
            else:
                number += self._file.metadata.row_group(group).num_rows

    def _may_have(self, kinds: frozenset[str], group: int) -> bool:
        few = self._file.read_row_group(group, ["type", LINE])
        return few[LINE].null_count < len(few) or not kinds.isdisjoint(few["type"].unique().to_pylist())


def _said(statistics: Any, steady: bool) -> tuple[Any, ...]:
    """The one thing that a column of a row group says, or what stands for many."""
    if statistics is None or not statistics.has_null_count:
        return _MANY
    if not statistics.num_values:
        return (None,)
    one = steady and not statistics.null_count and statistics.has_min_max
    return (statistics.min,) if one and statistics.min == statistics.max else _MANY


def _check(path: Path, content: bytes) -> None:
    """Compare a file with its checksum."""
    at = content.rfind(_TAG) + len(_TAG)
    digits = content[at : at + _DIGITS]
    if at < len(_TAG) or not re.fullmatch(rb"[0-9a-f]{%d}" % _DIGITS, digits):
        raise LogError(path, "is damaged, or no segment of a log (it has no checksum)")
    view = memoryview(content)
    found = zlib.crc32(view[at + _DIGITS :], zlib.crc32(b"0" * _DIGITS, zlib.crc32(view[:at])))
    if found != int(digits, 16):
        raise LogError(path, f"is damaged: its {len(content)} bytes do not give its checksum")


def write_segment(folder: Path, kind: Kind, blocks: Iterable[list[bytes]], due: int) -> Written | None:
    """Write lines as the next segment of a run, in one step; None when there are none.

    `due` is the seq that comes next, where no line says so.

    Raises
    ------
    OSError
        When it cannot be written; then nothing is there.
    """
    there = segments_of(folder, kind.stem)
    path = folder / segment_name(kind.stem, 1 + (there[-1][0] if there else 0))
    fresh = path.with_name(f".{path.name}.new")
    try:
        written = _write(fresh, path, kind, blocks, due)
        if written is not None:
            _seal(fresh)
            os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(folder)
    return written


def _write(fresh: Path, path: Path, kind: Kind, blocks: Iterable[list[bytes]], due: int) -> Written | None:
    first, end, rows = None, due, 0
    with pq.ParquetWriter(
        fresh,
        kind.schema,
        compression="zstd",
        compression_level=LEVEL,
        use_dictionary=kind.dictionaries,
        column_encoding=kind.encodings,
        data_page_version="2.0",  # pages that would not be smaller for it are not compressed: quicker to read
        store_decimal_as_integer=True,
        store_schema=False,
        write_statistics=["seq", *_SPARSE, *_STEADY],
    ) as writer:
        waiting: list[pa.RecordBatch] = []
        for lines in blocks:
            batch = kind.pack(lines)
            waiting.append(batch)
            if len(waiting) == _GROUP:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting.clear()
            seqs = [seq for seq in batch.column("seq").to_pylist() if seq is not None]
            if seqs:
                first = min(seqs) if first is None else first
                end = max(end, seqs[-1] + 1)
            rows += len(lines)
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
        facts = Facts(SCHEMA, kind.stem, due if first is None else first, end, rows)
        marks: dict[str, Any] = {_META: msgspec.json.encode(facts).decode()}
        marks[_SUM] = _TAG.decode() + "0" * _DIGITS
        writer.add_key_value_metadata(marks)
    return Written(path, facts.first, end, rows) if rows else None


def _seal(path: Path) -> None:
    """Put the checksum in its place, and have the disk take the file."""
    with open(path, "r+b") as file:
        total, before, last = 0, b"", 0
        while chunk := file.read(_CHUNK):
            total = zlib.crc32(chunk, total)
            window = before + chunk
            if (found := window.rfind(_TAG)) >= 0:
                last = file.tell() - len(window) + found + len(_TAG)
            before = chunk[-len(_TAG) :]
        file.seek(last)
        file.write(b"%08x" % total)
        file.flush()
        sync(file)


KINDS = (FIELDS, TELEMETRY)
"""Both logs; inputs first, as no record may outlive what led to it."""
