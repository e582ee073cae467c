"""The page refuses what the package refuses, and reads the rest alike."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.messages import EventMessage, Unknown, UnknownEvent
from chronoflux.page.tables import event_table
from tests.fuzz import mutants
from tests.page.test_model import node

NOW = 1.75e12
EVENT = {"id": "e", "origin": "o", "at": NOW, "hops": 0}
PULSE = {"x": 1, "y": 2, "E": 0.3, "sigma": 80, **EVENT}
GOOD: list[dict[str, Any]] = [
    {"type": "hello", "version": "1", "nodeId": "n", "kind": "page", "features": ["rt"], "tick_ms": 0.1,
     "n": 4, "session": "s", "since": 1, "heard": 3, "also": [[5, 6]]},
    {"type": "state", "nodes": 9, "portal": True, "t": 1.0, "portalAt": NOW, "portalOrigin": "o",
     "intents": [PULSE], "world": [800, 600]},
    {"type": "intent", "intent": {"x": 10, "y": 20, "E": 0.35, "sigma": 80}, **EVENT},
    {"type": "portal", "on": True, **EVENT, "n": 7, "stamp": NOW, "world": [100, 50.5]},
    {"type": "flip", **EVENT},
    {"type": "telemetry", "telemetry": {"t": 1.0, "H": 0.5}, "at": NOW, "seq": 1, "portal": True,
     "portalAt": NOW, "portalOrigin": "o"},
    {"type": "field", "at": NOW, "R": 0.5, "psi": 1.0, "omega": 7.5, "n": 100},
    {"type": "probe", "t0": NOW},
    {"type": "probe-reply", "t0": NOW, "t1": NOW, "t2": NOW, "ref": "o", "stratum": 1, "joined": 5},
    {"type": "bye", "reason": "left"},
    {"type": "bye-ack"},
    {"type": "scatter", "strength": 2, **EVENT},
]  # fmt: skip


def package(raw: bytes) -> str | None:
    """The type of a message as the package reads it; None when it refuses it."""
    try:
        message = messages.decode(raw)
        if isinstance(message, EventMessage):
            message.kind.check(message.data, None, beyond=True)
            return "event"
    except (ProtocolError, ParameterError):
        return None
    if isinstance(message, UnknownEvent):
        return "unknown event"
    return "unknown" if isinstance(message, Unknown) else str(type(message).__struct_config__.tag)


@pytest.fixture(scope="module")
def cases() -> list[bytes]:
    """Good messages and ten thousand mutants of them."""
    return [messages.encode(good).encode() for good in GOOD] + list(mutants(GOOD, 10_000, seed=5))


def test_both_refuse_the_same_messages(cases: list[bytes]) -> None:
    """Of good, mutated and random messages page and package take the same ones, as the same type."""
    encoded = [base64.b64encode(raw).decode() for raw in cases]
    read = node("run_protocol.mjs", {"events": event_table(), "messages": encoded})
    page = [None if one is None else one["type"] for one in read]
    assert page[: len(GOOD)] == [package(raw) for raw in cases[: len(GOOD)]]
    assert None not in page[: len(GOOD)]
    different = [
        (raw[:200], said, ours)
        for raw, said in zip(cases, page, strict=True)
        # JavaScript does not tell whole numbers beyond 2⁶⁴, which the package refuses, from others.
        if said != (ours := package(raw)) and not (ours is None and re.search(rb"\d{21}", raw))
    ]
    assert not different, f"{len(different)}: {different[:8]}"
