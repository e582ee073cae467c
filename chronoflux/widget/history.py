"""`History`: a sparkline of the order over the last minutes, and a table of the room's peers."""

from __future__ import annotations

import math

import ipywidgets

from chronoflux.replay.recorded import describe
from chronoflux.widget.peer_table import peers_html
from chronoflux.widget.source import Source
from chronoflux.widget.sparkline import Trace
from chronoflux.widget.typed_bases import Box

PERIOD = 1.0
"""Seconds between two points of the sparkline, and between two updates of the peers' table."""


class History(Box):
    """The sparkline of `source`, with marks for events from now on, and the table of its peers."""

    def __init__(self, source: Source) -> None:
        self._source, self._trace, self._told = source, Trace(), -math.inf
        self._marked = max((number for number, *_ in source.recent), default=0)
        self._lines, self._company = ipywidgets.HTML(), ipywidgets.HTML()
        super().__init__([self._lines, self._company])
        self.add_class("chronoflux-room")

    def refresh(self, n: int, H: float, now: float) -> None:
        """Mark newly recorded events; once per `PERIOD`, update the sparkline and the peers' table.

        `H` is the order of the swarm of `n` oscillators, `now` the time in s of any clock.
        """
        for number, kind, data in self._source.recent:
            if number > self._marked:
                self._marked = number
                self._trace.mark(now, describe(kind, data))
        if now - self._told < PERIOD:
            return
        self._told = now
        self._trace.add(now, {**self._source.metrics, "H": H})
        self._lines.value = self._trace.html(n)
        self._company.value = peers_html(self._source.peers)
