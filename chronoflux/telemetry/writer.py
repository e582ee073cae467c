"""`RunLog`: writes a run's folder while the run goes on.

``write`` only encodes a record and puts it into a bounded queue; one thread carries the queue to the
disk. So a slow, full or vanished disk never holds up the swarm: what cannot be written yet waits in
memory up to a limit, what is beyond it is dropped and counted, and a ``gap`` record says so as soon
as writing works again.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.telemetry.folder import (
    LOG,
    SCHEMA,
    make_run_folder,
    open_log,
    versions,
    write_manifest,
)
from chronoflux.telemetry.records import rounded, to_json

FLUSH_EVERY = 0.25
"""Seconds that a record waits for others before it is written."""
SYNC_EVERY = 5.0
"""Seconds between two fsyncs."""
RETRY_EVERY = 1.0
"""Seconds between two attempts while writing fails."""
MANIFEST_EVERY = 60.0
"""Seconds after which the last tick in ``run.json`` is renewed."""
QUEUE_BYTES = 16 << 20
"""Bytes of records that may wait for the disk."""
CLOSE_WITHIN = 10.0
"""Seconds that ``close`` waits for a disk that does not answer."""
_OURS = ("timestamp", "seq", "mono")

logger = logging.getLogger(__name__)


class RunLog:
    """The log of one run. All methods may be called from any thread.

    Parameters
    ----------
    log_dir
        Folder of runs; made if missing. The run gets a new folder in it, see :attr:`path`.
    room, node, kind
        Who runs where; `kind` is ``"notebook"``, ``"headless"``, …
    params, seed, schedule
        What the run began with.
    extra
        Further facts for ``run.json``.
    queue_bytes
        Bytes of records that may wait for the disk before records are dropped.

    Raises
    ------
    LogError
        When the folder cannot be made or written, or `extra` is not JSON.
    """

    def __init__(
        self,
        log_dir: str | Path,
        *,
        room: str,
        node: str,
        kind: str,
        params: Params,
        seed: int,
        schedule: str,
        extra: Mapping[str, Any] | None = None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        start = datetime.now(UTC).astimezone()
        facts = dict(extra or {}) | {
            "schema": SCHEMA,
            "room": _valid_text(room),
            "node": _valid_text(node),
            "kind": kind,
            "params": params.to_dict(),
            "seed": seed,
            "schedule": schedule,
            "versions": versions(),
            "host": _valid_text(socket.gethostname()),
            "pid": os.getpid(),
            "start": start.isoformat(timespec="milliseconds"),
            "status": "running",
            "last_tick": None,
        }
        _check(log_dir, facts)
        self.path = make_run_folder(log_dir, room, node, start)
        self._facts = {"schema": SCHEMA, "run": self.path.name} | facts
        self._limit = queue_bytes

        self._wake = threading.Condition()  # guards everything down to the blank line
        self._queue: list[bytes] = []
        self._accepted = 0  # bytes ever queued
        self._queued = 0  # bytes in the queue and in the thread's hand
        self._seq = 0
        self._moment: tuple[int | None, float | None] = (None, None)  # newest tick and t
        self._dropped = 0
        self._dropped_since_gap = 0
        self._gap_from: int | None = None  # tick of the first record dropped since the last gap record
        self._manifest_due = False
        self._closing = False
        self._flush_wanted = False

        self._unwritten = b""  # from here on the thread's own
        self._file: FileIO | None = None
        self._outage: str | None = None
        self._manifest_problem: str | None = None
        self._synced = self._manifested = time.monotonic()

        try:
            write_manifest(self.path, to_json(self._facts))
            self._file = open_log(self.path / LOG)
        except OSError as error:
            raise LogError(self.path, f"cannot be written ({error.strerror or error})") from error
        self._thread = threading.Thread(target=self._run, name=f"log {self.path.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close, status="interrupted")

    @property
    def problem(self) -> str | None:
        """What keeps the log from being written just now, in a line for people; None when all is well."""
        return self._outage or self._manifest_problem

    @property
    def dropped(self) -> int:
        """Records dropped so far because the queue was full."""
        return self._dropped

    def write(
        self,
        type: str,
        *,
        tick: int | None,
        t: float | None,
        at: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Add a record; ``timestamp``, ``seq`` and ``mono`` are put in here. Never blocks on the disk.

        `t` is simulated seconds, `at` mesh time in ms; `metrics` are rounded to 6 decimals; `more` is
        taken as it is (``data``, ``id``, ``origin``, ``peerings``, …). After :meth:`close` nothing is
        written any more.

        Raises
        ------
        LogError
            When a value cannot be written as JSON, or `more` has a field that is put in here.
        """
        for name in _OURS:
            if name in more:
                raise LogError(self.path, f"a record's {name!r} is the log's own: use another name")
        record = {"t": t, "type": type, "metrics": rounded(metrics), "tick": tick, "at": at, **more}
        if metrics is None:
            del record["metrics"]
        with self._wake:
            if self._closing:
                return
            self._moment = (tick, t)
            if self._dropped_since_gap or self._queued >= self._limit:
                self._drop(tick)
                return
            self._accept(record)
            if self._queued > self._limit // 2:
                self._wake.notify_all()

    def update(self, **facts: Any) -> None:
        """Put facts into ``run.json``: the file is replaced within a second or so.

        Raises
        ------
        LogError
            When a value cannot be written as JSON.
        """
        _check(self.path, facts)
        with self._wake:
            if not self._closing:
                self._facts |= facts
                self._manifest_due = True

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until the records so far are in the file, at most `timeout` seconds; whether they are."""
        with self._wake:
            target = self._accepted
            self._flush_wanted = True
            self._wake.notify_all()
            return self._wake.wait_for(lambda: self._accepted - self._queued >= target, timeout)

    def close(self, status: str = "ended", last_tick: int | None = None) -> None:
        """Write what is left, fsync it, note `status` and `last_tick` in ``run.json``; idempotent.

        `last_tick` is that of the last record unless given. When the disk does not take it,
        :attr:`problem` says so afterwards.
        """
        with self._wake:
            if not self._closing:
                self._closing = True
                tick = self._moment[0] if last_tick is None else last_tick
                end = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
                self._facts |= {"status": status, "last_tick": tick, "end": end}
                self._manifest_due = True
                self._wake.notify_all()
        self._thread.join(CLOSE_WITHIN)
        if self._thread.is_alive():
            self._outage = f"{self.path}: the disk does not answer; the end of the log is not written"
            logger.warning(self._outage)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("ended" if error is None else "interrupted")

    def _accept(self, record: dict[str, Any]) -> None:
        """Number, stamp and queue a record; the lock is held, so that the file's order is that of `seq`."""
        now = {"timestamp": time.time_ns() // 1_000_000}
        try:
            line = to_json(now | record | {"seq": self._seq, "mono": time.monotonic_ns()}) + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise LogError(self.path, f"a {record['type']} record cannot be written: {error}") from error
        self._seq += 1
        self._queue.append(line)
        self._accepted += len(line)
        self._queued += len(line)

    def _drop(self, tick: int | None) -> None:
        if not self._dropped_since_gap:
            self._gap_from = tick
        self._dropped += 1
        self._dropped_since_gap += 1

    # The writing thread

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._pause()
            try:
                self._write_log(sync=closing)
            except OSError as error:
                self._stop_writing(error)
            self._write_manifest(closing)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _pause(self) -> bool:
        """Wait for the next round; True when it is the last one."""
        with self._wake:
            if self._outage is None:
                self._wake.wait_for(self._has_reason, FLUSH_EVERY)
            else:
                self._wake.wait_for(lambda: self._closing, RETRY_EVERY)
            self._flush_wanted = False
            return self._closing

    def _has_reason(self) -> bool:
        return self._closing or self._flush_wanted or self._queued > self._limit // 2

    def _write_log(self, *, sync: bool) -> None:
        if self._file is None:
            self._file = open_log(self.path / LOG)
        elif not os.path.samestat(os.stat(self.path / LOG), os.fstat(self._file.fileno())):
            raise FileNotFoundError(None, "the file was replaced by another")
        self._write_lines()
        if self._outage is not None or sync or time.monotonic() - self._synced >= SYNC_EVERY:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()
        if self._end_gap():
            self._write_lines()
            os.fsync(self._file.fileno())

    def _write_lines(self) -> None:
        """Carry the queue to the file. What fails is kept, from the start of the line it failed in."""
        assert self._file is not None
        while self._unwritten or self._take():
            view, done = memoryview(self._unwritten), 0
            try:
                while done < len(view):
                    done += self._file.write(view[done:])
            finally:
                if done < len(view):
                    done = self._unwritten.rfind(b"\n", 0, done) + 1
                self._unwritten = self._unwritten[done:]
                with self._wake:
                    self._queued -= done
                    self._wake.notify_all()

    def _take(self) -> bool:
        with self._wake:
            lines, self._queue = self._queue, []
        self._unwritten = b"".join(lines)
        return bool(lines)

    def _end_gap(self) -> bool:
        """After an outage or drops, with everything written: queue a record that says what is missing."""
        with self._wake:
            if self._outage is None and not self._dropped_since_gap:
                return False
            tick, t = self._moment
            data = {
                "dropped": self._dropped_since_gap,
                "from_tick": self._gap_from,
                "reason": self._outage or f"{self.path}: the disk was too slow",
            }
            self._accept({"t": t, "type": "gap", "tick": tick, "at": None, "data": data})
            self._dropped_since_gap, self._gap_from = 0, None
        if self._outage is not None:
            logger.warning("%s: is being written again, %d records are missing", self.path, data["dropped"])
            self._outage = None
            self._manifest_due = True  # a folder that came back may have lost it
        return True

    def _stop_writing(self, error: OSError) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._outage is None:
            self._outage = (
                f"{self.path}: the log cannot be written ({error.strerror or error}); make room or bring the "
                "folder back: until then records wait in memory, and those beyond its limit are dropped"
            )
            logger.warning(self._outage)

    def _write_manifest(self, closing: bool) -> None:
        now = time.monotonic()
        wait = MANIFEST_EVERY if self._manifest_problem is None else RETRY_EVERY
        with self._wake:
            due = self._manifest_due and self._manifest_problem is None
            if not (closing or due or now - self._manifested >= wait):
                return
            if not closing:
                self._facts["last_tick"] = self._moment[0]
            content = to_json(self._facts | {"records": self._seq, "dropped": self._dropped})
            self._manifest_due = False
        self._manifested = now
        try:
            write_manifest(self.path, content)
            self._manifest_problem = None
        except OSError as error:
            if self._manifest_problem is None:
                self._manifest_problem = (
                    f"{self.path}: run.json cannot be written ({error.strerror or error})"
                )
                logger.warning(self._manifest_problem)


def _valid_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _check(path: str | Path, facts: Mapping[str, Any]) -> None:
    try:
        to_json(facts)
    except (TypeError, ValueError, RecursionError) as error:
        raise LogError(path, f"a fact for run.json cannot be written: {error}") from error
