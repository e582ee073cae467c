"""A schedule by its name or from its file."""

from __future__ import annotations

from pathlib import Path

from chronoflux.errors import UsageError
from chronoflux.model import schedule_file
from chronoflux.model.params import Params
from chronoflux.model.schedule import SCHEDULES, Schedule


def open_schedule(
    given: str | Path | None, seed: int, params: Params, *, start: str | None = None
) -> tuple[Schedule, str | None]:
    """The schedule called `given`, none, or that of the TOML file `given`; and the file's text.

    `start` (ISO 8601 with offset) is the mesh time of its second 0 in place of what the file says.

    Raises
    ------
    UsageError
        When there is no such schedule and no such file, or the file says something wrong.
    ParameterError
        When `start` is no such time.
    """
    name, text = str(given or "none"), None
    if name in SCHEDULES:
        schedule = Schedule(name, SCHEDULES[name], seed, params=params)
    else:
        text = _read(Path(name))
        schedule = schedule_file.parse(text, Path(name).name, seed, params)
    if start is not None:
        schedule.start = schedule_file.moment(start)
    return schedule, text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"schedule {path} cannot be read ({reason}): give {', '.join(SCHEDULES)} or a TOML file"
        ) from None
