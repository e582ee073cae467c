"""The messages of the signaling WebSocket, one frozen struct each, and their JSON.

Messages and fields marked "extension" are unknown to the first ChronoFlux, whose clients and servers ignore
them. The others are those of the first ChronoFlux, unchanged. Decoding checks everything a remote sends:
types, ranges, lengths, printable strings, depth. Decoding and encoding raise only
:class:`~chronoflux.errors.ProtocolError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, field

from chronoflux.errors import ProtocolError
from chronoflux.signal.validation import (
    NAME_LENGTH,
    clean,
    is_plain,
    metadata_or_none,
    metadata_problem,
    peer_id,
    room_name,
)

__all__ = [
    "MAX_HOPS",
    "Broadcast",
    "ClientMessage",
    "ErrorMessage",
    "IceServer",
    "IceServers",
    "JoinRoom",
    "Known",
    "LeaveRoom",
    "Message",
    "PeerJoinedRoom",
    "PeerLeft",
    "Relay",
    "RoomPeer",
    "RoomPeers",
    "Roster",
    "RosterMember",
    "SendBroadcast",
    "SendRelay",
    "SendSignal",
    "SendTelemetry",
    "SendWho",
    "ServerInfo",
    "ServerLimits",
    "ServerMessage",
    "Signal",
    "Telemetry",
    "Unknown",
    "Unlink",
    "Welcome",
    "Who",
    "clean",
    "decode_client",
    "decode_server",
    "encode",
    "encode_bytes",
    "kind_of",
    "peer_id",
    "room_name",
]

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH)]
Payload = dict[str, Any]
Joined = Annotated[int, Meta(ge=0, le=2**53)]
MAX_KNOWN = 9
"""Most members in ``known`` of a ``join-room``: the eight earliest and the sender."""
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
MAX_WHO = 64
"""Most ids in one ``who`` message."""
MAX_HOPS = 256
"""Highest hop limit of an event: once around a ring of a full room."""

Heard = Annotated[list[Name], Meta(max_length=256)]
"""Ids of one client's neighbours."""

# The decoder accepts any JSON as metadata, and `metadata_or_none` checks each peer's afterwards: bad metadata
# of one peer must not invalidate a whole message of the server.
if TYPE_CHECKING:
    Metadata = dict[str, Any]
else:
    Metadata = Any


class Message(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of all messages: strings are printable, payloads not too deep.

    Raises
    ------
    ProtocolError
        If a string or payload may not be sent.
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str) and not value.isprintable():
                raise ProtocolError(kind_of(self), f"{name} is not printable")
            if isinstance(value, dict) and not is_plain(value):
                raise ProtocolError(kind_of(self), f"{name} nests too deep or holds too large a number")


# --- client to server ---------------------------------------------------------------------------


class Known(msgspec.Struct, frozen=True):
    """When a member joined, as another member remembers it: the server's clock in ms."""

    id: Name
    joined: Joined


class JoinRoom(Message, frozen=True, tag="join-room"):
    """Enter a room and leave the previous one. Extension: ``secret`` (128 bits as hex) and ``token``.

    Three further extensions restore the memory of a restarted server: ``known``, when the earliest members
    and the sender joined, as the sender was told; ``hops``, the last hop limit it was told; and ``links``,
    the number of neighbours it was told of.
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


# --- server to client ---------------------------------------------------------------------------


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


class Unknown(Message, frozen=True, tag="unknown"):
    """A message of an unknown type, which is ignored; never sent."""

    kind: str


ClientMessage = JoinRoom | LeaveRoom | SendSignal | SendBroadcast | SendTelemetry | SendRelay | SendWho
ServerMessage = (
    Welcome
    | RoomPeers
    | Roster
    | Who
    | PeerJoinedRoom
    | PeerLeft
    | Signal
    | Broadcast
    | Telemetry
    | Relay
    | Unlink
    | IceServers
    | ErrorMessage
)


# --- JSON ---------------------------------------------------------------------------------------


class _Head(msgspec.Struct):
    type: str


Decoders = dict[str, msgspec.json.Decoder[Any]]

_HEAD = msgspec.json.Decoder(_Head)
_ENCODER = msgspec.json.Encoder()


def _decoders(*kinds: type[Message]) -> Decoders:
    return {cast(str, kind.__struct_config__.tag): msgspec.json.Decoder(kind) for kind in kinds}


_FROM_CLIENT = _decoders(JoinRoom, LeaveRoom, SendSignal, SendBroadcast, SendTelemetry, SendRelay, SendWho)
_FROM_SERVER = _decoders(
    Welcome,
    RoomPeers,
    Roster,
    Who,
    PeerJoinedRoom,
    PeerLeft,
    Signal,
    Broadcast,
    Telemetry,
    Relay,
    Unlink,
    IceServers,
    ErrorMessage,
)

T = TypeVar("T")


def decode_client(raw: str | bytes) -> ClientMessage | Unknown:
    """Decode a message of a client.

    Raises
    ------
    ProtocolError
        If it is not JSON, not an object with a ``type``, or a field is missing or not allowed.
    """
    return cast("ClientMessage | Unknown", _decode(raw, _FROM_CLIENT))


def decode_server(raw: str | bytes) -> ServerMessage | Unknown:
    """Decode a message of the server; raises like :func:`decode_client`."""
    return cast("ServerMessage | Unknown", _decode(raw, _FROM_SERVER))


def _decode(raw: str | bytes, decoders: Decoders) -> Message:
    kind = "message"
    try:
        text = raw.encode() if isinstance(raw, str) else raw
        kind = clean(_HEAD.decode(text).type)
        decoder = decoders.get(kind)
        return Unknown(kind=kind) if decoder is None else decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise ProtocolError(kind, str(error)) from None
    except UnicodeError:
        raise ProtocolError(kind, "not UTF-8") from None
    except RecursionError:
        raise ProtocolError(kind, "nests too deep") from None


def encode(message: Message) -> str:
    """Return the message as one line of JSON.

    Raises
    ------
    ProtocolError
        If a payload cannot be encoded as JSON.
    """
    return encode_bytes(message).decode()


def encode_bytes(message: Message) -> bytes:
    """Return the message as JSON in UTF-8, for a text frame; raises like :func:`encode`."""
    try:
        return _ENCODER.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(kind_of(message), f"cannot be sent as JSON: {error}") from None


def kind_of(message: Message) -> str:
    """Return the ``type`` of a message on the wire."""
    return cast(str, message.__struct_config__.tag)
