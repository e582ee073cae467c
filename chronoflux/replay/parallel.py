"""Many independent computations: on this machine's processors, or wherever an executor puts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from chronoflux.errors import ParameterError
from chronoflux.model.engine import thread_pool

Job = TypeVar("Job")
Found = TypeVar("Found")


def run_all(work: Callable[[Job], Found], jobs: Sequence[Job], *, executor: Any = None) -> Iterator[Found]:
    """The results of `work`, a function of a module, for each job, in order, as they come.

    `executor`: anything with ``submit(function, argument)`` whose futures have ``result()``, such as those of
    ``concurrent.futures`` or a ``distributed.Client``; its workers read the run folders by themselves. None:
    one process for each processor. Closing the iterator stops what is not done yet.

    Raises
    ------
    ParameterError
        When `executor` cannot submit.
    """
    if executor is not None:
        if not callable(getattr(executor, "submit", None)):
            raise ParameterError("executor", executor, "None, or an object with submit(), such as a Client")
        return _submitted(work, jobs, executor)
    return _here(work, jobs)


def workers(jobs: int) -> int:
    """How many processes so many jobs are spread over on this machine."""
    return max(1, min(thread_pool.available(), jobs))


def _here(work: Callable[[Job], Found], jobs: Sequence[Job]) -> Iterator[Found]:
    if workers(len(jobs)) == 1:
        yield from map(work, jobs)
        return
    import joblib

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=workers(len(jobs)), return_as="generator")
    found = parallel(joblib.delayed(partial(_alone, work, os.getpid()))(job) for job in jobs)
    try:
        yield from found
    finally:
        found.close()


def _alone(work: Callable[[Job], Found], home: int, job: Job) -> Found:
    if os.getpid() != home:
        thread_pool.count = 1  # there are as many workers as processors
    return work(job)


def _submitted(work: Callable[[Job], Found], jobs: Sequence[Job], executor: Any) -> Iterator[Found]:
    futures = [executor.submit(work, job) for job in jobs]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
