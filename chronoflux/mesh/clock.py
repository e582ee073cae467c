"""Mesh time: milliseconds since the Unix epoch on the room's common clock."""

from __future__ import annotations

import time


class MeshClock:
    """The room's clock as this node knows it.

    For now that is this machine's own UTC clock: nodes of one machine agree exactly, machines agree as
    well as their operating systems keep them (NTP: some ms). Offset and uncertainty of a peer are unknown.
    """

    def now(self) -> float:
        """Mesh time, ms with fractions."""
        return time.time_ns() / 1e6
