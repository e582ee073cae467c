"""Schedules as TOML text: ``[[entry]]`` tables with times like ``"2h30m"``.

::

    start = 2026-11-23T22:00:00Z    # mesh time of second 0, the same on every node; default: the run's start

    [[entry]]
    every = "5s"                    # first after 5 s; at = "1m" or between = ["10m", "8h"] set another start
    probability = 0.3
    jitter = "2s"
    event = "intent"
    E = 0.5                         # the event's data

    [[entry]]
    at = "1h"
    set = { kappa = 1.2 }

    [[entry]]
    at = "2h"
    over = "1h"
    ramp = { kappa = [0.0, 2.0] }
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chronoflux.errors import ParameterError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.schedule import Entry, Schedule, duration

TIMES = ("at", "every", "jitter", "over")
HEADER = re.compile(r"\s*\[\[\s*entry\s*\]\]\s*(#.*)?")


def parse(text: str, name: str, seed: int, params: Params) -> Schedule:
    """The schedule in `text`, for a swarm of `params`; `name`: the file's name, for messages.

    Raises
    ------
    UsageError
        It names file and line, the value and what is allowed.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        where = f"{name}:{place[1]}" if place else name
        raise UsageError(f"{where}: not TOML: {error}") from None
    lines = [number for number, line in enumerate(text.splitlines(), 1) if HEADER.fullmatch(line)]
    tables = table.pop("entry", [])
    if not isinstance(tables, list) or not tables or len(lines) != len(tables):
        raise UsageError(f"{name}: a schedule has one or more tables that begin with a line [[entry]]")
    start = _start(table.pop("start", None), name)
    if table:
        raise UsageError(f"{name}: {min(table)} is unknown; a schedule has start and [[entry]] tables")
    entries = []
    for line, one in zip(lines, tables, strict=True):
        try:
            entries.append(_entry(one))
            entries[-1].check(params)
        except ParameterError as error:
            raise UsageError(f"{name}:{_line_of(error.name, text, line)}: {error}") from None
    return Schedule(name, entries, seed, params=params, start=start, text=text)


def moment(text: str) -> float:
    """Milliseconds since the Unix epoch of an ISO 8601 time with an offset, as ``2026-11-23T22:00:00Z``.

    Raises
    ------
    ParameterError
        When the text has another form.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise ParameterError("start", text, "a time with its offset, as 2026-11-23T22:00:00Z")
    return when.astimezone(UTC).timestamp() * 1000


def _start(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        return moment(value.isoformat() if isinstance(value, datetime) else str(value))
    except ParameterError as error:
        raise UsageError(f"{name}: {error}") from None


def _entry(table: Mapping[str, Any]) -> Entry:
    facts = dict(table)
    times = {key: _seconds(key, facts.pop(key)) for key in TIMES if key in facts}
    begin, until = _window(facts.pop("between", None))
    first = times.pop("at", begin if begin is not None else times.get("every"))
    if first is None:
        raise ParameterError("at", None, "a time: at, every or between")
    if begin is not None and "every" not in times:
        raise ParameterError("between", [begin, until], "together with every")
    if begin is not None and first < begin:
        raise ParameterError("at", first, f"within between, from {begin:g} s")
    more: dict[str, Any] = dict(times)
    if "probability" in facts:
        more["probability"] = _number("probability", facts.pop("probability"))
    if "set" in facts:
        more["change"] = _table("set", facts.pop("set"))
    if "ramp" in facts:
        ramp = _table("ramp", facts.pop("ramp"))
        more["ramp"] = {name: _ends(name, ends) for name, ends in ramp.items()}
    if "event" in facts:
        more |= {"event": str(facts.pop("event")), "data": facts}
    elif facts:
        raise ParameterError(min(facts), facts[min(facts)], "no such field without an event")
    return Entry(first=first, until=until, **more)


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, str):
        try:
            return duration(value)
        except ParameterError as error:
            raise ParameterError(name, value, error.allowed) from None
    return _number(name, value)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(name, value, "a number")
    return float(value)


def _window(value: Any) -> tuple[float | None, float]:
    if value is None:
        return None, float("inf")
    if not isinstance(value, list) or len(value) != 2:
        raise ParameterError("between", value, 'two times, as ["10m", "8h"]')
    return _seconds("between", value[0]), _seconds("between", value[1])


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise ParameterError(name, value, "parameters, as { kappa = … }")
    return value


def _ends(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ParameterError(f"ramp {name}", value, "two numbers, from and to")
    return _number(f"ramp {name}", value[0]), _number(f"ramp {name}", value[1])


def _line_of(name: str, text: str, header: int) -> int:
    """The line of a field in the entry that begins at line `header`; `header` if it is not there."""
    key = re.escape(name.rpartition(".")[2].rpartition(" ")[2])
    for number, line in enumerate(text.splitlines()[header:], header + 1):
        if line.lstrip().startswith("["):
            break
        if re.search(rf"(^|[{{,\s]){key}\s*=", line.partition("#")[0]):
            return number
    return header
