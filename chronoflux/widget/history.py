"""`History`: a sparkline of the order over the last minutes, and a table of the room's peers."""

from __future__ import annotations

import math
import time

import ipywidgets

from chronoflux.widget.peer_table import peers_html
from chronoflux.widget.source import Source
from chronoflux.widget.sparkline import sparkline_html
from chronoflux.widget.typed_bases import Box

PERIOD = 1.0
"""Seconds between two updates."""


class History(Box):
    """The sparkline of what `source` has on record, and the table of its peers."""

    def __init__(self, source: Source) -> None:
        self._source, self._updated = source, -math.inf
        self._sparkline, self._peers = ipywidgets.HTML(), ipywidgets.HTML()
        super().__init__([self._sparkline, self._peers])
        self.add_class("chronoflux-room")

    def refresh(self, n: int) -> None:
        """Update both, at most once per `PERIOD`. `n` is the number of oscillators."""
        now = time.monotonic()
        if now - self._updated < PERIOD:
            return
        self._updated = now
        self._sparkline.value = sparkline_html(self._source.recent, n, now)
        self._peers.value = peers_html(self._source.peers)
