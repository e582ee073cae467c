"""`Peer`: the state that this node keeps of another node in its room."""

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

log: logging.Logger = logging.getLogger(__name__)

HELLO_DEADLINE = 2.0  # s
ANSWER = 15.0  # s without an answer to an offer, after which an old client counts as without WebRTC
LIVE, GONE = 2.0, 15.0  # s of silence after which a peer is quiet, and gone
RELAY_AFTER = 1.5  # s without a link after which the relay also carries fields and telemetry
BACKOFF = (2.0, 60.0)  # s, first and longest wait before a redial
EVENTS = (20.0, 2.0)  # events/s of one link and origin, and burst in s
FORWARDED = (0.5, 100.0, 4.0)  # events/s for each member of the room; least events/s; burst in s
SLOT = 10_000.0  # ms of mesh time over which an origin's events are counted
MAX_SLOTS = 4096  # most counts kept for each link: many origins over 90 s
GATES = (1.0, 5.0)  # changes/s of the standing state by state and telemetry messages; burst in s
GREETINGS = (0.2, 10.0)  # greetings/s, and burst in s
OFFERS = (0.5, 16.0)  # offers/s, and burst in s
MAX_KINDS = 32  # most message kinds counted separately in the refusals of a peer
MAX_EARLY_CANDIDATES = 32  # most candidates kept for a peer whose offer has not arrived yet

OURS = frozenset({"notebook", "headless", "page", "recorder", "probe"})
"""Kinds that nodes with the extensions announce."""
OLD, RUNNER, BRIDGE = "old", "runner", "bridge"
"""Kinds of the first ChronoFlux's clients: page or unannounced; runner and bridge have no WebRTC."""
WITHOUT_SWARM = ("probe", "recorder", BRIDGE)  # kinds

PeerState = Literal["connecting", "live", "quiet", "gone"]
Via = Literal["direct", "turn", "relay", "server", ""]
Light = Literal["linked", "relay", "server", "alone"]

FRESH = 2_000.0  # ms, the age beyond which a mean field is not used
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
    """Whether it announced one of our kinds to the server, or sent a hello. Other peers are clients of the
    first ChronoFlux: they keep no event ids, answer no probes, and may be silent for any time."""
    answered: bool = False
    """Whether it ever sent a signal, which shows that it has WebRTC."""
    unanswered: bool = False
    """Whether an old client left an offer unanswered; until it dials, only the server reaches it."""
    hears: frozenset[str] | None = frozenset()
    """For an old client: the ids whose events it receives directly; this node forwards the events of others
    to it. None if another neighbour forwards them."""
    features: frozenset[str] | None = None
    joined: int | None = None
    offset: Offset | None = None
    tick_ms: float = 0.0
    clock_problem: str = ""
    in_room: bool = True
    link: Link | None = None
    dials: bool = False
    reason: str = ""
    since: float = field(default_factory=time.monotonic)
    last_direct: float = -1e9
    last_relayed: float = -1e9
    greeted_by_relay: float | None = None  # when our greeting was relayed; None: not on the present path
    hello_received: bool = False
    opened: float = -1e9
    left: bool = False
    state: PeerState = "connecting"
    redial_at: float | None = None
    failures: int = 0
    field_: Field | None = None
    relayed_field: float = -1e9
    world: tuple[float, float] | None = None
    unsent: deque[Event] = field(default_factory=deque)
    early_candidates: list[dict[str, Any]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    dialled: float = -1e9
    left_at: float = -1e9
    unlisted_since: float | None = None  # since when the server lists it as a member, but not as a neighbour
    woke_at: float | None = None  # when this node woke from a stall; None once the link is known to work
    relayed_telemetry: float = -1e9
    offers: Bucket = field(default_factory=lambda: Bucket(*OFFERS, time.monotonic()))
    greetings: Bucket = field(default_factory=lambda: Bucket(*GREETINGS, time.monotonic()))
    gates: Bucket = field(default_factory=lambda: Bucket(*GATES, time.monotonic()))
    _event_counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    _forwarding: Bucket | None = None
    _members: int = 0

    @property
    def has_swarm(self) -> bool:
        """Whether it has a swarm to couple with; probes, recorders and bridges have none."""
        return self.kind not in WITHOUT_SWARM

    def set_metadata(self, metadata: Mapping[str, Any], *, lasting: bool | None) -> None:
        """Take its metadata from the join; `lasting`: it joined with a secret, None if unknown.

        Before a hello only its kind tells whether it is one of ours. The version does not, because the page
        of the first ChronoFlux sends one too.
        """
        self.name = _text(metadata.get("nodeId")) or self.name
        kind = _text(metadata.get("kind"))
        if kind in OURS and lasting is not False:
            self.kind, self.ours = kind, True
        elif self.features is None:
            self.kind, self.ours = _old_kind(metadata), False

    def accepts_from(self, origin: str) -> bool:
        """Return whether this node forwards events of `origin` to it.

        An old client applies every duplicate, so it gets an event only if no other node sends it.
        """
        return self.ours or (self.hears is not None and origin not in self.hears)

    def on_hello(self, name: str, kind: str, features: Iterable[str]) -> None:
        """Take its ``hello``, which shows that it is one of ours."""
        self.name, self.kind = _text(name) or self.name, _text(kind) or self.kind
        self.ours, self.features = True, frozenset(features)

    @property
    def hashes(self) -> bool:
        """Whether it announced that its event ids are hashes."""
        return self.features is not None and HASHED in self.features

    @property
    def server_only(self) -> bool:
        """Whether it is an old client that only the server reaches."""
        return not self.ours and not self.linked and (self.unanswered or self.kind in (RUNNER, BRIDGE))

    def client_description(self) -> str:
        """Return a description of an old client."""
        return f"{'a client' if self.kind == OLD else f'a {self.kind}'} of the first ChronoFlux"

    def leaves_offers_unanswered(self, now: float) -> bool:
        """Return whether it is an old client that did not answer an offer in time."""
        silent = not self.ours and not self.answered
        return silent and (self.kind != OLD or now - self.dialled > ANSWER)

    @property
    def linked(self) -> bool:
        """Whether the channel is open."""
        return self.link is not None and self.link.state == "open"

    def direct(self, now: float) -> bool:
        """Return whether the link works: open, and (our nodes) recently opened or heard within 2 s."""
        return self.linked and (not self.ours or now - max(self.last_direct, self.opened) < LIVE)

    def via(self, now: float) -> Via:
        """Return the current path of messages: link, TURN server, relay or server; "" for none."""
        if self.direct(now):
            return "turn" if self.link is not None and self.link.by_turn else "direct"
        if self.server_only:
            return "server" if self.in_room else ""
        if now - self.last_relayed < LIVE:
            return "relay" if self.ours else "server"
        return ""

    def path_problem(self, now: float) -> str:
        """Return why the path is not direct, or another problem of the peer; empty without a problem."""
        if self.linked and self.ours and not self.direct(now):
            return f"nothing received over the link for {now - max(self.last_direct, self.opened):.0f} s"
        if self.server_only:
            return f"{self.client_description()}: it is reached only through the server"
        if self.link is not None and not self.linked:
            return f"connecting again, after: {self.reason}" if self.reason else "connecting"
        if self.link is None and self.redial_at is not None:
            wait = max(0.0, self.redial_at - now)
            return f"{self.reason or 'no link'}; next try in {wait:.0f} s"
        if self.linked and not self.ours and now - self.opened > HELLO_DEADLINE:
            return self.reason or f"{self.client_description()}: it sends no hello"
        return (
            self.reason
            or self.clock_problem
            or ("" if self.linked else "no link: the peer has not dialled yet")
        )

    def silence(self, now: float) -> float:
        """Return the seconds since its last message, or since it appeared."""
        return now - max(self.last_direct, self.last_relayed, self.since)

    def current_state(self, now: float) -> PeerState:
        """Return its state: from its last message for our nodes, from its connection for old clients."""
        silence = now - max(self.last_direct, self.last_relayed)
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
        """Return its order parameter `R e^{iΨ}` extrapolated to mesh time `at` (ms); None if too old."""
        field = self.field_
        if field is None or abs(at - field.at) > FRESH:
            return None
        return cmath.rect(min(field.R, 1.0), field.psi + field.omega * (at - field.at) / 1000)

    def pairing(self, own: Field | None, at: float) -> dict[str, Any]:
        """Return its state relative to this node at mesh time `at` (ms), as recorded."""
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
        """Return the peer as a row of ``node.peers``."""
        pairing = self.pairing(own, at)
        facts = {"name": self.name, "kind": self.kind, "state": self.state, "H": pairing["R"]}
        counts = {"refused": self.refused.total(), "dropped": self.link.dropped if self.link else 0}
        why = {"reason": self.path_problem(time.monotonic())}
        return pairing | facts | counts | why | {"n": self.field_.n if self.field_ else None}

    def allows_event(self, origin: str, at: float, now: float) -> bool:
        """Return whether one more event of `origin`, fired at mesh time `at` (ms), is within the rate.

        Events count by the time they were fired, not by arrival: after a network cut or a sleep those of a
        whole minute arrive at once, and a refused event is lost.
        """
        key = (origin, int(at // SLOT))
        if key not in self._event_counts and len(self._event_counts) >= MAX_SLOTS:
            first, last = (now - PAST) // SLOT, (now + FUTURE) // SLOT
            kept = {slot: count for slot, count in self._event_counts.items() if first <= slot[1] <= last}
            self._event_counts = Counter(kept)
            if len(kept) >= MAX_SLOTS:
                return False
        rate, burst = EVENTS
        if self._event_counts[key] >= rate * (burst + SLOT / 1000):
            return False
        self._event_counts[key] += 1
        return True

    def allows_forwarding(self, members: int, now: float) -> bool:
        """Return whether one more forwarded event is within the link's rate, in a room of `members`.

        `now` is monotonic time, s.
        """
        each, least, burst = FORWARDED
        rate = max(least, each * members)
        if self._forwarding is None or rate > max(least, each * self._members):
            self._forwarding, self._members = Bucket(rate, burst, now), members
        return self._forwarding.take(1, now)

    def refuse(self, error: ProtocolError | ParameterError) -> None:
        """Count a refused message of this peer."""
        kind = error.kind if isinstance(error, ProtocolError) else error.name.partition(".")[0]
        known = kind[:32] in self.refused or len(self.refused) < MAX_KINDS
        self.refused[kind[:32] if known else "other"] += 1  # the peer may invent any kind
        log.debug("refused from %s: %s", self.name, error)

    def plan_redial(self, now: float) -> None:
        """Schedule a redial after a wait that doubles with each failure, with jitter."""
        first, longest = BACKOFF
        wait = min(longest, first * 2 ** min(self.failures, 8))
        self.failures += 1
        self.redial_at = now + wait * random.uniform(0.75, 1.25)


def _text(value: object) -> str:
    """Return a short printable text unchanged, and "" for anything else."""
    return value if isinstance(value, str) and len(value) <= 64 and value.isprintable() else ""


def _old_kind(metadata: Mapping[str, Any]) -> str:
    """Return the kind of a client of the first ChronoFlux from its join metadata."""
    if metadata.get("headless") is True:
        return RUNNER
    return BRIDGE if metadata.get("bridge") is True or metadata.get("p2p") is True else OLD


def own_order(own: Field, at: float | None = None) -> complex:
    """Return this node's order parameter, extrapolated to mesh time `at` (ms) if given."""
    turned = 0.0 if at is None else own.omega * (at - own.at) / 1000
    return cmath.rect(own.R, own.psi + turned)
