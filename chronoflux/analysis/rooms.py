"""Measures on loaded logs: pandas in, pandas out.

Nodes are laid beside each other on mesh time, the clock of the room (`at`; for logs without one, their own
UTC clock). All functions take the frame of :func:`chronoflux.load` and leave out what is not on record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chronoflux.analysis.chance import maximum_statistic
from chronoflux.analysis.checks import Floats, whole
from chronoflux.analysis.information import transfer_entropy_by_shift_nats
from chronoflux.analysis.result import Result
from chronoflux.analysis.synchrony import (
    frequency_difference,
    locked_intervals,
    phase_lag_index,
    phase_locking,
    phase_locking_value,
    runs,
    time_to_sync,
    weighted_phase_lag_index,
)
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd


def side_by_side(
    frame: pd.DataFrame, column: str = "H", *, step: float = 1.0, room: str | None = None
) -> pd.DataFrame:
    """One metric of every node of a room on one time axis.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    column
        The metric. ``"psi"`` (rad) is carried to each moment with the record's own ``omega``.
    step
        Distance of the moments in s. Each takes the nearest record within half a step.
    room
        Which room; may be left out when there is only one.

    Returns
    -------
    DataFrame
        One column for each node, the index ``seconds`` of mesh time since the first record, NaN where
        nothing is on record. ``attrs``: ``start`` (UTC), ``step``, and by node the number of
        moments ``missing``.
    """
    import pandas as pd

    records = telemetry_of(frame, column, room)
    if not step > 0:
        raise ParameterError("step", step, "above 0 s")
    at = mesh_time(records)
    start = float(at.min())
    seconds: Floats = step * np.arange(int((at.max() - start) / step + 0.5) + 1.0)
    values = records[column].to_numpy(np.float64)
    omega = records["omega"].to_numpy(np.float64) if column == "psi" else np.zeros(len(values))
    found: dict[str, Floats] = {}
    for node in sorted(records["node"].unique()):
        own = np.flatnonzero(records["node"] == node)
        own = own[np.argsort(at[own], kind="stable")]
        times = at[own] - start
        nearest = _nearest(times, seconds)
        away = seconds - times[nearest]
        moved = values[own][nearest] + omega[own][nearest] * away
        if column == "psi":
            moved = np.angle(np.exp(1j * moved))
        found[str(node)] = np.where(np.abs(away) <= step / 2 + 1e-9, moved, np.nan)
    table = pd.DataFrame(found, index=pd.Index(seconds, name="seconds"))
    table.attrs = {
        "start": pd.Timestamp(start, unit="s", tz="UTC"),
        "step": step,
        "missing": {node: int(np.isnan(column).sum()) for node, column in found.items()},
    }
    return table


def pairs(frame: pd.DataFrame, *, step: float = 1.0, room: str | None = None) -> pd.DataFrame:
    """How the mean fields of every two nodes stood to each other: one row a pair.

    Returns
    -------
    DataFrame
        Index ``a``, ``b``; ``plv``, ``pli``, ``wpli`` (dimensionless; the last weighted with both
        orders), the mean difference ``dpsi`` ψ_a − ψ_b (rad), the frequency difference ``df`` (Hz), ``n``
        moments and ``masked`` ones, at which not both are on record. Pairs never there together have NaN.
    """
    import pandas as pd

    psi = side_by_side(frame, "psi", step=step, room=room)
    order = side_by_side(frame, "H", step=step, room=room)
    rows = {}
    for a, b in _pairs(psi):
        x, y = psi[a].to_numpy(), psi[b].to_numpy()
        try:
            locking, plv = phase_locking(x - y), phase_locking_value(x, y)
            rows[a, b] = {
                "plv": plv.value,
                "pli": phase_lag_index(x, y).value,
                "wpli": _or_nan(weighted_phase_lag_index, x, y, weights=(order[a] * order[b]).to_numpy()),
                "dpsi": locking.difference,
                "df": _or_nan(frequency_difference, x, y, psi.index),
                "n": plv.n,
                "masked": plv.masked,
            }
        except ParameterError:
            rows[a, b] = {"n": 0, "masked": len(psi)}
    names = ["plv", "pli", "wpli", "dpsi", "df", "n", "masked"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["a", "b"])
    return pd.DataFrame(list(rows.values()), index=index, columns=names).astype({"n": int, "masked": int})


def pair_matrix(
    frame: pd.DataFrame,
    measure: Callable[..., Result] = phase_locking_value,
    *,
    column: str = "psi",
    step: float = 1.0,
    room: str | None = None,
) -> pd.DataFrame:
    """A symmetric measure of every two nodes of a room, on mesh time: rows and columns are nodes.

    `measure` takes two series (n,) and gives a :class:`Result`; by default the phase-locking value of the
    mean fields. NaN on the diagonal, and for pairs of which it refuses the data.
    """
    import pandas as pd

    table = side_by_side(frame, column, step=step, room=room)
    matrix = pd.DataFrame(np.nan, index=table.columns, columns=table.columns)
    for a, b in _pairs(table):
        value = _or_nan(measure, table[a].to_numpy(), table[b].to_numpy())
        matrix.loc[a, b] = matrix.loc[b, a] = value
    return matrix


def locked(
    frame: pd.DataFrame,
    *,
    window: float = 30.0,
    threshold: float = 0.9,
    step: float = 1.0,
    room: str | None = None,
) -> pd.DataFrame:
    """When which two nodes were locked: ``a``, ``b``, and in s of mesh time ``start``, ``end``, ``duration``.

    See :func:`chronoflux.analysis.synchrony.locked_intervals`; `window` in s.
    """
    import pandas as pd

    psi = side_by_side(frame, "psi", step=step, room=room)
    samples = whole("window in samples", round(window / step), 2)
    rows = []
    for a, b in _pairs(psi) if len(psi) >= samples else ():
        differences = (psi[a] - psi[b]).to_numpy()
        for start, end in locked_intervals(differences, psi.index, window=samples, threshold=threshold):
            rows.append({"a": a, "b": b, "start": start, "end": end, "duration": end - start})
    found = pd.DataFrame(rows, columns=["a", "b", "start", "end", "duration"])
    found = found.astype({"a": "str", "b": "str", "start": float, "end": float, "duration": float})
    found.attrs = {"start": psi.attrs["start"], "window": window, "threshold": threshold}
    return found


def times_to_sync(
    frame: pd.DataFrame,
    column: str = "H",
    *,
    threshold: float = 0.9,
    hold: float = 10.0,
    step: float = 1.0,
    room: str | None = None,
) -> pd.Series[float]:
    """The seconds each node took to reach an order and hold it, from its own first record; NaN: it never did.

    See :func:`chronoflux.analysis.synchrony.time_to_sync`.
    """
    import pandas as pd

    table = side_by_side(frame, column, step=step, room=room)
    found = {}
    for node in table:
        present = table[node].loc[table[node].first_valid_index() :]
        found[node] = time_to_sync(present, present.index, threshold=threshold, hold=hold)
    return pd.Series(found, name="time to sync [s]", dtype=np.float64)


def information_flow(
    frame: pd.DataFrame,
    column: str = "H",
    *,
    lag: int = 1,
    history: int = 1,
    count: int = 199,
    level: float = 0.05,
    step: float = 1.0,
    room: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Gaussian transfer entropy between every two nodes, both ways, judged together.

    Only the longest stretch in which all nodes are on record enters, cut to a length that Fourier transforms
    like. In each of `count` surrogates every
    node is turned round by its own number of steps; the error over all pairs is held by the maximum
    statistic (:func:`chronoflux.analysis.chance.maximum_statistic`).

    Returns
    -------
    DataFrame
        Index ``source``, ``target``; ``te_nats`` (nats a step), ``p`` (for all pairs together) and ``found``
        (p ≤ `level`). ``attrs``: ``n`` samples used, ``start`` and ``end`` of the stretch in s, ``masked``.
    """
    import pandas as pd

    table = side_by_side(frame, column, step=step, room=room)
    if len(table.columns) < 2:
        raise ParameterError("nodes", len(table.columns), "at least 2 in the room")
    stretch = longest_stretch(table)
    stretch = stretch.iloc[: max(lag, history) + quick_length(len(stretch) - max(lag, history))]
    index = list(permutations(table.columns, 2))
    node_of = {node: i for i, node in enumerate(table.columns)}
    courses = {node: stretch[node].to_numpy() for node in table.columns}
    steps = len(stretch) - max(lag, history)
    turned = turns(steps, len(table.columns), count, np.random.default_rng(seed))
    values, null = np.empty(len(index)), np.empty((count, len(index)))
    for i, (a, b) in enumerate(index):
        te = transfer_entropy_by_shift_nats(courses[a], courses[b], lag=lag, history=history)
        values[i] = te[0]
        null[:, i] = te[(turned[:, node_of[a]] - turned[:, node_of[b]]) % steps]
    family = maximum_statistic(values, null, level=level)
    found = pd.DataFrame(
        {"te_nats": values, "p": family.p, "found": family.found},
        index=pd.MultiIndex.from_tuples(index, names=["source", "target"]),
    )
    found.attrs = {
        "n": len(stretch),
        "start": float(stretch.index[0]),
        "end": float(stretch.index[-1]),
        "masked": len(table) - len(stretch),
        "surrogates": count,
        "level": level,
    }
    return found


def turns(steps: int, nodes: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Steps by which each node is turned in each surrogate (count, nodes), no two nearly by the same.

    Any two are apart by a tenth of the circle's share of each at least, drawn evenly under that condition.
    """
    if steps < nodes:
        raise ParameterError("samples", steps, f"at least {nodes} in a row with all nodes on record")
    apart = steps // (10 * nodes)
    free = np.sort(rng.integers(0, steps - nodes * apart, (count, nodes)), axis=1)
    return rng.permuted(free + apart * np.arange(nodes), axis=1)


def quick_length(n: int) -> int:
    """The greatest length up to n without a prime factor above 11."""
    for length in range(n, 1, -1):
        rest = length
        for prime in (2, 3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
    return max(n, 0)


def longest_stretch(table: pd.DataFrame) -> pd.DataFrame:
    """The longest part of a table with all its nodes on record."""
    spans = runs(table.notna().all(axis=1).to_numpy())
    if not len(spans):
        raise ParameterError("frame", "no moment with all nodes on record", "nodes that ran at the same time")
    first, last = spans[np.argmax(spans[:, 1] - spans[:, 0])]
    return table.iloc[first : last + 1]


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return combinations(table.columns, 2)


def _or_nan(measure: Callable[..., Result], *arrays: Any, **options: Any) -> float:
    try:
        return measure(*arrays, **options).value
    except ParameterError:
        return np.nan


def of_room(frame: pd.DataFrame, room: str | None) -> pd.DataFrame:
    """The records of one room; ParameterError when it is not there, or not named among several."""
    rooms = sorted(frame["room"].dropna().unique())
    if room is None and len(rooms) > 1:
        raise ParameterError("room", room, f"one of {', '.join(rooms)}: the frame holds several")
    if room is not None and room not in rooms:
        raise ParameterError("room", room, f"one of {', '.join(rooms) or 'none: the logs name no room'}")
    return frame if room is None else frame[frame["room"] == room]


def telemetry_of(frame: pd.DataFrame, column: str, room: str | None) -> pd.DataFrame:
    """The records of a room that have a value of a metric."""
    if column not in frame or frame[column].dtype.kind not in "fiu":
        raise ParameterError("column", column, "a metric of the frame, such as H, H_local, tau")
    names = ["time", "node", "room", "type", "at", "omega", column]
    records = of_room(frame[list(dict.fromkeys(names))], room)
    records = records[(records["type"] == "telemetry") & records[column].notna()]
    records = records.assign(node=records["node"].fillna("unnamed"))
    if not len(records):
        raise ParameterError("frame", f"no {column} on record", "telemetry of at least one node")
    return records


def mesh_time(records: pd.DataFrame) -> Floats:
    """Mesh time in s; where there is none, the node's own UTC clock."""
    own = records["time"].to_numpy("datetime64[us]").astype(np.int64) / 1e6
    at: Floats = records["at"].to_numpy(np.float64) / 1e3
    return np.where(np.isfinite(at), at, own)


def _nearest(times: Floats, wanted: Floats) -> NDArray[np.intp]:
    """For each wanted moment the index of the nearest of the growing times."""
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)
    return np.where(wanted - times[left] <= times[right] - wanted, left, right)
