"""Binary search for a seq in a log of JSON Lines."""

from __future__ import annotations

import contextlib
from io import BufferedReader

from chronoflux.telemetry.format.records import REFUSALS, seq_of


def first_seq(file: BufferedReader) -> int | None:
    """Return the seq of the first line that has one; None when no line has."""
    found = _next_numbered(file, 0, file.seek(0, 2))
    return None if found is None else found[1]


def offset_of(file: BufferedReader, seq: int) -> int:
    """Return the end of the last line with a seq below `seq`. Lines must be sorted by seq."""
    low, high = 0, file.seek(0, 2) if seq > 0 else 0
    while low < high:  # lines before `low` are below `seq`; lines from `high` on are not
        middle = (low + high) // 2
        found = _next_numbered(file, middle, high)
        if found is None or found[1] >= seq:
            high = middle
        else:
            low = found[0]
    return low


def _next_numbered(file: BufferedReader, start: int, end: int) -> tuple[int, int] | None:
    """Find the first whole line with a seq that begins in ``start ≤ place < end``. Return its end and seq."""
    if start:
        file.seek(start - 1)
        file.readline()  # skip the rest of the previous line, at least its newline
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
