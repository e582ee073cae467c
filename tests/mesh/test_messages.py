"""Messages between nodes: what is let in, and what is refused."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.gossip import Event
from chronoflux.model.events import EVENTS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from([*messages.FIXED, *(kind.wire for kind in EVENTS), "thought/v1"])
NAMES = [
    *("id", "origin", "at", "hops", "intent", "on", "R", "psi", "omega", "n", "nodes", "portal"),
    *("portalAt", "intents", "world", "x", "y", "E", "sigma", "telemetry", "version", "nodeId", "kind"),
]


@given(st.binary() | st.text() | JSON.map(json.dumps))
def test_arbitrary_input_is_decoded_or_refused(raw: str | bytes) -> None:
    """Whatever arrives is a message or a ProtocolError, never anything else."""
    with contextlib.suppress(ProtocolError):
        messages.decode(raw)


@given(TYPES, st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6))
def test_known_types_with_arbitrary_fields_are_decoded_or_refused(kind: str, fields: dict[str, Any]) -> None:
    """A message of a known type with any fields decodes into bounded, finite values or is refused."""
    try:
        message = messages.parse({"type": kind, **fields})
    except ProtocolError:
        return
    if isinstance(message, messages.Field):
        assert 0 <= message.R <= 1 + 1e-9
        assert abs(message.omega) <= 200
        assert all(math.isfinite(value) for value in (message.at, message.psi))
    if isinstance(message, messages.EventMessage):
        try:
            data = message.kind.check(message.data, (800.0, 600.0))
        except ParameterError:
            return
        assert all(not isinstance(value, float) or math.isfinite(value) for value in data.values())


@pytest.mark.parametrize(
    "field",
    [
        {"R": 1e308}, {"R": -0.1}, {"R": None}, {"psi": 1e6}, {"omega": 201}, {"n": 0}, {"n": 10**8},
        {"n": 2.5}, {"at": -1}, {"at": 1e300}, {"at": "now"},
    ],
)  # fmt: skip
def test_a_field_out_of_range_is_refused(field: dict[str, Any]) -> None:
    """A mean field whose numbers cannot be true is refused."""
    good = {"type": "field", "at": 1.7e12, "R": 0.5, "psi": 1.0, "omega": 7.5, "n": 100}
    assert isinstance(messages.parse(good), messages.Field)
    with pytest.raises(ProtocolError):
        messages.parse(good | field)


def test_nan_and_infinity_are_not_json() -> None:
    """The tokens NaN and Infinity, which some JSON writers produce, are refused."""
    for token in ("NaN", "Infinity", "-Infinity", "1e999"):
        with pytest.raises(ProtocolError):
            messages.decode(f'{{"type":"field","at":1,"R":{token},"psi":0,"omega":0,"n":1}}')


def test_deep_nesting_is_refused() -> None:
    """A bomb of brackets is refused instead of exhausting the stack."""
    with pytest.raises(ProtocolError):
        messages.decode('{"type":' + "[" * 100_000 + "]" * 100_000 + "}")


def test_the_first_chronoflux_is_understood() -> None:
    """The messages of the first ChronoFlux, which have no id, time or origin, are taken as they are."""
    intent = messages.decode('{"type":"intent","intent":{"x":10,"y":20,"E":0.35,"sigma":80}}')
    portal = messages.decode('{"type":"portal"}')
    state = messages.decode(b'{"type":"state","nodes":220,"portal":false,"t":3.2}')
    assert isinstance(intent, messages.EventMessage)
    assert intent.data == {"x": 10, "y": 20, "E": 0.35, "sigma": 80}
    assert isinstance(portal, messages.EventMessage)
    assert portal.kind.check(portal.data, (800, 600)) == {"on": True}
    assert isinstance(state, messages.Greeting)


@given(x=st.floats(0, 800), y=st.floats(0, 600), E=st.floats(0.001, 2), sigma=st.floats(1, 800))
def test_events_survive_the_wire(x: float, y: float, E: float, sigma: float) -> None:
    """An event encoded here is decoded there to the same data and envelope."""
    kind = EVENTS["intent"]
    data = {"x": x, "y": y, "E": E, "sigma": sigma}
    sent = Event(kind, data, "i", "o", 1.5e12).message(0)
    got = messages.decode(messages.encode(sent))
    assert isinstance(got, messages.EventMessage)
    assert got.kind.check(got.data, (800.0, 600.0)) == data
    assert (got.envelope.id, got.envelope.origin, got.envelope.at) == ("i", "o", 1.5e12)


def test_unprintable_names_are_refused() -> None:
    """A name with control characters, or longer than 64, is refused, also within lists."""
    for name in ("a\x1b[2J", "line\nbreak", "x" * 65):
        with pytest.raises(ProtocolError):
            messages.parse({"type": "hello", "version": "1", "nodeId": name, "kind": "notebook"})
        hello = {"type": "hello", "version": "1", "nodeId": "n", "kind": "notebook", "features": [name]}
        pulse = {"x": 1.0, "y": 2.0, "E": 0.3, "id": name}
        for message in (hello, {"type": "state", "intents": [pulse]}):
            with pytest.raises(ProtocolError):
                messages.parse(message)


@pytest.mark.parametrize("tick", [-1, 20.5, "1", None])
def test_how_coarse_a_clock_is_said_to_be_is_bounded(tick: object) -> None:
    """A hello says how coarse its node's clock is, from 0 to 20 ms; one of a version before says nothing."""
    said = {"type": "hello", "version": "1", "nodeId": "n", "kind": "page"}
    assert isinstance(hello := messages.parse(said), messages.Hello)
    assert hello.tick_ms == 0.0
    assert isinstance(hello := messages.parse({**said, "tick_ms": 15.6}), messages.Hello)
    assert hello.tick_ms == 15.6
    with pytest.raises(ProtocolError):
        messages.parse({**said, "tick_ms": tick})
