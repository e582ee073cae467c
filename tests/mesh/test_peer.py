"""What a node knows of another: what it may do, how it is judged, when to dial again, why not direct."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ProtocolError
from chronoflux.mesh.peer import BACKOFF, MAX_SLOTS, Peer
from chronoflux.util.token_bucket import Bucket

NOW = 1000.0  # s
AT = 1.7e12  # ms of mesh time


def peer(*, link: str | None = "open", **facts: Any) -> Peer:
    """A node of ours that has been here for long, with a link in this state."""
    made = Peer("p", ours=True, since=0.0)
    if link is not None:
        made.link = SimpleNamespace(state=link, dropped=0, by_turn=False)  # type: ignore[assignment]
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("way", ["last_direct", "last_relayed"])
@pytest.mark.parametrize(
    ("silence", "state"), [(0.0, "live"), (1.9, "live"), (2.1, "quiet"), (14.9, "quiet"), (15.1, "gone")]
)
def test_ours_are_judged_by_what_is_heard(way: str, silence: float, state: str) -> None:
    """A node of ours is live within 2 s of its last word, on whichever way, quiet until 15 s, then gone; the
    next word makes it live again."""
    known = peer(**{way: NOW - silence})
    assert known.current_state(NOW) == state
    setattr(known, way, NOW)
    assert known.current_state(NOW) == "live"


def test_old_clients_are_judged_by_their_connection() -> None:
    """An old client may be silent as long as its link is open."""
    old = peer(ours=False, last_direct=NOW - 500)
    assert old.current_state(NOW) == "live"
    old.link = None
    assert old.current_state(NOW) == "connecting"
    old.unanswered = True
    assert (old.current_state(NOW), old.via(NOW)) == ("live", "server")
    old.in_room = False
    assert (old.current_state(NOW), old.via(NOW)) == ("gone", "")


@pytest.mark.parametrize(
    ("metadata", "lasting", "ours", "kind"),
    [
        ({"nodeCount": 220, "version": "1.0"}, False, False, "old"),
        ({"nodeCount": 220, "version": "1.0"}, None, False, "old"),
        ({"headless": True}, False, False, "runner"),
        ({"nodeId": "bridge-node-001", "bridge": True}, None, False, "bridge"),
        ({"nodeId": "p2p-node-1", "p2p": True}, False, False, "bridge"),
        ({"headless": "yes", "bridge": 1}, False, False, "old"),
        ({"kind": "headless", "version": "0.3"}, True, True, "headless"),
        ({"kind": "headless"}, None, True, "headless"),
        ({"kind": "headless"}, False, False, "old"),
        ({"kind": "robot", "version": "9"}, True, False, "old"),
        ({"kind": ["page"]}, True, False, "old"),
        ({}, True, False, "old"),
    ],
)
def test_before_a_hello_the_kind_and_the_servers_mark_decide(
    metadata: dict[str, Any], lasting: bool | None, ours: bool, kind: str
) -> None:
    """Only a kind of ours, from a member with a secret, marks one of ours; a server that does not tell of
    secrets is believed the kind alone. Whoever says hello is ours for good."""
    known = Peer("p" * 32, name="p" * 8)
    known.set_metadata(metadata, lasting=lasting)
    assert (known.ours, known.kind) == (ours, kind)
    known.on_hello("named", "page", ["clock"])
    known.set_metadata({"nodeCount": 220, "version": "1.0"}, lasting=False)
    assert (known.ours, known.kind, known.name) == (True, "page", "named")


def test_the_way_changes_after_two_seconds_of_silence() -> None:
    """An open link counts as direct for 2 s after its last word; then what the relay carries counts."""
    known = peer(last_direct=NOW - 1.9, last_relayed=NOW)
    assert known.via(NOW) == "direct"
    assert known.via(NOW + 0.2) == "relay"
    known.last_direct = NOW + 0.3
    assert known.via(NOW + 0.4) == "direct"
    assert peer(link=None, last_relayed=NOW - 2.1).via(NOW) == ""
    known.link.by_turn = True  # type: ignore[union-attr, misc]
    assert known.via(NOW + 0.4) == "turn"


@given(st.integers(0, 100))
def test_redialling_waits_longer_each_time_with_jitter(failures: int) -> None:
    """The wait doubles from 2 s to 60 s, give or take a quarter."""
    known = peer(failures=failures)
    known.plan_redial(NOW)
    assert known.redial_at is not None
    expected = min(BACKOFF[1], BACKOFF[0] * 2**failures)
    assert 0.75 * expected <= known.redial_at - NOW <= 1.25 * expected
    assert known.failures == failures + 1


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"last_direct": NOW}, ""),
        ({"last_direct": NOW - 7}, "nothing received over the link for 7 s"),
        ({"link": "connecting"}, "connecting"),
        ({"link": "connecting", "reason": "timed out"}, "connecting again, after: timed out"),
        ({"link": None, "reason": "no route", "redial_at": NOW + 8}, "no route; next try in 8 s"),
        ({"link": None}, "no link: the peer has not dialled yet"),
        ({"link": None, "reason": "this node has 32 links already"}, "this node has 32 links already"),
        ({"ours": False, "opened": NOW - 3}, "a client of the first ChronoFlux: it sends no hello"),
        (
            {"ours": False, "link": None, "kind": "runner"},
            "a runner of the first ChronoFlux: it is reached only through the server",
        ),
        ({"last_direct": NOW, "reason": "its clock is off"}, "its clock is off"),
    ],
)
def test_the_table_says_why_not_direct(facts: dict[str, Any], words: str) -> None:
    """For each state of a link there is one line that a person understands, and none when all is well."""
    assert peer(**facts).path_problem(NOW) == words


def test_what_was_refused_and_dropped_is_in_the_table() -> None:
    """The row of a peer counts its refused messages and those it did not get in time."""
    known = peer(last_direct=time.monotonic())
    known.refused.update(field=2, intent=1)
    known.link.dropped = 4  # type: ignore[union-attr]
    row = known.row(None, 0.0)
    assert (row["refused"], row["dropped"], row["via"], row["reason"]) == (3, 4, "direct", "")


@given(st.lists(st.floats(0, 60), max_size=300), st.randoms(use_true_random=False))
def test_an_honest_minute_may_come_at_once(times: list[float], rng: random.Random) -> None:
    """Whatever a sender fired within its own limit in a minute is let in when it all arrives at once, in any
    order."""
    own = Bucket(20, 2, 0.0)
    fired = [when for when in sorted(times) if own.take(1, when)]
    rng.shuffle(fired)
    sender = Peer("p")
    assert all(sender.allows_event("p", AT - 60_000 + 1000 * when, AT) for when in fired)


def test_a_flood_is_cut_to_the_rate() -> None:
    """Of events without end, 20 a second and 40 more for each 10 s of their own time are let in."""
    sender = Peer("p")
    let_in = sum(sender.allows_event("p", AT + i, AT + i) for i in range(20_000))
    assert let_in == 2 * 240


def test_many_origins_do_not_make_it_forget() -> None:
    """Inventing origins, or times, opens no way around the limit and takes no memory."""
    sender = Peer("p")
    assert sum(sender.allows_event("p", AT, AT) for _ in range(1000)) == 240
    for i in range(2 * MAX_SLOTS):
        sender.allows_event(f"invented {i}", AT, AT)
        sender.allows_event("p", AT + 1e9 + 1e5 * i, AT)
    assert not sender.allows_event("p", AT, AT)
    assert len(sender._event_counts) <= MAX_SLOTS


def test_kinds_that_a_peer_makes_up_cost_nothing() -> None:
    """However many kinds of message are refused of a peer, each is counted, and few are told apart."""
    made = peer()
    for number in range(10_000):
        made.refuse(ProtocolError(f"made up {number}", "too long"))
    made.refuse(ProtocolError("made up 3", "too long"))
    assert made.refused.total() == 10_001
    assert made.refused["made up 3"] == 2
    assert len(made.refused) <= 33
