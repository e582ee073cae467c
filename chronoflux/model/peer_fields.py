"""The mesh clock, and the latest mean field of each peer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.engine import FRESH, Clock, Floats, mesh_time
from chronoflux.model.state import finite

BOUNDS = {"R": (0.0, 1.0 + 1e-9), "psi": (-1e6, 1e6), "omega": (-200.0, 200.0)}


class Field(NamedTuple):
    """The mean field ``R e^{iψ}`` of a peer at mesh time `at` (ms), rotating with `omega` (rad/s)."""

    at: float
    R: float
    psi: float
    omega: float


class PeerFields:
    """The mesh clock, and the latest field of each peer."""

    def __init__(self) -> None:
        self.clock: Clock = Clock(math.nan, 0, 1.0)
        self.fields: dict[str, Field] = {}
        self.used: int = 0
        """Number of fields used in the last tick."""
        self._table: Floats | None = None

    def anchor(self, tick: int, at: float, speed: float) -> None:
        """Assign mesh time `at` (ms) to `tick`; `speed`: simulated seconds per second from there."""
        if not finite(at):
            raise ParameterError("at", at, "a finite mesh time in ms")
        if not (finite(speed) and speed > 0):
            raise ParameterError("speed", speed, "finite and > 0")
        self.clock = Clock(float(at), tick, float(speed))

    def shift(self, tick: int, at: float) -> None:
        """Assign mesh time `at` to `tick`, at the same speed; without an anchor, do nothing."""
        if not math.isnan(at):
            self.clock = self.clock._replace(at=at, tick=tick)

    def mesh_time(self, tick: int, dt: float) -> float:
        """Mesh time of a tick in ms; NaN without an anchor."""
        return mesh_time(self.clock, tick, dt)

    def hear(self, peer: str, field: Field) -> None:
        """Store `field` as that of `peer`, unless a newer one is stored."""
        if not finite(field.at):
            raise ParameterError("at", field.at, "a finite mesh time in ms")
        for name, (low, high) in BOUNDS.items():
            value = getattr(field, name)
            if not (finite(value) and low <= value <= high):
                raise ParameterError(name, value, f"from {low:g} to {high:g}")
        field = Field(*map(float, field))
        stored = self.fields.get(peer)
        if stored is None or field.at >= stored.at:
            self.fields[peer] = field._replace(R=min(field.R, 1.0))
            self._table = None

    def forget(self, peer: str) -> None:
        """Drop the field of `peer`, if there is one."""
        self.fields.pop(peer, None)
        self._table = None

    def table(self) -> Floats:
        """The fields as rows ``at`` (ms), ``R``, ``psi`` (rad), ``omega`` (rad/s), by peer id: float64
        (peers, 4)."""
        if self._table is None:
            rows = [self.fields[peer] for peer in sorted(self.fields)]
            self._table = np.array(rows, np.float64).reshape(-1, 4)
        return self._table

    def count(self, tick: int, dt: float) -> None:
        """Count the fields used in `tick`."""
        T = self.mesh_time(tick, dt)
        self.used = sum(abs(T - field.at) <= FRESH for field in self.fields.values())

    def save(self) -> dict[str, Any]:
        """JSON values for :meth:`load`; the clock is None without an anchor, as JSON has no NaN."""
        clock = None if math.isnan(self.clock.at) else list(self.clock)
        return {"clock": clock, "fields": {p: list(f) for p, f in self.fields.items()}, "used": self.used}

    @classmethod
    def load(cls, saved: dict[str, Any]) -> PeerFields:
        """The inverse of :meth:`save`."""
        peers = cls()
        if saved["clock"] is not None:
            at, tick, speed = saved["clock"]
            peers.anchor(int(tick), at, speed)
        for peer, values in saved["fields"].items():
            peers.hear(peer, Field(*values))
        peers.used = int(saved["used"])
        return peers
