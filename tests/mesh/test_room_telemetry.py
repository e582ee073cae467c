"""Telemetry that goes through the server, for those who hear it in no other way."""

from __future__ import annotations

import random

import pytest

from chronoflux.mesh.room_telemetry import RoomTelemetry


@pytest.mark.parametrize(("size", "period"), [(2, 1.0), (16, 1.0), (20, 1.25), (64, 4.0), (256, 16.0)])
def test_a_large_room_is_told_more_rarely(size: int, period: float) -> None:
    """On average one every max(1, n/16) s in a room of n, however the records jitter."""
    rng = random.Random(size)
    told = RoomTelemetry()
    moments = [1e5 + second + rng.uniform(0, 0.9) for second in range(320)]
    sent = sum(told.due(size, now) for now in moments)
    assert 0.95 * 320 / period - 2 <= sent <= 320 / period + 2


def test_a_fast_swarm_does_not_tell_more_often() -> None:
    """With eight records a second one a second is told, and one more at the beginning."""
    told = RoomTelemetry()
    assert sum(told.due(3, 5.0 + n / 8) for n in range(80)) <= 12
