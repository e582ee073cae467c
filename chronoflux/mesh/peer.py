"""`Peer`: what this node knows of another one in its room."""

from __future__ import annotations

import cmath
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh.clock import Offset
from chronoflux.mesh.gossip import FUTURE, PAST, Event
from chronoflux.mesh.messages import HASHED, Field
from chronoflux.util.token_bucket import Bucket

if TYPE_CHECKING:
    from chronoflux.mesh.link import Link

log = logging.getLogger(__name__)

HELLO_DEADLINE = 2.0  # s
ANSWER = 15.0  # s without any answer to an offer, after which an old client is taken to have no WebRTC
LIVE, GONE = 2.0, 15.0  # s without a word: quiet after the first, gone after the second
RELAY_AFTER = 1.5  # s without a link before the server's relay carries more than events
BACKOFF = (2.0, 60.0)  # s, first and longest wait before a link is dialled again
EVENTS = (20.0, 2.0)  # a second of one link and origin, and how many seconds' worth at once
PASSED_ON = (0.5, 100.0, 4.0)  # a second for each member of the room, at least; seconds' worth at once
SLOT = 10_000.0  # ms of mesh time in which an origin's events are counted together
SLOTS = 4096  # such counts kept for each link: many origins, each over the last minute and a half
GATES = (1.0, 5.0)  # changes of the standing state told by state and telemetry, which repeat it
GREETINGS = (0.2, 10.0)
OFFERS = (0.5, 16.0)
KINDS = 32  # kinds of message told apart in what is refused of a peer
EARLY = 32  # candidates kept for a peer whose offer has not come yet

OURS = frozenset({"notebook", "headless", "page", "recorder", "probe"})
"""Kinds that nodes of this and later versions announce."""
OLD, RUNNER, BRIDGE = "old", "runner", "bridge"
"""Kinds of the first ChronoFlux's clients: its page and whoever announces nothing; those without WebRTC."""
WITHOUT_SWARM = ("probe", "recorder", BRIDGE)  # kinds

PeerState = Literal["connecting", "live", "quiet", "gone"]
Via = Literal["direct", "turn", "relay", "server", ""]
Light = Literal["linked", "relay", "server", "alone"]

FRESH = 2_000.0  # ms, the age from which a mean field is not used any more
PEER_COLUMNS = (
    *("name", "kind", "state", "via", "n", "H", "dpsi"),
    *("rtt_ms", "offset_ms", "uncertainty_ms", "refused", "dropped", "reason", "id"),
)


@dataclass(eq=False)
class Peer:
    """Another node of the room. Times are seconds of the monotonic clock."""

    id: str
    name: str = ""
    kind: str = OLD
    ours: bool = False
    """Whether it announced itself as ours, to the server or by a hello. Others are clients of the first
    ChronoFlux: they keep no event ids, answer no probes, and may be silent for as long as they like."""
    answered: bool = False
    """Whether a signal ever came from it: then it has WebRTC."""
    unanswered: bool = False
    """Whether an old client left an offer unanswered: then there is only the server, until it calls."""
    hears: frozenset[str] | None = frozenset()
    """Of an old client: who tells it their events themselves, those of others this node passes on to it; None
    when another neighbour does."""
    features: frozenset[str] | None = None
    joined: int | None = None
    offset: Offset | None = None
    tick_ms: float = 0.0
    doubt: str = ""
    in_room: bool = True
    link: Link | None = None
    dials: bool = False
    reason: str = ""
    since: float = field(default_factory=time.monotonic)
    heard_direct: float = -1e9
    heard_relay: float = -1e9
    greeted_relay: bool = False
    greeted_at: float = -1e9  # over the relay
    said_hello: bool = False
    opened: float = -1e9
    left: bool = False
    state: PeerState = "connecting"
    redial_at: float | None = None
    failures: int = 0
    field_: Field | None = None
    relayed_field: float = -1e9
    world: tuple[float, float] | None = None
    backlog: deque[Event] = field(default_factory=deque)
    early: list[dict[str, Any]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    dialled: float = -1e9
    left_at: float = -1e9
    unnamed: float | None = None  # since when it is in the room, but no neighbour by the server's word
    doubted: float | None = None  # when this node woke from a stall, until the link is known to live
    relayed_telemetry: float = -1e9
    offers: Bucket = field(default_factory=lambda: Bucket(*OFFERS, time.monotonic()))
    greetings: Bucket = field(default_factory=lambda: Bucket(*GREETINGS, time.monotonic()))
    gates: Bucket = field(default_factory=lambda: Bucket(*GATES, time.monotonic()))
    _fired: Counter[tuple[str, int]] = field(default_factory=Counter)
    _passed_on: Bucket | None = None
    _members: int = 0

    @property
    def has_swarm(self) -> bool:
        """Whether it is somebody to couple with, and not one who only looks or listens."""
        return self.kind not in WITHOUT_SWARM

    def announced(self, metadata: Mapping[str, Any], *, lasting: bool | None) -> None:
        """Take over what it said on joining; `lasting`: whether with a secret, None if the server is silent.

        Only its kind, as long as it said no hello, tells whether it is one of ours. A version does not: the
        first ChronoFlux's page has one.
        """
        self.name = _text(metadata.get("nodeId")) or self.name
        kind = _text(metadata.get("kind"))
        if kind in OURS and lasting is not False:
            self.kind, self.ours = kind, True
        elif self.features is None:
            self.kind, self.ours = _old_kind(metadata), False

    def wants(self, origin: str) -> bool:
        """Whether this node passes events of this origin on to it: to an old client, which would apply one as
        often as it hears it, only if no other neighbour does."""
        return self.ours or (self.hears is not None and origin not in self.hears)

    def greeted(self, name: str, kind: str, features: Iterable[str]) -> None:
        """Take over its ``hello``: from now on it is one of ours."""
        self.name, self.kind = _text(name) or self.name, _text(kind) or self.kind
        self.ours, self.features = True, frozenset(features)

    @property
    def hashes(self) -> bool:
        """Whether it said that the ids of its events are hashes."""
        return self.features is not None and HASHED in self.features

    @property
    def server_only(self) -> bool:
        """Whether it is an old client that hears and is heard through the server only."""
        return not self.ours and not self.linked and (self.unanswered or self.kind in (RUNNER, BRIDGE))

    def whose(self) -> str:
        """An old client in words."""
        return f"{'a client' if self.kind == OLD else f'a {self.kind}'} of the first ChronoFlux"

    def gives_no_answer(self, now: float) -> bool:
        """Whether it is an old client that left an offer, which it had time for, without any answer."""
        silent = not self.ours and not self.answered
        return silent and (self.kind != OLD or now - self.dialled > ANSWER)

    @property
    def linked(self) -> bool:
        """Whether the channel is open."""
        return self.link is not None and self.link.state == "open"

    def direct(self, now: float) -> bool:
        """Whether the direct way works: open, and (a node of ours) heard of lately or just opened."""
        return self.linked and (not self.ours or now - max(self.heard_direct, self.opened) < LIVE)

    def via(self, now: float) -> Via:
        """The way messages take at present: a link, by a TURN server or not, or the signaling server."""
        if self.direct(now):
            return "turn" if self.link is not None and self.link.by_turn else "direct"
        if self.server_only:
            return "server" if self.in_room else ""
        if now - self.heard_relay < LIVE:
            return "relay" if self.ours else "server"
        return ""

    def why(self, now: float) -> str:
        """Why the way is not direct, or what else is odd about the peer; empty when all is well."""
        if self.linked and self.ours and not self.direct(now):
            return f"nothing heard over the link for {now - max(self.heard_direct, self.opened):.0f} s"
        if self.server_only:
            return f"{self.whose()}: it hears and is heard through the server"
        if self.link is not None and not self.linked:
            return f"connecting again, after: {self.reason}" if self.reason else "connecting"
        if self.link is None and self.redial_at is not None:
            wait = max(0.0, self.redial_at - now)
            return f"{self.reason or 'no link'}; next try in {wait:.0f} s"
        if self.linked and not self.ours and now - self.opened > HELLO_DEADLINE:
            return self.reason or f"{self.whose()}: it says no hello"
        return self.reason or self.doubt or ("" if self.linked else "no link: it has not called yet")

    def silence(self, now: float) -> float:
        """Seconds since anything was heard of it, or since it came."""
        return now - max(self.heard_direct, self.heard_relay, self.since)

    def judge(self, now: float) -> PeerState:
        """Live, quiet or gone: ours by what is heard of them, old ones by their connection."""
        silence = now - max(self.heard_direct, self.heard_relay)
        if not self.ours:
            if self.linked or (self.in_room and (self.server_only or silence < GONE)):
                return "live"
            return "connecting" if self.in_room else "gone"
        if silence < LIVE:
            return "live"
        if silence < GONE:
            return "quiet"
        return "connecting" if self.state == "connecting" and now - self.since < GONE else "gone"

    def order(self, at: float) -> complex | None:
        """The peer's order parameter `R e^{iΨ}` carried forward to mesh time `at`; None if too old."""
        field = self.field_
        if field is None or abs(at - field.at) > FRESH:
            return None
        return cmath.rect(min(field.R, 1.0), field.psi + field.omega * (at - field.at) / 1000)

    def pairing(self, own: Field | None, at: float) -> dict[str, Any]:
        """How the peer stands to this node at mesh time `at`, as it is put on record."""
        theirs, dpsi = self.order(at), None
        if theirs is not None and own is not None:
            dpsi = cmath.phase(theirs * own_order(own, at).conjugate())
        return {
            "id": self.id,
            "R": None if theirs is None else abs(theirs),
            "dpsi": dpsi,
            "rtt_ms": self.offset and self.offset.rtt_ms,
            "offset_ms": self.offset and self.offset.offset_ms,
            "uncertainty_ms": self.offset and self.offset.uncertainty_ms,
            "via": self.via(time.monotonic()),
        }

    def row(self, own: Field | None, at: float) -> dict[str, Any]:
        """The peer as a row of ``node.peers``."""
        pairing = self.pairing(own, at)
        facts = {"name": self.name, "kind": self.kind, "state": self.state, "H": pairing["R"]}
        counts = {"refused": self.refused.total(), "dropped": self.link.dropped if self.link else 0}
        why = {"reason": self.why(time.monotonic())}
        return pairing | facts | counts | why | {"n": self.field_.n if self.field_ else None}

    def allows_event(self, origin: str, at: float, now: float) -> bool:
        """Whether one more event of this origin over this link, fired at mesh time `at`, is within the rate.

        Counted by when they were fired: by when they arrive would not do, as after a cut or a sleep those of
        a whole minute come at once, and what is refused here is lost.
        """
        key = (origin, int(at // SLOT))
        if key not in self._fired and len(self._fired) >= SLOTS:
            first, last = (now - PAST) // SLOT, (now + FUTURE) // SLOT
            kept = {slot: count for slot, count in self._fired.items() if first <= slot[1] <= last}
            self._fired = Counter(kept)
            if len(kept) >= SLOTS:
                return False
        rate, burst = EVENTS
        if self._fired[key] >= rate * (burst + SLOT / 1000):
            return False
        self._fired[key] += 1
        return True

    def allows_passing_on(self, members: int, now: float) -> bool:
        """Whether one more event of others over this link is within the rate for a room of so many.

        `now` is monotonic, in s.
        """
        each, least, burst = PASSED_ON
        rate = max(least, each * members)
        if self._passed_on is None or rate > max(least, each * self._members):
            self._passed_on, self._members = Bucket(rate, burst, now), members
        return self._passed_on.take(1, now)

    def refuse(self, error: ProtocolError | ParameterError) -> None:
        """Count something of this peer's that was refused."""
        kind = error.kind if isinstance(error, ProtocolError) else error.name.partition(".")[0]
        known = kind[:32] in self.refused or len(self.refused) < KINDS
        self.refused[kind[:32] if known else "other"] += 1  # a kind may be any name that the peer made up
        log.debug("refused from %s: %s", self.name, error)

    def plan_redial(self, now: float) -> None:
        """Dial again after a wait that doubles with each failure, with jitter."""
        first, longest = BACKOFF
        wait = min(longest, first * 2 ** min(self.failures, 8))
        self.failures += 1
        self.redial_at = now + wait * random.uniform(0.75, 1.25)


def _text(value: object) -> str:
    """Short printable text as it is, anything else as ""."""
    return value if isinstance(value, str) and len(value) <= 64 and value.isprintable() else ""


def _old_kind(metadata: Mapping[str, Any]) -> str:
    """What a client of the first ChronoFlux is, by how it joins."""
    if metadata.get("headless") is True:
        return RUNNER
    return BRIDGE if metadata.get("bridge") is True or metadata.get("p2p") is True else OLD


def own_order(own: Field, at: float | None = None) -> complex:
    """This node's order parameter, carried forward to mesh time `at` if given."""
    turned = 0.0 if at is None else own.omega * (at - own.at) / 1000
    return cmath.rect(own.R, own.psi + turned)
