"""The messages of the signaling WebSocket, one frozen struct each, and their JSON.

Messages marked "ours" are unknown to the first ChronoFlux, whose clients and servers ignore them; the
others are its own, unchanged. Whatever comes from a remote is checked while it is decoded: types,
ranges, lengths, printable strings, depth. Decoding and encoding raise nothing but
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
"""Members remembered in one `join-room` at most: the eight earliest and the sender."""
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
MAX_WHO = 64
"""Ids in one `who` message at most."""
MAX_HOPS = 256
"""How often an event may be passed on at most: around a ring of a full room."""

Heard = Annotated[list[Name], Meta(max_length=256)]
"""Ids of neighbours of one client."""

# What other peers say of themselves is judged one by one, by `metadata_or_none`: a bad one must not cost
# the whole message, which is the server's. So any JSON is let through the decoder.
if TYPE_CHECKING:
    Metadata = dict[str, Any]
else:
    Metadata = Any


class Message(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of all messages: strings are printable, payloads not too deep.

    Raises
    ------
    ProtocolError
        When made with a string or payload that may not be sent.
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
    """When a member joined, as another remembers it: the server's clock in ms."""

    id: Name
    joined: Joined


class JoinRoom(Message, frozen=True, tag="join-room"):
    """Enter a room, leaving the one before. Ours: ``secret`` (128 bits as hex) and ``token``.

    Also ours, for a server that was restarted and remembers nothing: ``known``, the earliest members and
    itself as the sender heard of them, ``hops``, the last hop limit it heard, and ``links``, how many
    neighbours it was told of.
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
        return f"JoinRoom(room={self.room!r})"  # neither secret nor token ever reaches a log


class LeaveRoom(Message, frozen=True, tag="leave-room"):
    """Leave the room, staying connected. Ours."""


class SendSignal(Message, frozen=True, tag="signal"):
    """An offer, answer or candidate for one peer of the room, in simple-peer's form."""

    to: Name
    signal: Payload


class SendBroadcast(Message, frozen=True, tag="broadcast"):
    """Something for everybody else in the room."""

    data: Payload


class SendTelemetry(Message, frozen=True, tag="telemetry"):
    """Telemetry for everybody else in the room; the first to be dropped when somebody is slow."""

    telemetry: Payload


class SendRelay(Message, frozen=True, tag="relay"):
    """A data-channel message for one peer of the room, for a pair without a link. Ours."""

    to: Name
    data: Payload


class SendWho(Message, frozen=True, tag="who"):
    """Ask which of these ids are members of the room, in rooms whose roster is not told whole. Ours."""

    ids: Annotated[list[Name], Meta(max_length=MAX_WHO)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(id_.isprintable() for id_ in self.ids):
            raise ProtocolError("who", "an id is not printable")


# --- server to client ---------------------------------------------------------------------------


class ServerLimits(msgspec.Struct, frozen=True, rename="camel"):
    """What the server lets a client do: sizes in bytes, rates per second, ``grace`` in s."""

    message: Annotated[int, Meta(ge=1)] = 65_536
    payload: Annotated[int, Meta(ge=1)] = 16_384
    messages: Annotated[float, Meta(gt=0)] = 60.0
    bytes: Annotated[float, Meta(gt=0)] = 131_072.0
    room: Annotated[int, Meta(ge=1)] = 256
    grace: Annotated[float, Meta(ge=0)] = 15.0


class ServerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Which server this is; its presence in a welcome marks one of ours. ``rosters``: it sends `Roster`."""

    name: Name
    version: Name
    limits: ServerLimits = ServerLimits()
    rosters: bool = False

    def __post_init__(self) -> None:
        if not (self.name.isprintable() and self.version.isprintable()):
            raise ProtocolError("welcome", "the server's name or version is not printable")


class Welcome(Message, frozen=True, tag="welcome"):
    """First message of the server. ``peer_id`` may be replaced by that of `RoomPeers`."""

    peer_id: Name
    peers: list[Name] = field(default_factory=list)
    server: ServerInfo | None = None


class RoomPeer(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody in the room. Ours: ``joined``, the server's clock in ms, and ``lasting``: it has a secret.

    A server of another make says neither; None stands for that.

    Also ours, of a client without a secret in a partial mesh: ``hears``. To the one node that passes the
    events of others on to this client, it names those whose events the client hears from themselves; null
    tells the other neighbours that they pass nothing on to it. Unset, the server does not say.
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
    """A STUN or TURN server, as a browser's ``RTCPeerConnection`` takes it."""

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
    """Who is to be dialled by the receiver, earliest first: after a join its neighbours, later additions.

    Ours: the receiver's confirmed ``peer_id`` and ``joined``, ``ice_servers``; ``hops``, the hop limit for
    events (0 in a full mesh); and ``recorded``, in a partial mesh: somebody listens to the telemetry that
    goes through the server.
    """

    peers: list[RoomPeer]
    peer_id: Name | None = None
    joined: int | None = None
    ice_servers: IceServerList = field(default_factory=list)
    hops: Annotated[int, Meta(ge=0, le=MAX_HOPS)] = 0
    recorded: bool | msgspec.UnsetType = msgspec.UNSET


class RosterMember(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What the server vouches for about a member: ``joined`` is the server's clock in ms.

    ``lasting``: it joined with a secret. ``kind`` is what its metadata announced; a word that is none of
    ours is told as it is, if it may be shown, and as "" otherwise.
    """

    id: Name
    joined: Joined
    kind: Annotated[str, Meta(max_length=NAME_LENGTH)] = ""
    lasting: bool = False

    def __post_init__(self) -> None:
        if not (self.id.isprintable() and self.kind.isprintable()):
            raise ProtocolError("roster", "an id or a kind is not printable")


class Roster(Message, frozen=True, tag="roster"):
    """Who is in the room, by the server's word, to members with a secret. Ours.

    With ``whole`` it replaces what was told before, and names everybody (``complete``) or, in rooms of more
    than 256, the receiver, its neighbours and the eight earliest members with a clock; otherwise it is a
    difference. ``size`` counts the members. ``since`` is when the server's memory of the room begins, by its
    clock in ms: another value than before tells of a server that was restarted.
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
    """Answer to `SendWho`: those of the ids that are members, and the ``ids`` that were asked for. Ours."""

    ids: Annotated[list[Name], Meta(max_length=MAX_WHO)]
    present: Annotated[list[RosterMember], Meta(max_length=MAX_WHO)] = field(default_factory=list)


class PeerJoinedRoom(Message, frozen=True, tag="peer-joined-room"):
    """Somebody came, or came back with other metadata; wait to be dialled by this one.

    ``joined``, ``lasting`` and ``hears`` are those of `RoomPeer`. A node is told the same again when
    ``hears`` of a neighbour changes.
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
    """Somebody left the room."""

    peer_id: Name


class Signal(Message, frozen=True, tag="signal"):
    """An offer, answer or candidate from a peer."""

    from_: Name = field(name="from")
    signal: Payload


class Broadcast(Message, frozen=True, tag="broadcast"):
    """Something a peer sent to the room."""

    from_: Name = field(name="from")
    data: Payload


class Telemetry(Message, frozen=True, tag="telemetry"):
    """A peer's telemetry."""

    from_: Name = field(name="from")
    telemetry: Payload


class Relay(Message, frozen=True, tag="relay"):
    """A data-channel message from a peer without a link to us. Ours."""

    from_: Name = field(name="from")
    data: Payload


class Unlink(Message, frozen=True, tag="unlink"):
    """Close the link to this peer: it is no longer part of the mesh. Ours."""

    peer_id: Name


class IceServers(Message, frozen=True, tag="ice-servers"):
    """Fresh credentials. Ours."""

    ice_servers: IceServerList


class ErrorMessage(Message, frozen=True, tag="error"):
    """The server refused something; after a ``fatal`` one trying again cannot help. Ours.

    ``retry_after`` is in how many seconds it may help.
    """

    code: Name
    message: str = ""
    fatal: bool = False
    retry_after: Seconds | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "message", clean(self.message))
        super().__post_init__()


class Unknown(Message, frozen=True, tag="unknown"):
    """A message of a type we do not know, to be ignored; never sent."""

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
    """A message as the server gets it.

    Raises
    ------
    ProtocolError
        When it is not JSON, not an object with a ``type``, or a field is missing or not allowed.
    """
    return cast("ClientMessage | Unknown", _decode(raw, _FROM_CLIENT))


def decode_server(raw: str | bytes) -> ServerMessage | Unknown:
    """A message as a client gets it; raises like :func:`decode_client`."""
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
    """The message as one line of JSON.

    Raises
    ------
    ProtocolError
        When a payload holds what JSON cannot say.
    """
    return encode_bytes(message).decode()


def encode_bytes(message: Message) -> bytes:
    """Like :func:`encode`, as UTF-8: what a text frame carries."""
    try:
        return _ENCODER.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(kind_of(message), f"cannot be sent as JSON: {error}") from None


def kind_of(message: Message) -> str:
    """The ``type`` of a message on the wire."""
    return cast(str, message.__struct_config__.tag)
