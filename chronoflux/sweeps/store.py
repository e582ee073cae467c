"""Folder of a sweep: a subfolder with a done marker for each run, and the result.

``runs/<id>/run.json`` describes the run. ``done.json`` holds its values; it is written atomically and marks
the run as done. ``failed.json`` holds the error of a failed run. ``results.zarr`` is built from these and may
be deleted.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chronoflux.errors import LogError, UsageError
from chronoflux.sweeps.design import Run
from chronoflux.sweeps.task import Outcome
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import xarray

RESULTS = "results.zarr"
READERS = 8
"""Threads that read markers, so that reading a finished sweep is fast, also from a network disk."""


class Folder:
    """The folder of a sweep, created if missing.

    Raises
    ------
    UsageError
        When the folder cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._runs = self.path / "runs"
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"out = {self.path}: cannot be made a folder ({error.strerror})") from error

    def finished(self, runs: Iterable[Run]) -> dict[str, Outcome]:
        """Return the outcomes of finished runs by id. Unreadable markers are ignored."""
        with ThreadPoolExecutor(READERS) as readers:
            found = readers.map(self._outcome, [run.id for run in runs])
        return {outcome.id: outcome for outcome in found if outcome is not None}

    def _outcome(self, name: str) -> Outcome | None:
        try:
            saved = json.loads((self._runs / name / "done.json").read_bytes())
            values = {key: [float(value) for value in row] for key, row in saved["values"].items()}
            return Outcome(name, values, saved["units"], seconds=saved["seconds"], host=saved["host"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def keep(self, run: Run, outcome: Outcome) -> None:
        """Save how a run ended; its marker is written last.

        Raises
        ------
        LogError
            When it cannot be written.
        """
        folder = self._runs / run.id
        facts = {"id": run.id, "params": run.params.to_dict(), "extras": run.extras, "seed": run.seed}
        how = {"seconds": outcome.seconds, "host": outcome.host}
        try:
            folder.mkdir(exist_ok=True)
            _write(folder / "run.json", facts | {"version": VERSION})
            if outcome.error:
                _write(folder / "failed.json", {"error": outcome.error, "trace": outcome.trace})
                return
            values = {name: [_number(value) for value in row] for name, row in outcome.values.items()}
            _write(folder / "done.json", {"values": values, "units": outcome.units, **how})
            (folder / "failed.json").unlink(missing_ok=True)
        except OSError as error:
            raise LogError(folder, f"cannot be written ({error.strerror or error})") from error

    def publish(self, data: xarray.Dataset) -> None:
        """Replace the saved result with the result so far."""
        new, old, place = (self.path / name for name in (f"{RESULTS}.new", f"{RESULTS}.old", RESULTS))
        try:
            for rest in (new, old):
                shutil.rmtree(rest, ignore_errors=True)
            data.to_zarr(new, zarr_format=2, consolidated=True)  # format 3 has no standard for strings yet
            if place.exists():
                place.rename(old)
            new.rename(place)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise LogError(place, f"cannot be written ({error.strerror or error})") from error


def _write(path: Path, facts: dict[str, Any]) -> None:
    """Write JSON atomically: readers see all of it or nothing."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")
    part.replace(path)


def _number(value: float) -> float | str:
    """Return NaN and infinities, which JSON lacks, as strings that ``float`` accepts."""
    return value if math.isfinite(value) else repr(value)
