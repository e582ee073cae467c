"""Where logs lie, and how their lines are got out of whole or damaged files."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from chronoflux.errors import LogError
from chronoflux.telemetry.causes import wide_encoding
from chronoflux.telemetry.compressed import ENDINGS, Damage, content_of
from chronoflux.telemetry.folder import (
    INPUTS,
    LOG,
    MANIFEST,
    check_regular,
    open_regular,
    segments_of,
)
from chronoflux.telemetry.records import REFUSALS
from chronoflux.telemetry.report import Report

Source: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

LOOKED_FOR = (
    f"a run folder ({MANIFEST}, {LOG}), a folder of them, a .jsonl or .json file, also .gz or .zst, or a "
    "closed segment or export of a log (.parquet)"
)
SUFFIXES = tuple(kind + ending for kind in (".jsonl", ".json") for ending in ("", *ENDINGS))
CHUNK = 1 << 21  # bytes read at once
LONGEST = 32 << 20
"""Bytes from which a line is no record, and is not kept in memory."""
_STEM = LOG.removesuffix(".jsonl")
_SEGMENT = re.compile(rf"{_STEM}-\d+\.parquet")
_OF_INPUTS = re.compile(rf"{INPUTS.removesuffix('.jsonl')}-\d+\.parquet")
_LOGS = (LOG, *(LOG + ending for ending in ENDINGS))
_NO_LOGS = (MANIFEST, *(INPUTS + ending for ending in ("", *ENDINGS)))
_BOM = b"\xef\xbb\xbf"
_SYSTEM = {"lost+found", "@eadir", "#recycle", "@recycle", "#snapshot", "$recycle.bin"}
_SYSTEM |= {"system volume information", "__macosx"}
_NULS = re.compile(rb"\0+")


@dataclass(frozen=True)
class RunFiles:
    """The files of one run in their order, and its folder.

    `whole`: all of its files, also those to come; `exported`: a frame of :func:`load <chronoflux.load>`, of
    one run or several, in which what was wrong with them has been told; `copies`: the same run elsewhere.
    """

    name: str
    files: tuple[Path, ...]
    folder: Path | None = None
    whole: bool = False
    exported: bool = False
    copies: tuple[RunFiles, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is: its folder, or its file."""
        return self.folder if self.whole and self.folder else self.files[0]


class Lines(NamedTuple):
    """Some consecutive records as bytes, their line numbers; or, `torn`, one that may be cut short."""

    lines: list[bytes]
    numbers: Sequence[int]
    torn: bool = False


class Block(NamedTuple):
    """Whole lines of a file, each with its newline, and the number of the first."""

    content: bytes
    number: int

    def split(self) -> Lines:
        """The same as lines without their newlines."""
        lines = self.content.split(b"\n")
        lines.pop()
        return Lines(lines, range(self.number, self.number + len(lines)))


def find_runs(source: Source, report: Report | None = None) -> list[RunFiles]:
    """The runs and files that `source` names: a run folder, a folder of runs, a file, a glob, or a list.

    Hidden and system folders are left out. Entries beside others that cannot be read are noted in `report`.
    The same run may be found at several places; :func:`~chronoflux.telemetry.copies.distinct_runs` tells.

    Raises
    ------
    LogError
        When there is nothing of that kind; it says what was looked for.
    """
    if not isinstance(source, str | os.PathLike | Iterable):
        raise LogError(repr(source), f"is no path; looked for {LOOKED_FOR}")
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not names:
        raise LogError("(empty list)", f"nothing to read; looked for {LOOKED_FOR}")
    report = Report() if report is None else report
    runs: dict[tuple[Path, ...], RunFiles] = {}
    for name in names:
        if not isinstance(name, str | os.PathLike):
            raise LogError(repr(name), f"is no path; looked for {LOOKED_FOR}")
        faults = Report(strict=report.strict)
        found = [run for path in _expand(os.fspath(name)) for run in _runs_at(path, faults)]
        report.take(faults)
        if not found:
            if faults.first:  # it is all there was
                raise faults.first
            raise LogError(os.fspath(name), f"no log here; looked for {LOOKED_FOR}")
        for run in found:
            files = run.files or (run.folder or Path(),)
            runs.setdefault(tuple(file.resolve() for file in files), run)
    return list(runs.values())


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or the system's: a trash, snapshots, thumbnails."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _expand(name: str) -> list[Path]:
    path = Path(name)
    try:
        if path.exists():
            return [path]
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        raise LogError(name, f"not a usable path ({error})") from error
    if not matches:
        raise LogError(name, f"does not exist; looked for {LOOKED_FOR}")
    named = set(path.parts)
    paths = [
        path for path in map(Path, matches) if not any(map(is_system, set(path.parts) - named - {"..", "."}))
    ]
    kept = [path for path in paths if path.is_dir() or _looks_like_log(path.name, named=True)]
    return kept or paths


def _runs_at(path: Path, report: Report) -> list[RunFiles]:
    if not path.is_dir():
        return list(_single_file(path, report))
    try:
        run = _run_folder(path, report)
    except OSError as error:
        report.unreadable(path, error)
        return []
    if run:
        return run
    found: list[RunFiles] = []

    def refuse(error: OSError) -> None:
        report.unreadable(Path(error.filename), error)

    for folder, below, files in os.walk(path, onerror=refuse):
        below[:] = sorted(name for name in below if not is_system(name))
        for name in tuple(below):
            try:
                run = _run_folder(Path(folder, name), report)
            except OSError as error:
                below.remove(name)
                refuse(error)
                continue
            if run:
                below.remove(name)
                found += run
        for name in sorted(files):
            if _looks_like_log(name):
                found += _single_file(Path(folder, name), report)
    return found


def _looks_like_log(name: str, *, named: bool = False) -> bool:
    """`named`: not just found beside others; then any Parquet file but one of inputs may be meant."""
    if name.endswith(".parquet") and not name.startswith("."):
        return bool(_SEGMENT.fullmatch(name)) or (named and not _OF_INPUTS.fullmatch(name))
    return name.endswith(SUFFIXES) and name not in _NO_LOGS and not name.startswith(".")


def _run_folder(folder: Path, report: Report) -> list[RunFiles]:
    """The run in a folder, if it is one; its log packed beside the plain one is a copy. Raises OSError."""
    segments = [path for _, path in segments_of(folder, _STEM)]
    logs = [folder / name for name in _LOGS if os.path.lexists(folder / name)]
    # What keeps the plain log from being read is noted where it is opened, however it is come by.
    logs = [path for path in logs if _is_readable(path, Report() if path.name == LOG else report)]
    name = folder.resolve().name
    if not segments and not logs and not (folder / MANIFEST).is_file():
        return []
    run = RunFiles(name, (*segments, *logs[:1]), folder, whole=True)
    return [run, *(RunFiles(name, (path,), folder) for path in logs[1:])]


def _is_readable(path: Path, report: Report) -> bool:
    """Whether there is a regular file; if not, it is noted."""
    try:
        check_regular(path)
    except OSError as error:
        report.unreadable(path, error)
        return False
    return True


def _single_file(path: Path, report: Report) -> Iterator[RunFiles]:
    if not _is_readable(path, report):
        return
    if path.name in _LOGS or _SEGMENT.fullmatch(path.name):
        folder = path.resolve().parent
        yield RunFiles(folder.name, (path,), folder)
        return
    if path.suffix == ".parquet":
        from chronoflux.telemetry.exported import is_export  # Arrow: only where there is Parquet

        try:
            yield RunFiles(path.stem, (path,), exported=is_export(path))
        except LogError as error:
            report.refuse(error)
        return
    name = path.name
    for ending in (*ENDINGS, ".jsonl", ".json"):
        name = name.removesuffix(ending)
    yield RunFiles(name, (path,))


def read_manifest(run: RunFiles, report: Report) -> dict[str, Any]:
    """``run.json`` of a run; empty when it has none or it cannot be read, which is noted."""
    if run.folder is None or not (run.folder / MANIFEST).exists():
        return {}
    path = run.folder / MANIFEST
    try:
        with open_regular(path) as file:
            return msgspec.json.decode(file.read(), type=dict[str, Any])
    except (OSError, *REFUSALS) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        report.fault("manifests", path, None, f"not a manifest ({why})")
        return {}


def read_lines(path: Path, report: Report) -> Iterator[Lines]:
    """The records of a log file, one by one; see :func:`read_blocks`."""
    for block in read_blocks(path, report):
        yield block if isinstance(block, Lines) else block.split()


def read_blocks(
    path: Path, report: Report, opened: BufferedReader | None = None, skip: int = 0
) -> Iterator[Block | Lines]:
    """The records of a log file as bytes: of JSON Lines or of a JSON array, plain, gzip or Zstandard.

    Damage to the file itself is noted in `report`; the records are not looked into. `opened`: the file, if it
    is open already; `skip`: so many bytes of whole lines at its beginning are left out.
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
            return b""  # it is found again, and noted, where the content is read


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


_TOO_LONG = f"no record (a line of more than {LONGEST >> 20} MiB)"


def _without_nuls(path: Path, lines: Lines, report: Report) -> Lines:
    """Lines with what stands before and behind NULs apart: a crash may leave these where data was lost."""
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
            if damage is None and elements and _is_json(elements[-1]):  # else it is noted as torn itself
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
    """The elements of a damaged JSON array, and whether the array is closed.

    What cannot be read is among the elements, cut where the next record seems to begin.
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
