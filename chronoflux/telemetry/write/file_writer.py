"""`FileWriter`: writes whole files (checkpoints, keyframes, snapshots) on a separate thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from chronoflux.telemetry.format.layout import replace_file
from chronoflux.telemetry.write.worker_thread import WorkerThread

logger: logging.Logger = logging.getLogger(__name__)

WAITING, MOST = 256 << 20, 64
"""Bytes and files that may wait for the disk. Beyond that, files are left out."""
Content = bytes | memoryview | Callable[[], bytes]


class FileWriter(WorkerThread):
    """Write files atomically into a run's folder; of several with one name, only the newest is written.

    `flush_log` is called before each file: the log must have reached the position that the file names.
    """

    TASK: str = "files"

    def __init__(self, folder: Path, flush_log: Callable[[], bool]) -> None:
        super().__init__(folder)
        self._flush_log = flush_log
        self._files: dict[str, Content] = {}

    def write(self, name: str, content: Content) -> None:
        """Queue a file under a name in the folder. Never blocks. A callable `content` runs on the thread."""
        with self._wake:
            waiting = sum(_size(held) for other, held in self._files.items() if other != name)
            if self._closing or waiting > WAITING or len(self._files) > MOST:
                return
            self._files[name] = content
            self._notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._files or self._closing)
                if not self._files:
                    return
                name = next(iter(self._files))
                content = self._files.pop(name)
            self._write(self._folder / name, content)

    def _write(self, path: Path, content: Content) -> None:
        if not self._flush_log():
            return  # the log itself cannot be written, and reports that
        try:
            if path.parent != self._folder:
                path.parent.mkdir(exist_ok=True)
            replace_file(path, content() if callable(content) else content)
            self.problem = None
        except OSError as error:
            if self.problem is None:
                self.problem = f"{path}: cannot be written ({error.strerror or error})"
                logger.warning(self.problem)


def _size(content: Content) -> int:
    return 0 if callable(content) else len(content)
