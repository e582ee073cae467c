"""`ClockSync`: sends and answers clock probes, and updates the clock.

It probes neighbours; `RelayedProbes` probes other members.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from chronoflux.errors import ProtocolError
from chronoflux.mesh.clock import BURST, MeshClock, ReferenceChange, TrustChange
from chronoflux.mesh.messages import CLOCK, Message, Outgoing, Probe, ProbeReply
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.relayed_probes import RelayedProbes
from chronoflux.mesh.roster import Roster
from chronoflux.util.token_bucket import Bucket

PACE, PERIOD = 0.064, 10.0  # s between the probes of a burst, s between bursts
UNSYNCED_PERIOD = 1.0  # s between single probes of a peer that is not on the room's time yet
JITTER = 0.5  # s of random variation of a period, so that bursts do not coincide
UPDATE_PERIOD = (0.25, 1.0)  # least and most s between updates of the clock
ANSWERS = (4.0, 8.0)  # answers/s for each peer, and burst in s
RELAYED = (6.0, 2.0)  # probes/s and replies/s over the relay, which the server limits; burst in s
MAX_UNANSWERED = 16  # most probes of a peer without a reply yet


@dataclass(eq=False)
class _Round:
    """The state of probing one peer; times in s of the monotonic clock."""

    due: float
    left: int = BURST
    unsynced: bool = False
    """Whether the peer is on its own machine's time, and gets single probes."""
    sent: dict[float, float] = field(default_factory=dict)
    """When each probe was sent, by its `t0`; ms of the clock's monotonic time."""
    answers: Bucket = field(default_factory=lambda: Bucket(*ANSWERS, time.monotonic()))


class ClockSync:
    """Sends and answers clock probes, and updates the clock.

    `send` sends a perishable message to a peer, `relay` a message through the server to any member.
    `on_clock` is called with the changes at every update of the clock. The `roster` determines the reference.
    """

    def __init__(
        self,
        clock: MeshClock,
        peers: Mapping[str, Peer],
        send: Callable[[Peer, Outgoing], bool],
        on_clock: Callable[[Sequence[ReferenceChange | TrustChange]], None],
        roster: Roster | None = None,
        relay: Callable[[str, Outgoing], bool] = lambda to, message: False,
    ) -> None:
        self._clock, self._peers, self._send, self._on_clock = clock, peers, send, on_clock
        self._roster = roster or Roster()
        self.relayed_probes: RelayedProbes = RelayedProbes(clock, relay)
        """Probes to and from members that are not neighbours."""
        self._own: tuple[str, int | None] = ("", None)
        self._rounds: dict[str, _Round] = {}
        self._wake = asyncio.Event()
        now = time.monotonic()
        self._relayed_probes, self._relayed_answers = Bucket(*RELAYED, now), Bucket(*RELAYED, now)

    def on_joined(self, own: str, joined: int | None) -> None:
        """Set this node's id and, if the server reports it, when it joined (ms)."""
        self._own = (own, joined)
        self._update_clock()

    def start_burst(self, peer: Peer) -> None:
        """Start a burst at once, if the peer's hello lists the clock feature."""
        if CLOCK in (peer.features or ()):
            now = time.monotonic()
            known = self._rounds.setdefault(peer.id, _Round(now))
            if known.left == BURST:
                known.due = now
            self._wake.set()

    def on_probe(self, peer: Peer, probe: Probe) -> None:
        """Answer a peer's probe.

        Raises
        ------
        ProtocolError
            If the peer probes too often.
        """
        heard, now = self._clock.now(), time.monotonic()
        if not self._rounds.setdefault(peer.id, _Round(now)).answers.take(1, now):
            raise ProtocolError("probe", f"more than {ANSWERS[0]:g} a second")
        if not peer.direct(now) and not self._relayed_answers.take(1, now):
            return
        reference, stratum, joined = self._clock.status()
        self._send(peer, ProbeReply(probe.t0, heard, self._clock.now(), reference, stratum, joined))

    def on_reply(self, peer: Peer, reply: ProbeReply) -> None:
        """Process a peer's reply.

        Raises
        ------
        ProtocolError
            If it answers no probe, or is inconsistent.
        """
        received = self._clock.mono()
        known, unsettled = self._rounds.get(peer.id), not self._clock.settled
        sent = known.sent.pop(reply.t0, None) if known else None
        if sent is None:
            self.relayed_probes.on_reply(peer.id, reply)
        else:
            self._clock.add_reply(peer.id, sent, reply, received)
        if unsettled:
            self._update_clock()

    def on_relayed(self, sender: str, message: Message) -> None:
        """Process a probe or reply of a non-neighbour through the server, and ignore other messages.

        Raises
        ------
        ProtocolError
            If a reply answers no probe, or is inconsistent.
        """
        match message:
            case Probe():
                self.relayed_probes.on_probe(sender, message)
            case ProbeReply():
                unsettled = not self._clock.settled
                self.relayed_probes.on_reply(sender, message)
                if unsettled:
                    self._update_clock()

    async def run(self) -> None:
        """Probe neighbours and other members, and update the clock, until cancelled."""
        looked = -math.inf
        while True:
            now = time.monotonic()
            for gone in self._rounds.keys() - self._peers.keys():
                del self._rounds[gone]
            waits = [self._probe(peer, now) for peer in tuple(self._peers.values())]
            waits.append(
                self.relayed_probes.probe(
                    [id_ for id_ in self._clock.to_probe if not self._is_probed(id_)], now
                )
            )
            if now - looked >= UPDATE_PERIOD[0]:
                self._update_clock()
                looked = now
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(waits, default=UPDATE_PERIOD[1])):
                    await self._wake.wait()

    def _probe(self, peer: Peer, now: float) -> float:
        """Probe a peer if that is due. Return the seconds until the next check."""
        if CLOCK not in (peer.features or ()) or peer.left:
            return UPDATE_PERIOD[1]
        known = self._rounds.setdefault(peer.id, _Round(now))
        if now < known.due:
            return min(UPDATE_PERIOD[1], known.due - now)
        if peer.direct(now) or self._relayed_probes.take(1, now):
            t0, sent = self._clock.now(), self._clock.mono()
            if self._send(peer, Probe(t0)):
                self._clock.on_probe_sent(peer.id)
                known.sent[t0] = sent
                if len(known.sent) > MAX_UNANSWERED:
                    del known.sent[next(iter(known.sent))]
            known.left -= 1
        if known.left > 0:
            known.due = now + PACE
            return PACE
        if self._own[1] is not None and self._clock.unsynced(peer.id):  # its time will be stepped soon
            known.left, known.due, known.unsynced = 1, now + UNSYNCED_PERIOD, True
        elif known.unsynced:
            known.left, known.due, known.unsynced = BURST, now + PACE, False
        else:
            known.left, known.due = BURST, now + PERIOD + random.uniform(-JITTER, JITTER)
        return min(UPDATE_PERIOD[1], known.due - now)

    def _is_probed(self, id_: str) -> bool:
        """Return whether a member is probed as a neighbour, which requires the clock feature."""
        peer = self._peers.get(id_)
        return peer is not None and not peer.left and CLOCK in (peer.features or ())

    def _update_clock(self) -> None:
        """Pass the members to the clock, update it, and report what changed."""
        present = {peer.id: peer for peer in self._peers.values() if not peer.left and peer.state != "gone"}
        here = {
            peer.id: peer.joined
            for peer in present.values()
            if peer.ours and (peer.features is None or CLOCK in peer.features)
        }
        ranked = [
            (member.id, member.joined)
            for member in self._roster.ranked()
            if member.id in present or member.id not in self._peers
        ]
        self._clock.set_members(
            self._own,
            here,
            ranked=ranked if self._roster.available else None,
            ticks={peer.id: peer.tick_ms for peer in present.values()},
        )
        changes = self._clock.update()
        for peer in self._peers.values():
            peer.offset = self._clock.offset(peer.id)
        self._on_clock(changes)
