"""`RecentRecord`: what a running node put on record lately, kept in memory for views.

Times are seconds of :func:`time.monotonic`, the moment at which a record was written. Every view of a node
reads the same object, so it does not matter whether a view was open at that moment.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from chronoflux.model.commands import REMOTE

SAMPLE_PERIOD = 0.5
"""Seconds between two samples of the order; of records that come faster the latest is kept."""
MAX_SAMPLES = 600
"""Samples kept: those of about five minutes, or longer if records come more slowly."""
MAX_EVENTS = 100
"""Events kept."""
NOT_EVENTS = frozenset({"telemetry", "clock", "end"})
"""Types of records that are no events."""


class OrderSample(NamedTuple):
    """The order on record at a time: None where a value is missing or not finite."""

    at: float
    H: float | None
    H_local: float | None
    H_mesh: float | None


class RecentEvent(NamedTuple):
    """An event on record: time, type and data."""

    at: float
    type: str
    data: Mapping[str, Any]


class RecentRecord:
    """The latest samples of the order, the latest events, and which standing events are on.

    It may be read from any thread.

    Examples
    --------
    >>> from chronoflux.telemetry.recent import RecentRecord
    >>> recent = RecentRecord()
    >>> recent.add("telemetry", {}, {"H": 0.5}, at=1.0)
    >>> recent.add("lion_gate", {"on": True}, {}, at=1.5)
    >>> recent.order, recent.standing
    ((OrderSample(at=1.0, H=0.5, H_local=None, H_mesh=None),), {'lion_gate': True})
    """

    def __init__(self) -> None:
        self._order: deque[OrderSample] = deque(maxlen=MAX_SAMPLES)
        self._events: deque[RecentEvent] = deque(maxlen=MAX_EVENTS)
        self._standing: dict[str, bool] = {}

    @property
    def order(self) -> tuple[OrderSample, ...]:
        """Samples of the order, oldest first."""
        return tuple(self._order)

    @property
    def events(self) -> tuple[RecentEvent, ...]:
        """Events, oldest first."""
        return tuple(self._events)

    @property
    def standing(self) -> dict[str, bool]:
        """Standing events that were switched in this run: type (without ``remote_``) → whether it is on."""
        return dict(self._standing)

    def add(
        self, kind: str, data: Mapping[str, Any], metrics: Mapping[str, Any], *, at: float | None = None
    ) -> None:
        """Add a record of type `kind`, written at `at` (by default now)."""
        at = time.monotonic() if at is None else at
        if kind == "telemetry":
            self._add_sample(
                OrderSample(at, *(_finite(metrics.get(name)) for name in OrderSample._fields[1:]))
            )
        elif kind not in NOT_EVENTS:
            self._events.append(RecentEvent(at, kind, data))
            if isinstance(on := data.get("on"), bool):
                self._standing[kind.removeprefix(REMOTE)] = on

    def _add_sample(self, sample: OrderSample) -> None:
        if len(self._order) > 1 and sample.at - self._order[-2].at < SAMPLE_PERIOD:
            self._order[-1] = sample
        else:
            self._order.append(sample)


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
