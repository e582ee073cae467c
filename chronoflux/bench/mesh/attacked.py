"""Message delay of an honest pair of clients while the server is attacked, compared with quiet times."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from chronoflux.bench.mesh.cases import Figure, Stopwatch, percentile, process, signaling
from chronoflux.bench.mesh.clients import LightClient, enter
from chronoflux.errors import ChronofluxError

RATE = 20.0  # messages/s of each client of the pair
ROOM, TOKEN = "honest", "open sesame"
TIMES, MORE = 3.0, 50.0  # limits of p99 under attack: factor of the quiet p99, or ms above it
BEGIN = 3.0  # s from the start of the attackers to the measurement
ARRIVAL = 10.0  # s to wait for the last message
PAUSE = 2.0  # s between an attack and the next quiet time


@dataclass
class Phase:
    """Measurements of one phase: delays (ms), lost messages, and busy cores of server and generator."""

    delays: list[float]
    lost: int
    server: float | None
    generator: float | None = None

    @property
    def p99(self) -> float:
        """The 99th percentile of the delays, ms."""
        return percentile(self.delays, 0.99)


async def attacked(seconds: float, rounds: int) -> list[Figure]:
    """Alternate `rounds` quiet and attacked phases of so many seconds; return medians over the rounds."""
    if sys.platform != "linux":  # on other systems, attackers cannot have separate addresses
        return [Figure("a pair while the server is attacked, p99", None, "ms")]
    quiet, loud, did = [], [], {}
    with TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        await asyncio.to_thread(token.write_text, TOKEN)
        async with signaling("--token-file", str(token)) as (url, pid):
            pair = await enter(url, [ROOM] * 2, TOKEN)
            for _ in range(rounds):
                quiet.append(await _phase(pair, seconds, [pid]))
                async with process("chronoflux.bench.mesh.attackers", url, ROOM, TOKEN) as attackers:
                    await asyncio.sleep(BEGIN)
                    loud.append(await _phase(pair, seconds, [pid, attackers.pid]))
                    assert attackers.stdin is not None
                    assert attackers.stdout is not None
                    attackers.stdin.close()
                    did = json.loads(await attackers.stdout.readline())
                await asyncio.sleep(PAUSE)
            for client in pair:
                client.close()
    return _figures(quiet, loud, did)


async def _phase(pair: list[LightClient], seconds: float, pids: list[int]) -> Phase:
    for client in pair:
        client.delays.clear()
    loop, count = asyncio.get_running_loop(), int(seconds * RATE)
    watches = [Stopwatch([pid]) for pid in pids]
    for watch in watches:
        watch.__enter__()
    begun = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / RATE - loop.time()))
        for client, other in (pair, reversed(pair)):
            client.say(type="relay", to=other.id, data={"type": "field", "at": time.monotonic_ns(), "R": 0.5})
    for watch in watches:
        watch.__exit__()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ARRIVAL):
            while sum(len(client.delays) for client in pair) < 2 * count:  # noqa: ASYNC110 - no event to await
                await asyncio.sleep(0.05)
    if any(client.lost for client in pair):
        raise ChronofluxError("the server cut off the pair that was to be timed")
    delays = [delay for client in pair for delay in client.delays]
    cores = [watch.cores for watch in watches]
    return Phase(delays or [ARRIVAL * 1e3], 2 * count - len(delays), *cores)


def _figures(quiet: list[Phase], loud: list[Phase], did: dict[str, int]) -> list[Figure]:
    before, during = median(phase.p99 for phase in quiet), median(phase.p99 for phase in loud)
    halves = [
        f"quiet p99 {before:.1f} ms, server {_cores(quiet)}",
        f"attacked p50 {median(median(phase.delays) for phase in loud):.1f} ms, server {_cores(loud)}, "
        f"generator {_cores(loud, generator=True)}",
        ", ".join(f"{count} {what}" for what, count in did.items()),
    ]
    target = max(TIMES * before, before + MORE)
    lost = sum(phase.lost for phase in loud)
    return [
        Figure("a pair while the server is attacked, p99", during, "ms", target, "; ".join(halves)),
        Figure("the same: messages of the pair lost", lost, "messages", 0),
    ]


def _cores(phases: list[Phase], *, generator: bool = False) -> str:
    values = [phase.generator if generator else phase.server for phase in phases]
    known = [value for value in values if value is not None]
    return f"{median(known):.2f} cores" if known else "unknown"
