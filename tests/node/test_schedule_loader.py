"""Schedules on running nodes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from chronoflux.model.params import Params
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
    """Parameters change and events fire at their ticks, are on record, and the file's text is kept."""
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
    """Who joins an hour late has the parameters set by then and misses no more; it fires no old events."""
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
