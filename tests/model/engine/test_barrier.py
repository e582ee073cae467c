"""Threads that go through a run together: every slot once, nobody ahead, Ctrl-C at the end of a piece."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from chronoflux.model.engine import particles, thread_pool
from chronoflux.model.engine.barrier import arrive, make_team, next_chunk, release
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation


@njit(nogil=True)
def rounds(team, worker, count, taken, late):
    """Take all slots, `count` times; note how often each was taken, and who saw a round not yet finished."""
    for turn in range(count):
        first, end = next_chunk(team, worker)
        while first < end:
            for i in range(first, end):
                taken[i] += 1
            first, end = next_chunk(team, worker)
        if arrive(team):
            for i in range(len(taken)):
                late[0] += taken[i] != turn + 1
            release(team)


@settings(max_examples=30)
@given(workers=st.integers(1, 4), n=st.integers(1, 5000), block=st.sampled_from([1, 7, 512]))
def test_every_slot_is_taken_once_a_round(workers, n, block):
    """Whatever the sizes, each slot is taken by one worker a round, and none begins a round before all have
    finished the last."""
    team, taken, late = make_team(workers, n, block), np.zeros(n, np.int64), np.zeros(1, np.int64)
    members = [
        threading.Thread(target=rounds, args=(team, worker, 20, taken, late)) for worker in range(workers)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
    assert Counter(taken.tolist()) == {20: n}
    assert late[0] == 0


def test_more_threads_later():
    """Another number of threads than before may be asked for at any time: nobody waits for one that never
    begins."""
    results = []

    def run():
        sim = large()
        for count in (2, 4, 3):
            thread_pool.count = count
            sim.advance(100)
        results.append(sim.state.phi)

    before = thread_pool.count
    runner = threading.Thread(target=run, daemon=True)
    try:
        runner.start()
        runner.join(60)
    finally:
        thread_pool.count = before
    assert not runner.is_alive()
    sim = large()
    sim.advance(300)
    np.testing.assert_array_equal(results[0], sim.state.phi)


def large(**changes):
    return Simulation(Params(oscillators=3000, world=(2000.0, 1500.0), **changes), seed=4)


def test_two_swarms_at_once(monkeypatch):
    """Two swarms that are advanced by two threads at the same time both come out as they do alone."""
    monkeypatch.setattr(thread_pool, "count", 2)
    monkeypatch.setattr(particles, "SHARED", 1000)
    alone, *both = large(), large(), large()
    alone.advance(300)
    others = [threading.Thread(target=sim.advance, args=(300,)) for sim in both]
    for other in others:
        other.start()
    for other in others:
        other.join()
    for sim in both:
        np.testing.assert_array_equal(sim.state.phi, alone.state.phi)


@pytest.mark.parametrize("change", [{}, {"noise": 0.1}, {"integrator": "rk4"}, {"coupling": "global"}])
def test_a_run_lets_go_of_what_it_was_given(change):
    """Kernels that do not count who uses arrays leave the counts as they were."""
    sim = Simulation(Params(oscillators=300, **change), seed=1)
    sim.intent(x=1.0, y=2.0)
    sim.advance()
    store = sim._stepper.particles
    held = [
        *store._particles,
        *store._lists[:5],
        store._lists.grid.members,
        sim._stepper._fired,
    ]
    before = [sys.getrefcount(array) for array in held]
    sim.advance(20)
    assert [sys.getrefcount(array) for array in held] == before


def test_alone(monkeypatch):
    """Told to be alone a thread takes no others, whatever the swarm's size, and comes to the same state."""
    workers, run_on_threads = [], thread_pool.run_on_threads
    monkeypatch.setattr(thread_pool, "count", 2)
    monkeypatch.setattr(particles, "SHARED", 1000)
    monkeypatch.setattr(
        thread_pool, "run_on_threads", lambda n, work: (workers.append(n), run_on_threads(n, work))[1]
    )
    one, other = large(), large()
    with thread_pool.single_threaded(), thread_pool.single_threaded():
        one.advance(50)
    other.advance(50)
    assert workers == [1, 2]
    np.testing.assert_array_equal(one.state.phi, other.state.phi)


@pytest.fixture
def heard():
    """Ctrl-C raises KeyboardInterrupt, also in a process that was told not to mind it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.usefixtures("heard")
def test_interrupted_a_swarm_is_whole(count, monkeypatch):
    """After Ctrl-C in the middle of an advance, tick and state belong together, and it can go on."""
    monkeypatch.setattr(thread_pool, "count", count)
    sim, other = large(), large()
    sim.advance(10)
    threading.Timer(0.1, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        sim.advance(10**9)
    assert sim.tick > 10
    other.advance(sim.tick)
    sim.advance(7)
    other.advance(7)
    assert sim.tick == other.tick
    np.testing.assert_array_equal(sim.state.phi, other.state.phi)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_has_threads_of_its_own(monkeypatch):
    """A process that was forked from one with a team can use one too."""
    monkeypatch.setattr(thread_pool, "count", 2)
    monkeypatch.setattr(particles, "SHARED", 1000)
    sim = large()
    sim.advance(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            sim.advance(50)
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 60
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(0.01)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done
    assert os.waitstatus_to_exitcode(status) == 0
