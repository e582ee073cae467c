"""Independent jobs: every kind of executor gives the same results, and their errors in the right place."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from chronoflux.errors import ParameterError
from chronoflux.util import executor as module
from chronoflux.util.executor import Done, Executor, WorkersLost, in_order, run_all


def square(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number * number


class Inline:
    """An executor of another library: ``submit()`` computes at once, and its futures are its own."""

    class Ready:
        def __init__(self, compute: Callable[[], Any]) -> None:
            self.compute = compute

        def result(self) -> Any:
            return self.compute()

        def cancel(self) -> None:
            pass

    def submit(self, work: Any, /, *arguments: Any) -> Inline.Ready:
        return Inline.Ready(partial(work, *arguments))


@pytest.fixture(params=["here", "threads", "inline"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "processes", lambda jobs: 1)
    if request.param != "threads":
        yield None if request.param == "here" else Inline()
        return
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_every_job_is_done_once(where: Executor | None) -> None:
    """Each job has its result or its error, whatever the executor."""
    done = {one.number: one for one in run_all(square, [1, 2, 3, 4], where)}
    assert {number: one.result for number, one in done.items()} == {0: 1, 1: 4, 2: None, 3: 16}
    assert [number for number, one in done.items() if isinstance(one.error, ValueError)] == [2]


def test_an_error_is_raised_in_its_place(where: Executor | None) -> None:
    """In order, the results before a failed job are given first."""
    found = in_order(run_all(square, [1, 2, 3, 4], where))
    assert [next(found), next(found)] == [1, 4]
    with pytest.raises(ValueError, match="three"):
        next(found)


def test_in_order_whatever_finishes_first() -> None:
    """Results come in the order of the jobs, each as early as possible; None is a result."""
    taken: list[int] = []

    def finished() -> Any:
        for number in (1, 0, 3, 2):
            taken.append(number)
            yield Done(number, None if number == 3 else number)

    found = in_order(finished())
    assert next(found) == 0
    assert taken == [1, 0]
    assert list(found) == [1, 2, None]


def test_closing_stops_what_has_not_begun() -> None:
    """Closing the generator cancels the other jobs."""
    futures: list[Future[int]] = []

    class Kept(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
            futures.append(super().submit(*arguments, **options))
            return futures[-1]

    gate: Future[int] = Future()
    with Kept(1) as pool:
        found = run_all(lambda number: number if number == 0 else gate.result(10), [0, 1, 2, 3], pool)
        assert next(found).number == 0
        found.close()
        assert futures[3].cancelled()
        gate.set_result(0)


def test_a_cancelled_job_says_that_workers_are_gone() -> None:
    """A job that somebody else cancels is no result: the computation ends with the reason."""

    class Gone:
        def submit(self, work: Any, /, *arguments: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(WorkersLost, match="told to stop"):
        list(run_all(square, [1], Gone()))


@pytest.mark.parametrize("wrong", [3, object(), type("Client", (), {"submit": len, "asynchronous": True})()])
def test_what_cannot_submit_is_refused_at_once(wrong: Any) -> None:
    """Something without ``submit()``, or an asynchronous client, is refused before any job."""
    with pytest.raises(ParameterError, match="executor"):
        run_all(square, [1], wrong)


@pytest.mark.slow
def test_processes_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes give the same as one, errors included."""
    monkeypatch.setattr(module, "processes", lambda jobs: 2)
    done = {one.number: one for one in run_all(square, [1, 2, 3, 4])}
    assert [done[number].result for number in range(4)] == [1, 4, None, 16]
    assert isinstance(done[2].error, ValueError)
    assert os.getpid() not in {one.result for one in run_all(pid_of, [1, 2])}


def pid_of(_: int) -> int:
    return os.getpid()
