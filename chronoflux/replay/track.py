"""`Track`: one run of a replay, with the interface of a node as far as a picture needs it."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from chronoflux.errors import UsageError
from chronoflux.model.engine import pressure
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.replay.past_run import PastRun
from chronoflux.replay.recomputed import RecomputedRun
from chronoflux.replay.recorded import RunRecord
from chronoflux.replay.recorded_states import Swarm, Swarms
from chronoflux.telemetry.format.layout import MANIFEST, is_running
from chronoflux.telemetry.maintain.export_json import export_json
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.journal import RevokedRanges, read_revoked
from chronoflux.telemetry.recent import RecentRecord

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.replay.replay import Replay

RECORDED, RECOMPUTED = "as recorded", "recomputed"
"""The two modes: what the record says, and what is computed again from seed, parameters and inputs."""
MODES = (RECORDED, RECOMPUTED)
_EMPTY = np.empty(0)


@dataclass(frozen=True)
class Frame:
    """One moment of a run, as a picture shows it.

    ``t``: simulated s. ``R, psi``: the mean field, of the record or of the swarm. ``swarm``: where the
    oscillators are from, in words. ``there``: whether that is the moment asked for, or on the way there.
    ``metrics`` and ``peers`` as of the last record before.
    """

    mode: str
    t: float
    snapshot: Snapshot
    R: float
    psi: float
    swarm: str
    there: bool = True
    metrics: dict[str, Any] = field(default_factory=dict)
    peers: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class TrackStatus:
    """What a track says of itself; the fields of a node's status."""

    room: str
    node_id: str
    light: str
    text: str
    problem: str | None


class Track:
    """A run of `replay`. What reads it may be called from any thread; what computes belongs to its lock.

    Raises
    ------
    LogError
        When the run has no record, or its manifest does not say what it began with.
    """

    def __init__(self, replay: Replay, run: RunFiles) -> None:
        self._replay, self._run = replay, run
        self.name: str = run.name
        """The run's name."""
        has_manifest = run.folder is not None and (run.folder / MANIFEST).is_file()
        self.past = PastRun(run.folder) if has_manifest and run.folder is not None else None
        self._first = Params() if self.past is None else self.past.params
        self.record: RunRecord = RunRecord(run, self._first)
        facts = {} if self.past is None else self.past.facts
        self.room: str = str(facts.get("room") or self.record.room or "")
        self.node: str = str(facts.get("node") or self.record.node or run.name)
        self.seed: int = 0 if self.past is None else self.past.seed
        self.exact: RecomputedRun | None = None
        self._opening = threading.Lock()  # of `exact` and `past`
        self._swarms = self._open_swarms()
        self._size = self._on_disk()
        self.shown: Frame = self.recorded(0.0)

    def __repr__(self) -> str:
        return f"<Track {self.name}>"

    def _open_swarms(self) -> Swarms | None:
        if self.past is None or self._run.folder is None:
            return None
        void = (
            read_revoked(self._run)
            if any(m.type == "resume" for m in self.record.marks)
            else RevokedRanges([], [], [], [])
        )
        first = Simulation(self._first, seed=self.seed).state
        arrays = {name: getattr(first, name) for name in ("x", "y", "vx", "vy", "phi")}
        return Swarms(self._run.folder, void, Swarm(**arrays, tick=0, source="as it began", exact=False))

    # -- moments, to be asked for by one thread at a time ----------------------------------------------

    def recorded(self, t: float) -> Frame:
        """What is on record of second `t`."""
        t = min(max(t, 0.0), self.record.end)
        record, field = self.record, self.record.field
        params = field.params_at(t)
        tick, began = record.tick(t), record.tick(field.began_at(t))
        swarm = None if self._swarms is None else self._swarms.at(tick, began)
        pulses, portal = field.pulses_at(t), field.portal_at(t)
        arrays = {name: _EMPTY if swarm is None else getattr(swarm, name) for name in _ARRAYS}
        plane = params.boundary == "plane"
        arrays["pressure"] = pressure(arrays["x"], arrays["y"], params.world, plane, t, portal, pulses)
        arrays["pulses"] = pulses
        for array in arrays.values():
            array.flags.writeable = False
        snapshot = Snapshot(**arrays, portal=portal, tick=tick, t=t, params=params, seed=self.seed)
        moment = record.moment(t)
        R, psi = (0.0, 0.0) if moment is None else (moment.R, moment.psi)
        if swarm is not None and swarm.tick == tick and len(swarm.phi):
            z = np.exp(1j * swarm.phi).mean()
            R, psi = float(abs(z)), float(np.angle(z))
        return Frame(
            mode=RECORDED,
            t=t,
            snapshot=snapshot,
            R=R,
            psi=psi,
            swarm=_source(swarm, tick, params.dt),
            metrics={} if moment is None else moment.metrics,
            peers=self._peers(t),
        )

    def recomputed(self, t: float, stop: Callable[[], bool] = lambda: False) -> Frame:
        """The swarm of second `t` computed again, or of where `stop` stopped it."""
        exact = self.computing()
        there = exact.seek(self.record.tick(t), stop)
        simulation = exact.simulation
        R, psi, omega = simulation.mean_field()
        recorded = self.record.moment(simulation.t)
        metrics = {} if recorded is None else dict(recorded.metrics)
        return Frame(
            mode=RECOMPUTED,
            t=simulation.t,
            snapshot=simulation.snapshot(),
            R=R,
            psi=psi,
            swarm="every tick computed" if there else f"on the way to {clock(t)}",
            there=there,
            metrics=metrics | {"H": R, "psi": psi, "omega": omega},
            peers=self._peers(simulation.t),
        )

    def computing(self) -> RecomputedRun:
        """The run computed again, opened on first use; to open it, any thread may call this at any time."""
        with self._opening:
            if self.exact is None:
                self.exact = RecomputedRun(self.require_past(), growing=self.growing)
            return self.exact

    def require_past(self) -> PastRun:
        """What it began with; a UsageError where nothing says so."""
        if self.past is None:
            raise UsageError(
                f"{self.name} cannot be recomputed: it has no {MANIFEST} with parameters and seed; "
                f"mode={RECORDED!r} shows what is on record"
            )
        return self.past

    def _peers(self, t: float) -> list[dict[str, Any]]:
        names = self.record.names
        return [
            {"id": p.id, "name": names.get(p.id, ""), "H": np.nan if p.R is None else p.R, "dpsi": p.dpsi}
            for p in self.record.peerings(t)
        ]

    # -- a run that is still written -------------------------------------------------------------------

    @property
    def growing(self) -> bool:
        """Whether the run is still being written, as far as can be told from here."""
        if self.past is None:
            return False
        facts = self.past.facts
        pid, here = facts.get("pid"), facts.get("host") == platform.node()
        return facts.get("status") == "running" and (not here or pid == os.getpid() or is_running(pid))

    def _on_disk(self) -> dict[str, int]:
        """The sizes of its logs and segments, by name."""
        folder = self._run.folder
        files = [] if folder is None else [*folder.glob("*.jsonl"), *folder.glob("*.parquet")]
        sizes = {}
        for file in files:
            with contextlib.suppress(OSError):  # closed into a segment just now
                sizes[file.name] = file.stat().st_size
        return sizes

    def refresh(self) -> bool:
        """Take in what was written since the last time; whether there was anything."""
        if not self.growing or self.past is None or self._run.folder is None:
            return False
        if not self._opening.acquire(blocking=False):
            return False  # it is being opened, which may take seconds: the next time then
        try:
            self.past = PastRun(self._run.folder)
            size = self._on_disk()
            if size == self._size and self.growing:
                return False
            self._size = size
            self.record = RunRecord(self._run, self._first)
            if self._swarms is not None:
                self._swarms.refresh()
            if self.exact is not None:
                self.exact.refresh(growing=self.growing)
            return True
        finally:
            self._opening.release()

    def close(self) -> None:
        """Let go of its files."""
        if self._swarms is not None:
            self._swarms.close()

    # -- what a picture asks ---------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The swarm at the moment shown; what was ready last, while another is being made."""
        self._replay.asked()
        return self.shown.snapshot

    @property
    def mean_field(self) -> tuple[float, float]:
        """``R, psi`` (rad) of the moment shown."""
        return self.shown.R, self.shown.psi

    @property
    def params(self) -> Params:
        """The parameters in force at the moment shown; the past cannot be changed."""
        return self.shown.snapshot.params

    @params.setter
    def params(self, params: Params) -> None:
        self._refuse()

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics at the moment shown."""
        return self.shown.metrics

    @property
    def recent(self) -> RecentRecord:
        """Empty: the time line shows the record of a replayed run."""
        return RecentRecord()

    @property
    def peers(self) -> pd.DataFrame:
        """Its peers at the moment shown: ``id, name, H, dpsi``."""
        import pandas as pd

        return pd.DataFrame(self.shown.peers, columns=["id", "name", "H", "dpsi"])

    @property
    def status(self) -> TrackStatus:
        """What is shown, in words."""
        light = "linked" if self.shown.peers else "alone"
        problem = None if self._swarms is None else self._swarms.problem
        if self.shown.mode == RECORDED:
            problem = problem or self.record.field.problem
        return TrackStatus(self.room, self.node, light, f"{self.shown.mode}: {self.shown.swarm}", problem)

    @property
    def playing(self) -> bool:
        """Whether the replay goes on."""
        return self._replay.playing

    @property
    def closed(self) -> bool:
        """Whether the replay was closed."""
        return self._replay.closed

    def play(self) -> None:
        """Let the replay go on."""
        self._replay.play()

    def pause(self) -> None:
        """Hold the replay."""
        self._replay.pause()

    @property
    def speed(self) -> float:
        """That of the replay, where it is changed too."""
        return self._replay.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._replay.speed = speed

    def fire(self, name: str, **data: Any) -> NoReturn:
        """Refused with a UsageError: nothing can be fired in the past."""
        self._refuse()

    def step(self) -> NoReturn:
        """Refused likewise; the replay steps from event to event."""
        self._refuse()

    def reset(self) -> NoReturn:
        """Refused likewise."""
        self._refuse()

    def note(self, text: str) -> NoReturn:
        """Refused likewise."""
        self._refuse()

    def export_log(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole log as one JSON array; see :func:`chronoflux.telemetry.export_json`."""
        return export_json(self._run.folder or self._run.files[0], path)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have a function called when the replay is closed."""
        self._replay.on_close(callback)

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"{self.name} is the past, which cannot be changed: go on from it with cf.join(resume=…)"
        )


_ARRAYS = ("x", "y", "vx", "vy", "phi")


def _source(swarm: Swarm | None, tick: int, dt: float) -> str:
    """Where the oscillators of a picture are from, in words."""
    if swarm is None:
        return "metrics only, no swarm on record here"
    if swarm.exact:
        return f"{swarm.source} recorded at {clock(swarm.tick * dt)}"
    if swarm.tick == tick == 0:
        return "swarm as it began"
    if swarm.tick == tick:
        return f"swarm saved at {clock(swarm.tick * dt)}"
    what = "as it began" if swarm.tick == 0 else f"as saved at {clock(swarm.tick * dt)}"
    return f"metrics and field of now, swarm {what}"


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss``."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
