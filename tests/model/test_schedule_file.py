"""Schedules as TOML."""

from __future__ import annotations

import pytest

from chronoflux.errors import ParameterError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.schedule_file import moment, parse

NIGHT = """
start = 2026-11-23T22:00:00Z

[[entry]]
every = "5s"
between = ["10s", "31s"]
event = "intent"
E = 0.5
x = 10

[[entry]]  # both at once
at = "1m"
set = { kappa = 1.2, eta = 0.1 }

[[entry]]
at = 120
over = "4s"
ramp = { kappa = [0, 2] }
"""


def test_a_file_does_what_it_says() -> None:
    """Events with their data within a window, parameters, a ramp, and the mesh time it begins at."""
    night = parse(NIGHT, "night.toml", 1, Params())
    assert night.start == 1_795_471_200_000
    done = night.due(1e6, Params().world)
    assert [action.t for action in done] == [10, 15, 20, 25, 30, 60, 120, 121, 122, 123, 124]
    assert all(action.data["E"] == 0.5 and action.data["x"] == 10 for action in done[:5])
    assert done[5].data == {"kappa": 1.2, "eta": 0.1}
    assert [action.data["kappa"] for action in done[6:]] == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize(
    ("wrong", "right", "line", "word"),
    [
        ('every = "5s"', 'every = "5x"', 5, "every"),
        ('every = "5s"', "every = true", 5, "every"),
        ("E = 0.5", "E = 50.0", 4, "intent"),
        ("E = 0.5", "F = 0.5", 8, "F"),
        ("x = 10", "x = 810", 9, "800"),
        ('event = "intent"', 'event = "quake"', 7, "quake"),
        ("kappa = 1.2", "kapa = 1.2", 13, "kapa"),
        ("eta = 0.1", "eta = -0.1", 13, "eta"),
        ("ramp = { kappa = [0, 2] }", "ramp = { kappa = [0, 2000] }", 18, "kappa"),
        ("ramp = { kappa = [0, 2] }", "ramp = { kappa = [0] }", 18, "two numbers"),
        ("ramp = { kappa = [0, 2] }", "", 15, "exactly one"),
        ('at = "1m"', "", 11, "at, every or between"),
        ('at = "1m"', 'at = "1m', 12, "TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line(wrong: str, right: str, line: int, word: str) -> None:
    """File, line, what was given and what is wanted."""
    assert wrong in NIGHT
    with pytest.raises(UsageError, match=rf"night\.toml:{line}: .*{word}"):
        parse(NIGHT.replace(wrong, right), "night.toml", 1, Params())


@pytest.mark.parametrize("text", ["", "entry = 3", 'stat = 1\n[[entry]]\nat = 1\nevent = "intent"'])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    """A file without entries, or with unknown fields, is refused by its name."""
    with pytest.raises(UsageError, match=r"night\.toml"):
        parse(text, "night.toml", 1, Params())


def test_moments() -> None:
    """Times need an offset, and are milliseconds since the epoch."""
    assert moment("1970-01-01T01:00:01+01:00") == 1000
    for text in ("2026-11-23T22:00:00", "soon", ""):
        with pytest.raises(ParameterError, match="offset"):
            moment(text)
