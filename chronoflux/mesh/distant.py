"""`Distant`: asks members who are no neighbours for the time, through the server, and answers such.

The server vouches for who a relayed message is from. In a partial mesh everybody asks the member that leads
the room's time, so both sides keep to rates with which a room of 256 leaves it most of what a server takes
from one connection.
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

log = logging.getLogger(__name__)

BURST, PACE = 4, 0.064  # probes in a burst, s between them
PERIOD, JITTER = 60.0, 5.0  # s from burst to burst, and by which that is longer or shorter
AGAIN = 4.0  # s after which a burst without any answer is repeated, or of a clock on no room's time yet
SPREAD = 40.0  # s over which nodes that know the room's time begin to ask, as all may begin at once
ANSWERS = (0.1, 80.0)  # answers a second for each sender, and how many seconds' worth at once
FIRST, MORE = (20.0, 2.0), (20.0, 2.0)  # likewise in total: the first to a sender in `PERIOD`, and the others
MOST = 1024  # senders told apart
WAITING = 8  # probes whose answer may still come


@dataclass
class _Asked:
    """Where the asking of one member stands; times in s of the monotonic clock."""

    due: float
    left: int = BURST
    heard: bool = False
    sent: dict[float, float] = field(default_factory=dict)
    """By the probe's `t0`: when it was sent, ms of the clock's monotonic time."""


@dataclass
class _Sender:
    """What was answered to a member that asks."""

    answers: Bucket
    first: float = -1e9


class Distant:
    """See the module. `send` sends a message to a member through the server; True when it was taken.

    `monotonic` gives the time in s.
    """

    def __init__(
        self,
        clock: MeshClock,
        send: Callable[[str, Outgoing], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._send, self._monotonic = clock, send, monotonic
        self._asked: dict[str, _Asked] = {}
        self._senders: dict[str, _Sender] = {}
        now = monotonic()
        self._first, self._more = Bucket(*FIRST, now), Bucket(*MORE, now)

    def ask(self, members: Collection[str], now: float) -> float:
        """Ask those of the members whose turn it is; seconds until the next one's."""
        for gone in self._asked.keys() - set(members):
            del self._asked[gone]
        return min((self._ask(member, now) for member in members), default=PERIOD)

    def _ask(self, member: str, now: float) -> float:
        known = self._asked.get(member)
        if known is None:
            wait = random.uniform(0, SPREAD) if self._clock.reference else 0.0
            known = self._asked[member] = _Asked(now + wait)
        if now < known.due:
            return known.due - now
        t0, sent = self._clock.now(), self._clock.mono()
        if self._send(member, Probe(t0)):
            self._clock.ask(member)
            known.sent[t0] = sent
            if len(known.sent) > WAITING:
                del known.sent[next(iter(known.sent))]
        known.left -= 1
        if known.left > 0:
            known.due = now + PACE
        else:
            period = PERIOD + random.uniform(-JITTER, JITTER)
            known.left, known.due = BURST, now + (period if known.heard else AGAIN)
            known.heard = False
        return known.due - now

    def answer(self, sender: str, probe: Probe) -> None:
        """Tell a member the time, unless it or all together ask too often: then nobody is the wiser."""
        heard, now = self._clock.now(), self._monotonic()
        known = self._senders.get(sender)
        if known is None:
            while len(self._senders) >= MOST:
                del self._senders[next(iter(self._senders))]
            known = self._senders[sender] = _Sender(Bucket(*ANSWERS, now))
        first = now - known.first >= PERIOD - 2 * JITTER
        if not known.answers.take(1, now) or not (self._first if first else self._more).take(1, now):
            log.debug("no answer to a probe of %s: too many are asked", sender[:8])
            return
        if first:
            known.first = now
        self._send(sender, ProbeReply(probe.t0, heard, self._clock.now(), *self._clock.standing()))

    def hear(self, sender: str, reply: ProbeReply) -> None:
        """Take a member's reply.

        Raises
        ------
        ProtocolError
            When nobody asked, or it cannot be true.
        """
        received = self._clock.mono()
        known = self._asked.get(sender)
        sent = known.sent.pop(reply.t0, None) if known else None
        if known is None or sent is None:
            raise ProtocolError("probe-reply", "nobody asked")
        self._clock.take(sender, sent, reply, received)
        if self._clock.unsynced(sender):
            return  # it will soon have the room's time
        if known.left < BURST:
            known.heard = True
        else:  # it came after the burst was over
            known.due = max(known.due, self._monotonic() + PERIOD - JITTER)
