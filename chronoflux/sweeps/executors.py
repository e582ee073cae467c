"""Executors of a sweep: local processes by joblib, or a cluster by Dask. Both yield the same outcomes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from typing import Any
from uuid import uuid4

from chronoflux.errors import ChronofluxError, ParameterError, UsageError
from chronoflux.sweeps.design import Run
from chronoflux.sweeps.task import Outcome, Task, perform

WINDOW = 4096
"""Maximum number of runs submitted to a cluster at once; more slow down its scheduler."""
LIVES = 3
"""Number of consecutive worker deaths without a finished run after which the sweep fails."""
IDLE = 60
"""Seconds that idle workers wait for another sweep."""
_GO_ON = "what is done is kept, and the same call goes on from there"


def outcomes(runs: Sequence[Run], task: Task, executor: Any) -> Generator[Outcome]:
    """Yield the outcomes of all runs as they finish. Closing the generator stops unfinished runs.

    Raises
    ------
    ParameterError
        When `executor` is neither None nor a synchronous ``distributed.Client``.
    ChronofluxError
        When workers die repeatedly, or the connection to the cluster is lost.
    """
    if executor is None:
        return _here(runs, task)
    if not type(executor).__module__.startswith("distributed.") or executor.asynchronous:
        raise ParameterError("executor", executor, "None, or a distributed.Client that is not asynchronous")
    return _on_cluster(runs, task, executor)


def needed(name: str) -> None:
    """Raise UsageError if a module of the extra ``sweeps`` is missing; workers start before it is loaded."""
    if find_spec(name) is None:
        raise UsageError(f"a sweep needs {name}: python -m pip install 'chronoflux[sweeps]'")


def _here(runs: Sequence[Run], task: Task) -> Generator[Outcome]:
    joblib = import_module("joblib")
    died: type[Exception] = import_module("joblib.externals.loky.process_executor").TerminatedWorkerError
    left = {run.id: run for run in runs}
    workers, lives = min(joblib.cpu_count(), len(left)), LIVES
    while left:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1, idle_worker_timeout=IDLE):
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
        found = parallel(joblib.delayed(perform)(run, task) for run in list(left.values()))
        try:
            for outcome in found:
                del left[outcome.id]
                lives = LIVES
                yield outcome
        except died as error:  # killed, as when memory runs out: new workers do the rest
            lives -= 1
            if not lives:
                message = f"workers were killed {LIVES} times with no run done between: {_GO_ON}"
                raise ChronofluxError(message) from error
        finally:
            found.close()


def _on_cluster(runs: Sequence[Run], task: Task, client: Any) -> Generator[Outcome]:
    call, waiting = uuid4().hex, iter(runs)

    def submit(run: Run) -> Any:
        return client.submit(perform, run, task, key=f"chronoflux-{run.id}-{call}", pure=False)

    running = {future.key: (future, run.id) for run in islice(waiting, WINDOW) for future in [submit(run)]}
    done = import_module("distributed").as_completed(
        [future for future, _ in running.values()], raise_errors=False
    )
    try:
        for future in done:
            _, name = running.pop(future.key)
            for run in islice(waiting, 1):
                following = submit(run)
                running[following.key] = following, run.id
                done.add(following)
            yield _outcome(future, name)
    finally:
        client.cancel([future for future, _ in running.values()])


def _outcome(future: Any, name: str) -> Outcome:
    """Return a run's outcome; wait if it was lost again together with the worker that held it."""
    cancelled = import_module("distributed.client").CancelledError
    try:
        found: Outcome = future.result()
    except cancelled as error:
        raise ChronofluxError(f"the cluster went away or was told to stop: {_GO_ON}") from error
    except Exception as error:  # noqa: BLE001 - a run's own errors are outcomes; this is a dead worker's
        return Outcome(name, error=f"{type(error).__name__}: {error}")
    return found
