"""`Source`: the part of a node's interface that the widget draws and controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from chronoflux.model.params import Params
from chronoflux.model.simulation import Snapshot
from chronoflux.telemetry.recent import RecentRecord


class Source(Protocol):
    """A node, or any object with these members. All of them may be used from any thread."""

    params: Params
    speed: Any
    """Simulated seconds per second of real time; a value that is not a number cannot be changed."""

    @property
    def playing(self) -> bool:
        """Whether the swarm moves, or is paused."""

    @property
    def closed(self) -> bool:
        """Whether the source has ended."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The latest metrics: ``tau``, and with peers also ``peers`` (their number) and ``H_mesh``."""

    @property
    def recent(self) -> RecentRecord:
        """What was put on record lately."""

    @property
    def peers(self) -> Any:
        """A DataFrame, one row per peer: ``id``, ``name``, ``H``, ``dpsi`` (phase difference to us, rad)."""

    @property
    def status(self) -> Any:
        """The status: an object with ``room``, ``node_id``, ``light``, ``text`` and ``problem``."""

    def snapshot(self) -> Snapshot:
        """Return the current state of the swarm."""

    def play(self) -> None:
        """Start or continue the swarm."""

    def pause(self) -> None:
        """Pause the swarm."""

    def step(self) -> None:
        """Compute one tick, then pause."""

    def reset(self) -> None:
        """Restart the swarm with new positions and phases."""

    def fire(self, name: str, **data: Any) -> Any:
        """Fire an event; positions that are not given are drawn at random."""

    def note(self, text: str) -> None:
        """Write a note into the log."""

    def export_log(self, path: str | Path) -> Path:
        """Write the log as one JSON array. Return the file's path."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Register a function to call when the source has ended."""
