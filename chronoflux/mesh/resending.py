"""`EventResender`: resends events on a new path, and reports missed ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import PAST, Gossip
from chronoflux.mesh.missed_events import MissedEvents
from chronoflux.mesh.peer import Peer

LONG_QUEUE = 300  # waiting events above which two are sent at a time


class EventResender:
    """Resends this node's events on a new path, and reports missed events.

    `send` sends an event to a peer and returns whether a path accepted it. `on_missed` is called with the
    record's data of events that this node will not receive any more, or that a peer will not receive from it.
    """

    def __init__(
        self,
        gossip: Gossip,
        clock: MeshClock,
        missing: MissedEvents,
        send: Callable[[Peer, dict[str, Any]], bool],
        on_missed: Callable[[Mapping[str, Any]], object],
    ) -> None:
        self._gossip, self._clock, self._missing = gossip, clock, missing
        self._send, self._on_missed = send, on_missed
        self._session = os.urandom(4).hex()

    def hello_fields(self, peer: Peer) -> dict[str, Any]:
        """Return the fields of a hello on our event numbers, and on the peer's events that arrived."""
        return {"n": self._gossip.count - 1, "session": self._session, **self._missing.hello_fields(peer.id)}

    def queue_recent(self, peer: Peer) -> None:
        """Queue our events of the last minute for a peer on a new path.

        Old clients get none, because they keep no ids and would apply the events twice.
        """
        peer.unsent = deque(self._gossip.recent(self._clock.now()) if peer.ours else ())

    def on_hello(self, peer: Peer, hello: messages.Hello) -> None:
        """Queue the events that a peer lacks according to its hello; report those that are too old."""
        self.queue_recent(peer)
        if hello.heard is None:
            return
        arrived = [range(low, high + 1) for low, high in [(hello.since + 1, hello.heard), *hello.also]]
        peer.unsent = deque(event for event in peer.unsent if not any(event.n in some for some in arrived))
        waiting = [event.n for event in peer.unsent if event.n is not None and event.n > hello.heard]
        lost = self._missing.missed_by(peer.id, hello.heard, hello.also, waiting, self._gossip.count - 1)
        if lost is not None:
            self._on_missed(lost.data(peer=peer.id))

    def send_next(self, peer: Peer) -> None:
        """Send the next waiting event; two if so many wait that they would become too old."""
        for _ in range(1 if len(peer.unsent) <= LONG_QUEUE else 2):
            event = peer.unsent[0]
            if self._clock.now() - event.at <= PAST and not self._send(peer, event.message(0)):
                return
            peer.unsent.popleft()  # an event that became too old is counted at the peer's next hello

    def report_missed(self) -> None:
        """Report the events of others that this node will not receive any more."""
        for origin, missed in self._missing.pop_missed():
            self._on_missed(missed.data(origin=origin))

    def on_clock_step(self, peers: Iterable[Peer]) -> None:
        """After a step of mesh time, queue the waiting events again with their new times."""
        for peer in peers:
            if peer.unsent:
                peer.unsent = deque(self._gossip.recent(self._clock.now()))
