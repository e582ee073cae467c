"""What the widget can draw and steer: `Source`, the part of a node's interface that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from chronoflux.model.params import Params
from chronoflux.model.simulation import Snapshot


class Source(Protocol):
    """A node, or whatever else has these. All of it may be called from any thread."""

    params: Params
    speed: Any
    """Simulated seconds a second; what is no number cannot be changed."""

    @property
    def playing(self) -> bool:
        """Whether the swarm moves."""

    @property
    def closed(self) -> bool:
        """Whether it has ended."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The latest metrics: ``tau``, with peers ``peers`` (their number) and ``H_mesh``."""

    @property
    def recent(self) -> Sequence[tuple[int, str, Mapping[str, Any]]]:
        """What happened last, as on record: a number that only grows, the record's type, its data."""

    @property
    def peers(self) -> Any:
        """A pandas table with ``id``, ``name``, ``H`` and ``dpsi`` (phase difference to us, rad) a peer."""

    @property
    def status(self) -> Any:
        """``room``, ``node_id``, ``light``, ``text``, ``problem``."""

    def snapshot(self) -> Snapshot:
        """The swarm as it is."""

    def play(self) -> None:
        """Go on."""

    def pause(self) -> None:
        """Hold the swarm."""

    def step(self) -> None:
        """Compute one tick, and hold the swarm."""

    def reset(self) -> None:
        """Begin anew with other places and phases."""

    def fire(self, name: str, **data: Any) -> Any:
        """Fire an event; positions that are not given are drawn."""

    def note(self, text: str) -> None:
        """Put a remark into the log."""

    def export_log(self, path: str | Path) -> Path:
        """Write the log as one JSON array; where it lies then."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have a function called when it has ended."""
