"""`Negotiation`: opens the links of peers by offers, answers and candidates, and closes them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from chronoflux.errors import ProtocolError
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.link import Link
from chronoflux.mesh.peer import MAX_EARLY_CANDIDATES, Peer

log: logging.Logger = logging.getLogger(__name__)

MAX_LINKS = 32
CROSSING = 3.0  # s after our offer within which an offer of the peer counts as crossing it
SILENT_LINK = 10.0  # s of silence on an open link after which its dialler replaces it
BURST, CHECK = 0.5, 2.5  # s after a stall: queued messages are read; a live peer has sent a new one
STABLE_AFTER = 10.0  # s that a link must be open until its earlier failures are forgotten
REDIAL_AFTER = 15.0  # s without a link or a planned redial after which one side dials again


class Listener(Protocol):
    """The user of the links. Called on the event loop, only for the current link of a peer."""

    def on_open(self, peer: Peer, link: Link) -> None:
        """Handle the opening of the peer's link."""

    def on_message(self, peer: Peer, data: str | bytes) -> None:
        """Handle a message from the peer's link."""

    def on_closed(self, peer: Peer, link: Link) -> None:
        """Handle the end of the peer's link; the peer has none now."""

    def on_full(self, peer: Peer, reason: str) -> None:
        """Handle an offer of the peer that cannot be answered."""


class Negotiation:
    """Opens, replaces and closes the links of all peers.

    ``send_signal`` is called with a peer's id and a payload for it.
    """

    def __init__(
        self,
        listener: Listener,
        send_signal: Callable[[str, dict[str, Any]], object],
        ice: Ice,
    ) -> None:
        self._listener, self._send_signal, self._ice = listener, send_signal, ice
        self._linked: set[Peer] = set()
        self._retired: set[asyncio.Task[None]] = set()

    def take_ice_servers(self, servers: Sequence[Mapping[str, Any]]) -> None:
        """Use the server's STUN and TURN servers for new links."""
        self._ice = self._ice.with_servers(servers)

    def dial(self, peer: Peer) -> None:
        """Make a new link, which replaces an existing one, and offer it to the peer."""
        peer.dials, peer.dialled, peer.woke_at = True, time.monotonic(), None
        if self._full(peer):
            peer.plan_redial(peer.dialled)
            return
        self.retire(peer, "redialled")
        peer.early_candidates.clear()
        self._connect(peer)

    def check(self, peer: Peer, now: float, own_id: str, *, joined: bool) -> None:
        """Redial broken, silent or missing links, while this node is `joined` to a server."""
        if peer.linked and now - peer.opened > STABLE_AFTER:
            peer.failures = 0
        idle = peer.link is None and peer.redial_at is None and peer.in_room
        patience = REDIAL_AFTER if own_id < peer.id else 2 * REDIAL_AFTER
        if idle and now - max(peer.since, peer.dialled, peer.opened) > patience:
            if peer.ours:
                peer.plan_redial(now)
            elif not peer.unanswered:
                peer.unanswered = True  # an old client that should have dialled, and did not
        silence = now - max(peer.last_direct, peer.opened)
        silent = peer.linked and peer.ours and peer.dials and silence > SILENT_LINK
        due = peer.redial_at is not None and now >= peer.redial_at
        dead = peer.woke_at is not None and now - peer.woke_at > CHECK and self._dead(peer, peer.woke_at)
        if joined and (silent or due or dead):
            if peer.linked:
                peer.reason = f"nothing received over the link for {silence:.0f} s"
            self.dial(peer)

    @staticmethod
    def _dead(peer: Peer, woke_at: float) -> bool:
        """Return whether an open link is dead after a stall. The node that woke redials: only it knows."""
        dead = peer.linked and peer.ours and peer.last_direct < woke_at + BURST
        if not dead:
            peer.woke_at = None
        return dead

    def on_signal(self, peer: Peer, signal: dict[str, Any], own_id: str) -> None:
        """Process a signal of a peer.

        Raises
        ------
        ProtocolError
            If offers arrive too often.
        """
        peer.answered, peer.unanswered = True, False
        if signal.get("type") == "offer":
            self._on_offer(peer, signal, own_id)
        elif peer.link is not None and peer.link.state == "connecting":
            peer.link.feed(signal)
        elif signal.get("type") == "candidate" and len(peer.early_candidates) < MAX_EARLY_CANDIDATES:
            peer.early_candidates.append(signal)

    def on_refused(self, peer: Peer, reason: str) -> None:
        """Handle the peer's refusal of our offer, without waiting for the deadline."""
        if peer.dials and peer.link is not None and peer.link.state == "connecting":
            peer.reason = f"refused by the peer: {reason}"
            self.retire(peer, peer.reason)
            peer.plan_redial(time.monotonic())

    def retire(self, peer: Peer, reason: str) -> None:
        """Detach the link of a peer and close it in a task, which :meth:`close` awaits."""
        link, peer.link = peer.link, None
        self._linked.discard(peer)
        if link is not None:
            task = asyncio.create_task(link.close(reason), name="link closing")
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def close(self, reason: str) -> None:
        """End all links and wait until they are closed."""
        for peer in tuple(self._linked):
            self.retire(peer, reason)
        while self._retired:
            await asyncio.wait(tuple(self._retired))

    def _on_offer(self, peer: Peer, offer: dict[str, Any], own_id: str) -> None:
        now = time.monotonic()
        if not peer.offers.take(1, now):
            raise ProtocolError("offer", "more than one every 2 s")
        pending = peer.link is not None and peer.link.dials and peer.link.state == "connecting"
        if pending and own_id < peer.id and now - peer.dialled < CROSSING:
            return  # offers crossed: that of the smaller id wins
        if self._full(peer):
            self._listener.on_full(peer, f"it has {MAX_LINKS} links already")
            return
        self.retire(peer, "replaced by a new offer")
        peer.dials = False
        link = self._connect(peer)
        link.feed(offer)
        for candidate in peer.early_candidates:
            link.feed(candidate)
        peer.early_candidates.clear()

    def _full(self, peer: Peer) -> bool:
        """Return whether the limit of links is reached, and record it as the peer's reason."""
        full = len(self._linked - {peer}) >= MAX_LINKS
        if full:
            peer.reason = f"this node has {MAX_LINKS} links already"
        return full

    def _connect(self, peer: Peer) -> Link:
        def message(link: Link, data: str | bytes) -> None:
            if peer.link is link:
                self._listener.on_message(peer, data)

        def opened(link: Link) -> None:
            if peer.link is link:
                self._listener.on_open(peer, link)

        def closed(link: Link) -> None:
            if peer.link is link:
                peer.link = None
                self._linked.discard(peer)
                self._listener.on_closed(peer, link)

        peer.redial_at = None
        peer.link = link = Link(
            dials=peer.dials,
            send_signal=lambda payload: self._send_signal(peer.id, payload),
            on_open=opened,
            on_message=message,
            on_closed=closed,
            ice=self._ice,
        )
        self._linked.add(peer)
        link.start()
        return link
