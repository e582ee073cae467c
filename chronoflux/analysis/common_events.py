"""Leave out what follows events that several nodes have in common.

Such an event drives several nodes at the same moment. Surrogates of each node by itself lose this, so nodes
that are not linked would seem to be: of rooms of unrelated swarms of the preset `storm` that heard the same
events, a share of 0.23 had a link between fluctuations of the frequency, in place of 0.05. The moments that
do not follow common events have no common driver that is on record.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chronoflux.analysis.tables import mesh_time, of_room
from chronoflux.analysis.validation import Floats
from chronoflux.errors import ParameterError
from chronoflux.model.events import EVENTS

FADES = 8.0
"""Seconds after a common event that are left out. After 8 s unrelated swarms that hear the same events are
found linked no more often than chance explains; after 2 s they still are."""
LEAST = 60
"""Least number of moments that must be left."""
AT_ONCE = 1.0
"""Events of one kind, recorded by two nodes within so many seconds, are common: schedules fire at the same
moment in all nodes."""


def without_common_events(
    stretch: pd.DataFrame, frame: pd.DataFrame, *, fades: float | None, room: str | None = None
) -> pd.DataFrame:
    """Return a table without the moments that follow events common to several of its nodes.

    An event is common when two of the nodes recorded it: the same event by its id, or events of the same kind
    within a second.

    Parameters
    ----------
    stretch
        From :func:`~chronoflux.analysis.tables.together`.
    frame
        The records the table was made from, with their events.
    fades
        Seconds after each common event that are left out; None: nothing is left out.
    room
        The room; may be left out when there is only one.

    Returns
    -------
    DataFrame
        ``attrs`` are those of the table, and: ``common_events``, their number within the table (None: not
        looked for), and ``disturbed``, the number of moments left out.

    Raises
    ------
    ParameterError
        When fewer than 60 moments are left.
    """
    if fades is None:
        found = stretch.copy()
        found.attrs = dict(stretch.attrs) | {"common_events": None, "disturbed": 0}
        return found
    if not fades >= 0:
        raise ParameterError("fades", fades, "0 s or more, or None")
    step = float(stretch.attrs["step"])
    start = stretch.attrs["start"].timestamp()
    seconds = stretch.index.to_numpy(np.float64)
    moments = common_moments(frame, set(map(str, stretch.columns)), room=room) - start
    moments = moments[(moments > seconds[0] - fades - step) & (moments < seconds[-1] + step)]
    # A moment's record may lie up to a step after it, and an increment begins a step before it.
    last = np.searchsorted(moments, seconds + step, side="left") - 1
    before = np.where(last >= 0, moments[np.maximum(last, 0)], -np.inf) if len(moments) else -np.inf
    keep = seconds > before + fades + step
    found = stretch[keep]
    if len(moments) and len(found) < LEAST:
        raise ParameterError(
            "events that several nodes heard",
            f"they leave {len(found)} of {len(stretch)} moments undisturbed",
            f"at least {LEAST} moments that are not within {fades:g} s after such an event, as events drive "
            "several nodes at once; otherwise use null runs (analysis.null_runs) or pulls",
        )
    found.attrs = dict(stretch.attrs) | {
        "common_events": int(np.count_nonzero(np.diff(moments) > AT_ONCE)) + 1 if len(moments) else 0,
        "disturbed": int(np.count_nonzero(~keep)),
    }
    return found


def common_moments(frame: pd.DataFrame, nodes: Collection[str], *, room: str | None = None) -> Floats:
    """Return the mesh times in s, sorted, at which some of the nodes recorded an event common to two of them.

    Examples
    --------
    Nodes a and b both heard the intent at 5 s. The one at 9 s is on record in node a alone.

    >>> import pandas as pd
    >>> from chronoflux.analysis.common_events import common_moments
    >>> at = [5.0, 5.2, 9.0]
    >>> frame = pd.DataFrame({
    ...     "time": pd.to_datetime(at, unit="s", utc=True), "at": [1000 * one for one in at],
    ...     "node": ["a", "b", "a"], "room": "lab", "type": ["intent", "remote_intent", "intent"],
    ...     "data": [{"id": "x"}, {"id": "x"}, {"id": "y"}],
    ... })
    >>> common_moments(frame, {"a", "b"})
    array([5. , 5.2])
    """
    names = {event.name for event in EVENTS}
    names |= {f"remote_{name}" for name in names}
    records = of_room(frame, room)
    records = records[records["type"].isin(names) & records["node"].astype(str).isin(set(nodes))]
    if not len(records):
        return np.empty(0)
    at = mesh_time(records)
    order = np.argsort(at, kind="stable")
    records, at = records.iloc[order], at[order]
    node = pd.factorize(records["node"])[0]
    kind = pd.factorize(records["type"].str.removeprefix("remote_"))[0]
    common = np.zeros(len(records), np.bool_)
    for one in np.unique(kind):
        _mark(common, np.flatnonzero(kind == one), at, node)
    if "data" in records:
        ids = pd.Series([data.get("id") if isinstance(data, dict) else None for data in records["data"]])
        common |= (pd.Series(node).groupby(ids).transform("nunique") >= 2).to_numpy(np.bool_)
    found: Floats = at[common]
    return found


def _mark(common: NDArray[np.bool_], rows: NDArray[np.intp], at: Floats, node: NDArray[np.intp]) -> None:
    """Mark events of one kind that follow each other within `AT_ONCE` in different nodes."""
    near = (np.diff(at[rows]) <= AT_ONCE) & (np.diff(node[rows]) != 0)
    common[rows[:-1][near]] = True
    common[rows[1:][near]] = True
