"""The measurements of mesh and server: that they measure, not what comes out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.bench.mesh import attackers, cases, median_of
from chronoflux.bench.mesh.attacked import attacked
from chronoflux.bench.mesh.cases import Figure, percentile
from chronoflux.bench.mesh.clients import enter
from chronoflux.signal.limits import Limits
from chronoflux.signal.server import SignalServer


@given(st.lists(st.integers(0, 1000), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    """At least the share is at most the percentile, and fewer are below any smaller value."""
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_several_runs_make_one_figure() -> None:
    """The value is the median, and the note tells the range."""
    [figure] = median_of([[Figure("x", value, "ms", 5.0)] for value in (9.0, 3.0, 4.0)])
    assert (figure.value, figure.met, figure.note) == (4.0, True, "3 runs: 3 to 9")


async def test_light_clients_join_and_count() -> None:
    """The light clients join, are told apart, time each other's telemetry, and lose no signal."""
    async with SignalServer(port=0, limits=Limits(messages=1e6)) as server:
        clients = await enter(server.url, ["a"] * 5)
        assert len({client.id for client in clients}) == 5
        sent = await cases.chatter(clients, 1.0, 20.0, 200)
        await asyncio.sleep(0.2)
        assert sum(client.signals for client in clients) == sent == 5
        assert sum(len(client.delays) for client in clients) == 5 * 4 * 20
        assert all(0 <= delay < 1000 for client in clients for delay in client.delays)
        for client in clients:
            client.close()


@pytest.mark.slow
async def test_events_between_processes_are_timed() -> None:
    """Four nodes in two processes are linked, and every event is heard once by all others."""
    first, second = await cases.events(4, 2, 8, 20.0, 5.0, 20)
    assert "4 nodes, 3.0 links each" in first.case
    assert first.value is not None
    assert first.value > 0
    assert second.value == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the attackers need many loopback addresses")
async def test_a_pair_is_timed_while_the_server_is_attacked() -> None:
    """Every kind of attack takes place, the pair's messages are timed, and none of them is lost."""
    delay, lost = await attacked(5.0, 1)
    assert delay.value is not None
    assert delay.value > 0
    assert all(kind in delay.note for kind in attackers.KINDS)
    assert lost.value == 0


@pytest.mark.slow
def test_the_command_prints_and_writes_its_table(tmp_path: Path) -> None:
    """Every figure of the table is there, with a target, on the screen and in the file."""
    path = tmp_path / "mesh.json"
    line = [
        sys.executable,
        "-m",
        "chronoflux.bench",
        "mesh",
        "--quick",
        "--scale",
        "0.1",
        "--json",
        str(path),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=True)
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 12
    assert all(row["target"] is not None and row["met"] is not None for row in rows)
    assert all(row["case"] in done.stdout for row in rows)
