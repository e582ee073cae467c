"""Events in others' names: only members are origins, ids are bound to content, floods stay bounded."""

from __future__ import annotations

from typing import Any

import pytest

from chronoflux.errors import ProtocolError
from chronoflux.mesh import messages, origins
from chronoflux.mesh import peer as peer_module
from chronoflux.mesh.gossip import Event, Gossip, fired, old_id
from chronoflux.mesh.inbound import InboundMessages
from chronoflux.mesh.messages import Field, Telemetry
from chronoflux.mesh.missed_events import MissedEvents
from chronoflux.mesh.origins import OriginQueries, Origins
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.roster import Roster
from chronoflux.model.events import EVENTS, World
from chronoflux.signal.protocol import Roster as RosterMessage
from chronoflux.signal.protocol import RosterMember, Who

NOW = 1.7e12
PULSE = {"x": 400.0, "y": 300.0, "E": 2.0, "sigma": 80.0}
WORLD: World = (800.0, 600.0)


class Time:
    """Both clocks of a node, moved by hand: monotonic seconds, and mesh time in ms."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> float:
        return NOW + (self.seconds - 1000.0) * 1000


class Scene:
    """A node with two neighbours, one of them hostile, in a room whose members are told by a server."""

    world = WORLD

    def __init__(self, time: Time, *members: str, hops: int = 6, complete: bool = True) -> None:
        self.time, self.applied, self.passed_on = time, list[Event](), list[dict[str, Any]]()
        self.roster = Roster(time.monotonic)
        if members:
            entries = [RosterMember(name, at, "headless", True) for at, name in enumerate(members)]
            self.roster.apply(RosterMessage(entries, whole=True, complete=complete, size=len(entries)))
        self.evil, self.honest = (Peer(name, ours=True) for name in ("evil", "honest"))
        self.gossip, self.asked = Gossip(), list[list[str]]()
        peers = {peer.id: peer for peer in (self.evil, self.honest)}
        allowed = Origins(self.roster, peers)
        self.intake = InboundMessages(
            self,
            self.gossip,
            time,  # type: ignore[arg-type]
            lambda message, peer, origin: self.passed_on.append(message),
            allowed,
            MissedEvents(time.monotonic),
        )
        self.intake.id, self.intake.hops = "me", hops
        self.asking = OriginQueries(self.roster, self.asked.append, self.take)
        self.intake.hold = self.asking.hold

    def on_event(self, event: Event) -> None:
        self.applied.append(event)

    def on_field(self, peer: str, field: Field) -> None:
        raise AssertionError

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """Nothing to do with it."""

    def take(self, peer: Peer, message: messages.Message) -> None:
        """What the mesh does: count what is refused."""
        try:
            self.intake.handle(peer, message)
        except ProtocolError as error:
            peer.refuse(error)

    def hear(self, peer: Peer, message: dict[str, Any], **changes: Any) -> int:
        """A message over a link, as JSON; how many events were applied."""
        before = len(self.applied)
        self.take(peer, messages.decode(messages.encode(message | changes)))
        return len(self.applied) - before

    def event(self, origin: str, at: float | None = None, **data: float) -> Event:
        """An intent as its origin fires it."""
        when = self.time.now() if at is None else at
        return fired(EVENTS["intent"], PULSE | data, origin, when, world=WORLD, taken=lambda key: False)

    def told(self, origin: str, hops: int, at: float | None = None, **data: float) -> dict[str, Any]:
        """The message of such an event."""
        return self.event(origin, at, **data).message(hops)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The clocks of intake, links and waiting events."""
    clock = Time()
    for module in (peer_module, origins):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("chronoflux.mesh.inbound.time", clock)
    return clock


def test_made_up_origins_are_refused(time: Time) -> None:
    """Of 30,000 events with made-up origins none is applied or passed on, and each is counted."""
    scene = Scene(time, "me", "evil", "honest")
    for n in range(30_000):
        scene.hear(scene.evil, scene.told(f"o{n // 300}", 1, x=n % 800))
    assert not scene.applied
    assert not scene.passed_on
    assert scene.evil.refused["intent"] == 30_000
    assert not scene.gossip._received
    assert scene.hear(scene.evil, scene.told("honest", 1)) == 1


def test_a_flood_in_an_honest_members_name_leaves_its_own_events_alone(time: Time) -> None:
    """However much neighbours say in a member's name, the member's own events get in over its own link, and
    other members' over others' links."""
    scene = Scene(time, "me", "evil", "honest", "far")
    accomplice = Peer("accomplice", ours=True)
    for second in range(94):
        for n in range(30):
            for peer in (scene.evil, accomplice):
                scene.hear(peer, scene.told("honest", 1, x=second, y=n, E=1.0 + (peer is accomplice) / 2))
        time.seconds += 1
    assert 2_000 < len(scene.applied) <= 2_048
    for _ in range(20):
        assert scene.hear(scene.honest, scene.told("honest", 0)) == 1
        time.seconds += 0.05
    assert scene.hear(scene.honest, scene.told("far", 1)) == 1
    assert scene.evil.refused["intent"] + accomplice.refused["intent"] > 3_000


def test_a_flood_in_many_members_names_is_bounded_a_link(time: Time) -> None:
    """One link passes on at most the room's events: half an event a second and member, 100 at least, and 4 s
    of that at once; what comes over another link is not counted with it."""
    for size, rate in ((100, 100), (256, 128)):
        members = [f"m{n}" for n in range(size - 3)]
        scene = Scene(time, "me", "evil", "honest", *members)
        for second in range(10):
            for n in range(1_000):
                scene.hear(scene.evil, scene.told(members[n % len(members)], 1, x=n % 800, y=second))
            time.seconds += 1
        assert rate * 13 - 20 <= len(scene.applied) == len(scene.passed_on) <= rate * 14
        assert scene.hear(scene.honest, scene.told("m0", 1)) == 1


def test_made_up_ids_do_not_make_a_flip_count_twice(time: Time) -> None:
    """A flip of an honest node counts once, whatever was said meanwhile to have it forgotten."""
    scene = Scene(time, "me", "evil", "honest", "far")
    flip = Event(EVENTS["pacemaker_flip"], {}, "HONEST", "honest", NOW)
    assert scene.hear(scene.honest, flip.message(0)) == 1
    for n in range(10_050):
        name = ("far", "honest", "evil")[n % 3]
        scene.hear(scene.evil, scene.told(name, int(name != "evil"), x=n % 800))
        time.seconds += 0.008
    assert scene.hear(scene.evil, flip.message(1)) == 0
    assert scene.hear(scene.honest, flip.message(0)) == 0


@pytest.mark.parametrize("hops", [0, 6])
def test_nobody_suppresses_an_event_by_its_id(time: Time, hops: int) -> None:
    """Who hears an event first and tells other content, another time or kind under its id does not keep it
    from those who did not hear it yet: in a full and in a partial mesh."""
    scene = Scene(time, "me", "evil", "honest", hops=hops)
    scene.honest.features = frozenset(messages.FEATURES)
    real = scene.told("honest", 0)
    swapped = [
        real | {"intent": PULSE | {"E": 0.001}, "hops": 1},
        real | {"at": real["at"] - 89_000, "hops": 1},
        real | {"at": real["at"] - 80_000, "stamp": real["at"], "hops": 1, "origin": "evil"},
        real | {"world": [80_000.0, 60_000.0], "hops": 1},
        {name: value for name, value in real.items() if name != "world"} | {"hops": 1},
        {"type": "flip", "id": real["id"], "origin": "honest", "at": real["at"], "hops": 1},
        real | {"intent": PULSE | {"E": 0.001}, "origin": "evil"},
    ]
    for message in swapped:
        assert scene.hear(scene.evil, message) == 0
    assert scene.evil.refused.total() == len(swapped)
    assert scene.hear(scene.honest, real) == 1
    assert scene.applied[-1].data == PULSE


def test_an_id_that_is_no_hash_is_refused_of_who_is_known_to_hash(time: Time) -> None:
    """A random id, as versions before this one give, is taken of those who did not say that theirs are
    hashes, and refused of those who did, also when others pass it on."""
    scene = Scene(time, "me", "evil", "honest", "far")
    random = "0123456789ab4def8123456789abcdef"
    assert scene.hear(scene.honest, scene.told("honest", 0) | {"id": random}) == 1
    hello = {"type": "hello", "version": "1", "nodeId": "h", "kind": "headless"}
    scene.hear(scene.honest, hello | {"features": ["event-hash"]})
    for peer, hops in ((scene.honest, 0), (scene.evil, 1)):
        assert scene.hear(peer, scene.told("honest", hops) | {"id": random[::-1].replace("9", "0")}) == 0
        assert scene.hear(peer, scene.told("honest", hops) | {"id": "short"}) == 0
    assert scene.hear(scene.evil, scene.told("far", 1) | {"id": random}) == 1


def test_what_is_passed_on_is_what_was_said(time: Time) -> None:
    """From a world of another size an event is applied in px of this one and passed on to the last bit as its
    origin told it, with what is not known here, so that whoever hears it can check it."""
    scene = Scene(time, "me", "honest", "far")
    kind, world = EVENTS["intent"], (1366.0, 768.0)
    data = {"x": 1365.9999999999998, "y": 0.1, "E": 1.1, "sigma": 768.3}
    event = fired(kind, data, "far", time.now(), world=world, taken=lambda key: False)
    assert scene.hear(scene.honest, event.message(1)) == 1
    assert scene.applied[0].data["x"] == pytest.approx(800.0)
    (passed,) = scene.passed_on
    assert passed == event.message(2)
    third = Scene(time, "me", "honest", "far")
    assert third.hear(third.honest, messages.decode(messages.encode(passed)).message) == 1  # type: ignore[union-attr]


def test_a_newcomers_event_is_told_with_the_time_its_id_was_made_with(time: Time) -> None:
    """An event that was fired before its origin knew the room's time may be moved by who is new; of others
    that is refused, unless they say so themselves."""
    scene = Scene(time, "me", "evil", "honest")
    early = scene.event("honest", at=time.now() - 3_600_000).shifted(3_600_000)
    assert scene.hear(scene.evil, early.message(1)) == 1
    time.seconds += 91
    late = scene.event("honest", at=time.now() - 3_600_000).shifted(3_600_000)
    assert scene.hear(scene.evil, late.message(1)) == 0
    assert scene.hear(scene.honest, late.message(0)) == 1


def test_who_left_still_counts_for_a_minute(time: Time) -> None:
    """What somebody fired before leaving may come after it left."""
    scene = Scene(time, "me", "evil", "far")
    scene.roster.apply(RosterMessage(left=["far"], size=2))
    assert scene.hear(scene.evil, scene.told("far", 1)) == 1
    time.seconds += 61
    assert scene.hear(scene.evil, scene.told("far", 1)) == 0


def test_without_a_roster_few_unknown_origins_count(time: Time) -> None:
    """On a server that tells no roster, peers count, and 256 other origins in 95 s."""
    scene = Scene(time)
    scene.honest.in_room = True
    taken = 0
    for n in range(2_000):
        taken += scene.hear(scene.evil, scene.told(f"o{n}", 1))
        time.seconds += 0.02
    assert taken == 256
    assert scene.hear(scene.evil, scene.told("honest", 1)) == 1
    time.seconds += 96
    assert scene.hear(scene.evil, scene.told("new", 1)) == 1


def test_in_a_large_room_the_server_is_asked(time: Time) -> None:
    """Where the roster does not name everybody, an event waits for the server's answer, at most 1 s; events
    of one origin are one question, and the answer holds for 60 s."""
    scene = Scene(time, "me", "evil", complete=False)
    for _ in range(3):
        assert scene.hear(scene.evil, scene.told("far", 1, x=len(scene.asked))) == 0
        scene.hear(scene.evil, scene.told("ghost", 1))
    assert scene.asked == [["far"], ["ghost"]]
    scene.roster.apply_answer(Who(["far"], [RosterMember("far", 1, "headless", True)]))
    scene.asking.poll()
    assert {event.origin for event in scene.applied} == {"far"}
    scene.roster.apply_answer(Who(["ghost"], []))
    scene.asking.poll()
    assert scene.evil.refused["intent"] >= 1
    before = len(scene.applied)
    time.seconds += 59
    assert scene.hear(scene.evil, scene.told("far", 1, y=9.0)) == 1
    time.seconds += 2
    scene.hear(scene.evil, scene.told("far", 1, y=10.0))
    assert scene.asked[2:] == [["far"]]
    refused = scene.evil.refused["intent"]
    time.seconds += 1.1
    scene.asking.poll()
    assert scene.evil.refused["intent"] == refused + 1
    assert len(scene.applied) == before + 1


def test_questions_and_waiting_events_are_bounded(time: Time) -> None:
    """Of a flood of unknown origins 128 events wait, in at most 20 questions a second; another link's events
    wait beside them."""
    scene = Scene(time, "me", "evil", complete=False)
    for n in range(5_000):
        scene.hear(scene.evil, scene.told(f"o{n}", 1))
    assert scene.evil.refused["intent"] == 5_000 - 128
    assert len(scene.asked) == 20
    time.seconds += 0.1
    scene.hear(scene.honest, scene.told("far", 1))
    assert len(scene.asked) == 22
    assert {"o127", "far"} <= {*scene.asked[20], *scene.asked[21]}


def test_a_greetings_pulses_are_checked_like_events(time: Time) -> None:
    """A pulse that a greeting tells of is taken if its origin is in the room and its id its hash."""
    scene = Scene(time, "me", "evil", "honest", "far")

    def pulse(event: Event, **changes: Any) -> dict[str, Any]:
        assert event.content is not None
        return {**event.content["intent"], "world": event.content["world"], **event.envelope, **changes}

    real = scene.event("honest")
    pulses = [pulse(real, E=0.01), pulse(scene.event("ghost")), pulse(scene.event("far"))]
    scene.hear(scene.evil, {"type": "state", "nodes": 1, "intents": pulses, "world": [800, 600]})
    assert [event.origin for event in scene.applied] == ["far"]
    assert scene.evil.refused["intent"] == 2
    time.seconds += 3
    assert scene.hear(scene.evil, {"type": "state", "nodes": 1, "intents": [pulse(real)]}) == 1
    assert scene.hear(scene.honest, real.message(0)) == 0


def test_a_gate_is_told_in_the_name_of_who_is_there(time: Time) -> None:
    """A standing gate in the name of somebody who is not in the room is its teller's own word; one that is
    yet to come is refused; each member tells the same one, and it is applied once."""
    scene = Scene(time, "me", "evil", "honest")

    def telemetry(**gate: Any) -> dict[str, Any]:
        return {"type": "telemetry", "telemetry": {}, "portal": True, **gate}

    gone = {"portalAt": NOW - 1e6, "portalOrigin": "left long ago"}
    assert scene.hear(scene.honest, telemetry(**gone)) == 1
    assert scene.hear(scene.evil, telemetry(**gone)) == 0
    assert [event.origin for event in scene.applied] == ["honest"]
    assert scene.hear(scene.evil, telemetry(portalAt=NOW + 1_500, portalOrigin="honest", portal=False)) == 0
    assert scene.evil.refused["portal"] == 1
    assert scene.hear(scene.evil, telemetry(portalAt=NOW - 1, portalOrigin="honest", portal=False)) == 1


def test_an_old_clients_event_cannot_be_swapped_either(time: Time) -> None:
    """The id of what an old client did is of what it said; a member of ours has no such ids."""
    scene = Scene(time, "me", "evil", "honest")
    scene.roster.apply(RosterMessage([RosterMember("page", 9, "", False)], size=4))
    kind = EVENTS["intent"]
    for origin, expected in (("page", 1), ("honest", 0)):
        event = Event(kind, PULSE, old_id(origin, kind, PULSE), origin, NOW)
        assert scene.hear(scene.evil, event.message(1) | {"intent": PULSE | {"E": 0.1}}) == 0
        assert scene.hear(scene.evil, event.message(1)) == expected
