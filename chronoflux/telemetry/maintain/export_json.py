"""`export_json`: export a run as a JSON array, in the format of the first ChronoFlux's runner."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from chronoflux.errors import LogError
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import LOG, sync
from chronoflux.telemetry.format.records import OLD_TYPES, REFUSALS, Record, fields_of, parse, to_json
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.read.discovery import RunFiles, read_manifest
from chronoflux.telemetry.read.parts import read_entries

_OLD_NAMES = {new: old for old, new in OLD_TYPES.items()}


def export_json(run_folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write a run as one JSON array with one record per line. Return the file's path.

    A remote lion gate has its old name ``remote_portal``; each record includes its room, node and run, so
    that :func:`chronoflux.load` reads the same data back. An existing file is replaced atomically. Lines that
    are not records are left out, with one UserWarning.

    Raises
    ------
    LogError
        When `run_folder` is not exactly one run with records, or the file cannot be written.
    """
    runs = distinct_runs(os.fspath(run_folder))
    elsewhere = [copy for run in runs for copy in run.copies if copy.folder != run.folder]
    if (count := len(runs) + len(elsewhere)) != 1:
        raise LogError(os.fspath(run_folder), f"holds {count} runs: name the folder of one run")
    report = Report()
    target = Path(path)
    fresh = target.with_name(f".{target.name}.new")
    count = 0
    try:
        with open(fresh, "wb") as file:
            for record in _records(runs[0], report):
                file.write((b",\n" if count else b"[\n") + to_json(record))
                count += 1
            file.write(b"\n]\n")
            file.flush()
            sync(file)
        if not count:
            raise LogError(os.fspath(run_folder), "holds no record: there is nothing to export")
        os.replace(fresh, target)
    except OSError as error:
        raise LogError(target, f"cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):  # normally it has been renamed
            fresh.unlink()
    if summary := report.summary():
        warnings.warn(f"{summary}; the rest was exported", UserWarning, stacklevel=2)
    return target


def _records(run: RunFiles, report: Report) -> Iterator[dict[str, Any]]:
    manifest = read_manifest(run, report)
    origin = {name: manifest[name] for name in ("room", "node") if isinstance(manifest.get(name), str)}
    origin["run"] = run.name
    for entry in read_entries(run, LOG, report):
        if isinstance(entry.found, Record):
            record = fields_of(entry.found)
        else:
            try:
                parse(entry.line)
                record = msgspec.json.decode(entry.line, type=dict[str, Any])
            except REFUSALS as error:
                entry.refuse(report, "record", error)
                continue
        if "type" in record:
            record["type"] = _OLD_NAMES.get(record["type"], record["type"])
        yield record | {name: value for name, value in origin.items() if name not in record}
