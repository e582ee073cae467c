"""Where in a log of JSON Lines a seq is."""

from __future__ import annotations

import contextlib
from io import BufferedReader

from chronoflux.telemetry.format.records import REFUSALS, seq_of


def first_seq(file: BufferedReader) -> int | None:
    """The seq of the first line of a log that has one."""
    found = _next_numbered(file, 0, file.seek(0, 2))
    return None if found is None else found[1]


def offset_of(file: BufferedReader, seq: int) -> int:
    """Where in a log the last line ends whose seq is below `seq`. Lines are in the order of theirs."""
    low, high = 0, file.seek(0, 2) if seq > 0 else 0
    while low < high:  # up to `low` all are below; no line that begins at `high` or later is
        middle = (low + high) // 2
        found = _next_numbered(file, middle, high)
        if found is None or found[1] >= seq:
            high = middle
        else:
            low = found[0]
    return low


def _next_numbered(file: BufferedReader, start: int, end: int) -> tuple[int, int] | None:
    """Of the first whole line with a seq that begins in ``start ≤ place < end``: its end, and the seq."""
    if start:
        file.seek(start - 1)
        file.readline()  # the rest of the line before, if only its newline
    else:
        file.seek(0)
    place = file.tell()
    while place < end:
        line = file.readline()
        place += len(line)
        if not line.endswith(b"\n"):
            break
        with contextlib.suppress(*REFUSALS):
            return place, seq_of(line)
    return None
