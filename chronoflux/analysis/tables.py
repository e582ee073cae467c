"""Convert loaded logs to tables: one column per node of a room, on one time axis.

The axis is mesh time, the clock of the room (`at`; for logs without it, each node's own UTC clock).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chronoflux.analysis.stationarity import stationary_part
from chronoflux.analysis.synchrony import runs
from chronoflux.analysis.validation import Floats
from chronoflux.errors import ParameterError

PHASE = "phase"
"""The derived column of :func:`side_by_side`: fluctuations of the increments of ψ."""
LEAST_CHANGE, REST = 1e-5, {PHASE: 1e-4}
"""A metric with a smaller range is at rest: only rounding is left. Phase increments are in rad per step."""
REACH = 0.75
"""Greatest distance, in steps, between a moment and the record used for it."""


def side_by_side(
    frame: pd.DataFrame, column: str = "H", *, step: float = 1.0, room: str | None = None
) -> pd.DataFrame:
    """Return one metric of every node of a room on one time axis.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    column
        The metric. ``"psi"`` (rad) is extrapolated to each moment with the record's own ``omega``.
        ``"phase"`` is the increment of ψ since the moment before, minus its mean over the record (rad per
        step, −π to π): the fluctuations of the frequency. Its first moment is missing.
    step
        Distance of the moments, s. Each moment takes the nearest record, up to three quarters of a step away:
        with half a step, slightly irregular records would leave gaps.
    room
        The room; may be left out when there is only one.

    Returns
    -------
    DataFrame
        One column per node; the index ``seconds`` is mesh time since the first record, s; NaN where nothing
        is on record. ``attrs``: ``start`` (UTC), ``step``, ``column``, ``missing``, the number of missing
        moments by node, and ``settled``, whether the start-up was left out of the frame.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node a has 4 records and node b has 2.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> seconds = np.array([0.0, 1.0, 2.0, 3.0, 2.0, 3.0])
    >>> frame = pd.DataFrame({
    ...     "time": pd.to_datetime(seconds, unit="s", utc=True), "at": 1000 * seconds, "node": list("aaaabb"),
    ...     "room": "lab", "type": "telemetry", "omega": 0.0, "H": [0.1, 0.2, 0.3, 0.4, 0.8, 0.9],
    ... })
    >>> analysis.side_by_side(frame, "H")
               a    b
    seconds
    0.0      0.1  NaN
    1.0      0.2  NaN
    2.0      0.3  0.8
    3.0      0.4  0.9
    """
    if column == PHASE:
        return _increments(side_by_side(frame, "psi", step=step, room=room))
    records = telemetry_of(frame, column, room)
    if not step > 0:
        raise ParameterError("step", step, "above 0 s")
    at = mesh_time(records)
    start = float(at.min())
    seconds: Floats = step * np.arange(int((at.max() - start) / step + 0.5) + 1.0)
    values = records[column].to_numpy(np.float64)
    omega = records["omega"].to_numpy(np.float64) if column == "psi" else np.zeros(len(values))
    codes, names = pd.factorize(records["node"], sort=True)
    in_order = np.lexsort((at, codes))
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    found: dict[str, Floats] = {}
    for node, own in zip(names, np.split(in_order, ends[:-1]), strict=True):
        times = at[own] - start
        nearest = _nearest(times, seconds)
        away = seconds - times[nearest]
        moved = values[own][nearest] + omega[own][nearest] * away
        if column == "psi":
            moved = np.angle(np.exp(1j * moved))
        found[str(node)] = np.where(np.abs(away) <= REACH * step + 1e-9, moved, np.nan)
    table = pd.DataFrame(found, index=pd.Index(seconds, name="seconds"))
    table.attrs = {
        "start": pd.Timestamp(start, unit="s", tz="UTC"),
        "step": step,
        "column": column,
        "missing": {node: int(np.isnan(course).sum()) for node, course in found.items()},
        "settled": bool(frame.attrs.get("settled", False)),
    }
    return table


def _increments(psi: pd.DataFrame) -> pd.DataFrame:
    """Return the increments of each phase from moment to moment, minus their mean direction."""
    turned = np.exp(1j * np.diff(psi.to_numpy(np.float64), axis=0, prepend=np.nan))
    mean = np.nansum(turned, axis=0)
    table = pd.DataFrame(np.angle(turned * mean.conj()), index=psi.index, columns=psi.columns)
    missing = {str(node): int(course.isna().sum()) for node, course in table.items()}
    table.attrs = psi.attrs | {"column": PHASE, "missing": missing}
    return table


def gaps(
    frame: pd.DataFrame, column: str = "H", *, step: float = 1.0, room: str | None = None
) -> pd.DataFrame:
    """Return the gaps in the record of each node, between its first and its last record.

    The arguments are those of :func:`side_by_side`.

    Returns
    -------
    DataFrame
        One row per gap: ``node``; ``start`` and ``end``, the moments between which nothing is on record, in s
        of mesh time since the first record; ``duration`` in s.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node a has no records from 2 s to 4 s.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> seconds = np.array([0.0, 1.0, 5.0, 6.0])
    >>> frame = pd.DataFrame({
    ...     "time": pd.to_datetime(seconds, unit="s", utc=True), "at": 1000 * seconds, "node": "a",
    ...     "room": "lab", "type": "telemetry", "omega": 0.0, "H": 0.5,
    ... })
    >>> analysis.gaps(frame)
      node  start  end  duration
    0    a    1.0  5.0       3.0
    """
    table = side_by_side(frame, column, step=step, room=room)
    times = table.index.to_numpy(np.float64)
    rows = []
    for node in table:
        known = table[node].notna().to_numpy(np.bool_)
        for first, last in runs(~known):
            if first > 0 and last < len(known) - 1:
                start, end = times[first - 1], times[last + 1]
                rows.append({"node": node, "start": start, "end": end, "duration": end - start - step})
    found = pd.DataFrame(rows, columns=["node", "start", "end", "duration"])
    return found.astype({"node": "str", "start": float, "end": float, "duration": float})


def together(table: pd.DataFrame, *, least: int = 2, bridge: float = 5.0) -> pd.DataFrame:
    """Return the part of a table with the most nodes and moments on record without a break.

    Measures of several nodes over time need unbroken series. One second lost in a night of twenty nodes
    should not cost hours, nor should a node that was present for ten minutes. Therefore gaps of up to
    `bridge` s are interpolated linearly, and nodes are left out, down to `least`, as long as this increases
    the number of nodes squared times the number of moments. Both are counted.

    Parameters
    ----------
    table
        From :func:`side_by_side`. Angles (``"psi"``) are not interpolated.
    least
        Least number of nodes.
    bridge
        Longest gap that is interpolated, s.

    Returns
    -------
    DataFrame
        ``attrs`` are those of the table, and: ``masked``, the number of moments before and after that are not
        used; ``bridged``, the number of interpolated values; ``left_out``, the nodes left out.

    Raises
    ------
    ParameterError
        When there are fewer than `least` nodes, or no moment with so many of them on record.

    Examples
    --------
    One missing value is interpolated; the two moments before node b is on record are not used.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> a, b = [1.0, 2.0, 3.0, np.nan, 5.0, 6.0], [np.nan, np.nan, 3.0, 4.0, 5.0, 6.0]
    >>> table = pd.DataFrame({"a": a, "b": b})
    >>> table.attrs = {"column": "H", "step": 1.0}
    >>> found = analysis.together(table)
    >>> found
         a    b
    2  3.0  3.0
    3  4.0  4.0
    4  5.0  5.0
    5  6.0  6.0
    >>> found.attrs["bridged"], found.attrs["masked"]
    (1, 2)
    """
    if len(table.columns) < least:
        raise ParameterError("nodes", len(table.columns), f"at least {least} in the room")
    short = 0 if table.attrs.get("column") == "psi" else int(bridge / table.attrs["step"] + 1e-9)
    values = table.to_numpy(np.float64).copy()
    holes = np.zeros(values.shape, dtype=np.bool_)
    for j, column in enumerate(values.T):
        for first, last in runs(~np.isfinite(column)):
            if first > 0 and last < len(column) - 1 and last - first < short:
                ends = column[first - 1], column[last + 1]
                column[first : last + 1] = np.linspace(*ends, last - first + 3)[1:-1]
                holes[first : last + 1, j] = True
    known = np.isfinite(values)
    keep = np.arange(values.shape[1])
    part = _longest(known)
    while len(keep) > least:
        fewer = [np.delete(keep, j) for j in range(len(keep))]
        parts = [_longest(known[:, one]) for one in fewer]
        best = max(range(len(keep)), key=lambda j: parts[j].stop - parts[j].start)
        length = parts[best].stop - parts[best].start
        if (len(keep) - 1) ** 2 * length <= len(keep) ** 2 * (part.stop - part.start):
            break
        keep, part = fewer[best], parts[best]
    if part.start == part.stop:
        raise ParameterError(
            "frame", f"no moment with {least} nodes on record", "nodes that ran at the same time"
        )
    found = pd.DataFrame(values[part, :][:, keep], index=table.index[part], columns=table.columns[keep])
    found.attrs = dict(table.attrs) | {
        "masked": len(table) - len(found),
        "bridged": int(holes[part, :][:, keep].sum()),
        "left_out": [str(node) for node in table.columns.delete(keep)],
    }
    return found


def preparation(stretch: pd.DataFrame) -> dict[Hashable, Any]:
    """Return what was left out of a table from :func:`settled` and how it was tested, for ``attrs``."""
    names = ("masked", "bridged", "left_out", "start_up", "memory", "looked_at", "common_events", "disturbed")
    return {name: stretch.attrs[name] for name in names if name in stretch.attrs}


def settled(stretch: pd.DataFrame, *, stationary: bool = False) -> pd.DataFrame:
    """Return the part of an unbroken table after its start-up.

    :func:`~chronoflux.analysis.stationarity.stationary_part` finds the start-up, unless it was left out of
    the frame already (``attrs["settled"]``).

    Parameters
    ----------
    stretch
        From :func:`together`.
    stationary
        True: treat the table as stationary from its first moment on, without a test.

    Returns
    -------
    DataFrame
        ``attrs`` are those of the table, and: ``start_up`` in s, ``memory`` in s (NaN without a test), and
        ``looked_at``, whether it was tested.

    Raises
    ------
    ParameterError
        When there is no such part.
    """
    step = float(stretch.attrs["step"])
    start, memory = 0, np.nan
    if not stationary:
        name = {PHASE: "frequency fluctuations"}.get(str(stretch.attrs.get("column")), "")
        name = name or f"{stretch.attrs.get('column', 'x')}"
        names = tuple(f"{name} of {node}" for node in stretch.columns)
        rest = REST.get(str(stretch.attrs.get("column")), LEAST_CHANGE)
        searched = not stretch.attrs.get("settled", False)
        look = stationary_part(
            stretch.to_numpy(np.float64), name=name, names=names, rest=rest, start_up=searched
        )
        start, memory = look.start, look.memory
    found = stretch.iloc[start:]
    found.attrs = dict(stretch.attrs) | {
        "start_up": start * step,
        "memory": memory * step,
        "looked_at": not stationary,
    }
    return found


def _longest(known: NDArray[np.bool_]) -> slice:
    """Return the longest run of rows in which every value is known; empty if there is none."""
    whole = np.asarray(known.all(axis=1), dtype=np.bool_)
    spans = runs(whole)
    if not len(spans):
        return slice(0, 0)
    first, last = spans[np.argmax(spans[:, 1] - spans[:, 0])]
    return slice(int(first), int(last) + 1)


def of_room(frame: pd.DataFrame, room: str | None) -> pd.DataFrame:
    """Return the records of one room.

    Raises
    ------
    ParameterError
        When the room is not in the frame, or none is named and the frame holds several.
    """
    rooms = sorted(frame["room"].dropna().unique())
    if room is None and len(rooms) > 1:
        raise ParameterError("room", room, f"one of {', '.join(rooms)}: the frame holds several")
    if room is not None and room not in rooms:
        raise ParameterError("room", room, f"one of {', '.join(rooms) or 'none: the logs name no room'}")
    of_it = frame if room is None else frame[frame["room"] == room]
    if not of_it["node"].hasnans:
        return of_it
    # Records without a node belong to their file: those of two files are not of one node.
    return of_it.assign(node=of_it["node"].fillna(of_it.get("run", "unnamed")))


def telemetry_of(frame: pd.DataFrame, column: str, room: str | None) -> pd.DataFrame:
    """Return the telemetry records of a room that have a value of the metric `column`."""
    if column not in frame or frame[column].dtype.kind not in "fiu":
        raise ParameterError("column", column, "a metric of the frame, such as H, H_local, tau")
    names = ["time", "node", "room", "run", "type", "at", "omega", column]
    records = of_room(frame[[name for name in dict.fromkeys(names) if name in frame]], room)
    records = records[(records["type"] == "telemetry") & records[column].notna()]
    if not len(records):
        raise ParameterError("frame", f"no {column} on record", "telemetry of at least one node")
    return records


def mesh_time(records: pd.DataFrame) -> Floats:
    """Return the mesh time of records in s, shape (n,); where it is missing, the node's own UTC clock."""
    own = records["time"].to_numpy("datetime64[us]").astype(np.int64) / 1e6
    at: Floats = records["at"].to_numpy(np.float64) / 1e3
    return np.where(np.isfinite(at), at, own)


def _nearest(times: Floats, wanted: Floats) -> NDArray[np.intp]:
    """Return for each wanted moment the index of the nearest of the increasing `times`."""
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)
    return np.where(wanted - times[left] <= times[right] - wanted, left, right)
