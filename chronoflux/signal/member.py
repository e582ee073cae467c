"""`Member`: a peer in a room as the server sees it. `Send`: a message for some connections. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from chronoflux.signal.protocol import PeerJoinedRoom, RoomPeer, RosterMember, ServerMessage
from chronoflux.signal.validation import NAME_LENGTH

WITH_CLOCK = frozenset({"notebook", "headless", "page"})
"""Kinds of members that can be the clock reference of a room; recorders and probes only follow it."""


class Send(NamedTuple):
    """Send `message` to each of these connections."""

    to: tuple[int, ...]
    message: ServerMessage


@dataclass(eq=False)
class Member:
    """A peer in a room. ``connection`` is None while the place of a broken connection is kept.

    ``joined`` is when it joined, by the server's clock in ms. ``entered`` is the same by this server's own
    memory, which begins at its last restart. ``lasting``: it joined with a secret, as our clients do.
    """

    id: str
    room: str
    connection: int | None
    metadata: dict[str, Any]
    joined: int
    lasting: bool
    entered: int = field(init=False)

    def __post_init__(self) -> None:
        self.entered = self.joined

    @property
    def kind(self) -> str:
        """The kind that its metadata announces; "" if that is not a printable word."""
        kind = self.metadata.get("kind")
        if isinstance(kind, str) and kind.isprintable() and len(kind) <= NAME_LENGTH:
            return kind
        return ""

    def introduced(self, hears: list[str] | UnsetType | None = UNSET) -> RoomPeer:
        """Return its entry in the ``room-peers`` of a neighbour; `hears`: see `RoomPeer`."""
        return RoomPeer(
            id=self.id, metadata=self.metadata, joined=self.joined, lasting=self.lasting, hears=hears
        )

    def announced(self, hears: list[str] | UnsetType | None = UNSET) -> PeerJoinedRoom:
        """Return its ``peer-joined-room`` for a neighbour that was there before."""
        return PeerJoinedRoom(
            peer_id=self.id, metadata=self.metadata, joined=self.joined, lasting=self.lasting, hears=hears
        )

    def listed(self) -> RosterMember:
        """Return its entry in the roster."""
        return RosterMember(id=self.id, joined=self.joined, kind=self.kind, lasting=self.lasting)


def send(members: Iterable[Member], message: ServerMessage) -> list[Send]:
    """Send `message` to the members that are connected."""
    to = tuple(member.connection for member in members if member.connection is not None)
    return [Send(to, message)] if to else []


def by_age(member: Member | RosterMember) -> tuple[int, str]:
    """Return the key that sorts members by the time they joined."""
    return member.joined, member.id
