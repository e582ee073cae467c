"""Errors: they come back from worker processes as they were."""

from __future__ import annotations

import pickle

import pytest

from chronoflux.errors import (
    ChronofluxError,
    LinkError,
    LogError,
    ParameterError,
    ProtocolError,
    SignalingError,
    UsageError,
)

EVERY = [
    ChronofluxError("what to do"),
    ParameterError("kappa", 1000, "from -100 to 100"),
    UsageError("room: give a name"),
    SignalingError("ws://localhost:8089", "room-full", "the room is full", fatal=True, retry_after=2.0),
    LinkError("timed out"),
    ProtocolError("intent", "E is missing"),
    LogError("logs/run", "cannot be read", line=3),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: ChronofluxError) -> None:
    """An error that is pickled and read back has its class, its message and its attributes."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
