"""`NodeControls`: what a user does to a member's swarm, from any thread."""

from __future__ import annotations

import asyncio
import random
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from chronoflux.errors import UsageError, shorten
from chronoflux.model.events import EVENTS, World
from chronoflux.model.snapshot import Snapshot
from chronoflux.node.lifecycle import Lifecycle
from chronoflux.node.pacing import Speed, checked_speed
from chronoflux.node.room_adapter import RoomAdapter
from chronoflux.node.runner import Runner
from chronoflux.telemetry.recent import RecentRecord
from chronoflux.util.token_bucket import Bucket

EVENT_RATE = (20.0, 2.0)  # events/s, and how many seconds' worth at once
MOST_STEPS = 1_000  # ticks at once; more is what playing is for


class NodeControls(Lifecycle):
    """See the module. `server`: None for one that is alone; `seed`: for the places of events."""

    server: str | None

    def __init__(self, *, server: str | None, seed: int, speed: Speed) -> None:
        super().__init__()
        self.server = server
        self._speed = speed
        self._places = random.Random(seed ^ 0x5EED)
        self._runner: Runner | None = None
        self._room_adapter: RoomAdapter | None = None
        self._rate = Bucket(*EVENT_RATE, self._seconds())

    @property
    @abstractmethod
    def world(self) -> World:
        """Width and height in px."""

    def fire(self, name: str, **data: Any) -> str:
        """Fire an event of any registered kind here and at every peer; positions not given are drawn.

        Returns the event's id. Raises :class:`ParameterError` when the event is unknown or its data wrong,
        :class:`UsageError` at more than 20 a second, which peers would not take (40 at once are all right).
        """
        kind = EVENTS[name]
        placed = kind.place(data, self.world, self._places)
        unknown = set(placed) - set(kind.payload.__struct_fields__)
        if unknown:
            raise UsageError(
                f"{name} has no {', '.join(sorted(unknown))}; it has {kind.payload.__struct_fields__}"
            )
        whole = kind.check(placed, self.world)
        if not self._rate.take(1, self._seconds()):
            raise UsageError(
                f"{name} was not fired: more than 20 events a second, which peers would not take"
            )
        event = self._speaking.fired(kind, whole)
        self._call(self._speaking.publish, event)
        return event.id

    def intent(self, x: float | None = None, y: float | None = None, **more: float) -> str:
        """A pulse of pressure at ``x, y`` px (drawn if not given); ``E``, ``sigma`` as in the model."""
        place = {name: value for name, value in (("x", x), ("y", y)) if value is not None}
        return self.fire("intent", **place, **more)

    def lion_gate(self, on: bool = True) -> str:
        """Portal mode on (or off), here and at every peer."""
        return self.fire("lion_gate", on=on)

    def pacemaker_flip(self) -> str:
        """Flip velocities and phases, here and at every peer."""
        return self.fire("pacemaker_flip")

    def note(self, text: str) -> None:
        """Put a remark of yours into the log."""
        runner = self._running
        runner.put(lambda simulation: runner.note("note", data={"text": str(text)}))

    def take_snapshot(self) -> None:
        """Keep the swarm and its picture in the run's folder, under ``snapshots/``."""
        self._running.take_snapshot()

    def play(self) -> None:
        """Go on."""
        self._running.play(True)

    def pause(self) -> None:
        """Hold the swarm; the node stays in its room."""
        self._running.play(False)

    def step(self, ticks: int = 1) -> None:
        """Compute so many ticks and hold the swarm, which is held first if it moves."""
        if isinstance(ticks, bool) or not isinstance(ticks, int) or not 1 <= ticks <= MOST_STEPS:
            raise UsageError(f"ticks = {shorten(ticks)}: give a whole number from 1 to {MOST_STEPS}")
        self._running.step(ticks)

    def reset(self, seed: int | None = None) -> None:
        """Begin anew with other places and phases: those of `seed`, or else drawn as the run goes on.

        Parameters, time, portal mode and the room stay as they are, and the log goes on; pulses are gone.
        """
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise UsageError(f"seed = {shorten(seed)}: give a whole number >= 0, or none")
        self._running.reset(seed)

    @property
    def speed(self) -> Speed:
        """Simulated seconds a second, or ``"max"``; a number may be set to another one as it runs."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        runner, wanted = self._running, checked_speed(speed, alone=True)
        if isinstance(wanted, str) or isinstance(self._speed, str):
            raise UsageError(
                'speed = "max" holds for a whole run, from its beginning: cf.join(server=None, speed="max")'
            )
        self._speed = wanted
        if self.server is None:  # its events are counted in seconds of the swarm
            self._rate = Bucket(*EVENT_RATE, self._seconds())
        runner.go_at(wanted)

    @property
    def playing(self) -> bool:
        """Whether the swarm moves."""
        return self._runner is not None and self._runner.playing

    @property
    def recent(self) -> RecentRecord:
        """What was put on record lately: samples of the order, events, and which standing events are on."""
        return self._runner.recent if self._runner else RecentRecord()

    def snapshot(self) -> Snapshot:
        """The swarm as it is, read-only."""
        return self._running.snapshot()

    # -- inside ----------------------------------------------------------------------------------------

    @property
    def _running(self) -> Runner:
        if self._runner is None:
            raise UsageError(self.NOT_STARTED)
        return self._runner

    @property
    def _speaking(self) -> RoomAdapter:
        if self._room_adapter is None:
            raise UsageError(self.NOT_STARTED)
        return self._room_adapter

    def _seconds(self) -> float:
        """Seconds in which events are counted: the peers', or alone those of the swarm."""
        fast = self._speed if self.server is None and self._speed != "max" else 1.0
        return self.clock.mono() / 1000 * fast

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have a function called on the node's loop, from any thread."""
        if self._loop is None or self.closed:
            raise UsageError(f"node {self.node_id} is not running: join again")
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)
