"""One run of a sweep, from its seed to its measured values, and all runs on the workers of an executor."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from chronoflux.errors import ChronofluxError, ParameterError
from chronoflux.model.engine import use_threads
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.sweeps.design import Run
from chronoflux.util.executor import Done, Executor, WorkersLost, run_all
from chronoflux.util.plugins import load_plugins
from chronoflux.version import VERSION

UNITS = {"H": "1", "H_local": "1", "tau": "1", "psi": "rad", "omega": "rad/s"}
"""Units of a simulation's metrics."""


class Model(Protocol):
    """What can be swept: a :class:`Simulation` or anything else that advances by ticks."""

    def advance(self, ticks: int = 1) -> None:
        """Advance by `ticks` steps of ``Params.dt``."""


Maker = Callable[..., Model]
Measure = Callable[[Any], Any] | str | Sequence[str]


@dataclass(frozen=True)
class Task:
    """What is done in every run: how the model is made, and what is measured at which times (s).

    ``carried``: a parameter and its values, one for each time, each applied up to that time.
    """

    make: Maker
    measure: Measure
    moments: list[float]
    carried: tuple[str, list[Any]] | None = None
    version: str = VERSION
    home: int = field(default_factory=os.getpid)


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run: values at each time and units by name, or an error with its traceback."""

    id: str
    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    error: str = ""
    trace: str = ""
    seconds: float = 0.0
    host: str = ""


def simulation(params: Params, seed: int) -> Simulation:
    """Return the default model of a sweep."""
    return Simulation(params, seed=seed)


def outcomes(runs: Sequence[Run], task: Task, executor: Executor | None) -> Generator[Outcome]:
    """Yield the outcomes of all runs as they finish. Closing the generator stops unfinished runs.

    Raises
    ------
    ParameterError
        At once, when `executor` is not allowed; see :func:`chronoflux.util.executor.run_all`.
    ChronofluxError
        When workers die repeatedly, or the connection to the cluster is lost.
    """
    return _outcomes(runs, run_all(partial(perform, task=task), runs, executor))


def _outcomes(runs: Sequence[Run], finished: Generator[Done[Outcome]]) -> Generator[Outcome]:
    try:
        for done in finished:
            if done.result is not None:
                yield done.result
            else:  # a run's own errors are outcomes; this is the error of a worker that died
                error = done.error
                yield Outcome(runs[done.number].id, error=f"{type(error).__name__}: {error}")
    except WorkersLost as error:
        message = f"{error}: finished runs are saved, and the same call continues from there"
        raise ChronofluxError(message) from error
    finally:
        finished.close()


def perform(run: Run, task: Task) -> Outcome:
    """Do one run. All errors become part of the outcome; only interrupts are raised."""
    began, host = time.perf_counter(), socket.gethostname()
    if os.getpid() != task.home:
        use_threads(1)  # there are as many workers as processors: more threads would compete
    try:
        if task.version != VERSION:
            raise ParameterError("chronoflux on the worker", VERSION, f"{task.version}, as here")
        load_plugins()
        values, units = _measured(run, task)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything; the sweep continues
        return Outcome(
            run.id, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc(), host=host
        )
    return Outcome(run.id, values, units, seconds=time.perf_counter() - began, host=host)


def _measured(run: Run, task: Task) -> tuple[dict[str, list[float]], dict[str, str]]:
    model = task.make(run.params, run.seed, **run.extras)
    values: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    done = 0
    for count, moment in enumerate(task.moments):
        tick = round(moment / run.params.dt)
        if task.carried is not None:
            name, path = task.carried
            model.params = model.params.replace(**{name: path[count]})  # type: ignore[attr-defined]
        model.advance(tick - done)
        done = tick
        for what, (value, unit) in _read(model, task.measure).items():
            if len(values.setdefault(what, [])) != count or units.setdefault(what, unit) != unit:
                raise ParameterError("measure", what, "the same names and units at every moment")
            values[what].append(value)
    return values, units


def _read(model: Any, measure: Measure) -> dict[str, tuple[float, str]]:
    """Return the current measurements by name, with units."""
    if isinstance(measure, str):
        measure = [measure]
    if not callable(measure):
        metrics = model.metrics()
        return {name: (float(metrics[name]), UNITS.get(name, "1")) for name in measure}
    found = measure(model)
    name = getattr(measure, "__name__", "value").strip("<>")
    named = found if isinstance(found, Mapping) else {name: found}
    return {str(name): _quantity(str(name), value) for name, value in named.items()}


def _quantity(name: str, value: Any) -> tuple[float, str]:
    """Return a number with its unit: plain numbers are dimensionless; pairs and ``Result`` have units."""
    unit = getattr(value, "unit", "1")
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        value, unit = value
    try:
        return float(value), str(unit)
    except (TypeError, ValueError):
        allowed = "numbers, pairs of number and unit, Results, or a dict of these"
        raise ParameterError(f"what is measured as {name}", value, allowed) from None
