"""Events between nodes count once."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ProtocolError
from chronoflux.mesh.gossip import MAX_REMEMBERED, Event, Gossip, fired, old_id
from chronoflux.model.events import EVENTS

NOW = 1.7e12


def event(
    name: str = "intent", *, at: float = NOW, origin: str = "p", key: str | None = None, on: bool = True
) -> Event:
    """An event as it may come."""
    data = {"on": on} if name == "lion_gate" else {}
    return Event(EVENTS[name], data, key or uuid.uuid4().hex, origin, at)


@given(st.lists(st.integers(0, 20), max_size=60))
def test_each_id_counts_once(keys: list[int]) -> None:
    """Of any sequence of ids, with repeats, each is accepted exactly once."""
    gossip = Gossip()
    accepted = [key for key in keys if gossip.accept(event(key=str(key)), NOW)]
    assert accepted == list(dict.fromkeys(keys))


@given(st.permutations(range(6)))
def test_the_latest_gate_wins_in_any_order(order: list[int]) -> None:
    """Whatever the order of arrival, the lion gate with the latest time holds, ties by origin."""
    gates = [
        event("lion_gate", at=NOW + when, origin=who)
        for when, who in zip((1, 2, 2, 0, 2, 1), "abcdef", strict=True)
    ]
    gossip = Gossip()
    for index in order:
        gossip.accept(gates[index], NOW)
    assert gossip.standing("lion_gate", NOW) is gates[4]


def test_times_far_from_now_are_refused() -> None:
    """An event from the far future or past is refused; a lasting state may be old, but not yet to come."""
    gossip = Gossip()
    for at in (NOW + 2_001, NOW - 90_001):
        with pytest.raises(ProtocolError):
            gossip.accept(event(at=at), NOW)
    assert gossip.adopt(event("lion_gate", at=NOW - 1e7), NOW)
    for early in (1_000, 1e7):
        with pytest.raises(ProtocolError):
            gossip.adopt(event("lion_gate", at=NOW + early), NOW)


def test_own_events_come_back_unheard_and_are_told_again_for_a_minute() -> None:
    """An own event that a peer sends back is not applied; it is kept for new paths for 60 s."""
    gossip = Gossip()
    mine = gossip.add_own(event(at=NOW))
    assert (mine.n, gossip.count) == (0, 1)
    assert not gossip.accept(mine, NOW + 10)
    assert list(gossip.recent(NOW + 59_000)) == [mine]
    assert list(gossip.recent(NOW + 61_000)) == []


def test_equal_events_of_an_old_client_are_one_within_a_second() -> None:
    """An old client's event heard on two ways is one; the same click two seconds later is another."""
    gossip = Gossip()
    key = old_id("peer", EVENTS["pacemaker_flip"], {})
    assert (
        key == old_id("peer", EVENTS["pacemaker_flip"], {}) != old_id("other", EVENTS["pacemaker_flip"], {})
    )
    heard = [
        gossip.accept(event("pacemaker_flip", key=key, at=NOW + later), NOW + later)
        for later in (0, 500, 2_000)
    ]
    assert heard == [True, False, True]


def test_what_an_old_client_did_once_comes_late_on_another_way_and_is_not_new() -> None:
    """An old client's event that a third node passes on seconds later is told by its time, which travels with
    it."""
    gossip = Gossip()
    key = old_id("peer", EVENTS["pacemaker_flip"], {})
    assert gossip.accept(event("pacemaker_flip", key=key), NOW)
    assert not gossip.accept(event("pacemaker_flip", key=key, at=NOW + 30), NOW + 5_000)


@given(st.permutations(range(5)))
def test_a_gate_of_an_old_client_counts_once_on_all_ways(order: list[int]) -> None:
    """An old client's lion gate is heard once from itself; others tell of it by their state, at the times at
    which they heard it, and the client by its own, without a time. In any order it is one event; the client's
    next press, half a minute later, is another."""
    gate = EVENTS["lion_gate"]
    pressed = old_id("old", gate, {"on": True})

    def told(at: float) -> Event:
        return event("lion_gate", key=f"state:old:{at:.3f}", at=at, origin="old")

    ways = [event("lion_gate", key=pressed, at=NOW, origin="old")]
    ways += [told(NOW + 3), told(NOW - 8), told(NOW + 1_500), told(0.0)]
    gossip = Gossip()

    def hear(way: Event, now: float) -> bool:
        return gossip.accept(way, now) if way.id == pressed else gossip.adopt(way, now)

    assert sum(hear(ways[index], NOW + 2_000) for index in order) == 1
    assert sum(hear(ways[index], NOW + 2_000) for index in order) == 0
    off = event("lion_gate", at=NOW + 20_000, on=False)
    assert gossip.accept(off, NOW + 20_000)
    later = event("lion_gate", key=pressed, at=NOW + 30_000, origin="old")
    assert gossip.accept(later, NOW + 30_000)
    assert not hear(told(NOW + 30_040), NOW + 31_000)


def test_a_pulse_that_others_tell_of_late_is_not_a_new_one() -> None:
    """An old client's intent, told by a node that heard it seconds later, is the one that is known."""
    gossip = Gossip()
    key = old_id("old", EVENTS["intent"], {"x": 1.5})
    assert gossip.accept(event(key=key, origin="old"), NOW)
    assert not gossip.accept(event(key=key, origin="old", at=NOW + 1_800), NOW + 1_900, from_state=True)


def test_an_id_is_known_by_its_origin_too() -> None:
    """Who tells an event under the id of somebody else's does not suppress that one."""
    gossip = Gossip()
    assert gossip.accept(event(key="x", origin="evil"), NOW)
    assert gossip.accept(event(key="x", origin="honest"), NOW)
    assert not gossip.accept(event(key="x", origin="honest"), NOW, relayed=True)


def test_a_full_memory_takes_no_more_and_forgets_nothing_early() -> None:
    """Of one origin and path 2,048 events are remembered for 95 s; more are refused; those of others, and of
    the other path, are taken."""
    gossip = Gossip()
    for n in range(MAX_REMEMBERED):
        assert gossip.accept(event(key=f"{n}", at=NOW), NOW, relayed=True)
    for late in (0, 89_000):
        with pytest.raises(ProtocolError, match="2,048"):
            gossip.accept(event(at=NOW + late), NOW + late, relayed=True)
        assert not any(gossip.accept(event(key=f"{n}", at=NOW), NOW + late) for n in range(MAX_REMEMBERED))
        assert gossip.accept(event(at=NOW + late), NOW + late)
        assert gossip.accept(event(at=NOW + late, origin="other"), NOW + late, relayed=True)
    assert gossip.accept(event(at=NOW + 95_001), NOW + 95_001, relayed=True)


def test_what_is_too_old_to_be_taken_is_forgotten() -> None:
    """Memory goes back to nothing when a flood is over."""
    gossip = Gossip()
    for origin in range(100):
        for n in range(50):
            gossip.accept(event(key=f"{n}", origin=f"{origin}"), NOW)
    gossip.accept(event(at=NOW + 100_000), NOW + 100_000)
    assert sum(map(len, gossip._received.values())) == 1
    assert len(gossip._swept) <= 2


def test_when_mesh_time_moves_an_event_keeps_its_id() -> None:
    """An event fired before mesh time moved is told with its new time, and with that of its id."""
    gossip = Gossip()
    kind = EVENTS["pacemaker_flip"]
    mine = gossip.add_own(fired(kind, {}, "me", NOW, world=(800, 600), taken=lambda key: False))
    gossip.shift(3_600_000.0)
    (moved,) = gossip.recent(NOW + 3_600_000)
    assert moved.message(0) == mine.message(0) | {"at": mine.at + 3_600_000, "stamp": mine.at}
    gossip.shift(1.0)
    assert next(gossip.recent(NOW + 3_600_000)).stamp == mine.at


def test_one_switch_told_under_two_names_is_one() -> None:
    """A gate whose origin left is told in the name of whoever tells it, and is no news the second time."""
    gossip = Gossip()
    assert gossip.adopt(event("lion_gate", origin="b"), NOW)
    assert not gossip.adopt(event("lion_gate", origin="c"), NOW)
    assert gossip.adopt(event("lion_gate", origin="a", at=NOW + 1, on=False), NOW + 1)


def test_a_gate_from_the_future_does_not_hold() -> None:
    """A gate fired here while the clock was wrong does not outrank those fired when it is right again."""
    gossip = Gossip()
    gossip.add_own(event("lion_gate", at=NOW + 30_000, on=True))
    assert gossip.standing("lion_gate", NOW) is None
    later = event("lion_gate", at=NOW, on=False)
    assert gossip.accept(later, NOW)
    assert gossip.standing("lion_gate", NOW) is later
