"""The messages that the signaling server sends to clients."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, field

from chronoflux.errors import ProtocolError
from chronoflux.signal.message import MAX_HOPS, MAX_WHO, Joined, Message, Metadata, Name, Payload, Seconds
from chronoflux.signal.validation import NAME_LENGTH, clean, metadata_or_none

Heard = Annotated[list[Name], Meta(max_length=256)]
"""Ids of one client's neighbours."""


class ServerLimits(msgspec.Struct, frozen=True, rename="camel"):
    """Limits that the server announces: sizes in bytes, rates per second, ``grace`` in s."""

    message: Annotated[int, Meta(ge=1)] = 65_536
    payload: Annotated[int, Meta(ge=1)] = 16_384
    messages: Annotated[float, Meta(gt=0)] = 60.0
    bytes: Annotated[float, Meta(gt=0)] = 131_072.0
    room: Annotated[int, Meta(ge=1)] = 256
    grace: Annotated[float, Meta(ge=0)] = 15.0


class ServerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Identity of a server with the extensions. ``rosters``: it sends `Roster` messages."""

    name: Name
    version: Name
    limits: ServerLimits = ServerLimits()
    rosters: bool = False

    def __post_init__(self) -> None:
        if not (self.name.isprintable() and self.version.isprintable()):
            raise ProtocolError("welcome", "the server's name or version is not printable")


class Welcome(Message, frozen=True, tag="welcome"):
    """The server's first message. The ``peer_id`` of `RoomPeers` may replace this one."""

    peer_id: Name
    peers: list[Name] = field(default_factory=list)
    server: ServerInfo | None = None


class RoomPeer(msgspec.Struct, frozen=True, rename="camel"):
    """A peer in the room.

    Extensions: ``joined``, the server's clock in ms, and ``lasting``: it joined with a secret. Both are None
    from a server that does not send them.

    ``hears``, also an extension, describes a client without a secret in a partial mesh. One of its neighbours
    forwards the events of others to it; that node gets the ids whose events the client receives directly.
    The other neighbours get null and forward nothing to it. Unset: the server does not say.
    """

    id: Name
    metadata: Metadata = field(default_factory=dict)
    joined: int | None = None
    lasting: bool | None = None
    hears: Heard | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if not self.id.isprintable():
            raise ProtocolError("room-peers", "a peer's id is not printable")
        msgspec.structs.force_setattr(self, "metadata", metadata_or_none(self.metadata))


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A STUN or TURN server, in the form of a browser's ``RTCPeerConnection``."""

    urls: (
        Annotated[str, Meta(max_length=512)]
        | Annotated[list[Annotated[str, Meta(max_length=512)]], Meta(max_length=8)]
    )
    username: Annotated[str, Meta(max_length=512)] | None = None
    credential: Annotated[str, Meta(max_length=512)] | None = None

    def __repr__(self) -> str:
        return f"IceServer(urls={self.urls!r})"


IceServerList = Annotated[list[IceServer], Meta(max_length=16)]


class RoomPeers(Message, frozen=True, tag="room-peers"):
    """The peers that the receiver must dial, earliest first: its neighbours after a join, later new ones.

    Extensions: the receiver's confirmed ``peer_id`` and ``joined``; ``ice_servers``; ``hops``, the hop limit
    for events (0 in a full mesh); and ``recorded``: in a partial mesh, a recorder listens to the telemetry
    that goes through the server.
    """

    peers: list[RoomPeer]
    peer_id: Name | None = None
    joined: int | None = None
    ice_servers: IceServerList = field(default_factory=list)
    hops: Annotated[int, Meta(ge=0, le=MAX_HOPS)] = 0
    recorded: bool | msgspec.UnsetType = msgspec.UNSET


class RosterMember(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What the server vouches for about a member: ``joined`` is the server's clock in ms.

    ``lasting``: it joined with a secret. ``kind`` is the word in its metadata, known or unknown, or "" if
    that cannot be shown.
    """

    id: Name
    joined: Joined
    kind: Annotated[str, Meta(max_length=NAME_LENGTH)] = ""
    lasting: bool = False

    def __post_init__(self) -> None:
        if not (self.id.isprintable() and self.kind.isprintable()):
            raise ProtocolError("roster", "an id or a kind is not printable")


class Roster(Message, frozen=True, tag="roster"):
    """The members of the room according to the server, sent to members with a secret. Extension.

    A ``whole`` roster replaces the previous one; otherwise it is a difference. A ``complete`` roster covers
    all members. In rooms of more than 256 it covers only the receiver, its neighbours and the eight earliest
    members with a clock. ``size`` counts all members. ``since`` is when the server's memory of the room
    begins, by its clock in ms; a changed value means that the server was restarted.
    """

    members: list[RosterMember] = field(default_factory=list)
    left: list[Name] = field(default_factory=list)
    whole: bool = False
    complete: bool = True
    size: Annotated[int, Meta(ge=0)] = 0
    since: Joined = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(id_.isprintable() for id_ in self.left):
            raise ProtocolError("roster", "an id is not printable")


class Who(Message, frozen=True, tag="who"):
    """Answer to `SendWho`: the ``ids`` asked for, and those that are ``present``. Extension."""

    ids: Annotated[list[Name], Meta(max_length=MAX_WHO)]
    present: Annotated[list[RosterMember], Meta(max_length=MAX_WHO)] = field(default_factory=list)


class PeerJoinedRoom(Message, frozen=True, tag="peer-joined-room"):
    """A peer joined, or returned with other metadata; the receiver waits to be dialled by it.

    ``joined``, ``lasting`` and ``hears`` are those of `RoomPeer`. The message is sent again when ``hears``
    of a neighbour changes.
    """

    peer_id: Name
    metadata: Metadata = field(default_factory=dict)
    joined: int | None = None
    lasting: bool | None = None
    hears: Heard | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "metadata", metadata_or_none(self.metadata))
        super().__post_init__()


class PeerLeft(Message, frozen=True, tag="peer-left"):
    """A peer left the room."""

    peer_id: Name


class Signal(Message, frozen=True, tag="signal"):
    """An offer, answer or candidate from a peer."""

    from_: Name = field(name="from")
    signal: Payload


class Broadcast(Message, frozen=True, tag="broadcast"):
    """Data that a peer sent to the room."""

    from_: Name = field(name="from")
    data: Payload


class Telemetry(Message, frozen=True, tag="telemetry"):
    """A peer's telemetry."""

    from_: Name = field(name="from")
    telemetry: Payload


class Relay(Message, frozen=True, tag="relay"):
    """A data-channel message from a peer without a link to us. Extension."""

    from_: Name = field(name="from")
    data: Payload


class Unlink(Message, frozen=True, tag="unlink"):
    """Close the link to this peer, which is no longer a neighbour. Extension."""

    peer_id: Name


class IceServers(Message, frozen=True, tag="ice-servers"):
    """ICE servers with fresh credentials. Extension."""

    ice_servers: IceServerList


class ErrorMessage(Message, frozen=True, tag="error"):
    """The server refused something; after a ``fatal`` error a retry cannot help. Extension.

    ``retry_after`` is the time after which a retry may help, s.
    """

    code: Name
    message: str = ""
    fatal: bool = False
    retry_after: Seconds | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "message", clean(self.message))
        super().__post_init__()
