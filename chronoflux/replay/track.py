"""`Track`: one run of a replay, with the interface of a node as far as a view needs it."""

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
"""The two modes: the content of the record, and recomputation from seed, parameters and inputs."""
MODES = (RECORDED, RECOMPUTED)
_EMPTY = np.empty(0)


@dataclass(frozen=True)
class Frame:
    """One moment of a run, as a view shows it.

    ``t``: simulated s. ``R``, ``psi`` (rad): the mean field, of the record or of the swarm. ``swarm``: the
    origin of the oscillators, in words. ``there``: whether this is the requested moment, or one on the way to
    it. ``metrics`` and ``peers``: those of the last record before.
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
    """Status of a track, with the fields of a node's status."""

    room: str
    node_id: str
    light: str
    text: str
    problem: str | None


class Track:
    """A run of `replay`. Any thread may read it; computation needs the replay's lock.

    Raises
    ------
    LogError
        When the run has no record, or its manifest has no initial parameters and seed.
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
        self._opening = threading.Lock()  # guards `exact` and `past`
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

    # -- moments; for one thread at a time -------------------------------------------------------------

    def recorded(self, t: float) -> Frame:
        """What is recorded of second `t`."""
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
        """The recomputed swarm of second `t`, or of the tick at which `stop()` stopped."""
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
        """The recomputed run, opened on first use; any thread may call this at any time."""
        with self._opening:
            if self.exact is None:
                self.exact = RecomputedRun(self.require_past(), growing=self.growing)
            return self.exact

    def require_past(self) -> PastRun:
        """The run with its initial parameters and seed; UsageError if there are none."""
        if self.past is None:
            raise UsageError(
                f"{self.name} cannot be recomputed: it has no {MANIFEST} with parameters and seed; "
                f"mode={RECORDED!r} shows what is recorded"
            )
        return self.past

    def _peers(self, t: float) -> list[dict[str, Any]]:
        names = self.record.names
        return [
            {"id": p.id, "name": names.get(p.id, ""), "H": np.nan if p.R is None else p.R, "dpsi": p.dpsi}
            for p in self.record.peerings(t)
        ]

    # -- live runs -------------------------------------------------------------------------------------

    @property
    def growing(self) -> bool:
        """Whether the run is live, as far as is known on this machine."""
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
            with contextlib.suppress(OSError):  # just moved into a segment
                sizes[file.name] = file.stat().st_size
        return sizes

    def refresh(self) -> bool:
        """Read what was written since the last call; return whether there was anything."""
        if not self.growing or self.past is None or self._run.folder is None:
            return False
        if not self._opening.acquire(blocking=False):
            return False  # it is being opened, which may take seconds: try next time
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
        """Close its files."""
        if self._swarms is not None:
            self._swarms.close()

    # -- for views ------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The swarm at the shown moment: the last one that is ready."""
        self._replay.asked()
        return self.shown.snapshot

    @property
    def mean_field(self) -> tuple[float, float]:
        """``R``, ``psi`` (rad) at the shown moment."""
        return self.shown.R, self.shown.psi

    @property
    def params(self) -> Params:
        """The parameters at the shown moment; they cannot be changed."""
        return self.shown.snapshot.params

    @params.setter
    def params(self, params: Params) -> None:
        self._refuse()

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics at the shown moment."""
        return self.shown.metrics

    @property
    def recent(self) -> RecentRecord:
        """Empty: the timeline shows the record of a replayed run."""
        return RecentRecord()

    @property
    def peers(self) -> pd.DataFrame:
        """Its peers at the shown moment: ``id, name, H, dpsi``."""
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
        """Whether the replay plays."""
        return self._replay.playing

    @property
    def closed(self) -> bool:
        """Whether the replay was closed."""
        return self._replay.closed

    def play(self) -> None:
        """Play the replay."""
        self._replay.play()

    def pause(self) -> None:
        """Pause the replay."""
        self._replay.pause()

    @property
    def speed(self) -> float:
        """The speed of the replay, which setting it changes."""
        return self._replay.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._replay.speed = speed

    def fire(self, name: str, **data: Any) -> NoReturn:
        """Raise UsageError: a past run takes no events."""
        self._refuse()

    def step(self) -> NoReturn:
        """Raise UsageError; :meth:`Replay.step` steps from event to event."""
        self._refuse()

    def reset(self) -> NoReturn:
        """Raise UsageError."""
        self._refuse()

    def note(self, text: str) -> NoReturn:
        """Raise UsageError."""
        self._refuse()

    def export_log(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole log as one JSON array; see :func:`chronoflux.telemetry.export_json`."""
        return export_json(self._run.folder or self._run.files[0], path)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call a function when the replay is closed."""
        self._replay.on_close(callback)

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"{self.name} is a past run, which cannot be changed: continue it with cf.join(resume=…)"
        )


_ARRAYS = ("x", "y", "vx", "vy", "phi")


def _source(swarm: Swarm | None, tick: int, dt: float) -> str:
    """The origin of the oscillators, in words."""
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
