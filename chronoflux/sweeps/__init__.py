"""Sweeps: the same experiment at many parameters, many times each; on this machine or on a cluster.

``design.py`` says what is run, ``carried.py`` what is carried from value to value, ``task.py`` does one run,
``executors.py`` says where, ``store.py`` keeps what came out, ``result.py`` puts it together.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from chronoflux.errors import ParameterError
from chronoflux.sweeps.carried import CarriedFrame, taken_out, there_and_back
from chronoflux.sweeps.design import Design, Run, moments_of, runs_of
from chronoflux.sweeps.executors import needed, outcomes
from chronoflux.sweeps.identity import fingerprint
from chronoflux.sweeps.result import Frame
from chronoflux.sweeps.store import Folder
from chronoflux.sweeps.task import UNITS, Maker, Measure, Outcome, Task, simulation
from chronoflux.util.validate import whole
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import xarray

PUBLISHED = 5.0
"""Seconds between two writings of the result while the sweep goes on."""


def sweep(
    grid: Any,
    *,
    replicates: int,
    duration: float,
    measure: Measure,
    out: str | os.PathLike[str],
    executor: Any = None,
    every: float | None = None,
    make: Maker | None = None,
    carry: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> xarray.Dataset:
    """Run the model at many parameters, several times each, and measure.

    Each run is kept in `out` as soon as it is done, so the same call goes on where an interrupted one was
    (Ctrl-C, a kill, a crash), computes only what is new when values or replicates are added, and reads a
    finished one from disk. A run is known by the hash of its parameters, its seed, the version, and the code
    of `measure` and `make`. Functions that these call are not looked at: when one changes, name another
    folder.

    Parameters
    ----------
    grid
        Parameters of ``Params`` with their values, of which all combinations are run:
        ``{"kappa": [0.5, 1.0], "noise": [0, 0.1], "oscillators": 220}`` (a single value stays fixed). Or
        samples to be run as they are: a list of such mappings, or a DataFrame with a row for each.
    replicates
        Runs at each point, each with a seed of its own, spawned from `seed` and the point.
    duration
        Simulated seconds of a run; with `carry` at each value.
    measure
        Names of metrics (``"H"``, or ``["H", "tau"]``), or a function of the model that returns a number, a
        pair of number and unit, a :class:`~chronoflux.analysis.Result`, or a dict of these. It may advance
        the model further.
    out
        Folder of the sweep; made if need be. ``results.zarr`` in it is the result so far.
    executor
        None: all processors of this machine, by joblib, one thread a worker. A ``distributed.Client``: the
        cluster that it is connected to, which needs the same ChronoFlux and no common disk.
    every
        Measure each so many simulated seconds, to the nearest tick, which gives a dimension ``t``; None:
        once, at the end.
    make
        A function of ``(params, seed)`` that makes what is run, with ``advance(ticks)``; None: a
        :class:`Simulation`. Names in `grid` that ``Params`` does not have are handed to it by name.
    carry
        A parameter of the grid that goes through its values and back in one run, the state at the end of one
        value being the beginning of the next: an adiabatic sweep, which shows hysteresis. The result has a
        dimension ``branch`` (``"up"``: in the order of the values; ``"down"``: back). What `make` returns
        needs ``params`` that can be set.
    seed
        Root of all seeds.
    progress
        Show a bar.

    Returns
    -------
    Dataset
        A dimension for each parameter in `grid` (or ``sample``), ``replicate`` and, with `every`, ``t``, with
        `carry`, ``branch``; a
        variable for each thing measured; NaN for runs that failed, which ``attrs["failures"]`` lists with
        their parameters. The next call tries those again.

    Raises
    ------
    ParameterError, UsageError
        Before anything is run, for parameters the model does not allow or a folder that cannot be made.
    LogError
        When an outcome cannot be written.
    """
    for name in ("joblib", "xarray", "zarr"):
        needed(name)
    told = _told_measure(measure, make)
    whole("replicates", replicates, 1), whole("seed", seed, 0)
    moments, design = moments_of(duration, every), Design.read(grid)
    axis, carried = None, None
    if carry is not None:
        design, axis = taken_out(design, carry, every)
        carried = (carry, there_and_back(axis.values))
        moments = [duration * k for k in range(1, len(carried[1]) + 1)]
    facts = {
        "duration": float(duration),
        "every": every,
        "measure": fingerprint(told) if callable(told) else told,
        "make": fingerprint(make) if make is not None else "Simulation",
    }
    task_facts = {**facts, "version": VERSION} | ({} if carried is None else {"carried": list(carried)})
    runs = runs_of(design, replicates, seed=seed, task=task_facts, open_names=make is not None)
    coarsest = max(run.params.dt for run in runs)
    if min(moments) < coarsest:
        raise ParameterError("duration, every", (duration, every), f"a tick of {coarsest:g} s or longer")
    told_facts = {**_told(facts), "seed": seed}
    frame = Frame(design, runs, replicates, moments, every, told_facts)
    if axis is not None:
        frame = CarriedFrame(design, runs, replicates, moments, duration, told_facts, axis)
    task = Task(make or simulation, measure, moments, carried)
    return _carry_out(frame, task, Folder(out), executor, progress)


def _carry_out(frame: Frame, task: Task, folder: Folder, executor: Any, progress: bool) -> xarray.Dataset:
    from tqdm.auto import tqdm

    found = folder.finished(frame.runs)
    left = {run.id: run for run in frame.runs if run.id not in found}
    shown = time.monotonic()
    bar = tqdm(total=len(frame.runs), initial=len(found), desc="sweep", unit="run", disable=not progress)
    with bar, closing(outcomes(list(left.values()), task, executor)) as coming:
        try:
            for outcome in coming if left else ():
                folder.keep(left[outcome.id], outcome)
                found[outcome.id] = outcome
                bar.update()
                if time.monotonic() - shown > PUBLISHED:
                    folder.publish(frame.dataset(found))
                    shown = time.monotonic()
        except BaseException:
            folder.publish(frame.dataset(found))
            raise
    data = frame.dataset(found)
    folder.publish(data)
    _tell(data.attrs["failures"], frame.runs)
    return data


def _tell(failures: list[Mapping[str, Any]], runs: Sequence[Run]) -> None:
    if failures:
        first = failures[0]["error"]
        warnings.warn(
            f"{len(failures)} of {len(runs)} runs failed, the first with {first}; "
            'attrs["failures"] lists them, and the same call tries them again',
            stacklevel=4,
        )


def _told_measure(measure: Measure, make: Maker | None) -> Callable[[Any], Any] | list[str]:
    """The function, or the names; refused before anything is run when they cannot be measured."""
    if callable(measure):
        return measure
    names = [measure] if isinstance(measure, str) else list(measure) if isinstance(measure, Iterable) else []
    unknown = [name for name in names if not isinstance(name, str) or (make is None and name not in UNITS)]
    if unknown or not names:
        raise ParameterError("measure", measure, "a function, or of " + ", ".join(UNITS))
    return names


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


__all__ = ["Outcome", "sweep"]
