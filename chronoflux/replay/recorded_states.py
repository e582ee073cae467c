"""`Swarms`: the recorded oscillators of a run: recorded phases, and saved states."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chronoflux.errors import LogError
from chronoflux.telemetry.format.layout import CHECKPOINT, KEYFRAMES
from chronoflux.telemetry.format.phase_store import STORE, load_phases
from chronoflux.telemetry.format.saved_state import load_saved_state
from chronoflux.telemetry.format.snapshots import SNAPSHOTS

if TYPE_CHECKING:
    import xarray

    from chronoflux.model.engine import Floats
    from chronoflux.telemetry.read.journal import RevokedRanges

ROWS = 64
"""Rows of recorded phases read at once."""
PLACES = ("x", "y")
ALL = ("x", "y", "vx", "vy", "phi")


@dataclass(frozen=True)
class Swarm:
    """Recorded oscillators at `tick`.

    ``x, y`` (px), ``vx, vy`` (px per 1/60 s), ``phi`` (rad): float64 (n,). `source`: their origin, in words;
    `exact`: whether phases were recorded at that tick.
    """

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    phi: Floats
    tick: int
    source: str
    exact: bool


class Swarms:
    """The recorded oscillators in the run folder `path`.

    `void`: records that a resumed run has revoked. `first`: the initial oscillators, from parameters and
    seed. Not for use by two threads at once.
    """

    path: Path

    def __init__(self, path: Path, void: RevokedRanges, first: Swarm) -> None:
        self.path, self._void, self._first = path, void, first
        self.problem: str | None = None
        self._refused: set[Path] = set()
        self._saved: tuple[Path, Swarm] | None = None
        self._block: tuple[int, dict[str, Floats]] | None = None
        self._data: xarray.Dataset | None = None
        self._ticks: NDArray[np.int64] = np.empty(0, np.int64)
        self._states: list[tuple[int, Path]] = []
        self.refresh()

    def refresh(self) -> None:
        """List the saved states and phases again; a live run adds some."""
        found = []
        for folder in (KEYFRAMES, SNAPSHOTS):
            for path in (self.path / folder).glob("*.npz"):
                tick = path.stem.partition("-")[0]
                if tick.isdecimal():
                    found.append((int(tick), path))
        if (checkpoint := self._load(self.path / CHECKPOINT)) is not None:
            found.append((checkpoint.tick, self.path / CHECKPOINT))
        self._states = sorted(found)
        self.close()
        if (self.path / STORE).is_dir():
            self._open()

    def close(self) -> None:
        """Close the store."""
        if self._data is not None:
            self._data.close()
        self._data, self._block, self._ticks = None, None, np.empty(0, np.int64)

    def at(self, tick: int, since: int = 0) -> Swarm | None:
        """The oscillators at `tick`, or the last recorded ones before it, but not before `since`."""
        row = int(np.searchsorted(self._ticks, tick, side="right")) - 1
        recorded = int(self._ticks[row]) if row >= 0 else -1
        saved = self._saved_before(tick, since)
        phases = self._phases(row, recorded, saved) if recorded >= since else None
        if phases is None or (saved is not None and saved.tick > phases.tick):
            return saved
        return phases

    # -- saved states ----------------------------------------------------------------------------------

    def _saved_before(self, tick: int, since: int) -> Swarm | None:
        place = bisect.bisect_right(self._states, (tick, self.path / "\U0010ffff"))
        for when, path in reversed(self._states[:place]):
            if when < since:
                return None
            if path not in self._refused and (found := self._load(path)) is not None:
                return found
        first = self._first
        return first if first is not None and since <= first.tick <= tick else None

    def _load(self, path: Path) -> Swarm | None:
        if self._saved is not None and self._saved[0] == path and path.name != CHECKPOINT:
            return self._saved[1]
        if not path.is_file():
            return None
        try:
            simulation, position = load_saved_state(path)
        except LogError as error:
            self.problem = str(error)
            self._refused.add(path)
            return None
        if position is not None and self._void.covers(position):
            self._refused.add(path)
            return None
        state = simulation.state
        arrays = {name: getattr(state, name) for name in ALL}
        found = Swarm(**arrays, tick=simulation.tick, source="saved", exact=False)
        self._saved = path, found
        return found

    # -- recorded phases -------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            self._data = load_phases(self.path)
            self._ticks = np.asarray(self._data["tick"].values, np.int64)
        except LogError as error:
            self.problem = str(error)
            return
        if "phi" not in self._data or np.any(np.diff(self._ticks) < 0):
            self.problem = f"{self.path / STORE}: no phases in ascending ticks: they are not shown"
            self.close()

    def _phases(self, row: int, tick: int, saved: Swarm | None) -> Swarm | None:
        """The phases of a row of the store, with positions from there or from a saved state."""
        assert self._data is not None
        block = row // ROWS * ROWS
        if self._block is None or self._block[0] != block:
            rows = slice(block, block + ROWS)
            names = [name for name in ALL if name in self._data]
            values = {n: np.asarray(self._data[n][rows].values, np.float64) for n in names}
            self._block = block, values
        arrays: dict[str, Any] = {name: values[row - block] for name, values in self._block[1].items()}
        if not all(np.isfinite(values).all() for values in arrays.values()):
            return None  # damaged: a warning has named the rows
        n, source = len(arrays["phi"]), "phases"
        if not all(name in arrays for name in PLACES):
            of = np.asarray(self._data["oscillator"].values, np.int64)
            if saved is None or (len(of) and of.max() >= len(saved.x)):
                return None
            arrays |= {name: getattr(saved, name)[of] for name in ALL if name not in arrays}
            source = "phases, places"
        rest = {name: np.zeros(n) for name in ALL if name not in arrays}
        return Swarm(**arrays, **rest, tick=tick, source=source, exact=True)
