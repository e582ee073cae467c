"""Something for a widget to draw: a real simulation with a node's interface, without a network."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from chronoflux.model.events import EVENTS
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.telemetry.recent import RecentRecord


class SwarmSource:
    """A simulation that ticks in real time on the loop it is started on."""

    def __init__(self, params: Params | None = None, *, seed: int = 7) -> None:
        self.simulation = Simulation(params or Params(), seed=seed)
        self.playing = True
        self.closed = False
        self.speed: float | str = 1.0
        self.steps = self.resets = 0
        self.recent = RecentRecord()
        self.fired: list[tuple[str, dict[str, Any], str]] = []
        self.table = pd.DataFrame(columns=["id", "name", "H", "dpsi"])
        self.light, self.text, self.problem = "alone", "alone (no server wanted)", None
        self.room = "room1"
        self.notes: list[str] = []
        self._places = random.Random(seed)
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> SwarmSource:
        self._task = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        begun, done = loop.time(), 0
        while not self.closed:
            due = int((loop.time() - begun) / self.params.dt)
            if self.playing:
                self.simulation.advance(min(due - done, 16))
            done = due
            await asyncio.sleep(self.params.dt / 2)

    async def leave(self) -> None:
        self.closed = True
        if self._task is not None:
            await self._task
        for callback in self._callbacks:
            callback()

    @property
    def params(self) -> Params:
        return self.simulation.params

    @params.setter
    def params(self, params: Params) -> None:
        self.simulation.params = params

    @property
    def metrics(self) -> dict[str, Any]:
        return {**self.simulation.metrics(), "peers": len(self.table), "H_mesh": 0.5}

    @property
    def peers(self) -> pd.DataFrame:
        return self.table

    @property
    def status(self) -> SimpleNamespace:
        return SimpleNamespace(
            room=self.room, node_id="test", light=self.light, text=self.text, problem=self.problem
        )

    def snapshot(self) -> Snapshot:
        return self.simulation.snapshot()

    def play(self) -> None:
        self.playing = True

    def pause(self) -> None:
        self.playing = False

    def step(self) -> None:
        self.playing = False
        self.steps += 1
        self.simulation.advance(1)

    def reset(self) -> None:
        self.resets += 1
        self.simulation.reset(tick=self.simulation.tick)

    def fire(self, name: str, **data: Any) -> None:
        kind, world = EVENTS[name], self.params.world
        whole = kind.check(kind.place(data, world, self._places), world)
        self.recent.add(name, whole, {})
        self.fired.append((name, whole, threading.current_thread().name))
        self.simulation.fire(name, **whole)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def export_log(self, path: str | Path) -> Path:
        Path(path).write_text("[]")
        return Path(path)

    def on_close(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def __repr__(self) -> str:
        return "<SwarmSource>"
