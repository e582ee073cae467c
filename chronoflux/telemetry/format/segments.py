"""Closed segments of a run's log, such as ``telemetry-0001.parquet`` and ``inputs-0001.parquet``.

A segment is a standard Parquet file with two metadata entries: a description (``chronoflux``, JSON: kind,
seq range ``first ≤ seq < end``, rows) and a CRC-32 of the whole file, computed with its own eight digits as
zeros. A segment whose checksum does not match is refused completely.
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
"""Version of the segment layout."""
LEVEL = 9
"""Level of zstd: high, because segments are written once an hour and kept."""
_MANY: tuple[Any, ...] = ()
_META, _SUM = "chronoflux", "chronoflux.crc32"
_TAG, _DIGITS = b"crc32=", 8
_SPARSE = ("id", "origin", "room", "node", "run", LINE)
"""Columns that often are empty. Their statistics are written, so that empty ones need not be read."""
_STEADY = (*COUNTS, "portal")
"""Columns that often are constant. Their statistics are written for the same reason."""
_GROUP = 10  # batches in a row group, which is held in memory
_CHUNK = 1 << 20


class Facts(Struct, forbid_unknown_fields=True):
    """A segment's description of itself."""

    schema: int
    kind: str
    first: int
    end: int
    rows: int


class Written(NamedTuple):
    """A published segment: its file, seq range ``first ≤ seq < end`` and number of rows."""

    path: Path
    first: int
    end: int
    rows: int


@dataclass(frozen=True)
class Segment:
    """A segment with a correct checksum, held in memory."""

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
            When the file cannot be read, is damaged, or is not a segment of that kind.
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
            raise LogError(path, f"is not a segment of a log ({error})") from error
        if facts.schema != SCHEMA:
            raise LogError(
                path, f"has schema {facts.schema}, and this ChronoFlux reads up to {SCHEMA}: use a newer one"
            )
        if facts.kind != kind.stem:
            raise LogError(path, f"holds {facts.kind}, not {kind.stem}")
        if facts.rows != file.metadata.num_rows:
            raise LogError(path, f"has {file.metadata.num_rows} rows instead of {facts.rows}")
        return cls(path, facts, kind, file)

    @property
    def plain(self) -> bool:
        """Whether each row is a record: the metadata show that no line is stored unchanged."""
        return LINE in self.uniform((LINE,))

    def column(self, name: str) -> pa.Array:
        """Read a whole column, on this thread only, since several segments are read in parallel.

        Raises
        ------
        LogError
            When the column does not have a value for each row.
        """
        column = self._file.read([name], use_threads=False)[name]
        if len(column) != self.facts.rows:
            raise LogError(self.path, f"has {len(column)} values of {name} in {self.facts.rows} rows")
        return column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()

    def uniform(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return the columns that are constant by the metadata, with their values; None for empty columns."""
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
        """Yield the content of its lines with line numbers (from 1), a row group at a time.

        With `kinds`, yield only row groups that have records of these types or unchanged lines.
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
    """Return the only value of a column in a row group as a tuple; `_MANY` when there may be several."""
    if statistics is None or not statistics.has_null_count:
        return _MANY
    if not statistics.num_values:
        return (None,)
    one = steady and not statistics.null_count and statistics.has_min_max
    return (statistics.min,) if one and statistics.min == statistics.max else _MANY


def _check(path: Path, content: bytes) -> None:
    """Compare a file with its checksum. Raises LogError when there is none or it does not match."""
    at = content.rfind(_TAG) + len(_TAG)
    digits = content[at : at + _DIGITS]
    if at < len(_TAG) or not re.fullmatch(rb"[0-9a-f]{%d}" % _DIGITS, digits):
        raise LogError(path, "is damaged, or not a segment of a log (it has no checksum)")
    view = memoryview(content)
    found = zlib.crc32(view[at + _DIGITS :], zlib.crc32(b"0" * _DIGITS, zlib.crc32(view[:at])))
    if found != int(digits, 16):
        raise LogError(path, f"is damaged: the checksum of its {len(content)} bytes does not match")


def write_segment(folder: Path, kind: Kind, blocks: Iterable[list[bytes]], due: int) -> Written | None:
    """Write lines atomically as the next segment of a run. Return None when there are no lines.

    `due` is the seq that comes next, used when no line has a seq.

    Raises
    ------
    OSError
        When the segment cannot be written; no file is left then.
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
        data_page_version="2.0",  # pages that compression does not shrink stay uncompressed: faster to read
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
    """Write the checksum into its place and flush the file to the disk."""
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
"""Both logs. Inputs come first: a record must not outlive the inputs it depends on."""
