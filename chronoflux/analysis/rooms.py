"""Measures on loaded logs: pandas in, pandas out.

Nodes are aligned on mesh time (:mod:`chronoflux.analysis.tables`). All functions take the frame of
:func:`chronoflux.load` and leave out moments that are not on record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chronoflux.analysis.common_events import FADES, without_common_events
from chronoflux.analysis.information import ShiftSide
from chronoflux.analysis.result import Result
from chronoflux.analysis.significance import maximum_statistic
from chronoflux.analysis.synchrony import (
    frequency_difference,
    locked_intervals,
    phase_lag_index,
    phase_locking,
    phase_locking_value,
    time_to_sync,
    weighted_phase_lag_index,
)
from chronoflux.analysis.tables import preparation, settled, side_by_side, together
from chronoflux.analysis.validation import whole
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd


def pairs(frame: pd.DataFrame, *, step: float = 1.0, room: str | None = None) -> pd.DataFrame:
    """Return phase-locking measures of the mean fields of every two nodes: one row per pair.

    Returns
    -------
    DataFrame
        Index ``a``, ``b``; ``plv``, ``pli``, ``wpli`` (dimensionless; the last weighted with both
        orders), the mean difference ``dpsi`` ψ_a − ψ_b (rad), the frequency difference ``df`` (Hz), ``n``
        moments and ``masked`` ones, at which not both are on record. Pairs never there together have NaN.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node a is 0.5 rad ahead of node b.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(60.0)
    >>> def records(node, H, psi):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H, psi=psi,
    ...     ))
    >>> phi = 2 * np.pi * 1.2 * t
    >>> frame = pd.concat([records("a", 0.8, phi + 0.5), records("b", 0.8, phi)])
    >>> analysis.pairs(frame)[["plv", "pli", "dpsi", "df", "n"]].round(3).abs()
         plv  pli  dpsi   df   n
    a b
    a b  1.0  1.0   0.5  0.0  60
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


def each_node(
    frame: pd.DataFrame,
    measure: Callable[..., Result],
    column: str = "H",
    *,
    step: float = 1.0,
    room: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Apply a measure of one series to every node of a room: one row per node, with all fields of a result.

    The measure uses each node's longest stretch on record (:func:`~chronoflux.analysis.tables.together` for
    this node alone). It is, for example, :func:`~chronoflux.analysis.complexity.lempel_ziv`, or
    ``partial(assess, lempel_ziv, surrogate="ar")``; `options` are passed to it.

    Returns
    -------
    DataFrame
        Index ``node``; the fields of :class:`Result`, and ``bridged`` values and ``unused`` moments of the
        stretch. Where the measure refuses the data the value is NaN and the reading says why.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, the order of node a grows steadily.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(200.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> noise = np.random.default_rng(1).uniform(size=200)
    >>> frame = pd.concat([records("a", t / 200), records("b", noise)])
    >>> analysis.each_node(frame, analysis.permutation_entropy)[["value", "n"]].round(2)
          value    n
    node
    a      0.00  198
    b      0.99  198
    """
    import pandas as pd

    table = side_by_side(frame, column, step=step, room=room)
    rows = {}
    for node in table:
        own = table[[node]]
        own.attrs = table.attrs
        stretch = together(own, least=1)
        facts = {"bridged": stretch.attrs["bridged"], "unused": stretch.attrs["masked"]}
        try:
            found = measure(stretch[node].to_numpy(), **options).to_series()
        except ParameterError as error:
            found = pd.Series({"value": np.nan, "n": len(stretch), "reading": f"not measured: {error}"})
        rows[node] = pd.concat([found, pd.Series(facts)])
    return pd.DataFrame(rows).T.rename_axis("node").infer_objects()


def pair_matrix(
    frame: pd.DataFrame,
    measure: Callable[..., Result] = phase_locking_value,
    *,
    column: str = "psi",
    step: float = 1.0,
    room: str | None = None,
) -> pd.DataFrame:
    """Apply a symmetric measure to every two nodes of a room, on mesh time: rows and columns are nodes.

    `measure` takes two series (n,) and returns a :class:`Result`; by default it is the phase-locking value of
    the mean fields. NaN on the diagonal, and for pairs of which it refuses the data.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node c is a quarter turn behind a and b.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(60.0)
    >>> def records(node, H, psi):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H, psi=psi,
    ...     ))
    >>> phi = 2 * np.pi * 1.2 * t
    >>> behind = phi - np.pi / 2
    >>> frame = pd.concat([records("a", 0.8, phi), records("b", 0.8, phi), records("c", 0.8, behind)])
    >>> analysis.pair_matrix(frame, analysis.phase_lag_index)
         a    b    c
    a  NaN  0.0  1.0
    b  0.0  NaN  1.0
    c  1.0  1.0  NaN
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
    """Return the locked intervals of nodes ``a``, ``b``: ``start``, ``end``, ``duration``, s of mesh time.

    See :func:`chronoflux.analysis.synchrony.locked_intervals`; `window` in s.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, two nodes are locked until 40 s.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(60.0)
    >>> def records(node, H, psi):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H, psi=psi,
    ...     ))
    >>> apart = np.where(t <= 40, 0.3, t * np.pi / 2)
    >>> frame = pd.concat([records("a", 0.8, apart), records("b", 0.8, 0.0 * t)])
    >>> analysis.locked(frame, window=10, threshold=0.95)
       a  b  start   end  duration
    0  a  b    0.0  40.0      40.0
    """
    import pandas as pd

    psi = side_by_side(frame, "psi", step=step, room=room)
    samples = whole("window in samples", round(window / step), 2)
    rows = []
    for a, b in _pairs(psi) if len(psi) >= samples else ():
        differences = (psi[a] - psi[b]).to_numpy()
        if not np.isfinite(differences).any():
            continue
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
    """Return the seconds each node took to reach an order and hold it, from its first record; NaN: never.

    See :func:`chronoflux.analysis.synchrony.time_to_sync`.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node a is synchronised after 30 s.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(60.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> frame = pd.concat([records("a", np.where(t < 30, 0.2, 0.95)), records("b", 0.5)])
    >>> analysis.times_to_sync(frame)
    a    30.0
    b     NaN
    Name: time to sync [s], dtype: float64
    """
    import pandas as pd

    table = side_by_side(frame, column, step=step, room=room)
    found = {}
    for node in table:
        present = table[node].loc[table[node].first_valid_index() :]
        if len(present) > 1:
            found[node] = time_to_sync(present, present.index, threshold=threshold, hold=hold)
        else:  # on record at the last moment only
            found[node] = None
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
    stationary: bool = False,
    fades: float | None = FADES,
) -> pd.DataFrame:
    """Return the Gaussian transfer entropy between every two nodes, in both directions, with joint p-values.

    It uses the stretch of :func:`~chronoflux.analysis.tables.together` after its start-up, cut to a length
    with small prime factors for fast Fourier transforms. In each of `count` surrogates every node is
    circularly shifted by its own number of steps. The null hypothesis is that the series of all nodes are
    stationary and independent of each other. Then the probability of any finding is `level`, by the maximum
    statistic (:func:`chronoflux.analysis.significance.maximum_statistic`).

    A start-up, trend or step that nodes have in common violates the null hypothesis; it is tested first.
    Events that reach several nodes violate it too: they are a common driver. Therefore the `fades` seconds
    after each of them are left out, and a record with too little left is refused. To use the whole record,
    compare it with null runs, which have the same events (:func:`~chronoflux.analysis.null_runs`). Given one
    true link, the test does not exclude indirect ones: directions from a common driver, or along a chain, are
    found too.

    Coupled swarms that do not lock have little information flow: with ``"phase"`` it was found in 1 of 38
    rooms of the preset `storm`, three nodes, ten minutes. :func:`~chronoflux.analysis.pulls` found all 40.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    column
        The metric; ``"phase"`` for fluctuations of the frequency, on which coupling acts; see
        :func:`~chronoflux.analysis.tables.side_by_side`.
    lag, history
        See :func:`~chronoflux.analysis.information.transfer_entropy_nats`.
    count, seed
        Number of surrogates, and their seed.
    level
        Significance level for all directions together.
    step, room
        See :func:`~chronoflux.analysis.tables.side_by_side`.
    stationary
        True: the series are known to be stationary, and are not tested.
    fades
        Seconds left out after each event that several nodes recorded; None: nothing is left out, because the
        events are known to have no effect, or are part of the question.

    Returns
    -------
    DataFrame
        Index ``source``, ``target``; ``te_nats`` (nats per step), ``p`` (for all pairs together) and
        ``found`` (p ≤ `level`). ``attrs``: ``n``, samples used; ``start`` and ``end`` of the stretch in s;
        ``masked``, moments outside it; ``bridged``, interpolated values in it; ``left_out``, nodes;
        ``start_up`` and longest ``memory`` in s; ``looked_at``, whether stationarity was tested;
        ``common_events``, their number; ``disturbed``, moments left out because of them.

    Raises
    ------
    ParameterError
        When a node's series is not stationary, has come to rest, or is too short for its memory: see
        :func:`~chronoflux.analysis.stationarity.stationary_part`; also when common events leave fewer than 60
        moments.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node b follows node a after a second.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(400.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> a, noise = np.random.default_rng(1).normal(0.5, 0.1, size=(2, 400))
    >>> frame = pd.concat([records("a", a), records("b", (np.roll(a, 1) + noise) / 2)])
    >>> found = analysis.information_flow(frame)
    >>> found.round(3)
                   te_nats      p  found
    source target
    a      b         0.331  0.015   True
    b      a         0.006  0.095  False
    """
    import pandas as pd

    table = side_by_side(frame, column, step=step, room=room)
    calm = without_common_events(together(table), frame, fades=fades, room=room)
    stretch = settled(calm, stationary=stationary)
    facts, nodes = preparation(stretch), list(stretch.columns)
    stretch = stretch.iloc[: max(lag, history) + quick_length(len(stretch) - max(lag, history))]
    index = list(permutations(nodes, 2))
    node_of = {node: i for i, node in enumerate(nodes)}
    sides = {node: ShiftSide(stretch[node].to_numpy(), lag=lag, history=history) for node in nodes}
    steps = len(stretch) - max(lag, history)
    turned = turns(steps, len(nodes), count, np.random.default_rng(seed))
    values, null = np.empty(len(index)), np.empty((count, len(index)))
    for i, (a, b) in enumerate(index):
        te = sides[b].told_by(sides[a])
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
        **facts,
        "masked": len(table) - len(stretch),
        "column": column,
        "surrogates": count,
        "level": level,
    }
    return found


def turns(steps: int, nodes: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the shift of each node in each surrogate, int64 (count, nodes), independently and without limits.

    Nearly equal shifts of two nodes are not excluded: that would make p too small, as explained for
    :func:`~chronoflux.analysis.surrogates.circular_shifts`.
    """
    if steps < nodes:
        raise ParameterError("samples", steps, f"at least {nodes} in a row with all nodes on record")
    return rng.integers(0, steps, (count, nodes))


def quick_length(n: int) -> int:
    """Return the greatest length up to n without a prime factor above 11."""
    for length in range(n, 1, -1):
        rest = length
        for prime in (2, 3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
    return max(n, 0)


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return combinations(table.columns, 2)


def _or_nan(measure: Callable[..., Result], *arrays: Any, **options: Any) -> float:
    try:
        return measure(*arrays, **options).value
    except ParameterError:
        return np.nan
