"""Discovery of logs: run folders, single files and globs, and their manifests."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from chronoflux.errors import LogError
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import INPUTS, LOG, MANIFEST, check_regular, open_regular, segments_of
from chronoflux.telemetry.format.records import REFUSALS
from chronoflux.telemetry.read.decompress import ENDINGS

Source: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

LOOKED_FOR = (
    f"a run folder ({MANIFEST}, {LOG}), a folder of them, a .jsonl or .json file, also .gz or .zst, or a "
    "closed segment or export of a log (.parquet)"
)
SUFFIXES = tuple(kind + ending for kind in (".jsonl", ".json") for ending in ("", *ENDINGS))
_STEM = LOG.removesuffix(".jsonl")
_SEGMENT = re.compile(rf"{_STEM}-\d+\.parquet")
_OF_INPUTS = re.compile(rf"{INPUTS.removesuffix('.jsonl')}-\d+\.parquet")
_LOGS = (LOG, *(LOG + ending for ending in ENDINGS))
_NO_LOGS = (MANIFEST, *(INPUTS + ending for ending in ("", *ENDINGS)))
_SYSTEM = {"lost+found", "@eadir", "#recycle", "@recycle", "#snapshot", "$recycle.bin"}
_SYSTEM |= {"system volume information", "__macosx"}


@dataclass(frozen=True)
class RunFiles:
    """The files of one run in order, and its folder.

    `whole`: these are all files of the run, including future ones. `exported`: the file is an exported frame
    of :func:`load <chronoflux.load>`, of one or several runs, whose faults were already reported. `copies`:
    the same run elsewhere.
    """

    name: str
    files: tuple[Path, ...]
    folder: Path | None = None
    whole: bool = False
    exported: bool = False
    copies: tuple[RunFiles, ...] = ()

    @property
    def path(self) -> Path:
        """The run's folder, or its file."""
        return self.folder if self.whole and self.folder else self.files[0]


def find_runs(source: Source, report: Report | None = None) -> list[RunFiles]:
    """Find the runs and files that `source` names: a run folder, a folder of runs, a file, a glob, or a list.

    Hidden and system folders are left out. Unreadable entries beside readable ones are noted in `report`. One
    run may be found at several places; :func:`~chronoflux.telemetry.read.copies.distinct_runs` joins these.

    Raises
    ------
    LogError
        When nothing is found; the message says what was looked for.
    """
    if not isinstance(source, str | os.PathLike | Iterable):
        raise LogError(repr(source), f"is not a path; looked for {LOOKED_FOR}")
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not names:
        raise LogError("(empty list)", f"nothing to read; looked for {LOOKED_FOR}")
    report = Report() if report is None else report
    runs: dict[tuple[Path, ...], RunFiles] = {}
    for name in names:
        if not isinstance(name, str | os.PathLike):
            raise LogError(repr(name), f"is not a path; looked for {LOOKED_FOR}")
        faults = Report(strict=report.strict)
        found = [run for path in _expand(os.fspath(name)) for run in _runs_at(path, faults)]
        report.take(faults)
        if not found:
            if faults.first:  # it is the only entry
                raise faults.first
            raise LogError(os.fspath(name), f"holds no log; looked for {LOOKED_FOR}")
        for run in found:
            files = run.files or (run.folder or Path(),)
            runs.setdefault(tuple(file.resolve() for file in files), run)
    return list(runs.values())


def is_system(name: str) -> bool:
    """Return whether a name is hidden or the system's, such as trash, snapshots or thumbnails."""
    return name.startswith(".") or name.lower() in _SYSTEM


def _expand(name: str) -> list[Path]:
    path = Path(name)
    try:
        if path.exists():
            return [path]
        matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []
    except (OSError, ValueError) as error:  # a name that is too long or contains a NUL
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
    """Return whether a name is a log's; if the user `named` it, any Parquet file but one of inputs is."""
    if name.endswith(".parquet") and not name.startswith("."):
        return bool(_SEGMENT.fullmatch(name)) or (named and not _OF_INPUTS.fullmatch(name))
    return name.endswith(SUFFIXES) and name not in _NO_LOGS and not name.startswith(".")


def _run_folder(folder: Path, report: Report) -> list[RunFiles]:
    """Return the run in a folder, if any; a packed log beside the plain one is a copy. Raises OSError."""
    segments = [path for _, path in segments_of(folder, _STEM)]
    logs = [folder / name for name in _LOGS if os.path.lexists(folder / name)]
    # An unreadable plain log is reported where it is opened, however it is found.
    logs = [path for path in logs if _is_readable(path, Report() if path.name == LOG else report)]
    name = folder.resolve().name
    if not segments and not logs and not (folder / MANIFEST).is_file():
        return []
    run = RunFiles(name, (*segments, *logs[:1]), folder, whole=True)
    return [run, *(RunFiles(name, (path,), folder) for path in logs[1:])]


def _is_readable(path: Path, report: Report) -> bool:
    """Return whether `path` is a regular file; if not, note it."""
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
        from chronoflux.telemetry.read.parquet_export import is_export  # imports Arrow only for Parquet

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
    """Return ``run.json`` of a run. Empty when it is missing or, which is noted, unreadable."""
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
