"""`Member`: somebody in a room, as the server sees it; `Send`: a message for some connections. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType

from chronoflux.signal.protocol import PeerJoinedRoom, RoomPeer, RosterMember, ServerMessage
from chronoflux.signal.validation import NAME_LENGTH

WITH_CLOCK = frozenset({"notebook", "headless", "page"})
"""Kinds of member that keep the room's time; recorders and probes only follow it."""


class Send(NamedTuple):
    """Send `message` to each of these connections."""

    to: tuple[int, ...]
    message: ServerMessage


@dataclass(eq=False)
class Member:
    """Somebody in a room. ``connection`` is None while a broken connection may still come back.

    ``joined`` is the server's clock in ms, ``entered`` the same by this server's own memory alone, which a
    restart may have cut short; ``lasting`` are ours, who keep a secret.
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
        """What it announced that it is; "" when that is no word that can be shown."""
        kind = self.metadata.get("kind")
        if isinstance(kind, str) and kind.isprintable() and len(kind) <= NAME_LENGTH:
            return kind
        return ""

    def introduced(self, hears: list[str] | UnsetType | None = UNSET) -> RoomPeer:
        """What a neighbour is told of it; `hears`: see `RoomPeer`."""
        return RoomPeer(
            id=self.id, metadata=self.metadata, joined=self.joined, lasting=self.lasting, hears=hears
        )

    def announced(self, hears: list[str] | UnsetType | None = UNSET) -> PeerJoinedRoom:
        """What a neighbour hears of it that was there before."""
        return PeerJoinedRoom(
            peer_id=self.id, metadata=self.metadata, joined=self.joined, lasting=self.lasting, hears=hears
        )

    def listed(self) -> RosterMember:
        """What the whole room is told of it."""
        return RosterMember(id=self.id, joined=self.joined, kind=self.kind, lasting=self.lasting)


def send(members: Iterable[Member], message: ServerMessage) -> list[Send]:
    """Send `message` to those of the members who are connected."""
    to = tuple(member.connection for member in members if member.connection is not None)
    return [Send(to, message)] if to else []


def by_age(member: Member | RosterMember) -> tuple[int, str]:
    """Key that sorts members by when they joined."""
    return member.joined, member.id
