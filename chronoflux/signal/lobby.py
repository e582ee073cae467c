"""The rooms of a server and their members: messages in, messages out. No socket, no clock, no task.

The server calls :meth:`Lobby.connect`, :meth:`~Lobby.receive` and :meth:`~Lobby.disconnect`, and
:meth:`~Lobby.tick` when :meth:`~Lobby.due` says so. It passes the time in seconds, from a clock that never
runs backwards, and performs the returned `Send` and `Close` actions in order. A connection is a number that
the server chose. No message of a client makes the lobby raise.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import UNSET

from chronoflux.errors import ProtocolError
from chronoflux.signal.address_limits import AddressLimits
from chronoflux.signal.deadlines import Deadlines
from chronoflux.signal.limits import Limits, RateLimits
from chronoflux.signal.member import Member, Send
from chronoflux.signal.protocol import (
    Broadcast,
    ClientMessage,
    ErrorMessage,
    IceServer,
    IceServers,
    JoinRoom,
    LeaveRoom,
    Relay,
    SendBroadcast,
    SendRelay,
    SendSignal,
    SendTelemetry,
    SendWho,
    ServerInfo,
    ServerMessage,
    Signal,
    Telemetry,
    Unknown,
    Welcome,
    Who,
    decode_client,
    kind_of,
    peer_id,
)
from chronoflux.signal.room import Room
from chronoflux.signal.topology import Topology
from chronoflux.signal.turn import Turn
from chronoflux.version import VERSION

SERVER_NAME = "chronoflux"
GOING_AWAY, POLICY, TRY_LATER = 1001, 1008, 1013
"""Close codes of RFC 6455."""

LIMITED = frozenset({"message-size", "payload-size", "message-rate", "byte-rate"})
"""Codes of refusals that lead to a disconnection if they persist."""


class Close(NamedTuple):
    """Close this connection once everything sent to it is delivered."""

    connection: int
    code: int
    reason: str


Action = Send | Close


@dataclass(eq=False)
class Connection:
    """One socket.

    ``id`` is made up by the server until a join with a secret, which sets ``lasting``. ``exempt``: the
    limits on the places, joins and tokens of an address do not apply.
    """

    number: int
    address: str
    id: str
    rates: RateLimits
    exempt: bool = False
    member: Member | None = None
    lasting: bool = False
    closing: bool = False

    @property
    def limited_address(self) -> str | None:
        """The address that its place, joins and tokens count against; None if exempt."""
        return None if self.exempt else self.address


@dataclass
class Counts:
    """Counters for the server's metrics."""

    received: Counter[str] = field(default_factory=Counter)
    received_bytes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    joins: int = 0


class Lobby:
    """All rooms of one server.

    Without a `token` everybody may join. `turn` makes the credentials that a join returns. `topology` is
    the rule that links the members of a room. `make_id` makes ids for clients without a secret.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        token: str | None = None,
        turn: Turn | None = None,
        topology: Topology | None = None,
        make_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self.limits: Limits = limits or Limits()
        self.counts: Counts = Counts()
        self._info = ServerInfo(
            name=SERVER_NAME, version=VERSION, limits=self.limits.announced(), rosters=True
        )
        self._token, self._turn, self._make_id = _digest(token), turn, make_id
        self._topology = topology or Topology()
        self._address_limits = AddressLimits(self.limits)
        self._connections: dict[int, Connection] = {}
        self._addresses: Counter[str] = Counter()
        self._members: dict[str, Member] = {}
        self._rooms: dict[str, Room] = {}
        self._last_joined = 0
        self._closing = False
        self._join_deadlines: Deadlines[int] = Deadlines()
        self._absences: Deadlines[str] = Deadlines()
        self._renewals: Deadlines[int] = Deadlines()
        self._room_ticks: Deadlines[str] = Deadlines()

    # --- what the server calls ----------------------------------------------------------------

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._connections)

    @property
    def rooms(self) -> dict[str, list[str]]:
        """The members' ids of each room, earliest first."""
        return {name: list(room.members) for name, room in self._rooms.items()}

    def set_started(self, now: float) -> None:
        """Note the start of the server, after which joins are not counted for a while: all clients return."""
        self._address_limits.started = now

    def connect(
        self, connection: int, address: str, now: float, since: float | None = None, *, exempt: bool = False
    ) -> list[Action]:
        """Add a connection from `address` whose handshake began at `since` (default: now).

        The limits on the places, joins and tokens of an address do not apply to an `exempt` connection.
        """
        provisional_id = self._make_id()
        client = Connection(connection, address, provisional_id, RateLimits(self.limits, now), exempt)
        self._connections[connection] = client
        self._addresses[address] += 1
        if len(self._connections) > self.limits.connections:
            return self._refuse_and_close(client, "server-full", self.limits.text("server-full"), TRY_LATER)
        if self._addresses[address] > self.limits.per_address:
            return self._refuse_and_close(client, "address-full", self.limits.text("address-full"), TRY_LATER)
        self._join_deadlines.set(connection, (now if since is None else since) + self.limits.join)
        return [Send((connection,), Welcome(peer_id=provisional_id, peers=[], server=self._info))]

    def receive(self, connection: int, raw: str | bytes, now: float) -> list[Action]:
        """Handle a message of a client."""
        client = self._connections.get(connection)
        if client is None or client.closing:
            return []
        if code := client.rates.exceeded(len(raw), now):
            return self._refuse(client, code, self.limits.text(code), now)
        try:
            message = decode_client(raw)
        except ProtocolError as error:
            return self._refuse(client, "malformed", str(error), now)
        kind = "unknown" if isinstance(message, Unknown) else kind_of(message)
        self.counts.received[kind] += 1
        self.counts.received_bytes[kind] += len(raw)
        if isinstance(message, Unknown):
            return []
        if isinstance(message, SendBroadcast | SendTelemetry) and len(raw) > self.limits.payload:
            return self._refuse(client, "payload-size", self.limits.text("payload-size"), now)
        return self._handle(client, message, now)

    def disconnect(self, connection: int, now: float, *, clean: bool) -> list[Action]:
        """Remove a connection; `clean` if its client closed it by a closing handshake."""
        client = self._connections.pop(connection, None)
        self._join_deadlines.cancel(connection)
        self._renewals.cancel(connection)
        if client is None:
            return []
        self._addresses[client.address] -= 1
        if not self._addresses[client.address]:
            del self._addresses[client.address]
        if client.member is None:
            return []
        member = client.member
        if clean or not member.lasting or len(self._absences) >= self.limits.connections:
            return self._leave([member], now)
        member.connection = None
        self._absences.set(member.id, now + self.limits.grace)
        room = self._rooms[member.room]
        actions = self._with_next_tick(room, room.on_connection_lost(now))
        evicted = self._address_limits.hold_place(member.id, client.limited_address)
        return actions if evicted is None else actions + self._leave([self._members[evicted]], now)

    def due(self) -> float | None:
        """Return when :meth:`tick` is to be called next, or None."""
        kinds = (self._join_deadlines, self._absences, self._renewals, self._room_ticks)
        return min((first for kind in kinds if (first := kind.first()) is not None), default=None)

    def tick(self, now: float) -> list[Action]:
        """Handle expired joins, absences and credentials, and links that are due to change."""
        actions: list[Action] = []
        for number in self._join_deadlines.pop_due(now):
            text = self.limits.text("join-timeout")
            actions += self._refuse_and_close(self._connections[number], "join-timeout", text, POLICY)
        expired: dict[str, list[Member]] = {}
        for id_ in self._absences.pop_due(now):
            expired.setdefault(self._members[id_].room, []).append(self._members[id_])
        for members in expired.values():
            actions += self._leave(members, now)
        for name in self._room_ticks.pop_due(now):
            actions += self._with_next_tick(self._rooms[name], self._rooms[name].tick(now))
        for number in self._renewals.pop_due(now):
            client = self._connections[number]
            if client.member is not None:
                fresh = self._credentials(client, now)
                actions.append(Send((number,), IceServers(ice_servers=fresh)))
        return actions

    def close(self) -> list[Action]:
        """Shut down: tell and close every client, and refuse further joins."""
        self._closing = True
        text = "the server is shutting down"
        actions: list[Action] = []
        for client in self._connections.values():
            if not client.closing:
                actions += self._send_error_and_close(
                    client, ErrorMessage(code="closing", message=text), GOING_AWAY
                )
        return actions

    # --- messages -----------------------------------------------------------------------------

    def _handle(self, client: Connection, message: ClientMessage, now: float) -> list[Action]:
        if isinstance(message, JoinRoom):
            return self._join(client, message, now)
        member = client.member
        if member is None:
            return self._refuse(client, "not-joined", f"{kind_of(message)}: join a room first", now)
        match message:
            case LeaveRoom():
                self._renewals.cancel(client.number)
                return self._leave([member], now)
            case SendSignal(to=to, signal=signal):
                return self._forward(client, to, Signal(from_=member.id, signal=signal), now)
            case SendRelay(to=to, data=data):
                return self._forward(client, to, Relay(from_=member.id, data=data), now)
            case SendBroadcast(data=data):
                return self._broadcast(member, data)
            case SendTelemetry(telemetry=telemetry):
                broadcast = Telemetry(from_=member.id, telemetry=telemetry)
                return [*self._rooms[member.room].send_to_others(member, broadcast)]
            case SendWho(ids=ids):
                if not client.rates.allows_who(now):
                    return self._refuse(client, "who-rate", self.limits.text("who-rate"), now)
                present = self._rooms[member.room].present(ids)
                return [Send((client.number,), Who(ids=ids, present=present))]

    def _join(self, client: Connection, message: JoinRoom, now: float) -> list[Action]:
        if self._closing:
            return self._refuse(client, "closing", "the server is shutting down", now)
        id_ = client.id if message.secret is None else peer_id(bytes.fromhex(message.secret))
        known = self._members.get(id_)
        if self._token is not None:
            refusal = self._check_token(self._token, client, id_, message.token, now)
            if refusal is not None:
                return refusal
        same_room = known is not None and known.room == message.room
        room = self._rooms.get(message.room)
        if not same_room and room is not None and len(room.members) >= self.limits.room:
            return self._refuse(client, "room-full", self.limits.text("room-full"), now)
        if wait := self._address_limits.on_join(id_, client.limited_address, now, known=known is not None):
            return self._refuse(client, "join-rate", self.limits.text("join-rate"), now, retry_after=wait)

        actions: list[Action] = []
        if client.member is not None and client.member is not known:
            actions += self._leave([client.member], now)
        if known is not None and known.connection is not None and known.connection != client.number:
            actions += self._replace(self._connections[known.connection])
        if known is not None and not same_room:
            actions += self._leave([known], now)
        client.id, client.lasting = id_, client.lasting or message.secret is not None
        self._join_deadlines.cancel(client.number)
        self.counts.joins += 1
        if known is not None and same_room:
            return actions + self._restore(client, known, message.metadata, now)
        return actions + self._add_member(client, message, now)

    def _check_token(
        self, right: bytes, client: Connection, id_: str, token: str | None, now: float
    ) -> list[Action] | None:
        """Check the token of a join. Return the refusal, or None if the token is right.

        While an address waits after wrong tokens, its tokens are refused unchecked. An id that was in a room
        recently has already shown the token, so it does not wait for the wrong tokens of others at its
        address. A missing token does not count as a guess.
        """
        returns = id_ in self._members or self._address_limits.left_recently(id_, now)
        if not returns and (wait := self._address_limits.token_wait(client.limited_address, now)):
            text = f"wrong tokens came from this address: wait {wait:.1f} s"
            return self._refuse(client, "token-wait", text, now, retry_after=wait)
        if hmac.compare_digest(right, _digest(token) or b""):
            return None
        if token is not None:
            self._address_limits.on_wrong_token(client.limited_address, now)
        return self._refuse_and_close(
            client, "bad-token", "the token is missing or wrong", POLICY, fatal=True
        )

    def _add_member(self, client: Connection, message: JoinRoom, now: float) -> list[Action]:
        """Add a new member to a room."""
        self._last_joined = max(self._last_joined + 1, int(now * 1000))
        member = Member(
            client.id, message.room, client.number, message.metadata, self._last_joined, client.lasting
        )
        client.member = self._members[member.id] = member
        room = self._rooms.get(member.room)
        if room is None:
            room = self._rooms[member.room] = Room(
                member.room, self._topology, whole_up_to=self.limits.roster, since=member.joined
            )
        return self._with_next_tick(room, room.add(member, self._credentials(client, now), now, message))

    def _restore(
        self, client: Connection, member: Member, metadata: dict[str, Any], now: float
    ) -> list[Action]:
        """Restore a member to its room. The others are sent an update only if its metadata changed."""
        changed = member.metadata != metadata
        client.member, member.connection, member.metadata = member, client.number, metadata
        member.lasting = client.lasting
        self._absences.cancel(member.id)
        self._address_limits.release_place(member.id)
        room = self._rooms[member.room]
        return self._with_next_tick(
            room, room.restore(member, self._credentials(client, now), now, changed=changed)
        )

    def _replace(self, old: Connection) -> list[Action]:
        """Disconnect a connection whose secret another connection has shown since."""
        old.member = None
        text = "another connection uses the same secret"
        return self._refuse_and_close(old, "replaced", text, POLICY, fatal=True)

    def _leave(self, members: Sequence[Member], now: float) -> list[Action]:
        """Remove members from their room and tell the others."""
        room = self._rooms[members[0].room]
        for member in members:
            del self._members[member.id]
            self._absences.cancel(member.id)
            self._address_limits.release_place(member.id)
            self._address_limits.on_left(member.id, now)
            client = self._connections.get(member.connection) if member.connection is not None else None
            if client is not None:
                client.member = None
        sends = room.remove(members, now)
        if room.members:
            return self._with_next_tick(room, sends)
        del self._rooms[room.name]
        self._room_ticks.cancel(room.name)
        return [*sends]

    def _with_next_tick(self, room: Room, sends: list[Send]) -> list[Action]:
        """Return the messages of a room, and schedule its next tick."""
        if (due := room.due()) is None:
            self._room_ticks.cancel(room.name)
        else:
            self._room_ticks.set(room.name, due)
        return [*sends]

    # --- forwarding messages ------------------------------------------------------------------

    def _broadcast(self, member: Member, data: dict[str, Any]) -> list[Action]:
        room = self._rooms[member.room]
        if room.is_repeat(member, data):
            self.counts.refused["repeated"] += 1
            return []
        return [*room.send_to_others(member, Broadcast(from_=member.id, data=data))]

    def _forward(self, client: Connection, to: str, message: ServerMessage, now: float) -> list[Action]:
        sender, other = client.member, self._members.get(to)
        reachable = sender is not None and other is not None and other.room == sender.room
        if not reachable or other is None or other is sender or other.connection is None:
            return self._refuse(client, "unknown-peer", f"no peer with this id is in the room: {to}", now)
        return [Send((other.connection,), message)]

    # --- refusals -----------------------------------------------------------------------------

    def _refuse(
        self, client: Connection, code: str, text: str, now: float, *, retry_after: float | None = None
    ) -> list[Action]:
        """Send an error, at most one a second and code. Disconnect a client that stays over a limit."""
        self.counts.refused[code] += 1
        send_error, too_long = client.rates.on_refusal(code, now)
        if too_long and code in LIMITED:
            return self._send_error_and_close(client, ErrorMessage(code=code, message=text), POLICY)
        hint = UNSET if retry_after is None else retry_after
        error = ErrorMessage(code=code, message=text, retry_after=hint)
        return [Send((client.number,), error)] if send_error else []

    def _refuse_and_close(
        self, client: Connection, code: str, text: str, close_code: int, *, fatal: bool = False
    ) -> list[Action]:
        self.counts.refused[code] += 1
        return self._send_error_and_close(
            client, ErrorMessage(code=code, message=text, fatal=fatal), close_code
        )

    def _send_error_and_close(self, client: Connection, error: ErrorMessage, code: int) -> list[Action]:
        client.closing = True
        self._join_deadlines.cancel(client.number)
        return [Send((client.number,), error), Close(client.number, code, error.message)]

    # --- helpers ------------------------------------------------------------------------------

    def _credentials(self, client: Connection, now: float) -> list[IceServer]:
        if self._turn is None:
            return []
        self._renewals.set(client.number, now + self._turn.lifetime / 2)
        return self._turn.credentials(client.id)


def _digest(token: str | None) -> bytes | None:
    """Return a token's hash. Its length is constant, so a comparison takes constant time."""
    return None if token is None else hashlib.sha256(token.encode()).digest()
