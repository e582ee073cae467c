"""Null runs: the recorded room, recomputed with new draws and without coupling between its nodes.

What remains would also occur if no nodes were linked: transients, parameters, pauses, and events. Events are
treated as external; a person who fires them in response to the swarm violates that assumption.

Runs without any coupling test whether the nodes of the room are coupled at all. A direction i → j is tested
against runs with all coupling except i → j.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from chronoflux.errors import ChronofluxError, ParameterError
from chronoflux.replay.alternatives import Recorded, compute, recorded
from chronoflux.replay.counterfactual import Run, bar, first_difference, tell_duration
from chronoflux.replay.script import METRICS, Floats, Script, Without
from chronoflux.util.executor import Executor, in_order, processes, run_all
from chronoflux.util.validate import whole

if TYPE_CHECKING:
    import pandas as pd

ONE_NODE = frozenset(
    {
        *("active information storage", "permutation entropy", "Lempel–Ziv complexity", "early warning"),
        *("detrended fluctuation", "metastability", "order parameter", "local order", "chimera index"),
        *("variance", "lag-1 autocorrelation", "avalanches", "power law tail"),
    }
)
"""Measures of one node, for which a room without coupling is not a null hypothesis."""
Tail = Literal["greater", "less", "both"]


class Judged(NamedTuple):
    """A measure of the room, tested against its null runs.

    ``p``: of the whole family, by the maximum statistic, ``(b + 1) / (count + 1)``. ``value``: the measured
    values by name, with ``p`` of each in the family, and the ``mean`` and ``q95`` (95th percentile) of the
    null runs. ``runs``: the number of null runs.
    """

    p: float
    value: pd.DataFrame
    runs: int
    question: str

    def __str__(self) -> str:
        words = "coupled" if self.p <= 0.05 else "may be explained by chance and common events"
        return f"{self.question}: {words} (p = {self.p:.2g} by {self.runs} null runs)"


@dataclass(frozen=True)
class NullRuns:
    """Null runs of a room; see :func:`null_runs`.

    ``observed``: the recomputed telemetry, in the form of :func:`chronoflux.load`. ``metrics``: the same for
    each null run, float64 (count, rows, metrics), in the order H, psi, omega, tau, H_local. ``without``: the
    directions whose coupling was removed; empty: all coupling.
    """

    observed: pd.DataFrame
    metrics: Floats
    without: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """The number of null runs."""
        return len(self.metrics)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield each null run as a frame like ``observed``."""
        for rows in self.metrics:
            frame = self.observed.copy()
            frame[list(METRICS)] = rows
            yield frame

    def judge(
        self, measure: Callable[[pd.DataFrame], Any], *, tail: Tail = "greater", level: float = 0.05
    ) -> Judged:
        """Test a measure of the room by its rank among the null runs.

        Parameters
        ----------
        measure
            A function of a frame that returns a number, a ``Result``, or a Series or mapping of several (for
            example one for each pair of nodes). Several are tested together by the largest, each minus the
            mean of the null runs and divided by their standard deviation.
        tail
            Which values count as extreme.
        level
            Significance level that must be reachable.

        Raises
        ------
        ParameterError
            When there are too few null runs for a p of `level`, for a measure of one node, or for one that
            cannot be measured on the room.

        Examples
        --------
        ::

            null = analysis.null_runs(["logs/n1", "logs/n2"], count=99)
            null.judge(lambda frame: analysis.pairs(frame)["plv"])
        """
        if self.count + 1 < 1 / level - 1e-9:
            needed = math.ceil(1 / level - 1e-9) - 1
            raise ParameterError("count", self.count, f"at least {needed} null runs to reach p ≤ {level:g}")
        values = _values(measure(self.observed))
        null = np.full((self.count, len(values)), np.nan)
        for k, frame in enumerate(self.frames()):
            try:
                found = _values(measure(frame))
            except ChronofluxError:
                continue  # no value, which counts as the least extreme
            null[k] = [found.get(name, np.nan) for name in values]
        return _judged(values, null, tail, self._question())

    def _question(self) -> str:
        if not self.without:
            return "this room against nodes that are not linked"
        pairs = ", ".join(f"{one} → {other}" for one, other in self.without)
        return f"the coupling {pairs}"


def null_runs(
    runs: Sequence[Run],
    *,
    count: int = 99,
    without: Sequence[tuple[str, str]] = (),
    window: str | float | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool = False,
) -> NullRuns:
    """Recompute the runs of a room `count` times, with new draws and without coupling between them.

    Same nodes, parameters, ticks, pauses and events; new initial states, frequencies and noise.

    Parameters
    ----------
    runs
        The run folders of a room.
    without
        Directions ``(i, j)``, nodes by name: remove only the fields that j received from i; all other fields
        are those of the recomputed senders. Empty: remove all fields.
    window
        Only a time span of this length (``"10min"``, or s), placed by the seed; null runs begin a minute
        earlier. None: the whole runs.
    seed
        Root of all draws.
    executor, progress
        As in :func:`~chronoflux.counterfactual`.

    Raises
    ------
    LogError
        When a folder has no recorded inputs or parameters.
    ParameterError
        When there is no such node.

    Examples
    --------
    Two nodes that ran alone, and five null runs of each; a test at the level 0.05 needs 19 or more.

    >>> import asyncio
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> import chronoflux as cf
    >>> from chronoflux import analysis
    >>> async def main():
    ...     options = {"server": None, "params": cf.Params(oscillators=60), "speed": "max", "duration": 10}
    ...     for seed, name in enumerate(["n1", "n2"]):
    ...         node = await cf.join("lab", node_id=name, seed=seed, **options)
    ...         await node.wait_closed()
    >>> asyncio.run(main())
    >>> with ThreadPoolExecutor() as executor:
    ...     found = analysis.null_runs(sorted(Path("logs").iterdir()), count=5, executor=executor)
    >>> found.count, list(found.observed["node"].unique()), found.metrics.shape
    (5, ['n1', 'n2'], (5, 20, 5))
    """
    folders = tuple(os.path.abspath(run) for run in runs)
    if len(folders) < 2:
        raise ParameterError("runs", list(folders), "two runs of a room or more")
    whole("count", count, 1)
    known = recorded(folders)
    root = known.alternative(window=_window(known, window, seed))
    if without:
        root = replace(root, deaf=tuple((_node(known, i), _node(known, j)) for i, j in without))
        for sender, receiver in root.deaf:
            if known.scripts[sender].own not in known.scripts[receiver].peers:
                names = known.scripts[sender].node, known.scripts[receiver].node
                raise ParameterError("without", names, "a direction in which fields are on record")
    elif any(script.peers for script in known.scripts):
        root = replace(root, out=Without(fields="all"))
    # the recorded room is recomputed too, each run with the fields in its record
    jobs = [known.alternative(answering=False)]
    jobs += [replace(root, seed=seed * 1_000_003 + k + 1) for k in range(count)]
    if executor is None:
        tell_duration(root.seconds() * count / processes(count), "count= or window=")
    with closing(run_all(partial(compute, home=os.getpid()), jobs, executor)) as done:
        was, *found = bar(in_order(done), len(jobs), "runs", shown=progress)
    held = known.held if root.deaf else 0
    observed = _frame(known.scripts, was, root.changed()[0], held)
    return NullRuns(observed, np.array([np.concatenate(rows) for rows in found]), tuple(without))


def _node(known: Recorded, name: str) -> int:
    found = [k for k, script in enumerate(known.scripts) if name in (script.node, script.own)]
    if len(found) != 1:
        raise ParameterError("without", name, f"one of {', '.join(s.node for s in known.scripts)}")
    return found[0]


def _window(known: Recorded, window: str | float | None, seed: int) -> tuple[float, float] | None:
    """Start and end of the time span, mesh time in ms."""
    if window is None:
        return None
    import pandas as pd

    length = 1000 * (pd.Timedelta(window).total_seconds() if isinstance(window, str) else float(window))
    first = max(float(np.nanmin(script.at)) for script in known.scripts)
    last = min(float(np.nanmax(script.at)) for script in known.scripts)
    if not 0 < length <= last - first:
        raise ParameterError("window", window, f"up to the {(last - first) / 1000:.0f} s all are on record")
    begin = np.random.default_rng(seed).uniform(first, last - length)
    return float(begin), float(begin + length)


def _frame(
    scripts: Sequence[Script], computed: Sequence[Floats], shown: Sequence[Script], held: int
) -> pd.DataFrame:
    """The recomputed telemetry, in the form of :func:`chronoflux.load`."""
    import pandas as pd

    parts = []
    for script, part, rows in zip(scripts, shown, computed, strict=True):
        here = np.isin(script.ticks, part.ticks)
        columns: dict[str, Any] = {
            "time": pd.to_datetime(script.times[here], unit="ms", utc=True),
            "node": script.node,
            "room": script.room,
            "run": script.run,
            "tick": script.ticks[here],
            "t": script.ticks[here] * script.params.dt,
            "at": script.at[here],
            "type": "telemetry",
        }
        columns |= dict(zip(METRICS, rows[here].T, strict=True))
        parts.append(pd.DataFrame(columns))
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs = {"held": held, "difference": first_difference(scripts, computed)}
    return frame


def _values(found: Any) -> dict[Any, float]:
    """The values of a measure, by name."""
    name = str(getattr(found, "name", ""))
    if any(name.startswith(one) for one in ONE_NODE):
        raise ParameterError(
            "measure", name, "one of several nodes: uncoupled runs are not a null hypothesis for this one"
        )
    if hasattr(found, "unit") and hasattr(found, "value"):
        return {name: float(found.value)}
    if hasattr(found, "items"):
        return {key: float(value) for key, value in found.items()}
    return {"value": float(found)}


def _judged(values: dict[Any, float], null: Floats, tail: Tail, question: str) -> Judged:
    import pandas as pd

    if tail not in ("greater", "less", "both"):
        raise ParameterError("tail", tail, "greater, less or both")
    measured = np.array(list(values.values()))
    names = list(values)
    known = np.isfinite(measured)
    if not known.any():
        raise ParameterError("measure", "no value", "one that can be measured on this room")
    every = np.vstack([measured, null])
    with np.errstate(invalid="ignore"):
        centre, spread = np.nanmean(every, axis=0), np.nanstd(every, axis=0)
    scores = (every - centre) / np.where(spread > 0, spread, 1.0)
    scores = {"greater": scores, "less": -scores, "both": np.abs(scores)}[tail]
    scores = np.where(np.isfinite(scores), scores, -np.inf)[:, known]
    largest = scores.max(axis=1)
    count = len(null)
    p = np.full(len(names), np.nan)
    p[known] = (1 + (largest[1:, None] >= scores[0]).sum(axis=0)) / (count + 1)
    frame = pd.DataFrame(
        {
            "value": measured,
            "mean": np.nanmean(null, axis=0),
            "q95": np.nanquantile(null, 0.95, axis=0),
            "p": p,
        },
        index=pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else pd.Index(names),
    )
    return Judged(float(np.nanmin(p)), frame, count, question)
