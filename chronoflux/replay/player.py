"""`Player`: moves a replay's position, and makes what is shown there on a thread of its own."""

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
"""Seconds for which the thread stays after somebody looked last."""
LOOKING = 1.0
"""Seconds after which a view that asked no more is taken for hidden: nothing is made for it."""
FRAME = 1 / 60
SLICE = 0.1
"""Seconds of computing after which what is reached so far is shown."""
CHECK = 0.02
"""Seconds of comparing at a time, while nothing else is to be done."""
AHEAD = 2.0
"""Seconds for which somebody has looked before that is made ready which was not asked for yet."""
FOLLOW = 2.0
"""Seconds between looks at a run that is still written, at least; and ten times what a look takes."""


@dataclass(frozen=True)
class PlaybackState:
    """What is to be shown: `place` is the position at time `since` (s of the monotonic clock)."""

    place: float = 0.0
    since: float = 0.0
    playing: bool = False
    speed: float = 1.0
    mode: str = RECORDED


class Player:
    """Of one replay. All of it may be called from any thread."""

    def __init__(self, replay: Replay) -> None:
        self.lock: threading.RLock = threading.RLock()
        """Held by whoever computes a moment of a run."""
        self.problem: str | None = None
        self._replay = replay
        self._wish = PlaybackState()
        self._guard = threading.Lock()  # of the wish and the thread
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._ahead: threading.Thread | None = None
        self._asked = -LOOKING
        self._made: tuple[float, str] = (0.0, RECORDED)
        self._look = 0.0

    # -- the wish --------------------------------------------------------------------------------------

    @property
    def position(self) -> float:
        """Second of the time line at this moment."""
        wish, end = self._wish, self._replay.duration
        moved = (time.monotonic() - wish.since) * wish.speed if wish.playing else 0.0
        return min(wish.place + moved, end)

    @property
    def playing(self) -> bool:
        """Whether it moves; at the end only where that is still being written."""
        return self._wish.playing and (self.position < self._replay.duration or self._growing)

    @property
    def speed(self) -> float:
        """Seconds of the time line a second."""
        return self._wish.speed

    @property
    def mode(self) -> str:
        """What is to be shown."""
        return self._wish.mode

    @property
    def _growing(self) -> bool:
        return any(track.growing for track in self._replay.runs)

    def play(self) -> None:
        """Move."""
        ended = self.position >= self._replay.duration and not self._growing
        self.change(playing=True, **({"place": 0.0} if ended else {}))

    def pause(self) -> None:
        """Hold."""
        self.change(playing=False)

    def seek(self, s: float) -> None:
        """Go to second `s`."""
        self.change(place=s)

    def change(self, **wishes: Any) -> None:
        """Wish for something else from now on; what is not named stays."""
        with self._guard:
            now = {"place": self.position, "since": time.monotonic()}
            self._wish = replace(self._wish, **(now | wishes))
        self.problem = None
        self._woken.set()

    # -- the thread ------------------------------------------------------------------------------------

    def asked(self) -> None:
        """Somebody looks."""
        self._asked = time.monotonic()
        if self._thread is not None:
            return
        with self._guard:
            if self._thread is None and not self._replay.closed:
                self._thread = threading.Thread(target=self._run, name="chronoflux replay", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it."""
        self._woken.set()
        _join(self._thread)
        _join(self._ahead)  # which only that one starts

    def _run(self) -> None:
        first = time.monotonic()
        while True:
            with self._guard:
                if self._replay.closed or time.monotonic() - self._asked > LINGER:
                    self._thread = None
                    return
            self._woken.clear()
            begun = time.monotonic()
            try:
                with self.lock:
                    busy = self._make() or self._follow() or self._check()
            except ChronofluxError as error:
                self.problem, busy = str(error), False
            except Exception as error:
                log.exception("the replay cannot be shown")
                self.problem, busy = f"cannot be shown: {error!r}", False
            if busy and not self._wish.playing:
                continue
            if begun - first > AHEAD:
                self._go_ahead()
            rest = FRAME - (time.monotonic() - begun) if self._wish.playing else 10 * FRAME
            if rest > 0:
                self._woken.wait(rest)

    def _go_ahead(self) -> None:
        """Read what it takes to compute the runs again, so that whoever switches to that need not wait; on a
        thread of its own, as long logs take seconds."""

        def open_all() -> None:
            for track in self._replay.runs:
                if track.past is not None and not self._replay.closed:
                    with contextlib.suppress(ChronofluxError):  # told of when it is asked for
                        track.computing()

        if self._ahead is None:
            self._ahead = threading.Thread(target=open_all, name="chronoflux replay, ahead", daemon=True)
            self._ahead.start()

    def _make(self) -> bool:
        """Make the moment wished for, or a part of the way there; whether there was anything to do."""
        wish, place = self._wish, self.position
        if (place, wish.mode) == self._made or time.monotonic() - self._asked > LOOKING:
            return False
        self._made = place, wish.mode  # also when it cannot be shown: once is enough
        until = time.monotonic() + SLICE * len(self._replay.runs)

        def stop() -> bool:
            return self._wish is not wish or time.monotonic() > until or self._replay.closed

        reached = place
        for track in self._replay.runs:
            t = self._replay.time_of(track, place)
            if wish.mode == RECOMPUTED:
                track.shown = track.recomputed(t, stop)
                if not track.shown.there:
                    reached = min(reached, self._replay.second(track, track.shown.t))
            else:
                track.shown = track.recorded(t)
        if reached < place:
            self._made = reached, wish.mode
            self._wait_for(wish, reached)
        return True

    def _wait_for(self, wish: PlaybackState, reached: float) -> None:
        """Computing cannot keep up with the speed: the position waits for it."""
        with self._guard:
            if self._wish is wish and wish.playing:
                self._wish = replace(wish, place=reached, since=time.monotonic())

    def _check(self) -> bool:
        """Compare a little more of the runs with their records."""
        if self.mode != RECOMPUTED:
            return False
        return any(track.computing().check_on(CHECK) for track in self._replay.runs)

    def _follow(self) -> bool:
        """Take in what was written meanwhile to runs that are still written."""
        now = time.monotonic()
        if now < self._look or not self._growing:
            return False
        grown = [track.refresh() for track in self._replay.runs]
        if any(grown):
            self._replay.extended()
        taken = time.monotonic() - now
        self._look = now + max(FOLLOW, 10 * taken)
        return any(grown)


def _join(thread: threading.Thread | None) -> None:
    if thread is not None and thread is not threading.current_thread():
        thread.join()
