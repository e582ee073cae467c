"""Choose the part of the records to analyse: without the start-up of each run, between two times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chronoflux.analysis.tables import mesh_time
from chronoflux.analysis.validation import Floats
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

WINDOW = 1200.0
"""Seconds from the beginning that are searched for a start-up, which may take a third of them at most."""
SHORTEST = 60.0
"""Shortest record, s, in which a start-up can be distinguished."""
SMOOTH = 10
"""Width of the moving average of H, s."""
MARGIN = 0.01
"""Margin added on both sides of the range of H after the start-up."""


def start_up(t: Floats, H: Floats) -> float | None:
    """Return the length of a node's start-up in s, or None if H does not settle.

    H is averaged over 10 s. The start-up ends when this average first enters the range (5th to 95th
    percentile, plus 0.01 on both sides) of its values in the second half of the first 20 minutes. A start-up
    that takes more than a third of the time searched counts as not settled.

    Parameters
    ----------
    t
        Times of the records, s, increasing, shape (n,).
    H
        Order parameter at these times, shape (n,), without gaps.

    Returns
    -------
    float or None
        Length of the start-up, s; 0 for a record too short to tell.

    Examples
    --------
    >>> t = np.arange(600.0)
    >>> start_up(t, np.full(600, 0.9))
    0.0
    >>> 30 < start_up(t, 1 - np.exp(-t / 10)) < 60
    True
    """
    t = t - t[0]
    known = (t < WINDOW) & np.isfinite(H)
    t, H = t[known], H[known]
    if len(t) < 2 * SMOOTH or t[-1] < SHORTEST:
        return 0.0
    smooth = np.convolve(H, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
    times = t[: len(smooth)]
    low, high = np.quantile(smooth[times >= times[-1] / 2], [0.05, 0.95])
    there = np.flatnonzero((smooth >= low - MARGIN) & (smooth <= high + MARGIN))
    found = float(times[there[0]])
    return None if found > t[-1] / 3 else found


class Part(NamedTuple):
    """The chosen records, and lines that say what was left out."""

    frame: pd.DataFrame
    told: list[str]


def part_of(
    frame: pd.DataFrame, *, skip_settling: bool = True, begin: float = 0.0, end: float = math.inf
) -> Part:
    """Leave out the start-up of each run, and records before `begin` or after `end`.

    `begin` and `end` are in s of mesh time since the first record of the room. With `skip_settling` the
    frame's ``attrs["settled"]`` is True, so that no measure searches for a start-up again.

    Raises
    ------
    ParameterError
        When no telemetry is left.
    """
    at = mesh_time(frame)
    dated = frame["at"].notna().to_numpy() if frame["at"].notna().any() else np.ones(len(frame), np.bool_)
    seconds = at - at[dated].min()
    keep = (seconds >= begin) & (seconds <= end)
    told = []
    if begin > 0 or end < math.inf:
        last = "the end" if end == math.inf else f"{end:g} s"
        told.append(f"used: only records between {begin:g} s and {last} of mesh time")
    if skip_settling:
        lengths: dict[str, float] = {}
        restless = []
        telemetry = (frame["type"] == "telemetry").to_numpy() & frame["H"].notna().to_numpy()
        runs = frame.groupby(["node", "run"], dropna=False).ngroup().to_numpy()
        for run in np.unique(runs):
            rows = np.flatnonzero(runs == run)
            node = str(frame["node"].iloc[rows[0]])
            own = rows[telemetry[rows]]
            if not len(own):
                continue
            own = own[np.argsort(seconds[own], kind="stable")]
            length = start_up(seconds[own], frame["H"].to_numpy(np.float64)[own])
            if length is None:
                restless.append(node)
            elif length > 0:
                lengths[node] = max(length, lengths.get(node, 0.0))
                keep[rows] &= seconds[rows] >= seconds[own[0]] + length
        if lengths:
            each = ", ".join(f"{node} {length:.0f} s" for node, length in sorted(lengths.items()))
            told.append(f"start-up left out, until H reached its later range: {each}")
        if restless:
            told.append(
                f"no start-up was left out of {', '.join(sorted(set(restless)))}, where H changes its level "
                "for more than a third of the time searched"
            )
        if not lengths and not restless:
            told.append("no start-up was found")
    else:
        told.append("the start-up is included")
    if not (keep & (frame["type"] == "telemetry").to_numpy()).any():
        span = f"the {seconds[dated].max():.0f} s on record"
        raise ParameterError("from, to", (begin, end), f"within {span}, with telemetry between them")
    chosen = frame[keep]
    chosen.attrs = dict(frame.attrs) | {"settled": skip_settling}
    return Part(chosen, told)
