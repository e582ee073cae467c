"""Independent jobs in parallel: on this machine by joblib, or by an executor (Dask, concurrent.futures)."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

from chronoflux.errors import ChronofluxError, ParameterError

Job = TypeVar("Job")
Result = TypeVar("Result")

WINDOW = 4096
"""Maximum number of jobs submitted to a cluster at once; more slow down its scheduler."""
LIVES = 3
"""Number of consecutive worker deaths without a finished job after which computation fails."""
IDLE = 60
"""Seconds that idle workers wait for further jobs."""


class Executor(Protocol):
    """What jobs can be submitted to: an executor of ``concurrent.futures``, or a ``distributed.Client``."""

    def submit(self, work: Any, /, *arguments: Any) -> Any:
        """Start ``work(*arguments)`` and return a future, with ``result()`` and ``cancel()``."""


class WorkersLost(ChronofluxError):
    """The workers died again and again, or the connection to them was lost."""


@dataclass(frozen=True)
class Done(Generic[Result]):
    """A finished job: its position among the jobs, and its result or the error it raised."""

    number: int
    result: Result | None = None
    error: Exception | None = None


def run_all(
    work: Callable[[Job], Result], jobs: Sequence[Job], executor: Executor | None = None
) -> Generator[Done[Result]]:
    """Compute `work` for each job, and yield the jobs as they finish, in any order.

    Closing the generator stops unfinished jobs.

    Parameters
    ----------
    work
        A function of a module, as it is sent to other processes.
    jobs
        Its arguments.
    executor
        None: one process for each processor of this machine, with one thread each. Otherwise an executor of
        ``concurrent.futures``, a synchronous ``distributed.Client``, or another object with ``submit()``.

    Raises
    ------
    ParameterError
        At once, when `executor` is none of these.
    WorkersLost
        When workers die repeatedly, or the connection to the cluster is lost.
    """
    if executor is None:
        return _on_this_machine(work, jobs)
    if not callable(getattr(executor, "submit", None)) or getattr(executor, "asynchronous", False):
        allowed = "None, an executor of concurrent.futures, or a distributed.Client that is not asynchronous"
        raise ParameterError("executor", executor, allowed)
    if type(executor).__module__.startswith("distributed."):
        return _on_cluster(work, jobs, executor)
    return _submitted(work, jobs, executor)


def in_order(done: Iterable[Done[Result]]) -> Iterator[Result]:
    """The results of :func:`run_all` in the order of the jobs. The error of a job is raised in its place."""
    waiting: dict[int, Done[Result]] = {}
    following = 0
    for one in done:
        waiting[one.number] = one
        while following in waiting:
            ready = waiting.pop(following)
            if ready.error is not None:
                raise ready.error
            yield ready.result  # type: ignore[misc]  # None only if the job returned None
            following += 1


def processes(jobs: int) -> int:
    """The number of processes used for that many jobs on this machine."""
    count: int = import_module("joblib").cpu_count()
    return max(1, min(count, jobs))


def _on_this_machine(work: Callable[[Job], Result], jobs: Sequence[Job]) -> Generator[Done[Result]]:
    if processes(len(jobs)) == 1:
        for job in enumerate(jobs):
            yield _attempt(work, *job)
        return
    joblib = import_module("joblib")
    died: type[Exception] = import_module("joblib.externals.loky.process_executor").TerminatedWorkerError
    left, lives = dict(enumerate(jobs)), LIVES
    while left:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1, idle_worker_timeout=IDLE):
            parallel = joblib.Parallel(n_jobs=processes(len(left)), return_as="generator_unordered")
        found = parallel(joblib.delayed(_attempt)(work, *job) for job in list(left.items()))
        try:
            for done in found:
                del left[done.number]
                lives = LIVES
                yield done
        except died as error:  # killed, for example when memory runs out: new workers do the rest
            lives -= 1
            if not lives:
                message = f"workers were killed {LIVES} times without finishing a job in between"
                raise WorkersLost(message) from error
        finally:
            found.close()


def _attempt(work: Callable[[Job], Result], number: int, job: Job) -> Done[Result]:
    try:
        return Done(number, work(job))
    except Exception as error:  # noqa: BLE001 - the caller of run_all decides
        return Done(number, error=error)


def _on_cluster(work: Callable[[Job], Result], jobs: Sequence[Job], client: Any) -> Generator[Done[Result]]:
    call, waiting = uuid4().hex, iter(enumerate(jobs))
    cancelled: type[BaseException] = import_module("distributed.client").CancelledError

    def submit(number: int, job: Job) -> Any:
        return client.submit(work, job, key=f"chronoflux-{number}-{call}", pure=False)

    running = {future.key: (future, n) for n, job in islice(waiting, WINDOW) for future in [submit(n, job)]}
    finished = import_module("distributed").as_completed(
        [future for future, _ in running.values()], raise_errors=False
    )
    try:
        for future in finished:
            _, number = running.pop(future.key)
            for n, job in islice(waiting, 1):
                following = submit(n, job)
                running[following.key] = following, n
                finished.add(following)
            yield _outcome(future, number, cancelled)
    finally:
        client.cancel([future for future, _ in running.values()])


def _submitted(
    work: Callable[[Job], Result], jobs: Sequence[Job], executor: Executor
) -> Generator[Done[Result]]:
    numbers = {executor.submit(work, job): number for number, job in enumerate(jobs)}
    plain = all(isinstance(future, concurrent.futures.Future) for future in numbers)
    try:
        for future in concurrent.futures.as_completed(numbers) if plain else numbers:
            yield _outcome(future, numbers[future], concurrent.futures.CancelledError)
    finally:
        for future in numbers:
            future.cancel()


def _outcome(future: Any, number: int, cancelled: type[BaseException]) -> Done[Any]:
    """The result of a finished future; wait if it was lost together with the worker that held it."""
    try:
        return Done(number, future.result())
    except cancelled as error:
        raise WorkersLost("the cluster went away or was told to stop") from error
    except Exception as error:  # noqa: BLE001 - the caller of run_all decides
        return Done(number, error=error)
