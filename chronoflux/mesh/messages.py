"""Messages of the data channel and of the server's relay, typed and checked when they are decoded.

Event messages are not listed here; the registry in `chronoflux.model.events` defines them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from chronoflux.errors import ProtocolError
from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.params import Params
from chronoflux.signal.protocol import MAX_HOPS
from chronoflux.signal.validation import is_plain

Short = Annotated[str, Meta(max_length=64)]
Time = Annotated[float, Meta(ge=0, le=1e14)]
"""Mesh time, ms since the Unix epoch."""
Count = Annotated[int, Meta(ge=0, le=10**12)]
Latest = Annotated[int, Meta(ge=-1, le=10**12)]
Side = Annotated[float, Meta(ge=1, le=1e7)]
RANGES = 32  # most ranges of numbers in a hello


class Hello(Struct, tag_field="type", tag="hello", rename="camel"):
    """The first message on a channel. A peer that does not send it within 2 s is an old client.

    `tick_ms` is the resolution of the sender's clock. `n` is the highest number of the sender's events so
    far (-1: none) in this `session`. Of the receiver's events the sender has those numbered `since` + 1 to
    `heard`, and those in the ranges `also`. It does not miss events from before it joined.
    """

    version: Short
    node_id: Short
    kind: Short
    features: Annotated[list[Short], Meta(max_length=32)] = []
    tick_ms: Annotated[float, Meta(ge=0, le=20)] = msgspec.field(default=0.0, name="tick_ms")
    n: Latest | None = None
    session: Short = ""
    since: Latest = -1
    heard: Latest | None = None
    also: Annotated[list[tuple[Count, Count]], Meta(max_length=RANGES)] = []


class LivePulse(Struct):
    """A pulse that is still active; `at` is when it was fired, in mesh time. Positions are px of `world`."""

    x: float
    y: float
    E: float
    sigma: float | None = None
    id: Short | None = None
    origin: Short | None = None
    at: Time | None = None
    n: Count | None = None
    stamp: Time | None = None
    world: tuple[Side, Side] | None = None


class Greeting(Struct, tag_field="type", tag="state", rename="camel"):
    """The state that a newcomer adopts: portal mode and the active pulses."""

    nodes: Count = 0
    portal: bool = False
    t: float = 0.0
    portal_at: Time | None = None
    portal_origin: Short | None = None
    intents: Annotated[list[LivePulse], Meta(max_length=256)] = []
    world: tuple[Side, Side] | None = None


class Telemetry(Struct, tag_field="type", tag="telemetry", rename="camel", omit_defaults=True):
    """A peer's record of the last second; its values are displayed but never used for coupling.

    It repeats the standing state, so that nodes agree again after any loss. It also repeats the highest
    number `n` of the sender's events, so that receivers detect missing events.
    """

    telemetry: dict[str, Any]
    at: Time | None = None
    seq: Count | None = None
    n: Latest | None = None
    portal: bool = False
    portal_at: Time | None = None
    portal_origin: Short | None = None

    @property
    def latest(self) -> int | None:
        """The highest number of the sender's events; messages through the server carry it in `telemetry`."""
        inside = self.telemetry.get("n")
        if self.n is not None or isinstance(inside, bool) or not isinstance(inside, int):
            return self.n
        return inside if -1 <= inside <= 10**12 else None


class Field(Struct, tag_field="type", tag="field"):
    """A peer's mean field: order `R`, phase `psi` (rad) at mesh time `at`, `omega` (rad/s), size `n`."""

    at: Time
    R: Annotated[float, Meta(ge=0, le=1 + 1e-9)]
    psi: Annotated[float, Meta(ge=-100, le=100)]
    omega: Annotated[float, Meta(ge=-200, le=200)]
    n: Annotated[int, Meta(ge=1, le=10**7)]


class Bye(Struct, tag_field="type", tag="bye"):
    """An orderly goodbye."""

    reason: Short = ""


class ByeAck(Struct, tag_field="type", tag="bye-ack"):
    """The acknowledgement of a goodbye."""


class Refused(Struct, tag_field="type", tag="refused"):
    """The receiver's offer is refused, for this reason; sent by the server's relay, for lack of a link."""

    reason: Short = ""


class Probe(Struct, tag_field="type", tag="probe"):
    """A request for the receiver's mesh time; `t0` is the sender's mesh time, which the reply repeats."""

    t0: Time


class ProbeReply(Struct, tag_field="type", tag="probe-reply"):
    """The answer to a probe received at `t1` and answered at `t2`, in the sender's mesh time.

    `ref` and `stratum` are the sender's reference and stratum. `joined` is when the reference joined
    according to the server (ms), for receivers that are not its neighbours.
    """

    t0: Time
    t1: Time
    t2: Time
    ref: Short = ""
    stratum: Annotated[int, Meta(ge=0, le=16)] = 16
    joined: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class Envelope(Struct):
    """The fields that accompany every event; old clients send none of them.

    `n` is the event's number at its origin. `stamp` is the time from which its id was made, if mesh time was
    stepped since. `world` is the size of the origin's world; the event's data are in its px.
    """

    id: Short | None = None
    origin: Short | None = None
    at: Time | None = None
    hops: Annotated[int, Meta(ge=0, le=MAX_HOPS)] = 0
    n: Count | None = None
    stamp: Time | None = None
    world: tuple[Side, Side] | None = None


@dataclass(frozen=True)
class EventMessage:
    """An event of a known kind. Its data are unchecked; `message` is the whole message as received."""

    kind: EventKind
    envelope: Envelope
    data: dict[str, Any]
    message: dict[str, Any]

    @property
    def type(self) -> str:
        """The event's ``type`` on the wire."""
        return self.kind.wire


@dataclass(frozen=True)
class UnknownEvent:
    """An event of an unknown kind, which is forwarded unchanged to nodes that may know it."""

    type: str
    envelope: Envelope
    message: dict[str, Any]


@dataclass(frozen=True)
class Unknown:
    """A message of an unknown type, which is ignored."""

    type: str


Clocked = Probe | ProbeReply
Parting = Bye | ByeAck | Refused
Message = Hello | Greeting | Telemetry | Field | Parting | Clocked | EventMessage | UnknownEvent | Unknown
Outgoing = Struct | Mapping[str, Any]
FIXED: dict[str, type[Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (Hello, Greeting, Telemetry, Field, Bye, ByeAck, Refused, Probe, ProbeReply)
}
FIELD_LIMIT = 200.0  # rad/s
RT_CHANNEL = "chronoflux-rt"  # label of the channel without retransmission, and the feature's name
CLOCK = "clock"  # the feature: answers probes
HASHED = "event-hash"  # the feature: ids of its events are hashes, see `chronoflux.mesh.event_id`
FEATURES = [RT_CHANNEL, CLOCK, HASHED]
PASSED_BYTES = 16_384  # most bytes of a forwarded event


def decode(raw: str | bytes) -> Message:
    """Decode a message of a channel.

    Raises
    ------
    ProtocolError
        If it is not a JSON object with a type, or its fields are wrong or out of range.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ProtocolError("message", f"not JSON: {error}") from None
    return parse(value)


def parse(value: Any) -> Message:
    """Decode a message that is already an object (from a relay or broadcast); see :func:`decode`."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ProtocolError("message", "not an object with a type")
    name = value["type"]
    if name in FIXED:
        message: Message = convert(value, FIXED[name], name)
        return message
    if (kind := EVENTS.by_wire(name)) is not None:
        data = value.get(kind.nested) if kind.nested else value
        if not isinstance(data, dict):
            raise ProtocolError(name, f"no object {kind.nested!r}")
        own = {key: data[key] for key in kind.payload.__struct_fields__ if key in data}
        return EventMessage(kind, convert(value, Envelope, name), own, value)
    return _unknown(name, value)


def _unknown(name: str, value: dict[str, Any]) -> Message:
    """Decode a message of an unknown type: an event if it has an event's envelope."""
    if not {"id", "origin", "hops"} <= value.keys():
        return Unknown(name[:64])
    envelope: Envelope = convert(value, Envelope, name[:64])
    if not envelope.id or not envelope.origin:
        return Unknown(name[:64])
    check_passable(value, name[:64])
    return UnknownEvent(name[:64], envelope, value)


def check_passable(value: dict[str, Any], name: str) -> None:
    """Raise ProtocolError for an event's message that is too long or too deep to be forwarded."""
    if not is_plain(value) or len(msgspec.json.encode(value)) > PASSED_BYTES:
        raise ProtocolError(name, "too long or too deep to be forwarded")


def convert(value: Any, kind: type[Struct], name: str) -> Any:
    """Convert an object to `kind`. Raise ProtocolError unless texts are printable and numbers finite."""
    try:
        message = msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise ProtocolError(name, str(error)) from None
    _check_values(message, name, name)
    return message


def _check_values(value: Any, name: str, key: str) -> None:
    """Raise ProtocolError unless texts are printable and numbers finite, also within lists and structs."""
    if isinstance(value, str) and not value.isprintable():
        raise ProtocolError(name, f"{key} is not printable")
    if isinstance(value, float) and not math.isfinite(value):
        raise ProtocolError(name, f"{key} is not finite")
    if isinstance(value, Struct):
        for field in value.__struct_fields__:
            _check_values(getattr(value, field), name, field)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_values(item, name, key)


def encode(message: Outgoing) -> str:
    """Return a message as JSON text."""
    return msgspec.json.encode(message).decode()


def to_object(message: Outgoing) -> dict[str, Any]:
    """Return a message as an object of plain values, for the server's relay."""
    value: dict[str, Any] = msgspec.to_builtins(message)
    return value


def metadata(node_id: str, kind: str, params: Params, version: str) -> dict[str, Any]:
    """Return this node's metadata, which the server passes to other members."""
    return {"nodeId": node_id, "kind": kind, "nodeCount": params.oscillators, "version": version}
