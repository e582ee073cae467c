"""`RelayedProbes`: clock probes to and from members that are not neighbours, through the server.

The server vouches for the sender of a relayed message. In a partial mesh every member probes the clock
reference. Both sides therefore limit their rates, so that in a room of 256 the reference keeps most of the
rate that the server allows one connection.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from chronoflux.errors import ProtocolError
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.messages import Outgoing, Probe, ProbeReply
from chronoflux.util.token_bucket import Bucket

log: logging.Logger = logging.getLogger(__name__)

BURST, PACE = 4, 0.064  # probes in a burst, s between them
PERIOD, JITTER = 60.0, 5.0  # s between bursts, and random variation of it
RETRY_AFTER = 4.0  # s until a burst is repeated that got no answer, or only from an unsynchronised clock
SPREAD = 40.0  # s over which nodes that know the room's time spread their first burst
ANSWERS = (0.1, 80.0)  # answers/s for each sender, and burst in s
FIRST, MORE = (20.0, 2.0), (20.0, 2.0)  # in total: first answers to a sender within `PERIOD`, others
MAX_SENDERS = 1024  # most senders tracked
MAX_UNANSWERED = 8  # most probes without an answer yet


@dataclass
class _Target:
    """The state of probing one member; times in s of the monotonic clock."""

    due: float
    left: int = BURST
    answered: bool = False
    sent: dict[float, float] = field(default_factory=dict)
    """When each probe was sent, by its `t0`; ms of the clock's monotonic time."""


@dataclass
class _Sender:
    """The rate limit of a member that sends probes."""

    answers: Bucket
    first: float = -1e9


class RelayedProbes:
    """Probes members through the server, and answers their probes.

    `send` sends a message to a member and returns whether it was accepted. `monotonic` gives the time in s.
    """

    def __init__(
        self,
        clock: MeshClock,
        send: Callable[[str, Outgoing], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._send, self._monotonic = clock, send, monotonic
        self._targets: dict[str, _Target] = {}
        self._senders: dict[str, _Sender] = {}
        now = monotonic()
        self._first, self._more = Bucket(*FIRST, now), Bucket(*MORE, now)

    def probe(self, members: Collection[str], now: float) -> float:
        """Probe the members that are due. Return the seconds until the next is due."""
        for gone in self._targets.keys() - set(members):
            del self._targets[gone]
        return min((self._probe_member(member, now) for member in members), default=PERIOD)

    def _probe_member(self, member: str, now: float) -> float:
        known = self._targets.get(member)
        if known is None:
            wait = random.uniform(0, SPREAD) if self._clock.reference else 0.0
            known = self._targets[member] = _Target(now + wait)
        if now < known.due:
            return known.due - now
        t0, sent = self._clock.now(), self._clock.mono()
        if self._send(member, Probe(t0)):
            self._clock.on_probe_sent(member)
            known.sent[t0] = sent
            if len(known.sent) > MAX_UNANSWERED:
                del known.sent[next(iter(known.sent))]
        known.left -= 1
        if known.left > 0:
            known.due = now + PACE
        else:
            period = PERIOD + random.uniform(-JITTER, JITTER)
            known.left, known.due = BURST, now + (period if known.answered else RETRY_AFTER)
            known.answered = False
        return known.due - now

    def on_probe(self, sender: str, probe: Probe) -> None:
        """Answer a member's probe. Beyond a rate limit the probe is silently ignored."""
        heard, now = self._clock.now(), self._monotonic()
        known = self._senders.get(sender)
        if known is None:
            while len(self._senders) >= MAX_SENDERS:
                del self._senders[next(iter(self._senders))]
            known = self._senders[sender] = _Sender(Bucket(*ANSWERS, now))
        first = now - known.first >= PERIOD - 2 * JITTER
        if not known.answers.take(1, now) or not (self._first if first else self._more).take(1, now):
            log.debug("a probe of %s is not answered: the rate limit is reached", sender[:8])
            return
        if first:
            known.first = now
        self._send(sender, ProbeReply(probe.t0, heard, self._clock.now(), *self._clock.status()))

    def on_reply(self, sender: str, reply: ProbeReply) -> None:
        """Process a member's reply.

        Raises
        ------
        ProtocolError
            If it answers no probe, or is inconsistent.
        """
        received = self._clock.mono()
        known = self._targets.get(sender)
        sent = known.sent.pop(reply.t0, None) if known else None
        if known is None or sent is None:
            raise ProtocolError("probe-reply", "it answers no probe")
        self._clock.add_reply(sender, sent, reply, received)
        if self._clock.unsynced(sender):
            return  # it will adopt the room's time soon
        if known.left < BURST:
            known.answered = True
        else:  # it arrived after the end of the burst
            known.due = max(known.due, self._monotonic() + PERIOD - JITTER)
