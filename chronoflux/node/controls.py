"""`NodeControls`: what a user does to a node's swarm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from chronoflux.errors import UsageError, shorten
from chronoflux.model.snapshot import Snapshot
from chronoflux.node.event_source import EventSource
from chronoflux.node.room_adapter import RoomAdapter
from chronoflux.node.runner import Runner

MAX_STEPS = 1_000  # most ticks of one `step`; for more, play


class LiveSwarm(NamedTuple):
    """The parts of a node that exist from its start."""

    runner: Runner
    room_adapter: RoomAdapter
    events: EventSource


class NodeControls(ABC):
    """The methods of a node that act on its swarm. A mixin: of the node it uses `_swarm` alone.

    Every method may be called from any thread.
    """

    @property
    @abstractmethod
    def _swarm(self) -> LiveSwarm:
        """The running swarm; UsageError before the node has started."""

    def fire(self, name: str, **data: object) -> str:
        """Fire an event of any registered kind here and at every peer.

        Parameters
        ----------
        name
            The event's name, such as ``"intent"``.
        data
            Its fields. Positions that are not given are drawn at random.

        Returns
        -------
        str
            The event's id.

        Raises
        ------
        ParameterError
            When there is no such event, or a value is of the wrong type or out of range.
        UsageError
            When the event has no such field, or at more than 20 events per second, which peers do not
            accept (40 at once are accepted).
        """
        return self._swarm.events.fire(name, data)

    def intent(self, x: float | None = None, y: float | None = None, **more: float) -> str:
        """Fire a pulse of pressure at ``x, y`` px (at random if not given). Return the event's id.

        `more`: ``E``, the amplitude, and ``sigma``, the width in px.
        """
        place = {name: value for name, value in (("x", x), ("y", y)) if value is not None}
        return self.fire("intent", **place, **more)

    def lion_gate(self, on: bool = True) -> str:
        """Switch portal mode on or off, here and at every peer. Return the event's id."""
        return self.fire("lion_gate", on=on)

    def pacemaker_flip(self) -> str:
        """Reverse velocities and shift phases, here and at every peer. Return the event's id."""
        return self.fire("pacemaker_flip")

    def note(self, text: str) -> None:
        """Write a remark into the log."""
        self._swarm.runner.commands.record("note", {"text": str(text)})

    def take_snapshot(self) -> None:
        """Save the swarm and its picture in the run's folder, under ``snapshots/``."""
        self._swarm.runner.commands.take_snapshot()

    def play(self) -> None:
        """Start or continue the swarm."""
        self._swarm.runner.commands.play()

    def pause(self) -> None:
        """Pause the swarm; the node stays in its room."""
        self._swarm.runner.commands.pause()

    def step(self, ticks: int = 1) -> None:
        """Compute `ticks` ticks (1 to 1,000) of a paused swarm. A moving swarm is paused first."""
        if isinstance(ticks, bool) or not isinstance(ticks, int) or not 1 <= ticks <= MAX_STEPS:
            raise UsageError(f"ticks = {shorten(ticks)}: give a whole number from 1 to {MAX_STEPS}")
        self._swarm.runner.commands.step(ticks)

    def reset(self, seed: int | None = None) -> None:
        """Restart the swarm with new positions and phases, drawn with `seed`.

        Without a seed the run's generator draws them. Parameters, time, portal mode, room and log stay; live
        pulses are removed.
        """
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise UsageError(f"seed = {shorten(seed)}: give a whole number >= 0, or none")
        self._swarm.runner.commands.reset(seed)

    def snapshot(self) -> Snapshot:
        """Return the current state of the swarm, read-only."""
        return self._swarm.runner.snapshot()
