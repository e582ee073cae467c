"""Messages of the signaling wire: what is written, what is read, and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ProtocolError, UsageError
from chronoflux.signal import protocol as p

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KINDS = ["join-room", "signal", "broadcast", "telemetry", "relay", "leave-room", "welcome", "room-peers"]
KINDS += ["peer-joined-room", "peer-left", "unlink", "ice-servers", "error", "roster", "who", "unknown", "?"]
FIELDS = ["room", "metadata", "secret", "token", "to", "signal", "data", "telemetry", "peerId", "peers"]
FIELDS += ["server", "joined", "iceServers", "hops", "from", "code", "message", "fatal", "id"]
FIELDS += ["known", "members", "left", "ids", "present", "whole", "size", "since"]
NEARLY = st.builds(
    lambda kind, fields: json.dumps({**fields, "type": kind}),
    st.sampled_from(KINDS) | JSON,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5),
)

FROM_CLIENT: list[tuple[p.Message, dict[str, Any]]] = [
    (
        p.JoinRoom(
            room="room1",
            metadata={"nodeId": "a"},
            secret="0f" * 16,
            token="t",
            known=[p.Known("b", 7)],
            hops=4,
            links=6,
        ),
        {
            "type": "join-room",
            "room": "room1",
            "metadata": {"nodeId": "a"},
            "secret": "0f" * 16,
            "token": "t",
            "known": [{"id": "b", "joined": 7}],
            "hops": 4,
            "links": 6,
        },
    ),
    (p.LeaveRoom(), {"type": "leave-room"}),
    (p.SendSignal(to="b", signal={"sdp": "v\n"}), {"type": "signal", "to": "b", "signal": {"sdp": "v\n"}}),
    (p.SendBroadcast(data={"x": 1}), {"type": "broadcast", "data": {"x": 1}}),
    (p.SendTelemetry(telemetry={"H": 0.5}), {"type": "telemetry", "telemetry": {"H": 0.5}}),
    (p.SendWho(ids=["b"]), {"type": "who", "ids": ["b"]}),
    (p.SendRelay(to="b", data={"x": []}), {"type": "relay", "to": "b", "data": {"x": []}}),
]
FROM_SERVER: list[tuple[p.Message, dict[str, Any]]] = [
    (p.Welcome(peer_id="a"), {"type": "welcome", "peerId": "a", "peers": [], "server": None}),
    (
        p.RoomPeers(
            peers=[p.RoomPeer(id="b", metadata={"kind": "page"}, joined=7, lasting=True)],
            peer_id="a",
            joined=8,
            ice_servers=[p.IceServer(urls=["turn:h"], username="u", credential="c")],
            hops=3,
        ),
        {
            "type": "room-peers",
            "peers": [{"id": "b", "metadata": {"kind": "page"}, "joined": 7, "lasting": True}],
            "peerId": "a",
            "joined": 8,
            "iceServers": [{"urls": ["turn:h"], "username": "u", "credential": "c"}],
            "hops": 3,
        },
    ),
    (
        p.PeerJoinedRoom(peer_id="b", metadata={"kind": "page"}, joined=9),
        {
            "type": "peer-joined-room",
            "peerId": "b",
            "metadata": {"kind": "page"},
            "joined": 9,
            "lasting": None,
        },
    ),
    (
        p.Roster(members=[p.RosterMember("b", 9, "page", True)], left=["c"], size=2, since=7),
        {
            "type": "roster",
            "members": [{"id": "b", "joined": 9, "kind": "page", "lasting": True}],
            "left": ["c"],
            "whole": False,
            "complete": True,
            "size": 2,
            "since": 7,
        },
    ),
    (
        p.Who(ids=["b", "c"], present=[p.RosterMember("b", 9)]),
        {"type": "who", "ids": ["b", "c"], "present": [{"id": "b", "joined": 9}]},
    ),
    (
        p.PeerJoinedRoom(peer_id="b", joined=9, lasting=True),
        {"type": "peer-joined-room", "peerId": "b", "metadata": {}, "joined": 9, "lasting": True},
    ),
    (
        p.PeerJoinedRoom(peer_id="b", joined=9, lasting=False, hears=["c"]),
        {
            "type": "peer-joined-room",
            "peerId": "b",
            "metadata": {},
            "joined": 9,
            "lasting": False,
            "hears": ["c"],
        },
    ),
    (
        p.PeerJoinedRoom(peer_id="b", joined=9, lasting=False, hears=None),
        {
            "type": "peer-joined-room",
            "peerId": "b",
            "metadata": {},
            "joined": 9,
            "lasting": False,
            "hears": None,
        },
    ),
    (p.PeerLeft(peer_id="b"), {"type": "peer-left", "peerId": "b"}),
    (p.Signal(from_="b", signal={}), {"type": "signal", "from": "b", "signal": {}}),
    (p.Broadcast(from_="b", data={}), {"type": "broadcast", "from": "b", "data": {}}),
    (p.Telemetry(from_="b", telemetry={}), {"type": "telemetry", "from": "b", "telemetry": {}}),
    (p.Relay(from_="b", data={}), {"type": "relay", "from": "b", "data": {}}),
    (p.Unlink(peer_id="b"), {"type": "unlink", "peerId": "b"}),
    (p.IceServers(ice_servers=[]), {"type": "ice-servers", "iceServers": []}),
    (
        p.ErrorMessage(code="room-full", message="no", fatal=True),
        {"type": "error", "code": "room-full", "message": "no", "fatal": True},
    ),
]


@pytest.mark.parametrize(("message", "wire"), FROM_CLIENT + FROM_SERVER)
def test_messages_are_written_as_the_protocol_says(message: p.Message, wire: dict[str, Any]) -> None:
    """Each message has exactly the fields and names of the protocol."""
    assert json.loads(p.encode(message)) == wire


@pytest.mark.parametrize(("message", "wire"), FROM_CLIENT)
def test_the_server_reads_what_clients_write(message: p.Message, wire: dict[str, Any]) -> None:
    """A client's message is read back equal, whatever unknown fields it has besides."""
    assert p.decode_client(json.dumps({**wire, "novel": [1]})) == message


@pytest.mark.parametrize(("message", "wire"), FROM_SERVER)
def test_clients_read_what_the_server_writes(message: p.Message, wire: dict[str, Any]) -> None:
    """A server's message is read back equal, whatever unknown fields it has besides."""
    assert p.decode_server(json.dumps({**wire, "novel": [1]}).encode()) == message


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"type": "welcome", "peerId": "a", "peers": []}', p.Welcome(peer_id="a")),
        ('{"type": "room-peers", "peers": []}', p.RoomPeers(peers=[])),
        ('{"type": "room-peers", "peers": [{"id": "b"}]}', p.RoomPeers(peers=[p.RoomPeer(id="b")])),
        ('{"type": "peer-joined-room", "peerId": "b", "metadata": null}', p.PeerJoinedRoom(peer_id="b")),
    ],
)
def test_an_old_server_is_understood(raw: str, expected: p.Message) -> None:
    """Without the marked fields a server's messages are read with defaults."""
    assert p.decode_server(raw) == expected


@pytest.mark.parametrize("metadata", ["", '"metadata": null,', '"metadata": {},'])
def test_an_old_client_may_say_nothing_of_itself(metadata: str) -> None:
    """A join without metadata is one with empty metadata."""
    assert p.decode_client(f'{{"type": "join-room", {metadata} "room": "r"}}') == p.JoinRoom(room="r")


@pytest.mark.parametrize(
    "fields",
    [
        {"room": None},
        {"room": ""},
        {"room": "  "},
        {"room": 7},
        {"room": "x" * 65},
        {"room": "a\nb"},
        {"room": "a\u202eb"},
        {"room": "r", "metadata": []},
        {"room": "r", "metadata": {"k": "x" * 5000}},
        {"room": "r", "metadata": {"nodeId": "x" * 65}},
        {"room": "r", "metadata": {"nodeId": "\x1b[31m"}},
        {"room": "r", "metadata": {"a\n": 1}},
        {"room": "r", "metadata": {"k": [["\x00"]]}},
        {"room": "r", "secret": "xyz"},
        {"room": "r", "secret": "0f" * 17},
        {"room": "r", "token": 7},
    ],
)
def test_bad_joins_are_refused(fields: dict[str, Any]) -> None:
    """A join without a valid room, metadata, secret or token is refused, naming the message."""
    with pytest.raises(ProtocolError) as caught:
        p.decode_client(json.dumps({"type": "join-room", **fields}))
    assert caught.value.kind == "join-room"


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "nonsense",
        "7",
        "[]",
        "{}",
        '{"type": 7}',
        b"\xff\xfe",
        b'{"type": "signal", "to": "b", "signal": {"x": "\xff"}}',
        "\ud800",
        '{"type": "broadcast", "data": 7}',
        '{"type": "broadcast", "data": [1]}',
        '{"type": "telemetry", "telemetry": null}',
        '{"type": "signal", "signal": {}}',
        '{"type": "signal", "to": "\\u0007", "signal": {}}',
        '{"type": "signal", "to": "b", "signal": {"n": NaN}}',
        '{"type": "signal", "to": "b", "signal": {"n": 1e999}}',
        '{"type": "signal", "to": "b", "signal": {"n": ' + "9" * 30 + "}}",
        '{"type": "signal", "to": "b", "signal": {"n": ' + "9" * 6000 + "}}",
        '{"type": "signal", "to": "b", "signal": {"n": ' + "[" * 50 + "]" * 50 + "}}",
        '{"type": "signal", "to": "b", "signal": {"n": ' + "[" * 30000 + "]" * 30000 + "}}",
    ],
)
def test_malformed_messages_are_refused(raw: str | bytes) -> None:
    """What is no JSON object of a known form raises ProtocolError."""
    with pytest.raises(ProtocolError):
        p.decode_client(raw)


def test_unknown_types_are_not_errors() -> None:
    """A message of an unknown type is read as one to ignore, its type fit to be shown."""
    message = p.decode_client(json.dumps({"type": "novel\n" + "x" * 100}))
    assert isinstance(message, p.Unknown)
    assert len(message.kind) <= 64
    assert message.kind.isprintable()


@given(st.binary() | st.text() | NEARLY)
def test_no_input_raises_anything_else(raw: str | bytes) -> None:
    """Arbitrary bytes, text and nearly right messages are read, or refused with ProtocolError; what is read
    can be written again."""
    for decode in (p.decode_client, p.decode_server):
        with contextlib.suppress(ProtocolError):
            message = decode(raw)
            if not isinstance(message, p.Unknown):
                assert decode(p.encode(message)) == message


@given(JSON)
def test_bad_metadata_of_a_peer_does_not_cost_the_message(metadata: Any) -> None:
    """Whatever another peer says of itself, the list of peers is read; what may not be used is left out."""
    raw = json.dumps({"type": "room-peers", "peers": [{"id": "b", "metadata": metadata}, {"id": "c"}]})
    try:
        msgspec.json.decode(raw)
    except msgspec.DecodeError:  # not JSON at all: NaN, infinities, lone surrogates
        return
    message = p.decode_server(raw)
    assert isinstance(message, p.RoomPeers)
    assert [peer.id for peer in message.peers] == ["b", "c"]
    assert all(isinstance(peer.metadata, dict) for peer in message.peers)


def test_what_json_cannot_say_is_not_sent() -> None:
    """A payload that is no JSON raises ProtocolError when it is encoded."""
    with pytest.raises(ProtocolError):
        p.encode(p.SendBroadcast(data={"x": object()}))
    with pytest.raises(ProtocolError):
        p.encode(p.SendBroadcast(data={"x": "\ud800"}))


def test_secrets_stay_out_of_logs() -> None:
    """Neither secret, token nor TURN credential shows in a message's repr."""
    assert "5ec" not in repr(p.JoinRoom(room="r", secret="5ec0" * 8, token="5ecret"))
    assert "5ec" not in repr(p.IceServer(urls="turn:h", username="u", credential="5ecret"))


@given(st.binary(min_size=16, max_size=16))
def test_ids_are_hashes_of_secrets(secret: bytes) -> None:
    """An id is the first 128 bits, in hex, of the SHA-256 of the secret."""
    assert bytes.fromhex(p.peer_id(secret)) == hashlib.sha256(secret).digest()[:16]


@given(st.text())
def test_clean_text_is_fit_to_be_shown(text: str) -> None:
    """Cleaned text is printable and at most 64 characters; text that is so already is not changed."""
    shown = p.clean(text)
    assert shown.isprintable()
    assert len(shown) <= 64
    if text.isprintable() and len(text) <= 64:
        assert shown == text


@given(st.text())
def test_room_names_of_users_are_checked(text: str) -> None:
    """A room name is accepted exactly when the server would accept it."""
    try:
        p.decode_client(json.dumps({"type": "join-room", "room": text}))
    except ProtocolError:
        with pytest.raises(UsageError, match="room"):
            p.room_name(text)
    else:
        assert p.room_name(text) == text
