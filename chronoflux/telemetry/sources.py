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
from chronoflux.telemetry.compressed import ENDINGS, Damage, content_of
from chronoflux.telemetry.folder import INPUTS, LOG, MANIFEST, segments_of
from chronoflux.telemetry.records import REFUSALS
from chronoflux.telemetry.report import Report

Source: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

LOOKED_FOR = (
    f"a run folder ({MANIFEST}, {LOG}), a folder of them, a .jsonl or .json file, also .gz or .zst, or a "
    "closed segment or export of a log (.parquet)"
)
SUFFIXES = tuple(kind + ending for kind in (".jsonl", ".json") for ending in ("", *ENDINGS))
CHUNK = 1 << 21  # bytes read at once
_STEM = LOG.removesuffix(".jsonl")
_SEGMENT = re.compile(rf"{_STEM}-\d+\.parquet")
_OF_INPUTS = re.compile(rf"{INPUTS.removesuffix('.jsonl')}-\d+\.parquet")
_LOGS = (LOG, *(LOG + ending for ending in ENDINGS))
_NO_LOGS = (MANIFEST, *(INPUTS + ending for ending in ("", *ENDINGS)))
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RunFiles:
    """The files of one run in their order, and its folder.

    `whole`: all of its files, also those to come; `exported`: a frame of :func:`load <chronoflux.load>`, of
    one run or several, in which what was wrong with them has been told.
    """

    name: str
    files: tuple[Path, ...]
    folder: Path | None = None
    whole: bool = False
    exported: bool = False


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


def find_runs(source: Source) -> list[RunFiles]:
    """The runs and files that `source` names: a run folder, a folder of runs, a file, a glob, or a list.

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
    runs: dict[tuple[Path, ...], RunFiles] = {}
    for name in names:
        found = [run for path in _expand(os.fspath(name)) for run in _runs_at(path)]
        if not found:
            raise LogError(os.fspath(name), f"no log here; looked for {LOOKED_FOR}")
        for run in found:
            files = run.files or (run.folder or Path(),)
            runs.setdefault(tuple(file.resolve() for file in files), run)
    return list(runs.values())


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
    paths = [Path(match) for match in matches]
    kept = [path for path in paths if path.is_dir() or _looks_like_log(path.name, named=True)]
    return kept or paths


def _runs_at(path: Path) -> list[RunFiles]:
    if not path.is_dir():
        return [_single_file(path)]
    if run := _run_folder(path):
        return [run]
    found = []
    for folder, below, files in os.walk(path, onerror=_refuse):
        below.sort()
        for name in tuple(below):
            if run := _run_folder(Path(folder, name)):
                below.remove(name)
                found.append(run)
        found += [_single_file(Path(folder, name)) for name in sorted(files) if _looks_like_log(name)]
    return found


def _refuse(error: OSError) -> None:
    raise LogError(error.filename, f"cannot be read ({error.strerror})") from error


def _looks_like_log(name: str, *, named: bool = False) -> bool:
    """`named`: not just found beside others; then any Parquet file but one of inputs may be meant."""
    if name.endswith(".parquet") and not name.startswith("."):
        return bool(_SEGMENT.fullmatch(name)) or (named and not _OF_INPUTS.fullmatch(name))
    return name.endswith(SUFFIXES) and name not in _NO_LOGS and not name.startswith(".")


def _run_folder(folder: Path) -> RunFiles | None:
    try:
        files = [path for _, path in segments_of(folder, _STEM)]
    except OSError as error:
        raise LogError(folder, f"cannot be read ({error.strerror})") from error
    files += [file for file in (folder / name for name in _LOGS) if file.is_file()]
    if not files and not (folder / MANIFEST).is_file():
        return None
    return RunFiles(folder.resolve().name, tuple(files), folder, whole=True)


def _single_file(path: Path) -> RunFiles:
    if path.name in _LOGS or _SEGMENT.fullmatch(path.name):
        folder = path.resolve().parent
        return RunFiles(folder.name, (path,), folder)
    if path.suffix == ".parquet":
        from chronoflux.telemetry.exported import is_export  # Arrow: only where there is Parquet

        return RunFiles(path.stem, (path,), exported=is_export(path))
    name = path.name
    for ending in (*ENDINGS, ".jsonl", ".json"):
        name = name.removesuffix(ending)
    return RunFiles(name, (path,))


def read_manifest(run: RunFiles, report: Report) -> dict[str, Any]:
    """``run.json`` of a run; empty when it has none or it cannot be read, which is noted."""
    if run.folder is None or not (run.folder / MANIFEST).exists():
        return {}
    path = run.folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, *REFUSALS) as error:
        report.fault("manifests", path, None, f"not a manifest ({error})")
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

    Raises
    ------
    LogError
        When the file cannot be opened or read.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = opened or stack.enter_context(open(path, "rb"))
            file.seek(0)
            number = 1 + sum(file.read(min(CHUNK, skip - at)).count(b"\n") for at in range(0, skip, CHUNK))
        except OSError as error:
            raise LogError(path, f"cannot be read ({error.strerror})") from error
        is_array = _is_array(path, file, skip)
        chunks = content_of(path, file, skip, CHUNK)
        if is_array:
            yield from _array_elements(path, chunks, report)
        else:
            yield from _split_lines(path, chunks, report, number)


def _is_array(path: Path, file: BufferedReader, skip: int) -> bool:
    with contextlib.closing(content_of(path, file, skip, 1 << 12)) as content:
        try:
            return next(content, b"").removeprefix(_BOM).lstrip().startswith(b"[")
        except Damage:
            return False  # it is found again, and noted, where the content is read


def _split_lines(path: Path, chunks: Iterator[bytes], report: Report, number: int) -> Iterator[Block | Lines]:
    tail, damage = [b""], None
    try:
        for chunk in chunks:
            cut = chunk.rfind(b"\n") + 1
            if not cut:
                tail.append(chunk)
                continue
            content = b"".join((*tail, chunk[:cut]))
            yield Block(content.removeprefix(_BOM) if number == 1 else content, number)
            number, tail = number + content.count(b"\n"), [chunk[cut:]]
    except Damage as error:
        damage = error
    if last := b"".join(tail):
        yield Lines([last.removeprefix(_BOM) if number == 1 else last], [number], torn=True)
    if damage:
        report.fault("torn", path, number, damage.reason)


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
