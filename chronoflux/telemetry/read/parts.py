"""A run's log in the order it was written: its closed segments, and what the JSON Lines hold beyond them.

A segment is published first, and the lines that it holds are taken out of the JSON Lines later. So whoever
opens those *before* looking for segments, as is done here, misses nothing however often the log is rotated
meanwhile; what is in both is read once.
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
    """What one of a run's logs holds (`log`: ``telemetry.jsonl`` or ``inputs.jsonl``), by file.

    A damaged segment is noted in `report`; where its lines are still in the JSON Lines they are read there.
    So is a file that cannot be opened.
    """
    if log == LOG and not run.whole:
        for path in run.files:
            if run.exported:
                from chronoflux.telemetry.read.parquet_export import (
                    read_export,  # Arrow: only where there is Parquet
                )

                try:
                    yield from ((path, lines) for lines in read_export(path))
                except LogError as error:
                    report.refuse(error)
            elif path.suffix != ".parquet":
                yield from ((path, block) for block in read_blocks(path, report))
            elif (found := _segment(path, log, report, lambda: "no part of it is read")) is not None:
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
            return  # packed beside it is a copy
    zipped = (run.folder / f"{log}{ending}" for ending in ENDINGS)
    if there := next((path for path in zipped if path.is_file()), None):
        for block in read_blocks(there, report):
            yield there, block if not end else _from_seq(block, end)


def _from_seq(block: Block | Lines, seq: int) -> Lines:
    """The lines that are not in segments that end before `seq`."""
    lines = block.split() if isinstance(block, Block) else block
    kept = [i for i, line in enumerate(lines.lines) if not _is_before(line, seq)]
    return Lines([lines.lines[i] for i in kept], [lines.numbers[i] for i in kept], lines.torn)


def _is_before(line: bytes, seq: int) -> bool:
    try:
        return seq_of(line) < seq
    except REFUSALS:
        return False


class Entry(NamedTuple):
    """A record or input, or a line that is still to be parsed, and where it stands."""

    path: Path
    number: int
    found: Record | Input | None
    line: bytes = b""
    torn: bool = False

    def refuse(self, report: Report, what: str, error: Exception) -> None:
        """Note that the line is no `what`, as the parser's `error` shows."""
        why = f"no {what} ({cause(self.line, error)})"
        report.fault("torn" if self.torn else "bad", self.path, self.number, why)


def read_entries(
    run: RunFiles, log: str, report: Report, kinds: frozenset[str] | None = None
) -> Iterator[Entry]:
    """What one of a run's logs holds, one by one; blank lines are left out. See :func:`read_parts`.

    `kinds`: other types of records may be left out, too.
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
            continue  # a day's lines are looked through at once
        lines = part.split() if isinstance(part, Block) else part
        for number, line in zip(lines.numbers, lines.lines, strict=True):
            if wanted(line):
                yield Entry(path, number, None, line, lines.torn)


def _not_blank(content: bytes) -> bool:
    return bool(content) and not content.isspace()


def _mentioning(kinds: frozenset[str]) -> Callable[[bytes], object]:
    """Whether there may be a record of these types in some lines."""
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
            return  # and all that came after it is there as well
        if segment is not None and segment.facts.end > end:
            yield segment
            end = segment.facts.end


def _segment(path: Path, log: str, report: Report, instead: Callable[[], str]) -> Segment | None:
    """A segment, or None when it is not sound, which is noted."""
    from chronoflux.telemetry.format.segments import KINDS, Segment  # Arrow: only where there are segments

    try:
        return Segment.read(path, next(kind for kind in KINDS if kind.log == log))
    except LogError as error:
        report.fault("segments", path, None, f"{error.reason}; {instead()}")
        return None
