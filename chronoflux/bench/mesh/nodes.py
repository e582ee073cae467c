"""A process of several nodes without swarms, with real links and gossip, for measuring delays.

``python -m chronoflux.bench.mesh.nodes URL ROOM COUNT FIELDS_PER_S`` reads commands from stdin: ``look``
prints each node's number of peers and of linked peers; ``fire N`` fires an event at node N; ``say N SIZE``
makes it send telemetry with so many additional bytes; ``report`` prints all times (monotonic ns, which all
processes of a machine share). The process ends with stdin.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import sys
import time

from chronoflux.mesh.gossip import Event, fired
from chronoflux.mesh.messages import Field, Telemetry
from chronoflux.mesh.room_session import Room
from chronoflux.mesh.spectator import Spectator, visit
from chronoflux.model.events import EVENTS

RECORD: dict[str, object] = {
    "t": 12.5,
    "H": 0.512345,
    "H_mesh": 0.412345,
    "tau": 0.041234,
    "nodes": 220,
    "peers": 6,
    "intents": [],
}


class Listener(Spectator):
    """A node that records when it receives each event, at the point where a simulation would."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "headless")
        self.heard: list[tuple[str, int]] = []
        self.fired: list[tuple[str, int]] = []
        self.room: Room

    def on_event(self, event: Event) -> None:
        """Record the event's time: see :class:`~chronoflux.mesh.participant.Participant`."""
        self.heard.append((event.id, time.monotonic_ns()))

    def fire(self) -> None:
        """Fire an intent and publish it to the room."""
        mesh, known = self.room.mesh, {key for key, _ in self.fired}
        data = {"x": 400.0, "y": 300.0, "E": 0.3, "sigma": 80.0}
        now, begun = mesh.clock.now(), time.monotonic_ns()
        event = fired(EVENTS["intent"], data, mesh.id, now, world=self.world, taken=known.__contains__)
        self.fired.append((event.id, begun))
        mesh.publish(event)

    async def talk(self, rate: float, phase: float) -> None:
        """Send fields at `rate` Hz and telemetry once a second."""
        mesh, loop = self.room.mesh, asyncio.get_running_loop()
        due, every = loop.time() + phase / rate, max(1, round(rate))
        for count in itertools.count():
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + 1 / rate, loop.time())  # missed fields are not made up for
            psi = math.remainder(count * 0.7, math.tau)
            mesh.send_field(Field(at=mesh.clock.now(), R=0.5, psi=psi, omega=7.5, n=220))
            if count % every == 0:
                mesh.send_telemetry(Telemetry(dict(RECORD), at=mesh.clock.now()))


async def main(url: str, room: str, count: int, rate: float) -> None:
    """Run the nodes and execute commands from stdin until it ends."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    nodes = [Listener(f"b{n}") for n in range(count)]
    tasks = []
    for index, node in enumerate(nodes):
        node.room = visit(room, url, node)
        tasks.append(asyncio.create_task(node.room.run()))
        tasks.append(asyncio.create_task(node.talk(rate, index / count)))
    while line := (await commands.readline()).decode().split():
        match line:
            case ["look"]:
                peers = [list(node.room.mesh.peers.values()) for node in nodes]
                _say([[len(some), sum(peer.linked for peer in some)] for some in peers])
            case ["fire", which]:
                nodes[int(which)].fire()
            case ["say", which, size]:
                mesh = nodes[int(which)].room.mesh
                mesh.send_telemetry(Telemetry(RECORD | {"pad": "x" * int(size)}, at=mesh.clock.now()))
            case ["report"]:
                _say({"fired": [node.fired for node in nodes], "heard": [node.heard for node in nodes]})
    await asyncio.gather(*(node.room.leave("measured") for node in nodes))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
