"""A schedule by its name or from its file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoflux.errors import UsageError
from chronoflux.model import schedule_file
from chronoflux.model.night import night_entries, start_before
from chronoflux.model.params import Params
from chronoflux.model.schedule import SCHEDULES, Schedule

NIGHT = "night"
NAMES = (*SCHEDULES, NIGHT)
"""Schedules by name."""


def open_schedule(
    given: str | Path | None, seed: int, params: Params, *, room: str = "", start: str | None = None
) -> Schedule:
    """The schedule called `given`, none, or that of the TOML file `given`, in a room.

    `start` (ISO 8601 with offset) is the mesh time of its second 0 in place of what the file says. `night`
    has it at the beginning of the present round, so that every node of the room is in the same block.

    Raises
    ------
    UsageError
        When there is no such schedule and no such file, or the file says something wrong.
    ParameterError
        When `start` is no such time.
    """
    name = str(given or "none")
    if name == NIGHT:
        if start is not None:
            raise UsageError("the schedule night goes by mesh time: leave out its beginning")
        return _night(room, seed, params, start_before(1000 * time.time()))
    if name in SCHEDULES:
        schedule = Schedule(name, SCHEDULES[name], seed, params=params)
    else:
        schedule = schedule_file.parse(_read(Path(name)), Path(name).name, seed, params)
    if start is not None:
        schedule.start = schedule_file.moment(start)
    return schedule


def facts_of(schedule: Schedule) -> dict[str, Any]:
    """What a run's manifest has to say of its schedule besides the name, to recall it."""
    facts = {"schedule_text": schedule.text, "schedule_start": schedule.start}
    return {name: value for name, value in facts.items() if value is not None}


def recall_schedule(facts: Mapping[str, Any], seed: int, params: Params) -> Schedule:
    """The schedule of a run from its manifest; the file it may have come from is not needed any more.

    Raises
    ------
    UsageError
        When the manifest's schedule is none.
    """
    name, text = str(facts.get("schedule") or "none"), facts.get("schedule_text")
    if name == NIGHT:
        return _night(str(facts.get("room", "")), seed, params, float(facts.get("schedule_start") or 0.0))
    if text is None:
        schedule = open_schedule(name, seed, params)
    else:
        schedule = schedule_file.parse(str(text), name, seed, params)
    schedule.start = facts.get("schedule_start")
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
