"""Lines of logs, read from whole or damaged files."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import msgspec

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import open_regular
from chronoflux.telemetry.format.records import REFUSALS
from chronoflux.telemetry.read.causes import wide_encoding
from chronoflux.telemetry.read.decompress import Damage, content_of

CHUNK = 1 << 21  # bytes read at once
LONGEST = 32 << 20
"""Size in bytes from which a line is not a record and is not kept in memory."""
_BOM = b"\xef\xbb\xbf"
_NULS = re.compile(rb"\0+")


class Lines(NamedTuple):
    """Consecutive records as bytes with line numbers; when `torn`, one that may be incomplete."""

    lines: list[bytes]
    numbers: Sequence[int]
    torn: bool = False


class Block(NamedTuple):
    """Whole lines of a file, each with its newline, and the line number of the first."""

    content: bytes
    number: int

    def split(self) -> Lines:
        """Split the block into lines without newlines."""
        lines = self.content.split(b"\n")
        lines.pop()
        return Lines(lines, range(self.number, self.number + len(lines)))


def read_lines(path: Path, report: Report) -> Iterator[Lines]:
    """Yield the records of a log file as lines: see :func:`read_blocks`."""
    for block in read_blocks(path, report):
        yield block if isinstance(block, Lines) else block.split()


def read_blocks(
    path: Path, report: Report, opened: BufferedReader | None = None, skip: int = 0
) -> Iterator[Block | Lines]:
    """Yield the records of a log file as bytes: JSON Lines or a JSON array, plain, gzip or Zstandard.

    Damage of the file itself is noted in `report`; the records are not parsed. `opened` is the file, if it is
    already open; `skip` is a number of bytes, whole lines at the beginning, to leave out.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = opened or stack.enter_context(open_regular(path))
            file.seek(0)
            number = 1 + sum(file.read(min(CHUNK, skip - at)).count(b"\n") for at in range(0, skip, CHUNK))
        except OSError as error:
            report.unreadable(path, error)
            return
        head = _head(path, file, skip)
        if encoding := wide_encoding(head):
            remedy = f"iconv -f {encoding} -t UTF-8 FILE"
            report.fault("bad", path, 1, f"the file is {encoding}, not UTF-8: `{remedy}` converts it")
            return
        chunks = content_of(path, file, skip, CHUNK)
        if head.removeprefix(_BOM).lstrip().startswith(b"["):
            yield from _array_elements(path, chunks, report)
        else:
            yield from _split_lines(path, chunks, report, number)


def _head(path: Path, file: BufferedReader, skip: int) -> bytes:
    with contextlib.closing(content_of(path, file, skip, 1 << 12)) as content:
        try:
            return next(content, b"")
        except Damage:
            return b""  # it is found again, and noted, when the content is read


def _split_lines(path: Path, chunks: Iterator[bytes], report: Report, number: int) -> Iterator[Block | Lines]:
    tail, waiting, damage, overlong = [b""], 0, None, False
    try:
        for chunk in chunks:
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                waiting += len(chunk)
                overlong = overlong or waiting > LONGEST
                tail = [] if overlong else [*tail, chunk]
                continue
            if overlong:
                first = chunk.index(b"\n") + 1
                report.fault("bad", path, number, _TOO_LONG)
                chunk, cut, number, overlong = chunk[first:], cut - first, number + 1, False
            content = b"".join((*tail, chunk[:cut]))
            if content:
                block = Block(content.removeprefix(_BOM) if number == 1 else content, number)
                yield _without_nuls(path, block.split(), report) if b"\0" in content else block
            number, tail = number + content.count(b"\n"), [chunk[cut:]]
            waiting = len(tail[0])
    except Damage as error:
        damage = error
    if overlong:
        if damage is None:
            report.fault("bad", path, number, _TOO_LONG)
    elif last := b"".join(tail):
        lines = Lines([last.removeprefix(_BOM) if number == 1 else last], [number], torn=True)
        yield _without_nuls(path, lines, report) if b"\0" in last else lines
    if damage:
        report.fault("torn", path, number, damage.reason)


_TOO_LONG = f"not a valid record (a line of more than {LONGEST >> 20} MiB)"


def _without_nuls(path: Path, lines: Lines, report: Report) -> Lines:
    """Split lines at NULs: a crash may leave these where data were lost."""
    texts, numbers = [], []
    for text, number in zip(lines.lines, lines.numbers, strict=True):
        if b"\0" not in text:
            texts.append(text)
            numbers.append(number)
            continue
        report.fault("torn", path, number, f"{text.count(0)} NUL bytes, as a crash leaves them")
        pieces = [piece for piece in _NULS.split(text) if piece.strip()]
        texts += pieces
        numbers += [number] * len(pieces)
    return Lines(texts, numbers, lines.torn)


def _array_elements(path: Path, chunks: Iterator[bytes], report: Report) -> Iterator[Lines]:
    pieces, damage = [], None
    try:
        for chunk in chunks:
            pieces.append(chunk)
    except Damage as error:
        damage = error
    content = b"".join(pieces).removeprefix(_BOM)
    try:
        elements = [bytes(raw) for raw in msgspec.json.decode(content, type=list[msgspec.Raw])]
        yield Lines(elements, _line_numbers(content, elements))
    except REFUSALS:
        elements, closed = _salvage(content)
        numbers = _line_numbers(content, elements)
        if closed:
            yield Lines(elements, numbers)
        else:
            yield Lines(elements[:-1], numbers[:-1])
            yield Lines(elements[-1:], numbers[-1:], torn=True)
            if damage is None and elements and _is_json(elements[-1]):  # otherwise it is noted as torn itself
                report.fault("torn", path, content.count(b"\n") + 1, "the array ends early")
    if damage:
        report.fault("torn", path, content.count(b"\n") + 1, damage.reason)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except REFUSALS:
        return False
    return True


def _line_numbers(content: bytes, elements: list[bytes]) -> list[int]:
    numbers, number, at = [], 1, 0
    for element in elements:
        start = content.find(element, at)
        number += content.count(b"\n", at, start)
        numbers.append(number)
        at = start
    return numbers


_ELEMENT = re.compile(r'\{\s*"(?:timestamp|t|type)"\s*:')


def _salvage(content: bytes) -> tuple[list[bytes], bool]:
    """Return the elements of a damaged JSON array, and whether the array is closed.

    Unreadable text is one of the elements, cut where the next record seems to begin.
    """
    text = content.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    elements = []
    end = text.index("[") + 1
    while (start := text.find("{", end)) >= 0:
        elements.append(text[end:start].strip(" \t\r\n,"))
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            follower = _ELEMENT.search(text, start + 1)
            end = follower.start() if follower else len(text)
        elements.append(text[start:end])
    rest = text[end:].strip(" \t\r\n,")
    elements.append(rest.removeprefix("]"))
    return [piece.encode("utf-8", "surrogateescape") for piece in elements if piece], rest.startswith("]")
