"""What a runner and a mesh exchange about a swarm and its room."""

from __future__ import annotations

import cmath
import time
from types import SimpleNamespace

import pytest

from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import Field
from chronoflux.mesh.peer import Peer
from chronoflux.model.events import EVENTS
from chronoflux.model.params import Boundary, Params
from chronoflux.node.room_adapter import LIVE_PULSES, PULSE_LIFE, RoomAdapter


class FakeRunner:
    """A runner and its queue in one, which keeps the events to fire."""

    def __init__(self) -> None:
        self.fired: list[tuple[Event, bool]] = []
        self.params, self.commands = Params(), self

    def fire(self, event: Event, *, own: bool) -> None:
        self.fired.append((event, own))


@pytest.fixture
def room_adapter() -> RoomAdapter:
    """An adapter between such a runner and no room yet."""
    world = (800.0, 600.0)
    made = RoomAdapter(
        *("me", "headless", MeshClock(), SimpleNamespace()),  # type: ignore[arg-type]
        world=lambda: world,
        fire=lambda name, **data: name,
        change=lambda changes: None,
    )
    made.runner = FakeRunner()  # type: ignore[assignment]
    return made


def test_live_pulses_are_bounded(room_adapter: RoomAdapter) -> None:
    """Beyond 256 live pulses remote intents are refused; faded pulses do not count, and other events are
    accepted."""

    def intent(key: str, age: float) -> Event:
        at = time.time() * 1000 - 1000 * age
        return Event(EVENTS["intent"], {"x": 1.0, "y": 2.0, "E": 0.3, "sigma": 80.0}, key, "p", at)

    for i in range(300):
        room_adapter.on_event(intent(f"faded {i}", PULSE_LIFE + 1))
    for i in range(300):
        room_adapter.on_event(intent(f"fresh {i}", 0.0))
    room_adapter.on_event(Event(EVENTS["pacemaker_flip"], {}, "flip", "p", time.time() * 1000))
    assert room_adapter.received == len(room_adapter.runner.fired) == 300 + LIVE_PULSES + 1  # type: ignore[attr-defined]
    assert not any(own for _, own in room_adapter.runner.fired)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("boundary", "x", "y"), [("torus", 566.0, 590.0), ("plane", 1366.0, -10.0)])
def test_a_pulse_beyond_the_world_is_wrapped_on_a_torus(
    room_adapter: RoomAdapter, boundary: Boundary, x: float, y: float
) -> None:
    """A position outside this node's world is wrapped into it on a torus, and kept on the plane."""
    room_adapter.runner.params = Params(boundary=boundary)  # type: ignore[misc]
    data = {"x": 1366.0, "y": -10.0, "E": 0.3, "sigma": 80.0}
    room_adapter.on_event(Event(EVENTS["intent"], data, "key", "p", time.time() * 1000))
    [(event, _)] = room_adapter.runner.fired  # type: ignore[attr-defined]
    assert event.data == data | {"x": x, "y": y}


def test_the_order_of_the_mesh_is_weighted_by_size(room_adapter: RoomAdapter) -> None:
    """`H_mesh` is the length of the mean of each live node's order, weighted by its size and extrapolated to
    now; peers that are not live, or whose field is old, do not count."""
    now = 10_000.0
    own = Field(at=now, R=0.8, psi=0.3, omega=7.0, n=100)
    fields = {
        "live": Field(at=now - 100, R=0.5, psi=2.0, omega=7.5, n=300),
        "stale": Field(at=now - 3000, R=1.0, psi=0.0, omega=7.0, n=10_000),
        "quiet": Field(at=now, R=1.0, psi=0.0, omega=7.0, n=10_000),
    }
    peers = {name: Peer(name, ours=True, field_=field) for name, field in fields.items()}
    for name, peer in peers.items():
        peer.state = "quiet" if name == "quiet" else "live"
    room_adapter.mesh = SimpleNamespace(peers=peers)  # type: ignore[assignment]
    found = room_adapter.surroundings(now, own)
    expected = abs(100 * cmath.rect(0.8, 0.3) + 300 * cmath.rect(0.5, 2.0 + 0.75)) / 400
    assert found.metrics["H_mesh"] == pytest.approx(expected)
    assert found.metrics["peers"] == 2
    assert [pairing["id"] for pairing in found.peerings] == ["live"]
