"""The messages of the signaling WebSocket, one frozen struct each, and their JSON.

Messages and fields marked "extension" are unknown to the first ChronoFlux, whose clients and servers ignore
them. The others are those of the first ChronoFlux, unchanged. Decoding checks everything a remote sends:
types, ranges, lengths, printable strings, depth. Decoding and encoding raise only
:class:`~chronoflux.errors.ProtocolError`.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from chronoflux.errors import ProtocolError
from chronoflux.signal.client_messages import (
    JoinRoom,
    Known,
    LeaveRoom,
    SendBroadcast,
    SendRelay,
    SendSignal,
    SendTelemetry,
    SendWho,
)
from chronoflux.signal.message import MAX_HOPS, MAX_KNOWN, MAX_WHO, Message, Unknown, kind_of
from chronoflux.signal.server_messages import (
    Broadcast,
    ErrorMessage,
    IceServer,
    IceServers,
    PeerJoinedRoom,
    PeerLeft,
    Relay,
    RoomPeer,
    RoomPeers,
    Roster,
    RosterMember,
    ServerInfo,
    ServerLimits,
    Signal,
    Telemetry,
    Unlink,
    Welcome,
    Who,
)
from chronoflux.signal.validation import clean, peer_id, room_name

__all__ = [
    "MAX_HOPS",
    "MAX_KNOWN",
    "MAX_WHO",
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
