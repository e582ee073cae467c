"""`Rotator`: closes segments of a run's log while the run goes on, on a thread of its own.

A rotation has two steps. First, whole lines that are in no segment yet are *published* as Parquet, inputs
before records. A minute later these lines are *trimmed* off the JSON Lines, if the segments, read back and
compared with their checksums, have as many rows. The delay ensures that a copy of the folder made meanwhile
contains the segments or the untrimmed log. A run killed in between has some lines twice, which readers
handle, and loses none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chronoflux.errors import LogError
from chronoflux.telemetry.format.layout import INPUTS, LOG, open_log, segments_of, sync
from chronoflux.telemetry.format.seek import first_seq, offset_of
from chronoflux.telemetry.write.appender import Appender
from chronoflux.telemetry.write.worker_thread import WorkerThread

if TYPE_CHECKING:
    from chronoflux.telemetry.format.segment_encode import Kind
    from chronoflux.telemetry.format.segments import Segment

AGE = 3600.0
"""Age in seconds at which a segment is closed."""
SIZE = 64 << 20
"""Size of the JSON Lines in bytes at which a segment is closed."""
TRIM_AFTER = 60.0
"""Seconds between publishing a segment and trimming its lines off the JSON Lines."""
RETRY_EVERY = 60.0
"""Seconds between two attempts while rotation fails."""
_LINES = 1024  # lines packed at once: bounds the memory of a node that runs for days
_EVERY = 2**63  # above every seq

logger: logging.Logger = logging.getLogger(__name__)


class Rotator(WorkerThread):
    """Rotate both logs of a run by age, by size (:meth:`watch`) and on request.

    `flush_log` is called first and writes everything logged so far to the files. `trim` removes a number of
    bytes from the beginning of a log, or raises OSError.
    """

    TASK: str = "segments"

    def __init__(
        self, folder: Path, flush_log: Callable[[], object], trim: Callable[[str, int], None]
    ) -> None:
        super().__init__(folder)
        self._flush_log, self._trim = flush_log, trim
        self._wanted = False  # guarded by `_wake`, like `_next`
        self._next = time.monotonic() + AGE
        self._not_before = 0.0

        self._base: dict[str, int] = {}  # bytes of each log that are in segments
        self._trims: list[tuple[float, str, int]] = []  # time, log, seq limit
        for log in (INPUTS, LOG):
            if segments_of(folder, log.removesuffix(".jsonl")):  # a resumed run
                self._trims.append((time.monotonic() + TRIM_AFTER, log, _EVERY))
        if self._trims:
            with self._wake:
                self._notify()

    def watch(self, sizes: Mapping[str, int]) -> None:
        """Rotate if due; `sizes` are the bytes of each log. Fast, never blocks."""
        now = time.monotonic()
        large = any(size - self._base.get(log, 0) >= SIZE for log, size in sizes.items())
        if (large or now >= self._next) and now >= self._not_before:
            self.request()

    def request(self) -> None:
        """Rotate at once on the rotator's thread. Never blocks."""
        with self._wake:
            if self._closing:
                return
            self._wanted = True
            self._next = time.monotonic() + AGE
            self._notify()

    # The rotator's thread

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._wake:
                wait = min((when for when, _, _ in self._trims), default=_EVERY) - time.monotonic()
                self._wake.wait_for(lambda: self._wanted or self._closing, max(0.0, min(wait, AGE)))
                wanted, closing, self._wanted = self._wanted, self._closing, False
            if wanted:
                self._attempt(self._publish)
            if not closing and any(when <= time.monotonic() for when, _, _ in self._trims):
                self._attempt(self._trim_due)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
            self.problem = None
        except (OSError, LogError) as error:
            self._not_before = now = time.monotonic() + RETRY_EVERY
            self._trims = [(max(when, now), log, seq) for when, log, seq in self._trims]
            self._next = min(self._next, now)
            reason = error.strerror or error if isinstance(error, OSError) else error
            if self.problem is None:
                self.problem = (
                    f"{self._folder}: the log cannot be rotated and continues in one file ({reason})"
                )
                logger.warning(self.problem)

    def _publish(self) -> None:
        from chronoflux.telemetry.format.segments import KINDS  # loads Arrow, on the first use only

        self._flush_log()
        for kind in KINDS:
            published = publish(self._folder, kind)
            self._base[kind.log] = published.size
            if published.end is not None:
                self._trims.append((time.monotonic() + TRIM_AFTER, kind.log, published.end))

    def _trim_due(self) -> None:
        from chronoflux.telemetry.format.segments import KINDS

        for kind in KINDS:
            due = [seq for when, log, seq in self._trims if log == kind.log and when <= time.monotonic()]
            if due:
                if size := trimmable(self._folder, kind, max(due)):
                    self._trim(kind.log, size)
                    self._base[kind.log] = max(0, self._base.get(kind.log, 0) - size)
                self._trims = [trim for trim in self._trims if trim[1] != kind.log or trim[2] not in due]


class Published(NamedTuple):
    """Bytes of a log that are now in segments, and the end seq of the new segment, if any."""

    size: int
    end: int | None


def publish(folder: Path, kind: Kind) -> Published:
    """Close a segment with the lines after the existing segments, up to the last whole line with a seq.

    Raises
    ------
    OSError
        When the log cannot be read or the segment cannot be written; nothing is changed then.
    """
    from chronoflux.telemetry.format.segments import write_segment

    due = next((segment.facts.end for segment in _newest_first(folder, kind, sound=True)), 0)
    path = folder / kind.log
    if not path.exists():
        return Published(0, None)
    with open(path, "rb") as file:
        start, stop = offset_of(file, due), offset_of(file, _EVERY)
        if stop <= start:
            return Published(stop, None)
        for log in (INPUTS, LOG):  # the segment survives a power loss: its records' inputs must, too
            _sync(folder / log)
        written = write_segment(folder, kind, _lines(file, start, stop), due)
    assert written is not None
    return Published(stop, written.end)


def trimmable(folder: Path, kind: Kind, below: int) -> int:
    """Return how many bytes at a log's beginning are in sound segments, for records with a seq below `below`.

    Raises
    ------
    LogError
        When a segment is damaged, or its number of rows is not the log's number of lines.
    OSError
        When the log cannot be read.
    """
    path = folder / kind.log
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        first = first_seq(file)
        end, rows = 0, 0
        for segment in _newest_first(folder, kind):
            if first is None or segment.facts.end <= first:
                break
            if segment.facts.end <= below:
                end, rows = max(end, segment.facts.end), rows + segment.facts.rows
        size = offset_of(file, end)
        lines = sum(len(some) for some in _lines(file, 0, size))
    if lines != rows:
        raise LogError(
            folder / kind.log, f"its segments have {rows} rows for {lines} lines: nothing is trimmed"
        )
    return size


def trim_log(folder: Path, log: str) -> int:
    """Remove the lines that sound segments hold from a log that is not being written. Return their number.

    Raises
    ------
    LogError, OSError
        As :func:`trimmable`; also OSError when the file cannot be replaced.
    """
    if not segments_of(folder, log.removesuffix(".jsonl")):
        return 0
    from chronoflux.telemetry.format.segments import KINDS

    size = trimmable(folder, next(kind for kind in KINDS if kind.log == log), _EVERY)
    if not size:
        return 0
    with open(folder / log, "rb") as file:
        lines = sum(len(some) for some in _lines(file, 0, size))
    Appender(folder / log, open_log).trim(size)
    return lines


def _newest_first(folder: Path, kind: Kind, *, sound: bool = False) -> Iterator[Segment]:
    """Yield a log's segments, newest first. Damaged ones are skipped with `sound`, else raise LogError."""
    from chronoflux.telemetry.format.segments import Segment

    for _, path in reversed(segments_of(folder, kind.stem)):
        try:
            segment = Segment.read(path, kind)
        except LogError:
            if not sound:
                raise
        else:
            yield segment


def _lines(file: BufferedReader, start: int, stop: int) -> Iterator[list[bytes]]:
    """Yield the whole lines of a part of a file without newlines, up to 1024 at a time."""
    file.seek(start)
    while file.tell() < stop:
        some: list[bytes] = []
        while len(some) < _LINES and file.tell() < stop:
            some.append(file.readline().removesuffix(b"\n"))
        yield some


def _sync(path: Path) -> None:
    if path.exists():
        with open(path, "rb") as file:
            sync(file)
