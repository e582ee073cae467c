"""`WorkerThread`: base class for worker threads of a run's log."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path


class WorkerThread(ABC):
    """Own a worker thread that starts with the first work and ends at :meth:`close`.

    `_wake` guards the shared state, including `_closing`; the thread waits on it.
    """

    TASK: str
    """Purpose of the thread; its name consists of this and the run folder's name."""

    def __init__(self, folder: Path) -> None:
        self.problem: str | None = None
        self._folder = folder
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def close(self, timeout: float) -> bool:
        """Finish the requested work within `timeout` seconds. Return whether it was finished in time."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _notify(self) -> None:
        """Wake the thread, starting it if necessary. `_wake` must be held."""
        if self._thread is None:
            name = f"{self.TASK} {self._folder.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
        self._wake.notify_all()

    @abstractmethod
    def _run(self) -> None:
        """Run the thread until it is closing and no work is left."""
