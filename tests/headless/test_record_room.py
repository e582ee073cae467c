"""`--record-room`: a recorder as a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

import chronoflux as cf
from tests.node.test_recorder import assert_agrees, events
from tests.processes import Log, chatty, free_port, process, signaling
from tests.support import until


@pytest.mark.slow
async def test_three_processes_and_a_recorder_through_a_restart_of_the_server(tmp_path: Path) -> None:
    """Through a restart of the server, and a node that is killed and returns under its name, the record of
    three processes agrees with their own logs, has every event once and counts what it missed; `logs check`
    finds no fault."""
    port, logs = free_port(), tmp_path / "nodes"
    url, record = f"ws://127.0.0.1:{port}", tmp_path / "record"
    arguments = ("chronoflux.headless", "room1", "--record-room", "--server", url, "--log-dir", str(record))

    async with (
        chatty("one", url, logs) as (_, one),
        chatty("two", url, logs) as (_, two),
        process(*arguments, ready="records room1"),
    ):
        (folder,) = record.iterdir()
        log = Log(folder)

        def counts() -> Counter[str]:
            return Counter(row["node"] for row in log.update() if row["type"] == "telemetry")

        async with signaling(port):
            async with chatty("three", url, logs) as (three, _):
                await until(lambda: len(counts()) == 3, 90)
                await asyncio.sleep(5)
                await three.kill()
            await asyncio.sleep(6)  # so long it may be on its way
            async with chatty("three", url, tmp_path / "again"):
                seen = counts()
                await until(lambda: counts()["three"] > seen["three"] + 3, 30)
        seen = counts()  # now without any server: links go on
        await until(lambda: all(counts()[name] > seen[name] + 4 for name in ("one", "two")), 30)
        async with signaling(port):
            await asyncio.sleep(40)
    command = (sys.executable, "-m", "chronoflux.logs", "check", str(record), "--recompute")
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
    frame = cf.load(record)
    speakers = json.loads((folder / "run.json").read_text())["nodes"]
    # The second "three" is told apart by a suffix, where the first was not missed yet.
    names = [facts["name"].partition("~")[0] for facts in speakers.values()]
    assert sorted(names) == ["one", "three", "three", "two"]
    for node in (one, two):
        own, name = cf.load(node.path), node.path.parent.name
        missed = speakers[node.id]["missed"]
        assert missed < 20
        assert_agrees(frame, own, name, 40, missed)
        mine, theirs = events(own, name), events(frame, name)
        begun, ended = frame["at"].min(), frame["at"].max() - 3000  # those at the end may be on their way
        assert {key for key, (_, at) in mine.items() if begun < at < ended} <= theirs.keys()
        for key, (kind, at) in theirs.items():  # told with the room's time, when it was not known yet
            assert mine[key] == (kind, pytest.approx(at, abs=1000))
