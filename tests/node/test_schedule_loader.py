"""Schedules by name, from a file and from a manifest, also on running nodes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chronoflux.errors import UsageError
from chronoflux.model.night import BLOCK, ROUND, start_before
from chronoflux.model.params import Params
from chronoflux.node.schedule_loader import open_schedule, recall_schedule, schedule_metadata
from tests.conftest import Joiner
from tests.support import until

PARAMS = Params(oscillators=20, kappa=0.3)
STEPS = """
[[entry]]
at = "1s"
set = { kappa = 1.2 }

[[entry]]
at = 2
event = "intent"
x = 100
"""


async def test_a_schedule_from_a_file(joined: Joiner, tmp_path: Path) -> None:
    """Parameters change and events fire at their ticks and are recorded; the manifest holds the file's
    text."""
    (tmp_path / "steps.toml").write_text(STEPS)
    node = await joined(server=None, params=PARAMS, schedule=tmp_path / "steps.toml")
    await until(lambda: (node.telemetry()["type"] == "intent").any())
    frame = node.telemetry().set_index("type")
    assert frame.loc["params", "tick"] == 63  # the first at or after 1 s, in ticks of 16 ms
    assert frame.loc["intent", "tick"] == 125
    assert frame.loc["intent", "data"]["x"] == 100
    assert node.params.kappa == 1.2
    assert "[[entry]]" in (node.path / "run.json").read_text()


async def test_a_schedule_on_mesh_time_is_taken_up_where_it_is(joined: Joiner, tmp_path: Path) -> None:
    """A node that joins an hour late has the parameters set by then and follows the rest; it fires no old
    events."""
    (tmp_path / "steps.toml").write_text(STEPS + '\n[[entry]]\nat = "1h3s"\nset = { eta = 0.5 }\n')
    begin = time.time() - 3600
    start = datetime.fromtimestamp(begin, UTC).isoformat()
    node = await joined(server=None, params=PARAMS, schedule=tmp_path / "steps.toml", schedule_start=start)
    await until(lambda: node.params.kappa == 1.2)
    await until(lambda: node.params.eta == 0.5, timeout=20)
    frame = node.telemetry()
    changes = frame[frame["type"] == "params"]
    if len(changes) == 2:  # else joining took the three seconds
        assert abs(changes["at"].iloc[1] - (begin + 3603) * 1000) < 200
    assert not (frame["type"] == "intent").any()


def test_by_name_or_file(tmp_path: Path) -> None:
    """A schedule is a known name or a file; its start can be given; anything else is refused."""
    path = tmp_path / "night.toml"
    path.write_text(STEPS)
    night = open_schedule(path, 1, Params(), start="1970-01-01T00:00:02Z")
    assert (night.name, night.start, night.text) == ("night.toml", 2000, STEPS)
    assert open_schedule(None, 1, Params()).name == "none"
    assert open_schedule("classic", 1, Params()).text is None
    again = recall_schedule({"schedule": night.name, **schedule_metadata(night)}, 1, Params())
    assert (again.start, again.text) == (night.start, night.text)
    assert again.due(1e5, Params().world) == night.due(1e5, Params().world)
    for missing in (tmp_path / "day.toml", tmp_path, "daily"):
        with pytest.raises(UsageError, match="classic, none, night or a TOML file"):
            open_schedule(missing, 1, Params())


def test_it_is_recalled_from_a_manifest() -> None:
    """A resumed run has the same night: the manifest holds its start and room."""
    schedule = open_schedule("night", 5, Params(), room="room1")
    assert schedule.start is not None
    assert schedule.start == start_before(schedule.start)
    again = recall_schedule({"schedule": "night", "room": "room1"} | schedule_metadata(schedule), 5, Params())
    world = Params().world
    assert again.due(BLOCK * len(ROUND), world) == schedule.due(BLOCK * len(ROUND), world)


def test_its_beginning_cannot_be_chosen() -> None:
    """The night starts by mesh time, so that all nodes agree; another start is refused."""
    with pytest.raises(UsageError, match="mesh time"):
        open_schedule("night", 5, Params(), room="r", start="2026-11-23T22:00:00Z")
