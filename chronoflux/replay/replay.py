"""`Replay`: the timeline of past runs, and the moment shown on it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from chronoflux.errors import LogError, ParameterError, UsageError
from chronoflux.model.simulation import Snapshot
from chronoflux.replay.player import Player
from chronoflux.replay.recompute import Recomputed
from chronoflux.replay.recomputed import Agreement
from chronoflux.replay.recorded import Mark
from chronoflux.replay.track import MODES, RECOMPUTED, RECORDED, Track
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.snapshots import picture
from chronoflux.telemetry.maintain.inspect import has_swarm
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.read.discovery import RunFiles, Source, read_manifest
from chronoflux.util.attributes import FixedAttributes
from chronoflux.util.views import Viewable

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Speeds offered; all from the first to the last are allowed."""
MOST_RUNS = 8
"""Most runs side by side."""


class Happening(NamedTuple):
    """An event on the timeline: its second there, the number of its run, and its record."""

    s: float
    run: int
    mark: Mark


class Replay(FixedAttributes, Viewable):
    """Past runs, shown in a notebook like the live view with a scrub bar, or read by a program.

    The timeline of one run is its simulated time in seconds. Several runs are aligned by mesh time; second 0
    is the start of the earliest. All public methods may be called from any thread.

    Parameters
    ----------
    run
        A run folder, a folder of runs, a file, a glob, or a list of these, as for :func:`chronoflux.load`.
        Runs without ``run.json`` can be shown as recorded only. Replays of a live run update as it grows. The
        record of a room, which has no swarm, is skipped with a UserWarning.
    room
        The room whose runs are shown, if there are several rooms.
    mode
        ``"as recorded"``: metrics and events of the log, phases where they were recorded, saved states.
        ``"recomputed"``: the swarm of every tick, recomputed from seed, parameters and inputs, and compared
        with the record.

    Raises
    ------
    LogError
        When there is no run, one has no initial parameters and seed, or there are only records of rooms.
    UsageError
        When the runs are of several rooms, or more than 8.

    Examples
    --------
    A node that runs alone for 5 simulated seconds, and its replay.

    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     params = cf.Params(oscillators=60)
    ...     options = {"server": None, "params": params, "seed": 1, "speed": "max", "duration": 5}
    ...     node = await cf.join("lab", node_id="n1", **options)
    ...     await node.wait_closed()
    >>> asyncio.run(main())
    >>> with cf.Replay("logs") as replay:
    ...     replay.seek(2.0)
    ...     print(replay.position, replay.duration)
    ...     print(replay.at(4.0, mode="recomputed").phi.shape)
    2.0 5.008
    (60,)
    """

    closed: bool
    """Whether it was closed."""
    runs: tuple[Track, ...]
    """The runs, one track each."""
    duration: float
    """Length of the timeline, s."""
    events: Sequence[Happening]
    """All events, in the order of the timeline."""
    _VIEW = "replay"

    def __init__(self, run: Source, *, room: str | None = None, mode: str = RECORDED) -> None:
        self.closed = False
        self._callbacks: list[Callable[[], None]] = []
        self.runs = tuple(Track(self, found) for found in _chosen(run, room))
        self._lay_out()
        self._player = Player(self)
        self.mode = mode

    def __repr__(self) -> str:
        names = ", ".join(track.name for track in self.runs)
        return f"<Replay of {names}: {self.mode}, {self.position:.1f} of {self.duration:.1f} s>"

    def _lay_out(self) -> None:
        """Put the runs on one timeline."""
        if len(self.runs) == 1:
            self._zero = 0.0
            self.duration = self.runs[0].record.end
        else:
            self._zero = min(float(track.record.at[0]) for track in self.runs)
            self.duration = max(float(track.record.at[-1]) - self._zero for track in self.runs) / 1000
        happenings = [
            Happening(self.second(track, mark.t), number, mark)
            for number, track in enumerate(self.runs)
            for mark in track.record.marks
        ]
        self.events = sorted(happenings, key=lambda event: event[:2])
        after = np.array([event.s + self._step_of(event.run) for event in self.events], np.float64)
        self._after = np.unique(after)  # positions to step to, ascending
        self._first = np.searchsorted(np.maximum.accumulate(after), self._after)

    def second(self, track: Track, t: float) -> float:
        """Second of the timeline at simulated second `t` of a run."""
        if len(self.runs) == 1:
            return t
        return (float(np.interp(t, track.record.times, track.record.at)) - self._zero) / 1000

    def time_of(self, track: Track, s: float) -> float:
        """Simulated second of a run at second `s` of the timeline, limited to the run."""
        if len(self.runs) == 1:
            return min(max(s, 0.0), track.record.end)
        return float(np.interp(self._zero + 1000 * s, track.record.at, track.record.times))

    def _step_of(self, run: int) -> float:
        return self.runs[run].shown.snapshot.params.dt

    def extended(self) -> None:
        """Extend the timeline, after runs have grown."""
        self._lay_out()

    # -- position -------------------------------------------------------------------------------------

    @property
    def position(self) -> float:
        """The shown second of the timeline; see :meth:`seek`."""
        return self._player.position

    @property
    def playing(self) -> bool:
        """Whether it plays."""
        return self._player.playing

    def play(self) -> None:
        """Play from the position; from the start, if it is at the end."""
        self._player.play()

    def pause(self) -> None:
        """Pause."""
        self._player.pause()

    def seek(self, s: float) -> None:
        """Go to second `s` of the timeline, limited to its ends."""
        if not isinstance(s, int | float) or not math.isfinite(s):
            raise ParameterError("s", s, "seconds of the timeline, a finite number")
        self._player.seek(min(max(float(s), 0.0), self.duration))

    def step(self, events: int = 1) -> Happening | None:
        """Pause just after the next moment with an event, or with −1 the previous.

        Returns the first event of that moment; None if there is none.
        """
        if events == 0:
            return None
        here = self.position
        if events > 0:
            place = int(np.searchsorted(self._after, here + 1e-6, side="right")) + events - 1
        else:
            place = int(np.searchsorted(self._after, here - 1e-6, side="left")) + events
        if not 0 <= place < len(self._after):
            return None
        self.pause()
        self.seek(float(self._after[place]))
        return self.events[int(self._first[place])]

    @property
    def speed(self) -> float:
        """Seconds of the timeline per second, from 1/4 to 1000."""
        return self._player.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not isinstance(speed, int | float) or not SPEEDS[0] <= speed <= SPEEDS[-1]:
            raise ParameterError("speed", speed, f"a number from {SPEEDS[0]:g} to {SPEEDS[-1]:g}")
        self._player.change(speed=float(speed))

    @property
    def mode(self) -> str:
        """``"as recorded"`` or ``"recomputed"``."""
        return self._player.mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES:
            raise ParameterError("mode", mode, " or ".join(map(repr, MODES)))
        if mode == RECOMPUTED:
            for track in self.runs:
                track.require_past()
        self._player.change(mode=mode)

    @property
    def agreement(self) -> Agreement | None:
        """Whether the record agrees with the recomputed runs; None before recomputation."""
        found = [track.exact.agreement for track in self.runs if track.exact is not None]
        if not found:
            return None
        return Agreement(
            min(part.share for part in found),
            sum(part.records for part in found),
            sum(part.states for part in found),
            sum(part.differences for part in found),
            next((part.first for part in found if part.first), ""),
            next((part.engines for part in found if part.engines), ""),
        )

    @property
    def problem(self) -> str | None:
        """What cannot be shown, and why, in one line."""
        return self._player.problem

    # -- for programs ----------------------------------------------------------------------------------

    def at(self, s: float, run: int = 0, *, mode: str | None = None) -> Snapshot:
        """The swarm of a run at second `s` of the timeline, in `mode` or the present one.

        This waits for the computation; the position stays. `run` counts from 0. As recorded, the arrays are
        empty where no oscillators are recorded; otherwise they may be those of the last saved tick before:
        ``replay.runs[run].recorded(t).swarm`` names it.
        """
        track = self._track(run)
        mode = mode or self.mode
        if mode not in MODES:
            raise ParameterError("mode", mode, " or ".join(map(repr, MODES)))
        with self._player.lock:
            t = self.time_of(track, s)
            return (track.recomputed(t) if mode == RECOMPUTED else track.recorded(t)).snapshot

    @property
    def state(self) -> Snapshot:
        """The swarm of the first run at the position; see :meth:`at`."""
        return self.at(self.position)

    def frame(self, s: float, run: int = 0, *, mode: str | None = None, side: int = 800) -> NDArray[np.uint8]:
        """A picture of :meth:`at`: RGB, uint8 (height, width, 3), with the longer side `side` px."""
        if isinstance(side, bool) or not isinstance(side, int) or not 16 <= side <= 8192:
            raise ParameterError("side", side, "px, a whole number from 16 to 8192")
        return picture(self.at(s, run, mode=mode), side)

    def recompute(self) -> Recomputed:
        """Recompute the run from its seed, parameters, inputs and events, and compare all of it.

        At each telemetry record, `H`, `psi` and `tau` are compared, rounded as in the record; at each
        keyframe and at the checkpoint, the whole swarm, bit for bit. This waits for the computation.

        Raises
        ------
        LogError
            When the log cannot be read at all; missing or damaged parts are differences.
        UsageError
            When there are several runs, or the run has no initial parameters and seed.
        """
        if len(self.runs) != 1:
            raise UsageError("recompute() is for one run: name it, as cf.Replay(replay.runs[0].past.path)")
        return self.runs[0].require_past().recompute()

    def _track(self, run: int) -> Track:
        if isinstance(run, bool) or not isinstance(run, int) or not 0 <= run < len(self.runs):
            raise ParameterError("run", run, f"a number from 0 to {len(self.runs) - 1}")
        return self.runs[run]

    # -- for views -------------------------------------------------------------------------------------

    def asked(self) -> None:
        """A view asks for frames: keep them up to date for a while."""
        self._player.asked()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call a function when it is closed; at once, if it is closed already."""
        if self.closed:
            callback()
        else:
            self._callbacks.append(callback)

    def close(self) -> None:
        """Stop, and close the files. Closing again does nothing."""
        if self.closed:
            return
        self.closed = True
        self._player.close()
        for track in self.runs:
            track.close()
        for callback in self._callbacks:
            callback()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _chosen(source: Source, room: str | None) -> list[RunFiles]:
    """The runs of swarms that `source` names, of one room."""
    found = distinct_runs(source)
    runs = [run for run in found if has_swarm(run)]
    left_out = [run.folder or Path(run.name) for run in found if run not in runs]
    if left_out and not runs:
        raise LogError(
            left_out[0], "is the record of a room, with no swarm to show: name its nodes' own runs"
        )
    for path in left_out:
        warnings.warn(f"{path} is the record of a room, with no swarm: skipped", UserWarning, stacklevel=3)
    rooms = [read_manifest(run, Report()).get("room") for run in runs]
    if room is not None:
        known = sorted({str(name) for name in rooms if name is not None})
        runs = [run for run, name in zip(runs, rooms, strict=True) if name == room]
        if not runs:
            raise UsageError(f"no run of room {room!r} there; there are runs of {', '.join(known) or 'none'}")
    elif len(known := sorted({str(name) for name in rooms if name is not None})) > 1:
        raise UsageError(f"runs of {len(known)} rooms: choose one with room=, of {', '.join(known)}")
    if len(runs) > MOST_RUNS:
        raise UsageError(f"{len(runs)} runs, at most {MOST_RUNS} are shown side by side: name those you mean")
    return runs
