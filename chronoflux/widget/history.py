"""Below the picture: how the order went over the last minutes, and who else is in the room."""

from __future__ import annotations

import math

import ipywidgets

from chronoflux.model.snapshot import Snapshot
from chronoflux.widget.company import peers_html
from chronoflux.widget.source import Source
from chronoflux.widget.trace import Changes, Trace

PERIOD = 1.0
"""Seconds from one point of the sparkline, and look at the peers' table, to the next."""


class History(ipywidgets.Box):  # type: ignore[misc]
    """The sparkline of `source` and the table of its peers; `first` is the swarm as it is now."""

    def __init__(self, source: Source, first: Snapshot) -> None:
        self._source, self._changes = source, Changes(first)
        self._trace, self._told = Trace(), -math.inf
        self._lines, self._company = ipywidgets.HTML(), ipywidgets.HTML()
        super().__init__([self._lines, self._company])
        self.add_class("chronoflux-room")

    def refresh(self, snapshot: Snapshot, H: float, now: float) -> None:
        """Once a second, the sparkline and the peers' table; what happened is noted each time.

        `H` is the order of the swarm in `snapshot`, `now` s of any clock.
        """
        for what in self._changes.since(snapshot):
            self._trace.mark(now, what)
        if now - self._told < PERIOD:
            return
        self._told = now
        self._trace.add(now, {**self._source.metrics, "H": H})
        self._lines.value = self._trace.html(len(snapshot.x))
        self._company.value = peers_html(self._source.peers)
