"""`Retelling`: events that are told again on a new path, and those that never arrived."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import PAST, Gossip
from chronoflux.mesh.missing import Missing
from chronoflux.mesh.peer import Peer

MANY = 300  # events waiting to be told again, above which two are told at once


class Retelling:
    """See the module.

    `send` tells a peer an event and says whether a way took it. `on_missed` takes the facts of events that
    this node will not get any more, or that a peer will not get from it.
    """

    def __init__(
        self,
        gossip: Gossip,
        clock: MeshClock,
        missing: Missing,
        send: Callable[[Peer, dict[str, Any]], bool],
        on_missed: Callable[[Mapping[str, Any]], object],
    ) -> None:
        self._gossip, self._clock, self._missing = gossip, clock, missing
        self._send, self._on_missed = send, on_missed
        self._session = os.urandom(4).hex()

    def numbers(self, peer: Peer) -> dict[str, Any]:
        """For a hello: how many events were fired here, and which of the peer's arrived so far."""
        return {"n": self._gossip.count - 1, "session": self._session, **self._missing.word(peer.id)}

    def begin(self, peer: Peer) -> None:
        """Have our events of the last minute told again on a new path. Old clients, which keep no ids, would
        apply them twice."""
        peer.backlog = deque(self._gossip.recent(self._clock.now()) if peer.ours else ())

    def catch_up(self, peer: Peer, hello: messages.Hello) -> None:
        """A peer said hello on a new path: it is told again what it lacks; what is too old is missed."""
        self.begin(peer)
        if hello.heard is None:
            return
        arrived = [range(low, high + 1) for low, high in [(hello.since + 1, hello.heard), *hello.also]]
        peer.backlog = deque(event for event in peer.backlog if not any(event.n in some for some in arrived))
        waiting = [event.n for event in peer.backlog if event.n is not None and event.n > hello.heard]
        lost = self._missing.lost(peer.id, hello.heard, hello.also, waiting, self._gossip.count - 1)
        if lost is not None:
            self._on_missed(lost.facts(peer=peer.id))

    def tell_next(self, peer: Peer) -> None:
        """Tell the next of the events that wait; two, when they are so many that they would grow too old."""
        for _ in range(1 if len(peer.backlog) <= MANY else 2):
            event = peer.backlog[0]
            if self._clock.now() - event.at <= PAST and not self._send(peer, event.message(0)):
                return
            peer.backlog.popleft()  # one that is too old for the peer is counted when it says hello again

    def report(self) -> None:
        """Say which events of others this node will not get any more."""
        for origin, missed in self._missing.due():
            self._on_missed(missed.facts(origin=origin))

    def on_step(self, peers: Iterable[Peer]) -> None:
        """Mesh time was moved: what waits is taken anew, with the times of now."""
        for peer in peers:
            if peer.backlog:
                peer.backlog = deque(self._gossip.recent(self._clock.now()))
