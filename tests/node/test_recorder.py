"""A recorder in a real room: one folder with the records of all nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import chronoflux as cf
from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.node.node import Node
from chronoflux.node.recorder import Recorder
from chronoflux.signal.server import SignalServer
from chronoflux.signal.topology import Topology
from chronoflux.telemetry.maintain.inspect import check_run
from chronoflux.telemetry.read.discovery import find_runs
from tests.conftest import Joiner
from tests.support import until

QUICK = cf.Params(oscillators=60)
METRICS = ["H", "psi", "omega", "tau", "H_local", "H_mesh", "nodes", "intents", "peers", "portal"]
EVENTS = ("intent", "lion_gate", "pacemaker_flip")


def assert_agrees(recorded: pd.DataFrame, own: pd.DataFrame, node: str, least: int, missed: int = 0) -> None:
    """Every record of the node has the same numbers at the recorder; after the first one so many are
    missing."""
    heard = recorded[(recorded["node"] == node) & (recorded["type"] == "telemetry")].set_index("t")
    said = own[own["type"] == "telemetry"].set_index("t")
    assert heard.index.is_unique
    assert len(heard) >= least
    columns = [*METRICS, "at", "tick"]
    pd.testing.assert_frame_equal(heard[columns], said.loc[heard.index, columns])
    assert said.index.to_series().between(heard.index.min(), heard.index.max()).sum() == len(heard) + missed


def events(frame: pd.DataFrame, node: str) -> dict[str, tuple[str, float]]:
    """The events a node fired, by id: type and mesh time."""
    rows = frame[frame["type"].isin(EVENTS) & (frame["node"] == node)]
    return {row.data["id"]: (row.type, row.at) for row in rows.itertuples()}


def telemetry_of(recorder: Recorder) -> dict[str, int]:
    """The number of records of each node."""
    return dict(zip(recorder.heard["name"], recorder.heard["records"], strict=True))


async def test_one_folder_has_what_all_nodes_have(
    server: SignalServer, joined: Joiner, tmp_path: Path
) -> None:
    """A recorder's records agree with the nodes' own logs in every number; each event is present once, under
    its origin, and the clock offsets are those that nodes and recorder measured. No node counts the recorder
    as a swarm."""
    nodes: list[Node] = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    async with Recorder("room1", server=server.url, log_dir=tmp_path / "record", node_id="rec") as recorder:
        await until(lambda: len(telemetry_of(recorder)) == 2)
        nodes[0].intent(x=1, y=2)
        nodes[1].pacemaker_flip()
        await until(lambda: recorder.heard["events"].sum() == 2 and min(telemetry_of(recorder).values()) >= 2)
        assert set(recorder.peers["via"]) == {"direct"}
        assert "2 linked" in recorder.status.text
        await until(lambda: recorder.peers["offset_ms"].notna().all())
        assert {node.metrics["peers"] for node in nodes} == {1}
        await until(lambda: pair_of(nodes[0])["uncertainty_ms"].notna().any())
        seen = telemetry_of(recorder)
        await until(lambda: all(telemetry_of(recorder)[name] > count for name, count in seen.items()))
    frame = cf.load(recorder.path)
    for node in nodes:
        own = node.telemetry()
        assert_agrees(frame, own, node.node_id, 2)
        assert events(frame, node.node_id) == events(own, node.node_id)
    pairs = cf.load_peerings(recorder.path)
    assert set(pairs["node"]) == {"n1", "n2", "rec"}
    known = pairs.dropna(subset=["offset_ms", "uncertainty_ms"])
    assert set(known["node"]) == {"n1", "n2", "rec"}
    assert (known["offset_ms"].abs() <= known["uncertainty_ms"] + 5).all()  # they share this machine's clock
    (run,) = find_runs(recorder.path)
    assert check_run(run) == []


def pair_of(node: Node) -> pd.DataFrame:
    """The rows of a node's peers, without the recorder."""
    return node.peers[node.peers["kind"] != "recorder"]


@pytest.mark.slow
async def test_in_a_partial_mesh_everybody_is_heard(joined: Joiner, tmp_path: Path) -> None:
    """In a ring of five, where a recorder has two neighbours, it has the records and events of all, by
    name."""
    async with SignalServer(port=0, topology=Topology("ring")) as server:
        nodes = [await joined(server=server.url, params=QUICK) for _ in range(5)]
        recorder = await cf.join("room1", kind="recorder", server=server.url, log_dir=tmp_path / "record")
        try:
            names = {node.node_id for node in nodes}
            await until(lambda: telemetry_of(recorder).keys() == names and len(recorder.peers) == 2, 20)
            far = next(node for node in nodes if node.node_id not in set(recorder.peers["name"]))
            key = far.intent(x=1, y=2)
            await until(lambda: recorder.heard["events"].sum() == 1)
            assert key in events(recorder.telemetry(), far.node_id)
            seen = telemetry_of(recorder)
            await until(lambda: all(telemetry_of(recorder)[name] > count for name, count in seen.items()))
        finally:
            await recorder.leave()
    frame = cf.load(recorder.path)
    for node in nodes:
        assert_agrees(frame, node.telemetry(), node.node_id, 1)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"params": QUICK}, "leave out params"),
        ({"resume": "logs/x", "seed": 1}, "leave out seed, resume"),
        ({"server": None}, "server='auto'"),
    ],
)
async def test_what_a_recorder_cannot_use_is_refused(
    options: dict[str, Any], word: str, tmp_path: Path
) -> None:
    """Options of a swarm, and a missing server, are refused by name before anything is made."""
    with pytest.raises(UsageError, match=word):
        await cf.join("room1", kind="recorder", log_dir=tmp_path / "logs", **options)
    assert not (tmp_path / "logs").exists()
    with pytest.raises(UsageError, match="kind='recorder'"):
        Node("room1", kind="recorder")


async def test_a_refused_token_leaves_nothing_open(tmp_path: Path) -> None:
    """A recorder that the server refuses raises an error in one line, with its log closed."""
    async with SignalServer(port=0, token="right") as server:
        with pytest.raises(ChronofluxError, match="token"):
            await cf.join("room1", kind="recorder", server=server.url, token="wrong", log_dir=tmp_path)
    (run,) = find_runs(tmp_path)
    assert '"ended"' in (tmp_path / run.name / "run.json").read_text()
