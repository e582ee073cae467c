"""`RoomLog`: records the telemetry, events, arrivals, departures and clock offsets of all nodes of a room.

Messages are untrusted: they are checked before they are written, and limited for each node. Names go into
records and never into paths, numbers have ranges, and what is invalid or too much is left out and counted.
The counts are recorded once a minute.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from chronoflux.errors import ProtocolError
from chronoflux.mesh.clock import MeshClock, ReferenceChange
from chronoflux.mesh.gossip import FUTURE, PAST, Event
from chronoflux.mesh.messages import Telemetry
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.peer_telemetry import Report, report_of
from chronoflux.mesh.spectator import Spectator
from chronoflux.telemetry import RunLog
from chronoflux.util.token_bucket import Bucket

log: logging.Logger = logging.getLogger(__name__)

RECORDS = (10.0, 3.0)  # telemetry records per second of one node, and how many seconds' worth at once
EVENTS = (20.0, 2.0)  # events per second of one origin, likewise
ALL_EVENTS = (1000.0, 5.0)  # events per second of all origins, which can be invented
CHANGES = (20.0, 10.0)  # changes of peers per second, likewise
MAX_SOURCES = 1024  # nodes with a state; the one that has been silent longest is dropped for a new one
LISTED = 512  # latest nodes in the manifest
MAX_UNNAMED = 1000  # events that wait for their origin's name,
NAME_TIMEOUT = 5.0  # at most so many s
SILENT = 5.0  # s without a record after which another node may use the same name
BEAT = 1.0  # s between signs of life
OFFSETS, MINUTE = 10.0, 60.0  # s between records of offsets, and of counts
LATE = 64  # records by which a record may arrive after its successors and still be new
JUMP = 100_000  # missing records from which the node is assumed to count from another number


@dataclass(eq=False)
class SourceState:
    """The state of one node that is recorded. `label` is its unique name in the records."""

    id: str
    peer: Peer | None = None
    label: str = ""
    kind: str = ""
    records: int = 0
    events: int = 0
    missed: int = 0
    refused: int = 0
    heard: float = -1e9
    noted: Counter[str] = field(default_factory=Counter)  # refusals of the peer that are on record
    said: Bucket = field(default_factory=lambda: Bucket(*RECORDS, time.monotonic()))
    fired: Bucket = field(default_factory=lambda: Bucket(*EVENTS, time.monotonic()))
    _newest: int = -1
    _recent: deque[tuple[int | None, float | None]] = field(default_factory=lambda: deque(maxlen=LATE))
    _missing: deque[int] = field(default_factory=lambda: deque(maxlen=LATE))

    def is_new(self, report: Report, seq: int | None) -> bool:
        """Return whether a record is new; count the records that are missing before it."""
        if (seq, report.t) in self._recent:
            return False
        self._recent.append((seq, report.t))
        if seq is not None and seq in self._missing:
            self._missing.remove(seq)
            self.missed -= 1
        elif seq is not None:
            if 0 <= self._newest < seq <= self._newest + JUMP:
                self.missed += seq - self._newest - 1
                self._missing.extend(range(max(self._newest + 1, seq - LATE), seq))
            self._newest = seq
        return True

    def metadata(self) -> dict[str, str | int]:
        """Return its entry in the manifest."""
        counts = {"records": self.records, "events": self.events, "missed": self.missed}
        return {"name": self.label, "kind": self.kind, **counts, "refused": self.refused}


class RoomLog(Spectator):
    """The participant of the mesh that records a room; `run` is its loop.

    Parameters
    ----------
    name
        The recorder's own name.
    record
        The log to write.
    clock
        Mesh time.
    peers
        Returns the peers with a link or about to get one, by id.
    keep_alive
        Sends a sign of life to them.
    """

    def __init__(
        self,
        name: str,
        record: RunLog,
        clock: MeshClock,
        peers: Callable[[], Mapping[str, Peer]],
        keep_alive: Callable[[], None],
    ) -> None:
        super().__init__(name, "recorder")
        self._log, self._clock, self._peers, self._keep_alive = record, clock, peers, keep_alive
        self._sources: OrderedDict[str, SourceState] = OrderedDict()
        self._labels: dict[str, str] = {}
        self._unnamed: deque[tuple[float, Event]] = deque()
        now = time.monotonic()
        self._events, self._changes = Bucket(*ALL_EVENTS, now), Bucket(*CHANGES, now)
        self._dropped: Counter[str] = Counter()

    def sources(self) -> list[SourceState]:
        """Return the nodes that were recorded and still have a state."""
        return [source for source in self._sources.values() if source.records or source.events]

    # -- called by the mesh ----------------------------------------------------------------------------

    def on_joined(self, peer_id: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        self._log.update(peer_id=peer_id)

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`: write a record of the peer, if it is new."""
        if not message.telemetry:
            return  # a sign of life of a peer without a swarm
        source, now = self._source(peer.id, peer), time.monotonic()
        if not source.said.take(1, now):
            raise ProtocolError("telemetry", f"more than {RECORDS[0]:g} records per second")
        report = report_of(message)
        seq = message.seq if report.seq is None else report.seq
        at = message.at if report.at is None else report.at
        age = 0.0 if at is None else self._clock.now() - at
        if not -FUTURE <= age <= PAST:
            raise ProtocolError("telemetry", f"its time is {-age / 1000:+.1f} s from now")
        if not source.is_new(report, seq):
            return
        label = self._label(source, report.node_id or peer.name)
        source.heard, source.kind = now, peer.kind
        source.records += 1
        pairs = [msgspec.to_builtins(pairing) for pairing in report.peerings]
        self._log.write(
            "telemetry",
            tick=report.tick,
            t=None if report.t is None else round(report.t, 9),
            at=at,
            metrics=report.metrics(),
            node=label,
            **({"peerings": pairs} if pairs else {}),
        )
        self._write_named()

    def on_event(self, event: Event) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`: write it once, under its origin's name."""
        if len(self._unnamed) >= MAX_UNNAMED:
            self._write_event(*self._unnamed.popleft())
        self._unnamed.append((time.monotonic(), event))
        self._write_named()

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        source = self._source(peer.id, peer)
        label = self._label(source, peer.name)
        log.info("%s: %s %s%s", self.name, label, change, f" ({reason})" if reason else "")
        if change == "gone":
            self._note_refused(source)
            source.heard = -1e9  # another node may use its name from now on
        if not self._changes.take(1, time.monotonic()):
            self._dropped["peer"] += 1
            return
        self._write("peer", data={"id": peer.id, "name": label, "change": change, "reason": reason})

    def on_clock(self, change: ReferenceChange) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        facts = {"why": "reference", "reference": change.reference, "stratum": change.stratum}
        if change.step is not None:
            facts |= {"why": "moved", "step_ms": change.step}
        self._write("clock", data=facts)

    def on_missed(self, facts: Mapping[str, object]) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`: write what is missing of a node."""
        self._write("missed", data=dict(facts))

    # -- periodically ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send signs of life, and write waiting events, clock offsets and counts, until cancelled."""
        for beat in itertools.count(1):
            await asyncio.sleep(BEAT)
            self._keep_alive()
            self._write_named()
            if beat % round(OFFSETS / BEAT) == 0:
                self._note_offsets()
            if beat % round(MINUTE / BEAT) == 0:
                self.note_counts()

    def note_counts(self) -> None:
        """Record what was refused and missed, and list the nodes in the manifest."""
        for source in tuple(self._sources.values()):
            self._note_refused(source)
        if self._dropped:
            self._write("refused", data={"refused": dict(self._dropped)})
            self._dropped.clear()
        newest = itertools.islice(reversed(self._sources.values()), LISTED)
        self._log.update(nodes={source.id: source.metadata() for source in newest if source.label})

    def end(self, reason: str) -> None:
        """Write the last records."""
        while self._unnamed:
            self._write_event(*self._unnamed.popleft())
        self._note_offsets()
        self.note_counts()
        self._write("end", data={"reason": reason})

    def note(self, text: str) -> None:
        """Write a remark of the user; from any thread."""
        self._write("note", data={"text": text})

    def _note_refused(self, source: SourceState) -> None:
        """Record what was refused of a node since the last time. The mesh counts it at the peer."""
        if source.peer is None:
            return
        fresh = source.peer.refused - source.noted
        if fresh:
            source.noted = Counter(source.peer.refused)
            source.refused += fresh.total()
            label = self._label(source, source.peer.name)
            self._write("refused", node=label, data={"refused": dict(fresh), "missed": source.missed})

    def _note_offsets(self) -> None:
        """Record the measured clock offsets of the linked nodes."""
        now = self._clock.now()
        pairs = [peer.pairing(None, now) for peer in self._peers().values() if peer.offset is not None]
        if pairs:
            reference, stratum, _ = self._clock.status()
            self._write(
                "clock", data={"why": "offsets", "reference": reference, "stratum": stratum}, peerings=pairs
            )

    # -- writing ---------------------------------------------------------------------------------------

    def _write(self, kind: str, **more: Any) -> None:
        self._log.write(kind, tick=None, t=None, at=self._clock.now(), **more)

    def _write_named(self) -> None:
        """Write waiting events in their order, up to the first whose origin has no name yet."""
        late = time.monotonic() - NAME_TIMEOUT
        while self._unnamed and (self._unnamed[0][0] < late or self._named(self._unnamed[0][1].origin)):
            self._write_event(*self._unnamed.popleft())

    def _named(self, origin: str) -> bool:
        return origin in self._peers() or (origin in self._sources and bool(self._sources[origin].label))

    def _write_event(self, came: float, event: Event) -> None:
        label, source = f"?{event.origin[:16]}", None
        if self._named(event.origin):
            peer = self._peers().get(event.origin)
            source = self._source(event.origin, peer)
            label = self._label(source, peer.name if peer else source.label)
        now = time.monotonic()
        if not (self._events.take(1, now) and (source is None or source.fired.take(1, now))):
            self._dropped[event.kind.name] += 1
            return
        if source is not None:
            source.events += 1
        self._log.write(
            event.kind.name,
            tick=None,
            t=None,
            at=event.at,
            node=label,
            data=dict(event.data),
            id=event.id,
            origin=event.origin,
        )

    # -- names -----------------------------------------------------------------------------------------

    def _source(self, id_: str, peer: Peer | None) -> SourceState:
        source = self._sources.get(id_)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                _, gone = self._sources.popitem(last=False)
                if self._labels.get(gone.label) == gone.id:
                    del self._labels[gone.label]
            source = self._sources[id_] = SourceState(id_)
        self._sources.move_to_end(id_)
        if peer is not None and peer is not source.peer:
            self._note_refused(source)
            source.peer, source.noted = peer, Counter()
        return source

    def _label(self, source: SourceState, name: str) -> str:
        """Return the name of a node in the records: its own, unless another present node has it."""
        if source.label and self._labels.get(source.label) == source.id:
            return source.label
        name, part = name or source.id[:8], source.id[:6]
        more = (f"{name}~{part}{count or ''}" for count in itertools.count())
        free = next(label for label in itertools.chain([name], more) if self._is_free(label))
        self._labels[free] = source.id
        source.label = free
        return free

    def _is_free(self, label: str) -> bool:
        holder = self._sources.get(self._labels.get(label, ""))
        silent = holder is None or time.monotonic() - holder.heard > SILENT
        return silent and label != self.name
