"""What one peer may do, and how it is judged."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from chronoflux.mesh.peer import SLOTS, Peer
from chronoflux.signal.limits import Bucket

NOW = 1.7e12


@given(st.lists(st.floats(0, 60), max_size=300), st.randoms(use_true_random=False))
def test_an_honest_minute_may_come_at_once(times: list[float], rng: random.Random) -> None:
    """Whatever a sender fired within its own limit in a minute is let in when it all arrives at once, in any
    order."""
    own = Bucket(20, 2, 0.0)
    fired = [when for when in sorted(times) if own.take(1, when)]
    rng.shuffle(fired)
    peer = Peer("p")
    assert all(peer.allows_event("p", NOW - 60_000 + 1000 * when, NOW) for when in fired)


def test_a_flood_is_cut_to_the_rate() -> None:
    """Of events without end, 20 a second and 40 more for each 10 s of their own time are let in."""
    peer = Peer("p")
    let_in = sum(peer.allows_event("p", NOW + i, NOW + i) for i in range(20_000))
    assert let_in == 2 * 240


def test_many_origins_do_not_make_it_forget() -> None:
    """Inventing origins, or times, opens no way around the limit and takes no memory."""
    peer = Peer("p")
    assert sum(peer.allows_event("p", NOW, NOW) for _ in range(1000)) == 240
    for i in range(2 * SLOTS):
        peer.allows_event(f"invented {i}", NOW, NOW)
        peer.allows_event("p", NOW + 1e9 + 1e5 * i, NOW)
    assert not peer.allows_event("p", NOW, NOW)
    assert len(peer._fired) <= SLOTS
