"""Schedules by name or from a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from chronoflux.errors import UsageError
from chronoflux.model import schedule_file
from chronoflux.model.night import night_entries, start_before
from chronoflux.model.params import Params
from chronoflux.model.schedule import SCHEDULES, Schedule

NIGHT = "night"
NAMES = (*SCHEDULES, NIGHT)
"""The names of schedules."""


def open_schedule(
    given: str | Path | None, seed: int, params: Params, *, room: str = "", start: str | None = None
) -> Schedule:
    """Return a schedule by its name or from its file.

    Parameters
    ----------
    given
        The name or the path of a TOML file; None: the schedule ``none``.
    seed
        Seed of what the schedule draws at random.
    params
        Parameters of the swarm, which the schedule changes.
    room
        The room, whose nodes all run the same ``night``.
    start
        Mesh time of second 0 of the schedule, ISO 8601 with offset; it takes precedence over the file's. The
        schedule ``night`` sets its own: the start of the present round, so that all nodes of a room are in
        the same block.

    Raises
    ------
    UsageError
        When there is no such schedule and no such file, or the file is invalid.
    ParameterError
        When `start` is not such a time.
    """
    name = str(given or "none")
    if name == NIGHT:
        if start is not None:
            raise UsageError("the schedule night starts by mesh time: leave out schedule_start (--at)")
        return _night(room, seed, params, start_before(1000 * time.time()))
    if name in SCHEDULES:
        schedule = Schedule(name, SCHEDULES[name], seed, params=params)
    else:
        schedule = schedule_file.parse(_read(Path(name)), Path(name).name, seed, params)
    if start is not None:
        schedule.start = schedule_file.moment(start)
    return schedule


def schedule_metadata(schedule: Schedule) -> dict[str, str | float]:
    """Return what a run's manifest holds of its schedule besides the name; `recall_schedule` reads it."""
    metadata = {"schedule_text": schedule.text, "schedule_start": schedule.start}
    return {name: value for name, value in metadata.items() if value is not None}


def recall_schedule(manifest: Mapping[str, object], seed: int, params: Params) -> Schedule:
    """Return the schedule of a past run from its manifest, without the file it came from.

    Raises
    ------
    UsageError
        When the manifest holds an invalid schedule.
    """
    name, text = str(manifest.get("schedule") or "none"), manifest.get("schedule_text")
    begin = manifest.get("schedule_start")
    start = float(begin) if isinstance(begin, int | float) else None
    if name == NIGHT:
        return _night(str(manifest.get("room", "")), seed, params, start or 0.0)
    if text is None:
        schedule = open_schedule(name, seed, params)
    else:
        schedule = schedule_file.parse(str(text), name, seed, params)
    schedule.start = start
    return schedule


def _night(room: str, seed: int, params: Params, start: float) -> Schedule:
    return Schedule(NIGHT, night_entries(room, seed, start), seed, params=params, start=start)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"schedule {path} cannot be read ({reason}): give {', '.join(NAMES)} or a TOML file"
        ) from None
