"""`Keeper`: carries whole files (checkpoints, keyframes, snapshots) to the disk, on a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from chronoflux.telemetry.format.layout import replace_file
from chronoflux.telemetry.write.worker_thread import Helper

logger = logging.getLogger(__name__)

WAITING, MOST = 256 << 20, 64
"""Bytes, and files, that may wait for the disk; beyond that a file is left out."""
Content = bytes | memoryview | Callable[[], bytes]


class Keeper(Helper):
    """Writes files into a run's folder, each in one step; of several of one name the newest counts.

    `settle` is called before each: the log must be as far as the file says that it is.
    """

    TASK = "files"

    def __init__(self, folder: Path, settle: Callable[[], bool]) -> None:
        super().__init__(folder)
        self._settle = settle
        self._files: dict[str, Content] = {}

    def keep(self, name: str, content: Content) -> None:
        """Have a file written, under a name within the folder; never blocks. `content` may be made there."""
        with self._wake:
            waiting = sum(_size(held) for other, held in self._files.items() if other != name)
            if self._closing or waiting > WAITING or len(self._files) > MOST:
                return
            self._files[name] = content
            self._rouse()

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
        if not self._settle():
            return  # the log itself cannot be written, and says so
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
