"""A run's log in the order of writing: its closed segments, then the JSON Lines that are in none.

A segment is published first, and its lines are trimmed off the JSON Lines later. The JSON Lines are opened
*before* segments are listed, so that no line is missed however often the log is rotated meanwhile. Lines in
both are read once.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from chronoflux.errors import LogError
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import LOG, open_regular, segments_of
from chronoflux.telemetry.format.records import REFUSALS, Input, Record, seq_of
from chronoflux.telemetry.format.seek import first_seq, offset_of
from chronoflux.telemetry.read.causes import cause
from chronoflux.telemetry.read.decompress import ENDINGS
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.lines import Block, Lines, read_blocks

if TYPE_CHECKING:
    from chronoflux.telemetry.format.segments import Segment

Part: TypeAlias = "Segment | Block | Lines"


def read_parts(run: RunFiles, log: str, report: Report) -> Iterator[tuple[Path, Part]]:
    """Yield the content of one log (`log`: ``telemetry.jsonl`` or ``inputs.jsonl``), by file.

    A damaged segment is noted in `report`; its lines are read from the JSON Lines if they are still there. A
    file that cannot be opened is noted, too.
    """
    if log == LOG and not run.whole:
        for path in run.files:
            if run.exported:
                from chronoflux.telemetry.read.parquet_export import (
                    read_export,  # imports Arrow only for Parquet
                )

                try:
                    yield from ((path, lines) for lines in read_export(path))
                except LogError as error:
                    report.refuse(error)
            elif path.suffix != ".parquet":
                yield from ((path, block) for block in read_blocks(path, report))
            elif (found := _segment(path, log, report, lambda: "nothing of it is read")) is not None:
                yield path, found
        return
    if run.folder is None:
        return
    path = run.folder / log
    with contextlib.ExitStack() as stack:
        file = None
        try:
            if os.path.lexists(path):
                file = stack.enter_context(open_regular(path))
        except OSError as error:
            report.unreadable(path, error)
        end = 0
        for part in _segments(run.folder, log, file, report):
            yield part.path, part
            end = part.facts.end
        if file is not None:
            skip = offset_of(file, end)
            yield from ((path, block) for block in read_blocks(path, report, file, skip))
            return  # a packed log beside it is a copy
    zipped = (run.folder / f"{log}{ending}" for ending in ENDINGS)
    if there := next((path for path in zipped if path.is_file()), None):
        for block in read_blocks(there, report):
            yield there, block if not end else _from_seq(block, end)


def _from_seq(block: Block | Lines, seq: int) -> Lines:
    """Return the lines with seq `seq` or later, or without one: segments hold the others."""
    lines = block.split() if isinstance(block, Block) else block
    kept = [i for i, line in enumerate(lines.lines) if not _is_before(line, seq)]
    return Lines([lines.lines[i] for i in kept], [lines.numbers[i] for i in kept], lines.torn)


def _is_before(line: bytes, seq: int) -> bool:
    try:
        return seq_of(line) < seq
    except REFUSALS:
        return False


class Entry(NamedTuple):
    """A parsed record or input, or a line still to be parsed, and its place."""

    path: Path
    number: int
    found: Record | Input | None
    line: bytes = b""
    torn: bool = False

    def refuse(self, report: Report, what: str, error: Exception) -> None:
        """Note that the line is not a `what`, with a reason by the parser's `error`."""
        why = f"not a valid {what} ({cause(self.line, error)})"
        report.fault("torn" if self.torn else "bad", self.path, self.number, why)


def read_entries(
    run: RunFiles, log: str, report: Report, kinds: frozenset[str] | None = None
) -> Iterator[Entry]:
    """Yield the entries of one log one by one, without blank lines: see :func:`read_parts`.

    With `kinds`, other types of records may be left out, too.
    """
    wanted = _not_blank if kinds is None else _mentioning(kinds)
    for path, part in read_parts(run, log, report):
        if not isinstance(part, Block | Lines):
            for number, found in part.rows(kinds):
                if not isinstance(found, bytes):
                    yield Entry(path, number, found)
                elif wanted(found):
                    yield Entry(path, number, None, found)
            continue
        if isinstance(part, Block) and not wanted(part.content):
            continue  # one search skips a whole block
        lines = part.split() if isinstance(part, Block) else part
        for number, line in zip(lines.numbers, lines.lines, strict=True):
            if wanted(line):
                yield Entry(path, number, None, line, lines.torn)


def _not_blank(content: bytes) -> bool:
    return bool(content) and not content.isspace()


def _mentioning(kinds: frozenset[str]) -> Callable[[bytes], object]:
    """Return a function that tells whether lines may contain a record of these types."""
    names = b"|".join(re.escape(kind.encode()) for kind in sorted(kinds))
    return re.compile(rb'"type"\s*:\s*"(?:' + names + rb')"').search


def _segments(folder: Path, log: str, file: BufferedReader | None, report: Report) -> Iterator[Segment]:
    end = 0

    def still_there() -> bool:
        first = None if file is None else first_seq(file)
        return first is not None and first <= end

    def instead() -> str:
        return f"{log} still has its lines" if still_there() else "its lines are missing"

    for _, path in segments_of(folder, log.removesuffix(".jsonl")):
        segment = _segment(path, log, report, instead)
        if segment is None and still_there():
            return  # the JSON Lines also hold everything after it
        if segment is not None and segment.facts.end > end:
            yield segment
            end = segment.facts.end


def _segment(path: Path, log: str, report: Report, instead: Callable[[], str]) -> Segment | None:
    """Return a segment; None when it is not sound, which is noted."""
    from chronoflux.telemetry.format.segments import KINDS, Segment  # imports Arrow only for segments

    try:
        return Segment.read(path, next(kind for kind in KINDS if kind.log == log))
    except LogError as error:
        report.fault("segments", path, None, f"{error.reason}; {instead()}")
        return None
