"""Parameter sweeps: replicated runs at many parameter values, on this machine or on a cluster.

``design.py`` defines points, replicates and seeds; ``carried.py`` adiabatic sweeps; ``task.py`` a single run,
and all of them on an executor; ``store.py`` the folder of outcomes; ``result.py`` the Dataset.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from chronoflux.errors import ParameterError, UsageError
from chronoflux.sweeps.carried import CarriedFrame, taken_out, there_and_back
from chronoflux.sweeps.design import Design, Run, moments_of, runs_of
from chronoflux.sweeps.identity import fingerprint
from chronoflux.sweeps.result import Frame
from chronoflux.sweeps.store import Folder
from chronoflux.sweeps.task import UNITS, Maker, Measure, Outcome, Task, outcomes, simulation
from chronoflux.util.executor import Executor
from chronoflux.util.validate import whole
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import pandas as pd
    import xarray

PUBLISHED = 5.0
"""Minimum seconds between two updates of the result on disk during a sweep."""


def sweep(
    grid: Mapping[str, object] | Sequence[Mapping[str, object]] | pd.DataFrame,
    *,
    replicates: int,
    duration: float,
    measure: Measure,
    out: str | os.PathLike[str],
    executor: Executor | None = None,
    every: float | None = None,
    make: Maker | None = None,
    carry: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> xarray.Dataset:
    """Run the model at many parameter values, with replicates, and measure.

    The outcome of each run is saved in `out` as soon as it is done. The same call therefore continues after
    an interruption (Ctrl-C, a kill, a crash), computes only new runs when values or replicates are added, and
    reads a finished sweep from disk. A run is identified by the hash of its parameters, its seed, the
    version, and the code of `measure` and `make`. The hash does not cover functions that these call: when one
    of those changes, use another folder.

    Parameters
    ----------
    grid
        Parameters of ``Params`` with their values; all combinations are run:
        ``{"kappa": [0.5, 1.0], "noise": [0, 0.1], "oscillators": 220}`` (a single value stays fixed). Or
        samples: a list of such mappings with single values, or a DataFrame with a row for each.
    replicates
        Runs at each point, each with its own seed, spawned from `seed` and the point.
    duration
        Simulated seconds of a run; with `carry`, at each value.
    measure
        Names of metrics (``"H"``, or ``["H", "tau"]``), or a function of the model that returns a number, a
        pair of number and unit, a :class:`~chronoflux.analysis.Result`, or a dict of these. It may advance
        the model further.
    out
        Folder of the sweep, created if necessary. Its ``results.zarr`` is the result so far.
    executor
        None: all processors of this machine, by joblib, with one thread per worker. A ``distributed.Client``:
        its cluster, which needs the same version of ChronoFlux but no shared disk. Or an executor of
        ``concurrent.futures``.
    every
        Simulated seconds between two measurements, rounded to the nearest tick; adds a dimension ``t``. None:
        measure once, at the end.
    make
        A function of ``(params, seed)`` that returns the model, with ``advance(ticks)``. None: a
        :class:`Simulation`. Names in `grid` that ``Params`` does not have are passed as keyword arguments.
    carry
        A parameter of the grid that goes through its values and back within one run. The state at the end of
        one value is the initial state of the next: an adiabatic sweep, which shows hysteresis. The result has
        a dimension ``branch`` (``"up"``: in the order of the values; ``"down"``: back). The model needs a
        settable attribute ``params``.
    seed
        Root of all seeds.
    progress
        Show a progress bar.

    Returns
    -------
    Dataset
        A dimension for each parameter in `grid` (or ``sample``), ``replicate``, with `every` also ``t``, and
        with `carry` also ``branch``; a variable for each measured quantity. Runs that failed are NaN and
        listed in ``attrs["failures"]`` with their parameters; the next call repeats them.

    Raises
    ------
    ParameterError, UsageError
        Before any run, for parameters the model does not allow or a folder that cannot be created.
    LogError
        When an outcome cannot be written.

    Examples
    --------
    >>> import chronoflux as cf
    >>> grid = {"kappa": [0.0, 2.0], "coupling": "global", "oscillators": 60}
    >>> found = cf.sweep(grid, replicates=2, duration=10.0, measure="H", out="sweep", progress=False)
    >>> dict(found.sizes), bool((found.H.sel(kappa=2.0) > 0.9).all())
    ({'kappa': 2, 'replicate': 2}, True)
    """
    for name in ("joblib", "xarray", "zarr"):
        _require(name)
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


def _require(name: str) -> None:
    """Raise UsageError if a module of the extra ``sweeps`` is missing, before any worker starts."""
    if find_spec(name) is None:
        raise UsageError(f"a sweep needs {name}: python -m pip install 'chronoflux[sweeps]'")


def _carry_out(
    frame: Frame, task: Task, folder: Folder, executor: Executor | None, progress: bool
) -> xarray.Dataset:
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
    """Return the function or the names. Raises ParameterError before any run for unknown names."""
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
