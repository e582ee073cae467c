"""`Player`: moves a replay's position, and makes its frames on a background thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chronoflux.errors import ChronofluxError
from chronoflux.replay.track import RECOMPUTED, RECORDED

if TYPE_CHECKING:
    from chronoflux.replay.replay import Replay

log: logging.Logger = logging.getLogger(__name__)

LINGER = 5.0
"""Seconds for which the thread runs after the last request."""
VISIBLE = 1.0
"""Seconds without a request after which views count as hidden; no frames are made for them."""
FRAME = 1 / 60
SLICE = 0.1
"""Seconds of computation after which the frame reached so far is shown."""
CHECK = 0.02
"""Seconds of one step of the comparison with the record, while there is nothing else to do."""
PREFETCH = 2.0
"""Seconds of viewing after which recomputation is prepared in the background."""
FOLLOW = 2.0
"""Least seconds between two checks of a live run; also at least ten times what a check takes."""


@dataclass(frozen=True)
class PlaybackState:
    """What to show: `place` is the position (s) at time `since` (s, monotonic clock)."""

    place: float = 0.0
    since: float = 0.0
    playing: bool = False
    speed: float = 1.0
    mode: str = RECORDED


class Player:
    """Plays one replay. All methods may be called from any thread."""

    def __init__(self, replay: Replay) -> None:
        self.lock: threading.RLock = threading.RLock()
        """Held while a frame of a run is computed."""
        self.problem: str | None = None
        self._replay = replay
        self._state = PlaybackState()
        self._guard = threading.Lock()  # of the state and the thread
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._prefetcher: threading.Thread | None = None
        self._asked = -VISIBLE
        self._shown: tuple[float, str] = (0.0, RECORDED)
        self._next_check = 0.0

    # -- the state -------------------------------------------------------------------------------------

    @property
    def position(self) -> float:
        """The present position on the timeline, s."""
        state, end = self._state, self._replay.duration
        moved = (time.monotonic() - state.since) * state.speed if state.playing else 0.0
        return min(state.place + moved, end)

    @property
    def playing(self) -> bool:
        """Whether it plays; at the end, only if a run is live."""
        return self._state.playing and (self.position < self._replay.duration or self._growing)

    @property
    def speed(self) -> float:
        """Seconds of the timeline per second."""
        return self._state.speed

    @property
    def mode(self) -> str:
        """``"as recorded"`` or ``"recomputed"``."""
        return self._state.mode

    @property
    def _growing(self) -> bool:
        return any(track.growing for track in self._replay.runs)

    def play(self) -> None:
        """Play."""
        ended = self.position >= self._replay.duration and not self._growing
        self.change(playing=True, **({"place": 0.0} if ended else {}))

    def pause(self) -> None:
        """Pause."""
        self.change(playing=False)

    def seek(self, s: float) -> None:
        """Go to second `s` of the timeline."""
        self.change(place=s)

    def change(self, **changes: Any) -> None:
        """Change some fields of the state from now on."""
        with self._guard:
            now = {"place": self.position, "since": time.monotonic()}
            self._state = replace(self._state, **(now | changes))
        self.problem = None
        self._changed.set()

    # -- the thread ------------------------------------------------------------------------------------

    def asked(self) -> None:
        """A view asks for a frame."""
        self._asked = time.monotonic()
        if self._thread is not None:
            return
        with self._guard:
            if self._thread is None and not self._replay.closed:
                self._thread = threading.Thread(target=self._run, name="chronoflux replay", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop the threads and wait for them."""
        self._changed.set()
        _join(self._thread)
        _join(self._prefetcher)  # started by the other thread only

    def _run(self) -> None:
        first = time.monotonic()
        while True:
            with self._guard:
                if self._replay.closed or time.monotonic() - self._asked > LINGER:
                    self._thread = None
                    return
            self._changed.clear()
            begun = time.monotonic()
            try:
                with self.lock:
                    busy = self._make() or self._follow() or self._check()
            except ChronofluxError as error:
                self.problem, busy = str(error), False
            except Exception as error:
                log.exception("the replay cannot be shown")
                self.problem, busy = f"cannot be shown: {error!r}", False
            if busy and not self._state.playing:
                continue
            if begun - first > PREFETCH:
                self._prefetch()
            rest = FRAME - (time.monotonic() - begun) if self._state.playing else 10 * FRAME
            if rest > 0:
                self._changed.wait(rest)

    def _prefetch(self) -> None:
        """Prepare recomputation, so that a change of mode need not wait.

        This has its own thread, because reading a long log takes seconds.
        """

        def open_all() -> None:
            for track in self._replay.runs:
                if track.past is not None and not self._replay.closed:
                    with contextlib.suppress(ChronofluxError):  # reported when recomputation is asked for
                        track.computing()

        if self._prefetcher is None:
            self._prefetcher = threading.Thread(
                target=open_all, name="chronoflux replay, prefetch", daemon=True
            )
            self._prefetcher.start()

    def _make(self) -> bool:
        """Make the frame to show, or compute a part of the way; return whether there was anything to do."""
        state, place = self._state, self.position
        if (place, state.mode) == self._shown or time.monotonic() - self._asked > VISIBLE:
            return False
        self._shown = place, state.mode  # also if it cannot be shown, to try only once
        until = time.monotonic() + SLICE * len(self._replay.runs)

        def stop() -> bool:
            return self._state is not state or time.monotonic() > until or self._replay.closed

        reached = place
        for track in self._replay.runs:
            t = self._replay.time_of(track, place)
            if state.mode == RECOMPUTED:
                track.shown = track.recomputed(t, stop)
                if not track.shown.there:
                    reached = min(reached, self._replay.second(track, track.shown.t))
            else:
                track.shown = track.recorded(t)
        if reached < place:
            self._shown = reached, state.mode
            self._wait_for(state, reached)
        return True

    def _wait_for(self, state: PlaybackState, reached: float) -> None:
        """Hold the position back, because computation is slower than playback."""
        with self._guard:
            if self._state is state and state.playing:
                self._state = replace(state, place=reached, since=time.monotonic())

    def _check(self) -> bool:
        """Compare a further part of the runs with their records."""
        if self.mode != RECOMPUTED:
            return False
        return any(track.computing().check_for(CHECK) for track in self._replay.runs)

    def _follow(self) -> bool:
        """Read what was written to live runs meanwhile."""
        now = time.monotonic()
        if now < self._next_check or not self._growing:
            return False
        grown = [track.refresh() for track in self._replay.runs]
        if any(grown):
            self._replay.extended()
        taken = time.monotonic() - now
        self._next_check = now + max(FOLLOW, 10 * taken)
        return any(grown)


def _join(thread: threading.Thread | None) -> None:
    if thread is not None and thread is not threading.current_thread():
        thread.join()
