"""Servers and nodes as processes of their own, to be killed, suspended and cut off; and their logs, read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import chronoflux as cf
from tests.support import until

ROOT = Path(__file__).parent.parent
CHATTY = '[[entry]]\nevery = "1s"\nevent = "intent"\n'  # so that there are events to look for
SETTLE = 3.0  # s before the end of a run in which events may still be on their way


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Version(NamedTuple):
    """An installed ChronoFlux: its interpreter, the folder to run it in, and more of its environment."""

    python: str
    folder: Path
    environment: Mapping[str, str]


CURRENT = Version(sys.executable, ROOT, {"PYTHONPATH": str(ROOT)})


@contextlib.asynccontextmanager
async def process(
    *arguments: str, ready: str, prefix: Sequence[str] = (), version: Version = CURRENT
) -> AsyncIterator[Process]:
    """``python -m …`` from its line with `ready` on; ended with SIGTERM, or SIGKILL if that does not help."""
    running = await Process.start(*arguments, ready=ready, prefix=prefix, version=version)
    try:
        yield running
    finally:
        await running.end()


class Process:
    """A Python module that runs; what it says is kept in `said`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []
        self._listening = asyncio.create_task(self._listen(), name="what a process says")

    @classmethod
    async def start(
        cls, *arguments: str, ready: str, prefix: Sequence[str] = (), version: Version = CURRENT
    ) -> Process:
        """Run ``python -m ARGUMENTS`` behind a command `prefix` until it says `ready`."""
        started = await asyncio.create_subprocess_exec(
            *(*prefix, version.python, "-m", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=version.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            | version.environment,
        )
        self = cls(started)
        try:
            await until(lambda: self._has_said(ready), 120, f"{arguments[0]} says {ready!r}")
        except BaseException:
            self.signal(signal.SIGKILL)
            await self.end()
            raise
        return self

    def _has_said(self, word: str) -> bool:
        assert not self._listening.done(), "it ended: " + "".join(self.said)
        return any(word in line for line in self.said)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.said.append(line.decode())

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self._process.wait()

    async def end(self) -> None:
        """SIGTERM; what does not end within 20 s is killed."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                await self._process.wait()
        except TimeoutError:
            await self.kill()
        await self._listening


@contextlib.asynccontextmanager
async def signaling(
    port: int,
    *options: str,
    prefix: Sequence[str] = (),
    host: str = "127.0.0.1",
    version: Version = CURRENT,
) -> AsyncIterator[Process]:
    """``python -m chronoflux.signal``, listening."""
    arguments = ("chronoflux.signal", "--host", host, "--port", str(port), *options)
    ready = "ChronoFlux signaling server"
    async with process(*arguments, ready=ready, prefix=prefix, version=version) as running:
        yield running


class Log:
    """A run's folder, read while it grows: each record once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        self._read = 0

    @property
    def id(self) -> str:
        """The node's id in the room."""
        name: str = json.loads((self.path / "run.json").read_text()).get("peer_id", "")
        return name

    def update(self) -> list[dict[str, Any]]:
        """All records so far."""
        with (self.path / "telemetry.jsonl").open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        self.records += [json.loads(line) for line in whole.splitlines()]
        return self.records

    def ways(self) -> dict[str, str]:
        """How each peer whose field is fresh is reached, by the latest record, if it is of the last 3 s."""
        latest = next((r for r in reversed(self.update()) if r["type"] == "telemetry"), None)
        if latest is None or time.time() - latest["timestamp"] / 1000 > 3:
            return {}
        return {pair["id"]: pair["via"] for pair in latest.get("peerings", ())}

    def changes(self, peer: Log, change: str, *, since: float = 0.0) -> list[float]:
        """When (Unix s) a peer became `change`: linked, unlinked, relayed, quiet, live, gone."""
        found = (record for record in self.update() if record["type"] == "peer")
        return [
            record["timestamp"] / 1000
            for record in found
            if record["data"]["id"] == peer.id
            and record["data"]["change"] == change
            and record["timestamp"] / 1000 >= since
        ]


def chatty_schedule(folder: Path) -> Path:
    """A file with a schedule that fires an intent every second."""
    folder.mkdir(exist_ok=True)
    path = folder / "chatty.toml"
    path.write_text(CHATTY)
    return path


@contextlib.asynccontextmanager
async def chatty(
    name: str,
    url: str,
    logs: Path,
    *options: str,
    prefix: Sequence[str] = (),
    version: Version = CURRENT,
) -> AsyncIterator[tuple[Process, Log]]:
    """A headless node of 60 oscillators that fires an intent every second, and its log."""
    folder = logs / name
    arguments = (
        *("chronoflux.headless", "room1", "60", name, "--server", url, "--log-dir", str(folder)),
        *("--schedule", str(chatty_schedule(logs)), *options),
    )
    async with process(*arguments, ready="oscillators", prefix=prefix, version=version) as running:
        (path,) = folder.iterdir()
        yield running, Log(path)


def coupled(*logs: Log) -> bool:
    """Whether each has a fresh field of every other."""
    return all(set(log.ways()) >= {other.id for other in logs if other is not log} for log in logs)


def linked(*logs: Log) -> bool:
    """Whether each has a fresh field of every other and a link to it."""
    return coupled(*logs) and all(
        log.ways().get(other.id) in ("direct", "turn") for log in logs for other in logs if other is not log
    )


def lost_or_repeated(
    senders: Sequence[Log], receivers: Sequence[Log], *, until: float | None = None, after: float = 0.0
) -> list[str]:
    """Events (of type intent) of the senders that are not on record exactly once at every receiver.

    Those of the last seconds before the first of all logs ended, or before `until` (Unix s), are left
    out: they may have been on their way. So are those before `after`.
    """
    frames = {log.path: cf.load(log.path) for log in (*senders, *receivers)}
    ends = [frame["at"].max() / 1000 - SETTLE for frame in frames.values()]
    end = min(ends) if until is None else until
    wrong = []
    for sender in senders:
        own = frames[sender.path]
        own = own[(own["type"] == "intent") & (own["at"] < end * 1000) & (own["at"] >= after * 1000)]
        fired = {data["id"]: at for data, at in zip(own["data"], own["at"], strict=True)}
        for receiver in receivers:
            if receiver is sender:
                continue
            theirs = frames[receiver.path]
            heard = Counter(data["id"] for data in theirs.loc[theirs["type"] == "remote_intent", "data"])
            wrong += [
                f"{sender.path.parent.name}'s intent {end - at / 1000:.1f} s before the end is "
                f"{heard[key]} times at {receiver.path.parent.name}"
                for key, at in fired.items()
                if heard[key] != 1
            ]
        assert fired, f"{sender.path} has no events"
    return wrong
