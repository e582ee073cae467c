"""A sweep on disk: a folder a run, whose mark is there when it is done, and the result beside them.

``runs/<id>/run.json`` says what the run is, ``done.json`` holds its values, is written in one step, and is
the mark that it is done; ``failed.json`` says why one failed. ``results.zarr`` is made from these and may
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
"""Marks are read on so many threads: a finished sweep should cost nothing, also on a network's disk."""


class Folder:
    """The folder of a sweep, made if it is not there.

    Raises
    ------
    UsageError
        When it cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._runs = self.path / "runs"
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"out = {self.path}: cannot be made a folder ({error.strerror})") from error

    def finished(self, runs: Iterable[Run]) -> dict[str, Outcome]:
        """Those of the runs that are done, by id. A mark that cannot be read counts for nothing."""
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
        """Write down how a run ended; its mark last.

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
        """Put the result, as far as there is one, in place of the one that was there."""
        new, old, place = (self.path / name for name in (f"{RESULTS}.new", f"{RESULTS}.old", RESULTS))
        try:
            for rest in (new, old):
                shutil.rmtree(rest, ignore_errors=True)
            data.to_zarr(new, zarr_format=2, consolidated=True)  # 3 has no standard for words yet
            if place.exists():
                place.rename(old)
            new.rename(place)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise LogError(place, f"cannot be written ({error.strerror or error})") from error


def _write(path: Path, facts: dict[str, Any]) -> None:
    """Write JSON in one step: whoever looks sees all of it or nothing."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")
    part.replace(path)


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity: these are words, which ``float`` reads."""
    return value if math.isfinite(value) else repr(value)
