"""A schedule by its name or from its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoflux.errors import UsageError
from chronoflux.model import schedule_file
from chronoflux.model.params import Params
from chronoflux.model.schedule import SCHEDULES, Schedule


def open_schedule(
    given: str | Path | None, seed: int, params: Params, *, start: str | None = None
) -> Schedule:
    """The schedule called `given`, none, or that of the TOML file `given`.

    `start` (ISO 8601 with offset) is the mesh time of its second 0 in place of what the file says.

    Raises
    ------
    UsageError
        When there is no such schedule and no such file, or the file says something wrong.
    ParameterError
        When `start` is no such time.
    """
    name = str(given or "none")
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
    if text is None:
        schedule = open_schedule(name, seed, params)
    else:
        schedule = schedule_file.parse(str(text), name, seed, params)
    schedule.start = facts.get("schedule_start")
    return schedule


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"schedule {path} cannot be read ({reason}): give {', '.join(SCHEDULES)} or a TOML file"
        ) from None
