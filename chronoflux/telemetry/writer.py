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
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.telemetry.folder import (
    INPUTS,
    LOG,
    SCHEMA,
    cut_torn,
    is_running,
    make_run_folder,
    open_log,
    versions,
    write_manifest,
)
from chronoflux.telemetry.keeper import Content, Keeper
from chronoflux.telemetry.records import rounded, to_json
from chronoflux.telemetry.stream import Stream

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
        What the run began with; none where there is no swarm.
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
        params: Params | None,
        seed: int | None,
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
            "params": None if params is None else params.to_dict(),
            "seed": seed,
            "schedule": schedule,
            "versions": versions(),
            "host": _host(),
            "pid": os.getpid(),
            "start": start.isoformat(timespec="milliseconds"),
            "status": "running",
            "last_tick": None,
        }
        _check(log_dir, facts)
        path = make_run_folder(log_dir, room, node, start)
        self._open(path, {"schema": SCHEMA, "run": path.name} | facts, queue_bytes)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        facts: Mapping[str, Any],
        *,
        seq: int,
        inputs: int,
        queue_bytes: int = QUEUE_BYTES,
    ) -> Self:
        """Go on with the log of a run that ended or was interrupted.

        `facts` are those of its manifest, `seq` and `inputs` the numbers of the next record and input. A
        torn last line is cut off first; :attr:`torn` says how many bytes that were.

        Raises
        ------
        LogError
            When the folder cannot be written, or another process is writing it.
        """
        path = Path(path)
        pid = facts.get("pid")
        if facts.get("status") == "running" and facts.get("host") == _host() and is_running(pid):
            raise LogError(path, f"is being written by process {pid}: end that first")
        log = cls.__new__(cls)
        now = {"status": "running", "pid": os.getpid(), "host": _host(), "versions": versions()}
        fresh = {name: value for name, value in facts.items() if name != "end"} | now
        log._open(path, fresh | {"resumed": int(facts.get("resumed", 0)) + 1}, queue_bytes, seq, inputs)
        return log

    def _open(
        self, path: Path, facts: dict[str, Any], queue_bytes: int, seq: int = 0, inputs: int = 0
    ) -> None:
        self.path = path
        self._facts = facts
        self._limit = queue_bytes

        self._wake = threading.Condition()  # guards everything down to the blank line
        self._queues: tuple[list[bytes], list[bytes]] = ([], [])  # inputs, records
        self._accepted = 0  # bytes ever queued
        self._queued = 0  # bytes in the queue and in the thread's hand
        self._seq, self._input_seq = seq, inputs
        self._moment: tuple[int | None, float | None] = (None, None)  # newest tick and t
        self._dropped = 0
        self._dropped_since_gap = 0
        self._gap_from: int | None = None  # tick of the first record dropped since the last gap record
        self._manifest_due = False
        self._closing = False
        self._flush_wanted = False

        # From here on the thread's own. Inputs come first: no record may outlive what led to it.
        self._streams = [Stream(self.path / name, lambda path: open_log(path)) for name in (INPUTS, LOG)]
        self._outage: str | None = None
        self._manifest_problem: str | None = None
        self._synced = self._manifested = time.monotonic()

        try:
            self.torn = sum(cut_torn(stream.path) for stream in self._streams)
            write_manifest(self.path, to_json(self._facts))
            self._streams[1].open()
        except OSError as error:
            raise LogError(self.path, f"cannot be written ({error.strerror or error})") from error
        self._keeper = Keeper(self.path, lambda: self._outage is None and self.flush())
        self._thread = threading.Thread(target=self._run, name=f"log {self.path.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close, status="interrupted")

    @property
    def problem(self) -> str | None:
        """What keeps the log from being written just now, in a line for people; None when all is well."""
        return self._outage or self._manifest_problem or self._keeper.problem

    @property
    def position(self) -> dict[str, int]:
        """The ``seq`` of the next record and of the next input."""
        with self._wake:
            return {"seq": self._seq, "inputs": self._input_seq}

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

    def write_input(self, tick: int, **fields: Any) -> None:
        """Add a line to ``inputs.jsonl``: what came from a peer and entered the swarm before `tick` moved.

        As :meth:`write`: numbered, never blocking, dropped and counted where the disk is too slow.
        """
        with self._wake:
            if self._closing:
                return
            if self._dropped_since_gap or self._queued >= self._limit:
                self._drop(tick)
                return
            try:
                line = to_json({"seq": self._input_seq, "tick": tick, **fields}) + b"\n"
            except (TypeError, ValueError, RecursionError) as error:
                raise LogError(self.path, f"an input cannot be written: {error}") from error
            self._input_seq += 1
            self._enqueue(0, line)

    def keep(self, name: str, content: Content) -> None:
        """Have a file of this run written in one step, ``checkpoint.npz`` or ``keyframes/18750.npz``.

        It is written by a thread of its own, after the records so far; never blocks. See :class:`Keeper`.
        """
        self._keeper.keep(name, content)

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
        in_time = self._keeper.close(CLOSE_WITHIN)
        with self._wake:
            if not self._closing:
                self._closing = True
                tick = self._moment[0] if last_tick is None else last_tick
                end = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
                self._facts |= {"status": status, "last_tick": tick, "end": end}
                self._manifest_due = True
                self._wake.notify_all()
        self._thread.join(CLOSE_WITHIN)
        if self._thread.is_alive() or not in_time:
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
        self._enqueue(1, line)

    def _enqueue(self, stream: int, line: bytes) -> None:
        self._queues[stream].append(line)
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
        self._close_streams()

    def _close_streams(self) -> None:
        for stream in self._streams:
            stream.close()

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
        self._streams[1].open()
        if self._streams[0].is_open:
            self._streams[0].open()
        self._write_lines()
        if self._outage is not None or sync or time.monotonic() - self._synced >= SYNC_EVERY:
            self._sync()
            self._synced = time.monotonic()
        if self._end_gap():
            self._write_lines()
            self._sync()

    def _sync(self) -> None:
        for stream in self._streams:
            stream.sync()

    def _write_lines(self) -> None:
        """Carry the queues to the files; what fails is kept."""
        while any(stream.unwritten for stream in self._streams) or self._take():
            for stream in self._streams:
                if not stream.unwritten:
                    continue
                try:
                    stream.write()
                finally:
                    with self._wake:
                        self._queued -= stream.written
                        self._wake.notify_all()

    def _take(self) -> bool:
        with self._wake:
            queues, self._queues = self._queues, ([], [])
        for stream, lines in zip(self._streams, queues, strict=True):
            stream.unwritten = b"".join(lines)
        return any(queues)

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
        self._close_streams()
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


def _host() -> str:
    return _valid_text(socket.gethostname())


def _valid_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _check(path: str | Path, facts: Mapping[str, Any]) -> None:
    try:
        to_json(facts)
    except (TypeError, ValueError, RecursionError) as error:
        raise LogError(path, f"a fact for run.json cannot be written: {error}") from error
