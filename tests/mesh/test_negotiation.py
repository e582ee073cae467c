"""Who links to whom: offers, crossings, limits, and what is dialled again. Links are stand-ins here."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from chronoflux.errors import ProtocolError
from chronoflux.mesh import negotiation as module
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.negotiation import Negotiation
from chronoflux.mesh.peer import Peer
from tests.support import until

OFFER = {"type": "offer", "sdp": "…"}


class FakeLink:
    """What a link is told."""

    def __init__(self, **options: Any) -> None:
        self.options, self.dials, self.state, self.reason = options, options["dials"], "connecting", ""
        self.fed: list[dict[str, Any]] = []
        self.dropped = 0

    def start(self) -> None:
        """Nothing begins."""

    def feed(self, payload: dict[str, Any]) -> None:
        self.fed.append(payload)

    async def close(self, reason: str = "") -> None:
        self.state, self.reason = "closed", reason
        self.options["on_closed"](self)

    def open(self) -> None:
        self.state = "open"
        self.options["on_open"](self)


class Told:
    """What the listener hears."""

    def __init__(self) -> None:
        self.opened: list[Peer] = []
        self.closed: list[Peer] = []
        self.full: list[tuple[Peer, str]] = []

    def on_full(self, peer: Peer, reason: str) -> None:
        self.full.append((peer, reason))

    def on_open(self, peer: Peer, link: Any) -> None:
        peer.opened = time.monotonic()
        self.opened.append(peer)

    def on_message(self, peer: Peer, data: str | bytes) -> None:
        raise AssertionError

    def on_closed(self, peer: Peer, link: Any) -> None:
        self.closed.append(peer)


@pytest.fixture
def dialling(monkeypatch: pytest.MonkeyPatch) -> Negotiation:
    """A `Negotiation` whose links are stand-ins."""
    monkeypatch.setattr(module, "Link", FakeLink)
    return Negotiation(Told(), lambda to, signal: None, Ice())


def link(peer: Peer) -> FakeLink:
    assert isinstance(peer.link, FakeLink)
    return peer.link


async def test_of_crossing_offers_the_smaller_ids_stands(dialling: Negotiation) -> None:
    """When both dial at once, both sides keep the offer of the smaller id and drop the other."""
    for own, other, answered in (("a", "b", False), ("b", "a", True)):
        peer = Peer(other)
        dialling.dial(peer)
        first = link(peer)
        dialling.on_signal(peer, OFFER, own)
        assert (peer.link is not first) == answered
        assert peer.dials is not answered
        assert (link(peer).fed == [OFFER]) == answered
    await dialling.close("done")


async def test_an_accepted_offer_replaces_the_link(dialling: Negotiation) -> None:
    """A later offer replaces the link there was, and takes the candidates that came before it; more than one
    in 2 s, after the first few, are refused."""
    peer = Peer("p")
    dialling.on_signal(peer, OFFER, "z")
    first = link(peer)
    first.open()
    candidate = {"type": "candidate", "candidate": {"candidate": "…"}}
    for _ in range(40):
        dialling.on_signal(peer, candidate, "z")
    dialling.on_signal(peer, OFFER, "z")
    assert link(peer) is not first
    assert link(peer).fed == [OFFER, *[candidate] * 32]
    await until(lambda: first.state == "closed")
    for _ in range(6):
        dialling.on_signal(peer, OFFER, "z")
    with pytest.raises(ProtocolError, match="more than one every 2 s"):
        dialling.on_signal(peer, OFFER, "z")
    await dialling.close("done")


async def test_a_full_node_says_so(dialling: Negotiation) -> None:
    """At 32 links nothing more is dialled or answered; the reason is given, and there is another try."""
    peers = [Peer(f"{i}") for i in range(module.MAX_LINKS)]
    for peer in peers:
        dialling.dial(peer)
    late, caller = Peer("late"), Peer("caller")
    dialling.dial(late)
    dialling.on_signal(caller, OFFER, "z")
    assert late.link is caller.link is None
    assert "32 links already" in late.path_problem(time.monotonic())
    assert "32 links already" in caller.path_problem(time.monotonic())
    assert late.redial_at is not None
    assert dialling._listener.full == [(caller, "it has 32 links already")]  # type: ignore[attr-defined]
    dialling.retire(peers[0], "left")
    dialling.dial(late)
    assert late.link is not None
    await dialling.close("done")
    assert all(peer.link is None for peer in [*peers, late])


async def test_a_refusal_ends_the_attempt_with_its_reason(dialling: Negotiation) -> None:
    """A peer that says why it does not answer is not waited for: the reason is shown, another try is planned.
    Nothing else is ended by such a word: neither a link that is up, nor one that the peer itself dialled."""
    dialled, up, caller = Peer("dialled"), Peer("up"), Peer("caller")
    dialling.dial(dialled)
    dialling.dial(up)
    link(up).open()
    dialling.on_signal(caller, OFFER, "z")
    links = link(up), link(caller)
    for peer in (dialled, up, caller):
        dialling.on_refused(peer, "it has 32 links already")
    assert dialled.link is None
    assert "refused by the peer: it has 32 links already; next try in" in dialled.path_problem(
        time.monotonic()
    )
    assert (up.link, caller.link) == links
    await dialling.close("done")


@pytest.mark.parametrize("dials", [True, False])
async def test_after_a_stall_links_are_checked_at_once(dialling: Negotiation, dials: bool) -> None:
    """Whoever was asleep dials a link anew over which nothing comes soon after, whoever dialled it before;
    one that speaks, or had only waited to be read, is judged by what it says then."""
    now = time.monotonic()
    dead, alive = (Peer(name, ours=True, dials=dials) for name in ("dead", "alive"))
    for peer in (dead, alive):
        dialling.dial(peer)
        link(peer).open()
        peer.dials, peer.woke_at = dials, now
        peer.last_direct = now + 0.1  # old messages that had waited
    alive.last_direct = now + 1.2
    links = link(dead), link(alive)
    for when in (1.0, 2.4):
        for peer in (dead, alive):
            dialling.check(peer, now + when, "me", joined=True)
    assert (dead.link, alive.link) == links
    dialling.check(dead, now + 2.6, "me", joined=False)
    assert dead.link is links[0]  # as long as the server is away there is nobody to carry an offer
    for peer in (dead, alive):
        dialling.check(peer, now + 3.0, "me", joined=True)
    assert dead.link is not links[0]
    assert dead.dials
    assert "nothing received" in dead.reason
    assert alive.link is links[1]
    assert dead.woke_at is alive.woke_at is None
    await dialling.close("done")


async def test_silent_links_are_replaced_by_their_dialler(dialling: Negotiation) -> None:
    """After 10 s without a word the side that dialled dials again, the other waits."""
    now = time.monotonic()
    ours, theirs = Peer("ours", ours=True), Peer("theirs", ours=True)
    for peer in (ours, theirs):
        dialling.dial(peer)
        link(peer).open()
    theirs.dials = False
    links = link(ours), link(theirs)
    for peer in (ours, theirs):
        dialling.check(peer, now + module.SILENT_LINK - 1, "me", joined=True)
    assert (ours.link, theirs.link) == links
    for peer in (ours, theirs):
        dialling.check(peer, time.monotonic() + module.SILENT_LINK + 1, "me", joined=True)
    assert ours.link is not links[0]
    assert theirs.link is links[1]
    await dialling.close("done")


async def test_fresh_ice_servers_serve_the_next_link(dialling: Negotiation) -> None:
    """Renewed credentials are used by links dialled from then on; those there are stay as they are."""
    peer = Peer("p")
    dialling.dial(peer)
    before = link(peer)
    dialling.take_ice_servers([{"urls": "turn:x"}])
    assert before.options["ice"].servers == ()
    dialling.dial(peer)
    assert link(peer).options["ice"].servers == ({"urls": "turn:x"},)
    await dialling.close("done")
    await asyncio.sleep(0)
