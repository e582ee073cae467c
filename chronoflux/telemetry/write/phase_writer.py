"""`PhaseLog`: writes the phases of a live swarm to its run's ``phases.zarr`` on a separate thread."""

from __future__ import annotations

import importlib.util
import logging
import math
import shutil
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from chronoflux.errors import LogError, ParameterError, UsageError, shorten
from chronoflux.model.engine import Floats
from chronoflux.model.params import Params
from chronoflux.model.recording import MOST_ROWS, MOST_VALUES, Block
from chronoflux.telemetry.format.phase_store import INSTALL, STORE, PhaseStore, is_bare

WRITE_EVERY = 2.0
"""Real seconds that rows are collected before they are written; a killed process loses as much."""
RETRY_EVERY = 1.0
"""Real seconds between two attempts while writing fails."""
WAITING = 64 << 20
"""Bytes of rows that may wait for the disk, and at least two rows. Beyond that, rows are left out."""

Row: TypeAlias = tuple[int, float, Floats]
logger: logging.Logger = logging.getLogger(__name__)


class PhaseOptions(NamedTuple):
    """A recording request: phases every `seconds` simulated s, of the first `of` oscillators or of all."""

    seconds: float
    of: int | None = None

    @classmethod
    def checked(cls, seconds: Any, of: Any) -> Self | None:
        """Check a user's values. Return None when nothing is to be recorded.

        Raises
        ------
        UsageError
            When a value is invalid, or a package that the store needs is not installed.
        """
        if seconds is None:
            if of is not None:
                raise UsageError(f"phases_of = {shorten(of)}: give the interval too, for example phases=1.0")
            return None
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not number or not 0 < seconds < math.inf:
            raise UsageError(f"phases = {shorten(seconds)}: give a number of simulated seconds > 0")
        if of is not None and (isinstance(of, bool) or not isinstance(of, int) or of < 1):
            raise UsageError(f"phases_of = {shorten(of)}: give a whole number of oscillators > 0")
        return cls(float(seconds), of)

    @classmethod
    def from_manifest(cls, facts: Any) -> Self | None:
        """Restore the request from a manifest; None when it has none."""
        return cls.checked(facts.get("seconds"), facts.get("of")) if isinstance(facts, dict) else None

    def check(self, params: Params) -> None:
        """Raise UsageError or ParameterError unless a swarm with these parameters can be recorded here."""
        if not all(importlib.util.find_spec(name) for name in ("zarr", "xarray")):
            raise UsageError(f"phases = {self.seconds:g} {INSTALL}")
        if self.of is not None and self.of > params.oscillators:
            raise ParameterError("phases_of", self.of, f"at most {params.oscillators}, all oscillators")


class PhaseLog:
    """Queue of phase rows with a thread that writes them. The swarm's thread calls `add` and `keeps_up`.

    Parameters
    ----------
    folder
        The run's folder. An existing store is continued; its rows after `tick` are removed.
    flush_log
        Called before rows are written: the log must have reached the same tick.

    Raises
    ------
    LogError
        When the store cannot be created or continued.
    """

    def __init__(
        self,
        folder: Path,
        options: PhaseOptions,
        params: Params,
        seed: int,
        tick: int,
        flush_log: Callable[[], bool],
    ) -> None:
        self.period: float = options.seconds
        self.problem: str | None = None
        """Reason why rows are currently not written or are left out; None when there is none."""
        self.left_out: int = 0
        """Rows left out because the disk was too slow or full, or the number of oscillators did not match."""
        self._flush_log = flush_log
        self._columns = options.of or params.oscillators
        self._all = options.of is None
        self._rows_per_write = min(MOST_ROWS, max(1, MOST_VALUES // self._columns))
        self._store = self._open_store(folder / STORE, options, params, seed, tick)
        self._columns = self._store.columns or self._columns
        self._rows: deque[Row] = deque()
        self._max_rows_waiting = max(2, WAITING // (8 * self._columns))
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"phases {folder.name}", daemon=True)
        self._thread.start()

    def _open_store(
        self, path: Path, options: PhaseOptions, params: Params, seed: int, tick: int
    ) -> PhaseStore:
        try:
            return PhaseStore.reopen(path, tick)
        except LogError:
            if path.exists() and not is_bare(path):
                raise
        shutil.rmtree(path, ignore_errors=True)  # a store of a run that was killed before its first rows
        facts = {"params": params.to_dict(), "seed": seed, "seconds": options.seconds}
        return PhaseStore(path, attributes=facts, chunk_rows=self._rows_per_write)

    def add(self, tick: int, t: float, phi: Floats) -> None:
        """Queue a row. Never blocks; rows beyond the limit are left out and counted.

        Parameters
        ----------
        tick
            Tick of the row.
        t
            Simulated time, s.
        phi
            Phases, rad, (n,); copied.
        """
        n = len(phi)
        if n < self._columns or (self._all and n > self._columns):
            self._leave_out(f"the swarm has {n} oscillators now, but the store has {self._columns}")
            return
        with self._wake:
            full = self._closing or len(self._rows) >= self._max_rows_waiting
            if not full:
                self._rows.append((tick, t, phi[: self._columns].copy()))
                if len(self._rows) >= self._rows_per_write:
                    self._wake.notify_all()
        if full:
            self._leave_out("the disk is too slow, or cannot be written")

    def _leave_out(self, why: str) -> None:
        self.left_out += 1
        if self.problem is None:
            self._warn(f"{self._store.path}: phases are left out: {why}")

    def _warn(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            logger.warning(problem)

    def keeps_up(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the queue is at most half full. Return whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: len(self._rows) <= self._max_rows_waiting // 2, timeout)

    def close(self, timeout: float) -> bool:
        """Write the waiting rows within `timeout` seconds. Return whether all were written in time."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(
                        lambda: self._closing or len(self._rows) >= self._rows_per_write, WRITE_EVERY
                    )
                    closing = self._closing
                    rows = list(islice(self._rows, self._rows_per_write))
                if not rows and closing:
                    return
                if rows and not self._write(rows):
                    if closing:
                        return  # `problem` holds the reason
                    with self._wake:
                        self._wake.wait_for(lambda: self._closing, RETRY_EVERY)
        finally:
            self._store.close()

    def _write(self, rows: list[Row]) -> bool:
        """Write the first of the waiting rows. Return whether they are on the disk."""
        if not threading.main_thread().is_alive():  # Zarr's own threads have ended then
            self._warn(
                f"{self._store.path}: the program ended before the node left: the last rows are missing"
            )
            return False
        if not self._flush_log():
            return False  # the log itself cannot be written, and reports that
        ticks, times, phases = zip(*rows, strict=True)
        block = Block(tick=np.array(ticks, np.int64), t=np.array(times), values={"phi": np.array(phases)})
        try:
            self._store.append(block)
        except LogError as error:
            self._warn(str(error))
            return False
        self.problem = None
        with self._wake:
            for _ in rows:
                self._rows.popleft()
            self._wake.notify_all()
        return True
