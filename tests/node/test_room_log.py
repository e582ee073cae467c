"""The record of a room, whatever its nodes send."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chronoflux as cf
from chronoflux.errors import ProtocolError
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import Telemetry
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.peer_telemetry import PAIRINGS
from chronoflux.model.events import EVENTS
from chronoflux.node import room_log as room_log_module
from chronoflux.node.room_log import RoomLog
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.records import to_json
from tests.fuzz import EXTREMES


class Time:
    """A monotonic clock that is moved by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Scene:
    """The log of a room whose peers are invented; `report` sends telemetry as a peer would."""

    def __init__(self, folder: Path, time: Time) -> None:
        self.log = RunLog(
            folder, room="r", node="rec", kind="recorder", params=None, seed=None, schedule="none"
        )
        self.peers: dict[str, Peer] = {}
        self.clock, self.time = MeshClock(), time
        self.room_log = RoomLog("rec", self.log, self.clock, lambda: self.peers, lambda: None)

    def peer(self, id_: str, name: str) -> Peer:
        self.peers[id_] = Peer(id_, name=name, kind="headless", ours=True)
        return self.peers[id_]

    def report(self, peer: Peer, **facts: Any) -> bool:
        """What the mesh does with telemetry: what is refused is counted at the peer."""
        message = Telemetry(facts, at=self.clock.now())
        try:
            self.room_log.on_telemetry(peer, message)
        except ProtocolError as error:
            peer.refuse(error)
            return False
        return True

    def event(self, origin: str, key: str) -> None:
        self.room_log.on_event(Event(EVENTS["pacemaker_flip"], {}, key, origin, self.clock.now()))

    def rows(self) -> list[dict[str, Any]]:
        """All that is on record so far."""
        self.log.flush()
        return [json.loads(line) for line in (self.log.path / "telemetry.jsonl").read_text().splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows() if row["type"] == kind]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A room without nodes."""
    time = Time()
    monkeypatch.setattr(room_log_module, "time", time)
    made = Scene(tmp_path / "logs", time)
    yield made
    made.log.close()


def test_what_comes_twice_is_once_on_record_and_what_is_missing_is_counted(scene: Scene) -> None:
    """A record received over link and server counts once, whichever is first; gaps in a node's numbers are
    counted as missed until they are filled; a node that restarts at 0 has missed nothing."""
    one = scene.peer("1" * 32, "one")
    for seq in (5, 5, 7, 6, 7, 10, 0, 1):
        assert scene.report(one, seq=seq, t=float(seq), H=0.5)
        scene.time.now += 1
    assert [row["t"] for row in scene.of("telemetry")] == [5, 7, 6, 10, 0, 1]
    assert scene.room_log.sources()[0].missed == 2
    old = scene.peer("2" * 32, "")  # the first ChronoFlux's page numbers nothing
    for t in (1.0, 1.0, 2.0):
        assert scene.report(old, t=t, H=0.5, intents=[{"x": 1}], peers=2)
    rows = [row for row in scene.of("telemetry") if row["node"] == "22222222"]
    assert [row["t"] for row in rows] == [1.0, 2.0]
    assert rows[0]["metrics"]["intents"] == 1


def test_what_the_recorder_lacks_of_a_node_is_on_record(scene: Scene) -> None:
    """Events of a node that never arrived are a record of type `missed`, which is read back with its
    numbers."""
    facts = {"origin": "1" * 32, "from": 3, "to": 9, "count": 5}
    scene.room_log.on_missed(facts)
    assert [row["data"] for row in scene.of("missed")] == [facts]
    frame = cf.load(scene.log.path)
    assert list(frame.loc[frame["type"] == "missed", "data"]) == [facts]


def test_two_of_one_name_are_told_apart(scene: Scene) -> None:
    """Of two nodes with one name the later gets another; one that comes after the first fell silent gets the
    name; the recorder's own name is reserved."""
    first, second, third = (scene.peer(digit * 32, "one") for digit in "123")
    impostor = scene.peer("4" * 32, "rec")
    for peer in (first, second, impostor):
        scene.report(peer, t=0.0)
    scene.time.now += 10
    scene.report(third, t=0.0)
    scene.report(first, t=1.0)
    assert [row["node"] for row in scene.of("telemetry")] == [
        *("one", "one~222222", "rec~444444", "one"),
        "one~111111",
    ]


def test_too_much_is_left_out_and_the_count_is_on_record(scene: Scene) -> None:
    """Of a flood, thirty records at once and ten per second are written, and the rest is counted, in a record
    with the name and in the manifest; other nodes lose nothing."""
    loud, quiet = scene.peer("1" * 32, "loud"), scene.peer("2" * 32, "quiet")
    taken = sum(scene.report(loud, seq=seq, t=float(seq)) for seq in range(500))
    assert scene.report(quiet, seq=0, t=0.0)
    assert taken == 30
    scene.room_log.end("done")
    [counted] = scene.of("refused")
    assert (counted["node"], counted["data"]["refused"]) == ("loud", {"telemetry": 470})
    scene.log.close()
    facts = json.loads((scene.log.path / "run.json").read_text())["nodes"]["1" * 32]
    assert (facts["name"], facts["records"], facts["refused"]) == ("loud", 30, 470)


def test_an_event_waits_for_its_origins_name(scene: Scene) -> None:
    """An event of a distant node is written under the name in that node's first record; after five seconds
    without one, as unknown; each once, in order."""
    scene.event("1" * 32, "first")
    assert scene.of("pacemaker_flip") == []
    scene.report(Peer("1" * 32, name="1" * 8, in_room=False), seq=0, t=0.0, nodeId="far")
    scene.event("../../etc", "second")
    scene.event("1" * 32, "third")
    scene.time.now += room_log_module.NAME_TIMEOUT + 1
    scene.report(scene.peer("2" * 32, "two"), seq=0, t=0.0)
    found = [(row["node"], row["id"], row["origin"]) for row in scene.of("pacemaker_flip")]
    assert found == [
        *(("far", "first", "1" * 32), ("?../../etc", "second", "../../etc")),
        ("far", "third", "1" * 32),
    ]


def test_what_is_remembered_is_bounded(scene: Scene) -> None:
    """However many nodes come with a new id and name, the number of states and of entries in the manifest is
    bounded; changes of peers beyond twenty per second are counted, not written."""
    for number in range(room_log_module.MAX_SOURCES + 200):
        peer = Peer(f"{number:032}", name=f"n{number}")
        scene.report(peer, seq=0, t=0.0)
        scene.room_log.on_peer(peer, "gone", "")
    assert len(scene.room_log.sources()) == room_log_module.MAX_SOURCES
    assert len(scene.of("peer")) == 200
    scene.room_log.end("done")
    assert scene.of("refused")[-1]["data"]["refused"] == {"peer": room_log_module.MAX_SOURCES}
    scene.log.close()
    assert len(json.loads((scene.log.path / "run.json").read_text())["nodes"]) == room_log_module.LISTED


NAMES = (
    "t",
    "H",
    "psi",
    "omega",
    "tau",
    "H_local",
    "at",
    "tick",
    "seq",
    "nodes",
    "peers",
    "portal",
    "nodeId",
)
odd = st.one_of(st.sampled_from(EXTREMES), st.floats(), st.integers(), st.just([{"id": "x", "R": 2}]))


@settings(max_examples=100)
@given(said=st.dictionaries(st.sampled_from([*NAMES, "peerings", "intents", "x"]), odd, min_size=1))
def test_nothing_that_is_said_breaks_the_record(said: dict[str, Any]) -> None:
    """Any telemetry message is refused, or written with its numbers in range."""
    written: list[dict[str, Any]] = []

    def write(kind: str, **record: Any) -> None:
        written.append(json.loads(to_json(record)))

    minutes = RoomLog("rec", SimpleNamespace(write=write), MeshClock(), dict, lambda: None)  # type: ignore[arg-type]
    with contextlib.suppress(ProtocolError):
        minutes.on_telemetry(Peer("1" * 32, name="one"), Telemetry(said))
    for record in written:
        H, tick = record["metrics"].get("H"), record["tick"]
        assert H is None or 0 <= H <= 1.000001
        assert tick is None or 0 <= tick <= 10**12
        assert len(record["node"]) <= 64
        assert record["node"].isprintable()


def test_the_record_of_a_room_reads_like_any_other(scene: Scene) -> None:
    """`load` gives one row per node and record, with the node's name; `load_peerings` gives the pairs that
    each node reported; strict reading finds no fault."""
    pairing = {"id": "2" * 32, "R": 0.5, "dpsi": -1.0, "rtt_ms": 1.0, "offset_ms": 0.1, "uncertainty_ms": 0.5}
    one = scene.peer("1" * 32, "one/../x")
    assert scene.report(
        one, seq=0, t=1.0, tick=62, H=0.25, nodes=100, peerings=[{**pairing, "via": "direct"}]
    )
    assert not scene.report(one, seq=1, t=2.0, peerings=[pairing] * (PAIRINGS + 1))
    scene.room_log.note("coffee")
    scene.room_log.end("done")
    scene.log.close()
    frame = cf.load(scene.log.path, strict=True)
    assert list(frame["type"]) == ["telemetry", "note", "refused", "end"]
    assert list(frame["node"]) == ["one/../x", "rec", "one/../x", "rec"]
    assert (frame["H"][0], frame["tick"][0], frame["t"][0]) == (0.25, 62, 1.0)
    pairs = cf.load_peerings(scene.log.path, strict=True)
    assert pairs[["node", "peer", "offset_ms", "via"]].to_numpy().tolist() == [
        ["one/../x", "2" * 32, 0.1, "direct"]
    ]
