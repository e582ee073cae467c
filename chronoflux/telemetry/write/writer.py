"""`RunLog`: writes a run's folder during the run.

``write`` encodes a record and puts it into a bounded queue; one thread writes the queue to the disk. A slow,
full or missing disk therefore never delays the swarm: unwritten records wait in memory up to a limit, those
beyond it are dropped and counted, and a ``gap`` record reports them as soon as writing works again.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chronoflux.errors import LogError
from chronoflux.model.engine import COMPILED, VARIABLE, chosen_engine
from chronoflux.model.params import Params
from chronoflux.telemetry.format.layout import (
    INPUTS,
    LOG,
    SCHEMA,
    cut_torn,
    is_running,
    make_run_folder,
    open_log,
    versions,
)
from chronoflux.telemetry.format.manifest import Manifest, check_facts, host, valid_text
from chronoflux.telemetry.format.records import rounded
from chronoflux.telemetry.write.appender import Appender
from chronoflux.telemetry.write.file_writer import Content, FileWriter
from chronoflux.telemetry.write.phase_writer import PhaseLog
from chronoflux.telemetry.write.record_queue import RecordQueue
from chronoflux.telemetry.write.rotation import Rotator

FLUSH_EVERY = 0.25
"""Seconds that a record waits for others before it is written."""
SYNC_EVERY = 5.0
"""Seconds between two fsyncs."""
RETRY_EVERY = 1.0
"""Seconds between two attempts while writing fails."""
QUEUE_BYTES = 16 << 20
"""Bytes of records that may wait for the disk."""
CLOSE_WITHIN = 10.0
"""Seconds that ``close`` waits for a disk that does not respond."""
SETTLE_WITHIN = 10.0
"""Seconds that a checkpoint or keyframe waits for the records before it; then it is left out."""
_OWN_FIELDS = ("timestamp", "seq", "mono")

_OPEN: weakref.WeakSet[RunLog] = weakref.WeakSet()  # used from any thread

logger: logging.Logger = logging.getLogger(__name__)


def rotate_all() -> None:
    """Close a segment of every log that this process writes, in the background: see :meth:`RunLog.rotate`."""
    for log in tuple(_OPEN):
        log.rotate()


class RunLog:
    """The log of one run. All methods may be called from any thread.

    Parameters
    ----------
    log_dir
        Folder of runs, created if missing. The run gets a new folder in it: see :attr:`path`.
    room, node, kind
        Names of room and node; `kind` is ``"notebook"``, ``"headless"``, …
    params, seed, schedule
        Initial values of the run; None where there is no swarm.
    extra
        Further facts for ``run.json``.
    queue_bytes
        Bytes of records that may wait for the disk before records are dropped.

    Raises
    ------
    LogError
        When the folder cannot be created or written, or `extra` cannot be written as JSON.
    """

    phases: PhaseLog | None = None
    """Log of phases, if they are recorded. It is closed with this log, which reports its problem."""
    torn: int

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
            "room": valid_text(room),
            "node": valid_text(node),
            "kind": kind,
            "params": None if params is None else params.to_dict(),
            "engine": None if params is None else chosen_engine(),
            "seed": seed,
            "schedule": schedule,
            "versions": versions(),
            "host": host(),
            "pid": os.getpid(),
            "start": start.isoformat(timespec="milliseconds"),
            "status": "running",
            "last_tick": None,
        }
        check_facts(log_dir, facts)
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
        """Continue the log of a run that ended or was interrupted.

        `facts` are those of its manifest; `seq` and `inputs` are the numbers of the next record and input. A
        torn last line is cut off first; :attr:`torn` holds the number of bytes removed.

        Raises
        ------
        LogError
            When the folder cannot be written, or another process is writing to it.
        """
        path = Path(path)
        pid = facts.get("pid")
        if facts.get("status") == "running" and facts.get("host") == host() and is_running(pid):
            raise LogError(path, f"process {pid} is writing it: end that process first")
        engine = facts.get("engine") or COMPILED
        if facts.get("params") is not None and engine != chosen_engine():
            raise LogError(
                path, f"was computed by the {engine} engine: set {VARIABLE}={engine} to continue it"
            )
        log = cls.__new__(cls)
        now = {"status": "running", "pid": os.getpid(), "host": host(), "versions": versions()}
        fresh = {name: value for name, value in facts.items() if name != "end"} | now
        log._open(path, fresh | {"resumed": int(facts.get("resumed", 0)) + 1}, queue_bytes, seq, inputs)
        return log

    def _open(
        self, path: Path, facts: dict[str, Any], queue_bytes: int, seq: int = 0, inputs: int = 0
    ) -> None:
        self.path = path
        self._queue = RecordQueue(path, queue_bytes, seq, inputs)
        self._manifest = Manifest(path, facts)  # guarded by the queue's lock

        # Used by the thread or under `_disk`. Inputs come first: no record may outlive the inputs behind it.
        self._disk = threading.Lock()
        self._appenders = {name: Appender(path / name, lambda path: open_log(path)) for name in (INPUTS, LOG)}
        self._outage: str | None = None
        self._synced = time.monotonic()

        try:
            self.torn = sum(cut_torn(appender.path) for appender in self._appenders.values())
            self._manifest.write()
            self._appenders[LOG].open()
            self._rotator = Rotator(path, self.flush, self._trim)
        except OSError as error:
            raise LogError(self.path, f"cannot be written ({error.strerror or error})") from error
        self._file_writer = FileWriter(self.path, lambda: self._outage is None and self.flush(SETTLE_WITHIN))
        self._thread = threading.Thread(target=self._run, name=f"log {self.path.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close, status="interrupted")
        _OPEN.add(self)

    @property
    def problem(self) -> str | None:
        """Reason why the log is currently not written, in one line for users; None when there is none."""
        parts = (self._manifest, self._file_writer, self._rotator, self.phases)
        return self._outage or next((part.problem for part in parts if part and part.problem), None)

    @property
    def position(self) -> dict[str, int]:
        """The ``seq`` of the next record and of the next input, and how often the run was ``resumed``."""
        with self._queue.wake:
            resumed = self._manifest.facts.get("resumed", 0)
            return {"seq": self._queue.seq, "inputs": self._queue.inputs, "resumed": resumed}

    @property
    def dropped(self) -> int:
        """Number of records dropped so far because the queue was full."""
        return self._queue.dropped

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
        """Add a record; ``timestamp``, ``seq`` and ``mono`` are filled in here. Never blocks on the disk.

        `t` is simulated seconds, `at` mesh time in ms; `metrics` are rounded to 6 decimals; `more` is added
        unchanged (``data``, ``id``, ``origin``, ``peerings``, …). After :meth:`close` nothing is written.

        Raises
        ------
        LogError
            When a value cannot be written as JSON, or `more` has a field that is filled in here.
        """
        for name in _OWN_FIELDS:
            if name in more:
                raise LogError(self.path, f"a record's field {name!r} is reserved: use another name")
        record = {"t": t, "type": type, "metrics": rounded(metrics), "tick": tick, "at": at, **more}
        if metrics is None:
            del record["metrics"]
        self._queue.add_record(record)

    def write_input(self, tick: int, **fields: Any) -> None:
        """Add a line to ``inputs.jsonl``: a peer's field that was applied before `tick` was computed.

        Like :meth:`write`, it numbers the line and never blocks; when the disk is too slow, lines are dropped
        and counted.
        """
        self._queue.add_input(tick, fields)

    def keep(self, name: str, content: Content) -> None:
        """Write a file of this run atomically, such as ``checkpoint.npz`` or ``keyframes/18750.npz``.

        A separate thread writes it after the records so far. Never blocks: see :class:`FileWriter`.
        """
        self._file_writer.write(name, content)

    def update(self, **facts: Any) -> None:
        """Add facts to ``run.json``, which is replaced within about a second.

        Raises
        ------
        LogError
            When a value cannot be written as JSON.
        """
        check_facts(self.path, facts)
        with self._queue.wake:
            if not self._queue.closing:
                self._manifest.update(**facts)

    def rotate(self) -> None:
        """Close a segment of the log now, in the background. :class:`Rotator` also does so once an hour."""
        self._rotator.request()

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait at most `timeout` seconds until all records so far are written. Return whether they are."""
        return self._queue.flush(timeout)

    def close(self, status: str = "ended", last_tick: int | None = None) -> None:
        """Write and fsync what is left, and note `status` and `last_tick` in ``run.json``. Idempotent.

        `last_tick` defaults to that of the last record. If the disk does not accept the data, :attr:`problem`
        says so afterwards.
        """
        parts = (self.phases, self._file_writer, self._rotator)
        in_time = [part.close(CLOSE_WITHIN) for part in parts if part is not None]
        queue = self._queue
        with queue.wake:
            if not queue.closing:
                queue.closing = True
                tick = queue.latest[0] if last_tick is None else last_tick
                end = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
                self._manifest.update(status=status, last_tick=tick, end=end)
                queue.wake.notify_all()
        self._thread.join(CLOSE_WITHIN)
        if self._thread.is_alive() or not all(in_time):
            self._outage = f"{self.path}: the disk does not respond; the end of the log is not written"
            logger.warning(self._outage)
        atexit.unregister(self.close)
        _OPEN.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("ended" if error is None else "interrupted")

    # The writing thread

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._pause()
            with self._disk:
                try:
                    self._write_log(sync=closing)
                except OSError as error:
                    self._stop_writing(error)
                sizes = {name: appender.size for name, appender in self._appenders.items()}
            self._rotator.watch(sizes)
            self._write_manifest(closing)
        self._close_appenders()

    def _close_appenders(self) -> None:
        for appender in self._appenders.values():
            appender.close()

    def _pause(self) -> bool:
        """Wait for the next round. Return whether it is the last one."""
        queue = self._queue
        with queue.wake:
            if self._outage is None:
                queue.wake.wait_for(queue.has_reason, FLUSH_EVERY)
            else:
                queue.wake.wait_for(lambda: queue.closing, RETRY_EVERY)
            queue.flush_wanted = False
            return queue.closing

    def _write_log(self, *, sync: bool) -> None:
        self._appenders[LOG].open()
        if self._appenders[INPUTS].is_open:
            self._appenders[INPUTS].open()
        self._write_lines()
        if self._outage is not None or sync or time.monotonic() - self._synced >= SYNC_EVERY:
            self._sync()
            self._synced = time.monotonic()
        dropped = self._queue.end_gap(self._outage)
        if dropped is None:
            return
        if self._outage is not None:
            logger.warning("%s: the log is being written again; %d records are missing", self.path, dropped)
            self._outage = None
            with self._queue.wake:
                self._manifest.update()  # a folder that was restored may lack the file
        self._write_lines()
        self._sync()

    def _sync(self) -> None:
        for appender in self._appenders.values():
            appender.sync()

    def _write_lines(self) -> None:
        """Write the queues to the files; lines that fail are kept."""
        appenders = self._appenders.values()
        while any(appender.unwritten for appender in appenders) or self._take_lines():
            for appender in appenders:
                if not appender.unwritten:
                    continue
                try:
                    appender.write()
                finally:
                    self._queue.mark_written(appender.written)

    def _take_lines(self) -> bool:
        found = self._queue.take()
        for appender, lines in zip(self._appenders.values(), found, strict=True):
            appender.unwritten = lines
        return any(found)

    def _stop_writing(self, error: OSError) -> None:
        self._close_appenders()
        if self._outage is None:
            self._outage = (
                f"{self.path}: the log cannot be written ({error.strerror or error}); make room or bring the "
                "folder back: until then records wait in memory, and those beyond its limit are dropped"
            )
            logger.warning(self._outage)

    def _trim(self, log: str, size: int) -> None:
        """Remove bytes from the beginning of a log, on the rotator's thread. Raises OSError."""
        with self._disk:
            self._appenders[log].trim(size)

    def _write_manifest(self, closing: bool) -> None:
        queue = self._queue
        with queue.wake:
            if not (closing or self._manifest.is_due()):
                return
            if not closing:
                self._manifest.facts["last_tick"] = queue.latest[0]
            content = self._manifest.content(records=queue.seq, dropped=queue.dropped)
        self._manifest.replace(content)
