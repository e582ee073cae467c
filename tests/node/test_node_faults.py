"""Faults of connections and clocks between nodes."""

from __future__ import annotations

import pytest

import chronoflux as cf
from chronoflux.mesh import clock_sync as probing_module
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.link import Link
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.node.test_node import events, linked
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)


@pytest.mark.slow
@pytest.mark.usefixtures("no_offers")
async def test_events_lost_on_the_relay_are_told_again(server: SignalServer, joined: Joiner) -> None:
    """Two nodes that only have the relay agree again after one of them lost the server."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await until(lambda: (a.peers["via"] == "relay").any() and (b.peers["via"] == "relay").any())
    (socket,) = [
        server._sessions[who.connection]
        for who in server.lobby._members.values()
        if who.id == b.peer_id and who.connection is not None
    ]
    socket.abort()
    await until(lambda: session_of(b).client.state == "waiting")
    key = a.intent()
    a.lion_gate()
    await until(lambda: b.snapshot().portal, timeout=20)
    await until(lambda: events(b)["remote_intent", key] == 1, timeout=20)


class Ahead:
    """A clock that tells others a time 30 s ahead of its own."""

    def __init__(self, clock: MeshClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now() + 30_000

    def __getattr__(self, name: str) -> object:
        return getattr(self._clock, name)


async def test_a_clock_far_off_is_said(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer whose clock is far off is not coupled to, and the table says why; later it is coupled again."""
    monkeypatch.setattr(probing_module, "PERIOD", 1.0)
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    await until(lambda: b.clock.stratum == 1)
    probing = session_of(b).mesh._clock_sync
    probing._clock = Ahead(b.clock)  # type: ignore[assignment]
    await until(lambda: "its clock" in a.peers["reason"].iloc[0], timeout=20)
    probing._clock = b.clock
    await until(lambda: a.peers["reason"].iloc[0] == "", timeout=20)
    await until(lambda: a.metrics.get("peers") == 1 and a.peers["H"].notna().all(), timeout=20)


async def test_a_link_that_cannot_begin_says_so() -> None:
    """Unusable ICE servers end a link with a reason; it does not wait forever."""
    ended: list[Link] = []
    link = Link(
        dials=True,
        send_signal=lambda payload: None,
        on_open=lambda link: None,
        on_message=lambda link, data: None,
        on_closed=ended.append,
        ice=Ice(servers=[{"url": "stun:x"}]),
    )
    link.start()
    await until(lambda: ended)
    assert "could not start" in link.reason
