"""`SwarmState`: what a view shows of a swarm at one moment, of a live node and of a replayed run alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chronoflux.model.snapshot import Snapshot
from chronoflux.render.picture import MeanField, mean_field, stride
from chronoflux.replay import Track
from chronoflux.widget.source import Source


@dataclass
class SwarmState:
    """What a view shows of a swarm at one moment.

    Attributes
    ----------
    snapshot
        The oscillators and the field.
    recorded
        The mean field on record, in a replay, where not every oscillator's state need be known.
    oscillators
        Number of oscillators on record; None: those of the snapshot.
    mode
        The replay's mode.
    """

    snapshot: Snapshot
    recorded: MeanField | None = None
    oscillators: int | None = None
    mode: str = ""

    @property
    def version(self) -> tuple[Any, ...]:
        """Identify what is shown: equal values mean that nothing new is to be drawn."""
        shown = self.snapshot
        swarm = shown.tick, shown.portal, shown.params, len(shown.phi), shown.phi[:1].tobytes()
        return *swarm, self.recorded, self.mode

    @property
    def mean_field(self) -> MeanField:
        """The swarm's mean field."""
        return mean_field(self.snapshot) if self.recorded is None else self.recorded

    @property
    def n(self) -> int:
        """Number of oscillators, including those whose state is not known."""
        return len(self.snapshot.x) if self.oscillators is None else self.oscillators

    @property
    def drawn(self) -> int | None:
        """Number of oscillators in the picture; None if no oscillator's state is known."""
        known = len(self.snapshot.x)
        return -(-known // stride(known)) if known else None


def node_state(source: Source) -> SwarmState:
    """Return the state of a live swarm."""
    return SwarmState(source.snapshot())


def track_state(track: Track) -> SwarmState:
    """Return the state of a replayed run at the replay's position."""
    snapshot = track.snapshot()
    oscillators = track.metrics.get("nodes") or len(snapshot.x) or 1
    return SwarmState(snapshot, MeanField(*track.mean_field), oscillators, track.shown.mode)


def peer_fields(source: Source) -> list[MeanField]:
    """Return the known mean fields of the peers, ``psi`` relative to the source's own."""
    if not source.metrics.get("peers"):
        return []
    known = source.peers[["name", "id", "H", "dpsi"]].dropna(subset=["H", "dpsi"])
    return [
        MeanField(float(H), float(dpsi), str(name or peer))
        for name, peer, H, dpsi in known.itertuples(index=False)
    ]
