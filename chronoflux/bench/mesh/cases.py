"""Cases of ``python -m chronoflux.bench mesh``: coroutines that return figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from chronoflux.bench.mesh.clients import LightClient, chatter, enter
from chronoflux.errors import ChronofluxError

if TYPE_CHECKING:
    from chronoflux.node.node import Node

LINKING = 120.0
"""Seconds within which all links of a case must be up."""
SETTLING = 3.0
"""Seconds between the last link and the first event."""
ARRIVAL = 5.0
"""Seconds to wait for the last event."""
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
"""Clock ticks per second of the system's processor times."""


@dataclass(frozen=True)
class Figure:
    """One figure: `value` in `unit`, with the maximum `target`; `note` has further observations."""

    case: str
    value: float | None
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without value or target."""
        return None if self.value is None or self.target is None else self.value <= self.target


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least this share of them does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


# --- processes ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python module as a process; at the end, close its stdin and wait for it."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2**26,
    )
    try:
        yield running
    finally:
        assert running.stdin is not None
        running.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            if arguments[0] != "chronoflux.bench.mesh.nodes":
                running.terminate()
        try:
            async with asyncio.timeout(20):
                await running.wait()
        except TimeoutError:
            running.kill()
            await running.wait()


MANY = ("--max-per-address", "10000", "--exempt", "127.0.0.0/8")
"""Options of a server whose clients are all on this machine."""


@contextlib.asynccontextmanager
async def signaling(*options: str) -> AsyncIterator[tuple[str, int]]:
    """Run a signaling server in a separate process; yields its URL and process id."""
    async with process("chronoflux.signal", "--port", "0", *(options or MANY)) as running:
        assert running.stdout is not None
        said = (await running.stdout.readline()).decode()
        found = re.search(r"ws://\S+", said)
        if found is None:
            raise ChronofluxError(f"the signaling server did not start: {said.strip()}")
        yield found[0], running.pid


async def _ask(worker: asyncio.subprocess.Process, command: str) -> Any:
    _tell(worker, command)
    assert worker.stdout is not None
    return json.loads(await worker.stdout.readline())


def _tell(worker: asyncio.subprocess.Process, command: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(f"{command}\n".encode())


def _memory(pid: int) -> int | None:
    """Return the resident bytes of a process; None where the system does not provide them."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


class Stopwatch:
    """Measure how many cores some processes use in a ``with`` block; None where unavailable."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.cores: float | None = None
        self._pids = pids

    def __enter__(self) -> Self:
        self._before, self._begun = self._used(), time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        after, took = self._used(), time.perf_counter() - self._begun
        if after is not None and self._before is not None:
            self.cores = (after - self._before) / took

    def __str__(self) -> str:
        return "" if self.cores is None else f"{self.cores:.2f} cores busy"

    def _used(self) -> float | None:
        """Return the processor time of all processes in s."""
        try:
            stats = [Path(f"/proc/{pid}/stat").read_text() for pid in self._pids]
        except OSError:
            return None
        fields = [stat.rpartition(")")[2].split() for stat in stats]
        return sum(int(user) + int(kernel) for *_, user, kernel in (some[:13] for some in fields)) / TICKS


# --- nodes --------------------------------------------------------------------------------------


async def joining(times: int) -> Figure:
    """Measure the time from `join` to the first direct link, to a headless node in another process."""
    from chronoflux.node.join import join

    took: list[float] = []
    with TemporaryDirectory() as folder:
        async with signaling() as (url, _), process(
            "chronoflux.headless", "bench", "100", "other", "--server", url, "--log-dir", folder,
            "--schedule", "none",
        ):  # fmt: skip
            for count in range(times + 1):
                begun = time.perf_counter()
                node = await join("bench", server=url, log_dir=folder, node_id=f"j{count}")
                await _direct(node)
                took.append((time.perf_counter() - begun) * 1e3)
                await node.leave()
    took = took[1:]  # the first one compiles, and waits for the other node to start
    note = f"median {median(took):.0f} ms of {times} joins"
    return Figure("join to first direct link, p95", percentile(took, 0.95), "ms", 250, note)


async def _direct(node: Node) -> None:
    """Wait until the node has a direct link."""
    async with asyncio.timeout(LINKING):
        while node.status.light != "linked":  # noqa: ASYNC110 - no event to await
            await asyncio.sleep(0.001)


async def events(
    nodes: int, processes: int, count: int, rate: float, fields: float, target: float
) -> list[Figure]:
    """Measure the time from an event until the last node receives it; count losses and repeats."""
    share = nodes // processes
    async with signaling() as (url, _), contextlib.AsyncExitStack() as stack:
        arguments = (url, "bench", str(share), f"{fields:g}")
        workers = [
            await stack.enter_async_context(process("chronoflux.bench.mesh.nodes", *arguments))
            for _ in range(processes)
        ]
        degree = await _linked(workers, nodes)
        await asyncio.sleep(SETTLING)
        turns = cycle((worker, index) for index in range(share) for worker in workers)
        with Stopwatch([worker.pid for worker in workers]) as watch:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / rate - loop.time()))
                worker, index = next(turns)
                _tell(worker, f"fire {index}")
        await asyncio.sleep(ARRIVAL)
        reports = [await _ask(worker, "report") for worker in workers]
    return _arrivals(reports, nodes, degree, target, str(watch))


async def _linked(workers: list[asyncio.subprocess.Process], nodes: int) -> float:
    """Wait until every node has all its links. Return their average number."""
    async with asyncio.timeout(LINKING):
        while True:
            await asyncio.sleep(0.5)
            seen = [counts for worker in workers for counts in await _ask(worker, "look")]
            known: int = sum(peers for peers, _ in seen)
            if all(peers == linked and peers >= min(2, nodes - 1) for peers, linked in seen):
                if nodes <= 16 and known < nodes * (nodes - 1):
                    continue  # some nodes have not joined yet
                return known / nodes


def _arrivals(reports: list[Any], nodes: int, degree: float, target: float, watch: str) -> list[Figure]:
    fired = {key: at for report in reports for node in report["fired"] for key, at in node}
    heard: dict[str, list[int]] = {key: [] for key in fired}
    repeats = 0
    for node in (node for report in reports for node in report["heard"]):
        keys = [key for key, _ in node]
        repeats += len(keys) - len(set(keys))
        for key, at in node:
            heard[key].append(at)
    last = [(max(times) - fired[key]) / 1e6 for key, times in heard.items() if times]
    each = [(at - fired[key]) / 1e6 for key, times in heard.items() for at in times]
    missing = len(fired) * (nodes - 1) - len(each) + repeats
    case = f"{nodes} nodes, {degree:.1f} links each"
    note = (
        f"p50 {percentile(last, 0.5):.1f} ms; "
        f"to each p50 {percentile(each, 0.5):.1f}, p99 {percentile(each, 0.99):.1f} ms; {watch}"
    )
    return [
        Figure(f"{case}: event to the last node, p99", percentile(last, 0.99), "ms", target, note),
        Figure(f"{case}: of {len(fired)} events not heard, or twice", missing + repeats, "times", 0),
    ]


# --- the server ---------------------------------------------------------------------------------


async def relay(seconds: float) -> list[Figure]:
    """Measure delays in a room of 100 clients that send telemetry at 5 Hz, and signals."""
    async with signaling() as (url, pid):
        clients = await enter(url, ["bench"] * 100)
        with Stopwatch([pid]) as watch:
            sent = await chatter(clients, seconds, 5.0, 200)
        await _arrived(clients, sent)
        delays = [delay for client in clients for delay in client.delays]
        signals = sum(client.signals for client in clients)
        lost = sum(client.lost for client in clients)
        expected = 99 * 100 * int(seconds * 5)
        _close(clients)
    share = f"{len(delays) / expected:.1%} of what was to come"
    note = f"p50 {percentile(delays, 0.5):.1f} ms, {len(delays) / seconds:,.0f} messages/s, {share}; {watch}"
    return [
        Figure("room of 100, telemetry at 5 Hz, p99", percentile(delays, 0.99), "ms", 25, note),
        Figure(f"the same: of {sent} signals lost", sent - signals + lost, "signals", 0),
    ]


async def _arrived(clients: list[LightClient], signals: int) -> None:
    """Wait a second, and longer while expected signals keep arriving."""
    before = -1
    while True:
        await asyncio.sleep(1)
        heard = sum(client.signals for client in clients)
        if heard >= signals or heard == before:
            return
        before = heard


async def crowd() -> list[Figure]:
    """Measure how long 1,000 clients take to join 100 rooms at once, and the server's memory."""
    async with signaling() as (url, pid):
        _close(await enter(url, ["warm"] * 10))
        await asyncio.sleep(0.5)
        before, begun = _memory(pid), time.perf_counter()
        clients = await enter(url, [f"room{n % 100}" for n in range(1000)])
        took = time.perf_counter() - begun
        await asyncio.sleep(0.5)
        after = _memory(pid)
        _close(clients)
    each = None if before is None or after is None else (after - before) / 1000 / 1024
    return [
        Figure("1,000 clients join 100 rooms", took, "s", 2.5),
        Figure("memory of the server for each of them", each, "KiB", 30),
    ]


async def idle(seconds: float) -> Figure:
    """Measure the load of 2,000 connections that only answer pings."""
    async with signaling() as (url, pid):
        clients = await enter(url, [f"room{n % 200}" for n in range(2000)])
        await asyncio.sleep(2)
        with Stopwatch([pid]) as watch:
            await asyncio.sleep(seconds)
        lost = sum(client.lost for client in clients)
        _close(clients)
    share = None if watch.cores is None else 100 * watch.cores
    return Figure(f"2,000 idle connections for {seconds:g} s", share, "% of a core", 5, f"{lost} lost")


def _close(clients: list[LightClient]) -> None:
    for client in clients:
        client.close()
