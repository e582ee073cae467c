"""`EventSource`: fires a node's own events, at a rate that its peers accept."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from chronoflux.errors import UsageError
from chronoflux.mesh.gossip import Event
from chronoflux.model.events import EVENTS
from chronoflux.node.room_adapter import RoomAdapter
from chronoflux.util.token_bucket import Bucket

EVENT_RATE = (20.0, 2.0)  # events per second, and how many seconds' worth at once


class EventSource:
    """Fires events from any thread.

    Parameters
    ----------
    room_adapter
        Publishes the events.
    seed
        Seed of the generator that draws positions which are not given.
    seconds
        The time that counts for the limit, s.
    on_loop
        Calls a function with an event on the node's event loop.
    """

    def __init__(
        self,
        room_adapter: RoomAdapter,
        seed: int,
        seconds: Callable[[], float],
        on_loop: Callable[[Callable[[Event], None], Event], None],
    ) -> None:
        self._room_adapter, self._seconds, self._on_loop = room_adapter, seconds, on_loop
        self._positions = random.Random(seed ^ 0x5EED)
        self._limit = Bucket(*EVENT_RATE, seconds())

    def restart_limit(self) -> None:
        """Count events from zero again: `seconds` jumped, because the speed has changed."""
        self._limit = Bucket(*EVENT_RATE, self._seconds())

    def fire(self, name: str, data: Mapping[str, object]) -> str:
        """Fire an event; see :meth:`chronoflux.node.controls.NodeControls.fire`."""
        kind, world = EVENTS[name], self._room_adapter.world
        placed = kind.place(data, world, self._positions)
        fields = kind.payload.__struct_fields__
        if unknown := sorted(set(placed) - set(fields)):
            known = ", ".join(fields) or "none"
            raise UsageError(f"event {name} has no field {', '.join(unknown)}; its fields: {known}")
        whole = kind.check(placed, world)
        if not self._limit.take(1, self._seconds()):
            raise UsageError(
                f"event {name} was not fired: peers accept {EVENT_RATE[0]:g} events per second of a node; "
                "fire fewer"
            )
        event = self._room_adapter.fired(kind, whole)
        self._on_loop(self._room_adapter.publish, event)
        return event.id
