"""`RoomLog`: takes down what everybody in a room says: telemetry, events, who came and went, clocks' offsets.

What others say is checked before it is written, and bounded for each of them: their names go into records
and are never paths, their numbers have ranges, and what is too much or makes no sense is left out and
counted; the counts are on record once a minute.
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
from chronoflux.mesh.clock import Followed, MeshClock
from chronoflux.mesh.gossip import FUTURE, PAST, Event
from chronoflux.mesh.messages import Telemetry
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.peer_telemetry import Report, report_of
from chronoflux.mesh.spectator import Spectator
from chronoflux.telemetry import RunLog
from chronoflux.util.token_bucket import Bucket

log: logging.Logger = logging.getLogger(__name__)

RECORDS = (10.0, 3.0)  # telemetry records a second of one node, and how many seconds' worth at once
EVENTS = (20.0, 2.0)  # events a second of one origin, likewise
ALL_EVENTS = (1000.0, 5.0)  # events a second of all together: origins can be made up
CHANGES = (20.0, 10.0)  # of peers that come, link and go
SPEAKERS = 1024  # nodes told apart; the one that has been silent longest makes room for another
LISTED = 512  # of these in the manifest
UNNAMED = 1000  # events kept until their origin's name is known …
PATIENCE = 5.0  # … at most for so many s
SILENT = 5.0  # s without a word after which another node may go by the same name
BEAT = 1.0  # s between signs of life
OFFSETS, MINUTE = 10.0, 60.0  # s between offsets, and between counts, on record
LATE = 64  # records by which one may come after its successors and still be news
JUMP = 100_000  # records that cannot all have been missed: it counts from another number


@dataclass(eq=False)
class SourceState:
    """A node of the room, as far as it is taken down. `label` is its name here, no other's at that time."""

    id: str
    peer: Peer | None = None
    label: str = ""
    kind: str = ""
    records: int = 0
    events: int = 0
    missed: int = 0
    refused: int = 0
    heard: float = -1e9
    noted: Counter[str] = field(default_factory=Counter)  # of the peer's refusals, on record already
    said: Bucket = field(default_factory=lambda: Bucket(*RECORDS, time.monotonic()))
    fired: Bucket = field(default_factory=lambda: Bucket(*EVENTS, time.monotonic()))
    _newest: int = -1
    _recent: deque[tuple[int | None, float | None]] = field(default_factory=lambda: deque(maxlen=LATE))
    _missing: deque[int] = field(default_factory=lambda: deque(maxlen=LATE))

    def news(self, report: Report, seq: int | None) -> bool:
        """Whether a record is heard for the first time; what is missing before it is counted."""
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

    def facts(self) -> dict[str, Any]:
        """What the manifest says of it."""
        counts = {"records": self.records, "events": self.events, "missed": self.missed}
        return {"name": self.label, "kind": self.kind, **counts, "refused": self.refused}


class RoomLog(Spectator):
    """See the module. `peers` gives those of the room that this node has to do with; `run` keeps it up."""

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
        self._speakers: OrderedDict[str, SourceState] = OrderedDict()
        self._labels: dict[str, str] = {}
        self._unnamed: deque[tuple[float, Event]] = deque()
        now = time.monotonic()
        self._events, self._changes = Bucket(*ALL_EVENTS, now), Bucket(*CHANGES, now)
        self._dropped: Counter[str] = Counter()

    def speakers(self) -> list[SourceState]:
        """Whoever was taken down, and is still remembered."""
        return [speaker for speaker in self._speakers.values() if speaker.records or speaker.events]

    # -- what the mesh tells ---------------------------------------------------------------------------

    def on_joined(self, peer_id: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        self._log.update(peer_id=peer_id)

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`: a record of this node, if it is news."""
        if not message.telemetry:
            return  # a sign of life of somebody without a swarm
        speaker, now = self._speaker(peer.id, peer), time.monotonic()
        if not speaker.said.take(1, now):
            raise ProtocolError("telemetry", f"more than {RECORDS[0]:g} records a second")
        report = report_of(message)
        seq = message.seq if report.seq is None else report.seq
        at = message.at if report.at is None else report.at
        age = 0.0 if at is None else self._clock.now() - at
        if not -FUTURE <= age <= PAST:
            raise ProtocolError("telemetry", f"its time is {-age / 1000:+.1f} s from now")
        if not speaker.news(report, seq):
            return
        label = self._label(speaker, report.node_id or peer.name)
        speaker.heard, speaker.kind = now, peer.kind
        speaker.records += 1
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
        """See :class:`~chronoflux.mesh.participant.Participant`: on record once, as its origin's."""
        if len(self._unnamed) >= UNNAMED:
            self._write_event(*self._unnamed.popleft())
        self._unnamed.append((time.monotonic(), event))
        self._write_named()

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        speaker = self._speaker(peer.id, peer)
        label = self._label(speaker, peer.name)
        log.info("%s: %s %s%s", self.name, label, change, f" ({reason})" if reason else "")
        if change == "gone":
            self._note_refused(speaker)
            speaker.heard = -1e9  # whoever comes next may have its name
        if not self._changes.take(1, time.monotonic()):
            self._dropped["peer"] += 1
            return
        self._write("peer", data={"id": peer.id, "name": label, "change": change, "reason": reason})

    def on_clock(self, change: Followed) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        facts = {"why": "reference", "reference": change.reference, "stratum": change.stratum}
        if change.step is not None:
            facts |= {"why": "moved", "step_ms": change.step}
        self._write("clock", data=facts)

    def on_missed(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`: on record, as what of a node is missing."""
        self._write("missed", data=dict(facts))

    # -- by the clock ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Be heard, write what waited, and measured offsets and counts, until cancelled."""
        for beat in itertools.count(1):
            await asyncio.sleep(BEAT)
            self._keep_alive()
            self._write_named()
            if beat % round(OFFSETS / BEAT) == 0:
                self._note_offsets()
            if beat % round(MINUTE / BEAT) == 0:
                self.note_counts()

    def note_counts(self) -> None:
        """What was refused and what was missed, on record; who said how much, into the manifest."""
        for speaker in tuple(self._speakers.values()):
            self._note_refused(speaker)
        if self._dropped:
            self._write("refused", data={"refused": dict(self._dropped)})
            self._dropped.clear()
        newest = itertools.islice(reversed(self._speakers.values()), LISTED)
        self._log.update(nodes={speaker.id: speaker.facts() for speaker in newest if speaker.label})

    def end(self, reason: str) -> None:
        """The last records."""
        while self._unnamed:
            self._write_event(*self._unnamed.popleft())
        self._note_offsets()
        self.note_counts()
        self._write("end", data={"reason": reason})

    def note(self, text: str) -> None:
        """A remark of the user's; from any thread."""
        self._write("note", data={"text": text})

    def _note_refused(self, speaker: SourceState) -> None:
        """What was refused of a node since the last time. The mesh counts it at the peer."""
        if speaker.peer is None:
            return
        fresh = speaker.peer.refused - speaker.noted
        if fresh:
            speaker.noted = Counter(speaker.peer.refused)
            speaker.refused += fresh.total()
            label = self._label(speaker, speaker.peer.name)
            self._write("refused", node=label, data={"refused": dict(fresh), "missed": speaker.missed})

    def _note_offsets(self) -> None:
        """How every linked node's clock stands to this one's, as measured from here."""
        now = self._clock.now()
        pairs = [peer.pairing(None, now) for peer in self._peers().values() if peer.offset is not None]
        if pairs:
            reference, stratum, _ = self._clock.standing()
            self._write(
                "clock", data={"why": "offsets", "reference": reference, "stratum": stratum}, peerings=pairs
            )

    # -- writing ---------------------------------------------------------------------------------------

    def _write(self, kind: str, **more: Any) -> None:
        self._log.write(kind, tick=None, t=None, at=self._clock.now(), **more)

    def _write_named(self) -> None:
        """Write the events that waited for their origin's name, in their order, or long enough."""
        late = time.monotonic() - PATIENCE
        while self._unnamed and (self._unnamed[0][0] < late or self._named(self._unnamed[0][1].origin)):
            self._write_event(*self._unnamed.popleft())

    def _named(self, origin: str) -> bool:
        return origin in self._peers() or (origin in self._speakers and bool(self._speakers[origin].label))

    def _write_event(self, came: float, event: Event) -> None:
        label, speaker = f"?{event.origin[:16]}", None
        if self._named(event.origin):
            peer = self._peers().get(event.origin)
            speaker = self._speaker(event.origin, peer)
            label = self._label(speaker, peer.name if peer else speaker.label)
        now = time.monotonic()
        if not (self._events.take(1, now) and (speaker is None or speaker.fired.take(1, now))):
            self._dropped[event.kind.name] += 1
            return
        if speaker is not None:
            speaker.events += 1
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

    # -- who is who ------------------------------------------------------------------------------------

    def _speaker(self, id_: str, peer: Peer | None) -> SourceState:
        speaker = self._speakers.get(id_)
        if speaker is None:
            if len(self._speakers) >= SPEAKERS:
                _, gone = self._speakers.popitem(last=False)
                if self._labels.get(gone.label) == gone.id:
                    del self._labels[gone.label]
            speaker = self._speakers[id_] = SourceState(id_)
        self._speakers.move_to_end(id_)
        if peer is not None and peer is not speaker.peer:
            self._note_refused(speaker)
            speaker.peer, speaker.noted = peer, Counter()
        return speaker

    def _label(self, speaker: SourceState, name: str) -> str:
        """The name a node's records go by: its own, unless another that is here has it."""
        if speaker.label and self._labels.get(speaker.label) == speaker.id:
            return speaker.label
        name, part = name or speaker.id[:8], speaker.id[:6]
        more = (f"{name}~{part}{count or ''}" for count in itertools.count())
        free = next(label for label in itertools.chain([name], more) if self._is_free(label))
        self._labels[free] = speaker.id
        speaker.label = free
        return free

    def _is_free(self, label: str) -> bool:
        holder = self._speakers.get(self._labels.get(label, ""))
        silent = holder is None or time.monotonic() - holder.heard > SILENT
        return silent and label != self.name
