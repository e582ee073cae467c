"""Probes between members who are no neighbours: how often, how many, and over a real server."""

from __future__ import annotations

import itertools

import pytest

from chronoflux.errors import ProtocolError
from chronoflux.mesh import relayed_probes
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.messages import Outgoing, Probe, ProbeReply
from chronoflux.mesh.relayed_probes import BURST, JITTER, PERIOD, RETRY_AFTER, SPREAD, RelayedProbes
from tests.conftest import Joiner
from tests.mesh.test_partial import in_a_ring, ring
from tests.support import session_of, until

EPOCH = 1.8e12


class Member:
    """One that asks and answers, in a time of its own (s); what it sends ends in a list."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sent: list[tuple[str, Outgoing]] = []
        self.clock = MeshClock(mono=lambda: self.time * 1000, utc=lambda: EPOCH + self.time * 1000)
        self.distant = RelayedProbes(self.clock, self.send, lambda: self.time)

    def send(self, to: str, message: Outgoing) -> bool:
        """Through the server."""
        self.sent.append((to, message))
        return True

    def learn(self) -> None:
        """The server says that somebody else leads, who is no neighbour."""
        self.clock.set_members(("me", 2), {}, ranked=[("lead", 1), ("me", 2)])

    def ask(self, until: float, *, answered: bool) -> list[float]:
        """Ask whoever has to be asked up to a time; when that was."""
        asked = []
        while self.time < until:
            wait = self.distant.probe(self.clock.to_probe, self.time)
            for to, message in self.sent:
                assert to == "lead"
                assert isinstance(message, Probe)
                asked.append(self.time)
                if answered:
                    now = EPOCH + self.time * 1000 + 5
                    self.distant.on_reply("lead", ProbeReply(message.t0, now, now, "lead", 0, 1))
            self.sent.clear()
            self.clock.update()
            self.time += min(wait, 1.0)
        return asked


def test_whoever_leads_is_asked_once_a_minute() -> None:
    """A newcomer asks at once, by four probes, and then every minute or so; its clock is the other's."""
    member = Member()
    member.learn()
    assert not member.clock.settled
    asked = member.ask(1200.0, answered=True)
    assert member.clock.settled
    assert (member.clock.reference, member.clock.stratum) == ("lead", 3)
    bursts = [at for before, at in itertools.pairwise([0.0, *asked]) if at - before > 1]
    assert asked[0] == bursts[0] == 1000.0
    assert len(asked) == BURST * len(bursts)
    gaps = [later - at for at, later in itertools.pairwise(bursts)]
    assert all(PERIOD - JITTER <= gap <= PERIOD + JITTER + 1 for gap in gaps)


def test_who_does_not_answer_is_asked_again_soon() -> None:
    """Without an answer a burst is repeated after some seconds, and after ten this node leads."""
    member = Member()
    member.learn()
    asked = member.ask(1009.0, answered=False)
    assert asked[BURST] - asked[BURST - 1] == pytest.approx(RETRY_AFTER, abs=0.1)
    assert member.clock.reference == ""
    member.ask(1012.0, answered=False)
    assert member.clock.reference == "me"


def test_nodes_that_know_the_time_begin_to_ask_one_by_one() -> None:
    """When the member that leads goes, the next is not asked by the whole room at once."""
    begun = []
    for _ in range(200):
        member = Member()
        member.clock.set_members(("me", 2), {}, ranked=[("me", 2)])
        member.clock.update()
        member.learn()
        member.clock.update()
        member.distant.probe(member.clock.to_probe, member.time)
        begun.append(member.distant.probe(member.clock.to_probe, member.time))
    assert max(begun) <= SPREAD
    assert len([wait for wait in begun if wait < SPREAD / 4]) < 100


def test_a_full_room_may_ask_one_member() -> None:
    """Everybody in a room of 256 asks one member four times a minute: all are answered, and the member sends
    well less than the 60 messages a second that a server takes."""
    member, answered, most = Member(), 0, 0
    asks = sorted((60 * number / 255 + 0.064 * probe, number) for number in range(255) for probe in range(4))
    for start in range(0, 300, 60):
        within = 0
        second = 0
        for at, number in asks:
            member.time = 1000.0 + start + at
            if int(at) != second:
                most, within, second = max(most, within), 0, int(at)
            member.distant.on_probe(f"m{number}", Probe(1.0))
            within += len(member.sent)
            answered += len(member.sent)
            member.sent.clear()
    assert answered == 5 * 255 * 4
    assert most <= 20


def test_who_asks_too_often_is_not_answered() -> None:
    """One that floods gets eight answers; a thousand that flood cannot make a member send over 40 a second,
    and who asks for the first time is still answered."""
    member = Member()
    for _ in range(1000):
        member.distant.on_probe("one", Probe(1.0))
    assert len(member.sent) == 8
    member.sent.clear()
    for second in range(60):
        for number in range(1000):
            member.time = 1001.0 + second + number / 1000
            member.distant.on_probe(f"m{number % 250}", Probe(1.0))
    assert len(member.sent) <= 40 * 62
    assert {to for to, _ in member.sent} == {f"m{number}" for number in range(250)}
    assert len(member.distant._senders) <= 1024


def test_replies_that_nobody_asked_for_are_refused() -> None:
    """A reply of a stranger, or to a probe that was never sent, is refused."""
    member = Member()
    member.learn()
    for sender in ("lead", "stranger"):
        with pytest.raises(ProtocolError, match="it answers no probe"):
            member.distant.on_reply(sender, ProbeReply(5.0, EPOCH, EPOCH, sender, 0, 1))


async def test_across_a_ring_the_first_is_asked_through_the_server(
    joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a ring of real nodes those who are not linked with the first ask it for the time, and follow it."""
    monkeypatch.setattr(relayed_probes, "SPREAD", 1.0)  # s
    async with ring() as server:
        nodes = [await joined(server=server.url) for _ in range(5)]
        await until(lambda: in_a_ring(nodes), 20)
        first = nodes[0].peer_id
        await until(lambda: {node.clock.reference for node in nodes} == {first}, 60)
        far = [node for node in nodes[1:] if first not in session_of(node).mesh.peers]
        assert len(far) == 2
        await until(lambda: all(node.clock.offset(first) is not None for node in far), 60)
        for node in far:
            known = node.clock.offset(first)
            assert known is not None
            assert abs(nodes[0].clock.now() - node.clock.now()) <= 1000
            assert node.clock.to_probe == [first]
