"""`counterfactual`: recomputes a run without a peer's fields, an event or a parameter value.

Everything that acts on a swarm is recorded, and runs are recomputed bit for bit. So the effect of a peer or
an event need not be inferred from correlations: it is removed, and the run is recomputed.

If trajectories are sensitive, any change grows, and a difference is sensitivity instead of effect. So the run
is also recomputed with nudges of 1e-9 rad at the first changed tick (placebos). While these stay small, a
single trajectory is meaningful, and up to that horizon the difference is an effect of the change. Beyond it,
only an average over other draws (``seeds``) is.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.errors import ParameterError, UsageError
from chronoflux.replay.alternatives import Alternative, Recorded, compute, recorded
from chronoflux.replay.script import METRICS, Floats, Script, Without
from chronoflux.telemetry.format.records import DECIMALS
from chronoflux.util.executor import Executor, in_order, processes, run_all
from chronoflux.util.validate import whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Run = str | os.PathLike[str]
LONG = 600.0
"""Computations of more seconds announce their duration beforehand."""
PSI = METRICS.index("psi")


class Effect(NamedTuple):
    """The effect of a change on a metric of a node, up to the horizon.

    ``mean``: the mean difference (recorded minus changed) from the first changed tick to the horizon;
    ``largest``: the difference of largest magnitude, at ``t`` (s). ``p``: the fraction of placebos whose
    largest difference is at least as large, ``(b + 1) / (count + 1)``; None without placebos.
    """

    node: str
    metric: str
    mean: float
    largest: float
    t: float
    p: float | None


@dataclass(frozen=True)
class Counterfactual:
    """A run, or the runs of a room, as recorded and with the change.

    Attributes
    ----------
    frame
        A row for each telemetry record: ``node``, ``time`` (UTC), ``tick``, ``t`` (s); for each metric of
        H, psi, omega, tau, H_local its value (``H``), the value with the change (``H_without``),
        ``H_difference`` (the first minus the second; angles in (−π, π]), and the placebos' band ``H_band``:
        the 95th percentile of the magnitude of their differences. For a room also ``H_direct``: the
        difference if the others had sent what they sent on record. With ``seeds``: ``H_mean``, ``H_low``,
        ``H_high``: the mean difference over draws and its 95 % interval. ``attrs`` says how much could be
        recomputed.
    horizon
        By node: the time in s up to which the single trajectory is meaningful; None: without placebos.
    effects
        The effect on each metric of each node.

    Examples
    --------
    The first second is recomputed exactly, as the change comes later.

    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     params = cf.Params(oscillators=60)
    ...     options = {"server": None, "params": params, "seed": 1, "speed": "max", "duration": 5}
    ...     node = await cf.join("lab", node_id="n1", **options)
    ...     await node.wait_closed()
    >>> asyncio.run(main())
    >>> from pathlib import Path
    >>> (run,) = Path("logs").iterdir()
    >>> found = cf.counterfactual(run, params={"kappa": 0.0}, since=1.0, count=0)
    >>> found.effect().metric, bool(found.frame["H_difference"].abs().iloc[0] < 1e-9)
    ('H', True)
    """

    frame: pd.DataFrame
    change: str
    horizon: Mapping[str, float | None]
    effects: tuple[Effect, ...]
    count: int
    seeds: int

    def effect(self, node: str | None = None, metric: str = "H") -> Effect:
        """The effect on a metric of a node; with a single node, it may be omitted.

        Raises
        ------
        ParameterError
            When there is no such node or metric, or there are several nodes and none is named.
        """
        nodes = list(dict.fromkeys(effect.node for effect in self.effects))
        if node is None and len(nodes) == 1:
            node = nodes[0]
        found = [effect for effect in self.effects if effect.node == node and effect.metric == metric]
        if not found:
            allowed = f"one of {', '.join(nodes)} and one of {', '.join(METRICS)}"
            raise ParameterError("node, metric", (node, metric), allowed)
        return found[0]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        for node in dict.fromkeys(self.frame["node"]):
            yield self._sentence(str(node))
        if held := self.frame.attrs["held"]:
            yield f"{held} fields between these runs match no tick of their sender and are kept as recorded."
        if difference := self.frame.attrs["difference"]:
            yield f"The record itself is not recomputed exactly: {difference}."

    def _sentence(self, node: str) -> str:
        found = self.effect(node)
        rows = self.frame[self.frame["node"] == node]
        if not rows["H_difference"].any():
            cause = f"without {self.change}" if self.change else "nothing is removed:"
            return f"{node}: {cause} no difference."
        horizon = self.horizon[node]
        end = float(rows["t"].iloc[-1]) if horizon is None else horizon
        inside = rows[(rows["t"] >= self.frame.attrs["since"][node]) & (rows["t"] <= end)]
        if horizon is not None and not len(inside):
            return f"{node}: the trajectory is sensitive from the start; only seeds= can show an effect."
        was, would = inside["H"].mean(), inside["H_without"].mean()
        span = f"from {inside['t'].iloc[0]:.0f} s to {inside['t'].iloc[-1]:.0f} s"
        direction = "lower" if would < was else "higher"
        words = f"{node}: without {self.change} H would have been {abs(was - would):.2g} {direction}"
        words += (
            f" on average {span} ({would:.3f}, was {was:.3f}); the largest difference is {found.largest:+.2g}"
        )
        words += f" at {found.t:.0f} s"
        if found.p is None:
            words += ", not compared with placebos."
        else:
            told = abs(found.largest) > _at(inside, found.t, "H_band")
            words += f" (p = {found.p:.2g} by {self.count} nudged runs)"
            words += "." if told else ": inside their band, so no effect is shown."
        if horizon is not None and end < float(rows["t"].iloc[-1]):
            words += f" After {end:.0f} s nudges of 1e-9 rad have as large effects:"
            words += " the single trajectory is not meaningful there."
        if self.seeds:
            last = rows.iloc[-1]
            words += (
                f" Over {self.seeds} other draws the mean effect on H at the end is {last['H_mean']:+.3f} "
                f"(95 % interval {last['H_low']:+.3f} to {last['H_high']:+.3f})."
            )
        return words

    def plot(self, metric: str = "H") -> Figure:
        """Plot a metric as recorded and with the change, with the placebos' band; one row per node."""
        from matplotlib.figure import Figure

        nodes = list(dict.fromkeys(self.frame["node"]))
        figure = Figure(figsize=(7.5, 1.2 + 2.0 * len(nodes)), layout="constrained")
        axes = figure.subplots(len(nodes), 1, sharex=True, squeeze=False)[:, 0]
        for ax, node in zip(axes, nodes, strict=True):
            rows = self.frame[self.frame["node"] == node]
            t = rows["t"]
            ax.plot(t, rows[metric], color="#0072B2", label="as recorded")
            ax.plot(t, rows[f"{metric}_without"], color="#D55E00", label=f"without {self.change}")
            band = rows[f"{metric}_band"]
            if band.notna().any():
                low, high = rows[metric] - band, rows[metric] + band
                ax.fill_between(t, low, high, color="#0072B2", alpha=0.2, lw=0, label="nudged by 1e-9 rad")
            horizon = self.horizon[node]
            if horizon is not None and horizon < float(t.iloc[-1]):
                ax.axvspan(horizon, float(t.iloc[-1]), color="0.92", zorder=-1)
            ax.set_ylabel(f"{metric} of {node}" if len(nodes) > 1 else metric)
        axes[0].legend(loc="best", fontsize="small", frameon=False)
        axes[-1].set_xlabel("simulated time (s)")
        return figure


def counterfactual(
    run: Run | Sequence[Run],
    *,
    without: Without | Mapping[str, object] | str | None = None,
    params: Mapping[str, object] | None = None,
    since: float = 0.0,
    until: float = math.inf,
    count: int = 99,
    seeds: int = 0,
    tolerance: float = 0.02,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool = False,
) -> Counterfactual:
    """Recompute runs with a change, and compare them with the record.

    Parameters
    ----------
    run
        A run folder: the node alone, with the others' fields as recorded. Or several of one room: computed
        together, each with the fields that the *recomputed* others would have sent (the total effect). The
        direct effect, with the others as recorded, is given too.
    without
        What is removed: ``"fields"`` (of all peers), ``"events"``, a :class:`Without`, or a mapping of its
        fields: ``{"fields": ["n-2"]}``, ``{"kinds": "intent"}``, ``{"origins": "n-2"}``, ``{"ids": [...]}``.
    params, since
        Parameters fixed at other values from `since` (simulated s) on, whatever the run set them to:
        ``{"mesh_coupling": 0.0}``.
    until
        Compare up to this time (simulated s).
    count
        Number of placebos: the same run, nudged by 1e-9 rad at the first changed tick.
    seeds
        Number of other draws of initial state and noise, with the same inputs, with and without the change.
    tolerance
        The horizon ends where the placebos' band of `H` is wider than this.
    seed
        Root of all nudges and draws.
    executor
        Computes the runs; see :func:`chronoflux.util.executor.run_all`. None: all processors of this machine.
    progress
        Show a progress bar.

    Raises
    ------
    ParameterError
        When what is removed is not on record, or a parameter cannot be fixed.
    LogError
        When a folder is not a run that can be recomputed.

    Examples
    --------
    ::

        found = cf.counterfactual("logs/room1-n1-20261201T021500Z", without="fields")
        print(found)
        found.plot()

    A run whose coupling is removed from 1 s on:

    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     params = cf.Params(oscillators=60)
    ...     options = {"server": None, "params": params, "seed": 1, "speed": "max", "duration": 5}
    ...     node = await cf.join("lab", node_id="n1", **options)
    ...     await node.wait_closed()
    >>> asyncio.run(main())
    >>> from pathlib import Path
    >>> (run,) = Path("logs").iterdir()
    >>> found = cf.counterfactual(run, params={"kappa": 0.0}, since=1.0, count=0)
    >>> len(found.frame), found.effect(metric="H").mean > 0
    (5, True)
    """
    folders = (run,) if isinstance(run, str | os.PathLike) else tuple(run)
    if not folders:
        raise ParameterError("run", run, "a run folder, or several of one room")
    whole("count", count, 0), whole("seeds", seeds, 0)
    # absolute: worker processes that are used again may have another working folder
    known = recorded(tuple(os.path.abspath(folder) for folder in folders), until)
    fixed = ((k, tuple(v) if isinstance(v, list) else v) for k, v in (params or {}).items())
    alternative = known.alternative(out=Without.read(without), params=tuple(fixed), since=since)
    _, firsts = alternative.changed()
    if all(first is None for first in firsts):
        count = 0  # nothing is changed, so there is no tick to nudge
    jobs = _jobs(known, alternative, count, seeds, seed, direct=len(folders) > 1)
    if executor is None:
        seconds = max(known.alternative().seconds(), alternative.seconds())
        tell_duration(seconds * len(jobs) / processes(len(jobs)), "count=, seeds= or until=")
    with closing(run_all(partial(compute, home=os.getpid()), jobs, executor)) as done:
        rows = list(bar(in_order(done), len(jobs), "runs", shown=progress))
    return _compared(known, rows, alternative, firsts, count, seeds, tolerance)


def _jobs(
    known: Recorded, alternative: Alternative, count: int, seeds: int, seed: int, *, direct: bool
) -> list[Alternative]:
    """The change, the same with the others as recorded, the placebos, and pairs of other draws."""
    jobs = [alternative]
    if direct:
        jobs.append(replace(alternative, answering=False))
    jobs += [replace(alternative, nudge=seed * 100_003 + k + 1) for k in range(count)]
    bare = known.alternative()
    for k in range(seeds):
        jobs += [replace(each, seed=seed * 100_003 + k + 1) for each in (bare, alternative)]
    return jobs


def _compared(
    known: Recorded,
    rows: list[list[Floats]],
    alternative: Alternative,
    firsts: Sequence[int | None],
    count: int,
    seeds: int,
    tolerance: float,
) -> Counterfactual:
    import pandas as pd

    direct = len(known.scripts) > 1
    placebos = rows[1 + direct : 1 + direct + count]
    draws = rows[1 + direct + count :]
    frames, horizons, effects, since = [], {}, [], {}
    for k, script in enumerate(known.scripts):
        was, would, first = known.outcome.rows[k], rows[0][k], firsts[k]
        t = script.ticks * script.params.dt
        difference = _difference(was, would)
        nudged = _stacked([_difference(was, placebo[k]) for placebo in placebos], was)
        band = _band(nudged, was.shape)
        start = math.inf if first is None else first * script.params.dt
        if len(changed := np.flatnonzero(difference[:, 0])):
            start = min(start, float(t[changed[0]]))  # by a change of what the others send
        node = script.node if sum(s.node == script.node for s in known.scripts) == 1 else script.run
        horizons[node] = _horizon(t, band[:, 0], tolerance) if count else None
        end = horizons[node]
        inside = (t >= start) & (t <= (math.inf if end is None else end))
        since[node] = start
        columns: dict[str, Any] = {
            "node": node,
            "time": pd.to_datetime(script.times, unit="ms", utc=True),
            "tick": script.ticks,
            "t": t,
        }
        paired = [_difference(draws[i][k], draws[i + 1][k]) for i in range(0, len(draws), 2)]
        averages = _averages(np.array(paired)) if seeds else None
        for m, metric in enumerate(METRICS):
            columns |= {
                metric: was[:, m],
                f"{metric}_without": would[:, m],
                f"{metric}_difference": difference[:, m],
                f"{metric}_band": band[:, m],
            }
            if direct:
                columns[f"{metric}_direct"] = _difference(was, rows[1][k])[:, m]
            if averages is not None:
                names = (f"{metric}_{name}" for name in ("mean", "low", "high"))
                columns |= dict(zip(names, averages[:, :, m], strict=True))
            effects.append(_effect(node, metric, t, difference[:, m], nudged[..., m], inside))
        frames.append(pd.DataFrame(columns))
    frame = pd.concat(frames, ignore_index=True)
    frame.attrs = {
        "change": _words(alternative),
        "held": known.held,
        "difference": first_difference(known.scripts, known.outcome.rows),
        "faults": known.faults,
        "since": since,
        "placebos": count,
        "seeds": seeds,
    }
    return Counterfactual(frame, _words(alternative), horizons, tuple(effects), count, seeds)


def _words(alternative: Alternative) -> str:
    parts = [str(alternative.out)] if alternative.out else []
    if alternative.params:
        values = ", ".join(f"{name} = {value}" for name, value in alternative.params)
        parts.append(f"the recorded parameters ({values} from {alternative.since:g} s on)")
    return " and ".join(parts)


def _difference(was: Floats, would: Floats) -> Floats:
    """Difference of two trajectories, (records, metrics); angles in (−π, π]."""
    found: Floats = was - would
    found[:, PSI] = -((-found[:, PSI] + math.pi) % (2 * math.pi) - math.pi)
    same = was == would
    found[same | (np.isnan(was) & np.isnan(would))] = 0.0
    return found


def _stacked(paths: list[Floats], like: Floats) -> Floats:
    return np.array(paths, np.float64).reshape(-1, *like.shape)


def _band(nudged: Floats, shape: tuple[int, ...]) -> Floats:
    """95th percentile of the magnitude of the placebos' differences: (records, metrics); NaN without any."""
    if not len(nudged):
        return np.full(shape, np.nan)
    place = min(math.ceil(0.95 * (len(nudged) + 1)), len(nudged)) - 1
    return np.asarray(np.sort(np.abs(nudged), axis=0)[place], np.float64)


def _horizon(t: NDArray[Any], band: Floats, tolerance: float) -> float:
    """The last time (s) before the band is wider than the tolerance."""
    wide = np.flatnonzero(band > tolerance)
    if not len(wide):
        return float(t[-1])
    return float(t[wide[0] - 1]) if wide[0] else 0.0


def _effect(
    node: str, metric: str, t: NDArray[Any], difference: Floats, nudged: Floats, inside: Any
) -> Effect:
    if not inside.any():
        return Effect(node, metric, 0.0, 0.0, math.nan, None if not len(nudged) else 1.0)
    sizes = np.where(inside, np.abs(np.nan_to_num(difference)), -1.0)
    place = int(np.argmax(sizes))
    p = None
    if len(nudged):
        chance = np.abs(np.nan_to_num(nudged[:, inside])).max(axis=1)
        p = (1 + int(np.count_nonzero(chance >= sizes[place]))) / (len(nudged) + 1)
    mean = float(np.nanmean(difference[inside]))
    return Effect(node, metric, mean, float(difference[place]), float(t[place]), p)


def _averages(paired: Floats) -> Floats:
    """Mean and 95 % interval over draws (Student's t): (3, records, metrics)."""
    n = len(paired)
    mean = paired.mean(axis=0)
    if n < 2:
        return np.stack([mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)])
    try:
        quantile = import_module("scipy.special").stdtrit(n - 1, 0.975)
    except ModuleNotFoundError:
        raise UsageError("seeds= needs SciPy: python -m pip install 'chronoflux[analysis]'") from None
    half = quantile * paired.std(axis=0, ddof=1) / math.sqrt(n)
    return np.stack([mean, mean - half, mean + half])


def _at(rows: pd.DataFrame, t: float, column: str) -> float:
    return float(rows.loc[rows["t"] == t, column].iloc[0])


def first_difference(scripts: Sequence[Script], rows: Sequence[Floats]) -> str:
    """The first difference of a recomputed run from its record, in words; empty if there is none."""
    for script, computed in zip(scripts, rows, strict=True):
        written = script.recorded
        apart = (np.round(computed, DECIMALS) != written) & ~np.isnan(written)
        apart[script.ticks == 0] = False
        if apart.any():
            row, column = map(int, np.argwhere(apart)[0])
            values = f"{written[row, column]:g} on record, {computed[row, column]:g} computed"
            return f"{script.node}, tick {script.ticks[row]}: {METRICS[column]} is {values}"
    return ""


def tell_duration(seconds: float, shorter: str) -> None:
    """Warn beforehand that a computation on this machine may take long."""
    if seconds > LONG:
        message = f"this takes about {seconds / 60:.0f} minutes on this machine; {shorter} make it shorter"
        warnings.warn(message, stacklevel=3)


def bar(items: Iterable[Any], total: int, unit: str, *, shown: bool) -> Iterable[Any]:
    """Items with a progress bar if `shown`."""
    if not shown:
        return items
    bar_: Iterable[Any] = import_module("tqdm.auto").tqdm(items, total=total, unit=unit)
    return bar_
