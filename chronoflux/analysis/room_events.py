"""Responses of a room's nodes to events, and lead and lag between nodes, from loaded logs."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from chronoflux.analysis.common_events import FADES, without_common_events
from chronoflux.analysis.lead_lag import correlation_around, long_enough
from chronoflux.analysis.response import Epochs, Response, dose_response, epoch_courses, epoch_lags, superpose
from chronoflux.analysis.rooms import quick_length, turns
from chronoflux.analysis.significance import maximum_statistic
from chronoflux.analysis.surrogates import autoregressions
from chronoflux.analysis.tables import (
    PHASE,
    mesh_time,
    of_room,
    preparation,
    settled,
    side_by_side,
    telemetry_of,
    together,
)
from chronoflux.analysis.validation import Floats
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd


def event_epochs(
    frame: pd.DataFrame,
    kind: str,
    column: str = "H",
    *,
    before: float = 10.0,
    after: float = 30.0,
    step: float = 1.0,
    gap: float | None = None,
    room: str | None = None,
    baseline: bool = True,
    level: float = 0.95,
    resamples: int = 1000,
    control: Literal["matched"] | None = None,
    seed: int = 0,
) -> Epochs:
    """Return the mean course of a metric around every event of a kind, in the nodes that recorded it.

    `kind` is a record's type: ``"intent"`` for own events, ``"remote_intent"`` for those of peers. An event
    recorded by several nodes counts once, with the mean course of these nodes, as they are not independent.
    The other arguments are those of :func:`chronoflux.analysis.response.superposed_epochs`.

    With ``control="matched"`` the records are those of the schedule `night`, and whole blocks in which such
    events were fired are compared with the quiet blocks of the same rounds, by the randomisation of the
    schedule: see :func:`chronoflux.analysis.experiment.matched_epochs`. Its p is exact, whatever the series
    is like.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, the order rises by 0.3 every 50 s, at a lion
    gate.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(400.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> orders = records("a", 0.5 + 0.3 * np.exp(-(t % 50) / 5))
    >>> gates = orders[(t > 0) & (t % 50 == 0)].assign(type="lion_gate", H=np.nan)
    >>> frame = pd.concat([orders, gates.assign(data=None)])
    >>> found = analysis.event_epochs(frame, "lion_gate", before=5, after=20)
    >>> found.courses.shape, found.mean[found.lag == 0].round(2)
    ((7, 26), array([0.3]))
    """
    if control is not None:
        if control != "matched":
            raise ParameterError("control", control, "'matched', or none")
        from chronoflux.analysis.experiment import matched_epochs

        options = {"step": step, "room": room, "level": level, "resamples": resamples, "seed": seed}
        return matched_epochs(frame, kind.removeprefix("remote_"), column, **options)  # type: ignore[arg-type]
    lag = epoch_lags(before, after, step)
    courses, _ = _courses(frame, kind, column, lag, gap=gap, room=room)
    return superpose(lag, courses, baseline=baseline, level=level, resamples=resamples, seed=seed)


def event_dose_response(
    frame: pd.DataFrame,
    kind: str = "intent",
    dose: str = "E",
    column: str = "H",
    *,
    before: float = 5.0,
    after: float = 5.0,
    room: str | None = None,
    count: int = 1999,
    seed: int = 0,
) -> Response:
    """Test whether a metric changes more after events of a greater dose, over all nodes.

    The dose is a field of the event's data, such as the strength `E` of an intent. The response is the
    metric's mean over `after` s after the event minus that over `before` s before it. See
    :func:`chronoflux.analysis.response.dose_response`.

    Raises
    ------
    ParameterError
        Also when all doses are the same, or fewer than five events have one and are wholly on record.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, the order rises by 0.5 E after each intent.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(400.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> E = 0.1 * (1 + t // 50)
    >>> orders = records("a", 0.5 * E * (t % 50 > 0) * (t % 50 < 20))
    >>> intents = orders[(t > 0) & (t % 50 == 0)].assign(type="intent", H=np.nan)
    >>> frame = pd.concat([orders, intents.assign(data=[{"E": float(one)} for one in E[50::50]])])
    >>> found = analysis.event_dose_response(frame)
    >>> round(float(found.slope), 3), found.slope.unit
    (0.5, 'H per unit of E')
    """
    lag = epoch_lags(before, after, 1.0)
    courses, data = _courses(frame, kind, column, lag, gap=None, room=room)
    doses = np.array([_number(found, dose) for found in data], dtype=np.float64)
    response = courses[:, lag > 0].mean(axis=1) - courses[:, lag < 0].mean(axis=1)
    return dose_response(doses, response, unit=f"{column} per unit of {dose}", count=count, seed=seed)


def _courses(
    frame: pd.DataFrame, kind: str, column: str, lag: Floats, *, gap: float | None, room: str | None
) -> tuple[Floats, list[object]]:
    """Return a metric at each lag from every event of a kind, (events, lags), and the data of these events.

    The metric is the mean of the nodes that have the whole epoch on record.
    """
    records, events = telemetry_of(frame, column, room), of_room(frame, room)
    events = events[events["type"] == kind]
    courses = [np.empty((0, len(lag)))]
    data: list[object] = []
    for node, own in records.groupby("node"):
        times = mesh_time(own)
        order = np.unique(times, return_index=True)[1]
        here = events[events["node"] == node]
        if len(order) >= 2 and len(here):
            values = own[column].to_numpy(np.float64)
            courses.append(epoch_courses(values[order], times[order], mesh_time(here), lag, gap=gap))
            data += here["data"].tolist()
    return _by_event(np.concatenate(courses), data)


def _by_event(courses: Floats, data: list[object]) -> tuple[Floats, list[object]]:
    """Average courses (k, m) of the same event, by the id in its data; events without an id stay single."""
    number: dict[object, int] = {}
    ids = [found.get("id", i) if isinstance(found, dict) else i for i, found in enumerate(data)]
    index = np.array([number.setdefault(name, len(number)) for name in ids], dtype=np.intp)
    wholly = np.isfinite(courses).all(axis=1)
    sums, counts = np.zeros((len(number), courses.shape[1])), np.zeros(len(number))
    np.add.at(sums, index[wholly], courses[wholly])
    np.add.at(counts, index[wholly], 1)
    first = np.unique(index, return_index=True)[1].tolist()
    with np.errstate(invalid="ignore"):  # 0/0: complete in no node, to be left out and counted
        return sums / counts[:, None], [data[i] for i in first]


def _number(data: object, field: str) -> float:
    """Return a field of an event's data as a number; NaN if there is none."""
    value = data.get(field) if isinstance(data, dict) else None
    return float(value) if isinstance(value, int | float) else np.nan


def spreads(
    frame: pd.DataFrame,
    column: str = "H",
    *,
    longest: float = 10.0,
    count: int = 199,
    level: float = 0.05,
    step: float = 1.0,
    room: str | None = None,
    seed: int = 0,
    stationary: bool = False,
    fades: float | None = FADES,
) -> pd.DataFrame:
    """Return for every two nodes the delay at which the changes of a metric agree best, with its p-value.

    The measure is the greatest cross-correlation of the increments from moment to moment, over delays of up
    to `longest` s in both directions (for ``"phase"``, which consists of increments, of its values). A linear
    trend drops out of increments, a curve does not; therefore their stationarity is tested first. The null
    hypothesis, what violates it, `stationary` and `fades` are those of
    :func:`~chronoflux.analysis.rooms.information_flow`. Coupled swarms that do not lock are rarely found:
    with ``"phase"`` in 4 of 38 rooms of the preset `storm`, three nodes, ten minutes.
    :func:`~chronoflux.analysis.pulls` found all 40.

    With fewer than 80 times as many moments as lags, surrogates are draws of an autoregression of each node
    (:func:`~chronoflux.analysis.surrogates.autoregressions`), which also assumes that the increments are a
    linear Gaussian process seen through a monotone function. For longer records they are circular shifts
    (``attrs["surrogate"]``: ``"ar"`` or ``"shift"``). Shifts of short records would contain the same greatest
    correlation again, or, with these excluded, make p too small: a share of 0.09 to 0.2 up to 0.05.

    Returns
    -------
    DataFrame
        A row for each two nodes, index ``source`` (who is ahead), ``target``; ``delay_s``, the
        ``correlation`` there, ``p`` (for all pairs together) and ``found`` (p ≤ `level`). A delay of 0 has
        no direction: both did the same at once, as under a common event.

    Raises
    ------
    ParameterError
        As of :func:`~chronoflux.analysis.rooms.information_flow`.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node b follows node a after 3 s.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(400.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> a = np.random.default_rng(1).normal(0.5, 0.1, size=400)
    >>> frame = pd.concat([records("a", a), records("b", np.roll(a, 3))])
    >>> analysis.spreads(frame, longest=5).round(2)
                   delay_s  correlation    p  found
    source target
    a      b           3.0         0.99  0.0   True
    """
    import pandas as pd

    stretch = together(side_by_side(frame, column, step=step, room=room))
    nodes = list(stretch.columns)
    if column != PHASE:
        facts = stretch.attrs | {"column": f"changes of {column}"}
        stretch = stretch.diff().iloc[1:]
        stretch.attrs = facts
    calm = without_common_events(stretch, frame, fades=fades, room=room)
    stretch = settled(calm, stationary=stationary)
    n, reach = quick_length(len(stretch)), int(longest / step + 1e-9)
    if not 1 <= reach < n // 4:
        raise ParameterError(
            "longest", longest, f"from {step:g} s to a quarter of the {n * step:g} s there are"
        )
    changes = stretch.to_numpy(np.float64)[:n].T
    rng, by_turns = np.random.default_rng(seed), long_enough(n, reach)
    if by_turns:
        turned = turns(n, len(nodes), count, rng)
    else:
        drawn = [
            _transforms(np.array(list(autoregressions(course - course.mean(), count, rng))))
            for course in changes
        ]
    lags = np.arange(-reach, reach + 1)
    pairs = list(combinations(range(len(nodes)), 2))
    values, null, delays = np.empty(len(pairs)), np.empty((count, len(pairs))), np.empty(len(pairs))
    for i, (a, b) in enumerate(pairs):
        around = correlation_around(changes[a], changes[b])
        delays[i] = step * lags[np.argmax(around[lags])]
        values[i] = around[lags].max()
        if by_turns:
            null[:, i] = around[(lags + (turned[:, a] - turned[:, b])[:, None]) % n].max(axis=1)
        else:
            null[:, i] = np.fft.irfft(drawn[b] * drawn[a].conj(), n)[:, lags].max(axis=1)
    family = maximum_statistic(values, null, level=level)
    ahead = [
        (nodes[a], nodes[b]) if delay >= 0 else (nodes[b], nodes[a])
        for (a, b), delay in zip(pairs, delays, strict=True)
    ]
    found = pd.DataFrame(
        {"delay_s": np.abs(delays), "correlation": values, "p": family.p, "found": family.found},
        index=pd.MultiIndex.from_tuples(ahead, names=["source", "target"]),
    )
    found.attrs = {
        "n": n,
        "surrogates": count,
        "level": level,
        "longest": longest,
        "column": column,
        **preparation(stretch),
        "surrogate": "shift" if by_turns else "ar",
    }
    return found


def _transforms(rows: Floats) -> NDArray[np.complex128]:
    """Return the Fourier transforms of rows, normalised to mean 0 and norm 1: (rows, frequencies)."""
    away = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(np.fft.rfft(away / np.linalg.norm(away, axis=1, keepdims=True)), np.complex128)
