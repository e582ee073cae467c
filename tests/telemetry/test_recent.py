"""The latest records that a node keeps in memory for its views."""

from __future__ import annotations

import math

from chronoflux.telemetry.recent import MAX_EVENTS, MAX_SAMPLES, SAMPLE_PERIOD, OrderSample, RecentRecord


def test_samples_and_events_are_apart() -> None:
    """Telemetry gives samples, with None for unknown values; other records are events, but the clock's."""
    recent = RecentRecord()
    recent.add("telemetry", {}, {"H": 0.5, "H_local": math.nan, "tau": 1.0}, at=1.0)
    recent.add("intent", {"x": 1}, {"H": 0.5}, at=2.0)
    recent.add("clock", {}, {}, at=3.0)
    assert recent.order == (OrderSample(1.0, 0.5, None, None),)
    assert [(event.at, event.type, event.data) for event in recent.events] == [(2.0, "intent", {"x": 1})]


def test_memory_is_bounded() -> None:
    """However fast records come, few samples are kept, the latest among them, over about five minutes."""
    recent = RecentRecord()
    for i in range(100_000):
        recent.add("telemetry", {}, {"H": i / 100_000}, at=0.01 * i)
        recent.add("intent", {}, {}, at=0.01 * i)
    samples = recent.order
    assert len(samples) == MAX_SAMPLES
    assert samples[-1].H == 0.99999
    assert samples[-1].at - samples[0].at >= 0.95 * MAX_SAMPLES * SAMPLE_PERIOD
    assert len(recent.events) == MAX_EVENTS


def test_standing_events_are_remembered() -> None:
    """The last switch counts, of this node or of another, also after many other events."""
    recent = RecentRecord()
    recent.add("lion_gate", {"on": True}, {})
    recent.add("remote_calm", {"on": True}, {})
    recent.add("remote_lion_gate", {"on": False}, {})
    for _ in range(2 * MAX_EVENTS):
        recent.add("intent", {}, {})
    assert recent.standing == {"lion_gate": False, "calm": True}
