"""A participant without a swarm, which observes the members of a room and the paths to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from chronoflux.mesh.clock import MeshClock, ReferenceChange
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.messages import FEATURES, Field, Telemetry
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.room_session import Room
from chronoflux.model.events import World
from chronoflux.version import VERSION


class Spectator:
    """A :class:`~chronoflux.mesh.participant.Participant` that ignores events, fields and telemetry."""

    world: World = (800.0, 600.0)
    name: str
    kind: str

    def __init__(self, name: str, kind: str = "probe") -> None:
        self.name, self.kind = name, kind

    def metadata(self) -> dict[str, Any]:
        """Return the metadata that the server passes to other members."""
        return {"nodeId": self.name, "kind": self.kind, "nodeCount": 0, "version": VERSION}

    def hello(self) -> Mapping[str, Any]:
        """Return the fields of ``hello``."""
        return {"version": VERSION, "nodeId": self.name, "kind": self.kind, "features": FEATURES}

    def greeting(self) -> Mapping[str, Any]:
        """Return the fields of ``state``: an empty state, for lack of a swarm."""
        return {"nodes": 0, "portal": False, "t": 0.0, "intents": [], "world": list(self.world)}

    def on_joined(self, peer_id: str) -> None:
        """Do nothing."""

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """Do nothing."""

    def on_clock(self, change: ReferenceChange) -> None:
        """Do nothing."""

    def on_missed(self, facts: Mapping[str, Any]) -> None:
        """Do nothing."""

    def on_event(self, event: Event) -> None:
        """Do nothing."""

    def on_field(self, peer: str, field: Field) -> None:
        """Do nothing."""

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """Do nothing."""


def visit(
    room: str,
    server: str,
    spectator: Spectator,
    *,
    clock: MeshClock | None = None,
    token: str | None = None,
    ice: Ice | None = None,
) -> Room:
    """Return a spectator's `Room`, to be run and left like a node's; `server` is a URL or ``"auto"``.

    Raises
    ------
    UsageError
        If the room's name, the URL or the token cannot be used.
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
