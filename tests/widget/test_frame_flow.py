"""The flow of frames, with times as plain numbers."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from chronoflux.widget.frame_flow import FrameFlow

BEAT = 1 / 60


def test_nothing_is_drawn_while_nobody_watches() -> None:
    """Without a client, after it left, and while it is hidden, no frame is ready and nothing is awaited."""
    flow = FrameFlow()
    assert not flow.ready(0.0)
    assert flow.wait(0.0) is None
    flow.watch("a", 0.0)
    assert flow.ready(0.0)
    flow.leave("a")
    assert not flow.ready(1.0)
    assert flow.wait(1.0) is None


def test_two_frames_are_in_flight_at_most() -> None:
    """The third frame waits for a confirmation, and a confirmation counts for all earlier frames."""
    flow = FrameFlow()
    flow.watch("a", 0.0)
    first, second = flow.sent(0.0), flow.sent(BEAT)
    assert flow.in_flight == 2
    assert not flow.ready(3 * BEAT)
    flow.confirm("a", second, 3 * BEAT)
    assert flow.in_flight == 0
    assert flow.ready(3 * BEAT)
    flow.confirm("a", first, 3 * BEAT)
    assert flow.in_flight == 0


def test_frames_keep_their_beat() -> None:
    """Frames confirmed at once go out 60 times a second, also when each is a little late."""
    flow, now, sent = FrameFlow(), 0.0, 0
    flow.watch("a", now)
    while now < 10.0:
        now += flow.wait(now) + 0.003
        assert flow.ready(now)
        flow.confirm("a", flow.sent(now), now)
        sent += 1
    assert 590 <= sent <= 601


def test_a_stall_is_not_made_up_for() -> None:
    """After a pause frames continue at their interval, not in a burst."""
    flow = FrameFlow()
    flow.watch("a", 0.0)
    flow.confirm("a", flow.sent(0.0), 0.0)
    flow.confirm("a", flow.sent(5.0), 5.0)
    flow.confirm("a", flow.sent(5.0 + BEAT), 5.0 + BEAT)
    assert not flow.ready(5.0 + 1.2 * BEAT)


def test_a_silent_client_is_given_up_and_taken_back() -> None:
    """A client that confirms nothing for `patience` is not waited for; a late confirmation brings it back."""
    flow = FrameFlow(patience=2.0)
    flow.watch("a", 0.0)
    flow.sent(0.0)
    flow.sent(1.0)
    assert flow.wait(1.0) == 1.0
    assert not flow.ready(2.5)
    assert not flow.watched
    flow.confirm("a", 1, 10.0)
    assert flow.watched
    assert flow.in_flight == 1
    assert flow.ready(10.0)


def test_a_client_that_lost_frames_says_so_and_goes_on() -> None:
    """Lost frames of a client that was given up are forgotten when it reports that it watches."""
    flow = FrameFlow(patience=2.0)
    flow.watch("a", 0.0)
    flow.sent(0.0)
    flow.sent(1.0)
    assert not flow.ready(3.5)
    flow.watch("a", 4.0)
    assert flow.in_flight == 0
    assert flow.ready(4.0)
    assert flow.fresh


def test_the_slowest_of_two_pages_sets_the_pace() -> None:
    """A frame goes to every page that watches, and waits until each has fewer than two to confirm."""
    flow = FrameFlow()
    flow.watch("a", 0.0)
    flow.watch("b", 0.0)
    flow.sent(0.0)
    second = flow.sent(BEAT)
    flow.confirm("a", second, 2 * BEAT)
    assert not flow.ready(3 * BEAT)
    flow.leave("b")
    assert flow.ready(3 * BEAT)


def test_who_begins_to_watch_is_shown_something_at_once() -> None:
    """A postponed frame is sent at once for a page that opens."""
    flow = FrameFlow()
    flow.watch("a", 0.0)
    flow.confirm("a", flow.sent(0.0), 0.0)
    flow.postpone(60.0)
    assert not flow.fresh
    assert not flow.ready(1.0)
    flow.watch("b", 1.0)
    assert flow.fresh
    assert flow.ready(1.0)


def test_the_pace_is_what_was_shown_and_how_late() -> None:
    """The pace has rate, median delay and missed frames of the confirmations of the last seconds."""
    flow = FrameFlow()
    flow.watch("a", 0.0)
    for k in range(30):  # ten a second, each confirmed after 40 ms
        flow.confirm("a", flow.sent(k / 10), k / 10 + 0.04)
    pace = flow.pace(3.0)
    assert pace.rate == 10.0
    assert abs(pace.lag_ms - 40) < 1e-6
    assert 29 * 4 <= pace.missed <= 29 * 5
    assert flow.pace(60.0).rate == 0.0


def test_frames_leave_nothing_behind() -> None:
    """Memory stays flat however many frames are shown, even if nobody asks for the pace."""
    flow = FrameFlow()
    flow.watch("a", 0.0)

    def show(frames: range) -> None:
        for k in frames:
            flow.confirm("a", flow.sent(k * BEAT), (k + 1) * BEAT)

    show(range(1_000))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        show(range(1_000, 6_000))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # a float a frame would be 120,000


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["watch", "leave", "confirm", "draw"]),
        st.sampled_from("abc"),
        st.integers(0, 6),
        st.floats(0, 3, allow_nan=False),
    ),
    max_size=60,
)


@given(ACTS)
def test_never_more_than_two_unconfirmed(acts: list[tuple[str, str, int, float]]) -> None:
    """For all sequences of messages no watching page has more than two unconfirmed frames."""
    flow, now, last = FrameFlow(), 0.0, 0
    for act, client, back, later in acts:
        now += later
        if act == "watch":
            flow.watch(client, now)
        elif act == "leave":
            flow.leave(client)
        elif act == "confirm":
            flow.confirm(client, last - back, now)
        elif flow.ready(now):
            number = flow.sent(now)
            assert number == last + 1
            last = number
        assert 0 <= flow.in_flight <= 2
        wait = flow.wait(now)
        assert (wait is not None) == flow.watched
        assert wait is None or 0 <= wait <= flow.patience * (1 + 1e-12)  # a difference of sums
