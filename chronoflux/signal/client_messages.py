"""The messages that clients send to the signaling server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, field

from chronoflux.errors import ProtocolError
from chronoflux.signal.message import MAX_HOPS, MAX_KNOWN, MAX_WHO, Joined, Message, Metadata, Name, Payload
from chronoflux.signal.validation import metadata_problem


class Known(msgspec.Struct, frozen=True):
    """When a member joined, as another member remembers it: the server's clock in ms."""

    id: Name
    joined: Joined


class JoinRoom(Message, frozen=True, tag="join-room"):
    """Enter a room and leave the previous one. Extension: ``secret`` (128 bits as hex) and ``token``.

    Three further extensions restore the memory of a restarted server: ``known``, when the earliest members
    and the sender joined, as the server announced; ``hops``, the last announced hop limit; and ``links``, the
    number of announced neighbours.
    """

    room: Name
    metadata: Metadata = field(default_factory=dict)
    secret: Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$")] | None = None
    token: Annotated[str, Meta(max_length=1024)] | None = None
    known: Annotated[list[Known], Meta(max_length=MAX_KNOWN)] = field(default_factory=list)
    hops: Annotated[int, Meta(ge=0, le=MAX_HOPS)] | None = None
    links: Annotated[int, Meta(ge=0, le=2**53)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.room.strip():
            raise ProtocolError("join-room", "the room's name is blank")
        metadata = {} if self.metadata is None else self.metadata
        if problem := metadata_problem(metadata):
            raise ProtocolError("join-room", f"metadata {problem}")
        msgspec.structs.force_setattr(self, "metadata", metadata)

    def __repr__(self) -> str:
        return f"JoinRoom(room={self.room!r})"  # keeps secret and token out of logs


class LeaveRoom(Message, frozen=True, tag="leave-room"):
    """Leave the room and stay connected. Extension."""


class SendSignal(Message, frozen=True, tag="signal"):
    """An offer, answer or candidate for one peer of the room, in simple-peer's form."""

    to: Name
    signal: Payload


class SendBroadcast(Message, frozen=True, tag="broadcast"):
    """Data for every other member of the room."""

    data: Payload


class SendTelemetry(Message, frozen=True, tag="telemetry"):
    """Telemetry for every other member of the room; dropped first for slow receivers."""

    telemetry: Payload


class SendRelay(Message, frozen=True, tag="relay"):
    """A data-channel message for one peer of the room, for a pair without a link. Extension."""

    to: Name
    data: Payload


class SendWho(Message, frozen=True, tag="who"):
    """Ask which of these ids are members, in rooms whose roster is not complete. Extension."""

    ids: Annotated[list[Name], Meta(max_length=MAX_WHO)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(id_.isprintable() for id_ in self.ids):
            raise ProtocolError("who", "an id is not printable")
