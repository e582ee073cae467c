"""`Room`: its members, their links, and the messages that members are sent about them. No I/O.

The *neighbours* of a member are the members it is to be linked with: all of them in a small room, some in a
large one (see :mod:`~chronoflux.signal.wiring`). Only neighbours are announced to each other. A probe is
outside the graph: it is linked with every member while it is there, and changes no other links.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chronoflux.signal.forwarders import Forwarders
from chronoflux.signal.member import Member, Send, by_age, send
from chronoflux.signal.protocol import (
    IceServer,
    JoinRoom,
    PeerLeft,
    RoomPeers,
    RosterMember,
    ServerMessage,
    Unlink,
)
from chronoflux.signal.recovery import WINDOW, RecoveryReports
from chronoflux.signal.rosters import Rosters
from chronoflux.signal.topology import Links, Topology, hop_limit
from chronoflux.signal.wiring import Wiring

REMEMBERED = 512
"""Number of broadcast events that a room remembers, so that each is passed on once."""

OLD_EVENTS = ("intent", "portal", "flip")
"""Event types of the first ChronoFlux."""


class Room:
    """One room: each change returns the messages that its members have to be sent.

    In rooms of up to `whole_up_to` members each member gets the complete roster. `since` is when this room
    begins, by the server's clock in ms.
    """

    hops: int
    recorded: bool

    def __init__(self, name: str, topology: Topology, *, whole_up_to: int = 256, since: int = 0) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.hops, self.recorded = 0, False
        self._wiring = Wiring(topology, name)
        self._links: Links = {}
        self._rosters = Rosters(whole_up_to, since)
        self._forwarders = Forwarders()
        self._since = since
        self._recovery: RecoveryReports | None = RecoveryReports(since)
        self._broadcast: OrderedDict[str, None] = OrderedDict()
        self._broadcasters: set[str] = set()

    def add(
        self, member: Member, ice_servers: list[IceServer], now: float, join: JoinRoom | None = None
    ) -> list[Send]:
        """Add a new member: it dials its neighbours, and other links may change.

        In the first minute of a room its `join` may report the state before a restart of the server.
        """
        self.members[member.id] = member
        self._recover(member, now, join)
        changes = self._rewire(now, but=member)
        welcome = [*self._welcome(member, ice_servers), *self._roster_updates(member)]
        return [*welcome, *self._announce(member), *changes, *self._announce_forwarders()]

    def restore(
        self, member: Member, ice_servers: list[IceServer], now: float, *, changed: bool
    ) -> list[Send]:
        """Restore a member whose place was held; the others are informed only if its metadata `changed`."""
        changes = self._rewire(now, but=member) if changed else self._recount(now)
        welcome = [*self._welcome(member, ice_servers), *self._roster_updates(member)]
        announced = self._announce(member) if changed else []
        return [*welcome, *changes, *announced, *self._announce_forwarders()]

    def on_connection_lost(self, now: float) -> list[Send]:
        """Note that the connection of a member broke, whose place is kept."""
        return [*self._recount(now), *self._announce_forwarders()]

    def remove(self, members: Sequence[Member], now: float) -> list[Send]:
        """Remove members, inform their neighbours, and replace the lost links."""
        gone: list[Send] = []
        for member in members:
            gone += send(self._neighbours(member), PeerLeft(peer_id=member.id))
        for member in members:
            del self.members[member.id]
            self._broadcasters.discard(member.id)
            if self._recovery is not None:
                self._recovery.remove(member.id)
        changes = self._rewire(now)
        return [*gone, *self._roster_updates(), *changes, *self._announce_forwarders()]

    def tick(self, now: float) -> list[Send]:
        """Change the links that are due to change."""
        self._wiring.tick(now)
        return [*self._apply_links(), *self._roster_updates(), *self._announce_forwarders()]

    def due(self) -> float | None:
        """Return when :meth:`tick` is to be called next, or None."""
        return self._wiring.due()

    def present(self, ids: Sequence[str]) -> list[RosterMember]:
        """Return the roster entries of those `ids` that are members."""
        members = (self.members.get(id_) for id_ in dict.fromkeys(ids))
        return [member.listed() for member in members if member is not None]

    def send_to_others(self, member: Member, message: ServerMessage) -> list[Send]:
        """Send a message of one member to all others, neighbours or not."""
        return send((other for other in self.members.values() if other is not member), message)

    def is_repeat(self, sender: Member, data: Mapping[str, Any]) -> bool:
        """Return whether an event was broadcast already.

        A client that can be reached only by broadcasts cannot recognise duplicates from several of its
        neighbours. Only events with id and origin are checked. An old client that broadcasts its events has
        sent them to the whole room, so broadcasts of its events by others are duplicates.
        """
        key, origin = data.get("id"), data.get("origin")
        if not (isinstance(key, str) and isinstance(origin, str) and "hops" in data):
            if not sender.lasting and data.get("type") in OLD_EVENTS:
                self._broadcasters.add(sender.id)
            return False
        if key in self._broadcast or origin in self._broadcasters:
            return True
        self._broadcast[key[:64]] = None
        if len(self._broadcast) > REMEMBERED:
            self._broadcast.popitem(last=False)
        return False

    def _recover(self, member: Member, now: float, join: JoinRoom | None) -> None:
        """Take a newcomer's report of the time before a restart, and adopt what the members agree on."""
        if self._recovery is None:
            return
        if now - self._since / 1000 > WINDOW:
            self._recovery = None
            return
        if join is not None and member.lasting:
            self._recovery.add(member.id, join)
        agreed = self._recovery.joined(self.members)
        for other in self.members.values():
            other.joined = agreed.get(other.id, other.entered)
        if (sparse := self._recovery.sparse()) is not None:
            self._wiring.restore(sparse, self._since / 1000 + WINDOW)

    # --- links --------------------------------------------------------------------------------

    def _neighbours(self, member: Member) -> list[Member]:
        """Return the neighbours of a member in order of joining."""
        others = (self.members[id_] for id_ in self._links.get(member.id, ()))
        return sorted(others, key=by_age)

    def _nodes(self) -> tuple[list[str], int]:
        """Return the ids in the graph, and how many of them are connected."""
        nodes = [member for member in self.members.values() if member.kind != "probe"]
        return [node.id for node in nodes], sum(node.connection is not None for node in nodes)

    def _rewire(self, now: float, but: Member | None = None) -> list[Send]:
        """Recompute the links after a member joined or left, and tell each member what changed for it."""
        silent = [id_ for id_, member in self.members.items() if not member.lasting]
        self._wiring.update(*self._nodes(), now, silent)
        return self._apply_links(but)

    def _recount(self, now: float) -> list[Send]:
        """Count the connected members again. Links change only if they were due to change."""
        version = self._wiring.version
        self._wiring.set_present(self._nodes()[1], now)
        return [] if self._wiring.version == version else self._apply_links()

    def _apply_links(self, but: Member | None = None) -> list[Send]:
        """Tell each member what changed for it, except the new links of `but`."""
        before, flags = self._links, (self.hops, self.recorded)
        self._update_links()
        sends: list[Send] = []
        for one, other in _pairs(before, self._links):
            sends += [*self._unlink(one, other), *self._unlink(other, one)]
        dial: dict[str, list[Member]] = {}
        for pair in _pairs(self._links, before):
            if but is None or but.id not in pair:
                # Members with a secret dial; of two such members the later one does, as on joining.
                waits, dials = sorted(
                    (self.members[id_] for id_ in pair), key=lambda peer: (peer.lasting, peer.joined)
                )
                dial.setdefault(dials.id, []).append(waits)
                sends += self._announce_to(dials, waits)
        flags_changed = (self.hops, self.recorded) != flags
        for member in self.members.values():
            if member is not but and (member.id in dial or (flags_changed and member.lasting)):
                sends += self._peers(member, dial.get(member.id, []), [])
        return sends

    def _update_links(self) -> None:
        """Update the links and what depends on them. A probe is linked with every member."""
        kinds = {id_: member.kind for id_, member in self.members.items()}
        self._links = {id_: set(others) for id_, others in self._wiring.links.items()}
        self.hops = hop_limit(self._links)
        self.recorded = self.hops > 0 and "recorder" in kinds.values()
        for id_, kind in kinds.items():
            if kind == "probe":
                others = set(self._links)
                for other in others:
                    self._links[other].add(id_)
                self._links[id_] = others
        self._forwarders.update(self.members, self._links, partial=self.hops > 0)

    # --- messages -----------------------------------------------------------------------------

    def _welcome(self, member: Member, ice_servers: list[IceServer]) -> list[Send]:
        return self._peers(member, self._neighbours(member), ice_servers)

    def _peers(self, member: Member, peers: Sequence[Member], ice_servers: list[IceServer]) -> list[Send]:
        message = RoomPeers(
            peers=[peer.introduced(self._forwarders.hears_for(member, peer)) for peer in peers],
            peer_id=member.id,
            joined=member.joined,
            ice_servers=ice_servers,
            hops=0 if member.kind == "probe" else self.hops,
            recorded=self.recorded or msgspec.UNSET,
        )
        return send([member], message)

    def _roster_updates(self, newcomer: Member | None = None) -> list[Send]:
        """Send roster changes to the members, and a whole roster to `newcomer`."""
        return self._rosters.updates(self.members, self._links, newcomer)

    def _announce(self, member: Member) -> list[Send]:
        neighbours = self._neighbours(member)
        if member.lasting:
            return send(neighbours, member.announced())
        return [each for other in neighbours for each in self._announce_to(member, other)]

    def _announce_to(self, member: Member, other: Member) -> list[Send]:
        """Tell `other` of its neighbour `member`."""
        return send([other], member.announced(self._forwarders.hears_for(other, member)))

    def _announce_forwarders(self) -> list[Send]:
        """Tell members who forwards events to their old neighbours, where that changed."""
        changed = list(self._forwarders.changed(self.members))
        return [each for other, old in changed for each in self._announce_to(old, other)]

    def _unlink(self, one: str, other: str) -> list[Send]:
        """Tell `one` that `other` is no longer a neighbour; the first ChronoFlux knows only ``peer-left``."""
        member = self.members.get(one)
        if member is None or other not in self.members:
            return []
        return send([member], Unlink(peer_id=other) if member.lasting else PeerLeft(peer_id=other))


def _pairs(links: Links, without: Links) -> list[tuple[str, str]]:
    """Return the pairs of `links` that are not in `without`, sorted by id."""
    nobody: set[str] = set()
    return sorted(
        (one, other)
        for one, others in links.items()
        for other in others - without.get(one, nobody)
        if one < other
    )
