"""`RecordQueue`: numbered records and inputs that wait in memory for the disk, up to a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoflux.errors import LogError
from chronoflux.telemetry.format.records import to_json


class RecordQueue:
    """Queue of at most `limit` bytes; records and inputs beyond it are dropped and counted.

    After the first drop, everything is dropped until a ``gap`` record is queued: each gap is recorded.
    """

    flush_wanted: bool
    seq: int
    inputs: int

    def __init__(self, path: Path, limit: int, seq: int, inputs: int) -> None:
        self.wake: threading.Condition = threading.Condition()
        """Lock of all attributes; notified when there is a reason to write."""
        self.closing = self.flush_wanted = False
        self.dropped: int = 0
        self.latest: tuple[int | None, float | None] = (None, None)
        """Latest tick and t."""
        self.seq, self.inputs = seq, inputs
        self._path, self._limit = path, limit
        self._queues: tuple[list[bytes], list[bytes]] = ([], [])  # inputs, records
        self._accepted = 0  # total bytes queued so far
        self._queued = 0  # bytes in the queues and being written by the thread
        self._dropped_since_gap = 0
        self._gap_from: int | None = None  # tick of the first drop since the last gap record

    def add_record(self, record: dict[str, Any]) -> None:
        """Number, timestamp and queue a record. Raises LogError when it cannot be written as JSON."""
        with self.wake:
            if self.closing:
                return
            self.latest = (record["tick"], record["t"])
            if not self._is_full(record["tick"]):
                self._accept(record)
                if self._queued > self._limit // 2:
                    self.wake.notify_all()

    def add_input(self, tick: int, fields: Mapping[str, Any]) -> None:
        """Number and queue an input. Raises LogError when it cannot be written as JSON."""
        with self.wake:
            if self.closing or self._is_full(tick):
                return
            try:
                line = to_json({"seq": self.inputs, "tick": tick, **fields}) + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                raise LogError(self._path, f"an input cannot be written: {error}") from error
            self.inputs += 1
            self._enqueue(0, line)

    def _is_full(self, tick: int | None) -> bool:
        """Return whether the queue is full. If so, count one dropped line."""
        if not self._dropped_since_gap and self._queued < self._limit:
            return False
        if not self._dropped_since_gap:
            self._gap_from = tick
        self.dropped += 1
        self._dropped_since_gap += 1
        return True

    def _accept(self, record: dict[str, Any]) -> None:
        """Queue a record. The lock is held, so that the file's order is that of `seq`."""
        now = {"timestamp": time.time_ns() // 1_000_000}
        try:
            line = to_json(now | record | {"seq": self.seq, "mono": time.monotonic_ns()}) + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise LogError(self._path, f"a {record['type']} record cannot be written: {error}") from error
        self.seq += 1
        self._enqueue(1, line)

    def _enqueue(self, kind: int, line: bytes) -> None:
        self._queues[kind].append(line)
        self._accepted += len(line)
        self._queued += len(line)

    def flush(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until everything queued so far is written. Return whether it is."""
        with self.wake:
            target = self._accepted
            self.flush_wanted = True
            self.wake.notify_all()
            return self.wake.wait_for(lambda: self._accepted - self._queued >= target, timeout)

    # For the thread that writes

    def has_reason(self) -> bool:
        """Return whether to write at once. The lock must be held."""
        return self.closing or self.flush_wanted or self._queued > self._limit // 2

    def take(self) -> tuple[bytes, bytes]:
        """Remove and return the queued inputs and records."""
        with self.wake:
            queues, self._queues = self._queues, ([], [])
        return b"".join(queues[0]), b"".join(queues[1])

    def mark_written(self, size: int) -> None:
        """Note that `size` queued bytes have been written."""
        with self.wake:
            self._queued -= size
            self.wake.notify_all()

    def end_gap(self, outage: str | None) -> int | None:
        """After an outage or drops, queue a ``gap`` record and return the number dropped; None otherwise."""
        with self.wake:
            if outage is None and not self._dropped_since_gap:
                return None
            tick, t = self.latest
            dropped = self._dropped_since_gap
            reason = outage or f"{self._path}: the disk was too slow"
            data = {"dropped": dropped, "from_tick": self._gap_from, "reason": reason}
            self._accept({"t": t, "type": "gap", "tick": tick, "at": None, "data": data})
            self._dropped_since_gap, self._gap_from = 0, None
            return dropped
