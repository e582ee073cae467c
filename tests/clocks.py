"""Clocks on a network that exists only as numbers: nodes, delays and a time of their own, no waiting."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from chronoflux.mesh import relayed_probes as far
from chronoflux.mesh.clock import BURST, MeshClock, ReferenceChange, TrustChange
from chronoflux.mesh.clock_sync import PACE, PERIOD, UPDATE_PERIOD
from chronoflux.mesh.messages import ProbeReply

EPOCH = 1.8e12
Delay = Callable[[str, str], float]
"""Milliseconds from one node to another, drawn anew for each packet."""
Lie = Callable[[ProbeReply], ProbeReply | None]
"""What a node answers in place of the truth; None is no answer."""


class Host:
    """A machine: its clock runs `ppm` fast, its UTC is `wrong` by so many ms."""

    def __init__(self, net: Net, name: str, *, wrong: float, ppm: float) -> None:
        self.name, self.joined = name, net.admit()
        self.skip = self.lie = 0.0  # what its monotonic clock leapt by; what it adds to the time it tells
        self.leads = True  # whether the server's roster has it as a lasting member with a clock
        self.lies: Lie | None = None
        self.asking: set[str] = set()
        self.mesh = MeshClock(
            mono=lambda: 5e6 + self.skip + net.time * (1 + ppm * 1e-6),
            utc=lambda: EPOCH + net.time * (1 + ppm * 1e-6) + wrong,
        )
        self.changes: list[tuple[float, ReferenceChange | TrustChange]] = []

    @property
    def followed(self) -> list[ReferenceChange]:
        """The changes of reference there were."""
        return [change for _, change in self.changes if isinstance(change, ReferenceChange)]

    @property
    def judged(self) -> list[TrustChange]:
        """What was thought of others' clocks."""
        return [change for _, change in self.changes if isinstance(change, TrustChange)]


class Net:
    """Hosts that probe each other as nodes do. `time` is the truth, in ms from 0.

    With `roster` the server tells who may lead, and passes probes on between members who are no neighbours,
    with the delays `far` each way.
    """

    def __init__(
        self, delay: Delay, seed: int = 1, *, roster: bool = False, far: Delay | None = None
    ) -> None:
        self.time = 0.0
        self.roster, self.far, self.away = roster, far or delay, False
        self.hosts: dict[str, Host] = {}
        self.delay = delay
        self.neighbours: Callable[[str, str], bool] = lambda one, other: True
        self._random = random.Random(seed)
        self._order, self._joins = count(), count(1)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []

    def admit(self) -> int:
        """When the next one joined, by the server's word."""
        return 1_700_000_000_000 + next(self._joins)

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._queue, (time, next(self._order), action))

    def add(self, name: str, *, wrong: float = 0.0, ppm: float = 0.0) -> Host:
        """A node joins, meets everybody and begins to probe."""
        host = self.hosts[name] = Host(self, name, wrong=wrong, ppm=ppm)
        self._tick(host)
        self._rosters()
        for other in tuple(self.hosts):
            if other != name:
                self._burst(name, other, BURST)
                self._burst(other, name, BURST)
        return host

    def remove(self, name: str) -> Host:
        """A node is gone."""
        host = self.hosts.pop(name)
        self._rosters()
        return host

    def _rosters(self) -> None:
        for host in self.hosts.values():
            self._tell(host)
            self._look(host)

    def _tell(self, host: Host) -> None:
        """What the server says to a host: who is here, and who may lead."""
        here = {
            other.name: other.joined
            for other in self.hosts.values()
            if other is not host and self.neighbours(host.name, other.name)
        }
        ranked = sorted(
            (other for other in self.hosts.values() if other.leads), key=lambda other: other.joined
        )
        told = [(other.name, other.joined) for other in ranked] if self.roster else None
        host.mesh.set_members((host.name, host.joined), here, ranked=told)

    def _look(self, host: Host) -> None:
        host.changes += [(self.time, change) for change in host.mesh.update()]

    def _tick(self, host: Host) -> None:
        """Once a second a node looks at its clock, and asks who leads if that is no neighbour."""
        if self.hosts.get(host.name) is host:
            self._tell(host)
            self._look(host)
            for asked in host.mesh.to_probe:
                if not self.neighbours(host.name, asked) and asked not in host.asking and not self.away:
                    host.asking.add(asked)
                    wait = self._random.uniform(0, far.SPREAD) * 1000 if host.mesh.reference else 0.0
                    self.at(self.time + wait, lambda asked=asked: self._burst_far(host, asked, far.BURST))
            self.at(self.time + UPDATE_PERIOD[1] * 1000, lambda: self._tick(host))

    def _burst(self, asker: str, asked: str, left: int) -> None:
        if asker not in self.hosts or asked not in self.hosts or not self.neighbours(asker, asked):
            return
        self._ask(self.hosts[asker], asked, self.delay)
        wait = PACE * 1000
        if left == 1:
            left, wait = BURST + 1, PERIOD * 1000 + self._random.uniform(-500, 500)
        self.at(self.time + wait, lambda: self._burst(asker, asked, left - 1))

    def _burst_far(self, asker: Host, asked: str, left: int) -> None:
        wanted = asked in asker.mesh.to_probe and not self.neighbours(asker.name, asked)
        if self.hosts.get(asker.name) is not asker or not wanted or self.away:
            asker.asking.discard(asked)
            return
        self._ask(asker, asked, self.far)
        wait = far.PACE * 1000
        if left == 1:
            period = far.PERIOD + self._random.uniform(-far.JITTER, far.JITTER)
            known = asker.mesh.offset(asked) is not None and not asker.mesh.unsynced(asked)
            left = far.BURST + 1
            wait = (period if known else far.RETRY_AFTER) * 1000
        self.at(self.time + wait, lambda: self._burst_far(asker, asked, left - 1))

    def _ask(self, asker: Host, asked: str, delay: Delay) -> None:
        sent = asker.mesh.mono()
        asker.mesh.on_probe_sent(asked)
        self.at(self.time + delay(asker.name, asked), lambda: self._answer(asker, asked, sent, delay))

    def _answer(self, asker: Host, asked: str, sent: float, delay: Delay) -> None:
        if (other := self.hosts.get(asked)) is not None:
            now, standing = other.mesh.now() + other.lie, other.mesh.status()
            reply: ProbeReply | None = ProbeReply(EPOCH, now, now, *standing)
            if other.lies is not None and reply is not None:
                reply = other.lies(reply)
            if reply is not None:
                back = self.time + delay(asked, asker.name)
                self.at(back, lambda: self._hear(asker, asked, sent, reply))

    def _hear(self, asker: Host, asked: str, sent: float, reply: ProbeReply) -> None:
        if asker.name in self.hosts:
            unsettled = not asker.mesh.settled
            asker.mesh.add_reply(asked, sent, reply, asker.mesh.mono())
            if unsettled:
                self._look(asker)

    def run(self, until: float, watch: Callable[[], Any] | None = None, every: float = 100.0) -> list[Any]:
        """Let time pass up to `until` ms; what `watch` gave every so many ms."""
        seen = []
        due = self.time
        while self.time < until:
            following = self._queue[0][0] if self._queue else until
            self.time = max(self.time, min(following, due, until))
            while self._queue and self._queue[0][0] <= self.time:
                heapq.heappop(self._queue)[2]()
            if self.time >= due:
                due += every
                if watch is not None:
                    seen.append(watch())
        return seen

    def errors(self, names: Iterable[str] | None = None) -> dict[str, float]:
        """Each mesh time minus that of the one that joined first, ms, at this moment."""
        first = min(self.hosts.values(), key=lambda host: host.joined).mesh.now()
        return {name: self.hosts[name].mesh.now() - first for name in names or self.hosts}


def jitter(low: float, high: float, seed: int = 0) -> Delay:
    """A delay drawn anew for each packet, between `low` and `high` ms."""
    source = random.Random(seed)
    return lambda one, other: source.uniform(low, high)
