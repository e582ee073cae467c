"""A participant without a swarm: sees who is in a room and by which way each is reached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from chronoflux.mesh.clock import Followed, MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.messages import FEATURES, Field, Telemetry
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.room_session import Room
from chronoflux.model.events import World
from chronoflux.version import VERSION


class Spectator:
    """See the module: a :class:`~chronoflux.mesh.participant.Participant` that applies nothing."""

    world: World = (800.0, 600.0)

    def __init__(self, name: str, kind: str = "probe") -> None:
        self.name, self.kind = name, kind

    def metadata(self) -> dict[str, Any]:
        """What the server tells others of it."""
        return {"nodeId": self.name, "kind": self.kind, "nodeCount": 0, "version": VERSION}

    def hello(self) -> Mapping[str, Any]:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        return {"version": VERSION, "nodeId": self.name, "kind": self.kind, "features": FEATURES}

    def greeting(self) -> Mapping[str, Any]:
        """See :class:`~chronoflux.mesh.participant.Participant`: no swarm, nothing to take over."""
        return {"nodes": 0, "portal": False, "t": 0.0, "intents": [], "world": list(self.world)}

    def on_joined(self, peer_id: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""

    def on_clock(self, change: Followed) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""

    def on_missed(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""

    def on_event(self, event: Event) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""

    def on_field(self, peer: str, field: Field) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""


def visit(
    room: str,
    server: str,
    spectator: Spectator,
    *,
    clock: MeshClock | None = None,
    token: str | None = None,
    ice: Ice | None = None,
) -> Room:
    """A spectator's part in a room, to be run and left like a node's; `server` is a URL or ``"auto"``.

    Raises
    ------
    UsageError
        When the room's name, the URL or the token cannot be used.
    """
    return Room(
        room,
        server,
        spectator,
        clock or MeshClock(),
        secret=os.urandom(16),
        token=token,
        metadata=spectator.metadata(),
        ice=ice or Ice(),
    )
